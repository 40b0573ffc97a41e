"""Every public metric on bad and odd input: the right value, or an error that names the argument."""

import inspect
import math
import re

import numpy as np
import pytest

import minigen.metrics as M
from minigen import Tensor

RNG = np.random.default_rng(0)


def rng():
    return np.random.default_rng(0)


# Metrics of sets of samples (n, D): name: (call on two sets, the names of its arguments, the least rows of each)
SAMPLES = {
    "frechet_distance": (M.frechet_distance, ("x", "y"), (2, 2)),
    "frechet_distance_infinity": (lambda x, y: M.frechet_distance_infinity(x, y, rng()), ("x", "y"), (20, 20)),
    "mmd2": (lambda x, y: M.mmd2(x, y, M.gaussian_kernel(2.0)), ("x", "y"), (2, 2)),
    "kernel_distance": (M.kernel_distance, ("x", "y"), (2, 2)),
    "median_distance": (M.median_distance, ("x", "y"), (1, 1)),
    "sliced_wasserstein": (lambda x, y: M.sliced_wasserstein(x, y, rng(), projections=8), ("x", "y"), (1, 1)),
    "wasserstein": (M.wasserstein, ("x", "y"), (1, 1)),
    "sinkhorn": (lambda x, y: M.sinkhorn(x, y, 5.0), ("x", "y"), (1, 1)),
    "precision_recall": (M.precision_recall, ("real", "fake"), (4, 4)),
    "density_coverage": (M.density_coverage, ("real", "fake"), (6, 1)),
    "manifold_scores": (M.manifold_scores, ("real", "fake"), (6, 6)),
    "realism": (M.realism, ("real", "fake"), (4, 1)),
    "prd_curve": (lambda x, y: M.prd_curve(x, y, rng(), clusters=3, runs=2, angles=5), ("real", "fake"), (1, 1)),
    "mmd_test": (lambda x, y: M.mmd_test(x, y, rng(), permutations=9)[:2], ("x", "y"), (4, 4)),
    "classifier_two_sample_test": (
        lambda x, y: M.classifier_two_sample_test(x, y, rng(), steps=2, permutations=9)[:2], ("x", "y"), (4, 4)),
    "knn_two_sample_test": (lambda x, y: M.knn_two_sample_test(x, y, rng(), permutations=9)[:2], ("x", "y"), (1, 1)),
    "authenticity": (M.authenticity, ("train", "fake"), (2, 1)),
    "data_copying_test": (lambda x, y: M.data_copying_test(x, x, y)[:2], ("train", "fake"), (1, 1)),
    "nearest_neighbours": (lambda x, y: M.nearest_neighbours(x, y, k=3)[1], ("x", "y"), (1, 3)),
    "mode_scores": (lambda x, y: M.mode_scores(x, y, 0.5), ("x", "centers"), (1, 1)),
    "vendi_score": (lambda x, y: M.vendi_score(x, M.gaussian_kernel(3.0)), ("x",), (1,)),
    "birthday_paradox": (lambda x, y: M.birthday_paradox(x).pairs, ("x",), (2,)),
}  # fmt: skip


def numbers(result):
    """All numbers of a result."""
    return np.concatenate([np.ravel(np.asarray(part, float)) for part in (result if isinstance(result, tuple) else (result,))])


def sets(n=24, d=3):
    return [RNG.standard_normal((n, d)) for _ in range(2)]


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("name", SAMPLES)
def test_bad_samples_are_named(name, position):
    call, names, least = SAMPLES[name]
    if position >= len(names):
        pytest.skip("it takes one set")
    good = sets()
    bad = {
        "NaN": np.where(np.arange(72).reshape(24, 3) == 5, np.nan, good[0]),
        "infinite": np.where(np.arange(72).reshape(24, 3) == 5, -np.inf, good[0]),
        "has shape": good[0][:, 0],
        r"\(24, 0\)": good[0][:, :0],
        r"\(24, 3, 1\)": good[0][:, :, None],
        "is list": good[0].tolist(),
        "is complex128": good[0] + 0j,
        "is <U": good[0].astype(str),
        "is a Tensor": Tensor(good[0]),
        f"n = {least[position] - 1} rows|has {least[position] - 1} rows": good[0][: least[position] - 1],
    }
    if len(names) == 2:
        bad["columns|shape|another D|of one D"] = good[0][:, :2]
    for message, a in bad.items():
        arguments = list(good)
        arguments[position] = a
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            call(*arguments)
        assert names[position] in str(caught.value), (message, str(caught.value))


