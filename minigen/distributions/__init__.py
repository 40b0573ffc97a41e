"""Distributions: dataclasses of parameters with log_prob(x), sample(n, rng), mean, var and entropy(); divergences between them.

Parameters are numbers or float arrays that broadcast: their common shape is the batch. log_prob is in nats and −∞ outside
of the support; sample(n, rng) has shape (n, *batch, *event). With parameters that are Python numbers, float32 data stay
float32, and samples are float64.

>>> import numpy as np
>>> p = Normal(np.zeros(3), 1.0)
>>> p.sample(10, np.random.default_rng(0)).shape, p.log_prob(np.zeros((10, 3))).shape, p.entropy().shape
((10, 3), (10, 3), (3,))
"""

from minigen.distributions.continuous import Beta, Exponential, Gamma, Laplace, Normal, Uniform
from minigen.distributions.discrete import Bernoulli, Categorical, DiscretizedLogistic, Poisson
from minigen.distributions.divergences import cross_entropy, js_divergence, kl_divergence, wasserstein2_gaussian
from minigen.distributions.multivariate import Dirichlet, Independent, Mixture, MultivariateNormal

__all__ = [
    "Bernoulli", "Beta", "Categorical", "Dirichlet", "DiscretizedLogistic", "Exponential", "Gamma", "Independent", "Laplace",
    "Mixture", "MultivariateNormal", "Normal", "Poisson", "Uniform", "cross_entropy", "js_divergence", "kl_divergence",
    "wasserstein2_gaussian",
]  # fmt: skip
