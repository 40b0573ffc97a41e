"""The Fréchet distance between two sets of samples, each taken for a Gaussian.

Dowson & Landau 1982, "The Fréchet distance between multivariate normal distributions"; Heusel et al. 2017, "GANs trained by a two
time-scale update rule converge to a local Nash equilibrium", on Inception features ("FID").

Notation: samples xᵢ ∈ ℝᴰ, i = 1 … n, of mean μ and covariance Σ; ‖·‖_* the nuclear norm, the sum of singular values σᵢ.

    μ = 1/n Σᵢ xᵢ,    S = Σᵢ (xᵢ − μ)(xᵢ − μ)ᵀ,    Σ = S / (n − 1)                                       (1)
    of two sets together: n = n₁ + n₂,   μ = μ₁ + n₂/n (μ₂ − μ₁)                                         (2)
    S = S₁ + S₂ + n₁n₂/n (μ₂ − μ₁)(μ₂ − μ₁)ᵀ                                                             (3)
    d² = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½                                                      (4)
    tr (Σ₁Σ₂)^½ = ‖F₁F₂ᵀ‖_*   for any F with FᵀF = Σ                                                     (5)
    F = X / √(n − 1), X the centred samples as rows, where n ≤ D; the Cholesky factor of Σ where n > D   (6)
    ‖M‖_* = Σᵢ √λᵢ(MMᵀ), at an error of about ε λ₁ Σᵢ 1/√λᵢ, with ε the machine epsilon                  (7)
    ‖F₁F₂ᵀ‖_* = Σᵢ √λᵢ(Σ₁Σ₂), at an error of about ½ ε ‖Σ₁‖ ‖Σ₂‖ (Σᵢ 1/λᵢ)^½, in Frobenius norms          (8)

d² is a squared distance: that of Wasserstein, with cost ‖x − y‖², between the two Gaussians. (5) holds because the squared
singular values of F₁F₂ᵀ are the eigenvalues of F₁Σ₂F₁ᵀ, which but for zeros are those of Σ₁Σ₂. No root of an unsymmetric matrix
is taken, and a singular Σ needs no special case. As F₁F₂ᵀ of a set with itself is symmetric with trace tr Σ, the distance of a
set from itself is 0 to rounding. (7) and (8) are three times faster than singular values, and (8) needs one factor, not two; they
are used where their error cannot be seen. That of (8) is by Hoffman & Wielandt's inequality: if rounding moves a symmetric matrix
by E, then Σᵢ δλᵢ² ≤ ‖E‖², so that Σᵢ |δ√λᵢ| ≤ ½ ‖E‖ (Σᵢ 1/λᵢ)^½.

Samples of one Gaussian are not at distance 0. Where both sets have n, to first order in 1/n, with λ the eigenvalues of Σ,

    E d² = [2 tr Σ + Σᵢⱼ λᵢλⱼ (1 + δᵢⱼ) / (λᵢ + λⱼ)] / n                                                 (9)

so that only distances with equal n can be compared, or their limits: with s samples of either set

    E d²(s) = d²(∞) + c/s + O(1/s²)                                                                     (10)

and a straight line through distances of subsets against 1/s, at 1/s = 0, is nearly unbiased (Chong & Forsyth 2020, "Effectively
unbiased FID and Inception score and where to find them", where only the generated set is thinned).

Say on which features a distance stands: "FID" means Inception's.
"""

import contextlib
import functools
import operator
from dataclasses import dataclass

import numpy as np

from minigen.backend import array_module, eigenvalues_of_product
from minigen.checks import as_floats, as_sample_pair, as_samples, check_rng
from minigen.metrics.distances import moderate
from minigen.metrics.likelihood import Estimate


