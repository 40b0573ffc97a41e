"""Autoencoders, variational and vector-quantised ones."""

from dataclasses import dataclass

import numpy as np

from minigen.families.common import OnCells, seconds_to
from minigen.functions import logsumexp
from minigen.metrics import iwae_bound
from minigen.models import GMM, PPCA, VAE, VQVAE, VQVAE2, Autoencoder, ConditionalVAE
from minigen.models.vae import log_prior
from minigen.optim import Adam, cosine


@dataclass
class GaussianCodes:
    """An autoencoder whose codes are drawn from a Gaussian, with the mean and covariance of those that occur."""

    model: object
    codes: PPCA

    def sample(self, n, rng):
        """Decoded draws, (n, D)."""
        return self.model.decode(self.codes.sample(n, rng))


def fit_autoencoder(data, rng, quick, deadline):
    """An autoencoder and a Gaussian over its codes; as a density it has no likelihood, its samples lie on a surface."""
    if data.levels is None:
        return None
    latent, steps = 16, 200 if quick else 2500
    model = Autoencoder.fit(
        data.more, rng=rng, latent=latent, noise=0.1, steps=steps, optimizer=Adam(cosine(2e-3, steps), weight_decay=0.3),
        seconds=seconds_to(deadline), progress="autoencoder",
    )  # fmt: skip
    return GaussianCodes(model, PPCA.fit(model.encode(data.more), latent - 1)), None, "—", f"{latent} numbers, a Gaussian over codes"


@dataclass
class PriorOfCodes:
    """A VAE with a mixture of Gaussians, fitted to the codes of data, as its prior: codes leave holes in a normal prior."""

    vae: object
    prior: object

    def iwae(self, x, eps):
        """The importance-weighted bound on log p(x) under this prior, (n,) nats, from eps (K, n, L)."""
        z = self.vae.draw_code(self.vae.encoder(x), eps)
        log_p = np.reshape(self.prior.log_prob(np.reshape(z, (-1, z.shape[-1]))), z.shape[:-1])
        return iwae_bound(self.vae.log_weights(x, eps) + log_p - log_prior(z, self.vae.prior))

    def sample(self, n, rng):
        """x ~ p(x|z), z from the mixture, (n, D)."""
        return self.vae.draw_data(self.prior.sample(n, rng), rng)


def vae_settings(data, quick, deadline):
    """(training data, what maps other data to its units, the bound's correction in nats, settings) of VAEs.

    A rounded logistic decoder sees levels as they are, and weights decay, as there are few images; toys have a Gaussian decoder.
    """
    d, seconds = data.train.shape[1], seconds_to(deadline)
    if data.levels is None:
        steps = 1500 if quick else 4000
        settings = {"latent": 2, "hidden": (128, 128), "optimizer": Adam(cosine(3e-3, steps)), "activation": np.tanh, "batch_size": 256}
        return data.train, lambda x: x, 0.0, {**settings, "steps": steps, "seconds": seconds}
    units = lambda x: np.clip(np.floor(x * data.levels), 0, data.levels - 1) / (data.levels - 1)
    latent, hidden, steps = (8, (256, 256), 1400) if d <= 100 else (32, (400,), 2200)
    steps = 900 if quick else steps
    optimizer = Adam(cosine(3e-3, steps), weight_decay=0.4)
    settings = {"latent": latent, "hidden": hidden, "optimizer": optimizer, "likelihood": "logistic", "levels": data.levels}
    return units(data.train), units, float(d * np.log(data.levels)), {**settings, "steps": steps, "seconds": seconds}


def in_blocks(bound, x, noise, rows=100):
    """bound(x, noise(n)) of x a hundred rows at a time, which bounds the memory of many samples."""
    blocks = [x[i : i + rows] for i in range(0, len(x), rows)]
    return np.concatenate([bound(block, noise(len(block))) for block in blocks])


def fit_vae(data, rng, quick, deadline):
    """A VAE with a decoder of learned scale, then a mixture of Gaussians as the prior of its codes."""
    x, units, correction, settings = vae_settings(data, quick, deadline)
    vae = VAE.fit(x, rng=rng, progress="VAE", **settings)
    copies = np.concatenate([x] * max(1, 5000 // len(x)))
    codes = vae.draw_code(vae.encoder(copies), vae.noise(rng, len(copies)))
    model = PriorOfCodes(vae, GMM.fit(codes, 20, rng=rng, reg=1e-3, max_iter=15 if quick else 60))
    bound = lambda x: in_blocks(model.iwae, units(x), lambda n: vae.noise(rng, n, 100)) + correction
    chosen = f"{vae.latent} latents, {vae.likelihood} decoder, 20 Gaussians as prior"
    return OnCells(model, data.levels) if data.levels else model, bound, "bound, IWAE-100", chosen


def fit_conditional_vae(data, rng, quick, deadline):
    """A VAE of labelled data, whose labels are drawn by their frequency; its bound on log p(x) is summed over them."""
    if data.labels is None:
        return None
    x, units, correction, settings = vae_settings(data, quick, deadline)
    model = ConditionalVAE.fit(x, data.labels, rng=rng, progress="conditional VAE", **settings)
    total = lambda x, eps: logsumexp(model.bounds(x, eps), axis=1)
    bound = lambda x: in_blocks(total, units(x), lambda n: model.noise(rng, n, 20)) + correction
    return OnCells(model, data.levels), bound, "bound, IWAE-20", f"{model.vae.latent} latents and the label, logistic decoder"


def fit_quantised(family, data, rng, quick, deadline, steps, prior_steps, chosen, **settings):
    """A VQVAE or VQVAE2, with half of the time for its maps of codes and a quarter for each prior."""
    if data.levels is None:
        return None
    x, seconds, name = np.reshape(data.more, (-1, *data.event)), seconds_to(deadline) / 2, family.__name__
    steps, prior_steps = (steps // 10, prior_steps // 10) if quick else (steps, prior_steps)
    adam = lambda steps: Adam(cosine(3e-3, steps), weight_decay=1.0)
    model = family.fit(x, rng=rng, steps=steps, optimizer=adam(steps), prior_steps=0, seconds=seconds, progress=name, **settings)
    model = model.with_prior(
        x, rng=rng, layers=2, steps=prior_steps, optimizer=adam(prior_steps), seconds=seconds / 2, progress=f"{name}, prior"
    )  # fmt: skip
    return model, lambda x: model.elbo(np.reshape(x, (-1, *data.event))), "bound", chosen


def fit_vqvae(data, rng, quick, deadline):
    """A VQ-VAE; its decoder's variance is learned."""
    return fit_quantised(VQVAE, data, rng, quick, deadline, steps=900, prior_steps=700, chosen="one map, 64 codes", size=64)


def fit_vqvae2(data, rng, quick, deadline):
    """A VQ-VAE with two maps of codes."""
    return fit_quantised(VQVAE2, data, rng, quick, deadline, steps=520, prior_steps=400, chosen="two maps, 32 and 16 codes", sizes=(32, 16))
