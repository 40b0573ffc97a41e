"""Flow matching: its lines, the velocity that least squares finds, Gaussian data in closed form, and learning up to the entropy."""

import numpy as np
import pytest
from scipy.integrate import quad

import minigen as mg
from minigen.data import toy, toy_entropy
from minigen.models import FlowMatching
from minigen.models.continuous_flow import transport_closely
from minigen.models.flow import log_normal
from minigen.models.flow_matching import gaussian_velocity, line
from minigen.optim import EMA, Adam, cosine
from minigen.testing import check_gradients

RNG = np.random.default_rng(0)
MEAN, ROOT = np.array([1.0, -2.0]), np.array([[0.5, 0.0], [0.7, 0.3]])
COVARIANCE = ROOT @ ROOT.T


@pytest.mark.verifies("flow_matching.1")
def test_a_line_goes_from_noise_to_data_at_a_constant_velocity():
    x, z = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
    at = lambda t: line(x, z, np.full(5, t))
    np.testing.assert_allclose(at(0.0)[0], z)
    np.testing.assert_allclose(at(1.0)[0], x)
    np.testing.assert_allclose(at(0.3)[0] - at(0.2)[0], 0.1 * at(0.9)[1])


@pytest.mark.verifies("flow_matching.2")
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_velocity_of_gaussian_data_is_the_mean_of_the_lines_at_a_point(t):
    # One dimension, by quadrature over the data: E[x − z | x_t], z = (x_t − t x)/(1 − t).
    m, s, at = 0.7, 0.6, 0.4
    weight = lambda x: np.exp(-0.5 * ((x - m) / s) ** 2 - 0.5 * ((at - t * x) / (1 - t)) ** 2)
    mean = quad(lambda x: weight(x) * (x - (at - t * x) / (1 - t)), -6, 6)[0] / quad(weight, -6, 6)[0]
    got = gaussian_velocity(np.array([[at]]), t, np.array([m]), np.array([[s * s]]))
    np.testing.assert_allclose(got, [[mean]], rtol=1e-7)


@pytest.mark.verifies("flow_matching.4")
def test_the_velocity_of_gaussian_data_carries_noise_to_them_and_gives_their_density():
    x = MEAN + RNG.normal(size=(40, 2)) @ ROOT.T
    v = lambda x, t: gaussian_velocity(x, t[0], MEAN, COVARIANCE)
    z, logdet = transport_closely(v, x, 1.0, 0.0)
    d = x - MEAN
    want = -0.5 * np.sum(d * np.linalg.solve(COVARIANCE, d.T).T, axis=1) - 0.5 * np.linalg.slogdet(2 * np.pi * COVARIANCE)[1]
    np.testing.assert_allclose(log_normal(z) + logdet, want, atol=3e-3)


@pytest.mark.verifies("flow_matching.3")
def test_the_loss_is_least_at_the_conditional_mean():
    n = 200_000
    z, x = RNG.normal(size=(n, 2)), MEAN + RNG.normal(size=(n, 2)) @ ROOT.T
    flow = FlowMatching.init(RNG, (2,), width=4, dtype=np.float64)
    t = 0.6
    best = lambda x, time: gaussian_velocity(x, t, MEAN, COVARIANCE)

    def loss(v):
        flow.layers[0].network = v
        return flow.loss_at(x, z, np.full(n, t))

    at_best = loss(best)
    for other in (lambda x, time: best(x, time) + 0.2, lambda x, time: 1.2 * best(x, time), lambda x, time: best(1.1 * x, time)):
        difference = loss(other) - at_best
        assert difference.mean() > 4.9 * difference.std() / np.sqrt(n)
        gap = np.mean((other(line(x, z, np.full(n, t))[0], t) - best(line(x, z, np.full(n, t))[0], t)) ** 2, axis=1)
        assert abs((difference - gap).mean()) < 4.9 * (difference - gap).std() / np.sqrt(n)
    # By hand, for one datum: a network that says 0 at t = ½.
    flow.layers[0].network = lambda x, t: 0 * x
    np.testing.assert_allclose(flow.loss_at(np.ones((1, 2)), np.array([[0.0, 3.0]]), np.full(1, 0.5)), [(1 + 4) / 2])


