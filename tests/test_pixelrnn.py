"""The PixelRNN chapter against its definitions: enumeration, a plain loop over pixels, exact zeros.

Statistical tests have fixed seeds and a false-alarm rate of 1e-6.
"""

import itertools

import numpy as np
import pytest
from scipy import special, stats

from minigen import tree
from minigen.autograd import jacobian
from minigen.models.levels import draw, thermometer
from minigen.models.pixelrnn import PixelRNN
from minigen.optim import Adam, cosine
from minigen.testing import check_causal, check_gradients
from tests.levels import assert_same_there


def lively(event, levels, seed=0, **settings):
    """An untrained float64 model whose biases and maps are drawn too."""
    rng = np.random.default_rng(seed)
    model = PixelRNN.init(rng, event, levels, dtype=np.float64, **{"hidden": 5, "features": 4, **settings})
    vector, unravel = tree.ravel(model)
    return unravel(vector + 0.7 * rng.standard_normal(vector.size))


def states(event, levels):
    """Every image."""
    return np.array(list(itertools.product(range(levels), repeat=int(np.prod(event))))).reshape(-1, *event)


@pytest.mark.verifies("pixelrnn.1", "pixelrnn.2", "pixelrnn.3", "pixelrnn.4")
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_log_prob_is_that_of_a_plain_loop(reach):
    model, rng = lively((3, 4), 3, reach=reach), np.random.default_rng(1)
    k = rng.integers(3, size=(6, 3, 4))
    x = np.where(k[..., None] >= np.arange(3), 1.0, -1.0)
    at = lambda r, c: x[:, r, c] if r >= 0 and 0 <= c < 4 else np.zeros((6, 3))
    h, cell, expected = np.zeros((6, 5)), np.zeros((6, 5)), 0
    for t in range(12):
        r, c = divmod(t, 4)
        e = model.above.bias + model.before.bias + model.place[r, c]
        for i, j in itertools.product(range(1, reach + 1), range(-reach, reach + 1)):
            e = e + at(r - i, c + j) @ model.above.weight[reach - i, reach + j]
        for j in range(1, reach + 1):
            e = e + at(*divmod(t - j, 4)) @ model.before.weight[0, reach - j] if t >= j else e
        gates = e * special.expit(e) @ model.lstm.input.weight + model.lstm.input.bias
        gates = gates + h @ model.lstm.hidden.weight + model.lstm.hidden.bias
        i, f, g, o = np.split(gates, 4, axis=1)
        cell = special.expit(f) * cell + special.expit(i) * np.tanh(g)
        h = special.expit(o) * np.tanh(cell)
        logits = h @ model.head.weight + model.head.bias + model.bias[t]
        expected = expected + special.log_softmax(logits, axis=1)[np.arange(6), k[:, r, c]]
    np.testing.assert_allclose(model.log_prob(k), expected)


@pytest.mark.parametrize("event", [(4, 5), (6, 1), (1, 6)], ids=str)
def test_each_pixel_knows_all_before_it_and_nothing_else(event):
    model, order = lively(event, 3, reach=1), np.arange(event[0] * event[1]).reshape(event)
    check_causal(lambda x: model.logits(x).reshape(len(x), *event, 3), order, features=(3,), complete=True)


def test_the_jacobian_is_strictly_triangular():
    model, x = lively((3, 3), 2, reach=1), np.random.default_rng(0).standard_normal((1, 3, 3, 2))
    j = jacobian(lambda x: model.logits(np.reshape(x, (1, 3, 3, 2))))(x).reshape(9, 2, 9, 2)
    np.testing.assert_array_equal(np.any(j != 0, axis=(1, 3)), np.tri(9, k=-1, dtype=bool))


@pytest.mark.verifies("pixelrnn.1")
@pytest.mark.parametrize(("event", "levels"), [((2, 2), 3), ((3, 3), 2), ((2, 1), 5)], ids=str)
def test_probabilities_sum_to_one(event, levels):
    p = np.exp(lively(event, levels).log_prob(states(event, levels)))
    np.testing.assert_allclose(np.sum(p), 1, rtol=1e-12)
    assert np.max(p) > 2 * np.min(p)


