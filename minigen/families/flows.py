"""Normalising flows."""

from minigen.families.common import seconds_to
from minigen.models import RealNVP
from minigen.optim import Adam, cosine


def fit_realnvp(data, rng, quick, deadline):
    """A flow of coupling layers, for toys: on a thousand images these dense layers learn the training set by heart."""
    if data.levels is not None:
        return None
    steps = 300 if quick else 2500
    model = RealNVP.fit(
        data.train, rng=rng, steps=steps, optimizer=Adam(cosine(2e-3, steps)), seconds=seconds_to(deadline), progress="RealNVP"
    )
    return model, model.log_prob, "exact", f"{len(model.layers)} coupling layers"
