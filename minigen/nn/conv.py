"""Convolutional layers for images (n, H, W, C).

Weights begin as N(0, gain²/fan) with fan the number of terms in the sum that makes an output pixel: kh kw in / groups for a
convolution, kh kw in / stride² on average for a transposed one (`dense` explains the gain). Biases begin at 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigen.convolution import conv2d, conv_transpose2d, expect_images, pair
from minigen.functions import silu
from minigen.nn.dense import gain, initial
from minigen.nn.norm import GroupNorm
from minigen.pooling import avg_pool, upsample


@dataclass
class Conv2d:
    """Convolution with a bias; stride, padding, dilation and groups are those of `minigen.convolution.conv2d`.

    >>> conv = Conv2d.init(np.random.default_rng(0), 1, 32, kernel=3, stride=2)
    >>> conv(np.zeros((5, 28, 28, 1), np.float32)).shape
    (5, 14, 14, 32)
    """

    weight: np.ndarray  # (kh, kw, in / groups, out)
    bias: np.ndarray  # (out,)
    stride: int = 1
    padding: object = "same"
    dilation: int = 1
    groups: int = 1

    @classmethod
    def init(cls, rng, n_in, n_out, kernel=3, stride=1, padding="same", dilation=1, groups=1, gain=1.0, dtype=np.float32):
        """W ~ N(0, gain² groups / (kh kw in)), b = 0."""
        if n_in % groups or n_out % groups:
            raise ValueError(f"Conv2d.init: groups is {groups}; expected a divisor of n_in = {n_in} and n_out = {n_out}")
        shape = (*pair("kernel", kernel), n_in // groups, n_out)
        weight = initial(rng, shape, math.prod(shape[:3]), gain, dtype)
        return cls(weight, np.zeros(n_out, dtype), stride, padding, dilation, groups)

    def __call__(self, x):
        """(n, H, W, in) → (n, H′, W′, out)."""
        return conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups, self.bias)


@dataclass
class ConvTranspose2d:
    """Transposed convolution with a bias: with padding "same" it makes images `stride` times as large."""

    weight: np.ndarray  # (kh, kw, in, out)
    bias: np.ndarray  # (out,)
    stride: int = 2
    padding: object = "same"

    @classmethod
    def init(cls, rng, n_in, n_out, kernel=4, stride=2, padding="same", gain=1.0, dtype=np.float32):
        """W ~ N(0, gain² stride² / (kh kw in)), b = 0. A kernel that is a multiple of the stride treats all pixels alike."""
        shape = (*pair("kernel", kernel), n_in, n_out)
        fan = math.prod(shape[:3]) / math.prod(pair("stride", stride))
        return cls(initial(rng, shape, fan, gain, dtype), np.zeros(n_out, dtype), stride, padding)

    def __call__(self, x):
        """(n, H, W, in) → (n, H′, W′, out)."""
        return conv_transpose2d(x, self.weight, self.stride, self.padding) + self.bias


@dataclass
class ResBlock:
    """Residual block in the pre-activation order: y = skip(x) + conv(act(norm(conv(act(norm(x))) + shift))).

    He et al. 2016, "Identity Mappings in Deep Residual Networks", with the group normalisation, the shift between the two
    convolutions and the resampling that generative models use (Ho et al. 2020, "Denoising Diffusion Probabilistic Models",
    appendix B; Brock et al. 2019, "Large Scale GAN Training", appendix B). The skip is the identity, or a 1 × 1 convolution
    where the number of channels changes. "up" doubles the image before the first convolution, "down" halves it after.
    """

    norms: list
    convs: list
    skip: object
    resample: str | None = None
    activation: Callable = silu

    @classmethod
    def init(cls, rng, n_in, n_out, resample=None, activation=silu, groups=8, output_gain=1.0, dtype=np.float32):
        """3 × 3 convolutions behind norms of at most `groups` groups; with output_gain 0 the block begins as its skip."""
        if resample not in (None, "up", "down"):
            raise ValueError(f'ResBlock.init: resample is {resample!r}; expected None, "up" or "down"')
        norms = [GroupNorm.init(n, math.gcd(groups, n), dtype=dtype) for n in (n_in, n_out)]
        g = gain(activation)
        convs = [Conv2d.init(rng, n_in, n_out, gain=g, dtype=dtype), Conv2d.init(rng, n_out, n_out, gain=g * output_gain, dtype=dtype)]
        skip = None if n_in == n_out else Conv2d.init(rng, n_in, n_out, 1, dtype=dtype)
        return cls(norms, convs, skip, resample, activation)

    def __call__(self, x, shift=None):
        """(n, H, W, in) → (n, H′, W′, out). The shift (n, out), say of a time or a class, is added between the convolutions."""
        expect_images("ResBlock", x)
        h = self.activation(self.norms[0](x))
        if self.resample == "up":
            x, h = upsample(x), upsample(h)
        h = self.convs[0](h)
        if self.resample == "down":
            x, h = avg_pool(x), avg_pool(h)
        if shift is not None:
            h = h + shift[:, None, None, :]
        h = self.convs[1](self.activation(self.norms[1](h)))
        return h + (x if self.skip is None else self.skip(x))
