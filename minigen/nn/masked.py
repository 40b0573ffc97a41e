"""Layers with forbidden connections, which make a network autoregressive.

    MADE (Germain et al. 2015): a unit of degree m may see units of degree ≤ m, an output of degree m inputs of degree < m
    PixelCNN (van den Oord et al. 2016, "Pixel Recurrent Neural Networks"): a pixel may see those above it and those to its left
    in its row, and, with mask B but not with A, itself
"""

from dataclasses import dataclass

import numpy as np

from minigen.convolution import conv2d, pair
from minigen.functions import affine
from minigen.nn.dense import expect_last, initial


def degree_mask(degrees_in, degrees_out, strict=False):
    """Boolean (in, out): whether degree_in ≤ degree_out, or < if strict.

    >>> degree_mask([1, 2], [1, 2], strict=True)
    array([[False,  True],
           [False, False]])
    """
    before, after = np.asarray(degrees_in)[:, None], np.asarray(degrees_out)[None]
    return before < after if strict else before <= after


@dataclass
class MaskedLinear:
    """y = x (W ⊙ mask) + b."""

    weight: np.ndarray  # (in, out)
    bias: np.ndarray  # (out,)
    mask: np.ndarray  # (in, out), boolean

    @classmethod
    def init(cls, rng, mask, gain=1.0, dtype=np.float32):
        """W ~ N(0, gain² / m) with m the number of inputs that the output may see, b = 0."""
        if mask.ndim != 2 or mask.dtype != bool:
            raise ValueError(f"MaskedLinear.init: mask is {mask.dtype} of shape {mask.shape}; expected boolean (in, out)")
        fan = np.maximum(np.sum(mask, axis=0), 1) ** -0.5
        return cls(initial(rng, mask.shape, 1, gain, dtype) * fan.astype(dtype), np.zeros(mask.shape[1], dtype), mask)

    def __call__(self, x):
        """(…, in) → (…, out)."""
        expect_last("MaskedLinear", x, self.weight.shape[0])
        return affine(x, self.weight * self.mask, self.bias)


@dataclass
class MaskedConv2d:
    """Convolution of stride 1 that sees only earlier pixels in raster order."""

    weight: np.ndarray  # (kh, kw, in, out)
    bias: np.ndarray  # (out,)
    mask: np.ndarray  # (kh, kw, 1, 1), boolean

    @classmethod
    def init(cls, rng, n_in, n_out, kernel=3, kind="B", gain=1.0, dtype=np.float32):
        """Kind "A" (for the first layer) does not see the pixel itself, "B" does. W ~ N(0, gain² / (seen in)), b = 0."""
        kh, kw = pair("kernel", kernel)
        if kh % 2 == 0 or kw % 2 == 0:
            raise ValueError(f"MaskedConv2d.init: kernel is {kernel}; expected odd, so that it has a middle")
        if kind not in ("A", "B"):
            raise ValueError(f'MaskedConv2d.init: kind is {kind!r}; expected "A" or "B"')
        seen = kh // 2 * kw + kw // 2 + (kind == "B")
        mask = np.reshape(np.arange(kh * kw) < seen, (kh, kw, 1, 1))
        return cls(initial(rng, (kh, kw, n_in, n_out), max(seen, 1) * n_in, gain, dtype), np.zeros(n_out, dtype), mask)

    def __call__(self, x):
        """(n, H, W, in) → (n, H, W, out)."""
        return conv2d(x, self.weight * self.mask, bias=self.bias)
