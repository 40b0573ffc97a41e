"""Derivatives by definition: the oracle that shares nothing with the engine."""

import numpy as np

STENCIL = ((1, 45.0), (2, -9.0), (3, 1.0))  # f′ ≈ Σ c (f(x + kh) − f(x − kh)) / 60h, to O(h⁶)
H = 2e-3


def slope(f, xs, vs):
    """d/dt f(x + t v) at t = 0 for lists of arrays x and v, by a central difference of the sixth order."""
    at = lambda t: f([x + t * v for x, v in zip(xs, vs, strict=True)])
    return sum(c * (at(k * H) - at(-k * H)) for k, c in STENCIL) / (60 * H)


def complex_slope(f, xs, vs):
    """The same for a holomorphic f, exact to rounding: Im f(x + i t v) / t with t = 1e-30."""
    return np.imag(f([x + 1e-30j * v for x, v in zip(xs, vs, strict=True)])) / 1e-30


def units(xs):
    """Every direction along which one entry of one array changes."""
    for k, x in enumerate(xs):
        for i in np.ndindex(x.shape):
            vs = [np.zeros(a.shape) for a in xs]
            vs[k][i] = 1.0
            yield vs


def differences(f, xs, by=slope):
    """The gradient of the scalar f at a list of arrays, entry by entry, as one flat vector."""
    return np.array([by(f, xs, vs) for vs in units(xs)])


def flat(arrays):
    """A list of arrays as one flat vector."""
    return np.concatenate([np.ravel(a) for a in arrays])


def assert_close(got, want, tolerance):
    """Equal to a tolerance, relative to the largest entry where that is above 1."""
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1.0, np.max(np.abs(want), initial=0)))
