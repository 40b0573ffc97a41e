"""Glow: a multi-scale flow of images.  Kingma & Dhariwal 2018, "Glow: Generative Flow with Invertible 1×1 Convolutions"; the scales: Dinh,
Sohl-Dickstein & Bengio 2017, §3.6; splines in its couplings: Durkan et al. 2019, §5.2.

Notation as in `flow`; h an image (H, W, C) within. A step has three layers. Activation normalisation, per channel. The first data are to
leave it with mean 0 and variance 1; so they do with b = s = 0, as all layers begin as the identity or P, and pixels come standardised:

    y = (h + b) e^s,   log |det| = H W Σ s                                                                 (1)

An invertible 1 × 1 convolution, a learned generalisation of a permutation of the channels. With P a permutation, L triangular with ones
on the diagonal and U′ strictly above it, the determinant is at hand. It begins as P; the paper begins with a random rotation, but levels
are far from Gaussian, and splines straighten single pixels better than mixtures of them:

    y = h A,   A = P L (U′ + diag(e^a)),   log |det| = H W Σ a                                             (2)

A coupling of channels: with h = (h₁, h₂), a convolutional network of h₁ says how each number of h₂ is moved by a spline f of
`spline_flow`, or, without bins, by a line as in `realnvp`:

    y = (h₁, f(h₂; NN(h₁))),   log |det| = Σ log f′                                                        (3)

At each scale the image is squeezed, H × W × C → H/2 × W/2 × 4C, so that neighbours become channels; K steps follow; then half of the
channels leave as codes, and the others go on to the next scale,

    z = (z₁, …, z_S),   log |det ∂z/∂x| the sum over all steps of all scales                               (4)
"""

import math
from dataclasses import dataclass, field

import numpy as np

from minigen.backend import like
from minigen.checks import check_count, check_rng
from minigen.functions import silu
from minigen.models.flow import Flow, event_and_dtype
from minigen.models.realnvp import BOUND
from minigen.models.spline_flow import spline, spline_inverse
from minigen.nn import Conv2d
from minigen.nn.dense import gain

SPLINE_BOUND = 4.0


