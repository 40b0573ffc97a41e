"""Normalisation: y = scale · (x − μ) / √(σ² + ε) + shift, with μ and σ² the mean and variance over some of the axes.

    layer norm    over the last axis                                 Ba et al. 2016, "Layer Normalization"
    group norm    over the pixels and the channels of a group        Wu & He 2018, "Group Normalization"
    batch norm    over all axes but the last                         Ioffe & Szegedy 2015, "Batch Normalization"
"""

from dataclasses import dataclass, field, replace

import numpy as np

from minigen.autograd import stop_gradient
from minigen.nn.dense import expect_last
from minigen.tensor import primitive, vjp_of


def mean(x, axes):
    """np.mean with the axes kept; over the pixels (n, pixels, …) by a product with ones, which is up to ten times as fast."""
    if axes == (1, 3):
        ones = np.ones_like(x, shape=(1, x.shape[1]))
        sums = ones @ np.reshape(x, (x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))
        return np.mean(np.reshape(sums, (x.shape[0], 1, *x.shape[2:])), axis=3, keepdims=True) / x.shape[1]
    return np.mean(x, axis=axes, keepdims=True)


@primitive
def normalise(x, axes, eps):
    """(x − μ) / √(σ² + ε) with moments over some axes."""
    y = x - mean(x, axes)
    y /= np.sqrt(mean(y * y, axes) + eps)
    return y


def normalise_back(g, y, x, axes, eps):
    """Pullback of normalise: (g − mean g − y · mean(g y)) / √(σ² + ε)."""
    centred = x - mean(x, axes)
    return (g - mean(g, axes) - y * mean(g * y, axes)) / np.sqrt(mean(centred * centred, axes) + eps)


vjp_of(normalise, normalise_back)


@dataclass
class LayerNorm:
    """Each vector (the last axis) normalised by itself."""

    scale: np.ndarray  # (dim,)
    shift: np.ndarray  # (dim,)
    eps: float = 1e-5

    @classmethod
    def init(cls, dim, eps=1e-5, dtype=np.float32):
        """Scale 1, shift 0."""
        return cls(np.ones(dim, dtype), np.zeros(dim, dtype), eps)

    def __call__(self, x):
        """(…, dim) → (…, dim)."""
        expect_last("LayerNorm", x, self.scale.shape[0])
        return normalise(x, -1, self.eps) * self.scale + self.shift


@dataclass
class GroupNorm:
    """The channels of each example normalised in groups, over all pixels. One group: layer norm; one a channel: instance norm."""

    scale: np.ndarray  # (C,)
    shift: np.ndarray  # (C,)
    groups: int = 8
    eps: float = 1e-5

    @classmethod
    def init(cls, channels, groups=8, eps=1e-5, dtype=np.float32):
        """Scale 1, shift 0."""
        if groups < 1 or channels % groups:
            raise ValueError(f"GroupNorm.init: groups is {groups}; expected a divisor of the {channels} channels")
        return cls(np.ones(channels, dtype), np.zeros(channels, dtype), groups, eps)

    def __call__(self, x):
        """(n, …, C) → (n, …, C)."""
        expect_last("GroupNorm", x, self.scale.shape[0])
        grouped = np.reshape(x, (x.shape[0], -1, self.groups, x.shape[-1] // self.groups))
        return np.reshape(normalise(grouped, (1, 3), self.eps), x.shape) * self.scale + self.shift


@dataclass
class BatchNorm:
    """Each channel normalised over the batch (and the pixels), or by averages of earlier batches.

    A call is a pure function. With `train` it uses the moments of its batch, and the averages stay as they are; without, it uses
    the averages. These are constants (static fields), and `updated(x)` gives the layer with them moved: a training step calls it
    on the batch after the gradient step, and keeps what it returns.

    >>> norm, x = BatchNorm.init(1, momentum=1.0), np.array([[1.0], [3.0]], np.float32)
    >>> norm(x, train=True).ravel().round(2)
    array([-1.,  1.], dtype=float32)
    >>> norm.updated(x).mean
    array([2.], dtype=float32)
    """

    scale: np.ndarray  # (C,)
    shift: np.ndarray  # (C,)
    mean: np.ndarray = field(metadata={"static": True})  # (C,)
    var: np.ndarray = field(metadata={"static": True})  # (C,)
    momentum: float = 0.1
    eps: float = 1e-5

    @classmethod
    def init(cls, channels, momentum=0.1, eps=1e-5, dtype=np.float32):
        """Scale 1, shift 0; averages 0 and 1."""
        ones, zeros = np.ones(channels, dtype), np.zeros(channels, dtype)
        return cls(ones, zeros, zeros.copy(), ones.copy(), momentum, eps)

    def __call__(self, x, train=False):
        """(n, …, C) → (n, …, C)."""
        expect_last("BatchNorm", x, self.scale.shape[0])
        if train:
            y = normalise(x, tuple(range(x.ndim - 1)), self.eps)
        else:
            y = (x - self.mean) / np.sqrt(self.var + self.eps)
        return y * self.scale + self.shift

    def updated(self, x):
        """The layer with averages ← (1 − momentum) averages + momentum · moments of x, the variance over n − 1."""
        expect_last("BatchNorm", x, self.scale.shape[0])
        rows = np.reshape(stop_gradient(x), (-1, x.shape[-1]))
        if len(rows) < 2:
            raise ValueError(f"BatchNorm.updated: x has shape {x.shape}; expected at least two values a channel")
        keep, m = 1 - self.momentum, self.momentum
        mean, var = np.mean(rows, axis=0), np.var(rows, axis=0, ddof=1)
        return replace(self, mean=keep * self.mean + m * mean, var=keep * self.var + m * var)
