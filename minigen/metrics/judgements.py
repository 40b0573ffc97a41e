"""What people see: how often do they take generated things for real ones, and real ones for generated?

Zhou, Gordon, Krishna, Narcomey, Fei-Fei & Bernstein 2019, "HYPE: a benchmark for human eye perceptual evaluation of generative models"
(HYPE∞, judgements without a time limit); Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of
the binomial"; Fleiss 1971, "Measuring nominal scale agreement among many raters".

Notation: n judgements of which e are wrong; item i was judged nᵢ times, nᵢ_c of them as c ∈ {real, generated}; p_c the share of all
judgements that say c.

    HYPE = (fakes called real + reals called fake) / n = e/n                                             (1)
    the 95 % interval: all θ for which e or fewer, and e or more, wrong ones of n have probability > 2.5 %    (2)
    p-value against guessing = Σ_{k: P(k) ≤ P(e)} P(k),   P(k) = C(n, k) 2⁻ⁿ                             (3)
    κ = (P̄ − Σ_c p_c²) / (1 − Σ_c p_c²),   P̄ the mean over items with nᵢ ≥ 2 of Σ_c nᵢ_c(nᵢ_c − 1) / nᵢ(nᵢ − 1)   (4)

HYPE of 0.5 means that people cannot tell; more than 0.5, that they find the generated ones more real than real. (2) and (3) take
judgements for independent, which those of one person or of one item are not: look at the raters one by one as well.
"""

from typing import NamedTuple

import numpy as np

FIELDS = ("rater", "item", "real", "said_real")


class Rate(NamedTuple):
    """A share of wrong judgements with its exact 95 % interval and the number of judgements; NaN where there are none."""

    share: float
    low: float
    high: float
    count: int


class Hype(NamedTuple):
    """HYPE, the errors on generated and on real things, the p-value against guessing, κ, and the rate of each rater (a dict)."""

    score: Rate
    on_fakes: Rate
    on_reals: Rate
    p_value: float
    agreement: float
    raters: dict


def rate(wrong):
    """The Rate of wrong judgements, a vector of booleans."""
    from scipy.stats import binomtest

    n, e = len(wrong), int(np.sum(wrong))
    if n == 0:
        return Rate(np.nan, np.nan, np.nan, 0)
    low, high = binomtest(e, n).proportion_ci(0.95, "exact")  # (2)
    return Rate(e / n, float(low), float(high), n)  # (1)


def fleiss_kappa(item, said_real):
    """Agreement beyond chance: 1 where all agree on each item, about 0 where none knows; NaN where no item was judged twice."""
    _, index = np.unique(item, return_inverse=True)
    n, yes = np.bincount(index), np.bincount(index, weights=said_real)
    several, share = n >= 2, np.mean(said_real)
    chance = share**2 + (1 - share) ** 2
    if not several.any() or chance == 1:
        return np.nan
    n, yes = n[several], yes[several]
    pairs = (yes * (yes - 1) + (n - yes) * (n - yes - 1)) / (n * (n - 1))
    return float((np.mean(pairs) - chance) / (1 - chance))  # (4)


def hype(judgements):
    """HYPE∞ from a dict of four vectors of one length n ≥ 1: rater and item (anything that can be compared), real, said_real (bool).

    Each rate has its exact interval. Raises TypeError or ValueError where a vector is missing or does not fit.

    >>> study = {"rater": ["ann"] * 4, "item": [0, 1, 2, 3], "real": [True, True, False, False], "said_real": [True, False, True, False]}
    >>> result = hype(study)
    >>> result.score.share, result.p_value, result.on_fakes.count
    (0.5, 1.0, 2)
    """
    from scipy.stats import binomtest

    if not isinstance(judgements, dict) or not set(FIELDS) <= set(judgements):
        raise TypeError(f"judgements is {type(judgements).__name__}; expected a dict with the vectors {', '.join(FIELDS)}")
    rater, item, real, said_real = (np.asarray(judgements[name]) for name in FIELDS)
    for name, values in zip(FIELDS, (rater, item, real, said_real), strict=True):
        if values.ndim != 1 or len(values) != len(rater) or len(values) < 1:
            raise ValueError(f"judgements[{name!r}] has shape {values.shape}; expected (n,), n ≥ 1, as many as raters: {len(rater)}")
    for name, values in (("real", real), ("said_real", said_real)):
        if values.dtype != bool:
            raise ValueError(f"judgements[{name!r}] is {values.dtype}; expected booleans")
    wrong = real != said_real
    p_value = float(binomtest(int(np.sum(wrong)), len(wrong)).pvalue)  # (3)
    raters = {r: rate(wrong[rater == r]) for r in np.unique(rater).tolist()}
    return Hype(rate(wrong), rate(wrong[~real]), rate(wrong[real]), p_value, fleiss_kappa(item, said_real), raters)
