"""Conditional random fields against the enumeration of every labelling and the gradient as an expectation."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from minigen import grad
from minigen.backend import to_device, to_host
from minigen.models.crf import CRF, log_partition, marginals, score
from minigen.models.hmm import HMM, CategoricalEmission, posterior
from minigen.optim import Adam
from minigen.tree import leaves


def scores(n=3, length=4, k=3, seed=0):
    """Random (s, W, U)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=k), rng.normal(size=(k, k)), 2 * rng.normal(size=(n, length, k))


def every_labelling(start, pair, unary):
    """(labellings (K^T, T), S (n, K^T)), term by term."""
    n, length, k = unary.shape
    labellings = np.array(list(itertools.product(range(k), repeat=length)))
    out = np.zeros((n, len(labellings)))
    for i, p in itertools.product(range(n), range(len(labellings))):
        y = labellings[p]
        out[i, p] = start[y[0]] + sum(pair[y[t - 1], y[t]] for t in range(1, length)) + sum(unary[i, t, y[t]] for t in range(length))
    return labellings, out


@pytest.mark.verifies("crf.1", "crf.3")
@pytest.mark.parametrize("length", [1, 2, 5])
def test_scores_and_partition_by_enumeration(length):
    s = scores(length=length)
    labellings, expected = every_labelling(*s)
    for p, y in enumerate(labellings[:30]):
        np.testing.assert_allclose(score(*s, np.tile(y, (3, 1))), expected[:, p])
    np.testing.assert_allclose(log_partition(*s), logsumexp(expected, axis=1))


@pytest.mark.verifies("crf.4", "crf.5")
@pytest.mark.parametrize("length", [1, 2, 4])
def test_the_gradient_of_log_z_is_the_expectation(length):
    s = scores(length=length)
    labellings, total = every_labelling(*s)
    weight = np.exp(total - logsumexp(total, axis=1, keepdims=True))
    unary, pair = marginals(*s)
    np.testing.assert_allclose(unary, np.stack([weight @ (labellings == k) for k in range(3)], axis=-1))
    expected = np.zeros((3, 3))
    for y, w in zip(labellings, weight.sum(0), strict=True):
        np.add.at(expected, (y[:-1], y[1:]), w)
    np.testing.assert_allclose(pair, expected, atol=1e-12)
    gamma, counts, _ = posterior(*s)
    np.testing.assert_allclose(unary, gamma)
    np.testing.assert_allclose(pair, counts.sum(0), atol=1e-12)


@pytest.mark.verifies("crf.2")
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_log_prob_sums_to_one_over_labellings(hidden):
    rng = np.random.default_rng(0)
    crf = CRF.init(rng, 2, 3, hidden, np.float64)
    crf.start, crf.pair = rng.normal(size=3), rng.normal(size=(3, 3))
    x = rng.normal(size=(2, 4, 2))
    labellings, total = every_labelling(crf.start, crf.pair, crf.features(x))
    found = np.stack([crf.log_prob(np.tile(y, (2, 1)), x) for y in labellings], axis=1)
    np.testing.assert_allclose(found, total - logsumexp(total, axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(found).sum(1), 1)
    np.testing.assert_array_equal(crf.predict(x), labellings[total.argmax(1)])
    weight = np.exp(found)
    np.testing.assert_allclose(crf.posteriors(x), np.stack([weight @ (labellings == k) for k in range(3)], axis=-1))


def test_an_hmm_is_a_crf_whose_labels_are_its_states():
    rng = np.random.default_rng(1)
    logs = lambda *shape: np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1]))
    hmm = HMM(logs(3), logs(3, 3), CategoricalEmission(logs(3, 4)))
    x, y = rng.integers(0, 4, (5, 6)), rng.integers(0, 3, (5, 6))
    s = hmm.log_initial, hmm.log_transition, hmm.emission.log_prob(x)
    np.testing.assert_allclose(score(*s, y) - log_partition(*s), hmm.log_joint(x, y) - hmm.log_prob(x))


