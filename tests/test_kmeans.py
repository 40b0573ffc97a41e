"""k-means: every equation by its definition, Lloyd's fixed point, repair of empty clusters, seeding by enumeration."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.backend import array_module, to_device, to_host
from minigen.models.kmeans import KMeans, assign, change, choose, expand, kmeans_plus_plus, least, means, one_hot, statistics

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score


def squared_distances(x, centers):
    return ((x[:, None] - centers) ** 2).sum(2)


def clouds(n, d, k, seed=0, spread=4.0):
    rng = np.random.default_rng(seed)
    return spread * rng.standard_normal((k, d))[rng.integers(k, size=n)] + rng.standard_normal((n, d))


# ---- The equations ----
@pytest.mark.verifies("kmeans.1")
@pytest.mark.parametrize("max_iter", [0, 1, 3, 300])
def test_inertia_is_the_sum_of_squared_distances_to_the_nearest_centre(device, max_iter):
    x = clouds(60, 3, 4)
    model = KMeans.fit(to_device(x, device), 4, rng=np.random.default_rng(1), max_iter=max_iter)
    assert all(array_module(a) is array_module(to_device(x, device)) for a in (model.centers, model.weights, model.history, model.inertia))
    model = to_host(model)
    np.testing.assert_allclose(model.inertia, squared_distances(x, model.centers).min(1).sum(), rtol=1e-12)
    assert model.inertia == model.history[-1] and len(model.history) <= max_iter + 1


@pytest.mark.verifies("kmeans.2")
@pytest.mark.parametrize(("n", "k"), [(1, 1), (50, 5), (50, 32), (50, 33), (9000, 3), (9000, 140)])
def test_labels_are_the_nearest_centres(device, n, k):
    rng = np.random.default_rng(n + k)
    x, centers = rng.standard_normal((n, 2)) + 5, rng.standard_normal((k, 2)) + 5
    d = squared_distances(x, centers)
    model = KMeans(*(to_device(a, device) for a in (centers, np.full(k, 1 / k), np.zeros(1))))
    labels = model.predict(to_device(x, device))
    assert array_module(labels) is array_module(model.centers) and labels.shape == (n,)
    np.testing.assert_array_equal(to_host(labels), d.argmin(1))
    relative = to_host(assign(to_device(x, device), model.centers, model.centers[0])[1])
    np.testing.assert_allclose(relative, d.min(1) - squared_distances(x, centers[:1])[:, 0], atol=1e-12)


@pytest.mark.parametrize("k", [4, 32, 40])
def test_of_equally_near_centres_the_first_wins(k):
    d = np.random.default_rng(0).integers(3, size=(500, k)).astype(float)
    offsets = np.arange(k) % 2 * 1.0
    labels, minima = least(d.copy(), offsets)
    np.testing.assert_array_equal(labels, (d + offsets).argmin(1))
    np.testing.assert_array_equal(minima, (d + offsets).min(1))


@pytest.mark.verifies("kmeans.3")
def test_statistics_are_counts_and_sums_and_merge_by_addition():
    x, labels = clouds(30, 3, 2), np.random.default_rng(0).integers(4, size=30)
    counts, sums = statistics(x, one_hot(labels, 4, x))
    assert {a.dtype for a in statistics(x.astype(np.float32), one_hot(labels, 4, x.astype(np.float32)))} == {np.dtype(np.float64)}
    for j in range(4):
        assert counts[j] == np.count_nonzero(labels == j)
        np.testing.assert_allclose(sums[j], x[labels == j].sum(0), rtol=1e-12)
    parts = [statistics(x[b], one_hot(labels[b], 4, x)) for b in (slice(0, 7), slice(7, 30))]
    for whole, a, b in zip((counts, sums), *parts, strict=True):
        np.testing.assert_allclose(a + b, whole, rtol=1e-12)


@pytest.mark.verifies("kmeans.4")
def test_the_mean_is_the_centre_of_least_inertia():
    x, labels = clouds(40, 2, 3), np.arange(40) % 3
    centers = means(*statistics(x, one_hot(labels, 3, x)), x, np.zeros(40))
    inertia = lambda c: ((x - c[labels]) ** 2).sum()
    for direction in np.random.default_rng(0).standard_normal((20, 3, 2)):
        slope = (inertia(centers + 1e-4 * direction) - inertia(centers - 1e-4 * direction)) / 2e-4
        assert abs(slope) < 1e-7 * inertia(centers) and inertia(centers + direction) > inertia(centers)


@pytest.mark.verifies("kmeans.5")
@pytest.mark.parametrize("origin", [0.0, 3.0, -100.0])
def test_expanded_distances_hold_for_any_origin(origin):
    rng = np.random.default_rng(0)
    x, centers, m = rng.standard_normal((9, 3)), rng.standard_normal((4, 3)), np.array([1.0, -2.0, 0.5]) * origin
    weights, offsets = expand(centers, m)
    expected = squared_distances(x, centers) - ((x - m) ** 2).sum(1)[:, None]
    np.testing.assert_allclose(x @ weights + offsets, expected, atol=1e-15 * max(1, 100 * (m**2).sum()))


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e4])
def test_float32_far_from_zero_keeps_its_digits(offset):
    x = (clouds(300, 4, 5) + offset).astype(np.float32)
    model = KMeans.fit(x, 5, init=x[:5])
    assert {a.dtype for a in (model.centers, model.weights)} == {np.dtype(np.float32)}
    exact = squared_distances(x.astype(float), model.centers.astype(float))
    # The centres themselves are rounded to float32, by up to offset 2⁻²⁴ each.
    assert model.inertia == pytest.approx(exact.min(1).sum(), rel=1e-5 + offset * 1e-7)
    chosen = exact[np.arange(300), model.predict(x)]
    assert np.all(chosen <= exact.min(1) + 1e-4 + offset * 2e-6)


@pytest.mark.verifies("kmeans.6")
@pytest.mark.parametrize("moved", [1, 20, 60])
def test_changed_points_update_the_statistics_exactly(moved):
    rng = np.random.default_rng(moved)
    x, old = clouds(60, 3, 4), rng.integers(5, size=60)
    rows = np.sort(rng.permutation(60)[:moved])
    new = old.copy()
    new[rows] = (old[rows] + rng.integers(1, 5, size=moved)) % 5
    for before, delta, after in zip(
        statistics(x, one_hot(old, 5, x)), change(x, rows, old, new, 5), statistics(x, one_hot(new, 5, x)), strict=True
    ):
        np.testing.assert_allclose(before + delta, after, atol=1e-12)
    nothing = np.full(60, -1)
    for delta, after in zip(change(x, np.arange(60), nothing, new, 5), statistics(x, one_hot(new, 5, x)), strict=True):
        np.testing.assert_allclose(delta, after, atol=1e-12)


@pytest.mark.verifies("kmeans.7")
def test_seeding_draws_in_proportion_to_squared_distances(device):
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
    d, rng, draws = squared_distances(x, x), np.random.default_rng(0), 3000
    seen = dict.fromkeys(itertools.permutations(range(4), 3), 0)
    at = to_device(x, device)
    for _ in range(draws):
        centers = to_host(kmeans_plus_plus(at, 3, rng, at[3]))
        seen[tuple(int(squared_distances(c[None], x).argmin()) for c in centers)] += 1
    for (a, b, c), count in seen.items():
        nearest = np.minimum(d[a], d[b])
        p = 1 / 4 * d[a, b] / d[a].sum() * nearest[c] / nearest.sum()
        assert abs(count - draws * p) < Z * np.sqrt(draws * p * (1 - p)) + 1


@pytest.mark.verifies("kmeans.8")
def test_samples_are_centres_by_frequency(device):
    x = np.repeat(np.array([[0.0, 1.0], [5.0, 0.0], [9.0, 9.0]]), [10, 30, 60], axis=0)
    model = KMeans.fit(to_device(x, device), 3, rng=np.random.default_rng(0))
    n = 5000
    samples = model.sample(n, np.random.default_rng(1))
    assert array_module(samples) is array_module(model.centers) and samples.shape == (n, 2)
    for value, p in ((0.0, 0.1), (5.0, 0.3), (9.0, 0.6)):
        count = np.count_nonzero(to_host(samples)[:, 0] == value)
        assert abs(count - n * p) < Z * np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("p", [[0.0, 1.0, 0.0, 3.0, 0.0], [[0.0, 2.0], [1.0, 0.0], [3.0, 2.0]]])
def test_choose_follows_the_probabilities_and_never_takes_an_impossible_one(p):
    p, n = np.array(p), 4000
    chosen = choose(np.random.default_rng(0), p, n)
    assert chosen.shape == (n, *p.shape[1:])
    for j, q in enumerate(p / p.sum(0)):
        count = np.count_nonzero(chosen == j, axis=0)
        assert np.all(np.abs(count - n * q) <= Z * np.sqrt(n * q * (1 - q)))


class Zero:
    """A generator whose every draw is the least that it can be."""

    def random(self, shape, dtype):
        return np.zeros(shape, dtype)


def test_the_least_draw_takes_the_first_possible_choice():
    assert choose(Zero(), np.array([0.0, 0.0, 1.0, 1.0]), 1) == 2
    x = np.array([[0.0], [0.0], [1.0]])
    np.testing.assert_array_equal(kmeans_plus_plus(x, 2, Zero(), x[0]), [[0.0], [1.0]])


# ---- Lloyd's algorithm ----
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), d=st.integers(1, 3), k=st.integers(1, 40), grid=st.booleans())
def test_the_inertia_never_rises_and_the_end_is_a_fixed_point(seed, n, d, k, grid):
    rng = np.random.default_rng(seed)
    x = rng.integers(3, size=(n, d)).astype(float) if grid else rng.standard_normal((n, d))
    distinct, k = len(np.unique(x, axis=0)), min(k, n)
    before = x.copy()
    model = KMeans.fit(x, k, rng=rng)
    labels = model.predict(x)
    np.testing.assert_array_equal(x, before)
    assert np.all(np.diff(model.history) <= 1e-12 * (1 + model.history[0])) and len(model.history) < 300
    np.testing.assert_allclose(model.weights, np.bincount(labels, minlength=k) / n, atol=1e-12)
    assert np.count_nonzero(model.weights) == min(k, distinct)
    for j in np.flatnonzero(model.weights):
        np.testing.assert_allclose(model.centers[j], x[labels == j].mean(0), atol=1e-12)


def test_each_round_is_one_step_of_the_definition():
    x = clouds(400, 2, 6, spread=1.0)
    centers = x[:6]
    for t in range(6):
        model = KMeans.fit(x, 6, init=x[:6], max_iter=t)
        np.testing.assert_allclose(model.centers, centers, rtol=1e-12)
        assert len(model.history) == t + 1
        labels = squared_distances(x, centers).argmin(1)
        np.testing.assert_allclose(model.weights, np.bincount(labels, minlength=6) / 400)
        centers = np.array([x[labels == j].mean(0) for j in range(6)])


def test_the_best_of_several_runs_is_the_best_of_all_partitions():
    x = np.random.default_rng(3).standard_normal((8, 2))
    best = np.inf
    for labels in itertools.product(range(3), repeat=8):
        parts = [x[np.array(labels) == j] for j in set(labels)]
        best = min(best, sum(((part - part.mean(0)) ** 2).sum() for part in parts))
    found = [KMeans.fit(x, 3, rng=np.random.default_rng(seed)).inertia for seed in range(20)]
    assert min(found) == pytest.approx(best, rel=1e-12) and min(found) >= best * (1 - 1e-12)


def test_an_empty_cluster_moves_to_the_farthest_points(device):
    x = to_device(np.array([[0.0], [1.0], [2.0], [10.0], [30.0]]), device)
    init = to_device(np.array([[1.0], [99.0], [100.0]]), device)
    model = to_host(KMeans.fit(x, 3, init=init, max_iter=1))
    np.testing.assert_array_equal(np.sort(model.centers[1:, 0]), [10.0, 30.0])
    np.testing.assert_allclose(model.centers[0], 8.6)
    model = to_host(KMeans.fit(x, 3, init=init))
    np.testing.assert_allclose(np.sort(model.centers[:, 0]), [1.0, 10.0, 30.0])
    assert model.inertia == pytest.approx(2.0) and np.all(model.weights > 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fewer_distinct_points_than_clusters(device, dtype):
    x = np.repeat(np.array([[0.1, 0.7], [3.3, 1.1]], dtype), 5, axis=0)
    model = to_host(KMeans.fit(to_device(x, device), 4, rng=np.random.default_rng(0)))
    assert model.inertia == pytest.approx(0, abs=1e-5) and np.isfinite(model.centers).all()
    assert sorted(model.weights) == [0, 0, 0.5, 0.5] and model.centers.dtype == dtype


def test_seeding_beats_a_bad_start_on_separated_clusters():
    x = 100 * np.repeat(np.arange(20.0), 10)[:, None] + np.random.default_rng(0).standard_normal((200, 1))
    ideal = ((x.reshape(20, 10) - x.reshape(20, 10).mean(1, keepdims=True)) ** 2).sum()
    seeds = [KMeans.fit(x, 20, rng=np.random.default_rng(s), max_iter=0).inertia for s in range(30)]
    assert np.mean(seeds) < 8 * (np.log(20) + 2) * ideal  # the bound of Arthur & Vassilvitskii; 20 random points are far above it
    assert KMeans.fit(x, 20, init=x[:20], max_iter=0).inertia > 1000 * ideal


def test_many_points_never_make_a_matrix_of_points_by_clusters():
    x = np.random.default_rng(0).standard_normal((100_000, 2))
    tracemalloc.start()
    try:
        KMeans.fit(x, 100, init=x[:100], max_iter=2)
        assert tracemalloc.get_traced_memory()[1] < 100_000 * 100 * 8 / 2
    finally:
        tracemalloc.stop()


def test_predict_of_no_points():
    assert KMeans.fit(clouds(9, 2, 2), 2, rng=np.random.default_rng(0)).predict(np.zeros((0, 2))).shape == (0,)


def test_the_start_is_not_overwritten_and_takes_the_dtype_of_the_data():
    x = clouds(30, 2, 3)
    init = x[:3].copy()
    KMeans.fit(x, 3, init=init)
    np.testing.assert_array_equal(init, x[:3])
    model = KMeans.fit(x.astype(np.float32), 3, init=init, max_iter=0)
    assert model.centers.dtype == model.weights.dtype == np.float32


def test_rounding_makes_no_distance_negative():
    for seed in range(20):
        x = clouds(10, 50, 3, seed).astype(np.float32)
        assert 0 <= KMeans.fit(x, 10, init=x, max_iter=0).inertia < 1e-2


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0; expected 1 ≤ k ≤ n = 9"),
        ({"k": 10}, "k is 10; expected 1 ≤ k ≤ n = 9"),
        ({"x": np.full((9, 2), np.nan)}, "x has NaN"),
        ({"x": np.full((9, 2), np.inf)}, "x has NaN"),
        ({"x": np.zeros(9)}, "x has shape"),
        ({"x": np.zeros((0, 2))}, "x has n = 0"),
        ({"init": "random"}, "init is 'random'; expected 'k-means"),
        ({"init": np.zeros((2, 2))}, r"expected centres \(k, D\) = \(3, 2\)"),
        ({"init": [[1.0, 2.0]]}, r"init is \[\[1.0, 2.0\]\]; expected centres \(k, D\)"),
        ({"rng": None}, "rng is None"),
        ({"max_iter": -1}, "max_iter is -1"),
    ],
)
def test_bad_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        KMeans.fit(**{"x": clouds(9, 2, 3), "k": 3, "rng": RNG, **arguments})


def test_bad_types_and_columns():
    with pytest.raises(TypeError, match="int64; expected a floating-point array"):
        KMeans.fit(np.zeros((9, 2), np.int64), 3, rng=RNG)
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        KMeans.fit(clouds(9, 2, 3), 3, rng=RNG).predict(np.zeros((4, 3)))


@pytest.mark.parametrize(("n", "d", "k"), [(200, 2, 3), (500, 5, 40)])
def test_agrees_with_scikit_learn(n, d, k):
    cluster = pytest.importorskip("sklearn.cluster")
    x = clouds(n, d, k, spread=2.0)
    peer = cluster.KMeans(k, init=x[:k], n_init=1, max_iter=300, tol=0, algorithm="lloyd").fit(x)
    model = KMeans.fit(x, k, init=x[:k])
    assert model.inertia == pytest.approx(peer.inertia_, rel=1e-10)
    np.testing.assert_allclose(model.centers, peer.cluster_centers_, atol=1e-10)
    np.testing.assert_array_equal(model.predict(x), peer.labels_)
