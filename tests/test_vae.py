"""The VAE chapter against its definitions: quadrature over codes, enumeration of binary codes, exact gradients.

Statistical tests have fixed seeds and allow 4.9 standard errors, a false-alarm rate of 1e-6.
"""

import itertools
import time

import numpy as np
import pytest
from scipy import integrate, stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.compare import Data
from minigen.data import digits
from minigen.distributions import DiscretizedLogistic
from minigen.families.autoencoders import PriorOfCodes, fit_conditional_vae, fit_vae
from minigen.functions import log_sigmoid, logsumexp
from minigen.metrics import log_prob_by_quadrature
from minigen.models import GMM, PPCA
from minigen.models.vae import VAE, kl_bernoulli, kl_laplace, kl_normal, log_bernoulli, log_gaussian, log_logistic, log_prior
from minigen.nn import MLP, Linear

Z = 4.9
PAIRS = [(p, l) for p in ("normal", "laplace", "bernoulli") for l in ("bernoulli", "gaussian", "logistic")]


def small(prior, likelihood, latent=1, d=3, seed=0):
    """An untrained float64 model with lively weights, and data for it."""
    rng = np.random.default_rng(seed)
    vae = VAE.init(rng, (d,), latent, (5,), prior, likelihood, dtype=np.float64, activation=np.tanh, levels=5)
    vae.decoder = tree.tree_map(lambda w: w + 0.5 * rng.standard_normal(w.shape), vae.decoder)  # it begins by saying hardly anything
    x = rng.standard_normal((4, d))
    return vae, {"bernoulli": (x > 0).astype(float), "gaussian": 0.5 * x, "logistic": np.rint(4 / (1 + np.exp(-x))) / 4}[likelihood]


def family(prior):
    return stats.norm if prior == "normal" else stats.laplace


def exact_log_prob(vae, x):
    """log p(x) of a model with one continuous code by quadrature, or with binary codes by enumeration."""
    if vae.prior == "bernoulli":
        z = np.array(list(itertools.product([0.0, 1.0], repeat=vae.decoder.layers[0].weight.shape[0])))
        return logsumexp(vae.log_likelihood(x[:, None], z[None]), axis=1) - np.log(len(z))
    line = np.linspace(-40, 40, 40_001)
    log_p = vae.log_likelihood(x[:, None], line[None, :, None]) + family(vae.prior).logpdf(line)
    return np.log(integrate.trapezoid(np.exp(log_p), line, axis=1))


# ---- Closed forms ----
@pytest.mark.verifies("vae.2", "vae.3")
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.5, 0.25), (-2.0, 1.5), (1e-3, 0.5), (3.0, 0.1)])
def test_kl_is_its_defining_integral(mean, scale):
    for closed, prior in ((kl_normal, "normal"), (kl_laplace, "laplace")):
        q, p = family(prior)(mean, scale), family(prior)(0, 1)
        f = lambda t, q=q, p=p: q.pdf(t) * (q.logpdf(t) - p.logpdf(t))
        ends = sorted({mean - 38 * scale, 0.0, mean, mean + 38 * scale})
        expected = sum(integrate.quad(f, a, b, epsabs=1e-12, limit=200)[0] for a, b in itertools.pairwise(ends))
        np.testing.assert_allclose(closed(np.array([mean]), np.log([scale])), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.verifies("vae.4")
@pytest.mark.parametrize("logit", [0.0, -1.5, 3.0, 40.0, -800.0])
def test_kl_of_bits_is_its_defining_sum(logit):
    pi = np.exp([log_sigmoid(np.array(-logit)), log_sigmoid(np.array(logit))])
    expected = sum(p * np.log(2 * p) for p in pi if p > 0)
    np.testing.assert_allclose(kl_bernoulli(np.array([logit])), expected, rtol=1e-12, atol=1e-15)


def test_kl_sums_over_coordinates_and_is_zero_at_the_prior():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 7, 3))
    for kl in (kl_normal, kl_laplace):
        np.testing.assert_allclose(kl(a, b), sum(kl(a[:, i : i + 1], b[:, i : i + 1]) for i in range(3)))
        np.testing.assert_array_equal(kl(0 * a, 0 * b), np.zeros(7))
    np.testing.assert_allclose(kl_bernoulli(0 * a), np.zeros(7), atol=1e-15)


