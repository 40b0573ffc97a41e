"""Squared Euclidean distances between many points, a block of rows at a time, so that memory stays bounded."""

import numpy as np

from minigen.backend import array_module

BLOCK = 1 << 22  # distances in memory at a time


def check_points(**named):
    """The named arrays of points as float32 or float64, after checking that they are finite (n, D) with one D."""
    widths = set()
    for name, x in named.items():
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"{name} has shape {x.shape}; expected (n, D) with n, D ≥ 1: flatten images with x.reshape(len(x), -1)")
        if x.dtype.kind not in "fiub" or not bool(np.all(np.isfinite(x))):
            raise ValueError(f"{name} ({x.dtype}) holds values that are not finite real numbers")
        widths.add(x.shape[1])
    if len(widths) > 1:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in named.items())
        raise ValueError(f"the arrays differ in D, the number of columns: {shapes}")
    return [x if x.dtype in (np.float32, np.float64) else x.astype(np.float64) for x in named.values()]


def centred(x, *others):
    """x and others less the mean of x: the expansion of ‖a − b‖² loses digits far from the origin."""
    origin = np.mean(x, axis=0)
    return [a - origin for a in (x, *others)]


def squared_distance_blocks(a, b):
    """Yields (rows, d): a slice of the rows of a and their squared distances to all of b, as one matrix product a block."""
    rows = max(1, BLOCK // b.shape[0])
    norms = np.sum(b * b, axis=1)
    for start in range(0, a.shape[0], rows):
        part = a[start : start + rows]
        d = part @ (-2 * b.T)
        d += np.sum(part * part, axis=1)[:, None]
        d += norms
        yield slice(start, start + rows), np.maximum(d, 0, out=d)


def kth_neighbour_squared(x, k):
    """The squared distance of each row of x to its k-th nearest other row, (n,)."""
    found = []
    for rows, d in squared_distance_blocks(x, x):
        i = array_module(x).arange(d.shape[0])
        d[i, i + rows.start] = np.inf  # a point is not its own neighbour
        found.append(np.partition(d, k - 1, axis=1)[:, k - 1])
    return np.concatenate(found)
