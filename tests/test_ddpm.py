"""The DDPM chapter against its definitions: Bayes' rule, Gaussian data for which all is analytic, sums over levels.

Statistical tests have fixed seeds and allow 4.9 standard errors, a false-alarm rate of 1e-6.
"""

import itertools
import time
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.compare import Data
from minigen.data import digits
from minigen.families.diffusion import fit_ddpm
from minigen.models.ddpm import DDPM, kl_normals, log_cells, log_normal
from minigen.models.noising import clean, cosine_betas, cosine_from, linear_betas, signal_and_noise, target
from minigen.nn import TimedMLP
from minigen.testing import check_diffusion_marginals

Z = 4.9


# ---- Terms of the bound ----
@pytest.mark.verifies("ddpm.4")
def test_kl_is_the_expectation_of_the_log_ratio():
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)  # exact for polynomials up to degree 17
    m, m2 = np.random.default_rng(0).standard_normal((2, 4, 3))
    for v, v2 in ((0.3, 0.3), (0.2, 1.0), (2.0, 0.5)):
        x = m[..., None] + np.sqrt(v) * nodes
        ratio = stats.norm.logpdf(x, m[..., None], np.sqrt(v)) - stats.norm.logpdf(x, m2[..., None], np.sqrt(v2))
        np.testing.assert_allclose(kl_normals(m, v, m2, v2), np.sum(ratio @ weights, axis=-1) / weights.sum(), rtol=1e-9)


@pytest.mark.verifies("ddpm.5")
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


# ---- Gaussian data, x₀ ~ N(m, S): the best network is known, and with it every chain is linear ----
@dataclass
class Best:
    """E[x₀|x_t] as what a network of this prediction says, for a schedule; `miss` makes it worse."""

    mean: np.ndarray
    cov: np.ndarray
    betas: np.ndarray
    prediction: str
    miss: float = 0.0

    def linear(self, t):
        """(A, b) with x̂₀ = A x_t + b."""
        a, sigma = (s[t] for s in signal_and_noise(self.betas))
        gain = a * self.cov @ np.linalg.inv(a * a * self.cov + sigma**2 * np.eye(len(self.mean)))
        gain = gain * (1 + self.miss)
        return gain, self.mean - a * gain @ self.mean + self.miss

    def __call__(self, x_t, time, y=None):
        steps = np.unique(np.rint(time * len(self.betas)))
        assert len(steps) == 1 and np.all(np.abs(time * len(self.betas) - steps) < 1e-6)
        t = int(steps[0])
        a, sigma = (s[t] for s in signal_and_noise(self.betas))
        gain, shift = self.linear(t)
        x0 = x_t @ gain.T + shift
        return target(self.prediction, x0, (x_t - a * x0) / sigma, a, sigma)


M, S = np.array([0.5, -1.0]), np.array([[0.8, 0.3], [0.3, 0.4]])
CENTRE, SCALE = np.array([1.0, -2.0]), np.array([2.0, 0.6])


def gaussian(prediction="v", betas=None, miss=0.0, variance="posterior"):
    """A model of x = centre + scale x₀."""
    betas = linear_betas(25) if betas is None else betas
    return DDPM(Best(M, S, betas, prediction, miss), betas, CENTRE, SCALE, (2,), prediction, variance)


def moments(model, times, eta=None):
    """The exact mean and covariance of the chain's x₀: (mean, cov), each step x_s = B x_t + c + noise. eta None: the DDPM chain."""
    a, sigma = signal_and_noise(model.betas)
    d = len(model.shift)
    mean, cov = np.zeros(d), np.eye(d)
    for t, s in itertools.pairwise(times):
        gain, b = model.network.linear(t)
        beta = 1 - a[t] ** 2 / a[s] ** 2
        variance = beta * sigma[s] ** 2 / sigma[t] ** 2
        if eta is None:
            first, second = a[s] * beta / sigma[t] ** 2, a[t] / a[s] * sigma[s] ** 2 / sigma[t] ** 2
            variance = beta * (s > 0) if model.variance == "forward" else variance
        else:
            variance *= eta**2
            second = np.sqrt(sigma[s] ** 2 - variance) / sigma[t]
            first = a[s] - second * a[t]
        step = first * gain + second * np.eye(d)
        mean, cov = step @ mean + first * b, step @ cov @ step.T + variance * np.eye(d)
    return mean, cov


