"""Gaussian mixtures against their definitions: SciPy's normal density, quadrature, Bayes' rule, finite differences, Monte Carlo."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from minigen import grad
from minigen.backend import array_module, to_device, to_host
from minigen.models.gmm import COVARIANCES, GMM, conditional, log_joint, maximise, statistics, whiten
from minigen.testing import check_gradients, check_score

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score


def mixture(covariance, k=3, d=2, seed=0):
    """A random mixture of overlapping components."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((k, d, d + 2))
    full = a @ a.swapaxes(1, 2) / (d + 2)
    covariances = {"full": full, "tied": full[0], "diag": np.einsum("kdd->kd", full), "spherical": full[:, 0, 0]}[covariance]
    return GMM(rng.dirichlet(3 * np.ones(k)), 2 * rng.standard_normal((k, d)), covariances, covariance)


def matrices(model):
    """The covariances as a list of matrices, written out."""
    c, (k, d) = model.covariances, model.means.shape
    return {
        "full": lambda: list(c),
        "tied": lambda: [c] * k,
        "diag": lambda: [np.diag(v) for v in c],
        "spherical": lambda: [v * np.eye(d) for v in c],
    }[model.covariance]()


def joint(model, x):
    """log π_j N(x | μ_j, Σ_j) (n, k), by SciPy."""
    terms = [multivariate_normal(m, c).logpdf(x).reshape(len(x)) for m, c in zip(model.means, matrices(model), strict=True)]
    return np.log(model.weights) + np.stack(terms, axis=1)


def grid(d, half=12.0, points=161):
    """Points of a grid on [−half, half]ᵈ and the volume of a cell: the trapezoidal rule, spectrally accurate for Gaussians."""
    axis = np.linspace(-half, half, points)
    return np.stack(np.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d), (axis[1] - axis[0]) ** d


def clouds(n, k=3, d=2, seed=0):
    return mixture("full", k, d, seed).sample(n, np.random.default_rng(seed))


types = pytest.mark.parametrize("covariance", COVARIANCES)


# ---- The density ----
@pytest.mark.verifies("gmm.1")
@pytest.mark.verifies("gmm.3")
@types
@pytest.mark.parametrize(("n", "d"), [(1, 1), (40, 3), (9000, 2), (0, 2)])
def test_log_prob_is_the_log_of_the_sum(device, covariance, n, d):
    model, x = mixture(covariance, 4, d), 3 * np.random.default_rng(1).standard_normal((n, d))
    found = to_device(model, device).log_prob(to_device(x, device))
    assert array_module(found) is array_module(to_device(x, device))
    np.testing.assert_allclose(to_host(found), logsumexp(joint(model, x), axis=1) if n else np.zeros(0), rtol=1e-10, atol=1e-10)


@types
def test_the_density_integrates_to_one(covariance):
    x, cell = grid(2)
    assert np.exp(mixture(covariance).log_prob(x)).sum() * cell == pytest.approx(1, abs=1e-9)


@pytest.mark.verifies("gmm.2")
@types
def test_white_coordinates_restore_the_point_and_are_white(covariance):
    model, x = mixture(covariance, 3, 4), np.random.default_rng(0).standard_normal((7, 4))
    inverse = model.inverse_roots()
    y = whiten(model.means, inverse, x)
    for j, c in enumerate(matrices(model)):
        root = np.linalg.cholesky(c)
        np.testing.assert_allclose(y[j].T @ root.T + model.means[j], x, atol=1e-12)
        w = inverse[j] if inverse.ndim == 3 else np.diag(inverse[j])
        np.testing.assert_allclose(w @ c @ w.T, np.eye(4), atol=1e-11)


@pytest.mark.verifies("gmm.3")
@types
def test_each_component_has_its_normal_density(covariance):
    model, x = mixture(covariance, 3, 3), np.random.default_rng(0).standard_normal((5, 3))
    inverse = model.inverse_roots()
    np.testing.assert_allclose(log_joint(model.weights, inverse, whiten(model.means, inverse, x)).T, joint(model, x), rtol=1e-11)


