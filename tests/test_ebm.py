"""The EBM chapter: chains against exact distributions, steps against their definitions.

Statistical tests have fixed seeds and a false-alarm rate of 1e-6.
"""

import numpy as np
import pytest
from scipy import stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.data import toy, toy_density
from minigen.models import EBM
from minigen.models.ebm import Chains, contrastive_loss, effective_sample_size, energy_and_score, langevin_step, mala_step, run_chains
from minigen.testing import check_sampler_matches

COV = np.array([[1.0, 0.6], [0.6, 0.8]])
PRECISION = np.linalg.inv(COV)


def quadratic(x):
    return 0.5 * np.sum((x @ PRECISION) * x, axis=1)


def double_well(x):
    return (x[:, 0] ** 2 - 1) ** 2 + 0.3 * x[:, 0]


def small(seed=0):
    rng = np.random.default_rng(seed)
    ebm = EBM.init(rng, rng.standard_normal((20, 2)) + 1, hidden=(5,), activation=np.tanh)
    ebm.network.layers[-1].weight[...] = rng.standard_normal((5, 1))
    return ebm, rng


@pytest.mark.verifies("ebm.1", "ebm.2")
def test_energy_is_network_and_gaussian_and_score_its_slope():
    ebm, rng = small()
    x = rng.standard_normal((6, 2))
    z = (x - ebm.mean) / ebm.std
    np.testing.assert_allclose(ebm.energy(x), ebm.network(z)[:, 0] + 0.5 * (z**2).sum(1))
    base = -stats.norm(ebm.mean, ebm.std).logpdf(x).sum(1) - np.log(2 * np.pi * ebm.std**2)
    np.testing.assert_allclose(ebm.energy(x) - ebm.network(z)[:, 0], base)
    h = 1e-6 * np.eye(2)
    numeric = -np.stack([(ebm.energy(x + e) - ebm.energy(x - e)) / 2e-6 for e in h], axis=1)
    np.testing.assert_allclose(ebm.score(x), numeric, rtol=1e-6, atol=1e-8)
    data = 3 * rng.standard_normal((500, 2)) * [1, 0.1] + [5, 0]
    begun = EBM.init(rng, data)
    np.testing.assert_allclose(begun.mean, data.mean(0))
    np.testing.assert_allclose(begun.std, 1.5 * data.std(0).max())
    assert np.all(begun.network(data) == 0)
    draws = begun.start(20_000, rng)
    assert all(stats.kstest(draws[:, i], stats.norm(begun.mean[i], begun.std).cdf).pvalue > 1e-6 for i in (0, 1))


@pytest.mark.verifies("ebm.3")
def test_unadjusted_chains_have_the_variance_that_theory_gives_at_a_finite_step():
    # on N(0, v) a step multiplies by a = 1 − η²/2v and adds variance η²: stationary variance η² / (1 − a²) = v / (1 − η²/4v)
    v, eta = 2.0, 1.2
    energy = lambda x: 0.5 * x[:, 0] ** 2 / v
    draw = lambda n, rng: run_chains(energy, np.zeros((n, 1)), 40, eta, rng, adjust=False, keep=False).draws[0, :, 0]
    check_sampler_matches(draw, cdf=stats.norm(0, np.sqrt(v / (1 - eta**2 / (4 * v)))).cdf, n=40_000)
    eps = np.array([[0.3, -1.0]])
    np.testing.assert_allclose(langevin_step(np.ones((1, 2)), np.full((1, 2), 2.0), 0.5, eps), 1 + 0.25 + 0.5 * eps)


@pytest.mark.verifies("ebm.4")
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_a_metropolis_step_leaves_a_double_well_as_it_is(eta):
    grid = np.linspace(-4, 4, 8001)
    p = np.exp(-double_well(grid[:, None]))
    p /= p.sum()
    cdf = lambda t: np.interp(t, grid, np.cumsum(p) - p / 2)

    def draw(n, rng):  # exact draws, then three steps
        x = np.interp(rng.random(n), np.cumsum(p) - p / 2, grid)[:, None]
        return run_chains(double_well, x, 3, eta, rng, keep=False).draws[0, :, 0]

    check_sampler_matches(draw, cdf=cdf, n=100_000)


def test_metropolis_from_a_corner_reaches_a_gaussian():
    draw = lambda n, rng: run_chains(quadratic, np.full((n, 2), 3.0), 60, 0.9, rng, keep=False).draws[0]
    check_sampler_matches(draw, stats.multivariate_normal([0, 0], COV).logpdf, support=[(-8, 8), (-8, 8)], n=20_000)