@pytest.mark.verifies("ddpm.2", "ddpm.6")
@pytest.mark.parametrize(
    ("sampler", "eta", "steps"), [("ddpm", 0, None), ("ddpm", 0, 7), ("ddim", 0, None), ("ddim", 0.6, 7), ("ddim", 1, 10)]
)
@pytest.mark.parametrize(("prediction", "variance"), [("eps", "posterior"), ("x0", "forward"), ("v", "posterior")])
def test_samples_have_the_moments_of_their_linear_chain(sampler, eta, steps, prediction, variance):
    model, n = gaussian(prediction, variance=variance), 20_000
    x, trace = model.sample(n, np.random.default_rng(1), sampler, steps=steps, eta=eta, trace=True)
    assert len(trace) == (steps or 25) + 1
    np.testing.assert_array_equal(trace[-1], x)
    times = model.times(steps)
    assert times[0] == 25 and times[-1] == 0 and len(set(times)) == len(trace)
    mean, cov = moments(model, times, None if sampler == "ddpm" else eta)
    z = np.linalg.solve(np.linalg.cholesky(cov), ((x - CENTRE) / SCALE - mean).T)  # standard normal
    assert np.all(np.abs(z.mean(1)) < Z / n**0.5)
    second = z @ z.T / n - np.eye(2)
    assert np.all(np.abs(second) < Z * np.array([[2, 1], [1, 2]]) ** 0.5 / n**0.5)
    begin = (trace[0] - CENTRE) / SCALE
    assert np.all(np.abs(begin.mean(0)) < Z / n**0.5) and np.all(np.abs(begin.var(0) - 1) < Z * (2 / n) ** 0.5)


@pytest.mark.verifies("ddpm.2")
@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_with_many_steps_the_chain_gives_the_data(variance):
    errors = []
    for steps in (100, 400):
        model = gaussian(betas=cosine_betas(steps), variance=variance)
        mean, cov = moments(model, model.times(None))
        errors.append(max(np.max(np.abs(mean - M)), np.max(np.abs(cov - S))))
    assert errors[0] < 0.05 and errors[1] < 0.3 * errors[0]


@pytest.mark.verifies("ddpm.6")
@pytest.mark.parametrize("steps", [None, 6])
def test_ddim_with_eta_1_is_ddpm_and_with_0_has_no_noise(steps):
    model = gaussian("eps")
    chains = [model.sample(5, np.random.default_rng(0), s, steps=steps, eta=1.0, trace=True)[1] for s in ("ddpm", "ddim")]
    np.testing.assert_allclose(*chains, rtol=1e-9)
    x_t = np.random.default_rng(1).standard_normal((5, 2))
    still = [model.step(x_t, 20, 10, np.random.default_rng(seed), "ddim") for seed in (0, 1)]
    np.testing.assert_array_equal(*still)
    last = [model.step(x_t, 1, 0, np.random.default_rng(seed)) for seed in (0, 1)]
    np.testing.assert_array_equal(*last)
    np.testing.assert_allclose(last[0], model.denoise(x_t, 1)[0])  # no noise in the last step
    assert np.all(model.step(x_t, 2, 1, np.random.default_rng(0)) != model.step(x_t, 2, 1, np.random.default_rng(1)))