@pytest.mark.verifies("gmm.4")
@types
def test_responsibilities_are_bayes_rule(device, covariance):
    model, x = mixture(covariance, 4, 2), 3 * np.random.default_rng(1).standard_normal((50, 2))
    r = to_host(to_device(model, device).responsibilities(to_device(x, device)))
    expected = np.exp(joint(model, x))
    np.testing.assert_allclose(r, expected / expected.sum(1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(to_host(to_device(model, device).predict(to_device(x, device))), expected.argmax(1))


def test_far_away_nothing_overflows_and_a_weight_of_zero_is_allowed():
    model = GMM(np.array([0.0, 1.0]), np.array([[0.0], [5.0]]), np.array([[1.0], [4.0]]), "diag")
    x = np.array([[1e6], [0.0]])
    np.testing.assert_allclose(model.log_prob(x), multivariate_normal([5.0], [[4.0]]).logpdf(x), rtol=1e-12)
    np.testing.assert_array_equal(model.responsibilities(x), [[0, 1], [0, 1]])
    assert np.all(np.isfinite(model.score(x)))


@pytest.mark.verifies("gmm.11")
@types
def test_the_score_is_the_gradient_of_log_prob(device, covariance):
    model, x = mixture(covariance, 3, 3), 2 * np.random.default_rng(1).standard_normal((20, 3))
    check_score(model.score, model.log_prob, x)
    found = to_device(model, device).score(to_device(x, device))
    assert array_module(found) is array_module(to_device(x, device))
    np.testing.assert_allclose(to_host(found), grad(lambda x: np.sum(model.log_prob(x)))(x), atol=1e-11)


@types
def test_log_prob_can_be_differentiated_by_the_parameters(covariance):
    model, x = mixture(covariance, 2, 2), np.random.default_rng(1).standard_normal((5, 2))
    # Only symmetric covariances are allowed, so that a difference must be of the same change in both halves.
    symmetric = (lambda c: (c + np.swapaxes(c, -1, -2)) / 2) if covariance in ("full", "tied") else lambda c: c
    f = lambda w, m, c: GMM(w, m, symmetric(c), covariance).log_prob(x)
    check_gradients(f, (model.weights, model.means, model.covariances), order=1)


# ---- Expectation and maximisation ----
@pytest.mark.verifies("gmm.5")
@types
def test_statistics_are_sums_and_merge_by_addition(covariance):
    rng = np.random.default_rng(0)
    x, r = rng.standard_normal((20, 3)), rng.dirichlet(np.ones(4), 20).T
    counts, sums, second = statistics(x, r, covariance)
    outer = np.array([sum(r[j, i] * np.outer(x[i], x[i]) for i in range(20)) for j in range(4)])
    expected = {"full": outer, "tied": outer.sum(0)}.get(covariance, np.einsum("kdd->kd", outer))
    np.testing.assert_allclose(second, expected, atol=1e-12)
    np.testing.assert_allclose(counts, [sum(r[j]) for j in range(4)], rtol=1e-12)
    np.testing.assert_allclose(sums, [sum(r[j, i] * x[i] for i in range(20)) for j in range(4)], atol=1e-12)
    halves = statistics(x[:7], r[:, :7], covariance), statistics(x[7:], r[:, 7:], covariance)
    for whole, a, b in zip((counts, sums, second), *halves, strict=True):
        np.testing.assert_allclose(a + b, whole, atol=1e-12)
    assert {a.dtype for a in statistics(x.astype(np.float32), r.astype(np.float32), covariance)} == {np.dtype(np.float64)}


def directions(model, rng):
    """Small changes of the parameters that stay within the type."""
    k, d = model.means.shape
    logits = np.log(model.weights) + 0.05 * rng.standard_normal(k)
    yield {"weights": np.exp(logits) / np.exp(logits).sum()}
    yield {"means": model.means + 0.05 * rng.standard_normal((k, d))}
    change = rng.standard_normal(model.covariances.shape)
    if model.covariance in ("full", "tied"):
        a = np.eye(d) + 0.05 * change
        yield {"covariances": a @ model.covariances @ np.swapaxes(a, -1, -2)}
    else:
        yield {"covariances": model.covariances * np.exp(0.05 * change)}


@pytest.mark.verifies("gmm.6")
@pytest.mark.verifies("gmm.7")
@pytest.mark.verifies("gmm.8")
@pytest.mark.verifies("gmm.9")
@pytest.mark.verifies("gmm.10")
@types
def test_the_m_step_maximises_the_expected_complete_likelihood(covariance):
    rng = np.random.default_rng(0)
    x, r, origin = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 3)), rng.dirichlet(np.ones(2), 60).T, np.array([1.0, -2.0, 0.5])
    model = maximise(*statistics(x - origin, r, covariance), origin, covariance, 0.0)
    value = lambda m: (r.T * joint(m, x)).sum()
    best = value(model)
    for _ in range(20):
        for changed in directions(model, rng):
            assert value(GMM(**{**vars(model), **changed})) < best
    # At a maximum the slope is 0: a move by ±h changes the value by −h² and −h² up to h³, not by ±h.
    for changed in directions(model, rng):
        for name, new in changed.items():
            old = getattr(model, name)
            at = [value(GMM(**{**vars(model), name: old + s * 1e-3 * (new - old)})) for s in (-1, 1)]
            assert abs(at[1] - at[0]) < 0.1 * abs(2 * best - sum(at)) + 1e-9


