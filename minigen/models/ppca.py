"""Probabilistic PCA.  Tipping & Bishop 1999, "Probabilistic principal component analysis"; Bishop 2006, §12.2.

Notation: x ∈ ℝᴰ, z ∈ ℝᵏ with k < D; W (D, k) the loadings; σ² the noise variance; d = x − μ. S = (1/N) Σᵢ dᵢdᵢᵀ is the covariance
by maximum likelihood, which divides by N, with eigenvalues λ₁ ≥ λ₂ ≥ … and leading eigenvectors U (D, k), Λ = diag(λ₁ … λₖ).

    x = W z + μ + σ ε,   z ~ N(0, I),  ε ~ N(0, I)                                                       (1)
    p(x) = N(μ, C),   C = W Wᵀ + σ²I                                                                     (2)
    M = WᵀW + σ²I                                                                                        (3)
    p(z | x) = N(m, σ²M⁻¹),   m = M⁻¹Wᵀd                                                                 (4)
    log |C| = (D − k) log σ² + log |M|                                                                   (5)
    dᵀC⁻¹d = ‖d − W m‖² / σ² + ‖m‖²                                                                      (6)
    log p(x) = −½ (D log 2π + log |C| + dᵀC⁻¹d)                                                          (7)
    ∇ₓ log p(x) = −C⁻¹d = −(d − W m) / σ²                                                                (8)

M is k × k: neither C nor its inverse is ever formed. (5) is the determinant lemma. (6) is Woodbury's identity
C⁻¹ = (I − W M⁻¹Wᵀ) / σ², written as a sum of squares, so that nothing cancels when σ² is small. The likelihood is greatest at

    σ² = 1/(D−k) Σ_{j>k} λ_j                                                                             (9)
    W = U (Λ − σ²I)^½                                                                                    (10)

up to a rotation of z, and EM climbs to it without an eigendecomposition; with S and its trace, one step and what it climbs are

    W' = S W (σ²I + M⁻¹WᵀS W)⁻¹                                                                          (11)
    σ'² = 1/D (tr S − tr(S W M⁻¹W'ᵀ))                                                                    (12)
    (1/N) Σᵢ log p(xᵢ) = −½ (D log 2π + log |C| + (tr S − tr(M⁻¹WᵀS W)) / σ²)                            (13)
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.backend import like, normal
from minigen.checks import check_columns, check_data, check_rank
from minigen.models.pca import PCA, fix_signs, scatter


def precision(w, variance):
    """M (k, k), σ² times the precision of p(z | x)."""
    return w.T @ w + variance * like(w, np.eye(w.shape[1]))  # (3)


def log_det_cov(w, variance):
    """log |C|, from a k × k determinant."""
    d, k = w.shape
    return (d - k) * np.log(variance) + np.linalg.slogdet(precision(w, variance))[1]  # (5)


def em_step(w, variance, sw, trace):
    """(W', σ'²) from W, σ², the product sw = S W (D, k) and trace = tr S."""
    m = precision(w, variance)
    inner = variance * like(w, np.eye(w.shape[1])) + np.linalg.solve(m, w.T @ sw)
    new_w = np.linalg.solve(inner.T, sw.T).T  # (11)
    return new_w, (trace - np.sum(np.linalg.solve(m, sw.T).T * new_w)) / w.shape[0]  # (12)


def mean_log_prob(w, variance, sw, trace):
    """The mean log-likelihood of the data in nats per example, from their S alone, as in `em_step`."""
    quadratic = (trace - np.trace(np.linalg.solve(precision(w, variance), w.T @ sw))) / variance
    return -0.5 * (w.shape[0] * math.log(2 * math.pi) + log_det_cov(w, variance) + quadratic)  # (13)


def check_noise(variance, floor, k):
    """Raise where σ² is no more than the rounding of what it was computed from."""
    if float(variance) <= float(floor):
        raise ValueError(f"x lies in a plane of k = {k} dimensions up to rounding, so that σ² = 0 and p(x) is unbounded; use a smaller k")


def maximum_likelihood(x, k):
    """(μ, W, σ²) in closed form, through PCA, whose reconstruction error is the sum of the eigenvalues left out."""
    n, d = x.shape
    pca = PCA.fit(x, k)
    variance = np.mean(pca.reconstruction_error(x)) / (d - k)  # (9)
    check_noise(variance, 64 * np.finfo(x.dtype).eps ** 2 * np.mean(x**2), k)
    lengths = np.sqrt(np.maximum(pca.explained_variance * ((n - 1) / n) - variance, 0))
    return pca.mean, pca.components.T * lengths, variance  # (10)


def expectation_maximisation(x, k, rng, steps, tol):
    """(μ, W, σ², history), iterated in float64: close to the fixed point, what a step gains is less than the rounding of float32."""
    n, d = x.shape
    mean = np.mean(x, axis=0, dtype=np.float64)
    if n > d:
        s = scatter(x, mean) / n
        trace, times_s = np.trace(s), lambda w: s @ w
    else:
        centred = x - mean
        trace, times_s = np.sum(centred**2) / n, lambda w: centred.T @ (centred @ w) / n
    variance = trace / d
    w = normal(rng, (d, k), mean) * np.sqrt(variance)
    history = []
    while True:
        check_noise(variance, 1e-7 * trace / d, k)  # a step solves with M, whose condition number is about λ₁ / σ²
        sw = times_s(w)
        history.append(float(mean_log_prob(w, variance, sw, trace)))
        if len(history) > steps or (len(history) > 1 and history[-1] - history[-2] < tol):
            break
        w, variance = em_step(w, variance, sw, trace)
    axes, lengths, _ = np.linalg.svd(w, full_matrices=False)  # a rotation of z, which no likelihood can tell
    w = fix_signs(axes.T).T * lengths
    return mean.astype(x.dtype), w.astype(x.dtype), variance.astype(x.dtype), tuple(history)


@dataclass
class PPCA:
    """A Gaussian with k directions of its own: mean μ (D,), W (D, k), noise_variance σ² (0-d); history of EM, empty for "ml".

    >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # S = diag(4.5, 0.5)
    >>> model = PPCA.fit(x, k=1)
    >>> model.noise_variance.round(6), model.cov.round(6)
    (np.float64(0.5), array([[4.5, 0. ], [0. , 0.5]]))
    """

    mean: np.ndarray
    W: np.ndarray
    noise_variance: np.ndarray
    history: tuple = ()

    @property
    def cov(self):
        """C (D, D), the covariance of x: for reading, since nothing here needs it."""
        return self.W @ self.W.T + self.noise_variance * like(self.W, np.eye(self.W.shape[0]))  # (2)

    @property
    def posterior_cov(self):
        """Covariance (k, k) of p(z | x), the same for every x."""
        return self.noise_variance * np.linalg.inv(precision(self.W, self.noise_variance))  # (4)

    def encode(self, x):
        """The mean m (n, k) of p(z | x) for x (n, D)."""
        check_columns(x, self.mean.shape[0])
        return np.linalg.solve(precision(self.W, self.noise_variance), self.W.T @ (x - self.mean).T).T  # (4)

    def decode(self, z):
        """The mean W z + μ (n, D) of p(x | z) for codes z (n, k)."""
        check_columns(z, self.W.shape[1], "z")
        return z @ self.W.T + self.mean

    def log_prob(self, x):
        """Exact log-density (n,) in nats of x (n, D)."""
        m = self.encode(x)
        quadratic = np.sum((x - self.decode(m)) ** 2, axis=1) / self.noise_variance + np.sum(m**2, axis=1)  # (6)
        return -0.5 * (x.shape[1] * math.log(2 * math.pi) + log_det_cov(self.W, self.noise_variance) + quadratic)  # (7)

    def score(self, x):
        """∇ₓ log p(x) (n, D)."""
        return (self.decode(self.encode(x)) - x) / self.noise_variance  # (8)

    def sample(self, n, rng):
        """n draws (n, D) from p(x)."""
        d, k = self.W.shape
        return self.decode(normal(rng, (n, k), self.W)) + self.noise_variance**0.5 * normal(rng, (n, d), self.W)  # (1)

    @classmethod
    def fit(cls, x, k, method="ml", rng=None, steps=1000, tol=1e-9):
        """The maximum-likelihood model of x (n, D), 1 ≤ k < D and k < n: in closed form ("ml") or by expectation maximisation ("em").

        EM starts from a random W, without rng always from the same one: the likelihood has one maximum and else only saddles, so
        that any start leads there. It ends after that many steps, or where one gains less than tol nats per example; history
        holds the mean log-likelihood (nats per example) at the start and after each step. Either way the columns of W lie along
        the principal axes, the longest first.

        Raises TypeError or ValueError for data that are not finite floats (n, D), for another k or method, and where the data
        lie in a k-dimensional plane: then σ² = 0 and the likelihood has no bound.
        """
        check_data(x, least=2)
        check_rank(k, min(x.shape[0], x.shape[1]) - 1, "min(n, D) − 1")
        if method not in ("ml", "em"):
            raise ValueError(f'method is {method!r}; expected "ml" or "em"')
        if method == "ml":
            return cls(*maximum_likelihood(x, k))
        return cls(*expectation_maximisation(x, k, rng or np.random.default_rng(0), steps, tol))
