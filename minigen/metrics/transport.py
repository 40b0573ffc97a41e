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

Two cheaper distances. The sliced one (Rabin, Peyré, Delon & Bernot 2011, "Wasserstein barycenter and its application to texture
mixing") is the mean over directions θ, uniform on the sphere, of what (2) gives for the projections:

    SW_p = (E_θ W_p(θᵀx, θᵀy)^p)^(1/p) ≤ W_p                                                              (4)

The entropic one (Cuturi 2013, "Sinkhorn distances") prefers plans that spread, and has a plan of a known form:

    P = argmin_P Σᵢⱼ Pᵢⱼ Cᵢⱼ + ε Σᵢⱼ Pᵢⱼ log (n m Pᵢⱼ),   Cᵢⱼ = d(xᵢ, yⱼ)^p                                 (5)
    Pᵢⱼ = 1/(n m) exp((fᵢ + gⱼ − Cᵢⱼ)/ε)                                                                   (6)
    fᵢ = −ε log 1/m Σⱼ exp((gⱼ − Cᵢⱼ)/ε),   gⱼ = −ε log 1/n Σᵢ exp((fᵢ − Cᵢⱼ)/ε),   in turns               (7)

each of which makes one of the sums of P right. Its cost Σᵢⱼ Pᵢⱼ Cᵢⱼ is at least W_p^p and tends to it as ε → 0; it is not 0 for equal sets.
"""

import math

import numpy as np

from minigen.backend import array_module, normal, to_host
from minigen.checks import as_sample_pair, check_count, check_rng
from minigen.functions import logsumexp
from minigen.metrics.distances import SquaredDistances, moderate
from minigen.metrics.likelihood import Estimate, mean_and_error

BYTES = {"assignment": 10, "linear program": 1500}  # of memory for each pair of points: 8 and 1340 were measured


def wasserstein(x, y, p=1, max_bytes=2**32):
    """W_p of samples x (n, D) and y (m, D), exact, a Python float in the units of the data; p ≥ 1.

    On a line (D = 1) it sorts, and takes millions of points. Otherwise it computes on the CPU with all n m distances: for n = m by
    assignment, half a second for 1,000 points; else by a linear program, 3 seconds for 300 (take n = m where you can). Its error:
    `uncertainty.with_error`, together; of few samples it is biased upwards. Raises ValueError before it starts if that may need more memory
    than max_bytes, and says how much.

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
    """∫ |X(t) − Y(t)|^p dt for each pair of rows of x (…, n) and y (…, m), both of which it overwrites.

    In units of 1/(n m) all steps are at whole numbers, so that none is misplaced.
    """
    x.sort(axis=-1)
    y.sort(axis=-1)
    n, m, library = x.shape[-1], y.shape[-1], array_module(x)
    if n == m:
        x -= y
        return np.mean(np.abs(x, out=x) ** p, axis=-1)  # (2)
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    lengths = library.asarray((np.diff(ends, prepend=0) / (n * m)).astype(x.dtype))
    i, j = (library.asarray((ends - 1) // k) for k in (m, n))
    return np.sum(lengths * np.abs(x[..., i] - y[..., j]) ** p, axis=-1)  # (2)


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


def sliced_wasserstein(x, y, rng, projections=200, p=2):
    """SW_p of samples x (n, D) and y (m, D) over random directions, with the standard error from them: an Estimate; p ≥ 1.

    Computed in the type of the samples. Raises TypeError or ValueError naming the argument that is wrong.

    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> sliced_wasserstein(x, x, np.random.default_rng(0)).mean
    0.0
    """
    check_rng(rng)
    check_count("projections", projections)
    if not 1 <= p < math.inf:
        raise ValueError(f"p is {p!r}; expected a number with 1 ≤ p < ∞")
    (x, y), scale = moderate(*as_sample_pair(x, y, ("x", "y")))
    directions = normal(rng, (projections, x.shape[1]), x)
    directions = directions / np.sqrt(np.sum(directions**2, axis=1, keepdims=True))
    block = max(2**22 // max(x.shape[0], y.shape[0]), 1)  # of directions, so that memory is bounded
    costs = [cost_on_a_line(t @ x.T, t @ y.T, p) for t in (directions[i : i + block] for i in range(0, projections, block))]
    mean, error = mean_and_error(np.concatenate(costs))
    root = scale * mean ** (1 / p)
    return Estimate(root, error * root / (p * mean) if mean else 0.0)  # (4)


def soft_minimum(x, y, potential, epsilon, p):
    """(−ε log 1/m Σⱼ exp((gⱼ − Cᵢⱼ)/ε) (n,), Σⱼ Pᵢⱼ Cᵢⱼ / Σⱼ Pᵢⱼ (n,)) for the potential g (m,), block by block of rows of x."""
    soft, costs = [], []
    for _, d in SquaredDistances(x, y).blocks():
        cost = np.maximum(d, 0) ** (p / 2)
        exponent = (potential - cost) / epsilon
        total = logsumexp(exponent, axis=1)
        soft.append(-epsilon * (total - math.log(y.shape[0])))  # (7)
        costs.append(np.sum(np.exp(exponent - total[:, None]) * cost, axis=1))
    return np.concatenate(soft), np.concatenate(costs)


def sinkhorn(x, y, epsilon, p=2, tolerance=1e-6, max_iter=10_000):
    """⟨P, C⟩ of the plan (5) between samples x (n, D) and y (m, D), a Python float in the units of C; ε > 0 has these units too.

    The iteration ends when each xᵢ sends 1/n to a relative `tolerance`; it needs about max C / ε rounds, of n m D operations and a
    fixed block of memory. Its error: `uncertainty.with_error`. Raises TypeError or ValueError naming the argument that is wrong, and
    RuntimeError where max_iter rounds were too few.
    """
    check_count("max_iter", max_iter)
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance is {tolerance!r}; expected a finite number > 0")
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon is {epsilon!r}; expected a finite number > 0")
    if not 1 <= p < math.inf:
        raise ValueError(f"p is {p!r}; expected a number with 1 ≤ p < ∞")
    (x, y), scale = moderate(*(a.astype(np.float64) for a in as_sample_pair(x, y, ("x", "y"))))
    exponent = p * math.log2(scale)
    if abs(exponent) > 1020 or abs(math.log2(epsilon) - exponent) > 900:
        raise ValueError(
            f"epsilon is {epsilon}, and distances are counted by {scale:.0e}: with p = {p}, costs or their ratio to epsilon"
            " are beyond float64; expected another unit, or epsilon nearer to the costs"
        )
    unit = 2.0**exponent  # of C and ε
    epsilon, f = epsilon / unit, np.zeros_like(x[:, 0])
    for _ in range(max_iter):
        g, _ = soft_minimum(y, x, f, epsilon, p)  # (7)
        new, costs = soft_minimum(x, y, g, epsilon, p)  # (7)
        sent = np.exp(np.minimum((f - new) / epsilon, 700.0))  # n Σⱼ Pᵢⱼ of (6) with f and g; early on it may overflow
        if float(np.max(np.abs(sent - 1))) < tolerance:
            return unit * float(np.mean(sent * costs))  # (5) (6)
        f = new
    reached = f"sinkhorn did not reach tolerance {tolerance} in {max_iter} rounds"
    raise RuntimeError(f"{reached}; expected a larger epsilon than {epsilon * unit}")
