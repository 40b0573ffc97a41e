"""Defaults that the literature fixes: a score with others is another score, whatever its name."""

import inspect

import pytest

from minigen import metrics, models, nn, optim

PUBLISHED = {
    metrics.precision_recall: {"k": 3, "ties": "inside"},  # Kynkäänniemi et al. 2019
    metrics.realism: {"k": 3},
    metrics.density_coverage: {"k": 5, "ties": "outside"},  # Naeem et al. 2020
    metrics.manifold_scores: {"k": 5, "ties": "outside"},
    metrics.prd_curve: {"clusters": 20, "runs": 10, "angles": 1001},  # Sajjadi et al. 2018
    metrics.f_scores: {"beta": 8.0},
    metrics.inception_score: {"splits": 10},  # Salimans et al. 2016
    metrics.memorization_by_folds: {"folds": 10},  # van den Burg & Williams 2021
    metrics.spatial_frechet_distance: {"channels": 7},  # Nash et al. 2021
    metrics.frechet_distance_infinity: {"points": 15},  # Chong & Forsyth 2020
    metrics.mmd2: {"unbiased": True},
    metrics.vendi_score: {"kernel": "cosine", "q": 1.0},  # Friedman & Dieng 2023
    models.DDPM.fit: {"timesteps": 1000},  # Ho et al. 2020
    models.VQVAE: {"beta": 0.25},
    models.VQVAE2: {"beta": 0.25},
    models.VQVAE.fit: {"beta": 0.25},  # van den Oord et al. 2017
    models.VQVAE2.fit: {"beta": 0.25},
    models.VAE: {"beta": 1.0},
    models.VAE.fit: {"beta": 1.0},
    models.GAN.fit: {"loss": "nonsaturating"},
    models.GMM.fit: {"reg": 1e-6},
    optim.Adam: {"lr": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0},  # Kingma & Ba 2015
    optim.RMSProp: {"decay": 0.99},
    **{f: {"eps": 1e-5} for norm in (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm) for f in (norm, norm.init)},
}


@pytest.mark.parametrize("function", PUBLISHED, ids=lambda function: function.__qualname__)
def test_defaults_are_the_published_ones(function):
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    assert {name: defaults[name] for name in PUBLISHED[function]} == PUBLISHED[function]
