"""Autoencoders: the linear one is PCA, the denoising one is the conditional mean, on data where both are known."""

import numpy as np
import pytest

import minigen as mg
from minigen.models import PCA, Autoencoder
from minigen.models.autoencoder import NETWORKS, least_linear_loss
from minigen.optim import Adam, cosine
from minigen.testing import check_gradients

RNG = np.random.default_rng(0)


def gaussian(n, seed=0):
    """Data with known mean and covariance in ℝ⁵."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(5, 5)) * [2.0, 1.5, 1.0, 0.6, 0.3]
    return rng.normal(size=(n, 5)) @ factor.T + rng.normal(size=5), factor @ factor.T


@pytest.mark.verifies("autoencoder.2")
@pytest.mark.parametrize("latent", [1, 3])
def test_the_linear_autoencoder_finds_the_principal_subspace(latent):
    x, _ = gaussian(400)
    model = Autoencoder.fit(
        x, rng=np.random.default_rng(1), latent=latent, network="linear", steps=4000, batch_size=None, optimizer=Adam(cosine(0.02, 4000)),
        progress=False,
    )  # fmt: skip
    least = least_linear_loss(x, latent)
    pca = PCA.fit(x, latent)
    np.testing.assert_allclose(least, np.mean(np.sum((pca.decode(pca.encode(x)) - x) ** 2, axis=1)), rtol=1e-10)
    loss = np.mean(model.loss(x, np.zeros_like(x)))
    assert least * (1 - 1e-12) <= loss < least * 1.001
    span, _ = np.linalg.qr(model.decoder.layers[0].weight.T)
    cosines = np.linalg.svd(np.linalg.qr(pca.components.T)[0].T @ span, compute_uv=False)  # of the principal angles
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    np.testing.assert_allclose(model.reconstruct(x), pca.decode(pca.encode(x)), atol=0.15)


@pytest.mark.verifies("autoencoder.2")
def test_no_affine_map_through_fewer_numbers_does_better():
    x, _ = gaussian(100)
    for latent in (1, 2, 4):
        for seed in range(20):
            rng = np.random.default_rng(seed)
            z = (x - x.mean(0)) @ rng.normal(size=(5, latent))
            design = np.concatenate([z, np.ones((100, 1))], axis=1)
            rebuilt = design @ np.linalg.lstsq(design, x, rcond=None)[0]  # the best decoder of these codes
            assert np.mean(np.sum((rebuilt - x) ** 2, axis=1)) > least_linear_loss(x, latent)
    assert least_linear_loss(x, 5) == 0
    np.testing.assert_allclose(least_linear_loss(x.reshape(100, 5, 1), 0), np.sum(np.var(x, axis=0)))


@pytest.mark.verifies("autoencoder.2")
@pytest.mark.parametrize(("kept", "best"), [((0, 1), True), ((0, 2), False), ((3, 4), False)])
def test_principal_subspaces_are_stationary_and_only_the_leading_one_is_a_minimum(kept, best):
    x, _ = gaussian(200)
    components, mean = PCA.fit(x, 5).components[list(kept)], x.mean(0)
    model = Autoencoder.init(np.random.default_rng(0), (5,), 2, "linear", dtype=np.float64)
    (encoder,), (decoder,) = model.encoder.layers, model.decoder.layers
    encoder.weight, encoder.bias, decoder.weight, decoder.bias = components.T, -mean @ components.T, components, mean
    theta, unravel = mg.ravel(model)
    loss = lambda theta: np.mean(unravel(theta).loss(x, np.zeros_like(x)))
    assert np.max(np.abs(mg.grad(loss)(theta))) < 1e-9
    curvatures = np.linalg.eigvalsh(mg.jacobian(mg.grad(loss))(theta))
    assert (curvatures[0] > -1e-9) == best and (best or curvatures[0] < -0.1)
    assert np.isclose(loss(theta), least_linear_loss(x, 2)) == best


@pytest.mark.verifies("autoencoder.3")
def test_the_best_denoiser_is_the_conditional_mean_and_knows_the_score():
    # of Gaussian data both are affine: E[x | x̃] = μ + Σ (Σ + σ² I)⁻¹ (x̃ − μ), ∇ log p_σ(x̃) = −(Σ + σ² I)⁻¹ (x̃ − μ)
    sigma, (x, _) = 0.8, gaussian(20_000)
    model = Autoencoder.fit(
        x, rng=np.random.default_rng(1), latent=5, network="linear", noise=sigma, steps=3000, batch_size=1000,
        optimizer=Adam(cosine(0.02, 3000)), progress=False,
    )  # fmt: skip
    mean, cov = x.mean(0), np.cov(x.T)
    noisy = x[:200] + sigma * RNG.normal(size=(200, 5))
    precision = np.linalg.inv(cov + sigma**2 * np.eye(5))
    want = mean + (noisy - mean) @ precision @ cov
    assert np.mean((model.reconstruct(noisy) - want) ** 2) < 2e-3 * np.mean((noisy - want) ** 2)
    score = -(noisy - mean) @ precision
    assert np.mean((model.score(noisy) - score) ** 2) < 5e-3 * np.mean(score**2)


def model_of(network, noise=0.3, dtype=np.float64):
    """A small model with parameters off their special values, and data."""
    rng = np.random.default_rng(0)
    model = Autoencoder.init(rng, (4, 4, 1), 3, network, (2, 3) if network == "conv" else (6,), noise, np.tanh, dtype)
    return mg.tree_map(lambda w: w + 0.1 * rng.normal(size=w.shape).astype(dtype), model), rng.normal(size=(5, 4, 4, 1)).astype(dtype)


@pytest.mark.verifies("autoencoder.1")
@pytest.mark.parametrize("network", NETWORKS)
def test_the_loss_by_its_formula_and_its_gradient(network, device):
    model, x = model_of(network)
    eps = np.random.default_rng(1).normal(size=x.shape)
    want = [np.sum((model.decode(model.encode(x[i : i + 1] + 0.3 * eps[i : i + 1])) - x[i : i + 1]) ** 2) for i in range(5)]
    moved, y, noise = mg.to_device((model, x, eps), device)
    got = moved.loss(y, noise)
    assert mg.array_module(got) is mg.array_module(y)
    np.testing.assert_allclose(mg.to_host(got), want, rtol=1e-12)
    check_gradients(lambda model: model.loss(x, eps), (model,), entries=2, order=1)
    np.testing.assert_allclose(model.score(x), (model.reconstruct(x) - x) / 0.09, rtol=1e-12)
    assert model.reconstruct(x).shape == x.shape and model.encode(x).shape == (5, 3)


@pytest.mark.parametrize("network", NETWORKS)
def test_fit_on_every_library_and_repeatable(network, device):
    x = mg.to_device(np.random.default_rng(0).random((20, 4, 4, 1), dtype=np.float32), device)
    hidden = (2, 3) if network == "conv" else (6,)
    fit = lambda noise: Autoencoder.fit(
        x, rng=np.random.default_rng(1), latent=2, network=network, hidden=hidden, noise=noise, steps=30, batch_size=10, progress=False
    )
    model = fit(0.0)
    start = Autoencoder.init(np.random.default_rng(1), (4, 4, 1), 2, network, hidden)
    zeros = np.zeros((20, 4, 4, 1), np.float32)
    assert float(np.mean(model.loss(x, mg.to_device(zeros, device)))) < float(np.mean(start.loss(mg.to_host(x), zeros)))
    assert all(mg.array_module(a) is mg.array_module(x) and a.dtype == np.float32 for a in mg.leaves(model))
    for a, b in zip(mg.leaves(model), mg.leaves(fit(0.0)), strict=True):
        np.testing.assert_array_equal(mg.to_host(a), mg.to_host(b))
    assert fit(0.5).noise == 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_decoder_mirrors_the_encoder_in_the_precision_of_the_data(dtype):
    x = np.random.default_rng(0).random((8, 5)).astype(dtype)
    model = Autoencoder.fit(x, rng=np.random.default_rng(1), latent=2, hidden=(7, 4), steps=1, batch_size=8, progress=False)
    shapes = [[layer.weight.shape for layer in half.layers] for half in (model.encoder, model.decoder)]
    assert shapes == [[(5, 7), (7, 4), (4, 2)], [(2, 4), (4, 7), (7, 5)]]
    assert {a.dtype for a in mg.leaves(model)} == {np.dtype(dtype)} and model.loss(x, x).dtype == dtype


def test_noise_is_added_to_what_is_encoded_alone():
    # without an answer to noise, the denoiser would learn the identity: a large noise must pull the code's decoding to the mean
    x = np.random.default_rng(0).normal(size=(2000, 2))
    fit = lambda noise: Autoencoder.fit(
        x, rng=np.random.default_rng(1), latent=2, network="linear", noise=noise, steps=1500, optimizer=Adam(0.02), progress=False
    )
    point = np.array([[2.0, -2.0]])
    assert np.max(np.abs(fit(0.0).reconstruct(point) - point)) < 0.1
    assert np.max(np.abs(fit(2.0).reconstruct(point) - point / 5)) < 0.3  # Σ = I: x̃ / (1 + σ²)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: Autoencoder.fit(x.astype(int), rng=RNG), TypeError, "x is int64"),
        (lambda x: Autoencoder.fit(x * np.nan, rng=RNG), ValueError, "x has NaN"),
        (lambda x: Autoencoder.fit(x[0], rng=RNG), ValueError, "x has shape"),
        (lambda x: Autoencoder.fit(x, rng=None), TypeError, "rng is None"),
        (lambda x: Autoencoder.fit(x, rng=RNG, network="deep"), ValueError, "network is 'deep'; expected one of 'linear'"),
        (lambda x: Autoencoder.fit(x, rng=RNG, network="conv"), ValueError, r"event is \(3,\); expected \(H, W, C\)"),
        (lambda x: Autoencoder.fit(x, rng=RNG, latent=0), ValueError, "latent is 0"),
        (lambda x: Autoencoder.fit(x, rng=RNG, noise=-1.0), ValueError, "noise is -1.0"),
        (lambda x: Autoencoder.init(RNG, (3,)).encode(x[:, :2]), ValueError, r"x has shape \(4, 2\); expected \(n, 3\)"),
        (lambda x: Autoencoder.init(RNG, (3,)).score(x), ValueError, "noise is 0"),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((4, 3)))
