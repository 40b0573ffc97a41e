"""Gaussian mixtures.  Dempster, Laird & Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm"; Bishop 2006, §9.2.

Notation: x ∈ ℝᴰ; components j = 1 … k of weight π_j, mean μ_j and covariance Σ_j = L_j L_jᵀ, L_j lower triangular.

    log p(x) = log Σ_j π_j N(x | μ_j, Σ_j)                                                               (1)
    y_j = L_j⁻¹ (x − μ_j)                                        white: N(0, I) under component j        (2)
    log π_j N(x | μ_j, Σ_j) = log π_j − ½ ‖y_j‖² − Σ_d log L_j,dd − ½ D log 2π                           (3)

EM alternates the posterior of the components and the parameters that maximise the expected complete likelihood. The
statistics between the two are sums over the data, which merge by +; m is any origin, here the mean of the model:

    r_j(x) = π_j N(x | μ_j, Σ_j) / p(x)                          the responsibilities, the E-step        (4)
    N_j = Σᵢ r_j(xᵢ),   s_j = Σᵢ r_j(xᵢ) (xᵢ − m),   S_j = Σᵢ r_j(xᵢ) (xᵢ − m)(xᵢ − m)ᵀ                  (5)
    π_j = N_j / n,   μ_j = m + s_j / N_j                         the M-step                              (6)
    Σ_j = S_j/N_j − (μ_j − m)(μ_j − m)ᵀ + λI                     "full"                                  (7)
    Σ = Σ_j π_j Σ_j                                              "tied"                                  (8)
    Σ_j = diag of (7)                                            "diag"                                  (9)
    Σ_j = (tr of (7) / D) I                                      "spherical"                             (10)

With λ = 0 the likelihood never falls (it may with λ > 0, which keeps a component from shrinking onto a point). Further:

    ∇ log p(x) = −Σ_j r_j(x) L_j⁻ᵀ y_j                           the score                               (11)
    x = μ_j + L_j ε,   j ~ π,   ε ~ N(0, I)                      a sample                                (12)

Let x = (x_o, x_m) with o observed and m missing, and order the rows of L_j alike. Then one factor gives everything: the
first white coordinates depend on x_o alone, and the last ones are independent of them:

    p(x_o) = Σ_j π_j N(x_o | μ_j,o, Σ_j,oo),   Σ_j,oo = L_j,oo L_j,ooᵀ                                   (13)
    p(x_m | x_o) = Σ_j r_j(x_o) N(x_m | μ_j,m + L_j,mo y_j,o, L_j,mm L_j,mmᵀ)                            (14)
    E[x_m | x_o] = Σ_j r_j(x_o) (μ_j,m + L_j,mo y_j,o)                                                   (15)
"""

import functools
import math
from dataclasses import dataclass, field, replace

import numpy as np

from minigen.backend import array_module, keep_memory, like, normal, to_host
from minigen.checks import check_columns, check_data
from minigen.functions import logsumexp, softmax
from minigen.models.kmeans import KMeans, blocks, choose, one_hot
from minigen.models.kmeans import statistics as first_moments
from minigen.tree import tree_map

COVARIANCES = ("full", "tied", "diag", "spherical")
REMEDY = "use a larger reg, fewer components or covariance='diag'"


# ---- The density ----
def eye(x):
    """The identity (D, D) in the library and dtype of x (…, D)."""
    return array_module(x).eye(x.shape[-1], dtype=x.dtype)


def cholesky(covariances):
    """L with L Lᵀ = Σ, lower triangular; ValueError where Σ is not positive definite."""
    try:
        return np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise ValueError(f"a covariance is not positive definite: {REMEDY}") from None


def whiten(means, inverse, x):
    """The white coordinates y (k, D, n) of x (n, D); inverse is L⁻¹ (k, D, D), or (k, D) where L is diagonal."""
    if inverse.ndim == 2:
        return inverse[:, :, None] * (x.T.copy() - means[:, :, None])  # (2)
    (k, d), ones = means.shape, np.ones_like(x[:, :1])  # the shift by μ is one more column of the product
    affine = np.concatenate([inverse, -inverse @ means[:, :, None]], axis=2)
    return np.reshape(np.reshape(affine, (k * d, d + 1)) @ np.concatenate([x, ones], axis=1).T, (k, d, x.shape[0]))  # (2)


