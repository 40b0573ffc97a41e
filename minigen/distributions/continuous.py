"""Distributions of one real number, elementwise over broadcast parameters. Densities in nats.

log_prob(x) is −∞ outside the support. sample(n, rng) has shape (n, *batch); it is x = g(parameters, noise), differentiable
in the parameters, for Normal, Laplace, Uniform and Exponential, and in the rate of Gamma; other samples are constants.
Source: Johnson, Kotz & Balakrishnan 1994–1995, "Continuous Univariate Distributions".
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.backend import array_module, exponential, normal, uniform
from minigen.distributions.common import demand, demand_broadcast, log_gamma_variates, matched, of, prototype, real, spread
from minigen.functions import sigmoid
from minigen.tensor import raw

LOG_2PI = math.log(2 * math.pi)


@dataclass
class Normal:
    """N(mean, std²): log p(x) = −½ ((x − μ)/σ)² − log σ − ½ log 2π.

    >>> import numpy as np
    >>> Normal(0.0, 1.0).log_prob(np.array([0.0, 1.0])).round(4)
    array([-0.9189, -1.4189])
    """

    mean: np.ndarray
    std: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "finite", "mean")
        demand(self, "positive and finite", "std")
        demand_broadcast(self, "mean", "std")

    def log_prob(self, x):
        """log p(x), elementwise, nats."""
        z = (x - self.mean) / self.std
        return -0.5 * z * z - (of(np.log, self.std) + 0.5 * LOG_2PI)

    def sample(self, n, rng):
        """μ + σ ε, (n, *batch)."""
        x = prototype(self.mean, self.std)
        return self.mean + self.std * normal(rng, (n, *x.shape), x)

    @property
    def var(self):
        """σ²."""
        return spread(self.std * self.std, self.mean, self.std)

    def entropy(self):
        """½ log 2πe + log σ."""
        return spread(np.log(self.std) + 0.5 * (1 + LOG_2PI), self.mean, self.std)


@dataclass
class Laplace:
    """log p(x) = −|x − μ|/b − log 2b, with b the scale."""

    mean: np.ndarray
    scale: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "finite", "mean")
        demand(self, "positive and finite", "scale")
        demand_broadcast(self, "mean", "scale")

    def log_prob(self, x):
        """log p(x), elementwise, nats."""
        return -np.abs(x - self.mean) / self.scale - (of(np.log, self.scale) + math.log(2))

    def sample(self, n, rng):
        """μ + b (e₁ − e₂), where the e ~ Exponential(1): their difference is a Laplace variable, and finite."""
        x = prototype(self.mean, self.scale)
        e = exponential(rng, (2, n, *x.shape), x)
        return self.mean + self.scale * (e[0] - e[1])

    @property
    def var(self):
        """2 b²."""
        return spread(2 * self.scale * self.scale, self.mean, self.scale)

    def entropy(self):
        """1 + log 2b."""
        return spread(np.log(self.scale) + (1 + math.log(2)), self.mean, self.scale)


@dataclass
class Uniform:
    """p(x) = 1/(high − low) for low ≤ x ≤ high."""

    low: np.ndarray
    high: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "finite", "low", "high")
        demand_broadcast(self, "low", "high")
        width = raw(self.high) - raw(self.low)
        if array_module(width) is np and not np.all(width > 0):
            raise ValueError(f"Uniform: high − low must be positive; got {width!r}")

    def log_prob(self, x):
        """log p(x), elementwise, nats."""
        outside = (x < self.low) | (x > self.high)
        inside = 0 * np.where(outside, 0, real(x, self.low, self.high))  # 0, or NaN where x is NaN
        return np.where(outside, -np.inf, inside - of(np.log, self.high - self.low))

    def sample(self, n, rng):
        """low + (high − low) u, (n, *batch)."""
        x = prototype(self.low, self.high)
        return self.low + (self.high - self.low) * uniform(rng, (n, *x.shape), x)

    @property
    def mean(self):
        """The middle."""
        return 0.5 * (self.low + self.high)

    @property
    def var(self):
        """(high − low)²/12."""
        return (self.high - self.low) ** 2 / 12

    def entropy(self):
        """log (high − low)."""
        return np.log(self.high - self.low)


@dataclass
class Exponential:
    """p(x) = λ e^(−λx) for x ≥ 0, with λ the rate."""

    rate: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "positive and finite", "rate")

    def log_prob(self, x):
        """log p(x), elementwise, nats."""
        return np.where(x < 0, -np.inf, of(np.log, self.rate) - self.rate * np.where(x < 0, 0, real(x, self.rate)))

    def sample(self, n, rng):
        """e/λ with e ~ Exponential(1), (n, *batch)."""
        x = prototype(self.rate)
        return exponential(rng, (n, *x.shape), x) / self.rate

    @property
    def mean(self):
        """1/λ."""
        return 1 / self.rate

    @property
    def var(self):
        """1/λ²."""
        return 1 / (self.rate * self.rate)

    def entropy(self):
        """1 − log λ."""
        return 1 - np.log(self.rate)


@dataclass
class Gamma:
    """log p(x) = α log β − log Γ(α) + (α − 1) log x − βx for x ≥ 0, with α the shape and β the rate."""

    shape: np.ndarray
    rate: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "positive and finite", "shape", "rate")
        demand_broadcast(self, "shape", "rate")

    def log_prob(self, x):
        """log p(x), elementwise, nats; +∞ at x = 0 where α < 1."""
        from scipy.special import gammaln, xlogy

        y = np.where(x < 0, 1, real(x, self.shape, self.rate))
        constant = of(lambda a, b: a * np.log(b) - gammaln(a), self.shape, self.rate)
        return np.where(x < 0, -np.inf, xlogy(matched(self.shape - 1, y), y) - self.rate * y + constant)

    def sample(self, n, rng):
        """g/β with g ~ Gamma(α, 1), (n, *batch): a constant in α."""
        x = prototype(self.shape, self.rate)
        return np.exp(log_gamma_variates(rng, self.shape, n, x)) / self.rate

    @property
    def mean(self):
        """α/β."""
        return self.shape / self.rate

    @property
    def var(self):
        """α/β²."""
        return self.shape / (self.rate * self.rate)

    def entropy(self):
        """α − log β + log Γ(α) + (1 − α) ψ(α)."""
        from scipy.special import digamma, gammaln

        return self.shape - np.log(self.rate) + gammaln(self.shape) + (1 - self.shape) * digamma(self.shape)


@dataclass
class Beta:
    """log p(x) = (a − 1) log x + (b − 1) log (1 − x) − log B(a, b) for 0 ≤ x ≤ 1."""

    a: np.ndarray
    b: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "positive and finite", "a", "b")
        demand_broadcast(self, "a", "b")

    def log_prob(self, x):
        """log p(x), elementwise, nats; +∞ at an end where the density has no bound."""
        from scipy.special import betaln, xlog1py, xlogy

        outside = (x < 0) | (x > 1)
        y = np.where(outside, 0.5, real(x, self.a, self.b))
        ends = xlogy(matched(self.a - 1, y), y) + xlog1py(matched(self.b - 1, y), -y)
        return np.where(outside, -np.inf, ends - of(betaln, self.a, self.b))

    def sample(self, n, rng):
        """g₁/(g₁ + g₂) with g₁ ~ Gamma(a, 1), g₂ ~ Gamma(b, 1), (n, *batch): a constant."""
        x = prototype(self.a, self.b)
        a, b = raw(self.a) + 0 * x, raw(self.b) + 0 * x
        return sigmoid(log_gamma_variates(rng, a, n, x) - log_gamma_variates(rng, b, n, x))

    @property
    def mean(self):
        """a/(a + b)."""
        return self.a / (self.a + self.b)

    @property
    def var(self):
        """ab / ((a + b)² (a + b + 1))."""
        total = self.a + self.b
        return self.a * self.b / (total * total * (total + 1))

    def entropy(self):
        """log B(a, b) − (a − 1) ψ(a) − (b − 1) ψ(b) + (a + b − 2) ψ(a + b)."""
        from scipy.special import betaln, digamma

        a, b = self.a, self.b
        return betaln(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)