@dataclass
class Moments:
    """Mean (D,) and scatter (D, D) of n samples, in float64. Moments of parts, here or on other machines, add up by +.

    >>> x = np.random.default_rng(0).standard_normal((100, 3))
    >>> whole, parts = Moments.of(x), Moments.of(x[:20]) + Moments.of(x[20:])
    >>> np.allclose(parts.mean, whole.mean), np.allclose(parts.cov, whole.cov)
    (True, True)
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, x, rows=16384):
        """The moments of a batch x (n, D), n ≥ 1: those of its blocks, so that only a block of it is copied to float64."""
        return moments(as_samples(x, "x"), rows)

    def __add__(self, other):
        n, step = self.n + other.n, other.mean - self.mean
        mean = self.mean + step * (other.n / n)  # (2)
        scatter = self.scatter + other.scatter
        scatter += np.outer(step * (self.n * other.n / n), step)  # (3)
        return Moments(n, mean, scatter)

    @property
    def cov(self):
        """Σ (D, D), which divides by n − 1."""
        if self.n < 2:
            raise ValueError(f"n is {self.n}; expected at least 2 samples, or there is no covariance")
        return self.scatter / (self.n - 1)  # (1)


def moments(x, rows=16384):
    """`Moments.of` without its check that all is finite, which reads all of x."""
    blocks = (centred(x[start : start + rows]) for start in range(0, x.shape[0], rows))
    return functools.reduce(operator.add, (Moments(c.shape[0], mean, c.T @ c) for mean, c in blocks))  # (1)


def centred(x):
    """The mean (D,) of the rows of x (n, D), and the rows less it, in float64; about the first row, so that an offset costs no digits.

    The first pass goes by blocks that stay in a core's cache, or it would wait for memory three times.
    """
    n, d = x.shape
    step = max(2**17 // d, 1) if array_module(x) is np else n
    origin, c, total = x[0].astype(np.float64), np.empty_like(x, dtype=np.float64), 0.0
    for start in range(0, n, step):
        block = c[start : start + step]
        block[...] = x[start : start + step]
        block -= origin
        total = total + np.sum(block, axis=0)
    mean = total / n  # (1)
    c -= mean
    return origin + mean, c


def square_root(cov):
    """F (D, D) with FᵀF = cov: a Cholesky factor, or one from eigenvectors where cov is singular."""
    with contextlib.suppress(np.linalg.LinAlgError):  # CuPy gives NaN instead
        root = np.linalg.cholesky(cov).T
        if bool(np.all(np.isfinite(root))):
            return root
    values, vectors = np.linalg.eigh(cov)
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T


def mean_and_factor(x):
    """μ (D,) and F (min(n, D), D) of x (n, D)."""
    n, d = x.shape
    if n > d:
        both = moments(x)
        return both.mean, square_root(both.cov)  # (6)
    mean, x = centred(x)
    return mean, x / (n - 1) ** 0.5  # (6)


def nuclear_norm(m):
    """The sum of the singular values of m."""
    values = np.linalg.eigvalsh(m @ m.T)
    if bool(values[0] > 0):
        roots = np.sqrt(values)
        if bool(np.finfo(m.dtype).eps * values[-1] * np.sum(1 / roots) < 1e-13 * np.sum(roots)):
            return np.sum(roots)  # (7)
    return np.sum(np.linalg.svd(m, compute_uv=False))


def distance(mean1, f1, mean2, f2):
    """d² as a Python float, from means (D,) and factors (·, D)."""
    root = nuclear_norm(f1 @ f2.T if f1.shape[0] <= f2.shape[0] else f2 @ f1.T)  # (5)
    d = np.sum((mean1 - mean2) ** 2) + np.sum(f1 * f1) + np.sum(f2 * f2) - 2 * root  # (4)
    return max(float(d), 0.0)


def trace_of_root(cov1, cov2):
    """tr (Σ₁Σ₂)^½ of covariances (D, D)."""
    with contextlib.suppress(np.linalg.LinAlgError):  # where Σ₂ has no Cholesky factor
        values = eigenvalues_of_product(cov1, cov2)
        if bool(values[0] > 0):
            total = np.sum(np.sqrt(values))  # (8)
            error = np.finfo(values.dtype).eps / 2 * np.linalg.norm(cov1) * np.linalg.norm(cov2) * np.sqrt(np.sum(1 / values))
            if bool(error < 1e-13 * total):
                return total
    return np.sum(np.linalg.svd(square_root(cov1) @ square_root(cov2).T, compute_uv=False))  # (5)


def distance_of_covariances(mean1, cov1, mean2, cov2):
    """d² as a Python float, from means (D,) and covariances (D, D)."""
    d = np.sum((mean1 - mean2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * trace_of_root(cov1, cov2)  # (4)
    return max(float(d), 0.0)


def frechet_distance(x, y):
    """d² between the samples x (n, D) and y (m, D), n and m ≥ 2, computed in float64 whatever their type; a Python float.

    From itself a set is at most 1e-12 tr Σ away. Its error: `uncertainty.with_error`; of few samples it is biased upwards, by (9).
    Raises TypeError or ValueError naming the argument that is wrong.

    >>> frechet_distance(np.array([[0.0], [2.0]]), np.array([[0.0], [2.0], [4.0]])).__round__(9)  # 1² + (√2 − 2)²
    1.343145751
    """
    x, y = as_sample_pair(x, y, ("x", "y"), least=(2, 2))
    (x, y), scale = moderate(x, y) if x.dtype == np.float64 else ((x, y), 1.0)  # squares of float32 fit float64
    if min(x.shape[0], y.shape[0]) > x.shape[1]:
        first, second = moments(x), moments(y)
        return scale**2 * distance_of_covariances(first.mean, first.cov, second.mean, second.cov)
    return scale**2 * distance(*mean_and_factor(x), *mean_and_factor(y))


def frechet_distance_gaussians(mu1, cov1, mu2, cov2):
    """d² between N(mu1, cov1) and N(mu2, cov2), means (D,) and symmetric positive semi-definite (D, D); a Python float.

    Exact but for rounding. Raises TypeError or ValueError naming the argument that is wrong.

    >>> frechet_distance_gaussians(np.zeros(2), np.diag([1.0, 4.0]), np.array([3.0, 0.0]), np.diag([9.0, 4.0]))  # 3² + (1 − 3)²
    13.0
    """
    mu1, cov1, mu2, cov2 = (
        as_floats(a, name).astype(np.float64) for a, name in ((mu1, "mu1"), (cov1, "cov1"), (mu2, "mu2"), (cov2, "cov2"))
    )
    for mu, cov, i in ((mu1, cov1, 1), (mu2, cov2, 2)):
        if mu.ndim != 1 or cov.shape != (*mu.shape, *mu.shape) or mu.shape != mu1.shape:
            raise ValueError(f"mu{i} has shape {mu.shape} and cov{i} {cov.shape}; expected (D,) and (D, D), of one D = {mu1.shape[0]}")
        if not bool(np.all(np.isfinite(mu)) & np.all(np.isfinite(cov))):
            raise ValueError(f"mu{i} or cov{i} has NaN or infinite entries; expected finite numbers")
        if bool(np.max(np.abs(cov - cov.T)) > 1e-5 * np.max(np.abs(cov))):
            raise ValueError(f"cov{i} is not symmetric; expected a covariance matrix")
        if bool(np.linalg.eigvalsh(cov)[0] < -1e-5 * np.max(np.abs(cov))):
            raise ValueError(f"cov{i} has a negative eigenvalue; expected a covariance matrix")
    return distance_of_covariances(mu1, cov1, mu2, cov2)


def expected_frechet_distance(cov, n):
    """E d² between two sets of n draws each from one Gaussian of covariance cov (D, D), to first order in 1/n; a Python float.

    Raises TypeError or ValueError unless cov is a square array of numbers and n ≥ 2.

    >>> expected_frechet_distance(np.eye(1), 100)  # 2/n for the means, 1/n for the standard deviations
    0.03
    """
    cov = as_samples(cov, "cov").astype(np.float64)
    if cov.shape[0] != cov.shape[1] or n < 2:
        raise ValueError(f"cov has shape {cov.shape} and n is {n}; expected (D, D) and n ≥ 2")
    values = np.maximum(np.linalg.eigvalsh(cov), 0)
    pairs = values[:, None] * values / np.maximum(values[:, None] + values, np.finfo(values.dtype).tiny)
    return float(2 * np.sum(values) + np.sum(pairs) + np.sum(np.diagonal(pairs))) / n  # (9)


def frechet_distance_infinity(x, y, rng, points=15):
    """d²(∞): the distance of x (n, D) and y (m, D) extrapolated to infinitely many samples, perhaps below 0: an Estimate.

    The line goes through `points` sizes s from a tenth of min(n, m) to all, a random subset of either set for each; it is straight
    where s is well above D. The error is that of the line's fit, too small in so far as subsets overlap. Raises TypeError or
    ValueError naming the argument that is wrong: 20 samples of each and 3 points are needed.
    """
    check_rng(rng)
    x, y = as_sample_pair(x, y, ("x", "y"), least=(20, 20))
    if points < 3:
        raise ValueError(f"points is {points}; expected at least 3")
    most = min(x.shape[0], y.shape[0])
    sizes = np.linspace(most / 10, most, points).astype(int)
    subset = lambda a, s: a[array_module(a).asarray(rng.choice(a.shape[0], s, replace=False))]
    found = [frechet_distance(subset(x, s), subset(y, s)) for s in sizes]
    design = np.stack([np.ones(points), 1 / sizes], axis=1)
    line, _, _, _ = np.linalg.lstsq(design, np.array(found), rcond=None)  # (10)
    variance = np.sum((found - design @ line) ** 2) / (points - 2) * np.linalg.inv(design.T @ design)
    return Estimate(float(line[0]), float(np.sqrt(variance[0, 0])))


def spatial_frechet_distance(x, y, channels=7):
    """d² between maps of features x (n, H, W, C) and y (m, H, W, C), whose places and first channels are the dimensions.

    It sees where things are. With the 17 × 17 maps of Inception's sixth mixed block it is "sFID" (Nash et al. 2021, "Generating images
    with sparse representations"). Its error: that of `frechet_distance` on the same numbers, one row a sample. Raises TypeError or
    ValueError naming the argument that is wrong.
    """
    x, y = as_floats(x, "x"), as_floats(y, "y")
    for a, name in ((x, "x"), (y, "y")):
        if a.ndim != 4 or a.shape[1:] != x.shape[1:] or a.shape[3] < channels or channels < 1:
            raise ValueError(f"{name} has shape {a.shape}; expected (n, H, W, C ≥ {channels}), alike for both, with channels ≥ 1")
    return frechet_distance(*(np.reshape(a[..., :channels], (a.shape[0], -1)) for a in (x, y)))
