"""Probabilistic PCA against the full Gaussian: the D × D covariance, conditioning, quadrature, and the maximum of the likelihood."""

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal

from minigen.autograd import grad
from minigen.backend import array_module, to_device, to_host
from minigen.models.pca import PCA
from minigen.models.ppca import PPCA, em_step, log_det_cov, mean_log_prob, precision

Z = 4.9  # two-sided false-alarm rate 1e-6


def random_model(d, k, seed=0, noise=0.4):
    rng = np.random.default_rng(seed)
    return PPCA(rng.standard_normal(d), 1.5 * rng.standard_normal((d, k)), np.array(noise))


def dense_cov(model):
    return sum(np.outer(w, w) for w in model.W.T) + float(model.noise_variance) * np.eye(len(model.mean))


def cloud(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * np.geomspace(4, 0.5, d) @ np.linalg.qr(rng.standard_normal((d, d)))[0] + 5


MODELS = [(2, 1), (5, 2), (4, 3), (6, 1)]


@pytest.fixture(params=MODELS, ids=lambda p: f"D{p[0]}k{p[1]}")
def model(request):
    return random_model(*request.param)


@pytest.fixture
def x(model):
    return model.mean + 3 * np.random.default_rng(1).standard_normal((9, len(model.mean)))


@pytest.mark.verifies("ppca.1")
def test_samples_have_the_mean_and_covariance_of_the_model(model):
    n, d = 40_000, len(model.mean)
    white = np.linalg.solve(np.linalg.cholesky(dense_cov(model)), (model.sample(n, np.random.default_rng(2)) - model.mean).T).T
    assert np.all(np.abs(white.mean(0)) * np.sqrt(n) < Z + 1)  # + 1: over all coordinates
    z = (white.T @ white / n - np.eye(d)) * np.sqrt(n) / np.sqrt(1 + np.eye(d))
    assert np.all(np.abs(z) < Z + 1)


@pytest.mark.verifies("ppca.1")
def test_samples_are_as_far_out_as_a_gaussian(model):
    n, d = 20_000, len(model.mean)
    white = np.linalg.solve(np.linalg.cholesky(dense_cov(model)), (model.sample(n, np.random.default_rng(3)) - model.mean).T).T
    tail = np.mean(np.sum(white**2, axis=1) > chi2.isf(0.1, d))
    assert abs(tail - 0.1) < Z * np.sqrt(0.1 * 0.9 / n)


@pytest.mark.verifies("ppca.2")
@pytest.mark.verifies("ppca.3")
def test_covariance_and_posterior_precision(model):
    np.testing.assert_allclose(model.cov, dense_cov(model), rtol=1e-12)
    k = model.W.shape[1]
    want = [[model.W[:, i] @ model.W[:, j] + (i == j) * model.noise_variance for j in range(k)] for i in range(k)]
    np.testing.assert_allclose(precision(model.W, model.noise_variance), want, rtol=1e-12)


@pytest.mark.verifies("ppca.4")
def test_posterior_is_the_conditional_of_the_joint_gaussian(model, x):
    # (z, x) is Gaussian with covariance [[I, Wᵀ], [W, C]]
    gain = model.W.T @ np.linalg.inv(dense_cov(model))
    np.testing.assert_allclose(model.encode(x), (x - model.mean) @ gain.T, rtol=1e-10)
    np.testing.assert_allclose(model.posterior_cov, np.eye(model.W.shape[1]) - gain @ model.W, rtol=1e-10, atol=1e-14)


def test_decode_is_the_mean_of_x_given_z(model):
    z = np.random.default_rng(5).standard_normal((4, model.W.shape[1]))
    np.testing.assert_allclose(model.decode(z), [model.W @ row + model.mean for row in z], rtol=1e-12)


@pytest.mark.verifies("ppca.5")
def test_determinant_lemma(model):
    np.testing.assert_allclose(log_det_cov(model.W, model.noise_variance), np.linalg.slogdet(dense_cov(model))[1], rtol=1e-12)


@pytest.mark.verifies("ppca.6")
@pytest.mark.verifies("ppca.7")
def test_log_prob_is_the_multivariate_normal(model, x):
    np.testing.assert_allclose(model.log_prob(x), multivariate_normal(model.mean, dense_cov(model)).logpdf(x), rtol=1e-11)


@pytest.mark.verifies("ppca.7")
def test_density_integrates_to_one():
    model = random_model(2, 1)
    axis = np.linspace(-25, 25, 801)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) + model.mean
    np.testing.assert_allclose(np.exp(model.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2, 1, rtol=1e-10)


@pytest.mark.verifies("ppca.6")
def test_small_noise_loses_no_digits_in_float32():
    model = random_model(6, 2, noise=1e-5)
    x = model.sample(50, np.random.default_rng(6))
    single = PPCA(model.mean.astype(np.float32), model.W.astype(np.float32), np.float32(model.noise_variance))
    want = PPCA(*(np.float64(a) for a in (single.mean, single.W, single.noise_variance))).log_prob(x.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(single.log_prob(x.astype(np.float32)), want, atol=0.05)


@pytest.mark.verifies("ppca.8")
def test_score_is_the_gradient(model, x):
    h, d = 1e-5, x.shape[1]
    differences = [(model.log_prob(x + h * e) - model.log_prob(x - h * e)) / (2 * h) for e in np.eye(d)]
    np.testing.assert_allclose(model.score(x), np.transpose(differences), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(grad(lambda x: np.sum(model.log_prob(x)))(x), model.score(x), rtol=1e-9)


@pytest.mark.verifies("ppca.9")
@pytest.mark.verifies("ppca.10")
@pytest.mark.parametrize(("n", "d", "k"), [(50, 5, 2), (50, 4, 3), (12, 30, 4)])
def test_ml_has_the_spectrum_of_the_maximum(n, d, k):
    x = cloud(n, d)
    model = PPCA.fit(x, k)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    np.testing.assert_allclose(model.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(model.noise_variance, values[:-k].mean(), rtol=1e-9)
    want = vectors * np.r_[np.full(d - k, values[:-k].mean()), values[-k:]] @ vectors.T
    np.testing.assert_allclose(model.cov, want, atol=1e-10)
    off = model.W.T @ model.W
    np.testing.assert_allclose(off, np.diag(np.diag(off)), atol=1e-9)
    np.testing.assert_allclose(model.W / np.linalg.norm(model.W, axis=0), PCA.fit(x, k).components.T, atol=1e-9)
    assert model.history == ()


@pytest.mark.verifies("ppca.9")
@pytest.mark.verifies("ppca.10")
def test_ml_is_stationary_and_beats_its_neighbours():
    x, rng = cloud(80, 5), np.random.default_rng(7)
    model = PPCA.fit(x, 2)
    slope = grad(lambda m: np.mean(m.log_prob(x)))(model)
    for g in (slope.mean, slope.W, slope.noise_variance):
        np.testing.assert_allclose(g, 0, atol=1e-10)
    best = model.log_prob(x).mean()
    for _ in range(100):
        step = [1e-2 * rng.standard_normal(a.shape) for a in (model.mean, model.W, model.noise_variance)]
        assert PPCA(model.mean + step[0], model.W + step[1], model.noise_variance * np.exp(step[2])).log_prob(x).mean() < best


@pytest.mark.verifies("ppca.11")
@pytest.mark.verifies("ppca.12")
def test_em_step_maximises_the_expected_complete_likelihood(model):
    d, k = model.W.shape
    x = cloud(30, d)
    centred = x - x.mean(0)
    w, s2 = model.W, model.noise_variance
    posterior_cov = s2 * np.linalg.inv(w.T @ w + s2 * np.eye(k))
    z = centred @ w @ posterior_cov / s2  # E-step: ⟨zᵢ⟩, and Σᵢ ⟨zᵢzᵢᵀ⟩
    zz = len(x) * posterior_cov + z.T @ z
    want_w = centred.T @ z @ np.linalg.inv(zz)  # M-step: regression of d on z, then the mean squared residual
    residual = np.sum((centred - z @ want_w.T) ** 2) + len(x) * np.trace(want_w @ posterior_cov @ want_w.T)
    s = centred.T @ centred / len(x)
    new_w, new_s2 = em_step(w, s2, s @ w, np.trace(s))
    np.testing.assert_allclose(new_w, want_w, rtol=1e-9)
    np.testing.assert_allclose(new_s2, residual / x.size, rtol=1e-9)


@pytest.mark.verifies("ppca.13")
def test_mean_likelihood_from_the_covariance_of_the_data(model):
    x = cloud(30, len(model.mean))
    model.mean = x.mean(0)
    s = np.cov(x.T, bias=True)
    want = multivariate_normal(model.mean, dense_cov(model)).logpdf(x).mean()
    np.testing.assert_allclose(mean_log_prob(model.W, model.noise_variance, s @ model.W, np.trace(s)), want, rtol=1e-10)


@pytest.mark.parametrize(("n", "d", "k"), [(60, 5, 2), (60, 4, 3), (15, 25, 3), (8, 8, 2)])
def test_em_climbs_to_the_maximum(n, d, k):
    x = cloud(n, d)
    ml, em = PPCA.fit(x, k), PPCA.fit(x, k, method="em", rng=np.random.default_rng(8), steps=5000, tol=1e-14)
    assert np.all(np.diff(em.history) > -1e-12)
    assert em.history[-1] > em.history[0] + 0.1
    np.testing.assert_allclose(em.history[-1], em.log_prob(x).mean(), rtol=1e-10)
    np.testing.assert_allclose(em.history[-1], ml.log_prob(x).mean(), rtol=1e-9)
    np.testing.assert_allclose(em.cov, ml.cov, atol=1e-5)
    np.testing.assert_allclose(em.W, ml.W, atol=1e-5)  # the same columns too, not only the same plane
    np.testing.assert_allclose(em.noise_variance, ml.noise_variance, rtol=1e-6)


def test_em_stops_by_steps_or_by_gain():
    x = cloud(60, 6)
    history = lambda **how: PPCA.fit(x, 2, method="em", rng=np.random.default_rng(9), **how).history
    assert [len(history(steps=n, tol=0.0)) for n in (0, 1, 7)] == [1, 2, 8]
    stopped = history(tol=1e-3)
    gains = np.diff(stopped)
    assert gains[-1] < 1e-3 and np.all(gains[:-1] >= 1e-3)
    assert stopped == history(tol=1e-3)  # the same draw, the same climb
    assert PPCA.fit(x, 2, method="em").history == PPCA.fit(x, 2, method="em", rng=np.random.default_rng(0)).history != stopped
    short = PPCA.fit(x, 2, method="em", rng=np.random.default_rng(9), steps=3, tol=0.0)
    np.testing.assert_allclose(short.log_prob(x).mean(), short.history[-1], rtol=1e-10)


@pytest.mark.parametrize("method", ["ml", "em"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(60, 5), (12, 20)])
def test_every_library_and_dtype(method, dtype, shape, device):
    host = cloud(*shape)
    x = to_device(host.astype(dtype), device)
    model = PPCA.fit(x, 2, method, rng=np.random.default_rng(0), steps=40)
    want = PPCA.fit(host, 2, method, rng=np.random.default_rng(0), steps=40)
    outputs = [model.mean, model.W, model.noise_variance, model.cov, model.posterior_cov, model.encode(x), model.decode(model.encode(x))]
    outputs += [model.log_prob(x), model.score(x), model.sample(3, np.random.default_rng(1))]
    assert {a.dtype for a in outputs} == {np.dtype(dtype)}
    assert {array_module(a) for a in outputs} == {array_module(x)}
    np.testing.assert_allclose(to_host(model.log_prob(x)), want.log_prob(host), rtol=1e-4 if dtype == np.float32 else 1e-9)


def test_a_device_is_not_waited_for(install_standin):
    x = to_device(cloud(20, 4), "cuda")
    model = PPCA.fit(x, 2)
    with install_standin.forbid("sync"):
        model.log_prob(x), model.score(x), model.encode(x), model.sample(3, np.random.default_rng(0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["ml", "em"])
def test_data_in_a_plane_have_no_density(method, dtype):
    rng = np.random.default_rng(10)
    flat = (rng.standard_normal((30, 2)) @ rng.standard_normal((2, 5)) + 3).astype(dtype)
    with pytest.raises(ValueError, match="plane of k = 3 dimensions"):
        PPCA.fit(flat, 3, method, rng=rng, steps=3000, tol=0.0)
    with pytest.raises(ValueError, match="plane of k = 1 dimensions"):
        PPCA.fit(np.ones((4, 3), dtype), 1, method, rng=rng)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 5}, "k is 5; expected an integer with 1 ≤ k ≤ min\\(n, D\\) − 1 = 4"),
        ({"k": 1, "method": "svd"}, "method is 'svd'; expected \"ml\" or \"em\""),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PPCA.fit(cloud(20, 5), **options)


def test_bad_data_and_queries_are_refused():
    with pytest.raises(ValueError, match="min\\(n, D\\) − 1 = 2"):
        PPCA.fit(cloud(3, 5), 3)
    with pytest.raises(ValueError, match="NaN or infinite"):
        PPCA.fit(np.full((3, 2), np.nan), 1)
    with pytest.raises(TypeError, match="floating-point"):
        PPCA.fit(np.ones((3, 2), int), 1)
    model = random_model(4, 2)
    for method, name in ((model.log_prob, "x"), (model.score, "x"), (model.encode, "x"), (model.decode, "z")):
        with pytest.raises(ValueError, match=f"{name} has shape \\(2, 3\\)"):
            method(np.ones((2, 3)))
