"""Normalising flows: a density by a change of variables.  Rezende & Mohamed 2015, "Variational Inference with Normalizing Flows"; Dinh,
Sohl-Dickstein & Bengio 2017, "Density estimation using Real NVP", §4.1 (the logit); Theis, van den Oord & Bethge 2016, §3.1 (levels);
Hoogeboom, Cohen & Tomczak 2020, "Learning Discrete Distributions by Dequantization" (their bound).

Notation: x the data, D numbers an example; z = f(x) ∈ ℝᴰ the code, of density N(0, I); f invertible and differentiable.

    log p(x) = log N(f(x); 0, I) + log |det ∂f/∂x|                                                        (1)
    f = f_L ∘ … ∘ f₁:   log |det ∂f/∂x| = Σ_l log |det ∂f_l/∂f_(l−1)|                                     (2)

The chapters that follow, from `realnvp` on, are about layers f_l with a Jacobian whose determinant is cheap. Before the layers the data
are standardised; data in [0, 1] first go to the real line, a little away from its ends:

    y = (x − μ)/σ,   log |det ∂y/∂x| = −Σ log σ                                                           (3)
    y = log(p/(1 − p)),   p = α + (1 − 2α) x,   log |det ∂y/∂x| = Σ log(1 − 2α) − log p − log(1 − p)       (4)

Data of L levels have no density: it would grow without bound on them. Spread over its cell, a level has one,

    x = (k + u)/L,   u ~ U[0, 1)ᴰ:   E_u log p(x) − D log L ≤ log P(k),   P(k) = ∫ p over the cell of k   (5)

and with new u in every batch no network learns them by heart. The density may vary within a cell, which several noises see; their bound
is (5) for K = 1, and rises with K to log P(k):

    E_u log (1/K) Σᵢ p((k + uᵢ)/L) − D log L ≤ log P(k),   i = 1 … K                                      (6)
"""

import math
from dataclasses import dataclass, field

import numpy as np

from minigen.backend import array_module, normal, uniform
from minigen.checks import check_columns, check_count, check_data, check_rng
from minigen.functions import logsumexp, sigmoid
from minigen.models.levels import check_levels
from minigen.optim import Adam
from minigen.progress import shown
from minigen.train import minimise
from minigen.tree import is_array, leaves, map_nodes

LOG_2PI = 1.8378770664093453


def log_normal(z):
    """log N(z; 0, I) of z (n, D), (n,) nats."""
    return -0.5 * np.sum(z * z + LOG_2PI, axis=1)


def spread(k, levels, u):
    """x = (k + u)/L in the dtype of u, for integers k and noise u of one shape."""
    return (k.astype(u.dtype) + u) / levels  # (5)