def grid(a):
    return np.round(3 * a)


ODD = {
    "integers": lambda a: grid(a).astype(np.int8),
    "unsigned": lambda a: np.abs(grid(a)).astype(np.uint16),
    "booleans": lambda a: a > 0,
    "one-hot": lambda a: np.eye(3)[np.argmax(a, axis=1)],
    "duplicates": lambda a: np.repeat(a[:6], 4, axis=0),
    "an all-equal column": lambda a: np.concatenate([a, np.full((24, 1), 7.0)], axis=1),
    "all rows equal": lambda a: np.full((24, 3), 2.0),
    "n < D": lambda a: np.tile(a, (1, 20)) + np.linspace(0, 1, 60),
    "half precision": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "not contiguous": lambda a: np.asfortranarray(a)[:, ::-1],
}
INFINITE = {"realism"}  # it is infinite at a real


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", SAMPLES)
def test_odd_samples_score_as_their_copy_in_double_precision(name, odd):
    call, x, y = SAMPLES[name][0], *map(ODD[odd], sets())
    kind = np.float32 if name == "sliced_wasserstein" and x.dtype.itemsize < 8 and x.dtype.kind == "f" else float  # it draws others
    found, want = numbers(call(x, y)), numbers(call(np.ascontiguousarray(x, kind), np.ascontiguousarray(y, kind)))
    assert not np.any(np.isnan(found)) and (name in INFINITE or np.all(np.isfinite(found)))
    np.testing.assert_allclose(found, want, rtol=2e-4, atol=2e-5)


ZERO_OF_ITSELF = ("frechet_distance", "wasserstein", "sliced_wasserstein")


@pytest.mark.parametrize("odd", ODD)
def test_a_set_is_at_distance_0_from_itself(odd):
    x = ODD[odd](sets()[0])
    scale = np.abs(x.astype(float)).max() ** 2
    for name in ZERO_OF_ITSELF:
        assert abs(numbers(SAMPLES[name][0](x, x.copy()))[0]) < 1e-9 * scale, name
    biased = M.mmd2(x, x.copy(), M.gaussian_kernel(1.0), unbiased=False).mean
    assert abs(biased) < 1e-6
    assert M.precision_recall(x, x.copy()) == (1, 1)
    assert numbers(M.prd_curve(x, x.copy(), rng(), clusters=2, runs=1, angles=3))[1] == pytest.approx(1)
    assert M.authenticity(x, x.copy()) == 0
    assert M.density_coverage(x, x.copy(), ties="inside").coverage == 1


SAME_IN_ALL_UNITS = (
    "precision_recall", "density_coverage", "manifold_scores", "realism", "knn_two_sample_test", "authenticity", "data_copying_test",
    "birthday_paradox", "prd_curve",
)  # fmt: skip


