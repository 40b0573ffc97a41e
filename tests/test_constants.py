"""What training must leave alone: what a model took from its data once, as scales and masks, and the optimizer that it is given."""

import inspect
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from minigen import leaves, models
from minigen.models import DDPM, EBM, MADE, MAF, ConditionalGAN, ConditionalVAE, Glow, NeuralSplineFlow, RealNVP, ScoreSDE
from minigen.optim import Adam
from tests.test_nce import Quadratic, wide

RNG = np.random.default_rng(0)
POINTS, LABELS = 3 + 2 * RNG.standard_normal((64, 2)), np.repeat([0, 1, 1, 2], 16)
IMAGES = RNG.uniform(0.2, 0.8, (32, 4, 4, 1))
CASES = [
    (EBM, {"x": POINTS, "k": 2}, {"mean", "std"}),
    (RealNVP, {"x": POINTS}, {"mean", "std", "mask"}),
    (MADE, {"k": np.eye(64, 8, dtype=int), "levels": 2}, {"base"}),
    (MAF, {"x": POINTS}, {"mean", "std", "times"}),
    (NeuralSplineFlow, {"x": POINTS}, {"mean", "std", "kept", "moved"}),
    (Glow, {"x": IMAGES}, {"mean", "std", "permutation"}),
    (DDPM, {"x": POINTS, "timesteps": 8}, {"betas", "shift", "scale"}),
    (ScoreSDE, {"x": POINTS}, {"mean", "std"}),
    (ConditionalGAN, {"x": POINTS, "y": LABELS}, {"frequencies"}),
    (ConditionalVAE, {"x": POINTS, "y": LABELS}, {"frequencies"}),
]


def named(node, names):
    """(name, array) of every field below a model that has one of the names."""
    if isinstance(node, (list, tuple)):
        children = [(None, child) for child in node]
    else:
        children = [(f.name, getattr(node, f.name)) for f in fields(node)] if is_dataclass(node) else []
    found = [(name, child) for name, child in children if name in names and isinstance(child, (np.ndarray, np.generic))]
    return found + [pair for _, child in children for pair in named(child, names)]


@pytest.mark.parametrize(("model", "settings", "names"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_training_moves_parameters_only(model, settings, names):
    fit = lambda steps: model.fit(**settings, rng=np.random.default_rng(1), steps=steps, batch_size=16, progress=False)
    one, more = fit(1), fit(4)
    assert {name for name, _ in named(one, names)} == names
    for (name, a), (_, b) in zip(named(one, names), named(more, names), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert all(a is not leaf for leaf in leaves(one)), name
    assert any(np.any(a != b) for a, b in zip(leaves(one), leaves(more), strict=True))


BITS, LETTERS = (IMAGES > 0.5).astype(int), RNG.integers(0, 3, (8, 6))
GIVEN = {
    **{name: {"x": POINTS} for name in ("Autoencoder", "ContinuousFlow", "DDPM", "EBM", "FlowMatching", "MAF", "NeuralSplineFlow")},
    **{name: {"x": POINTS} for name in ("RealNVP", "ScoreSDE", "VAE", "WGAN")},
    **{name: {"k": LETTERS, "levels": 3} for name in ("MADE", "RNNLanguageModel", "TransformerLM")},
    **{name: {"k": BITS[..., 0], "levels": 2} for name in ("PixelCNN", "PixelRNN")},
    "GAN": {"x": POINTS, "batch_size": 16},
    "ConditionalGAN": {"x": POINTS, "y": LABELS, "batch_size": 16},
    "ConditionalVAE": {"x": POINTS, "y": LABELS},
    "CRF": {"x": RNG.standard_normal((8, 5, 2)), "y": RNG.integers(0, 3, (8, 5))},
    "Glow": {"x": IMAGES},
    "NCE": {"x": POINTS, "model": Quadratic(np.zeros(2), np.zeros(2)), "noise": wide(POINTS)},
    "RBM": {"x": BITS.reshape(32, -1).astype(float)},
    "VQVAE": {"x": np.tile(IMAGES, (1, 2, 2, 1)), "size": 4, "prior_steps": 1},
    "VQVAE2": {"x": np.tile(IMAGES, (1, 4, 4, 1)), "sizes": (4, 4), "prior_steps": 1},
}


def fit_of(name):
    """The parameters of a model's fit."""
    return set(inspect.signature(getattr(getattr(models, name), "fit", lambda: None)).parameters)


def test_every_trained_model_is_here():
    assert {name for name in models.__all__ if fit_of(name) & {"training", "settings"}} == {*GIVEN}


@pytest.mark.parametrize("name", GIVEN)
def test_the_optimizer_that_is_given_is_used(name):
    seen = []
    own = Adam(lambda t: seen.append(t) or 1e-3)
    optimizer = {"optimizers": (own, own)} if "optimizers" in fit_of(name) else {"optimizer": own}
    getattr(models, name).fit(**GIVEN[name], **optimizer, rng=np.random.default_rng(1), steps=2, progress=False)
    assert seen
