"""Separation of classes by a score: definitions by loops over pairs, SciPy, invariances, guarantees by enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from minigen.backend import array_module, to_device, to_host
from minigen.metrics import (
    class_statistics,
    eta_squared,
    pairwise_auc,
    r_squared,
    rank_correlation,
    rejection_threshold,
    relative_scores,
    roc,
    variance_shares,
)  # fmt: skip
from minigen.metrics.separation import ranks


def scored(seed=0, ties=False, dtype=np.float64):
    """Scores of three classes of different sizes, in mixed order; with ties, on a small grid."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2], [4, 7, 9]))
    scores = rng.normal(size=20) + 0.5 * labels
    return (np.round(2 * scores) if ties else scores).astype(dtype), labels


def auc_by_definition(a, b):
    return np.mean([[(s > t) + 0.5 * (s == t) for t in b] for s in a])


# ---- Classes ----
@pytest.mark.verifies("separation.2")
@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_the_share_of_pairs_in_order(ties):
    scores, labels = scored(ties=ties)
    assert ties == (len(set(scores)) < len(scores))
    groups = [scores[labels == c] for c in range(3)]
    found = pairwise_auc(scores, labels)
    np.testing.assert_allclose(found, [[auc_by_definition(a, b) for b in groups] for a in groups], atol=1e-15)
    u = [[stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for b in groups] for a in groups]
    np.testing.assert_allclose(found, u, atol=1e-15)
    np.testing.assert_allclose(found + found.T, 1, atol=1e-15)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), min_size=2, max_size=12).filter(lambda p: {c for _, c in p} == {0, 1}))
def test_auc_of_few_scores_with_ties(pairs):
    scores, labels = (np.array(a) for a in zip(*pairs, strict=True))
    assert pairwise_auc(scores, labels)[1, 0] == pytest.approx(auc_by_definition(scores[labels == 1], scores[labels == 0]))


def test_auc_of_normal_scores():
    """Φ((μ₁ − μ₀)/√(σ₀² + σ₁²)); the standard error of an AUC is below ½ √(1/n₀ + 1/n₁)."""
    rng, n = np.random.default_rng(0), 20_000
    scores, labels = np.concatenate([rng.normal(0, 1, n), rng.normal(1, 2, n)]), np.repeat([0, 1], n)
    assert pairwise_auc(scores, labels)[1, 0] == pytest.approx(stats.norm.cdf(1 / 5**0.5), abs=4.9 * 0.5 * (2 / n) ** 0.5)


def test_only_the_order_matters_to_auc_and_to_rank_correlation():
    scores, labels = scored()
    np.testing.assert_array_equal(pairwise_auc(np.exp(scores), labels), pairwise_auc(scores, labels))
    np.testing.assert_allclose(pairwise_auc(-scores, labels), pairwise_auc(scores, labels).T, atol=1e-15)
    other = scored(1)[0]
    assert rank_correlation(np.exp(scores), other**3) == rank_correlation(scores, other)
    assert rank_correlation(scores, scores**3) == 1 and rank_correlation(scores, -scores) == -1


@pytest.mark.verifies("separation.1")
def test_classes_by_their_means_deviations_and_distances():
    scores, labels = scored()
    groups = [scores[labels == c] for c in range(3)]
    means, deviations = class_statistics(scores, labels)
    np.testing.assert_allclose(means, [g.mean() for g in groups], rtol=1e-12)
    np.testing.assert_allclose(deviations, [g.std() for g in groups], rtol=1e-12)
    for r in range(3):
        np.testing.assert_allclose(relative_scores(scores, labels, r), [g.mean() - groups[r].mean() for g in groups], atol=1e-14)
        np.testing.assert_allclose(relative_scores(scores + 100, labels, r), relative_scores(scores, labels, r), atol=1e-12)
    far = class_statistics(scores + 1e6, labels)[1]
    np.testing.assert_allclose(far, deviations, rtol=1e-8)


# ---- Rankings ----
@pytest.mark.verifies("separation.3", "separation.4")
@pytest.mark.parametrize("ties", [False, True])
def test_ranks_and_their_correlation_are_those_of_scipy(ties):
    (u, _), (v, _) = scored(0, ties), scored(1, ties)
    np.testing.assert_array_equal(ranks(u), stats.rankdata(u))
    assert rank_correlation(u, v) == pytest.approx(stats.spearmanr(u, v).statistic, rel=1e-12)