def test_times_are_uniform_and_data_are_standardised():
    seen = []
    flow = FlowMatching.init(RNG, (2,), width=4, dtype=np.float64)
    flow.mean, flow.std = np.array([1.0, 2.0]), np.array([2.0, 0.5])
    flow.loss_at = lambda y, z, t: seen.append((y, z, t)) or t
    x = RNG.normal(size=(20_000, 2))
    flow.loss(x, np.random.default_rng(0))
    y, z, t = seen[0]
    np.testing.assert_allclose(y, (x - flow.mean) / flow.std)
    assert abs(t.mean() - 0.5) < 4.9 / np.sqrt(12 * 20_000) and t.min() >= 0 and t.max() < 1
    assert abs(z.mean()) < 4.9 / np.sqrt(40_000) and abs(z.std() - 1) < 4.9 / np.sqrt(80_000)


def test_the_density_integrates_to_one():
    flow = FlowMatching.init(np.random.default_rng(0), (2,), width=6, blocks=1, dtype=np.float64)
    flow = mg.tree_map(lambda w: w + 0.1 * RNG.normal(size=w.shape), flow)
    flow.mean, flow.std = np.array([3.0, -1.0]), np.array([0.5, 2.0])
    side = np.linspace(-7, 7, 49)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2) * flow.std + flow.mean
    assert np.sum(np.exp(flow.log_prob(grid))) * (side[1] - side[0]) ** 2 * np.prod(flow.std) == pytest.approx(1, abs=3e-3)


def test_it_learns_moons_nearly_to_their_entropy():
    rng, steps = np.random.default_rng(0), 500
    x, fresh = toy("moons", 20_000, rng), toy("moons", 400, rng)
    settings = {"width": 64, "blocks": 2, "batch_size": 256, "optimizer": Adam(cosine(5e-3, steps)), "ema": EMA(0.98), "progress": False}
    flow = FlowMatching.fit(x, rng=rng, steps=steps, **settings)
    assert -flow.log_prob(fresh).mean() < toy_entropy("moons") + 0.2
    samples = flow.sample(2000, rng)
    np.testing.assert_allclose(samples.mean(0), x.mean(0), atol=0.12)
    np.testing.assert_allclose(samples.std(0), x.std(0), atol=0.12)


def test_gradients():
    flow = FlowMatching.init(RNG, (2,), width=5, blocks=1, dtype=np.float64)
    flow = mg.tree_map(lambda w: w + 0.2 * RNG.normal(size=w.shape), flow)
    x, z, t = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2)), RNG.random(3)
    check_gradients(lambda flow: flow.loss_at(x, z, t), (flow,), order=1, entries=2)


def test_float32_on_every_array_library(device):
    data = mg.to_device(RNG.random((40, 2)).astype(np.float32), device)
    settings = {"width": 5, "blocks": 1, "ode_steps": 2, "steps": 2, "batch_size": 16, "progress": False}
    fitted = FlowMatching.fit(data, rng=np.random.default_rng(0), **settings)
    for y in (fitted.log_prob(data), fitted.sample(6, np.random.default_rng(1)), *mg.leaves(fitted)):
        assert mg.array_module(y) is mg.array_module(data) and y.dtype == np.float32
    host = FlowMatching.fit(mg.to_host(data), rng=np.random.default_rng(0), **settings)
    np.testing.assert_allclose(mg.to_host(fitted.log_prob(data)), host.log_prob(mg.to_host(data)), rtol=1e-3)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="ode_steps is 0"):
        FlowMatching.init(RNG, (2,), ode_steps=0)
    with pytest.raises(ValueError, match="x has NaN"):
        FlowMatching.fit(np.full((4, 2), np.nan), rng=RNG)
