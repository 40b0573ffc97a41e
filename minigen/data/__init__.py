"""Data: toys with known densities, shapes, embedded real digits, readers."""