# ---- The bound ----
def expected_bound(model, x):
    """E of the bound: its terms are quadratic in the noise, so that the mean over eps and −eps in each coordinate is exact."""
    d, steps = x.shape[1], len(model.betas)
    signs = [d**0.5 * sign * np.eye(d)[i] for i in range(d) for sign in (1, -1)]  # mean 0 and covariance I
    return np.mean([model.elbo(x, np.broadcast_to(e, (steps, *x.shape))) for e in signs], axis=0)


@pytest.mark.verifies("ddpm.3")
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("miss", [0.0, 0.05])
@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_the_bound_is_below_the_density_of_the_chain(prediction, miss, variance):
    model = gaussian(prediction, miss=miss, variance=variance)
    mean, cov = moments(model, model.times(None))  # the density's last step adds noise of variance β₁
    law = stats.multivariate_normal(CENTRE + SCALE * mean, np.outer(SCALE, SCALE) * (cov + model.betas[0] * np.eye(2)))
    x = law.rvs(50, random_state=0) * 1.5
    gap = law.logpdf(x) - expected_bound(model, x)
    assert np.all(gap > 0)


@pytest.mark.verifies("ddpm.3")
def test_the_bound_nears_the_exact_density_of_the_data_as_steps_grow():
    law = stats.multivariate_normal(CENTRE + SCALE * M, np.outer(SCALE, SCALE) * S)
    x, gaps = law.rvs(400, random_state=0), []
    for steps in (50, 200, 800):
        model = gaussian(betas=cosine_betas(steps), variance="forward")
        gaps.append(np.mean(law.logpdf(x) - expected_bound(model, x)))
    assert 0 < gaps[2] < 0.02 and gaps[2] < 0.5 * gaps[1] < 0.25 * gaps[0]
    other = gaussian(betas=cosine_betas(800), variance="posterior")
    assert 0.5 < np.mean(law.logpdf(x) - expected_bound(other, x)) < 1  # up to ½ nat a coordinate is lost


@pytest.mark.verifies("ddpm.3", "ddpm.5")
@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_each_term_is_its_definition(variance):
    model, rng = gaussian("x0", variance=variance), np.random.default_rng(0)
    x, eps = rng.standard_normal((4, 2)), rng.standard_normal((25, 4, 2))
    terms, x0 = model.elbo_terms(x, eps), (x - CENTRE) / SCALE
    a, sigma = signal_and_noise(model.betas)
    assert terms.shape == (26, 4)
    np.testing.assert_allclose(model.elbo(x, eps), -terms.sum(0))
    for t in range(1, 26):
        gain, b = model.network.linear(t)
        missed = (a[t] * x0 + sigma[t] * eps[t - 1]) @ gain.T + b - x0
        if t == 1:
            want = -stats.norm.logpdf(missed * SCALE, 0, np.sqrt(model.betas[0]) * SCALE).sum(1)
        else:  # the KL is half the loss of signal-to-noise ratio times the squared error of x̂₀ (Kingma et al. 2021)
            want = 0.5 * (a[t - 1] ** 2 / sigma[t - 1] ** 2 - a[t] ** 2 / sigma[t] ** 2) * np.sum(missed**2, axis=1)
            if variance == "forward":
                ratio = sigma[t - 1] ** 2 / sigma[t] ** 2  # β̃/β
                want = ratio * want + (ratio - 1 - np.log(ratio))
        np.testing.assert_allclose(terms[t - 1], want, rtol=1e-9)
    prior = -stats.norm.entropy(0, sigma[25]) - stats.norm.logpdf(0) + 0.5 * (a[25] ** 2 * x0**2 + sigma[25] ** 2)
    np.testing.assert_allclose(terms[25], prior.sum(1), rtol=1e-9)


@dataclass
class BestOfLevels:
    """E[x₀|x_t] where x₀ is one of the levels, each as probable."""

    levels: int
    betas: np.ndarray

    def __call__(self, x_t, time, y=None):
        a, sigma = (s[round(float(time[0] * len(self.betas)))] for s in signal_and_noise(self.betas))
        at = np.linspace(-1, 1, self.levels)
        log_p = -0.5 * ((x_t - a * at) / sigma) ** 2
        p = np.exp(log_p - log_p.max(1, keepdims=True))
        return (p @ at / p.sum(1))[:, None]


