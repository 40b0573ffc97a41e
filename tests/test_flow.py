"""What every flow must be: a bijection with the log-determinant of its Jacobian, a density that integrates to one, samples that have it."""

import numpy as np
import pytest
from scipy.special import ndtr

import minigen as mg
from minigen.data import toy, toy_entropy
from minigen.models import MAF, NeuralSplineFlow, RealNVP
from minigen.optim import SGD, Adam, cosine
from minigen.testing import check_bijection, check_gradients, check_sampler_matches
from tests.flows import flat, lively

SMALL = {
    RealNVP: {"layers": 4, "hidden": (7,)},
    MAF: {"layers": 3, "hidden": (7, 6)},
    NeuralSplineFlow: {"layers": 3, "hidden": (7,), "bins": 4},
}
flows = pytest.mark.parametrize("cls", SMALL)


@flows
@pytest.mark.parametrize(("event", "alpha"), [((2,), None), ((5,), None), ((2, 2, 1), None), ((3,), 0.05)])
@pytest.mark.verifies("flow.2")
@pytest.mark.verifies("flow.3")
@pytest.mark.verifies("flow.4")
def test_it_is_a_bijection_with_the_log_determinant_of_its_jacobian(cls, event, alpha):
    flow, rng = lively(cls, event, alpha, **SMALL[cls]), np.random.default_rng(1)
    d = int(np.prod(event))
    x = rng.random((4, d)) * 0.9 + 0.05 if alpha else rng.normal(size=(4, d))
    check_bijection(*flat(flow), x)
    z, logdet = flow.forward(x.reshape(4, *event))
    jacobian = mg.jacobian(lambda a: flow.forward(a.reshape(1, *event))[0][0])(x[0])
    np.testing.assert_allclose(logdet[0], np.linalg.slogdet(jacobian)[1], rtol=1e-9)
    np.testing.assert_allclose(flow.inverse(z)[0], x.reshape(4, *event), atol=1e-9)
    np.testing.assert_allclose(flow.inverse(z)[1], -logdet, rtol=1e-9)
    np.testing.assert_array_equal(flow.encode(x.reshape(4, *event)), z)
    for layer in flow.layers:  # each layer by itself, so that two errors cannot cancel
        check_bijection(layer.forward, layer.inverse, rng.normal(size=(3, d)))


@flows
@pytest.mark.verifies("flow.1")
def test_the_density_integrates_to_one_and_samples_have_it(cls):
    flow = lively(cls, seed=3, spread=0.15, **SMALL[cls])
    side = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    assert abs(np.sum(np.exp(flow.log_prob(grid))) * 0.04**2 - 1) < 1e-3
    codes = lambda n, rng: flow.encode(flow.sample(n, rng))
    for f in (lambda z: z[:, 0], lambda z: z[:, 1], lambda z: (z[:, 0] + z[:, 1]) / 2**0.5):
        check_sampler_matches(lambda n, rng, f=f: f(codes(n, rng)), cdf=ndtr, n=5000)


@flows
def test_in_the_unit_square_the_density_integrates_to_one_a_little_beyond_it(cls):
    flow = lively(cls, alpha=0.05, seed=3, spread=0.15, **SMALL[cls])
    edge = 0.05 / 0.9
    t, w = np.polynomial.legendre.leggauss(300)
    side, w = 0.5 + (0.5 + edge) * t, (0.5 + edge) * w
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    assert abs(np.sum(np.exp(flow.density(grid)) * np.outer(w, w).ravel()) - 1) < 2e-3
    y = flow.sample(1000, np.random.default_rng(0))
    assert y.min() >= 0 and y.max() <= 1


@flows
def test_it_begins_as_a_gaussian_with_the_data_s_mean_and_deviation(cls):
    x = np.random.default_rng(1).normal(size=(200, 3)) * [1.0, 2.0, 0.1] + 5
    flow = cls.fit(x, rng=np.random.default_rng(0), steps=0, progress=False)
    want = -0.5 * np.sum(((x - x.mean(0)) / x.std(0)) ** 2 + np.log(2 * np.pi * x.var(0)), axis=1)
    np.testing.assert_allclose(flow.log_prob(x), want, rtol=1e-9)


@pytest.mark.parametrize(("cls", "layers", "margin"), [(RealNVP, 8, 0.3), (MAF, 4, 0.15), (NeuralSplineFlow, 4, 0.06)])
def test_it_learns_a_density_nearly_to_its_entropy(cls, layers, margin):
    rng, steps = np.random.default_rng(0), 500
    x, fresh = toy("moons", 8000, rng), toy("moons", 4000, rng)
    flow = cls.fit(x, rng=rng, layers=layers, steps=steps, optimizer=Adam(cosine(3e-3, steps)), progress=False)
    assert -flow.log_prob(fresh).mean() < toy_entropy("moons") + margin


@pytest.mark.verifies("flow.5")
def test_levels_are_spread_over_their_cells_anew_in_every_batch():
    rng = np.random.default_rng(0)
    k = np.stack([rng.integers(0, 4, size=4000), np.full(4000, 2)], axis=1)
    flow = RealNVP.fit(k, rng=rng, levels=4, steps=0, progress=False)
    np.testing.assert_allclose(flow.mean, [(k[:, 0].mean() + 0.5) / 4, 2.5 / 4], atol=5 * 0.25 / np.sqrt(12 * 4000))
    np.testing.assert_allclose(flow.std[1], 0.25 / np.sqrt(12), rtol=0.06)
    losses = []

    class Spy(SGD):  # nothing is learned, and all data are in each batch: only the noise can change the gradient
        def step(self, vector, gradient, moments, t):
            losses.append(float(gradient @ gradient))

    RealNVP.init(rng, (2,), 2, (5,)).trained(k, rng=rng, levels=4, steps=3, batch_size=None, optimizer=Spy(0.0), progress=False)
    assert len(set(losses)) == 3
    fitted = RealNVP.fit(k, rng=rng, levels=4, layers=2, hidden=(5,), steps=2, progress=False)
    assert fitted.mean.dtype == np.float32 and mg.leaves(fitted)[0].dtype == np.float32  # integers make no float64 of it


