"""The precision-recall curve: its definition as the largest common part, its ends, and samples whose curve is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from minigen import array_module, to_device, to_host
from minigen.metrics.prd import PRD, f_scores, prd_curve, prd_from_histograms

RNG = np.random.default_rng(0)
P, Q = np.array([0.5, 0.3, 0.2, 0.0, 0.0]), np.array([0.1, 0.3, 0.0, 0.4, 0.2])


@pytest.mark.verifies("prd.1")
@pytest.mark.verifies("prd.2")
@pytest.mark.verifies("prd.3")
def test_the_curve_is_the_largest_common_part():
    # the largest α with p = β μ + …, q = α μ + …, α = λ β and μ a distribution: a linear programme in m = α μ
    angles = 7
    theta = np.linspace(1e-10, np.pi / 2 - 1e-10, angles)
    curve = prd_from_histograms(P, Q, angles)
    for slope, precision, recall in zip(np.tan(theta)[1:-1], curve.precision[1:-1], curve.recall[1:-1], strict=True):
        best = linprog(-np.ones(5), A_ub=np.concatenate([np.eye(5), np.eye(5) / slope]), b_ub=np.concatenate([Q, P]))
        np.testing.assert_allclose([precision, recall], [-best.fun, -best.fun / slope], rtol=1e-7)
    np.testing.assert_allclose([curve.precision[-1], curve.recall[0]], [0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose([curve.precision[0], curve.recall[-1]], [0, 0], atol=1e-9)
    middle = curve.precision[3], curve.recall[3]
    np.testing.assert_allclose(middle, 1 - 0.5 * np.abs(P - Q).sum(), rtol=1e-12)
    assert len(prd_from_histograms(P, Q).precision) == 1001


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_swapping_the_sets_swaps_precision_and_recall_and_counts_are_scaled(seed, bins):
    rng = np.random.default_rng(seed)
    p, q = rng.integers(0, 5, bins) + np.eye(bins)[0], rng.integers(0, 5, bins) + np.eye(bins)[-1]
    curve, swapped = prd_from_histograms(p, q, 9), prd_from_histograms(q / q.sum(), p, 9)
    np.testing.assert_allclose(curve.precision, swapped.recall[::-1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(curve.recall, swapped.precision[::-1], rtol=1e-6, atol=1e-9)
    assert np.all((np.stack(curve) >= 0) & (np.stack(curve) <= 1))
    assert np.all(np.diff(curve.precision) >= -1e-12) and np.all(np.diff(curve.recall) <= 1e-12)


def test_equal_and_disjoint_histograms():
    same = prd_from_histograms(P, 3 * P)
    assert f_scores(same) == pytest.approx((1, 1))
    np.testing.assert_allclose(np.maximum(same.precision, same.recall), 1)
    disjoint = prd_from_histograms(np.array([1, 0]), np.array([0, 1]))
    assert f_scores(disjoint) == (0, 0) and not np.any(disjoint.recall)


@pytest.mark.verifies("prd.4")
def test_f_scores():
    curve = PRD(np.array([0.0, 0.2, 0.9]), np.array([0.0, 0.8, 0.3]))
    f = lambda b, p, r: (1 + b**2) * p * r / (b**2 * p + r)
    for beta in (8.0, 2.0):
        want = max(f(beta, 0.2, 0.8), f(beta, 0.9, 0.3)), max(f(1 / beta, 0.2, 0.8), f(1 / beta, 0.9, 0.3))
        assert f_scores(curve, beta) == pytest.approx(want)
    assert f_scores(curve) == f_scores(curve, 8.0)
    missing = f_scores(prd_from_histograms(np.ones(4), np.array([1, 1, 0, 0])))
    assert missing.precision > 0.98 and missing.recall < 0.52  # half of the modes are missing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_of_clusters(device, dtype):
    # four tight clusters, two of which the fakes miss, so that the curve is that of the histograms whatever k-means does
    centres = np.array([[0, 0], [9, 0], [0, 9], [9, 9]])
    draw = lambda labels: (centres[labels] + 0.01 * RNG.normal(size=(len(labels), 2))).astype(dtype)
    real, fake = to_device((draw(np.arange(80) % 4), draw(np.arange(80) % 2)), device)
    want = prd_from_histograms(np.ones(4), np.array([1, 1, 0, 0]))
    curve = prd_curve(real, fake, np.random.default_rng(0), clusters=4, runs=3)
    np.testing.assert_allclose(to_host(curve.precision), want.precision, atol=1e-9)
    np.testing.assert_allclose(to_host(curve.recall), want.recall, atol=1e-9)
    assert array_module(curve.recall) is array_module(real)


def test_runs_are_averaged():
    x, y = RNG.normal(size=(60, 2)), 0.5 + RNG.normal(size=(60, 2))
    rng = np.random.default_rng(1)
    one, two = (prd_curve(x, y, rng, 5, 1, 11) for _ in range(2))
    both = prd_curve(x, y, np.random.default_rng(1), 5, 2, 11)
    np.testing.assert_allclose(np.stack(both), (np.stack(one) + np.stack(two)) / 2, rtol=1e-12)
    assert len(prd_curve(x, y, rng).recall) == 1001


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prd_from_histograms(P, Q[:3]), r"fake has shape \(3,\); expected \(K,\)"),
        (lambda: prd_from_histograms(P[:, None], Q), r"real has shape \(5, 1\)"),
        (lambda: prd_from_histograms(-P, Q), "real is no histogram"),
        (lambda: prd_from_histograms(P, 0 * Q), "fake is no histogram"),
        (lambda: prd_from_histograms(P, Q * np.nan), "fake is no histogram"),
        (lambda: prd_from_histograms(P, Q, 1), "angles is 1; expected at least 2"),
        (lambda: prd_curve(np.ones((5, 2)), np.ones((4, 2)), RNG), "fake has 4 rows and real 5"),
        (lambda: prd_curve(np.ones((5, 2)), np.ones((5, 2)), RNG), "clusters is 20; expected at most the 10 rows"),
        (lambda: f_scores(PRD(P, Q), 0.0), "beta is 0.0"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
