"""Conditional variational autoencoder: a VAE of each class, in one pair of networks.

Kingma, Rezende, Mohamed & Welling 2014, "Semi-supervised learning with deep generative models"; Sohn, Lee & Yan 2015, "Learning structured
output representation using deep conditional generative models". Notation: that of `vae`; y ∈ {0, …, C − 1} the label of x, of
probability π_y; e_y the unit vector of y, which the encoder reads behind x and the decoder behind z. Codes do not depend on labels:

    p(x, z | y) = p(x | z, e_y) p(z)                                                                      (1)
    log p(x|y) ≥ E_q[log p(x|z, e_y)] − KL(q(z|x, e_y) ‖ p(z))                                            (2)

so that z holds what y does not say, as the slant of a digit. Samples of p(x) draw y ~ π first. By Bayes' rule it classifies too, as far
as its bound says how likely x is under each label:

    ŷ = argmax_y log π_y + the bound (2)                                                                  (3)
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from minigen.backend import array_module, like
from minigen.checks import check_data, check_labels
from minigen.models.kmeans import choose
from minigen.models.vae import VAE
from minigen.optim import Adam
from minigen.train import minimise
from minigen.tree import tree_map


@dataclass
class Given:
    """A network that reads labels behind its input: h (…, n, d) ↦ network of (h, e_y), for unit vectors e_y (n, C)."""

    network: Any
    labels: np.ndarray = field(metadata={"static": True})

    def __call__(self, h):
        """(…, n, d) → (…, n, out)."""
        shape = (*h.shape[:-1], self.labels.shape[-1])
        return self.network(np.concatenate([h, np.broadcast_to(self.labels, shape)], axis=-1))


@dataclass
class ConditionalVAE:
    """The model. Data has shape (n, *event), labels (n,) integers in 0 … C − 1; codes and noise are those of `VAE`.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 400)
    >>> x = (0.3 * rng.standard_normal((400, 2)) + 2.0 * y[:, None]).astype(np.float32)
    >>> model = ConditionalVAE.fit(x, y, rng=rng, latent=1, hidden=(16,), steps=600, optimizer=Adam(0.01), progress=False)
    >>> samples = model.sample(200, rng, labels=np.ones(200, int))
    >>> samples.shape, bool(np.abs(samples.mean() - 2) < 0.2), bool(np.mean(model.predict(x, model.noise(rng, 400)) == y) > 0.97)
    ((200, 2), True, True)
    """

    vae: VAE
    frequencies: np.ndarray = field(metadata={"static": True})  # π (C,)

    @classmethod
    def init(cls, rng, event, frequencies, **settings):
        """A VAE whose networks read C = len(frequencies) further numbers; the settings are those of `VAE.init`, with dense networks."""
        if settings.get("network", "mlp") != "mlp":
            raise ValueError(f"network is {settings['network']!r}; expected 'mlp': labels are read by dense networks")
        return cls(VAE.init(rng, event, labels=len(frequencies), **settings), frequencies)

    def given(self, y):
        """The VAE of p(x|y) for labels y (n,)."""
        classes = self.frequencies.shape[0]
        check_labels(y, y.shape[0], classes)
        units = like(self.frequencies, np.eye(classes))[y]
        return replace(self.vae, encoder=Given(self.vae.encoder, units), decoder=Given(self.vae.decoder, units))  # (1)

    def noise(self, rng, n, samples=None):
        """As that of `VAE`."""
        return self.vae.noise(rng, n, samples)

    # ---- The verbs of a VAE, of p(x|y) ----
    def elbo(self, x, y, eps):
        """The bound on log p(x|y), (n,) nats."""
        return self.given(y).elbo(x, eps)  # (2)

    def iwae(self, x, y, eps):
        """The importance-weighted bound on log p(x|y) from eps (K, n, L), (n,) nats."""
        return self.given(y).iwae(x, eps)

    def encode(self, x, y):
        """The mean of q(z|x, y), (n, L)."""
        return self.given(y).encode(x)

    def decode(self, z, y):
        """The mean of p(x|z, y), (n, *event)."""
        return self.given(y).decode(z)

    def reconstruct(self, x, y):
        """decode(encode(x, y), y), (n, *event)."""
        return self.given(y).reconstruct(x)

    # ---- Over labels ----
    def bounds(self, x, eps, bound="iwae"):
        """log π_y + the bound on log p(x|y) for every label, (n, C) nats; their logsumexp bounds log p(x). eps as that bound wants."""
        ys = range(self.frequencies.shape[0])
        xp, n = array_module(self.frequencies), x.shape[0]
        parts = [getattr(self, bound)(x, xp.full(n, y), eps) for y in ys]
        return np.stack(parts, axis=1) + np.log(self.frequencies)

    def predict(self, x, eps):
        """The label that makes x likeliest, (n,), by the bound from noise eps (n, L)."""
        return np.argmax(self.bounds(x, eps, "elbo"), axis=1)  # (3)

    def sample(self, n, rng, labels=None):
        """x ~ p(x|y), (n, *event), for labels (n,), or for labels drawn by their frequency in the training data."""
        y = choose(rng, self.frequencies, n) if labels is None else labels
        check_labels(y, n, self.frequencies.shape[0], "labels")
        return self.given(y).sample(n, rng)

    @classmethod
    def fit(
        cls, x, y, *, rng, latent=16, hidden=None, prior="normal", likelihood="gaussian", beta=1.0, levels=256, steps=2000, samples=None,
        optimizer=None, **training,
    ):  # fmt: skip
        """Train by Adam on the loss of the VAE given the labels y (n,) of x (n, *event); arguments as those of `VAE.fit`.

        Raises TypeError or ValueError for data that does not fit, and where there is one class only.
        """
        check_data(x, rank=None)
        classes = check_labels(y, x.shape[0])
        if classes < 2:
            raise ValueError("y has one class only, 0; expected at least two: a VAE needs no labels")
        units = like(x, np.eye(classes))[y]
        settings = {"latent": latent, "hidden": hidden, "prior": prior, "likelihood": likelihood, "beta": beta, "levels": levels}
        model = cls.init(rng, x.shape[1:], np.mean(units, axis=0), dtype=x.dtype, **settings)
        vae = tree_map(lambda w: like(x, w), model.vae)
        samples = samples or (4 if prior == "bernoulli" else None)

        def loss(vae, batch, rng):
            x, units = batch
            given = replace(vae, encoder=Given(vae.encoder, units), decoder=Given(vae.decoder, units))
            return given.loss(x, vae.noise(rng, x.shape[0], samples))

        data = (vae.flat(x), units)
        vae, _ = minimise(loss, vae, data, rng=rng, steps=steps, optimizer=optimizer or Adam(1e-3), **training)
        return cls(vae, model.frequencies)
