"""Continuous flows: traces, Runge–Kutta steps, linear velocities whose flow and density are known, and learning."""

import numpy as np
import pytest
from scipy.linalg import expm

import minigen as mg
from minigen.data import toy, toy_entropy
from minigen.models import ContinuousFlow
from minigen.models.continuous_flow import runge_kutta, trace, transport, transport_closely
from minigen.models.flow import log_normal
from minigen.optim import Adam, cosine
from minigen.testing import check_bijection, check_gradients

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3))


def bent(x):
    """A velocity that is not linear, row by row."""
    return np.sin(x @ A) + x**2 / 4


@pytest.mark.verifies("continuous_flow.3")
def test_the_exact_trace_is_that_of_the_jacobian():
    x = RNG.normal(size=(5, 3))
    y, t = trace(bent, x)
    np.testing.assert_allclose(y, bent(x))
    want = [np.trace(mg.jacobian(lambda a: bent(a[None])[0])(row)) for row in x]
    np.testing.assert_allclose(t, want, rtol=1e-10)


@pytest.mark.verifies("continuous_flow.4")
def test_the_estimated_trace_is_right_on_average():
    row, n = RNG.normal(size=(1, 3)), 200_000
    eps = RNG.normal(size=(n, 3))
    _, t = trace(bent, np.tile(row, (n, 1)), eps)
    exact = trace(bent, row)[1][0]
    assert abs(t.mean() - exact) < 4.9 * t.std() / np.sqrt(n)  # false alarms: 1e-6
    jacobian = mg.jacobian(lambda a: bent(a[None])[0])(row[0])
    np.testing.assert_allclose(t[:9], np.einsum("ni,ij,nj->n", eps[:9], jacobian, eps[:9]), rtol=1e-9)


@pytest.mark.verifies("continuous_flow.5")
def test_runge_kutta_is_exact_for_polynomials_of_its_order_and_converges_as_the_fourth_power():
    cubic = lambda y, t: (4 * t**3 - 3 * t**2 + 0 * y[0],)
    np.testing.assert_allclose(runge_kutta(cubic, (np.ones(1),), 0.5, 2.0, 1)[0], 1 + (16 - 8) - (0.0625 - 0.125))
    swing = lambda y, t: (y[1] * t, -y[0] * t)  # a rotation by t²/2
    errors = []
    for steps in (8, 16, 32):
        a, b = runge_kutta(swing, (np.ones(1), np.zeros(1)), 0.0, 2.0, steps)
        errors.append(float(np.hypot(a - np.cos(2), b + np.sin(2))[0]))
    ratios = np.array(errors[:-1]) / errors[1:]
    assert np.all((ratios > 13) & (ratios < 20)), ratios
    # One step for y' = y is the exponential's series up to h⁴/24.
    np.testing.assert_allclose(runge_kutta(lambda y, t: y, (np.ones(1),), 0.0, 0.5, 1)[0], 1 + 0.5 + 0.5**2 / 2 + 0.5**3 / 6 + 0.5**4 / 24)


@pytest.mark.verifies("continuous_flow.1")
@pytest.mark.verifies("continuous_flow.2")
@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, 0.0), (0.25, 0.75)])
def test_a_linear_velocity_moves_by_the_matrix_exponential_and_a_density_with_it(t0, t1):
    x = RNG.normal(size=(6, 3))
    y, logdet, energy = transport(lambda x, t: x @ A, x, t0, t1, 40)
    np.testing.assert_allclose(y, x @ expm((t1 - t0) * A), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logdet, (t1 - t0) * np.trace(A), rtol=1e-9)
    assert np.all(energy > 0)
    timed = lambda x, t: x @ A * (2 * t[:, None])  # ∫ 2t dt = t₁² − t₀²
    y, logdet, _ = transport(timed, x, t0, t1, 40)
    np.testing.assert_allclose(y, x @ expm((t1**2 - t0**2) * A), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logdet, (t1**2 - t0**2) * np.trace(A), rtol=1e-9)
    _, _, energy = transport(lambda x, t: x * 0 + 2.0, x, t0, t1, 3)
    np.testing.assert_allclose(energy, abs(t1 - t0) * 3 * 4)


def test_steps_are_doubled_until_the_log_determinants_are_known(capsys):
    stiff = lambda x, t: -30 * np.tanh(3 * x) * t[:, None]
    x = RNG.normal(size=(50, 2))
    _, logdet = transport_closely(stiff, x, 0.0, 1.0, 1)
    _, exact, _ = transport(stiff, x, 0.0, 1.0, 2000)
    np.testing.assert_allclose(logdet, exact, atol=3e-3)
    assert capsys.readouterr().err == ""
    y, _ = transport_closely(stiff, x, 0.0, 1.0, 1, limit=8)
    told = capsys.readouterr().err
    assert "only known to" in told and told.count("\n") == 1
    np.testing.assert_array_equal(y, transport(stiff, x, 0.0, 1.0, 8)[0])  # the limit is kept


