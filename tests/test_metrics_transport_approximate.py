"""Sliced and entropic transport: against one-dimensional formulas, exact transport, and the optimality of the plan."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.metrics import sinkhorn, sliced_wasserstein, wasserstein

Z = 4.9  # two-sided normal false-alarm rate 1e-6
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), 0.7 + 0.5 * RNG.normal(size=(9, 3))


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("m", [9, 12])
@pytest.mark.verifies("transport.4")
def test_the_sliced_distance_is_the_mean_over_directions(p, m, device):
    y = np.resize(Y, (m, 3)) + RNG.normal(size=(m, 3))
    got = sliced_wasserstein(*mg.to_device((X, y), device), np.random.default_rng(5), projections=70, p=p)
    t = np.random.default_rng(5).normal(size=(70, 3))
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    costs = np.array([wasserstein(X @ u[:, None], y @ u[:, None], p) ** p for u in t])
    mean, error = costs.mean(), costs.std(ddof=1) / 70**0.5
    np.testing.assert_allclose(got, [mean ** (1 / p), error * mean ** (1 / p - 1) / p], rtol=1e-9)
    assert got.mean < wasserstein(X, y, p)


def test_directions_are_taken_in_blocks_where_samples_are_many():
    """A million rows: four directions at a time, of nine. Samples keep their values."""
    x = np.random.default_rng(0).standard_normal((2**20, 2), dtype=np.float32)
    y, before = 2 * x[::-1], x.copy()
    got = sliced_wasserstein(x, y, np.random.default_rng(5), projections=9)
    t = np.random.default_rng(5).standard_normal((9, 2), dtype=np.float32)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    costs = np.mean((x @ t.T) ** 2, axis=0, dtype=np.float64)  # from a set to its double: of the set itself
    np.testing.assert_allclose(got, [costs.mean() ** 0.5, costs.std(ddof=1) / 3 / 2 / costs.mean() ** 0.5], rtol=1e-4)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_shift_is_seen_by_its_component_along_each_direction(d):
    # W₂ of a set and itself moved by a is |θᵀa|, and E (θᵀa)² = ‖a‖²/D
    a = np.arange(1.0, d + 1)
    x = RNG.normal(size=(30, d))
    got = sliced_wasserstein(x, x + a, np.random.default_rng(0), projections=4000)
    assert abs(got.mean - np.linalg.norm(a) / d**0.5) < Z * got.standard_error + 1e-12
    assert got.standard_error < 0.05 * got.mean
    assert sliced_wasserstein(x, x[::-1], np.random.default_rng(0)) == (0, 0)


def test_float32_stays():
    got = sliced_wasserstein(X.astype(np.float32), Y.astype(np.float32), np.random.default_rng(0))
    assert got.mean == pytest.approx(sliced_wasserstein(X.astype(np.float32).astype(float), Y, np.random.default_rng(0)).mean, rel=0.2)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("epsilon", [0.05, 1.0])
@pytest.mark.verifies("transport.5")
@pytest.mark.verifies("transport.6")
@pytest.mark.verifies("transport.7")
def test_the_entropic_plan_is_optimal(p, epsilon, device):
    # the plan of the form (6) with the right sums is the only minimum of a strictly convex problem; here by plain scaling
    c = np.linalg.norm(X[:, None] - Y, axis=-1) ** p
    k = np.exp(-c / epsilon)
    u, v = np.ones(12), np.ones(9)
    for _ in range(20_000):
        v = 1 / 9 / (k.T @ u)
        u = 1 / 12 / (k @ v)
    plan = u[:, None] * k * v
    np.testing.assert_allclose(plan.sum(0), 1 / 9, rtol=1e-8)
    got = sinkhorn(*mg.to_device((X, Y), device), epsilon, p, tolerance=1e-9)
    assert got == pytest.approx(np.sum(plan * c), rel=1e-7)
    objective = lambda q: np.sum(q * c) + epsilon * np.sum(q * np.log(108 * q))
    for _ in range(20):  # moves that keep the sums
        step = np.zeros((12, 9))
        (i, k1), (j, l1) = RNG.choice(12, 2, False), RNG.choice(9, 2, False)
        amount = 0.5 * min(plan[i, l1], plan[k1, j])
        step[i, j] = step[k1, l1] = amount
        step[i, l1] = step[k1, j] = -amount
        assert objective(plan + step) > objective(plan) - 1e-14


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-19, 1e19, 1e30, 1e150])
@pytest.mark.parametrize("p", [1, 2])
def test_the_entropic_cost_in_any_unit(scale, p, device):
    dtype = np.float32 if 1e-31 < scale < 1e31 else np.float64
    x, y = mg.to_device(((scale * X).astype(dtype), (scale * Y).astype(dtype)), device)
    assert sinkhorn(x, y, scale**p, p) == pytest.approx(scale**p * sinkhorn(X, Y, 1.0, p), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e3, 1e10, 1e19, 1e30])
def test_an_epsilon_far_below_the_costs_gives_no_wrong_value(scale, dtype):
    """Without a warning: the first rounds' exponents are beyond floating point."""
    with pytest.raises(RuntimeError, match=r"tolerance 1e-06 in 9 rounds; expected a larger epsilon than 0\.5"):
        sinkhorn((scale * X).astype(dtype), (scale * Y).astype(dtype), 0.5, max_iter=9)


@pytest.mark.parametrize("scale, epsilon, p", [(1e200, 1e300, 2), (1e-200, 1e-300, 2), (1e150, 1.0, 2), (1.0, 1e-300, 1), (1e19, 1.0, 20)])
def test_costs_beyond_floating_point_say_so(scale, epsilon, p):
    with pytest.raises(ValueError, match="beyond float64; expected another unit"):
        sinkhorn(scale * X, scale * Y, epsilon, p)


def test_between_exact_transport_and_the_product():
    exact, loose = wasserstein(X, Y, 2) ** 2, np.mean(np.sum((X[:, None] - Y) ** 2, axis=-1))
    costs = [sinkhorn(X, Y, epsilon) for epsilon in (0.05, 0.3, 3.0, 1e5)]
    assert exact - 1e-6 < costs[0] < costs[1] < costs[2] < costs[3] < loose + 1e-6
    assert costs[0] == pytest.approx(exact, rel=0.02) and costs[3] == pytest.approx(loose, rel=1e-4)
    assert sinkhorn(X, X, 1.0) > 0.1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sliced_wasserstein(X, Y, RNG, p=0.5), ValueError, "p is 0.5"),
        (lambda: sliced_wasserstein(X, Y, RNG, projections=0), ValueError, "projections is 0"),
        (lambda: sliced_wasserstein(X, Y, None), TypeError, "rng is None"),
        (lambda: sliced_wasserstein(X, Y[:, :2], RNG), ValueError, "D = 3 columns and y has 2"),
        (lambda: sinkhorn(X, Y, 0), ValueError, "epsilon is 0"),
        (lambda: sinkhorn(X, Y, 1.0, p=math.inf), ValueError, "p is inf"),
        (lambda: sinkhorn(X, Y * np.nan, 1.0), ValueError, "y has NaN"),
        (lambda: sinkhorn(X, Y, 0.01, max_iter=2), RuntimeError, "did not reach tolerance 1e-06 in 2 rounds"),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
