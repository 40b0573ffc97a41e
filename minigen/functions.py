"""Functions that models need and NumPy lacks, each one recorded call with a derivative of its own.

They are primitives for speed and exactness: `np.logaddexp`, `scipy.special.expit` and `np.where` are ten times slower in
float32 than the vectorised exp, log1p and maximum used here, and a composition would lose the tails or record five calls.

    σ(x) = 1 / (1 + e⁻ˣ)          softplus(x) = log(1 + eˣ) = max(x, 0) + log(1 + e⁻|ˣ|)          log σ(x) = −softplus(−x)
"""

import numpy as np

from minigen.derivatives import column_sums, keep
from minigen.tensor import primitive, vjp_of


@primitive
def relu(x):
    """max(x, 0); its derivative at 0 is taken as 0."""
    return np.maximum(x, 0)


@primitive
def sigmoid(x):
    """σ(x), accurate in both tails: where e⁻ˣ overflows, σ is 0 to every digit."""
    with np.errstate(over="ignore"):
        t = np.exp(-x)
    t += 1
    return 1 / t


@primitive
def softplus(x):
    """log(1 + eˣ)."""
    t = np.log1p(np.exp(np.copysign(x, -1)))  # −|x| in one pass
    t += np.maximum(x, 0)
    return t


@primitive
def log_sigmoid(x):
    """log σ(x)."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


@primitive
def silu(x):
    """x σ(x)."""
    return x * sigmoid(x)


@primitive
def gelu(x):
    """x Φ(x), with Φ the distribution function of N(0, 1)."""
    from scipy.special import ndtr

    return x * ndtr(x)


def gelu_back(g, y, x):
    """Pullback of gelu: Φ(x) + x φ(x), where φ = Φ′."""
    from scipy.special import ndtr

    return g * (ndtr(x) + x * np.exp(-0.5 * x * x) * 0.3989422804014327)


vjp_of(relu, lambda g, y, x: g * (x > 0))
vjp_of(sigmoid, lambda g, y, x: g * (y * (1 - y)))
vjp_of(softplus, lambda g, y, x: -g * np.expm1(-y))  # σ(x) = 1 − e^(−softplus(x))
vjp_of(log_sigmoid, lambda g, y, x: -g * np.expm1(y))  # σ(−x) = 1 − e^(log σ(x))
vjp_of(silu, lambda g, y, x: g * (sigmoid(x) * (1 + (x - y))))
vjp_of(gelu, gelu_back)


def finite(m):
    """m with infinities replaced by 0, so that ∞ − ∞ does not arise."""
    return np.where(np.isfinite(m), m, 0)


@primitive
def logsumexp(x, axis=None, keepdims=False):
    """log Σ eˣ over an axis (all by default); −∞ where every term is −∞."""
    m = finite(np.max(x, axis=axis, keepdims=True))
    with np.errstate(divide="ignore", over="ignore"):
        y = np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True)) + m
    return y if keepdims else np.squeeze(y, axis=axis)


@primitive
def softmax(x, axis=-1):
    """eˣ / Σ eˣ along an axis."""
    t = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return t / np.sum(t, axis=axis, keepdims=True)


@primitive
def log_softmax(x, axis=-1):
    """x − log Σ eˣ along an axis."""
    t = x - np.max(x, axis=axis, keepdims=True)
    return t - np.log(np.sum(np.exp(t), axis=axis, keepdims=True))


vjp_of(logsumexp, lambda g, y, x, axis=None, keepdims=False: keep(g, x, axis) * np.exp(x - finite(keep(y, x, axis))))
vjp_of(softmax, lambda g, y, x, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)))
vjp_of(log_softmax, lambda g, y, x, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True))


def rows(x):
    """x as a matrix whose rows are its last axis."""
    return x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1]))


def unrows(y, x):
    """The rows y, of any width, in the places of those of x."""
    return y if x.ndim == 2 else np.reshape(y, (*x.shape[:-1], y.shape[-1]))


@primitive
def affine(x, weight, bias):
    """x @ weight + bias for x (…, in), weight (in, out), bias (out,): one matrix product, the bias added in place."""
    y = rows(x) @ weight
    y += bias
    return unrows(y, x)


vjp_of(
    affine,
    lambda g, y, x, weight, bias: unrows(rows(g) @ weight.T, x),
    lambda g, y, x, weight, bias: rows(x).T @ rows(g),
    lambda g, y, x, weight, bias: column_sums(rows(g)),
)