@pytest.mark.verifies("vae.7", "vae.8")
def test_likelihoods_are_the_distributions_they_name():
    rng = np.random.default_rng(0)
    x, m, s = rng.standard_normal((3, 5, 2))
    np.testing.assert_allclose(log_gaussian(x, m, s), stats.norm(m, np.exp(s)).logpdf(x).sum(-1))
    bits = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    np.testing.assert_allclose(np.exp(log_bernoulli(bits, m[:1])).sum(), 1)
    np.testing.assert_allclose(log_bernoulli(bits, m[:1]), stats.bernoulli(1 / (1 + np.exp(-m[:1]))).logpmf(bits).sum(-1))
    np.testing.assert_allclose(log_prior(x, "normal"), stats.norm.logpdf(x).sum(-1))
    np.testing.assert_allclose(log_prior(x, "laplace"), stats.laplace.logpdf(x).sum(-1))
    np.testing.assert_allclose(log_prior(bits, "bernoulli"), -2 * np.log(2))


# ---- Samples of q ----
@pytest.mark.verifies("vae.5", "vae.6")
@pytest.mark.parametrize("prior", ["normal", "laplace", "bernoulli"])
def test_codes_are_drawn_from_q(prior):
    vae, x = small(prior, "gaussian", latent=2)
    h = vae.encoder(x)
    z = vae.draw_code(h, vae.noise(np.random.default_rng(3), 4, 20_000))
    assert z.shape == (20_000, 4, 2)
    if prior == "bernoulli":
        pi = 1 / (1 + np.exp(-h))
        assert set(np.unique(z)) == {0.0, 1.0}
        assert np.all(np.abs(z.mean(0) - pi) < Z * np.sqrt(pi * (1 - pi) / len(z)))
        return
    mean, scale = h[:, :2], np.exp(h[:, 2:])
    for i, j in itertools.product(range(4), range(2)):
        assert stats.kstest(z[:, i, j], family(prior)(mean[i, j], scale[i, j]).cdf).pvalue > 1e-6


@pytest.mark.verifies("vae.5", "vae.6")
@pytest.mark.parametrize(("prior", "likelihood"), PAIRS)
def test_log_weights_are_their_definition(prior, likelihood):
    vae, x = small(prior, likelihood, latent=2)
    eps = vae.noise(np.random.default_rng(1), 4, 6)
    h, z = vae.encoder(x), vae.draw_code(vae.encoder(x), eps)
    if prior == "bernoulli":
        log_q = stats.bernoulli(1 / (1 + np.exp(-h))).logpmf(z)
    else:
        log_q = family(prior)(h[:, :2], np.exp(h[:, 2:])).logpdf(z)
    expected = vae.log_likelihood(x, z) + log_prior(z, prior) - log_q.sum(-1)
    np.testing.assert_allclose(vae.log_weights(x, eps), expected, rtol=1e-9)


