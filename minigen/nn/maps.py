"""Networks between images and maps of vectors, for codes that have a place: those of van den Oord, Vinyals & Kavukcuoglu 2017, §4.1.

Each width of the encoder is a convolution with a kernel of 4 and a stride of 2, so that it halves the map; the decoder is its mirror.
Between the smallest maps there are residual blocks without norms. For 8 × 8 digits and widths (32, 64) the maps' sides are 4 and 2; for
28 × 28 images, 14 and 7.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minigen.functions import relu
from minigen.nn.conv import Conv2d, ConvTranspose2d
from minigen.nn.dense import gain


@dataclass
class Residual:
    """x + conv(act(conv(act(x)))): a 3 × 3 and a 1 × 1 convolution."""

    convs: list
    activation: Callable = relu

    @classmethod
    def init(cls, rng, width, activation=relu, dtype=np.float32):
        """A block for maps of `width` channels."""
        g = gain(activation)
        return cls([Conv2d.init(rng, width, width, kernel, gain=g, dtype=dtype) for kernel in (3, 1)], activation)

    def __call__(self, x):
        """(n, H, W, C) → (n, H, W, C)."""
        h = x
        for conv in self.convs:
            h = conv(self.activation(h))
        return x + h


@dataclass
class MapEncoder:
    """Images (n, H, W, C), or maps, to maps (n, h, w, L).

    >>> encoder = MapEncoder.init(np.random.default_rng(0), 1, 4, (32, 64))
    >>> encoder(np.zeros((5, 8, 8, 1), np.float32)).shape
    (5, 2, 2, 4)
    """

    convs: list
    block: Residual
    head: Conv2d
    activation: Callable = relu

    @classmethod
    def init(cls, rng, n_in, n_out, widths=(32, 64), activation=relu, dtype=np.float32):
        """Halving convolutions of the given widths, a residual block, and a 1 × 1 convolution."""
        g = gain(activation)
        convs = [Conv2d.init(rng, a, b, 4, 2, gain=g, dtype=dtype) for a, b in pairwise((n_in, *widths))]
        block = Residual.init(rng, widths[-1], activation, dtype)
        return cls(convs, block, Conv2d.init(rng, widths[-1], n_out, 1, gain=g, dtype=dtype), activation)

    def __call__(self, x):
        """(n, H, W, C) → (n, h, w, L)."""
        for conv in self.convs:
            x = self.activation(conv(x))
        return self.head(self.activation(self.block(x)))


@dataclass
class MapDecoder:
    """Maps (n, h, w, L) to images (n, H, W, C), or larger maps.

    >>> decoder = MapDecoder.init(np.random.default_rng(0), 4, 1, (32, 64))
    >>> decoder(np.zeros((5, 2, 2, 4), np.float32)).shape
    (5, 8, 8, 1)
    """

    stem: Conv2d
    block: Residual
    convs: list
    activation: Callable = relu

    @classmethod
    def init(cls, rng, n_in, n_out, widths=(32, 64), activation=relu, dtype=np.float32):
        """The mirror of a `MapEncoder` of these widths, which are listed from the largest map to the smallest there and here."""
        g = gain(activation)
        convs = [ConvTranspose2d.init(rng, a, b, gain=g, dtype=dtype) for a, b in pairwise((*widths[::-1], n_out))]
        return cls(Conv2d.init(rng, n_in, widths[-1], dtype=dtype), Residual.init(rng, widths[-1], activation, dtype), convs, activation)

    def __call__(self, q):
        """(n, h, w, L) → (n, H, W, C)."""
        h = self.block(self.stem(q))
        for conv in self.convs:
            h = conv(self.activation(h))
        return h
