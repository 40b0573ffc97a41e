"""The Inception score: are samples recognisable, and are they of many classes?

Salimans, Goodfellow, Zaremba, Cheung, Radford & Chen 2016, "Improved techniques for training GANs"; Barratt & Sharma 2018, "A note on the
Inception score", on what it misses.

Notation: pᵢ ∈ ℝᶜ the probabilities that a classifier gives the C classes of sample i = 1 … n; 0 log 0 = 0.

    p̄ = 1/n Σᵢ pᵢ                                                                                       (1)
    score = exp(1/n Σᵢ KL(pᵢ ‖ p̄)),   KL(p ‖ q) = Σ_c p_c (log p_c − log q_c)                            (2)

It is the exponential of a mutual information, between a sample and its class: 1 ≤ score ≤ min(n, C), and C is reached exactly where
every pᵢ is one class for certain and all classes are equally frequent. It never looks at real data. The score of n samples is biased
upwards by about (C − 1)/2n in the exponent; it is reported as the mean over splits of the samples and their standard deviation.
"""

from itertools import pairwise

import numpy as np

from minigen.checks import as_samples, check_choice, check_count
from minigen.metrics.mmd import SubsetEstimate

CONVENTIONS, BLOCK = ("minigen", "torch-fidelity", "guided-diffusion"), 5000


def score(probs):
    """The score (2) of one split of probabilities (n, C), in float64."""
    marginal = np.mean(probs, axis=0)  # (1)
    ratio = np.where(probs > 0, probs, 1) / np.where(probs > 0, marginal, 1)
    return float(np.exp(np.sum(probs * np.log(ratio)) / probs.shape[0]))  # (2)


def inception_score(probs, splits=10, rng=None, convention="minigen"):
    """Mean and standard deviation of the score over splits of probabilities (n, C): a SubsetEstimate.

    The splits are consecutive, of sizes that differ by one at most, in the order of the samples, or of rng's permutation: samples that
    are sorted by class need one. "torch-fidelity" permutes by its own seed; "guided-diffusion" takes blocks of 5,000 in their
    order, the last perhaps smaller. Raises TypeError or ValueError unless each row is a distribution, n ≥ splits and C ≥ 2.

    >>> inception_score(np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]], splits=2)
    SubsetEstimate(mean=4.0, std=0.0)
    """
    check_choice("convention", convention, CONVENTIONS)
    check_count("splits", splits)
    probs = as_samples(probs, "probs", least=1 if convention == "guided-diffusion" else splits).astype(np.float64)
    n = probs.shape[0]
    if probs.shape[1] < 2:
        raise ValueError(f"probs has shape {probs.shape}; expected (n, C) with C ≥ 2 classes")
    if not bool(np.all(probs >= 0) & np.all(np.abs(np.sum(probs, axis=1) - 1) < 1e-3)):
        raise ValueError("probs has rows that are no distributions; expected entries ≥ 0 that sum to 1, such as softmax(logits)")
    if convention == "torch-fidelity":
        rng = np.random.RandomState(2020)
    if rng is not None and convention != "guided-diffusion":
        probs = probs[rng.permutation(n)]
    edges = [*range(0, n, BLOCK), n] if convention == "guided-diffusion" else [i * n // splits for i in range(splits + 1)]
    scores = [score(probs[start:stop]) for start, stop in pairwise(edges)]
    return SubsetEstimate(float(np.mean(scores)), float(np.std(scores)))