def log_joint(weights, inverse, y):
    """log π_j N(x | μ_j, Σ_j) (k, n) from the white coordinates y (k, D, n)."""
    diagonal = inverse if inverse.ndim == 2 else np.diagonal(inverse, 0, 1, 2)
    with np.errstate(divide="ignore"):  # a component of weight 0 is allowed
        constants = np.log(weights) + np.sum(np.log(diagonal), axis=1) - 0.5 * y.shape[1] * math.log(2 * math.pi)
    return constants[:, None] - 0.5 * np.einsum("kdn,kdn->kn", y, y)  # (3)


# ---- Expectation and maximisation ----
def statistics(x, r, covariance):
    """(N (k,), s (k, D), S) in float64 for x (n, D) about the origin and r (k, n): add them up over blocks, or over machines.

    S is (k, D, D) for "full", Σ_j S_j (D, D) for "tied", and the diagonals (k, D) otherwise.
    """
    x, r = x.astype(np.float64, copy=False), r.astype(np.float64, copy=False)
    if covariance == "full":
        (k, n), d = r.shape, x.shape[1]
        second = np.reshape(np.reshape(r[:, None] * x.T.copy(), (k * d, n)) @ x, (k, d, d))  # (5)
    else:
        second = x.T @ x if covariance == "tied" else r @ x**2  # (5)
    return *first_moments(x, r), second  # (5)


def add(parts):
    """The sum of tuples of arrays, term by term."""
    return functools.reduce(lambda a, b: [s + t for s, t in zip(a, b, strict=True)], parts)


def expect(model, x):
    """[N, s, S, Σᵢ log p(xᵢ)] of the data under the model, about its mean."""

    def parts():
        for joint, _, centred in model.joints(x):
            log_p = logsumexp(joint, axis=0)  # (1)
            r = np.exp(joint - log_p)  # (4)
            yield *statistics(centred, r, model.covariance), np.sum(log_p, dtype=np.float64)

    return add(parts())


def maximise(counts, sums, second, origin, covariance, reg):
    """The GMM of the greatest expected likelihood, in the dtype of the origin m (D,). ValueError where it is degenerate."""
    if not np.all(counts > 0):
        raise ValueError("a component has no data; expected at least k distinct points: use a smaller k")
    n, shifts = np.sum(counts), sums / counts[:, None]
    if covariance == "full":
        spread = np.einsum("jdd->d", second) / n
        covariances = second / counts[:, None, None] - shifts[:, :, None] * shifts[:, None] + reg * eye(sums)  # (7)
    elif covariance == "tied":
        spread = np.diagonal(second) / n
        covariances = (second - sums.T @ shifts) / n + reg * eye(sums)  # (8)
    else:
        spread = np.sum(second, axis=0) / n
        covariances = second / counts[:, None] - shifts**2 + reg  # (9)
        if covariance == "spherical":
            covariances = np.mean(covariances, axis=1)  # (10)
    parameters = (counts / n, origin + shifts, covariances)  # (6)
    model = GMM(*(a.astype(origin.dtype) for a in parameters), covariance)
    if covariance in ("full", "tied"):
        squares = model.roots() ** 2
        pivots, variances = np.diagonal(squares, 0, 1, 2), np.sum(squares, axis=2)
    else:
        pivots = variances = np.reshape(model.covariances, (counts.shape[0], -1))
    # What is lost to rounding, of the statistics in float64 or of Σ in its dtype, would make the likelihood meaningless.
    if not np.all(pivots > 10 * (np.finfo(np.float64).eps * spread + np.finfo(origin.dtype).eps * variances)):
        raise ValueError(f"a covariance became singular with reg = {reg}: {REMEDY}")
    return model


