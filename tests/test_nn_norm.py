"""Normalisation by the moments of what comes out, and the running averages of batch norm."""

from dataclasses import replace

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.nn.norm import normalise
from minigen.testing.gradients import check_gradients

rng = np.random.default_rng(0)
X = 3 * rng.normal(size=(5, 4, 3, 6)) + rng.normal(size=6) + 2

# name -> (layer with scale 1 and shift 0, axes over which y has moments 0 and 1, from y with its channels split)
NORMS = {
    "layer": (lambda eps: nn.LayerNorm.init(6, eps, np.float64), 6, (4,)),
    "group, 2": (lambda eps: nn.GroupNorm.init(6, 2, eps, np.float64), 3, (1, 2, 4)),
    "group, 1": (lambda eps: nn.GroupNorm.init(6, 1, eps, np.float64), 6, (1, 2, 4)),
    "instance": (lambda eps: nn.GroupNorm.init(6, 6, eps, np.float64), 1, (1, 2, 4)),
    "batch": (lambda eps: lambda x: nn.BatchNorm.init(6, eps=eps, dtype=np.float64)(x, train=True), 1, (0, 1, 2)),
}


@pytest.mark.parametrize(("make", "size", "axes"), NORMS.values(), ids=NORMS)
def test_output_has_mean_0_and_the_variance_that_eps_leaves(make, size, axes):
    split = lambda a: a.reshape(5, 4, 3, -1, size)
    for eps in (1e-12, 0.5):
        y = split(make(eps)(X))
        var = split(X).var(axis=axes, keepdims=True)
        np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-13)
        np.testing.assert_allclose(y.var(axis=axes, keepdims=True), var / (var + eps), rtol=1e-12)
        # the same affine map for all entries of a group, with a positive slope
        slope = (split(X) - split(X).mean(axis=axes, keepdims=True)) / y
        np.testing.assert_allclose(slope, np.broadcast_to((var + eps) ** 0.5, slope.shape), rtol=1e-9)


LAYER, GROUP = nn.LayerNorm.init(6, dtype=np.float64), nn.GroupNorm.init(6, 3, dtype=np.float64)


@pytest.mark.parametrize("layer", [LAYER, GROUP], ids=["layer", "group"])
def test_scale_and_shift_are_per_channel(layer):
    scale, shift = rng.normal(size=6), rng.normal(size=6)
    np.testing.assert_allclose(replace(layer, scale=scale, shift=shift)(X), layer(X) * scale + shift, rtol=1e-13)
    assert layer.eps == 1e-5


def test_derivatives_of_normalise_to_the_third_order():
    check_gradients(lambda x: np.tanh(normalise(x, (0, 2), 0.1)), (X[:3, :2, :2, 0],), order=3, entries=6)


def test_batch_norm_averages():
    norm = nn.BatchNorm.init(6, momentum=0.2, eps=0.1, dtype=np.float64)
    np.testing.assert_allclose(norm(X), X / 1.1**0.5)  # averages 0 and 1
    first = norm.updated(X)
    flat = X.reshape(-1, 6)
    np.testing.assert_allclose(first.mean, 0.2 * flat.mean(axis=0))
    np.testing.assert_allclose(first.var, 0.8 + 0.2 * flat.var(axis=0, ddof=1))
    second = first.updated(X[:, :1])
    np.testing.assert_allclose(second.mean, 0.8 * first.mean + 0.2 * X[:, 0].reshape(-1, 6).mean(axis=0))
    second.scale += rng.normal(size=6)
    second.shift += rng.normal(size=6)
    want = (X - second.mean) / (second.var + 0.1) ** 0.5 * second.scale + second.shift
    np.testing.assert_allclose(second(X), want, rtol=1e-13)
    np.testing.assert_array_equal(norm.mean, 0)  # the first layer is as it was
    np.testing.assert_array_equal(norm.var, 1)


def test_batch_norm_averages_of_two_values_a_channel():
    np.testing.assert_allclose(nn.BatchNorm.init(1, 1.0, dtype=np.float64).updated(np.array([[[1.0], [4.0]]])).var, 4.5)


def test_batch_norm_in_training_leaves_its_averages_and_differentiates_through_the_batch():
    norm = nn.BatchNorm.init(2, dtype=np.float64)
    scale, shift = rng.normal(size=2), rng.normal(size=2)
    norm = replace(norm, scale=scale, shift=shift)
    x = X[:2, :2, 0, :2]
    np.testing.assert_allclose(norm(x, train=True), normalise(x, (0, 1), 1e-5) * scale + shift, rtol=1e-13)
    check_gradients(lambda norm, x: np.tanh(norm(x, train=True)), (norm, x), entries=6)
    np.testing.assert_array_equal(norm.mean, 0)


def test_averages_are_constants():
    norm = nn.BatchNorm.init(6, dtype=np.float64)
    assert len(mg.tree.leaves(norm)) == 2
    seen = []
    mg.grad(lambda t: seen.append(norm.updated(t)) or np.sum(t))(X)
    assert type(seen[0].mean) is type(seen[0].var) is np.ndarray
    np.testing.assert_allclose(seen[0].mean, norm.updated(X).mean)


def test_averages_move_to_the_device(device):
    norm, x = mg.to_device((nn.BatchNorm.init(6), X.astype(np.float32)), device)
    norm = norm.updated(x)
    assert mg.array_module(norm.mean, norm.var, norm(x)) is mg.array_module(x)
    assert norm.mean.dtype == norm.var.dtype == norm(x).dtype == norm(x, train=True).dtype == np.float32
    np.testing.assert_allclose(mg.to_host(norm.mean), 0.1 * X.reshape(-1, 6).mean(axis=0), rtol=1e-5)


def test_norms_agree_with_torch():
    torch = pytest.importorskip("torch")
    images = torch.tensor(X.transpose(0, 3, 1, 2).copy())
    back = lambda t: t.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(LAYER(X), torch.nn.LayerNorm(6).double()(torch.tensor(X)).detach(), rtol=1e-10)
    np.testing.assert_allclose(GROUP(X), back(torch.nn.GroupNorm(3, 6).double()(images)), rtol=1e-10)
    theirs, ours = torch.nn.BatchNorm2d(6).double(), nn.BatchNorm.init(6, dtype=np.float64)
    for k in range(3):
        part = images[: k + 2]
        np.testing.assert_allclose(ours(X[: k + 2], train=True), back(theirs(part)), rtol=1e-9, atol=1e-12)
        ours = ours.updated(X[: k + 2])
    theirs.eval()
    np.testing.assert_allclose(ours.mean, theirs.running_mean, rtol=1e-12)
    np.testing.assert_allclose(ours.var, theirs.running_var, rtol=1e-12)
    np.testing.assert_allclose(ours(X), back(theirs(images)), rtol=1e-10)
