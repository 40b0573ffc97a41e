"""k-means clustering.  Lloyd 1982, "Least squares quantization in PCM"; Arthur & Vassilvitskii 2007, "k-means++".

Notation: xᵢ ∈ ℝᴰ for i = 1 … n; centres c_j ∈ ℝᴰ and labels aᵢ ∈ {1 … k}; [·] is 1 where the condition holds, else 0.

    J(a, c) = Σᵢ ‖xᵢ − c_{aᵢ}‖²,  the inertia, in squared units of x                                     (1)
    aᵢ = argmin_j ‖xᵢ − c_j‖²                                    minimises J for fixed centres           (2)
    n_j = Σᵢ [aᵢ = j],   s_j = Σᵢ [aᵢ = j] xᵢ                    sums over the data: they merge by +     (3)
    c_j = s_j / n_j                                              minimises J for fixed labels            (4)

Lloyd's algorithm alternates (2) and (4). J never rises and there are finitely many labellings, so that it ends: when no label
changes. (2) is one matrix product, with any origin m; one near the data avoids the cancellation of large squares:

    ‖x − c‖² = ‖x − m‖² + c′·(c′ + 2m) − 2 x·c′,   c′ = c − m                                            (5)

and from the second round on (3) only needs the points whose label changed from aᵢ to a′ᵢ:

    s′_j = s_j + Σᵢ ([a′ᵢ = j] − [aᵢ = j]) xᵢ,   likewise n′_j                                           (6)

k-means++ draws the first centre uniformly from the data and each further one in proportion to the squared distance to the
nearest so far, which makes E[J] ≤ 8 (log k + 2) times the least J:

    P(c = xᵢ) = D²(xᵢ) / Σₗ D²(xₗ),   D²(x) = min over the centres so far of ‖x − c‖²                    (7)

As a generative model, k-means is a vector quantiser: it has no density, but draws its centres by frequency:

    P(x = c_j) = n_j / n                                                                                 (8)
"""

from dataclasses import dataclass, field

import numpy as np

from minigen.backend import array_module, keep_memory, like, uniform
from minigen.checks import check_columns, check_data


