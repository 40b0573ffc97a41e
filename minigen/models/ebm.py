"""Energy-based models, sampled by Langevin dynamics.  Roberts & Tweedie 1996, "Exponential convergence of Langevin distributions and
their discrete approximations"; Tieleman 2008 (chains that persist); Du & Mordatch 2019, "Implicit generation and modeling with
energy-based models" (a replay buffer); Geyer 1992, "Practical Markov chain Monte Carlo", §3.3.

Notation: x ∈ ℝᴰ (images are flattened within), f a network to ℝ, μ and s the centre and width of a Gaussian that holds the data.

    E(x) = f(x) + ‖x − μ‖² / 2s²,   p(x) = e^(−E(x)) / Z                                                 (1)

A network of activations of bounded slope grows at most linearly, so that Z is finite for all weights. It is unknown: there is no
log_prob, but the score needs no Z,

    s(x) = ∇ log p(x) = −∇E(x)                                                                          (2)

Langevin dynamics with steps of size η follows the score and adds noise. The noise has variance η² where the drift has ½η²: with
any other ratio the chain has another temperature.

    x′ = x + ½η² s(x) + η ε,   ε ~ N(0, I)                                                              (3)

It leaves p as it is only as η → 0. Metropolis–Hastings (MALA) makes it exact: x′ is accepted with probability α, else x stays,

    α = min(1, p(x′) q(x|x′) / p(x) q(x′|x)),   q(y|x) = N(y; x + ½η² s(x), η² I)                        (4)

The likelihood's slope is that of the energies of data less those of draws x⁻, held constant: chains of a buffer that go on from
step to step, a few of them starting again from the Gaussian of (1),

    L = E(x) − E(x⁻)                                                                                    (5)

A chain of T correlated draws is worth fewer independent ones; with ρₜ the autocorrelation, summed in pairs while these are positive,

    ESS = T / (1 + 2 Σₜ ρₜ),   t = 1, 2, …                                                              (6)
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import vjp
from minigen.backend import like, normal, to_host, uniform
from minigen.checks import check_count, check_data, check_rng
from minigen.functions import silu
from minigen.nn import MLP
from minigen.optim import Adam, cosine
from minigen.progress import shown
from minigen.train import Learner, run
from minigen.tree import is_leaf


class Chains(NamedTuple):
    """Draws (T, n, *event) of n chains, and the share of accepted proposals (1 without Metropolis)."""

    draws: Any
    acceptance: Any


# ---- Dynamics, for any energy: (n, D) → (n,) ----
def energy_and_score(energy, x):
    """(E(x) (n,), s(x) (n, D)); E(xᵢ) depends on xᵢ alone, so that one pullback gives the scores of all."""
    e, pull = vjp(energy, x)
    return e, -pull(np.ones_like(e))  # (2)


def langevin_step(x, score, eta, eps):
    """x′ from x and its score, all (n, D), with noise eps."""
    return x + 0.5 * eta**2 * score + eta * eps  # (3)


def mala_step(energy, state, eta, eps, u):
    """(state′, accepted (n,)) for a state (x, E(x), s(x)), with noise eps (n, D) and u (n,) in [0, 1)."""
    x, e, s = state
    y = langevin_step(x, s, eta, eps)
    e_y, s_y = energy_and_score(energy, y)
    back = (x - y - 0.5 * eta**2 * s_y) / eta
    log_alpha = e - e_y + 0.5 * np.sum(eps**2 - back**2, axis=1)
    accepted = u < np.exp(np.minimum(log_alpha, 0))  # (4)
    move = accepted[:, None]
    return (np.where(move, y, x), np.where(accepted, e_y, e), np.where(move, s_y, s)), accepted


def run_chains(energy, x, steps, eta, rng, adjust=True, keep=True, progress=False):
    """Chains of so many steps from x (n, D): all draws (T, n, D), or the last alone with keep=False; MALA where adjust."""
    check_count("steps", steps)
    check_rng(rng)
    if not 0 < eta < math.inf:
        raise ValueError(f"eta is {eta}; expected a finite step > 0")
    state, draws, rate = (x, *energy_and_score(energy, x)), [], 0
    for _ in shown(range(steps), progress):
        eps = normal(rng, x.shape, x)
        if adjust:
            state, accepted = mala_step(energy, state, eta, eps, uniform(rng, x.shape[:1], x))
            rate = rate + np.mean(accepted) / steps
        else:
            y = langevin_step(state[0], state[2], eta, eps)
            state = (y, *energy_and_score(energy, y))
        if keep:
            draws.append(state[0])
    return Chains(np.stack(draws) if keep else state[0][None], rate if adjust else 1.0)


def effective_sample_size(draws):
    """ESS of n chains together, for each of D numbers: draws (T, n, D) → (D,), a NumPy array.

    Chains are compared with their common mean, so that chains that stay apart count as few; those that never moved are worth one
    draw each. ValueError for T < 4.

    >>> effective_sample_size(np.random.default_rng(0).standard_normal((1000, 4, 1))) > 3000
    array([ True])
    """
    if draws.ndim != 3 or draws.shape[0] < 4:
        raise ValueError(f"draws has shape {draws.shape}; expected (T, n, D) with T ≥ 4")
    x = to_host(draws).astype(np.float64)
    t, n = x.shape[:2]
    x = x - x.mean((0, 1))
    spectrum = np.fft.rfft(x, 2 * t, axis=0)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:t].mean(1) / t  # (T, D)
    still = covariance[0] == 0
    rho = covariance / np.where(still, 1, covariance[0])
    pairs = rho[0 : t - t % 2 : 2] + rho[1::2]  # ρ₀ + ρ₁, ρ₂ + ρ₃, …: positive and falling for a reversible chain
    positive = np.cumprod(pairs > 0, axis=0)
    worth = n * t / np.maximum(2 * np.sum(pairs * positive, axis=0) - 1, 1 / (n * t))  # (6)
    return np.where(still, n, worth)


def contrastive_loss(model, x, negative):
    """L (n,) of data and of draws, which are constants."""
    return model.energy(x) - model.energy(negative)  # (5)


@dataclass
class EBM:
    """The model of data (n, *event).

    >>> rng = np.random.default_rng(0)
    >>> x = 0.1 * rng.standard_normal((1000, 1)) + 3
    >>> ebm = EBM.fit(x, rng=rng, hidden=(8,), steps=20, progress=False)
    >>> e = ebm.energy(np.array([[2.0], [3.0], [4.0]]))
    >>> bool(e[1] < e[0]), bool(e[1] < e[2]), ebm.sample(5, rng, steps=20).shape
    (True, True, (5, 1))
    """

    network: Any
    mean: Any = field(metadata={"static": True})  # μ (D,)
    std: Any = field(metadata={"static": True})  # s (0-d)
    event: tuple = ()

    @classmethod
    def init(cls, rng, x, hidden=(128, 128), activation=silu, width=1.5):
        """A network that begins at 0 everywhere, and a Gaussian `width` times as wide as the widest coordinate of data x (n, *event)."""
        check_data(x, least=2, rank=None)
        check_rng(rng)
        flat = np.reshape(x, (x.shape[0], -1))
        std = width * np.max(np.std(flat, axis=0))
        if not float(std) > 0:
            raise ValueError("x is constant; expected data that vary")
        network = MLP.init(rng, [flat.shape[1], *hidden, 1], activation, output_gain=0.0, dtype=x.dtype)
        for layer in network.layers:
            layer.weight, layer.bias = like(x, layer.weight), like(x, layer.bias)
        return cls(network, np.mean(flat, axis=0), std, tuple(x.shape[1:]))

    def energy(self, x):
        """E(x) (n,), nats: −log p(x) but for a constant."""
        if not is_leaf(x):
            raise TypeError(f"x is {getattr(x, 'dtype', type(x).__name__)}; expected a floating-point array")
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        flat = (np.reshape(x, (x.shape[0], -1)) - self.mean) / self.std
        return self.network(flat)[:, 0] + 0.5 * np.sum(flat**2, axis=1)  # (1)

    def flat_energy(self, x):
        """E of flattened data (n, D)."""
        return self.energy(np.reshape(x, (x.shape[0], *self.event)))

    def score(self, x):
        """∇ log p(x), shaped as x (n, *event); it can be differentiated again."""
        return energy_and_score(self.energy, x)[1]

    def start(self, n, rng):
        """n draws (n, D) of the Gaussian of (1): where chains begin."""
        return self.mean + self.std * normal(rng, (n, self.mean.shape[0]), self.mean)

    def chains(self, n, rng, steps=500, eta=None, adjust=True, keep=True, progress=True):
        """Chains: n of so many steps from the Gaussian, MALA where adjust; all draws or the last alone. eta is 0.15 s by default."""
        check_count("n", n)
        check_rng(rng)
        eta = 0.15 * float(self.std) if eta is None else eta
        found = run_chains(self.flat_energy, self.start(n, rng), steps, eta, rng, adjust, keep, progress)
        return Chains(np.reshape(found.draws, (-1, n, *self.event)), found.acceptance)

    def sample(self, n, rng, steps=500, eta=None, adjust=True, progress=True):
        """The ends (n, *event) of n chains, which are p(x) but for what steps do not mix."""
        return self.chains(n, rng, steps, eta, adjust, False, progress).draws[0]

    @classmethod
    def fit(
        cls, x, *, rng, hidden=(128, 128), activation=silu, steps=2000, batch_size=128, k=10, eta=None, adjust=True, slots=4,
        restart=0.05, optimizer=None, **training,
    ):  # fmt: skip
        """Learn from x (n, *event), with k Langevin steps a training step, on the next of `slots` batches of persistent chains.

        A chain begins again with probability `restart`. Unadjusted chains are wider than the model, so that what they teach is
        narrower than the data; adjusted ones stand still where eta, 0.15 s by default, is too long for the narrowest part of the
        data. `training` goes to `train.run`. Raises TypeError or ValueError for data that are not finite floats or do not vary,
        and for sizes below 1.
        """
        for name, value in (("batch_size", batch_size), ("k", k), ("slots", slots)):
            check_count(name, value)
        if not 0 <= restart <= 1:
            raise ValueError(f"restart is {restart}; expected a probability")
        model = cls.init(rng, x, hidden, activation)
        size, eta = min(batch_size, x.shape[0]), 0.15 * float(model.std) if eta is None else eta
        buffer = model.start(slots * size, rng)
        state = {"learner": Learner.of(model, optimizer or Adam(cosine(3e-3, steps), b1=0.5)), "buffer": buffer}

        def step(state, batch, rng):
            learner, buffer = state["learner"], state["buffer"]
            slot = int(learner.steps) % slots * size
            fresh = uniform(rng, (size, 1), buffer) < restart
            begin = np.where(fresh, model.start(size, rng), buffer[slot : slot + size])
            ends = run_chains(learner.model.flat_energy, begin, k, eta, rng, adjust, keep=False).draws[0]
            buffer[slot : slot + size] = ends
            return learner.update(contrastive_loss, batch, np.reshape(ends, batch.shape))

        run(step, state, x, rng=rng, steps=steps, batch_size=size, **training)
        return state["learner"].model
