"""RealNVP: a flow of coupling layers.  Dinh, Sohl-Dickstein & Bengio 2017, "Density estimation using Real NVP".

Notation as in `flow`: x ∈ ℝᴰ what enters a layer, y what leaves it; m ∈ {0, 1}ᴰ a mask, another for each layer; s and t networks. A
coupling layer keeps the coordinates with m = 1 and moves the others by what they say, so that its Jacobian is triangular:

    y = m x + (1 − m) (x e^(s(m x)) + t(m x)),   log |det ∂y/∂x| = Σ (1 − m) s(m x)                       (1)
    x = m y + (1 − m) (y − t(m y)) e^(−s(m y)),   as m x = m y                                            (2)
    s = c tanh(h/c), c = 2: the scale of a layer is bounded, by e^±²                                       (3)
"""

from dataclasses import dataclass, field

import numpy as np

from minigen.checks import check_count, check_rng
from minigen.functions import silu
from minigen.models.flow import Flow, check_event, event_and_dtype
from minigen.nn import MLP

BOUND = 2.0


@dataclass
class Coupling:
    """One layer; the network gives h and t, (n, 2 D), from the masked input."""

    network: MLP
    mask: np.ndarray = field(metadata={"static": True})  # (D,) of 0 and 1

    def scale_and_shift(self, kept):
        """(1 − m) s and (1 − m) t, (n, D), from m x."""
        out, d = self.network(kept), self.mask.shape[0]
        return (1 - self.mask) * (BOUND * np.tanh(out[:, :d] / BOUND)), (1 - self.mask) * out[:, d:]  # (3)

    def forward(self, x):
        """(y (n, D), log-determinant (n,))."""
        s, t = self.scale_and_shift(self.mask * x)
        return x * np.exp(s) + t, np.sum(s, axis=1)  # (1)

    def inverse(self, y):
        """(x (n, D), log-determinant of the inverse (n,))."""
        s, t = self.scale_and_shift(self.mask * y)
        return (y - t) * np.exp(-s), -np.sum(s, axis=1)  # (2)


def alternating_masks(rng, d, layers, dtype):
    """Masks (D,) of 0 and 1: random halves of the coordinates, every second one the complement of that before it."""
    mask, found = None, []
    for i in range(layers):
        mask = 1 - mask if i % 2 else (rng.permutation(d) < d // 2).astype(dtype)
        found.append(mask)
    return found


@dataclass
class RealNVP(Flow):
    """The model. Data has shape (n, *event), codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]])
    >>> flow = RealNVP.fit(x, rng=rng, layers=2, hidden=(16,), steps=200, progress=False)
    >>> z, logdet = flow.forward(x)
    >>> flow.sample(3, rng).shape, bool(np.allclose(flow.inverse(z)[0], x))
    ((3, 2), True)
    """

    @classmethod
    def init(cls, rng, event, layers=8, hidden=(64, 64), dtype=np.float32):
        """Coupling layers that begin as the identity, every second mask the complement of a random half of the coordinates."""
        check_rng(rng)
        check_count("layers", layers)
        d = check_event(event, "a coupling moves some by what the others say")
        network = lambda: MLP.init(rng, [d, *hidden, 2 * d], silu, output_gain=0.0, dtype=dtype)
        return cls.of([Coupling(network(), mask) for mask in alternating_masks(rng, d, layers, dtype)], event, dtype)

    @classmethod
    def fit(cls, x, *, rng, layers=8, hidden=(64, 64), **settings):
        """Train on x (n, *event). The settings (alpha, levels, steps …) are those of `Flow.trained`, which says what is raised."""
        event, dtype = event_and_dtype(x)
        return cls.init(rng, event, layers, hidden, dtype).trained(x, rng=rng, **settings)
