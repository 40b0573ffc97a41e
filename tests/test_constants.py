"""What a model takes from its data once, and training must leave alone: scales, masks, permutations, schedules, frequencies."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from minigen import leaves
from minigen.models import DDPM, EBM, MADE, MAF, ConditionalGAN, ConditionalVAE, Glow, NeuralSplineFlow, RealNVP, ScoreSDE

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
