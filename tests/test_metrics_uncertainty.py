"""The jackknife over groups: exact for means, and near the true spread of metrics."""

import numpy as np
import pytest

import minigen as mg
from minigen.metrics import (
    PrecisionRecall,
    density_coverage,
    f_scores,
    frechet_distance,
    kernel_distance,
    prd_curve,
    precision_recall,
    vendi_score,
    wasserstein,
    with_error,
)

RNG = np.random.default_rng(0)


@pytest.mark.verifies("uncertainty.1")
def test_of_a_mean_it_is_the_textbooks(device):
    x, y = RNG.normal(size=(30, 1)), RNG.normal(size=(24, 1))
    there = mg.to_device((x, y), device)
    one = with_error(lambda x: np.mean(x), there[0], rng=np.random.default_rng(0), groups=30)
    assert one == (pytest.approx(x.mean()), pytest.approx(x.std(ddof=1) / 30**0.5))
    two = with_error(lambda x, y: np.mean(x) - 2 * np.mean(y), *there, rng=np.random.default_rng(0), groups=24)
    groups = np.random.default_rng(0).permutation(np.arange(30) % 24)
    without = np.array([x[groups != g].mean() for g in range(24)])
    want = 23 / 24 * np.sum((without - without.mean()) ** 2) + 4 * y.var(ddof=1) / 24
    assert two == (pytest.approx(x.mean() - 2 * y.mean()), pytest.approx(want**0.5))


@pytest.mark.verifies("uncertainty.2")
def test_together_it_keeps_pairs(device):
    x = RNG.normal(size=(20, 1))
    y = 0.7 * x + RNG.normal(size=(20, 1))
    there = mg.to_device((x, y), device)
    got = with_error(lambda x, y: np.mean(x) - np.mean(y), *there, rng=np.random.default_rng(0), groups=20, together=True)
    assert got == (pytest.approx((x - y).mean()), pytest.approx((x - y).std(ddof=1) / 20**0.5))


def test_metrics_of_several_numbers_have_several_errors():
    x, y = RNG.normal(size=(60, 2)), 0.5 + RNG.normal(size=(60, 2))
    rng = lambda: np.random.default_rng(0)
    both = with_error(precision_recall, x, y, rng=rng(), groups=5)
    assert type(both) is PrecisionRecall
    for i in range(2):
        assert both[i] == with_error(lambda x, y, i=i: precision_recall(x, y)[i], x, y, rng=rng(), groups=5)
    assert with_error(lambda x, y: (1.0, np.mean(y)), x, y, rng=rng())[0] == (1, 0)
    # of an Estimate, that of its mean
    own, found = kernel_distance(x, y), with_error(kernel_distance, x, y, rng=rng(), groups=60)
    assert found.mean == own.mean and found.standard_error == pytest.approx(own.standard_error)
    # sets that must have one size
    recall = lambda x, y: f_scores(prd_curve(x, y, rng(), clusters=4, runs=1, angles=11)).recall
    assert 0 < with_error(recall, x, y, rng=rng(), groups=5, together=True).standard_error < 0.3
    assert 0 < with_error(wasserstein, x, y, rng=rng(), groups=5, together=True).standard_error < 0.3


METRICS = {
    "Fréchet distance": lambda x, y: frechet_distance(x, y),
    "precision": lambda x, y: precision_recall(x, y).precision,
    "recall": lambda x, y: precision_recall(x, y).recall,
    "coverage": lambda x, y: density_coverage(x, y).coverage,
    "Vendi score": lambda x, y: vendi_score(y),
}


def test_two_groups_are_enough():
    halves = with_error(np.mean, np.array([[0.0], [1.0]]), rng=np.random.default_rng(0), groups=2)
    assert halves == (0.5, 0.5)  # ½ ((1 − ½)² + (0 − ½)²) = ¼


@pytest.mark.parametrize("name", METRICS)
def test_of_metrics_it_is_near_their_true_spread(name):
    rng, metric = np.random.default_rng(1), METRICS[name]
    draw = lambda: (rng.normal(size=(150, 3)), 0.3 + 0.8 * rng.normal(size=(150, 3)))
    spread = np.std([metric(*draw()) for _ in range(60)], ddof=1)
    errors = [with_error(metric, *draw(), rng=rng, groups=10).standard_error for _ in range(8)]
    assert 0.6 < np.mean(errors) / spread < 2.2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: with_error(np.mean, x, rng=RNG, groups=1), ValueError, "groups is 1"),
        (lambda x: with_error(np.mean, x, rng=RNG, groups=6), ValueError, "set 1 has n = 5 rows; expected at least 6"),
        (lambda x: with_error(np.mean, rng=RNG), ValueError, "there is none"),
        (lambda x: with_error("mean", x, rng=RNG, groups=2), TypeError, "metric is 'mean'"),
        (lambda x: with_error(lambda x: x, x, rng=RNG, groups=2), TypeError, "metric gave ndarray; expected a number"),
        (lambda x: with_error(np.add, x, x[:4], rng=RNG, groups=2, together=True), ValueError, "sets have 5, 4 rows"),
        (lambda x: with_error(np.mean, x, rng=None), TypeError, "rng is None"),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((5, 2)))
