"""Images of squares, circles and triangles, after S. Rakhmanova Shchegrova, "Unsupervised Classification with Generative Models", 2022.

A class is (shape, base, sign, noise). Its three channels have the colour (base, base ± 0.1, base ± 0.2), with the sign of the class,
on a black ground, and every pixel of every channel carries Gaussian noise of standard deviation `noise`. Copies of a class differ
by their noise alone; with `vary` also by place and size. Values below 0 and above 1 are data: they are clipped only when drawn.

Lengths are in units of the frame's side; a shape's size is the side of its bounding box, which a square fills, a circle touches and
a triangle (upright, isosceles) touches with its base and apex: their areas are s², π s²/4 and s²/2.
"""

from typing import NamedTuple

import numpy as np

from minigen.backend import normal, uniform
from minigen.checks import check_count, check_rng

SHAPES = ("square", "circle", "triangle")
AREAS = (1.0, np.pi / 4, 0.5)  # of size 1
SIZE, SIZES = 0.5, (0.3, 0.7)  # the fixed size, and the range of sizes that vary


class ShapeClass(NamedTuple):
    """One class of images. `str` gives its name in a legend: square (0.7, +) 0.03."""

    shape: str
    base: float
    sign: int
    noise: float

    def __str__(self):
        return f"{self.shape} ({self.base:g}, {'+' if self.sign > 0 else '−'}) {self.noise:g}"


TRAIN_CLASSES = (ShapeClass("square", 0.7, 1, 0.03), ShapeClass("circle", 0.85, -1, 0.03))
TEST_CLASSES = (
    ShapeClass("square", 0.7, 1, 0.03),
    ShapeClass("square", 0.7, 1, 0.01),
    ShapeClass("square", 0.85, 1, 0.03),
    ShapeClass("circle", 0.85, -1, 0.03),
    ShapeClass("circle", 0.85, -1, 0.01),
    ShapeClass("circle", 0.85, 1, 0.03),
    ShapeClass("circle", 0.7, -1, 0.03),
    ShapeClass("triangle", 0.7, -1, 0.03),
    ShapeClass("triangle", 0.7, -1, 0.01),
    ShapeClass("triangle", 0.85, 1, 0.03),
)


def shapes(n_per_class, rng, size=64, classes=TRAIN_CLASSES, vary=False):
    """(x, y, factors): n_per_class images of each class, class after class.

    x: (n, size, size, 3) float32. y: (n,) int64, the index into `classes`. factors: a dict of what made each image, arrays whose
    first axis is n: "shape" (index into SHAPES), "base", "sign", "noise", "centre" (n, 2: from the left, from the top), "size", "area".
    With vary=True sizes are uniform in 0.3 … 0.7 and the bounding box is uniform in the frame; else both are in the middle.

    >>> x, y, factors = shapes(2, np.random.default_rng(0), size=16)
    >>> x.shape, y, factors["area"].round(3)
    ((4, 16, 16, 3), array([0, 0, 1, 1]), array([0.25 , 0.25 , 0.196, 0.196]))
    """
    check_count("n_per_class", n_per_class)
    check_count("size", size)
    check_rng(rng)
    classes = [check_class(c) for c in classes]
    if not classes:
        raise ValueError("classes is empty; expected at least one (shape, base, sign, noise)")
    y = np.repeat(np.arange(len(classes)), n_per_class)
    shape = np.array([SHAPES.index(c.shape) for c in classes])[y]
    base, sign, noise = (np.array([float(getattr(c, name)) for c in classes])[y] for name in ("base", "sign", "noise"))
    extent, centre = np.full(len(y), SIZE), np.full((len(y), 2), 0.5)
    if vary:
        extent = SIZES[0] + (SIZES[1] - SIZES[0]) * uniform(rng, extent.shape, extent)
        centre = extent[:, None] / 2 + uniform(rng, centre.shape, centre) * (1 - extent[:, None])
    colour = base[:, None] + sign[:, None] * np.array([0, 0.1, 0.2])
    x = normal(rng, (len(y), size, size, 3), np.zeros((), np.float32))
    for i in range(len(y)):
        x[i] = coverage(SHAPES[shape[i]], centre[i], extent[i], size)[..., None] * colour[i] + noise[i] * x[i]
    area = np.array(AREAS)[shape] * extent**2
    return x, y, {"shape": shape, "base": base, "sign": sign, "noise": noise, "centre": centre, "size": extent, "area": area}


def check_class(c):
    """c as a ShapeClass; ValueError where it is none."""
    try:
        c = ShapeClass(*c)
        good = c.shape in SHAPES and np.isfinite(c.base) and c.sign in (-1, 1) and 0 <= c.noise < np.inf
    except TypeError:
        good = False
    if not good:
        raise ValueError(f"classes holds {c!r}; expected (shape, base, sign, noise): one of {SHAPES}, a number, +1 or −1, a number ≥ 0")
    return c


def coverage(shape, centre, extent, size):
    """How much of each pixel a shape covers, (size, size) in [0, 1]: ½ minus its signed distance to the edge in pixels, clipped.

    A pixel whose centre lies on the edge is half covered; so edges are smooth, and the sum is the area in pixels, to one or two.
    """
    middle = (np.arange(size) + 0.5) / size
    a, b, half = middle - centre[0], (middle - centre[1])[:, None], extent / 2
    if shape == "square":
        distance = np.maximum(np.abs(a), np.abs(b)) - half
    elif shape == "circle":
        distance = np.sqrt(a * a + b * b) - half
    else:  # below the line from the apex (0, −half) to the corner (half, half), (2, −1)/√5 being normal to it, and above the base
        distance = np.maximum((2 * np.abs(a) - b - half) / np.sqrt(5), b - half)
    return np.clip(0.5 - distance * size, 0, 1)
