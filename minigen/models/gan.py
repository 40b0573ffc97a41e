"""Generative adversarial networks.  Goodfellow et al. 2014, "Generative Adversarial Nets".

Data x have density p. A generator makes x = G(z) of noise z ~ N(0, I), and so defines a distribution q without computing its density.
A critic (the discriminator) gives each x a logit f(x), and takes x for real with probability D(x) = σ(f(x)). They play for

    V(f, q) = E_p[log D(x)] + E_q[log(1 − D(x))] = −E_p[softplus(−f(x))] − E_q[softplus(f(x))],           (1)

which the critic makes large and the generator small. Against a fixed q the best critic is the log-ratio of densities, so that
the game measures a divergence, which any other critic underestimates (Goodfellow et al., §4.1):

    f* = log p − log q,   that is D* = p / (p + q)                                                        (2)
    V(f*, q) = 2 JSD(p ‖ q) − log 4,   JSD = ½ KL(p ‖ m) + ½ KL(q ‖ m),   m = ½ (p + q)                   (3)

It is −log 4 for q = p, and 0 for all p and q that do not overlap, however far apart. The generator follows one of two losses,

    −softplus(f(G(z)))     "minimax": its share of (1)                                                    (4)
    softplus(−f(G(z)))     "nonsaturating": −log D(G(z))                                                  (5)

whose derivatives by the logit, −D and −(1 − D), differ most where a good critic is sure of a fake, f ≪ 0: there the first
vanishes ("saturates") and the second does not.

    ∂(4)/∂f = −σ(f)                                                                                       (6)
    ∂(5)/∂f = −σ(−f)                                                                                      (7)

Against the best critic, held fixed, the second descends another divergence (Arjovsky & Bottou 2017, "Towards Principled Methods for
Training GANs", theorem 2.5). Its first term charges for samples where p is small and nothing for modes of p without samples:

    ∇ E_q[softplus(−f*)] = ∇ (KL(q ‖ p) − 2 JSD(p ‖ q))                                                   (8)

Two players need not converge. In the smallest game p = δ(x), q = δ(x − θ) and f(x) = ψ x: the step directions of θ and ψ are, near
their equilibrium (0, 0), a linear map with the eigenvalues λ (Mescheder, Geiger & Nowozin 2018, "Which Training Methods for GANs do
actually Converge?", §2 and §4). Without a penalty, γ = 0, they are ±i/2: the players circle it. A penalty on the critic's
slope at real data ("R1") makes Re λ < 0. It also keeps the critic from being so steep that the generator sees one mode only.

    critic's loss = −V + ½ γ E_p ‖∇f(x)‖²                                                                 (9)
    λ = ½ (−γ ± √(γ² − 1))                                                                               (10)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigen.autograd import vjp
from minigen.backend import like, normal
from minigen.checks import check_choice, check_count, check_data, check_rng
from minigen.functions import relu, sigmoid, softplus
from minigen.nn import MLP, ConvDecoder, ConvEncoder
from minigen.optim import EMA, Adam, cosine
from minigen.train import Learner, run
from minigen.tree import leaves, ravel, tree_map

LOSSES, NETWORKS = ("nonsaturating", "minimax"), {"mlp": (128, 128), "conv": (32, 64, 128)}
LOG_4 = math.log(4)
AVERAGE = EMA(0.99)


# ---- The game ----
def value(real, fake):
    """V from the logits of data (n,) and of samples (m,): nats, at most 0.

    >>> float(value(np.zeros(3), np.zeros(5))) == -LOG_4
    True
    """
    return -np.mean(softplus(-real)) - np.mean(softplus(fake))  # (1)


def optimal_logits(log_p, log_q):
    """f*, the logits of the best critic, from the log-densities of data and of samples at the same points."""
    return log_p - log_q  # (2)


def optimal_value(log_p, log_q, cell):
    """V(f*, q) of two densities given on a grid whose points stand for volumes `cell`."""
    log_p, log_q = np.maximum(log_p, -1e4), np.maximum(log_q, -1e4)  # where a density is 0, 0 · (−∞) would not be 0
    log_m = np.logaddexp(log_p, log_q) - math.log(2)
    kl = lambda log_a: np.sum(np.exp(log_a) * (log_a - log_m)) * cell
    return kl(log_p) + kl(log_q) - LOG_4  # (3)


def generator_loss(logits, loss="nonsaturating"):
    """What the generator minimises, from the logits of its samples (n,): (n,)."""
    if loss == "minimax":
        return -softplus(logits)  # (4)
    return softplus(-logits)  # (5)


def logit_gradient(logits, loss="nonsaturating"):
    """The derivative of `generator_loss` by the logits, in closed form."""
    if loss == "minimax":
        return -sigmoid(logits)  # (6)
    return -sigmoid(-logits)  # (7) (8)


def critic_loss(critic, real, fake, penalty=0.0, labels=()):
    """What the critic minimises: (n,) for n data and as many samples; `penalty` is γ. A critic of x and y gets the labels, (y,), too."""
    if penalty == 0:
        return softplus(-critic(real, *labels)) + softplus(critic(fake, *labels))
    logits, pull = vjp(lambda x: critic(x, *labels), real)
    slope = np.reshape(pull(np.ones_like(logits)), (real.shape[0], -1))
    return softplus(-logits) + softplus(critic(fake, *labels)) + (0.5 * penalty) * np.sum(slope * slope, axis=1)  # (9)


def smallest_game(penalty):
    """The two eigenvalues λ, complex, of the players' dynamics in the smallest game, for a penalty γ."""
    root = np.emath.sqrt(penalty**2 - 1)
    return 0.5 * np.stack([-penalty + root, -penalty - root]) + 0j  # (10)