@dataclass
class Flow:
    """A chain of layers, each with `forward(h)` and `inverse(h)`: (n, D) → ((n, D), log-determinant (n,)). Data are (n, *event).

    The flows of this package are made of this class and their own `init` and `fit`, which say what the layers are.
    """

    layers: list
    mean: np.ndarray = field(metadata={"static": True})  # μ (D,)
    std: np.ndarray = field(metadata={"static": True})  # σ (D,)
    event: tuple
    alpha: float | None = None  # of data in [0, 1]

    @classmethod
    def of(cls, layers, event, dtype):
        """The flow of these layers, for data that are standardised already."""
        d = math.prod(event)
        return cls(layers, np.zeros(d, dtype), np.ones(d, dtype), tuple(event))

    # ---- From data to the line, and back ----
    def to_line(self, x):
        """(y (n, D), log-determinant (n,)) of (4) and (3)."""
        y, logdet = np.reshape(x, (x.shape[0], -1)), 0.0
        if self.alpha is not None:
            p = self.alpha + (1 - 2 * self.alpha) * y
            y, logdet = np.log(p) - np.log1p(-p), np.sum(math.log(1 - 2 * self.alpha) - np.log(p) - np.log1p(-p), axis=1)  # (4)
        return (y - self.mean) / self.std, logdet - np.sum(np.log(self.std))  # (3)

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
        """x, or a clear error where its type, shape or range does not fit."""
        check_data(x, rank=None)
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        if self.alpha is not None and not bool(np.all((x >= 0) & (x <= 1))):
            raise ValueError("x has values outside [0, 1], where this flow (alpha is not None) has its data")
        return x

    def forward(self, x):
        """(z = f(x) (n, D), log |det ∂f/∂x| (n,))."""
        h, logdet = self.to_line(x)
        for layer in self.layers:
            h, step = layer.forward(h)
            logdet = logdet + step  # (2)
        return h, logdet

    def inverse(self, z, progress=True):
        """(x = f⁻¹(z) (n, *event), log |det ∂f⁻¹/∂z| (n,))."""
        check_columns(z, self.mean.shape[0], "z")
        logdet = 0.0
        for layer in shown(self.layers[::-1], progress):
            z, step = layer.inverse(z)
            logdet = logdet + step
        x, step = self.from_line(z)
        return np.reshape(x, (x.shape[0], *self.event)), logdet + step

    def density(self, x):
        """log p(x), (n,) nats, of data that fits."""
        z, logdet = self.forward(x)
        return log_normal(z) + logdet  # (1)

    def log_prob(self, x):
        """log p(x), exact, (n,) nats."""
        return self.density(self.checked(x))

    def level_bound(self, k, levels, u):
        """The bound on log P(k), (n,) nats, of levels k (n, *event) from K noises u (K, n, *event), uniform in [0, 1).

        Raises TypeError or ValueError where k are no such levels, or u is not such noise.
        """
        check_levels(k, levels, self.event)
        if u.shape[1:] != k.shape or u.shape[0] < 1:
            raise ValueError(f"u has shape {u.shape}; expected (K, {', '.join(map(str, k.shape))}) with K ≥ 1")
        if not bool(np.all((u >= 0) & (u < 1))):
            raise ValueError("u has entries outside [0, 1)")
        log_p = np.stack([self.density(spread(k, levels, noise)) for noise in u])
        return logsumexp(log_p, axis=0) - math.log(u.shape[0]) - self.mean.shape[0] * math.log(levels)  # (6)

    def encode(self, x):
        """f(x), (n, D)."""
        return self.forward(self.checked(x))[0]

    def decode(self, z, progress=True):
        """f⁻¹(z), (n, *event)."""
        check_data(z, name="z")
        return self.inverse(z, progress)[0]

    def sample(self, n, rng, progress=True):
        """f⁻¹(z), z ~ N(0, I), (n, *event); of data in [0, 1] without what lies beyond by α."""
        check_count("n", n)
        check_rng(rng)
        x = self.decode(normal(rng, (n, self.mean.shape[0]), leaves(self.layers)[0]), progress)
        return x if self.alpha is None else np.clip(x, 0, 1)

    def trained(
        self, x, *, rng, alpha=None, levels=None, loss=None, steps=3000, batch_size=256, optimizer=None, **training,
    ):  # fmt: skip
        """This flow, fitted by Adam to −log p of data x (n, *event): floats, in [0, 1] where alpha is given.

        With `levels` they are integers k in 0 … levels − 1 instead; the flow is one of x = (k + u)/levels, with other noise u in
        every batch. `loss(model, x, rng)`, (n,), may stand for −log p. `training` goes to `minimise`. Raises TypeError or
        ValueError for data or arguments that do not fit, as constant coordinates.
        """
        check_rng(rng)
        if levels is None:
            check_data(x, least=2, rank=None)
        else:
            check_levels(x, levels, name="x")
        if alpha is not None and not 0 < alpha < 0.5:
            raise ValueError(f"alpha is {alpha}; expected a number between 0 and ½, or None for data on the whole line")
        model = map_nodes(lambda a: array_module(x).asarray(a), self, static=True)
        model.alpha = alpha
        units = lambda x, rng: x if levels is None else spread(x, levels, uniform(rng, x.shape, model.mean))
        y, _ = model.to_line(model.checked(units(x, rng)))
        model.mean, model.std = np.mean(y, axis=0), np.std(y, axis=0)
        if not bool(np.all(model.std > 0)):
            raise ValueError("x has coordinates that never change, which have no density; expected dequantised data, or without them")
        loss = loss or (lambda model, x, rng: -model.density(x))
        of_batch, adam = lambda model, x, rng: loss(model, units(x, rng), rng), optimizer or Adam(1e-3)
        return minimise(of_batch, model, x, rng=rng, steps=steps, batch_size=batch_size, optimizer=adam, **training)[0]


def event_and_dtype(x):
    """Of the flow to be fitted to x (n, *event): the dtype is theirs, or float32 for levels. TypeError or ValueError for no such array."""
    if not is_array(x):
        raise TypeError(f"x is {type(x).__name__}; expected an array (n, …)")
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}; expected (n, …)")
    return x.shape[1:], x.dtype if x.dtype.kind == "f" else np.float32


def check_event(event, reason):
    """D, or an error where an event has fewer than two numbers."""
    d = math.prod(event)
    if d < 2:
        raise ValueError(f"event is {tuple(event)}; expected at least two numbers: {reason}")
    return d