@pytest.mark.verifies("vae.9")
@pytest.mark.parametrize("levels", [2, 5, 256])
def test_the_rounded_logistic_sums_to_one_and_is_the_distribution_of_that_name(levels):
    rng = np.random.default_rng(0)
    location, log_scale = rng.standard_normal((2, 7))
    log_scale = 2 * log_scale - 2
    k = np.arange(levels) / (levels - 1)
    log_p = log_logistic(k[:, None, None], location[:, None], log_scale[:, None], levels)
    np.testing.assert_allclose(np.exp(log_p).sum(0), 1, rtol=1e-9)
    half = 0.5 / (levels - 1)
    cdf = lambda x: stats.logistic.cdf(x, location, np.exp(log_scale))
    want = np.stack([np.where(x == 1, 1, cdf(x + half)) - np.where(x == 0, 0, cdf(x - half)) for x in k])
    np.testing.assert_allclose(np.exp(log_p), want, rtol=1e-6, atol=1e-13)
    dist = DiscretizedLogistic(location, np.exp(log_scale), levels)
    np.testing.assert_allclose(log_p, dist.log_prob(k[:, None]), rtol=1e-9)
    for at, scale in ((30.0, -2.0), (-1.0, -3.0), (0.3, 8.0), (0.5, -7.0)):  # float32: far out, very wide, very narrow
        settings = (np.full((1, 1), k[levels // 2]), np.full((1, 1), at), np.full((1, 1), scale))
        single = log_logistic(*(a.astype(np.float32) for a in settings), levels)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, log_logistic(*settings, levels), rtol=2e-4, atol=1e-6)


# ---- Bounds ----
@pytest.mark.verifies("vae.1", "vae.10")
@pytest.mark.parametrize(("prior", "likelihood"), PAIRS)
def test_elbo_below_iwae_below_log_prob_with_gaps_that_shrink(prior, likelihood):
    vae, x = small(prior, likelihood)
    truth, rng, n = exact_log_prob(vae, x), np.random.default_rng(2), 4000
    means, errors = [], []
    for k in (1, 2, 8, 64):
        draws = np.stack([vae.iwae(x, vae.noise(rng, 4, k)) for _ in range(n // 4)])
        means.append(draws.mean(0))
        errors.append(draws.std(0) / np.sqrt(len(draws)))
    elbo = np.stack([vae.elbo(x, vae.noise(rng, 4)) for _ in range(n)])
    error = np.hypot(elbo.std(0) / np.sqrt(n), errors[0])
    assert np.all(np.abs(elbo.mean(0) - means[0]) < Z * error)
    for (low, a), (high, b) in itertools.pairwise([*zip(means, errors, strict=True), (truth, 0 * truth)]):
        assert np.all(low < high + Z * np.hypot(a, b))
    assert np.all((truth - means[-1])[truth - means[0] > 0.1] < 0.5 * (truth - means[0])[truth - means[0] > 0.1])


@pytest.mark.verifies("vae.1")
@pytest.mark.parametrize(("prior", "likelihood"), [p for p in PAIRS if p[0] != "bernoulli"])
def test_the_bound_misses_log_prob_by_the_divergence_from_the_posterior(prior, likelihood):
    vae, x = small(prior, likelihood)
    h, line = vae.encoder(x), np.linspace(-40, 40, 100_001)
    q = family(prior)(h[:, :1], np.exp(h[:, 1:]))
    log_joint = vae.log_likelihood(x[:, None], line[None, :, None]) + family(prior).logpdf(line)
    gap = integrate.trapezoid(q.pdf(line[None]) * (q.logpdf(line[None]) - log_joint), line, axis=1) + exact_log_prob(vae, x)
    draws = vae.elbo(x, vae.noise(np.random.default_rng(0), 4, 40_000))
    spread = np.std(vae.log_likelihood(x, vae.draw_code(h, vae.noise(np.random.default_rng(0), 4, 40_000))), axis=0) / 200
    assert np.all(gap > 0) and np.all(np.abs(exact_log_prob(vae, x) - draws - gap) < Z * spread)


@pytest.mark.verifies("vae.10")
@pytest.mark.parametrize(("prior", "likelihood"), PAIRS)
def test_iwae_is_the_log_of_the_mean_weight(prior, likelihood):
    vae, x = small(prior, likelihood)
    eps = vae.noise(np.random.default_rng(0), 4, 5)
    np.testing.assert_allclose(np.exp(vae.iwae(x, eps)), np.exp(vae.log_weights(x, eps)).mean(0))


def test_several_samples_are_averaged():
    vae, x = small("normal", "gaussian")
    eps = vae.noise(np.random.default_rng(0), 4, 5)
    np.testing.assert_allclose(vae.elbo(x, eps), np.mean([vae.elbo(x, e) for e in eps], axis=0))
    np.testing.assert_allclose(vae.loss(x, eps), np.mean([vae.loss(x, e) for e in eps], axis=0))


# ---- The objective ----
@pytest.mark.verifies("vae.11")
@pytest.mark.parametrize(("prior", "likelihood"), PAIRS)
@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_the_loss_weighs_the_two_terms(prior, likelihood, beta):
    vae, x = small(prior, likelihood)
    vae.beta = beta
    eps = vae.noise(np.random.default_rng(0), 4, 3)
    fit, kl = vae.terms(x, eps)
    np.testing.assert_allclose(vae.loss(x, eps), beta * kl - fit.mean(0))
    assert VAE.init(np.random.default_rng(0), (3,), prior=prior, likelihood=likelihood, beta=beta).beta == beta
    np.testing.assert_allclose(vae.elbo(x, eps), fit.mean(0) - kl)


def exact_bound_of_bits(vae, x):
    """Σ_z q(z|x) log p(x|z) − KL with every binary code enumerated: a differentiable function of the model."""
    z = np.array(list(itertools.product([0.0, 1.0], repeat=vae.decoder.layers[0].weight.shape[0])))
    h = vae.encoder(x)
    q = np.exp(np.sum(z[None] * h[:, None] - np.logaddexp(0, h)[:, None], axis=-1))
    return np.sum(q * vae.log_likelihood(x[:, None], z[None]), axis=1) - kl_bernoulli(h)


@pytest.mark.verifies("vae.12")
@pytest.mark.parametrize("samples", [2, 5])
def test_the_score_function_gradient_is_unbiased(samples):
    vae, x = small("bernoulli", "bernoulli", latent=3)
    exact = tree.ravel(grad(lambda m: -np.mean(exact_bound_of_bits(m, x)))(vae))[0]
    rng = np.random.default_rng(0)
    draws = np.stack([tree.ravel(grad(lambda m, e: np.mean(m.loss(x, e)))(vae, vae.noise(rng, 4, samples)))[0] for _ in range(3000)])
    error = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - exact) <= Z * error + 1e-12)
    encoder = np.linalg.norm(tree.ravel(grad(lambda m: -np.mean(exact_bound_of_bits(m, x)))(vae).encoder)[0])
    assert encoder > 20 * np.median(error), "the test has the power to see a gradient that is missing"


@pytest.mark.parametrize("prior", ["normal", "laplace"])
def test_the_pathwise_gradient_is_that_of_finite_differences(prior):
    vae, x = small(prior, "gaussian", latent=2)
    eps = vae.noise(np.random.default_rng(0), 4)
    w, unravel = tree.ravel(vae)
    g = tree.ravel(grad(lambda m: np.sum(m.loss(x, eps)))(vae))[0]
    for v in np.random.default_rng(1).standard_normal((5, w.size)):
        f = lambda h, v=v: np.sum(unravel(w + h * v).loss(x, eps))
        np.testing.assert_allclose(g @ v, (f(1e-5) - f(-1e-5)) / 2e-5, rtol=1e-7)


def test_one_binary_sample_has_no_gradient_and_says_so():
    vae, x = small("bernoulli", "bernoulli")
    with pytest.raises(ValueError, match="K ≥ 2"):
        vae.loss(x, vae.noise(np.random.default_rng(0), 4))
    assert vae.elbo(x, vae.noise(np.random.default_rng(0), 4)).shape == (4,)


# ---- Samples, codes ----
@pytest.mark.parametrize("prior", ["normal", "laplace", "bernoulli"])
@pytest.mark.parametrize(("likelihood", "levels", "d"), [("bernoulli", 2, 3), ("logistic", 5, 2)])
def test_samples_have_the_models_own_probabilities(prior, likelihood, levels, d):
    vae, _ = small(prior, likelihood, d=d)
    states = np.array(list(itertools.product(np.arange(levels) / (levels - 1), repeat=d)))
    p = np.exp(exact_log_prob(vae, states))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-6)
    n = 40_000
    k = np.rint(vae.sample(n, np.random.default_rng(5)) * (levels - 1)).astype(int)
    index = np.ravel_multi_index(k.T, [levels] * d)
    assert stats.chisquare(np.bincount(index, minlength=levels**d), n * p / p.sum()).pvalue > 1e-6


@pytest.mark.parametrize("prior", ["normal", "laplace"])
def test_real_samples_have_the_models_own_density(prior):
    vae, _ = small(prior, "gaussian", d=1)
    line = np.linspace(-60, 60, 3001)[:, None]
    codes = np.linspace(-30, 30, 1201)
    density = np.exp(vae.log_likelihood(line[:, None], codes[None, :, None]) + family(prior).logpdf(codes))
    cdf = integrate.cumulative_trapezoid(integrate.trapezoid(density, codes, axis=1), line[:, 0], initial=0)
    assert abs(cdf[-1] - 1) < 1e-3
    x = vae.sample(20_000, np.random.default_rng(5))[:, 0]
    assert stats.kstest(x, lambda t: np.interp(t, line[:, 0], cdf / cdf[-1])).pvalue > 1e-6


@pytest.mark.parametrize(("prior", "likelihood"), PAIRS)
def test_encode_and_decode_are_means(prior, likelihood):
    vae, x = small(prior, likelihood, latent=2)
    z = vae.draw_code(vae.encoder(x), vae.noise(np.random.default_rng(0), 4, 20_000))
    assert np.all(np.abs(z.mean(0) - vae.encode(x)) < Z * z.std(0) / np.sqrt(len(z)) + 1e-12)
    np.testing.assert_array_equal(vae.reconstruct(x), vae.decode(vae.encode(x)))
    out = vae.decoder(vae.encode(x))
    want = {"bernoulli": 1 / (1 + np.exp(-out)), "gaussian": out[:, :3], "logistic": np.clip(out[:, :3], 0, 1)}[likelihood]
    np.testing.assert_allclose(vae.decode(vae.encode(x)), want)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "logistic"])
