"""Networks between images and vectors: what turns an image into a code or a score, and what turns a code into an image.

The first convolution keeps the size, each further one halves it; the decoder is the mirror of that. For 8 × 8 digits and widths
(32, 64, 128) the sizes are 8, 4, 2; for 28 × 28 images they are 28, 14, 7. A kernel of 4 with a stride of 2 treats all pixels alike
(Odena, Dumoulin & Olah 2016, "Deconvolution and Checkerboard Artifacts").
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minigen.functions import relu
from minigen.nn.conv import Conv2d, ConvTranspose2d
from minigen.nn.dense import Linear, gain


def smallest(event, widths):
    """(H, W) behind the last halving; ValueError where an image cannot be halved so often."""
    factor = 2 ** (len(widths) - 1)
    if len(event) != 3 or not widths or event[0] % factor or event[1] % factor:
        raise ValueError(f"event is {tuple(event)}; expected (H, W, C) with H and W multiples of {factor}, for widths {tuple(widths)}")
    return event[0] // factor, event[1] // factor


def as_images(x, event, name):
    """x (n, H, W, C) or (n, H·W·C) as (n, H, W, C); ValueError, which begins with the name, where that is not the event's shape."""
    if math.prod(x.shape[1:]) != math.prod(event):
        raise ValueError(f"{name}: x has shape {x.shape}; expected (n, {', '.join(map(str, event))})")
    return np.reshape(x, (x.shape[0], *event))


@dataclass
class ConvEncoder:
    """Images (n, H, W, C), or flat ones (n, H·W·C), to vectors (n, out).

    >>> encoder = ConvEncoder.init(np.random.default_rng(0), (8, 8, 1), 10)
    >>> encoder(np.zeros((5, 8, 8, 1), np.float32)).shape
    (5, 10)
    """

    convs: list
    head: Linear
    event: tuple
    activation: Callable = relu

    @classmethod
    def init(cls, rng, event, n_out, widths=(32, 64, 128), activation=relu, output_gain=1.0, dtype=np.float32):
        """Convolutions of the given widths and a linear layer; with output_gain 0 the network begins as the zero function."""
        h, w = smallest(event, widths)
        g = gain(activation)
        convs = [Conv2d.init(rng, event[2], widths[0], dtype=dtype)]
        convs += [Conv2d.init(rng, a, b, 4, 2, gain=g, dtype=dtype) for a, b in pairwise(widths)]
        head = Linear.init(rng, h * w * widths[-1], n_out, g * output_gain, dtype)
        return cls(convs, head, tuple(event), activation)

    def __call__(self, x):
        """(n, H, W, C) or (n, H·W·C) → (n, out)."""
        h = as_images(x, self.event, "ConvEncoder")
        for conv in self.convs:
            h = self.activation(conv(h))
        return self.head(np.reshape(h, (x.shape[0], -1)))


@dataclass
class ConvDecoder:
    """Vectors (…, L) to images (…, H, W, C).

    >>> decoder = ConvDecoder.init(np.random.default_rng(0), 10, (8, 8, 1))
    >>> decoder(np.zeros((3, 5, 10), np.float32)).shape
    (3, 5, 8, 8, 1)
    """

    stem: Linear
    convs: list
    head: Conv2d
    start: tuple
    activation: Callable = relu

    @classmethod
    def init(cls, rng, n_in, event, widths=(32, 64, 128), activation=relu, output_gain=1.0, dtype=np.float32):
        """The mirror of a `ConvEncoder` of these widths, which are listed from the full size to the smallest there and here."""
        start = (*smallest(event, widths), widths[-1])
        g = gain(activation)
        stem = Linear.init(rng, n_in, math.prod(start), dtype=dtype)
        convs = [ConvTranspose2d.init(rng, a, b, gain=g, dtype=dtype) for a, b in pairwise(widths[::-1])]
        return cls(stem, convs, Conv2d.init(rng, widths[0], event[2], gain=g * output_gain, dtype=dtype), start, activation)

    def __call__(self, z):
        """(…, L) → (…, H, W, C)."""
        h = self.activation(np.reshape(self.stem(z), (-1, *self.start)))
        for conv in self.convs:
            h = self.activation(conv(h))
        y = self.head(h)
        return np.reshape(y, (*z.shape[:-1], *y.shape[1:]))
