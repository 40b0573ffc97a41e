"""Squared distances in blocks, and what is decided by them, against sums over coordinates in exact or double arithmetic."""

import math

import numpy as np
import pytest

from minigen import to_device, to_host
from minigen.metrics.distances import SquaredDistances, bound_of_smallest, robust_origin, squared_radii


def brute_force(x, y):
    """d² (n, m), one pair at a time, in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return np.array([[np.sum((a - b) ** 2) for b in y] for a in x])


def sets(kind, dtype="float64", n=70, m=90, d=6):
    """Data for which the expansion of the square is good, bad, or full of ties."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    if kind == "offset":
        x, y = x + 1000, y + 1000
    if kind == "positive":
        x, y = x**2, y**2 + 5
    if kind == "apart":
        y = y + 1e4
    if kind == "outliers":
        x[3], y[5], y[6] = 1e6, -1e6, -1e6
    if kind == "grid":
        x, y = np.round(2 * x) / 4, np.round(2 * y) / 4
    if kind == "repeated":
        x, y = x[np.arange(n) % 7] / 3, np.concatenate([x[np.arange(m - 9) % 5] / 3, y[:9]])
    if kind == "simplex":  # all distances the same but for the seventh digit
        corners = np.linalg.qr(rng.standard_normal((90, 90)))[0]
        x, y = corners[:n] * (1 + 1e-7 * x[:, :1]), -corners[:m] * (1 + 1e-7 * y[:, :1])
    return x.astype(dtype), y.astype(dtype)


KINDS = ("round", "offset", "positive", "apart", "outliers", "grid", "repeated", "simplex")


@pytest.mark.verifies("distances.2", "distances.3")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_squared_distances_within_the_stated_error(device, kind, dtype):
    x, y = sets(kind, dtype)
    distances = SquaredDistances(to_device(x, device), to_device(y, device))
    norms = to_host(distances.x_norms)[:, None] + to_host(distances.y_norms)
    [(rows, d)] = list(distances.blocks())
    assert rows == slice(0, 70) and d.dtype == dtype
    error = np.abs(to_host(d) - brute_force(x, y))
    assert np.all(error <= distances.error(norms))
    for part in (rows, slice(2, 5), slice(40, 70)):
        assert distances.block_error(part) == pytest.approx(np.max(distances.error(norms[part])), rel=1e-6)
    assert np.max(error) > 0 or kind == "grid"


@pytest.mark.verifies("distances.3")
@pytest.mark.parametrize("d", [1, 16, 2048])
@pytest.mark.parametrize("positive", [False, True])
def test_the_stated_error_holds_and_is_not_idle(d, positive):
    """With 2048 columns the largest error of 90,000 pairs is about 1 % of the bound, with one column 40 %."""
    rng = np.random.default_rng(d)
    x, y = (rng.standard_normal((300, d)).astype(np.float32) for _ in range(2))
    x, y = (np.abs(x), np.abs(y)) if positive else (x, y)
    distances = SquaredDistances(x, y)
    [(_, approximate)] = list(distances.blocks())
    gram = x.astype(float) @ y.astype(float).T
    exact = np.sum(x.astype(float) ** 2, 1)[:, None] + np.sum(y.astype(float) ** 2, 1) - 2 * gram
    ratio = np.max(np.abs(approximate - exact) / distances.error(distances.x_norms[:, None] + distances.y_norms))
    assert 0.004 < ratio < 0.6


@pytest.mark.verifies("distances.2")
def test_blocks_cover_all_rows_once():
    x, y = np.arange(5000.0)[:, None] % 97, np.arange(4001.0)[:, None] % 89
    stops, total = [0], 0
    for rows, d in SquaredDistances(x, y).blocks():
        assert rows.start == stops[-1] and d.size <= 2**22
        stops.append(rows.stop)
        assert np.array_equal(d[-1], (x[rows.stop - 1, 0] - y[:, 0]) ** 2)
        total += np.sum(d)
    assert len(stops) == 6 and stops[-1] == 5000
    assert total == 4001 * np.sum(x**2) + 5000 * np.sum(y**2) - 2 * np.sum(x) * np.sum(y)


@pytest.mark.verifies("distances.1", "distances.2")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ties", ["inside", "outside"])
def test_no_rounding_decides_a_comparison(device, kind, dtype, ties):
    """Thresholds are distances themselves, so that each row or column has at least one tie."""
    x, y = sets(kind, dtype)
    exact = brute_force(x, y)
    for t in (exact[:, 4:5], exact[8:9], np.zeros((70, 1)), np.full((1, 90), 1e30), np.nextafter(exact[:, 4:5], 0)):
        for start, stop in ((0, 70), (13, 40)):
            distances = SquaredDistances(to_device(x, device), to_device(y, device))
            [(_, d)] = list(distances.blocks())
            rows, part = slice(start, stop), t[start:stop] if t.shape[0] > 1 else t
            inside = distances.within(rows, d[rows], to_device(part, device), ties)
            assert np.array_equal(to_host(inside), (exact[rows] <= part) if ties == "inside" else (exact[rows] < part))


@pytest.mark.verifies("distances.4")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, 40, 69])
def test_radii_are_exact_distances_to_the_kth_other_row(device, kind, dtype, k):
    x, _ = sets(kind, dtype)
    d = brute_force(x, x)
    want = np.sort(d[~np.eye(70, dtype=bool)].reshape(70, 69), axis=1)[:, k - 1]
    got = squared_radii(to_device(x, device), k)
    assert got.dtype == np.float64
    assert np.array_equal(to_host(got), want)


@pytest.mark.verifies("distances.4")
def test_radii_over_several_blocks():
    x = np.random.default_rng(0).standard_normal((3100, 2)).astype(np.float32)
    got = squared_radii(x, 4)
    assert [np.sort(np.sum((x.astype(float) - x[i].astype(float)) ** 2, 1))[4] for i in range(0, 3100, 50)] == got[::50].tolist()


def test_radii_agree_with_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, _ = sets("round", n=200)
    found, _ = neighbors.NearestNeighbors(n_neighbors=6).fit(x).kneighbors(x)
    np.testing.assert_allclose(squared_radii(x, 5), found[:, 5] ** 2, rtol=1e-12)


def test_alike_rows_are_at_distance_zero_without_a_second_look():
    """A generator that collapsed to one point must not be slow: no pair of its rows is unsure."""
    x = np.full((300, 5), 0.1)
    distances = SquaredDistances(x, x)
    [(rows, d)] = list(distances.blocks())
    distances.y = None  # a second look would fail
    assert distances.within(rows, d, np.zeros((300, 1)), "inside").all()
    assert not distances.within(rows, d, np.zeros((1, 300)), "outside").any()


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("m", [6, 40, 159, 160, 1000, 5001])
def test_bound_of_the_kth_smallest(device, m, k):
    d = np.random.default_rng(m).exponential(size=(20, m))
    d[:, 0] = math.inf
    bound = to_host(bound_of_smallest(to_device(d, device), k))
    assert bound.shape == (20, 1)
    rank = np.sum(d <= bound, axis=1)
    assert np.all(rank >= k) and np.mean(rank) < k + 1 + k**2 / 16


@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 66, 130, 131, 1000])
def test_origin_is_amid_the_rows_and_not_moved_by_outliers(n):
    x = np.random.default_rng(n).standard_normal((n, 3))
    x[: n // 4] = 1e30
    origin = robust_origin(x)
    assert np.all(np.any(x == origin, axis=0))  # an entry of x in each column
    assert n < 4 or np.all(np.abs(origin) < 4)
    assert robust_origin(np.full((n, 1), 0.1)) == 0.1