# ---- Images as fewer, deeper ones ----
def squeeze(x):
    """(n, H, W, C) → (n, H/2, W/2, 4C): the four pixels of a square become channels."""
    n, h, w, c = x.shape
    return np.reshape(np.transpose(np.reshape(x, (n, h // 2, 2, w // 2, 2, c)), (0, 1, 3, 2, 4, 5)), (n, h // 2, w // 2, 4 * c))


def unsqueeze(x):
    """The inverse of `squeeze`."""
    n, h, w, c = x.shape
    return np.reshape(np.transpose(np.reshape(x, (n, h, w, 2, 2, c // 4)), (0, 1, 3, 2, 4, 5)), (n, 2 * h, 2 * w, c // 4))


# ---- The layers of a step, each (n, H, W, C) → (the same, log-determinant (n,) or a number) ----
@dataclass
class ActNorm:
    """y = (h + b) e^s."""

    log_scale: np.ndarray  # s (C,)
    bias: np.ndarray  # b (C,)

    def forward(self, h):
        """(y, log-determinant)."""
        return (h + self.bias) * np.exp(self.log_scale), h.shape[1] * h.shape[2] * np.sum(self.log_scale)  # (1)

    def inverse(self, y):
        """(h, log-determinant of the inverse)."""
        return y * np.exp(-self.log_scale) - self.bias, -y.shape[1] * y.shape[2] * np.sum(self.log_scale)


@dataclass
class Mix:
    """The invertible 1 × 1 convolution."""

    lower: np.ndarray  # (C, C), used below the diagonal: L
    upper: np.ndarray  # (C, C), used above it: U′
    log_diagonal: np.ndarray  # a (C,)
    permutation: np.ndarray = field(metadata={"static": True})  # P (C, C)

    @classmethod
    def init(cls, rng, channels, dtype=np.float32):
        """A random permutation."""
        zeros = lambda *shape: np.zeros(shape, dtype)
        p = np.eye(channels, dtype=dtype)[rng.permutation(channels)]
        return cls(zeros(channels, channels), zeros(channels, channels), zeros(channels), p)

    def matrix(self):
        """A (C, C)."""
        one = like(self.permutation, np.eye(self.log_diagonal.shape[0]))
        upper = np.triu(self.upper, 1) + one * np.exp(self.log_diagonal)
        return self.permutation @ (np.tril(self.lower, -1) + one) @ upper  # (2)

    def forward(self, h):
        """(y, log-determinant)."""
        return h @ self.matrix(), h.shape[1] * h.shape[2] * np.sum(self.log_diagonal)  # (2)

    def inverse(self, y):
        """(h, log-determinant of the inverse)."""
        return y @ np.linalg.inv(self.matrix()), -y.shape[1] * y.shape[2] * np.sum(self.log_diagonal)


@dataclass
class ChannelCoupling:
    """The second half of the channels is moved by what the first says: splines of so many bins, or lines for bins = 0."""

    convs: list  # 3 × 3, 1 × 1, 3 × 3
    bins: int

    @classmethod
    def init(cls, rng, channels, width, bins, dtype=np.float32):
        """A network that begins as 0, so that nothing is moved."""
        kept, numbers, g = channels // 2, 3 * bins - 1 if bins else 2, gain(silu)
        moved = channels - kept
        convs = [Conv2d.init(rng, kept, width, dtype=dtype), Conv2d.init(rng, width, width, 1, gain=g, dtype=dtype)]
        return cls([*convs, Conv2d.init(rng, width, moved * numbers, gain=0.0, dtype=dtype)], bins)

    def raw(self, kept, moved):
        """What the network says of the moved numbers: (n, H, W, C₂, 3K − 1 or 2)."""
        h = silu(self.convs[1](silu(self.convs[0](kept))))
        out = self.convs[2](h)
        return np.reshape(out, (*moved.shape, out.shape[-1] // moved.shape[-1]))

    def through(self, h, curve, line):
        """(h₁ and what becomes of h₂, Σ log f′ (n,))."""
        kept, moved = h[..., : h.shape[-1] // 2], h[..., h.shape[-1] // 2 :]
        raw = self.raw(kept, moved)
        y, log_slope = curve(moved, raw, SPLINE_BOUND) if self.bins else line(moved, BOUND * np.tanh(raw[..., 0] / BOUND), raw[..., 1])
        return np.concatenate([kept, y], axis=-1), np.sum(log_slope, axis=(1, 2, 3))  # (3)

    def forward(self, h):
        """(y, log-determinant (n,))."""
        return self.through(h, spline, lambda h, s, t: (h * np.exp(s) + t, s))

    def inverse(self, y):
        """(h, log-determinant of the inverse (n,))."""
        return self.through(y, spline_inverse, lambda y, s, t: ((y - t) * np.exp(-s), -s))


@dataclass
class MultiScale:
    """All scales as one layer of a flow: flat images (n, D) → (codes (n, D), log-determinant (n,))."""

    scales: list  # of lists of layers
    event: tuple

    def forward(self, x):
        """(z, log-determinant)."""
        h, codes, logdet = np.reshape(x, (x.shape[0], *self.event)), [], 0.0
        for i, layers in enumerate(self.scales):
            h = squeeze(h)
            for layer in layers:
                h, step = layer.forward(h)
                logdet = logdet + step  # (4)
            if i < len(self.scales) - 1:
                half = h.shape[-1] // 2
                codes.append(np.reshape(h[..., half:], (x.shape[0], -1)))
                h = h[..., :half]
        return np.concatenate([*codes, np.reshape(h, (x.shape[0], -1))], axis=1), logdet  # (4)

    def inverse(self, z):
        """(x, log-determinant of the inverse)."""
        (height, width, c), s = self.event, len(self.scales)
        ends, at, logdet = [], 0, 0.0
        for i in range(s):  # scale i leaves with C·2^(i + 2) channels, half of which are codes but at the last
            shape = (height >> i + 1, width >> i + 1, c * 2 ** (i + (1 if i < s - 1 else 2)))
            ends.append(np.reshape(z[:, at : at + math.prod(shape)], (z.shape[0], *shape)))
            at += math.prod(shape)
        h = ends[-1]
        for i in range(s - 1, -1, -1):
            if i < s - 1:
                h = np.concatenate([h, ends[i]], axis=-1)
            for layer in self.scales[i][::-1]:
                h, step = layer.inverse(h)
                logdet = logdet + step
            h = unsqueeze(h)
        return np.reshape(h, (z.shape[0], -1)), logdet


@dataclass
class Glow(Flow):
    """The model of images (n, H, W, C), with codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.random((20, 4, 4, 1))
    >>> flow = Glow.fit(x, rng=rng, scales=2, depth=1, width=8, steps=2, progress=False)
    >>> flow.log_prob(x).shape, bool(np.allclose(flow.decode(flow.encode(x)), x)), flow.sample(3, rng).shape
    ((20,), True, (3, 4, 4, 1))
    """

    @classmethod
    def init(cls, rng, event, scales=2, depth=4, width=32, bins=8, dtype=np.float32):
        """`scales` scales of `depth` steps; `width` channels within the couplings' networks, whose splines have so many bins."""
        check_rng(rng)
        for name, value in (("scales", scales), ("depth", depth), ("width", width), ("bins + 1", bins + 1)):
            check_count(name, value)
        if len(event) != 3 or event[0] % 2**scales or event[1] % 2**scales:
            raise ValueError(f"event is {tuple(event)}; expected an image (H, W, C) with H and W multiples of 2^scales = {2**scales}")
        chain = []
        for i in range(scales):
            c = event[2] * 2 ** (i + 2)
            chain.append([])
            for _ in range(depth):
                norm = ActNorm(np.zeros(c, dtype), np.zeros(c, dtype))
                chain[-1] += [norm, Mix.init(rng, c, dtype), ChannelCoupling.init(rng, c, width, bins, dtype)]
        return cls.of([MultiScale(chain, tuple(event))], event, dtype)

    @classmethod
    def fit(cls, x, *, rng, scales=2, depth=4, width=32, bins=8, **settings):
        """Train on images x. The settings (alpha, levels, steps …) are those of `Flow.trained`, which says what is raised."""
        event, dtype = event_and_dtype(x)
        return cls.init(rng, event, scales, depth, width, bins, dtype).trained(x, rng=rng, **settings)
