"""Vector quantisation with a learned codebook.  van den Oord, Vinyals & Kavukcuoglu 2017, "Neural Discrete Representation Learning".

A network makes a map of h × w vectors z ∈ ℝᴸ. A codebook holds K codewords e₁ … e_K ∈ ℝᴸ, the nearest of which takes the place of
each vector. ‖·‖² sums over L and over the map; sg(·), "stop gradient", is the identity with the derivative 0.

    k = argmin_j ‖z − e_j‖²                                                                               (1)
    q = z + sg(e_k − z):  its value is e_k, its derivative ∂q/∂z = I  ("straight-through")                (2)

Two terms of the loss bring codewords and vectors together. The first moves the codewords only; the second, the commitment, the
network only:

    ‖sg(z) − e_k‖² + β ‖z − sg(e_k)‖²                                                                     (3)

Instead of by the first term, codewords can follow the vectors that choose them as in k-means, batch by batch (appendix A.1;
Razavi, van den Oord & Vinyals 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", §2.1). With n_j the number of
vectors of a batch that chose e_j, s_j their sum, γ the decay and a small ε:

    N_j ← γ N_j + (1 − γ) n_j,   m_j ← γ m_j + (1 − γ) s_j                                                (4)
    e_j = m_j / Ñ_j,   Ñ_j = N (N_j + ε) / (N + K ε),   N = Σ_j N_j     (Laplace smoothing)               (5)

A codeword that nothing chooses is dead: no gradient and no average reaches it. It starts anew at a vector of the batch, with the
mean of the counts (Dhariwal et al. 2020, "Jukebox", "random restarts"):

    where N_j < r N/K:   e_j ← zᵢ,   N_j ← N/K,   m_j ← zᵢ N/K,   i drawn uniformly                       (6)

The perplexity says how many codes are in use, from 1 to K, with p_j their frequencies:

    exp(−Σ_j p_j log p_j)                                                                                 (7)
"""

from dataclasses import dataclass, field

import numpy as np

from minigen.autograd import stop_gradient
from minigen.backend import array_module, normal
from minigen.models.kmeans import assign, one_hot

SMOOTHING = 1e-5
CONSTANT = {"static": True}


# ---- Closed forms ----
def nearest(z, codewords):
    """The index of the codeword (K, L) nearest to each vector of z (…, L): integers (…)."""
    z, codewords = stop_gradient((z, codewords))
    labels, _ = assign(np.reshape(z, (-1, z.shape[-1])), codewords, np.mean(codewords, axis=0))  # (1)
    return np.reshape(labels, z.shape[:-1])


def straight_through(z, e):
    """The values of e with the gradient of z."""
    return z + stop_gradient(e - z)  # (2)


def squared_distance(a, b):
    """‖a − b‖² of each of n maps or images, (n,)."""
    return np.sum((a - b) ** 2, axis=(1, 2, 3))


def quantisation_loss(z, e, beta):
    """What brings maps z and their codewords e together, (n,)."""
    return squared_distance(stop_gradient(z), e) + beta * squared_distance(z, stop_gradient(e))  # (3)


def perplexity(k, size):
    """The effective number of codes in use, for an array of integers 0 … size − 1.

    >>> float(perplexity(np.array([[0, 1], [1, 0]]), 8).round(6)), float(perplexity(np.array([3, 3, 3]), 8))
    (2.0, 1.0)
    """
    p = np.bincount(np.reshape(k, -1), minlength=size) / k.size
    return np.exp(-np.sum(p * np.log(np.where(p > 0, p, 1))))  # (7)


# ---- Codebooks ----
@dataclass
class Codebook:
    """Codewords (K, L) that are parameters, moved by the gradient of the loss, and the counts N_j (K,)."""

    codewords: np.ndarray
    counts: np.ndarray = field(metadata=CONSTANT)

    @classmethod
    def init(cls, rng, size, width, dtype=np.float32):
        """K = size codewords from N(0, I) in ℝᴸ, L = width, as if each had been chosen once."""
        codewords = normal(rng, (size, width), np.zeros(0, dtype))
        return cls(codewords, np.ones(size, dtype))

    def follow(self, z, k, decay):
        """Count vectors z (M, L) with codes k (M,), in place."""
        self.counts[...] = decay * self.counts + (1 - decay) * np.sum(one_hot(k, len(self.counts), z), axis=1)  # (4)

    def restart(self, z, threshold, rng):
        """Let dead codewords start anew at some of the vectors z (M, L), in place; returns which were dead, booleans (K,)."""
        share = np.mean(self.counts)
        dead = self.counts < threshold * share
        drawn = z[array_module(z).asarray(rng.integers(z.shape[0], size=len(dead)))]
        self.counts[...] = np.where(dead, share, self.counts)  # (6)
        self.codewords[...] = np.where(dead[:, None], drawn, self.codewords)  # (6)
        return dead


@dataclass
class AveragedCodebook(Codebook):
    """Codewords that are averages of the vectors that choose them, from their counts N_j and sums m_j (K, L): no gradient moves them."""

    codewords: np.ndarray = field(metadata=CONSTANT)
    counts: np.ndarray = field(metadata=CONSTANT)
    sums: np.ndarray = field(metadata=CONSTANT)

    @classmethod
    def init(cls, rng, size, width, dtype=np.float32):
        """As a `Codebook`."""
        book = Codebook.init(rng, size, width, dtype)
        return cls(book.codewords, book.counts, book.codewords.copy())

    def follow(self, z, k, decay):
        """Average vectors z (M, L) with codes k (M,), in place."""
        super().follow(z, k, decay)
        size, total = len(self.counts), np.sum(self.counts)
        self.sums[...] = decay * self.sums + (1 - decay) * (one_hot(k, size, z) @ z)  # (4)
        smoothed = total * (self.counts + SMOOTHING) / (total + size * SMOOTHING)
        self.codewords[...] = self.sums / smoothed[:, None]  # (5)

    def restart(self, z, threshold, rng):
        """Let dead codewords start anew at some of the vectors z (M, L), in place; returns which were dead, booleans (K,)."""
        dead = super().restart(z, threshold, rng)
        self.sums[...] = np.where(dead[:, None], self.codewords * self.counts[:, None], self.sums)  # (6)
        return dead