@pytest.mark.verifies("crf.6")
def test_fit_ends_where_seen_and_expected_agree():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 3, (30, 4)), 3, axis=1)
    x = np.eye(3)[y] + rng.normal(0, 0.8, (30, 12, 3))
    decay = 2.0
    crf = CRF.fit(x, y, rng=rng, decay=decay, steps=900, batch_size=None, optimizer=Adam(0.05), progress=False)
    unary, pair = marginals(*crf.scores(x))
    seen = np.zeros((3, 3))
    np.add.at(seen, (y[:, :-1].ravel(), y[:, 1:].ravel()), 1)
    np.testing.assert_allclose(seen - pair, decay * crf.pair, atol=1e-2)
    np.testing.assert_allclose(np.eye(3)[y[:, 0]].sum(0) - unary[:, 0].sum(0), decay * crf.start, atol=1e-2)
    weight, bias = leaves(crf.features)
    residual = np.eye(3)[y] - unary
    np.testing.assert_allclose(np.einsum("ntd,ntk->dk", x, residual), decay * weight, atol=1e-2)
    np.testing.assert_allclose(residual.sum((0, 1)), decay * bias, atol=1e-2)


def test_neighbours_help():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, (80, 5)), 6, axis=1)
    x = (y + rng.normal(0, 1, y.shape))[..., None].astype(np.float32)
    crf = CRF.fit(x[:40], y[:40], rng=rng, hidden=(8,), steps=250, progress=False)
    alone = ((x[40:, :, 0] > 0.5) == y[40:]).mean()
    assert (crf.predict(x[40:]) == y[40:]).mean() > alone + 0.1
    assert crf.pair.dtype == np.float32 and crf.pair[0, 0] > crf.pair[0, 1]


def test_same_on_every_device_in_float32(device):
    rng = np.random.default_rng(0)
    crf = CRF.init(rng, 2, 3, (4,))
    crf.pair = rng.normal(size=(3, 3)).astype(np.float32)
    x, y = rng.normal(size=(4, 6, 2)).astype(np.float32), rng.integers(0, 3, (4, 6))
    there, a, b = to_device(crf, device), to_device(x, device), to_device(y, device)
    for found, here in [
        (there.log_prob(b, a), crf.log_prob(y, x)),
        (there.posteriors(a), crf.posteriors(x)),
        (there.predict(a), crf.predict(x)),
    ]:
        assert type(found) is type(a) and found.dtype == here.dtype != np.float64
        np.testing.assert_allclose(to_host(found), here, rtol=1e-4, atol=1e-5)
    g = grad(lambda m: np.mean(m.log_prob(b, a)))(there)
    assert all(type(w) is type(a) and w.dtype == np.float32 for w in leaves(g))
    assert type(CRF.fit(a, b, rng=rng, steps=2, progress=False).pair) is type(a)


@pytest.mark.parametrize(
    ("x", "y", "settings", "message"),
    [
        (np.zeros((3, 4)), np.zeros((3, 4), int), {}, r"expected sequences \(n, T, D\)"),
        (np.zeros((3, 4, 2)), np.zeros((3, 5), int), {}, r"expected integers of shape \(3, 4\)"),
        (np.zeros((3, 4, 2)), np.zeros((3, 4)), {}, "y is float64"),
        (np.zeros((3, 4, 2)), np.full((3, 4), -1), {}, "labels from -1"),
        (np.zeros((3, 4, 2)), np.full((3, 4), 2), {"classes": 2}, "expected 0 … 2 − 1"),
        (np.full((3, 4, 2), np.nan), np.zeros((3, 4), int), {}, "expected finite"),
        (np.zeros((3, 4, 2)), np.zeros((3, 4), int), {"decay": -1.0}, "decay is -1.0"),
    ],
)
def test_bad_input_is_named(x, y, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        CRF.fit(x, y, rng=np.random.default_rng(0), steps=1, progress=False, **settings)
