"""Maximum mean discrepancy against double sums, closed forms of Gaussians, moments, and recomputation without each sample."""

import numpy as np
import pytest

from minigen import array_module, to_device
from minigen.metrics import mmd
from minigen.metrics.mmd import (
    cubic_kernel,
    cubic_mmd2_of_moments,
    gaussian_kernel,
    kernel_distance,
    median_distance,
    mmd2,
    sums,
)

Z = 4.9  # two-sided normal false-alarm rate 1e-6
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), 1 + 0.5 * RNG.normal(size=(5, 3))
KERNELS = {"gaussian": gaussian_kernel(1.3), "cubic": cubic_kernel}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def by_loops(k, x, y, unbiased):
    """MMD² by its double sums, for k of two vectors."""
    within = lambda a: np.mean([k(p, q) for i, p in enumerate(a) for j, q in enumerate(a) if i != j or not unbiased])
    return within(x) + within(y) - 2 * np.mean([k(p, q) for p in x for q in y])


@pytest.mark.verifies("mmd.4")
@pytest.mark.verifies("mmd.5")
def test_kernels_by_their_formulas():
    for i, j in np.ndindex(7, 5):
        np.testing.assert_allclose(KERNELS["gaussian"](X, Y)[i, j], np.exp(-np.sum((X[i] - Y[j]) ** 2) / (2 * 1.3**2)), rtol=1e-12)
        np.testing.assert_allclose(cubic_kernel(X, Y)[i, j], (np.sum(X[i] * Y[j]) / 3 + 1) ** 3, rtol=1e-12)
    far = 1e8 * RNG.normal(size=(100, 3))
    assert np.max(gaussian_kernel(1.0)(far, far)) <= 1  # whatever rounding makes of a distance of 0


@every_kernel
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.verifies("mmd.2")
@pytest.mark.verifies("mmd.3")
def test_both_estimates_are_their_double_sums(kernel, unbiased):
    k = lambda p, q: kernel(p[None], q[None])[0, 0]
    for x, y in ((X, Y), (Y, X), (X[:2], Y[:2])):
        np.testing.assert_allclose(mmd2(x, y, kernel, unbiased).mean, by_loops(k, x, y, unbiased), rtol=1e-11, atol=1e-13)
    assert mmd2(X, X, kernel, unbiased=False).mean == pytest.approx(0, abs=1e-12)
    assert mmd2(X, X.copy(), kernel).mean < 0  # by the missing diagonals


@every_kernel
def test_blocks_do_not_change_the_sums(kernel):
    for other in (None, X, Y):
        whole = kernel(X, X) * (1 - np.eye(7)) if other is None else kernel(X, other)
        for rows in (1, 2, 7, 100):
            by_row, by_column = sums(kernel, X, other, rows)
            np.testing.assert_allclose(by_row, whole.sum(1), rtol=1e-12)
            np.testing.assert_allclose(by_column, whole.sum(0), rtol=1e-12)


def gaussian_mmd2(mean, std, bandwidth):
    """MMD² of the Gaussian kernel between N(0, I) and N(mean, std² I)."""
    d = len(mean)

    def expected(variance, shift):
        total = bandwidth**2 + variance
        return (bandwidth**2 / total) ** (d / 2) * np.exp(-np.sum(shift**2) / (2 * total))

    return expected(2, 0 * mean) + expected(2 * std**2, 0 * mean) - 2 * expected(1 + std**2, mean)


@pytest.mark.parametrize(("shift", "std"), [(0.0, 1.0), (0.4, 1.0), (0.0, 1.5)])
@pytest.mark.verifies("mmd.1")
def test_the_unbiased_estimate_has_the_right_mean_and_the_error_covers_its_spread(shift, std):
    rng, mean = np.random.default_rng(1), np.full(3, shift)
    found = [mmd2(rng.normal(size=(40, 3)), mean + std * rng.normal(size=(30, 3)), KERNELS["gaussian"]) for _ in range(1000)]
    values, errors = np.array(found).T
    assert abs(values.mean() - gaussian_mmd2(mean, std, 1.3)) < Z * values.std() / 1000**0.5
    ratio = np.mean(errors**2) / np.var(values)
    assert (1.6 if shift == 0 and std == 1 else 0.9) < ratio < 2.6  # two where the first-order part vanishes; four errors wide


@every_kernel
@pytest.mark.verifies("mmd.7")
@pytest.mark.verifies("mmd.8")
def test_the_error_is_the_jackknife(kernel):
    without_x = np.array([mmd2(np.delete(X, i, 0), Y, kernel).mean for i in range(7)])
    without_y = np.array([mmd2(X, np.delete(Y, j, 0), kernel).mean for j in range(5)])
    want = 6 / 7 * np.sum((without_x - without_x.mean()) ** 2) + 4 / 5 * np.sum((without_y - without_y.mean()) ** 2)
    np.testing.assert_allclose(mmd2(X, Y, kernel).standard_error, np.sqrt(want), rtol=1e-10)
    assert np.isnan(mmd2(X[:2], Y, kernel).standard_error) and np.isnan(mmd2(X, Y, kernel, unbiased=False).standard_error)


