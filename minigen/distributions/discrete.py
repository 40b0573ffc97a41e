"""Distributions of whole numbers, elementwise over broadcast parameters. Log probabilities in nats.

log_prob(x) takes integers or floats and is −∞ where x is not in the support. Samples are constants: no gradient passes.
Where the support is finite, support() lists it.
Source: Johnson, Kemp & Kotz 2005, "Univariate Discrete Distributions".
"""

from dataclasses import dataclass

import numpy as np

from minigen.backend import array_module, uniform
from minigen.distributions.common import demand, demand_broadcast, of, prototype, real, variates
from minigen.functions import log_sigmoid, log_softmax, sigmoid, softmax, softplus
from minigen.tensor import raw


def counts(n, x):
    """0, …, n − 1 in the library and dtype of x, as a column that broadcasts with its shape."""
    return array_module(x).arange(n, dtype=x.dtype).reshape(-1, *[1] * x.ndim)


def weighted(p, log_p):
    """p log p, and 0 where p = 0."""
    return p * np.where(p > 0, log_p, 0)


@dataclass
class Bernoulli:
    """P(1) = σ(logits), P(0) = σ(−logits), both to full precision in the tails.

    >>> float(Bernoulli(-800.0).log_prob(1))
    -800.0
    """

    logits: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "finite", "logits")

    def log_prob(self, x):
        """log P(x) = log σ((2x − 1) logits), elementwise, nats."""
        x = real(x, self.logits)
        outside = (x != 0) & (x != 1)
        return np.where(outside, -np.inf, log_sigmoid((2 * np.where(outside, 0, x) - 1) * self.logits))

    def sample(self, n, rng):
        """1 where u < σ(logits), else 0, in the dtype of the logits, (n, *batch)."""
        x = prototype(self.logits)
        return (uniform(rng, (n, *x.shape), x) < sigmoid(x)).astype(x.dtype)

    def support(self):
        """The values 0 and 1, (2, 1, …)."""
        return counts(2, prototype(self.logits))

    @property
    def mean(self):
        """σ(logits)."""
        return sigmoid(self.logits)

    @property
    def var(self):
        """σ(logits) σ(−logits)."""
        return sigmoid(self.logits) * sigmoid(-self.logits)

    def entropy(self):
        """softplus(−|l|) + |l| σ(−|l|), nats."""
        l = np.abs(self.logits)
        return softplus(-l) + l * sigmoid(-l)


@dataclass
class Categorical:
    """P(k) = softmax(logits)ₖ for k = 0, …, K − 1; the last axis of the logits (*batch, K) runs over k. A logit may be −∞."""

    logits: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "below +∞", "logits")
        if not getattr(self.logits, "shape", ()):
            raise ValueError("Categorical: logits is a number; expected an array whose last axis runs over the categories")

    def log_prob(self, x):
        """log P(x), elementwise, nats, for x that broadcasts with the batch shape."""
        log_p = log_softmax(self.logits)
        outside = (x < 0) | (x >= log_p.shape[-1]) | (x != np.floor(x))
        index = np.where(outside, 0, raw(x)).astype(np.int64)
        shape = np.broadcast_shapes(index.shape, log_p.shape[:-1])
        rows = np.broadcast_to(log_p, (*shape, log_p.shape[-1]))
        chosen = np.take_along_axis(rows, np.broadcast_to(index, shape)[..., None], -1)[..., 0]
        return np.where(outside, -np.inf, chosen)

    def sample(self, n, rng):
        """Indices (n, *batch): how many of the cumulative probabilities but the last are not above u."""
        p = softmax(raw(self.logits))
        below = np.cumsum(p, -1)
        u = uniform(rng, (n, *p.shape[:-1], 1), p)
        # Divided by the total, so that rounding cannot give a last category of probability 0.
        return np.sum(u >= below[..., :-1] / below[..., -1:], axis=-1)

    def support(self):
        """The values 0, …, K − 1, (K, 1, …)."""
        return counts(self.logits.shape[-1], raw(self.logits)[..., 0])

    @property
    def mean(self):
        """Σ k P(k), of the index."""
        return moments(self)[0]

    @property
    def var(self):
        """Σ (k − mean)² P(k), of the index."""
        return moments(self)[1]

    def entropy(self):
        """−Σ P(k) log P(k), nats."""
        return -np.sum(weighted(softmax(self.logits), log_softmax(self.logits)), -1)


