"""The MADE chapter against its definitions: enumeration, paths counted through the masks, naive conditionals, exact zeros.

Statistical tests have fixed seeds and a false-alarm rate of 1e-6.
"""

import itertools
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

from minigen import tree
from minigen.autograd import jacobian
from minigen.families import FAMILIES
from minigen.families.common import OfLevels, levels_of
from minigen.metrics import bits_per_dim
from minigen.models.made import MADE, masks
from minigen.optim import Adam, cosine
from minigen.testing import check_causal, check_gradients
from tests.levels import assert_same_there

ORDERS = {"in memory": np.arange(5), "backwards": np.arange(5)[::-1], "mixed": np.array([3, 0, 4, 1, 2])}


def lively(event, levels, seed=0, hidden=(24, 24), **settings):
    """An untrained float64 model whose biases and log-odds are drawn too; tanh, so that no unit is dead."""
    rng = np.random.default_rng(seed)
    model = MADE.init(rng, event, levels, hidden, activation=np.tanh, dtype=np.float64, **settings)
    vector, unravel = tree.ravel(model)
    return replace(unravel(vector + 0.3 * rng.standard_normal(vector.size)), base=rng.standard_normal(model.base.shape))


def states(event, levels):
    """Every datum."""
    return np.array(list(itertools.product(range(levels), repeat=int(np.prod(event))))).reshape(-1, *event)


# ---- Masks ----
@pytest.mark.verifies("made.3", "made.4", "made.5")
@pytest.mark.parametrize("hidden", [(8,), (9, 8), (8, 4, 13)], ids=str)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("levels", [2, 4])
def test_paths_lead_from_each_coordinate_to_all_later_ones_and_no_other(hidden, order, levels):
    order = ORDERS[order]
    paths = np.eye(5 * (levels - 1), dtype=int)
    for mask in masks(order, levels, hidden):
        paths = paths @ mask
    allowed = np.repeat(np.repeat(order[:, None] < order, levels - 1, axis=0), levels - 1, axis=1)
    np.testing.assert_array_equal(paths > 0, allowed)


