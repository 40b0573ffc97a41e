"""The VQ-VAE chapter against its definitions: gradients put together by hand, all codes enumerated, patterns that have to be learned."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from minigen import tree
from minigen.autograd import grad, vjp
from minigen.backend import to_device, to_host
from minigen.functions import logsumexp
from minigen.models.codebook import AveragedCodebook, Codebook, nearest, perplexity, quantisation_loss, straight_through
from minigen.models.pixelcnn import PixelCNN
from minigen.models.vqvae import VQVAE, log_likelihood, train
from minigen.nn.maps import MapDecoder, MapEncoder
from minigen.optim import SGD, Adam


def small(averages=True, beta=0.25, size=5, seed=0, dtype=np.float64, event=(4, 4, 2)):
    """An untrained model of 2 × 2 maps, and images for it."""
    g = np.random.default_rng(seed)
    model = VQVAE.init(g, event, size, 3, (6,), averages, beta, dtype)
    model.variance[...] = 0.3
    x = g.standard_normal((7, *event)).astype(dtype)
    model.codebook.codewords[...] = model.encoder(x).reshape(-1, 3)[:size] + 0.1 * model.codebook.codewords
    return model, x


@dataclass
class Plane:
    """As a model: points of the plane are their own code, so that training is k-means, a batch at a time."""

    codebook: Codebook
    bias: np.ndarray
    variance: np.ndarray = field(metadata={"static": True})

    def forward(self, x):
        k = nearest(x, self.codebook.codewords)
        e = self.codebook.codewords[k]
        return straight_through(x, e) + 0 * self.bias, [(x, e, k)]

    def loss(self, x, x_hat, maps):
        return quantisation_loss(*maps[0][:2], 0.0)


# ---- The objective ----
@pytest.mark.verifies("vqvae.1")
def test_log_likelihood_is_that_of_a_normal_distribution():
    x, m = np.random.default_rng(0).standard_normal((2, 5, 3, 2, 2))
    np.testing.assert_allclose(log_likelihood(x, m, np.array(0.3)), stats.norm(m, np.sqrt(0.3)).logpdf(x).sum((1, 2, 3)))


@pytest.mark.verifies("vqvae.2")
@pytest.mark.parametrize("averages", [True, False])
@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_each_part_gets_the_gradient_of_its_own_terms(averages, beta):
    model, x = small(averages, beta)
    z, to_encoder = vjp(lambda encoder: encoder(x), model.encoder)
    e = model.codebook.codewords[nearest(z, model.codebook.codewords)]
    fit = lambda decoder, q: -np.sum(log_likelihood(x, decoder(q), model.variance))
    loss = lambda model: np.sum(model.loss(x, *model.forward(x)))
    np.testing.assert_allclose(model.loss(x, *model.forward(x)).shape, (7,))
    np.testing.assert_allclose(loss(model), fit(model.decoder, e) + (1 + beta) * np.sum((z - e) ** 2))
    g = grad(loss)(model)
    same = lambda a, b: [np.testing.assert_allclose(u, v, rtol=1e-8, atol=1e-9) for u, v in zip(*map(tree.leaves, (a, b)), strict=True)]
    same(g.decoder, grad(fit)(model.decoder, e))
    same(g.encoder, to_encoder(grad(lambda q: fit(model.decoder, q))(e) + 2 * beta * (z - e)))
    if not averages:
        k = nearest(z, model.codebook.codewords)
        same(g.codebook.codewords, np.stack([2 * (e[k == j] - z[k == j]).sum(0) for j in range(5)]))


def test_forward_encode_and_decode_agree():
    model, x = small()
    x_hat, [(z, e, k)] = model.forward(x)
    np.testing.assert_array_equal(z, model.encoder(x))
    np.testing.assert_array_equal(e, model.codebook.codewords[k])
    np.testing.assert_array_equal(model.encode(x), k)
    assert k.shape == (7, 2, 2) and k.dtype.kind == "i"
    np.testing.assert_allclose(model.decode(k), x_hat, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(k))


@pytest.mark.parametrize(("widths", "side"), [((5,), 4), ((5, 6), 2), ((4, 5, 6), 1)])
def test_each_width_halves_the_map(widths, side):
    g = np.random.default_rng(0)
    encoder, decoder = MapEncoder.init(g, 2, 3, widths), MapDecoder.init(g, 3, 2, widths)
    x = np.zeros((2, 8, 8, 2), np.float32)
    assert encoder(x).shape == (2, side, side, 3) and decoder(encoder(x)).shape == x.shape
    assert [c.weight.shape[3] for c in encoder.convs] == list(widths)


def test_the_networks_by_hand():
    g, act = np.random.default_rng(0), lambda h: np.maximum(h, 0)
    x, q = g.standard_normal((3, 8, 8, 2)), g.standard_normal((3, 2, 2, 3))
    encoder, decoder = (net.init(g, *sizes, (4, 5), dtype=np.float64) for net, sizes in ((MapEncoder, (2, 3)), (MapDecoder, (3, 2))))
    block = lambda net, h: h + net.block.convs[1](act(net.block.convs[0](act(h))))
    h = block(encoder, act(encoder.convs[1](act(encoder.convs[0](x)))))
    np.testing.assert_allclose(encoder(x), encoder.head(act(h)))
    h = block(decoder, decoder.stem(q))
    np.testing.assert_allclose(decoder(q), decoder.convs[1](act(decoder.convs[0](act(h)))))
    assert [c.weight.shape[:2] for c in (*encoder.convs, *encoder.block.convs, encoder.head)] == [(4, 4), (4, 4), (3, 3), (1, 1), (1, 1)]


# ---- Training ----
@pytest.mark.verifies("vqvae.3")
@pytest.mark.parametrize("averages", [True, False])
def test_a_step_of_training_by_hand(averages):
    """Gradient, averages and τ² all start from the model before the step."""
    model, x = small(averages, 0.25)
    z, x_hat = model.encoder(x).reshape(-1, 3), model.reconstruct(x)
    vector, unravel = tree.ravel(model)
    expected = unravel(vector - 0.01 * tree.ravel(grad(lambda m: np.mean(m.loss(x, *m.forward(x))))(at_variance(model, np.var(x))))[0])
    counts = 0.9 * model.codebook.counts + 0.1 * np.bincount(model.encode(x).ravel(), minlength=5)
    book = type(model.codebook).init(np.random.default_rng(0), 5, 3, np.float64)
    for name in tree.named_arrays(book):
        getattr(book, name)[...] = getattr(expected.codebook, name)
    book.follow(z, model.encode(x).ravel(), 0.9)
    trained = train(
        model, x, lambda m: [m.codebook], rng=np.random.default_rng(0), steps=1, decay=0.9, restart=0.0, optimizer=SGD(0.01), batch_size=7,
        progress=False,
    )  # fmt: skip
    for a, b in zip(tree.leaves(trained), tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(trained.codebook.counts, counts)
    np.testing.assert_allclose(trained.codebook.codewords, book.codewords, rtol=1e-9)
    np.testing.assert_allclose(trained.variance, 0.9 * np.var(x) + 0.1 * np.mean((x - x_hat) ** 2))


def at_variance(model, variance):
    """The model with another τ²."""
    model.variance[...] = variance
    return model


@pytest.mark.parametrize("kind", [AveragedCodebook, Codebook])
def test_restarts_put_every_code_to_use(kind):
    """Eight clusters on a circle, 32 codewords near its centre: those that no point chooses stay there, unless they start anew."""
    g = np.random.default_rng(0)
    angle = 2 * np.pi * g.integers(8, size=2000) / 8
    x = (5 * np.stack([np.cos(angle), np.sin(angle)], axis=-1) + 0.1 * g.standard_normal((2000, 2)))[:, None, None]
    used, error = {}, {}
    for restart in (0.0, 0.1):
        plane = Plane(kind.init(np.random.default_rng(1), 32, 2, np.float64), np.zeros(2), np.ones(()))
        settings = {"steps": 300, "decay": 0.9, "optimizer": Adam(0.05), "progress": False}
        plane = train(plane, x, lambda m: [m.codebook], rng=np.random.default_rng(2), restart=restart, **settings)
        x_hat, [(_, _, k)] = plane.forward(x)
        used[restart], error[restart] = perplexity(k, 32), np.mean((x - x_hat) ** 2)
        np.testing.assert_allclose(plane.variance, error[restart], rtol=0.3, err_msg="τ² follows the error")
    assert used[0.0] < 12 and used[0.1] > 24 and error[0.1] < 0.01


def test_images_that_are_reconstructed_exactly_do_no_harm():
    plane = Plane(AveragedCodebook.init(np.random.default_rng(1), 3, 2, np.float64), np.zeros(2), np.ones(()))
    x = np.repeat(plane.codebook.codewords, 4, axis=0)[:, None, None]
    settings = {"steps": 60, "decay": 0.5, "restart": 0.0, "optimizer": None, "progress": False}
    plane = train(plane, x, lambda m: [m.codebook], rng=np.random.default_rng(2), **settings)
    assert plane.variance == 1e-6 and np.all(np.isfinite(log_likelihood(x, x, plane.variance)))
    constant = np.full((32, 4, 4, 1), 0.5, np.float32)
    model = VQVAE.fit(constant, rng=np.random.default_rng(0), size=2, width=2, widths=(4,), steps=2, prior_steps=0, progress=False)
    assert np.all(np.isfinite(model.elbo(constant)))


@pytest.mark.parametrize(("averages", "kind"), [(True, AveragedCodebook), (False, Codebook)])
def test_fit_makes_what_is_asked_for(averages, kind):
    settings = {"size": 6, "width": 3, "widths": (4, 5), "averages": averages, "beta": 0.7}
    model = VQVAE.fit(np.ones((8, 8, 4, 2)), rng=np.random.default_rng(0), steps=0, prior_steps=0, progress=False, **settings)
    assert type(model.codebook) is kind and model.codebook.codewords.shape == (6, 3) and model.codebook.codewords.dtype == np.float64
    assert model.encode(np.ones((3, 8, 4, 2))).shape == (3, 2, 1) and model.beta == 0.7 and model.prior is None and model.event == (8, 4, 2)


# ---- The bound, the prior ----
def all_codes(size, shape):
    return np.array(list(itertools.product(range(size), repeat=int(np.prod(shape))))).reshape(-1, *shape)


def with_small_prior(seed=0):
    model, x = small(size=3, event=(4, 2, 1))  # maps of 2 × 1: nine codes
    return model.with_prior(x, rng=np.random.default_rng(seed), steps=30, width=4, layers=1, progress=False), x


@pytest.mark.verifies("vqvae.4")
@pytest.mark.parametrize("prior", [False, True])
def test_the_bound_is_one_term_of_the_sum_over_all_codes(prior):
    model, x = with_small_prior() if prior else small(size=3, event=(4, 2, 1))
    codes = all_codes(3, (2, 1))
    log_p = model.prior.log_prob(codes) if prior else np.full(9, -2 * np.log(3))
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-6)
    fits = [stats.norm(model.decode(k[None]), np.sqrt(0.3)).logpdf(x).sum((1, 2, 3)) for k in codes]
    terms = np.stack(fits) + log_p[:, None]
    mine = np.argmax(np.all(model.encode(x)[:, None] == codes, axis=(2, 3)), axis=1)
    elbo = model.elbo(x)
    np.testing.assert_allclose(elbo, terms[mine, np.arange(7)], rtol=1e-6)
    assert np.all(elbo <= logsumexp(terms, axis=0)) and len(np.unique(mine)) > 1


def test_the_prior_is_fitted_to_the_codes_of_all_images(monkeypatch):
    model, _ = small()
    x = np.random.default_rng(0).standard_normal((1003, 4, 4, 2))
    monkeypatch.setattr(PixelCNN, "fit", lambda k, levels, **settings: (k, levels, settings))
    k, levels, settings = model.with_prior(x, rng=0, steps=7).prior
    np.testing.assert_array_equal(k, model.encode(x))
    assert levels == 5 and settings == {"rng": 0, "steps": 7}


def test_it_learns_patterns_their_frequencies_and_to_sample_them():
    patterns = (np.random.default_rng(0).random((4, 4, 4, 1)) > 0.5).astype(np.float32)
    labels = np.repeat([0, 1, 2, 3], [16, 16, 32, 64])
    x = patterns[labels]
    model = VQVAE.fit(
        x, rng=np.random.default_rng(1), size=4, width=2, widths=(16, 32), decay=0.9, steps=200, prior_steps=150, optimizer=Adam(5e-3),
        progress=False,
    )  # fmt: skip
    assert np.mean((model.reconstruct(x) - x) ** 2) < 0.01
    np.testing.assert_allclose(np.exp(model.prior.log_prob(model.encode(patterns))), [1 / 8, 1 / 8, 1 / 4, 1 / 2], rtol=0.3)
    sample = model.sample(400, np.random.default_rng(5))
    np.testing.assert_array_equal(sample, model.decode(model.prior.sample(400, np.random.default_rng(5))))
    distances = np.mean((sample[:, None] - patterns) ** 2, axis=(2, 3, 4))
    assert np.all(np.min(distances, axis=1) < 0.02)
    p = np.exp(model.prior.log_prob(model.encode(patterns)))
    counts = np.bincount(np.argmin(distances, axis=1), minlength=4)
    assert stats.chisquare(counts, 400 * p / p.sum()).pvalue > 1e-6


# ---- Devices, bad input ----
@pytest.mark.parametrize("averages", [True, False])
def test_same_on_every_device_in_float32(averages, device):
    model, x = small(averages, dtype=np.float32)
    there, y = to_device(model, device), to_device(x, device)
    for verb in ("encode", "reconstruct", "elbo"):
        found = getattr(there, verb)(y)
        assert type(found) is type(y) and (found.dtype == np.float32 or verb == "encode")
        np.testing.assert_allclose(to_host(found), getattr(model, verb)(x), rtol=1e-4, atol=1e-5)
    settings = {"size": 4, "width": 2, "widths": (4,), "averages": averages, "steps": 3, "prior_steps": 0, "progress": False}
    fits = [VQVAE.fit(data, rng=np.random.default_rng(0), **settings) for data in (x, y)]
    for a, b in zip(tree.named_arrays(fits[0]).values(), tree.named_arrays(fits[1]).values(), strict=True):
        assert type(b) is type(y) and b.dtype == np.float32
        np.testing.assert_allclose(to_host(b), a, rtol=1e-3, atol=1e-4)


IMAGES = np.zeros((8, 4, 4, 1))


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.zeros((8, 16)), {}, r"x has shape \(8, 16\); expected images"),
        (np.full_like(IMAGES, np.nan), {}, "x has NaN"),
        (IMAGES.astype(int), {}, "x is int64"),
        (np.zeros((8, 6, 4, 1)), {"widths": (4, 4)}, r"each is \(6, 4, 1\).*multiples of 4"),
        (IMAGES, {"widths": ()}, "widths"),
        (IMAGES, {"size": 0}, "size is 0"),
        (IMAGES, {"width": 0}, "width is 0"),
        (IMAGES, {"beta": -1.0}, "beta is -1.0"),
        (IMAGES, {"decay": 1.0}, "decay is 1.0"),
        (IMAGES, {"restart": 1.0}, "restart 1.0"),
        (IMAGES, {"rng": None}, "rng is None"),
    ],
)
def test_bad_input_is_named(x, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        VQVAE.fit(x, **{"rng": np.random.default_rng(0), "widths": (4,), "steps": 0, "prior_steps": 0, "progress": False, **settings})


def test_wrong_images_and_codes_are_refused():
    model, _ = small()
    with pytest.raises(ValueError, match=r"x has shape \(4, 4, 4, 1\); expected \(n, 4, 4, 2\)"):
        model.encode(np.zeros((4, 4, 4, 1)))
    with pytest.raises(ValueError, match="0 … levels − 1 = 4"):
        model.decode(np.full((1, 2, 2), 5))
    with pytest.raises(ValueError, match="no prior"):
        model.sample(1, np.random.default_rng(0))
