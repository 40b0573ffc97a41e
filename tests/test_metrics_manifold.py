"""Precision, recall, density and coverage against their definitions, expectations in closed form, and prdc."""

import contextlib
import io
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen import Tensor, to_device, to_host
from minigen.metrics import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    expected_coverage,
    manifold_scores,
    precision_recall,
    realism,
)
from minigen.testing import check_metric


def by_definition(real, fake, k, ties):
    """The four scores by loops over pairs; whole numbers and their halves are exact."""
    d = lambda a, b: sum((float(s) - float(t)) ** 2 for s, t in zip(a, b, strict=True))
    radius = lambda a: [sorted(d(p, q) for j, q in enumerate(a) if j != i)[k - 1] for i, p in enumerate(a)]
    inside = (lambda p, q, r: d(p, q) <= r) if ties == "inside" else (lambda p, q, r: d(p, q) < r)
    real_radii, fake_radii = radius(real), radius(fake)
    in_real = np.array([[inside(x, y, r) for y in fake] for x, r in zip(real, real_radii, strict=True)])
    in_fake = np.array([[inside(x, y, r) for y, r in zip(fake, fake_radii, strict=True)] for x in real])
    return in_real.any(0).mean(), in_fake.any(1).mean(), in_real.sum() / (k * len(fake)), in_real.any(1).mean()


def clouds(n=60, m=80, d=4, seed=0):
    """Fakes that overlap with the reals in part."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), 0.7 * rng.standard_normal((m, d)) + 0.5


def grid(n=40, m=30, seed=0):
    """Points of a small grid, with many ties and duplicates."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (n, 3)), rng.integers(0, 5, (m, 3))


TIES = ("inside", "outside")


@pytest.mark.verifies("manifold.1", "manifold.2", "manifold.3", "manifold.4", "manifold.5")
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
@pytest.mark.parametrize("data", [grid, clouds])
def test_scores_are_those_of_the_definition(device, data, dtype, k, ties):
    real, fake = data()
    real, fake = (real * 4).astype(dtype), (fake * 4).astype(dtype)
    precision, recall, density, coverage = by_definition(real, fake, k, ties)
    real, fake = to_device(real, device), to_device(fake, device)
    assert precision_recall(real, fake, k, ties) == pytest.approx((precision, recall), abs=1e-14)
    assert density_coverage(real, fake, k, ties) == pytest.approx((density, coverage), abs=1e-14)
    scores = manifold_scores(real, fake, k, ties)
    assert scores == pytest.approx((precision, recall, density, coverage), abs=1e-14)
    assert all(type(score) is float for score in scores)


@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from(TIES))
def test_scores_of_small_grids(seed, k, ties):
    real, fake = grid(6, 5, seed)
    assert manifold_scores(real, fake, k, ties) == pytest.approx(by_definition(real, fake, k, ties), abs=1e-14)


def test_defaults_are_those_of_the_papers():
    """On a grid both k and ties show."""
    real, fake = grid(40, 40)
    assert precision_recall(real, fake) == precision_recall(real, fake, k=3, ties="inside")
    assert precision_recall(real, fake) != precision_recall(real, fake, k=3, ties="outside")
    assert precision_recall(real, fake) != precision_recall(real, fake, k=5)
    assert density_coverage(real, fake) == density_coverage(real, fake, k=5, ties="outside")
    assert density_coverage(real, fake) != density_coverage(real, fake, k=5, ties="inside")
    assert density_coverage(real, fake) != density_coverage(real, fake, k=3)
    assert manifold_scores(real, fake) == manifold_scores(real, fake, k=5, ties="outside")
    assert isinstance(precision_recall(real, fake), PrecisionRecall)
    assert isinstance(density_coverage(real, fake), DensityCoverage)


@pytest.mark.parametrize("shape", [(300, 200, 5), (150, 160, 64), (20, 90, 1)])
@pytest.mark.parametrize("k", [1, 5])
def test_agrees_with_prdc(shape, k):
    prdc = pytest.importorskip("prdc")
    real, fake = clouds(*shape)
    with contextlib.redirect_stdout(io.StringIO()):
        want = prdc.compute_prdc(real, fake, k)
    scores = manifold_scores(real, fake, k)
    assert scores == pytest.approx([want[name] for name in scores._fields], abs=1e-12)


