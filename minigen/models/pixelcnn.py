"""PixelCNN.  van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders" (gated, with two stacks).

An image k holds L levels, integers 0 … L − 1, at H rows and W columns, read in raster order: row by row, each from the left. The
channels of a pixel, if it has several, stand side by side, as if it were as many pixels. i ≺ j: i is read before j.

    log p(k) = Σⱼ log p(kⱼ | kᵢ, i ≺ j),   p(kⱼ = l | …) = softmax(aⱼ)ₗ                                    (1)

One network gives the logits a of all pixels at once, from the pixels as thermometers: x(r, c)ₗ = 1 where k(r, c) ≥ l, else −1; outside
of the image x = 0. It has two stacks of maps: v at (r, c) knows the rows above r only, h besides these the pixels to the left in row
r. So h misses nothing that was read, where one stack of masked convolutions has a blind spot to the right. The first layer, of reach
R, leaves out the row itself, and the pixel itself ("mask A"):

    s(r, c) = Σ W(i, j) x(r − i, c + j),   i = 1 … R, |j| ≤ R                                             (2)
    t(r, c) = Σ U(j) x(r, c − j),   j = 1 … R                                                             (3)

Those behind it see what the layer before made of it, too ("mask B"), with a smaller reach:

    s(r, c) = Σ W(i, j) v(r − i, c + j),   i = 0 … R, |j| ≤ R                                             (4)
    t(r, c) = Σ U(j) h(r, c − j),   j = 0 … R                                                             (5)

Each is told where it is, by a learned map m, and what it is to draw, by a context, a map of features y where there is one. It then
passes a gate, and the vertical stack feeds the horizontal one (in the first layer there is no h on the right):

    s′ = s + m + V y,   v ← γ(s′),   h ← h + O γ(t + P s′)                                                (6)
    γ(a, b) = tanh(a) ⊙ σ(b),   a and b the two halves of the channels                                    (7)
    a(r, c) = A silu(h(r, c)) + b(r, c)                                                                   (8)

Sampling draws the pixels one by one, each given all before it. A layer needs, of the layer before, the last few rows of v and the
last few pixels of h only: windows of these move over the image, so that a sample costs as much arithmetic as one log p.
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.checks import check_count, check_data, check_rng
from minigen.convolution import conv2d
from minigen.functions import sigmoid, silu
from minigen.models.levels import check_levels, draw, log_softmax_at, one_hot, start, thermometer
from minigen.nn import Conv2d, Linear
from minigen.optim import Adam, cosine
from minigen.progress import shown
from minigen.train import minimise


def gated(x):
    """(…, 2F) → (…, F)."""
    a, b = np.split(x, 2, axis=-1)
    return np.tanh(a) * sigmoid(b)  # (7)


def slide(window, new, axis):
    """A window of maps moved on by one along an axis: its first entry falls out, the new one (of length 1 there) comes in behind."""
    kept = window[:, 1:] if axis == 1 else window[:, :, 1:]
    return np.concatenate([kept, new], axis=axis)


@dataclass
class GatedLayer:
    """One layer of both stacks. Of `whole` maps it pads the borders; else it is given the windows of one row, or of one pixel."""

    down: Conv2d
    right: Conv2d
    link: Linear
    out: Linear
    context: Linear | None
    place: np.ndarray  # (H, W, 2F)
    first: bool

    @classmethod
    def init(cls, rng, n_in, size, width, reach, n_context, first, dtype):
        """For maps of a size (H, W) and `width` channels. A first layer sees the image, a later one the maps before it."""
        own = 0 if first else 1
        down = Conv2d.init(rng, n_in, 2 * width, (reach + own, 2 * reach + 1), dtype=dtype)
        right = Conv2d.init(rng, n_in, 2 * width, (1, reach + own), dtype=dtype)
        link, out = Linear.init(rng, 2 * width, 2 * width, dtype=dtype), Linear.init(rng, width, width, dtype=dtype)
        context = Linear.init(rng, n_context, 2 * width, dtype=dtype) if n_context else None
        return cls(down, right, link, out, context, np.zeros((*size, 2 * width), dtype), first)

    def told(self, context):
        """m + V y, (1 or n, H, W, 2F)."""
        return self.place[None] if context is None else self.place + self.context(context)

    def vertical(self, v, told, whole=True):
        """(v of the next layer, what the horizontal stack is given), from v or the image."""
        rows, columns = self.down.weight.shape[:2]
        v = v[:, :-1] if whole and self.first else v
        top = rows - 1 + self.first if whole else 0
        s = conv2d(v, self.down.weight, padding=((top, 0), (columns // 2, columns // 2)), bias=self.down.bias) + told  # (2) (4)
        return gated(s), self.link(s)  # (6)

    def horizontal(self, h, share, whole=True):
        """h of the next layer, from h or the image and what the vertical stack gives."""
        seen = h[:, :, :-1] if whole and self.first else h
        left = self.right.weight.shape[1] - 1 + self.first if whole else 0
        t = conv2d(seen, self.right.weight, padding=((0, 0), (left, 0)), bias=self.right.bias)  # (3) (5)
        change = self.out(gated(t + share))
        return change if self.first else (h if whole else h[:, :, -1:]) + change  # (6)


@dataclass
class PixelCNN:
    """The model. k holds integers (n, H, W) or (n, H, W, C); a context, floats (n, H, W, C′).

    >>> rng = np.random.default_rng(0)
    >>> k = np.repeat([[[0], [0]], [[0], [1]], [[1], [0]], [[1], [1]]], 3, axis=2)  # two rows of three pixels that are the same
    >>> model = PixelCNN.fit(k, 2, rng=rng, width=8, layers=1, steps=200, progress=False)
    >>> model.sample(5, rng).shape, model.log_prob(k).round(1)  # −2 log 2
    ((5, 2, 3), array([-1.4, -1.4, -1.4, -1.4], dtype=float32))
    """

    layers: list
    head: Linear
    bias: np.ndarray  # (H, W·C, L)
    event: tuple
    levels: int

    @classmethod
    def init(cls, rng, event, levels, width=32, layers=4, reach=1, first_reach=3, n_context=0, dtype=np.float32):
        """A first layer of reach `first_reach` and `layers` of reach `reach` behind it, all of `width` channels."""
        check_rng(rng)
        sizes = {"levels": levels, "width": width, "layers": layers, "reach": reach, "first_reach": first_reach}
        for name, number in sizes.items():
            check_count(name, number)
        if len(event) not in (2, 3):
            raise ValueError(f"event is {tuple(event)}; expected (H, W) or (H, W, C)")
        size = (event[0], math.prod(event[1:]))
        stack = [GatedLayer.init(rng, levels, size, width, first_reach, n_context, True, dtype)]
        stack += [GatedLayer.init(rng, width, size, width, reach, n_context, False, dtype) for _ in range(layers)]
        return cls(stack, Linear.init(rng, width, levels, dtype=dtype), np.zeros((*size, levels), dtype), tuple(event), levels)

    # ---- The network ----
    def logits(self, x, context=None):
        """a (n, H, W·C, L) from the input x (n, H, W·C, L), and a context (n, H, W·C, C′)."""
        v = h = x
        for layer in self.layers:
            v, share = layer.vertical(v, layer.told(context))
            h = layer.horizontal(h, share)
        return self.head(silu(h)) + self.bias  # (8)

    def flat(self, k, context):
        """(k, context) with channels side by side, checked."""
        check_levels(k, self.levels, self.event)
        n, like, maker = k.shape[0], self.bias, self.layers[0].context
        if (context is None) != (maker is None):
            raise ValueError(f"context is {'missing' if maker else 'given'}, but the model was fitted {'with' if maker else 'without'} one")
        if context is not None:
            check_data(context, rank=4, name="context")
            shape = (n, *self.event[:2], maker.weight.shape[0])
            if context.shape != shape:
                raise ValueError(f"context has shape {context.shape}; expected {shape}")
            context = np.repeat(context.astype(like.dtype), math.prod(self.event[2:]), axis=2)
        return np.reshape(k, (n, *like.shape[:2])), context

    def loss(self, k, context=None):
        """−log p of flat images k (n, H, W·C), (n,) nats."""
        logits = self.logits(thermometer(k, self.levels, self.bias), context)
        return -np.sum(log_softmax_at(logits, one_hot(k, self.levels, self.bias)), axis=(1, 2))  # (1)

    def log_prob(self, k, context=None, rows=256):
        """log p(k), exact, (n,) nats; `rows` images at a time."""
        k, context = self.flat(k, context)
        blocks = [slice(i, i + rows) for i in range(0, k.shape[0], rows)]
        return -np.concatenate([self.loss(k[b], None if context is None else context[b]) for b in blocks])

    # ---- Sampling ----
    def sample(self, n, rng, context=None, progress=True):
        """k ~ p(k), integers (n, *event)."""
        check_count("n", n)
        k = np.zeros_like(self.bias, shape=(n, *self.event), dtype=np.int64)
        return self.fill(k, k > 0, rng, context, progress)

    def fill(self, k, known, rng, context=None, progress=True):
        """k with the pixels that are not `known` (booleans, of the shape of k or of one image) drawn in raster order.

        Each is drawn given all before it. So if the known ones come first, this is a draw from p(unknown | known); what is known
        of later pixels is kept, but earlier ones are drawn without it.
        """
        check_rng(rng)
        k, known = start(k, known, self.event)
        flat, context = self.flat(k, context)
        return np.reshape(self.scan(flat, np.reshape(known, flat.shape), rng, context, progress), k.shape)

    def scan(self, k, known, rng, context, progress):
        """Flat k with what is unknown drawn."""
        k, (n, height, width), like = k.copy(), k.shape, self.bias
        zeros = lambda *shape: np.zeros_like(like, shape=(n, *shape))
        told = [layer.told(context) for layer in self.layers]
        rows = [zeros(layer.down.weight.shape[0], width, layer.down.weight.shape[2]) for layer in self.layers]
        for r in shown(range(height), progress):
            v, shares = thermometer(k[:, r - 1 : r], self.levels, like) if r else zeros(1, width, self.levels), []
            for i, layer in enumerate(self.layers):
                rows[i] = slide(rows[i], v, 1)
                v, share = layer.vertical(rows[i], told[i][:, r : r + 1], whole=False)
                shares.append(share)
            pixels = [zeros(1, *layer.right.weight.shape[1:3]) for layer in self.layers]
            for c in range(width):
                h = thermometer(k[:, r : r + 1, c - 1 : c], self.levels, like) if c else zeros(1, 1, self.levels)
                for i, layer in enumerate(self.layers):
                    pixels[i] = slide(pixels[i], h, 2)
                    h = layer.horizontal(pixels[i], shares[i][:, :, c : c + 1], whole=False)
                drawn = draw(self.head(silu(h))[:, 0, 0] + self.bias[r, c], rng)
                k[:, r, c] = np.where(known[:, r, c], k[:, r, c], drawn)
        return k

    @classmethod
    def fit(
        cls, k, levels, *, rng, context=None, width=32, layers=4, reach=1, first_reach=3, steps=1000, batch_size=32, optimizer=None,
        dtype=np.float32, **training,
    ):  # fmt: skip
        """Train by Adam on −log p. The rest goes to `minigen.train.minimise`. Raises ValueError or TypeError for data that does not fit."""
        check_levels(k, levels)
        if context is not None:
            check_data(context, rank=4, name="context")
        model = cls.init(rng, k.shape[1:], levels, width, layers, reach, first_reach, 0 if context is None else context.shape[-1], dtype)
        flat, context = model.flat(k, context)
        loss = lambda model, batch, rng: model.loss(batch["k"], batch["context"])
        data, optimizer = {"k": flat, "context": context}, optimizer or Adam(cosine(4e-3, steps))
        return minimise(loss, model, data, rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer, **training)[0]