@pytest.mark.verifies("ebm.4")
def test_acceptance_is_the_ratio_of_its_definition_and_keeps_energy_and_score_in_step():
    rng = np.random.default_rng(0)
    x, eps, u, eta = 2 * rng.standard_normal((200, 2)), rng.standard_normal((200, 2)), rng.random(200), 1.1
    (y, e, s), accepted = mala_step(quadratic, (x, *energy_and_score(quadratic, x)), eta, eps, u)
    proposal = x - 0.5 * eta**2 * x @ PRECISION + eta * eps
    q = lambda a, b: stats.norm(b - 0.5 * eta**2 * b @ PRECISION, eta).logpdf(a).sum(1)
    alpha = np.exp(quadratic(x) - quadratic(proposal) + q(x, proposal) - q(proposal, x))
    np.testing.assert_array_equal(accepted, u < alpha)
    assert 20 < accepted.sum() < 190
    np.testing.assert_allclose(y, np.where(accepted[:, None], proposal, x))
    np.testing.assert_allclose(e, quadratic(y))
    np.testing.assert_allclose(s, -y @ PRECISION)
    found = run_chains(quadratic, x, 30, eta, rng)
    moved = np.any(np.diff(found.draws, axis=0) != 0, axis=2)
    assert found.draws.shape == (30, 200, 2) and abs(found.acceptance - moved.mean()) < 0.05
    assert run_chains(quadratic, x, 3, eta, rng, adjust=False).acceptance == 1


@pytest.mark.verifies("ebm.6")
@pytest.mark.parametrize("a", [0.0, 0.6, 0.9])
def test_effective_sample_size_of_an_autoregression_is_known(a):
    rng = np.random.default_rng(0)
    x = np.empty((4000, 10, 1))
    x[0] = rng.standard_normal((10, 1))
    for t in range(1, 4000):
        x[t] = a * x[t - 1] + np.sqrt(1 - a * a) * rng.standard_normal((10, 1))
    np.testing.assert_allclose(effective_sample_size(np.concatenate([x, 5 - x], 2)), 40_000 * (1 - a) / (1 + a), rtol=0.12)


@pytest.mark.verifies("ebm.6")
@pytest.mark.parametrize("t", [9, 24])
def test_effective_sample_size_of_short_chains_is_its_definition(t):
    x = np.cumsum(np.random.default_rng(t).standard_normal((t, 3)), axis=0)  # walks, whose ends differ from their starts
    z = x - x.mean()
    covariance = np.array([np.sum(z[: t - k] * z[k:]) for k in range(t)])
    rho, total = covariance / covariance[0], 0.0
    for k in range(0, t - 1, 2):
        if rho[k] + rho[k + 1] <= 0:
            break
        total += rho[k] + rho[k + 1]
    np.testing.assert_allclose(effective_sample_size(x[:, :, None]), 3 * t / (2 * total - 1), rtol=1e-10)


def test_chains_that_stay_apart_are_worth_one_draw_each():
    x = np.random.default_rng(0).standard_normal((500, 2, 1)) + np.array([[-10.0], [10.0]])
    assert effective_sample_size(x)[0] < 5


def test_chains_that_never_moved_are_worth_one_draw_each():
    np.testing.assert_array_equal(effective_sample_size(np.ones((50, 3, 2))), [3, 3])


