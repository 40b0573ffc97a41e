"""Inference against quadrature, enumeration of assignments, closed forms, and chains that start in what they must leave as it is."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from minigen.backend import to_device, to_host
from minigen.models.inference import MixtureMeans, effective_sample_size, hmc, leapfrog, metropolis

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score


def model(n=5, seed=0, **settings):
    """A small mixture posterior, weights (0.3, 0.7)."""
    x = np.random.default_rng(seed).normal(size=n) * 2
    return MixtureMeans(x, np.array([0.3, 0.7]), **{"noise": 0.8, "spread": 2.0, **settings})


@pytest.mark.verifies("inference.1")
def test_joint_sums_over_every_assignment():
    m, mu = model(), np.array([[0.3, -1.0], [2.0, 0.5]])
    for row, found in zip(mu, m.log_joint(mu), strict=True):
        terms = [
            sum(np.log(m.weights[k]) + norm(row[k], 0.8).logpdf(x) for k, x in zip(z, m.x, strict=True))
            for z in itertools.product((0, 1), repeat=5)
        ]
        assert found == pytest.approx(logsumexp(terms) + norm(0, 2).logpdf(row).sum())


@pytest.mark.verifies("inference.2")
def test_evidence_is_that_of_enumerated_assignments():
    m = model()
    terms = []
    for z in itertools.product((0, 1), repeat=5):
        z = np.array(z)
        cov = 0.8**2 * np.eye(5) + 2.0**2 * (z[:, None] == z)
        from scipy.stats import multivariate_normal

        terms.append(np.log(m.weights[z]).sum() + multivariate_normal(np.zeros(5), cov).logpdf(m.x))
    middles, log_p, evidence = m.grid(-12, 12, 240)
    assert evidence == pytest.approx(logsumexp(terms), abs=1e-8)
    assert np.exp(log_p).sum() * 0.1**2 == pytest.approx(1)
    np.testing.assert_allclose(log_p[100, 150], m.log_joint(np.array([[middles[100], middles[150]]]))[0] - evidence)


@pytest.mark.verifies("inference.5")
def test_kl_by_quadrature():
    m, mean, var = model(), np.array([0.7, -1.0]), np.array([0.3, 2.5])
    t = np.linspace(-20, 20, 40_001)
    for k in range(2):
        q = norm(mean[k], np.sqrt(var[k]))
        expected = np.sum(q.pdf(t) * (q.logpdf(t) - norm(0, 2).logpdf(t))) * (t[1] - t[0])
        assert m.kl(mean, var)[k] == pytest.approx(expected, abs=1e-8)


@pytest.mark.verifies("inference.6")
@pytest.mark.parametrize("seed", range(3))
def test_elbo_misses_the_evidence_by_a_divergence(seed):
    """log p(x) − ELBO is KL(q ‖ p), here summed over assignments and integrated over μ."""
    m, rng = model(n=3), np.random.default_rng(seed)
    mean, var, r = rng.normal(size=2), rng.uniform(0.2, 1, 2), rng.dirichlet(np.ones(2), 3)
    _, _, evidence = m.grid(-12, 12, 240)
    t = np.linspace(-12, 12, 2401)
    q = norm(mean[:, None], np.sqrt(var)[:, None])
    divergence = 0.0
    for z in itertools.product((0, 1), repeat=3):
        weight = np.prod([r[i, k] for i, k in enumerate(z)])
        inner = np.log(weight) - np.log(m.weights[list(z)]).sum() + evidence
        for k in range(2):  # given z the means are independent, so that the integral is a sum of one-dimensional ones
            log_p = norm(0, 2).logpdf(t) + sum(norm(t, 0.8).logpdf(m.x[i]) for i in range(3) if z[i] == k)
            inner += np.sum(q.pdf(t)[k] * (q.logpdf(t)[k] - log_p)) * (t[1] - t[0])
        divergence += weight * inner
    assert m.elbo(mean, var, r) == pytest.approx(evidence - divergence, abs=1e-6)
    assert m.elbo(mean, var, r) < evidence


@pytest.mark.verifies("inference.3", "inference.4")
@pytest.mark.parametrize("seed", range(3))
def test_mean_field_rises_to_a_maximum_below_the_evidence(seed):
    m = model(n=12, seed=seed)
    q = m.mean_field(np.array([-1.0, 1.0]))
    assert (np.diff(q.history) > -1e-10).all()
    assert q.history[-1] < m.grid(-12, 12, 240)[2] + 1e-8
    best = m.elbo(q.means, q.variances, q.memberships)
    assert best == pytest.approx(q.history[-1])
    rng = np.random.default_rng(seed)
    for _ in range(20):  # no way out is up
        shift = 1e-2 * rng.normal(size=2)
        assert m.elbo(q.means + shift, q.variances, q.memberships) < best
        assert m.elbo(q.means, q.variances * np.exp(shift), q.memberships) < best
        logits = np.log(q.memberships) + 1e-2 * rng.normal(size=q.memberships.shape)
        r = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        assert m.elbo(q.means, q.variances, r) < best


def test_mean_field_of_one_component_is_exact():
    x = np.array([0.5, 1.5, -0.2])
    m = MixtureMeans(x, np.array([1.0]), noise=0.8, spread=2.0)
    q = m.mean_field(np.zeros(1))
    precision = 1 / 4 + 3 / 0.64
    assert q.variances[0] == pytest.approx(1 / precision) and q.means[0] == pytest.approx(x.sum() / 0.64 / precision)
    from scipy.stats import multivariate_normal

    assert q.history[-1] == pytest.approx(multivariate_normal(np.zeros(3), 0.64 * np.eye(3) + 4.0).logpdf(x))


# ---- Chains ----
MEANS, STDS = np.array([[-1.0, 0.0], [1.5, 1.0]]), np.array([[0.6, 1.0], [0.5, 0.4]])


def log_target(x):
    """A mixture of two normals, not symmetric, weights (0.4, 0.6)."""
    logs = np.sum(-0.5 * ((x[:, None] - MEANS) / STDS) ** 2 - np.log(STDS), axis=2) + np.log(np.array([0.4, 0.6]))
    return np.log(np.sum(np.exp(logs), axis=1))


def exact(n, rng):
    """Draws of that target."""
    k = (rng.random(n) < 0.6).astype(int)
    return MEANS[k] + STDS[k] * rng.standard_normal((n, 2))


SAMPLERS = {
    "metropolis": lambda x, steps, rng: metropolis(log_target, x, 1.2, steps, rng),
    "hmc": lambda x, steps, rng: hmc(log_target, x, 0.75, 3, steps, rng),
}


@pytest.mark.verifies("inference.7", "inference.9")
@pytest.mark.parametrize("name", SAMPLERS)
def test_chains_leave_the_target_as_it_is(name):
    n = 200_000
    start = exact(n, np.random.default_rng(0))
    chains = SAMPLERS[name](start, 4, np.random.default_rng(1))
    assert 0.3 < chains.acceptance < 0.9, "rejections matter here"
    assert np.mean(np.any(chains.states[-1] != start, axis=1)) > 0.6
    second = 0.4 * (MEANS[0] ** 2 + STDS[0] ** 2) + 0.6 * (MEANS[1] ** 2 + STDS[1] ** 2)
    mean = 0.4 * MEANS[0] + 0.6 * MEANS[1]
    below = sum(w * norm(m, s).cdf(0.0) for w, m, s in zip((0.4, 0.6), MEANS, STDS, strict=True))
    product = 0.4 * MEANS[0].prod() + 0.6 * MEANS[1].prod()
    end = chains.states[-1]
    for values, truth in [(end, mean), (end**2, second), ((end < 0) * 1.0, below), (end.prod(1)[:, None], product)]:
        assert np.all(np.abs(values.mean(0) - truth) < Z * values.std(0) / np.sqrt(n))


@pytest.mark.parametrize("name", SAMPLERS)
def test_chains_forget_their_start(name):
    chains = SAMPLERS[name](np.full((400, 2), 4.0), 250, np.random.default_rng(0))
    kept = chains.states[100:]
    effective = sum(effective_sample_size(kept[:, :, i]) for i in range(2)) / 2
    assert np.all(np.abs(kept.mean((0, 1)) - 0.4 * MEANS[0] - 0.6 * MEANS[1]) < Z * kept.std((0, 1)) / np.sqrt(effective / 2))


@pytest.mark.verifies("inference.8")
def test_leapfrog_turns_back_and_keeps_energy_to_second_order():
    rng = np.random.default_rng(0)
    x, p = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    energy = lambda x, p: 0.5 * np.sum(p * p, axis=1) - log_target(x)
    errors = []
    for leaps in (20, 40):
        y, q = leapfrog(log_target, x, p, 1.0 / leaps, leaps)
        errors.append(np.abs(energy(y, q) - energy(x, p)).max())
        back, turned = leapfrog(log_target, y, -q, 1.0 / leaps, leaps)
        np.testing.assert_allclose(back, x, atol=1e-10)
        np.testing.assert_allclose(-turned, p, atol=1e-10)
    assert 3.3 < errors[0] / errors[1] < 5
    oscillator = lambda x: -0.5 * np.sum(x * x, axis=1)
    y, q = leapfrog(oscillator, x, p, 0.001, 1000)
    np.testing.assert_allclose(y, x * np.cos(1) + p * np.sin(1), atol=1e-6)
    np.testing.assert_allclose(q, p * np.cos(1) - x * np.sin(1), atol=1e-6)


@pytest.mark.verifies("inference.10")
@pytest.mark.parametrize("a", [0.0, 0.6, -0.4, 0.9])
def test_effective_samples_of_an_autoregression(a):
    rng, steps, c = np.random.default_rng(0), 4000, 20
    x, out = rng.standard_normal(c) / np.sqrt(1 - a * a), []
    for _ in range(steps):
        x = a * x + rng.standard_normal(c)
        out.append(x)
    values = np.array(out)
    assert effective_sample_size(values) == pytest.approx(steps * c * (1 - a) / (1 + a), rel=0.1)
    stuck = values + 50 * np.arange(c)
    assert effective_sample_size(stuck) < 2 * c, "chains in different places are not many samples"


@pytest.mark.verifies("inference.10")
def test_effective_samples_of_short_chains_by_hand():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, -1.0], [1.0, -2.0], [0.0, 0.0], [-1.0, 1.0]])
    d = values - values.mean()
    rho = [sum(d[t, c] * d[t + lag, c] for c in range(2) for t in range(6 - lag)) / np.sum(d * d) for lag in range(6)]
    pairs = [rho[0] + rho[1], rho[2] + rho[3], rho[4] + rho[5]]
    kept = pairs[: next((i for i, p in enumerate(pairs) if p <= 0), 3)]
    assert effective_sample_size(values) == pytest.approx(12 / (2 * sum(kept) - 1))


def test_chains_that_never_moved_are_worth_one_draw_each():
    assert effective_sample_size(np.ones((50, 3))) == 3


def test_costs_are_counted():
    m, start = model(), np.zeros((3, 2))
    calls = []

    def counted(x):
        calls.append(1)
        return m.log_joint(x)

    assert metropolis(m.log_joint, start, 0.5, 7, np.random.default_rng(0)).evaluations == 7
    chains = hmc(counted, start, 0.1, 5, 4, np.random.default_rng(0))
    assert chains.evaluations == 20 <= len(calls) and chains.states.shape == (4, 3, 2)
    q = m.mean_field(np.array([-1.0, 1.0]))
    assert q.evaluations == len(q.history)


def test_same_on_every_device_in_float32(device):
    here = MixtureMeans(model().x.astype(np.float32), np.array([0.3, 0.7], np.float32), 0.8, 2.0)
    there = to_device(here, device)
    mu = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    moved = to_device(mu, device)
    pairs = [
        (there.log_joint(moved), here.log_joint(mu)),
        (there.mean_field(moved[0], 5).means, here.mean_field(mu[0], 5).means),
        (there.grid(size=20)[1], here.grid(size=20)[1]),
        (metropolis(there.log_joint, moved, 0.1, 3, np.random.default_rng(1)).states,
         metropolis(here.log_joint, mu, 0.1, 3, np.random.default_rng(1)).states),
        (hmc(there.log_joint, moved, 0.1, 2, 3, np.random.default_rng(1)).states,
         hmc(here.log_joint, mu, 0.1, 2, 3, np.random.default_rng(1)).states),
    ]  # fmt: skip
    for a, b in pairs:
        assert type(a) is type(moved) and a.dtype == np.float32
        np.testing.assert_allclose(to_host(a), b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model(noise=0.0), "noise is 0.0"),
        (lambda: MixtureMeans(np.array([np.nan]), np.array([0.5, 0.5])), "x is not"),
        (lambda: MixtureMeans(np.zeros((2, 2)), np.array([0.5, 0.5])), "x is not"),
        (lambda: MixtureMeans(np.zeros(2), np.array([0.5, 0.6])), "weights is"),
        (lambda: MixtureMeans(np.zeros(2), np.array([1.5, -0.5])), "weights is"),
        (lambda: MixtureMeans(np.zeros(2), np.ones(3) / 3).grid(), "K = 3"),
        (lambda: model().mean_field(np.zeros(3)), r"means is float64 of shape \(3,\)"),
        (lambda: metropolis(log_target, np.zeros(2), 1.0, 3, np.random.default_rng(0)), "expected a start"),
        (lambda: metropolis(log_target, np.full((2, 2), np.nan), 1.0, 3, np.random.default_rng(0)), "finite"),
        (lambda: metropolis(log_target, np.zeros((2, 2)), 1.0, 0, np.random.default_rng(0)), "steps is 0"),
        (lambda: hmc(log_target, np.zeros((2, 2)), 1.0, 0, 3, np.random.default_rng(0)), "leaps is 0"),
        (lambda: hmc(log_target, np.zeros((2, 2)), 1.0, 1, 3, None), "rng is None"),
        (lambda: effective_sample_size(np.zeros((3, 2))), "T ≥ 4"),
        (lambda: model(spread=np.inf), "spread inf"),
        (lambda: MixtureMeans(np.zeros(2), [0.5, 0.5]), "weights is"),
        (lambda: model().grid(size=0), "size is 0"),
        (lambda: model().grid(1.0, -1.0), "expected low < high"),
        (lambda: model().mean_field([0.0, 1.0]), "means is list"),
        (lambda: model().mean_field(np.array([0.0, np.nan])), "expected finite floats"),
        (lambda: model().mean_field(np.zeros(2), iterations=0), "iterations is 0"),
        *(
            (lambda chain=chain, step=step: chain(step), f"step is {step}")
            for step in (0, -1.0, np.nan, np.inf)
            for chain in (
                lambda step: metropolis(log_target, np.zeros((2, 2)), step, 3, np.random.default_rng(0)),
                lambda step: hmc(log_target, np.zeros((2, 2)), step, 2, 3, np.random.default_rng(0)),
            )
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
