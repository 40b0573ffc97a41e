"""Pooling and upsampling of images (n, H, W, C).

Pooling is a reduction over `patches`, the windows of an image as an array; `fold`, which adds each window to the pixels where it
lay, is its adjoint.
"""

import numpy as np

from minigen.convolution import expect_images, frame, layout, overlap, pair, view
from minigen.tensor import primitive, vjp_of


@primitive
def patches(x, windows, fill):
    """The windows of images: (n, *size, *kernel, C)."""
    return view(frame(x, windows, fill), windows)


@primitive
def fold(g, windows, image):
    """The adjoint of patches: each window added to the pixels where it lay."""
    framed = np.zeros_like(g, shape=(len(g), *windows.extent, g.shape[5]))
    (sh, sw), (dh, dw), (h, w) = windows.stride, windows.dilation, windows.size
    for i, j in np.ndindex(*windows.kernel):
        framed[:, i * dh : i * dh + sh * h : sh, j * dw : j * dw + sw * w : sw] += g[:, :, :, i, j]
    x = np.zeros_like(g, shape=(len(g), *image, g.shape[5]))
    (from_h, to_h), (from_w, to_w) = map(overlap, windows.start, windows.extent, image)
    x[:, to_h, to_w] = framed[:, from_h, from_w]
    return x


vjp_of(patches, lambda g, y, x, windows, fill: fold(g, windows, x.shape[1:3]))
vjp_of(fold, lambda g, x, y, windows, image: patches(g, windows, 0.0))


def max_pool(x, size=2, stride=None, padding="valid"):
    """The maximum over windows of `size` pixels; stride = size by default. Ties share the gradient equally."""
    expect_images("max_pool", x)
    windows = layout(x.shape[1:3], pair("size", size), stride or size, padding, 1)
    return np.max(patches(x, windows, -np.inf), axis=(3, 4))


def avg_pool(x, size=2, stride=None, padding="valid"):
    """The mean over the pixels of windows that lie inside the image; stride = size by default."""
    expect_images("avg_pool", x)
    (n, h, w, c), (a, b) = x.shape, pair("size", size)
    if stride is None and h % a == w % b == 0:  # the windows tile the image: most uses, and the quickest
        return np.mean(np.reshape(x, (n, h // a, a, w // b, b, c)), axis=(2, 4))
    windows = layout((h, w), (a, b), stride or size, padding, 1)
    inside = patches(np.ones_like(x, shape=(1, *x.shape[1:3], 1)), windows, 0.0)
    return np.sum(patches(x, windows, 0.0), axis=(3, 4)) / np.sum(inside, axis=(3, 4))


def upsample(x, factor=2):
    """Each pixel as a square (or rectangle) of factor × factor equal pixels (nearest neighbour)."""
    expect_images("upsample", x)
    (n, h, w, c), (a, b) = x.shape, pair("factor", factor)
    return np.reshape(np.broadcast_to(np.reshape(x, (n, h, 1, w, 1, c)), (n, h, a, w, b, c)), (n, h * a, w * b, c))
