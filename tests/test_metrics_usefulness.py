"""The classification accuracy score: its definition, Bayes' limit, and what costs."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from minigen import to_device
from minigen.metrics import classification_accuracy_score
from minigen.metrics.usefulness import accuracy, train_network

Z = 4.9  # two-sided false-alarm rate 1e-6


def gaussians(n, rng, distance=2.0, d=3):
    """Two classes N(±distance/2 e₁, 1) in ℝᵈ: Bayes' rule is the sign of x₁, right with probability Φ(distance/2)."""
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, d))
    x[:, 0] += distance * (y - 0.5)
    return 500 + 100 * x, y  # in whatever units


def nearest_mean(x, y, rng):
    """A classifier without chance: the class whose mean is nearest."""
    means = np.stack([np.mean(x[y == c], axis=0) if np.any(y == c) else np.full(x.shape[1], 1e9) for c in range(int(y.max()) + 1)])
    return lambda x: np.argmin(np.sum((x[:, None] - means) ** 2, axis=2), axis=1)


@pytest.mark.verifies("usefulness.2")
@pytest.mark.verifies("usefulness.6")
def test_accuracy_is_a_share_and_its_error_a_shares():
    y = np.array([0, 1, 2, 2, 1, 0, 0, 1])
    found = accuracy(np.array([0, 1, 2, 0, 0, 0, 1, 1]), y)
    assert found.mean == 5 / 8 and math.isclose(found.standard_error, (5 / 8 * 3 / 8 / 8) ** 0.5)
    rng = np.random.default_rng(0)
    shares = [accuracy(rng.random(50) < 0.8, np.ones(50, bool)) for _ in range(4000)]
    np.testing.assert_allclose(np.mean([s.standard_error**2 for s in shares]), np.var([s.mean for s in shares]) * 49 / 50, rtol=0.12)


@pytest.mark.verifies("usefulness.3")
@pytest.mark.verifies("usefulness.4")
@pytest.mark.verifies("usefulness.5")
def test_which_data_each_score_is_trained_on():
    rng, calls = np.random.default_rng(0), []

    def train(x, y, rng):
        calls.append((x[:, 0].tolist(), y.tolist()))
        return lambda x: np.full(len(x), len(y) % 3)

    column = lambda *values: np.array(values, float)[:, None]
    test = column(7, 8, 9, 10), np.array([2, 0, 0, 1])
    found = classification_accuracy_score(column(1, 2), np.array([0, 1]), *test, rng, real=(column(3), np.array([1])), train=train)
    assert calls == [([1, 2], [0, 1]), ([3], [1]), ([3, 1, 2], [1, 0, 1])]
    assert [estimate.mean for estimate in found] == [1 / 4, 1 / 4, 1 / 2]  # those say 2, 1 and 0
    found = classification_accuracy_score(column(1, 2), np.array([0, 1]), *test, rng, train=train)
    assert found[0].mean == 1 / 4 and found[1:] == (None, None)


@pytest.mark.verifies("usefulness.1")
def test_good_samples_score_as_bayes_and_as_real_data():
    rng = np.random.default_rng(0)
    real, fake, test = gaussians(2000, rng), gaussians(2000, rng), gaussians(4000, rng)
    bayes = norm.cdf(1.0)
    for estimate in classification_accuracy_score(*fake, *test, rng, real=real, train=lambda *a: train_network(*a, steps=150)):
        assert estimate.mean < bayes + Z * estimate.standard_error
        assert estimate.mean > bayes - 0.02 - Z * estimate.standard_error  # 0.02 for a classifier that is not perfect
        assert math.isclose(estimate.standard_error, (estimate.mean * (1 - estimate.mean) / 4000) ** 0.5)


def test_what_is_wrong_with_samples_costs():
    rng = np.random.default_rng(1)
    score = lambda x, y: classification_accuracy_score(x, y, *test, rng, train=nearest_mean)[0]
    (x, y), test = gaussians(3000, rng, 3.0), gaussians(3000, rng, 3.0)
    good, swapped, dropped = score(x, y), score(x, 1 - y), score(x[y == 1], y[y == 1])
    assert abs(good.mean - norm.cdf(1.5)) < Z * good.standard_error + 0.005
    assert abs(swapped.mean - norm.cdf(-1.5)) < Z * swapped.standard_error + 0.005
    assert dropped.mean == np.mean(test[1] == 1)
    moved = x + np.array([300.0, 0, 0])  # samples shifted by s deviations: the boundary is s too far
    off = score(moved, y).mean
    assert abs(off - (norm.cdf(1.5 - 3) + norm.cdf(1.5 + 3)) / 2) < Z * (0.25 / 3000) ** 0.5 + 0.01


def test_it_runs_on_images_and_on_a_device(device):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    x = 0.1 * rng.standard_normal((150, 3, 4, 1)).astype(np.float32)
    x[np.arange(150), y] += 1
    x, y = to_device(x, device), to_device(y, device)
    train = lambda *a: train_network(*a, steps=40)
    found = classification_accuracy_score(x[:100], y[:100], x[100:], y[100:], rng, train=train)
    assert found.score.mean > 0.9 and type(found.score.mean) is float
    alone = classification_accuracy_score(x[:100], 0 * y[:100] + 1, x[100:], y[100:], rng)
    assert alone.score.mean == float(np.sum(y[100:] == 1)) / 50  # of one class alone there is nothing to learn


def test_samples_that_are_all_alike_teach_nothing():
    x, y = np.zeros((40, 2)), np.arange(40) % 2
    rng = np.random.default_rng(0)
    train = lambda *a: train_network(*a, steps=5)
    found = classification_accuracy_score(x, y, rng.standard_normal((30, 2)), np.zeros(30, int), rng, train=train)
    assert 0 <= found.score.mean <= 1


X, Y, RNG = np.zeros((4, 2)), np.array([0, 1, 0, 1]), np.random.default_rng(0)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((X, Y[:3], X, Y, RNG), ValueError, r"y_train is int64 of shape \(3,\); expected an integer array \(4,\)"),
        ((X, Y, X, np.eye(2)[Y], RNG), ValueError, r"y_test is float64 of shape \(4, 2\)"),
        ((X, -Y, X, Y, RNG), ValueError, "y_train has labels from -1"),
        ((X[:, :1], Y, X, Y, RNG), ValueError, r"x_train has shape \(4, 1\) and x_test \(4, 2\)"),
        ((X, Y, X[:0], Y[:0], RNG), ValueError, "x_test has n = 0 rows"),
        ((X + math.nan, Y, X, Y, RNG), ValueError, "x_train has NaN"),
        ((X, Y, X, Y, RNG, (X, Y[:1])), ValueError, r"real\[1\] is int64 of shape \(1,\)"),
        ((X, Y, X, Y, RNG, (X[:, :1], Y)), ValueError, r"real\[0\] has shape"),
        ((X, Y, X, Y, np.random), TypeError, "rng is"),
        ((X.tolist(), Y, X, Y, RNG), TypeError, "x_train is list"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        classification_accuracy_score(*arguments)
