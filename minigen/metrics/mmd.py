"""Maximum mean discrepancy: how far apart two sets of samples are for the functions of a kernel's space.

Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, "A kernel two-sample test"; Bińkowski, Sutherland, Arbel & Gretton 2018,
"Demystifying MMD GANs", where the cubic kernel on Inception features makes the "kernel Inception distance", KID.

Notation: x, x′ ~ P and y, y′ ~ Q independent; samples xᵢ, i = 1 … m, and yⱼ, j = 1 … n, in ℝᴰ; k(x, y) a positive definite kernel.

    MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y) ≥ 0                                                      (1)
    unbiased: θ = A/(m(m−1)) + B/(n(n−1)) − 2 C/(mn),   A = Σ_{i≠j} k(xᵢ, xⱼ), B likewise, C = Σᵢⱼ k(xᵢ, yⱼ)  (2)
    biased:   θ = A′/m² + B′/n² − 2 C/(mn),   A′ = Σᵢⱼ k(xᵢ, xⱼ) with i = j too, B′ likewise               (3)
    Gaussian kernel   k(x, y) = exp(−‖x − y‖² / 2ℓ²)                                                      (4)
    cubic kernel      k(x, y) = (xᵀy/D + 1)³                                                              (5)

(3) is at least 0, being a squared norm; (2) has the right mean and is therefore below 0 about as often as above where P = Q. The
Gaussian kernel tells any two distributions apart. The cubic one sees their first three moments and is blind beyond: by
expanding the cube, with Mₖ(P) = E x ⊗ … ⊗ x, k times, and the Euclidean norm of tensors,

    MMD² = 3/D ‖ΔM₁‖² + 3/D² ‖ΔM₂‖² + 1/D³ ‖ΔM₃‖²,   ΔMₖ = Mₖ(P) − Mₖ(Q)                                  (6)

The standard error is the jackknife's: θ is computed again without each of the samples, from the row sums aᵢ = Σ_{j≠i} k(xᵢ, xⱼ)
and cᵢ = Σⱼ k(xᵢ, yⱼ), and likewise for y. On average it is not too small (Efron & Stein 1981, "The jackknife estimate of variance");
where P = Q, so that the first-order part of θ vanishes, it is too large, by about √2.

    θ₋ᵢ = (A − 2aᵢ)/((m−1)(m−2)) − 2 (C − cᵢ)/((m−1)n) + what does not depend on i                       (7)
    error² = (m−1)/m Σᵢ (θ₋ᵢ − θ̄₋)² + the same for y                                                     (8)
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.backend import array_module, like, to_host
from minigen.checks import as_sample_pair, as_samples, check_choice, check_count
from minigen.metrics.likelihood import Estimate

CONVENTIONS, SUBSETS, SUBSET_SIZE = ("minigen", "torch-fidelity", "clean-fid"), 100, 1000
ALL_PAIRS = 10_000  # samples: fewer have fewer pairs than the subsets have together


class SubsetEstimate(NamedTuple):
    """The mean of a statistic over random subsets and its standard deviation over them (which divides by their number)."""

    mean: float
    std: float


def gaussian_kernel(bandwidth):
    """The kernel (4) of length scale ℓ = bandwidth > 0, a function of (m, D) and (n, D) to (m, n)."""
    if not 0 < bandwidth < np.inf:
        raise ValueError(f"bandwidth is {bandwidth!r}; expected a finite number > 0")

    def kernel(x, y):
        origin = np.mean(y, axis=0)  # an offset of both would cost digits
        x, y = x - origin, y - origin
        squared = np.sum(x * x, axis=1)[:, None] + np.sum(y * y, axis=1) - 2 * (x @ y.T)
        return np.exp(np.maximum(squared, 0) / (-2 * bandwidth**2))  # (4)

    return kernel


def cubic_kernel(x, y):
    """The kernel (5) between the rows of x (m, D) and y (n, D): (m, n)."""
    k = x @ y.T
    k /= x.shape[1]
    k += 1
    cube = k * k
    cube *= k
    return cube  # (5)


def median_distance(x, y, rows=1000):
    """The median Euclidean distance between `rows` first rows of x and of y, together: a bandwidth for (4), a Python float.

    Chosen on the samples that are then compared it biases a test; choose it on others.
    """
    check_count("rows", rows)
    x, y = as_sample_pair(x, y, ("x", "y"))
    z = np.concatenate([x[:rows], y[:rows]]).astype(np.float64)
    z -= np.mean(z, axis=0)
    norms = np.sum(z * z, axis=1)
    distances = np.sqrt(np.maximum(norms[:, None] + norms - 2 * (z @ z.T), 0))
    upper = np.triu(array_module(z).ones(distances.shape, bool), 1)
    return float(np.median(distances[upper]))


def blocks(kernel, x, y=None, rows=1024):
    """Yield (i, j, k(xᵢ, yⱼ)) with i and j slices that cover all pairs; of one set (y None) each pair once, i < j, and 0 elsewhere."""
    alone, y = y is None, x if y is None else y
    for start in range(0, x.shape[0], rows):
        i, j = slice(start, start + rows), slice(start if alone else 0, None)
        k = kernel(x[i], y[j])
        if k.shape != (min(rows, x.shape[0] - start), y[j].shape[0]):
            raise ValueError(f"kernel gave shape {k.shape}; expected a function of (m, D) and (n, D) to (m, n)")
        yield i, j, np.triu(k, 1) if alone else k


def sums(kernel, x, y=None, rows=1024):
    """(Σⱼ k(xᵢ, yⱼ) (m,), Σᵢ k(xᵢ, yⱼ) (n,)) in float64, block by block. For one set (y None) without i = j, and the two are one."""
    zeros = array_module(x).zeros
    by_row = zeros(x.shape[0])
    by_column = by_row if y is None else zeros(y.shape[0])
    for i, j, k in blocks(kernel, x, y, rows):
        by_row[i] += np.sum(k, axis=1, dtype=np.float64)
        by_column[j] += np.sum(k, axis=0, dtype=np.float64)
    return by_row, by_column


def jackknife(a, c, n):
    """(m−1)/m Σᵢ (θ₋ᵢ − θ̄₋)² for one of the sets, with its sums a and c (m,); the other has n."""
    m = a.shape[0]
    without = (np.sum(a) - 2 * a) / ((m - 1) * (m - 2)) - 2 * (np.sum(c) - c) / ((m - 1) * n)  # (7)
    return (m - 1) / m * np.sum((without - np.mean(without)) ** 2)


def diagonal(kernel, x):
    """k(xᵢ, xᵢ) for each row of x, (n,)."""
    return np.concatenate([np.diagonal(kernel(x[i : i + 256], x[i : i + 256])) for i in range(0, x.shape[0], 256)])


def check_finite(value, x):
    """ValueError where kernels of x overflowed."""
    if not math.isfinite(value):
        raise ValueError(f"kernel gave sums that are not finite; expected x and y ({x.dtype}) on a smaller scale, or another kernel")


def mmd2(x, y, kernel=None, unbiased=True):
    """MMD² between samples x (m, D) and y (n, D), m and n ≥ 2, with its standard error (of the unbiased one): an Estimate.

    kernel is a function of (m, D) and (n, D) to (m, n), by default the Gaussian of bandwidth `median_distance(x, y)`. The error
    is NaN for fewer than 3 samples. Raises TypeError or ValueError naming the argument that is wrong.

    >>> mmd2(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]]), cubic_kernel).mean  # 1 + 2³ − 2 · 1
    7.0
    """
    x, y = as_sample_pair(x, y, ("x", "y"), least=(2, 2))
    if not (kernel is None or callable(kernel)):
        raise TypeError(f"kernel is {kernel!r}; expected a function, such as gaussian_kernel(1.0), or None")
    if kernel is None:
        bandwidth = median_distance(x, y)
        if bandwidth == 0:
            raise ValueError("x and y have a median distance of 0, which is no bandwidth; expected a kernel, such as gaussian_kernel(1.0)")
        kernel = gaussian_kernel(bandwidth)
    m, n = x.shape[0], y.shape[0]
    with np.errstate(over="ignore", invalid="ignore"):
        (a, _), (b, _), (c, d) = sums(kernel, x), sums(kernel, y), sums(kernel, x, y)
    check_finite(float(np.sum(a) + np.sum(b) + np.sum(c)), x)
    between = 2 * np.sum(c) / (m * n)
    if not unbiased:
        within = (np.sum(a) + np.sum(diagonal(kernel, x))) / m**2 + (np.sum(b) + np.sum(diagonal(kernel, y))) / n**2
        return Estimate(float(within - between), math.nan)  # (3)
    within = np.sum(a) / (m * (m - 1)) + np.sum(b) / (n * (n - 1))
    error = math.nan if min(m, n) < 3 else float(np.sqrt(jackknife(a, c, n) + jackknife(b, d, m)))  # (8)
    return Estimate(float(within - between), error)  # (1) (2)


def subset_mmd2(x, y):
    """The unbiased MMD² of the cubic kernel between x and y, both (n, D), a Python float: `mmd2` without its checks and its error."""
    n, sum_all = x.shape[0], lambda k: np.sum(k, dtype=np.float64)
    within = sum(sum_all(k) - sum_all(np.diagonal(k)) for k in (cubic_kernel(x, x), cubic_kernel(y, y)))
    return float(within / (n * (n - 1)) - 2 * sum_all(cubic_kernel(x, y)) / n**2)  # (2)


def subset_sums(x, y, in_x, in_y):
    """Σᵢⱼ k(xᵢ, yⱼ) of the cubic kernel over subsets, given by 0 and 1, (S, m) and (S, n): (S,). Of one set (y None) over i < j."""
    parts = ((in_x[:, i] @ k.astype(np.float64)) * in_y[:, j] for i, j, k in blocks(cubic_kernel, x, y))
    return sum(np.sum(part, axis=1) for part in parts)


def overlapping_mmd2(x, y, picks):
    """`subset_mmd2` of x[i] and y[j] for each (i, j) of picks, a list; each kernel value is computed once, however many share it."""
    in_x, in_y = np.zeros((len(picks), x.shape[0])), np.zeros((len(picks), y.shape[0]))
    for s, (i, j) in enumerate(picks):
        in_x[s, i] = in_y[s, j] = 1
    in_x, in_y, n = like(x, in_x), like(y, in_y), len(picks[0][0])
    within = subset_sums(x, None, in_x, in_x) + subset_sums(y, None, in_y, in_y)
    return to_host(2 * within / (n * (n - 1)) - 2 * subset_sums(x, y, in_x, in_y) / n**2).tolist()  # (2)


def kernel_distance(x, y, convention="minigen"):
    """The unbiased MMD² of the cubic kernel between features x (m, D) and y (n, D); with Inception's features it is "KID".

    By default of all pairs, with its standard error: an Estimate. Under a convention "torch-fidelity" or "clean-fid" the mean over
    100 random subsets of 1,000 (for clean-fid of at most that), and their standard deviation: a SubsetEstimate; drawn as there by
    NumPy's old generator, of torch-fidelity's seed 2020. Negative values are right. Raises TypeError or ValueError as `mmd2`
    does, and for "torch-fidelity" where a set has fewer than 1,000.
    """
    check_choice("convention", convention, CONVENTIONS)
    if convention == "minigen":
        return mmd2(x, y, cubic_kernel)
    least = SUBSET_SIZE if convention == "torch-fidelity" else 2
    sets = as_sample_pair(x, y, ("x", "y"), least=(least, least))
    if convention == "clean-fid":
        sets = sets[::-1]  # the second set is drawn first
    size = min(SUBSET_SIZE, *(a.shape[0] for a in sets))
    rng = np.random.RandomState(2020)
    picks = [[rng.choice(a.shape[0], size, replace=False) for a in sets] for _ in range(SUBSETS)]
    with np.errstate(over="ignore", invalid="ignore"):
        if max(a.shape[0] for a in sets) <= ALL_PAIRS:
            values = overlapping_mmd2(*sets, picks)
        else:
            values = [subset_mmd2(*(a[array_module(a).asarray(i)] for a, i in zip(sets, pick, strict=True))) for pick in picks]
    check_finite(sum(values), sets[0])
    return SubsetEstimate(float(np.mean(values)), float(np.std(values)))


def cubic_mmd2_of_moments(x, y):
    """The biased MMD² of the cubic kernel by its moments, for D small enough that D³ numbers fit: a Python float, and what it sees."""
    x, y = (as_samples(a, name).astype(np.float64) for a, name in ((x, "x"), (y, "y")))
    moments = lambda a: (np.mean(a, axis=0), a.T @ a / len(a), np.einsum("ni,nj,nk->ijk", a, a, a) / len(a))
    norms = [np.sum((p - q) ** 2) for p, q in zip(moments(x), moments(y), strict=True)]
    d = x.shape[1]
    return float(3 / d * norms[0] + 3 / d**2 * norms[1] + norms[2] / d**3)  # (6)
