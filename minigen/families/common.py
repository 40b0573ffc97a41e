"""What several kinds of families share."""

import time
from dataclasses import dataclass

import numpy as np


def best_on_validation(candidates, fit, validation, deadline):
    """The fitted model of the highest mean log_prob on validation data among candidates tried before the deadline, and its candidate."""
    found = []
    for candidate in candidates:
        if found and time.perf_counter() > deadline:
            break
        model = fit(candidate)
        found.append((float(np.mean(model.log_prob(validation))), candidate, model))
    return max(found, key=lambda f: f[0])[:0:-1]


def seconds_to(deadline):
    """What is left until a deadline of `time.perf_counter`, at least a second."""
    return max(1.0, deadline - time.perf_counter())


@dataclass
class OnCells:
    """A model of levels x = k/(levels − 1) as one that draws the middles (k + ½)/levels of their cells."""

    model: object
    levels: int

    def sample(self, n, rng):
        """(n, D)."""
        return (self.model.sample(n, rng) * (self.levels - 1) + 0.5) / self.levels


def to_levels(x, levels, event):
    """The levels k (n, *event), integers, whose cells hold x (n, D)."""
    return np.reshape(np.clip(np.floor(x * levels), 0, levels - 1).astype(np.int64), (-1, *event))


@dataclass
class OfLevels:
    """A model of levels k (n, *event) as one of data x = (k + u) / levels, (n, D): its density is constant in each cell."""

    model: object
    event: tuple
    levels: int

    def log_prob(self, x):
        """log p(x) = log P(k) + D log levels, (n,) nats."""
        return self.model.log_prob(to_levels(x, self.levels, self.event)) + float(x.shape[1] * np.log(self.levels))

    def sample(self, n, rng):
        """The middles of the cells of k ~ P(k), (n, D)."""
        return (np.reshape(self.model.sample(n, rng), (n, -1)).astype(np.float32) + 0.5) / self.levels


def levels_of(data):
    """The training data as integers (n, *event), or None where there are no levels, or so many that minutes would not do."""
    if data.levels is None or data.levels * data.train.shape[1] > 10_000:
        return None
    return to_levels(data.train, data.levels, data.event)
