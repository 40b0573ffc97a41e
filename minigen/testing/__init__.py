"""Properties that anyone can point at their own code."""
