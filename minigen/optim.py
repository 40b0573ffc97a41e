"""Optimisers: the update rules of the papers, in place on one flat vector of parameters.

An optimiser has `init(vector)`, which makes its own vectors, and `step(vector, gradient, moments, t)`, which changes the
parameters w along the gradient g at step t = 1, 2, … and uses the gradient's memory up. A learning rate is a number or a function
of t.

    SGD        u ← μ u + g;   w ← w − η u                                           Polyak 1964
    RMSProp    v ← ρ v + (1 − ρ) g²;   w ← w − η g / (√v + ε)                       Tieleman & Hinton 2012, lecture 6.5
    Adam       m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²
               w ← w − η m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ᵗ),   v̂ = v / (1 − β₂ᵗ)     Kingma & Ba 2015, algorithm 1
               and, before it, w ← (1 − η λ) w with weight decay λ                   Loshchilov & Hutter 2019 ("AdamW")
    EMA        a ← δ a + (1 − δ) w                                                  Polyak & Juditsky 1992
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigen.backend import array_module

CHUNK = 1 << 16


def pieces(*vectors):
    """The vectors in pieces that stay in the processor's cache over the passes of an update; on a GPU, whole."""
    n = vectors[0].size
    size = CHUNK if array_module(vectors[0]) is np else n
    return (tuple(v[i : i + size] for v in vectors) for i in range(0, n, size or 1))


def rate(lr, t):
    """The learning rate at step t."""
    return lr(t) if callable(lr) else lr


def require(name, value, low, high, what):
    """Raise ValueError unless low ≤ value < high; functions of t are taken as they are."""
    if not callable(value) and not low <= value < high:
        raise ValueError(f"{name} is {value!r}; expected {what}")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum μ."""

    lr: float | Callable = 1e-2
    momentum: float = 0.0

    def __post_init__(self):
        require("lr", self.lr, 0, math.inf, "a number ≥ 0 or a function of the step")
        require("momentum", self.momentum, 0, 1, "a number in [0, 1)")

    def init(self, vector):
        """The velocity u = 0."""
        return {"u": np.zeros_like(vector)}

    def step(self, vector, gradient, moments, t):
        """One update of the vector w, in place."""
        eta = rate(self.lr, t)
        for w, g, u in pieces(vector, gradient, moments["u"]):
            u *= self.momentum
            u += g
            w -= eta * u


@dataclass(frozen=True)
class RMSProp:
    """Gradients divided by a running root mean square."""

    lr: float | Callable = 1e-3
    decay: float = 0.99
    eps: float = 1e-8

    def __post_init__(self):
        require("lr", self.lr, 0, math.inf, "a number ≥ 0 or a function of the step")
        require("decay", self.decay, 0, 1, "a number in [0, 1)")

    def init(self, vector):
        """The mean square v = 0."""
        return {"v": np.zeros_like(vector)}

    def step(self, vector, gradient, moments, t):
        """One update of the vector w, in place."""
        eta = rate(self.lr, t)
        for w, g, v in pieces(vector, gradient, moments["v"]):
            v *= self.decay
            v += (1 - self.decay) * g * g
            g /= np.sqrt(v) + self.eps
            g *= eta
            w -= g


@dataclass(frozen=True)
class Adam:
    """Adam, with decoupled weight decay if asked for."""

    lr: float | Callable = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self):
        require("lr", self.lr, 0, math.inf, "a number ≥ 0 or a function of the step")
        require("b1", self.b1, 0, 1, "a number in [0, 1)")
        require("b2", self.b2, 0, 1, "a number in [0, 1)")
        require("weight_decay", self.weight_decay, 0, math.inf, "a number ≥ 0")

    def init(self, vector):
        """The moments, kept without their factors 1 − β: M = m / (1 − β₁), V = v / (1 − β₂)."""
        return {"m": np.zeros_like(vector), "v": np.zeros_like(vector)}

    def step(self, vector, gradient, moments, t):
        """One update of w, in place.

        With M and V for m and v, M ← β₁ M + g and V ← β₂ V + g² are one pass over memory fewer each; the factors that are
        left out come back as numbers: m̂ / (√v̂ + ε) = a M / (√V + ε/c) with c² = (1 − β₂)/(1 − β₂ᵗ), a = (1 − β₁)/(1 − β₁ᵗ)/c.
        Intermediate results overwrite g: writing in place is up to twice as fast as into memory of another alignment.
        """
        eta = rate(self.lr, t)
        c = math.sqrt((1 - self.b2) / (1 - self.b2**t))
        a = (1 - self.b1) / (1 - self.b1**t) / c
        for w, g, m, v in pieces(vector, gradient, moments["m"], moments["v"]):
            m *= self.b1
            m += g
            g *= g
            v *= self.b2
            v += g
            np.sqrt(v, out=g)
            g += self.eps / c
            np.divide(m, g, out=g)
            g *= eta * a
            if self.weight_decay:
                w *= 1 - eta * self.weight_decay
            w -= g


@dataclass(frozen=True)
class EMA:
    """An exponential moving average of parameters, started at their first value."""

    decay: float = 0.999

    def __post_init__(self):
        require("decay", self.decay, 0, 1, "a number in [0, 1)")

    def init(self, vector):
        """The average a = w."""
        return {"a": vector.copy()}

    def step(self, vector, moments):
        """a ← δ a + (1 − δ) w, in place."""
        for w, a in pieces(vector, moments["a"]):
            a += (1 - self.decay) * (w - a)


def clip_by_global_norm(g, max_norm):
    """g, scaled so that its Euclidean norm is at most max_norm. Pascanu, Mikolov & Bengio 2013, algorithm 1.

    >>> clip_by_global_norm(np.array([3.0, 4.0]), 1.0)
    array([0.6, 0.8])
    """
    norm = np.sqrt(np.sum(g * g))
    return g * (max_norm / np.maximum(norm, max_norm))


def cosine(lr, steps, final=0.0):
    """The schedule t ↦ final + ½ (lr − final) (1 + cos(π t / steps)), constant after `steps`. Loshchilov & Hutter 2017, SGDR."""
    return lambda t: final + 0.5 * (lr - final) * (1 + math.cos(math.pi * min(t / steps, 1.0)))


def warmup(lr, steps):
    """The schedule that rises linearly over `steps` to lr, a number or another schedule, and then follows it."""
    return lambda t: rate(lr, t) * min(t / steps, 1.0)
