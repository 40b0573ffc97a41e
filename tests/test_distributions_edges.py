"""Distributions at the ends of their supports and beyond, in the tails, with plain numbers, and with parameters that are wrong."""

import math

import numpy as np
import pytest
from scipy import special, stats

from minigen.autograd import grad
from minigen.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    DiscretizedLogistic,
    Exponential,
    Gamma,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
    kl_divergence,
    wasserstein2_gaussian,
)
from minigen.testing import check_gradients, check_sampler_matches
from minigen.testing.quadrature import integrate
from minigen.tree import leaves
from tests.test_distributions import CASES, INF, A, finite

PLAIN = [
    Normal(0.5, 2.0), Laplace(0.5, 2.0), Uniform(-9.0, 9.0), Exponential(2.0), Gamma(3.0, 2.0), Beta(2.0, 3.0), Bernoulli(0.3),
    Poisson(2.0), DiscretizedLogistic(0.5, 0.2, 2),
]  # fmt: skip


@pytest.mark.parametrize("dist", PLAIN, ids=lambda d: type(d).__name__)
def test_python_numbers_do_not_promote_float32(dist):
    x = np.array([0.0, 1.0], dtype=np.float32)
    with np.errstate(divide="ignore"):
        assert dist.log_prob(x).dtype == np.float32
    arrays = type(dist)(*(np.array(v) if isinstance(v, float) else v for v in vars(dist).values()))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(dist.log_prob(x), arrays.log_prob(x.astype(float)), rtol=1e-5)
    one = np.ones(2, dtype=np.float32)
    single = type(dist)(*(one * np.float32(v) if isinstance(v, float) else v for v in vars(dist).values()))
    assert kl_divergence(single, dist).dtype == np.float32
    np.testing.assert_allclose(kl_divergence(single, dist), 0, atol=1e-5)
    assert dist.sample(3, np.random.default_rng(0)).shape == (3,)


