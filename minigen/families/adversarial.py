"""Generative adversarial networks."""

import numpy as np

from minigen.families.common import seconds_to
from minigen.functions import sigmoid
from minigen.models import GAN, WGAN, ConditionalGAN
from minigen.optim import EMA, Adam, cosine


def gan_settings(data, quick, deadline):
    """What fits of GANs share: points want depth and large batches, images a sigmoid and, where they are large, wide networks."""
    d = data.train.shape[1]
    settings = {"seconds": seconds_to(deadline), "steps": 400 if quick else 4000}
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
    seconds = seconds_to(deadline)
    model = WGAN.fit(
        data.more, rng=rng, latent=latent, hidden=hidden, penalty=1.0, n_critic=2, steps=steps, optimizer=adam(steps),
        generator_optimizer=adam(steps // 2), ema=EMA(0.995), seconds=seconds, progress="WGAN-GP", **settings,
    )  # fmt: skip
    return model, None, "—", f"{latent} latents, hidden {hidden}"
