"""Denoising diffusion.  Ho, Jain & Abbeel 2020, "Denoising diffusion probabilistic models"; Sohl-Dickstein et al. 2015.

From `noising`: data x₀ ∈ ℝᴰ become x_t = a_t x₀ + σ_t ε in t = 1 … T steps of noise; β_t are their variances; μ̃(x_t, x₀) and β̃ the mean
and the variance of q(x_s|x_t, x₀), s < t. A network sees x_t and t/T and says ε, x₀ or v; hence x̂₀ and ε̂. It is trained by

    loss = ‖what the network says − what it should say‖² / D,   t uniform on 1 … T                       (1)

With x̂₀ in the place of x₀, q goes back from noise to data; of a chain of all T steps, the likelihood has a bound:

    p(x_s|x_t) = N(μ̃(x_t, x̂₀), v I),   v = β̃ or β = 1 − ᾱ_t/ᾱ_s;   p(x_T) = N(0, I);   no noise in the last step    (2)
    −log p(x₀) ≤ L_0 + … + L_T,   L_(t−1) = E KL(q(x_{t−1}|x_t, x₀) ‖ p(x_{t−1}|x_t)),   L_T = KL(q(x_T|x₀) ‖ p(x_T))    (3)
    KL(N(m, v I) ‖ N(m′, v′ I)) = ½ Σ v/v′ + (m − m′)²/v′ − 1 − log(v/v′)                                  (4)

The best v is E ‖x_s − μ̃(x_t, x̂₀)‖²/D. That is β̃ where x_t tells x₀, as it does on levels when it matters, and near β where x₀ is spread
widely about x̂₀, as smooth data is; the wrong one costs up to ½ nat a coordinate, in the last steps, however large T is. The last
step's density has the variance β₁; of data on levels a distance δ apart it takes the share of each cell, the outer two to ∓∞:

    L_0 = −E log N(x₀; x̂₀(x₁), β₁ I)   or   −E Σ log(Φ(u) − Φ(l)),   u, l = (x₀ ± δ/2 − x̂₀)/√β₁            (5)

The same network draws by other chains, with less noise, none for η = 0 (Song, Meng & Ermon 2021, "Denoising diffusion implicit
models"); η = 1 is (2) with β̃. Both may visit some of the times only. Trained without labels now and then, it may be told to
exaggerate what a label y changes (Ho & Salimans 2022, "Classifier-free diffusion guidance"), in ε, x₀ or v alike:

    x_s = a_s x̂₀ + √(σ_s² − η² β̃) ε̂ + η √β̃ z,   z ~ N(0, I)                                             (6)
    out = (1 + w) out(x_t, t, y) − w out(x_t, t, no label)                                               (7)
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.backend import array_module, normal, to_host, uniform
from minigen.checks import check_choice, check_count, check_data, check_labels, check_rng
from minigen.models.noising import (
    PREDICTIONS,
    SCHEDULES,
    between,
    clean,
    noise_in,
    noised,
    posterior,
    signal_and_noise,
    target,
)
from minigen.nn import TimedMLP
from minigen.optim import EMA, Adam, cosine
from minigen.progress import shown
from minigen.train import minimise
from minigen.tree import is_leaf, map_nodes

SAMPLERS, VARIANCES = ("ddpm", "ddim"), ("posterior", "forward")
LOG_2PI = 1.8378770664093453


# ---- Terms of the bound, which sum over the last axis ----
def kl_normals(m, v, m2, v2):
    """KL(N(m, v I) ‖ N(m2, v2 I)) of means (…, D) and variances that are numbers, (…) nats."""
    return 0.5 * np.sum(v / v2 + (m - m2) ** 2 / v2 - 1 - math.log(v / v2), axis=-1)  # (4)


def log_normal(x, mean, variance):
    """log N(x; mean, variance I), (…) nats; the variance is a number."""
    return -0.5 * np.sum((x - mean) ** 2 / variance + LOG_2PI + math.log(variance), axis=-1)  # (5)


def log_cells(x, mean, variance, levels):
    """log P(x) in nats of x on `levels` levels from −1 to 1 under a rounded normal; exact in its tails."""
    from scipy.special import log_ndtr

    half, std = 1 / (levels - 1), math.sqrt(variance)
    upper, lower = (x + half - mean) / std, (x - half - mean) / std
    mirrored = upper + lower > 0  # Φ is exact in its lower tail only
    u, l = np.where(mirrored, -lower, upper), np.where(mirrored, -upper, lower)
    inner = log_ndtr(u) + np.log(-np.expm1(log_ndtr(l) - log_ndtr(u)))
    return np.sum(np.where(x < half - 1, log_ndtr(upper), np.where(x > 1 - half, log_ndtr(-lower), inner)), axis=-1)  # (5)


@dataclass
class DDPM:
    """The model. Data has shape (n, *event); inside it is flat, (n, D), and x₀ = (x − shift)/scale.

    >>> rng = np.random.default_rng(0)
    >>> x = (rng.choice([-1.0, 1.0], (512, 1)) + 0.1 * rng.standard_normal((512, 2))).astype(np.float32)
    >>> model = DDPM.fit(x, rng=rng, timesteps=50, width=32, blocks=1, steps=300, progress=False)
    >>> model.sample(5, rng).shape, model.elbo_terms(x, rng).shape, bool(model.elbo(x, rng).mean() > -2)
    ((5, 2), (51, 512), True)
    """

    network: Any  # (x (n, D), t/T (n,), y (n,) or None) → (n, D)
    betas: np.ndarray = field(metadata={"static": True})  # (T,) float64
    shift: np.ndarray = field(metadata={"static": True})  # (D,)
    scale: np.ndarray = field(metadata={"static": True})  # (D,)
    event: tuple
    prediction: str = "v"
    variance: str = "posterior"  # v: "posterior" for β̃, "forward" for β
    levels: int | None = None  # of data k/(levels − 1), k = 0 … levels − 1
    classes: int = 0

    def __post_init__(self):
        check_choice("prediction", self.prediction, PREDICTIONS)
        check_choice("variance", self.variance, VARIANCES)
        betas = to_host(self.betas)
        if not is_leaf(betas) or betas.ndim != 1 or betas.dtype != np.float64 or not len(betas):
            what = f"{betas.dtype} of shape {betas.shape}" if is_leaf(betas) else type(betas).__name__
            raise ValueError(f"betas, the schedule, is {what}; expected float64 (T,), or its name in fit")
        if not np.all((betas > 0) & (betas < 1)):
            raise ValueError(f"betas, the schedule, goes from {betas.min():.3g} to {betas.max():.3g}; expected numbers between 0 and 1")

    # ---- Data and noise ----
    def flat(self, x):
        """x₀ (n, D) of data x (n, *event), checked."""
        check_data(x, rank=None)
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        if self.levels is not None:
            k = x * (self.levels - 1)
            if not bool(np.all((np.abs(k - np.rint(k)) < 1e-3) & (x > -1e-3) & (x < 1 + 1e-3))):
                raise ValueError(f"x holds values other than k/{self.levels - 1}, k = 0 … {self.levels - 1}: levels is {self.levels}")
        return (np.reshape(x, (x.shape[0], -1)) - self.shift) / self.scale

    def unflat(self, x0):
        """Data (n, *event) of x₀ (n, D), between levels."""
        return np.reshape(self.shift + self.scale * x0, (x0.shape[0], *self.event))

    def scales(self):
        """a and σ of t = 0 … T, on the host."""
        return signal_and_noise(to_host(self.betas))

    def q_sample(self, x, t, eps):
        """x with the noise of t steps, in the units of data: x and eps (n, *event), t = 0 … T."""
        if not hasattr(t, "__index__") or not 0 <= t <= self.betas.shape[0]:
            raise ValueError(f"t is {t}; expected a whole number 0 … T = {self.betas.shape[0]}")
        x0 = self.flat(x)
        check_data(eps, rank=None, name="eps")
        if eps.shape != x.shape:
            raise ValueError(f"eps has shape {eps.shape}; expected that of x, {x.shape}")
        a, sigma = (float(s[t]) for s in self.scales())
        return self.unflat(noised(x0, np.reshape(eps, (x.shape[0], -1)), a, sigma))

    # ---- The network and its loss ----
    def denoise(self, x_t, t, y=None, guidance=0.0):
        """(x̂₀, ε̂), (n, D), that the network reads in x_t at the step t; of levels, x̂₀ is between −1 and 1."""
        a, sigma = (float(s[t]) for s in self.scales())
        time = np.full_like(self.shift, t / self.betas.shape[0], shape=x_t.shape[:1])
        out = self.network(x_t, time, y)
        if guidance:
            out = (1 + guidance) * out - guidance * self.network(x_t, time, None)  # (7)
        x0 = clean(self.prediction, out, x_t, a, sigma)
        x0 = x0 if self.levels is None else np.clip(x0, -1, 1)
        return x0, noise_in(x_t, x0, a, sigma)

    def loss(self, x0, t, eps, y=None):
        """What is minimised, (n,), for flat x₀ and eps (n, D), steps t (n,), integers in 1 … T, and labels y (n,), classes for none."""
        a, sigma = (s[t].astype(x0.dtype)[:, None] for s in signal_and_noise(self.betas))
        out = self.network(noised(x0, eps, a, sigma), t.astype(x0.dtype) / self.betas.shape[0], y)
        return np.mean((out - target(self.prediction, x0, eps, a, sigma)) ** 2, axis=1)  # (1)

    # ---- The bound ----
    def elbo_terms(self, x, eps, y=None, progress="bound"):
        """L_0 … L_T, (T + 1, n) nats, from one noise a step: eps (T, n, D), or a generator that draws it.

        L_0 of real data is in their own units. Its estimate has no bias: so the mean over draws is the bound.
        """
        x0, (a, sigma), steps = self.flat(x), self.scales(), self.betas.shape[0]
        self.check_labels(y, x.shape[0])
        draws = hasattr(eps, "standard_normal")
        if not draws and eps.shape != (steps, *x0.shape):
            raise ValueError(f"eps has shape {eps.shape}; expected {(steps, *x0.shape)}, or a generator")
        terms = []
        for t in shown(range(1, steps + 1), progress):
            noise = normal(eps, x0.shape, x0) if draws else eps[t - 1]
            x_t = noised(x0, noise, float(a[t]), float(sigma[t]))
            guess, _ = self.denoise(x_t, t, y)
            if t == 1:
                terms.append(-self.log_last(x0, guess))
            else:
                mean, variance = posterior(x_t, x0, a, sigma, t, t - 1)
                terms.append(kl_normals(mean, variance, *self.reverse(x_t, guess, t, t - 1)))  # (3)
        return np.stack([*terms, kl_normals(float(a[steps]) * x0, float(sigma[steps]) ** 2, 0.0, 1.0)])  # (3)

    def log_last(self, x0, guess):
        """log p(x|x₁) from x̂₀(x₁), (n,) nats, x in its own units."""
        first = float(to_host(self.betas)[0])
        if self.levels is not None:
            return log_cells(x0, guess, first, self.levels)
        return log_normal(x0, guess, first) - np.sum(np.log(self.scale))

    def elbo(self, x, eps, y=None, progress="bound"):
        """The bound on log p(x), or on log p(x|y), (n,) nats; arguments as those of `elbo_terms`."""
        return -np.sum(self.elbo_terms(x, eps, y, progress), axis=0)  # (3)

    # ---- Sampling ----
    def check_labels(self, y, n, guidance=0.0):
        """Raise unless y is None or n labels that the network knows, and guided only where it is not None."""
        if y is not None and not self.classes:
            raise ValueError("y is given, but the model was fitted without labels; expected None")
        if y is not None:
            check_labels(y, n, self.classes)
        if not math.isfinite(guidance):
            raise ValueError(f"guidance is {guidance}; expected a finite number")
        if guidance and y is None:
            raise ValueError(f"guidance is {guidance} without labels; expected labels y, or guidance 0")

    def reverse(self, x_t, guess, t, s):
        """(mean, variance v) of p(x_s|x_t) from x̂₀: an array like x_t, and a number."""
        a, sigma = self.scales()
        mean, variance = posterior(x_t, guess, a, sigma, t, s)
        return mean, variance if self.variance == "posterior" else between(a, t, s)  # (2)

    def step(self, x_t, t, s, rng, sampler="ddpm", eta=0.0, y=None, guidance=0.0):
        """A draw x_s (n, D) from x_t, s < t."""
        x0, eps = self.denoise(x_t, t, y, guidance)
        if s == 0:
            return x0  # (2)
        if sampler == "ddpm":
            mean, variance = self.reverse(x_t, x0, t, s)
        else:
            a, sigma = self.scales()
            variance = eta**2 * posterior(x_t, x0, a, sigma, t, s)[1]
            mean = float(a[s]) * x0 + math.sqrt(float(sigma[s]) ** 2 - variance) * eps  # (6)
        return mean + math.sqrt(variance) * normal(rng, x_t.shape, x_t) if variance else mean

    def times(self, steps):
        """The times of a chain of `steps` steps (None: all T), from T to 0."""
        total = self.betas.shape[0]
        check_count("steps", 1 if steps is None else steps)
        if (steps or total) > total:
            raise ValueError(f"steps is {steps}; expected at most T = {total}")
        return [i * total // (steps or total) for i in range(steps or total, -1, -1)]

    def sample(self, n, rng, sampler="ddpm", steps=None, eta=0.0, y=None, guidance=0.0, trace=False, progress=True):
        """x (n, *event), by all T steps or by fewer; eta is for "ddim". With labels y (n,) from p(x|y), guided by w = guidance.

        With trace=True, (x, every x_t (steps + 1, n, *event), from noise to data and in its units).
        """
        check_count("n", n)
        check_rng(rng)
        check_choice("sampler", sampler, SAMPLERS)
        self.check_labels(y, n, guidance)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta is {eta}; expected a number in [0, 1]")
        times = self.times(steps)
        x = normal(rng, (n, self.shift.shape[0]), self.shift)
        states = [x]
        for t, s in shown(list(itertools.pairwise(times)), progress):
            x = self.step(x, t, s, rng, sampler, eta, y, guidance)
            states = [*states, x] if trace else states
        return (self.finished(x), np.stack([self.unflat(x) for x in states])) if trace else self.finished(x)

    def finished(self, x0):
        """Data (n, *event) of x₀ (n, D): on its levels, where it has levels."""
        x = self.unflat(x0)
        return x if self.levels is None else np.clip(np.rint(x * (self.levels - 1)), 0, self.levels - 1) / (self.levels - 1)

    @classmethod
    def fit(
        cls, x, *, rng, y=None, timesteps=1000, schedule="cosine", prediction="v", variance=None, levels=None, width=256, blocks=3,
        drop_label=0.1, steps=3000, optimizer=None, ema=None, **training,
    ):  # fmt: skip
        """Train by Adam on the loss; `schedule` is "cosine", "linear" or β (T,). Labels are left out with probability drop_label.

        Data with levels, k/(levels − 1), goes to [−1, 1], other data is standardised; the variance is "posterior" with levels and
        "forward" without, where none is said. Parameters are averaged over about the last tenth of the steps, or by `ema`. The rest
        goes to `minigen.train.minimise`. Raises TypeError or ValueError for bad input.
        """
        check_data(x, least=2, rank=None)
        check_rng(rng)
        classes = 0 if y is None else check_labels(y, x.shape[0])
        if not 0 <= drop_label < 1:
            raise ValueError(f"drop_label is {drop_label}; expected a probability below 1")
        if isinstance(schedule, str):
            check_choice("schedule", schedule, SCHEDULES)
            check_count("timesteps", timesteps)
            schedule = SCHEDULES[schedule](timesteps)
        d, xp = math.prod(x.shape[1:]), array_module(x)
        if levels is None:
            rows = np.reshape(x, (x.shape[0], d))
            shift, scale = np.mean(rows, axis=0), np.std(rows, axis=0)
            scale = np.where(scale > 0, scale, 1).astype(x.dtype)
        else:
            check_count("levels − 1", levels - 1)
            shift = scale = np.full_like(x, 0.5, shape=(d,))
        variance = variance or ("forward" if levels is None else "posterior")
        network = TimedMLP.init(rng, d, d, width, blocks, classes, dtype=x.dtype)
        model = cls(network, schedule, shift, scale, tuple(x.shape[1:]), prediction, variance, levels, classes)
        model = map_nodes(xp.asarray, model, static=True)

        def loss(model, batch, rng):
            x0, y = batch["x0"], batch["y"]
            t = xp.asarray(rng.integers(1, model.betas.shape[0] + 1, x0.shape[0]))
            y = y if y is None else np.where(uniform(rng, y.shape, x0) < drop_label, classes, y)
            return model.loss(x0, t, normal(rng, x0.shape, x0), y)

        data, optimizer = {"x0": model.flat(x), "y": y}, optimizer or Adam(cosine(2e-3, steps))
        ema = ema or EMA(max(0, 1 - 10 / max(steps, 1)))
        return minimise(loss, model, data, rng=rng, steps=steps, optimizer=optimizer, ema=ema, **training)[0]
