"""The language models against their definitions: enumeration, one whole pass for each symbol, exact zeros.

Statistical tests have fixed seeds and a false-alarm rate of 1e-6.
"""

import itertools

import numpy as np
import pytest
from scipy import special, stats

from minigen import tree
from minigen.autograd import grad
from minigen.models.language import RNNLanguageModel, TransformerLM, shifted, step_attention
from minigen.models.levels import draw
from minigen.optim import Adam, cosine
from tests.levels import assert_same_there

MODELS = ("rnn", "transformer", "reach 3")


def untrained(name, length, levels, rng, dtype):
    if name == "rnn":
        return RNNLanguageModel.init(rng, length, levels, hidden=6, features=4, dtype=dtype)
    reach = 3 if name == "reach 3" else 1
    return TransformerLM.init(rng, length, levels, dim=8, blocks=2, heads=2, reach=reach, dtype=dtype)


def lively(name, length, levels, seed=0):
    """An untrained float64 model whose biases are drawn too."""
    rng = np.random.default_rng(seed)
    vector, unravel = tree.ravel(untrained(name, length, levels, rng, np.float64))
    return unravel(vector + 0.5 * rng.standard_normal(vector.size))


def states(length, levels):
    """Every sequence."""
    return np.array(list(itertools.product(range(levels), repeat=length)))


# ---- The networks ----
@pytest.mark.verifies("language.2")
def test_the_recurrent_network_is_a_plain_loop():
    model, k = lively("rnn", 5, 3), np.random.default_rng(1).integers(3, size=(4, 5))
    h, c, symbol = np.zeros((4, 6)), np.zeros((4, 6)), np.full(4, 3)
    for t in range(5):
        x = model.embedding.weight[symbol]
        gates = x @ model.lstm.input.weight + model.lstm.input.bias + h @ model.lstm.hidden.weight + model.lstm.hidden.bias
        i, f, g, o = np.split(gates, 4, axis=1)
        c = special.expit(f) * c + special.expit(i) * np.tanh(g)
        h = special.expit(o) * np.tanh(c)
        np.testing.assert_allclose(model.logits(k)[:, t], h @ model.head.weight + model.head.bias)
        symbol = k[:, t]


@pytest.mark.verifies("language.3")
@pytest.mark.parametrize("name", MODELS[1:])
def test_the_transformer_reads_symbols_positions_blocks_and_a_norm(name):
    model, k = lively(name, 5, 3), np.random.default_rng(1).integers(3, size=(4, 5))
    padded = np.concatenate([np.full((4, 3), 3), k], axis=1)
    tables = model.embedding.weight.reshape(-1, 4, 8)
    x = model.positions + sum(table[padded[:, 2 - j : 7 - j]] for j, table in enumerate(tables))
    for block in model.blocks:
        x = block(x)
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt(centred.var(-1, keepdims=True) + model.norm.eps) * model.norm.scale + model.norm.shift
    np.testing.assert_allclose(model.logits(k), normed @ model.head.weight + model.head.bias)


@pytest.mark.verifies("language.4")
def test_the_newest_position_attends_as_in_the_whole():
    block, x = lively("transformer", 6, 3).blocks[0], np.random.default_rng(2).standard_normal((3, 6, 8))
    whole, kept = block.attention(x), None
    for t in range(6):
        found, kept = step_attention(block.attention, x[:, t : t + 1], kept)
        np.testing.assert_allclose(found[:, 0], whole[:, t])
        assert kept[0].shape == kept[1].shape == (3, 2, t + 1, 4)


@pytest.mark.parametrize("name", MODELS)
def test_each_symbol_knows_all_before_it_and_nothing_else(name):
    """Symbols are no numbers to nudge: each is replaced by another one. Equal means equal to the last bit."""
    model, rng = lively(name, 6, 5), np.random.default_rng(0)
    k = np.repeat(rng.integers(5, size=(1, 6)), 6, axis=0)
    other = k.copy()
    other[np.arange(6), np.arange(6)] = (k[0] + 2) % 5
    seen = np.any(model.logits(k) != model.logits(other), axis=-1)
    np.testing.assert_array_equal(seen, np.triu(np.ones((6, 6), bool), 1))


# ---- Probabilities ----
@pytest.mark.verifies("language.1")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("length", "levels"), [(4, 3), (6, 2), (1, 5)])
def test_probabilities_sum_to_one(name, length, levels):
    p = np.exp(lively(name, length, levels).log_prob(states(length, levels)))
    np.testing.assert_allclose(np.sum(p), 1, rtol=1e-12)
    assert np.max(p) > 1.5 * np.min(p)


@pytest.mark.verifies("language.1")
@pytest.mark.parametrize("name", MODELS)
def test_conditionals_are_those_of_the_logits_and_of_a_shorter_sequence(name):
    model, k = lively(name, 5, 3), np.random.default_rng(0).integers(3, size=(7, 5))
    expected = np.take_along_axis(special.log_softmax(model.logits(k), axis=-1), k[..., None], -1)[..., 0]
    np.testing.assert_allclose(model.conditionals(k), expected)
    np.testing.assert_allclose(model.log_prob(k[:, :3]), expected[:, :3].sum(1))


def test_a_start_symbol_stands_before_the_first():
    np.testing.assert_array_equal(shifted(np.array([[1, 0, 2]], np.uint8), 300), [[300, 1, 0]])


