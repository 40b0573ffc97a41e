"""RealNVP: an invertible network with a density.  Dinh, Sohl-Dickstein & Bengio 2017, "Density estimation using Real NVP".

Notation: x ∈ ℝᴰ the data, z = f(x) the code, of density N(0, I); m ∈ {0, 1}ᴰ a mask, another for each layer; s and t networks.

    log p(x) = log N(f(x); 0, I) + log |det ∂f/∂x|                                                        (1)

f is a composition, whose log-determinants add up. A coupling layer keeps the coordinates with m = 1 and moves the others by what they say:

    y = m x + (1 − m) (x e^(s(m x)) + t(m x)),   log |det ∂y/∂x| = Σ (1 − m) s(m x)                       (2)
    x = m y + (1 − m) (y − t(m y)) e^(−s(m y)),   as m x = m y                                            (3)
    s = c tanh(h/c), c = 2: the scale of a layer is bounded, by e^±²                                       (4)

Before the layers the data are standardised; data in [0, 1] first go to the real line, a little away from its ends:

    y = (x − μ)/σ,   log |det ∂y/∂x| = −Σ log σ                                                           (5)
    y = log(p/(1 − p)),   p = α + (1 − 2α) x,   log |det ∂y/∂x| = Σ log(1 − 2α) − log p − log(1 − p)       (6)
"""

import math
from dataclasses import dataclass, field

import numpy as np

from minigen.backend import like, normal
from minigen.checks import check_count, check_data, check_rng
from minigen.functions import sigmoid, silu
from minigen.nn import MLP
from minigen.optim import Adam
from minigen.train import minimise
from minigen.tree import leaves, tree_map

BOUND, LOG_2PI = 2.0, 1.8378770664093453


@dataclass
class Coupling:
    """One layer; the network gives h and t, (n, 2 D), from the masked input."""

    network: MLP
    mask: np.ndarray = field(metadata={"static": True})  # (D,) of 0 and 1

    def scale_and_shift(self, kept):
        """(1 − m) s and (1 − m) t, (n, D), from m x."""
        out, d = self.network(kept), self.mask.shape[0]
        return (1 - self.mask) * (BOUND * np.tanh(out[:, :d] / BOUND)), (1 - self.mask) * out[:, d:]  # (4)

    def forward(self, x):
        """(y (n, D), log-determinant (n,))."""
        s, t = self.scale_and_shift(self.mask * x)
        return x * np.exp(s) + t, np.sum(s, axis=1)  # (2)

    def inverse(self, y):
        """(x (n, D), log-determinant of the inverse (n,))."""
        s, t = self.scale_and_shift(self.mask * y)
        return (y - t) * np.exp(-s), -np.sum(s, axis=1)  # (3)


