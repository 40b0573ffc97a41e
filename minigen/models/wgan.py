"""Wasserstein GAN.  Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN"; Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017,
"Improved Training of Wasserstein GANs".

A generator turns noise z ~ N(0, I), z ∈ ℝᴸ, into y = G(z), whose law q is to become the law p of the data x. What is minimised
is the least mean distance over which mass is carried from p to q, by any plan γ of which p and q are the marginals. The duality
of Kantorovich and Rubinstein makes of it the largest difference that a function of slope ≤ 1, the critic f, sees between them:

    W₁(p, q) = min_γ E ‖x − y‖ = max_{‖f‖_L ≤ 1} E f(x) − E f(y)                                          (1)

Why this distance: let q be p moved by θ. For two bars, p = U[0, w], and for two normals, p = N(0, σ²), with u ~ N(0, 1), a = θ/σ:

    KL(p ‖ q) = ∞ for θ ≠ 0,   JSD = min(|θ|/w, 1) log 2,   W₁ = |θ|                                      (2)
    KL(p ‖ q) = θ²/2σ²,   JSD = log 2 − E softplus(a u − a²/2),   W₁ = |θ|                                (3)

Where the two hardly overlap, KL is infinite or steep and JSD, which a GAN minimises, is flat: only W₁ says how far, and which way.

The critic is a network, trained to see a large difference. Its slope is bounded by clipping each of its weights, which makes the
slope at most some K, and (1) with it K times as large; or by a penalty on gradients whose norm is not 1. Between the points of
an optimal plan the best critic has slope 1 everywhere, so the penalty looks there, at ε ~ U[0, 1], one for each pair:

    w ← min(max(w, −c), c)                                                                                (4)
    x̂ = ε x + (1 − ε) G(z)                                                                                (5)
    penalty = (‖∇f(x̂)‖ − 1)²,   the norm over all axes of an example                                      (6)
    critic's loss = f(G(z)) − f(x) + λ penalty                                                            (7)
    generator's loss = −f(G(z))                                                                           (8)

A penalty does not forbid slope but sells it. Of f = s f*, with f* the best critic in (1) and of slope 1 at all x̂, the mean of (7) is
−s W₁ + λ (s − 1)², least at

    s = 1 + W₁/2λ,   a gap of s W₁                                                                        (9)

The generator moves once for several steps of the critic, which must be near its maximum to say anything about (1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import grad, stop_gradient
from minigen.backend import like, normal, uniform
from minigen.checks import check_choice, check_count, check_data, check_rng
from minigen.functions import relu, softplus
from minigen.nn import MLP, ConvDecoder, ConvEncoder, ResidualDecoder, ResidualEncoder
from minigen.optim import Adam, RMSProp
from minigen.train import Learner, run
from minigen.tree import leaves, ravel, tree_map

CONSTRAINTS, NETWORKS = ("clip", "gradient_penalty"), ("mlp", "conv", "residual")
LOG_2 = 0.6931471805599453
TINY = 1e-12  # below it a squared norm counts as constant: the square root has no derivative at 0


# ---- Why this distance: what three divergences say of two densities that move apart ----
class Divergences(NamedTuple):
    """KL(p ‖ q), the Jensen–Shannon divergence, both in nats, and W₁ in the units of the data."""

    kl: Any
    js: Any
    w1: Any


def divergences_of_bars(theta, width=1.0):
    """Of U[0, w] and U[θ, θ + w], for an array θ.

    >>> divergences_of_bars(np.array(3.0))
    Divergences(kl=array(inf), js=np.float64(0.6931471805599453), w1=np.float64(3.0))
    """
    distance = np.abs(theta)
    return Divergences(np.where(theta == 0, 0.0, math.inf), np.minimum(distance / width, 1.0) * LOG_2, distance)  # (2)


def divergences_of_normals(theta, std=1.0):
    """Of N(0, σ²) and N(θ, σ²), for an array θ; the expectation by the trapezoidal rule."""
    a, u = (theta / std)[..., None], np.linspace(-10, 10, 2001)
    weights = np.exp(-0.5 * u * u) / np.sum(np.exp(-0.5 * u * u))
    js = LOG_2 - np.sum(like(theta, weights) * softplus(a * like(theta, u) - 0.5 * a * a), axis=-1)  # (3)
    return Divergences(0.5 * (theta / std) ** 2, js, np.abs(theta))  # (3)


# ---- The objective, for any function f: (n, *event) → (n,) ----
def gap(f, real, fake):
    """E f(real) − E f(fake): never above K · W₁ of the two samples, for a function f of slope ≤ K."""
    return np.mean(f(real)) - np.mean(f(fake))  # (1)


def interpolate(real, fake, eps):
    """The points x̂ between real and fake examples, (n, *event), for ε (n,)."""
    eps = np.reshape(eps, (eps.shape[0],) + (1,) * (real.ndim - 1))
    return eps * real + (1 - eps) * fake  # (5)


def gradient_norm(f, x):
    """‖∇f(x)‖ of each example, (n,). f(xᵢ) depends on xᵢ alone, so that ∇ Σᵢ f(xᵢ) holds the gradients of all."""
    g = grad(lambda x: np.sum(f(x)))(x)
    return np.sqrt(np.maximum(np.sum(g * g, axis=tuple(range(1, x.ndim))), TINY))


def gradient_penalty(f, x):
    """(‖∇f(x)‖ − 1)² of each example, (n,), to be differentiated by f's parameters: a derivative of a derivative."""
    return (gradient_norm(f, x) - 1) ** 2  # (6)


