"""How many modes of a known mixture samples hit, and how many samples lie near one.

Srivastava, Valkov, Russell, Gutmann & Sutton 2017, "VEEGAN: Reducing mode collapse in GANs using implicit variational learning", §5.

Notation: samples xᵢ ∈ ℝᴰ, i = 1 … n; the mixture ⅟K Σₖ N(cₖ, σ² I), k = 1 … K; [·] is 1 where the condition holds, else 0.

    d(x) = minₖ ‖x − cₖ‖,   k(x) = the first k that attains it                                            (1)
    x is of high quality where d(x) ≤ r σ,   r = 4                                                        (2)
    quality = 1/n Σᵢ [xᵢ is of high quality]                                                              (3)
    shareₖ = 1/n Σᵢ [xᵢ is of high quality and k(xᵢ) = k]                                                 (4)
    hit = Σₖ [shareₖ ≥ a / K],   a = 0.1                                                                  (5)

A mode counts as hit if it holds a tenth of its due, so that a stray sample hits nothing. Draws of the mixture itself, of modes that
lie further apart than 2 r σ, hit all modes and have, with χ²_D the sum of D squares of standard normal variables, a quality of at least

    P(χ²_D ≤ r²),   which for D = 2 is 1 − e^(−r²/2)                                                      (6)
"""

from typing import NamedTuple

import numpy as np

from minigen.backend import like
from minigen.checks import as_sample_pair
from minigen.metrics.distances import moderate


class ModeScores(NamedTuple):
    """hit: int of 0 … K; quality: float in [0, 1]; shares: floats (K,), whose sum is the quality."""

    hit: int
    quality: float
    shares: np.ndarray


def mode_scores(x, centers, std, radius=4.0, least=0.1):
    """Modes hit, quality and shares of samples x (n, D) for modes at `centers` (K, D) with deviation `std`; r and a as above.

    The error of the quality, or of a share s, is √(s (1 − s)/n). Raises TypeError or ValueError, naming the argument, for what is no
    such thing.

    >>> mode_scores(np.array([[0.1], [0.3], [5.0], [7.0]]), np.array([[0.0], [5.0], [9.0]]), std=0.1)
    ModeScores(hit=2, quality=0.75, shares=array([0.5 , 0.25, 0.  ]))
    """
    for name, value in (("std", std), ("radius", radius), ("least", least)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} is {value!r}; expected a positive number")
    (x, centers), scale = moderate(*as_sample_pair(x, centers, ("x", "centers")))
    distances = np.stack([np.sqrt(np.sum((x - c) ** 2, axis=1)) for c in centers], axis=1)
    near, nearest = np.min(distances, axis=1), np.argmin(distances, axis=1)  # (1)
    good = near <= radius * std / scale  # (2)
    shares = np.mean(good[:, None] & (nearest[:, None] == like(nearest, np.arange(len(centers)))), axis=0)  # (4)
    hit = np.sum(shares >= least / len(centers))  # (5)
    return ModeScores(int(hit), float(np.mean(good)), shares)  # (3)


def expected_mode_quality(dimensions, radius=4.0):
    """The quality of draws of a mixture whose modes lie far apart.

    >>> round(expected_mode_quality(2), 6)
    0.999665
    """
    from scipy.special import gammainc

    return float(gammainc(dimensions / 2, radius**2 / 2))  # (6)