# ---- Marginals and conditionals ----
def conditional(weights, means, covariances, x, observed, missing):
    """(r (k, n), centres (k, n, |m|), L_mm (k, |m|, |m|)) of p(x_m | x_o) for x = x_o (n, |o|), covariances (k, D, D)."""
    order, count = np.concatenate([observed, missing]), len(observed)
    roots = cholesky(covariances[:, order][:, :, order])
    known, mixed, free = roots[:, :count, :count], roots[:, count:, :count], roots[:, count:, count:]
    y = np.linalg.solve(known, np.swapaxes(x - means[:, None, observed], 1, 2))
    log_det = np.sum(np.log(np.diagonal(known, 0, 1, 2)), axis=1)
    with np.errstate(divide="ignore"):
        r = softmax((np.log(weights) - log_det)[:, None] - 0.5 * np.sum(y * y, axis=1), axis=0)  # (13)
    return r, means[:, None, missing] + np.swapaxes(mixed @ y, 1, 2), free  # (14)


def colour(roots, labels, noise):
    """L_j ε (n, D) for labels j (n,) on the host, noise ε (n, D) and roots L (k, D, D) or (k, D)."""
    result = np.empty_like(noise)
    for j, root in enumerate(roots):
        rows = np.flatnonzero(labels == j)
        result[rows] = noise[rows] * root if root.ndim == 1 else noise[rows] @ root.T
    return result


