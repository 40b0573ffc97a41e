"""The PixelCNN chapter against its definitions: enumeration, naive sums for convolutions, naive sampling, exact zeros.

Statistical tests have fixed seeds and a false-alarm rate of 1e-6.
"""

import itertools

import numpy as np
import pytest
from scipy import special, stats

from minigen import tree
from minigen.autograd import grad, jacobian
from minigen.backend import to_device, to_host
from minigen.data import digits
from minigen.models.levels import check_levels, draw, log_softmax_at, one_hot, thermometer
from minigen.models.pixelcnn import PixelCNN, gated
from minigen.testing import check_causal, check_gradients


def lively(event, levels, seed=0, scale=1.0, **settings):
    """An untrained float64 model whose biases and maps are drawn too."""
    rng = np.random.default_rng(seed)
    settings = {"width": 4, "layers": 2, "first_reach": 2, **settings}
    model = PixelCNN.init(rng, event, levels, dtype=np.float64, **settings)
    vector, unravel = tree.ravel(model)
    return unravel(vector + scale * 0.4 * rng.standard_normal(vector.size))


def states(event, levels):
    """Every image."""
    return np.array(list(itertools.product(range(levels), repeat=int(np.prod(event))))).reshape(-1, *event)


# ---- Levels ----
@pytest.mark.verifies("levels.1", "pixelcnn.1")
def test_log_softmax_at_is_the_logarithm_of_the_softmax_of_the_level():
    rng = np.random.default_rng(0)
    logits, k = 5 * rng.standard_normal((4, 3, 6)), rng.integers(6, size=(4, 3))
    expected = np.take_along_axis(special.log_softmax(logits, -1), k[..., None], -1)[..., 0]
    np.testing.assert_allclose(log_softmax_at(logits, one_hot(k, 6, logits)), expected)