def test_convolutions_give_the_same_verbs(likelihood, device):
    rng = np.random.default_rng(0)
    x = (rng.random((6, 4, 4, 2)) > 0.5).astype(np.float32)
    vae = VAE.init(rng, (4, 4, 2), 3, (4, 5), likelihood=likelihood, network="conv", levels=5)
    eps = vae.noise(rng, 6, 2)
    there, y, noise = to_device((vae, x, eps), device)
    for verb in ("elbo", "iwae"):
        found = to_host(getattr(there, verb)(y, noise))
        one_by_one = [getattr(vae, verb)(x[i : i + 1], eps[:, i : i + 1])[0] for i in range(6)]
        np.testing.assert_allclose(found, one_by_one, rtol=1e-4)
    assert there.sample(3, rng).shape == there.decode(noise[0][:3]).shape == (3, 4, 4, 2)
    out = vae.decoder(eps)  # channels: all locations, then all log-scales
    want = out if likelihood == "bernoulli" else out[..., :2]
    np.testing.assert_allclose(vae.outputs(eps)[0].reshape(2, 6, 4, 4, 2), want)
    fitted = VAE.fit(
        y, rng=np.random.default_rng(1), latent=2, hidden=(3, 4), likelihood=likelihood, network="conv", levels=5, steps=3, progress=False
    )
    assert all(type(a) is type(y) and a.dtype == np.float32 for a in tree.leaves(fitted))


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_training_begins_near_the_prior_and_near_no_output(network):
    rng = np.random.default_rng(0)
    vae = VAE.init(rng, (8, 8, 2), 6, network=network)
    z, h = rng.standard_normal((200, 6), dtype=np.float32), vae.encoder(rng.standard_normal((200, 128), dtype=np.float32))
    assert 0.02 < np.std(h) < 0.3 and 0.02 < np.std(vae.decoder(z)) < 0.3