@types
def test_reg_adds_to_the_diagonal(covariance):
    rng = np.random.default_rng(0)
    x, r = rng.standard_normal((30, 2)), rng.dirichlet(np.ones(2), 30).T
    plain, loaded = (maximise(*statistics(x, r, covariance), np.zeros(2), covariance, reg) for reg in (0.0, 0.3))
    for a, b in zip(matrices(plain), matrices(loaded), strict=True):
        np.testing.assert_allclose(b - a, 0.3 * np.eye(2), atol=1e-12)


@types
@pytest.mark.parametrize("seed", range(6))
def test_without_reg_the_likelihood_never_falls(covariance, seed):
    k = 1 + seed % 4
    start = mixture(covariance, k, 2, seed + 100)
    start.covariances = 9 * start.covariances  # wide, so that no component starts on a single point
    model = GMM.fit(clouds(150, seed=seed), k, init=start, covariance=covariance, reg=0.0, max_iter=25, tol=-np.inf)
    assert len(model.history) == 26 and np.all(np.diff(model.history) >= -1e-11)


@types
def test_at_the_end_the_fixed_point_holds(covariance):
    x = clouds(300)
    model = GMM.fit(x, 3, rng=np.random.default_rng(0), covariance=covariance, reg=0.0, max_iter=3000, tol=1e-14)
    assert len(model.history) < 3001
    r = np.exp(joint(model, x))
    r /= r.sum(1, keepdims=True)
    np.testing.assert_allclose(model.weights, r.mean(0), atol=1e-5)
    np.testing.assert_allclose(model.means, r.T @ x / r.sum(0)[:, None], atol=1e-4)
    scatters = [np.einsum("n,nd,ne->de", r[:, j], x - model.means[j], x - model.means[j]) for j in range(3)]
    own = [s / n for s, n in zip(scatters, r.sum(0), strict=True)]
    expected = {
        "full": own,
        "tied": [sum(scatters) / 300] * 3,
        "diag": [np.diag(np.diag(c)) for c in own],
        "spherical": [np.trace(c) / 2 * np.eye(2) for c in own],
    }[covariance]
    np.testing.assert_allclose(matrices(model), expected, atol=1e-4)
    slope = grad(lambda m: np.mean(m.log_prob(x)))(model)
    np.testing.assert_allclose(slope.means, 0, atol=1e-5)
    np.testing.assert_allclose(slope.covariances, 0, atol=1e-5)
    np.testing.assert_allclose(slope.weights, slope.weights[0], atol=1e-4)  # equal: only their sum is fixed


@types
def test_history_is_the_mean_log_prob_after_each_round(device, covariance):
    x = clouds(100)
    start = GMM.fit(x, 2, rng=np.random.default_rng(0), covariance=covariance, max_iter=0)
    assert len(start.history) == 1
    for t in range(4):
        model = GMM.fit(to_device(x, device), 2, init=start, covariance=covariance, max_iter=t, tol=-np.inf)
        assert all(array_module(a) is array_module(to_device(x, device)) for a in (model.means, model.covariances, model.history))
        model = to_host(model)
        assert len(model.history) == t + 1
        assert model.history[-1] == pytest.approx(logsumexp(joint(model, x), axis=1).mean(), rel=1e-12)
        if t:
            np.testing.assert_allclose(model.history[:-1], before.history, rtol=1e-12)  # noqa: F821
        before = model  # noqa: F841


