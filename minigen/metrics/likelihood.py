"""Likelihood: how probable held-out data is under a model, in the units in which it is reported.

Notation: ℓᵢ = log p(xᵢ) in nats for i = 1 … n; D dimensions a datum; L levels a dimension; Δ the width of a level in the
units of the data that the density sees.

    NLL = −(1/n) Σᵢ ℓᵢ,  its standard error = std(ℓ, ddof 1) / √n                                        (1)
    perplexity = e^H with H in nats, 2^H with H in bits, H the NLL of one symbol                         (2)
    bits per dimension = (NLL − D log Δ) / (D log 2)                                                     (3)
    x = (k + u) / L,  u ~ U[0, 1)                                                                        (4)
    log (1/K) Σₖ wₖ ≤ log p(x) in expectation                                                            (5)

(3) gives a density the units of a discrete model: by Jensen's inequality a density of dequantised data (4), whose Δ is 1/L,
bounds the log-probability of the levels from below (Theis, van den Oord & Bethge 2016, "A note on the evaluation of generative
models", §3.1). A uniform density has exactly log₂ L bits per dimension, and rescaling the data, and Δ with it, changes nothing.
(5) is Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders".
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.backend import like
from minigen.functions import logsumexp


class Estimate(NamedTuple):
    """A mean over data and its standard error."""

    mean: float
    standard_error: float


def check_vector(name, values):
    """Raise unless values (n,) is not empty and holds no NaN."""
    if values.ndim != 1 or values.shape[0] == 0:
        raise ValueError(f"{name} has shape {values.shape}; expected (n,) with n ≥ 1, one value for each datum")
    if bool(np.any(np.isnan(values))):
        raise ValueError(f"{name} holds NaN; expected log-probabilities in nats, −inf where the model gives none")


def nll(log_prob):
    """The mean negative log-likelihood of log_prob (n,), in the units of log_prob (nats), with its standard error.

    The error of a single value, or of an infinite mean, is not known: NaN. Raises ValueError for another shape or NaN.

    >>> nll(np.array([-1.0, -3.0]))
    Estimate(mean=2.0, standard_error=1.0)
    """
    check_vector("log_prob", log_prob)
    values = -log_prob.astype(np.float64)
    n, mean = values.shape[0], float(np.mean(values))
    if n == 1 or not math.isfinite(mean):
        return Estimate(mean, math.nan)
    return Estimate(mean, float(np.std(values, ddof=1)) / math.sqrt(n))  # (1)


def perplexity(entropy, unit="nats"):
    """The number of equally probable symbols that would be as hard to guess: from the NLL of one symbol in "nats" or "bits".

    >>> float(perplexity(3.0, unit="bits"))
    8.0
    """
    if unit not in ("nats", "bits"):
        raise ValueError(f"unit is {unit!r}; expected 'nats' or 'bits'")
    return np.exp(entropy) if unit == "nats" else np.exp2(entropy)  # (2)


def bits_per_dim(nll, dims, cell=1.0):
    """Bits per dimension of an NLL in nats (a number or an array) over `dims` dimensions, for levels of width `cell`.

    Raises ValueError unless dims ≥ 1 and cell > 0.

    >>> bits_per_dim(0.0, 64, cell=1 / 256)
    8.0
    """
    if dims < 1 or not cell > 0:
        raise ValueError(f"dims is {dims} and cell {cell}; expected dims ≥ 1 and cell > 0")
    return (nll - dims * math.log(cell)) / (dims * math.log(2))  # (3)


def dequantize(k, levels, u):
    """(k + u) / levels for levels k in 0 … levels − 1 and noise u in [0, 1), in the dtype of u and always below 1.

    Raises ValueError where k or u are out of range, or their shapes differ.
    """
    if k.shape != u.shape or u.dtype.kind != "f":
        raise ValueError(f"u is a {u.dtype} array of shape {u.shape}; expected floating-point noise of the shape {k.shape} of k")
    if bool(np.any((k < 0) | (k >= levels) | (k != np.floor(k)))):
        raise ValueError(f"k holds values other than the levels 0 … {levels - 1}")
    if bool(np.any((u < 0) | (u >= 1))):
        raise ValueError("u holds values outside [0, 1)")
    # (255 + u)/256 may round to 1.0, which belongs to no level.
    return np.minimum((k.astype(u.dtype) + u) / levels, like(u, 1 - float(np.finfo(u.dtype).epsneg)))  # (4)


def iwae_bound(log_weights, axis=0):
    """log (1/K) Σₖ wₖ from log-weights along an axis, in nats; differentiable. −inf where every weight is 0."""
    return logsumexp(log_weights, axis=axis) - math.log(log_weights.shape[axis])  # (5)
