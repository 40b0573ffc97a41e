"""The families of models as the comparison fits them: one function each.

A function takes the `Data` of the comparison, a generator, whether to be quick and a deadline (of `time.perf_counter`), by
which fitting and choosing should end. It returns (model, log-likelihood, kind, chosen): the log-likelihood maps (n, D) to (n,)
nats, or is None; the kind says whether it is "exact", a "bound", or "—"; the last is what was chosen, in words. It returns
None where the family is not for such data.
"""

import time
from dataclasses import dataclass

import numpy as np

from minigen.functions import logsumexp, sigmoid
from minigen.metrics import iwae_bound
from minigen.models import (
    GAN,
    GMM,
    KDE,
    MADE,
    PPCA,
    RBM,
    VAE,
    VQVAE,
    VQVAE2,
    WGAN,
    Autoencoder,
    ConditionalGAN,
    ConditionalVAE,
    KMeans,
    PixelCNN,
    RealNVP,
)
from minigen.models.vae import log_prior
from minigen.optim import EMA, Adam, cosine


def best_on_validation(candidates, fit, validation, deadline):
    """The fitted model of the highest mean log_prob on validation data among candidates tried before the deadline, and its candidate."""
    found = []
    for candidate in candidates:
        if found and time.perf_counter() > deadline:
            break
        model = fit(candidate)
        found.append((float(np.mean(model.log_prob(validation))), candidate, model))
    return max(found, key=lambda f: f[0])[:0:-1]


