"""Conditional generative adversarial networks against their definitions: known class densities, steps done by hand."""

import numpy as np
import pytest
from scipy import special, stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.functions import sigmoid
from minigen.models.conditional_gan import ConditionalCritic, ConditionalGAN, ConditionalGenerator
from minigen.models.gan import Critic, Generator, critic_loss, generator_loss, optimal_logits, value
from minigen.nn import Embedding
from minigen.optim import EMA, SGD, Adam, cosine

FREQUENCIES = np.array([0.5, 0.2, 0.3])


def small(event=(2,), **settings):
    """An untrained float64 model of three classes, data and labels for it."""
    rng = np.random.default_rng(0)
    gan = ConditionalGAN.init(rng, event, FREQUENCIES, 3, 4, hidden=(5, 6), activation=np.tanh, dtype=np.float64, **settings)
    return gan, rng.standard_normal((6, *event)), np.array([0, 2, 1, 1, 0, 2])


# ---- The best critic ----
@pytest.mark.verifies("conditional_gan.2", "conditional_gan.4")
def test_projection_holds_the_best_critic_of_classes_that_are_softmax_linear():
    """p(x|y) = N(m_y, 1), q(x|y) = N(n_y, 1): log p(y|x) is linear in (x, 1) up to a term of x alone, and so is log q(y|x)."""
    m, n = np.array([-2.0, 0.0, 3.0]), np.array([-1.0, 0.5, 0.0])
    x = np.linspace(-6, 6, 41)
    log_p, log_q = (stats.norm(c[:, None], 1).logpdf(x) for c in (m, n))
    marginal_p, marginal_q = (special.logsumexp(log + np.log(FREQUENCIES)[:, None], axis=0) for log in (log_p, log_q))
    posterior_p, posterior_q = (log + np.log(FREQUENCIES)[:, None] - total for log, total in ((log_p, marginal_p), (log_q, marginal_q)))
    best = optimal_logits(log_p, log_q)
    np.testing.assert_allclose(best, marginal_p - marginal_q + posterior_p - posterior_q, atol=1e-12)
    vectors = np.stack([m - n, 0.5 * (n * n - m * m)], axis=1)
    critic = ConditionalCritic(Critic(lambda x: np.concatenate([x, 1 + 0 * x], axis=1), (1,)), Embedding(vectors))
    for y in range(3):
        np.testing.assert_allclose(critic(x[:, None], np.full(41, y)), best[y], atol=1e-12)


@pytest.mark.verifies("conditional_gan.2")
def test_no_critic_of_pairs_beats_the_best_one():
    x, cell = np.linspace(-15, 15, 3001), 0.01
    log_p = np.stack([stats.norm(c, s).logpdf(x) for c, s in ((-2, 1), (0, 0.5), (3, 1))])
    log_q = np.stack([stats.norm(c, s).logpdf(x) for c, s in ((-1, 1), (0, 2), (3, 1))])
    p, q = (FREQUENCIES[:, None] * np.exp(log) * cell for log in (log_p, log_q))
    game = lambda f: -np.sum(p * np.logaddexp(0, -f)) - np.sum(q * np.logaddexp(0, f))
    best = log_p - log_q
    unconditional = np.log(p.sum(0)) - np.log(q.sum(0)) + 0 * best
    assert np.max(np.abs(grad(game)(best))) < 1e-12 and game(unconditional) < game(best) - 0.01


# ---- The players ----
@pytest.mark.verifies("conditional_gan.3", "conditional_gan.4")
def test_players_are_their_definitions():
    gan, x, y = small(output=sigmoid)
    z = gan.noise(6, np.random.default_rng(1))
    assert z.shape == (6, 3)
    for i in range(6):
        code = np.concatenate([z[i], gan.generator.embedding.weight[y[i]]])
        np.testing.assert_allclose(gan.generator(z, y)[i], special.expit(gan.generator.network.network(code[None])[0]))
        v, phi = gan.critic.embedding.weight[y[i]], gan.critic.network.network(x[i : i + 1])[0]
        np.testing.assert_allclose(gan.critic(x, y)[i], sum(a * b for a, b in zip(v, phi, strict=True)))
    assert gan.generator(z, y).shape == (6, 2) and gan.critic(x, y).shape == (6,)


