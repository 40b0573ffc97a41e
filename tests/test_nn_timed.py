"""The network of a point and a time: what it depends on, how it begins, and its gradient."""

import numpy as np
import pytest

import minigen as mg
from minigen.nn import TimedMLP
from minigen.nn.timed import time_features
from minigen.testing import check_gradients

RNG = np.random.default_rng(0)


def lively(classes=0):
    net = TimedMLP.init(np.random.default_rng(0), 3, 2, width=6, blocks=2, classes=classes, dtype=np.float64)
    return mg.tree_map(lambda w: w + 0.3 * np.random.default_rng(w.size).normal(size=w.shape), net)


def test_time_features_are_waves_of_known_periods():
    f = time_features(np.array([0.0, 1.0]), 6)
    np.testing.assert_allclose(f[0], [1] * 6 + [0] * 6 + [0], atol=1e-12)
    omega = 0.25 * 2.0 ** np.arange(6)
    np.testing.assert_allclose(f[1], [*np.cos(2 * np.pi * omega), *np.sin(2 * np.pi * omega), 1], atol=1e-12)


def test_it_begins_as_zero_and_its_rows_do_not_mix():
    x, t = RNG.normal(size=(4, 3)), RNG.random(4)
    assert np.all(TimedMLP.init(RNG, 3, 2, width=6)(x.astype(np.float32), t.astype(np.float32)) == 0)
    net = lively(2)
    y = np.array([0, 1, 2, 2])
    one = np.concatenate([net(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(net(x, t, y), one, rtol=1e-12)
    np.testing.assert_allclose(net(x, t)[2:], one[2:], rtol=1e-12)  # no label is the last label
    for other in (net(x + 1, t, y), net(x, 1 - t, y), net(x, t, 2 - y)[:1]):
        assert np.all(other != one[: len(other)])


def test_a_block_is_the_formula():
    block, silu = lively().blocks[0], mg.nn.silu
    h, e = RNG.normal(size=(5, 6)), RNG.normal(size=(5, 6))
    a, b = np.split(e @ block.film.weight + block.film.bias, 2, axis=1)
    first, second = block.layers
    inner = (1 + a) * (silu(h) @ first.weight + first.bias) + b
    np.testing.assert_allclose(block(h, e), h + silu(inner) @ second.weight + second.bias)


def test_the_network_is_its_parts_in_turn():
    net, silu = lively(2), mg.nn.silu
    x, t, y = RNG.normal(size=(4, 3)), RNG.random(4), np.array([0, 1, 2, 2])
    e = silu(net.time(time_features(t, net.frequencies)) + net.label.weight[y])
    h = net.blocks[1](net.blocks[0](x @ net.stem.weight + net.stem.bias, e), e)
    np.testing.assert_allclose(net(x, t, y), silu(h) @ net.head.weight + net.head.bias)


@pytest.mark.parametrize("classes", [0, 2])
def test_gradients(classes):
    y = np.array([0, 1, 2]) if classes else None
    check_gradients(lambda net, x, t: net(x, t, y), (lively(classes), RNG.normal(size=(3, 3)), RNG.random(3)), order=1, entries=2)


def test_every_array_library(device):
    net = TimedMLP.init(np.random.default_rng(0), 3, 2, width=6, classes=2)
    there = mg.to_device(net, device)
    x, t, y = RNG.normal(size=(4, 3)).astype(np.float32), RNG.random(4).astype(np.float32), np.array([0, 1, 2, 2])
    out = there(*mg.to_device((x, t, y), device))
    assert out.dtype == np.float32 and mg.array_module(out) is mg.array_module(there.stem.weight)
    np.testing.assert_allclose(mg.to_host(out), net(x, t, y), atol=1e-6)
