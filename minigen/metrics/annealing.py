"""Annealed importance sampling: log Z of an unnormalised density, from below and from above.  Neal 2001, "Annealed importance
sampling"; Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks"; Grosse, Ghahramani & Adams 2015,
"Sandwiching the marginal likelihood using bidirectional Monte Carlo"; Burda, Grosse & Salakhutdinov 2015, "Accurate and conservative
estimates of MRF log-likelihood using reverse annealing".

Notation: f_β(x), 0 = β₀ < β₁ < … < β_K = 1, unnormalised densities f₀, of a known Z₀ and easy to draw from, to f₁ = f, whose
Z = ∫ f is sought; fₖ is f at βₖ; Tₖ a transition that is reversible with respect to fₖ. Forward, from x₀ ~ f₀/Z₀ and
xₖ ~ Tₖ(· | xₖ₋₁), the weight at each β is taken before its transition:

    log w = Σₖ log fₖ(xₖ₋₁) − log fₖ₋₁(xₖ₋₁),   k = 1 … K,   E w = Z / Z₀                               (1)
    log Ẑ = log Z₀ + log (1/n) Σ w,   E log Ẑ ≤ log Z                                                   (2)

Backward, from an exact draw xₖ₋₁ ~ f/Z for k = K, down through Tₖ₋₁ to T₁, the weights are the inverse ones:

    log w′ = Σₖ log fₖ₋₁(xₖ₋₁) − log fₖ(xₖ₋₁),   E w′ = Z₀ / Z                                          (3)
    log Ẑ = log Z₀ − log (1/n) Σ w′,   E log Ẑ ≥ log Z                                                  (4)

(By Jensen's inequality; for log p(x) = log f(x) − log Z the two bounds change places.) Where there is no exact draw, RAISE walks
backward from the datum x itself, T_K first. It estimates the density of the annealing process that ends in x_K ~ T_K,

    p_ann(x) = E f(x) w′ / Z₀,   E log p̂_ann(x) ≤ log p_ann(x),   p_ann → f/Z as K grows                (5)

which is conservative where that process is the worse model of the data. A restricted Boltzmann machine (W, a, b) is annealed from
independent units of biases a₀ by the machine

    f_β = e^(−F) of (β W, (1 − β) a₀ + β a, β b),   log Z₀ = H log 2 + Σᵢ softplus(a₀ᵢ)                 (6)
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigen.backend import uniform
from minigen.checks import check_binary, check_columns, check_count, check_rng
from minigen.functions import logsumexp, sigmoid, softplus
from minigen.progress import shown


class Annealed(NamedTuple):
    """An estimate of log Z in nats, and the log-weights of its chains, (n,)."""

    log_z: Any
    log_weights: Any


class Sandwich(NamedTuple):
    """Stochastic bounds on log Z in nats: their gap is what is not known of it."""

    lower: Any
    upper: Any


@dataclasses.dataclass
class Path:
    """From f₀ to f: log_density(x, β) → (n,), transition(x, β, rng) → x reversible at f_β, start(n, rng) ~ f₀/Z₀, and log Z₀.

    check(x) raises for an x that is none of its states.
    """

    log_density: Callable
    transition: Callable
    start: Callable
    log_z0: Any
    check: Callable = lambda x: None


def rbm_path(rbm, base=None):
    """The path of a restricted Boltzmann machine (an object with weight, visible, hidden, free_energy and gibbs).

    base: the biases a₀ (D,) of β = 0, the machine's own by default; the log-odds of the data's pixels are good.
    """
    a0 = rbm.visible if base is None else base
    if a0.shape != rbm.visible.shape or not bool(np.all(np.isfinite(a0))):
        raise ValueError(f"base has shape {a0.shape} or is not finite; expected finite numbers {rbm.visible.shape}, as the visible biases")

    def at(beta):
        visible = (1 - beta) * a0 + beta * rbm.visible
        return dataclasses.replace(rbm, weight=beta * rbm.weight, visible=visible, hidden=beta * rbm.hidden)  # (6)

    def start(n, rng):
        u = uniform(rng, (n, a0.shape[0]), a0)
        return (u < sigmoid(a0)).astype(a0.dtype)

    def check(x):
        check_binary(x)
        check_columns(x, a0.shape[0])

    log_z0 = rbm.hidden.shape[0] * math.log(2) + np.sum(softplus(a0))  # (6)
    return Path(lambda v, beta: -at(beta).free_energy(v), lambda v, beta, rng: at(beta).gibbs(v, rng), start, log_z0, check)


def check_betas(betas):
    """The inverse temperatures as floats; a number K stands for K equal steps. ValueError unless they rise from 0 to 1."""
    if hasattr(betas, "__index__"):
        check_count("betas", betas)
        return [k / int(betas) for k in range(int(betas) + 1)]
    betas = [float(b) for b in betas] if hasattr(betas, "__iter__") else []
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not all(a < b for a, b in itertools.pairwise(betas)):
        raise ValueError("betas: expected numbers that rise from 0 to 1, or how many steps")
    return betas


def log_mean_exp(log_w):
    """log (1/n) Σ e^(log w) over the first axis."""
    return logsumexp(log_w, axis=0) - math.log(log_w.shape[0])


def backward(path, betas, x, rng, progress):
    """log w′ (n,) of chains that begin at β = 1 in x, before any transition there."""
    log_w = 0
    for k in shown(range(len(betas) - 1, 0, -1), progress):
        log_w = log_w + path.log_density(x, betas[k - 1]) - path.log_density(x, betas[k])  # (3)
        if k > 1:
            x = path.transition(x, betas[k - 1], rng)
    return log_w


def ais(path, betas=1000, n=100, *, rng, progress="anneal"):
    """Annealed: a stochastic lower bound on log Z (nats) from n chains; e^(log Ẑ) is unbiased. Its error: see log_weights.

    betas: a rising sequence from 0 to 1, or the number of equal steps. Raises ValueError for others.

    >>> log_f = lambda x, beta: -0.5 * x[:, 0] ** 2 * (1 + 3 * beta)  # a Gaussian becomes one of half the width
    >>> still = lambda x, beta, rng: rng.standard_normal(x.shape) / (1 + 3 * beta) ** 0.5
    >>> path = Path(log_f, still, lambda n, rng: rng.standard_normal((n, 1)), 0.5 * math.log(2 * math.pi))
    >>> round(float(ais(path, 200, 200, rng=np.random.default_rng(0)).log_z - path.log_z0), 1)  # log ½ = −0.69
    -0.7
    """
    betas = check_betas(betas)
    check_count("n", n)
    check_rng(rng)
    x, log_w = path.start(n, rng), 0
    for k in shown(range(1, len(betas)), progress):
        log_w = log_w + path.log_density(x, betas[k]) - path.log_density(x, betas[k - 1])  # (1)
        if k < len(betas) - 1:
            x = path.transition(x, betas[k], rng)
    return Annealed(path.log_z0 + log_mean_exp(log_w), log_w)  # (2)


def reverse_ais(path, x, betas=1000, *, rng, progress="anneal"):
    """Annealed: a stochastic upper bound on log Z (nats) from exact draws x (n, …) of f/Z; log_weights are those of (3)."""
    check_rng(rng)
    path.check(x)
    log_w = backward(path, check_betas(betas), x, rng, progress)
    return Annealed(path.log_z0 - log_mean_exp(log_w), log_w)  # (4)


def bidirectional_ais(path, x, betas=1000, *, rng, progress="anneal"):
    """Sandwich: bounds on log Z (nats) from exact draws x (n, …) of f/Z and as many chains forward."""
    path.check(x)
    forward = ais(path, betas, x.shape[0], rng=rng, progress=progress)
    return Sandwich(forward.log_z, reverse_ais(path, x, betas, rng=rng, progress=progress).log_z)


def raise_ais(path, x, betas=1000, chains=10, *, rng, progress="anneal"):
    """log p̂_ann(x) (n,) in nats of any x (n, …), on average over chains; stochastic lower bounds on log p_ann(x)."""
    check_count("chains", chains)
    check_rng(rng)
    path.check(x)
    betas, n = check_betas(betas), x.shape[0]
    log_f = path.log_density(x, 1.0)
    many = np.concatenate([x] * chains)
    log_w = np.reshape(backward(path, betas, path.transition(many, 1.0, rng), rng, progress), (chains, n))
    return log_f + log_mean_exp(log_w) - path.log_z0  # (5)
