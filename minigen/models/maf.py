"""Masked autoregressive flow.  Papamakarios, Pavlakou & Murray 2017, "Masked Autoregressive Flow for Density Estimation"; its network:
Germain et al. 2015, "MADE"; run backwards: Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow".

Notation as in `flow`: x ∈ ℝᴰ what enters a layer, y what leaves it. Each coordinate is moved by what those before it say, in an
order of its own for every layer:

    yᵢ = (xᵢ − μᵢ) e^(−aᵢ),   (μᵢ, aᵢ) functions of x_<i,   log |det ∂y/∂x| = −Σ aᵢ                         (1)
    xᵢ = yᵢ e^(aᵢ) + μᵢ, for one i after the other                                                        (2)
    a = c tanh(h/c), c = 2: bounded, as in `realnvp`                                                       (3)

One pass of a masked network gives all μ and a at once: units have degrees 1 … D − 1, and see what has no larger one,

    ∂(μᵢ, aᵢ)/∂xⱼ = 0 unless j comes before i                                                             (4)

A density thus costs one pass, a draw D of them. With one layer and the first coordinate first, x is Gaussian given those before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from minigen.checks import check_count, check_rng
from minigen.functions import silu
from minigen.models.flow import Flow, check_event, event_and_dtype
from minigen.nn import MaskedLinear, degree_mask
from minigen.nn.dense import gain

BOUND = 2.0


@dataclass
class Autoregressive:
    """One layer."""

    layers: list  # of the masked network
    times: np.ndarray = field(metadata={"static": True})  # (D,) integers: when each coordinate comes
    activation: Callable = silu

    @classmethod
    def init(cls, rng, times, hidden, activation=silu, dtype=np.float32):
        """A network that begins with μ = a = 0."""
        d = times.shape[0]
        inputs = times + 1
        degrees = [inputs, *(np.arange(width) % (d - 1) + 1 for width in hidden)]
        masks = [degree_mask(a, b) for a, b in pairwise(degrees)]
        masks.append(degree_mask(degrees[-1], np.concatenate([inputs, inputs]), strict=True))  # (4)
        gains = [1.0] + [gain(activation)] * (len(hidden) - 1) + [0.0]
        return cls([MaskedLinear.init(rng, mask, g, dtype) for mask, g in zip(masks, gains, strict=True)], times, activation)

    def shift_and_scale(self, x):
        """(μ, a), both (n, D)."""
        h, d = x, x.shape[1]
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        out = self.layers[-1](h)
        return out[:, :d], BOUND * np.tanh(out[:, d:] / BOUND)  # (3)

    def forward(self, x):
        """(y (n, D), log-determinant (n,)): one pass."""
        mu, a = self.shift_and_scale(x)
        return (x - mu) * np.exp(-a), -np.sum(a, axis=1)  # (1)

    def inverse(self, y):
        """(x (n, D), log-determinant of the inverse (n,)): D passes, the i-th of which makes the i-th coordinate right."""
        x = 0 * y
        for _ in range(y.shape[1]):
            mu, a = self.shift_and_scale(x)
            x = y * np.exp(a) + mu  # (2)
        return x, np.sum(self.shift_and_scale(x)[1], axis=1)


@dataclass
class MAF(Flow):
    """The model. Data has shape (n, *event), codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> a = rng.standard_normal((500, 2))
    >>> flow = MAF.fit(np.stack([a[:, 0], a[:, 0] ** 2 + a[:, 1]], axis=1), rng=rng, layers=2, hidden=(16,), steps=100, progress=False)
    >>> flow.log_prob(np.array([[0.0, 0.0], [0.0, 5.0]])) > -4
    array([ True, False])
    """

    @classmethod
    def init(cls, rng, event, layers=5, hidden=(64, 64), dtype=np.float32):
        """Layers that begin as the identity, with the order of the coordinates turned round from one to the next."""
        check_rng(rng)
        check_count("layers", layers)
        if not hidden:
            raise ValueError("hidden is empty; expected the width of at least one hidden layer")
        times = np.arange(check_event(event, "the second is moved by what the first says"))
        return cls.of([Autoregressive.init(rng, times[:: (-1) ** i].copy(), hidden, dtype=dtype) for i in range(layers)], event, dtype)

    @classmethod
    def fit(cls, x, *, rng, layers=5, hidden=(64, 64), **settings):
        """Train on x (n, *event). The settings (alpha, levels, steps …) are those of `Flow.trained`, which says what is raised."""
        event, dtype = event_and_dtype(x)
        return cls.init(rng, event, layers, hidden, dtype).trained(x, rng=rng, **settings)
