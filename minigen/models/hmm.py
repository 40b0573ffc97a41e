"""Hidden Markov models.  Baum, Petrie, Soules & Weiss 1970; Rabiner 1989, "A tutorial on hidden Markov models"; Bishop 2006, §13.2.

Hidden states z₁ … z_T ∈ {1 … K} walk by π(j) = p(z₁ = j) and A(i, j) = p(z_t = j | z_{t−1} = i); each emits x_t by b_j(x_t):

    log p(x, z) = log π(z₁) + Σ_{t>1} log A(z_{t−1}, z_t) + Σ_t log b_{z_t}(x_t)                         (1)

The sum over all Kᵀ paths goes forward in time. α_t(j) = log p(z_t = j | x₁…x_t) is normalised in each step, and the normalisers
c_t = log p(x_t | x₁…x_{t−1}) give the likelihood, so that a long sequence neither underflows nor loses digits:

    a_t(j) = log Σ_i exp(α_{t−1}(i) + log A(i, j)) + log b_j(x_t),   a₁(j) = log π(j) + log b_j(x₁)      (2)
    α_t(j) = a_t(j) − c_t,   c_t = log Σ_j exp a_t(j)                                                    (3)
    log p(x) = Σ_t c_t                                                                                   (4)

Backward, β_T = 0; then the posterior of each state, and of each pair of neighbours:

    β_t(i) = log Σ_j exp(log A(i, j) + log b_j(x_{t+1}) + β_{t+1}(j)) − c_{t+1}                          (5)
    γ_t(j) = p(z_t = j | x) = exp(α_t(j) + β_t(j))                                                       (6)
    ξ_t(i, j) = p(z_t = i, z_{t+1} = j | x) = exp(α_t(i) + log A(i, j) + log b_j(x_{t+1}) + β_{t+1}(j) − c_{t+1})    (7)

The most probable path has maxima in place of the sums, and remembers where each was (Viterbi 1967):

    δ_t(j) = max_i (δ_{t−1}(i) + log A(i, j)) + log b_j(x_t),   z*_{t−1} = argmax_i (δ_{t−1}(i) + log A(i, z*_t))    (8)

EM: the posterior's expected counts, then the parameters that they make most likely; log p(x) never falls (with λ = 0):

    π(j) ∝ Σ γ₁(j),   A(i, j) ∝ Σ_t ξ_t(i, j)                                                            (9)
    b_j(v) ∝ Σ_{t: x_t = v} γ_t(j)                               symbols                                 (10)
    μ_j = Σ γ_t(j) x_t / Σ γ_t(j),   σ²_j = Σ γ_t(j) (x_t − μ_j)² / Σ γ_t(j) + λ      Gaussian coordinates    (11)
"""

import math
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigen.backend import array_module, like, normal, to_host, uniform
from minigen.checks import check_count, check_data, check_rng
from minigen.functions import logsumexp
from minigen.models.kmeans import KMeans
from minigen.progress import shown
from minigen.train import deferred_interrupt
from minigen.tree import is_array

LOG_2PI = 1.8378770664093453


# ---- The recursions over a chain: start (K,), pair (K, K), unary (n, T, K), all logarithms ----
def forward(start, pair, unary):
    """(α, c): log p(z_t | x₁…x_t), a list over t of (n, K), and the log-normalisers c (n, T)."""
    alphas, normalisers, a = [], [], start + unary[:, 0]
    for t in range(unary.shape[1]):
        if t:
            a = logsumexp(alphas[-1][:, :, None] + pair, axis=1) + unary[:, t]  # (2)
        c = logsumexp(a, axis=1, keepdims=True)
        alphas.append(a - c)  # (3)
        normalisers.append(c)
    return alphas, np.concatenate(normalisers, axis=1)


def posterior(start, pair, unary):
    """(γ, Σ_t ξ_t, c): state posteriors (n, T, K), the expected number of each transition (n, K, K), log-normalisers (n, T)."""
    alphas, c = forward(start, pair, unary)
    beta = 0 * alphas[-1]
    gammas, counts = [np.exp(alphas[-1])], 0 * np.exp(alphas[-1])[:, :, None] * np.exp(pair)
    for t in range(unary.shape[1] - 2, -1, -1):
        ahead = pair + (unary[:, t + 1] + beta - c[:, t + 1, None])[:, None, :]
        counts = counts + np.exp(alphas[t][:, :, None] + ahead)  # (7)
        beta = logsumexp(ahead, axis=2)  # (5)
        gammas.append(np.exp(alphas[t] + beta))  # (6)
    return np.stack(gammas[::-1], axis=1), counts, c


