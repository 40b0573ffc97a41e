"""Three ways to a posterior.  Blei, Kucukelbir & McAuliffe 2017, "Variational inference", §3; Metropolis et al. 1953; Duane et al. 1987 and
Neal 2011, "MCMC using Hamiltonian dynamics"; Geyer 1992, "Practical Markov chain Monte Carlo", §3.3.

Known weights w_k and noise σ, unknown means μ_k ~ N(0, s²), k = 1 … K; each datum belongs to a component zᵢ that nobody saw:

    log p(x, μ) = Σ_k log N(μ_k | 0, s²) + Σᵢ log Σ_k w_k N(xᵢ | μ_k, σ²)                                (1)

Exact, for K = 2: the posterior on a grid of cells of side h, and the evidence log p(x)

    p(μ|x) = p(x, μ) / p(x),   p(x) ≈ h² Σ_grid p(x, μ)                                                  (2)

**Mean field.** Of all products q(μ, z) = Π_k N(μ_k | m_k, v_k) Πᵢ r_{i,zᵢ}, the one nearest to the posterior in KL(q ‖ p). Each factor's
best value given the others (coordinate ascent), and the bound on the evidence that never falls:

    r_ik ∝ w_k exp((m_k xᵢ − ½ (m_k² + v_k)) / σ²)                                                       (3)
    v_k = 1 / (1/s² + Σᵢ r_ik / σ²),   m_k = v_k Σᵢ r_ik xᵢ / σ²                                         (4)
    KL(N(m, v) ‖ N(0, s²)) = ½ ((m² + v) / s² − 1 − log (v / s²))                                        (5)
    log p(x) ≥ Σ_ik r_ik (log w_k − ½ log 2πσ² − ((xᵢ − m_k)² + v_k) / 2σ² − log r_ik) − Σ_k KL_k        (6)

**Markov chains** leave the posterior as it is, and forget where they began. Metropolis proposes a random step and takes it with

    P(accept) = min(1, p(μ′) / p(μ)),   μ′ = μ + step ε,   ε ~ N(0, I)                                   (7)

Hamiltonian Monte Carlo gives μ a random momentum and follows H = −log p(μ) + ½ ‖ρ‖² for some leapfrog steps, which keep volumes, can be
run back, and almost keep H; what they miss is made good by the acceptance:

    ρ ← ρ + ½ step ∇log p(μ),   μ ← μ + step ρ,   ρ ← ρ + ½ step ∇log p(μ)                               (8)
    P(accept) = min(1, exp(H(μ, ρ) − H(μ′, ρ′)))                                                         (9)

A chain's T states are worth fewer independent ones. With autocorrelations ρ_t, summed until a pair ρ_2t + ρ_2t+1 is not positive:

    ESS = T / (1 + 2 Σ_{t>0} ρ_t)                                                                        (10)
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.autograd import value_and_grad
from minigen.backend import like, normal, uniform
from minigen.checks import check_count, check_rng
from minigen.functions import logsumexp, softmax
from minigen.progress import shown
from minigen.tree import is_array, is_leaf

LOG_2PI = 1.8378770664093453


# ---- Markov chains for any log density (c, D) -> (c,), c chains at once ----
@dataclass
class Chains:
    """States (T, c, D), the rate of accepted proposals, and how often each chain evaluated the log density (and, for HMC, its gradient)."""

    states: Any
    acceptance: float
    evaluations: int


def run_chains(transition, x, step, steps, cost, rng, progress):
    """Chains from x (c, D), `steps` of length `step`; transition(x) gives (new x, accepted (c,))."""
    check_rng(rng)
    check_count("steps", steps)
    if not 0 < step < math.inf:
        raise ValueError(f"step is {step}; expected a finite length > 0")
    if not is_leaf(x) or x.ndim != 2 or not bool(np.all(np.isfinite(x))):
        raise ValueError(f"x is {getattr(x, 'dtype', type(x).__name__)}; expected a start of finite floats (chains, D)")
    states, accepted = [], 0
    for _ in shown(range(steps), progress):
        x, taken = transition(x)
        states.append(x)
        accepted = accepted + np.mean(taken * 1.0)
    return Chains(np.stack(states), float(accepted) / steps, steps * cost)


def accept(new, old, log_ratio, rng):
    """(the new states where u < exp(log_ratio), else the old ones; which were taken)."""
    taken = np.log1p(-uniform(rng, log_ratio.shape, log_ratio)) < log_ratio
    return np.where(taken[:, None], new, old), taken


def metropolis(log_density, x, step, steps, rng, progress="chain"):
    """Random-walk Metropolis from x (c, D); one evaluation a step (the old state's is kept by any sensible code, and so not counted)."""

    def transition(x):
        new = x + step * normal(rng, x.shape, x)
        return accept(new, x, log_density(new) - log_density(x), rng)  # (7)

    return run_chains(transition, x, step, steps, 1, rng, progress)


def leapfrog(log_density, x, momentum, step, leaps):
    """(x, momentum) after some leapfrog steps; one gradient each, and one to begin with."""
    slope = value_and_grad(lambda x: np.sum(log_density(x)))
    _, g = slope(x)
    for _ in range(leaps):
        momentum = momentum + 0.5 * step * g  # (8)
        x = x + step * momentum  # (8)
        _, g = slope(x)
        momentum = momentum + 0.5 * step * g  # (8)
    return x, momentum


def hmc(log_density, x, step, leaps, steps, rng, progress="chain"):
    """Hamiltonian Monte Carlo from x (c, D), `leaps` leapfrog steps a proposal: as many evaluations of density and gradient."""
    check_count("leaps", leaps)

    def transition(x):
        momentum = normal(rng, x.shape, x)
        new, after = leapfrog(log_density, x, momentum, step, leaps)
        energy = lambda x, p: 0.5 * np.sum(p * p, axis=1) - log_density(x)
        return accept(new, x, energy(x, momentum) - energy(new, after), rng)  # (9)

    return run_chains(transition, x, step, steps, leaps, rng, progress)


def effective_sample_size(values):
    """ESS of values (T, c) of c chains, summed over them; autocovariances are about the mean of all chains, so that stuck ones count.

    Chains that never moved are worth one draw each.
    """
    length = values.shape[0]
    if values.ndim != 2 or length < 4:
        raise ValueError(f"values has shape {values.shape}; expected (T, chains) with T ≥ 4")
    centred = values - np.mean(values)
    spectrum = np.abs(np.fft.rfft(centred, 2 * length, axis=0)) ** 2
    covariance = np.mean(np.fft.irfft(spectrum, axis=0)[:length], axis=1) / length
    if float(covariance[0]) == 0:
        return float(values.shape[1])
    rho = covariance / covariance[0]
    pairs = rho[: length // 2 * 2].reshape(-1, 2).sum(axis=1)
    positive = np.cumprod(pairs > 0)
    return values.size / (2 * float(np.sum(pairs * positive)) - 1)  # (10)


# ---- The model ----
@dataclass
class MeanField:
    """q: means m (K,), variances v (K,), memberships r (n, K); the bound after each round (nats), evaluations of the likelihood."""

    means: Any
    variances: Any
    memberships: Any
    history: list
    evaluations: int


@dataclass
class MixtureMeans:
    """Data x (n,) of a mixture whose means are unknown; `noise` is σ, `spread` is s.

    >>> model = MixtureMeans(np.array([-2.1, -1.9, 2.0, 2.2, 1.8]), np.array([0.4, 0.6]))
    >>> q = model.mean_field(np.array([-1.0, 1.0]))
    >>> q.means.round(1), bool(q.history[-1] < model.grid()[2])
    (array([-2.,  2.]), True)
    """

    x: Any = field(metadata={"static": True})
    weights: Any = field(metadata={"static": True})
    noise: float = 1.0
    spread: float = 5.0

    def __post_init__(self):
        """Check what is given."""
        if not is_leaf(self.x) or self.x.ndim != 1 or not self.x.shape[0] or not bool(np.all(np.isfinite(self.x))):
            raise ValueError("x is not a non-empty array of finite floats (n,)")
        given = is_leaf(self.weights) and self.weights.ndim == 1
        if not given or not bool(np.all(self.weights > 0)) or abs(float(np.sum(self.weights)) - 1) > 1e-5:
            raise ValueError(f"weights is {self.weights}; expected positive numbers (K,) of sum 1")
        if not (0 < self.noise < math.inf and 0 < self.spread < math.inf):
            raise ValueError(f"noise is {self.noise} and spread {self.spread}; expected both finite and > 0")

    def log_joint(self, mu):
        """log p(x, μ) at each row of mu (c, K): (c,) nats."""
        prior = np.sum(-0.5 * (mu / self.spread) ** 2 - 0.5 * LOG_2PI - float(np.log(self.spread)), axis=1)
        residual = (self.x[:, None] - mu[:, None, :]) / self.noise
        each = np.log(self.weights) - 0.5 * residual**2 - 0.5 * LOG_2PI - float(np.log(self.noise))
        return prior + np.sum(logsumexp(each, axis=2), axis=1)  # (1)

    def grid(self, low=-6.0, high=6.0, size=200):
        """(middles (size,), log p(μ|x) (size, size) at [μ₁, μ₂], log p(x)): size² evaluations, K = 2."""
        if self.weights.shape[0] != 2:
            raise ValueError(f"weights has K = {self.weights.shape[0]}; expected 2 for a grid")
        check_count("size", size)
        if not low < high:
            raise ValueError(f"low is {low} and high {high}; expected low < high")
        h = (high - low) / size
        middles = low + h * (np.arange(size) + 0.5)
        rows = [np.stack([np.full(size, m), middles], axis=1) for m in middles]
        log_p = np.stack([self.log_joint(like(self.x, row)) for row in rows])
        evidence = logsumexp(log_p) + 2 * float(np.log(h))
        return middles, log_p - evidence, evidence  # (2)

    def memberships(self, means, variances):
        """The best r given q(μ), (n, K)."""
        return softmax(np.log(self.weights) + (self.x[:, None] * means - 0.5 * (means**2 + variances)) / self.noise**2, axis=1)  # (3)

    def kl(self, means, variances):
        """KL(q(μ_k) ‖ p(μ_k)), (K,) nats."""
        return 0.5 * ((means**2 + variances) / self.spread**2 - 1 - np.log(variances / self.spread**2))  # (5)

    def elbo(self, means, variances, r):
        """The bound on log p(x), nats."""
        squares = (self.x[:, None] - means) ** 2 + variances
        fit = np.log(self.weights) - 0.5 * LOG_2PI - float(np.log(self.noise)) - 0.5 * squares / self.noise**2
        entropy = np.log(np.maximum(r, float(np.finfo(r.dtype).tiny)))  # r log r → 0 at 0
        return np.sum(r * (fit - entropy)) - np.sum(self.kl(means, variances))  # (6)

    def mean_field(self, means, iterations=500, tol=1e-10):
        """Coordinate ascent from means (K,), until a round gains less than tol nats. Where it starts decides which mode it finds."""
        if not is_leaf(means) or means.shape != self.weights.shape or not bool(np.all(np.isfinite(means))):
            what = f"{means.dtype} of shape {means.shape}" if is_array(means) else type(means).__name__
            raise ValueError(f"means is {what}; expected finite floats of shape {self.weights.shape}")
        check_count("iterations", iterations)
        r, history = self.memberships(means, 0 * means), []
        for _ in range(iterations):
            variances = 1 / (1 / self.spread**2 + np.sum(r, axis=0) / self.noise**2)  # (4)
            means = variances * np.sum(r * self.x[:, None], axis=0) / self.noise**2  # (4)
            r = self.memberships(means, variances)
            history.append(float(self.elbo(means, variances, r)))
            if len(history) > 1 and history[-1] - history[-2] < tol:
                break
        return MeanField(means, variances, r, history, len(history))