def test_logits_begin_with_the_scale_of_one():
    rng = np.random.default_rng(0)
    gan = ConditionalGAN.init(rng, (8, 8, 1), np.full(10, 0.1), label_size=64)
    x, y = rng.standard_normal((500, 8, 8, 1)).astype(np.float32), rng.integers(10, size=500)
    assert 0.5 < gan.critic(x, y).std() < 3 and 0.8 < gan.generator.embedding.weight.std() < 1.2
    assert gan.critic.embedding.weight.shape == (10, 64) == gan.generator.embedding.weight.shape
    assert gan.generator.network.network.layers[0].weight.shape == (32 + 64, 128)
    image = ConditionalGAN.init(rng, (8, 8, 1), np.full(10, 0.1), network="conv", hidden=(4, 6))
    assert image.sample(3, rng).shape == (3, 8, 8, 1) and image.critic(x[:3], y[:3]).dtype == np.float32


# ---- Labels ----
@pytest.mark.verifies("conditional_gan.5")
def test_labels_are_drawn_by_their_frequency():
    gan, _, _ = small()
    n = 50_000
    counts = np.bincount(gan.draw_labels(n, np.random.default_rng(2)), minlength=3)
    assert counts.sum() == n and stats.chisquare(counts, n * FREQUENCIES).pvalue > 1e-6
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [10, 20, 30, 4]))
    fitted = ConditionalGAN.fit(
        np.zeros((64, 1), np.float32), y, rng=np.random.default_rng(0), hidden=(2,), steps=1, batch_size=8, progress=False
    )
    np.testing.assert_allclose(fitted.frequencies, np.array([10, 20, 30, 4]) / 64)
    assert fitted.frequencies.dtype == np.float32
    rounded = ConditionalGAN.init(np.random.default_rng(0), (1,), np.array([0.3, 0.3]), 2, 2, hidden=(2,))
    assert set(rounded.draw_labels(1000, np.random.default_rng(0)).tolist()) == {0, 1}, "a sum below 1 makes no third class"
    zero = ConditionalGAN.init(np.random.default_rng(0), (1,), np.array([0.0, 1.0, 0.0]), 2, 2, hidden=(2,))
    assert set(zero.draw_labels(1000, np.random.default_rng(0)).tolist()) == {1}


def test_samples_are_of_the_labels_asked_for():
    gan, _, y = small()
    z = gan.noise(6, np.random.default_rng(4))
    np.testing.assert_array_equal(gan.sample(6, np.random.default_rng(4), labels=y), gan.generator(z, y))
    rng = np.random.default_rng(4)
    z, drawn = gan.noise(6, rng), gan.draw_labels(6, rng)
    np.testing.assert_array_equal(gan.sample(6, np.random.default_rng(4)), gan.generator(z, drawn))


# ---- Training ----
@pytest.mark.verifies("conditional_gan.1")
@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_a_step_plays_the_game_with_the_labels_of_the_data(loss):
    data = np.random.default_rng(1)
    x, y = data.standard_normal((9, 2)), np.array([0, 1, 2, 2, 1, 0, 1, 1, 0])
    settings = {"latent": 3, "label_size": 4, "hidden": (5,), "activation": np.tanh}
    found = ConditionalGAN.fit(
        x, y, rng=np.random.default_rng(5), steps=1, batch_size=9, optimizers=(SGD(0.3), SGD(0.2)), ema=EMA(0.75), loss=loss, penalty=0.5,
        progress=False, **settings,
    )  # fmt: skip

    rng = np.random.default_rng(5)
    gan = ConditionalGAN.init(rng, (2,), FREQUENCIES, dtype=np.float64, **settings)
    order = np.random.default_rng([int(rng.integers(2**62)), 0]).permutation(9)
    x, y = x[order], y[order]
    fake = gan.generator(rng.standard_normal((9, 3)), y)

    def cost(critic):
        slopes = grad(lambda x: np.sum(critic(x, y)))(x)
        return -value(critic(x, y), critic(fake, y)) + 0.25 * np.mean(np.sum(slopes**2, axis=1))

    np.testing.assert_allclose(found.history, [cost(gan.critic)], rtol=1e-12)
    np.testing.assert_allclose(np.mean(critic_loss(gan.critic, x, fake, 0.5, (y,))), cost(gan.critic), rtol=1e-12)
    critic = tree.tree_map(lambda w, g: w - 0.2 * g, gan.critic, grad(cost)(gan.critic))
    z = rng.standard_normal((9, 3))
    slope = grad(lambda g: np.mean(generator_loss(critic(g(z, y), y), loss)))(gan.generator)
    generator = tree.tree_map(lambda w, g: w - 0.25 * 0.3 * g, gan.generator, slope)
    np.testing.assert_allclose(tree.ravel(found.critic)[0], tree.ravel(critic)[0], rtol=1e-9)
    np.testing.assert_allclose(tree.ravel(found.generator)[0], tree.ravel(generator)[0], rtol=1e-9)