def test_it_stops_when_the_gain_is_below_tol():
    model = GMM.fit(clouds(300), 3, rng=np.random.default_rng(0), tol=1e-3)
    gains = np.diff(model.history)
    assert 1 < len(gains) < 100 and gains[-1] < 1e-3 and np.all(gains[:-1] >= 1e-3)


def test_the_start_is_the_clusters_of_kmeans():
    x = np.concatenate([clouds(50, k=1), clouds(150, k=1) + 50])
    model = GMM.fit(x, 2, rng=np.random.default_rng(0), max_iter=0, reg=0.0)
    order = np.argsort(model.weights)
    np.testing.assert_allclose(model.weights[order], [0.25, 0.75], rtol=1e-12)
    for j, part in zip(order, (x[:50], x[50:]), strict=True):
        np.testing.assert_allclose(model.means[j], part.mean(0), rtol=1e-10)
        np.testing.assert_allclose(model.covariances[j], np.cov(part.T, ddof=0), rtol=1e-9)


@types
def test_the_truth_is_found(covariance):
    truth = mixture(covariance, 3, 2)
    truth.means = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    x = truth.sample(4000, np.random.default_rng(1))
    model = GMM.fit(x, 3, rng=np.random.default_rng(0), covariance=covariance)
    order = [((model.means - m) ** 2).sum(1).argmin() for m in truth.means]
    np.testing.assert_allclose(model.weights[order], truth.weights, atol=0.06)
    np.testing.assert_allclose(model.means[order], truth.means, atol=0.25)
    np.testing.assert_allclose(np.array(matrices(model))[order], matrices(truth), atol=0.4)


@types
def test_many_points_never_make_a_matrix_of_points_by_components(covariance):
    x = np.random.default_rng(0).standard_normal((100_000, 2))
    units = {"full": np.stack([np.eye(2)] * 50), "tied": np.eye(2), "diag": np.ones((50, 2)), "spherical": np.ones(50)}
    start = GMM(np.full(50, 0.02), x[:50], units[covariance], covariance)
    tracemalloc.start()
    try:
        GMM.fit(x, 50, init=start, covariance=covariance, max_iter=1)
        assert tracemalloc.get_traced_memory()[1] < 100_000 * 50 * 8 / 1.5
    finally:
        tracemalloc.stop()


# ---- Samples, marginals, conditionals ----
def assert_mean(values, expected):
    """The mean of independent values agrees with the expectation, coordinate by coordinate."""
    error = values.std(0) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(0) - expected) < Z * error + 1e-12)


@pytest.mark.verifies("gmm.12")
@types
def test_samples_follow_the_density(device, covariance):
    model = mixture(covariance)
    x = to_host(to_device(model, device).sample(20_000, np.random.default_rng(0)))
    points, cell = grid(2)
    p = np.exp(model.log_prob(points)) * cell
    assert_mean(x, p @ points)
    assert_mean(x[:, :, None] * x[:, None], np.einsum("n,nd,ne->de", p, points, points))
    assert_mean(model.log_prob(x), p @ model.log_prob(points))
    for j in range(3):
        assert_mean(model.responsibilities(x)[:, j], model.weights[j])


@pytest.mark.verifies("gmm.13")
@types
@pytest.mark.parametrize("dims", [[0], [2], [0, 2], [2, 1]])
def test_a_marginal_is_the_integral_over_the_rest(covariance, dims):
    model, known = mixture(covariance, 2, 3), np.random.default_rng(0).standard_normal((3, len(dims)))
    rest = [d for d in range(3) if d not in dims]
    points, cell = grid(len(rest))
    for row, found in zip(known, model.marginal(dims).log_prob(known), strict=True):
        x = np.empty((len(points), 3))
        x[:, dims], x[:, rest] = row, points
        assert np.exp(found) == pytest.approx(np.exp(model.log_prob(x)).sum() * cell, rel=1e-8)


