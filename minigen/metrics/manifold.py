"""Precision and recall, density and coverage: which samples lie within the nearest-neighbour balls of the others.

Kynkäänniemi, Karras, Laine, Lehtinen & Aila 2019, "Improved precision and recall metric for assessing generative models";
Naeem, Oh, Uh, Choi & Yoo 2020, "Reliable fidelity and diversity metrics for generative models".

Notation: real xᵢ, i = 1 … N, and fake yⱼ, j = 1 … M, in ℝᴰ; d the Euclidean distance; k ≥ 1; [·] is 1 where the condition
holds, else 0; xᵢ's ball is the set of points within r(xᵢ) of it.

    r(xᵢ) = the k-th smallest of d(xᵢ, xₗ), l ≠ i;    r(yⱼ) likewise, among the fakes                    (1)
    precision = 1/M Σⱼ [yⱼ lies in the ball of some xᵢ]                                                  (2)
    recall = 1/N Σᵢ [xᵢ lies in the ball of some yⱼ]                                                     (3)
    density = 1/(kM) Σⱼ Σᵢ [yⱼ lies in the ball of xᵢ]                                                   (4)
    coverage = 1/N Σᵢ [some yⱼ lies in the ball of xᵢ]                                                   (5)

    realism(y) = maxᵢ r(xᵢ) / d(xᵢ, y)   over the half of the reals with the smaller r(xᵢ)               (7)

Precision, recall and coverage are in [0, 1]; density is not bounded by 1. Swapping real and fake swaps precision and recall.
Where both sets are draws from one continuous distribution, E[density] = 1, and whatever the distribution

    E[coverage] = 1 − ∏_{i<k} (N − 1 − i) / (N + M − 1 − i),   i = 0 … k − 1                             (6)

because the N − 1 other reals and the M fakes come in any order of distance from xᵢ, and no fake is in the ball where the first
k are reals. A sample at distance exactly r lies in the ball with ties="inside" (≤, as in the first paper) and out of it with
ties="outside" (<, as in the second one's code). It matters for duplicates and for data on a grid: fakes that repeat the reals
are all covered, but reals that are all alike have r = 0, so that ties="outside" scores even perfect fakes 0.
"""

import math
from typing import NamedTuple

import numpy as np

from minigen.checks import as_sample_pair
from minigen.metrics.distances import SquaredDistances, moderate, places, squared_radii


class PrecisionRecall(NamedTuple):
    """Two Python floats in [0, 1]."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Two Python floats: density ≥ 0, coverage in [0, 1]."""

    density: float
    coverage: float


class ManifoldScores(NamedTuple):
    """All four scores, Python floats."""

    precision: float
    recall: float
    density: float
    coverage: float


def check_arguments(real, fake, k, ties, both):
    """real and fake as floats of one type and one moderate scale, or a clear error; `both`: fakes too have neighbours."""
    if isinstance(k, bool) or not hasattr(k, "__index__") or k < 1:
        raise ValueError(f"k is {k!r}; expected a whole number ≥ 1")
    if ties not in ("inside", "outside"):
        raise ValueError(f"ties is {ties!r}; expected 'inside' (≤) or 'outside' (<)")
    sets = as_sample_pair(real, fake, ("real", "fake"))
    for x, name in zip(sets[: 1 + both], ("real", "fake"), strict=False):
        if x.shape[0] < k + 1:
            raise ValueError(f"{name} has {x.shape[0]} rows; expected at least k + 1 = {k + 1}, for k is {k}")
    return moderate(*sets)[0]


def neighbourhoods(real, fake, real_radii, fake_radii, ties):
    """(reals' balls around each fake (M,), whether a fake is in each real's ball (N,), whether each real is in a fake's (N,))."""
    distances, around_fake, occupied, recalled = SquaredDistances(real, fake), 0, [], []
    for rows, d in distances.blocks():
        inside = distances.within(rows, d, real_radii[rows, None], ties)
        around_fake = around_fake + np.sum(inside, axis=0, dtype=np.int32)
        occupied.append(np.any(inside, axis=1))
        if fake_radii is not None:
            recalled.append(np.any(distances.within(rows, d, fake_radii[None], ties), axis=1))
    return around_fake, np.concatenate(occupied), np.concatenate(recalled) if recalled else None