# ---- The players ----
@dataclass
class Generator:
    """A network of noise z (n, L), and of labels' vectors where there are any, whose output is read as x (n, *event)."""

    network: Any
    event: tuple
    output: Callable | None = None

    def __call__(self, z):
        """(n, L) → (n, *event)."""
        y = np.reshape(self.network(z), (z.shape[0], *self.event))
        return y if self.output is None else self.output(y)


@dataclass
class Critic:
    """A network with one output, the logit."""

    network: Any
    event: tuple

    def __call__(self, x):
        """(n, *event) → (n,)."""
        return self.features(x)[:, 0]

    def features(self, x):
        """The network's outputs, (n, ·). Raises ValueError where x is no data of this event shape."""
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        return self.network(np.reshape(x, (x.shape[0], -1)))


def networks(rng, event, inputs, outputs, network, hidden, activation, dtype):
    """(a generator's network with `inputs`, a critic's with `outputs`) of one kind; `hidden` lists widths from data to code."""
    check_choice("network", network, NETWORKS)
    hidden = tuple(NETWORKS[network] if hidden is None else hidden)
    if network == "conv":
        return ConvDecoder.init(rng, inputs, event, hidden, activation, dtype=dtype), ConvEncoder.init(
            rng, event, outputs, hidden, activation, dtype=dtype
        )
    d = math.prod(event)
    decoder = MLP.init(rng, [inputs, *hidden[::-1], d], activation, dtype=dtype)
    return decoder, MLP.init(rng, [d, *hidden, outputs], activation, dtype=dtype)


def check_game(x, rng, latent, loss, penalty, batch_size, optimizers):
    """Raise, naming the argument, unless a game can be played with these."""
    check_rng(rng)
    check_count("latent", latent)
    check_choice("loss", loss, LOSSES)
    if not penalty >= 0:
        raise ValueError(f"penalty is {penalty!r}; expected a number ≥ 0")
    if optimizers is not None and len(optimizers) != 2:
        raise ValueError(f"optimizers has {len(optimizers)} entries; expected two, the generator's and the critic's")
    check_data(x, least=batch_size or 2, rank=None)