def test_the_marginal_of_all_dimensions_is_the_model():
    model, x = mixture("full", 2, 3), np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(model.marginal([0, 1, 2]).log_prob(x), model.log_prob(x), rtol=1e-12)


@pytest.mark.verifies("gmm.14")
@pytest.mark.parametrize(("observed", "missing"), [([0], [1, 2]), ([2], [1, 0]), ([0, 2], [1]), ([], [0, 1, 2]), ([1, 0, 2], [])])
def test_a_conditional_is_the_joint_over_the_marginal(observed, missing):
    model, x = mixture("full", 3, 3), np.random.default_rng(0).standard_normal((4, 3))
    o, m = np.array(observed, int), np.array(missing, int)
    r, centers, roots = conditional(model.weights, model.means, model.covariances, x[:, o], o, m)
    for i in range(4):
        parts = [
            r[j, i] * (multivariate_normal(centers[j, i], roots[j] @ roots[j].T).pdf(x[i, m]) if missing else 1.0) for j in range(3)
        ]
        expected = model.log_prob(x[i : i + 1])[0] - (model.marginal(observed).log_prob(x[i : i + 1, o])[0] if observed else 0.0)
        assert np.log(sum(parts)) == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(r[:, i], model.marginal(observed).responsibilities(x[i : i + 1, o])[0] if observed else model.weights)


@pytest.mark.verifies("gmm.14")
@pytest.mark.verifies("gmm.15")
@types
@pytest.mark.parametrize("missing", [[1], [0, 2], [0, 1]])
def test_imputation_has_the_moments_of_the_conditional(device, covariance, missing):
    model, rng = mixture(covariance, 3, 3), np.random.default_rng(0)
    full = rng.standard_normal((2, 3))
    x = full.copy()
    x[:, missing] = np.nan
    mean, draws = map(to_host, to_device(model, device).impute(to_device(x, device), rng, 4000))
    observed = [d for d in range(3) if d not in missing]
    assert mean.shape == (2, 3) and draws.shape == (4000, 2, 3)
    np.testing.assert_array_equal(mean[:, observed], full[:, observed])
    np.testing.assert_array_equal(draws[:, :, observed], np.broadcast_to(full[:, observed], (4000, 2, len(observed))))
    points, _ = grid(len(missing))
    for i in range(2):
        at = np.empty((len(points), 3))
        at[:, missing], at[:, observed] = points, full[i, observed]
        p = np.exp(model.log_prob(at))
        p /= p.sum()
        drawn = draws[:, i, missing]
        np.testing.assert_allclose(mean[i, missing], p @ points, atol=1e-8)
        assert_mean(drawn, p @ points)
        assert_mean(drawn[:, :, None] * drawn[:, None], np.einsum("n,nd,ne->de", p, points, points))
        assert_mean(model.log_prob(draws[:, i]), p @ model.log_prob(at))


def test_imputation_row_by_row(device):
    """Rows of all patterns together: each is as if it were alone; nothing missing and everything missing are fine."""
    model, rng = mixture("full", 2, 3), np.random.default_rng(0)
    x = rng.standard_normal((8, 3))
    x[np.array([[i >> b & 1 for b in range(3)] for i in range(8)], bool)] = np.nan
    before = x.copy()
    at = to_device(model, device), to_device(x, device)
    mean, draws = at[0].impute(at[1], rng, 3000)
    assert array_module(mean) is array_module(draws) is array_module(at[1])
    mean, draws = to_host(mean), to_host(draws)
    np.testing.assert_array_equal(to_host(at[1]), before)
    np.testing.assert_array_equal(mean[0], x[0])
    np.testing.assert_array_equal(draws[:, 0], np.broadcast_to(x[0], (3000, 3)))
    np.testing.assert_allclose(mean[7], model.weights @ model.means)
    assert np.all(np.isfinite(draws)) and len(np.unique(draws[:, 7, 0])) == 3000
    assert_mean(draws[:, 7], model.weights @ model.means)
    for i in range(8):
        np.testing.assert_allclose(mean[i], model.impute(x[i : i + 1], rng, 1)[0][0], rtol=1e-12)
    assert model.impute(x[:, :3][:0], rng, 2)[1].shape == (2, 0, 3) and model.impute(x, rng, 0)[1].shape == (0, 8, 3)


