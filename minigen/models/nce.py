"""Noise-contrastive estimation.  Gutmann & Hyvärinen 2010, "Noise-contrastive estimation: a new estimation principle for
unnormalized statistical models".

Notation: E(x) the energy of a model, c its log-normaliser, which is learned as any parameter; q a density that is known and easy to
draw from, which is nowhere 0 where the data are not; ν draws of q for each datum; σ the sigmoid.

    log p(x) = −E(x) − c                                                                                (1)

A classifier that tells data from noise by Bayes' rule, with ν times as much noise, has the log-odds

    G(x) = log p(x) − log q(x) − log ν                                                                  (2)
    J = −E_data log σ(G(x)) − ν E_q log σ(−G(y)),   y ~ q                                               (3)

Over all functions p, normalised or not, J is least at the density of the data: ∂J/∂p(x) = 0 where p_data (1 − σ(G)) = ν q σ(G).
Hence c tends to log Z where the energies hold the truth.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.backend import like
from minigen.checks import check_count, check_data
from minigen.functions import log_sigmoid
from minigen.train import minimise


def log_odds(log_p, log_q, ratio):
    """G from the two log-densities."""
    return log_p - log_q - math.log(ratio)  # (2)


def nce_loss(log_p_data, log_q_data, log_p_noise, log_q_noise):
    """J of each datum (n,), from log-densities of data (n,) and of its draws of noise (ν, n)."""
    ratio = log_p_noise.shape[0]
    data, noise = log_odds(log_p_data, log_q_data, ratio), log_odds(log_p_noise, log_q_noise, ratio)
    return -log_sigmoid(data) - np.sum(log_sigmoid(-noise), axis=0)  # (3)


@dataclass
class NCE:
    """A model with an `energy`, and its learned log-normaliser."""

    model: Any
    log_z: Any  # c (0-d)

    def log_density(self, x):
        """log p(x) (n,) in nats: normalised only as far as the learned c is right."""
        return -self.model.energy(x) - self.log_z  # (1)

    @classmethod
    def fit(cls, x, model, noise, *, rng, ratio=4, **training):
        """Learn the model's parameters and c from x (n, *event). noise: a distribution with log_prob and sample(n, rng), as (n, *event).

        ratio: ν. `training` goes to `train.minimise`. Raises TypeError or ValueError for data that are not finite floats, or
        that the noise cannot have drawn, or a ratio below 1.
        """
        check_data(x, rank=None)
        check_count("ratio", ratio)
        log_q = noise.log_prob(x)
        if log_q.shape != x.shape[:1] or not bool(np.all(log_q > -math.inf)):
            raise ValueError(f"noise.log_prob(x) has shape {log_q.shape} or is −∞; expected finite numbers ({x.shape[0]},)")

        def loss(nce, batch, rng):
            x, log_q = batch
            n = x.shape[0]
            y = like(x, noise.sample(ratio * n, rng))
            grid = lambda a: np.reshape(a, (ratio, n))
            return nce_loss(nce.log_density(x), log_q, grid(nce.log_density(y)), grid(like(x, noise.log_prob(y))))

        return minimise(loss, cls(model, like(x, 0.0)), (x, log_q), rng=rng, **training)[0]