def viterbi(start, pair, unary):
    """The most probable path of each sequence, (n, T) integers; of equal ones the first."""
    back, delta = [], start + unary[:, 0]
    for t in range(1, unary.shape[1]):
        through = delta[:, :, None] + pair
        back.append(np.argmax(through, axis=1))
        delta = np.max(through, axis=1) + unary[:, t]  # (8)
        delta = delta - np.max(delta, axis=1, keepdims=True)
    path = [np.argmax(delta, axis=1)]
    for before in back[::-1]:
        path.append(np.take_along_axis(before, path[-1][:, None], axis=1)[:, 0])
    return np.stack(path[::-1], axis=1)


def choose(probabilities, u):
    """An index for each row of probabilities (n, K), by where u (n,) falls among their sums."""
    return np.sum(u[:, None] >= np.cumsum(probabilities, axis=1)[:, :-1], axis=1)


def normalise(counts):
    """log (counts / their sum) over the last axis; a row without counts becomes uniform, and no logarithm is −∞."""
    counts = counts + float(np.finfo(counts.dtype).tiny) * 1e4
    return np.log(counts) - np.log(np.sum(counts, axis=-1, keepdims=True))


def check_indices(x, count, name, shape=None):
    """Raise unless x holds integers (n, T), of a shape if one is given, in 0 … count − 1."""
    if not is_array(x) or x.dtype.kind not in "iu" or x.ndim != 2 or not x.size or (shape is not None and tuple(x.shape) != tuple(shape)):
        what = f"{x.dtype} of shape {x.shape}" if is_array(x) else type(x).__name__
        raise ValueError(f"{name} is {what}; expected integers {'(n, T)' if shape is None else tuple(shape)} in 0 … {count - 1}")
    low, high = int(np.min(x)), int(np.max(x))
    if low < 0 or high >= count:
        raise ValueError(f"{name} has entries from {low} to {high}; expected integers (n, T) in 0 … {count - 1}")


# ---- What a state emits ----
@dataclass
class CategoricalEmission:
    """log b_j(v), (K, V); data are integers (n, T)."""

    log_probs: Any

    def log_prob(self, x):
        """log b_j(x_t), (n, T, K)."""
        check_indices(x, self.log_probs.shape[1], "x")
        return np.swapaxes(self.log_probs, 0, 1)[x]

    def maximised(self, x, gamma):
        """The emission that the posterior γ makes most likely."""
        counts = 0 * np.swapaxes(self.log_probs, 0, 1)
        np.add.at(counts, x.reshape(-1), gamma.reshape(-1, gamma.shape[-1]))
        return replace(self, log_probs=normalise(counts.T))  # (10)

    def sample(self, z, rng):
        """x for states z (n, T)."""
        rows = np.exp(self.log_probs)[z.reshape(-1)]
        return choose(rows, uniform(rng, rows.shape[:1], rows)).reshape(z.shape)


@dataclass
class GaussianEmission:
    """Independent Gaussian coordinates, means and variances (K, D); data are floats (n, T, D)."""

    means: Any
    variances: Any
    reg: float = 1e-6

    def log_prob(self, x):
        """log b_j(x_t), (n, T, K)."""
        check_data(x, rank=3)
        if x.shape[2] != self.means.shape[1]:
            raise ValueError(f"x has shape {x.shape}; expected (n, T, {self.means.shape[1]})")
        squares = (x[:, :, None] - self.means) ** 2 / self.variances
        return -0.5 * np.sum(squares + np.log(self.variances) + LOG_2PI, axis=-1)

    def maximised(self, x, gamma):
        """The emission that the posterior γ makes most likely."""
        total = np.sum(gamma, axis=(0, 1))[:, None] + float(np.finfo(gamma.dtype).tiny)
        means = np.einsum("ntk,ntd->kd", gamma, x) / total
        squares = [np.sum(gamma[:, :, j, None] * (x - means[j]) ** 2, axis=(0, 1)) for j in range(means.shape[0])]
        return replace(self, means=means, variances=np.stack(squares) / total + self.reg)  # (11)

    def sample(self, z, rng):
        """x for states z (n, T)."""
        mean = self.means[z]
        return mean + np.sqrt(self.variances)[z] * normal(rng, mean.shape, mean)


