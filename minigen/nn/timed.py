"""A network of a point and a time, for diffusion and flows in continuous time, and of a label, where there is one.

Time enters as cosines and sines of t ∈ [0, 1] at frequencies from slow to fast, and a few linear layers make of them a scale and a
shift for every residual block (Perez et al. 2018, "FiLM: Visual reasoning with a general conditioning layer"). Were t, or its
features, only joined to x, the first layer alone would mix the two, and what has to change from noise to data would have
to pass through sums: such networks stall.

    e = MLP(cos 2πωt, sin 2πωt, t) + embedding of the label
    h ← h + W₂ φ((1 + a(e)) ⊙ φ(h) W₁ + b(e))       for each block
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigen.backend import like
from minigen.functions import silu
from minigen.nn.dense import MLP, Embedding, Linear, gain

SLOWEST, FASTEST = 0.25, 8.0  # periods over the unit of time


def time_features(t, n):
    """cos 2πωt and sin 2πωt at n frequencies ω from ¼ to 8, and t: (…,) → (…, 2n + 1)."""
    omega = like(t, np.geomspace(SLOWEST, FASTEST, n))
    angle = 2 * np.pi * t[..., None] * omega
    return np.concatenate([np.cos(angle), np.sin(angle), t[..., None]], axis=-1)


@dataclass
class TimedBlock:
    """h + W₂ φ((1 + a) ⊙ φ(h) W₁ + b), where a and b are linear in the embedding e."""

    layers: list  # W₁ and W₂
    film: Linear  # e → (a, b)
    activation: Callable

    @classmethod
    def init(cls, rng, width, activation, dtype):
        """The block begins near the identity, and deaf to the time."""
        g = gain(activation)
        layers = [Linear.init(rng, width, width, g, dtype), Linear.init(rng, width, width, 0.3 * g, dtype)]
        return cls(layers, Linear.init(rng, width, 2 * width, 0.0, dtype), activation)

    def __call__(self, h, e):
        """(n, width), (n, width) → (n, width)."""
        film, width = self.film(e), h.shape[1]
        inner = (1 + film[:, :width]) * self.layers[0](self.activation(h)) + film[:, width:]
        return h + self.layers[1](self.activation(inner))


@dataclass
class TimedMLP:
    """The network: x (n, D), t (n,) and labels y (n,), integers below `classes`, or `classes` itself for "no label", to (n, out).

    >>> net = TimedMLP.init(np.random.default_rng(0), 2, 2, width=16, classes=3)
    >>> net(np.ones((5, 2), np.float32), np.linspace(0, 1, 5, dtype=np.float32), np.array([0, 1, 2, 3, 3])).shape
    (5, 2)
    """

    time: MLP
    label: Embedding | None
    stem: Linear
    blocks: list
    head: Linear
    frequencies: int = 8
    activation: Callable = silu

    @classmethod
    def init(cls, rng, n_in, n_out, width=128, blocks=3, classes=0, activation=silu, dtype=np.float32):
        """`blocks` residual blocks; the network begins as 0 everywhere."""
        frequencies = cls.frequencies
        time = MLP.init(rng, [2 * frequencies + 1, width, width], activation, dtype=dtype)
        label = Embedding.init(rng, classes + 1, width, dtype=dtype) if classes else None
        inner = [TimedBlock.init(rng, width, activation, dtype) for _ in range(blocks)]
        stem, head = Linear.init(rng, n_in, width, dtype=dtype), Linear.init(rng, width, n_out, 0.0, dtype)
        return cls(time, label, stem, inner, head, frequencies, activation)

    def __call__(self, x, t, y=None):
        """(n, D), (n,), (n,) → (n, out); without y, no example has a label."""
        e = self.time(time_features(t, self.frequencies))
        if self.label is not None:
            none = self.label.weight.shape[0] - 1
            e = e + (self.label.weight[none] if y is None else self.label(y))
        e, h = self.activation(e), self.stem(x)
        for block in self.blocks:
            h = block(h, e)
        return self.head(self.activation(h))