# ---- What explains scores ----
@pytest.mark.verifies("separation.5", "separation.6")
def test_variance_explained_by_classes_is_that_of_a_regression_on_their_indicators():
    scores, labels = scored()
    groups = [scores[labels == c] for c in range(3)]
    within, total = sum(((g - g.mean()) ** 2).sum() for g in groups), ((scores - scores.mean()) ** 2).sum()
    assert eta_squared(scores, labels) == pytest.approx(1 - within / total, rel=1e-12)
    assert r_squared(scores, np.eye(3)[labels]) == pytest.approx(1 - within / total, rel=1e-12)


@pytest.mark.verifies("separation.6")
def test_r_squared_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    v, f = rng.normal(size=30) + 5, rng.normal(size=(30, 4)) + 3
    design = np.column_stack([np.ones(30), f])
    rest = v - design @ np.linalg.lstsq(design, v, rcond=None)[0]
    want = 1 - (rest @ rest) / ((v - v.mean()) ** 2).sum()
    assert r_squared(v, f) == pytest.approx(want, rel=1e-12)
    assert r_squared(v, f[:, 0]) == pytest.approx(np.corrcoef(v, f[:, 0])[0, 1] ** 2, rel=1e-12)
    assert r_squared(1e6 * v - 7, f @ np.diag([1e-15, 1, 1e9, 1])) == pytest.approx(want, rel=1e-9)  # units do not matter
    dependent = np.column_stack([f, f @ rng.normal(size=4), np.full(30, 0.1)])
    assert r_squared(v, dependent) == pytest.approx(want, rel=1e-9)  # nor do columns that add nothing
    assert r_squared(f @ [1.0, 2.0, 3.0, 4.0], f) == pytest.approx(1, abs=1e-12)


@pytest.mark.verifies("separation.7")
def test_a_share_is_the_mean_gain_over_all_orders():
    rng = np.random.default_rng(0)
    f = {"a": rng.normal(size=25), "b": rng.normal(size=(25, 2)), "c": rng.normal(size=25), "d": rng.normal(size=25)}
    f["c"] = f["a"] + 0.3 * f["c"]
    v = f["a"] + f["b"] @ [0.5, -0.5] + 0.5 * rng.normal(size=25)
    table = lambda names: np.column_stack([f[name] for name in names])
    want = dict.fromkeys(f, 0.0)
    for order in itertools.permutations(f):
        gains = np.diff([0.0] + [r_squared(v, table(order[: i + 1])) for i in range(4)])
        for name, gain in zip(order, gains, strict=True):
            want[name] += gain / 24
    found = variance_shares(v, f)
    assert list(found) == list(f)
    assert found == pytest.approx(want, abs=1e-12)
    assert sum(found.values()) == pytest.approx(r_squared(v, table(f)), rel=1e-12)
    assert variance_shares(v, {"a": f["a"]})["a"] == pytest.approx(r_squared(v, f["a"]))


def test_shares_of_independent_and_of_repeated_factors():
    a, b = (g.ravel() for g in np.meshgrid([0.0, 1.0, 2.0], [0.0, 1.0]))
    shares = variance_shares(3 * a + 2 * b, {"a": a, "b": b, "none": (a - 1) * (b - 0.5)})
    parts = 9 * a.var(), 4 * b.var()
    assert shares == pytest.approx({"a": parts[0] / sum(parts), "b": parts[1] / sum(parts), "none": 0})
    assert variance_shares(a, {"a": a, "again": 5 - a}) == pytest.approx({"a": 0.5, "again": 0.5})


# ---- Rejection ----
@pytest.mark.verifies("separation.8")
@pytest.mark.parametrize("ties", [False, True])
def test_the_roc_by_its_definition_and_the_area_under_it(ties):
    scores, labels = scored(ties=ties)
    inside, outside = scores[labels == 1], scores[labels == 2]
    false, true = roc(inside, outside)
    points = {(np.mean(outside >= t), np.mean(inside >= t)) for t in [*scores[labels > 0], np.inf]}
    assert set(zip(false, true, strict=True)) == points
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(false) >= 0) and np.all(np.diff(true) >= 0)
    area = np.sum(np.diff(false) * 0.5 * (true[1:] + true[:-1]))
    assert area == pytest.approx(auc_by_definition(inside, outside), rel=1e-12)


