"""The WGAN chapter against its definitions: quadrature, finite differences, linear critics, exact transport.

Statistical tests have fixed seeds and allow 4.9 standard errors, a false-alarm rate of 1e-6.
"""

import inspect
import itertools

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import array_module, to_device, to_host
from minigen.data import digits
from minigen.functions import sigmoid
from minigen.metrics import wasserstein
from minigen.models import wgan as chapter
from minigen.models.wgan import WGAN
from minigen.nn import MLP, ConvDecoder, ConvEncoder, ResidualDecoder, ResidualEncoder
from minigen.optim import EMA, SGD, Adam, RMSProp, cosine
from minigen.train import Learner

Z = 4.9


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


def small(event=(2,), seed=0, **settings):
    """An untrained float64 model with smooth activations."""
    settings = {"latent": 3, "hidden": (6, 5), "activation": np.tanh, "dtype": np.float64, **settings}
    return WGAN.init(np.random.default_rng(seed), event, **settings)


def points(n=40, d=2, dtype=np.float64, shift=1.0):
    return (np.random.default_rng(7).standard_normal((n, d)) + shift).astype(dtype)


# ---- Two densities moving apart ----
def js_by_quadrature(p, q, ends):
    def f(x):
        a, b = p.pdf(x), q.pdf(x)
        m = (a + b) / 2
        return sum(0.5 * t * np.log(t / m) for t in (a, b) if t > 0)

    return sum(integrate.quad(f, a, b, epsabs=1e-12, limit=200)[0] for a, b in itertools.pairwise(ends))


def w1_by_quadrature(p, q, ends):
    return sum(integrate.quad(lambda x: abs(p.cdf(x) - q.cdf(x)), a, b)[0] for a, b in itertools.pairwise(ends))


