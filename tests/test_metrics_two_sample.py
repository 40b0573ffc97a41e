"""Two-sample tests: statistics by their definitions, p-values that are valid under the hypothesis, and power against alternatives."""

import functools
import tracemalloc

import numpy as np
import pytest
from scipy.stats import binom

import minigen as mg
from minigen.metrics import two_sample
from minigen.metrics.mmd import cubic_kernel, gaussian_kernel, mmd2
from minigen.metrics.two_sample import (
    classifier_two_sample_test,
    deep_kernel,
    knn_two_sample_test,
    memberships,
    mmd_statistics,
    mmd_test,
    permutation_p_value,
    signal_to_noise,
)
from minigen.testing.gradients import check_gradients

FALSE_ALARM = 1e-6
RNG = np.random.default_rng(0)

# name -> (x, y, rng) -> TestResult, small enough to be repeated
TESTS = {
    "mmd, kernel given": lambda x, y, rng: mmd_test(x, y, rng, gaussian_kernel(1.0), permutations=19),
    "mmd, median": lambda x, y, rng: mmd_test(x, y, rng, permutations=19),
    "mmd, deep": lambda x, y, rng: small_deep_test(x, y, rng),
    "classifier": lambda x, y, rng: classifier_two_sample_test(x, y, rng, hidden=(16,), steps=100, permutations=19),
    "neighbours": lambda x, y, rng: knn_two_sample_test(x, y, rng, k=3, permutations=19),
}