def test_float32_answers_as_its_float64_copy():
    """One rounding in 10⁷ moves a few of these 10⁶ pairs across a sphere, and far from the origin nearly all of them."""
    for offset in (0, 1000):
        real, fake = (x.astype(np.float32) + np.float32(offset) for x in clouds(1000, 1000, 30))
        assert manifold_scores(real, fake) == manifold_scores(real.astype(np.float64), fake.astype(np.float64))


@pytest.mark.parametrize("ties", TIES)
def test_swapping_the_sets_swaps_precision_and_recall(ties):
    real, fake = clouds()
    assert precision_recall(real, fake, ties=ties) == precision_recall(fake, real, ties=ties)[::-1]
    assert precision_recall(real, fake, ties=ties).precision > precision_recall(real, fake, ties=ties).recall
    narrow = precision_recall(real, 0.05 * fake)  # fakes of one kind look real, but are few kinds
    assert narrow.precision == 1 and narrow.recall < 0.2


@pytest.mark.parametrize("function", [precision_recall, density_coverage, manifold_scores])
def test_invariance(function):
    real, fake = clouds()
    check_metric(lambda x, y: np.array(function(x, y)), ["permutation", "rotation", "translation"], x=real, y=fake)
    assert function(1000 * real, 1000 * fake) == function(real, fake)


@pytest.mark.parametrize("dtype, exponents", [(np.float32, (-140, -60, 80, 129)), (np.float64, (-1060, -600, 600, 1025))])
def test_no_square_overflows_or_vanishes(dtype, exponents):
    """Powers of two, so that the scaled numbers are the same; the last differ by more than the largest number."""
    real, fake = (np.ldexp(points.astype(dtype) - 2, -3) for points in grid())
    for exponent in exponents:
        assert manifold_scores(np.ldexp(real, exponent), np.ldexp(fake, exponent)) == manifold_scores(real, fake)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32])
def test_whole_numbers_and_half_precision(dtype):
    real, fake = grid()
    assert manifold_scores((real * 50).astype(dtype), (fake * 50).astype(dtype)) == manifold_scores(real * 50.0, fake * 50.0)
    assert manifold_scores(real.astype(dtype), fake.astype(float)) == manifold_scores(real, fake)
    bits = (real > 1), (fake > 1)
    assert manifold_scores(*bits, ties="inside") == manifold_scores(*(b * 1.0 for b in bits), ties="inside")


@pytest.mark.verifies("manifold.4", "manifold.5")
@pytest.mark.parametrize("k", [1, 3])
def test_fakes_that_repeat_the_reals(k):
    """Without ties, each real's ball holds itself and k − 1 others, or with the sphere k."""
    real, _ = clouds()
    assert manifold_scores(real, real[::-1], k) == (1, 1, 1, 1)
    assert manifold_scores(real, real[::-1], k, ties="inside") == (1, 1, pytest.approx((k + 1) / k), 1)
    assert manifold_scores(np.repeat(real, k + 1, axis=0), real, k) == (0, pytest.approx(1), 0, 0)  # all radii are 0


def test_many_balls_and_many_blocks():
    real, _ = clouds(300)
    assert manifold_scores(real, real, k=250) == (1, 1, 1, 1)
    real, _ = clouds(3100, d=2)
    assert manifold_scores(real, real[::-1], k=3) == (1, 1, 1, 1)
    assert manifold_scores(real, real[::-1], k=3, ties="inside") == (1, 1, pytest.approx(4 / 3), 1)


def test_sets_far_apart_share_nothing():
    real, fake = clouds()
    assert manifold_scores(real, fake + 1e4) == (0, 0, 0, 0)


def test_points_that_are_all_alike():
    same = np.full((20, 3), 0.1)
    assert manifold_scores(same, same) == (0, 0, 0, 0)
    assert manifold_scores(same, same, ties="inside") == (1, 1, 4, 1)


def test_one_outlier_fools_precision_but_not_coverage():
    """Naeem et al., §3: the ball of an outlying real holds every fake near it."""
    real = np.concatenate([np.random.default_rng(0).standard_normal((99, 2)), [[100.0, 0.0]]])
    fake = np.random.default_rng(1).standard_normal((50, 2)) 
    fake[:, 0] += 60
    precision, _, density, coverage = manifold_scores(real, fake, k=3)
    assert precision == 1 and density == pytest.approx(1 / 3) and coverage == 0.01


