"""Kernel density estimates against sums written out, quadrature, finite differences and brute force."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import beta, chi2, gaussian_kde

from minigen.autograd import grad
from minigen.backend import array_module, to_device, to_host
from minigen.models import kde
from minigen.models.kde import KDE, KERNELS, bandwidth_range, kernel_noise, leave_one_out, log_peak

Z = 4.9  # two-sided false-alarm rate 1e-6
BALLS = {1: 2.0, 2: np.pi, 3: 4 / 3 * np.pi, 4: np.pi**2 / 2}  # volumes of unit balls
PROFILES = {
    "gaussian": lambda u, d: np.exp(-0.5 * u @ u) / (2 * np.pi) ** (d / 2),
    "uniform": lambda u, d: (u @ u <= 1) / BALLS[d],
    "epanechnikov": lambda u, d: (d + 2) / (2 * BALLS[d]) * max(1 - u @ u, 0),
}


def cloud(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ (rng.standard_normal((d, d)) + 2 * np.eye(d)) + 3 * rng.standard_normal(d)


def root(model):
    """H as a matrix."""
    return model.bandwidth * np.eye(model.data.shape[1]) if model.bandwidth.ndim == 0 else model.bandwidth


def by_hand(model, x):
    """p(x) as the sum that defines it."""
    d, h = x.shape[1], root(model)
    terms = [[PROFILES[model.kernel](np.linalg.inv(h) @ (q - datum), d) for datum in model.data] for q in x]
    return np.mean(terms, axis=1) / np.linalg.det(h)


@pytest.fixture(params=KERNELS)
def kernel(request):
    return request.param


@pytest.fixture(params=[1, 2, 3], ids=lambda d: f"D{d}")
def d(request):
    return request.param


@pytest.mark.verifies("kde.1")
@pytest.mark.verifies("kde.2")
@pytest.mark.verifies("kde.3")
@pytest.mark.verifies("kde.4")
@pytest.mark.parametrize("bandwidth", [0.6, 2.5, "scott", "silverman"])
def test_density_is_its_defining_sum(kernel, d, bandwidth):
    x = cloud(15, d)
    model = KDE.fit(x, bandwidth, kernel)
    queries = np.concatenate([x[:5] + 0.1, cloud(10, d, seed=1), x.mean(0) + 4 * np.eye(d)])
    np.testing.assert_allclose(np.exp(model.log_prob(queries)), by_hand(model, queries), rtol=1e-10, atol=1e-15)


def test_many_blocks_are_one(kernel):
    x, queries = cloud(700, 2), cloud(500, 2, seed=1)  # 93 rows fit in a block
    model = KDE.fit(x, 0.9, kernel)
    one_by_one = np.concatenate([model.log_prob(row[None]) for row in queries])
    np.testing.assert_allclose(model.log_prob(queries), one_by_one, rtol=1e-10)
    assert model.log_prob(queries[:0]).shape == (0,)


@pytest.mark.verifies("kde.2")
@pytest.mark.verifies("kde.3")
@pytest.mark.verifies("kde.4")
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7])
def test_kernels_integrate_to_one(kernel, dim):
    model = KDE.fit(np.zeros((1, dim)), 1.0, kernel)
    edge = 12.0 if kernel == "gaussian" else 1.0
    nodes, weights = np.polynomial.legendre.leggauss(200)
    r = edge * (nodes + 1) / 2
    density = np.exp(model.log_prob(np.c_[r, np.zeros((len(r), dim - 1))]))
    surface = dim * np.exp(dim / 2 * np.log(np.pi)) / np.prod(np.arange(dim / 2, 0, -1)) / (np.sqrt(np.pi) if dim % 2 else 1)
    np.testing.assert_allclose(surface * np.sum(weights * edge / 2 * r ** (dim - 1) * density), 1, rtol=1e-9)


@pytest.mark.verifies("kde.1")
@pytest.mark.parametrize("bandwidth", [0.7, "scott"])
def test_density_integrates_to_one_in_the_plane(kernel, bandwidth):
    model = KDE.fit(cloud(12, 2), bandwidth, kernel)
    axes = [np.linspace(c - 18, c + 18, 900) for c in model.data.mean(0)]
    grid = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    area = (axes[0][1] - axes[0][0]) ** 2
    # The edges of a uniform kernel cut cells of the grid.
    np.testing.assert_allclose(np.exp(model.log_prob(grid)).sum() * area, 1, rtol=5e-3 if kernel == "uniform" else 1e-4)


@pytest.mark.verifies("kde.2")
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 2e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("distance", [0.0, 5.0, 100.0, 1e4])
def test_far_away_the_density_is_small_but_right(dtype, rtol, distance):
    x = np.random.default_rng(0).standard_normal((300, 2))
    queries = np.random.default_rng(1).standard_normal((20, 2)) + distance
    x, queries = x.astype(dtype), queries.astype(dtype)
    model = KDE.fit(x, 0.5)
    x, queries = x.astype(np.float64), queries.astype(np.float64)
    squares = np.sum((queries[:, None] - x) ** 2, axis=2)
    want = logsumexp(-squares / (2 * 0.25), axis=1) - np.log(300 * 2 * np.pi * 0.25)
    np.testing.assert_allclose(model.log_prob(queries.astype(dtype)), want, rtol=rtol, atol=1e-5 if dtype == np.float32 else 0)


def test_far_from_the_origin_is_as_good_as_near():
    x = np.random.default_rng(2).standard_normal((100, 3)).astype(np.float32)
    near, far = KDE.fit(x, 0.5), KDE.fit(x + np.float32(512), 0.5)
    np.testing.assert_allclose(far.log_prob(far.data), near.log_prob(far.data - np.float32(512)), atol=1e-3)
    np.testing.assert_allclose(leave_one_out(far.data, [0.2], "gaussian"), leave_one_out(x, [0.2], "gaussian"), atol=1e-3)


@pytest.mark.verifies("kde.5")
@pytest.mark.verifies("kde.6")
@pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
@pytest.mark.parametrize("bandwidth", [1.7, "scott"])
def test_score_is_the_gradient(kernel, bandwidth, d):
    model = KDE.fit(cloud(30, d), bandwidth, kernel)
    x = model.sample(40, np.random.default_rng(3))
    h = 1e-6
    want = np.transpose([(model.log_prob(x + h * e) - model.log_prob(x - h * e)) / (2 * h) for e in np.eye(d)])
    np.testing.assert_allclose(model.score(x), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grad(lambda x: np.sum(model.log_prob(x)))(x), model.score(x), rtol=1e-7, atol=1e-9)


def test_score_in_blocks_and_where_it_is_not_defined():
    model = KDE.fit(cloud(900, 2), 0.5, "epanechnikov")
    x = np.concatenate([model.data[:200], [[1e3, 0.0]]])
    np.testing.assert_allclose(model.score(x)[:200], np.concatenate([model.score(row[None]) for row in x[:200]]), rtol=1e-9, atol=1e-9)
    assert np.all(np.isnan(model.score(x)[200])) and model.log_prob(x)[200] == -np.inf
    with pytest.raises(ValueError, match='kernel is "uniform"'):
        KDE.fit(cloud(9, 2), 0.5, "uniform").score(x)


@pytest.mark.verifies("kde.8")
@pytest.mark.parametrize("dim", [1, 2, 3, 8])
def test_kernel_noise_has_the_radius_and_covariance_of_the_kernel(kernel, dim):
    n = 20_000
    v = kernel_noise(kernel, (n, dim), np.random.default_rng(4), np.zeros(1))
    squares = np.sum(v**2, axis=1)
    # ‖v‖² is χ² for a Gaussian; its density ∝ r^(D−1) K(r) makes it Beta(D/2, 1) and Beta(D/2, 2) for the others.
    law = {"gaussian": chi2(dim), "uniform": beta(dim / 2, 1), "epanechnikov": beta(dim / 2, 2)}[kernel]
    distance = np.max(np.abs(np.sort(law.cdf(squares)) - (np.arange(n) + 0.5) / n))
    assert distance < 2.7 / np.sqrt(n)  # Kolmogorov's law: exceeded once in a million
    variance = {"gaussian": 1, "uniform": 1 / (dim + 2), "epanechnikov": 1 / (dim + 4)}[kernel]
    assert np.all(np.abs(v.T @ v / n / variance - np.eye(dim)) < (Z + 1) * np.sqrt((1 + np.eye(dim)) / n))
    assert np.all(np.abs(v.mean(0)) < (Z + 1) * np.sqrt(variance / n))


@pytest.mark.verifies("kde.7")
@pytest.mark.parametrize("bandwidth", [0.8, "scott"])
def test_samples_have_the_density(kernel, bandwidth):
    model, n = KDE.fit(cloud(6, 2), bandwidth, kernel), 30_000
    x = model.sample(n, np.random.default_rng(5))
    assert np.all(model.log_prob(x) > -np.inf)
    # A histogram of one coordinate: its bins' probabilities from a long grid over the plane.
    axes = [np.linspace(c - 15, c + 15, 601) for c in model.data.mean(0)]
    density = np.exp(model.log_prob(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))).reshape(601, 601)
    for axis in (0, 1):
        margin = density.sum(1 - axis)
        edges = np.quantile(x[:, axis], np.linspace(0, 1, 11))[1:-1]
        cdf = np.interp(edges, axes[axis][:-1] + (axes[axis][1] - axes[axis][0]) / 2, np.cumsum(margin)[:-1] / margin.sum())
        # The empirical distribution function at its own deciles, ± grid error.
        assert np.all(np.abs(cdf - np.arange(0.1, 0.95, 0.1)) < 2.7 / np.sqrt(n) + 2e-3)


@pytest.mark.verifies("kde.7")
@pytest.mark.parametrize("bandwidth", [1.5, "scott"])
def test_samples_have_the_mean_and_covariance_of_the_estimate(kernel, bandwidth):
    x, n = cloud(10, 2), 40_000
    model = KDE.fit(x, bandwidth, kernel)
    h, variance = root(model), {"gaussian": 1, "uniform": 1 / 4, "epanechnikov": 1 / 6}[kernel]
    cov = np.cov(x.T, bias=True) + variance * h @ h.T
    white = np.linalg.solve(np.linalg.cholesky(cov), (model.sample(n, np.random.default_rng(6)) - x.mean(0)).T).T
    assert np.all(np.abs(white.mean(0)) < Z / np.sqrt(n))
    assert np.all(np.abs(white.T @ white / n - np.eye(2)) < Z * np.sqrt(3 / n))  # no coordinate has heavier tails than a Gaussian


def test_every_datum_is_drawn_as_often(kernel):
    model, n = KDE.fit(10 * np.arange(5.0)[:, None], 0.1, kernel), 20_000
    counts = np.bincount(np.rint(model.sample(n, np.random.default_rng(7))[:, 0] / 10).astype(int), minlength=5)
    assert np.sum((counts - n / 5) ** 2 / (n / 5)) < chi2.isf(1e-6, 4)


@pytest.mark.verifies("kde.9")
@pytest.mark.verifies("kde.10")
@pytest.mark.verifies("kde.11")
@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_rules_make_the_kernel_a_fraction_of_the_covariance(kernel, d, rule):
    x = cloud(40, d)
    model, peer = KDE.fit(x, rule, kernel), gaussian_kde(x.T, rule)
    variance = {"gaussian": 1, "uniform": 1 / (d + 2), "epanechnikov": 1 / (d + 4)}[kernel]
    np.testing.assert_allclose(variance * model.bandwidth @ model.bandwidth.T, peer.covariance, rtol=1e-10)
    np.testing.assert_allclose(peer.covariance, peer.factor**2 * np.cov(x.T), rtol=1e-10)
    if kernel == "gaussian":
        np.testing.assert_allclose(model.log_prob(x[:9] + 1), peer.logpdf((x[:9] + 1).T), rtol=1e-10)


@pytest.mark.verifies("kde.11")
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_silverman_minimises_the_asymptotic_error_for_normal_data(dim):
    n = 500  # AMISE = R(K) / (n hᴰ) + h⁴/4 ∫ (Δφ)², where both integrals hold (4π)^(−D/2)
    error = lambda log_h: np.exp(-dim * log_h) / n + np.exp(4 * log_h) * dim * (dim + 2) / 16
    best = minimize_scalar(error, bounds=(-4, 2), method="bounded", options={"xatol": 1e-10})
    np.testing.assert_allclose(kde.FACTORS["silverman"](n, dim), np.exp(best.x), rtol=1e-6)


@pytest.mark.verifies("kde.12")
def test_leave_one_out_leaves_one_out(kernel, d):
    x = cloud(25, d)
    bandwidths = [0.05, 0.7, 3.0, 20.0]
    for h, got in zip(bandwidths, leave_one_out(x, bandwidths, kernel), strict=True):
        want = [KDE.fit(np.delete(x, i, axis=0), h, kernel).log_prob(x[i : i + 1])[0] for i in range(25)]
        np.testing.assert_allclose(got, np.mean(want), rtol=1e-10)
    p, peak = np.exp(KDE.fit(x, 20.0, kernel).log_prob(x)), np.exp(log_peak(kernel, d)) / 20.0**d
    np.testing.assert_allclose(np.mean(np.log((25 * p - peak) / 24)), got, rtol=1e-9)


@pytest.mark.verifies("kde.12")
def test_leave_one_out_in_blocks(kernel):
    x = cloud(500, 2)  # 131 rows fit in a block
    squares = np.sum((x[:, None] - x) ** 2, axis=2)
    np.fill_diagonal(squares, np.inf)
    k = {"gaussian": np.exp(-squares / 2 / 9), "uniform": squares <= 9, "epanechnikov": np.maximum(1 - squares / 9, 0)}[kernel]
    with np.errstate(divide="ignore"):
        want = np.mean(np.log(k.sum(1))) + log_peak(kernel, 2) - np.log(499 * 9)
    np.testing.assert_allclose(leave_one_out(x, [3.0], kernel), [want], rtol=1e-10)


@pytest.mark.verifies("kde.13")
@pytest.mark.verifies("kde.14")
@pytest.mark.parametrize("n", [2, 3, 30, 200])
def test_cross_validation_finds_the_best_of_all_bandwidths(kernel, d, n):
    x = cloud(n, d, seed=n)
    chosen = KDE.fit(x, "cv", kernel)
    assert chosen.bandwidth.shape == ()
    low, high = bandwidth_range(x, kernel)
    h = np.geomspace(low / 30, high * 30, 400)
    scores = leave_one_out(x, h.tolist(), kernel)
    best = float(leave_one_out(x, [float(chosen.bandwidth)], kernel)[0])
    assert low * 0.98 <= h[np.argmax(scores)] <= high * 1.02  # a step of the grid beside
    assert best > scores.max() - {"gaussian": 1e-4, "epanechnikov": 2e-2, "uniform": 0.1}[kernel]  # smooth, kinked, and with jumps in h


@pytest.mark.verifies("kde.13")
@pytest.mark.parametrize("n", [3, 40, 400])  # 400: several blocks
def test_gaussian_range_and_the_equation_of_its_maximum(d, n):
    x = cloud(n, d)
    squares = np.sum((x[:, None] - x) ** 2, axis=2)
    np.fill_diagonal(squares, np.inf)
    low, high = bandwidth_range(x, "gaussian")
    np.testing.assert_allclose(low**2 * d, squares.min(1).mean(), rtol=1e-9)
    np.testing.assert_allclose(high**2 * d, squares[np.isfinite(squares)].mean(), rtol=1e-9)
    h = float(KDE.fit(x, "cv").bandwidth)
    w = np.exp(-squares / (2 * h * h))
    np.fill_diagonal(squares, 0)
    assert low <= h <= high
    np.testing.assert_allclose(np.mean((w * squares).sum(1) / w.sum(1)), d * h * h, rtol=0.03)  # h is known to 0.5 %


@pytest.mark.verifies("kde.14")
@pytest.mark.parametrize("kernel", ["uniform", "epanechnikov"])
def test_compact_range(kernel, d):
    x = cloud(30, d)
    distances = np.sqrt(np.sum((x[:, None] - x) ** 2, axis=2))
    low, high = bandwidth_range(x, kernel)
    assert high >= np.sqrt(1 + 2 / d) * distances.max()
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(low, distances.min(1).max(), rtol=1e-4)
    assert leave_one_out(x, [low], kernel)[0] > -np.inf == leave_one_out(x, [0.999 * low], kernel)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bandwidth", [0.9, "silverman", "cv"])
def test_every_library_and_dtype(kernel, bandwidth, dtype, device):
    host = cloud(50, 3)
    x = to_device(host.astype(dtype), device)
    model, want = KDE.fit(x, bandwidth, kernel), KDE.fit(host, bandwidth, kernel)
    outputs = [model.data, model.bandwidth, model.log_prob(x), model.sample(4, np.random.default_rng(0))]
    outputs += [] if kernel == "uniform" else [model.score(x)]
    assert {a.dtype for a in outputs} == {np.dtype(dtype)}
    assert {array_module(a) for a in outputs} == {array_module(x)}
    np.testing.assert_allclose(to_host(model.log_prob(x)), want.log_prob(host), rtol=1e-3 if dtype == np.float32 else 1e-9)
    np.testing.assert_allclose(to_host(outputs[3]), want.sample(4, np.random.default_rng(0)), atol=1e-3) if dtype == np.float64 else None


@pytest.mark.parametrize("bandwidth", [0.9, "scott"])
def test_a_device_gets_large_blocks_and_is_not_waited_for(kernel, bandwidth, install_standin):
    x = to_device(cloud(1500, 2), "cuda")
    model = KDE.fit(x, bandwidth, kernel)
    with install_standin.forbid("sync", "h2d"), install_standin.counting() as counts:
        model.log_prob(x)
        if kernel != "uniform":
            model.score(x)
    assert counts["launch"] < 100  # blocks of a cache's size would be 35


def test_more_data_than_a_block_can_hold():
    data = np.zeros((2**22 + 1, 1), np.float32)
    model, one = KDE.fit(data, 1.0), KDE.fit(data[:1], 1.0)
    x = np.array([[0.5]], np.float32)
    np.testing.assert_allclose(model.log_prob(x), one.log_prob(x), rtol=1e-5)


def test_data_are_not_changed(kernel):
    x = cloud(30, 2)
    before = x.copy()
    model = KDE.fit(x, "cv", kernel)
    model.log_prob(x), model.sample(3, np.random.default_rng(0))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "options", "error", "words"),
    [
        (cloud(9, 2).astype(int), {}, TypeError, "x is int64; expected a floating-point array"),
        (np.ones(5), {}, ValueError, "expected \\(n, D\\)"),
        (np.full((3, 2), np.nan), {"bandwidth": 1.0}, ValueError, "NaN or infinite"),
        (np.ones((0, 2)), {"bandwidth": 1.0}, ValueError, "n = 0 rows"),
        (np.ones((1, 2)), {"bandwidth": "cv"}, ValueError, "n = 1 rows; expected at least 2"),
        (cloud(9, 2), {"kernel": "cosine"}, ValueError, "kernel is 'cosine'; expected one of 'gaussian', 'uniform', 'epanechnikov'"),
        (cloud(9, 2), {"bandwidth": "best"}, ValueError, "bandwidth is 'best'"),
        (cloud(9, 2), {"bandwidth": 0.0}, ValueError, "bandwidth is 0.0"),
        (cloud(9, 2), {"bandwidth": -1}, ValueError, "bandwidth is -1"),
        (cloud(9, 2), {"bandwidth": np.inf}, ValueError, "bandwidth is inf"),
        (cloud(9, 2), {"bandwidth": np.nan}, ValueError, "bandwidth is nan"),
        (cloud(3, 3), {}, ValueError, "covariance of x is singular"),
        (cloud(9, 2) @ np.array([[1.0, 2, 3], [4, 5, 6]]), {"bandwidth": "silverman"}, ValueError, "bandwidth is 'silverman'"),
        (np.ones((9, 2)), {}, ValueError, "covariance of x is singular"),
        (np.repeat(cloud(5, 2), 2, axis=0), {"bandwidth": "cv"}, ValueError, "each row of x has an equal one"),
        (np.repeat(cloud(5, 2), 2, axis=0).astype(np.float32), {"bandwidth": "cv", "kernel": "uniform"}, ValueError, "equal one"),
    ],
)
def test_bad_data_and_options_are_refused(x, options, error, words):
    with pytest.raises(error, match=words):
        KDE.fit(x, **options)


def test_bad_queries_are_refused():
    model = KDE.fit(cloud(9, 2))
    for method in (model.log_prob, model.score):
        with pytest.raises(ValueError, match="x has shape \\(4, 3\\); expected \\(n, 2\\)"):
            method(np.ones((4, 3)))
