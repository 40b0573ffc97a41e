"""Derivatives by definition, an oracle that shares nothing with the engine; and the losses on which the engine is held against it."""

import numpy as np

import minigen as mg
from minigen.backend import like

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


def fixed(shape, seed, x):
    """Fixed weights in the library and dtype of x."""
    return like(x, np.random.default_rng(seed).normal(size=shape))


def loss_of(case):
    """A scalar of the case's function, not linear in it, so that the second derivative also goes through the cotangent."""

    def loss(xs):
        y = case.f(*xs)
        return np.sum(fixed(y.shape, 0, y) * y + 0.3 * fixed(y.shape, 1, y) * y * y)

    return loss


def derivative_along(f, vs):
    """The function x ↦ ⟨∇f(x), v⟩."""
    return lambda xs: sum(np.sum(g * v) for g, v in zip(mg.grad(f)(xs), vs, strict=True))


def directions(xs, seed):
    return [fixed(x.shape, seed + k, x) for k, x in enumerate(xs)]


def inputs(case):
    return [np.array(x) for x in case.args]