@pytest.mark.verifies("wgan.2")
@pytest.mark.parametrize("theta", [-3.0, -0.3, 0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("width", [0.5, 1.0])
def test_divergences_of_bars_are_their_integrals(theta, width):
    p, q = stats.uniform(0, width), stats.uniform(theta, width)
    ends = sorted({0.0, width, theta, theta + width})
    found = chapter.divergences_of_bars(np.array([theta]), width)
    np.testing.assert_allclose(found.js, [js_by_quadrature(p, q, ends)], atol=1e-9)
    np.testing.assert_allclose(found.w1, [w1_by_quadrature(p, q, ends)], atol=1e-9)
    np.testing.assert_array_equal(found.kl, [0.0 if theta == 0 else np.inf])


@pytest.mark.verifies("wgan.3")
@pytest.mark.parametrize("theta", [-1.0, -0.3, 0.0, 0.1, 2.0])
@pytest.mark.parametrize("std", [0.2, 1.0])
def test_divergences_of_normals_are_their_integrals(theta, std):
    p, q = stats.norm(0, std), stats.norm(theta, std)
    ends = sorted({-9 * std, theta - 9 * std, 0.0, theta, 9 * std, theta + 9 * std})
    found = chapter.divergences_of_normals(np.array([theta]), std)
    np.testing.assert_allclose(found.js, [js_by_quadrature(p, q, ends)], atol=1e-9)
    np.testing.assert_allclose(found.w1, [w1_by_quadrature(p, q, ends)], atol=1e-9)
    kl = integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -9 * std, 9 * std)[0]
    np.testing.assert_allclose(found.kl, [kl], atol=1e-9)


@pytest.mark.verifies("wgan.2", "wgan.3")
def test_far_apart_only_w1_has_a_slope_to_follow():
    theta = np.array([-2.0, -0.5, 0.5, 2.0])
    for f, far in ((lambda t: chapter.divergences_of_bars(t, 0.3), 0.5), (lambda t: chapter.divergences_of_normals(t, 0.05), 0.5)):
        slope = lambda name, f=f: grad(lambda t: np.sum(getattr(f(t), name)))(theta)
        np.testing.assert_allclose(f(theta).js, np.full(4, np.log(2)), rtol=1e-5)
        np.testing.assert_allclose(slope("js")[np.abs(theta) >= far], 0, atol=1e-3)
        np.testing.assert_array_equal(slope("w1"), np.sign(theta))
    np.testing.assert_allclose(slope("kl"), theta / 0.05**2)


# ---- The gap ----
@pytest.mark.verifies("wgan.1")
@pytest.mark.parametrize("seed", range(5))
def test_no_gap_exceeds_w1_times_the_steepest_slope(seed):
    rng = np.random.default_rng(seed)
    x, y, f = rng.standard_normal((20, 2)) + 1, rng.standard_normal((20, 2)), small(seed=seed).critic
    slope = max(abs(a - b) / np.linalg.norm(p - q) for a, p in zip(f(x), x, strict=True) for b, q in zip(f(y), y, strict=True))
    assert abs(chapter.gap(f, x, y)) <= slope * wasserstein(x, y)
    np.testing.assert_allclose(chapter.gap(f, x, y), f(x).mean() - f(y[:5]).mean() * 0.25 - f(y[5:]).mean() * 0.75)
    np.testing.assert_allclose(chapter.gap(lambda x: x[:, 0], x + np.array([9.0, 0.0]), x), 9)
    np.testing.assert_allclose(wasserstein(x + np.array([9.0, 0.0]), x), 9)


# ---- The penalty ----
@pytest.mark.verifies("wgan.5")
@pytest.mark.parametrize("event", [(3,), (2, 3, 1)])
def test_each_pair_has_its_own_point_between(event):
    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((2, 4, *event))
    between = chapter.interpolate(real, fake, np.array([0.0, 1.0, 0.25, 0.5]))
    for found, expected in zip(between, [fake[0], real[1], real[2] / 4 + 0.75 * fake[2], (real[3] + fake[3]) / 2], strict=True):
        np.testing.assert_allclose(found, expected)


@pytest.mark.verifies("wgan.6")
@pytest.mark.parametrize("event", [(3,), (2, 3, 1)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_a_linear_critic_has_its_penalty_exactly(event, scale):
    rng = np.random.default_rng(0)
    w, x = scale * rng.standard_normal(event), rng.standard_normal((4, *event))
    norm = np.linalg.norm(w.ravel())
    linear = lambda w: lambda x: np.sum(w * x, axis=tuple(range(1, x.ndim)))
    np.testing.assert_allclose(chapter.gradient_penalty(linear(w), x), np.full(4, (norm - 1) ** 2), rtol=1e-12)
    g = grad(lambda w: np.mean(chapter.gradient_penalty(linear(w), x)))(w)
    np.testing.assert_allclose(g, 2 * (norm - 1) * w / norm, rtol=1e-9, atol=1e-12)


@pytest.mark.verifies("wgan.6")
def test_the_norm_is_each_examples_own():
    f, x, h = small((2, 2, 1)).critic, np.random.default_rng(0).standard_normal((5, 2, 2, 1)), 1e-5
    units = np.eye(4).reshape(4, 1, 2, 2, 1)
    numeric = np.stack([(f(x + h * u) - f(x - h * u)) / (2 * h) for u in units])
    np.testing.assert_allclose(chapter.gradient_norm(f, x), np.sqrt(np.sum(numeric**2, axis=0)), rtol=1e-8)


@pytest.mark.verifies("wgan.6")
def test_its_gradient_is_that_of_finite_differences():
    """A derivative of a derivative: the penalty's, by the critic's parameters."""
    f, x = small().critic, points(6)
    w, unravel = tree.ravel(f)
    penalty = lambda f: np.mean(chapter.gradient_penalty(f, x))
    g = tree.ravel(grad(penalty)(f))[0]
    assert np.linalg.norm(g) > 0.1
    for v in np.random.default_rng(1).standard_normal((5, w.size)):
        np.testing.assert_allclose(g @ v, (penalty(unravel(w + 1e-5 * v)) - penalty(unravel(w - 1e-5 * v))) / 2e-5, rtol=1e-6)


@pytest.mark.verifies("wgan.6")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_zero_critic_has_a_finite_gradient(dtype):
    f, x = small(dtype=dtype).critic, points(6, dtype=dtype)
    zero = tree.tree_map(lambda w: 0 * w, f)
    np.testing.assert_allclose(chapter.gradient_penalty(zero, x), np.ones(6), rtol=1e-5)
    g = tree.ravel(grad(lambda f: np.mean(chapter.gradient_penalty(f, x)))(zero))[0]
    assert g.dtype == dtype and np.all(np.isfinite(g))


# ---- The losses ----
@pytest.mark.verifies("wgan.7", "wgan.8")
def test_losses_are_their_definitions():
    model, x = small(), points(5)
    f, g, z = model.critic, model.generator, np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_allclose(chapter.critic_loss(f, x, g(z)), f(g(z)) - f(x))
    np.testing.assert_allclose(chapter.critic_loss(f, x, g(z), np.arange(5.0)), f(g(z)) - f(x) + np.arange(5))
    np.testing.assert_allclose(chapter.generator_loss(g, f, z), -f(g(z)))
    np.testing.assert_allclose(np.mean(chapter.critic_loss(f, x, g(z))), -chapter.gap(f, x, g(z)))


@pytest.mark.verifies("wgan.9")
@pytest.mark.parametrize(("distance", "penalty"), [(1.0, 10.0), (3.0, 1.0), (0.5, 0.1)])
def test_a_penalty_sells_slope(distance, penalty):
    """Points and their translation: f*(x) is the coordinate along it, and W₁ the distance. The loss of s f* is least at s of (9)."""
    x = points(10)
    y = x - [[0.6 * distance, 0.8 * distance]]

    def loss(s):
        f = lambda x: s * (0.6 * x[:, 0] + 0.8 * x[:, 1])
        return np.mean(chapter.critic_loss(f, x, y, penalty * chapter.gradient_penalty(f, chapter.interpolate(x, y, np.full(10, 0.3)))))

    best = optimize.minimize_scalar(loss, bounds=(1e-3, 50), method="bounded", options={"xatol": 1e-8}).x
    np.testing.assert_allclose(chapter.penalised_slope(wasserstein(x, y), penalty), best, rtol=1e-6)


@pytest.mark.verifies("wgan.1", "wgan.9")
@pytest.mark.parametrize("d", [1, 2])
def test_a_trained_critic_approaches_the_exact_distance(d):
    """Never above W₁ for its slope, and within 8 % of it; the gap itself within 5 % of what (9) expects."""
    rng = np.random.default_rng(0)
    real = (rng.standard_normal((128, d)) * 0.5 + 0.75).astype(np.float32)
    fake = (rng.standard_normal((128, d)) * 0.8 - 0.5).astype(np.float32)
    exact = wasserstein(real, fake)
    critic = Learner.of(WGAN.init(rng, (d,), hidden=(32, 32)).critic, Adam(cosine(5e-3, 500), b1=0.0, b2=0.9))

    def loss(f, eps):
        between = chapter.interpolate(real, fake, eps)
        return chapter.critic_loss(f, real, fake, 10.0 * chapter.gradient_penalty(f, between))

    for _ in range(500):
        critic.update(loss, rng.random(128, dtype=np.float32))
    f = critic.model
    gap = chapter.gap(f, real, fake)
    distance = np.linalg.norm(real[:, None] - fake, axis=-1)
    steepest = np.max(np.abs(f(real)[:, None] - f(fake)) / distance)
    assert 0.92 * exact < gap / steepest <= exact * (1 + 1e-6)
    np.testing.assert_allclose(gap, exact * chapter.penalised_slope(exact, 10.0), rtol=0.05)


# ---- Clipping ----
@pytest.mark.verifies("wgan.4")
def test_clipping_is_in_place_and_on_both_sides():
    w = np.array([-3.0, -0.1, 0.0, 0.05, 3.0])
    chapter.clip_weights(w, 0.1)
    np.testing.assert_array_equal(w, [-0.1, -0.1, 0.0, 0.05, 0.1])


@pytest.mark.verifies("wgan.4")
def test_the_critics_weights_are_clipped_after_each_of_its_steps_and_no_others():
    model = fit(constraint="clip", clip=0.03, steps=3, n_critic=3, optimizer=SGD(0.5))
    w = np.abs(tree.ravel(model.critic)[0])
    assert w.max() == 0.03 and np.mean(w == 0.03) > 0.2
    assert np.abs(tree.ravel(model.generator)[0]).max() > 0.5
    np.testing.assert_array_equal(model.history["penalty"], np.zeros(3))


# ---- Training ----
def fit(x=None, seed=0, **settings):
    settings = {"latent": 3, "hidden": (6, 5), "batch_size": 20, "progress": False, "activation": np.tanh, **settings}
    return WGAN.fit(points() if x is None else x, rng=np.random.default_rng(seed), **settings)


def test_the_generator_moves_at_every_nth_step_of_the_critic():
    start = previous = small()
    for steps, moves in ((0, 0), (1, 0), (2, 0), (3, 1), (5, 1), (6, 2)):
        model = fit(steps=steps, n_critic=3, optimizer=SGD(0.1), generator_optimizer=SGD(0.1))
        assert same(model.critic, start.critic) == (steps == 0)
        assert same(model.generator, start.generator) == (moves == 0)
        if steps == 5:
            assert same(model.generator, previous.generator) and not same(model.critic, previous.critic)
        previous = model
    still = fit(steps=6, n_critic=3, optimizer=SGD(0.1), generator_optimizer=SGD(0.0))
    assert same(still.generator, start.generator) and not same(still.critic, start.critic)


def test_a_step_of_the_generator_raises_its_scores():
    start, z = small(), np.random.default_rng(3).standard_normal((500, 3))
    moved = fit(steps=1, n_critic=1, optimizer=SGD(0.0), generator_optimizer=SGD(0.1))
    assert np.mean(start.critic(moved.generator(z))) > np.mean(start.critic(start.generator(z))) + 1e-3


def test_a_clipped_critic_goes_down_the_gradient_of_its_loss():
    """Fakes that are always 0 leave nothing to chance: the step is known. (The weights' bound is out of reach.)"""
    start, x = small(), points()
    model = fit(constraint="clip", clip=1e9, steps=1, batch_size=40, output=lambda x: 0 * x, optimizer=SGD(0.1))
    w = tree.ravel(start.critic)[0]
    g = tree.ravel(grad(lambda f: np.mean(f(0 * x)) - np.mean(f(x)))(start.critic))[0]
    np.testing.assert_allclose(tree.ravel(model.critic)[0], w - 0.1 * g, atol=1e-12)
    np.testing.assert_allclose(model.history["gap"], [chapter.gap(start.critic, x, 0 * x)])


def test_history_is_the_gap_and_the_penalty_with_an_epsilon_for_each_pair():
    """Players that do not move, equal reals and equal fakes: all that varies is ε."""
    f, x = small().critic, np.full((40, 2), 3.0)
    model = fit(x, steps=300, penalty=7.0, output=lambda x: 0 * x, optimizer=SGD(0.0))
    np.testing.assert_allclose(model.history["gap"], np.full(300, chapter.gap(f, x, 0 * x)), rtol=1e-9)
    eps = (np.arange(20_000) + 0.5) / 20_000
    values = chapter.gradient_penalty(f, eps[:, None] * x[:1])
    found = model.history["penalty"]
    assert found.shape == (300,)
    assert abs(found.mean() - values.mean()) < Z * values.std() / np.sqrt(300 * 20)
    np.testing.assert_allclose(found.std(), values.std() / np.sqrt(20), rtol=0.25)  # (a χ² of 299 degrees: 4.9 standard errors are 0.2)


def test_the_penalty_of_training_holds_slopes_near_one():
    """From far too steep, and from far too flat."""
    for factor in (5.0, 0.01):
        x = points(200, shift=2.0).astype(np.float32) * factor
        model = WGAN.fit(x, rng=np.random.default_rng(0), hidden=(32, 32), n_critic=10**6, steps=400, penalty=100.0, progress=False)
        slopes = chapter.gradient_norm(model.critic, chapter.interpolate(x, model.sample(200, np.random.default_rng(1)), np.full(200, 0.5)))
        np.testing.assert_allclose(np.mean(slopes), 1, atol=0.15)
        assert np.mean(model.history["penalty"][-50:]) < 0.05


def test_the_average_is_over_steps_of_the_generator():
    settings = {"n_critic": 2, "optimizer": SGD(0.1)}
    w = [tree.ravel(fit(steps=s, **settings).generator)[0] for s in (0, 2, 4)]
    average = 0.25 * (0.25 * w[0] + 0.75 * w[1]) + 0.75 * w[2]
    np.testing.assert_allclose(tree.ravel(fit(steps=4, ema=EMA(0.25), **settings).generator)[0], average)
    assert same(fit(steps=4, ema=EMA(0.25), **settings).critic, fit(steps=4, **settings).critic)


@pytest.mark.parametrize(
    "explicit",
    [
        {"constraint": "gradient_penalty", "penalty": 10.0, "n_critic": 5, "optimizer": Adam(1e-3, b1=0.0, b2=0.9)},
        {"constraint": "clip", "clip": 0.01, "n_critic": 5, "optimizer": RMSProp(5e-5)},
    ],
)
def test_defaults_are_those_that_the_docstring_states(explicit):
    default = fit(constraint=explicit["constraint"], steps=10)
    assert same(default, fit(steps=10, **explicit)) and same(default, fit(steps=10, generator_optimizer=explicit["optimizer"], **explicit))
    defaults = {name: p.default for name, p in inspect.signature(WGAN.fit).parameters.items()}
    assert (defaults["constraint"], defaults["steps"], defaults["batch_size"], defaults["latent"]) == ("gradient_penalty", 5000, 64, 16)


@pytest.mark.parametrize("constraint", ["clip", "gradient_penalty"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, constraint):
    settings = {"constraint": constraint, "steps": 9, "n_critic": 2, "ema": EMA(0.5), "optimizer": Adam(0.01)}
    whole = fit(**settings)
    stopped = fit(**settings, checkpoint=tmp_path / "run.npz", seconds=0.0)
    assert len(stopped.history["gap"]) == len(stopped.history["penalty"]) == 1
    resumed = fit(**settings, checkpoint=tmp_path / "run.npz", resume=True, seed=5)
    assert same(whole, resumed)
    for name in ("gap", "penalty"):
        np.testing.assert_array_equal(whole.history[name], resumed.history[name])


@pytest.mark.parametrize("constraint", ["clip", "gradient_penalty"])
def test_it_learns_where_the_data_is(constraint):
    """Samples of a cloud far from the start come nearer than a third of a spread, in exact W₁."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((1000, 2)) * [[0.3, 1.0]] + [[3.0, 0.0]]).astype(np.float32)
    settings = {"clip": 0.1, "optimizer": RMSProp(1e-3, 0.9)} if constraint == "clip" else {"penalty": 1.0}
    model = WGAN.fit(
        x, rng=rng, constraint=constraint, latent=2, hidden=(32, 32), n_critic=3, steps=1500, ema=EMA(0.98), progress=False, **settings
    )  # fmt: skip
    assert wasserstein(x[:400], model.sample(400, rng)) < 0.35 + wasserstein(x[:400], x[400:800])
    assert np.all(np.isfinite(model.history["gap"])) and model.history["gap"].dtype == np.float32


# ---- Networks, samples ----
@pytest.mark.parametrize(
    ("network", "kinds"), [("mlp", (MLP, MLP)), ("conv", (ConvEncoder, ConvDecoder)), ("residual", (ResidualEncoder, ResidualDecoder))]
)
def test_every_network_is_trained_on_images(network, kinds):
    x = digits()[0][:64]
    model = WGAN.fit(
        x, rng=np.random.default_rng(0), network=network, latent=4, hidden=(8, 16), n_critic=1, steps=2, output=sigmoid, batch_size=32,
        progress=False,
    )  # fmt: skip
    assert (type(model.critic.network), type(model.generator.network)) == kinds
    y = model.sample(3, np.random.default_rng(0))
    assert y.shape == (3, 8, 8, 1) and y.dtype == np.float32 and 0 < y.min() and y.max() < 1
    assert model.critic(y).shape == (3,) and all(a.dtype == np.float32 for a in tree.leaves(model))
    assert not same(model, WGAN.init(np.random.default_rng(0), (8, 8, 1), 4, (8, 16), network))
    np.testing.assert_allclose(model.critic(y)[1:], model.critic(y[1:]), rtol=1e-4)


def test_networks_mirror_each_other():
    model = small((4,), hidden=(6, 5))
    assert [layer.weight.shape for layer in model.critic.network.layers] == [(4, 6), (6, 5), (5, 1)]
    assert [layer.weight.shape for layer in model.generator.network.layers] == [(3, 5), (5, 6), (6, 4)]
    deep = WGAN.init(np.random.default_rng(0), (8, 8, 1), network="conv", hidden=(4, 8, 16))
    assert [c.weight.shape[-1] for c in deep.critic.network.convs] == [4, 8, 16] and deep.generator.network.start == (2, 2, 16)


def test_samples_are_the_generators_of_normal_noise():
    model = small()
    z = model.noise(np.random.default_rng(0), 20_000)
    assert z.shape == (20_000, 3) and z.dtype == np.float64
    assert all(stats.kstest(z[:, j], stats.norm.cdf).pvalue > 1e-6 for j in range(3))
    np.testing.assert_array_equal(model.sample(7, np.random.default_rng(2)), model.generator(model.noise(np.random.default_rng(2), 7)))
    doubled = small(output=lambda x: 2 * x)
    np.testing.assert_allclose(doubled.generator(z[:4]), 2 * model.generator(z[:4]))


def test_same_on_every_device_in_float32(device):
    model = WGAN.init(np.random.default_rng(0), (2, 2, 1), 3, (5,))
    x = np.random.default_rng(1).standard_normal((6, 2, 2, 1)).astype(np.float32)
    there, y = to_device(model, device), to_device(x, device)
    z = there.noise(np.random.default_rng(2), 6)
    fake, eps = there.generator(z), to_device(np.linspace(0, 1, 6, dtype=np.float32), device)

    def loss(f, real, fake, eps):
        return np.mean(chapter.critic_loss(f, real, fake, 10.0 * chapter.gradient_penalty(f, chapter.interpolate(real, fake, eps))))

    for found, expected in (
        (fake, model.generator(to_host(z))),
        (chapter.gap(there.critic, y, fake), chapter.gap(model.critic, x, to_host(fake))),
        (loss(there.critic, y, fake, eps), loss(model.critic, x, to_host(fake), to_host(eps))),
        (tree.ravel(grad(loss)(there.critic, y, fake, eps))[0], tree.ravel(grad(loss)(model.critic, x, to_host(fake), to_host(eps)))[0]),
        (chapter.divergences_of_normals(y).js, chapter.divergences_of_normals(x).js),
    ):
        assert array_module(found) is array_module(y) and found.dtype == np.float32
        np.testing.assert_allclose(to_host(found), expected, rtol=1e-4, atol=1e-5)
    for constraint in ("clip", "gradient_penalty"):
        fits = [
            WGAN.fit(a, rng=np.random.default_rng(0), constraint=constraint, hidden=(5,), batch_size=6, n_critic=2, steps=5, ema=EMA(0.5),
                     progress=False) for a in (x, y)
        ]  # fmt: skip
        assert all(type(a) is type(y) for a in [*tree.leaves(fits[1]), *fits[1].history.values()])
        for a, b in zip(tree.leaves(fits[0]), tree.leaves(fits[1]), strict=True):
            np.testing.assert_allclose(to_host(b), a, rtol=1e-3, atol=1e-5)


# ---- Bad input ----
@pytest.mark.parametrize(
    ("x", "settings", "error", "message"),
    [
        (points(), {"constraint": "none"}, ValueError, "constraint is 'none'"),
        (points(), {"network": "rnn"}, ValueError, "network is 'rnn'"),
        (points(), {"network": "conv"}, ValueError, r"event is \(2,\); expected \(H, W, C\)"),
        (points(), {"penalty": 0.0}, ValueError, "penalty is 0.0"),
        (points(), {"penalty": np.nan}, ValueError, "penalty is nan"),
        (points(), {"clip": -1.0}, ValueError, "clip is -1.0"),
        (points(), {"n_critic": 0}, ValueError, "n_critic is 0"),
        (points(), {"latent": 0}, ValueError, "latent is 0"),
        (points(), {"batch_size": 0}, ValueError, "batch_size is 0"),
        (points(), {"batch_size": 41}, ValueError, "x has n = 40 rows; expected at least 41"),
        (points(), {"steps": -1}, ValueError, "steps is -1"),
        (np.full((40, 2), np.nan), {}, ValueError, "x has NaN"),
        (np.zeros(40), {}, ValueError, "x has shape"),
        (np.zeros((40, 2), int), {}, TypeError, "x is int64"),
        (points(), {"rng": np.random}, TypeError, "rng is"),
    ],
)
def test_bad_input_is_named(x, settings, error, message):
    settings = {"rng": np.random.default_rng(0), "steps": 1, "batch_size": 20, "progress": False, **settings}
    with pytest.raises(error, match=message):
        WGAN.fit(x, **settings)


def test_data_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"x has shape \(4, 1, 2\); expected \(n, 2\)"):
        small().critic(np.zeros((4, 1, 2)))