def blocks(n, width, x):
    """Slices that cut n rows so that an array (rows, width) stays small: of a few MB on a CPU, larger on a GPU."""
    size = max(min(8192, 2**20 // width) if array_module(x) is np else 2**26 // width, 1)
    return [slice(start, start + size) for start in range(0, max(n, 1), size)]


def expand(centers, origin):
    """(W (D, k), b (k,)) such that x @ W + b = ‖x − c‖² − ‖x − m‖², for centers (k, D) and any origin m (D,)."""
    shifted = centers - origin
    return (-2 * shifted.T).copy(), np.sum(shifted * (shifted + 2 * origin), axis=1)  # (5)


def least(d, b):
    """(labels (n,), minima (n,)) of the rows of d + b for d (n, k) and b (k,); the first of equal ones. d is overwritten."""
    k = d.shape[1]
    if k > 32 or array_module(d) is not np:
        d += b
        return np.argmin(d, axis=1), np.min(d, axis=1)
    # NumPy pays for every short row; a few passes over whole columns are several times faster.
    columns = d.T.copy()
    columns += b[:, None]
    minima = np.min(columns, axis=0)
    rank = np.arange(k, 0, -1, dtype=np.int8)[:, None]
    return (k - np.max((columns == minima) * rank, axis=0)).astype(np.int64), minima


def squared_norms(x, origin):
    """‖x − m‖² (n,)."""
    return np.concatenate([np.einsum("id,id->i", d, d) for d in (x[b] - origin for b in blocks(*x.shape, x))])


def assign(x, centers, origin):
    """(labels (n,), ‖x − c‖² − ‖x − m‖² (n,)) for the centre nearest to each x, block by block."""
    weights, offsets = expand(centers, origin)
    found = [least(x[b] @ weights, offsets) for b in blocks(x.shape[0], centers.shape[0], x)]  # (2)
    labels, distances = zip(*found, strict=True)
    return np.concatenate(labels), np.concatenate(distances)


def one_hot(labels, k, x):
    """[aᵢ = j] (k, n), in the library and dtype of x."""
    return (array_module(x).arange(k)[:, None] == labels).astype(x.dtype)


def statistics(x, r):
    """(Σᵢ r_jᵢ (k,), Σᵢ r_jᵢ xᵢ (k, D)) in float64, for memberships r (k, n): add them up over blocks, or over machines."""
    return np.sum(r, axis=1, dtype=np.float64), (r @ x).astype(np.float64)  # (3)


def change(x, rows, old, new, k):
    """What is added to the statistics when the given rows of x leave their old labels for new ones; −1 is no cluster."""
    counts, sums = 0, 0
    for b in blocks(rows.shape[0], k, x):
        i = rows[b]
        part = x[b] if rows.shape[0] == x.shape[0] else np.take(x, i, axis=0)
        n, s = statistics(part, one_hot(new[i], k, x) - one_hot(old[i], k, x))  # (6)
        counts, sums = counts + n, sums + s
    return counts, sums


def means(counts, sums, x, distances):
    """The centres (k, D). An empty cluster has no mean: its centre becomes a datum among the farthest from their centres.

    That cannot raise J: no label points to an empty cluster, and the next labels are better for having the choice.
    """
    centers = (sums / np.maximum(counts, 1)[:, None]).astype(x.dtype)  # (4)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        centers[empty] = x[np.argsort(-distances)[: empty.size]]
    return centers


def kmeans_plus_plus(x, k, rng, origin):
    """k rows of x (k, D), drawn far from each other."""
    norms = squared_norms(x, origin)
    nearest, centers = np.ones_like(norms), []
    for j in range(k):
        cumulative = np.cumsum(nearest, dtype=np.float64)
        u = uniform(rng, (1,), cumulative) * cumulative[-1]
        # Where fewer than j + 1 points are distinct, all distances are 0 and the search ends beyond the last.
        i = np.minimum(np.searchsorted(cumulative, u, side="right"), x.shape[0] - 1)  # (7)
        centers.append(x[i])
        weights, offsets = expand(x[i], origin)
        d = np.maximum(norms + (x @ weights + offsets)[:, 0], 0)
        nearest = d if j == 0 else np.minimum(nearest, d)
    return np.concatenate(centers)


def choose(rng, p, n):
    """Indices (n, …) drawn from the unnormalised probabilities p (k, …) along the first axis; one of probability 0 never."""
    cumulative = np.cumsum(p, axis=0, dtype=np.float64)
    u = uniform(rng, (n, *p.shape[1:]), cumulative) * cumulative[-1]
    return np.sum(cumulative[:, None] <= u, axis=0)


@dataclass
class KMeans:
    """k centres: centers (k, D), weights (k,) the frequencies n_j/n, history the inertia after 0, 1, 2 … rounds.

    >>> model = KMeans.fit(np.array([[0.0], [1.0], [10.0], [11.0]]), k=2, rng=np.random.default_rng(0))
    >>> np.sort(model.centers, axis=0).T, model.inertia, model.predict(np.array([[2.0], [9.0]])) == model.predict(np.array([[0.0], [11.0]]))
    (array([[ 0.5, 10.5]]), np.float64(1.0), array([ True,  True]))
    """

    centers: np.ndarray
    weights: np.ndarray
    history: np.ndarray = field(metadata={"static": True})

    @property
    def inertia(self):
        """J of the data, Σᵢ ‖xᵢ − c_{aᵢ}‖²: a sum, not a mean."""
        return self.history[-1]

    def predict(self, x):
        """The index (n,) of the centre nearest to each x (n, D); the first of equally near ones."""
        check_columns(x, self.centers.shape[1])
        return assign(x, self.centers, self.weights @ self.centers)[0]

    def sample(self, n, rng):
        """n centres (n, D), drawn by their frequencies."""
        return self.centers[choose(rng, self.weights, n)]  # (8)

    @classmethod
    def fit(cls, x, k, *, rng=None, init="k-means++", max_iter=300):
        """Lloyd's algorithm on x (n, D) with n ≥ k, until no label changes or after max_iter rounds.

        init: "k-means++", or the first centres (k, D). Where fewer than k points are distinct, some weights are 0 in the end.
        Raises TypeError or ValueError for data that are not finite floats (n, D), n < k, or other arguments than these.
        """
        check_data(x)
        n, d = x.shape
        if not 1 <= k <= n:
            raise ValueError(f"k is {k}; expected 1 ≤ k ≤ n = {n}, the number of points")
        if max_iter < 0:
            raise ValueError(f"max_iter is {max_iter}; expected ≥ 0")
        if isinstance(init, str) and init != "k-means++":
            raise ValueError(f"init is {init!r}; expected 'k-means++' or centres (k, D)")
        if isinstance(init, str) and rng is None:
            raise ValueError("rng is None; expected a np.random.Generator, from which k-means++ draws")
        if not isinstance(init, str) and getattr(init, "shape", None) != (k, d):
            raise ValueError(f"init is {init!r}; expected centres (k, D) = {(k, d)}, or 'k-means++'")
        keep_memory()
        origin = np.mean(x, axis=0)
        centers = kmeans_plus_plus(x, k, rng, origin) if isinstance(init, str) else like(x, init)
        norms, labels = squared_norms(x, origin), array_module(x).full(n, -1)
        counts, sums, history = 0, 0, []
        while True:
            new, distances = assign(x, centers, origin)
            distances = np.maximum(norms + distances, 0)
            history.append(np.sum(distances, dtype=np.float64))  # (1)
            changed = np.flatnonzero(new != labels)
            if changed.size:
                delta = change(x, changed, labels, new, k)
                counts, sums, labels = counts + delta[0], sums + delta[1], new
            if not changed.size or len(history) > max_iter:
                return cls(centers, (counts / n).astype(x.dtype), np.stack(history))
            centers = means(counts, sums, x, distances)
