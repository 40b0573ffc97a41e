"""Autoencoders: a code from which the data can be rebuilt.  Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data".

Notation: x ∈ ℝᴰ the data, e an encoder to codes z ∈ ℝᴸ, d a decoder, r = d ∘ e, ε ~ N(0, I); λⱼ the eigenvalues of the covariance
of x (dividing by n), largest first.

    loss = ‖r(x + σ ε) − x‖²                                                                             (1)

With σ = 0 it asks for x itself, through L numbers. If e and d are affine, the best r projects on the L leading principal components
(Baldi & Hornik 1989, "Neural networks and principal component analysis": there are no other minima), and no affine r does better than

    E ‖r(x) − x‖² = Σ_{j>L} λⱼ                                                                           (2)

With σ > 0 (a denoising autoencoder, Vincent et al. 2008) the best r is the conditional mean E[x | x̃] of the clean datum, given the noisy
one x̃ = x + σ ε, and with it the score of the noisy data's density p_σ is known (Miyasawa 1961; Vincent 2011, "A connection between score
matching and denoising autoencoders"; Alain & Bengio 2014):

    ∇ log p_σ(x̃) = (E[x | x̃] − x̃) / σ²                                                                  (3)

An autoencoder is no generative model: nothing says which codes occur. Codes of N(0, I) mostly decode to what no datum looks like.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.backend import like, normal
from minigen.checks import check_choice, check_count, check_data, check_rng
from minigen.functions import relu
from minigen.nn import MLP, ConvDecoder, ConvEncoder
from minigen.optim import Adam
from minigen.train import minimise
from minigen.tree import tree_map

NETWORKS = ("linear", "mlp", "conv")


def least_linear_loss(x, latent):
    """The mean loss (1), without noise, of the best affine autoencoder of x (n, …) with so many numbers in a code."""
    x = np.reshape(x, (x.shape[0], -1))
    centred = x - np.mean(x, axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred / x.shape[0])
    return np.sum(variances[: x.shape[1] - latent])  # (2)


@dataclass
class Autoencoder:
    """The model. Data has shape (n, *event), codes (n, L).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((256, 1)) * np.array([3.0, 1.0, 2.0])  # on a line
    >>> model = Autoencoder.fit(x, rng=rng, latent=1, network="linear", steps=500, optimizer=Adam(0.02), progress=False)
    >>> model.encode(x).shape, bool(np.max(np.abs(model.reconstruct(x) - x)) < 0.1)
    ((256, 1), True)
    """

    encoder: Any
    decoder: Any
    event: tuple
    noise: float = 0.0

    @classmethod
    def init(cls, rng, event, latent=16, network="mlp", hidden=None, noise=0.0, activation=relu, dtype=np.float32):
        """Networks for data of shape (n, *event), the decoder the encoder's mirror; noise is σ.

        network "linear" has one affine map each; "mlp" dense layers of widths `hidden`, (256, 128) unless given; "conv" convolutions
        of channels `hidden`, (32, 64), for images (H, W, C). Raises ValueError or TypeError for arguments that do not fit.
        """
        check_rng(rng)
        check_count("latent", latent)
        check_choice("network", network, NETWORKS)
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise is {noise!r}; expected a finite number ≥ 0, the standard deviation of what is added")
        event, d = tuple(event), math.prod(event)
        if network == "conv":
            widths = tuple(hidden or (32, 64))
            encoder = ConvEncoder.init(rng, event, latent, widths, activation, dtype=dtype)
            return cls(encoder, ConvDecoder.init(rng, latent, event, widths, activation, dtype=dtype), event, float(noise))
        widths = () if network == "linear" else tuple(hidden or (256, 128))
        encoder = MLP.init(rng, [d, *widths, latent], activation, dtype=dtype)
        return cls(encoder, MLP.init(rng, [latent, *widths[::-1], d], activation, dtype=dtype), event, float(noise))

    def encode(self, x):
        """e(x), (n, L)."""
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        return self.encoder(np.reshape(x, (x.shape[0], -1)))

    def decode(self, z):
        """d(z), (n, *event)."""
        return np.reshape(self.decoder(z), (z.shape[0], *self.event))

    def reconstruct(self, x):
        """r(x), (n, *event): of noisy data, what a denoising autoencoder takes for the clean ones."""
        return self.decode(self.encode(x))

    def loss(self, x, eps):
        """What is minimised, (n,), for noise eps shaped like x."""
        error = self.reconstruct(x + self.noise * eps) - x
        return np.sum(np.reshape(error * error, (x.shape[0], -1)), axis=1)  # (1)

    def score(self, x):
        """∇ log p_σ(x), (n, *event), of a denoising autoencoder as good as the best one; p_σ is the density of noisy data."""
        if self.noise == 0:
            raise ValueError("noise is 0, so that this autoencoder has no score; expected one fitted with noise > 0")
        return (self.reconstruct(x) - x) / self.noise**2  # (3)

    @classmethod
    def fit(
        cls, x, *, rng, latent=16, network="mlp", hidden=None, noise=0.0, activation=relu, steps=2000, optimizer=None, **training
    ):  # fmt: skip
        """Train by Adam on the loss, with new noise at each step; returns the model.

        x (n, *event) is float; the rest goes to `minigen.train.minimise`. Raises ValueError or TypeError for data or arguments that
        do not fit.
        """
        check_data(x, rank=None)
        model = cls.init(rng, x.shape[1:], latent, network, hidden, noise, activation)
        model = tree_map(lambda w: like(x, w), model)
        loss = lambda model, x, rng: model.loss(x, normal(rng, x.shape, x) if noise else np.zeros_like(x))
        return minimise(loss, model, x, rng=rng, steps=steps, optimizer=optimizer or Adam(1e-3), **training)[0]
