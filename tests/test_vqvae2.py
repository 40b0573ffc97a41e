"""The VQ-VAE-2 chapter against its definitions: a surrogate without stop_gradient, and all codes of both maps enumerated."""

import itertools

import numpy as np
import pytest
from scipy import stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.functions import logsumexp
from minigen.models.codebook import AveragedCodebook, Codebook, nearest
from minigen.models.pixelcnn import PixelCNN
from minigen.models.vqvae2 import VQVAE2
from minigen.optim import Adam


def small(averages=True, sizes=(3, 5), seed=0, dtype=np.float64, beta=0.25):
    """An untrained model with maps of 1 × 2 and 2 × 4 codes, and images for it."""
    g = np.random.default_rng(seed)
    model = VQVAE2.init(g, (4, 8, 1), sizes, 2, (5,), (6,), averages, beta, dtype)
    model.variance[...] = 0.4
    x = g.standard_normal((6, 4, 8, 1)).astype(dtype)
    for book, place in ((model.top_codebook, 0), (model.bottom_codebook, 1)):
        z = model.forward(x)[1][place][0].reshape(-1, 2)
        book.codewords[...] = z[: len(book.codewords)] + 0.1 * book.codewords
    return model, x


@pytest.mark.verifies("vqvae2.1", "vqvae2.2")
def test_what_becomes_of_an_image():
    model, x = small()
    x_hat, [(z_top, e_top, top), (z_bottom, e_bottom, bottom)] = model.forward(x)
    h = model.trunk(x)
    np.testing.assert_allclose(z_top, model.top_encoder(h))
    np.testing.assert_array_equal(top, nearest(z_top, model.top_codebook.codewords))
    np.testing.assert_array_equal(e_top, model.top_codebook.codewords[top])
    u = model.top_decoder(e_top)
    np.testing.assert_allclose(z_bottom, model.join(np.concatenate([h, u], -1)), rtol=1e-9)
    np.testing.assert_array_equal(bottom, nearest(z_bottom, model.bottom_codebook.codewords))
    np.testing.assert_array_equal(e_bottom, model.bottom_codebook.codewords[bottom])
    np.testing.assert_allclose(x_hat, model.decoder(np.concatenate([e_bottom, u], -1)), rtol=1e-9, atol=1e-12)
    assert x_hat.shape == x.shape and top.shape == (6, 1, 2) and bottom.shape == (6, 2, 4)
    for a, b in zip(model.encode(x), (top, bottom), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(model.decode((top, bottom)), x_hat, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.reconstruct(x), model.decode((top, bottom)))
    np.testing.assert_allclose(model.context(top), u, rtol=1e-9)


@pytest.mark.verifies("vqvae2.3")
@pytest.mark.parametrize("averages", [True, False])
def test_the_gradient_is_that_of_a_surrogate_with_constants_in_their_places(averages):
    """At one place z + (e − z) with the bracket held constant is what the loss differentiates, and each distance holds one end."""
    model, x = small(averages, beta=0.7)
    _, maps = model.forward(x)
    constants = [(z, e, e - z) for z, e, _ in maps]

    def surrogate(m):
        h = m.trunk(x)
        z_top = m.top_encoder(h)
        u = m.top_decoder(z_top + constants[0][2])
        z_bottom = m.join(np.concatenate([h, u], axis=-1))
        x_hat = m.decoder(np.concatenate([z_bottom + constants[1][2], u], axis=-1))
        total = np.sum((x - x_hat) ** 2) / (2 * 0.4) + x.size * 0.5 * np.log(2 * np.pi * 0.4)
        for z, book, (z0, e0, _), (_, _, k) in zip((z_top, z_bottom), (m.top_codebook, m.bottom_codebook), constants, maps, strict=True):
            total = total + 0.7 * np.sum((z - e0) ** 2) + np.sum((z0 - book.codewords[k]) ** 2)
        return total

    loss = lambda m: np.sum(m.loss(x, *m.forward(x)))
    assert model.loss(x, *model.forward(x)).shape == (6,)
    np.testing.assert_allclose(loss(model), surrogate(model))
    mine, expected = (tree.named_arrays(grad(f)(model)) for f in (loss, surrogate))
    moved, still = (tree.named_arrays(m) for m in (tree.tree_map(lambda a: a + 1, model), model))
    trained = {name for name, a in moved.items() if np.any(a != still[name])}
    assert ("top_codebook.codewords" in trained) == (not averages)
    for name in trained:
        np.testing.assert_allclose(mine[name], expected[name], rtol=1e-7, atol=1e-9, err_msg=name)


# ---- Priors ----
def with_lively_priors():
    """One code on top, 1 × 2 at the bottom, two of each: eight pairs, and priors with weights that matter."""
    g = np.random.default_rng(3)
    model = VQVAE2.init(g, (4, 4, 1), (2, 2), 2, (5,), (6,), dtype=np.float64)
    model.variance[...] = 0.4
    model.top_prior = PixelCNN.init(g, (1, 1), 2, width=4, layers=1, dtype=np.float64)
    model.bottom_prior = PixelCNN.init(g, (2, 2), 2, width=4, layers=1, n_context=5, dtype=np.float64)
    model.top_prior.bias[...] = [[[0.0, 1.0]]]
    model.bottom_prior.head.weight *= 8
    for layer in model.bottom_prior.layers:
        layer.context.weight *= 8
    codes = np.array(list(itertools.product([0, 1], repeat=5)))
    return model, (codes[:, :1].reshape(-1, 1, 1), codes[:, 1:].reshape(-1, 2, 2)), g.standard_normal((6, 4, 4, 1))


@pytest.mark.verifies("vqvae2.4")
def test_the_prior_is_a_distribution_and_samples_follow_it():
    model, (top, bottom), _ = with_lively_priors()
    p = np.exp(model.log_prior((top, bottom)))
    np.testing.assert_allclose(p.sum(), 1)
    np.testing.assert_allclose(p.reshape(2, 16).sum(1), np.exp(model.top_prior.log_prob(top[::16])))
    given = p.reshape(2, 16) / p.reshape(2, 16).sum(1, keepdims=True)
    assert np.abs(given[0] - given[1]).sum() > 0.1, "the bottom depends on the top"
    images = model.decode((top, bottom))
    n = 4000
    drawn = model.sample(n, np.random.default_rng(0))
    distance = ((drawn[:, None] - images) ** 2).sum((2, 3, 4))
    assert distance.min(1).max() < 1e-20, "samples are images of codes, without noise"
    assert stats.chisquare(np.bincount(distance.argmin(1), minlength=32), n * p).pvalue > 1e-6


@pytest.mark.verifies("vqvae2.5")
@pytest.mark.parametrize("fitted", [True, False])
def test_the_bound_is_one_term_of_the_sum_over_all_codes(fitted):
    model, (top, bottom), x = with_lively_priors()
    if not fitted:
        model.top_prior = model.bottom_prior = None
    log_p = model.log_prior((top, bottom)) if fitted else np.full(32, -5 * np.log(2))
    fits = [stats.norm(image, np.sqrt(0.4)).logpdf(x).sum((1, 2, 3)) for image in model.decode((top, bottom))]
    terms = np.stack(fits) + log_p[:, None]
    my_top, my_bottom = model.encode(x)
    mine = np.argmax(np.all(my_top[:, None] == top, axis=(2, 3)) & np.all(my_bottom[:, None] == bottom, axis=(2, 3)), axis=1)
    np.testing.assert_allclose(model.elbo(x), terms[mine, np.arange(6)])
    assert np.all(model.elbo(x) <= logsumexp(terms, axis=0)) and len(np.unique(mine)) > 1


def test_priors_of_unequal_sizes_when_all_codes_are_equally_likely():
    model, x = small()
    np.testing.assert_allclose(model.log_prior(model.encode(x)), -2 * np.log(3) - 8 * np.log(5))


def test_the_priors_are_fitted_to_the_codes_of_all_images(monkeypatch):
    model, _ = small()
    x = np.random.default_rng(0).standard_normal((1003, 4, 8, 1))
    monkeypatch.setattr(PixelCNN, "fit", lambda k, levels, **settings: (k, levels, settings))
    fitted = model.with_prior(x, rng=0, steps=7)
    (top, k_top, settings), (bottom, k_bottom, more) = fitted.top_prior, fitted.bottom_prior
    np.testing.assert_array_equal(top, model.encode(x)[0])
    np.testing.assert_array_equal(bottom, model.encode(x)[1])
    np.testing.assert_array_equal(more.pop("context"), model.context(top))
    assert (k_top, k_bottom) == (3, 5) and settings == more == {"rng": 0, "steps": 7}


# ---- Training ----
@pytest.mark.parametrize(("averages", "kind"), [(True, AveragedCodebook), (False, Codebook)])
def test_fit_makes_what_is_asked_for(averages, kind):
    settings = {"sizes": (6, 7), "width": 3, "widths": (4,), "top_widths": (5, 4), "averages": averages, "beta": 0.7}
    x = np.ones((8, 8, 16, 2))
    model = VQVAE2.fit(x, rng=np.random.default_rng(0), steps=0, prior_steps=0, progress=False, **settings)
    assert type(model.top_codebook) is type(model.bottom_codebook) is kind and model.beta == 0.7 and model.event == (8, 16, 2)
    assert [b.codewords.shape for b in (model.top_codebook, model.bottom_codebook)] == [(6, 3), (7, 3)]
    assert [k.shape for k in model.encode(x)] == [(8, 1, 2), (8, 4, 8)] and model.variance.dtype == np.float64


def test_it_learns_patterns_and_to_sample_them():
    """Each image is one of two wholes with one of two details: the prior has to know which go together (three of four do)."""
    g = np.random.default_rng(0)
    whole, detail = (g.random((2, 4, 4, 1)) > 0.5).astype(np.float32), 0.4 * g.standard_normal((2, 4, 4, 1)).astype(np.float32)
    patterns = np.stack([whole[0] + detail[0], whole[0] + detail[1], whole[1] + detail[0]])
    x = np.repeat(patterns, 40, axis=0)
    model = VQVAE2.fit(
        x, rng=np.random.default_rng(1), sizes=(4, 4), width=2, widths=(16,), top_widths=(16,), steps=200, prior_steps=150, decay=0.9,
        optimizer=Adam(5e-3), progress=False,
    )  # fmt: skip
    error = float(np.mean((model.reconstruct(x) - x) ** 2))
    assert error < 0.01 and 0.2 < float(model.variance) / error < 5
    assert np.all(np.abs(model.log_prior(model.encode(patterns)) + np.log(3)) < 0.5)
    distances = np.mean((model.sample(100, np.random.default_rng(2))[:, None] - patterns) ** 2, axis=(2, 3, 4))
    assert np.mean(np.min(distances, axis=1) < 0.02) > 0.85 and len(np.unique(np.argmin(distances, axis=1))) == 3


@pytest.mark.parametrize("averages", [True, False])
def test_same_on_every_device_in_float32(averages, device):
    model, x = small(averages, dtype=np.float32)
    there, y = to_device(model, device), to_device(x, device)
    for verb in ("reconstruct", "elbo"):
        found = getattr(there, verb)(y)
        assert type(found) is type(y) and found.dtype == np.float32
        np.testing.assert_allclose(to_host(found), getattr(model, verb)(x), rtol=1e-4, atol=1e-5)
    settings = {"sizes": (3, 3), "width": 2, "widths": (4,), "top_widths": (4,), "steps": 2, "prior_steps": 0, "progress": False}
    fits = [VQVAE2.fit(data, rng=np.random.default_rng(0), averages=averages, **settings) for data in (x, y)]
    for a, b in zip(*(tree.named_arrays(f).values() for f in fits), strict=True):
        assert type(b) is type(y) and b.dtype == np.float32
        np.testing.assert_allclose(to_host(b), a, rtol=1e-3, atol=1e-4)


# ---- Bad input ----
@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.zeros((8, 16)), {}, "expected images"),
        (np.zeros((8, 6, 8, 1)), {}, r"each is \(6, 8, 1\).*multiples of 4"),
        (np.zeros((8, 4, 4, 1)), {"sizes": (0, 2)}, r"sizes\[0\] is 0"),
        (np.zeros((8, 4, 4, 1)), {"sizes": (2, 0)}, r"sizes\[1\] is 0"),
        (np.zeros((8, 4, 4, 1)), {"sizes": 64}, "sizes is 64"),
        (np.zeros((8, 4, 4, 1)), {"top_widths": ()}, "top_widths"),
        (np.zeros((8, 4, 4, 1)), {"widths": ()}, "widths"),
        (np.zeros((8, 4, 4, 1)), {"beta": np.nan}, "beta is nan"),
        (np.zeros((8, 4, 4, 1)), {"decay": 2.0}, "decay is 2.0"),
    ],
)
def test_bad_input_is_named(x, settings, message):
    with pytest.raises(ValueError, match=message):
        VQVAE2.fit(x, **{"rng": np.random.default_rng(0), "widths": (4,), "top_widths": (4,), "steps": 0, "progress": False, **settings})


def test_wrong_images_and_codes_are_refused():
    model, x = small()
    top, bottom = model.encode(x)
    with pytest.raises(ValueError, match=r"x has shape \(6, 8, 4, 1\)"):
        model.encode(x.reshape(6, 8, 4, 1))
    with pytest.raises(ValueError, match="top has entries"):
        model.decode((top + 3, bottom))
    with pytest.raises(ValueError, match="bottom has entries"):
        model.decode((top, bottom + 5))
    with pytest.raises(ValueError, match="bottom has shape"):
        model.decode((top, top))
    with pytest.raises(ValueError, match="no priors"):
        model.sample(1, np.random.default_rng(0))