def penalised_slope(w1, penalty):
    """The slope at which a critic settles that weighs its penalty by λ."""
    return 1 + w1 / (2 * penalty)  # (9)


def critic_loss(f, real, fake, penalty=0.0):
    """What the critic minimises, (n,), for a penalty that has its weight λ."""
    return f(fake) - f(real) + penalty  # (7)


def generator_loss(g, f, z):
    """What the generator minimises, (n,)."""
    return -f(g(z))  # (8)


def clip_weights(vector, c):
    """Put each weight into [−c, c], in place."""
    vector[...] = np.clip(vector, -c, c)  # (4)


# ---- The players ----
@dataclass
class Critic:
    """f: examples (n, *event) → scores (n,). A high score means: as the data."""

    network: Any
    event: tuple

    def __call__(self, x):
        """(n, *event) → (n,)."""
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        return np.reshape(self.network(np.reshape(x, (x.shape[0], -1))), (x.shape[0],))


@dataclass
class Generator:
    """G: noise (n, L) → examples (n, *event), each number through `output`."""

    network: Any
    event: tuple
    latent: int
    output: Callable

    def __call__(self, z):
        """(n, L) → (n, *event)."""
        return self.output(np.reshape(self.network(z), (z.shape[0], *self.event)))


def identity(x):
    """x."""
    return x