# ---- Precision, errors, peers ----
@types
def test_float32_stays_float32_and_agrees_with_float64(covariance):
    x = (clouds(400, k=2) + 300).astype(np.float32)
    single, double = (GMM.fit(a, 2, rng=np.random.default_rng(0), covariance=covariance, max_iter=5) for a in (x, x.astype(float)))
    nans = x[:3].copy()
    nans[1, 0] = np.nan
    outputs = (
        single.weights, single.means, single.covariances, single.log_prob(x), single.score(x), single.responsibilities(x),
        single.sample(5, np.random.default_rng(0)), *single.impute(nans, np.random.default_rng(0), 2),
    )  # fmt: skip
    assert {a.dtype for a in outputs} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single.means, double.means, atol=1e-3)
    np.testing.assert_allclose(single.covariances, double.covariances, atol=2e-3)
    np.testing.assert_allclose(single.log_prob(x), double.log_prob(x.astype(float)), atol=5e-3)


def test_tight_clusters_far_apart_keep_their_covariance_in_float32():
    rng = np.random.default_rng(0)
    x = (np.repeat([[0.0, 0.0], [3000.0, 1000.0]], 500, axis=0) + rng.standard_normal((1000, 2))).astype(np.float32)
    model = GMM.fit(x, 2, rng=rng, reg=0.0)
    for j, c in enumerate(model.covariances):
        part = x[model.predict(x) == j].astype(float)
        np.testing.assert_allclose(c, np.cov(part.T, ddof=0), rtol=1e-3, atol=1e-3)


@types
def test_init_takes_the_dtype_of_the_data(covariance):
    x = clouds(100)
    start = GMM.fit(x, 2, rng=np.random.default_rng(0), covariance=covariance, max_iter=0)
    model = GMM.fit(x.astype(np.float32), 2, init=start, covariance=covariance, max_iter=0)
    assert model.means.dtype == model.weights.dtype == model.covariances.dtype == np.float32
    np.testing.assert_allclose(model.means, start.means, rtol=1e-6)


line = np.linspace(0, 1, 20)[:, None] * np.array([1.0, 2.0, -1.0])
DEGENERATE = {
    "a plane": (line, 1, ("full", "tied")),
    "a constant": (clouds(30) * np.array([1.0, 0.0]), 2, ("full", "tied", "diag")),
    "two points": (np.repeat([[0.0, 1.0], [2.0, 5.0]], 10, axis=0), 2, COVARIANCES),
    "a distant point": (np.concatenate([clouds(30), [[1e4, 1e4]]]), 2, ("full", "diag", "spherical")),
    "a plane up to rounding": (line + 1e-9 * np.random.default_rng(0).standard_normal((20, 3)), 1, ("full", "tied")),
}


@pytest.mark.parametrize(("case", "covariance"), [(case, c) for case, (*_, kinds) in DEGENERATE.items() for c in kinds])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_singular_cluster_is_a_clear_error_or_regularised(device, case, covariance, dtype):
    x, k, _ = DEGENERATE[case]
    if case == "a plane up to rounding" and dtype == np.float64:
        pytest.skip("1e-9 is no rounding in float64")
    x = to_device(x.astype(dtype), device)
    with pytest.raises(ValueError, match="larger reg, fewer components or covariance='diag'"):
        GMM.fit(x, k, rng=np.random.default_rng(0), covariance=covariance, reg=0.0)
    model = to_host(GMM.fit(x, k, rng=np.random.default_rng(0), covariance=covariance, reg=1e-3))
    assert np.all(np.isfinite(model.log_prob(to_host(x)))) and np.isfinite(model.history[-1])


