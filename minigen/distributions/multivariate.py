"""Distributions of vectors, and distributions made of others: Independent and Mixture.

A batch of events: log_prob takes x of shape (n, *batch, *event) and gives (n, *batch). Log densities in nats.
"""

from dataclasses import dataclass

import numpy as np

from minigen.autograd import stop_gradient
from minigen.backend import normal
from minigen.distributions.common import demand, log_gamma_variates, prototype, real, spread
from minigen.distributions.continuous import LOG_2PI
from minigen.distributions.discrete import Categorical
from minigen.functions import log_softmax, logsumexp, softmax


def diagonal(a):
    """The diagonals of (stacks of) matrices."""
    return np.diagonal(a, axis1=-2, axis2=-1)


def cholesky(cov):
    """The lower triangular L with L Lᵀ = cov; ValueError where cov is not positive definite."""
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        raise ValueError("MultivariateNormal: cov is not positive definite") from None


def half_log_det(root):
    """½ log det of a matrix by its Cholesky root: Σ log Lᵢᵢ."""
    return np.sum(np.log(diagonal(root)), -1)


def solve_vectors(root, v):
    """L⁻¹ v for vectors v (n, …, D) and matrices L (…, D, D): one solve a matrix, with the vectors that meet it as columns."""
    lead = v.ndim + 1 - root.ndim
    if lead < 0:
        return solve_vectors(root, np.expand_dims(v, tuple(range(-lead))))
    d, batch = v.shape[-1], np.broadcast_shapes(v.shape[lead:-1], root.shape[:-2])
    columns = np.broadcast_to(v, (*v.shape[:lead], *batch, d)).reshape(-1, *batch, d)
    z = np.linalg.solve(np.broadcast_to(root, (*batch, d, d)), np.moveaxis(columns, 0, -1))
    return np.moveaxis(z, -1, 0).reshape(*v.shape[:lead], *batch, d)


@dataclass
class MultivariateNormal:
    """N(mean, cov), mean (*batch, D), cov (*batch, D, D): log p(x) = −½ ‖L⁻¹(x − μ)‖² − Σ log Lᵢᵢ − ½ D log 2π, L Lᵀ = cov."""

    mean: np.ndarray
    cov: np.ndarray
    event_ndim = 1

    def __post_init__(self):
        demand(self, "finite", "mean", "cov")
        mean, cov = getattr(self.mean, "shape", ()), getattr(self.cov, "shape", ())
        if not mean or len(cov) < 2 or cov[-2:] != (mean[-1], mean[-1]):
            raise ValueError(f"MultivariateNormal: mean has shape {mean} and cov {cov}; expected (…, D) and (…, D, D)")
        c = self.cov
        if isinstance(c, np.ndarray) and not np.all(np.abs(c - np.swapaxes(c, -1, -2)) <= 1e-5 * np.max(np.abs(c))):
            raise ValueError("MultivariateNormal: cov is not symmetric")

    def log_prob(self, x):
        """log p(x), (n, *batch), nats."""
        root = cholesky(self.cov)
        z = solve_vectors(root, x - self.mean)
        return -0.5 * np.sum(z * z, -1) - half_log_det(root) - 0.5 * LOG_2PI * self.mean.shape[-1]

    def sample(self, n, rng):
        """μ + L ε, (n, *batch, D), differentiable in both parameters."""
        x = prototype(self.mean[..., None], self.cov)[..., 0]
        eps = normal(rng, (n, *x.shape), x)
        return self.mean + (cholesky(self.cov) @ eps[..., None])[..., 0]

    @property
    def var(self):
        """The variances of the coordinates, (*batch, D)."""
        return spread(diagonal(self.cov), self.mean, self.cov[..., 0])

    def entropy(self):
        """½ D log 2πe + Σ log Lᵢᵢ."""
        entropy = half_log_det(cholesky(self.cov)) + 0.5 * (1 + LOG_2PI) * self.mean.shape[-1]
        return spread(entropy, self.mean[..., 0], self.cov[..., 0, 0])