@dataclass
class WGAN:
    """The model. Data has shape (n, *event), noise (n, L).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((512, 2)) + np.array([4.0, 0.0])
    >>> wgan = WGAN.fit(x, rng=rng, latent=2, hidden=(32, 32), penalty=1.0, steps=1500, progress=False)
    >>> y = wgan.sample(1000, rng)
    >>> y.shape, bool(np.linalg.norm(np.mean(y, axis=0) - np.array([4.0, 0.0])) < 1), wgan.critic(x).shape
    ((1000, 2), True, (512,))
    """

    critic: Critic
    generator: Generator
    constraint: str = "gradient_penalty"
    history: Any = field(default=None, metadata={"static": True})  # of each step of the critic: its gap, the penalty before λ

    @classmethod
    def init(
        cls, rng, event, latent=16, hidden=None, network="mlp", constraint="gradient_penalty", activation=relu, output=identity,
        dtype=np.float32,
    ):  # fmt: skip
        """Two networks, the generator the critic's mirror. hidden: widths of the layers, from the data's side inwards.

        network "mlp" has dense layers (128, 128), "conv" convolutions, "residual" residual blocks (32, 64), for images (H, W, C).
        """
        check_rng(rng)
        check_count("latent", latent)
        check_choice("network", network, NETWORKS)
        check_choice("constraint", constraint, CONSTRAINTS)
        event, size = tuple(event), math.prod(event)
        hidden = tuple(hidden or ((128, 128) if network == "mlp" else (32, 64)))
        if network == "mlp":
            f = MLP.init(rng, [size, *hidden, 1], activation, dtype=dtype)
            g = MLP.init(rng, [latent, *hidden[::-1], size], activation, dtype=dtype)
        else:
            encoder, decoder = (ConvEncoder, ConvDecoder) if network == "conv" else (ResidualEncoder, ResidualDecoder)
            f = encoder.init(rng, event, 1, hidden, activation, dtype=dtype)
            g = decoder.init(rng, latent, event, hidden, activation, dtype=dtype)
        return cls(Critic(f, event), Generator(g, event, latent, output), constraint)

    def noise(self, rng, n):
        """z for n samples, (n, L)."""
        return normal(rng, (n, self.generator.latent), leaves(self.generator)[0])

    def sample(self, n, rng):
        """G(z), (n, *event)."""
        return self.generator(self.noise(rng, n))

    @classmethod
    def fit(
        cls, x, *, rng, constraint="gradient_penalty", penalty=10.0, clip=0.01, n_critic=5, steps=5000, batch_size=64, network="mlp",
        latent=16, hidden=None, activation=relu, output=identity, optimizer=None, generator_optimizer=None, ema=None, **training,
    ):  # fmt: skip
        """Train both players; returns the model, with its history.

        x (n, *event) is float, with n ≥ batch_size. steps counts steps of the critic; at each n_critic-th the generator makes one.
        penalty is λ, of constraint "gradient_penalty" (on a line, D = 1, take a small one: there a slope turns only by way of 0, which
        costs λ); clip is c, of "clip". optimizer: by default Adam(1e-3, b1=0, b2=0.9), or RMSProp(5e-5) with "clip", as momentum harms
        there; the generator's is the same unless given. With ema=EMA(decay) the generator returned is an average over its steps.
        The rest goes to `minigen.train.run`. Raises ValueError or TypeError for arguments that do not fit.
        """
        check_count("batch_size", batch_size)
        check_count("n_critic", n_critic)
        check_data(x, least=batch_size, rank=None)
        for name, value in (("penalty", penalty), ("clip", clip)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}; expected a number > 0")
        model = cls.init(rng, x.shape[1:], latent, hidden, network, constraint, activation, output, x.dtype)
        model = tree_map(lambda w: like(x, w), model)
        optimizer = optimizer or (RMSProp(5e-5) if constraint == "clip" else Adam(1e-3, b1=0.0, b2=0.9))
        critic, generator = Learner.of(model.critic, optimizer), Learner.of(model.generator, generator_optimizer or optimizer)
        penalties = np.zeros_like(critic.vector, shape=max(steps, 0))
        average = ema.init(generator.vector) if ema else {}

        def loss(f, real, fake, eps):
            if constraint == "clip":
                return critic_loss(f, real, fake)
            values = gradient_penalty(f, interpolate(real, fake, eps))
            penalties[int(critic.steps)] = stop_gradient(np.mean(values))
            return critic_loss(f, real, fake, penalty * values)

        def step(state, real, rng):
            fake = generator.model(model.noise(rng, real.shape[0]))
            value = critic.update(loss, real, fake, uniform(rng, (real.shape[0],), real))
            if constraint == "clip":
                clip_weights(critic.vector, clip)
            if critic.steps % n_critic == 0:
                generator.update(generator_loss, critic.model, model.noise(rng, real.shape[0]))
                if ema:
                    ema.step(generator.vector, average)
            return value

        state = {"critic": critic, "generator": generator, "average": average, "penalties": penalties}
        _, losses = run(step, state, x, rng=rng, steps=steps, batch_size=batch_size, **training)
        penalties = penalties[: len(losses)]
        history = {"gap": penalty * penalties - like(penalties, losses), "penalty": penalties}
        g = ravel(model.generator)[1](average["a"] if ema else generator.vector)
        return cls(critic.model, g, constraint, history)