# ---- Sampling ----
@pytest.mark.parametrize("event", [(3, 4), (1, 4), (4, 1)], ids=str)
def test_a_kept_state_draws_what_the_whole_network_draws(event):
    model, rng = lively(event, 3), np.random.default_rng(0)
    k, known = rng.integers(3, size=(50, *event)), rng.random((50, *event)) < 0.3
    expected, noise = np.where(known, k, 0), np.random.default_rng(1)
    for t, (r, c) in enumerate(itertools.product(*map(range, event))):
        drawn = draw(model.logits(thermometer(expected, 3, model.bias))[:, t], noise)
        expected[:, r, c] = np.where(known[:, r, c], k[:, r, c], drawn)
    np.testing.assert_array_equal(model.fill(k, known, np.random.default_rng(1)), expected)


def test_samples_have_the_models_own_probabilities():
    model, n = lively((2, 2), 3), 40_000
    p = np.exp(model.log_prob(states((2, 2), 3)))
    index = model.sample(n, np.random.default_rng(3)).reshape(n, 4) @ [27, 9, 3, 1]
    assert stats.chisquare(np.bincount(index, minlength=81), n * p).pvalue > 1e-6


def test_filling_draws_from_the_conditional_distribution():
    model, n = lively((2, 2), 3), 40_000
    p = np.exp(model.log_prob(states((2, 2), 3))).reshape(9, 9)
    filled = model.fill(np.tile([[2, 1], [0, 0]], (n, 1, 1)), np.array([[True, True], [False, False]]), np.random.default_rng(4))
    assert np.all(filled[:, 0] == [2, 1])
    assert np.max(np.abs(p[7] / p[7].sum() - p.sum(0))) > 0.02, "the test sees it when the known part has no say"
    assert stats.chisquare(np.bincount(filled[:, 1] @ [3, 1], minlength=9), n * p[7] / p[7].sum()).pvalue > 1e-6


# ---- Training ----
def test_the_gradient_is_that_of_finite_differences():
    model, k = lively((2, 2), 3, reach=1), np.random.default_rng(0).integers(3, size=(3, 2, 2))
    check_gradients(lambda m: np.sum(m.loss(k)), (model,), order=1)


def test_it_remembers_what_its_window_does_not_show():
    """The last pixel of a row of six is the first one; all others are coins."""
    rng = np.random.default_rng(0)
    k = rng.integers(2, size=(2000, 1, 6))
    k[:, :, 5] = k[:, :, 0]
    model = PixelRNN.fit(k, 2, rng=rng, hidden=16, features=8, reach=1, steps=300, optimizer=Adam(cosine(0.03, 300)), progress=False)
    assert np.mean(model.log_prob(k)) > -5 * np.log(2) - 0.1
    sample = model.sample(300, rng)
    assert np.mean(sample[:, :, 5] == sample[:, :, 0]) > 0.95


def test_same_on_every_device_in_float32(device):
    rng = np.random.default_rng(0)
    model = PixelRNN.init(rng, (3, 2), 3, hidden=5, features=4)
    k = rng.integers(3, size=(5, 3, 2))
    assert_same_there(model, k, device)


# ---- Bad input ----
K = np.zeros((4, 2, 2), int)


@pytest.mark.parametrize(
    ("k", "levels", "settings", "error", "message"),
    [
        (K + 0.5, 2, {}, TypeError, "k is float64; expected integers"),
        (K + 2, 2, {}, ValueError, "entries from 2 to 2"),
        (K[..., None], 2, {}, ValueError, r"event is \(2, 2, 1\); expected \(H, W\)"),
        (K, 2, {"hidden": 0}, ValueError, "hidden is 0"),
        (K, 2, {"reach": 0}, ValueError, "reach is 0"),
    ],
)
def test_bad_input_is_named(k, levels, settings, error, message):
    with pytest.raises(error, match=message):
        PixelRNN.fit(k, levels, rng=np.random.default_rng(0), steps=1, progress=False, **settings)


def test_bad_use_is_named():
    model, rng = lively((2, 2), 2), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"k has shape \(4, 2, 3\); expected \(n, 2, 2\)"):
        model.log_prob(np.zeros((4, 2, 3), int))
    with pytest.raises(ValueError, match="known is int64"):
        model.fill(K, K, rng)
    with pytest.raises(ValueError, match="n is 0"):
        model.sample(0, rng)
    with pytest.raises(TypeError, match="rng is None"):
        model.sample(1, None)