@dataclass
class Dirichlet:
    """log p(x) = Σ (αₖ − 1) log xₖ − Σ log Γ(αₖ) + log Γ(Σ αₖ) on the simplex; α is (*batch, K), the density is by x₁ … x_{K−1}."""

    alpha: np.ndarray
    event_ndim = 1

    def __post_init__(self):
        demand(self, "positive and finite", "alpha")
        if not getattr(self.alpha, "shape", ()):
            raise ValueError("Dirichlet: alpha is a number; expected an array whose last axis runs over the categories")

    def log_prob(self, x):
        """log p(x), (n, *batch), nats; −∞ where x has a negative entry or does not sum to 1 (to 10⁻⁵)."""
        from scipy.special import xlogy

        outside = np.any(x < 0, axis=-1) | (np.abs(np.sum(x, -1) - 1) > 1e-5)
        y = np.where(outside[..., None], 0.5, real(x, self.alpha))
        return np.where(outside, -np.inf, np.sum(xlogy(self.alpha - 1, y), -1) - log_beta(self.alpha))

    def sample(self, n, rng):
        """Gamma variables over their sum, (n, *batch, K): a constant."""
        x = prototype(self.alpha)
        return softmax(log_gamma_variates(rng, x, n, x))

    @property
    def mean(self):
        """αₖ/Σα."""
        return self.alpha / np.sum(self.alpha, -1, keepdims=True)

    @property
    def var(self):
        """mₖ (1 − mₖ)/(Σα + 1), with m the mean."""
        return self.mean * (1 - self.mean) / (np.sum(self.alpha, -1, keepdims=True) + 1)

    def entropy(self):
        """log B(α) + (Σα − K) ψ(Σα) − Σ (αₖ − 1) ψ(αₖ)."""
        from scipy.special import digamma

        total = np.sum(self.alpha, -1)
        return log_beta(self.alpha) + (total - self.alpha.shape[-1]) * digamma(total) - np.sum((self.alpha - 1) * digamma(self.alpha), -1)


def log_beta(alpha):
    """log B(α) = Σ log Γ(αₖ) − log Γ(Σ αₖ)."""
    from scipy.special import gammaln

    return np.sum(gammaln(alpha), -1) - gammaln(np.sum(alpha, -1))


def sum_last(x, axes):
    """x summed over so many of its last axes."""
    return np.sum(x, axis=tuple(range(-axes, 0)))


@dataclass
class Independent:
    """The last axes of a distribution's batch taken as one event, whose log_prob is their sum. For images (…, H, W, C): axes=3.

    >>> import numpy as np
    >>> from minigen.distributions import Normal
    >>> Independent(Normal(np.zeros((5, 2)), 1.0)).log_prob(np.zeros((5, 2))).shape
    (5,)
    """

    dist: object
    axes: int = 1

    @property
    def event_ndim(self):
        """How many axes one event has."""
        return self.dist.event_ndim + self.axes

    def log_prob(self, x):
        """Σ log p(xᵢ), nats."""
        return sum_last(self.dist.log_prob(x), self.axes)

    def sample(self, n, rng):
        """As the inner distribution's."""
        return self.dist.sample(n, rng)

    @property
    def mean(self):
        """The means of the coordinates."""
        return self.dist.mean

    @property
    def var(self):
        """The variances of the coordinates."""
        return self.dist.var

    def entropy(self):
        """Σ H(pᵢ), nats."""
        return sum_last(self.dist.entropy(), self.axes)


@dataclass
class Mixture:
    """p(x) = Σ πₖ pₖ(x) with π = softmax(logits), (*batch, K); the components are one distribution whose batch is (*batch, K)."""

    logits: np.ndarray
    components: object

    def __post_init__(self):
        Categorical(self.logits)

    @property
    def event_ndim(self):
        """How many axes one event has."""
        return self.components.event_ndim

    def log_prob(self, x):
        """log Σ πₖ pₖ(x), (n, *batch), nats."""
        each = self.components.log_prob(np.expand_dims(x, -1 - self.event_ndim))
        return logsumexp(log_softmax(self.logits) + each, axis=-1)

    def sample(self, n, rng):
        """A component drawn, then a value of it: a constant, because the choice has no gradient."""
        fixed = stop_gradient(self)
        every = fixed.components.sample(n, rng)
        k = Categorical(fixed.logits).sample(n, rng)
        axis = every.ndim - 1 - self.event_ndim
        return np.squeeze(np.take_along_axis(every, k.reshape(*k.shape, *[1] * (every.ndim - k.ndim)), axis), axis)

    def average(self, values):
        """Σ πₖ valuesₖ, for values of the shape of the components' mean."""
        weights = softmax(self.logits)
        return np.sum(weights.reshape(*weights.shape, *[1] * self.event_ndim) * values, axis=-1 - self.event_ndim)

    @property
    def mean(self):
        """Σ πₖ μₖ."""
        return self.average(self.components.mean)

    @property
    def var(self):
        """Σ πₖ (σ²ₖ + (μₖ − μ)²)."""
        away = self.components.mean - np.expand_dims(self.mean, -1 - self.event_ndim)
        return self.average(self.components.var + away * away)

    def entropy(self):
        """Not there: the entropy of a mixture has no closed form."""
        raise NotImplementedError("Mixture: the entropy has no closed form; estimate it by −mean(log_prob(sample(n, rng)))")
