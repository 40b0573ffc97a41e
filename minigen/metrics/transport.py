"""Optimal transport between samples: the least cost of carrying one cloud of points onto another.

Notation: x (n, D) with weight 1/n each, y (m, D) with weight 1/m each; d the Euclidean distance; P ≥ 0 an n × m plan, Pᵢⱼ the
mass that goes from xᵢ to yⱼ. Villani 2009, "Optimal Transport: Old and New", chapter 6; Peyré & Cuturi 2019, "Computational
Optimal Transport", §2.

    W_p(x, y) = (min_P Σᵢⱼ Pᵢⱼ d(xᵢ, yⱼ)^p)^(1/p),   Σⱼ Pᵢⱼ = 1/n,   Σᵢ Pᵢⱼ = 1/m                         (1)

It is a distance, in the units of the data: d itself for p = 1, not its square. On a line the plan that keeps the order is best,
so that the quantile functions X(t) and Y(t), which are steps at multiples of 1/n and 1/m, tell all:

    W_p = (∫₀¹ |X(t) − Y(t)|^p dt)^(1/p)                                                                  (2)

For n = m some best plan is a permutation π (Birkhoff: the plans' corners are), an assignment problem; else (1) is a linear program:

    W_p = (min_π 1/n Σᵢ d(xᵢ, y_π(i))^p)^(1/p)                                                            (3)
"""

import math

import numpy as np

from minigen.backend import to_host
from minigen.checks import as_sample_pair

BYTES = {"assignment": 10, "linear program": 1500}  # of memory for each pair of points: 8 and 1340 were measured


def wasserstein(x, y, p=1, max_bytes=2**32):
    """W_p of samples x (n, D) and y (m, D), exact, a Python float in the units of the data; p ≥ 1.

    On a line (D = 1) it sorts, and takes millions of points. Otherwise it computes on the CPU with all n m distances: for n = m by
    assignment, half a second for 1,000 points; else by a linear program, 3 seconds for 300 (take n = m where you can). Raises
    ValueError before it starts if that may need more memory than max_bytes, and says how much.

    >>> wasserstein(np.array([[0.0], [1.0]]), np.array([[5.0]])), wasserstein(np.array([[0.0], [1.0]]), np.array([[4.0], [3.0]]))
    (4.5, 3.0)
    """
    if not 1 <= p < math.inf:
        raise ValueError(f"p is {p!r}; expected a number with 1 ≤ p < ∞")
    x, y = (to_host(a).astype(np.float64) for a in as_sample_pair(x, y, ("x", "y")))
    spread = max(np.max(x), np.max(y)) / 2 - min(np.min(x), np.min(y)) / 2
    scale = 2.0 ** math.frexp(float(spread))[1]  # so that no power overflows or vanishes, and nothing is rounded
    x, y = x / scale, y / scale
    cost = cost_on_a_line(x[:, 0], y[:, 0], p) if x.shape[1] == 1 else cost_of_plan(x, y, p, max_bytes)
    return scale * float(cost) ** (1 / p)


def cost_on_a_line(x, y, p):
    """∫ |X(t) − Y(t)|^p dt for x (n,) and y (m,). In units of 1/(n m) all steps are at whole numbers, so that none is misplaced."""
    n, m = len(x), len(y)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    lengths = np.diff(ends, prepend=0) / (n * m)
    return np.sum(lengths * np.abs(np.sort(x)[(ends - 1) // m] - np.sort(y)[(ends - 1) // n]) ** p)  # (2)


def cost_of_plan(x, y, p, max_bytes):
    """The minimum over plans for x (n, D) and y (m, D)."""
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import eye, kron, vstack
    from scipy.spatial.distance import cdist

    n, m = len(x), len(y)
    problem = "assignment" if n == m else "linear program"
    need = BYTES[problem] * n * m
    if need > max_bytes:
        raise ValueError(
            f"x and y have {n} and {m} rows: exact transport, by {problem}, may need {need / 2**30:.1f} GiB of memory;"
            f" max_bytes allows {max_bytes / 2**30:.1f}. Take fewer rows{'' if n == m else ', or as many of each'}"
        )
    costs = cdist(x, y)
    costs **= p
    if n == m:
        return np.mean(costs[linear_sum_assignment(costs)])  # (3)
    rows, columns = kron(eye(n), np.ones((1, m))), kron(np.ones((1, n)), eye(m))
    mass = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return max(linprog(costs.reshape(-1), A_eq=vstack([rows, columns]).tocsc(), b_eq=mass, method="highs").fun, 0.0)  # (1)