@pytest.mark.verifies("made.3", "made.4", "made.5")
def test_no_allowed_weight_is_masked_out():
    """Each mask is as large as degrees permit: a unit of degree m has the m + 1 first coordinates, and so on."""
    order, (first, between, last) = ORDERS["mixed"], masks(ORDERS["mixed"], 3, (8, 12))
    degrees = [first.sum(0) // 2 - 1, between.sum(0)]
    np.testing.assert_array_equal(np.bincount(degrees[0]), [2, 2, 2, 2])
    np.testing.assert_array_equal(np.bincount(degrees[1]), [0, 0, 3, 0, 3, 0, 3, 0, 3])
    np.testing.assert_array_equal(last.sum(0), np.repeat(3 * order, 2))


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_each_coordinate_knows_all_before_it_and_nothing_else(order, levels):
    model = lively((5,), levels, order=ORDERS[order])
    check_causal(model.logits, ORDERS[order], features=(levels - 1,), complete=True)


def test_the_jacobian_is_strictly_triangular_in_the_order():
    order = ORDERS["mixed"]
    model = lively((5,), 2, order=order)
    x = np.random.default_rng(0).standard_normal((1, 5, 1))
    j = jacobian(lambda x: model.logits(np.reshape(x, (1, 5, 1)))[..., 1])(x).reshape(5, 5)
    np.testing.assert_array_equal(j != 0, order[:, None] > order)


def test_an_order_of_images_has_their_shape():
    order = np.array([[3, 1], [0, 2]])
    model = lively((2, 2), 3, order=order)
    check_causal(lambda x: model.logits(x.reshape(-1, 4, 2)).reshape(-1, 2, 2, 3), order, features=(2,), complete=True)


# ---- Probabilities ----
@pytest.mark.verifies("made.1", "made.2")
@pytest.mark.parametrize("levels", [2, 3])
def test_log_prob_is_the_sum_of_conditionals(levels):
    """Each from a network that is given the coordinates before it only: the others hold whatever."""
    order = ORDERS["mixed"]
    model, rng = lively((5,), levels, order=order), np.random.default_rng(1)
    k = rng.integers(levels, size=(20, 5))
    expected = 0
    for j in range(5):
        known = np.where(order < order[j], k, rng.integers(levels, size=k.shape))
        x = np.where(known[..., None] >= np.arange(1, levels), 1.0, -1.0)
        h = x.reshape(20, -1)
        for layer in model.layers[:-1]:
            h = np.tanh(h @ np.where(layer.mask, layer.weight, 0) + layer.bias)
        layer = model.layers[-1]
        free = (h @ np.where(layer.mask, layer.weight, 0) + layer.bias).reshape(20, 5, -1)[:, j] + model.base[j]
        conditional = special.log_softmax(np.concatenate([np.zeros((20, 1)), free], axis=1), axis=1)
        if levels == 2:
            np.testing.assert_allclose(conditional[:, 1], stats.bernoulli(special.expit(free[:, 0])).logpmf(1))
        expected = expected + conditional[np.arange(20), k[:, j]]
    np.testing.assert_allclose(model.log_prob(k), expected)


@pytest.mark.verifies("made.1")
@pytest.mark.parametrize(("event", "levels"), [((6,), 2), ((4,), 3), ((2, 2), 4), ((1,), 7), ((2, 2, 1), 2)], ids=str)
def test_probabilities_sum_to_one(event, levels):
    model, k = lively(event, levels, order=np.random.default_rng(0).permutation(int(np.prod(event)))), states(event, levels)
    p = np.exp(model.log_prob(k))
    np.testing.assert_allclose(np.sum(p), 1, rtol=1e-12)
    assert np.max(p) > 1.1 * np.min(p)


# ---- Sampling ----
@pytest.mark.parametrize("levels", [2, 3])
def test_samples_have_the_models_own_probabilities(levels):
    model, k, n = lively((4,), levels, order=np.array([2, 0, 3, 1])), states((4,), levels), 40_000
    p = np.exp(model.log_prob(k))
    index = model.sample(n, np.random.default_rng(3)) @ levels ** np.arange(3, -1, -1)
    assert stats.chisquare(np.bincount(index, minlength=len(k)), n * p).pvalue > 1e-6


def test_filling_draws_from_the_conditional_distribution():
    """The known coordinates are the first two of the order, which are not the first two in memory."""
    model, n = lively((4,), 3, order=np.array([2, 0, 3, 1])), 40_000
    p = np.exp(model.log_prob(states((4,), 3))).reshape(3, 3, 3, 3)[:, 2, :, 1].reshape(-1)
    known = np.array([False, True, False, True])
    filled = model.fill(np.tile([0, 2, 0, 1], (n, 1)), known, np.random.default_rng(4))
    assert np.all(filled[:, [1, 3]] == [2, 1])
    assert np.max(np.abs(p / p.sum() - np.exp(model.log_prob(states((4,), 3))).reshape(3, 3, 3, 3).sum((1, 3)).reshape(-1))) > 0.02
    assert stats.chisquare(np.bincount(filled[:, [0, 2]] @ [3, 1], minlength=9), n * p / p.sum()).pvalue > 1e-6


def test_what_is_known_of_a_datum_is_kept():
    model, rng = lively((2, 3), 3), np.random.default_rng(0)
    k, known = rng.integers(3, size=(40, 2, 3)), rng.random((40, 2, 3)) < 0.5
    filled = model.fill(k, known, rng)
    np.testing.assert_array_equal(filled[known], k[known])
    assert np.any(filled != k) and model.sample(7, rng).shape == (7, 2, 3)


# ---- Training ----
def test_the_gradient_is_that_of_finite_differences():
    model = lively((4,), 3, hidden=(6,))
    k = np.random.default_rng(0).integers(3, size=(3, 4))
    check_gradients(lambda m: np.sum(m.loss(k)), (model,), order=1)


@pytest.mark.parametrize("order", [None, np.array([2, 1, 0])], ids=["in memory", "backwards"])
def test_it_learns_a_table_of_probabilities(order):
    """Any distribution of three coordinates is within reach: the entropy is."""
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.full(27, 0.3))
    k = states((3,), 3)[rng.choice(27, size=8000, p=table)]
    model = MADE.fit(k, 3, rng=rng, hidden=(64,), order=order, steps=600, batch_size=256, optimizer=Adam(cosine(0.02, 600)), progress=False)
    found = np.sum(table * (np.log(table) - model.log_prob(states((3,), 3))))
    assert found < 0.02, "KL(table ‖ model) in nats; fitted frequencies alone would have 26 / 16000 = 0.0016"