def test_steps_are_doubled_until_the_points_are_known_where_the_volume_stays():
    turn = lambda x, t: x @ np.array([[0.0, 40.0], [-40.0, 0.0]])
    x = RNG.normal(size=(50, 2))
    y, logdet = transport_closely(turn, x, 0.0, 1.0, 4)
    np.testing.assert_allclose(0.5 * np.sum(y**2, axis=1), 0.5 * np.sum(x**2, axis=1), atol=3e-3)
    np.testing.assert_array_equal(logdet, 0)


def lively(d=2, **settings):
    flow = ContinuousFlow.init(np.random.default_rng(0), (d,), width=6, blocks=1, dtype=np.float64, **settings)
    flow = mg.tree_map(lambda w: w + 0.15 * np.random.default_rng(w.size).normal(size=w.shape), flow)
    flow.mean, flow.std = np.linspace(-1, 1, d), np.linspace(0.5, 1.5, d)
    return flow


def test_it_is_a_bijection_whose_density_integrates_to_one():
    flow = lively()
    ends = lambda x, t0, t1: transport(flow.layers[0].network, x, t0, t1, 16)[:2]
    check_bijection(lambda x: ends(x, 1.0, 0.0), lambda z: ends(z, 0.0, 1.0), RNG.normal(size=(3, 2)))
    x = RNG.normal(size=(20, 2))
    z, logdet = flow.forward(x)
    np.testing.assert_allclose(flow.inverse(z)[0], x, atol=1e-3)
    np.testing.assert_allclose(flow.inverse(z)[1], -logdet, atol=3e-3)
    np.testing.assert_allclose(flow.decode(z), flow.inverse(z)[0], atol=2e-3)
    side = np.linspace(-7, 7, 57)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    assert abs(np.sum(np.exp(flow.log_prob(grid))) * 0.25**2 - 1) < 2e-3


@pytest.mark.parametrize("d", [2, 6])
@pytest.mark.verifies("continuous_flow.6")
def test_the_loss_is_the_likelihood_and_the_price_of_the_path(d):
    flow = lively(d, ode_steps=40)
    x = RNG.normal(size=(3, d))
    y, _ = flow.to_line(x)
    _, _, energy = transport(flow.layers[0].network, y, 1.0, 0.0, 40)
    n = 1 if d == 2 else 3000
    losses = flow.loss(np.repeat(x, n, axis=0), np.random.default_rng(0), 0.3).reshape(3, n)
    error = losses.std(axis=1) / np.sqrt(n)
    assert (error > 0).all() == (d == 6)  # few dimensions: no noise
    np.testing.assert_array_less(np.abs(losses.mean(axis=1) - (-flow.log_prob(x) + 0.3 * energy)), 5.1 * error + 1e-4)
    if d == 2:
        np.testing.assert_allclose(flow.loss(x, RNG, 0.0), -flow.log_prob(x), atol=1e-4)
        z, logdet = flow.forward(x)
        np.testing.assert_allclose(flow.log_prob(x), log_normal(z) + logdet)


def test_gradients_go_through_the_solver_and_the_trace():
    flow, x = lively(ode_steps=2), RNG.normal(size=(3, 2))
    check_gradients(lambda flow: flow.loss(x, None, 0.1), (flow,), order=1, entries=2)


def test_it_learns_moons_nearly_to_their_entropy():
    rng, steps = np.random.default_rng(0), 60
    x, fresh = toy("moons", 4000, rng), toy("moons", 300, rng)
    settings = {"width": 32, "ode_steps": 4, "batch_size": 128, "optimizer": Adam(cosine(1e-2, 60)), "progress": False}
    fit = lambda steps: ContinuousFlow.fit(x, rng=np.random.default_rng(0), steps=steps, **settings)
    before, after = (-fit(n).log_prob(fresh).mean() - toy_entropy("moons") for n in (0, steps))
    assert before > 0.6 and after < 0.3


def test_float32_on_every_array_library(device):
    data = mg.to_device(RNG.random((40, 2)).astype(np.float32), device)
    settings = {"width": 5, "blocks": 1, "ode_steps": 2, "steps": 2, "batch_size": 16, "progress": False}
    fitted = ContinuousFlow.fit(data, rng=np.random.default_rng(0), **settings)
    for y in (fitted.log_prob(data), fitted.sample(6, np.random.default_rng(1)), *mg.leaves(fitted)):
        assert mg.array_module(y) is mg.array_module(data) and y.dtype == np.float32
    host = ContinuousFlow.fit(mg.to_host(data), rng=np.random.default_rng(0), **settings)
    np.testing.assert_allclose(mg.to_host(fitted.log_prob(data)), host.log_prob(mg.to_host(data)), rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"ode_steps": 0}, "ode_steps is 0"), ({"event": (1,)}, r"event is \(1,\)")],
)
def test_what_is_wrong_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        ContinuousFlow.init(RNG, **{"event": (2,), **settings})
    with pytest.raises(ValueError, match="straight is -1"):
        ContinuousFlow.fit(np.eye(2), rng=RNG, straight=-1)
