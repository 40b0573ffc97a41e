"""The chapter on noise against its definitions: steps one by one, Bayes' rule, the published values of schedules."""

import numpy as np
import pytest

from minigen.models.noising import clean, cosine_betas, linear_betas, noise_in, noised, posterior, signal_and_noise, target


# ---- Noise by steps ----
@pytest.mark.verifies("noising.3")
def test_the_linear_schedule_has_the_papers_values_and_adds_as_much_noise_for_other_numbers_of_steps():
    betas = linear_betas(1000)
    np.testing.assert_allclose(betas[[0, 1, -1]], [1e-4, 1e-4 + 0.0199 / 999, 0.02])
    assert abs(np.prod(1 - betas) - 4.04e-5) < 0.01e-5  # what the paper calls near to pure noise
    for steps in (50, 250, 4000):
        np.testing.assert_allclose(np.sum(linear_betas(steps)), 10.05, rtol=1e-9)


@pytest.mark.verifies("noising.4")
@pytest.mark.parametrize("steps", [5, 1000])
def test_the_cosine_schedule_leaves_a_squared_cosine_of_the_data(steps):
    betas, t = cosine_betas(steps), np.arange(1, steps + 1)
    f = lambda t: np.cos((t / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    assert betas[-1] == 0.999 and np.all(betas[:-1] < 0.999)
    np.testing.assert_allclose(np.cumprod(1 - betas)[:-1], (f(t) / f(0))[:-1], rtol=1e-9)
    if steps == 1000:
        np.testing.assert_allclose(betas[0], 4.128e-5, rtol=1e-3)


@pytest.mark.verifies("noising.1", "noising.2")
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


@pytest.mark.verifies("noising.5")
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


@pytest.mark.verifies("noising.6")
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