@dataclass
class RealNVP:
    """The model. Data has shape (n, *event), codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]])
    >>> flow = RealNVP.fit(x, rng=rng, layers=2, hidden=(16,), steps=200, progress=False)
    >>> z, logdet = flow.forward(x)
    >>> flow.sample(3, rng).shape, bool(np.allclose(flow.inverse(z)[0], x))
    ((3, 2), True)
    """

    couplings: list
    mean: np.ndarray = field(metadata={"static": True})  # (D,)
    std: np.ndarray = field(metadata={"static": True})  # (D,)
    event: tuple
    alpha: float | None = None  # of data in [0, 1]

    @classmethod
    def init(cls, rng, event, layers=8, hidden=(64, 64), alpha=None, dtype=np.float32):
        """Coupling layers that begin as the identity, every second mask the complement of a random half of the coordinates."""
        check_rng(rng)
        check_count("layers", layers)
        d = math.prod(event)
        if d < 2:
            raise ValueError(f"event is {tuple(event)}; expected at least two numbers: a coupling moves some by what the others say")
        if alpha is not None and not 0 < alpha < 0.5:
            raise ValueError(f"alpha is {alpha}; expected a number between 0 and ½, or None for data on the whole line")
        couplings, mask = [], None
        for i in range(layers):
            mask = 1 - mask if i % 2 else (rng.permutation(d) < d // 2).astype(dtype)
            couplings.append(Coupling(MLP.init(rng, [d, *hidden, 2 * d], silu, output_gain=0.0, dtype=dtype), mask))
        return cls(couplings, np.zeros(d, dtype), np.ones(d, dtype), tuple(event), alpha)

    # ---- From data to the line, and back ----
    def to_line(self, x):
        """(y (n, D), log-determinant (n,)) of (6) and (5)."""
        y, logdet = np.reshape(x, (x.shape[0], -1)), 0.0
        if self.alpha is not None:
            p = self.alpha + (1 - 2 * self.alpha) * y
            y, logdet = np.log(p) - np.log1p(-p), np.sum(math.log(1 - 2 * self.alpha) - np.log(p) - np.log1p(-p), axis=1)  # (6)
        return (y - self.mean) / self.std, logdet - np.sum(np.log(self.std))  # (5)

    def from_line(self, y):
        """(x (n, D), log-determinant of the inverse (n,))."""
        y, logdet = y * self.std + self.mean, np.sum(np.log(self.std))
        if self.alpha is None:
            return y, logdet
        p = sigmoid(y)
        inverse = np.sum(np.log(p) + np.log1p(-p) - math.log(1 - 2 * self.alpha), axis=1)
        return (p - self.alpha) / (1 - 2 * self.alpha), logdet + inverse

    # ---- The flow ----
    def checked(self, x):
        """x, or a clear error where its shape or range does not fit."""
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        if self.alpha is not None and not bool(np.all((x >= 0) & (x <= 1))):
            raise ValueError("x has values outside [0, 1], where this flow (alpha is not None) has its data")
        return x

    def forward(self, x):
        """(z = f(x) (n, D), log |det ∂f/∂x| (n,))."""
        h, logdet = self.to_line(x)
        for coupling in self.couplings:
            h, step = coupling.forward(h)
            logdet = logdet + step
        return h, logdet

    def inverse(self, z):
        """(x = f⁻¹(z) (n, *event), log |det ∂f⁻¹/∂z| (n,))."""
        logdet = 0.0
        for coupling in self.couplings[::-1]:
            z, step = coupling.inverse(z)
            logdet = logdet + step
        x, step = self.from_line(z)
        return np.reshape(x, (x.shape[0], *self.event)), logdet + step

    def density(self, x):
        """log p(x), (n,) nats, of data that fits."""
        z, logdet = self.forward(x)
        return logdet - 0.5 * np.sum(z * z + LOG_2PI, axis=1)  # (1)

    def log_prob(self, x):
        """log p(x), exact, (n,) nats."""
        return self.density(self.checked(x))

    def encode(self, x):
        """f(x), (n, D)."""
        return self.forward(self.checked(x))[0]

    def decode(self, z):
        """f⁻¹(z), (n, *event)."""
        return self.inverse(z)[0]

    def sample(self, n, rng):
        """f⁻¹(z), z ~ N(0, I), (n, *event); of data in [0, 1] without what lies beyond by α."""
        x = self.decode(normal(rng, (n, self.mean.shape[0]), leaves(self.couplings)[0]))
        return x if self.alpha is None else np.clip(x, 0, 1)

    @classmethod
    def fit(cls, x, *, rng, layers=8, hidden=(64, 64), alpha=None, steps=3000, batch_size=256, optimizer=None, **training):
        """Train by Adam on −log p(x); x (n, *event) is float, in [0, 1] where alpha is given. The rest goes to `minimise`.

        Raises TypeError or ValueError for data or arguments that do not fit, as constant coordinates.
        """
        check_data(x, least=2, rank=None)
        model = cls.init(rng, x.shape[1:], layers, hidden, alpha, x.dtype)
        model = tree_map(lambda w: like(x, w), model)
        to = lambda a: like(x, a)
        model.couplings = [Coupling(c.network, to(c.mask)) for c in model.couplings]
        model.mean, model.std = to(model.mean), to(model.std)
        y, _ = model.to_line(model.checked(x))
        model.mean, model.std = np.mean(y, axis=0), np.std(y, axis=0)
        if not bool(np.all(model.std > 0)):
            raise ValueError("x has coordinates that never change, which have no density; expected dequantised data, or without them")
        loss = lambda model, x, rng: -model.density(x)
        return minimise(loss, model, x, rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer or Adam(1e-3), **training)[0]