@pytest.mark.verifies("ddpm.3", "ddpm.5")
@pytest.mark.parametrize("variance", ["posterior", "forward"])
@pytest.mark.parametrize("levels", [2, 5])
def test_bounds_of_levels_are_below_probabilities_that_sum_to_one(levels, variance):
    k = np.arange(levels)[:, None] / (levels - 1)
    half, sums = np.array([0.5]), []
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    for steps in (30, 120):
        betas = linear_betas(steps)
        model = DDPM(BestOfLevels(levels, betas), betas, half, half, (1,), "x0", variance, levels)
        eps = np.tile(np.repeat(nodes, levels)[:, None], (steps, 1, 1))
        terms = model.elbo_terms(np.tile(k, (60, 1)), eps).reshape(-1, 60, levels)
        sums.append(np.sum(np.exp(-np.einsum("tnk,n->k", terms, weights / weights.sum()))))
    low, high = (0.7, 1) if variance == "posterior" else (0.5, 0.6)  # what is known of the data's grid decides which is right
    assert sums[0] < sums[1] and low < sums[1] < high
    x0, eps = 2 * k - 1, np.zeros((120, levels, 1))
    guess = model.denoise(signal_and_noise(betas)[0][1] * x0, 1)[0]
    np.testing.assert_allclose(model.elbo_terms(k, eps)[0], -log_cells(x0, guess, betas[0], levels))


# ---- The network and its loss ----
def small(prediction="v", classes=3, levels=None, d=2, dtype=np.float64):
    """An untrained model with lively weights."""
    rng = np.random.default_rng(0)
    network = TimedMLP.init(rng, d, d, width=8, blocks=1, classes=classes, activation=np.tanh, dtype=dtype)
    network = tree.tree_map(lambda w: w + 0.3 * rng.standard_normal(w.shape).astype(dtype), network)
    shift, scale = (np.full(d, 0.5, dtype), np.full(d, 0.5, dtype)) if levels else (CENTRE.astype(dtype), SCALE.astype(dtype))
    return DDPM(network, linear_betas(30), shift, scale, (d,), prediction, levels=levels, classes=classes)


def test_methods_use_the_schedule_as_defined():
    model = small()
    narrow = DDPM(model.network, model.betas, np.zeros(1), np.ones(1), (1,))
    check_diffusion_marginals(model.betas, q_sample=narrow.q_sample)
    x, eps = np.random.default_rng(0).standard_normal((2, 4, 2))
    a, sigma = model.scales()
    np.testing.assert_allclose(model.q_sample(x, 7, eps), CENTRE + SCALE * (a[7] * (x - CENTRE) / SCALE + sigma[7] * eps))
    np.testing.assert_allclose(model.q_sample(x, 0, eps), x)


@pytest.mark.verifies("ddpm.1")
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_loss_is_its_definition_and_its_gradient_that_of_finite_differences(prediction):
    model, rng = small(prediction), np.random.default_rng(1)
    x0, eps = rng.standard_normal((2, 5, 2))
    t, y = np.array([1, 2, 15, 29, 30]), np.array([0, 3, 1, 2, 3])
    left = np.cumprod(1 - model.betas)[t - 1][:, None]
    x_t = np.sqrt(left) * x0 + np.sqrt(1 - left) * eps
    want = {"eps": eps, "x0": x0, "v": np.sqrt(left) * eps - np.sqrt(1 - left) * x0}[prediction]
    np.testing.assert_allclose(model.loss(x0, t, eps, y), np.mean((model.network(x_t, t / 30, y) - want) ** 2, axis=1))
    w, unravel = tree.ravel(model)
    g = tree.ravel(grad(lambda m: np.sum(m.loss(x0, t, eps, y)))(model))[0]
    for v in rng.standard_normal((3, w.size)):
        f = lambda h, v=v: np.sum(unravel(w + h * v).loss(x0, t, eps, y))
        np.testing.assert_allclose(g @ v, (f(1e-5) - f(-1e-5)) / 2e-5, rtol=1e-6)


