"""Diffusion."""

import numpy as np

from minigen.families.common import OnCells, seconds_to
from minigen.models import DDPM
from minigen.models.noising import cosine_betas
from minigen.optim import Adam, cosine


def cosine_from(sigma, steps):
    """The cosine schedule without its first times, at which σ_t < sigma: on levels noise finer than cells says nothing, yet costs bits."""
    left = np.cumprod(1 - cosine_betas(steps))
    left = left[1 - left >= sigma**2]
    return 1 - left / np.concatenate([[1.0], left[:-1]])


def fit_ddpm(data, rng, quick, deadline):
    """A DDPM with a dense network: wide for images, of more blocks for toys."""
    if data.levels is None:
        x, units, correction, steps = data.train, lambda x: x, 0.0, 300 if quick else 2500
        settings = {"timesteps": 100, "width": 96, "blocks": 2, "batch_size": 256, "optimizer": Adam(cosine(2e-3, steps))}
    else:
        units = lambda x: np.clip(np.floor(x * data.levels), 0, data.levels - 1) / (data.levels - 1)
        d, steps = data.train.shape[1], 250 if quick else 2100
        x, correction = units(data.train), float(d * np.log(data.levels))
        schedule = cosine_from(0.8 / (data.levels - 1), 100)
        settings = {"levels": data.levels, "width": 256 if d <= 100 else 512, "blocks": 1, "schedule": schedule}
        settings["optimizer"] = Adam(cosine(3e-3, steps), weight_decay=0.3)
    model = DDPM.fit(x, rng=rng, steps=steps, seconds=seconds_to(deadline), progress="DDPM", **settings)
    bound = lambda x: model.elbo(units(x), rng) + correction
    chosen = f"{len(model.betas)} steps, v-prediction, width {settings['width']}"
    return OnCells(model, data.levels) if data.levels else model, bound, "bound", chosen