def test_it_learns_each_class():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=3000)
    centers, spread = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), np.array([0.1, 0.5, 0.3])
    x = (centers[y] + spread[y, None] * rng.standard_normal((3000, 2))).astype(np.float32)
    gan = ConditionalGAN.fit(x, y, rng=rng, latent=8, hidden=(64, 64), steps=1200, progress=False)
    for c in range(3):
        found = gan.sample(1000, rng, labels=np.full(1000, c))
        np.testing.assert_allclose(found.mean(0), centers[c], atol=0.35)
        np.testing.assert_allclose(found.std(0), spread[c], atol=0.25)
    assert gan.history.shape == (1200,) and found.dtype == np.float32


def test_defaults_are_the_documented_ones():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 2)).astype(np.float32), rng.integers(2, size=300)

    def fit(**settings):
        gan = ConditionalGAN.fit(x, y, rng=np.random.default_rng(1), hidden=(8,), steps=10, progress=False, **settings)
        return tree.ravel(gan)[0]

    named = {"loss": "nonsaturating", "penalty": 0.1, "latent": 32, "label_size": 16, "batch_size": 128, "ema": EMA(0.99)}
    np.testing.assert_array_equal(fit(), fit(optimizers=[Adam(cosine(4e-3, 10), b1=0.5, b2=0.99)] * 2, **named))


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_same_on_every_device_in_float32(network, device):
    rng, here = np.random.default_rng(1), FREQUENCIES.astype(np.float32)
    gan = ConditionalGAN.init(np.random.default_rng(0), (4, 4, 1), here, 3, 4, network, (4, 5), output=sigmoid)
    x, y = rng.random((6, 4, 4, 1), dtype=np.float32), np.array([0, 1, 2, 2, 1, 0])
    there, x_there, y_there = to_device(gan, device), to_device(x, device), to_device(y, device)
    found = there.sample(6, np.random.default_rng(2))
    assert type(found) is type(x_there) and found.dtype == np.float32
    np.testing.assert_allclose(to_host(found), gan.sample(6, np.random.default_rng(2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_host(there.critic(x_there, y_there)), gan.critic(x, y), rtol=1e-4, atol=1e-5)
    g = grad(lambda critic: np.mean(critic_loss(critic, x_there, found, 0.5, (y_there,))))(there.critic)
    assert all(type(a) is type(x_there) and a.dtype == np.float32 for a in tree.leaves(g))
    fitted = ConditionalGAN.fit(
        x_there, y_there, rng=np.random.default_rng(0), network=network, hidden=(4, 5), steps=2, batch_size=6, progress=False
    )
    assert type(fitted.sample(2, np.random.default_rng(0), y_there[:2])) is type(x_there)
    assert all(type(a) is type(x_there) and a.dtype == np.float32 for a in [*tree.leaves(fitted), fitted.frequencies])


# ---- Bad input ----
GOOD = np.arange(200) % 3


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (GOOD[:199], {}, r"y is int64 of shape \(199,\); expected an integer array \(200,\)"),
        (GOOD.astype(float), {}, "y is float64"),
        (GOOD[:, None], {}, "y is int64 of shape"),
        (GOOD - 1, {}, "y has labels from -1"),
        (0 * GOOD, {}, "expected two classes or more"),
        (1 + 0 * GOOD, {}, "data of each"),
        (2 * GOOD, {}, "data of each"),
        (GOOD, {"label_size": 0}, "label_size is 0"),
        (GOOD, {"loss": "hinge"}, "loss is 'hinge'"),
        (GOOD, {"penalty": -0.1}, "penalty is -0.1"),
        (GOOD, {"batch_size": 300}, "x has n = 200 rows; expected at least 300"),
        (GOOD, {"network": "conv"}, "event is"),
        (GOOD, {"rng": None}, "rng is None"),
    ],
)
def test_bad_input_is_named(y, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ConditionalGAN.fit(np.zeros((200, 2)), y, **{"rng": np.random.default_rng(0), "steps": 1, "progress": False, **settings})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 3]), "labels has labels from 0 to 3"),
        (np.array([0]), "labels is int64 of shape"),
        (np.array([0.0, 1.0]), "labels is float64"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    gan, _, _ = small()
    with pytest.raises(ValueError, match=message):
        gan.sample(2, np.random.default_rng(0), labels=labels)


def test_players_may_be_built_by_hand():
    generator = ConditionalGenerator(Generator(lambda zy: zy * 2, (3,)), Embedding(np.array([[1.0], [5.0]])))
    np.testing.assert_array_equal(generator(np.zeros((2, 2)), np.array([1, 0])), [[0, 0, 10], [0, 0, 2]])