@pytest.mark.parametrize("likelihood", ["gaussian", "logistic"])
def test_a_pixel_that_never_changes_has_a_finite_likelihood(likelihood):
    vae, x = small("normal", likelihood)
    z = np.zeros((4, 1))
    vae.decoder.layers[-1].bias[3:] = -50.0
    np.testing.assert_allclose(np.exp(vae.outputs(z)[1]), 0.001, rtol=0.1)
    vae.decoder.layers[-1].bias[3:] = -5.0
    assert np.max(vae.outputs(z)[1]) < -3.5 and np.all(np.isfinite(vae.log_likelihood(x, z)))


@pytest.mark.verifies("vae.1")
def test_with_a_linear_decoder_the_best_bound_is_the_exact_likelihood_of_ppca():
    # p(x|z) = N(W z + μ, σ² I) has the posterior N(M⁻¹ Wᵀ(x − μ), σ² M⁻¹), M = WᵀW + σ² I: diagonal, as PPCA's W has orthogonal columns
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 5)) @ rng.standard_normal((5, 5)) + 1
    ppca = PPCA.fit(x, 2)
    sigma2, m = float(ppca.noise_variance), ppca.W.T @ ppca.W + float(ppca.noise_variance) * np.eye(2)
    encoding, log_std = ppca.W @ np.linalg.inv(m), 0.5 * np.log(sigma2 * np.diagonal(np.linalg.inv(m)))
    zeros = np.zeros((5, 2))
    encoder = MLP([Linear(np.concatenate([encoding, zeros], 1), np.concatenate([-ppca.mean @ encoding, log_std]))])
    decoder = MLP([Linear(np.concatenate([ppca.W.T, zeros.T], 1), np.concatenate([ppca.mean, np.full(5, 0.5 * np.log(sigma2))]))])
    vae = VAE(encoder, decoder, (5,), 2)
    y = x[:6]
    truth = ppca.log_prob(y)
    by_quadrature = log_prob_by_quadrature(lambda z: vae.log_likelihood(y[:, None], z[None]).T, 2, 60)
    np.testing.assert_allclose(by_quadrature, truth, rtol=1e-5)
    for k in (1, 5):  # every weight is p(x): no noise is left
        np.testing.assert_allclose(vae.iwae(y, vae.noise(rng, 6, k)), truth, rtol=1e-10)
    elbo = vae.elbo(y, vae.noise(rng, 6, 40_000))
    spread = np.std(vae.terms(y, vae.noise(rng, 6, 40_000))[0], axis=0) / 200
    assert np.all(np.abs(elbo - truth) < Z * spread)
    worse = VAE(MLP([Linear(1.1 * encoder.layers[0].weight, encoder.layers[0].bias + 0.2)]), decoder, (5,), 2)
    draws = {k: np.stack([np.mean(worse.iwae(y, worse.noise(rng, 6, k))) for _ in range(2000)]) for k in (1, 4, 16)}
    gaps = {k: truth.mean() - d.mean() for k, d in draws.items()}
    assert all(gaps[k] > Z * d.std() / 2000**0.5 for k, d in draws.items()) and gaps[4] < 0.6 * gaps[1] and gaps[16] < 0.6 * gaps[4]


