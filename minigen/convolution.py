"""Convolution and pooling of images (n, H, W, C).

    y[b, o, k] = Σᵢ Σ_c x[b, s o + d i − p, c] w[i, c, k]      with x = 0 outside; o, i, s, d, p are pairs (row, column)

This is the cross-correlation that deep learning calls convolution; s is the stride, d the dilation, p the padding. The
sum T(x, w, ȳ) = Σ ȳ y is linear in each of its three factors, and three primitives are its three partial derivatives:

    convolve = ∂T/∂ȳ       convolve_input = ∂T/∂x, the transposed convolution       convolve_weight = ∂T/∂w

Hence the pullbacks of each are the two others, and derivatives of any order exist. All three come down to products of
matrices: `columns` lays out the window of x that each output pixel sees as one row (im2col; Chellapilla, Puri & Simard
2006, "High Performance Convolutional Neural Networks for Document Processing"), for a block of images at a time.
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.backend import array_module
from minigen.derivatives import column_sums, mT
from minigen.functions import rows
from minigen.tensor import primitive, vjp_of


@dataclass(frozen=True)
class Windows:
    """Along each axis, output pixel o sees the pixels start + stride · o + dilation · i for i = 0, …, kernel − 1."""

    kernel: tuple
    size: tuple  # how many output pixels
    start: tuple
    stride: tuple
    dilation: tuple

    @property
    def reach(self):
        """How many pixels a window spans."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def extent(self):
        """How many pixels all windows span together."""
        return tuple(s * (n - 1) + r for n, s, r in zip(self.size, self.stride, self.reach, strict=True))


def overlap(start, extent, n):
    """Of the pixels start, …, start + extent − 1: which are among 0, …, n − 1, counted from start and counted from 0."""
    first = max(start, 0)
    last = max(min(start + extent, n), first)
    return slice(first - start, last - start), slice(first, last)


def frame(x, windows, fill, out=None):
    """The pixels of images that the windows span together, `fill` where there are none; `out` is an old frame to write over."""
    if windows.start == (0, 0) and windows.extent == x.shape[1:3]:
        return x
    if out is None:
        out = np.full_like(x, fill, shape=(len(x), *windows.extent, x.shape[3]))
    (to_h, from_h), (to_w, from_w) = map(overlap, windows.start, windows.extent, x.shape[1:3])
    out[: len(x), to_h, to_w] = x[:, from_h, from_w]
    return out[: len(x)]


def view(framed, windows):
    """The windows of a frame as a view (n, *size, *kernel, C) that is not to be written to."""
    (sh, sw), (dh, dw), (n, h, w, c) = windows.stride, windows.dilation, framed.strides
    shape = (len(framed), *windows.size, *windows.kernel, framed.shape[3])
    as_strided = array_module(framed).lib.stride_tricks.as_strided  # no function of NumPy that dispatches
    return as_strided(framed, shape, (n, sh * h, sw * w, dh * h, dw * w, c))