@pytest.mark.parametrize("covariance", ["full", "tied", "diag"])
def test_a_thin_cluster_is_not_singular(covariance):
    noise, side = np.random.default_rng(0).standard_normal((10_000, 2)) * np.array([1.0, 1e-6]), np.arange(10_000) % 2
    model = GMM.fit(noise + side[:, None], 2, rng=np.random.default_rng(0), covariance=covariance, reg=0.0)
    np.testing.assert_allclose(np.diag(matrices(model)[0]), noise.var(0), rtol=0.05)


def assert_singular(x, r, covariance):
    with pytest.raises(ValueError, match="larger reg"):
        maximise(*statistics(x, r, covariance), np.zeros(x.shape[1], x.dtype), covariance, 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_variances_that_are_only_rounding_count_as_singular(dtype):
    """Rounding leaves some of these covariances positive: the likelihood would be large and mean nothing."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        line = (rng.standard_normal((50, 1)) @ rng.standard_normal((1, 3))).astype(dtype)
        for covariance in ("full", "tied"):
            assert_singular(line, np.ones((1, 50), dtype), covariance)
        points, r = rng.standard_normal((2, 2)), np.repeat(np.eye(2, dtype=dtype), [50, 7], axis=1)
        shrunk = np.concatenate([rng.standard_normal((50, 2)), np.repeat(points[:1], 7, axis=0)]).astype(dtype)
        for covariance in ("full", "diag", "spherical"):
            assert_singular(shrunk, r, covariance)
        assert_singular(np.repeat(points, [50, 7], axis=0).astype(dtype), r, "tied")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"covariance": "banded"}, "covariance is 'banded'; expected one of 'full', 'tied', 'diag', 'spherical'"),
        ({"reg": -1.0}, "reg is -1.0; expected ≥ 0"),
        ({"reg": np.nan}, "reg is nan"),
        ({"max_iter": -1}, "max_iter is -1"),
        ({"k": 99}, "k is 99"),
        ({"k": 0}, "k is 0"),
        ({"rng": None}, "rng is None"),
        ({"x": np.full((9, 2), np.nan)}, "x has NaN"),
        ({"x": np.full((9, 2), np.nan), "init": mixture("full", 3, 2)}, "x has NaN"),
        ({"x": np.ones((9, 2))}, "a component has no data; expected at least k distinct points"),
        ({"init": mixture("tied", 3, 2)}, r"init is a 'tied' mixture with means \(3, 2\); expected 'full' and \(3, 2\)"),
        ({"init": mixture("full", 2, 2)}, r"init is a 'full' mixture with means \(2, 2\)"),
    ],
)
def test_bad_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        GMM.fit(**{"x": clouds(60), "k": 3, "rng": np.random.default_rng(0), **arguments})


def test_bad_types_columns_and_covariances():
    with pytest.raises(TypeError, match="expected a floating-point array"):
        GMM.fit(np.zeros((9, 2), int), 1, rng=np.random.default_rng(0))
    model = mixture("full")
    impute = lambda x: model.impute(x, np.random.default_rng(0), 1)
    for method in (model.log_prob, model.score, model.predict, model.responsibilities, impute):
        with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
            method(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="not positive definite"):
        GMM(np.ones(1), np.zeros((1, 2)), -np.eye(2)[None]).log_prob(np.zeros((1, 2)))


@types
def test_agrees_with_scikit_learn(covariance):
    peers = pytest.importorskip("sklearn.mixture")
    x = clouds(500)
    start = GMM.fit(x, 3, rng=np.random.default_rng(0), covariance=covariance, max_iter=0)
    precisions = 1 / start.covariances if covariance in ("diag", "spherical") else np.linalg.inv(start.covariances)
    peer = peers.GaussianMixture(
        3, covariance_type=covariance, weights_init=start.weights,
        means_init=start.means, precisions_init=precisions, tol=1e-9, max_iter=500
    ).fit(x)  # fmt: skip
    model = GMM.fit(x, 3, init=start, covariance=covariance, max_iter=peer.n_iter_, tol=-np.inf)
    np.testing.assert_allclose(model.weights, peer.weights_, atol=1e-9)
    np.testing.assert_allclose(model.means, peer.means_, atol=1e-9)
    np.testing.assert_allclose(model.covariances, peer.covariances_, atol=1e-9)
    np.testing.assert_allclose(model.log_prob(x), peer.score_samples(x), atol=1e-9)