@pytest.mark.parametrize("prior", ["normal", "laplace"])
def test_the_comparisons_mixture_takes_the_place_of_the_prior(prior):
    vae, x = small(prior, "gaussian")
    mixture = GMM(np.array([0.3, 0.7]), np.array([[-1.0], [2.0]]), np.array([[[0.25]], [[0.5]]]))
    model, rng = PriorOfCodes(vae, mixture), np.random.default_rng(0)
    line = np.linspace(-12, 12, 20_001)
    log_joint = vae.log_likelihood(x[:, None], line[None, :, None]) + mixture.log_prob(line[:, None])
    truth = np.log(integrate.trapezoid(np.exp(log_joint), line, axis=1))
    draws = np.stack([model.iwae(x, vae.noise(rng, 4, 2000)) for _ in range(50)])
    assert np.all(np.abs(draws.mean(0) - truth) < 0.01 + Z * draws.std(0) / 50**0.5)
    z = mixture.sample(40_000, rng)
    a, b = model.sample(40_000, rng), vae.draw_data(z, rng)
    assert all(stats.ks_2samp(a[:, i], b[:, i]).pvalue > 1e-6 for i in range(3))
    assert any(stats.ks_2samp(a[:, i], vae.sample(40_000, rng)[:, i]).pvalue < 1e-6 for i in range(3))


