"""Models given by an energy."""

from dataclasses import dataclass

import numpy as np

from minigen.backend import like
from minigen.families.common import best_on_validation, seconds_to, to_levels
from minigen.functions import logsumexp
from minigen.models import EBM, RBM
from minigen.models.rbm import bernoulli
from minigen.optim import Adam, cosine


@dataclass
class Grey:
    """A model of binary images that shows P(v | h) of its draws, which are shades between."""

    model: object

    def sample(self, n, rng):
        """The means (n, D) after the last half sweep."""
        return self.model.visible_given(self.model.hidden_given(self.model.sample(n, rng, 300)))


def fit_rbm(data, rng, quick, deadline):
    """A machine of binary pixels, 1 as often as they are bright. Its likelihood is that of such pixels, not of levels: none is given."""
    if data.levels is None:
        return None
    hidden, steps, seconds = 256, 600 if quick else 8000, seconds_to(deadline)
    brightness = to_levels(data.more, data.levels, (data.more.shape[1],)).astype(data.more.dtype) / (data.levels - 1)
    optimizer = Adam(cosine(2e-2, steps))
    model = RBM.fit(
        bernoulli(brightness, rng), rng=rng, hidden=hidden, steps=steps, optimizer=optimizer, seconds=seconds, progress="RBM"
    )  # fmt: skip
    return Grey(model), None, "—", f"{hidden} hidden units, pixels drawn by their brightness"


@dataclass
class Planar:
    """An EBM of two coordinates, whose log Z is a sum over a grid, with chains of steps eta."""

    model: object
    eta: float

    def __post_init__(self):
        line = np.linspace(-6, 6, 601)  # in widths of the Gaussian
        grid = like(self.model.mean, np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2))
        cell = 2 * np.log(self.model.std * (line[1] - line[0]).item())
        self.log_z = logsumexp(-self.model.energy(self.model.mean + self.model.std * grid)) + cell

    def log_prob(self, x):
        """(n,) nats."""
        return -self.model.energy(x) - self.log_z

    def sample(self, n, rng):
        """(n, 2)."""
        return self.model.sample(n, rng, 300, self.eta)


def fit_ebm(data, rng, quick, deadline):
    """A deep energy, for toys: images have no grid of which log Z is a sum. The finest part of the data says how long steps may be."""
    if data.levels is not None:
        return None
    steps, width = 150 if quick else 1200, float(np.max(np.std(data.train, axis=0)))

    def fit(share):
        eta, seconds = share * width, seconds_to(deadline) / 2
        model = EBM.fit(data.train, rng=rng, hidden=(64, 64), steps=steps, eta=eta, seconds=seconds, progress=f"EBM, steps of {eta:.2f}")
        return Planar(model, eta)

    model, share = best_on_validation((0.2, 0.07), fit, data.validation, deadline)
    return model, model.log_prob, "by quadrature", f"Langevin steps of {share} standard deviations"
