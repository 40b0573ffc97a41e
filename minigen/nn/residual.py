"""Residual networks between images and vectors: the interface and the sizes of `images`, with residual blocks for its convolutions.

A convolution keeps the size, then each `ResBlock` halves it (encoder) or doubles it (decoder), as in Gulrajani et al. 2017, "Improved
Training of Wasserstein GANs", appendix F. The blocks' norms are group norms: an output depends on its own example alone, so that
the gradient of a critic at one image, whose norm a penalty holds near 1, is that image's own. The paths that skip the blocks carry
what a norm forgets, the level and the contrast of an image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minigen.functions import relu
from minigen.nn.conv import Conv2d, ResBlock
from minigen.nn.dense import Linear, gain
from minigen.nn.images import as_images, smallest


@dataclass
class ResidualEncoder:
    """Images (n, H, W, C), or flat ones (n, H·W·C), to vectors (n, out).

    >>> encoder = ResidualEncoder.init(np.random.default_rng(0), (16, 16, 3), 1)
    >>> encoder(np.zeros((5, 16, 16, 3), np.float32)).shape
    (5, 1)
    """

    stem: Conv2d
    blocks: list
    head: Linear
    event: tuple
    activation: Callable = relu

    @classmethod
    def init(cls, rng, event, n_out, widths=(32, 64, 128), activation=relu, output_gain=1.0, dtype=np.float32):
        """A convolution to widths[0], a halving block to each further width, a linear layer; output_gain 0 makes it begin as 0."""
        h, w = smallest(event, widths)
        stem = Conv2d.init(rng, event[2], widths[0], dtype=dtype)
        blocks = [ResBlock.init(rng, a, b, "down", activation, dtype=dtype) for a, b in pairwise(widths)]
        head = Linear.init(rng, h * w * widths[-1], n_out, gain(activation) * output_gain, dtype)
        return cls(stem, blocks, head, tuple(event), activation)

    def __call__(self, x):
        """(n, H, W, C) or (n, H·W·C) → (n, out)."""
        h = self.stem(as_images(x, self.event, "ResidualEncoder"))
        for block in self.blocks:
            h = block(h)
        return self.head(np.reshape(self.activation(h), (x.shape[0], -1)))


@dataclass
class ResidualDecoder:
    """Vectors (…, L) to images (…, H, W, C).

    >>> decoder = ResidualDecoder.init(np.random.default_rng(0), 10, (16, 16, 3))
    >>> decoder(np.zeros((2, 5, 10), np.float32)).shape
    (2, 5, 16, 16, 3)
    """

    stem: Linear
    blocks: list
    head: Conv2d
    start: tuple
    activation: Callable = relu

    @classmethod
    def init(cls, rng, n_in, event, widths=(32, 64, 128), activation=relu, output_gain=1.0, dtype=np.float32):
        """The mirror of a `ResidualEncoder` of these widths, which are listed from the full size to the smallest there and here."""
        start = (*smallest(event, widths), widths[-1])
        stem = Linear.init(rng, n_in, math.prod(start), dtype=dtype)
        blocks = [ResBlock.init(rng, a, b, "up", activation, dtype=dtype) for a, b in pairwise(widths[::-1])]
        head = Conv2d.init(rng, widths[0], event[2], gain=gain(activation) * output_gain, dtype=dtype)
        return cls(stem, blocks, head, start, activation)

    def __call__(self, z):
        """(…, L) → (…, H, W, C)."""
        h = np.reshape(self.stem(z), (-1, *self.start))
        for block in self.blocks:
            h = block(h)
        y = self.head(self.activation(h))
        return np.reshape(y, (*z.shape[:-1], *y.shape[1:]))