@pytest.mark.parametrize("scale, dtype", [(1e150, np.float64), (1e-150, np.float64), (1e30, np.float32), (1e-25, np.float32)])
def test_units_do_not_matter_however_large_or_small(scale, dtype):
    x, y = (a.astype(dtype) for a in sets())
    factor = dtype(scale)
    for name in SAME_IN_ALL_UNITS:
        found, want = (numbers(SAMPLES[name][0](*pair)) for pair in ((factor * x, factor * y), (x, y)))
        np.testing.assert_allclose(found, want, rtol=1e-4, err_msg=name)
    pairs = M.birthday_paradox(x, 1.0).pairs
    assert pairs > 10 and M.birthday_paradox(factor * x, float(factor)).pairs == pairs
    for name, power in (("wasserstein", 1), ("sliced_wasserstein", 1), ("nearest_neighbours", 1), ("frechet_distance", 2)):
        if abs(math.log10(scale)) * power < 300:
            found, want = (numbers(SAMPLES[name][0](*pair)) for pair in ((factor * x, factor * y), (x, y)))
            np.testing.assert_allclose(found / float(factor) ** power, want, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_an_offset_of_both_sets_does_not_matter(offset):
    x, y = (np.round(a, 3) for a in sets())
    for name in set(SAMPLES) - {"kernel_distance", "mode_scores", "classifier_two_sample_test"}:  # of which two depend on the origin
        found, want = (numbers(SAMPLES[name][0](x + o, y + o)) for o in (offset, 0))
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6, err_msg=name)


def test_equal_rows_have_no_median_distance():
    x = np.ones((9, 2))
    with pytest.raises(ValueError, match="x and y have a median distance of 0"):
        M.mmd2(x, x)
    for kernel in (None, "deep"):
        assert M.mmd_test(x, x, rng(), kernel, permutations=4).p_value == 1


def test_kernels_that_overflow_say_so():
    x = 1e30 * np.ones((1000, 2), np.float32)
    for convention in ("minigen", "torch-fidelity", "clean-fid"):
        with pytest.raises(ValueError, match="kernel gave sums that are not finite"):
            M.kernel_distance(x, x, convention)