@pytest.mark.verifies("mmd.6")
def test_the_cubic_kernel_sees_three_moments_and_is_blind_beyond():
    np.testing.assert_allclose(mmd2(X, Y, cubic_kernel, unbiased=False).mean, cubic_mmd2_of_moments(X, Y), rtol=1e-11)
    signs = np.array([[-1.0]] * 3 + [[1.0]] * 3)
    three = np.array([[-(3**0.5)]] + [[0.0]] * 4 + [[3**0.5]])  # mean 0, variance 1, no skewness either
    assert abs(mmd2(signs, three, cubic_kernel, unbiased=False).mean) < 1e-12 and cubic_mmd2_of_moments(signs, three) < 1e-12
    assert mmd2(signs, three, gaussian_kernel(1.0), unbiased=False).mean > 0.05


def test_median_distance():
    z = np.concatenate([X, Y])
    distances = [np.linalg.norm(p - q) for i, p in enumerate(z) for q in z[:i]]
    np.testing.assert_allclose(median_distance(X, Y), np.median(distances), rtol=1e-12)
    np.testing.assert_allclose(median_distance(X, Y, rows=2), median_distance(X[:2], Y[:2]))
    assert mmd2(X, Y) == mmd2(X, Y, gaussian_kernel(median_distance(X, Y)))


@pytest.mark.parametrize("all_pairs", [0, 10_000])
@pytest.mark.parametrize("convention", ["torch-fidelity", "clean-fid"])
def test_subsets_of_the_conventions(convention, all_pairs, monkeypatch):
    assert (mmd.SUBSETS, mmd.SUBSET_SIZE) == (100, 1000)
    monkeypatch.setattr(mmd, "ALL_PAIRS", all_pairs)
    monkeypatch.setattr(mmd, "SUBSETS", 3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1010, 2)), 0.1 + rng.normal(size=(1020, 2))
    if convention == "clean-fid":
        x, y = x[:30], y[:20]
    got = kernel_distance(x, y, convention)
    old = np.random.RandomState(2020)
    size, values = (1000 if convention == "torch-fidelity" else 20), []
    for _ in range(3):
        if convention == "torch-fidelity":
            a, b = x[old.choice(1010, size, False)], y[old.choice(1020, size, False)]
        else:
            b, a = y[old.choice(20, size, False)], x[old.choice(30, size, False)]
        k = lambda p, q: (p @ q.T / 2 + 1) ** 3
        inner = k(a, a) + k(b, b)
        values.append((inner.sum() - np.trace(inner)) / (size * (size - 1)) - 2 * k(a, b).mean())
    np.testing.assert_allclose(got, (np.mean(values), np.std(values)), rtol=1e-9)
    assert kernel_distance(x, y) == mmd2(x, y, cubic_kernel)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_every_array_library_and_float_type(device, dtype):
    x, y = to_device((X.astype(dtype), Y.astype(dtype)), device)
    np.testing.assert_allclose(kernel_distance(x, y), kernel_distance(X, Y), rtol=1e-5)
    np.testing.assert_allclose(mmd2(x, y), mmd2(X, Y), rtol=1e-5)
    np.testing.assert_allclose(mmd2(x, y, unbiased=False).mean, mmd2(X, Y, unbiased=False).mean, rtol=1e-5)
    np.testing.assert_allclose(kernel_distance(x, y, "clean-fid"), kernel_distance(X, Y, "clean-fid"), rtol=1e-5, atol=1e-6)
    assert array_module(sums(cubic_kernel, x, y)[0]) is array_module(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mmd2(X[:1], Y), "x has n = 1 rows; expected at least 2"),
        (lambda: mmd2(X, Y, "gaussian"), "kernel is 'gaussian'; expected a function"),
        (lambda: median_distance(X, Y, rows=0), "rows is 0"),
        (lambda: mmd2(X, Y[:1]), "y has n = 1 rows"),
        (lambda: mmd2(X, Y[:, :2]), "x has D = 3 columns and y has 2"),
        (lambda: mmd2(X * np.nan, Y), "x has NaN"),
        (lambda: mmd2(X, Y, lambda x, y: x[0] @ y.T), r"kernel gave shape \(5,\)|kernel gave shape \(7,\)"),
        (lambda: gaussian_kernel(0.0), "bandwidth is 0.0; expected a finite number > 0"),
        (lambda: kernel_distance(X, Y, "torch-fidelity"), "x has n = 7 rows; expected at least 1000"),
        (lambda: kernel_distance(X, Y, "fid"), "convention is 'fid'; expected one of 'minigen'"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
