"""Squared distances between all rows of two sets, block by block, and comparisons of them that no rounding decides.

Notation: x (n, D) and y (m, D); o ∈ ℝᴰ any origin; ε the distance from 1 to the next number of the floating-point type.

    d²(x, y) = Σⱼ (xⱼ − yⱼ)²                                                                             (1)
             = ‖x − o‖² + ‖y − o‖² − 2 (x − o)·(y − o),   one matrix product for all pairs               (2)
    |(2) as computed − d²| ≤ 8 √D ε (‖x − o‖² + ‖y − o‖²)                                                (3)
    r²ₖ(x) = the k-th smallest of d²(x, y) over the other rows y of x's own set                          (4)

(2) is a hundred times faster than (1), but rounding decides what it says of distances that are nearly equal: of two equal rows,
or of the points of a grid. So the few pairs that (3) leaves open are computed again by (1), in float64, and a float32 set gives
the same answers as its float64 copy. (3) has √D and not D because roundings have either sign (Higham & Mary 2019, "A new approach
to probabilistic rounding error analysis"); an origin near the data keeps it small.
"""

import math

import numpy as np

from minigen.backend import array_module


def robust_origin(x):
    """A point (D,) amid the rows of x: the median of up to 65 of them, so that far outliers do not move it."""
    rows = x[:: -(-x.shape[0] // 65)]
    return np.median(rows[: rows.shape[0] - 1 + rows.shape[0] % 2], axis=0)  # of an odd number: entries of x, not rounded


def moderate(*sets):
    """(sets, scale): the sets over a power of two, which rounds nothing and moves no order, where squares might else overflow or vanish."""
    high, low = (f(np.stack([f(x, axis=0) for x in sets]), axis=0) for f in (np.max, np.min))
    exponent = math.frexp(float(np.max(high / 2 - low / 2)))[1]
    if -20 <= exponent <= 20:
        return sets, 1.0
    exponent = min(max(exponent, np.finfo(sets[0].dtype).minexp), 1023)
    return [x * 2.0**-exponent for x in sets], 2.0**exponent


class SquaredDistances:
    """d² from each row of x (n, D) to each of y (m, D), finite, of one floating-point type: by (2) in blocks, by (1) on demand."""

    def __init__(self, x, y):
        self.x, self.y, self.origin = x, y, robust_origin(y)
        self.y_centred = y - self.origin  # of x, which may be large too, only a block is copied
        self.step = max((2**22 if array_module(x) is np else 2**26) // y.shape[0], 1)
        self.y_norms = np.einsum("ij,ij->i", self.y_centred, self.y_centred)
        parts = (self.x_centred(slice(i, i + self.step)) for i in range(0, x.shape[0], self.step))
        self.x_norms = self.y_norms if x is y else np.concatenate([np.einsum("ij,ij->i", a, a) for a in parts])

    def x_centred(self, rows):
        """Some rows of x, less the origin."""
        return self.y_centred[rows] if self.x is self.y else self.x[rows] - self.origin

    def blocks(self):
        """Yield (rows, d): a slice of the rows of x and their d² to all of y, which by rounding may be below 0. The next overwrites d."""
        library, n, m = array_module(self.x), self.x.shape[0], self.y.shape[0]
        buffer = library.empty((min(self.step, n), m), self.x.dtype)
        for start in range(0, n, self.step):
            rows = slice(start, min(start + self.step, n))
            d = np.matmul(-2 * self.x_centred(rows), self.y_centred.T, out=buffer[: rows.stop - start])  # (2)
            d += self.x_norms[rows, None]
            d += self.y_norms
            yield rows, d

    def error(self, norms):
        """How far (2) may be from d², for ‖x − o‖² + ‖y − o‖² = norms."""
        return 8 * math.sqrt(self.x.shape[1]) * float(np.finfo(self.x.dtype).eps) * norms  # (3)

    def block_error(self, rows):
        """The largest error in a block, a number."""
        return float(self.error(np.max(self.x_norms[rows]) + np.max(self.y_norms)))

    def settle(self, v, i, j, t):
        """The d² of x[i] and y[j], in float64: exact where the approximate v is near t (two errors or less), else v. All are (l,)."""
        v = v.astype(np.float64)
        unsure = np.flatnonzero(np.abs(v - t) < 2 * self.error(self.x_norms[i] + self.y_norms[j]))
        step = 2**18 // self.x.shape[1] + 1
        for part in (unsure[p : p + step] for p in range(0, unsure.shape[0], step)):
            v[part] = np.sum((self.x[i[part]].astype(np.float64) - self.y[j[part]]) ** 2, axis=1)  # (1)
        return v

    def within(self, rows, d, t, ties):
        """Whether d² ≤ t (ties="inside") or d² < t (ties="outside"), (b, m), for the block d and t in float64, (b, 1) or (1, m)."""
        error = self.block_error(rows)
        inside, possible = d < (t - error).astype(d.dtype), d <= (t + error).astype(d.dtype)
        i, j = places(inside != possible)
        t = t[i if t.shape[0] > 1 else 0, j if t.shape[1] > 1 else 0]
        v = self.settle(d[i, j], i + rows.start, j, t)
        inside[i, j] = v <= t if ties == "inside" else v < t
        return inside


def places(mask):
    """(rows, columns) where a mask holds, row by row; np.nonzero is ten times slower on a matrix than on a vector."""
    place = np.flatnonzero(mask)
    return place // mask.shape[1], place % mask.shape[1]


def bound_of_smallest(d, k):
    """No less than the k-th smallest in each row of d, and mostly just that, (b, 1): that of the minima of groups of columns."""
    while d.shape[1] >= 32 * k:
        half = d.shape[1] // 2
        d = np.minimum(d[:, :half], d[:, half : 2 * half])
    return np.partition(d, k - 1, axis=1)[:, k - 1 : k]


def squared_radii(x, k):
    """r²ₖ (n,), in float64, of the rows of x (n, D), n > k."""
    distances, radii = SquaredDistances(x, x), []
    for rows, d in distances.blocks():
        d.reshape(-1)[rows.start :: x.shape[0] + 1] = math.inf  # a row is no neighbour of its own; its duplicates are
        i, j = places(d <= bound_of_smallest(d, k) + 2 * distances.block_error(rows))
        v, first = d[i, j], np.searchsorted(i, array_module(x).arange(d.shape[0]))
        kth = lambda v, i=i, first=first: v[np.lexsort(np.stack([v, i.astype(v.dtype)]))][first + (k - 1)]
        v = distances.settle(v, i + rows.start, j, kth(v)[i])  # so that what could be the k-th is exact
        radii.append(kth(v))  # (4)
    return np.concatenate(radii)