@pytest.mark.verifies("ddpm.7")
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_guidance_exaggerates_what_the_label_changes(prediction):
    model, x_t, y = small(prediction), np.random.default_rng(0).standard_normal((4, 2)), np.array([0, 1, 2, 0])
    told, free = model.denoise(x_t, 20, y), model.denoise(x_t, 20)
    for w in (0.0, 0.5, 3.0):
        for with_label, without, guided in zip(told, free, model.denoise(x_t, 20, y, w), strict=True):
            np.testing.assert_allclose(guided, (1 + w) * with_label - w * without)  # of x̂₀ and of ε̂, whatever the network says
    np.testing.assert_array_equal(free[0], model.denoise(x_t, 20, np.full(4, 3))[0])  # 3 is "no label"
    draws = [model.sample(4, np.random.default_rng(0), y=y, guidance=w, progress=False) for w in (0.0, 0.0, 2.0)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.all(draws[0] != draws[2]) and np.all(draws[0] != model.sample(4, np.random.default_rng(0), progress=False))


def test_of_levels_the_guess_stays_in_range_and_samples_are_levels():
    model, x_t = small(levels=5), 3 * np.random.default_rng(0).standard_normal((50, 2))
    x0, eps = model.denoise(x_t, 20)
    a, sigma = model.scales()
    time = np.full(50, 20 / 30)
    np.testing.assert_allclose(x0, np.clip(clean("v", model.network(x_t, time), x_t, a[20], sigma[20]), -1, 1))
    np.testing.assert_allclose(a[20] * x0 + sigma[20] * eps, x_t)
    assert set(np.unique(model.sample(200, np.random.default_rng(0), progress=False) * 4)) <= {0.0, 1.0, 2.0, 3.0, 4.0}


# ---- Use and training ----
def test_bad_input_is_named():
    model, rng, x = small(), np.random.default_rng(0), np.zeros((6, 2))
    few = {"rng": rng, "timesteps": 30, "steps": 1, "progress": False}
    levels = np.full((6, 2), 0.5)
    for error, words, call in (
        (ValueError, "betas", lambda: DDPM(model.network, np.array([0.1, 1.0]), CENTRE, SCALE, (2,))),
        (ValueError, "betas", lambda: DDPM(model.network, np.array([0.0, 0.5]), CENTRE, SCALE, (2,))),
        (ValueError, "betas", lambda: DDPM.fit(x, **few, schedule=np.array([0.1, np.nan]))),
        (ValueError, "betas", lambda: DDPM.fit(x, **{**few, "timesteps": 10}, schedule="linear")),
        (ValueError, "schedule", lambda: DDPM.fit(x, **few, schedule="sine")),
        (ValueError, "timesteps", lambda: DDPM.fit(x, **{**few, "timesteps": 0})),
        (ValueError, "prediction", lambda: DDPM.fit(x, **few, prediction="noise")),
        (ValueError, "variance", lambda: DDPM.fit(x, **few, variance="learned")),
        (ValueError, "drop_label", lambda: DDPM.fit(x, **few, drop_label=1.0)),
        (ValueError, "y is", lambda: DDPM.fit(x, **few, y=np.zeros(5, int))),
        (ValueError, "y is", lambda: DDPM.fit(x, **few, y=np.zeros(6))),
        (ValueError, "levels", lambda: DDPM.fit(levels, **few, levels=4)),
        (ValueError, "levels", lambda: DDPM.fit(2 * levels + 1, **few, levels=3)),
        (ValueError, "levels", lambda: DDPM.fit(levels, **few, levels=1)),
        (ValueError, "NaN", lambda: DDPM.fit(x + np.nan, **few)),
        (TypeError, "float", lambda: DDPM.fit(x.astype(int), **few)),
        (ValueError, "n = 1", lambda: DDPM.fit(x[:1], **few)),
        (TypeError, "rng", lambda: DDPM.fit(x, **{**few, "rng": 0})),
        (ValueError, "x has shape", lambda: model.elbo(np.zeros((4, 3)), rng)),
        (ValueError, "NaN", lambda: model.elbo(x + np.nan, rng)),
        (ValueError, "eps has shape", lambda: model.elbo(x, np.zeros((29, 6, 2)))),
        (ValueError, "labels", lambda: model.elbo(x, rng, np.full(6, 3))),
        (ValueError, "without labels", lambda: small(classes=0).sample(2, rng, y=np.zeros(2, int))),
        (ValueError, "y is", lambda: model.sample(2, rng, y=np.zeros(3, int))),
        (ValueError, "guidance", lambda: model.sample(2, rng, guidance=1.0)),
        (ValueError, "sampler", lambda: model.sample(2, rng, "euler")),
        (ValueError, "steps", lambda: model.sample(2, rng, steps=31)),
        (ValueError, "steps", lambda: model.sample(2, rng, steps=0)),
        (ValueError, "eta", lambda: model.sample(2, rng, "ddim", eta=1.5)),
        (ValueError, "n is", lambda: model.sample(0, rng)),
        (TypeError, "rng", lambda: model.sample(2, 0)),
    ):
        with pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize("levels", [None, 5])
def test_same_on_every_device_in_float32(device, levels):
    model, rng = small(levels=levels, dtype=np.float32), np.random.default_rng(0)
    x, eps = (rng.integers(0, 5, (6, 2)) / 4).astype(np.float32), rng.standard_normal((30, 6, 2), dtype=np.float32)
    t, y = rng.integers(1, 31, 6), rng.integers(0, 4, 6)
    there, z, noise, times, labels = to_device((model, x, eps, t, y), device)
    loss = there.loss(there.flat(z), times, noise[0], labels)
    for found, here in ((there.elbo_terms(z, noise), model.elbo_terms(x, eps)), (loss, model.loss(model.flat(x), t, eps[0], y))):
        assert type(found) is type(z) and found.dtype == np.float32
        np.testing.assert_allclose(to_host(found), here, rtol=1e-3, atol=1e-4)
    for sampler in ("ddpm", "ddim"):
        a, b = (m.sample(4, np.random.default_rng(1), sampler, steps=10, trace=True, progress=False)[1] for m in (there, model))
        assert type(a) is type(z) and a.dtype == np.float32
        np.testing.assert_allclose(to_host(a), b, rtol=1e-3, atol=1e-3)
    fitted = DDPM.fit(z, y=labels, rng=rng, timesteps=30, levels=levels, width=8, blocks=1, steps=3, progress=False)
    assert all(type(a) is type(z) and a.dtype == np.float32 for a in (*tree.leaves(fitted), fitted.shift, fitted.scale))
    assert fitted.betas.dtype == np.float64 and fitted.classes == 4


def test_it_learns_a_density_its_modes_and_its_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    x = (10 + 3 * (2 * y[:, None] - 1) * [1.0, 0.2] + [0.5, 0.1] * rng.standard_normal((2000, 2))).astype(np.float32)
    model = DDPM.fit(x[:1500], y=y[:1500], rng=rng, timesteps=60, width=48, blocks=2, steps=1500, progress=False)
    np.testing.assert_allclose([model.shift, model.scale], [x[:1500].mean(0), x[:1500].std(0)], rtol=1e-4)
    entropy = np.log(2) + np.log(2 * np.pi * np.e) + np.log(0.5 * 0.1)
    assert -entropy - 0.5 < model.elbo(x[1500:], rng).mean() < -entropy + 0.1
    told = model.elbo(x[1500:], rng, y[1500:]).mean()
    assert np.log(2) - 0.25 < told - model.elbo(x[1500:], rng).mean() < np.log(2) + 0.25  # a label tells log 2
    for sampler, steps in (("ddpm", None), ("ddim", 20)):
        s = model.sample(1000, rng, sampler, steps=steps, progress=False)
        assert abs((s[:, 0] > 10).mean() - 0.5) < 0.12 and np.mean(np.min(np.abs(s[:, :1] - [[7, 13]]), axis=1) > 2) < 0.02
        s = model.sample(1000, rng, sampler, steps=steps, y=np.ones(1000, int), progress=False)
        assert np.mean(s[:, 0] > 10) > 0.98 and np.all(np.abs(s.mean(0) - [13, 10.6]) < 0.15) and abs(s[:, 0].std() - 0.5) < 0.15


def test_it_learns_digits_on_their_levels():
    x, rng = digits()[0].astype(np.float32), np.random.default_rng(0)
    model = DDPM.fit(x[:1400], rng=rng, levels=17, timesteps=40, width=64, blocks=1, steps=500, progress=False)
    bits = -model.elbo(x[1400:], rng).mean() / (64 * np.log(2))
    assert bits < 3.7, "uniform levels have 4.09"
    s = model.sample(3, rng, progress=False)
    assert s.shape == (3, 8, 8, 1) and np.all(np.rint(s * 16) == s * 16) and np.all((s >= 0) & (s <= 1))


def test_labels_are_left_out_as_often_as_said():
    seen = []

    class Watched(DDPM):
        def loss(self, x0, t, eps, y=None):
            seen.append((t, y))
            return super().loss(x0, t, eps, y)

    rng, x = np.random.default_rng(0), np.random.default_rng(1).standard_normal((1000, 2)).astype(np.float32)
    y = np.arange(1000) % 3
    Watched.fit(x, y=y, rng=rng, timesteps=30, width=4, blocks=1, drop_label=0.3, steps=20, batch_size=1000, progress=False)
    t, labels = (np.concatenate(a) for a in zip(*seen, strict=True))
    assert abs(np.mean(labels == 3) - 0.3) < Z * (0.21 / len(labels)) ** 0.5
    assert stats.chisquare(np.bincount(t, minlength=31)[1:]).pvalue > 1e-6 and len(np.bincount(t)) == 31


def test_the_bound_of_the_comparison_is_a_density_on_cells():
    levels, rng = 3, np.random.default_rng(0)
    k = np.minimum(rng.poisson(1.0, (600, 1)) + rng.integers(0, 2, (600, 3)), 2)
    x = ((k + rng.random(k.shape)) / levels).astype(np.float32)
    data = Data("few", (3,), levels, x, None, x, x[:100], x[:100], {}, None, None)
    model, bound, kind, _ = fit_ddpm(data, rng, True, time.perf_counter() + 60)
    states = np.array(list(itertools.product(range(levels), repeat=3)))
    p = np.exp(np.mean([bound(((states + 0.3) / levels).astype(np.float32)) for _ in range(20)], axis=0)) / levels**3
    assert kind == "bound" and 0.5 < p.sum() < 1
    found = model.sample(500, rng) * levels - 0.5
    np.testing.assert_allclose(found, np.rint(found), atol=1e-5)
    counts = np.bincount(np.ravel_multi_index(np.rint(found).astype(int).T, [levels] * 3), minlength=27)
    assert np.sum(np.abs(counts / 500 - p / p.sum())) < 0.35


def test_a_schedule_without_its_first_times_goes_on_as_before():
    betas = cosine_from(0.05, 100)
    left, whole = np.cumprod(1 - betas), np.cumprod(1 - cosine_betas(100))
    np.testing.assert_allclose(left, whole[-len(left) :], rtol=1e-9)
    assert 1 - left[0] >= 0.05**2 > 1 - whole[-len(left) - 1]