@dataclass
class GMM:
    """weights (k,), means (k, D), covariances (k, D, D), (D, D), (k, D) or (k,) as `covariance` is one of COVARIANCES.

    history holds the mean of log p over the data, in nats, before the first and after each round of EM.

    >>> model = GMM(np.array([0.5, 0.5]), np.array([[-3.0], [3.0]]), np.array([1.0, 1.0]), "spherical")
    >>> model.responsibilities(np.array([[0.0], [1.0]])).round(4)
    array([[0.5   , 0.5   ],
           [0.0025, 0.9975]])
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance: str = "full"
    history: np.ndarray | None = field(default=None, metadata={"static": True})

    def roots(self):
        """L_j with L_j L_jᵀ = Σ_j: (k, D, D), or (k, D) where they are diagonal."""
        k, d = self.means.shape
        if self.covariance in ("full", "tied"):
            return np.broadcast_to(cholesky(self.covariances), (k, d, d))
        return np.broadcast_to(np.sqrt(np.reshape(self.covariances, (k, -1))), (k, d))

    def inverse_roots(self):
        """L_j⁻¹, shaped as L_j."""
        if self.covariance not in ("full", "tied"):
            return 1 / self.roots()
        roots = cholesky(self.covariances)
        return np.broadcast_to(np.linalg.solve(roots, np.broadcast_to(eye(roots), roots.shape)), (*self.means.shape, self.means.shape[1]))

    def full_covariances(self):
        """Σ_j as matrices (k, D, D), whatever the type."""
        k, d = self.means.shape
        if self.covariance in ("full", "tied"):
            return np.broadcast_to(self.covariances, (k, d, d))
        return np.reshape(self.covariances, (k, -1, 1)) * eye(self.means)

    def joints(self, x):
        """(log π_j N(x | μ_j, Σ_j) (k, b), y (k, D, b), x − m (b, D)) for block after block of x (n, D), m the mean of the model."""
        check_columns(x, self.means.shape[1])
        inverse, origin = self.inverse_roots(), self.weights @ self.means
        for b in blocks(x.shape[0], self.means.size, x):
            centred = x[b] - origin
            y = whiten(self.means - origin, inverse, centred)
            yield log_joint(self.weights, inverse, y), y, centred

    def log_prob(self, x):
        """log p(x) (n,) in nats, exact, for x (n, D)."""
        return np.concatenate([logsumexp(joint, axis=0) for joint, _, _ in self.joints(x)])  # (1)

    def responsibilities(self, x):
        """r_j(x) (n, k), the posterior probabilities of the components."""
        return np.concatenate([softmax(joint, axis=0).T for joint, _, _ in self.joints(x)])  # (4)

    def predict(self, x):
        """The most probable component (n,) of each x (n, D)."""
        return np.concatenate([np.argmax(joint, axis=0) for joint, _, _ in self.joints(x)])

    def score(self, x):
        """∇ log p(x) (n, D)."""
        (k, d), inverse, parts = self.means.shape, self.inverse_roots(), []
        for joint, y, _ in self.joints(x):
            pull = softmax(joint, axis=0)[:, None] * y
            if inverse.ndim == 2:
                parts.append(-np.sum(inverse[:, :, None] * pull, axis=0).T)  # (11)
            else:
                parts.append(-np.reshape(pull, (k * d, -1)).T @ np.reshape(inverse, (k * d, d)))  # (11)
        return np.concatenate(parts)

    def sample(self, n, rng):
        """n draws (n, D)."""
        labels = choose(rng, self.weights, n)
        noise = normal(rng, (n, self.means.shape[1]), self.means)
        return self.means[labels] + colour(self.roots(), to_host(labels), noise)  # (12)

    def marginal(self, dims):
        """The mixture of some coordinates, a list of indices: again Gaussian, with those entries of μ_j and Σ_j."""
        return GMM(self.weights, self.means[:, dims], self.full_covariances()[:, dims][:, :, dims])  # (13)

    def impute(self, x, rng, n):
        """(mean (rows, D), draws (n, rows, D)): x (rows, D) with each NaN replaced by its expectation, and by n draws from p(x_m | x_o).

        The draws of one row belong together, coordinate by coordinate: they are plausible completions. The mean is the best guess in
        squared error but may be implausible itself, for instance halfway between two modes.
        """
        check_columns(x, self.means.shape[1])
        missing, xp = to_host(np.isnan(x)), array_module(x)
        mean, draws, covariances = x.copy(), np.repeat(x[None], n, axis=0), self.full_covariances()
        patterns, which = np.unique(missing, axis=0, return_inverse=True)
        for p, pattern in enumerate(patterns):
            o, m, rows = np.flatnonzero(~pattern), np.flatnonzero(pattern), np.flatnonzero(which.reshape(-1) == p)
            for b in blocks(rows.size, self.means.size, x):
                i = rows[b]
                r, centers, roots = conditional(self.weights, self.means, covariances, x[i][:, o], o, m)
                mean[i[:, None], m] = np.einsum("kn,knm->nm", r, centers)  # (15)
                labels = choose(rng, r, n)
                noise = colour(roots, to_host(labels).reshape(-1), normal(rng, (labels.size, m.size), x))
                draws[:, i[:, None], m] = centers[labels, xp.arange(i.size)] + np.reshape(noise, (n, i.size, m.size))  # (14)
        return mean, draws

    @classmethod
    def fit(cls, x, k, *, rng=None, covariance="full", reg=1e-6, max_iter=100, tol=1e-4, init=None):
        """EM on x (n, D) from the clusters of k-means, or from the GMM `init`.

        reg is λ, in squared units of x. It ends after max_iter rounds, or when the mean of log p rises by less than tol nats.
        Raises TypeError or ValueError for data that are not finite floats (n, D), for arguments that do not fit, and where a
        component loses its data or becomes singular all the same.
        """
        check_data(x)
        if covariance not in COVARIANCES:
            raise ValueError(f"covariance is {covariance!r}; expected one of {', '.join(map(repr, COVARIANCES))}")
        if not reg >= 0:
            raise ValueError(f"reg is {reg}; expected ≥ 0")
        if max_iter < 0:
            raise ValueError(f"max_iter is {max_iter}; expected ≥ 0")
        if init is None:
            clusters = KMeans.fit(x, k, rng=rng)
            labels, origin = clusters.predict(x), clusters.weights @ clusters.centers
            parts = (statistics(x[b] - origin, one_hot(labels[b], k, x), covariance) for b in blocks(x.shape[0], k * x.shape[1], x))
            model = maximise(*add(parts), origin, covariance, reg)
        elif (init.means.shape, init.covariance) != ((k, x.shape[1]), covariance):
            got = f"a {init.covariance!r} mixture with means {init.means.shape}"
            raise ValueError(f"init is {got}; expected {covariance!r} and {(k, x.shape[1])}")
        else:
            model = tree_map(lambda a: like(x, a), init)
        keep_memory()
        history = []
        while True:
            *sums, log_likelihood = expect(model, x)
            history.append(log_likelihood / x.shape[0])
            if len(history) > max_iter or (len(history) > 1 and history[-1] - history[-2] < tol):
                return replace(model, history=np.stack(history))
            model = maximise(*sums, model.weights @ model.means, covariance, reg)