def fit_kmeans(data, rng, quick, deadline):
    """Centroids drawn by their frequency: as a density it would be spikes, so that it has no likelihood."""
    k = min(100, len(data.train) // 4)
    return KMeans.fit(data.train, k, rng=rng), None, "—", f"k = {k}"


def fit_pca(data, rng, quick, deadline):
    """PCA with a likelihood: PPCA."""
    d = data.train.shape[1]
    ranks = sorted({max(1, round(d * f)) for f in (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75)} & set(range(1, d)))
    model, k = best_on_validation(ranks, lambda k: PPCA.fit(data.more, k), data.validation, deadline)
    return model, model.log_prob, "exact", f"rank {k}"


def fit_kde(data, rng, quick, deadline):
    """A Gaussian kernel on each training point."""
    spread = float(np.sqrt(np.mean(np.var(data.train, axis=0))))
    widths = spread * np.geomspace(0.02, 1.0, 8 if quick else 24)
    model, h = best_on_validation(widths.tolist(), lambda h: KDE.fit(data.train, h), data.validation, deadline)
    return model, model.log_prob, "exact", f"bandwidth {h:.3g}"


def fit_gmm(data, rng, quick, deadline):
    """A Gaussian mixture."""
    large = data.train.shape[1] > 100
    full, diag = [(k, "full") for k in (10, 20, 40)], [(k, "diag") for k in ((10, 25) if large else (50, 100))]
    candidates = diag if large else (full[:1] if quick else full) + diag
    rounds = 15 if large or quick else 60
    fit = lambda c: GMM.fit(data.more, c[0], covariance=c[1], rng=rng, reg=1e-5, max_iter=rounds)
    model, (k, covariance) = best_on_validation(candidates, fit, data.validation, deadline)
    return model, model.log_prob, "exact", f"{k} {covariance} components"


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
        seconds=max(1.0, deadline - time.perf_counter()), progress="autoencoder",
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


@dataclass
class OnCells:
    """A model of levels x = k/(levels − 1) as one that draws the middles (k + ½)/levels of their cells."""

    model: object
    levels: int

    def sample(self, n, rng):
        """(n, D)."""
        return (self.model.sample(n, rng) * (self.levels - 1) + 0.5) / self.levels


def vae_settings(data, quick, deadline):
    """(training data, what maps other data to its units, the bound's correction in nats, settings) of VAEs.

    A rounded logistic decoder sees levels as they are, and weights decay, as there are few images; toys have a Gaussian decoder.
    """
    d, seconds = data.train.shape[1], max(1.0, deadline - time.perf_counter())
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
    x, seconds, name = np.reshape(data.more, (-1, *data.event)), max(1.0, deadline - time.perf_counter()) / 2, family.__name__
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


@dataclass
class OfLevels:
    """A model of levels k (n, *event) as one of data x = (k + u) / levels, (n, D): its density is constant in each cell."""

    model: object
    event: tuple
    levels: int

    def log_prob(self, x):
        """log p(x) = log P(k) + D log levels, (n,) nats."""
        k = np.clip(np.floor(x * self.levels), 0, self.levels - 1).astype(np.int64)
        return self.model.log_prob(np.reshape(k, (-1, *self.event))) + float(x.shape[1] * np.log(self.levels))

    def sample(self, n, rng):
        """The middles of the cells of k ~ P(k), (n, D)."""
        return (np.reshape(self.model.sample(n, rng), (n, -1)).astype(np.float32) + 0.5) / self.levels


def levels_of(data):
    """The training data as integers (n, *event), or None where there are no levels, or so many that minutes would not do."""
    if data.levels is None or data.levels * data.train.shape[1] > 10_000:
        return None
    return np.reshape(np.floor(data.train * data.levels).astype(np.int64), (-1, *data.event))


def fit_made(data, rng, quick, deadline):
    """MADE: levels in raster order, from one masked dense network."""
    k = levels_of(data)
    if k is None:
        return None
    steps, seconds = 80 if quick else 900, max(1.0, deadline - time.perf_counter())
    optimizer = Adam(cosine(4e-3 if quick else 2e-3, steps), weight_decay=2.0)
    made = MADE.fit(k, data.levels, rng=rng, hidden=(500,), steps=steps, optimizer=optimizer, seconds=seconds, progress="MADE")
    model = OfLevels(made, data.event, data.levels)
    return model, model.log_prob, "exact", "500 hidden units"


def fit_pixelcnn(data, rng, quick, deadline):
    """PixelCNN: levels in raster order, from gated convolutions."""
    k = levels_of(data)
    if k is None:
        return None
    steps, size = (60, {"width": 32, "layers": 2}) if quick else (900, {"width": 24, "layers": 3, "reach": 2, "batch_size": 16})
    optimizer, seconds = Adam(cosine(4e-3, steps), weight_decay=0.5), max(1.0, deadline - time.perf_counter())
    cnn = PixelCNN.fit(k, data.levels, rng=rng, steps=steps, optimizer=optimizer, seconds=seconds, progress="PixelCNN", **size)
    model = OfLevels(cnn, data.event, data.levels)
    return model, model.log_prob, "exact", f"1 + {size['layers']} layers of width {size['width']}"


def gan_settings(data, quick, deadline):
    """What fits of GANs share: points want depth and large batches, images a sigmoid and, where they are large, wide networks."""
    d = data.train.shape[1]
    settings = {"seconds": max(1.0, deadline - time.perf_counter()), "steps": 400 if quick else 4000}
    if d == 2:
        return {**settings, "latent": 8, "hidden": (64, 64, 64), "batch_size": 256}
    large = {"latent": 64, "hidden": (512, 256), "steps": 100 if quick else 1500} if d > 100 else {}
    return {**settings, "output": sigmoid, **large}


def fit_gan(data, rng, quick, deadline):
    """A GAN with the non-saturating loss and a penalty on the critic's slope: it draws, but gives no likelihood."""
    model = GAN.fit(data.more, rng=rng, progress="GAN", **gan_settings(data, quick, deadline))
    return model, None, "—", f"{model.latent} latents"


def fit_conditional_gan(data, rng, quick, deadline):
    """A GAN of labelled data, whose labels are drawn by their frequency."""
    if data.labels is None:
        return None
    labels = np.concatenate([data.labels] * (len(data.more) // len(data.train)))
    model = ConditionalGAN.fit(data.more, labels, rng=rng, progress="conditional GAN", **gan_settings(data, quick, deadline))
    return model, None, "—", f"{model.latent} latents and the label"


def fit_wgan(data, rng, quick, deadline):
    """A Wasserstein GAN with the gradient penalty: it draws, but gives no likelihood."""
    d = data.train.shape[1]
    latent, hidden = (2, (64, 64, 64)) if d == 2 else (10, (192, 192)) if d <= 100 else (32, (400, 400))
    settings = {"batch_size": 128} if data.levels is None else {"output": sigmoid}
    steps = 600 if quick else 5000 if d <= 100 else 2500
    adam = lambda steps: Adam(cosine(2e-3, steps), b1=0.0, b2=0.9)
    seconds = max(1.0, deadline - time.perf_counter())
    model = WGAN.fit(
        data.more, rng=rng, latent=latent, hidden=hidden, penalty=1.0, n_critic=2, steps=steps, optimizer=adam(steps),
        generator_optimizer=adam(steps // 2), ema=EMA(0.995), seconds=seconds, progress="WGAN-GP", **settings,
    )  # fmt: skip
    return model, None, "—", f"{latent} latents, hidden {hidden}"


@dataclass
class Grey:
    """A model of binary images that shows P(v | h) of its draws, which are shades between."""

    model: object

    def sample(self, n, rng):
        """The means (n, D) after the last half sweep."""
        return self.model.visible_given(self.model.hidden_given(self.model.sample(n, rng, 300)))


def fit_rbm(data, rng, quick, deadline):
    """A machine of binary pixels: its likelihood is one of black and white, not of the data's levels, so that none is given."""
    if data.levels is None:
        return None
    hidden, steps, seconds = 128, 200 if quick else 2500, max(1.0, deadline - time.perf_counter())
    binary = (data.more > 0.5).astype(data.more.dtype)
    model = RBM.fit(binary, rng=rng, hidden=hidden, steps=steps, seconds=seconds, progress="RBM")
    return Grey(model), None, "—", f"{hidden} hidden units, pixels above ½ are 1"


def fit_realnvp(data, rng, quick, deadline):
    """A flow of coupling layers, for toys: on a thousand images these dense layers learn the training set by heart."""
    if data.levels is not None:
        return None
    steps = 300 if quick else 2500
    model = RealNVP.fit(
        data.train, rng=rng, steps=steps, optimizer=Adam(cosine(2e-3, steps)), seconds=max(1.0, deadline - time.perf_counter()),
        progress="RealNVP",
    )  # fmt: skip
    return model, model.log_prob, "exact", f"{len(model.layers)} coupling layers"


FAMILIES = {
    "k-means": fit_kmeans, "PCA (PPCA)": fit_pca, "KDE": fit_kde, "Gaussian mixture": fit_gmm,
    "autoencoder": fit_autoencoder, "VAE": fit_vae, "conditional VAE": fit_conditional_vae,
    "VQ-VAE": fit_vqvae, "VQ-VAE-2": fit_vqvae2, "GAN": fit_gan, "conditional GAN": fit_conditional_gan,
    "WGAN-GP": fit_wgan, "RealNVP": fit_realnvp, "MADE": fit_made, "PixelCNN": fit_pixelcnn,
    "RBM": fit_rbm,
}  # fmt: skip
