"""Likelihood: how probable held-out data is under a model, in the units in which it is reported.

Notation: ℓᵢ = log p(xᵢ) in nats, i = 1 … n; D dimensions a datum; L levels a dimension; Δ the width of a level in the units of the
data that the density sees; log-weights log wₖ = log p(x, zₖ) − log q(zₖ|x), k = 1 … K.

    NLL = −(1/n) Σᵢ ℓᵢ                                                                                   (1)
    standard error of a mean = s / √n,  s² = 1/(n−1) Σᵢ (ℓᵢ − mean)²                                     (2)
    perplexity = e^H with H in nats = 2^H with H in bits,  H the NLL of one symbol                       (3)
    bits per dimension = (NLL − D log Δ) / (D log 2)                                                     (4)
    x = (k + u) / L,  u ~ U[0, 1)                                                                        (5)
    log (1/K) Σₖ wₖ ≤ log p(x) in expectation, and not below the bound with fewer weights                (6)
    KL(p ‖ q) = E_p[log p(x) − log q(x)], by the mean over data drawn from p                             (7)
    gap = NLL on test data − NLL on training data, with error √(error² + error²)                         (8)
    log p(x) = log ∫ p(x|z) N(z; 0, I) dz ≈ log Σₖ vₖ p(x|zₖ),   zₖ and vₖ of Gauss and Hermite           (9)

(4) gives a density the units of a discrete model: by Jensen's inequality a density of data dequantised by (5), where Δ = 1/L,
bounds the log-probability of the levels from below (Theis, van den Oord & Bethge 2016, "A note on the evaluation of generative
models", §3.1). A uniform density has exactly log₂ L bits per dimension; rescaling the data, and Δ with it, changes nothing; a
model of the levels themselves has Δ = 1. (6) is Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders", §3.

A likelihood says little about samples, nor they about it (Theis et al., §3.2): a mixture of 1 % of a good model with 99 % noise draws
almost only noise, yet its log-likelihood is at most log 100 ≈ 4.6 nats lower, which in many dimensions is nothing.
"""

import functools
import math
from numbers import Real
from typing import NamedTuple

import numpy as np

from minigen.backend import like as on_device
from minigen.checks import as_floats, check_count
from minigen.functions import logsumexp
from minigen.tree import is_array


class Estimate(NamedTuple):
    """A mean over data and its standard error, Python floats."""

    mean: float
    standard_error: float


def mean_and_error(values, name="values"):
    """The mean of values (n,), n ≥ 1, with its standard error, which is NaN for n = 1 and for an infinite mean: an Estimate.

    Raises TypeError or ValueError for another shape, or NaN.

    >>> mean_and_error(np.array([1.0, 3.0]))
    Estimate(mean=2.0, standard_error=1.0)
    """
    values = as_floats(values, name).astype(np.float64)
    if values.ndim != 1 or values.shape[0] < 1:
        raise ValueError(f"{name} has shape {values.shape}; expected (n,) with n ≥ 1, one value for each datum")
    if bool(np.any(np.isnan(values))):
        raise ValueError(f"{name} has NaN entries; expected numbers")
    n, mean = values.shape[0], float(np.mean(values))
    if n == 1 or not math.isfinite(mean):
        return Estimate(mean, math.nan)
    return Estimate(mean, float(np.std(values, ddof=1)) / math.sqrt(n))  # (2)


def nll(log_prob):
    """The mean negative log-likelihood of log_prob (n,) in the units of log_prob (nats), with its standard error: an Estimate.

    Infinite where the model gives a datum no probability. Raises TypeError or ValueError for another shape, or NaN.

    >>> nll(np.array([-1.0, -3.0]))
    Estimate(mean=2.0, standard_error=1.0)
    """
    mean, error = mean_and_error(log_prob, "log_prob")
    return Estimate(-mean, error)  # (1)


def numbers(x, name):
    """x, a number or an array of them, as floats; TypeError for something else, ValueError for NaN."""
    x = float(x) if isinstance(x, Real) else as_floats(x, name)
    if bool(np.any(np.isnan(x))):
        raise ValueError(f"{name} has NaN entries; expected numbers")
    return x


def perplexity(entropy, unit="nats"):
    """The number of equally probable symbols that would be as hard to guess: from the NLL of one symbol in "nats" or "bits".

    Of a number or an array. The NLL of a sequence is divided by its length first. With its error e: about e times the perplexity (nats).
    Raises TypeError for what is no number, ValueError for NaN or another unit.

    >>> perplexity(3.0, unit="bits"), perplexity(math.log(8)).round(9)
    (np.float64(8.0), np.float64(8.0))
    """
    if unit not in ("nats", "bits"):
        raise ValueError(f"unit is {unit!r}; expected 'nats' or 'bits'")
    entropy = numbers(entropy, "entropy")
    return np.exp(entropy) if unit == "nats" else np.exp2(entropy)  # (3)


def bits_per_dim(nll, dims, cell=1.0):
    """Bits per dimension of an NLL in nats (a number or an array) over `dims` dimensions, for levels of width `cell`.

    With its error: `mean_and_error(bits_per_dim(-log_prob, dims, cell))`. Raises TypeError for what is no number, ValueError for NaN and
    unless dims ≥ 1 and cell > 0.

    >>> bits_per_dim(0.0, 64, cell=1 / 256)
    8.0
    """
    if not dims >= 1 or not 0 < cell < math.inf:
        raise ValueError(f"dims is {dims} and cell is {cell}; expected dims ≥ 1 and a finite cell > 0")
    return (numbers(nll, "nll") / dims - math.log(cell)) / math.log(2)  # (4)


