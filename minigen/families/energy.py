"""Models given by an energy."""

from dataclasses import dataclass

from minigen.families.common import seconds_to
from minigen.models import RBM


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
    hidden, steps, seconds = 128, 200 if quick else 2500, seconds_to(deadline)
    binary = (data.more > 0.5).astype(data.more.dtype)
    model = RBM.fit(binary, rng=rng, hidden=hidden, steps=steps, seconds=seconds, progress="RBM")
    return Grey(model), None, "—", f"{hidden} hidden units, pixels above ½ are 1"