@pytest.mark.verifies("made.6")
def test_before_it_has_learnt_the_frequencies_are_the_datas():
    k = np.random.default_rng(0).integers(3, size=(40, 2, 2)) // np.array([[1, 2], [1, 3]])
    base = MADE.fit(k, 3, rng=np.random.default_rng(0), hidden=(4,), steps=1, progress=False).base
    for j, column in enumerate(k.reshape(40, 4).T):
        for level in (1, 2):
            odds = (np.count_nonzero(column == level) + 1) / (np.count_nonzero(column == 0) + 1)
            assert base[j, level - 1] == pytest.approx(np.log(odds), rel=1e-6)


def test_same_on_every_device_in_float32(device):
    rng = np.random.default_rng(0)
    model = MADE.init(rng, (2, 2), 3, (9, 7), order=np.array([2, 0, 3, 1]))
    k = rng.integers(3, size=(5, 2, 2))
    assert_same_there(model, k, device, lambda m, k: m.loss(m.flat(k)))


# ---- Bad input ----
K = np.zeros((4, 3), int)


@pytest.mark.parametrize(
    ("k", "levels", "settings", "error", "message"),
    [
        (K + 0.5, 2, {}, TypeError, "k is float64; expected integers"),
        (K + 2, 2, {}, ValueError, "entries from 2 to 2"),
        (K[0], 2, {}, ValueError, r"k has shape \(3,\)"),
        (K, 1, {}, ValueError, "levels − 1 is 0"),
        (K, 2, {"order": np.array([0, 1])}, ValueError, r"order is \[0 1\]; expected a permutation of the integers 0 … D − 1 = 2"),
        (K, 2, {"order": np.array([1, 2, 3])}, ValueError, "expected a permutation"),
        (K, 2, {"order": np.array([0.0, 1.0, 2.0])}, ValueError, "expected a permutation"),
        (K, 2, {"hidden": ()}, ValueError, "hidden is empty"),
        (K, 2, {"hidden": (4, 0)}, ValueError, "hidden is 0"),
    ],
)
def test_bad_input_is_named(k, levels, settings, error, message):
    with pytest.raises(error, match=message):
        MADE.fit(k, levels, rng=np.random.default_rng(0), steps=1, progress=False, **settings)


def test_bad_use_is_named():
    model, rng = lively((3,), 2), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"k has shape \(4, 2\); expected \(n, 3\)"):
        model.log_prob(K[:, :2])
    with pytest.raises(ValueError, match="known is int64"):
        model.fill(K, K, rng)
    with pytest.raises(ValueError, match="n is -1"):
        model.sample(-1, rng)
    with pytest.raises(TypeError, match="rng is None"):
        model.sample(1, None)


# ---- In the comparison ----
def test_a_model_of_levels_has_a_density_that_integrates_to_one():
    """Over the unit square, cell by cell; and its bits per dimension are those of the levels themselves."""
    model = OfLevels(lively((2, 1), 5), (2, 1), 5)
    k = states((2, 1), 5)
    rng = np.random.default_rng(0)
    x = (k.reshape(25, 2) + rng.random((25, 2))) / 5
    np.testing.assert_allclose(np.sum(np.exp(model.log_prob(x))) / 25, 1)
    np.testing.assert_allclose(bits_per_dim(-model.log_prob(x), 2, cell=1 / 5), -model.model.log_prob(k) / (2 * np.log(2)), atol=1e-12)
    sample = model.sample(50, np.random.default_rng(1))
    assert sample.shape == (50, 2) and sample.dtype == np.float32
    np.testing.assert_array_equal(np.floor(sample * 5), model.model.sample(50, np.random.default_rng(1))[..., 0])


@pytest.mark.parametrize("name", ["MADE", "PixelCNN"])
def test_families_are_of_levels(name):
    """Data of levels gives their integers back; toys have none."""
    rng = np.random.default_rng(0)
    data = SimpleNamespace(levels=3, event=(2, 2, 1), train=(rng.integers(3, size=(64, 4)) + rng.random((64, 4), dtype=np.float32)) / 3)
    model, log_prob, kind, _ = FAMILIES[name](data, rng, True, time.perf_counter() + 60)
    assert kind == "exact" and 0 < np.mean(log_prob(data.train)) < 4 * np.log(3), "uniform levels have the density 1; it has learned some"
    assert model.sample(3, rng).shape == (3, 4) and model.model.event == (2, 2, 1)
    np.testing.assert_array_equal(levels_of(data).reshape(64, 4), np.floor(data.train * 3))
    data.levels = None
    assert FAMILIES[name](data, rng, True, time.perf_counter() + 60) is None