@pytest.mark.verifies("ebm.5")
def test_slope_of_the_loss_is_that_of_the_likelihood_by_quadrature():
    ebm, rng = small()
    x = rng.standard_normal((7, 2))
    line = np.linspace(-14, 16, 301)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    cell = np.log(0.1**2)
    exact = grad(lambda m: np.mean(m.energy(x)) + np.log(np.sum(np.exp(-m.energy(grid) + cell))))(ebm)
    p = np.exp(-ebm.energy(grid))
    p /= p.sum()
    one = x[:1]
    loss = lambda m: p @ contrastive_loss(m, np.repeat(one, len(grid), 0), grid) - m.energy(one)[0] + np.mean(m.energy(x))
    for g, want in zip(tree.leaves(grad(loss)(ebm)), tree.leaves(exact), strict=True):
        np.testing.assert_allclose(g, want, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("restart", [0.0, 1.0, 0.2])
def test_chains_of_training_go_on_in_their_slots_adjusted_but_for_those_that_restart(monkeypatch, restart):
    seen = []

    def watched(energy, x, steps, eta, rng, adjust, keep):
        assert (steps, eta, adjust) == (7, 0.25, True)
        ends = np.full_like(x, 100.0 + len(seen))
        seen.append(x.copy())
        return Chains(ends[None], 1.0)

    monkeypatch.setattr("minigen.models.ebm.run_chains", watched)
    x = np.random.default_rng(0).standard_normal((400, 1))
    EBM.fit(x, rng=np.random.default_rng(1), hidden=(2,), steps=9, batch_size=300, k=7, eta=0.25, slots=3, restart=restart, progress=False)
    assert all(np.all(np.abs(begun) < 50) for begun in seen[:3])
    shares = [np.mean(begun != 100 + t) for t, begun in enumerate(seen[3:])]  # the ends of three steps before
    assert abs(np.mean(shares) - restart) <= 4.9 * np.sqrt(restart * (1 - restart) / 1800)
    fresh = np.concatenate([begun[np.abs(begun) < 50] for begun in seen])
    assert stats.kstest(fresh, stats.norm(x.mean(), 1.5 * x.std()).cdf).pvalue > 1e-6


def test_chains_take_the_step_that_is_asked_for():
    ebm, _ = small()
    for eta, want in ((None, 0.15 * ebm.std), (1e-3, 1e-3)):
        draws = ebm.chains(4000, np.random.default_rng(0), steps=2, eta=eta, adjust=False).draws
        assert abs(np.std(draws[1] - draws[0]) / want - 1) < 0.1


def test_fit_learns_a_density_and_its_chains_follow_it():
    rng = np.random.default_rng(0)
    x = toy("two_gaussians", 4000, rng)
    ebm = EBM.fit(x, rng=rng, hidden=(48, 48), steps=400, progress=False)
    line = np.linspace(-7, 7, 141, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    log_z = np.log(np.sum(np.exp(-ebm.energy(grid).astype(float))) * 0.01)
    fresh = toy("two_gaussians", 2000, rng)
    divergence = np.mean(toy_density("two_gaussians")(fresh) + ebm.energy(fresh) + log_z)
    gaussian = stats.multivariate_normal(x.mean(0), np.cov(x.T)).logpdf(fresh)
    assert divergence < 0.5 * np.mean(toy_density("two_gaussians")(fresh) - gaussian)
    draws = ebm.chains(300, rng, steps=200)
    assert 0.3 < draws.acceptance < 1 and draws.draws.shape == (200, 300, 2)
    y = ebm.sample(1000, rng, steps=200)
    e = ebm.energy(grid).astype(float)
    p = np.exp(-e - np.log(np.exp(-e).sum()))
    assert abs(np.mean(ebm.energy(y)) - p @ e) < 0.3


def test_same_on_every_device_in_float32(device):
    x = np.random.default_rng(0).standard_normal((40, 2, 2, 1)).astype(np.float32)
    y = to_device(x, device)
    make = lambda x: EBM.fit(x, rng=np.random.default_rng(1), hidden=(6,), steps=5, k=3, batch_size=16, adjust=True, progress=False)
    here, there = make(x), make(y)
    for a, b in zip(tree.leaves(here), tree.leaves(there), strict=True):
        assert type(b) is type(y) and b.dtype == np.float32
        np.testing.assert_allclose(to_host(b), a, rtol=1e-3, atol=1e-5)
    for verb in ("energy", "score"):
        assert type(getattr(there, verb)(y)) is type(y)
    for adjust in (True, False):
        found = there.sample(3, np.random.default_rng(2), steps=4, adjust=adjust)
        assert type(found) is type(y) and found.dtype == np.float32 and found.shape == (3, 2, 2, 1)
        np.testing.assert_allclose(to_host(found), here.sample(3, np.random.default_rng(2), steps=4, adjust=adjust), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.full((8, 2), np.nan), {}, "NaN"),
        (np.zeros((8, 2)), {}, "x is constant"),
        (np.eye(8), {"k": 0}, "k is 0"),
        (np.eye(8), {"slots": 0}, "slots is 0"),
        (np.eye(8), {"batch_size": 0}, "batch_size is 0"),
        (np.eye(8), {"restart": 2}, "restart is 2"),
        (np.eye(8), {"eta": -1.0}, "eta is -1"),
    ],
)
def test_fit_names_what_is_wrong(x, settings, message):
    with pytest.raises(ValueError, match=message):
        EBM.fit(x, rng=np.random.default_rng(0), steps=2, progress=False, **settings)


def test_shapes_and_counts_are_checked():
    ebm, rng = small()
    with pytest.raises(ValueError, match="x has shape"):
        ebm.energy(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="n is 0"):
        ebm.sample(0, rng)
    with pytest.raises(ValueError, match="steps is 0"):
        ebm.sample(1, rng, steps=0)
    with pytest.raises(ValueError, match="draws has shape"):
        effective_sample_size(np.zeros((3, 2, 1)))