def dequantize(k, levels, u):
    """(k + u) / levels for integers k in 0 … levels − 1 and noise u in [0, 1) of the same shape, in the dtype of u.

    Where k + u would be rounded to k + 1, the number below is taken: x is always < 1. Raises TypeError or ValueError
    where k or u are out of range, or their shapes differ.

    >>> dequantize(np.array([0, 3]), 4, np.array([0.5, 0.5]))
    array([0.125, 0.875])
    """
    if not (is_array(k) and is_array(u)):
        raise TypeError(f"k is {type(k).__name__} and u is {type(u).__name__}; expected arrays")
    if u.dtype.kind != "f" or k.dtype.kind not in "fiu":
        raise TypeError(f"k is {k.dtype} and u is {u.dtype}; expected integers k and floating-point noise u")
    if k.shape != u.shape:
        raise ValueError(f"k has shape {k.shape} and u has shape {u.shape}; expected the same")
    if not bool(np.all((k >= 0) & (k <= levels - 1) & (k == np.floor(k)))):
        raise ValueError(f"k has entries other than 0 … levels − 1 = {levels - 1}")
    if not bool(np.all((u >= 0) & (u < 1))):
        raise ValueError("u has entries outside [0, 1)")
    k = k.astype(u.dtype)
    return np.minimum(k + u, np.nextafter(k + 1, k)) / levels  # (5)


def iwae_bound(log_weights, axis=0):
    """log (1/K) Σₖ wₖ from K log-weights along an axis, in nats; differentiable. −∞ where every weight is 0.

    With its error over data: `mean_and_error(iwae_bound(log_weights))`. Raises TypeError for what is no array, ValueError where there is
    no weight.

    >>> iwae_bound(np.log([[1.0], [3.0]])).round(4)  # log 2
    array([0.6931])
    """
    if not is_array(log_weights):
        raise TypeError(f"log_weights is {type(log_weights).__name__}; expected an array of log-weights")
    if not -log_weights.ndim <= axis < log_weights.ndim or log_weights.shape[axis] < 1:
        raise ValueError(f"log_weights has shape {log_weights.shape}; expected K ≥ 1 weights along axis {axis}")
    return logsumexp(log_weights, axis=axis) - math.log(log_weights.shape[axis])  # (6)


def kl_on_data(log_p, log_q):
    """KL(p ‖ q) in nats from log_p and log_q (n,) of the same data, drawn from p, with its standard error: an Estimate.

    A single term may be below 0, and so the mean; the divergence is not. Infinite where q gives a datum no probability. Raises
    TypeError or ValueError for other shapes, or NaN, or a datum that p cannot have drawn.

    >>> kl_on_data(np.log([0.5, 0.5]), np.log([0.25, 0.25])).mean.__round__(4)  # log 2
    0.6931
    """
    log_p, log_q = as_floats(log_p, "log_p"), as_floats(log_q, "log_q")
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p has shape {log_p.shape} and log_q {log_q.shape}; expected the same, (n,)")
    if bool(np.any(log_p == -math.inf)):
        raise ValueError("log_p has entries of −∞, which data drawn from p cannot have")
    return mean_and_error(log_p - log_q, "log_p − log_q")  # (7)


def generalisation_gap(log_prob_train, log_prob_test):
    """How much worse a model is on test than on training data, in nats a datum: an Estimate; 0 for one that learned nothing by heart.
    Its error is (8).

    log_prob_train (n,) and log_prob_test (m,) are log-probabilities. Raises TypeError or ValueError for other shapes, or NaN.
    """
    train, test = nll(log_prob_train), nll(log_prob_test)
    return Estimate(test.mean - train.mean, math.hypot(test.standard_error, train.standard_error))  # (8)


def log_prob_by_quadrature(log_likelihood, latent, points=64, like=None):
    """log p(x) (n,) of a model with a code z ~ N(0, I) of few dimensions, where log_likelihood(z (K, L)) gives log p(x|z), (K, n).

    Exact where p(x|z) is a polynomial in z of degree < 2 · points, and good where it is smooth on the scale of the grid, whose
    spacing is about 5/√points: a narrow p(x|z) wants many. `like` is an array in whose library and type the codes are made.
    Raises ValueError unless latent is 1 … 3 and points at most 250, beyond which the weights leave the range of floats.
    """
    if latent not in (1, 2, 3):
        raise ValueError(f"latent is {latent!r}; expected 1, 2 or 3: the grid has points ** latent codes")
    check_count("points", points)
    if points > 250:
        raise ValueError(f"points is {points}; expected at most 250")
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    grid = np.stack(np.meshgrid(*[nodes] * latent, indexing="ij"), axis=-1).reshape(-1, latent)
    log_weight = functools.reduce(np.add.outer, [np.log(weights / np.sum(weights))] * latent).reshape(-1, 1)
    if like is not None:
        grid, log_weight = (on_device(like, a) for a in (grid, log_weight))
    values = log_likelihood(grid)
    if not is_array(values) or values.ndim != 2 or values.shape[0] != grid.shape[0]:
        got = f"shape {values.shape}" if is_array(values) else type(values).__name__
        raise ValueError(f"log_likelihood gave {got}; expected ({grid.shape[0]}, n), one row for each code")
    return logsumexp(log_weight + values, axis=0)  # (9)
