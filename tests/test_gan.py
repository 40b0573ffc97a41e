"""Generative adversarial networks against their definitions: quadrature on known densities, exact gradients, steps done by hand."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from minigen import tree
from minigen.autograd import grad, jacobian
from minigen.backend import to_device, to_host
from minigen.functions import sigmoid
from minigen.models.gan import GAN, critic_loss, generator_loss, logit_gradient, optimal_logits, optimal_value, smallest_game, value
from minigen.nn import ConvDecoder, ConvEncoder
from minigen.optim import EMA, SGD, Adam, cosine

LOG_4 = math.log(4)
LINE = np.linspace(-25, 25, 200_001)
CELL = LINE[1] - LINE[0]
MIXTURE = lambda x: np.logaddexp(stats.norm(-2, 0.5).logpdf(x), stats.norm(2, 0.7).logpdf(x)) - np.log(2)
PAIRS = {
    "equal": (stats.norm.logpdf, stats.norm.logpdf),
    "shifted": (stats.norm.logpdf, stats.norm(1.5, 1).logpdf),
    "wider": (stats.norm(0, 0.5).logpdf, stats.laplace(0.3, 1).logpdf),
    "one mode": (MIXTURE, stats.norm(2, 0.7).logpdf),
    "far": (stats.norm(-10, 0.5).logpdf, stats.norm(10, 0.5).logpdf),
}


def small(seed=0, event=(2,), **settings):
    """An untrained float64 model with biases that are not 0, and data for it."""
    rng = np.random.default_rng(seed)
    gan = GAN.init(rng, event, 3, hidden=(5, 4), activation=np.tanh, dtype=np.float64, **settings)
    gan = tree.tree_map(lambda w: w + 0.3 * rng.standard_normal(w.shape), gan)
    return gan, rng.standard_normal((6, *event))


# ---- The game ----
@pytest.mark.verifies("gan.1")
def test_the_value_is_the_expected_log_probability_of_being_right():
    rng = np.random.default_rng(0)
    real, fake = 3 * rng.standard_normal(50), 3 * rng.standard_normal(70)
    expected = np.mean(np.log(special.expit(real))) + np.mean(np.log(1 - special.expit(fake)))
    np.testing.assert_allclose(value(real, fake), expected, rtol=1e-12)
    np.testing.assert_allclose(value(np.array([-800.0]), np.array([900.0])), -1700)
    assert value(np.zeros(2), np.zeros(3)) == -LOG_4
    gan, x = small()
    fake = gan.sample(6, rng)
    np.testing.assert_allclose(np.mean(critic_loss(gan.critic, x, fake)), -value(gan.critic(x), gan.critic(fake)))


@pytest.mark.verifies("gan.2")
@pytest.mark.parametrize("name", PAIRS)
def test_no_critic_beats_the_best_one(name):
    p, q = (np.exp(log(LINE)) * CELL for log in PAIRS[name])
    game = lambda f: -np.sum(p * np.logaddexp(0, -f)) - np.sum(q * np.logaddexp(0, f))
    best = optimal_logits(*(log(LINE) for log in PAIRS[name]))
    np.testing.assert_allclose(special.expit(best) * (p + q), p, atol=1e-12)
    for change in (1e-3, 0.1 * np.sin(LINE), LINE, -best, 0.01 * best):
        assert game(best + change) <= game(best)
    slope = grad(lambda f: np.sum(p * -np.logaddexp(0, -f) - q * np.logaddexp(0, f)))(best)
    assert np.max(np.abs(slope)) < 1e-12


@pytest.mark.verifies("gan.3", "gan.2", "gan.1")
@pytest.mark.parametrize("name", PAIRS)
def test_the_best_value_is_the_divergence(name):
    log_p, log_q = PAIRS[name]
    t = np.linspace(-25, 25, 70_001)
    p, q = np.exp(log_p(t)), np.exp(log_q(t))
    kl = lambda a: integrate.simpson(special.xlogy(a, a / (p / 2 + q / 2 + 1e-300)), x=t)
    expected = kl(p) + kl(q) - LOG_4
    found = optimal_value(log_p(LINE), log_q(LINE), CELL)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    f = optimal_logits(log_p(LINE), log_q(LINE))
    by_logits = -np.sum(np.exp(log_p(LINE)) * np.logaddexp(0, -f) + np.exp(log_q(LINE)) * np.logaddexp(0, f)) * CELL
    np.testing.assert_allclose(found, by_logits, atol=1e-9)
    if name == "equal":
        np.testing.assert_allclose(found, -LOG_4, atol=1e-9)


@pytest.mark.verifies("gan.3")
@pytest.mark.parametrize("distance", [1.0, 3.0])
def test_disjoint_densities_have_value_0_however_far_apart(distance):
    x = np.linspace(0, 6, 6000, endpoint=False) + 5e-4
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log((x < 1).astype(float)), np.log(((x > distance) & (x < distance + 1)).astype(float))
        half = np.log(((x > 0.5) & (x < 1.5)).astype(float))
    np.testing.assert_allclose(optimal_value(log_p, log_q, 1e-3), 0, atol=1e-9)
    np.testing.assert_allclose(optimal_value(log_p, log_p, 1e-3), -LOG_4, atol=1e-9)
    np.testing.assert_allclose(optimal_value(log_p, half, 1e-3), math.log(2) - LOG_4, atol=1e-9)


# ---- The generator's losses ----
@pytest.mark.verifies("gan.4", "gan.5")
def test_the_losses_are_logarithms_of_the_probability_of_being_caught_or_not():
    f = np.linspace(-6, 6, 25)
    np.testing.assert_allclose(generator_loss(f, "minimax"), np.log(1 - special.expit(f)))
    np.testing.assert_allclose(generator_loss(f), -np.log(special.expit(f)))
    np.testing.assert_array_equal(generator_loss(f), generator_loss(f, "nonsaturating"))
    np.testing.assert_allclose(generator_loss(np.array([-900.0, 900.0])), [900, 0])


@pytest.mark.verifies("gan.6", "gan.7")
@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_closed_gradients_are_those_of_the_losses(loss):
    f = np.array([-700.0, -20.0, -1.0, 0.0, 0.3, 5.0, 700.0])
    np.testing.assert_allclose(logit_gradient(f, loss), grad(lambda f: np.sum(generator_loss(f, loss)))(f), rtol=1e-12)
    h = 1e-5
    differences = (generator_loss(f[2:6] + h, loss) - generator_loss(f[2:6] - h, loss)) / (2 * h)
    np.testing.assert_allclose(logit_gradient(f[2:6], loss), differences, rtol=1e-8)
    sure_of_a_fake = logit_gradient(np.array([-20.0]), loss)
    assert abs(sure_of_a_fake) < 1e-8 if loss == "minimax" else abs(sure_of_a_fake + 1) < 1e-8


@pytest.mark.verifies("gan.8")
@pytest.mark.parametrize("theta", [-1.0, 0.4, 2.5])
def test_against_the_best_critic_it_descends_reverse_kl_minus_twice_jsd(theta):
    """q = N(θ, 1), so that x = θ + z and dx/dθ = 1; both sides by quadrature."""
    log_p, log_q = MIXTURE(LINE), lambda t: stats.norm(t, 1).logpdf(LINE)
    f = optimal_logits(log_p, log_q(theta))
    left = np.sum(np.exp(log_q(theta)) * logit_gradient(f) * np.gradient(f, CELL)) * CELL
    divergence = lambda t: np.sum(np.exp(log_q(t)) * (log_q(t) - log_p)) * CELL - optimal_value(log_p, log_q(t), CELL) - LOG_4
    right = (divergence(theta + 1e-4) - divergence(theta - 1e-4)) / 2e-4
    np.testing.assert_allclose(left, right, rtol=1e-5)
    assert abs(right) > 0.05


# ---- The penalty ----
@pytest.mark.verifies("gan.9")
@pytest.mark.parametrize("event", [(3,), (2, 4, 1)])
def test_the_penalty_is_half_the_squared_slope_at_data(event):
    gan, x = small(event=event)
    fake = gan.sample(6, np.random.default_rng(1))
    slope = np.zeros(6)
    for i in np.ndindex(*event):
        h = np.zeros(event)
        h[i] = 1e-5
        slope += ((gan.critic(x + h) - gan.critic(x - h)) / 2e-5) ** 2
    for gamma in (0.3, 2.0):
        found = critic_loss(gan.critic, x, fake, gamma) - critic_loss(gan.critic, x, fake)
        np.testing.assert_allclose(found, 0.5 * gamma * slope, rtol=1e-7)


@pytest.mark.verifies("gan.9")
def test_the_gradient_of_the_penalised_loss_is_that_of_finite_differences():
    gan, x = small()
    fake = gan.sample(6, np.random.default_rng(1))
    w, unravel = tree.ravel(gan.critic)
    loss = lambda critic: np.sum(critic_loss(critic, x, fake, 0.7))
    g = tree.ravel(grad(loss)(gan.critic))[0]
    for v in np.random.default_rng(1).standard_normal((5, w.size)):
        np.testing.assert_allclose(g @ v, (loss(unravel(w + 1e-5 * v)) - loss(unravel(w - 1e-5 * v))) / 2e-5, rtol=1e-7)


@pytest.mark.verifies("gan.10")
@pytest.mark.parametrize("penalty", [0.0, 0.1, 0.9, 1.0, 3.0])
@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_the_smallest_game_has_these_eigenvalues(penalty, loss):
    def directions(state):
        theta, psi = state[:1], state[1:]
        down_g = grad(lambda t: np.sum(generator_loss(psi * t, loss)))(theta)
        down_c = grad(lambda s: np.sum(critic_loss(lambda x: s * x[:, 0], np.zeros((1, 1)), np.reshape(theta, (1, 1)), penalty)))(psi)
        return -np.concatenate([down_g, down_c])

    found = np.linalg.eigvals(jacobian(directions)(np.zeros(2)))
    expected = smallest_game(penalty)
    assert expected.dtype == complex
    for a, b in ((found, expected), (expected, found)):
        assert np.max(np.min(np.abs(a[:, None] - b), axis=1)) < 1e-7
    assert np.all(expected.real < 0) or penalty == 0
    assert penalty > 0 or np.allclose(sorted(expected.imag), [-0.5, 0.5])


# ---- The players and their training ----
def test_networks_are_what_they_are_called():
    rng = np.random.default_rng(0)
    dense, conv = GAN.init(rng, (8, 8, 1)), GAN.init(rng, (8, 8, 1), network="conv")
    assert [layer.weight.shape for layer in dense.critic.network.layers] == [(64, 128), (128, 128), (128, 1)]
    assert [layer.weight.shape for layer in dense.generator.network.layers] == [(32, 128), (128, 128), (128, 64)]
    assert isinstance(conv.generator.network, ConvDecoder) and isinstance(conv.critic.network, ConvEncoder)
    assert [c.weight.shape[-1] for c in conv.critic.network.convs] == [32, 64, 128]
    for gan in (dense, conv):
        z = gan.noise(5, rng)
        assert z.shape == (5, 32) and gan.generator(z).shape == (5, 8, 8, 1) == gan.sample(5, rng).shape
        assert gan.critic(gan.generator(z)).shape == (5,) and gan.critic(gan.generator(z)).dtype == np.float32
    uneven = GAN.init(rng, (3,), 2, hidden=(7, 5))
    assert uneven.generator.network.layers[0].weight.shape == (2, 5) and uneven.critic.network.layers[0].weight.shape == (3, 7)


def test_samples_are_the_generator_of_normal_noise_through_the_output():
    gan, _ = small(output=sigmoid)
    z = gan.noise(20_000, np.random.default_rng(0))
    assert all(stats.kstest(z[:, i], "norm").pvalue > 1e-6 for i in range(3))
    np.testing.assert_array_equal(gan.generator(z), gan.sample(20_000, np.random.default_rng(0)))
    np.testing.assert_allclose(gan.generator(z), special.expit(gan.generator.network(z)))


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
@pytest.mark.parametrize("ema", [None, EMA(0.75)])
def test_a_step_moves_the_critic_then_the_generator_against_it(loss, ema):
    x = np.random.default_rng(1).standard_normal((8, 2))
    settings = {"latent": 3, "hidden": (4,), "activation": np.tanh, "loss": loss, "penalty": 0.5}
    optimizers, rng = (SGD(0.3), SGD(0.2)), np.random.default_rng(5)
    found = GAN.fit(x, rng=rng, steps=2, batch_size=8, optimizers=optimizers, ema=ema, progress=False, **settings)

    rng = np.random.default_rng(5)
    gan = GAN.init(rng, (2,), 3, hidden=(4,), activation=np.tanh, dtype=np.float64)
    seed = int(rng.integers(2**62))
    g, g_tree = tree.ravel(gan.generator)
    c, c_tree = tree.ravel(gan.critic)
    average, history = g.copy(), []
    for epoch in range(2):
        batch = x[np.random.default_rng([seed, epoch]).permutation(8)]
        z = rng.standard_normal((8, 3))
        cost = lambda critic, batch=batch, z=z, g=g: np.mean(critic_loss(critic, batch, g_tree(g)(z), 0.5))
        history.append(cost(c_tree(c)))
        c = c - 0.2 * tree.ravel(grad(cost)(c_tree(c)))[0]
        z = rng.standard_normal((8, 3))
        g = g - 0.3 * tree.ravel(grad(lambda model, z=z, c=c: np.mean(generator_loss(c_tree(c)(model(z)), loss)))(g_tree(g)))[0]
        average = 0.75 * average + 0.25 * g
    np.testing.assert_allclose(tree.ravel(found.critic)[0], c, rtol=1e-9)
    np.testing.assert_allclose(tree.ravel(found.generator)[0], g if ema is None else average, rtol=1e-9)
    np.testing.assert_allclose(found.history, history, rtol=1e-12)


def test_defaults_are_the_documented_ones():
    x = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    fit = lambda **settings: tree.ravel(GAN.fit(x, rng=np.random.default_rng(1), hidden=(8,), steps=20, progress=False, **settings))[0]
    named = {"loss": "nonsaturating", "penalty": 0.1, "latent": 32, "batch_size": 128, "ema": EMA(0.99)}
    np.testing.assert_array_equal(fit(), fit(optimizers=[Adam(cosine(4e-3, 20), b1=0.5, b2=0.99)] * 2, **named))
    for other in ({"penalty": 0.0}, {"loss": "minimax"}, {"ema": None}):
        assert fit(**other).shape == fit().shape and not np.array_equal(fit(**other), fit())


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_it_learns_a_distribution(loss):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((4000, 2)) @ [[1.0, 0.0], [0.8, 0.3]] + [2, -1]).astype(np.float32)
    gan = GAN.fit(x, rng=rng, latent=4, hidden=(32, 32), steps=1200, loss=loss, progress=False)
    found = gan.sample(4000, rng)
    assert found.dtype == np.float32 and gan.history.shape == (1200,)
    np.testing.assert_allclose(found.mean(0), x.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(found.T), np.cov(x.T), atol=0.2)
    assert abs(gan.history[-200:].mean() - LOG_4) < 0.02, "at the end the critic tells nothing apart"


def test_a_resumed_run_repeats_the_uninterrupted_one(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    settings = {"hidden": (8,), "latent": 2, "batch_size": 16, "optimizers": [Adam(1e-2)] * 2, "ema": EMA(0.9), "progress": False}
    whole = GAN.fit(x, rng=np.random.default_rng(3), steps=12, **settings)
    GAN.fit(x, rng=np.random.default_rng(3), steps=5, checkpoint=tmp_path / "gan.npz", **settings)
    rest = GAN.fit(x, rng=np.random.default_rng(3), steps=12, checkpoint=tmp_path / "gan.npz", resume=True, **settings)
    np.testing.assert_array_equal(tree.ravel(rest)[0], tree.ravel(whole)[0])
    np.testing.assert_array_equal(rest.history, whole.history)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_same_on_every_device_in_float32(network, device):
    gan = GAN.init(np.random.default_rng(0), (4, 4, 1), 3, network, (4, 5), output=sigmoid)
    x = np.random.default_rng(1).random((6, 4, 4, 1), dtype=np.float32)
    there, y = to_device(gan, device), to_device(x, device)
    fake, moved = gan.sample(6, np.random.default_rng(2)), there.sample(6, np.random.default_rng(2))
    assert type(moved) is type(y) and moved.dtype == np.float32
    np.testing.assert_allclose(to_host(moved), fake, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_host(there.critic(y)), gan.critic(x), rtol=1e-4, atol=1e-5)
    loss = lambda critic, x, fake: np.mean(critic_loss(critic, x, fake, 0.5))
    g, h = grad(loss)(there.critic, y, moved), grad(loss)(gan.critic, x, fake)
    assert all(type(a) is type(y) and a.dtype == np.float32 for a in tree.leaves(g))
    np.testing.assert_allclose(tree.ravel(to_host(g))[0], tree.ravel(h)[0], rtol=1e-3, atol=1e-4)
    logits = there.critic(y)
    for closed in (value(logits, logits), optimal_value(logits, logits, 1.0), generator_loss(logits, "minimax"), logit_gradient(logits)):
        assert type(closed) is type(y) or (device == "cpu" and np.ndim(closed) == 0)
    fitted = GAN.fit(y, rng=np.random.default_rng(0), network=network, hidden=(4, 5), steps=2, batch_size=6, progress=False)
    assert type(fitted.sample(2, np.random.default_rng(0))) is type(y) and tree.leaves(fitted)[0].dtype == np.float32


# ---- Bad input ----
@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.zeros((200, 2)), {"loss": "wasserstein"}, "loss is 'wasserstein'"),
        (np.zeros((200, 2)), {"network": "transformer"}, "network is 'transformer'"),
        (np.zeros((200, 2)), {"penalty": -1.0}, "penalty is -1.0"),
        (np.zeros((200, 2)), {"penalty": np.nan}, "penalty is nan"),
        (np.zeros((200, 2)), {"latent": 0}, "latent is 0"),
        (np.zeros((200, 2)), {"optimizers": [Adam()]}, "optimizers has 1"),
        (np.zeros((200, 2)), {"rng": 0}, "rng is 0"),
        (np.full((200, 2), np.nan), {}, "x has NaN"),
        (np.zeros(200), {}, "x has shape"),
        (np.zeros((200, 2), int), {}, "x is int64"),
        (np.zeros((100, 2)), {}, "x has n = 100 rows; expected at least 128"),
        (np.zeros((1, 2)), {"batch_size": None}, "x has n = 1 rows; expected at least 2"),
        (np.zeros((200, 64)), {"network": "conv"}, "event is"),
        (np.zeros((200, 6, 6, 1)), {"network": "conv"}, "event is"),
        (np.zeros((200, 2)), {"hidden": (0,)}, "sizes must be positive"),
    ],
)
def test_bad_input_is_named(x, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        GAN.fit(x, **{"rng": np.random.default_rng(0), "steps": 1, "progress": False, **settings})


def test_a_critic_refuses_data_of_another_shape():
    gan, _ = small()
    with pytest.raises(ValueError, match=r"x has shape \(4, 3\); expected \(n, 2\)"):
        gan.critic(np.zeros((4, 3)))