@pytest.mark.verifies("separation.9")
@pytest.mark.parametrize(("n", "level"), [(4, 0.2), (4, 0.39), (4, 0.1), (5, 0.5), (3, 0.75)])
def test_the_threshold_rejects_as_often_as_it_says(n, level):
    """Over the n + 1 ways to single out the further datum among n + 1 exchangeable ones: exact, and the next larger t would err."""
    values = np.random.default_rng(n).normal(size=n + 1)
    rejected = np.mean([values[i] < rejection_threshold(np.delete(values, i), level) for i in range(n + 1)])
    assert rejected == pytest.approx(math.floor(level * (n + 1)) / (n + 1))
    assert rejected <= level < rejected + 1 / (n + 1)
    tied = np.round(values)
    assert np.mean([tied[i] < rejection_threshold(np.delete(tied, i), level) for i in range(n + 1)]) <= level


def test_a_level_too_small_for_so_few_rejects_nothing():
    assert rejection_threshold(np.arange(10.0)) == -math.inf
    assert rejection_threshold(np.arange(19.0)) == 0 and rejection_threshold(np.arange(19.0), 0.0) == -math.inf


# ---- Every library, every type ----
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_same_on_every_device(device, dtype):
    scores, labels = scored(ties=True, dtype=dtype)
    there, y = to_device(scores, device), to_device(labels, device)
    functions = class_statistics, lambda *a: [relative_scores(*a, 1)], lambda *a: [pairwise_auc(*a)], lambda s, y: roc(s[:9], s[9:])
    for function in functions:
        for found, want in zip(function(there, y), function(scores, labels), strict=True):
            assert array_module(found) is array_module(there)
            np.testing.assert_allclose(to_host(found), want, atol=1e-14)
    other, f = to_device(scored(1)[0], device), {"a": to_device(scored(2)[0], device)}
    assert rank_correlation(there, other) == pytest.approx(rank_correlation(scores, scored(1)[0]))
    assert eta_squared(there, y) == pytest.approx(eta_squared(scores, labels))
    assert variance_shares(there, f) == pytest.approx(variance_shares(scores, {"a": scored(2)[0]}))
    assert rejection_threshold(there, 0.3) == rejection_threshold(scores, 0.3)


S, Y = scored()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pairwise_auc(S[:, None], Y), ValueError, r"scores has shape \(20, 1\); expected \(n,\)"),
        (lambda: pairwise_auc(np.where(S > 1, math.nan, S), Y), ValueError, "scores has NaN"),
        (lambda: pairwise_auc(S, Y[:-1]), ValueError, r"labels is int64 of shape \(19,\); expected an integer array \(20,\)"),
        (lambda: pairwise_auc(S, Y * 1.0), ValueError, "labels is float64"),
        (lambda: pairwise_auc(S, Y - 1), ValueError, "labels has labels from -1"),
        (lambda: pairwise_auc(S, 2 * Y), ValueError, r"labels has no datum of some class below 5; expected every class 0 … 4"),
        (lambda: class_statistics(S[:0], Y[:0]), ValueError, "scores has n = 0 rows"),
        (lambda: relative_scores(S, Y, 3), ValueError, r"reference is 3; expected one of the classes 0 … 2"),
        (lambda: relative_scores(S, Y, -1), ValueError, "reference is -1"),
        (lambda: relative_scores(S, Y, "square"), ValueError, "reference is 'square'"),
        (lambda: rank_correlation(S, S[1:]), ValueError, "u has n = 20 and v has 19"),
        (lambda: rank_correlation(S, 0 * S), ValueError, "v is constant"),
        (lambda: rank_correlation(S[:1], S[:1]), ValueError, "u has n = 1 rows; expected at least 2"),
        (lambda: eta_squared(0 * S, Y), ValueError, "scores is constant"),
        (lambda: r_squared(0 * S, S), ValueError, "values is constant"),
        (lambda: r_squared(S, S[:-1]), ValueError, r"columns has shape \(19,\); expected \(20,\) or \(20, k\)"),
        (lambda: r_squared(S, S[:, None, None]), ValueError, "columns has shape"),
        (lambda: r_squared(S, np.where(S > 1, math.inf, S)), ValueError, "columns has NaN or inf"),
        (lambda: variance_shares(S, {}), ValueError, "factors is empty"),
        (lambda: roc(S, S[:0]), ValueError, "outside has n = 0 rows"),
        (lambda: roc(S[None], S), ValueError, "inside has shape"),
        (lambda: rejection_threshold(S, 1.0), ValueError, r"level is 1.0; expected a number in \[0, 1\)"),
        (lambda: rejection_threshold(S, -0.1), ValueError, "level is -0.1"),
        (lambda: rejection_threshold(S.tolist()), TypeError, "scores is list"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