@pytest.mark.parametrize("fit", [fit_vae, fit_conditional_vae])
def test_bounds_of_the_comparison_are_densities_on_cells(fit):
    levels, rng = 3, np.random.default_rng(0)
    k = np.minimum(rng.poisson(1.0, (600, 1)) + rng.integers(0, 2, (600, 3)), 2)
    x = ((k + rng.random(k.shape)) / levels).astype(np.float32)
    data = Data("few", (3,), levels, x, k[:, 0], x, x[:100], x[:100], {}, None, None)
    model, bound, kind, _ = fit(data, rng, True, time.perf_counter() + 60)
    states = np.array(list(itertools.product(range(levels), repeat=3)))
    p = np.exp(bound(((states + 0.3) / levels).astype(np.float32))) / levels**3
    assert kind.startswith("bound") and 0.93 < p.sum() < 1.03, "the bound is nearly tight, and probabilities sum to 1"
    found = model.sample(3000, rng) * levels - 0.5
    np.testing.assert_allclose(found, np.rint(found), atol=1e-5)
    counts = np.bincount(np.ravel_multi_index(np.rint(found).astype(int).T, [levels] * 3), minlength=27)
    assert np.all(np.abs(counts / 3000 - p) < Z * np.sqrt(p * (1 - p) / 3000) + 0.02)


# ---- Training ----
def test_it_learns_a_density_it_can_represent():
    """A plane in 3-D plus noise: a linear Gaussian model, whose entropy is known, is reached within 0.1 nats."""
    rng = np.random.default_rng(0)
    a = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
    cov = a.T @ a + np.diag([0.01, 0.04, 0.01])
    x = rng.multivariate_normal(np.zeros(3), cov, 4000).astype(np.float32)
    vae = VAE.fit(x, rng=rng, latent=2, hidden=(32,), steps=3000, progress=False)
    fresh = rng.multivariate_normal(np.zeros(3), cov, 4000).astype(np.float32)
    truth = stats.multivariate_normal(np.zeros(3), cov).logpdf(fresh).mean()
    bound = vae.elbo(fresh, vae.noise(rng, 4000, 10)).mean()
    assert truth - 0.1 < bound < truth + 0.01


def test_the_decoder_is_as_wide_as_the_encoder_in_reverse():
    vae = VAE.init(np.random.default_rng(0), (7,), latent=2, hidden=(6, 5), likelihood="bernoulli")
    assert [w.shape for w in tree.leaves(vae.encoder) if w.ndim == 2] == [(7, 6), (6, 5), (5, 4)]
    assert [w.shape for w in tree.leaves(vae.decoder) if w.ndim == 2] == [(2, 5), (5, 6), (6, 7)]


