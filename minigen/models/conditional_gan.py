"""Conditional generative adversarial networks.  Mirza & Osindero 2014; Miyato & Koyama 2018, "cGANs with Projection Discriminator".

The players of `gan` see labels y, one of C classes, too: the generator makes x of noise and a label, and thus a density q(x|y) for
each class; the critic's logit f(x, y) says whether x is real, given that it is to be a y. Real pairs have the density p(x|y) p(y),
made ones q(x|y) p(y), with the same labels. The game and its best critic are those of `gan`, class by class:

    V(f, q) = E_p(y) { E_p(x|y)[log σ(f(x, y))] + E_q(x|y)[log(1 − σ(f(x, y)))] }                         (1)
    f*(x, y) = log p(x|y) − log q(x|y) = log p(x) − log q(x) + log p(y|x) − log q(y|x)                    (2)

A label enters as a learned vector: e_y beside the noise for the generator, v_y for the critic as a direction in the outputs φ(x) of
its network. If log p(y|x) and log q(y|x) are linear in features, up to a term of x alone, as a softmax is, (2) has this very form:

    x = G([z, e_y])                                                                                       (3)
    f(x, y) = ⟨v_y, φ(x)⟩                                                                                 (4)

Where labels are not given, they are drawn by their share of the training data, y = min {c : u < Σ_{k≤c} n_k / n}, u ~ U[0, 1):

    P(y = c) = n_c / n                                                                                    (5)
"""

from dataclasses import dataclass, field

import numpy as np

from minigen.backend import like, normal, uniform
from minigen.checks import check_count, check_labels
from minigen.functions import relu
from minigen.models.gan import AVERAGE, Critic, Generator, check_game, networks, play
from minigen.nn import Embedding
from minigen.tree import leaves, tree_map


@dataclass
class ConditionalGenerator:
    """x (n, *event) of noise z (n, L) and integer labels y (n,)."""

    network: Generator
    embedding: Embedding

    def __call__(self, z, y):
        """(n, L), (n,) → (n, *event)."""
        return self.network(np.concatenate([z, self.embedding(y)], axis=1))  # (3)


@dataclass
class ConditionalCritic:
    """The logit of x (n, *event) being real, given integer labels y (n,)."""

    network: Critic
    embedding: Embedding

    def __call__(self, x, y):
        """(n, *event), (n,) → (n,)."""
        return np.sum(self.embedding(y) * self.network.features(x), axis=1)  # (2) (4)


@dataclass
class ConditionalGAN:
    """`gan.generator(z, y)` is x (n, *event), `gan.critic(x, y)` the logits (n,), for labels y (n,), integers in 0 … C − 1.

    `history` holds the critic's loss of each step of training, `frequencies` (C,) the labels' shares of the training data.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=512)
    >>> x = (4 * y[:, None] - 2 + 0.1 * rng.standard_normal((512, 1))).astype(np.float32)
    >>> gan = ConditionalGAN.fit(x, y, rng=rng, hidden=(32,), latent=2, steps=500, progress=False)
    >>> gan.sample(4, rng, labels=np.array([0, 1, 1, 0])).round().ravel()
    array([-2.,  2.,  2., -2.], dtype=float32)
    """

    generator: ConditionalGenerator
    critic: ConditionalCritic
    latent: int
    frequencies: np.ndarray = field(metadata={"static": True})
    history: np.ndarray | None = field(default=None, metadata={"static": True})

    @classmethod
    def init(
        cls, rng, event, frequencies, latent=32, label_size=16, network="mlp", hidden=None, activation=relu, output=None, dtype=np.float32
    ):  # fmt: skip
        """Untrained players for classes with these frequencies; `label_size` is the length of e_y and of v_y."""
        check_count("label_size", label_size)
        decoder, encoder = networks(rng, event, latent + label_size, label_size, network, hidden, activation, dtype)
        classes, event = len(frequencies), tuple(event)
        return cls(
            ConditionalGenerator(Generator(decoder, event, output), Embedding.init(rng, classes, label_size, dtype=dtype)),
            ConditionalCritic(Critic(encoder, event), Embedding.init(rng, classes, label_size, label_size**-0.5, dtype)),
            latent, frequencies,
        )  # fmt: skip

    def noise(self, n, rng):
        """z ~ N(0, I), (n, L)."""
        return normal(rng, (n, self.latent), leaves(self.generator)[0])

    def draw_labels(self, n, rng):
        """Labels (n,), by their frequencies."""
        u = uniform(rng, (n, 1), self.frequencies)
        return np.sum(u >= np.cumsum(self.frequencies)[:-1], axis=1)  # (5)

    def sample(self, n, rng, labels=None):
        """x ~ q(x|y), (n, *event), for labels (n,), or for labels drawn by their share of the training data."""
        z = self.noise(n, rng)
        if labels is None:
            labels = self.draw_labels(n, rng)
        check_labels(labels, n, len(self.frequencies), "labels")
        return self.generator(z, labels)

    @classmethod
    def fit(
        cls, x, y, *, rng, loss="nonsaturating", penalty=0.1, latent=32, label_size=16, network="mlp", hidden=None, activation=relu,
        output=None, steps=3000, batch_size=128, optimizers=None, ema=AVERAGE, **training,
    ):  # fmt: skip
        """Train on x (n, *event), float, and its labels y (n,), integers from 0; the arguments are those of `GAN.fit`.

        Raises ValueError or TypeError, naming the argument, for what does not fit.
        """
        check_game(x, rng, latent, loss, penalty, batch_size, optimizers)
        classes = check_labels(y, x.shape[0])
        counts = np.sum(y[:, None] == like(y, np.arange(classes)), axis=0)
        if bool(np.any(counts == 0)) or classes < 2:
            raise ValueError(f"y has labels up to {classes - 1}; expected two classes or more, and data of each")
        model = cls.init(
            rng, x.shape[1:], like(x, counts) / x.shape[0], latent, label_size, network, hidden, activation, output, x.dtype
        )  # fmt: skip
        model = tree_map(lambda w: like(x, w), model)
        found = play(
            model.generator, model.critic, (x, y), latent, rng=rng, steps=steps, loss=loss, penalty=penalty, batch_size=batch_size,
            optimizers=optimizers, ema=ema, **training,
        )  # fmt: skip  # (1)
        return cls(*found[:2], latent, model.frequencies, found[2])
