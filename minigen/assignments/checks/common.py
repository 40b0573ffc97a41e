"""The first tier of every check: the function answers with honest numbers of the right shape, and leaves its arguments alone.

And what is asked of a property that a student writes: it accepts what is right, and rejects what is wrong.
"""

import numpy as np

from minigen.testing.failure import require


def numbers(f, arguments, shape):
    """f(*arguments) as a float64 array of the given shape, finite."""
    arguments = tuple(np.array(a) if isinstance(a, np.ndarray) else a for a in arguments)
    before = [np.array(a) for a in arguments if isinstance(a, np.ndarray)]
    y = f(*arguments)
    plain = type(y) in (np.ndarray, np.float64, np.float32, float, int)
    require(plain, "it returns an array of numbers", got=type(y).__name__, want="numpy.ndarray")
    y = np.array(y)
    require(y.dtype.kind in "fi", "it returns real numbers", got=str(y.dtype), want="float64")
    require(y.shape == shape, "it returns the right shape", got=y.shape, want=shape)
    require(bool(np.all(np.isfinite(y))), "it returns finite numbers", got=y)
    after = [a for a in arguments if isinstance(a, np.ndarray)]
    require(all(map(np.array_equal, before, after)), "it leaves its arguments as they were")
    return y.astype(np.float64)


def accepts(prop, *arguments):
    """The property holds for functions that are right."""
    try:
        prop(*arguments)
    except AssertionError as error:
        require(False, "what is right has the property", got=f"AssertionError: {error}", want="nothing is raised")


def rejects(prop, wrong):
    """The property fails for each of {what is wrong: arguments}."""
    for name, arguments in wrong.items():
        try:
            prop(*arguments)
        except Exception:  # a wrong function may raise on its own
            continue
        require(False, f"what is wrong does not have the property: {name}", got="nothing is raised", want="AssertionError")
