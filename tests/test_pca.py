"""PCA against its definitions: eigenvectors, best planes and most informative projections."""

import numpy as np
import pytest
from scipy.integrate import dblquad

from minigen.backend import array_module, to_device, to_host
from minigen.models.pca import PCA, channel_capacity, fix_signs, gram_axes, mutual_information, scatter

SHAPES = {"tall": (60, 5), "square": (7, 7), "wide": (6, 30), "several blocks": (4500, 3)}


def cloud(n, d, seed=0):
    """Correlated data far from the origin, with a spread of its own in each direction."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ (rng.standard_normal((d, d)) + np.diag(np.arange(d))) + 10 * rng.standard_normal(d)


def planes(k, d, rng, count):
    """Random k-dimensional subspaces of ℝᵈ as orthonormal rows."""
    return [np.linalg.qr(rng.standard_normal((d, k)))[0].T for _ in range(count)]


def turned(w, rng, angle):
    """The plane of w (k, D) tilted a little."""
    return np.linalg.qr(w.T + angle * rng.standard_normal(w.T.shape))[0].T


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def x(request):
    return cloud(*request.param)


@pytest.mark.verifies("pca.1")
def test_mean(x):
    np.testing.assert_allclose(PCA.fit(x, 2).mean, sum(x) / len(x), rtol=1e-12)


@pytest.mark.verifies("pca.1")
def test_mean_of_many_float32_far_from_the_origin():
    x = (1000 + cloud(50_000, 2)).astype(np.float32)
    np.testing.assert_allclose(PCA.fit(x, 1).mean, x.astype(np.float64).mean(0), rtol=1e-7)


@pytest.mark.verifies("pca.2")
@pytest.mark.verifies("pca.3")
@pytest.mark.verifies("pca.4")
def test_components_are_the_leading_eigenvectors(x):
    k = min(x.shape) - 1
    model, cov = PCA.fit(x, k), np.cov(x.T)
    scale = model.explained_variance[0]
    np.testing.assert_allclose(cov @ model.components.T, model.components.T * model.explained_variance, atol=1e-11 * scale)
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(model.explained_variance, np.linalg.eigvalsh(cov)[::-1][:k], atol=1e-11 * scale)


@pytest.mark.verifies("pca.2")
def test_scatter_takes_every_row_once():
    x, mean = cloud(11, 3), np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(scatter(x, mean, rows=5), sum(np.outer(row - mean, row - mean) for row in x), rtol=1e-12)


@pytest.mark.verifies("pca.4")
def test_wide_data_have_orthonormal_components_even_without_variance():
    x = cloud(6, 30)
    model = PCA.fit(x, 6)  # six points span five dimensions: the sixth component is any direction across
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(6), atol=1e-12)
    assert 0 <= model.explained_variance[5] < 1e-12 * model.explained_variance[0]


@pytest.mark.parametrize("shape", [(300, 40), (20, 41)])
def test_the_route_is_the_cheaper_one(shape, monkeypatch):
    sizes = []
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: sizes.append(a.shape[0]) or eigh(a))
    PCA.fit(cloud(*shape), 3)
    assert sizes == [min(shape)]


def test_both_routes_agree():
    x = cloud(20, 20)
    variances, axes = gram_axes(x, x.mean(0), 10)
    model = PCA.fit(x, 10)
    np.testing.assert_allclose(model.explained_variance, variances, rtol=1e-9)
    np.testing.assert_allclose(model.components, fix_signs(axes), atol=1e-8)


def test_largest_entry_of_each_component_is_positive(x):
    w = PCA.fit(x, 3).components
    assert np.all(np.max(w, axis=1) == np.max(np.abs(w), axis=1))
    np.testing.assert_array_equal(PCA.fit(-x, 3).components, w)


@pytest.mark.verifies("pca.5")
@pytest.mark.verifies("pca.6")
def test_encode_and_decode_project_orthogonally(x):
    model, rng = PCA.fit(x, 2), np.random.default_rng(1)
    new, z = rng.standard_normal((4, x.shape[1])), rng.standard_normal((4, 2))
    np.testing.assert_allclose(model.encode(model.decode(z)), z, atol=1e-12)
    np.testing.assert_allclose(model.decode(np.zeros((1, 2)))[0], model.mean)
    np.testing.assert_allclose((new - model.decode(model.encode(new))) @ model.components.T, 0, atol=1e-11)
    steps = model.decode(np.eye(2)) - model.mean
    np.testing.assert_allclose(steps, model.components, atol=1e-12)


def test_codes_are_uncorrelated_with_variance_lambda(x):
    model = PCA.fit(x, 3)
    np.testing.assert_allclose(np.cov(model.encode(x).T), np.diag(model.explained_variance), atol=1e-10 * model.explained_variance[0])


@pytest.mark.verifies("pca.7")
def test_reconstruction_error_is_the_variance_left_out_and_the_least(x):
    n, d = x.shape
    k, rng = 2, np.random.default_rng(2)
    model = PCA.fit(x, k)
    error = model.reconstruction_error(x).sum() / (n - 1)
    np.testing.assert_allclose(error, np.linalg.eigvalsh(np.cov(x.T))[:-k].sum(), rtol=1e-9)
    lengths = np.linalg.norm(x - model.decode(model.encode(x)), axis=1)
    np.testing.assert_allclose(model.reconstruction_error(x), lengths**2, rtol=1e-9)
    for w in [*planes(k, d, rng, 50), *(turned(model.components, rng, 0.1) for _ in range(50))]:
        centred = x - x.mean(0)
        assert np.sum((centred - centred @ w.T @ w) ** 2) / (n - 1) > error


@pytest.mark.verifies("pca.8")
def test_mutual_information_is_its_integral():
    var, noise, w = 2.0, 0.5, -1.5  # I = ∫∫ p(s, y) log [p(s, y) / (p(s) p(y))], with s and y = w (s + ε) on the line
    joint = np.array([[var, w * var], [w * var, w * w * (var + noise)]])
    precision, log_det = np.linalg.inv(joint), np.linalg.slogdet(joint)[1]

    def integrand(y, s):
        v = np.array([s, y])
        log_joint = -0.5 * (v @ precision @ v + log_det) - np.log(2 * np.pi)
        log_margins = -0.5 * (s * s / joint[0, 0] + y * y / joint[1, 1] + np.log(joint[0, 0] * joint[1, 1])) - np.log(2 * np.pi)
        return np.exp(log_joint) * (log_joint - log_margins)

    integral, _ = dblquad(integrand, -12, 12, -25, 25, epsabs=1e-7)
    np.testing.assert_allclose(mutual_information(np.array([[w]]), np.array([[var]]), noise), integral, atol=1e-6)


@pytest.mark.verifies("pca.8")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_mutual_information_is_that_of_the_joint_gaussian(k):
    rng = np.random.default_rng(k)
    root, w, noise = rng.standard_normal((3, 3)), rng.standard_normal((k, 3)), 0.7
    cov = root @ root.T
    var_y = w @ (cov + noise * np.eye(3)) @ w.T
    joint = np.block([[cov, cov @ w.T], [w @ cov, var_y]])
    want = 0.5 * (np.linalg.slogdet(cov)[1] + np.linalg.slogdet(var_y)[1] - np.linalg.slogdet(joint)[1])
    np.testing.assert_allclose(mutual_information(w, cov, noise), want, rtol=1e-9)
    mixed = (rng.standard_normal((k, k)) + 3 * np.eye(k)) @ w
    np.testing.assert_allclose(mutual_information(mixed, cov, noise), want, rtol=1e-9)


@pytest.mark.verifies("pca.9")
@pytest.mark.parametrize("k", [1, 2, 4])
def test_pca_of_noisy_data_reaches_the_capacity_and_no_projection_beats_it(k):
    d, noise, rng = 5, 0.3, np.random.default_rng(4)
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    cov = basis * np.array([4.0, 2.5, 1.2, 0.5, 0.1]) @ basis.T
    g = rng.standard_normal((50, d))
    white = np.linalg.solve(np.linalg.cholesky(np.cov(g.T)), (g - g.mean(0)).T).T
    x = white @ np.linalg.cholesky(cov + noise * np.eye(d)).T + 3  # its sample covariance is that of s + ε exactly
    w = PCA.fit(x, k).components
    capacity = channel_capacity(cov, noise, k)
    np.testing.assert_allclose(mutual_information(w, cov, noise), capacity, rtol=1e-9)
    for other in [*planes(k, d, rng, 100), *(turned(w, rng, 0.1) for _ in range(100)), *rng.standard_normal((100, k, d))]:
        assert mutual_information(other, cov, noise) < capacity


@pytest.mark.parametrize("shape", [(60, 5), (6, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_library_and_dtype(shape, dtype, device):
    host = cloud(*shape)
    x = to_device(host.astype(dtype), device)
    model, want = PCA.fit(x, 3), PCA.fit(host, 3)
    outputs = [model.mean, model.components, model.explained_variance, model.encode(x), model.decode(model.encode(x))]
    outputs.append(model.reconstruction_error(x))
    assert {a.dtype for a in outputs} == {np.dtype(dtype)}
    assert {array_module(a) for a in outputs} == {array_module(x)}
    np.testing.assert_allclose(to_host(model.components), want.components, atol=1e-4 if dtype == np.float32 else 1e-9)


def test_data_are_not_changed(x):
    before = x.copy()
    model = PCA.fit(x, 2)
    model.reconstruction_error(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "k", "error", "words"),
    [
        (np.ones((4, 3), int), 1, TypeError, "x is int64; expected a floating-point array"),
        ([[1.0]], 1, TypeError, "x is list"),
        (np.ones((4, 2, 2)), 1, ValueError, "expected \\(n, D\\)"),
        (np.ones((4, 0)), 1, ValueError, "expected \\(n, D\\)"),
        (np.ones((1, 3)), 1, ValueError, "n = 1 rows; expected at least 2"),
        (np.array([[1.0, np.nan], [0, 0]]), 1, ValueError, "NaN or infinite"),
        (np.array([[1.0, np.inf], [0, 0]]), 1, ValueError, "NaN or infinite"),
        (np.eye(3), 0, ValueError, "k is 0"),
        (np.eye(3), 4, ValueError, "k is 4; expected an integer with 1 ≤ k ≤ min\\(n, D\\) = 3"),
        (np.ones((2, 5)), 3, ValueError, "k is 3"),
        (np.ones((5, 2)), 3, ValueError, "k is 3"),
        (np.eye(3), 1.5, ValueError, "k is 1.5"),
    ],
)
def test_bad_data_are_refused(x, k, error, words):
    with pytest.raises(error, match=words):
        PCA.fit(x, k)


def test_bad_queries_are_refused():
    model = PCA.fit(cloud(10, 4), 2)
    with pytest.raises(ValueError, match="x has shape \\(3, 5\\); expected \\(n, 4\\)"):
        model.encode(np.ones((3, 5)))
    with pytest.raises(ValueError, match="x has shape \\(4,\\)"):
        model.reconstruction_error(np.ones(4))
    with pytest.raises(ValueError, match="z has shape \\(3, 4\\); expected \\(n, 2\\)"):
        model.decode(np.ones((3, 4)))


@pytest.mark.parametrize("shape", [(200, 12), (10, 40)])
def test_agrees_with_scikit_learn(shape):
    peer = pytest.importorskip("sklearn.decomposition")
    x = cloud(*shape)
    ours, theirs = PCA.fit(x, 4), peer.PCA(4, svd_solver="full").fit(x)
    np.testing.assert_allclose(ours.components, fix_signs(theirs.components_), atol=1e-9)
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.encode(x), x @ ours.components.T - ours.mean @ ours.components.T, atol=1e-9)
