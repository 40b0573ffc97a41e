"""RealNVP: an exact density, by Jacobians, quadrature and round trips, and learning up to the entropy of the data."""

import numpy as np
import pytest

import minigen as mg
from minigen.data import toy, toy_entropy
from minigen.models import RealNVP
from minigen.models.realnvp import Coupling
from minigen.optim import Adam, cosine
from minigen.testing import check_bijection, check_density_normalises, check_gradients, check_sampler_matches

RNG = np.random.default_rng(0)


def lively(event=(2,), alpha=None, layers=4, seed=0):
    """An untrained float64 flow that moves everything."""
    rng = np.random.default_rng(seed)
    flow = RealNVP.init(rng, event, layers, (7,), alpha, np.float64)
    flow = mg.tree_map(lambda w: w + 0.4 * rng.normal(size=w.shape), flow)
    d = int(np.prod(event))
    flow.mean, flow.std = rng.normal(size=d), 0.5 + rng.random(d)
    return flow


def flat(flow):
    """forward and inverse of flat data."""
    return lambda x: flow.forward(x.reshape(-1, *flow.event)), lambda z: (lambda x, l: (x.reshape(len(x), -1), l))(*flow.inverse(z))


@pytest.mark.parametrize(("event", "alpha"), [((2,), None), ((5,), None), ((2, 2, 1), None), ((3,), 0.05)])
@pytest.mark.verifies("realnvp.2")
@pytest.mark.verifies("realnvp.3")
@pytest.mark.verifies("realnvp.5")
@pytest.mark.verifies("realnvp.6")
def test_it_is_a_bijection_with_the_log_determinant_of_its_jacobian(event, alpha):
    flow = lively(event, alpha)
    x = RNG.random((4, int(np.prod(event)))) * 0.9 + 0.05 if alpha else RNG.normal(size=(4, int(np.prod(event))))
    check_bijection(*flat(flow), x)
    z, logdet = flow.forward(x.reshape(4, *event))
    jacobian = mg.jacobian(lambda a: flow.forward(a.reshape(1, *event))[0][0])(x[0])
    np.testing.assert_allclose(logdet[0], np.linalg.slogdet(jacobian)[1], rtol=1e-9)
    np.testing.assert_allclose(flow.inverse(z)[0], x.reshape(4, *event), atol=1e-10)
    np.testing.assert_allclose(flow.inverse(z)[1], -logdet, rtol=1e-9)
    np.testing.assert_array_equal(flow.encode(x.reshape(4, *event)), z)


@pytest.mark.verifies("realnvp.4")
def test_a_coupling_keeps_what_its_mask_keeps_and_its_scale_is_bounded():
    layer = lively((6,)).couplings[0]
    x = 50 * RNG.normal(size=(30, 6))
    y, logdet = layer.forward(x)
    np.testing.assert_array_equal(y[:, layer.mask == 1], x[:, layer.mask == 1])
    assert layer.mask.sum() == 3 and np.all(np.abs(logdet) <= 6)
    wild = Coupling(mg.tree_map(lambda w: 100 * w, layer.network), layer.mask)
    assert np.max(np.abs(wild.scale_and_shift(x)[0])) == 2
    small = wild.scale_and_shift(0 * x)[0]
    h = wild.network(0 * x)[:, :6]
    np.testing.assert_allclose(small, (1 - layer.mask) * 2 * np.tanh(h / 2))
    masks = [c.mask for c in lively((5,), layers=4).couplings]
    np.testing.assert_array_equal(masks[0] + masks[1], 1)
    np.testing.assert_array_equal(masks[2] + masks[3], 1)


@pytest.mark.parametrize("alpha", [None, 0.05])
@pytest.mark.verifies("realnvp.1")
def test_the_density_integrates_to_one_and_samples_have_it(alpha):
    flow = lively((2,), alpha, seed=3)
    if alpha is None:
        check_density_normalises(flow.log_prob, [(-np.inf, np.inf)] * 2, tolerance=1e-4)
        support = [(-30.0, 30.0)] * 2
        check_sampler_matches(flow.sample, flow.density, support=support, n=40_000)
    else:  # on the square a little larger than [0, 1]²
        edge = alpha / (1 - 2 * alpha)
        check_density_normalises(flow.density, [(-edge + 1e-9, 1 + edge - 1e-9)] * 2, tolerance=1e-3)


def test_it_begins_as_a_gaussian_with_the_data_s_mean_and_deviation():
    x = RNG.normal(size=(200, 3)) * [1.0, 2.0, 0.1] + 5
    flow = RealNVP.fit(x, rng=np.random.default_rng(0), steps=0, progress=False)
    want = -0.5 * np.sum(((x - x.mean(0)) / x.std(0)) ** 2 + np.log(2 * np.pi * x.var(0)), axis=1)
    np.testing.assert_allclose(flow.log_prob(x), want, rtol=1e-10)


@pytest.mark.parametrize("name", ["moons"])
def test_it_learns_a_density_nearly_to_its_entropy(name):
    rng = np.random.default_rng(0)
    x, fresh = toy(name, 8000, rng).astype(np.float32), toy(name, 4000, rng).astype(np.float32)
    steps = 1500
    flow = RealNVP.fit(x, rng=rng, layers=8, steps=steps, optimizer=Adam(cosine(3e-3, steps)), progress=False)
    assert -flow.log_prob(fresh).mean() < toy_entropy(name) + 0.15


def test_gradients_and_float32_on_every_array_library(device):
    flow = lively((3,), 0.05)
    x = RNG.random((4, 3)) * 0.9 + 0.05
    check_gradients(lambda flow: flow.density(x), (flow,), order=1, entries=3)
    data = mg.to_device(RNG.random((64, 3)).astype(np.float32), device)
    settings = {"layers": 2, "hidden": (5,), "alpha": 0.01, "steps": 5, "batch_size": 16, "progress": False}
    fitted = RealNVP.fit(data, rng=np.random.default_rng(0), **settings)
    for y in (fitted.log_prob(data), fitted.sample(6, np.random.default_rng(1)), fitted.encode(data), *mg.leaves(fitted)):
        assert mg.array_module(y) is mg.array_module(data) and y.dtype == np.float32
    host = RealNVP.fit(mg.to_host(data), rng=np.random.default_rng(0), **settings)
    np.testing.assert_allclose(mg.to_host(fitted.log_prob(data)), host.log_prob(mg.to_host(data)), rtol=1e-4)
    samples = mg.to_host(fitted.sample(500, np.random.default_rng(1)))
    assert samples.min() >= 0 and samples.max() <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: RealNVP.fit(x[:, :1], rng=RNG), r"event is \(1,\); expected at least two numbers"),
        (lambda x: RealNVP.fit(x * np.nan, rng=RNG), "x has NaN"),
        (lambda x: RealNVP.fit(0 * x, rng=RNG), "coordinates that never change"),
        (lambda x: RealNVP.fit(x, rng=RNG, alpha=0.5), "alpha is 0.5"),
        (lambda x: RealNVP.fit(x + 1, rng=RNG, alpha=0.1), r"outside \[0, 1\]"),
        (lambda x: RealNVP.fit(x, rng=RNG, layers=0), "layers is 0"),
        (lambda x: lively((3,)).log_prob(x), r"x has shape \(6, 2\); expected \(n, 3\)"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).random((6, 2)))
