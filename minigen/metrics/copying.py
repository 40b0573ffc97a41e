"""Does a model copy its training data, and how many different things does it make?

van den Burg & Williams 2021, "On memorization in probabilistic deep generative models"; Meehan, Chaudhuri & Dasgupta 2020,
"A non-parametric test to detect data-copying in generative models"; Alaa, van Breugel, Saveliev & van der Schaar 2022, "How faithful is
your synthetic data?"; Arora, Risteski & Zhang 2018, "Do GANs learn the distribution? Some theory and empirics".

Notation: d the Euclidean distance in features; x a training set, t test data, y generated data; d(a, S) the distance from a to the
nearest of S.

A model remembers xᵢ if it finds xᵢ likelier when it was trained on it. With models k = 1 … K, each trained without a part of the data:

    Mᵢ = log mean_{k: i in training} p_k(xᵢ) − log mean_{k: i held out} p_k(xᵢ)                          (1)

A generated yⱼ is authentic if the training datum nearest to it has a nearer neighbour in the training set:

    authenticity = 1/M Σⱼ [d(x*, x∖x*) < d(yⱼ, x*)],   x* the nearest of x to yⱼ                         (2)

Copies lie nearer to the training data than test data do. In each cell π of k-means on x, with n_t test and n_y generated data,

    U = Σ over pairs of [d(y, x) > d(t, x)] + ½ [d(y, x) = d(t, x)]                                      (3)
    Z_π = (U − n_t n_y/2) / √(n_t n_y (n_t + n_y + 1)/12 · (1 − Σ (c³ − c)/(N³ − N))),   c the sizes of ties of distance   (4)
    C_T = Σ_π P_π Z_π,   P_π the share of test data in π, over the cells where both have enough          (5)

C_T ≪ 0: copies; C_T ≫ 0: the model is too far from the data. For one cell it is N(0, 1) if the model is the truth; for several its
variance is smaller, so that a p-value from N(0, 1) is too large at most.

A sample of s draws has c pairs of duplicates, about a Poisson number of mean s(s − 1)/2N if N kinds are equally probable, whence

    N̂ = s(s − 1)/2c;   if they are not, N̂ estimates N = 1/Σ p²                                           (6)
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.backend import array_module, to_host
from minigen.checks import as_floats, as_sample_pair, as_samples, check_count, check_data, check_rng
from minigen.functions import logsumexp
from minigen.metrics.distances import SquaredDistances, moderate
from minigen.metrics.neighbours import nearest_neighbours
from minigen.models.kmeans import KMeans
from minigen.tree import is_array


class CopyingTest(NamedTuple):
    """C_T, the p-value of the alternative "it copies" (Python floats), and Z of each cell (NaN: too few), an array on the host."""

    __test__ = False  # it is no test of pytest's

    statistic: float
    p_value: float
    cells: np.ndarray


class Support(NamedTuple):
    """N̂ and its 95 % interval (Python floats, perhaps infinite), and the pairs of duplicates that were found."""

    size: float
    low: float
    high: float
    pairs: int


def memorization_score(log_probs, held_out):
    """Mᵢ (n,) in nats from log_probs (K, n) of K models, and held_out (K, n), whether a datum was kept from a model's training.

    The error of their mean: `mean_and_error`.
    Raises TypeError or ValueError unless each datum is in the training of some model and held out of another.

    >>> memorization_score(np.log([[0.5, 0.2], [0.3, 0.8]]), np.array([[False, True], [True, False]])).round(3)
    array([0.511, 1.386])
    """
    log_probs = as_floats(log_probs, "log_probs").astype(np.float64)
    if not is_array(held_out):
        raise TypeError(f"held_out is {type(held_out).__name__}; expected an array of booleans (K, n)")
    if log_probs.ndim != 2 or held_out.shape != log_probs.shape or held_out.dtype != bool:
        kinds = f"log_probs has shape {log_probs.shape}, held_out is {held_out.dtype} {held_out.shape}"
        raise ValueError(f"{kinds}; expected (K, n) and bool (K, n)")
    if not bool(np.all(log_probs < math.inf)):
        raise ValueError("log_probs has entries of NaN or +∞; expected log-probabilities")
    if not bool(np.all(np.any(held_out, axis=0) & np.any(~held_out, axis=0))):
        raise ValueError("held_out: some datum is held out of no model, or of all; expected both kinds for each datum")

    def log_mean(where):
        return logsumexp(np.where(where, log_probs, -math.inf), axis=0) - np.log(np.sum(where, axis=0, dtype=np.float64))

    inside, outside = log_mean(~held_out), log_mean(held_out)
    if bool(np.any((inside == -math.inf) & (outside == -math.inf))):
        raise ValueError("log_probs are −∞ for some datum in all models; expected one that finds it possible")
    return inside - outside  # (1)


def memorization_by_folds(fit, x, rng, folds=10):
    """Mᵢ (n,) of each row of x, by models fit(rows of x) trained without one of the folds; they have log_prob(x) → (n,) nats.

    The error of its mean: `mean_and_error`. Raises TypeError or ValueError naming the argument that is wrong.
    """
    check_rng(rng)
    check_data(x, rank=None)
    check_count("folds", folds)
    n = x.shape[0]
    if not 2 <= folds <= n:
        raise ValueError(f"folds is {folds}; expected 2 … n = {n}")
    fold = rng.permutation(np.arange(n) % folds)
    held_out = fold == np.arange(folds)[:, None]
    log_probs = np.stack([to_host(fit(x[np.flatnonzero(~rows)]).log_prob(x)) for rows in held_out])
    return memorization_score(log_probs, held_out)


def authenticity(train, fake):
    """The share of fakes (M, D) that are authentic with regard to a training set (N, D), N ≥ 2: a Python float in [0, 1].

    Its error: `uncertainty.with_error`. Raises TypeError or ValueError naming the argument that is wrong.

    >>> authenticity(np.array([[0.0], [1.0], [5.0]]), np.array([[0.1], [3.0]]))
    0.5
    """
    train, fake = as_sample_pair(train, fake, ("train", "fake"), least=(2, 1))
    nearest, distance = nearest_neighbours(fake, train)
    own = nearest_neighbours(train)[1][:, 0]
    return float(np.mean(own[nearest[:, 0]] < distance[:, 0]))  # (2)


def mann_whitney_z(a, b):
    """Z of (4): how much larger the numbers a (m,) are than b (n,); 0 where all are equal. Arrays on the host."""
    m, n = len(a), len(b)
    values = np.sort(b)
    u = np.sum(0.5 * (np.searchsorted(values, a, "left") + np.searchsorted(values, a, "right")))  # (3)
    sizes = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(float)
    total = m + n
    variance = m * n * (total + 1) / 12 * (1 - np.sum(sizes**3 - sizes) / (total**3 - total))
    return float((u - m * n / 2) / math.sqrt(variance)) if variance > 1e-12 * m * n * total else 0.0  # (4)


def data_copying_test(train, test, fake, rng=None, cells=1, least=10):
    """The test of data-copying for fakes (M, D), between a training and a test set, with its p-value: a CopyingTest.

    With cells > 1 the training set is cut by k-means (of rng); cells with fewer than `least` test or fake data are left out. Raises
    TypeError or ValueError naming the argument that is wrong, and where no cell has enough.
    """
    check_count("cells", cells)
    check_count("least", least)
    train, test = as_sample_pair(train, test, ("train", "test"))
    train, fake = as_sample_pair(train, fake, ("train", "fake"))
    test = test.astype(train.dtype, copy=False)
    to_train = [to_host(nearest_neighbours(x, train)[1][:, 0]) for x in (fake, test)]
    if cells == 1:
        cell = [np.zeros(len(d), int) for d in to_train]
    else:
        check_rng(rng)
        kmeans = KMeans.fit(train, cells, rng=rng)
        cell = [to_host(kmeans.predict(x)) for x in (fake, test)]
    z, share = np.full(cells, np.nan), np.zeros(cells)
    for i in range(cells):
        d_fake, d_test = (d[c == i] for d, c in zip(to_train, cell, strict=True))
        if min(len(d_fake), len(d_test)) >= least:
            z[i], share[i] = mann_whitney_z(d_fake, d_test), len(d_test)
    if not share.any():
        raise ValueError(f"fake and test have no cell of {cells} with at least {least} of both; take fewer cells or more data")
    statistic = float(np.nansum(share * z) / np.sum(share))  # (5)
    return CopyingTest(statistic, 0.5 * math.erfc(-statistic / math.sqrt(2)), z)


def birthday_paradox(x, threshold=0.0):
    """How many different things there are, from duplicates among samples x (s, D), s ≥ 2: a Support.

    Two samples are duplicates where they are at most `threshold` apart. The interval is exact for a Poisson number of pairs
    (Garwood 1936). Raises TypeError or ValueError naming the argument that is wrong.
    """
    from scipy.stats import chi2

    x = as_samples(x, "x", least=2)
    if not 0 <= threshold < math.inf:
        raise ValueError(f"threshold is {threshold}; expected a finite distance ≥ 0")
    (x,), scale = moderate(x)
    distances, limit, near = SquaredDistances(x, x), array_module(x).full((1, 1), (float(threshold) / scale) ** 2), 0
    for rows, d in distances.blocks():
        near += int(np.sum(distances.within(rows, d, limit, "inside")))
    s, pairs = x.shape[0], (near - x.shape[0]) // 2
    all_pairs = s * (s - 1) / 2
    few, many = (chi2.ppf(0.025, 2 * pairs) / 2 if pairs else 0.0), chi2.ppf(0.975, 2 * pairs + 2) / 2
    over = lambda c: float(all_pairs / c) if c else math.inf
    return Support(over(pairs), over(many), over(few), pairs)  # (6)
