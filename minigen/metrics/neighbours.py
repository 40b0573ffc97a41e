"""Nearest neighbours, and what they tell of copies and of support: which real datum is each sample nearest to?

Notation: samples xᵢ ∈ ℝᴰ, i = 1 … n, and yⱼ, j = 1 … m; d the Euclidean distance.

    the k nearest of xᵢ: the yⱼ of the k smallest d(xᵢ, yⱼ), of x itself without xᵢ                       (1)
"""

import math

import numpy as np

from minigen.checks import as_sample_pair, as_samples, check_count
from minigen.metrics.distances import SquaredDistances, moderate


def nearest_neighbours(x, y=None, k=1):
    """(index (n, k), distance (n, k)): the k rows of y (m, D) nearest to each row of x (n, D), the nearest first; y None: of x's others.

    Neighbours at equal distances come in the order of their rows, where rounding does not decide. Distances are float64. Raises
    TypeError or ValueError naming the argument that is wrong, and where there are fewer than k.

    >>> index, distance = nearest_neighbours(np.array([[0.0], [5.0]]), np.array([[1.0], [7.0], [4.5]]), k=2)
    >>> index.tolist(), distance.tolist()
    ([[0, 2], [2, 1]], [[1.0, 4.5], [0.5, 2.0]])
    """
    check_count("k", k)
    alone = y is None
    if alone:
        (x,), scale = moderate(as_samples(x, "x", least=k + 1))
        y = x
    else:
        (x, y), scale = moderate(*as_sample_pair(x, y, ("x", "y"), least=(1, k)))
    indices, distances = [], []
    for rows, d in SquaredDistances(x, y).blocks():
        if alone:
            d.reshape(-1)[rows.start :: y.shape[0] + 1] = math.inf
        # A few more than k by the fast formula, whose distances are then computed anew, without its rounding.
        some = min(k + 8, y.shape[0] - alone)
        found = np.sort(np.argpartition(d, some - 1, axis=1)[:, :some], axis=1)
        here = x[rows].astype(np.float64)
        exact = np.stack([np.sqrt(np.sum((here - y[found[:, j]]) ** 2, axis=1)) for j in range(some)], axis=1)
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        indices.append(np.take_along_axis(found, order, axis=1))
        distances.append(scale * np.take_along_axis(exact, order, axis=1))  # (1)
    return np.concatenate(indices), np.concatenate(distances)
