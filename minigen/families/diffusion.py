"""Diffusion."""

import numpy as np

from minigen.families.common import OnCells, seconds_to
from minigen.models import DDPM, FlowMatching, ScoreSDE
from minigen.models.noising import cosine_from
from minigen.optim import EMA, Adam, cosine


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


def continuous_settings(data, quick, deadline):
    """What the two families in continuous time share."""
    large, steps = data.train.shape[1] > 2, 300 if quick else 2500
    size = {"width": 256, "blocks": 1, "batch_size": 128} if large else {"width": 64, "blocks": 3, "batch_size": 512}
    adam = Adam(cosine(3e-3, steps), weight_decay=0.3 if large else 0.0)
    return {"steps": steps, "optimizer": adam, "ema": EMA(0.9 if quick else 0.99), "seconds": seconds_to(deadline), **size}


def exact_on_points(data, model):
    """(log-likelihood, kind): the ODE's in the plane; of images it takes a derivative for every pixel and step, and none is given."""
    return (model.log_prob, "exact") if data.train.shape[1] == 2 else (None, "—")


def fit_score_sde(data, rng, quick, deadline):
    """A variance-preserving SDE, drawn by Heun's method."""
    model = ScoreSDE.fit(data.more, rng=rng, progress="score SDE", **continuous_settings(data, quick, deadline))
    return model, *exact_on_points(data, model), "variance preserving, Heun in 32 steps"


def fit_flow_matching(data, rng, quick, deadline):
    """A continuous flow trained on straight lines from noise to data."""
    model = FlowMatching.fit(data.more, rng=rng, progress="flow matching", ode_steps=8, **continuous_settings(data, quick, deadline))
    return model, *exact_on_points(data, model), "straight lines, Runge-Kutta in 32 steps"
