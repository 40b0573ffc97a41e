"""Metrics of the data manifold: what samples look like, apart from what of the data they cover.

Notation: real points rᵢ (i = 1 … N) and generated ones gⱼ (j = 1 … M) in a feature space; ρₖ(x) the distance of x to its k-th
nearest neighbour in its own set, itself left out; balls B(x) = {y : ‖x − y‖ ≤ ρₖ(x)}.

    precision = (1/M) Σⱼ 1[gⱼ in some B(rᵢ)]                                                             (1)
    recall = (1/N) Σᵢ 1[rᵢ in some B(gⱼ)]                                                                (2)
    density = 1/(kM) Σⱼ Σᵢ 1[gⱼ ∈ B(rᵢ)]                                                                 (3)
    coverage = (1/N) Σᵢ 1[some gⱼ ∈ B(rᵢ)]                                                               (4)

(1) and (2), with k = 3, are Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models"; (3)
and (4), with k = 5 and open balls (<), Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models". An
outlier among the rᵢ has a huge ball, which (1) counts in full and (3) shares out. Where points repeat, radii may be 0: then
open balls are empty and density and coverage are 0 even for equal sets; `ties="count"` closes them.

If both sets come from one continuous distribution, E density = 1 and, by the exchangeability of all points,

    E coverage = 1 − Π_{i<k} (N − 1 − i) / (M + N − 1 − i)                                               (5)
"""

from typing import NamedTuple

import numpy as np

from minigen.metrics.distances import centred, check_points, kth_neighbour_squared, squared_distance_blocks


class PrecisionRecall(NamedTuple):
    """Fractions in [0, 1]."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density ≥ 0, around 1 for a good model; coverage in [0, 1]."""

    density: float
    coverage: float


def check(real, fake, k, both):
    """The two sets, checked and centred. `both`: whether balls stand on both."""
    real, fake = check_points(real=real, fake=fake)
    for name, x in (("real", real), ("fake", fake))[: 2 if both else 1]:
        if x.shape[0] < k + 1 or k < 1:
            raise ValueError(f"k is {k} and {name} has {x.shape[0]} points; expected 1 ≤ k and at least k + 1 points")
    return centred(real, fake)


def precision_recall(real, fake, k=3):
    """Improved precision and recall of fake (M, D) against real (N, D); exchanging the sets exchanges the two.

    Raises ValueError for arrays of other shapes, values that are not finite, or fewer than k + 1 points.
    """
    real, fake = check(real, fake, k, both=True)
    real_radius, fake_radius = kth_neighbour_squared(real, k), kth_neighbour_squared(fake, k)
    precise, recalled = 0, np.zeros_like(real_radius, dtype=bool)
    for rows, d in squared_distance_blocks(fake, real):
        precise += int(np.sum(np.any(d <= real_radius, axis=1)))
        recalled |= np.any(d <= fake_radius[rows][:, None], axis=0)
    return PrecisionRecall(precise / fake.shape[0], float(np.mean(recalled)))  # (1) (2)


def density_coverage(real, fake, k=5, ties="open"):
    """Density and coverage of fake (M, D) against real (N, D), with open balls, or with closed ones for ties="count".

    Raises ValueError for arrays of other shapes, values that are not finite, or fewer than k + 1 real points.
    """
    if ties not in ("open", "count"):
        raise ValueError(f"ties is {ties!r}; expected 'open' (distances must be smaller than a radius) or 'count' (or equal)")
    real, fake = check(real, fake, k, both=False)
    radius, inside = kth_neighbour_squared(real, k), np.less if ties == "open" else np.less_equal
    total, covered = 0, np.zeros_like(radius, dtype=bool)
    for _, d in squared_distance_blocks(fake, real):
        hit = inside(d, radius)
        total += int(np.count_nonzero(hit))
        covered |= np.any(hit, axis=0)
    return DensityCoverage(total / (k * fake.shape[0]), float(np.mean(covered)))  # (3) (4)


def expected_coverage(n_real, n_fake, k=5):
    """The expected coverage of n_fake points of the same continuous distribution as the n_real: the best to hope for."""
    i = np.arange(k)
    return float(1 - np.prod((n_real - 1 - i) / (n_fake + n_real - 1 - i)))  # (5)
