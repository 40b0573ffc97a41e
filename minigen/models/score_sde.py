"""Diffusion in continuous time.  Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, "Score-Based Generative Modeling through
Stochastic Differential Equations" (its SDEs, its ODE, predictor and corrector); Karras, Aittala, Aila & Laine 2022, "Elucidating the
Design Space of Diffusion-Based Generative Models" (scaling, noise levels of training, Heun's sampler); Anderson 1982 (the reversal).

Notation: x₀ ∈ ℝᴰ standardised data, w a Wiener process, t from 0 (data) to 1 (noise). Noise is added by one of

    VP:   dx = −½ β(t) x dt + √β(t) dw,   β(t) = β₀ + (β₁ − β₀) t                                         (1)
    VE:   dx = g(t) dw,   g² = dσ²/dt,   σ(t) = σ₀ (σ₁/σ₀)ᵗ                                               (2)

of which both have x_t = a x₀ + σ ε, ε ~ N(0, I); for VE with noise σ₀ on the data from the start:

    VP:   a = exp(−½ ∫₀ᵗ β) = exp(−½ (β₀ t + ½ (β₁ − β₀) t²)),   σ² = 1 − a²;     VE:   a = 1, σ as above    (3)

A network F sees x_t, scaled to variance 1 by ρ² = a² + σ², and the noise σ/a. It says v, which mixes datum and noise such that neither
estimate divides by a small number:

    v = (a ε − σ x₀)/ρ,   x̂₀ = (a x_t − σ ρ F)/ρ²,   ε̂ = (σ x_t + a ρ F)/ρ²                               (4)
    loss = ‖F − v‖² / D,   log(σ/a) ~ N(−1.2, 1.2²) cut to the range of the SDE                            (5)
    s(x, t) = ∇ log p_t(x) = −ε̂/σ                                                                         (6)

Read backwards in time, the SDE is dx = (f − g² s) dt + g dw with f its drift; and an ODE has the same densities p_t:

    dx/dt = f − ½ g² s = (da/dt) x̂₀ + (dσ/dt) ε̂                                                           (7)

With the exact score the two are one model. With a learned one they are two: the SDE's density is only bounded, as in `ddpm`; the
ODE's is exact, by `continuous_flow`, from x(t₀) = x to the prior N(0, ρ²(1) I), and it is the one that `log_prob` gives. Paths bend
as √t near the data, so that the solver steps in √t. At t₀ data have the noise σ(t₀), about 0.01: that much is smoothed.

Samplers: steps back in time, of which a corrector may follow each, Langevin's at the score of the new time, r = 0.16,

    x ← x − (f − g² s) h + g √h z                                                                         (8)
    x ← x + η s + √(2η) z,   η = 2 (r ‖z‖/‖s‖)²                                                            (9)

and Heun's, without noise, on x̃ = x/a with σ̃ = σ/a: over the levels σ̃_i = (σ_max^(1/7) + i/(N−1) (σ_min^(1/7) − σ_max^(1/7)))⁷, σ̃_N = 0,

    d_i = (x̃_i − x̂₀(x̃_i))/σ̃_i,   x̃′ = x̃_i + (σ̃_(i+1) − σ̃_i) d_i                                          (10)
    x̃_(i+1) = x̃_i + (σ̃_(i+1) − σ̃_i) ½ (d_i + d′),   d′ = (x̃′ − x̂₀(x̃′))/σ̃_(i+1), if σ̃_(i+1) > 0          (11)
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.backend import array_module, normal
from minigen.checks import check_choice, check_count, check_data, check_rng
from minigen.models.continuous_flow import runge_kutta, transport_closely
from minigen.models.flow import log_normal
from minigen.nn import TimedMLP
from minigen.optim import EMA, Adam, cosine
from minigen.progress import shown
from minigen.train import minimise
from minigen.tree import map_nodes

SOLVERS = ("sde", "pc", "heun", "ode")
LOW, HIGH = math.log(0.002), math.log(200.0)  # of log(σ/a), which the network sees scaled to [0, 1]


# ---- The two processes; t may be a number or an array ----
@dataclass(frozen=True)
class VP:
    """Variance preserving: x shrinks as noise comes in."""

    beta0: float = 0.1
    beta1: float = 20.0
    start: float = 1e-3  # t₀

    def __post_init__(self):
        if not (0 <= self.beta0 < self.beta1 < math.inf and 0 < self.start < 1):
            raise ValueError(f"{self}: expected 0 ≤ beta0 < beta1 < ∞ and start in (0, 1)")

    def beta(self, t):
        """β(t)."""
        return self.beta0 + (self.beta1 - self.beta0) * t  # (1)

    def integral(self, t):
        """∫₀ᵗ β."""
        return self.beta0 * t + 0.5 * (self.beta1 - self.beta0) * t**2

    def a(self, t):
        """a(t)."""
        return np.exp(-0.5 * self.integral(t))  # (3)

    def sigma(self, t):
        """σ(t)."""
        return np.sqrt(-np.expm1(-self.integral(t)))  # (3)

    def drift(self, t):
        """f/x."""
        return -0.5 * self.beta(t)  # (1)

    def g2(self, t):
        """g²."""
        return self.beta(t)  # (1)

    def time(self, ratio):
        """The t at which σ/a is so much."""
        slope, area = self.beta1 - self.beta0, np.log1p(ratio**2)
        return (np.sqrt(self.beta0**2 + 2 * slope * area) - self.beta0) / slope


@dataclass(frozen=True)
class VE:
    """Variance exploding: x stays and noise is added."""

    sigma0: float = 0.01
    sigma1: float = 50.0
    start: float = 0.0  # t₀

    def __post_init__(self):
        if not (0 < self.sigma0 < self.sigma1 < math.inf and 0 <= self.start < 1):
            raise ValueError(f"{self}: expected 0 < sigma0 < sigma1 < ∞ and start in [0, 1)")

    def a(self, t):
        """a(t) = 1."""
        return 1.0 + 0.0 * t  # (3)

    def sigma(self, t):
        """σ(t)."""
        return self.sigma0 * np.exp(math.log(self.sigma1 / self.sigma0) * t)  # (2)

    def drift(self, t):
        """f/x = 0."""
        return 0.0 * t  # (2)

    def g2(self, t):
        """g²."""
        return 2 * math.log(self.sigma1 / self.sigma0) * self.sigma(t) ** 2  # (2)

    def time(self, ratio):
        """The t at which σ/a is so much."""
        return np.log(ratio / self.sigma0) / math.log(self.sigma1 / self.sigma0)


SDES = {"vp": VP(), "ve": VE()}


@dataclass
class ScoreSDE:
    """The model. Data has shape (n, *event); inside it is flat and standardised, (n, D).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.choice([-2.0, 2.0], (500, 1)) + 0.1 * rng.standard_normal((500, 1))
    >>> model = ScoreSDE.fit(x, rng=rng, width=32, blocks=1, steps=300, progress=False)
    >>> p = model.log_prob(np.array([[-2.0], [0.0], [2.0]]))
    >>> bool(p[0] > p[1]), bool(p[2] > p[1]), model.sample(3, rng, progress=False).shape
    (True, True, (3, 1))
    """

    network: Any  # (x (n, D), noise level in [0, 1] (n,)) → (n, D)
    sde: Any  # VP or VE
    mean: np.ndarray = field(metadata={"static": True})  # (D,)
    std: np.ndarray = field(metadata={"static": True})  # (D,)
    event: tuple

    # ---- What the network says, at times t (n,) ----
    def scales(self, t):
        """a, σ and ρ (n, 1)."""
        a, sigma = self.sde.a(t)[:, None], self.sde.sigma(t)[:, None]
        return a, sigma, np.sqrt(a**2 + sigma**2)

    def says(self, x, t):
        """F (n, D)."""
        a, sigma, rho = self.scales(t)
        level = (np.log(sigma[:, 0] / a[:, 0]) - LOW) / (HIGH - LOW)
        return self.network(x / rho, level)

    def estimates(self, x, t):
        """(x̂₀, ε̂), both (n, D), of standardised x (n, D) at t (n,)."""
        a, sigma, rho = self.scales(t)
        out = self.says(x, t)
        return (a * x - sigma * rho * out) / rho**2, (sigma * x + a * rho * out) / rho**2  # (4)

    def loss(self, x0, t, eps):
        """The loss (n,) of standardised data and noise (n, D) at t (n,)."""
        a, sigma, rho = self.scales(t)
        return np.mean((self.says(a * x0 + sigma * eps, t) - (a * eps - sigma * x0) / rho) ** 2, axis=1)  # (4) (5)

    def score_at(self, x, t):
        """s (n, D) of standardised x (n, D) at t (n,)."""
        return -self.estimates(x, t)[1] / self.sde.sigma(t)[:, None]  # (6)

    def score(self, x, t=None):
        """∇ₓ log p_t(x), shaped as x (n, *event), in the units of data; t is a number, t₀ where it is not given."""
        y = self.flat(x)
        if t is not None and not self.sde.start <= t <= 1:
            raise ValueError(f"t is {t}; expected a number from t₀ = {self.sde.start} to 1")
        s = self.score_at(y, np.full_like(y, self.sde.start if t is None else t, shape=y.shape[:1]))
        return np.reshape(s / self.std, x.shape)

    # ---- The ODE and its density ----
    def velocity(self, x, t):
        """dx/dt (n, D) of the ODE."""
        return self.sde.drift(t)[:, None] * x - 0.5 * self.sde.g2(t)[:, None] * self.score_at(x, t)  # (7)

    def in_root(self, x, u):
        """dx/du (n, D) for t = u²."""
        return 2 * u[:, None] * self.velocity(x, u**2)

    def flat(self, x):
        """Standardised x (n, D) of data, checked."""
        check_data(x, rank=None)
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        return (np.reshape(x, (x.shape[0], -1)) - self.mean) / self.std

    def prior_std(self):
        """ρ(1)."""
        return math.sqrt(self.sde.a(1.0) ** 2 + self.sde.sigma(1.0) ** 2)

    def log_prob(self, x, progress="ODE"):
        """log p(x) of the ODE, (n,) nats, known to 10⁻³; it costs D pullbacks an evaluation."""
        rho = self.prior_std()
        z, logdet = transport_closely(self.in_root, self.flat(x), math.sqrt(self.sde.start), 1.0, 16, rho, progress=progress)
        return log_normal(z / rho) - z.shape[1] * math.log(rho) + logdet - np.sum(np.log(self.std))  # (7)

    # ---- Samplers ----
    def euler(self, x, t, h, rng):
        """x (n, D) at t − h from x at t, numbers."""
        time = np.full_like(x, t, shape=x.shape[:1])
        drift, g2 = float(self.sde.drift(t)), float(self.sde.g2(t))
        return x - (drift * x - g2 * self.score_at(x, time)) * h + math.sqrt(g2 * h) * normal(rng, x.shape, x)  # (8)

    def correct(self, x, t, rng, r=0.16):
        """x (n, D) after a Langevin step at t."""
        s, z = self.score_at(x, np.full_like(x, t, shape=x.shape[:1])), normal(rng, x.shape, x)
        norms = [np.mean(np.sqrt(np.sum(v**2, axis=1))) for v in (z, s)]
        eta = 2 * (r * norms[0] / norms[1]) ** 2  # (9)
        return x + eta * s + np.sqrt(2 * eta) * z  # (9)

    def heun(self, x, level, following):
        """x̃ (n, D) at the noise `following` from x̃ at the noise `level`, numbers."""

        def slope(x, level):
            t = float(self.sde.time(level))
            scaled = float(self.sde.a(t)) * x
            return (x - self.estimates(scaled, np.full_like(x, t, shape=x.shape[:1]))[0]) / level

        d = slope(x, level)  # (10)
        guess = x + (following - level) * d  # (10)
        return guess if following == 0 else x + (following - level) * 0.5 * (d + slope(guess, following))  # (11)

    def sample(self, n, rng, solver="heun", steps=None, progress=True):
        """x (n, *event). "heun" takes 32 steps by default, "ode" (Runge–Kutta's) 48, "sde" 500 and "pc", which corrects them, 250."""
        check_count("n", n)
        check_rng(rng)
        check_choice("solver", solver, SOLVERS)
        steps = {"heun": 32, "ode": 48, "sde": 500, "pc": 250}[solver] if steps is None else steps
        check_count("steps", steps)
        sde = self.sde
        x = self.prior_std() * normal(rng, (n, self.mean.shape[0]), self.mean)
        if solver == "ode":
            slope = lambda y, u: (self.in_root(y[0], np.full_like(x, u, shape=(n,))),)
            (x,) = runge_kutta(slope, (x,), 1.0, math.sqrt(sde.start), steps, progress)
        elif solver == "heun":
            low, high = (float(sde.sigma(t) / sde.a(t)) ** (1 / 7) for t in (sde.start, 1.0))
            levels = [*((high + i / max(steps - 1, 1) * (low - high)) ** 7 for i in range(steps)), 0.0]  # (10)
            x = x / float(sde.a(1.0))
            for level, following in shown(list(itertools.pairwise(levels)), progress):
                x = self.heun(x, level, following)
        else:
            h = (1 - sde.start) / steps
            for i in shown(range(steps), progress):
                x = self.euler(x, 1 - i * h, h, rng)
                x = self.correct(x, max(1 - (i + 1) * h, sde.start), rng) if solver == "pc" else x
            x = self.estimates(x, np.full_like(x, sde.start, shape=(n,)))[0]  # what noise is left goes
        return np.reshape(x * self.std + self.mean, (n, *self.event))

    @classmethod
    def fit(cls, x, *, rng, sde="vp", width=128, blocks=3, steps=3000, batch_size=256, optimizer=None, ema=None, **training):
        """Train by Adam on the loss, for the SDE "vp" or "ve", or a `VP` or `VE` of one's own numbers; x (n, *event) is float.

        Parameters are averaged over about the last tenth of the steps, or by `ema`. The rest goes to `minigen.train.minimise`.
        Raises TypeError or ValueError for data or arguments that do not fit.
        """
        check_data(x, least=2, rank=None)
        check_rng(rng)
        if not isinstance(sde, (VP, VE)):
            check_choice("sde", sde, tuple(SDES))
            sde = SDES[sde]
        rows = np.reshape(x, (x.shape[0], -1))
        mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
        if not bool(np.all(std > 0)):
            raise ValueError("x has coordinates that never change, which have no density; expected data without them")
        d, low, high = rows.shape[1], *(math.log(sde.sigma(t) / sde.a(t)) for t in (sde.start, 1.0))
        model = cls(TimedMLP.init(rng, d, d, width, blocks, dtype=x.dtype), sde, mean, std, tuple(x.shape[1:]))
        model = map_nodes(array_module(x).asarray, model, static=True)

        def loss(model, x0, rng):
            ratio = np.clip(-1.2 + 1.2 * normal(rng, x0.shape[:1], x0), low, high)  # (5)
            return model.loss(x0, model.sde.time(np.exp(ratio)), normal(rng, x0.shape, x0))

        return minimise(
            loss, model, (rows - mean) / std, rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer or Adam(cosine(4e-3, steps)),
            ema=ema or EMA(max(0, 1 - 10 / max(steps, 1))), **training,
        )[0]  # fmt: skip
