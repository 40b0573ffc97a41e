"""Properties that students write, and that are graded by what they accept and what they reject; one module each."""
