"""Neural spline flow.  Durkan, Bekasov, Murray & Papamakarios 2019, "Neural Spline Flows"; the spline: Gregory & Delbourgo 1982,
"Piecewise rational quadratic interpolation to monotonic data".

Notation as in `flow` and `realnvp`: a coupling layer keeps the coordinates with m = 1 and moves the others by what they say; here each
is moved by a monotone spline of its own instead of a line. On [−B, B] there are K bins of widths w and heights h, with the slopes
d > 0 at the knots (x_k, y_k); outside, and in slope at ±B, it is the identity:

    w = 2B (ω + (1 − Kω) softmax(a)),   h likewise,   d = δ + softplus(c + c₀),   c₀ such that d = 1 at c = 0   (1)

Within bin k, with ξ = (x − x_k)/w_k ∈ [0, 1] and the bin's mean slope s = h_k/w_k,

    y = y_k + h_k (s ξ² + d_k ξ (1 − ξ)) / (s + (d_k + d_(k+1) − 2s) ξ (1 − ξ))                            (2)
    ∂y/∂x = s² (d_(k+1) ξ² + 2s ξ (1 − ξ) + d_k (1 − ξ)²) / (s + (d_k + d_(k+1) − 2s) ξ (1 − ξ))²          (3)

of which the inverse solves a quadratic equation; with η = y − y_k and e = d_k + d_(k+1) − 2s,

    ξ = 2c / (−b − √(b² − 4ac)),   a = h_k (s − d_k) + η e,   b = h_k d_k − η e,   c = −s η                (4)
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.checks import check_count, check_rng
from minigen.functions import silu, softmax, softplus
from minigen.models.flow import Flow, check_event, event_and_dtype
from minigen.models.realnvp import alternating_masks
from minigen.nn import MLP

LEAST = 1e-3  # ω and δ
SLOPE = float(np.log(np.expm1(1 - LEAST)))  # c₀


# ---- The spline ----
def spline_shape(raw, bound):
    """(widths and heights (2, K, N), slopes at the knots (K + 1, N)) from raw numbers (3K − 1, N)."""
    k, length = (raw.shape[0] + 1) // 3, 2 * bound
    sizes = length * LEAST + length * (1 - k * LEAST) * softmax(np.reshape(raw[: 2 * k], (2, k, raw.shape[1])), axis=1)  # (1)
    inner, one = LEAST + softplus(raw[2 * k :] + SLOPE), np.ones_like(raw[:1])  # (1)
    return sizes, np.concatenate([one, inner, one])


def bins_first(v, raw):
    """v (…) and raw (…, 3K − 1) as (N,) and (3K − 1, N): sums over bins are then sums of rows, which take half of the time."""
    return np.reshape(v.T, (-1,)), np.reshape(raw.T, (raw.shape[-1], -1))


def in_bin(v, sizes, slopes, side, bound):
    """The bin of each v (N,) by its widths (side 0) or heights (1): (w_k, h_k), (x_k, y_k), both (2, N), d_k and d_(k+1), both (N,)."""
    past = (v >= np.cumsum(sizes[side, :-1], axis=0) - bound).astype(v.dtype)  # 1 for the inner knots that are left of v
    one = np.ones_like(v[None])
    here = np.concatenate([one, past]) - np.concatenate([past, 0 * one])
    start = np.sum(sizes[:, :-1] * past, axis=1) - bound
    return np.sum(sizes * here, axis=1), start, np.sum(slopes[:-1] * here, axis=0), np.sum(slopes[1:] * here, axis=0)


def slope_in_bin(xi, s, low, high):
    """log ∂y/∂x at ξ, for a mean slope s and slopes at the ends of the bin."""
    inner = xi * (1 - xi)
    top = s**2 * (high * xi**2 + 2 * s * inner + low * (1 - xi) ** 2)
    return np.log(top) - 2 * np.log(s + (low + high - 2 * s) * inner)  # (3)


def spline(x, raw, bound):
    """(y, log ∂y/∂x) of x (…) by the splines of raw (…, 3K − 1)."""
    shape, (x, raw) = x.shape[::-1], bins_first(x, raw)
    inside = np.abs(x) < bound
    safe = np.where(inside, x, 0)
    (w, h), (x_k, y_k), low, high = in_bin(safe, *spline_shape(raw, bound), 0, bound)
    xi, s = (safe - x_k) / w, h / w
    y = y_k + h * (s * xi**2 + low * xi * (1 - xi)) / (s + (low + high - 2 * s) * xi * (1 - xi))  # (2)
    log_slope = np.where(inside, slope_in_bin(xi, s, low, high), 0)
    return np.reshape(np.where(inside, y, x), shape).T, np.reshape(log_slope, shape).T


def spline_inverse(y, raw, bound):
    """(x, log ∂x/∂y) of y (…)."""
    shape, (y, raw) = y.shape[::-1], bins_first(y, raw)
    inside = np.abs(y) < bound
    safe = np.where(inside, y, 0)
    (w, h), (x_k, y_k), low, high = in_bin(safe, *spline_shape(raw, bound), 1, bound)
    s, eta, e = h / w, safe - y_k, low + high - 2 * h / w
    a, b, c = h * (s - low) + eta * e, h * low - eta * e, -s * eta
    xi = 2 * c / (-b - np.sqrt(np.maximum(b**2 - 4 * a * c, 0)))  # (4)
    log_slope = np.where(inside, -slope_in_bin(xi, s, low, high), 0)
    return np.reshape(np.where(inside, x_k + xi * w, y), shape).T, np.reshape(log_slope, shape).T


# ---- The flow ----
@dataclass
class SplineCoupling:
    """One layer; the network maps the kept coordinates to 3K − 1 raw numbers for each of the moved ones."""

    network: Any
    kept: np.ndarray = field(metadata={"static": True})  # the indices with m = 1
    moved: np.ndarray = field(metadata={"static": True})  # those with m = 0
    bound: float = 4.0

    def through(self, v, curve):
        """(v with its moved coordinates on the curve, the sum of its log-slopes (n,))."""
        a, b = v[:, self.kept], v[:, self.moved]
        out = self.network(a)
        b, log_slope = curve(b, np.reshape(out, (*b.shape, out.shape[1] // b.shape[1])), self.bound)
        back = np.argsort(np.concatenate([self.kept, self.moved]))
        return np.concatenate([a, b], axis=1)[:, back], np.sum(log_slope, axis=1)

    def forward(self, x):
        """(y (n, D), log-determinant (n,))."""
        return self.through(x, spline)

    def inverse(self, y):
        """(x (n, D), log-determinant of the inverse (n,))."""
        return self.through(y, spline_inverse)


@dataclass
class NeuralSplineFlow(Flow):
    """The model. Data has shape (n, *event), codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> flow = NeuralSplineFlow.fit(rng.random((500, 2)), rng=rng, layers=2, hidden=(16,), steps=100, progress=False)
    >>> flow.log_prob(np.array([[0.5, 0.5], [0.5, 1.5]])) > -2
    array([ True, False])
    """

    @classmethod
    def init(cls, rng, event, layers=6, hidden=(64, 64), bins=8, bound=4.0, dtype=np.float32):
        """Layers that begin as the identity; standardised data beyond ±bound are not moved."""
        check_rng(rng)
        check_count("layers", layers)
        check_count("bins", bins)
        if not 0 < bound < math.inf:
            raise ValueError(f"bound is {bound}; expected a finite number > 0")
        if bins * LEAST >= 1:
            raise ValueError(f"bins is {bins}; expected fewer than {round(1 / LEAST)}, as each has its least share ω of the interval")
        d = check_event(event, "a coupling moves some by what the others say")
        chain = []
        for mask in alternating_masks(rng, d, layers, dtype):
            kept, moved = np.flatnonzero(mask), np.flatnonzero(1 - mask)
            network = MLP.init(rng, [len(kept), *hidden, len(moved) * (3 * bins - 1)], silu, output_gain=0.0, dtype=dtype)
            chain.append(SplineCoupling(network, kept, moved, float(bound)))
        return cls.of(chain, event, dtype)

    @classmethod
    def fit(cls, x, *, rng, layers=6, hidden=(64, 64), bins=8, bound=4.0, **settings):
        """Train on x (n, *event). The settings (alpha, levels, steps …) are those of `Flow.trained`, which says what is raised."""
        event, dtype = event_and_dtype(x)
        return cls.init(rng, event, layers, hidden, bins, bound, dtype).trained(x, rng=rng, **settings)