@pytest.mark.parametrize("prior", ["normal", "laplace", "bernoulli"])
def test_it_learns_binary_digits(prior):
    x = (digits()[0] > 0.5).astype(np.float32)
    rng = np.random.default_rng(0)
    vae = VAE.fit(x[:1400], rng=rng, latent=8, hidden=(64,), prior=prior, likelihood="bernoulli", steps=700, progress=False)
    held_out = vae.elbo(x[1400:], vae.noise(rng, len(x) - 1400, 5)).mean()
    p = x[:1400].mean(0).clip(1e-3, 1 - 1e-3)
    independent = (x[1400:] * np.log(p) + (1 - x[1400:]) * np.log(1 - p)).sum((1, 2, 3)).mean()
    assert held_out > independent + 2, "a collapsed posterior would know no more than independent pixels"
    assert vae.sample(3, rng).shape == (3, 8, 8, 1) and vae.reconstruct(x[:2]).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(("prior", "likelihood"), PAIRS)
def test_same_on_every_device_in_float32(prior, likelihood, device):
    vae = VAE.init(np.random.default_rng(0), (2, 2, 1), 2, (5,), prior, likelihood)
    x = (np.random.default_rng(1).random((6, 2, 2, 1)) > 0.5).astype(np.float32)
    there, y = to_device(vae, device), to_device(x, device)
    eps = vae.noise(np.random.default_rng(2), 6, 3)
    moved = there.noise(np.random.default_rng(2), 6, 3)
    for verb in ("elbo", "iwae"):
        found = getattr(there, verb)(y, moved)
        assert type(found) is type(y) and found.dtype == np.float32
        np.testing.assert_allclose(to_host(found), getattr(vae, verb)(x, eps), rtol=1e-4)
    sample = there.sample(3, np.random.default_rng(3))
    assert type(sample) is type(y) and sample.dtype == np.float32
    np.testing.assert_allclose(to_host(sample), vae.sample(3, np.random.default_rng(3)), rtol=1e-4, atol=1e-6)
    g = grad(lambda m: np.mean(m.loss(np.reshape(y, (6, 4)), moved)))(there)
    assert all(type(a) is type(y) and a.dtype == np.float32 for a in tree.leaves(g))


# ---- Bad input ----
@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.full((8, 2), 0.5), {"likelihood": "bernoulli"}, "x holds values other than 0 and 1"),
        (np.zeros((8, 2)), {"prior": "cauchy"}, "prior is 'cauchy'"),
        (np.zeros((8, 2)), {"likelihood": "poisson"}, "likelihood is 'poisson'"),
        (np.zeros((8, 2)), {"latent": 0}, "latent is 0"),
        (np.zeros((8, 2)), {"beta": -1.0}, "beta is -1.0"),
        (np.zeros((8, 2)), {"levels": 1}, "levels 1"),
        (np.zeros((8, 2)), {"network": "rnn"}, "network is 'rnn'"),
        (np.zeros((8, 2)), {"network": "conv"}, r"event is \(2,\); expected \(H, W, C\)"),
        (np.zeros((8, 3, 4, 1)), {"network": "conv"}, "multiples of 2"),
        (np.full((8, 2), 0.3), {"likelihood": "logistic", "levels": 5}, "x holds values other than k/4"),
        (np.full((8, 2), 1.25), {"likelihood": "logistic", "levels": 5}, "x holds values other than k/4"),
        (np.full((8, 2), np.nan), {}, "expected finite"),
        (np.zeros(8), {}, "shape"),
        (np.zeros((8, 2), int), {}, "int64"),
    ],
)
def test_bad_input_is_named(x, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        VAE.fit(x, rng=np.random.default_rng(0), steps=1, progress=False, **settings)


def test_data_of_another_shape_is_refused():
    vae, _ = small("normal", "gaussian")
    with pytest.raises(ValueError, match=r"x has shape \(4, 2\); expected \(n, 3\)"):
        vae.encode(np.zeros((4, 2)))
