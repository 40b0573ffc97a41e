"""What every sampler asks of its arguments."""


def check_rng(rng):
    """TypeError unless rng can draw."""
    if not hasattr(rng, "integers"):  # the old RandomState and the global numpy.random have none
        raise TypeError(f"rng is {rng!r}; expected a random generator, as numpy.random.default_rng(0)")


def check_count(name, n):
    """ValueError unless n is a whole number ≥ 1."""
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise ValueError(f"{name} is {n!r}; expected a whole number ≥ 1")