@dataclass
class Poisson:
    """log P(k) = k log λ − λ − log k! for k = 0, 1, …, with λ the rate."""

    rate: np.ndarray
    event_ndim = 0

    def __post_init__(self):
        demand(self, "positive and finite", "rate")

    def log_prob(self, x):
        """log P(x), elementwise, nats."""
        from scipy.special import gammaln

        x = real(x, self.rate)
        outside = (x < 0) | (x != np.floor(x))
        k = np.where(outside, 0, x)
        return np.where(outside, -np.inf, k * of(np.log, self.rate) - self.rate - gammaln(k + 1))

    def sample(self, n, rng):
        """Counts in the dtype of the rate, (n, *batch)."""
        return variates(rng, "poisson", self.rate, n, prototype(self.rate))

    @property
    def mean(self):
        """λ."""
        return self.rate

    @property
    def var(self):
        """λ."""
        return self.rate

    def entropy(self):
        """−Σ P(k) log P(k), nats, summed so far that what is left out is below rounding."""
        x = prototype(self.rate)
        largest = float(np.max(x))
        log_p = self.log_prob(counts(int(largest + 12 * largest**0.5 + 40), x))
        return -np.sum(np.exp(log_p) * log_p, axis=0)


@dataclass
class DiscretizedLogistic:
    """A logistic variable with location `mean` rounded to the nearest of x = k/(levels − 1), k = 0, …, levels − 1.

    P(x) = σ((x + h − μ)/s) − σ((x − h − μ)/s) with h = ½/(levels − 1); the first and last cell reach to −∞ and +∞, so that
    the probabilities sum to exactly 1. `mean` is the location of the logistic; the mean after rounding differs a little.
    Source: Salimans, Karpathy, Chen & Kingma 2017, "PixelCNN++", section 2.1.
    """

    mean: np.ndarray
    scale: np.ndarray
    levels: int
    event_ndim = 0

    def __post_init__(self):
        demand(self, "finite", "mean")
        demand(self, "positive and finite", "scale")
        demand_broadcast(self, "mean", "scale")
        if not isinstance(self.levels, int) or self.levels < 2:
            raise ValueError(f"DiscretizedLogistic: levels is {self.levels!r}; expected an integer of at least 2")

    def log_prob(self, x):
        """log P(x), elementwise, nats: with a, b the ends of the cell, σ(a) − σ(b) = σ(a) σ(−b) (1 − e^(b − a))."""
        last = self.levels - 1
        x = real(x, self.mean, self.scale)
        k = np.rint(raw(x) * last)
        outside = (np.abs(raw(x) * last - k) > 1e-3) | (k < 0) | (k > last)
        x = np.where(outside, 0, x)
        upper = log_sigmoid((x + 0.5 / last - self.mean) / self.scale)
        lower = log_sigmoid((self.mean - x + 0.5 / last) / self.scale)
        width = of(lambda s: np.log(-np.expm1(-1 / (last * s))), self.scale)
        edges = np.where(k == 0, upper, np.where(k == last, lower, upper + lower + width))
        return np.where(outside, -np.inf, edges)

    def sample(self, n, rng):
        """The rounded μ + s log(u/(1 − u)), clipped to the levels, (n, *batch)."""
        x = prototype(self.mean, self.scale)
        u = np.maximum(uniform(rng, (n, *x.shape), x), 1e-12)
        y = raw(self.mean) + raw(self.scale) * (np.log(u) - np.log1p(-u))
        return np.clip(np.rint(y * (self.levels - 1)), 0, self.levels - 1) / (self.levels - 1)

    def support(self):
        """The values k/(levels − 1), (levels, 1, …)."""
        return counts(self.levels, prototype(self.mean, self.scale)) / (self.levels - 1)

    @property
    def var(self):
        """The variance after rounding, by enumeration."""
        return moments(self)[1]

    def entropy(self):
        """−Σ P(x) log P(x), nats, by enumeration."""
        log_p = self.log_prob(self.support())
        return -np.sum(weighted(np.exp(log_p), log_p), axis=0)


def moments(dist):
    """(mean, variance) by enumeration of a finite support."""
    x = dist.support()
    p = np.exp(dist.log_prob(x))
    mean = np.sum(p * x, axis=0)
    return mean, np.sum(p * (x - mean) ** 2, axis=0)
