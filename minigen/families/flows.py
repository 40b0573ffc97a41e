"""Normalising flows."""

import numpy as np

from minigen.backend import uniform
from minigen.families.common import levels_of, seconds_to, to_levels
from minigen.models import MAF, Glow, NeuralSplineFlow, RealNVP
from minigen.optim import EMA, Adam, cosine


def fit_toy(family, data, rng, quick, deadline, steps, lr, **settings):
    """A flow of points, and its exact log-likelihood."""
    steps = steps // 8 if quick else steps
    training = {"steps": steps, "optimizer": Adam(cosine(lr, steps)), "seconds": seconds_to(deadline), "progress": family.__name__}
    model = family.fit(data.train, rng=rng, **training, **settings)
    return model, model.log_prob, "exact", f"{len(model.layers)} layers"


def fit_levels(family, data, rng, quick, deadline, steps, weight_decay, chosen, **settings):
    """A flow of levels, and the bound on their likelihood from several noises; None for images that minutes would not do for."""
    k = levels_of(data)
    if k is None:
        return None
    steps, noises = (steps // 10, 10) if quick else (steps, 100)
    optimizer, seconds = Adam(cosine(6e-3, steps), weight_decay=weight_decay), seconds_to(deadline)
    training = {"steps": steps, "optimizer": optimizer, "ema": EMA(0.99), "seconds": seconds, "progress": family.__name__}
    model = family.fit(k, rng=rng, levels=data.levels, alpha=3e-4, **training, **settings)

    def bound(x):
        k = to_levels(x, data.levels, data.event)
        return model.level_bound(k, data.levels, uniform(rng, (noises, *k.shape), x)) + float(x.shape[1] * np.log(data.levels))

    return model, bound, f"bound, IW-{noises}", chosen


def fit_realnvp(data, rng, quick, deadline):
    """A flow of coupling layers, for toys: on a thousand images these dense layers learn the training set by heart."""
    return None if data.levels is not None else fit_toy(RealNVP, data, rng, quick, deadline, steps=2500, lr=2e-3)


def fit_maf(data, rng, quick, deadline):
    """A masked autoregressive flow, for toys: an image takes it as many passes as there are pixels."""
    return None if data.levels is not None else fit_toy(MAF, data, rng, quick, deadline, steps=2500, lr=4e-3)


def fit_spline_flow(data, rng, quick, deadline):
    """A flow of splines; of images one of narrow networks, many layers and few bins, with weight decay."""
    if data.levels is None:
        return fit_toy(NeuralSplineFlow, data, rng, quick, deadline, steps=1400, lr=4e-3, layers=4, bins=16, bound=3.0)
    size = {"layers": 12, "hidden": (48,), "bins": 4, "bound": 5.0, "batch_size": 128, "weight_decay": 1.0}
    return fit_levels(NeuralSplineFlow, data, rng, quick, deadline, steps=540, chosen="12 layers, 4 bins", **size)


def fit_glow(data, rng, quick, deadline):
    """Glow, of images."""
    if data.levels is None:
        return None
    size = {"scales": 2, "depth": 4, "width": 32, "bins": 4, "batch_size": 64, "weight_decay": 0.2}
    return fit_levels(Glow, data, rng, quick, deadline, steps=450, chosen="2 scales of 4 steps, 4 bins", **size)
