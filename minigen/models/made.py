"""MADE.  Germain, Gregor, Murray & Larochelle 2015, "MADE: Masked Autoencoder for Distribution Estimation".

A datum has D coordinates kⱼ, each one of L levels 0 … L − 1. An order says when each comes: t(j) ∈ {0, …, D − 1}, all different.

    log p(k) = Σⱼ log p(kⱼ | kᵢ, t(i) < t(j)),   p(kⱼ = l | …) = softmax(aⱼ)ₗ,   aⱼ₀ = 0                    (1)

So each coordinate has L − 1 free logits, for L = 2 the one of a Bernoulli variable, and likewise L − 1 inputs:

    xⱼₗ = 1 where kⱼ ≥ l, else −1,   l = 1 … L − 1      (a thermometer)                                   (2)

One dense network gives all logits at once. Its hidden units have degrees m ∈ {0, …, D − 2}: a unit of degree m may know the
coordinates with t ≤ m. A weight is masked out unless

    from input i to hidden unit u:    t(i) ≤ m(u)                                                         (3)
    from hidden unit u to u′:         m(u) ≤ m(u′)                                                        (4)
    from hidden unit u to logit j:    m(u) < t(j)                                                         (5)

so that the path from i to j has t(i) ≤ m ≤ … ≤ m′ < t(j). Degrees are spread evenly, so that each coordinate has its share.

To the network's logits a constant is added, the log-odds of each coordinate by itself, counted in the data:

    bⱼₗ = log (nⱼₗ + 1)/(nⱼ₀ + 1),   nⱼₗ how often kⱼ = l                                                 (6)

The network then has to learn what coordinates know of each other, and decay of its weights draws it to independence, not to noise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from minigen.checks import check_count, check_rng
from minigen.functions import relu
from minigen.models.levels import check_levels, draw, log_softmax_at, one_hot, start, thermometer
from minigen.nn import MaskedLinear, degree_mask
from minigen.nn.dense import gain
from minigen.optim import Adam, cosine
from minigen.progress import shown
from minigen.train import minimise


def masks(order, levels, hidden):
    """The masks of the layers for an order t (D,) and widths of hidden layers: boolean (in, out) each.

    >>> [mask.astype(int).tolist() for mask in masks(np.array([1, 0]), 2, (1,))]
    [[[0], [1]], [[1, 0]]]
    """
    latest = max(len(order) - 1, 1)
    inside = [np.arange(width) % latest for width in hidden]
    ends = np.repeat(order, levels - 1)
    first = degree_mask(ends, inside[0])  # (3)
    between = [degree_mask(a, b) for a, b in pairwise(inside)]  # (4)
    return [first, *between, degree_mask(inside[-1], ends, strict=True)]  # (5)


@dataclass
class MADE:
    """The model. k holds integers (n, *event), of D coordinates in all; its order is an integer array of the event's shape.

    >>> rng = np.random.default_rng(0)
    >>> k = np.array([[0, 0, 0], [2, 2, 2]])  # log p = −log 2
    >>> model = MADE.fit(k, 3, rng=rng, hidden=(32,), steps=300, optimizer=Adam(0.02), progress=False)
    >>> model.sample(5, rng).shape, model.log_prob(k).round(1)
    ((5, 3), array([-0.7, -0.7], dtype=float32))
    """

    layers: list
    base: np.ndarray = field(metadata={"static": True})  # b (D, L − 1)
    order: tuple  # t of each coordinate
    event: tuple
    levels: int
    activation: Callable = relu

    @classmethod
    def init(cls, rng, event, levels, hidden=(500,), order=None, activation=relu, dtype=np.float32):
        """Hidden layers of the given widths; the order is that of the coordinates in memory unless one is given."""
        check_rng(rng)
        d = math.prod(event)
        order = np.arange(d) if order is None else np.reshape(order, -1)
        if order.dtype.kind not in "iu" or not np.array_equal(np.sort(order), np.arange(d)):
            raise ValueError(f"order is {order}; expected a permutation of the integers 0 … D − 1 = {d - 1}")
        check_count("levels − 1", levels - 1)
        if not hidden:
            raise ValueError("hidden is empty; expected the width of at least one hidden layer")
        for width in hidden:
            check_count("hidden", width)
        gains = [1.0] + [gain(activation)] * len(hidden)
        layers = [MaskedLinear.init(rng, mask, g, dtype) for mask, g in zip(masks(order, levels, hidden), gains, strict=True)]
        return cls(layers, np.zeros((d, levels - 1), dtype), tuple(order.tolist()), tuple(event), levels, activation)

    def inputs(self, k):
        """x (n, D, L − 1) of flat k (n, D)."""
        return thermometer(k, self.levels, self.layers[0].bias)[..., 1:]  # (2)

    def logits(self, x):
        """a (n, D, L) from the inputs x (n, D, L − 1)."""
        h = np.reshape(x, (x.shape[0], -1))
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        a = np.reshape(self.layers[-1](h), x.shape) + self.base
        return np.concatenate([np.zeros_like(a[..., :1]), a], axis=-1)  # (1)

    def flat(self, k):
        """k (n, *event) as (n, D), checked."""
        check_levels(k, self.levels, self.event)
        return np.reshape(k, (k.shape[0], -1))

    def loss(self, k):
        """−log p of flat k (n, D), (n,) nats."""
        return -np.sum(log_softmax_at(self.logits(self.inputs(k)), one_hot(k, self.levels, self.layers[0].bias)), axis=1)  # (1)

    def log_prob(self, k):
        """log p(k), exact, (n,) nats."""
        return -self.loss(self.flat(k))

    def sample(self, n, rng, progress=True):
        """k ~ p(k), integers (n, *event)."""
        check_count("n", n)
        k = np.zeros_like(self.layers[0].bias, shape=(n, *self.event), dtype=np.int64)
        return self.fill(k, k > 0, rng, progress)

    def fill(self, k, known, rng, progress=True):
        """k with the coordinates that are not `known` (booleans, of the shape of k or of one event) drawn in their order.

        Each is drawn given all before it. So if the known ones come first, this is a draw from p(unknown | known); what is known
        of later coordinates is kept, but earlier ones are drawn without it.
        """
        check_rng(rng)
        (k, known), shape = start(k, known, self.event), k.shape
        k = self.flat(k).copy()
        known = np.reshape(known, k.shape)
        for j in shown(np.argsort(self.order).tolist(), progress):
            k[:, j] = np.where(known[:, j], k[:, j], draw(self.logits(self.inputs(k))[:, j], rng))
        return np.reshape(k, shape)

    @classmethod
    def fit(
        cls, k, levels, *, rng, hidden=(500,), order=None, activation=relu, steps=1000, batch_size=64, optimizer=None, dtype=np.float32,
        **training,
    ):  # fmt: skip
        """Train by Adam on −log p. The rest goes to `minigen.train.minimise`. Raises ValueError or TypeError for data that does not fit."""
        check_levels(k, levels)
        model = cls.init(rng, k.shape[1:], levels, hidden, order, activation, dtype)
        counts = np.sum(one_hot(model.flat(k), levels, model.base), axis=0) + 1
        model = replace(model, base=np.log(counts[:, 1:] / counts[:, :1]))  # (6)
        loss, optimizer = lambda model, k, rng: model.loss(k), optimizer or Adam(cosine(2e-3, steps))
        return minimise(loss, model, model.flat(k), rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer, **training)[0]