# ---- Sampling ----
@pytest.mark.parametrize("name", MODELS)
def test_a_kept_state_draws_what_the_whole_network_draws(name):
    model, rng = lively(name, 6, 4), np.random.default_rng(0)
    k, known = rng.integers(4, size=(50, 6)), rng.random((50, 6)) < 0.3
    expected, noise = np.where(known, k, 0), np.random.default_rng(1)
    for t in range(6):
        expected[:, t] = np.where(known[:, t], k[:, t], draw(model.logits(expected)[:, t], noise))
    np.testing.assert_array_equal(model.fill(k, known, np.random.default_rng(1)), expected)


@pytest.mark.parametrize("name", MODELS)
def test_samples_have_the_models_own_probabilities(name):
    model, n = lively(name, 4, 3), 40_000
    p = np.exp(model.log_prob(states(4, 3)))
    sample = model.sample(n, np.random.default_rng(3))
    assert sample.shape == (n, 4) and model.sample(2, np.random.default_rng(0), length=3).shape == (2, 3)
    assert stats.chisquare(np.bincount(sample @ [27, 9, 3, 1], minlength=81), n * p).pvalue > 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_a_continuation_has_the_conditional_distribution(name):
    model, n = lively(name, 4, 3), 40_000
    p = np.exp(model.log_prob(states(4, 3))).reshape(9, 9)
    filled = model.fill(np.tile([2, 1, 0, 0], (n, 1)), np.array([True, True, False, False]), np.random.default_rng(4))
    assert np.all(filled[:, :2] == [2, 1])
    assert np.max(np.abs(p[7] / p[7].sum() - p.sum(0))) > 0.02, "the test sees it when the beginning has no say"
    assert stats.chisquare(np.bincount(filled[:, 2:] @ [3, 1], minlength=9), n * p[7] / p[7].sum()).pvalue > 1e-6


# ---- Training ----
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_finite_differences(name):
    model, k = lively(name, 3, 3), np.random.default_rng(0).integers(3, size=(2, 3))
    w, unravel = tree.ravel(model)
    g = tree.ravel(grad(lambda m: np.sum(m.log_prob(k)))(model))[0]
    for v in np.random.default_rng(1).standard_normal((8, w.size)):
        f = lambda h, v=v: np.sum(unravel(w + h * v).log_prob(k))
        np.testing.assert_allclose(g @ v, (f(1e-5) - f(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("fit", [RNNLanguageModel.fit, TransformerLM.fit], ids=["rnn", "transformer"])
def test_it_learns_to_copy(fit):
    """The second half of each sequence is its first: four symbols of three are all that there is to guess, and what was long ago counts."""
    rng = np.random.default_rng(0)
    k = np.tile(rng.integers(3, size=(2000, 4)), 2)
    size = {"hidden": 48, "features": 8} if fit.__self__ is RNNLanguageModel else {"dim": 32, "reach": 2}
    model = fit(k, 3, rng=rng, steps=300, optimizer=Adam(cosine(0.02, 300)), progress=False, **size)
    assert -4 * np.log(3) - 0.25 < np.mean(model.log_prob(k)) < -4 * np.log(3) + 0.05
    sample = model.sample(200, rng)
    assert np.mean(sample[:, :4] == sample[:, 4:]) > 0.95


@pytest.mark.parametrize("name", MODELS)
def test_same_on_every_device_in_float32(name, device):
    rng = np.random.default_rng(0)
    model, k = untrained(name, 5, 3, rng, np.float32), rng.integers(3, size=(4, 5))
    assert_same_there(model, k, device, lambda m, k: m.log_prob(k))


# ---- Bad input ----
K = np.zeros((4, 3), int)


@pytest.mark.parametrize("fit", [RNNLanguageModel.fit, TransformerLM.fit], ids=["rnn", "transformer"])
@pytest.mark.parametrize(
    ("k", "levels", "error", "message"),
    [
        (K + 0.5, 2, TypeError, "k is float64; expected integers"),
        (K + 2, 2, ValueError, "entries from 2 to 2"),
        (K[..., None], 2, ValueError, r"k has shape \(4, 3, 1\); expected \(n, T\)"),
        (K[0], 2, ValueError, r"k has shape \(3,\)"),
        ("abc", 2, TypeError, "k is str"),
    ],
)
def test_bad_input_is_named(fit, k, levels, error, message):
    with pytest.raises(error, match=message):
        fit(k, levels, rng=np.random.default_rng(0), steps=1, progress=False)


def test_bad_sizes_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="hidden is 0"):
        RNNLanguageModel.fit(K, 2, rng=rng, hidden=0, steps=1)
    with pytest.raises(ValueError, match="heads is 3; expected a divisor of dim = 64"):
        TransformerLM.fit(K, 2, rng=rng, heads=3, steps=1)
    with pytest.raises(ValueError, match="reach is 0"):
        TransformerLM.fit(K, 2, rng=rng, reach=0, steps=1)
    with pytest.raises(ValueError, match=r"k has shape \(2, 4\); expected \(n, T ≤ 3\)"):
        lively("transformer", 3, 2).log_prob(np.zeros((2, 4), int))
    with pytest.raises(ValueError, match=r"expected \(n, T ≤ 3\)"):
        lively("transformer", 3, 2).sample(1, rng, length=4)
    with pytest.raises(ValueError, match="n is 0"):
        lively("rnn", 3, 2).sample(0, rng)
    with pytest.raises(ValueError, match="length is 0"):
        lively("rnn", 3, 2).sample(1, rng, length=0)
    with pytest.raises(ValueError, match=r"known is bool of shape \(2,\)"):
        lively("rnn", 3, 2).fill(K, np.ones(2, bool), rng)
    with pytest.raises(TypeError, match="rng is 1"):
        lively("rnn", 3, 2).sample(1, 1)