# Outside of the support, in the tails, at the ends.
OUTSIDE = {
    "uniform": [-1.1, 3.1, INF, -INF], "exponential": [-0.1, -INF], "gamma": [-0.1, -INF], "beta": [-0.1, 1.1, INF],
    "bernoulli": [0.5, 2, -1, INF], "categorical": [-1, 4, 0.5], "poisson": [-1, 0.5, -INF],
    "discretized logistic": [0.03, -1 / 16, 17 / 16],
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_of_the_support_log_prob_is_minus_infinity(name):
    dist = CASES[name][0]
    x = np.array([*OUTSIDE[name]], dtype=float)
    assert np.all(dist.log_prob(x) == -INF)
    for value in x:
        assert dist.log_prob(value) == -INF
    gradient = grad(lambda d: np.sum(np.exp(d.log_prob(x))))(finite(dist))
    assert all(np.all(g == 0) for g in leaves(gradient))


ENDS = [
    (Uniform(A(-1.0), A(3.0)), -1.0, 0.25), (Uniform(A(-1.0), A(3.0)), 3.0, 0.25), (Exponential(A(2.5)), 0.0, 2.5),
    (Gamma(A(1.0), A(2.0)), 0.0, 2.0), (Gamma(A(2.0), A(2.0)), 0.0, 0.0), (Gamma(A(0.5), A(2.0)), 0.0, INF),
    (Beta(A(1.0), A(3.0)), 0.0, 3.0), (Beta(A(3.0), A(1.0)), 1.0, 3.0),
    (Beta(A(0.5), A(1.0)), 0.0, INF), (DiscretizedLogistic(A(0.0), A(1.0), 2), 0.0, special.expit(0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("dist", "x", "density"), ENDS)
def test_ends_belong_to_the_support(dist, x, density):
    assert np.exp(dist.log_prob(A(x))) == pytest.approx(density)
    assert np.exp(dist.log_prob(x)) == pytest.approx(density)


def test_a_vector_of_one_number_is_a_normal():
    dist = MultivariateNormal(A([0.5]) + np.zeros(1), np.full((1, 1), 4.0))
    x = dist.sample(5, np.random.default_rng(0))
    assert x.shape == (5, 1)
    same, other = Normal(0.5, 2.0), MultivariateNormal(np.zeros(1), np.ones((1, 1)))
    np.testing.assert_allclose(dist.log_prob(x), same.log_prob(x[:, 0]))
    assert dist.entropy() == pytest.approx(same.entropy()) and dist.var.item() == pytest.approx(same.var)
    assert kl_divergence(dist, other) == pytest.approx(kl_divergence(same, Normal(0.0, 1.0)))
    assert wasserstein2_gaussian(dist, other) == pytest.approx(wasserstein2_gaussian(same, Normal(0.0, 1.0)))


def test_off_the_simplex():
    dist = Dirichlet(A(1.5, 1.0, 2.0))
    assert np.all(dist.log_prob(A([0.5, 0.6, -0.1], [0.5, 0.5, 0.5], [0.2, 0.2, 0.2])) == -INF)
    assert np.isfinite(dist.log_prob(A(0.5, 0.0, 0.5)))  # α₂ = 1: the edge belongs to it


DIRICHLET = Dirichlet(A(1.5, 0.8, 2.0))


def on_simplex(f):
    """∫ f(x) p(x) over the simplex of three, by its first two coordinates."""

    def integrand(u):
        x = np.stack([u[:, 0], (1 - u[:, 0]) * u[:, 1], (1 - u[:, 0]) * (1 - u[:, 1])], axis=-1)
        return f(x) * (np.exp(DIRICHLET.log_prob(x)) * (1 - u[:, 0]))[:, None]

    return integrate(integrand, [(0, 1), (0, 1)], 1e-7)[0]


def test_dirichlet():
    d = DIRICHLET
    assert on_simplex(lambda x: x[:, :1] * 0 + 1) == pytest.approx(1, abs=1e-5)
    mean = on_simplex(lambda x: x)
    np.testing.assert_allclose(d.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(d.var, on_simplex(lambda x: (x - mean) ** 2), rtol=1e-4)
    assert d.entropy() == pytest.approx(on_simplex(lambda x: -d.log_prob(x)[:, None]), rel=1e-5)
    q = Dirichlet(A(2.0, 1.0, 0.7))
    assert kl_divergence(d, q) == pytest.approx(on_simplex(lambda x: (d.log_prob(x) - q.log_prob(x))[:, None]), rel=1e-4)
    x = d.sample(6, np.random.default_rng(0))
    np.testing.assert_allclose(d.log_prob(x), [stats.dirichlet([1.5, 0.8, 2.0]).logpdf(row) for row in x], rtol=1e-9)
    check_gradients(lambda d: d.log_prob(x), (d,))
    check_gradients(lambda p, q: (p.entropy(), kl_divergence(p, q)), (d, q))
    for k, (a, b) in enumerate([(1.5, 2.8), (0.8, 3.5), (2.0, 2.3)]):  # each coordinate is a Beta variable
        check_sampler_matches(lambda n, rng, k=k: d.sample(n, rng)[:, k], cdf=stats.beta(a, b).cdf, n=50_000)
    sums = lambda n, rng: d.sample(n, rng)[:, :2].sum(-1)
    check_sampler_matches(sums, cdf=stats.beta(2.3, 2.0).cdf, n=50_000)
    batch = Dirichlet(np.stack([d.alpha, q.alpha]))
    assert batch.sample(5, np.random.default_rng(0)).shape == (5, 2, 3) and batch.entropy().shape == (2,)
    np.testing.assert_allclose(batch.log_prob(x[:, None])[:, 1], q.log_prob(x))


def test_tiny_shapes_sample_without_nan():
    rng = np.random.default_rng(0)
    for dist in (Beta(A(1e-4), A(1e-4)), Dirichlet(np.full(3, 1e-4)), Gamma(A(1e-4), A(1.0))):
        x = dist.sample(100, rng)
        assert np.all(np.isfinite(x)) and np.all(x >= 0)


def test_tails_are_stable():
    assert Bernoulli(A(-800.0)).log_prob(1) == -800 and Bernoulli(A(800.0)).log_prob(1) == 0
    assert Bernoulli(A(40.0)).entropy() == pytest.approx(41 * math.exp(-40), rel=1e-12)
    assert Categorical(A(0.0, 1000.0)).log_prob(np.array(0)) == -1000
    assert DiscretizedLogistic(A(0.0), A(1e-3), 256).log_prob(A(1.0)) == pytest.approx(-(255 - 0.5) / 255 / 1e-3, rel=1e-9)
    assert Normal(A(0.0), A(1.0)).log_prob(A(1e8)) == pytest.approx(-5e15)
    assert Poisson(A(1e-300)).log_prob(A(1.0)) == pytest.approx(math.log(1e-300))
    for x in (DiscretizedLogistic(A(0.3), A(1e-4), 17), DiscretizedLogistic(A(9.0), A(100.0), 17)):
        assert np.sum(np.exp(x.log_prob(np.arange(17) / 16))) == pytest.approx(1, abs=1e-14)


def test_a_number_that_is_not_one_stays_one():
    for dist in (CASES[name][0] for name in ("normal", "laplace", "uniform", "exponential", "gamma", "beta")):
        assert np.isnan(dist.log_prob(np.array([np.nan]))[0])


def test_integers_and_booleans_are_data_too():
    for dist in (Bernoulli(np.float32([0.3])), Poisson(np.float32([0.3])), DiscretizedLogistic(np.float32([0.3]), np.float32([0.3]), 2)):
        want = dist.log_prob(np.float32([0, 1]))
        for data in (np.array([0, 1]), np.array([False, True])):
            got = dist.log_prob(data)
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Normal(A(0.0), A(0.0)), ValueError, "Normal: std must be positive"),
        (lambda: Normal(A(0.0), A(INF)), ValueError, "Normal: std must be positive and finite"),
        (lambda: Normal(A(np.nan), A(1.0)), ValueError, "Normal: mean must be finite"),
        (lambda: Normal(np.array([0, 1]), 1.0), TypeError, "Normal: mean is int64 array; expected a number or a floating-point array"),
        (lambda: Normal([0.0], 1.0), TypeError, "Normal: mean is list"),
        (lambda: Normal(np.zeros(2), np.ones(3)), ValueError, "mean and std have shapes .* do not broadcast"),
        (lambda: Laplace(0.0, -1.0), ValueError, "Laplace: scale must be positive"),
        (lambda: Laplace(np.zeros(2), np.ones(3)), ValueError, "do not broadcast"),
        (lambda: Uniform(1.0, 1.0), ValueError, "Uniform: high − low must be positive"),
        (lambda: Uniform(0.0, INF), ValueError, "Uniform: high must be finite"),
        (lambda: Exponential(0.0), ValueError, "Exponential: rate must be positive"),
        (lambda: Gamma(0.0, 1.0), ValueError, "Gamma: shape must be positive"),
        (lambda: Gamma(1.0, 0.0), ValueError, "Gamma: rate must be positive"),
        (lambda: Beta(1.0, 0.0), ValueError, "Beta: b must be positive"),
        (lambda: Bernoulli(INF), ValueError, "Bernoulli: logits must be finite"),
        (lambda: Categorical(A(INF, 0.0)), ValueError, "Categorical: logits must be below"),
        (lambda: Categorical(0.5), ValueError, "Categorical: logits is a number"),
        (lambda: Dirichlet(A(1.0, 0.0)), ValueError, "Dirichlet: alpha must be positive"),
        (lambda: Dirichlet(1.0), ValueError, "Dirichlet: alpha is a number"),
        (lambda: Poisson(-1.0), ValueError, "Poisson: rate must be positive"),
        (lambda: DiscretizedLogistic(0.0, 0.0, 3), ValueError, "scale must be positive"),
        (lambda: DiscretizedLogistic(0.0, 1.0, 1), ValueError, "levels is 1"),
        (lambda: DiscretizedLogistic(0.0, 1.0, 2.5), ValueError, "levels is 2.5"),
        (lambda: MultivariateNormal(np.zeros(2), np.eye(3)), ValueError, r"mean has shape \(2,\) and cov \(3, 3\)"),
        (lambda: MultivariateNormal(np.zeros(2), -np.eye(2)).entropy(), ValueError, "cov is not positive definite"),
        (lambda: MultivariateNormal(np.zeros(2), A([1.0, 0.5], [0.0, 1.0])), ValueError, "cov is not symmetric"),
        (lambda: Mixture(0.0, Normal(np.zeros(2), 1.0)), ValueError, "logits is a number"),
    ],
)
def test_bad_parameters_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_gradients_and_trees_do_not_meet_the_checks():
    """A gradient is a tree of the same class whose std may be negative; it is made without complaint."""
    gradient = grad(lambda d: np.sum(d.log_prob(A(0.0, 1.0))))(Normal(A(0.0, 0.5), A(1.0, 2.0)))
    assert isinstance(gradient, Normal) and np.any(gradient.std < 0)
    scales = grad(lambda s: np.sum(Normal(A(0.0), s).entropy()))(A(1.0, 2.0))
    np.testing.assert_allclose(scales, [1.0, 0.5])