@pytest.mark.verifies("manifold.6")
@pytest.mark.parametrize("n, m, k", [(4, 3, 1), (5, 2, 2), (6, 4, 3), (4, 5, 3)])
def test_expected_coverage_by_enumeration(n, m, k):
    """All orders of the other N − 1 reals and M fakes by their distance from a real: covered unless its k nearest are reals."""
    orders = list(itertools.combinations(range(n - 1 + m), m))  # the places of the fakes
    assert expected_coverage(n, m, k) == pytest.approx(np.mean([places[0] < k for places in orders]), rel=1e-12)


@pytest.mark.verifies("manifold.4", "manifold.6")
@pytest.mark.parametrize("n, m, k, d", [(40, 25, 3, 2), (30, 8, 4, 8)])
def test_expectations_between_draws_of_one_distribution(n, m, k, d):
    """E[density] = 1 and (6), for a skewed distribution; a false alarm has probability 1e-6 each."""
    rng = np.random.default_rng(n)
    found = np.array([density_coverage(rng.exponential(size=(n, d)), rng.exponential(size=(m, d)), k) for _ in range(1500)])
    error = found.std(axis=0, ddof=1) / math.sqrt(1500)
    assert np.all(np.abs(found.mean(axis=0) - [1, expected_coverage(n, m, k)]) < 4.9 * error)


def test_fewest_points():
    real, fake = np.array([[0.0], [1.0]]), np.array([[0.5]])
    assert density_coverage(real, fake, k=1) == (2, 1)
    assert manifold_scores(real, real + 0.25, k=1) == (1, 1, 1.5, 1)


X = np.arange(12.0).reshape(6, 2)
HOLED = np.where(X == 7, math.nan, X)


@pytest.mark.parametrize("function", [precision_recall, density_coverage, manifold_scores])
@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((X[:, 0], X), ValueError, r"real has shape \(6,\)"),
        ((X, X[None]), ValueError, r"fake has shape \(1, 6, 2\)"),
        ((X, X[:, :1]), ValueError, "real has D = 2 columns and fake has 1"),
        ((X[:, :0], X[:, :0]), ValueError, r"real has shape \(6, 0\)"),
        ((X, HOLED), ValueError, "fake has NaN"),
        ((np.where(X == 0, math.inf, X), X), ValueError, "real has NaN or inf"),
        ((X, X[:0]), ValueError, "fake has n = 0 rows"),
        ((X, X, 6), ValueError, "real has 6 rows; expected at least k \\+ 1 = 7"),
        ((X[:4], X, 4), ValueError, "real has 4 rows; expected at least k \\+ 1 = 5"),
        ((X, X, 0), ValueError, "k is 0"),
        ((X, X, True), ValueError, "k is True"),
        ((X, X, 2.0), ValueError, "k is 2.0"),
        ((X, X, 2, "count"), ValueError, "ties is 'count'; expected 'inside'"),
        ((X.tolist(), X), TypeError, "real is list"),
        ((X, Tensor(X)), TypeError, "fake is a Tensor"),
        ((X, X.astype(complex)), TypeError, "fake is complex128"),
    ],
)
def test_wrong_arguments_are_named(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(*arguments)


@pytest.mark.parametrize("arguments", [(5, 5, 5), (5, 5, 0), (5, 0, 1)])
def test_wrong_numbers_for_the_expectation(arguments):
    with pytest.raises(ValueError, match="n_real is 5"):
        expected_coverage(*arguments)


def test_only_recall_needs_neighbours_among_the_fakes():
    for function in (precision_recall, manifold_scores):
        with pytest.raises(ValueError, match="fake has 4 rows; expected at least k"):
            function(X, X[:4], 4)
    assert density_coverage(X, X[:1], 4).density >= 0


@pytest.mark.verifies("manifold.7")
@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("data", [grid, clouds])
def test_realism_by_its_definition(device, data, k, dtype):
    real, fake = ((1e3 + 4 * a).astype(dtype) for a in data())
    fake[:20] = real[:20]
    pairs = lambda a, b: np.sqrt(np.sum((a[:, None].astype(float) - b.astype(float)) ** 2, axis=-1))
    radii = np.sort(pairs(real, real), axis=1)[:, k]
    kept = radii <= np.median(radii)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = radii[kept, None] / pairs(real[kept], fake)
    want = np.max(np.where(pairs(real[kept], fake) > 0, ratio, math.inf), axis=0)
    got = to_host(realism(*to_device((real, fake), device), k))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert kept.sum() < len(real)
    swallowed = pairs(real[kept], fake) <= radii[kept, None]
    np.testing.assert_array_equal(got[np.abs(got - 1) > 1e-9] > 1, swallowed.any(0)[np.abs(got - 1) > 1e-9])