# ---- Metrics of other things: name: (call of its first argument, the argument's name, what is good) ----
LABELS = np.array([0, 1, 0, 1, 1])
OTHERS = {
    "inception_score": (lambda a: M.inception_score(a, splits=1), "probs", np.full((5, 4), 0.25)),
    "nll": (M.nll, "log_prob", np.full(5, -1.0)),
    "kl_on_data": (lambda a: M.kl_on_data(a, np.full(5, -1.0)), "log_p", np.full(5, -1.0)),
    "mean_and_error": (M.mean_and_error, "values", np.arange(5.0)),
    "generalisation_gap": (lambda a: M.generalisation_gap(a, np.full(3, -1.0)), "log_prob", np.full(5, -1.0)),
    "memorization_score": (lambda a: M.memorization_score(a, np.eye(5, dtype=bool)), "log_probs", np.zeros((5, 5))),
    "prd_from_histograms": (lambda a: M.prd_from_histograms(a, np.ones(5)), "real", np.ones(5)),
    "class_statistics": (lambda a: M.class_statistics(a, LABELS), "scores", np.arange(5.0)),
    "relative_scores": (lambda a: M.relative_scores(a, LABELS, 0), "scores", np.arange(5.0)),
    "pairwise_auc": (lambda a: M.pairwise_auc(a, LABELS), "scores", np.arange(5.0)),
    "eta_squared": (lambda a: M.eta_squared(a, LABELS), "scores", np.arange(5.0)),
    "rank_correlation": (lambda a: M.rank_correlation(a, np.arange(5.0)), "u", np.arange(5.0)),
    "r_squared": (lambda a: M.r_squared(a, np.arange(5.0)), "values", np.arange(5.0)),
    "variance_shares": (lambda a: M.variance_shares(a, {"f": np.arange(5.0)}), "values", np.arange(5.0)),
    "roc": (lambda a: M.roc(a, np.arange(5.0)), "inside", np.arange(5.0)),
    "rejection_threshold": (M.rejection_threshold, "scores", np.arange(5.0)),
    "classification_accuracy_score": (
        lambda a: M.classification_accuracy_score(a, LABELS, np.zeros((5, 2)), LABELS, rng(), train=lambda *_: lambda x: 0 * LABELS),
        "x_train", np.zeros((5, 2))),
    "expected_frechet_distance": (lambda a: M.expected_frechet_distance(a, 9), "cov", np.eye(3)),
    "frechet_distance_gaussians": (lambda a: M.frechet_distance_gaussians(np.zeros(3), a, np.zeros(3), np.eye(3)), "cov1", np.eye(3)),
    "spatial_frechet_distance": (
        lambda a: M.spatial_frechet_distance(a, np.zeros((5, 1, 2, 1)), channels=1), "x", np.zeros((5, 1, 2, 1))),
    "train_features": (lambda a: M.train_features(a, LABELS, rng(), steps=1), "x", np.zeros((5, 2))),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_bad_arrays_are_named(name):
    call, argument, good = OTHERS[name]
    call(good)
    bad = {
        "NaN|finite|no distribution|no histogram": np.where(np.arange(good.size).reshape(good.shape) == 1, np.nan, good),
        "shape|rows": good.reshape(-1) if name == "train_features" else good[..., None, None],
        "list|array": good.tolist(),
        "complex128": good + 0j,
        ".": good[:0],
    }
    for message, a in bad.items():
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            call(a)
        assert argument.split("_")[0] in str(caught.value), (message, str(caught.value))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("name", OTHERS)
def test_odd_types_score_as_double_precision(name, dtype):
    if name == "train_features":
        pytest.skip("it gives a network")
    call, _, good = OTHERS[name]
    if dtype == np.int64 and name == "inception_score":
        good = np.eye(4, dtype=int)[[0, 1, 2, 3, 3]]
    found, want = call(good.astype(dtype)), call(good.astype(float))
    if isinstance(found, dict):
        found, want = tuple(found.values()), tuple(want.values())
    if name == "classification_accuracy_score":
        found, want = found.score, want.score
    np.testing.assert_allclose(numbers(found), numbers(want), rtol=1e-6)


# ---- Scalars and other arguments ----
X = RNG.standard_normal((24, 3))
ARGUMENTS = {
    "k is 0": lambda: M.precision_recall(X, X, k=0),
    "n = 24 rows; expected at least 25": lambda: M.knn_two_sample_test(X[:12], X[:12], rng(), k=24),
    "k is 2.5": lambda: M.density_coverage(X, X, k=2.5),
    "ties is 'on'": lambda: M.manifold_scores(X, X, ties="on"),
    "k is True": lambda: M.manifold_scores(X, X, k=True),
    "real has 24 rows.*k is 24": lambda: M.precision_recall(X, X, k=24),
    "fake has 3 rows": lambda: M.precision_recall(X, X[:3], k=3),
    "x has n = 24 rows": lambda: M.nearest_neighbours(X, k=24),
    "y has n = 24 rows": lambda: M.nearest_neighbours(X, X, k=25),
    "splits is 0": lambda: M.inception_score(np.eye(3), splits=0),
    "probs has n = 3 rows": lambda: M.inception_score(np.eye(3), splits=4),
    "sum to 1": lambda: M.inception_score(2 * np.eye(3), splits=1),
    "convention is 'mine'": lambda: M.kernel_distance(X, X, "mine"),
    "x has n = 24 rows; expected at least 1000": lambda: M.kernel_distance(X, X, "torch-fidelity"),
    "bandwidth is -1": lambda: M.gaussian_kernel(-1),
    "kernel is 'cubic'": lambda: M.mmd_test(X, X, rng(), "cubic"),
    "kernel gave shape": lambda: M.mmd2(X, X, lambda a, b: np.zeros((2, 2))),
    "kernel gave shape ": lambda: M.vendi_score(X, lambda a, b: np.zeros((2, 2))),
    "kernel is 'rbf'": lambda: M.vendi_score(X, "rbf"),
    "rows of zeros": lambda: M.vendi_score(0 * X),
    "q is 0": lambda: M.vendi_score(X, q=0),
    "permutations is 0": lambda: M.mmd_test(X, X, rng(), permutations=0),
    "rng is 0": lambda: M.mmd_test(X, X, 0),
    "rng is None": lambda: M.sliced_wasserstein(X, X, None),
    "projections is 0": lambda: M.sliced_wasserstein(X, X, rng(), projections=0),
    "p is 0.5": lambda: M.wasserstein(X, X, p=0.5),
    "max_bytes": lambda: M.wasserstein(X, X, max_bytes=10),
    "epsilon is 0": lambda: M.sinkhorn(X, X, 0),
    "fake has 23 rows": lambda: M.prd_curve(X, X[1:], rng()),
    "clusters is 49": lambda: M.prd_curve(X, X, rng(), clusters=49),
    "clusters is 0": lambda: M.prd_curve(X, X, rng(), clusters=0),
    "angles is 1": lambda: M.prd_from_histograms(np.ones(3), np.ones(3), angles=1),
    "beta is 0": lambda: M.f_scores((np.ones(2), np.ones(2)), beta=0),
    "threshold is -1": lambda: M.birthday_paradox(X, -1),
    "cells is 0": lambda: M.data_copying_test(X, X, X, cells=0),
    "fake and test have no cell": lambda: M.data_copying_test(X, X, X[:3]),
    "folds is 1": lambda: M.memorization_by_folds(None, X, rng(), folds=1),
    "std is 0": lambda: M.mode_scores(X, X, 0),
    "level is 1": lambda: M.rejection_threshold(X[:, 0], 1),
    "reference is 9": lambda: M.relative_scores(X[:5, 0], LABELS, 9),
    "labels is float64": lambda: M.pairwise_auc(X[:5, 0], np.eye(2)[LABELS]),
    "factors is empty": lambda: M.variance_shares(X[:, 0], {}),
    "u is constant": lambda: M.rank_correlation(np.ones(3), np.arange(3.0)),
    "scores is constant": lambda: M.eta_squared(np.ones(5), LABELS),
    "unit is 'bytes'": lambda: M.perplexity(1.0, "bytes"),
    "dims is 0": lambda: M.bits_per_dim(1.0, 0),
    "cell is 0": lambda: M.bits_per_dim(1.0, 2, cell=0),
    "k has entries other": lambda: M.dequantize(np.array([4]), 4, np.zeros(1)),
    "u has entries outside": lambda: M.dequantize(np.array([3]), 4, np.ones(1)),
    r"log_weights has shape \(0, 2\)": lambda: M.iwae_bound(np.zeros((0, 2))),
    "latent is 4": lambda: M.log_prob_by_quadrature(None, 4),
    "judgements is list": lambda: M.hype([]),
    "k is 5, n_real is 5": lambda: M.expected_coverage(5, 5, 5),
    "cov1 has a negative": lambda: M.frechet_distance_gaussians(np.zeros(2), np.diag([1.0, -1.0]), np.zeros(2), np.eye(2)),
    "cov2 is not symmetric": lambda: M.frechet_distance_gaussians(np.zeros(2), np.eye(2), np.zeros(2), np.array([[1.0, 1], [0, 1]])),
    "entropy has NaN": lambda: M.perplexity(np.nan),
    "entropy is list": lambda: M.perplexity([1.0]),
    "nll has NaN": lambda: M.bits_per_dim(np.array([1.0, np.nan]), 2),
    "k is list": lambda: M.dequantize([1], 4, [0.5]),
    "log_weights is list": lambda: M.iwae_bound([0.0]),
    "along axis 2": lambda: M.iwae_bound(np.zeros((3, 2)), axis=2),
    r"log_likelihood gave shape \(3,\)": lambda: M.log_prob_by_quadrature(lambda z: np.zeros(3), 1, 4),
    "held_out is list": lambda: M.memorization_score(np.zeros((2, 2)), [[True, False], [False, True]]),
    r"log_probs has entries of NaN or \+∞": lambda: M.memorization_score(np.full((2, 2), np.inf), np.eye(2, dtype=bool)),
    "log_probs are −∞ for some datum": lambda: M.memorization_score(np.full((2, 2), -np.inf), np.eye(2, dtype=bool)),
    "x is list": lambda: M.memorization_by_folds(None, X.tolist(), rng()),
    "curve is int": lambda: M.f_scores(3),
    "curve has entries outside": lambda: M.f_scores((np.array([0.5, np.nan]), np.ones(2))),
    "curve has shapes": lambda: M.f_scores((np.ones(3), np.ones(2))),
    "tolerance is 0": lambda: M.sinkhorn(X, X, 5.0, tolerance=0),
    "max_iter is 0": lambda: M.sinkhorn(X, X, 5.0, max_iter=0),
    "kernel is None": lambda: M.vendi_score(X, None),
    "is not symmetric": lambda: M.vendi_score(X, lambda a, b: np.triu(np.ones((len(a), len(b))))),
    "has the eigenvalue -2": lambda: M.vendi_score(X[:4], lambda a, b: 3 - 2 * np.eye(4)),
    r"real is ndarray; expected \(x, y\)": lambda: M.classification_accuracy_score(
        X[:5], LABELS, X[:5], LABELS, rng(), real=X, train=lambda *_: lambda x: LABELS),
    "kernel is 3": lambda: M.mmd_test(X, X, rng(), 3),
    "metric gave NoneType": lambda: M.with_error(lambda a: None, X, rng=rng()),
    "points is 2": lambda: M.frechet_distance_infinity(X, X, rng(), points=2),
    "n is 1": lambda: M.expected_frechet_distance(np.eye(2), 1),
    "groups is 1": lambda: M.with_error(np.mean, X, rng=rng(), groups=1),
    "set 2 has n = 19 rows": lambda: M.with_error(M.frechet_distance, X, X[:19], rng=rng(), groups=20),
    "n_out is 0": lambda: M.random_features(3, 0),
    r"expected a file \.npz": lambda: M.inception_v3("weights.pth"),
    "x has NaN": lambda: M.identity_features()(np.full((2, 2), np.nan)),
}


@pytest.mark.parametrize("message", ARGUMENTS)
def test_other_arguments_are_named(message):
    with pytest.raises((ValueError, TypeError), match=message.strip()):
        ARGUMENTS[message]()


SURE = "with_error|error|interval|p-value|[Ee]xact|deviation|bounds"


def test_every_score_says_how_sure_it_is():
    features = {"digit_features", "identity_features", "inception_v3", "random_features", "score_name", "train_features"}
    kernels = {"cubic_kernel", "gaussian_kernel", "median_distance", "rbm_path", "dequantize"}
    numbers = {name for name in M.__all__ if name.startswith("expected_")}  # what to expect, by formula
    numbers |= {name for name in M.__all__ if getattr(M, name).__module__.endswith(("separation", "neighbours"))}
    scores = [getattr(M, name) for name in set(M.__all__) - features - kernels - numbers if inspect.isfunction(getattr(M, name))]
    assert len(scores) > 30
    assert [f.__name__ for f in scores if not re.search(SURE, f.__doc__)] == []


@pytest.mark.parametrize("call", [lambda c, x: c(x), lambda c, x: c.predict(x), lambda c, x: c.probabilities(x)])
def test_a_classifier_looks_at_what_it_gets(call):
    classifier = M.train_features(X[:5], LABELS, rng(), steps=1)
    for bad in (X * np.nan, X.tolist(), X[:, 0], X[:0]):
        with pytest.raises((ValueError, TypeError), match=r"^x "):
            call(classifier, bad)


def test_no_metric_is_left_out():
    source = inspect.getsource(inspect.getmodule(test_no_metric_is_left_out))
    public = {name: getattr(M, name) for name in M.__all__ if inspect.isfunction(getattr(M, name))}
    elsewhere = {"digit_features", "score_name", "expected_mode_quality", "cubic_kernel"}  # they take no data, or are kernels
    elsewhere |= {name for name, f in public.items() if f.__module__.endswith("annealing")}  # of models, not of data
    untested = [name for name in public if f"M.{name}" not in source and name not in elsewhere]
    assert untested == []
