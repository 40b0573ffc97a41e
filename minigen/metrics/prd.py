"""Precision and recall of distributions, as a curve.

Sajjadi, Bachem, Lucic, Bousquet & Gelly 2018, "Assessing generative models via precision and recall".

Notation: p and q the probabilities of bins ω under the real and the generated distribution; λ > 0 a slope.

    α(λ) = Σ_ω min(λ p(ω), q(ω))        precision                                                        (1)
    β(λ) = Σ_ω min(p(ω), q(ω)/λ) = α(λ)/λ        recall                                                  (2)
    λ = tan θ,   θ from 10⁻¹⁰ to π/2 − 10⁻¹⁰ in equal steps                                              (3)
    F_β = (1 + β²) α β′ / (β² α + β′),   β′ the recall                                                   (4)

A pair (α, β) is on or below the curve where p and q have a part in common that is a share α of q and a share β of p. So α(∞) is
the probability under q of the support of p, β(0) that under p of the support of q, and α(1) = β(1) = 1 − TV(p, q). Two numbers
sum the curve up: the largest F_β with β = 8, which weighs recall, and the largest with 1/8, which weighs precision.

The bins of samples are the clusters of k-means on both sets together, of equal size; the curve is the mean over several runs of it.
"""

from typing import NamedTuple

import numpy as np

from minigen.backend import array_module, like
from minigen.checks import as_floats, as_sample_pair, check_count, check_rng
from minigen.metrics.distances import moderate
from minigen.models.kmeans import KMeans


class PRD(NamedTuple):
    """A curve: precision and recall at each slope, arrays of one length, in [0, 1]."""

    precision: np.ndarray
    recall: np.ndarray


class FScores(NamedTuple):
    """The largest F_β and F_1/β of a curve, Python floats in [0, 1]: what it says of recall and of precision."""

    recall: float
    precision: float


def prd_from_histograms(real, fake, angles=1001):
    """The curve of two histograms (K,) over the same bins, counts or probabilities, each divided by its sum: a PRD, exact for these.

    Raises TypeError or ValueError unless they are two vectors of one length, ≥ 0, of positive sum, and angles ≥ 2.

    >>> curve = prd_from_histograms(np.array([1, 1, 1, 1]), np.array([1, 1, 0, 0]), angles=3)  # half of the modes are missing
    >>> curve.precision.round(3), curve.recall.round(3)
    (array([0. , 0.5, 1. ]), array([0.5, 0.5, 0. ]))
    """
    check_count("angles", angles)
    if angles < 2:
        raise ValueError(f"angles is {angles}; expected at least 2")
    p, q = (as_floats(h, name).astype(np.float64) for h, name in ((real, "real"), (fake, "fake")))
    for h, name in ((p, "real"), (q, "fake")):
        if h.ndim != 1 or h.shape != p.shape:
            raise ValueError(f"{name} has shape {h.shape}; expected (K,), the same bins for both, real having {p.shape}")
        if not bool(np.all((h >= 0) & (h < np.inf)) & (np.sum(h) > 0)):
            raise ValueError(f"{name} is no histogram; expected finite entries ≥ 0, not all 0")
    slopes = like(p, np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, angles)))[:, None]  # (3)
    common = np.minimum(slopes * (p / np.sum(p)), q / np.sum(q))
    precision = np.minimum(np.sum(common, axis=1), 1)  # (1)
    return PRD(precision, np.minimum(precision / slopes[:, 0], 1))  # (2)


def prd_curve(real, fake, rng, clusters=20, runs=10, angles=1001):
    """The curve of samples real and fake, both (n, D), in features: a PRD.

    The error of what sums it up: `uncertainty.with_error`, together. Raises TypeError or ValueError naming the argument that is wrong; the
    sets must have one size, as bins are found on both together.
    """
    check_rng(rng)
    check_count("clusters", clusters)
    check_count("runs", runs)
    (real, fake), _ = moderate(*as_sample_pair(real, fake, ("real", "fake")))
    n = real.shape[0]
    if fake.shape[0] != n:
        raise ValueError(f"fake has {fake.shape[0]} rows and real {n}; expected the same number")
    if clusters > 2 * n:
        raise ValueError(f"clusters is {clusters}; expected at most the {2 * n} rows of both sets")
    both, curves = np.concatenate([real, fake]), []
    for _ in range(runs):
        labels = KMeans.fit(both, clusters, rng=rng).predict(both)
        counts = (array_module(labels).bincount(part, minlength=clusters) for part in (labels[:n], labels[n:]))
        curves.append(np.stack([*prd_from_histograms(*counts, angles)]))
    return PRD(*np.mean(np.stack(curves), axis=0))


def f_scores(curve, beta=8.0):
    """The largest F_β and F_1/β on a curve: FScores(recall, precision). Their error is said by `prd_curve`.

    Raises TypeError or ValueError unless the curve is two vectors of one length in [0, 1], and beta > 0.
    """
    if not 0 < beta < np.inf:
        raise ValueError(f"beta is {beta}; expected a finite number > 0")
    if not isinstance(curve, tuple) or len(curve) != 2:
        raise TypeError(f"curve is {type(curve).__name__}; expected a PRD: (precision, recall)")
    precision, recall = (as_floats(a, f"curve.{name}") for a, name in zip(curve, PRD._fields, strict=True))
    if precision.ndim != 1 or precision.shape != recall.shape or precision.shape[0] < 1:
        raise ValueError(f"curve has shapes {precision.shape} and {recall.shape}; expected two vectors of one length")
    if not bool(np.all((precision >= 0) & (precision <= 1) & (recall >= 0) & (recall <= 1))):
        raise ValueError("curve has entries outside of [0, 1], or NaN; expected shares")

    def largest(weight):
        below = weight * precision + recall
        return float(np.max((1 + weight) * precision * recall / np.where(below > 0, below, 1)))  # (4)

    return FScores(largest(beta**2), largest(beta**-2))