def play(generator, critic, data, latent, *, rng, steps, loss, penalty, batch_size, optimizers, ema, **training):
    """Train both, a step each in turn, on batches of data (x,) or (x, labels): (generator, critic, the critic's loss of each step)."""
    optimizers = optimizers or [Adam(cosine(4e-3, steps), b1=0.5, b2=0.99)] * 2
    players = [Learner.of(player, optimizer) for player, optimizer in zip((generator, critic), optimizers, strict=True)]
    average = ema.init(players[0].vector) if ema else {}

    def step(state, batch, rng):
        g, c = state["players"]
        x, *labels = batch
        noise = lambda: normal(rng, (x.shape[0], latent), x)
        found = c.update(critic_loss, x, g.model(noise(), *labels), penalty, labels)
        g.update(lambda generator, z: generator_loss(c.model(generator(z, *labels), *labels), loss), noise())
        if ema:
            ema.step(g.vector, state["average"])
        return found

    state = {"players": players, "average": average}
    _, history = run(step, state, data, rng=rng, steps=steps, batch_size=batch_size, **training)
    g, c = players
    return ravel(generator)[1](average["a"] if ema else g.vector), c.model, history


# ---- The model ----
@dataclass
class GAN:
    """A generator and its critic: `gan.generator(z)` is x (n, *event), `gan.critic(x)` the logits (n,).

    `history` holds the critic's loss of each step of training; where it is log 4 (and the penalty little), the critic tells nothing apart.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((512, 2)).astype(np.float32) * 0.1 + 3
    >>> gan = GAN.fit(x, rng=rng, hidden=(32,), latent=2, steps=600, progress=False)
    >>> bool(abs(gan.sample(256, rng).mean() - 3) < 0.1), gan.critic(x).shape, gan.history.shape
    (True, (512,), (600,))
    """

    generator: Generator
    critic: Critic
    latent: int
    history: np.ndarray | None = field(default=None, metadata={"static": True})

    @classmethod
    def init(cls, rng, event, latent=32, network="mlp", hidden=None, activation=relu, output=None, dtype=np.float32):
        """Untrained players with multilayer ("mlp") or convolutional ("conv") networks, the generator's the critic's in reverse."""
        decoder, encoder = networks(rng, event, latent, 1, network, hidden, activation, dtype)
        return cls(Generator(decoder, tuple(event), output), Critic(encoder, tuple(event)), latent)

    def noise(self, n, rng):
        """z ~ N(0, I), (n, L)."""
        return normal(rng, (n, self.latent), leaves(self.generator)[0])

    def sample(self, n, rng):
        """x = G(z), (n, *event)."""
        return self.generator(self.noise(n, rng))

    @classmethod
    def fit(
        cls, x, *, rng, loss="nonsaturating", penalty=0.1, latent=32, network="mlp", hidden=None, activation=relu, output=None,
        steps=3000, batch_size=128, optimizers=None, ema=AVERAGE, **training,
    ):  # fmt: skip
        """Train on x (n, *event), float. Returns the model, its generator averaged over steps by `ema` (None: as it ended).

        penalty: γ of (9). output: applied to what the generator makes, such as `sigmoid` for data in [0, 1]. optimizers: the
        generator's and the critic's; Adam with β₁ = 0.5 and a cosine schedule by default. The rest goes to `minigen.train.run`.
        Raises ValueError or TypeError, naming the argument, for what does not fit.
        """
        check_game(x, rng, latent, loss, penalty, batch_size, optimizers)
        model = cls.init(rng, x.shape[1:], latent, network, hidden, activation, output, x.dtype)
        model = tree_map(lambda w: like(x, w), model)
        found = play(
            model.generator, model.critic, (x,), latent, rng=rng, steps=steps, loss=loss, penalty=penalty, batch_size=batch_size,
            optimizers=optimizers, ema=ema, **training,
        )  # fmt: skip
        return cls(*found[:2], latent, found[2])
