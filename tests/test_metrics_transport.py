"""Optimal transport against its definition: a linear program written out here, enumerated permutations, closed forms, axioms."""

import itertools

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from minigen.backend import to_device
from minigen.metrics import wasserstein

SIZES = [(5, 5, 1), (5, 3, 1), (4, 6, 1), (1, 7, 1), (6, 6, 2), (5, 3, 2), (2, 7, 3), (1, 4, 2)]


def clouds(n, m, d, seed=0):
    rng = np.random.default_rng([seed, n, m, d])
    return rng.standard_normal((n, d)), rng.standard_normal((m, d)) + 0.5


def by_definition(x, y, p):
    """Minimise Σ P d^p over plans with the given marginals, variable by variable."""
    n, m = len(x), len(y)
    d = np.array([[np.sqrt(sum((a - b) ** 2)) for b in y] for a in x])
    rows = [[1.0 if k // m == i else 0.0 for k in range(n * m)] for i in range(n)]
    columns = [[1.0 if k % m == j else 0.0 for k in range(n * m)] for j in range(m)]
    found = optimize.linprog((d**p).ravel(), A_eq=rows + columns, b_eq=[1 / n] * n + [1 / m] * m)
    return found.fun ** (1 / p)


@pytest.mark.verifies("transport.1", "transport.2", "transport.3")
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize(("n", "m", "d"), SIZES)
def test_it_is_the_least_cost_over_plans(n, m, d, p):
    x, y = clouds(n, m, d)
    np.testing.assert_allclose(wasserstein(x, y, p), by_definition(x, y, p), rtol=1e-7)


@pytest.mark.verifies("transport.3")
def test_it_is_the_best_permutation():
    x, y = clouds(6, 6, 3)
    for p in (1, 2):
        best = min(np.mean(np.linalg.norm(x - y[list(order)], axis=1) ** p) for order in itertools.permutations(range(6)))
        np.testing.assert_allclose(wasserstein(x, y, p), best ** (1 / p))


@pytest.mark.verifies("transport.2")
@pytest.mark.parametrize(("n", "m"), [(400, 400), (301, 77), (1000, 999)])
def test_on_a_line_it_is_the_area_between_distribution_functions(n, m):
    x, y = clouds(n, m, 1)
    np.testing.assert_allclose(wasserstein(x, y), stats.wasserstein_distance(x[:, 0], y[:, 0]), rtol=1e-12)


@pytest.mark.verifies("transport.2")
@pytest.mark.parametrize("p", [1, 2])
def test_on_a_line_it_approaches_the_integral_over_quantiles(p):
    """Two densities by their quantiles at the middles of equal steps; the ends, which steps cut off, cost 1e-3."""
    a, b = stats.norm(0, 1), stats.norm(1, 3)
    exact = integrate.quad(lambda t: abs(a.ppf(t) - b.ppf(t)) ** p, 0, 1, limit=200)[0] ** (1 / p)
    middles = lambda n: ((np.arange(n) + 0.5) / n)[:, None]
    np.testing.assert_allclose(wasserstein(a.ppf(middles(40_000)), b.ppf(middles(30_000)), p), exact, rtol=1e-3)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("p", [1, 2])
def test_it_is_a_distance_in_the_units_of_the_data(d, p):
    x, y = clouds(20, 20, d)
    z = y[:13]
    w = wasserstein(x, y, p)
    np.testing.assert_allclose(wasserstein(y, x, p), w)
    np.testing.assert_allclose(wasserstein(y, z, p), wasserstein(z, y, p), rtol=1e-7)
    np.testing.assert_allclose(wasserstein(1000 * x + 7, 1000 * y + 7, p), 1000 * w)
    assert wasserstein(x, x[::-1], p) == 0 and wasserstein(x, np.concatenate([x, x]), p) < 1e-6
    assert wasserstein(x, z, p) <= w + wasserstein(y, z, p) + 1e-9
    np.testing.assert_allclose(wasserstein(x, x + 3.0, p), 3 * np.sqrt(d))
    np.testing.assert_allclose(wasserstein(x, 0 * x[:1], p), np.mean(np.linalg.norm(x, axis=1) ** p) ** (1 / p), rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("d", [1, 2])
def test_it_neither_overflows_nor_vanishes(d, scale):
    x, y = clouds(8, 8, d)
    alone = [x - np.min(x), x - np.max(x)]  # either set alone may be wide, to either side
    for a, b in [(x, y), *((a, 0 * y) for a in alone), *((0 * x, a) for a in alone)]:
        np.testing.assert_allclose(wasserstein(a * scale, b * scale, 3) / scale, wasserstein(a, b, 3))


def test_equal_points_are_at_distance_zero():
    for m in (4, 5):
        assert wasserstein(np.ones((4, 2)), np.ones((m, 2))) == 0


def test_memory_is_known_before_it_starts():
    x, y = clouds(400, 400, 2)
    assert wasserstein(x, y, max_bytes=16 * 400**2) > 0
    with pytest.raises(ValueError, match=r"400 and 400 rows: .* by assignment, may need .* GiB of memory; max_bytes allows 0.0"):
        wasserstein(x, y, max_bytes=7 * 400**2)
    with pytest.raises(ValueError, match=r"5000 and 4000 rows: .* may need 27.9 GiB .*; max_bytes allows 4.0.*as many of"):
        wasserstein(np.zeros((5000, 2)), np.zeros((4000, 2)))
    line = np.linspace(0, 1, 300_000)[:, None]
    np.testing.assert_allclose(wasserstein(line, line[:-1] + 1), 1, atol=1e-5)


def test_same_on_every_device(device):
    for n, m, d in ((5, 3, 1), (6, 6, 2), (5, 3, 2)):
        x, y = (a.astype(np.float32) for a in clouds(n, m, d))
        found = wasserstein(to_device(x, device), to_device(y, device), 2)
        assert type(found) is float and found == wasserstein(x, y, 2)


@pytest.mark.parametrize(
    ("x", "y", "p", "error", "message"),
    [
        (np.zeros(3), np.zeros((3, 1)), 1, ValueError, "x has shape"),
        (np.zeros((3, 1)), np.zeros((3, 2)), 1, ValueError, "x has D = 1 columns and y has 2"),
        (np.zeros((3, 1)), np.full((3, 1), np.nan), 1, ValueError, "y has NaN"),
        (np.zeros((0, 1)), np.zeros((3, 1)), 1, ValueError, "x has n = 0 rows"),
        ([[0.0]], np.zeros((3, 1)), 1, TypeError, "x is list"),
        (np.zeros((3, 1)), np.zeros((3, 1)), 0.5, ValueError, "p is 0.5"),
        (np.zeros((3, 1)), np.zeros((3, 1)), np.inf, ValueError, "p is inf"),
        (np.zeros((3, 1)), np.zeros((3, 1)), np.nan, ValueError, "p is nan"),
    ],
)
def test_bad_input_is_named(x, y, p, error, message):
    with pytest.raises(error, match=message):
        wasserstein(x, y, p)
