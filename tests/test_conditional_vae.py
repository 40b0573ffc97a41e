"""The conditional VAE: it is a VAE of each class, by quadrature over codes; it draws and tells the classes."""

import numpy as np
import pytest
from scipy import stats

import minigen as mg
from minigen.functions import logsumexp
from minigen.metrics import log_prob_by_quadrature
from minigen.models import ConditionalVAE
from minigen.models.conditional_vae import Given
from minigen.optim import Adam
from minigen.testing import check_gradients

Z = 4.9  # two-sided normal false-alarm rate 1e-6


def small(likelihood="gaussian", latent=1):
    """An untrained float64 model of three classes with lively weights, data and labels."""
    rng = np.random.default_rng(0)
    frequencies = np.array([0.5, 0.2, 0.3])
    model = ConditionalVAE.init(
        rng, (2,), frequencies, latent=latent, hidden=(5,), likelihood=likelihood, activation=np.tanh, dtype=np.float64, levels=3
    )
    vae = mg.tree_map(lambda w: w + 0.3 * rng.normal(size=w.shape), model.vae)
    x = {"gaussian": rng.normal(size=(4, 2)), "bernoulli": np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])}.get(likelihood)
    return ConditionalVAE(vae, frequencies), np.array([[0, 0.5], [0.5, 1], [1, 0], [1, 1]]) if x is None else x, np.array([0, 2, 1, 2])


@pytest.mark.verifies("conditional_vae.1")
def test_labels_are_read_behind_the_input():
    model, x, y = small()
    given = model.given(y)
    units = np.eye(3)[y]
    np.testing.assert_array_equal(given.encoder(x), model.vae.encoder(np.concatenate([x, units], axis=1)))
    z = np.random.default_rng(0).normal(size=(5, 4, 1))
    want = np.stack([model.vae.decoder(np.concatenate([a, units], axis=1)) for a in z])
    np.testing.assert_allclose(given.decoder(z), want, rtol=1e-13)
    assert not np.allclose(model.decode(z[0], y), model.decode(z[0], (y + 1) % 3))
    check_gradients(lambda h: Given(lambda a: np.tanh(a) ** 2, units)(h), (x,))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "logistic"])
@pytest.mark.verifies("conditional_vae.2")
def test_bounds_lie_below_the_exact_conditional_likelihood(likelihood):
    model, x, y = small(likelihood)
    vae = model.given(y)
    truth = log_prob_by_quadrature(lambda z: np.stack([model.given(y).log_likelihood(x, np.tile(a, (4, 1))) for a in z]), 1, 100)
    rng = np.random.default_rng(1)
    draws = np.stack([model.elbo(x, y, model.noise(rng, 4)) for _ in range(3000)])
    elbo, error = draws.mean(0), draws.std(0) / 3000**0.5
    iwae = np.mean([model.iwae(x, y, model.noise(rng, 4, 500)) for _ in range(20)], axis=0)
    assert np.all(elbo < truth + Z * error) and np.all(elbo < iwae) and np.all(np.abs(iwae - truth) < 0.05)
    eps = model.noise(rng, 4)
    np.testing.assert_array_equal(model.elbo(x, y, eps), vae.elbo(x, eps))
    np.testing.assert_allclose(model.elbo(x, y, eps)[2], model.elbo(x[2:3], y[2:3], eps[2:3])[0], rtol=1e-12)


@pytest.mark.verifies("conditional_vae.3")
def test_it_tells_labels_by_bayes_rule():
    model, x, _ = small()
    rng = np.random.default_rng(0)
    eps = model.noise(rng, 4, 4000)
    by_label = np.stack([model.iwae(x, np.full(4, y), eps) + np.log(model.frequencies[y]) for y in range(3)], axis=1)
    np.testing.assert_allclose(model.bounds(x, eps), by_label, rtol=1e-12)
    joint = log_prob_by_quadrature(
        lambda z: np.stack([logsumexp(np.stack([
            model.given(np.full(4, y)).log_likelihood(x, np.tile(a, (4, 1))) + np.log(model.frequencies[y]) for y in range(3)
        ]), axis=0) for a in z]), 1, 100,
    )  # fmt: skip
    np.testing.assert_allclose(logsumexp(by_label, axis=1), joint, atol=0.05)
    one = eps[0]
    np.testing.assert_array_equal(model.predict(x, one), np.argmax(model.bounds(x, one, "elbo"), axis=1))


