"""Autoregressive models of levels."""

from minigen.families.common import OfLevels, levels_of, seconds_to
from minigen.models import MADE, PixelCNN
from minigen.optim import EMA, Adam, cosine


def fit_made(data, rng, quick, deadline):
    """MADE: levels in raster order, from one masked dense network."""
    k = levels_of(data)
    if k is None:
        return None
    steps, seconds = 80 if quick else 900, seconds_to(deadline)
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
    training = {"optimizer": Adam(cosine(1e-2, steps), weight_decay=0.5), "ema": EMA(0.98), "seconds": seconds_to(deadline)}
    cnn = PixelCNN.fit(k, data.levels, rng=rng, steps=steps, progress="PixelCNN", **training, **size)
    model = OfLevels(cnn, data.event, data.levels)
    return model, model.log_prob, "exact", f"1 + {size['layers']} layers of width {size['width']}"
