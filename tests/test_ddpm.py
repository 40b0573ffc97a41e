"""The DDPM chapter against its definitions: Bayes' rule, Gaussian data for which all is analytic, sums over levels.

Statistical tests have fixed seeds and allow 4.9 standard errors, a false-alarm rate of 1e-6.
"""

import numpy as np
import pytest
from scipy import stats

from minigen.models.ddpm import (
    clean,
    cosine_betas,
    kl_normals,
    linear_betas,
    log_cells,
    log_normal,
    noise_in,
    noised,
    posterior,
    signal_and_noise,
    target,
)

Z = 4.9


# ---- Noise by steps ----
@pytest.mark.verifies("ddpm.3")
def test_the_linear_schedule_has_the_papers_values_and_adds_as_much_noise_for_other_numbers_of_steps():
    betas = linear_betas(1000)
    np.testing.assert_allclose(betas[[0, 1, -1]], [1e-4, 1e-4 + 0.0199 / 999, 0.02])
    assert abs(np.prod(1 - betas) - 4.04e-5) < 0.01e-5  # what the paper calls near to pure noise
    for steps in (50, 250, 4000):
        np.testing.assert_allclose(np.sum(linear_betas(steps)), 10.05, rtol=1e-9)


@pytest.mark.verifies("ddpm.4")
@pytest.mark.parametrize("steps", [5, 1000])
def test_the_cosine_schedule_leaves_a_squared_cosine_of_the_data(steps):
    betas, t = cosine_betas(steps), np.arange(1, steps + 1)
    f = lambda t: np.cos((t / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    assert betas[-1] == 0.999 and np.all(betas[:-1] < 0.999)
    np.testing.assert_allclose(np.cumprod(1 - betas)[:-1], (f(t) / f(0))[:-1], rtol=1e-9)
    if steps == 1000:
        np.testing.assert_allclose(betas[0], 4.128e-5, rtol=1e-3)


@pytest.mark.verifies("ddpm.1", "ddpm.2")
def test_noise_in_steps_is_noise_at_once():
    betas = np.array([0.1, 0.5, 0.3, 0.9])
    a, sigma = signal_and_noise(betas)
    gain, variance = 1.0, 0.0
    assert (a[0], sigma[0]) == (1, 0)
    for t, beta in enumerate(betas, start=1):
        gain, variance = np.sqrt(1 - beta) * gain, (1 - beta) * variance + beta
        np.testing.assert_allclose([a[t], sigma[t] ** 2], [gain, variance], rtol=1e-12)
    x0, eps = np.random.default_rng(0).standard_normal((2, 5, 3))
    np.testing.assert_allclose(noised(x0, eps, a[2], sigma[2]), np.sqrt(0.45) * x0 + np.sqrt(0.55) * eps)


@pytest.mark.verifies("ddpm.5")
@pytest.mark.parametrize(("t", "s"), [(4, 3), (4, 1), (2, 1), (3, 0), (1, 0)])
def test_the_way_back_is_bayes_rule(t, s):
    betas = np.array([0.1, 0.5, 0.3, 0.6])
    a, sigma = signal_and_noise(betas)
    x0, x_t = np.random.default_rng(0).standard_normal((2, 5, 3))
    mean, variance = posterior(x_t, x0, a, sigma, t, s)
    if s == 0:
        np.testing.assert_allclose(mean, x0, rtol=1e-12)
        assert variance == 0
        return
    left = np.prod(1 - betas[s:t])  # x_t = √left x_s + noise of variance 1 − left, and x_s ~ N(a_s x₀, σ_s²) before x_t is seen
    precision = left / (1 - left) + 1 / np.prod(sigma[s]) ** 2
    want = (np.sqrt(left) * x_t / (1 - left) + np.sqrt(np.prod(1 - betas[:s])) * x0 / (1 - np.prod(1 - betas[:s]))) / precision
    np.testing.assert_allclose(variance, 1 / precision, rtol=1e-12)
    np.testing.assert_allclose(mean, want, rtol=1e-12)


@pytest.mark.verifies("ddpm.6")
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_each_prediction_gives_the_others(prediction):
    x0, eps = np.random.default_rng(0).standard_normal((2, 5, 3))
    for a in (0.999, 0.6, 0.01):
        sigma = np.sqrt(1 - a * a)
        x_t = noised(x0, eps, a, sigma)
        out = target(prediction, x0, eps, a, sigma)
        np.testing.assert_allclose(clean(prediction, out, x_t, a, sigma), x0, rtol=1e-9)
        np.testing.assert_allclose(noise_in(x_t, x0, a, sigma), eps, rtol=1e-9)
    angle, h = np.arccos(0.6), 1e-6  # v is the velocity of x_t as a = cos and σ = sin of an angle turn
    moved = [noised(x0, eps, np.cos(angle + d), np.sin(angle + d)) for d in (h, -h)]
    np.testing.assert_allclose(target("v", x0, eps, 0.6, 0.8), (moved[0] - moved[1]) / (2 * h), rtol=1e-7)


# ---- Terms of the bound ----
@pytest.mark.verifies("ddpm.10")
def test_kl_is_the_expectation_of_the_log_ratio():
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)  # exact for polynomials up to degree 17
    m, m2 = np.random.default_rng(0).standard_normal((2, 4, 3))
    for v, v2 in ((0.3, 0.3), (0.2, 1.0), (2.0, 0.5)):
        x = m[..., None] + np.sqrt(v) * nodes
        ratio = stats.norm.logpdf(x, m[..., None], np.sqrt(v)) - stats.norm.logpdf(x, m2[..., None], np.sqrt(v2))
        np.testing.assert_allclose(kl_normals(m, v, m2, v2), np.sum(ratio @ weights, axis=-1) / weights.sum(), rtol=1e-9)


@pytest.mark.verifies("ddpm.11")
@pytest.mark.parametrize("levels", [2, 5, 256])
def test_the_rounded_normal_sums_to_one_and_is_its_definition(levels):
    rng = np.random.default_rng(0)
    mean, k = rng.standard_normal(7), np.arange(levels)
    x = 2 * k / (levels - 1) - 1
    for variance in (1e-4, 0.1, 30.0):
        log_p = log_cells(x[:, None, None], mean[:, None], variance, levels)
        np.testing.assert_allclose(np.exp(log_p).sum(0), 1, rtol=1e-9)
        edges = np.concatenate([[-np.inf], (x[1:] + x[:-1]) / 2, [np.inf]])
        want = np.diff(stats.norm.cdf(edges[:, None], mean, np.sqrt(variance)), axis=0)
        np.testing.assert_allclose(np.exp(log_p), want, rtol=1e-6, atol=1e-13)
        single = log_cells(*(a.astype(np.float32) for a in (x[:, None, None], mean[:, None])), variance, levels)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, log_p, rtol=3e-3, atol=1e-4)
    far = [log_cells(np.array([0.5]), np.array([m]), 0.01, 5) for m in (-8.5, 9.5)]
    np.testing.assert_allclose(far[0], far[1], rtol=1e-9)  # both tails, where Φ(u) − Φ(l) is 0 to every digit
    np.testing.assert_allclose(log_normal(x[:, None], mean[:1], 0.3), stats.norm.logpdf(x, mean[0], np.sqrt(0.3)))