# ---- The model ----
@dataclass
class HMM:
    """The model; `history` holds the mean log p of a sequence before each round of EM.

    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.integers(0, 2, (40, 10)), 5, axis=1)
    >>> hmm = HMM.fit(x, 2, rng=rng)
    >>> np.exp(hmm.log_transition).max(axis=1).round(1), hmm.sample(3, rng).shape
    (array([0.9, 0.9]), (3, 50))
    """

    log_initial: Any
    log_transition: Any
    emission: Any
    length: int = 1
    history: Any = field(default=(), metadata={"static": True})

    def log_joint(self, x, z):
        """log p(x, z) of data and whole paths z (n, T), (n,) nats."""
        check_indices(z, self.log_initial.shape[0], "z", x.shape[:2])
        steps = np.sum(self.log_transition[z[:, :-1], z[:, 1:]], axis=1)
        emitted = np.sum(np.take_along_axis(self.emission.log_prob(x), z[..., None], 2), axis=(1, 2))
        return self.log_initial[z[:, 0]] + steps + emitted  # (1)

    def log_prob(self, x):
        """log p(x) of each sequence, (n,) nats, all paths summed."""
        return np.sum(forward(self.log_initial, self.log_transition, self.emission.log_prob(x))[1], axis=1)  # (4)

    def posteriors(self, x):
        """p(z_t = j | x), (n, T, K)."""
        return posterior(self.log_initial, self.log_transition, self.emission.log_prob(x))[0]

    def predict(self, x):
        """The most probable path, (n, T)."""
        return viterbi(self.log_initial, self.log_transition, self.emission.log_prob(x))

    def sample_states(self, n, rng, length=None):
        """n walks of hidden states, (n, length); by default as long as the training data."""
        length = self.length if length is None else length
        check_count("n", n)
        check_count("length", length)
        check_rng(rng)
        initial, transition = np.exp(self.log_initial), np.exp(self.log_transition)
        z = [choose(np.broadcast_to(initial, (n, initial.shape[0])), uniform(rng, (n,), initial))]
        for _ in range(length - 1):
            z.append(choose(transition[z[-1]], uniform(rng, (n,), initial)))
        return np.stack(z, axis=1)

    def sample(self, n, rng, length=None):
        """n sequences x ~ p(x)."""
        return self.emission.sample(self.sample_states(n, rng, length), rng)

    def em_step(self, x):
        """(the model after one round of EM, the mean log p(x) before it)."""
        gamma, counts, c = posterior(self.log_initial, self.log_transition, self.emission.log_prob(x))
        initial, transition = normalise(np.sum(gamma[:, 0], axis=0)), normalise(np.sum(counts, axis=0))  # (9)
        new = replace(self, log_initial=initial, log_transition=transition, emission=self.emission.maximised(x, gamma))
        return new, np.mean(np.sum(c, axis=1))

    @classmethod
    def fit(cls, x, k, *, rng, levels=None, iterations=100, tol=1e-6, reg=1e-6, progress="EM"):
        """EM from a random start, until a round gains less than tol nats a time step, or Ctrl-C, which keeps the model so far.

        Integers (n, T) have categorical, floats (n, T, D) Gaussian emissions.
        Raises ValueError or TypeError for other data. levels: the number of symbols, by default the largest seen plus one.
        """
        check_rng(rng)
        check_count("k", k)
        check_count("iterations", iterations)
        if not -math.inf < tol < math.inf or not 0 <= reg < math.inf:
            raise ValueError(f"tol is {tol} and reg {reg}; expected finite numbers, reg ≥ 0")
        if is_array(x) and x.dtype.kind in "iu":
            if x.ndim != 2 or 0 in x.shape or int(np.min(x)) < 0 or (levels is not None and int(np.max(x)) >= levels):
                raise ValueError(f"x has shape {x.shape}; expected symbols (n, T), integers from 0, below levels = {levels}")
            levels = levels or int(np.max(x)) + 1
            one = array_module(x).ones((), dtype=np.float64)
            emission = CategoricalEmission(like(one, np.log(rng.dirichlet(np.ones(levels), k))))
        else:
            check_data(x, rank=None)
            if x.ndim != 3 or x.shape[0] * x.shape[1] < k:
                raise ValueError(f"x has shape {x.shape}; expected integers (n, T) or floats (n, T, D), with n T ≥ k = {k}")
            frames = np.reshape(x, (-1, x.shape[-1]))
            centers = KMeans.fit(frames, k, rng=rng).centers
            emission = GaussianEmission(centers, np.broadcast_to(np.var(frames, axis=0), centers.shape) + reg, reg)
            one = frames[0, 0]
        start, pair = rng.dirichlet(np.full(k, 5.0)), (rng.dirichlet(np.full(k, 5.0), k) + np.eye(k)) / 2  # states last at first
        model, history = cls(like(one, np.log(start)), like(one, np.log(pair)), emission, x.shape[1]), []
        with deferred_interrupt() as interrupted:
            for _ in shown(range(iterations), progress):
                new, log_p = model.em_step(x)
                history.append(float(log_p))
                if interrupted():
                    print(f"stopped by Ctrl-C after round {len(history)} of {iterations}: the model so far is kept", file=sys.stderr)
                    break
                if len(history) > 1 and history[-1] - history[-2] < tol * x.shape[1]:
                    break
                model = new
        return replace(model, history=to_host(np.array(history)))
