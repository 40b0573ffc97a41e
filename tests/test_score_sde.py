"""Diffusion in continuous time: marginals of the SDEs, Gaussian data in closed form, the ODE's density, and every sampler's step."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

import minigen as mg
from minigen.data import toy, toy_entropy
from minigen.models import ScoreSDE
from minigen.models.score_sde import HIGH, LOW, SDES, VE, VP
from minigen.testing import check_gradients, check_score

RNG = np.random.default_rng(0)
ROOT = np.array([[0.9, 0.0], [0.6, 0.4]])
COVARIANCE = ROOT @ ROOT.T
both = pytest.mark.parametrize("name", SDES)


def gaussian(name, mean=(0.0, 0.0)):
    """The model of data N(mean, COVARIANCE) with the exact E[v|x] for its network, which takes rows at one time."""
    sde, mean = SDES[name], np.array(mean)

    def network(x, level):
        t = sde.time(np.exp(LOW + float(level[0]) * (HIGH - LOW)))
        a, sigma = sde.a(t), sde.sigma(t)
        rho, inverse = np.hypot(a, sigma), np.linalg.inv(a**2 * COVARIANCE + sigma**2 * np.eye(2))
        residual = (rho * x - a * mean) @ inverse
        x0, eps = mean + a * residual @ COVARIANCE, sigma * residual
        return (a * eps - sigma * x0) / rho

    return ScoreSDE(network, sde, np.zeros(2), np.ones(2), (2,))


def marginal(sde, t):
    """The covariance of x_t."""
    return sde.a(t) ** 2 * COVARIANCE + sde.sigma(t) ** 2 * np.eye(2)


@both
@pytest.mark.verifies("score_sde.1")
@pytest.mark.verifies("score_sde.2")
@pytest.mark.verifies("score_sde.3")
def test_the_marginals_solve_the_equations_of_the_moments(name):
    # dE[x]/dt = f E[x] and dVar/dt = 2 f Var + g², for f = drift · x.
    sde = SDES[name]
    for t in (0.01, 0.3, 0.9):
        a = np.exp(quad(sde.drift, 0, t)[0])
        np.testing.assert_allclose(sde.a(t), a, rtol=1e-8)
        grown = quad(lambda u, t=t: sde.g2(u) * np.exp(2 * quad(sde.drift, u, t)[0]), 0, t)[0]
        np.testing.assert_allclose(sde.sigma(t) ** 2, grown + sde.sigma(0.0) ** 2 * a**2, rtol=1e-6)
        np.testing.assert_allclose(sde.time(sde.sigma(t) / sde.a(t)), t, rtol=1e-9)
    assert sde.a(0.0) == 1 and sde.sigma(0.0) == {"vp": 0.0, "ve": 0.01}[name]
    np.testing.assert_allclose(sde.sigma(1.0), {"vp": np.sqrt(1 - np.exp(-10.05)), "ve": 50.0}[name])
    assert VP().beta(0.0) == 0.1 and VP().beta(1.0) == 20.0
    for t in (sde.start, 1.0):
        assert LOW < np.log(sde.sigma(t) / sde.a(t)) < HIGH
    assert sde.sigma(sde.start) < 0.02


@both
@pytest.mark.verifies("score_sde.4")
def test_the_estimates_of_an_exact_network_are_exact(name):
    x0, eps, t = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2)), np.array([0.01, 0.2, 0.5, 0.8, 1.0])
    model = ScoreSDE(None, SDES[name], np.zeros(2), np.ones(2), (2,))
    a, sigma, rho = model.scales(t)
    seen = []

    def network(x, level):
        seen.append((x, level))
        return (a * eps - sigma * x0) / rho

    model.network = network
    for got, want in zip(model.estimates(a * x0 + sigma * eps, t), (x0, eps), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(seen[0][0], (a * x0 + sigma * eps) / rho)
    np.testing.assert_allclose(np.exp(LOW + seen[0][1] * (HIGH - LOW)), (sigma / a)[:, 0])
    assert np.all((seen[0][1] > 0) & (seen[0][1] < 1))
    np.testing.assert_allclose(model.loss(x0, t, eps), 0, atol=1e-18)
    model.network = lambda x, level: network(x, level) + np.array([1.0, 3.0])
    np.testing.assert_allclose(model.loss(x0, t, eps), 5)


@both
@pytest.mark.verifies("score_sde.6")
def test_the_score_of_gaussian_data_is_exact(name):
    model = gaussian(name, (1.0, -2.0))
    model.mean, model.std = np.array([3.0, 1.0]), np.array([2.0, 0.5])
    x = 3 + RNG.normal(size=(6, 2))
    for t in (0.02, 0.4, 1.0):
        a, covariance = model.sde.a(t), marginal(model.sde, t)
        y = (x - model.mean) / model.std - a * np.array([1.0, -2.0])
        want = -np.linalg.solve(covariance, y.T).T / model.std
        np.testing.assert_allclose(model.score(x, t), want, rtol=1e-7)
    np.testing.assert_array_equal(model.score(x), model.score(x, model.sde.start))


@both
@pytest.mark.verifies("score_sde.7")
def test_the_ode_gives_gaussian_data_their_density(name):
    model = gaussian(name)
    model.mean, model.std = np.array([3.0, 1.0]), np.array([2.0, 0.5])
    x = model.mean + RNG.normal(size=(50, 2)) @ ROOT.T * model.std
    c = marginal(model.sde, model.sde.start) * np.outer(model.std, model.std)
    d = x - model.mean
    want = -0.5 * np.sum(d * np.linalg.solve(c, d.T).T, axis=1) - 0.5 * np.linalg.slogdet(2 * np.pi * c)[1]
    # What is left: the tolerance of the solver, and C(1) against the prior's ρ² I, about 10⁻³ for VE.
    np.testing.assert_allclose(model.log_prob(x), want, atol=6e-3)


@both
def test_the_velocity_moves_x_as_its_estimates_do(name):
    model, t, step = gaussian(name), 0.37, 1e-6
    x = RNG.normal(size=(4, 2))
    x0, eps = model.estimates(x, np.full(4, t))
    rate = lambda f: (f(t + step) - f(t - step)) / (2 * step)
    np.testing.assert_allclose(model.velocity(x, np.full(4, t)), rate(model.sde.a) * x0 + rate(model.sde.sigma) * eps, rtol=1e-5)


def lively(name="vp"):
    x = RNG.normal(size=(50, 2)) * [1.0, 2.0] + [3.0, -1.0]
    model = ScoreSDE.fit(x, rng=np.random.default_rng(0), sde=name, width=6, blocks=1, steps=0, progress=False)
    return mg.tree_map(lambda w: w + 0.1 * np.random.default_rng(w.size).normal(size=w.shape), model)


@both
def test_the_density_integrates_to_one(name):
    model = lively(name)
    side = np.linspace(-8, 8, 49)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2) * model.std + model.mean
    cell = (side[1] - side[0]) ** 2 * np.prod(model.std)
    assert abs(np.sum(np.exp(model.log_prob(grid))) * cell - 1) < 5e-3


@pytest.mark.verifies("score_sde.6")
def test_the_score_that_the_ode_begins_with_is_the_network_s():
    model = gaussian("vp")
    log_p = lambda x: -0.5 * np.sum(x * np.linalg.solve(marginal(model.sde, model.sde.start), x.T).T, axis=1)
    check_score(model.score, log_p, RNG.normal(size=(5, 2)))


# ---- Samplers: linear for Gaussian data, so that what a step does to a covariance is exact ----
def step_of(move, n=2):
    """(M, constant) of an affine step move(x) → M x + constant, rows."""
    constant = move(np.zeros((1, n)))
    return np.concatenate([move(e[None]) - constant for e in np.eye(n)]).T, constant


@both
@pytest.mark.verifies("score_sde.8")
def test_a_reverse_step_brings_the_covariance_from_t_to_t_less_h(name):
    model, t, errors = gaussian(name), 0.5, []
    for h in (0.002, 0.001):
        m, noise = step_of(lambda x, h=h: model.euler(x, t, h, np.random.default_rng(7)))
        z = np.random.default_rng(7).standard_normal((1, 2))
        np.testing.assert_allclose(noise, np.sqrt(model.sde.g2(t) * h) * z)
        after = m @ marginal(model.sde, t) @ m.T + model.sde.g2(t) * h * np.eye(2)
        errors.append(np.abs(after - marginal(model.sde, t - h)).max())
    assert 3.3 < errors[0] / errors[1] < 4.7  # what is left is of second order
    assert errors[1] < 0.1 * np.abs(marginal(model.sde, t) - marginal(model.sde, t - 0.001)).max()


@both
@pytest.mark.verifies("score_sde.9")
def test_a_corrector_is_langevin_s_step_of_the_stated_size(name):
    model, x, t = gaussian(name), RNG.normal(size=(30, 2)), 0.3
    y = model.correct(x, t, np.random.default_rng(7), r=0.2)
    z, s = np.random.default_rng(7).standard_normal((30, 2)), -x @ np.linalg.inv(marginal(model.sde, t))
    eta = 2 * (0.2 * np.mean(np.linalg.norm(z, axis=1)) / np.mean(np.linalg.norm(s, axis=1))) ** 2
    np.testing.assert_allclose(y, x + eta * s + np.sqrt(2 * eta) * z)


@both
@pytest.mark.verifies("score_sde.10")
@pytest.mark.verifies("score_sde.11")
def test_heun_s_steps_follow_the_exact_path_to_third_order(name):
    # Without noise x̃ follows dx̃/dσ̃ = σ̃ (S + σ̃²)⁻¹ x̃: along an eigenvector of S it grows as √(S + σ̃²).
    model = gaussian(name)
    values, vectors = np.linalg.eigh(COVARIANCE)
    for value, vector in zip(values, vectors.T, strict=True):
        errors = []
        for h in (0.04, 0.02):
            got = model.heun(vector[None], 0.6, 0.6 - h)
            errors.append(np.abs(got - vector * np.sqrt((value + (0.6 - h) ** 2) / (value + 0.36))).max())
        assert 6 < errors[0] / errors[1] < 10.5, errors
    t = model.sde.time(0.3)
    x = RNG.normal(size=(3, 2))
    np.testing.assert_allclose(model.heun(x, 0.3, 0.0), model.estimates(model.sde.a(t) * x, np.full(3, t))[0], rtol=1e-9)


@pytest.mark.parametrize("solver", ["sde", "pc"])
def test_the_steps_of_the_stochastic_samplers_lead_from_1_to_the_first_time(solver, monkeypatch):
    model, spans, corrected = lively(), [], []
    monkeypatch.setattr(ScoreSDE, "euler", lambda self, x, t, h, rng: spans.append((t, t - h)) or x)
    monkeypatch.setattr(ScoreSDE, "correct", lambda self, x, t, rng: corrected.append(t) or x)
    model.sample(2, RNG, solver=solver, steps=7, progress=False)
    times = [1.0, *(end for _, end in spans)]
    np.testing.assert_allclose([begin for begin, _ in spans], times[:-1], rtol=1e-12)
    np.testing.assert_allclose(times[-1], model.sde.start, rtol=1e-9)
    np.testing.assert_allclose(corrected, times[1:] if solver == "pc" else [], rtol=1e-9)


@both
@pytest.mark.parametrize(("solver", "tolerance"), [("heun", 0.05), ("ode", 0.05), ("sde", 0.12), ("pc", 0.15)])
@pytest.mark.verifies("score_sde.8")
def test_every_sampler_draws_the_data_s_covariance(name, solver, tolerance):
    model = gaussian(name)
    model.mean, model.std = np.array([3.0, 1.0]), np.array([2.0, 0.5])
    x = (model.sample(20_000, np.random.default_rng(0), solver=solver, progress=False) - model.mean) / model.std
    # 20,000 draws are within 5 % of it (4.9 standard errors); the SDEs' finite steps widen it by some more.
    np.testing.assert_allclose(np.cov(x.T), COVARIANCE, atol=tolerance * COVARIANCE.max())
    np.testing.assert_allclose(x.mean(0), 0, atol=0.06)


@both
def test_heun_s_levels_fall_from_the_prior_to_nothing(name):
    model, seen = gaussian(name), []
    step = model.heun
    model.heun = lambda x, level, following: seen.append((level, following)) or step(x, level, following)
    model.sample(3, np.random.default_rng(0), steps=5, progress=False)
    high, low = (float(model.sde.sigma(t) / model.sde.a(t)) for t in (1.0, model.sde.start))
    want = [(high ** (1 / 7) + i / 4 * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(5)] + [0.0]
    np.testing.assert_allclose(seen, list(pairwise(want)), rtol=1e-9)


@pytest.mark.verifies("score_sde.5")
def test_training_draws_noise_levels_as_stated(monkeypatch):
    seen = []
    monkeypatch.setattr(ScoreSDE, "loss", lambda model, x0, t, eps: seen.append((x0, t, eps)) or np.sum(model.network.stem.weight) + 0 * t)
    x = RNG.normal(size=(40_000, 2)) * [1.0, 2.0] + [3.0, -1.0]
    ScoreSDE.fit(x, rng=np.random.default_rng(0), width=4, blocks=1, steps=1, batch_size=40_000, progress=False)
    x0, t, eps = seen[0]
    np.testing.assert_allclose(np.concatenate([x0.mean(0), x0.std(0)]), [0, 0, 1, 1], atol=1e-9)
    level = np.log(VP().sigma(t) / VP().a(t))
    low, high = (np.log(VP().sigma(s) / VP().a(s)) for s in (VP().start, 1.0))
    assert level.min() >= low - 1e-6 and level.max() <= high + 1e-6
    bound = 4.9 / np.sqrt(40_000)
    assert abs(level.mean() + 1.2) < 1.2 * bound and abs(level.std() - 1.2) < 1.2 * bound and abs(eps.std() - 1) < bound


@both
def test_it_learns_moons_nearly_to_their_entropy(name):
    rng = np.random.default_rng(0)
    x, fresh = toy("moons", 20_000, rng), toy("moons", 300, rng)
    model = ScoreSDE.fit(x, rng=rng, sde=name, width=48, blocks=2, steps=500, progress=False)
    assert -model.log_prob(fresh).mean() < toy_entropy("moons") + 0.15
    samples = model.sample(2000, rng, progress=False)
    np.testing.assert_allclose([*samples.mean(0), *samples.std(0)], [*x.mean(0), *x.std(0)], atol=0.12)


def test_gradients():
    model = lively()
    x0, eps, t = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2)), np.array([0.1, 0.5, 0.9])
    check_gradients(lambda model: model.loss(x0, t, eps), (model,), order=1, entries=2)


@pytest.mark.parametrize("sde", [VP(), VE(0.02, 20.0)])
def test_float32_on_every_array_library(sde, device):
    data = mg.to_device(RNG.random((40, 2)).astype(np.float32), device)
    settings = {"sde": sde, "width": 5, "blocks": 1, "steps": 2, "batch_size": 16, "progress": False}
    fitted = ScoreSDE.fit(data, rng=np.random.default_rng(0), **settings)
    host = ScoreSDE.fit(mg.to_host(data), rng=np.random.default_rng(0), **settings)
    for f in (
        lambda m, x: m.log_prob(x), lambda m, x: m.score(x),
        *(lambda m, x, s=s: m.sample(6, np.random.default_rng(1), solver=s, steps=4, progress=False) for s in ("heun", "ode", "sde", "pc")),
    ):  # fmt: skip
        y = f(fitted, data)
        assert mg.array_module(y) is mg.array_module(data) and y.dtype == np.float32
        np.testing.assert_allclose(mg.to_host(y), f(host, mg.to_host(data)), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ScoreSDE.fit(x, rng=RNG, sde="vx"), "sde is 'vx'"),
        (lambda x: ScoreSDE.fit(x * np.nan, rng=RNG), "x has NaN"),
        (lambda x: ScoreSDE.fit(0 * x, rng=RNG), "coordinates that never change"),
        (lambda x: lively().log_prob(x[:, :1]), r"x has shape \(6, 1\); expected \(n, 2\)"),
        (lambda x: lively().score(x, 1.1), r"t is 1.1; expected a number from t₀ = 0.\d+ to 1"),
        (lambda x: lively().score(x, 0.0), r"t is 0.0; expected a number from t₀"),
        (lambda x: lively().sample(0, RNG), "n is 0"),
        (lambda x: lively().sample(3, RNG, solver="rk9"), "solver is 'rk9'"),
        (lambda x: lively().sample(3, RNG, steps=0), "steps is 0"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).random((6, 2)))