@pytest.mark.verifies("flow.5")
@pytest.mark.verifies("flow.6")
def test_the_bound_on_levels_rises_from_the_mean_of_the_density_to_its_integral_over_the_cell():
    flow, rng = lively(NeuralSplineFlow, alpha=0.05, seed=1, **SMALL[NeuralSplineFlow]), np.random.default_rng(2)
    k = np.array([[0, 0], [1, 3], [3, 2]])
    grid = (np.stack(np.meshgrid(np.arange(30), np.arange(30)), axis=-1).reshape(-1, 1, 2) + 0.5) / 30
    exact = np.log(np.mean(np.exp(flow.log_prob(((k + grid) / 4).reshape(-1, 2))).reshape(-1, 3), axis=0)) - 2 * np.log(4)
    every = flow.level_bound(k, 4, np.broadcast_to(grid, (900, 3, 2)))  # noise that fills the cell
    np.testing.assert_allclose(every, exact, rtol=1e-9)
    draw = lambda n: flow.level_bound(np.tile(k, (1500, 1)), 4, rng.random((n, 4500, 2))).reshape(1500, 3)
    before, gain = None, []
    for n in (1, 4, 16):
        bounds = draw(n)
        mean, error = bounds.mean(0), bounds.std(0) / np.sqrt(1500)
        assert np.all(mean < exact + 4.9 * error)
        if before is not None:
            gain.append((mean - before[0]) / np.hypot(error, before[1]))
        before = mean, error
    assert np.min(gain) > -4.9 and np.all(np.max(gain, axis=1) > 4.9)  # where the density hardly varies there is nothing to gain
    one = flow.level_bound(k, 4, grid[7:8] + np.zeros((1, 3, 1)))
    np.testing.assert_allclose(one, flow.log_prob((k + grid[7]) / 4) - 2 * np.log(4))


@flows
def test_gradients(cls):
    flow = lively(cls, (3,), 0.05, **SMALL[cls])
    x = np.random.default_rng(1).random((4, 3)) * 0.9 + 0.05
    check_gradients(lambda flow: flow.density(x), (flow,), order=1, entries=2)


@flows
def test_float32_on_every_array_library(cls, device):
    data = mg.to_device(np.random.default_rng(1).random((64, 3)).astype(np.float32), device)
    settings = {**SMALL[cls], "alpha": 0.01, "steps": 5, "batch_size": 16, "progress": False}
    fitted = cls.fit(data, rng=np.random.default_rng(0), **settings)
    for y in (fitted.log_prob(data), fitted.sample(6, np.random.default_rng(1)), fitted.encode(data), *mg.leaves(fitted)):
        assert mg.array_module(y) is mg.array_module(data) and y.dtype == np.float32
    host = cls.fit(mg.to_host(data), rng=np.random.default_rng(0), **settings)
    np.testing.assert_allclose(mg.to_host(fitted.log_prob(data)), host.log_prob(mg.to_host(data)), rtol=1e-4)


@flows
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cls, x, rng: cls.fit(x[:, :1], rng=rng), r"event is \(1,\); expected at least two numbers"),
        (lambda cls, x, rng: cls.fit(x * np.nan, rng=rng), "x has NaN"),
        (lambda cls, x, rng: cls.fit(0 * x, rng=rng), "coordinates that never change"),
        (lambda cls, x, rng: cls.fit(x, rng=rng, alpha=0.5), "alpha is 0.5"),
        (lambda cls, x, rng: cls.fit(x + 1, rng=rng, alpha=0.1), r"outside \[0, 1\]"),
        (lambda cls, x, rng: cls.fit(x, rng=rng, layers=0), "layers is 0"),
        (lambda cls, x, rng: cls.fit((9 * x).astype(int), rng=rng, levels=4), r"x has entries from \d to \d; expected 0 … levels − 1 = 3"),
        (lambda cls, x, rng: lively(cls, (3,), **SMALL[cls]).log_prob(x), r"x has shape \(6, 2\); expected \(n, 3\)"),
        (lambda cls, x, rng: lively(cls, (3,), **SMALL[cls]).sample(0, rng), "n is 0"),
    ],
)
def test_what_is_wrong_is_named(cls, call, message):
    with pytest.raises(ValueError, match=message):
        call(cls, np.random.default_rng(0).random((6, 2)), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("u", "message"),
    [
        (np.zeros((6, 2)), r"u has shape \(6, 2\); expected \(K, 6, 2\)"),
        (np.zeros((0, 6, 2)), "with K ≥ 1"),
        (np.ones((2, 6, 2)), r"u has entries outside \[0, 1\)"),
    ],
)
def test_noise_that_does_not_fit_levels(u, message):
    with pytest.raises(ValueError, match=message):
        lively(RealNVP, **SMALL[RealNVP]).level_bound(np.zeros((6, 2), int), 4, u)


@flows
def test_floats_are_no_levels(cls):
    with pytest.raises(TypeError, match="x is float64; expected integers 0 … 3"):
        cls.fit(np.random.default_rng(0).random((6, 2)), rng=np.random.default_rng(0), levels=4)