@pytest.mark.parametrize("labels", [None, 2])
def test_samples_have_the_classes_asked_for(labels):
    rng = np.random.default_rng(0)
    y = rng.choice(3, 600, p=[0.5, 0.2, 0.3])
    x = (0.25 * rng.normal(size=(600, 2)) + 2.0 * y[:, None]).astype(np.float32)
    model = ConditionalVAE.fit(x, y, rng=rng, latent=1, hidden=(16,), steps=800, optimizer=Adam(0.01), progress=False)
    np.testing.assert_allclose(model.frequencies, np.bincount(y) / 600, rtol=1e-6)
    got = np.rint(model.sample(2000, rng, None if labels is None else np.full(2000, labels)).mean(1) / 2).astype(int)
    assert np.all((got >= 0) & (got < 3))
    share = np.bincount(got, minlength=3) / 2000
    want = model.frequencies if labels is None else np.eye(3)[labels]
    assert np.all(np.abs(share - want) < Z * np.sqrt(want * (1 - want) / 2000) + 0.02)
    assert np.mean(model.predict(x, model.noise(rng, 600)) == y) > 0.98
    assert stats.pearsonr(model.encode(x, y)[:, 0], y).statistic ** 2 < 0.5  # the code need not say what the label does


def test_settings_reach_the_vae_and_its_training():
    x, y = np.random.default_rng(0).integers(0, 5, (20, 2)) / 4, np.arange(20) % 2
    settings = {"latent": 3, "hidden": (4,), "prior": "laplace", "likelihood": "logistic", "levels": 5, "steps": 3, "progress": False}
    fit = lambda **more: ConditionalVAE.fit(x, y, rng=np.random.default_rng(1), **settings, **more).vae
    vae, other, several = fit(), fit(beta=0.5), fit(samples=3)
    assert (vae.latent, vae.prior, vae.likelihood, vae.levels, vae.beta, other.beta) == (3, "laplace", "logistic", 5, 1.0, 0.5)
    assert vae.encoder.layers[0].weight.shape == (4, 4) and vae.decoder.layers[0].weight.shape == (5, 4)
    assert not any(np.allclose(mg.ravel(vae)[0], mg.ravel(a)[0]) for a in (other, several))


@pytest.mark.parametrize("prior", ["normal", "laplace", "bernoulli"])
def test_on_every_array_library_in_float32(prior, device):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 2, 2, 1), dtype=np.float32), rng.integers(0, 3, 20)
    there, labels = mg.to_device((x, y), device)
    fit = lambda x, y: ConditionalVAE.fit(x, y, rng=np.random.default_rng(1), latent=2, hidden=(4,), prior=prior, steps=5, progress=False)
    model, host = fit(there, labels), fit(x, y)
    eps = model.noise(np.random.default_rng(2), 20, 3)
    for found, want in (
        (model.elbo(there, labels, eps), host.elbo(x, y, mg.to_host(eps))),
        (model.sample(5, np.random.default_rng(3)), host.sample(5, np.random.default_rng(3))),
        (model.reconstruct(there, labels), host.reconstruct(x, y)),
    ):
        assert mg.array_module(found) is mg.array_module(there) and found.dtype == np.float32
        np.testing.assert_allclose(mg.to_host(found), want, rtol=1e-3, atol=1e-4)
    assert model.predict(there, eps[0]).shape == (20,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: ConditionalVAE.fit(x, y[:3], rng=np.random.default_rng(0)), r"integer array \(8,\)"),
        (lambda x, y: ConditionalVAE.fit(x, y - 1, rng=np.random.default_rng(0)), "labels from -1 to 0"),
        (lambda x, y: ConditionalVAE.fit(x, 0 * y, rng=np.random.default_rng(0)), "y has one class only"),
        (lambda x, y: ConditionalVAE.fit(x * np.nan, y, rng=np.random.default_rng(0)), "x has NaN"),
        (lambda x, y: ConditionalVAE.init(np.random.default_rng(0), (2,), np.ones(2) / 2, network="conv"), "network is 'conv'"),
        (lambda x, y: small()[0].elbo(x, y + 2, None), "labels from 2 to 3; expected 0 … 3 − 1"),
        (lambda x, y: small()[0].sample(3, np.random.default_rng(0), y), r"labels is int64 of shape \(8,\)"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((8, 2)), np.arange(8) % 2)