@pytest.mark.verifies("levels.2")
@pytest.mark.parametrize("logits", [[0.0, 1.0, -1.0], [-40.0, 0.0, 0.5, -40.0], [3.0]])
def test_draws_have_their_probabilities(logits):
    n = 20_000
    k = draw(np.tile(logits, (n // 8, 2, 4, 1)), np.random.default_rng(0)).reshape(-1)
    p = special.softmax(logits)
    counts, likely = np.bincount(k, minlength=len(p)), n * p > 1
    assert len(counts) == len(p) and not np.any(counts[~likely])
    assert stats.chisquare(counts[likely], n * p[likely] / p[likely].sum()).pvalue > 1e-6 if np.sum(likely) > 1 else counts[likely] == n


@pytest.mark.verifies("levels.3")
def test_a_thermometer_is_as_high_as_its_level():
    k = np.array([[0, 3], [1, 2]])
    x = thermometer(k, 4, np.zeros(0))
    np.testing.assert_array_equal(x.sum(-1), 2 * (k + 1) - 4)
    assert set(np.unique(x)) == {-1, 1}
    assert np.all(np.diff(x, axis=-1) <= 0)


# ---- The network ----
@pytest.mark.verifies("pixelcnn.2", "pixelcnn.3", "pixelcnn.4", "pixelcnn.5", "pixelcnn.6", "pixelcnn.7")
@pytest.mark.parametrize("layer", [0, 1], ids=["first", "later"])
@pytest.mark.parametrize("with_context", [False, True])
def test_a_layer_is_its_sums(layer, with_context):
    model = lively((3, 5), 3, n_context=2 if with_context else 0)
    layer = model.layers[layer]
    reach = layer.down.weight.shape[1] // 2
    rng = np.random.default_rng(1)
    v, h = rng.standard_normal((2, 2, 3, 5, 3 if layer.first else 4))
    y = rng.standard_normal((2, 3, 5, 2)) if with_context else None
    at = lambda x, r, c: x[:, r, c] if 0 <= r < 3 and 0 <= c < 5 else 0 * x[:, 0, 0]
    start = 1 if layer.first else 0
    s, t = np.zeros((2, 2, 3, 5, 8))
    for r, c in itertools.product(range(3), range(5)):
        s[:, r, c], t[:, r, c] = layer.down.bias, layer.right.bias
        for j in range(-reach, reach + 1):
            for i in range(start, reach + 1):
                s[:, r, c] += at(v, r - i, c + j) @ layer.down.weight[reach - i, j + reach]
        for j in range(start, reach + 1):
            t[:, r, c] += at(h, r, c - j) @ layer.right.weight[0, reach - j]
    s = s + layer.place + (y @ layer.context.weight + layer.context.bias if with_context else 0)
    gate = lambda a: np.tanh(a[..., :4]) / (1 + np.exp(-a[..., 4:]))
    found, share = layer.vertical(v, layer.told(y))
    np.testing.assert_allclose(found, gate(s))
    np.testing.assert_allclose(gated(s), gate(s))
    change = gate(t + s @ layer.link.weight + layer.link.bias) @ layer.out.weight + layer.out.bias
    np.testing.assert_allclose(layer.horizontal(h, share), change if layer.first else h + change)


@pytest.mark.verifies("pixelcnn.8")
def test_the_head_reads_the_horizontal_stack():
    model = lively((2, 3), 3)
    x = thermometer(np.random.default_rng(0).integers(3, size=(4, 2, 3)), 3, model.bias)
    v = h = x
    for layer in model.layers:
        v, share = layer.vertical(v, layer.told(None))
        h = layer.horizontal(h, share)
    expected = h / (1 + np.exp(-h)) @ model.head.weight + model.head.bias + model.bias
    np.testing.assert_allclose(model.logits(x), expected)


@pytest.mark.parametrize("event", [(4, 5), (6, 1), (1, 6), (3, 2, 2)], ids=str)
def test_each_pixel_sees_all_before_it_and_nothing_else(event):
    model = lively(event, 3, layers=5)
    size = model.bias.shape[:2]
    order = np.arange(size[0] * size[1]).reshape(size)
    check_causal(model.logits, order, features=(3,), complete=True)


def test_the_jacobian_is_strictly_triangular():
    model = lively((3, 3), 2, layers=3)
    x = np.random.default_rng(0).standard_normal((1, 3, 3, 2))
    j = jacobian(lambda x: model.logits(np.reshape(x, (1, 3, 3, 2))))(x).reshape(9, 2, 9, 2)
    seen = np.any(j != 0, axis=(1, 3))
    np.testing.assert_array_equal(seen, np.tri(9, k=-1, dtype=bool))


def test_channels_are_read_after_one_another():
    """In the channel order of a pixel, and pixels in raster order: the flat index of (H, W, C)."""
    model = lively((2, 2, 3), 2, layers=4)
    k = np.random.default_rng(0).integers(2, size=(2, 2, 3))
    batch = np.repeat(k[None], 12, axis=0).reshape(12, 12)
    batch[np.arange(12), np.arange(12)] ^= 1
    x = lambda k: thermometer(k.reshape(-1, 2, 6), 2, model.bias)
    changed = np.any(model.logits(x(batch)) != model.logits(np.repeat(x(k), 12, axis=0)), axis=-1).reshape(12, 12)
    np.testing.assert_array_equal(changed, np.triu(np.ones((12, 12), bool), 1))


# ---- Probabilities ----
@pytest.mark.verifies("pixelcnn.1")
@pytest.mark.parametrize(("event", "levels"), [((2, 2), 2), ((2, 2), 3), ((3, 3), 2), ((1, 2, 2), 3), ((2, 1), 5)], ids=str)
def test_probabilities_sum_to_one(event, levels):
    model, k = lively(event, levels), states(event, levels)
    p = np.exp(model.log_prob(k))
    np.testing.assert_allclose(np.sum(p), 1, rtol=1e-12)
    assert np.max(p) > 2 * np.min(p)


def test_probabilities_sum_to_one_under_each_context():
    model, k = lively((2, 2), 2, n_context=3), states((2, 2), 2)
    y = np.random.default_rng(1).standard_normal((2, 2, 2, 3))
    p = np.stack([np.exp(model.log_prob(k, np.repeat(y[i : i + 1], len(k), axis=0))) for i in range(2)])
    np.testing.assert_allclose(np.sum(p, axis=1), 1, rtol=1e-12)
    assert np.max(np.abs(p[0] - p[1])) > 0.01


@pytest.mark.parametrize("with_context", [False, True])
def test_log_prob_does_not_depend_on_blocks(with_context):
    model, k = lively((2, 2, 2), 2, n_context=1 if with_context else 0), states((2, 2, 2), 2)
    y = np.random.default_rng(0).standard_normal((len(k), 2, 2, 1)) if with_context else None
    np.testing.assert_allclose(model.log_prob(k, y, rows=7), model.log_prob(k, y))
    np.testing.assert_allclose(-model.loss(*model.flat(k, y)), model.log_prob(k, y))


# ---- Sampling ----
def naive(model, k, known, rng, context=None):
    """Pixel by pixel with the whole network each time."""
    flat, context = model.flat(np.where(known, k, 0), context)
    flat, known = flat.copy(), np.broadcast_to(known, k.shape).reshape(flat.shape)
    for r, c in itertools.product(*map(range, flat.shape[1:])):
        drawn = draw(model.logits(thermometer(flat, model.levels, model.bias), context)[:, r, c], rng)
        flat[:, r, c] = np.where(known[:, r, c], flat[:, r, c], drawn)
    return flat.reshape(k.shape)


@pytest.mark.parametrize("event", [(4, 5), (1, 4), (4, 1), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("with_context", [False, True])
def test_moving_windows_draw_what_the_whole_network_draws(event, with_context):
    rng = np.random.default_rng(0)
    model = lively(event, 3, n_context=2 if with_context else 0, layers=3)
    y = rng.standard_normal((50, *event[:2], 2)) if with_context else None
    k, known = rng.integers(3, size=(50, *event)), rng.random((50, *event)) < 0.3
    found = model.fill(k, known, np.random.default_rng(1), y)
    np.testing.assert_array_equal(found, naive(model, k, known, np.random.default_rng(1), y))
    np.testing.assert_array_equal(found[known], k[known])
    found = model.sample(50, np.random.default_rng(2), y)
    np.testing.assert_array_equal(found, naive(model, k, np.zeros(event, bool), np.random.default_rng(2), y))


def test_samples_have_the_models_own_probabilities():
    model, k, n = lively((2, 2), 3), states((2, 2), 3), 40_000
    p = np.exp(model.log_prob(k))
    index = model.sample(n, np.random.default_rng(3)).reshape(n, 4) @ [27, 9, 3, 1]
    assert stats.chisquare(np.bincount(index, minlength=81), n * p).pvalue > 1e-6


def test_filling_draws_from_the_conditional_distribution():
    model, n = lively((2, 2), 3), 40_000
    k = states((2, 2), 3)
    p = np.exp(model.log_prob(k)).reshape(9, 9)
    start, known = np.array([[2, 1], [0, 0]]), np.array([[True, True], [False, False]])
    filled = model.fill(np.repeat(start[None], n, axis=0), known, np.random.default_rng(4))
    assert np.all(filled[:, 0] == [2, 1])
    conditional = p[7] / p[7].sum()
    assert np.max(np.abs(conditional - p.sum(0))) > 0.02, "the test sees it when the known part has no say"
    assert stats.chisquare(np.bincount(filled[:, 1] @ [3, 1], minlength=9), n * conditional).pvalue > 1e-6


# ---- Training ----
def test_the_gradient_is_that_of_finite_differences():
    model = lively((2, 2), 3, n_context=1, layers=1)
    rng = np.random.default_rng(0)
    k, y = rng.integers(3, size=(3, 2, 2)), rng.standard_normal((3, 2, 2, 1))
    check_gradients(lambda m: np.sum(m.loss(k, y)), (model,), order=1)


def test_it_learns_digits_better_than_each_pixel_alone():
    k = np.rint(digits()[0] * 16).astype(int)
    model = PixelCNN.fit(k[:1000], 17, rng=np.random.default_rng(0), steps=150, width=16, layers=2, progress=False)
    frequency = np.mean(one_hot(k[:1000], 17, np.zeros(0)), axis=0) + 1e-3
    alone = np.sum(log_softmax_at(np.log(frequency), one_hot(k[1000:], 17, np.zeros(0))), axis=(1, 2, 3))
    assert np.mean(model.log_prob(k[1000:])) > np.mean(alone) + 14


def test_it_learns_what_the_context_says():
    rng = np.random.default_rng(0)
    k = rng.integers(2, size=(512, 2, 2))
    y = np.stack([k + 0.0, rng.random(k.shape)], axis=-1)
    model = PixelCNN.fit(k, 2, rng=rng, context=y, width=8, layers=1, steps=150, progress=False)
    assert np.mean(model.log_prob(k, y)) > -0.1
    assert np.mean(model.sample(512, rng, y) != k) < 0.02


def test_same_on_every_device_in_float32(device):
    rng = np.random.default_rng(0)
    model = PixelCNN.init(rng, (3, 2, 2), 3, width=4, layers=2, n_context=2)
    k, y = rng.integers(3, size=(5, 3, 2, 2)), rng.standard_normal((5, 3, 2, 2)).astype(np.float32)
    there, kt, yt = to_device(model, device), to_device(k, device), to_device(y, device)
    found = there.log_prob(kt, yt)
    assert type(found) is type(yt) and found.dtype == np.float32
    np.testing.assert_allclose(to_host(found), model.log_prob(k, y), rtol=1e-4)
    sample = there.sample(5, np.random.default_rng(3), yt)
    assert type(sample) is type(yt) and sample.dtype == np.int64
    np.testing.assert_array_equal(to_host(sample), model.sample(5, np.random.default_rng(3), y))
    known = k > 0
    filled = there.fill(kt, to_device(known, device), np.random.default_rng(3), yt)
    np.testing.assert_array_equal(to_host(filled), model.fill(k, known, np.random.default_rng(3), y))
    g = grad(lambda m: np.mean(m.loss(*m.flat(kt, yt))))(there)
    assert all(type(a) is type(yt) and a.dtype == np.float32 for a in tree.leaves(g))


# ---- Bad input ----
K = np.zeros((4, 2, 2), int)


@pytest.mark.parametrize(
    ("k", "levels", "settings", "error", "message"),
    [
        (K + 0.5, 2, {}, TypeError, "k is float64; expected integers"),
        (K + 2, 2, {}, ValueError, "entries from 2 to 2; expected 0 … levels − 1 = 1"),
        (K - 1, 2, {}, ValueError, "entries from -1 to -1"),
        (K[:, 0], 2, {}, ValueError, r"event is \(2,\)"),
        (K[:0], 2, {}, ValueError, r"k has shape \(0, 2, 2\)"),
        (K, 0, {}, ValueError, "levels is 0"),
        (K, 2, {"width": 0}, ValueError, "width is 0"),
        (K, 2, {"layers": -1}, ValueError, "layers is -1"),
        (K, 2, {"context": np.zeros((3, 2, 2, 1))}, ValueError, r"context has shape \(3, 2, 2, 1\); expected \(4, 2, 2, 1\)"),
        (K, 2, {"context": np.full((4, 2, 2, 1), np.nan)}, ValueError, "context has NaN"),
        (K, 2, {"context": K[..., None]}, TypeError, "context is int64"),
    ],
)
def test_bad_input_is_named(k, levels, settings, error, message):
    with pytest.raises(error, match=message):
        PixelCNN.fit(k, levels, rng=np.random.default_rng(0), steps=1, progress=False, **settings)


def test_bad_use_is_named():
    model, rng = lively((2, 2), 2), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"k has shape \(4, 2, 3\); expected \(n, 2, 2\)"):
        model.log_prob(np.zeros((4, 2, 3), int))
    with pytest.raises(ValueError, match="context is given, but the model was fitted without one"):
        model.log_prob(K, np.zeros((4, 2, 2, 1)))
    with pytest.raises(ValueError, match="context is missing, but the model was fitted with one"):
        lively((2, 2), 2, n_context=1).sample(2, rng)
    with pytest.raises(ValueError, match="known is int64"):
        model.fill(K, K, rng)
    with pytest.raises(ValueError, match=r"known is bool of shape \(2,\)"):
        model.fill(K, np.ones(2, bool), rng)
    with pytest.raises(ValueError, match="n is 0"):
        model.sample(0, rng)
    with pytest.raises(TypeError, match="rng is 0"):
        model.sample(1, 0)
    with pytest.raises(ValueError, match=r"expected \(n, …\) with n ≥ 1"):
        check_levels(np.zeros(3, int), 2)
    for k in ([[0, 2]], [[-1, 1]]):
        with pytest.raises(ValueError, match=f"entries from {min(*k[0])} to {max(*k[0])}; expected 0 … levels − 1 = 1"):
            check_levels(np.array(k), 2)