def manifold_scores(real, fake, k=5, ties="outside"):
    """All four scores of fake (M, D) against real (N, D) with one k, in little more time than `precision_recall`.

    Samples are floats, integers or booleans; N and M at least k + 1. Their errors: `uncertainty.with_error`. Raises TypeError or
    ValueError naming what is wrong.

    >>> manifold_scores(np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([[0.5], [0.75]]), k=1)
    ManifoldScores(precision=1.0, recall=0.0, density=2.0, coverage=0.5)
    """
    real, fake = check_arguments(real, fake, k, ties, both=True)
    real_radii, fake_radii = squared_radii(real, k), squared_radii(fake, k)  # (1)
    around_fake, occupied, recalled = neighbourhoods(real, fake, real_radii, fake_radii, ties)
    precision, recall = float(np.mean(around_fake > 0)), float(np.mean(recalled))  # (2) (3)
    density, coverage = float(np.mean(around_fake) / k), float(np.mean(occupied))  # (4) (5)
    return ManifoldScores(precision, recall, density, coverage)


def precision_recall(real, fake, k=3, ties="inside"):
    """How many fakes (M, D) look real, and how many reals (N, D) the fakes could have made: (precision, recall) in [0, 1].

    Samples are floats, integers or booleans; N and M at least k + 1. Their errors: `uncertainty.with_error`. Raises TypeError or
    ValueError naming what is wrong.

    >>> precision_recall(np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([[0.5], [0.75]]), k=1)
    PrecisionRecall(precision=1.0, recall=0.25)
    """
    return PrecisionRecall(*manifold_scores(real, fake, k, ties)[:2])


def density_coverage(real, fake, k=5, ties="outside"):
    """How densely reals (N, D) surround the fakes (M, D), and how many reals have a fake nearby: (density, coverage).

    Samples are floats, integers or booleans; N at least k + 1. Their errors: `uncertainty.with_error`. Raises TypeError or ValueError
    naming what is wrong.

    >>> density_coverage(np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([[0.5], [0.75]]), k=1)
    DensityCoverage(density=2.0, coverage=0.5)
    """
    real, fake = check_arguments(real, fake, k, ties, both=False)
    around_fake, occupied, _ = neighbourhoods(real, fake, squared_radii(real, k), None, ties)
    return DensityCoverage(float(np.mean(around_fake) / k), float(np.mean(occupied)))  # (4) (5)


def realism(real, fake, k=3):
    """How far each fake (M, D) lies inside the balls of the reals (N, D): (M,) float64; > 1 inside some ball, ∞ at a real.

    Balls with radii above the median are left out, because they are wide where reals are rare. The error of a mean of it:
    `uncertainty.with_error`. Raises as `precision_recall` does.

    >>> realism(np.array([[0.0], [1.0], [3.0], [4.0], [9.0]]), np.array([[0.5], [6.0]]), k=1)
    array([2. , 0.5])
    """
    real, fake = check_arguments(real, fake, k, "inside", both=False)
    radii = squared_radii(real, k)
    kept = np.flatnonzero(radii <= np.median(radii))
    real, radii, best = real[kept].astype(np.float64), radii[kept], 0
    distances = SquaredDistances(real, fake.astype(np.float64))
    for rows, d in distances.blocks():
        i, j = places(d < 2 * distances.block_error(rows))
        d[i, j] = distances.settle(d[i, j], i + rows.start, j, 0.0)  # so that a copy is at distance 0
        ratio = np.where(d > 0, radii[rows, None] / np.where(d > 0, d, 1), math.inf)
        best = np.maximum(best, np.max(ratio, axis=0))
    return np.sqrt(best)  # (7)


def expected_coverage(n_real, n_fake, k=5):
    """E[coverage] where fakes and reals are independent draws from one continuous distribution. ValueError unless 1 ≤ k < n_real.

    >>> round(expected_coverage(10_000, 10_000, 5), 4)
    0.9688
    """
    if not 1 <= k < n_real or n_fake < 1:
        raise ValueError(f"k is {k}, n_real is {n_real} and n_fake is {n_fake}; expected 1 ≤ k < n_real and n_fake ≥ 1")
    return 1 - math.prod((n_real - 1 - i) / (n_real + n_fake - 1 - i) for i in range(k))  # (6)