def columns(framed, windows, groups):
    """The windows as matrices (groups, pixels, kernel · C/groups).

    NumPy copies run by run, so the axis that is contiguous in memory should be long: with many channels a window's row of
    pixels, with few a row of output pixels, and then the transposed matrix is laid out (4 times faster at C = 1).
    """
    v = view(framed, windows)
    n, h, w, a, b, c = v.shape
    v = np.reshape(v, (n, h, w, a, b, groups, c // groups))
    if b * c // groups < 16:
        return mT(np.reshape(np.transpose(v, (5, 3, 4, 6, 0, 1, 2)), (groups, a * b * c // groups, n * h * w)))
    return np.reshape(np.transpose(v, (5, 0, 1, 2, 3, 4, 6)), (groups, n * h * w, a * b * c // groups))


def blocks(x, windows, groups):
    """(slice of images, their columns), so few images at a time that the columns stay in a CPU's cache."""
    budget = 2**21 if array_module(x) is np else 2**28
    step = max(1, budget // (math.prod(windows.size) * math.prod(windows.kernel) * x.shape[3]))
    framed = None
    for i in range(0, len(x), step):
        framed = frame(x[i : i + step], windows, 0.0, framed)
        yield slice(i, i + step), columns(framed, windows, groups)


def by_group(y, groups):
    """(…, groups · k) as matrices (groups, pixels, k)."""
    return np.swapaxes(np.reshape(y, (-1, groups, y.shape[-1] // groups)), 0, 1)


def joined(y, shape):
    """The inverse of by_group: matrices (groups, pixels, k) as an array of a shape."""
    return np.reshape(np.swapaxes(y, 0, 1), shape)


def correlate(x, w, windows, groups):
    """y[o] = Σᵢ x[start + stride · o + dilation · i] w[i]."""
    shape, dtype = (len(x), *windows.size, w.shape[3]), np.result_type(x.dtype, w.dtype)
    y = np.empty_like(x, dtype=dtype, order="C", shape=shape)  # by_group(y[block]) must be a view
    matrix = by_group(w, groups)
    for block, cols in blocks(x, windows, groups):
        np.matmul(cols, matrix, out=by_group(y[block], groups))
    return y


@primitive
def convolve(x, w, bias, windows, groups):
    """∂T/∂ȳ: images x (n, H, W, C) and weights w (*kernel, C/groups, K) → (n, *size, K). Adds a bias (K,), or 0.0."""
    y = correlate(x, w, windows, groups)
    y += bias
    return y


@primitive
def convolve_weight(x, y, windows, groups):
    """∂T/∂w: images x (n, H, W, C) and y (n, *size, K) → (*kernel, C/groups, K).

    w̄[i, c, k] = Σ over images b and output pixels o of x[b, s o + d i − p, c] y[b, o, k], for c and k of one group of channels.
    """
    shape = (*windows.kernel, x.shape[3] // groups, y.shape[3])
    w = np.zeros_like(x, shape=(groups, math.prod(shape[:3]), y.shape[3] // groups), dtype=np.result_type(x.dtype, y.dtype))
    for block, cols in blocks(x, windows, groups):
        w += mT(cols) @ by_group(y[block], groups)
    return joined(w, shape)


def subpixels(kernel, start, stride, dilation):
    """Along one axis, the convolution of stride 1 that undoes a stride, making `stride` pixels for each y[o] at once.

    y[o] came from the pixels r = start + stride · o + dilation · i. Write start = stride · f + e and e + dilation · i =
    stride · t + ρ with ρ < stride: then r = stride · m + ρ with o = m − f − t. So weight i, laid out at e + dilation · i,
    falls on place t of the kernel (counted backwards) and on pixel ρ of group m (Shi et al. 2016, "Is the deconvolution layer
    the same as a convolutional layer?"). Returns how many places t there are, where the weights lie, start and dilation.
    """
    f, e = divmod(start, stride)
    gap = 1 if stride == 1 else dilation
    places = -(-(e + gap * (kernel - 1) + 1) // stride)
    step = dilation // gap
    return places, slice(e, e + gap * (kernel - 1) + 1, gap), -f - step * (places - 1), step


@primitive
def convolve_input(y, w, windows, groups, image):
    """∂T/∂x: y (n, *size, K) and weights w (*kernel, C/groups, K) → (n, *image, C)."""
    c, k = w.shape[2:]
    a, b = windows.stride
    axes = zip(windows.kernel, windows.start, windows.stride, windows.dilation, strict=True)
    kernel, at, start, dilation = zip(*[subpixels(*axis) for axis in axes], strict=True)
    spread = np.zeros_like(w, shape=(kernel[0] * a, kernel[1] * b, c, k))
    spread[at] = w
    spread = np.reshape(spread, (kernel[0], a, kernel[1], b, c, groups, k // groups))[::-1, :, ::-1]
    spread = np.reshape(np.transpose(spread, (0, 2, 6, 5, 1, 3, 4)), (*kernel, k // groups, groups * a * b * c))
    h, v = -(-image[0] // a), -(-image[1] // b)
    pixels = correlate(y, spread, Windows(kernel, (h, v), start, (1, 1), dilation), groups)
    pixels = np.transpose(np.reshape(pixels, (len(y), h, v, groups, a, b, c)), (0, 1, 4, 2, 5, 3, 6))
    return np.reshape(pixels, (len(y), h * a, v * b, groups * c))[:, : image[0], : image[1]]


vjp_of(
    convolve,
    lambda g, y, x, w, bias, windows, groups: convolve_input(g, w, windows, groups, x.shape[1:3]),
    lambda g, y, x, w, bias, windows, groups: convolve_weight(x, g, windows, groups),
    lambda g, y, x, w, bias, windows, groups: column_sums(rows(g)),
)
vjp_of(
    convolve_weight,
    lambda g, w, x, y, windows, groups: convolve_input(y, g, windows, groups, x.shape[1:3]),
    lambda g, w, x, y, windows, groups: convolve(x, g, 0.0, windows, groups),
)
vjp_of(
    convolve_input,
    lambda g, x, y, w, windows, groups, image: convolve(g, w, 0.0, windows, groups),
    lambda g, x, y, w, windows, groups, image: convolve_weight(g, y, windows, groups),
)


def pair(name, value):
    """A positive integer, or a pair of them, as a pair."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(isinstance(v, int) and v >= 1 for v in both):
        raise ValueError(f"{name} is {value!r}; expected a positive integer or a pair of them")
    return both


def pads(padding, stride, reach, image):
    """The padding as pairs ((top, bottom), (left, right))."""
    if padding == "same":
        totals = [max(s * (-(-n // s) - 1) + r - n, 0) for n, s, r in zip(image, stride, reach, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    sides = 0 if padding == "valid" else padding
    sides = ((sides, sides),) * 2 if isinstance(sides, int) else sides
    if np.shape(sides) != (2, 2) or not all(isinstance(p, int) and p >= 0 for side in sides for p in side):
        raise ValueError(f'padding is {padding!r}; expected "same", "valid", an integer ≥ 0 or ((top, bottom), (left, right))')
    return sides


def layout(image, kernel, stride, padding, dilation):
    """The Windows of a convolution over images of a size."""
    stride, dilation = pair("stride", stride), pair("dilation", dilation)
    reach = Windows(kernel, (1, 1), (0, 0), stride, dilation).reach
    padding = pads(padding, stride, reach, image)
    size = tuple((n + sum(p) - r) // s + 1 for n, p, r, s in zip(image, padding, reach, stride, strict=True))
    if min(size) < 1:
        raise ValueError(f"the kernel spans {reach} pixels, but x has {image} and padding {padding}: no output pixel is left")
    return Windows(kernel, size, tuple(-p[0] for p in padding), stride, dilation)


def expect_images(name, x):
    """Raise unless x has the shape of images."""
    if x.ndim != 4:
        raise ValueError(f"{name}: x has shape {x.shape}; expected images (n, H, W, C)")


def expect_weight(name, w, x, groups=1):
    """Raise unless w has the shape of weights for the images x."""
    if w.ndim != 4 or w.shape[2] * groups != x.shape[3] or w.shape[3] % groups:
        raise ValueError(
            f"{name}: weight has shape {w.shape} and x {x.shape[3]} channels;"
            f" expected (kh, kw, {x.shape[3]}{f' / {groups}' * (groups > 1)}, out{f' divisible by {groups}' * (groups > 1)})"
        )


def conv2d(x, weight, stride=1, padding="same", dilation=1, groups=1, bias=0.0):
    """Images (n, H, W, C) and weight (kh, kw, C / groups, out) → (n, H′, W′, out).

    padding "same" gives H′ = ⌈H / stride⌉, an odd pixel at the bottom and right (as TensorFlow does); "valid" has none; an
    integer pads every side, ((top, bottom), (left, right)) each its own. With groups, the g-th group of `out` sees the
    g-th group of channels; groups = C is the depthwise convolution.

    >>> conv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)))[0, :, :, 0]
    array([[4., 6., 6., 4.],
           [6., 9., 9., 6.],
           [6., 9., 9., 6.],
           [4., 6., 6., 4.]])
    """
    expect_images("conv2d", x)
    expect_weight("conv2d", weight, x, groups)
    return convolve(x, weight, bias, layout(x.shape[1:3], weight.shape[:2], stride, padding, dilation), groups)


def conv_transpose2d(x, weight, stride=1, padding="same", dilation=1):
    """Images (n, H, W, C) and weight (kh, kw, C, out) → (n, H′, W′, out): the adjoint of conv2d from H′ × W′ down to H × W.

    padding "same" gives H′ = stride · H; else H′ = stride · (H − 1) + dilation · (kh − 1) + 1 − top − bottom.
    """
    expect_images("conv_transpose2d", x)
    expect_weight("conv_transpose2d", weight, x)
    strides, kernel, size = pair("stride", stride), weight.shape[:2], x.shape[1:3]
    whole = Windows(kernel, size, (0, 0), strides, pair("dilation", dilation))
    image = tuple(s * n for s, n in zip(strides, size, strict=True))
    if padding != "same":
        image = tuple(n - sum(p) for n, p in zip(whole.extent, pads(padding, strides, whole.reach, image), strict=True))
    if min(image) < 1:
        raise ValueError(f"conv_transpose2d: padding {padding!r} leaves an output of {image} pixels")
    return convolve_input(x, np.swapaxes(weight, 2, 3), layout(image, kernel, strides, padding, dilation), 1, image)