def small_deep_test(x, y, rng):
    """The deep test with a small network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_sample, "deep_kernel", lambda a, b, rng: deep_kernel(a, b, rng, hidden=(8,), steps=15))
        return mmd_test(x, y, rng, "deep", permutations=19)


@pytest.mark.verifies("two_sample.1")
def test_the_p_value_counts_ties_and_itself():
    null = np.array([0.0, 1.0, 2.0, 2.0, 3.0])
    for statistic, larger in ((3.5, 0), (2.0, 3), (2.0 + 1e-15, 3), (1.5, 3), (-1.0, 5)):
        assert permutation_p_value(statistic, null)[:2] == (statistic, (1 + larger) / 6)
    s = memberships(3, 4, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(s[:, 0], [1, 1, 1, 0, 0, 0, 0])
    assert s.shape == (7, 51) and set(s.sum(0)) == {3} and len({tuple(c) for c in s.T}) > 20


@pytest.mark.parametrize("kernel", [gaussian_kernel(0.8), cubic_kernel])
@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.verifies("two_sample.2")
def test_mmd_of_each_permutation_is_that_of_its_sets(kernel, rows):
    x, y = RNG.normal(size=(6, 2)), RNG.normal(size=(4, 2))
    z, s = np.concatenate([x, y]), memberships(6, 4, 5, RNG)
    got = mmd_statistics(kernel, z, s, 6, 4, rows)
    want = [mmd2(z[column == 1], z[column == 0], kernel).mean for column in s.T]
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.verifies("two_sample.3")
def test_the_deep_kernel_is_a_kernel_that_training_makes_better():
    rng = np.random.default_rng(0)
    # the sets differ in the sign of a product alone: a Gaussian kernel of median bandwidth hardly sees it
    def draw(sign, n):
        u = rng.normal(size=(n, 6))
        u[:, 1] = sign * np.sign(u[:, 0]) * np.abs(u[:, 1])
        return u * [1, 1, 4, 4, 4, 4]

    x, y, x_new, y_new = draw(1, 150), draw(-1, 150), draw(1, 150), draw(-1, 150)
    before, after = (deep_kernel(x, y, np.random.default_rng(1), steps=steps) for steps in (0, 150))
    k = after(x[:20], y[:30])
    assert k.shape == (20, 30) and np.all((k > 0) & (k <= 1))
    np.testing.assert_allclose(np.diagonal(after(x[:5], x[:5])), 1, atol=1e-9)
    np.testing.assert_allclose(after(x[:5], y[:4]), after(y[:4], x[:5]).T)
    assert np.linalg.eigvalsh(after(x[:40], x[:40]))[0] > -1e-9
    z = np.concatenate([x, y])
    distances = np.sqrt(-2 * np.log(before(z, z)[np.triu_indices(len(z), 1)]))
    assert np.median(distances) == pytest.approx(1)  # training begins with the median distance as ℓ
    assert signal_to_noise(after, x_new, y_new) > 3 * signal_to_noise(before, x_new, y_new)


@pytest.mark.parametrize("kernel", [None, "deep"])
def test_no_sample_both_chooses_the_kernel_and_is_tested(kernel, monkeypatch):
    chose, tested = [], []

    def choose(x, y, *_):
        chose.extend([x, y])
        return 1.0 if kernel is None else lambda a, b: tested.append(b) or np.zeros((len(a), len(b)))

    monkeypatch.setattr(two_sample, "median_distance" if kernel is None else "deep_kernel", choose)
    if kernel is None:
        monkeypatch.setattr(two_sample, "gaussian_kernel", lambda h: lambda a, b: tested.append(b) or np.zeros((len(a), len(b))))
    mmd_test(np.arange(9.0)[:, None], np.arange(10.0, 16)[:, None], RNG, kernel, permutations=1)
    assert [len(c) for c in chose] == [4, 3] and len(tested[0]) == 5 + 3
    assert sorted(np.concatenate([*chose, tested[0]]).ravel()) == [*range(9), *range(10, 16)]


@pytest.mark.verifies("two_sample.4")
def test_the_signal_to_noise_ratio_by_its_definition():
    x, y = RNG.normal(size=(7, 2)), 0.5 + RNG.normal(size=(7, 2))
    kernel = gaussian_kernel(1.0)
    h = kernel(x, x) + kernel(y, y) - kernel(x, y) - kernel(x, y).T
    mean = np.mean([h[i, j] for i, j in np.ndindex(7, 7) if i != j])
    variance = 4 / 7**3 * sum(h[i].sum() ** 2 for i in range(7)) - 4 / 7**4 * h.sum() ** 2
    np.testing.assert_allclose(signal_to_noise(kernel, x, y), mean / np.sqrt(variance + 1e-8), rtol=1e-10)
    check_gradients(lambda x: signal_to_noise(kernel, x, y), (x,))
    # σ²/n is the variance of θ to first order
    rng = np.random.default_rng(0)
    draws = [(rng.normal(size=(100, 1)), 1 + rng.normal(size=(100, 1))) for _ in range(600)]
    theta = np.array([mmd2(a, b, kernel).mean for a, b in draws])
    sigma = np.array([mmd2(a, b, kernel).mean / signal_to_noise(kernel, a, b, floor=0.0) for a, b in draws])
    assert 0.7 < np.mean(sigma**2) / 100 / theta.var() < 1.3  # the variance of 600 draws is known to 28 % at this false-alarm rate


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("unequal", [False, True])
def test_p_values_are_valid_under_the_hypothesis(name, unequal):
    # data on a grid, so that ties are many; of 19 permutations p is a multiple of 1/20
    rng, repeats = np.random.default_rng(7), 60 if name in ("classifier", "mmd, deep") else 400
    draw = lambda n: np.round(2 * rng.normal(size=(n, 2))) / 2
    p = np.array([TESTS[name](draw(24), draw(12 if unequal else 24), rng).p_value for _ in range(repeats)])
    assert np.all((p >= 0.05) & (p <= 1))
    for alpha in (0.05, 0.1, 0.25, 0.5):
        assert np.count_nonzero(p <= alpha + 1e-9) <= binom.isf(FALSE_ALARM, repeats, alpha)
    if name.startswith("mmd, k"):  # hardly any ties here: uniform from below too
        for alpha in (0.1, 0.25, 0.5, 0.9):
            assert np.count_nonzero(p <= alpha + 1e-9) >= binom.ppf(FALSE_ALARM, repeats, alpha)


@pytest.mark.parametrize("name", TESTS)
def test_power(name):
    # two standard deviations apart: every test must see it with 60 samples each
    rng = np.random.default_rng(1)
    for _ in range(5):
        assert TESTS[name](rng.normal(size=(60, 2)), rng.normal((2, 0), 1, (60, 2)), rng).p_value == 0.05


@pytest.mark.verifies("two_sample.5")
def test_the_classifiers_accuracy_and_its_null_variance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 2)), rng.normal((6, 0), 1, (400, 2))
    result = classifier_two_sample_test(x, y, rng)
    assert result.statistic > 0.99 and result.p_value == 0.001 and len(result.null) == 999
    # errors of a useless classifier that says x for half of all samples: hypergeometric, of variance near 1/(4N)
    null = classifier_two_sample_test(rng.normal(size=(400, 2)), rng.normal(size=(400, 2)), rng, permutations=2000).null
    assert abs(null.mean() - 0.5) < 4.9 * null.std() / 2000**0.5 and 0.7 < null.var() * 4 * 400 < 1.3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_sample, "ROWS", 199)  # of 200: blocks change nothing
        again = classifier_two_sample_test(x, y, np.random.default_rng(0), steps=20)
    np.testing.assert_array_equal(again.null, classifier_two_sample_test(x, y, np.random.default_rng(0), steps=20).null)
    big = classifier_two_sample_test(x, np.concatenate([y] * 5), np.random.default_rng(0), permutations=19)
    assert big.statistic > 0.99


@pytest.mark.verifies("two_sample.6")
def test_the_share_of_neighbours_by_its_definition():
    x, y = RNG.normal(size=(9, 2)), 0.5 + RNG.normal(size=(6, 2))
    z, own = np.concatenate([x, y]), []
    for i in range(15):
        near = np.argsort(np.linalg.norm(z - z[i], axis=1))[1:4]
        own += [(j < 9) == (i < 9) for j in near]
    assert knn_two_sample_test(x, y, RNG, k=3).statistic == pytest.approx(np.mean(own), rel=1e-12)
    apart = knn_two_sample_test(x, y + 100, RNG, k=3)
    assert apart.statistic == 1 and apart.p_value == 0.001


@pytest.mark.parametrize("name", TESTS)
def test_memory_is_bounded(name, monkeypatch):
    # 50,000 × 2,048 features of either set are to fit in 4 GiB, which is 5.2 times the sets in single precision
    monkeypatch.setattr(two_sample, "mmd_statistics", functools.partial(mmd_statistics, rows=256))  # of fixed size, so small here
    x, y = np.zeros((2, 1500, 3000), np.float32)
    x[:, 0], y[:, 0] = RNG.normal(size=(2, 1500))
    tracemalloc.start()
    TESTS[name](x, y, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5.2 * 2 * 4 * 1500 * 3000


@pytest.mark.parametrize("name", TESTS)
def test_on_every_array_library_and_repeatable(name, device):
    x, y = RNG.normal(size=(20, 2)), 0.5 + RNG.normal(size=(16, 2))
    got = TESTS[name](*mg.to_device((x.astype(np.float32), y.astype(np.float32)), device), np.random.default_rng(3))
    want = TESTS[name](x.astype(np.float32), y.astype(np.float32), np.random.default_rng(3))
    assert got.p_value == want.p_value and got.statistic == pytest.approx(want.statistic, rel=1e-6)
    assert type(got.null) is np.ndarray and len(got.null) == 19


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: mmd_test(x, x[:, :1], RNG), "x has D = 2 columns and y has 1"),
        (lambda x: mmd_test(x[:3], x, RNG), "x has n = 3 rows; expected at least 4"),
        (lambda x: mmd_test(x, x, RNG, "gaussian"), "kernel is 'gaussian'"),
        (lambda x: mmd_test(x, x, RNG, 3), "kernel is 3"),
        (lambda x: mmd_test(x, x, RNG, lambda a, b: a), r"kernel gave shape \(20, 2\)"),
        (lambda x: mmd_test(x, x, RNG, permutations=0), "permutations is 0"),
        (lambda x: classifier_two_sample_test(x, x[:3], RNG), "y has n = 3 rows; expected at least 4"),
        (lambda x: knn_two_sample_test(x, x * np.nan, RNG), "y has NaN"),
        (lambda x: knn_two_sample_test(x[:1], x[:2], RNG, k=3), "x has n = 3 rows; expected at least 4"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(20.0).reshape(10, 2))
    with pytest.raises(TypeError, match="rng is None"):
        mmd_test(np.ones((5, 2)), np.ones((5, 2)), None)
