"""Distributions: a dictionary of constructors, and invariants that every one of them must have.

The oracle of a density is its integral or sum, of a moment, an entropy or a KL its definition, computed from log_prob by
quadrature or enumeration; and log_prob itself is compared with SciPy's, written independently.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from minigen.autograd import grad
from minigen.backend import array_module, to_device, to_host
from minigen.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    DiscretizedLogistic,
    Exponential,
    Gamma,
    Independent,
    Laplace,
    Mixture,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
    cross_entropy,
    js_divergence,
    kl_divergence,
    wasserstein2_gaussian,
)
from minigen.testing import check_density_normalises, check_gradients, check_sampler_matches
from minigen.testing.quadrature import integrate
from minigen.tree import leaves, tree_map

A = lambda *values: np.array(values[0] if len(values) == 1 else values)
INF = np.inf
COV = A([2.0, 0.6], [0.6, 0.5])
COUNTS = np.arange(120.0)

# Name -> (the distribution, the support as the checks take it, SciPy's log density at x).
CASES = {
    "normal": (Normal(A(0.5), A(2.0)), (-INF, INF), stats.norm(0.5, 2.0).logpdf),
    "normal far out": (Normal(A(-30.0), A(0.25)), (-40, -20), stats.norm(-30, 0.25).logpdf),
    "laplace": (Laplace(A(-1.0), A(0.7)), (-INF, INF), stats.laplace(-1, 0.7).logpdf),
    "uniform": (Uniform(A(-1.0), A(3.0)), (-2, 5), stats.uniform(-1, 4).logpdf),
    "exponential": (Exponential(A(2.5)), (-1, INF), stats.expon(scale=0.4).logpdf),
    "gamma": (Gamma(A(3.0), A(2.0)), (-1, INF), stats.gamma(3, scale=0.5).logpdf),
    "gamma below 1": (Gamma(A(0.5), A(0.7)), (0, INF), stats.gamma(0.5, scale=1 / 0.7).logpdf),
    "beta": (Beta(A(2.0), A(3.5)), (-0.5, 1.5), stats.beta(2, 3.5).logpdf),
    "beta below 1": (Beta(A(0.5), A(0.8)), (0, 1), stats.beta(0.5, 0.8).logpdf),
    "bernoulli": (Bernoulli(A(-0.8)), A(0.0, 1.0), stats.bernoulli(special.expit(-0.8)).logpmf),
    "categorical": (Categorical(A(0.3, -1.0, 2.0, -INF)), A(0, 1, 2, 3), None),
    "poisson": (Poisson(A(3.3)), COUNTS, stats.poisson(3.3).logpmf),
    "poisson large": (Poisson(A(50.0)), np.arange(200.0), stats.poisson(50).logpmf),
    "discretized logistic": (DiscretizedLogistic(A(0.4), A(0.1), 17), np.arange(17) / 16, None),
    "multivariate normal": (MultivariateNormal(A(1.0, -2.0), COV), [(-12, 14), (-10, 6)], stats.multivariate_normal([1, -2], COV).logpdf),
    "independent": (Independent(Laplace(A(0.0, 1.0), A(0.5, 0.5))), [(-8, 8), (-7, 9)], None),
    "mixture": (Mixture(A(0.0, 1.0, -0.5), Normal(A(-3.0, 0.0, 4.0), A(0.5, 1.0, 0.3))), (-INF, INF), None),
    "mixture of counts": (Mixture(A(0.0, 1.0), Poisson(A(1.0, 9.0))), COUNTS, None),
    "mixture of vectors": (
        Mixture(A(0.0, 1.0), MultivariateNormal(A([2.0, 0.0], [-2.0, 1.0]), np.stack([COV, np.eye(2)]))), [(-14, 14), (-12, 12)], None
    ),
    "independent mixture": (
        Mixture(A(0.5, 0.0), Independent(Normal(A([2.0, 0.0], [-2.0, 1.0]), A([0.5, 1.0], [1.0, 2.0])))), [(-14, 14), (-12, 12)], None
    ),
}  # fmt: skip
each = pytest.mark.parametrize("name", CASES)
SCALARS = [name for name, (d, *_) in CASES.items() if d.event_ndim == 0]
CONTINUOUS = [name for name in SCALARS if not isinstance(CASES[name][1], np.ndarray)]
DIFFERENTIABLE_SAMPLES = ["normal", "laplace", "uniform", "exponential", "multivariate normal", "independent"]


def expect(name, f):
    """∫ or Σ of f(x) p(x) over the support, from log_prob."""
    dist, support, _ = CASES[name]
    weighted = lambda x: f(x) * np.exp(dist.log_prob(x))[:, None]
    if isinstance(support, np.ndarray):
        return weighted(support).sum(0)
    if dist.event_ndim:
        return integrate(weighted, support, 1e-6)[0]
    return integrate(lambda x: weighted(x[:, 0]), [support], 1e-8)[0]


@each
def test_the_density_integrates_to_one(name):
    dist, support, _ = CASES[name]
    check_density_normalises(dist.log_prob, support, tolerance=1e-6 if dist.event_ndim == 0 else 1e-4)


@each
def test_samples_follow_the_density(name):
    dist, support, _ = CASES[name]
    check_sampler_matches(dist.sample, dist.log_prob, support=support, n=60_000)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[2] is not None])
def test_the_density_is_scipys(name):
    dist, _, reference = CASES[name]
    x = dist.sample(200, np.random.default_rng(0))
    np.testing.assert_allclose(dist.log_prob(x), reference(x), rtol=1e-10, atol=1e-10)


@each
def test_mean_and_variance_are_those_of_the_density(name):
    dist = CASES[name][0]
    column = lambda x: x.reshape(len(x), -1)
    mean = expect(name, column)
    var = expect(name, lambda x: (column(x) - mean) ** 2)
    if not isinstance(dist, DiscretizedLogistic):  # whose `mean` is the location before rounding
        np.testing.assert_allclose(np.ravel(dist.mean), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.ravel(dist.var), var, rtol=1e-5, atol=1e-5)


@each
def test_entropy_is_minus_the_mean_of_log_prob(name):
    dist = CASES[name][0]
    if isinstance(dist, Mixture):
        with pytest.raises(NotImplementedError, match="no closed form"):
            dist.entropy()
        return
    surprise = expect(name, lambda x: -np.where(dist.log_prob(x) > -INF, dist.log_prob(x), 0)[:, None])
    np.testing.assert_allclose(dist.entropy(), float(surprise[0] if np.ndim(surprise) else surprise), rtol=1e-5, atol=1e-5)


@each
def test_a_batch_is_its_members_one_by_one(name):
    """Parameters of shape (3, 1, …) and (1, 2, …) broadcast, and each member is the distribution of its own parameters."""
    dist = CASES[name][0]
    raised = lambda a, shape: np.broadcast_to(a, shape + a.shape) * np.linspace(1, 1.2, math.prod(shape)).reshape(*shape, *[1] * a.ndim)
    first = itertools.count()
    batched = tree_map(lambda a: raised(a, [(3, 1), (1, 2)][next(first) % 2]) if len(leaves(dist)) > 1 else raised(a, (3, 2)), dist)
    x = dist.sample(5, np.random.default_rng(1))
    x = x.reshape(5, 1, 1, *x.shape[1:])
    got = batched.log_prob(x)
    draws = batched.sample(7, np.random.default_rng(2))
    assert got.shape == (5, 3, 2) and draws.shape == (7, 3, 2, *x.shape[3:])
    if not isinstance(dist, Mixture):
        assert batched.entropy().shape == (3, 2)
    full = [np.broadcast_to(a, (3, 2, *a.shape[2:])) for a in leaves(batched)]
    for i, j in np.ndindex(3, 2):
        parts = iter(full)
        member = tree_map(lambda _, parts=parts, i=i, j=j: next(parts)[i, j], dist)
        np.testing.assert_allclose(got[:, i, j], member.log_prob(x[:, 0, 0]), rtol=1e-12)
        if not isinstance(dist, Mixture):
            np.testing.assert_allclose(batched.entropy()[i, j], member.entropy(), rtol=1e-12)
        if not isinstance(dist, Categorical | DiscretizedLogistic):
            np.testing.assert_allclose(np.broadcast_to(batched.mean, draws.shape[1:])[i, j], member.mean, rtol=1e-12)
        np.testing.assert_allclose(np.broadcast_to(batched.var, draws.shape[1:])[i, j], member.var, rtol=1e-12)


@each
def test_float32_stays_float32_on_every_library(name, device):
    single = to_device(tree_map(lambda a: a.astype(np.float32), CASES[name][0]), device)
    x = single.sample(4, np.random.default_rng(0))
    assert x.dtype == (np.int64 if isinstance(single, Categorical) else np.float32)
    parts = [x, single.log_prob(x), single.mean, single.var] + ([] if isinstance(single, Mixture) else [single.entropy()])
    for part in parts:
        assert array_module(part) is array_module(leaves(single)[0])
    for part in parts[1:]:
        assert part.dtype == np.float32
    exact = CASES[name][0].log_prob(to_host(x) if isinstance(single, Categorical) else to_host(x).astype(np.float64))
    if not isinstance(single, Mixture) or single.event_ndim == 0:
        np.testing.assert_allclose(to_host(single.log_prob(x)), exact, rtol=2e-4, atol=2e-4)


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


def finite(dist):
    """The distribution without logits −∞, which cannot be moved."""
    return tree_map(lambda a: np.where(np.isinf(a), -3.0, a), dist)


@each
def test_gradients_of_log_prob_and_entropy(name):
    dist = finite(CASES[name][0])
    x = dist.sample(4, np.random.default_rng(3))
    if isinstance(dist, MultivariateNormal) or name == "mixture of vectors":
        return
    check_gradients(lambda d: d.log_prob(x), (dist,))
    if not isinstance(dist, Mixture):
        check_gradients(lambda d: d.entropy(), (dist,))
    if name in CONTINUOUS:
        check_gradients(dist.log_prob, (x,))


def test_gradients_of_the_multivariate_normal():
    """By a root of the covariance, because an entry of a symmetric matrix does not move alone."""
    x, root = np.random.default_rng(0).standard_normal((3, 2)), A([1.0, 0.3], [-0.5, 0.8])
    make = lambda mean, root: MultivariateNormal(mean, root @ np.swapaxes(root, -1, -2))
    check_gradients(lambda x, mean, root: make(mean, root).log_prob(x), (x, A(0.3, -1.0), root))
    check_gradients(lambda mean, root: make(mean, root).entropy(), (A(0.3, -1.0), root))
    two = A(0.3, -1.0), root, A(1.0, 2.0), A([2.0, 0.1], [0.1, 1.0])
    check_gradients(lambda a, r, b, s: kl_divergence(make(a, r), make(b, s)), two)
    check_gradients(lambda a, r, b, s: wasserstein2_gaussian(make(a, r), make(b, s)), two)


@pytest.mark.parametrize("name", DIFFERENTIABLE_SAMPLES)
def test_reparameterised_samples_have_gradients(name):
    dist = CASES[name][0]
    if isinstance(dist, MultivariateNormal):
        root = np.linalg.cholesky(dist.cov)
        draw = lambda mean, root: MultivariateNormal(mean, root @ root.T).sample(3, np.random.default_rng(0))
        check_gradients(draw, (dist.mean, root + 0.1))
    else:
        check_gradients(lambda d: d.sample(3, np.random.default_rng(0)), (dist,))


@pytest.mark.parametrize("name", ["gamma", "beta", "bernoulli", "categorical", "poisson", "discretized logistic", "mixture"])
def test_other_samples_are_constants(name):
    dist = finite(CASES[name][0])
    f = lambda d: np.sum(d.sample(3, np.random.default_rng(0))) * 1.0 + np.sum(leaves(d)[0])  # the second term has gradient 1
    assert np.all(leaves(grad(f)(dist))[0] == 1)


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
    assert dist.entropy() == pytest.approx(same.entropy()) and dist.var == pytest.approx(same.var)
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


# KL and cross-entropy against their definition: every pair with a closed form, over one space.
LINE = [
    Normal(A(0.3), A(0.7)), Normal(A(-1.0), A(1.5)), Laplace(A(0.5), A(1.2)), Laplace(A(-0.4), A(0.6)), Uniform(A(-1.0), A(2.0)),
    Uniform(A(-1.5), A(2.0)), Uniform(A(0.2), A(0.9)), Uniform(A(0.1), A(1.0)), Uniform(A(0.0), A(1.0)), Uniform(A(0.0), A(3.0)),
    Exponential(A(1.3)), Exponential(A(0.5)), Gamma(A(2.5), A(1.1)), Gamma(A(0.8), A(0.6)), Beta(A(2.0), A(3.0)), Beta(A(1.2), A(0.9)),
    Laplace(A(0.5), A(0.1)), Normal(A(2.0), A(0.3)), Laplace(A(2.0), A(1.0)),
]  # fmt: skip
WHOLE = [
    Bernoulli(A(0.4)), Bernoulli(A(-1.0)), Categorical(A(0.1, 0.5)), Categorical(A(0.1, 0.5, -0.7)), Categorical(A(1.0, -INF, 0.3)),
    Poisson(A(0.8)), Poisson(A(4.0)), DiscretizedLogistic(A(0.3), A(0.2), 5), DiscretizedLogistic(A(0.6), A(0.1), 5),
    DiscretizedLogistic(A(0.6), A(0.4), 2),
]  # fmt: skip
NONE = {("Gamma", "Laplace"), ("Beta", "Laplace"), ("Beta", "Poisson")}


def title(pair):
    return "‖".join(f"{type(d).__name__}{tuple(np.round(np.ravel(leaves(d)), 2).tolist())}" for d in pair)




def support(dist):
    """The support of a distribution on the line."""
    if isinstance(dist, Uniform):
        return dist.low.item(), dist.high.item()
    return {Normal: (-INF, INF), Laplace: (-INF, INF), Beta: (0, 1)}.get(type(dist), (0, INF))


def defined(p, q, f):
    """∫ p f(log p, log q), by enumeration or quadrature; ∞ where p has mass outside q."""
    listed, outside = any(p is d for d in WHOLE), []

    def integrand(x):
        x = x[:, 0] if x.ndim == 2 else x
        log_p, log_q = p.log_prob(x), q.log_prob(x)
        has_mass = np.exp(log_p) > 1e-30
        outside.append(np.any(has_mass & (log_q == -INF)))
        log_p, log_q = np.where(has_mass, log_p, -INF), np.where(has_mass & (log_q > -INF), log_q, 0)
        return np.where(has_mass, np.exp(log_p) * f(np.where(has_mass, log_p, 0), log_q), 0)

    values = np.union1d(np.arange(60.0), np.arange(5) / 4)
    value = np.sum(integrand(values)) if listed else integrate(integrand, [support(p)], 1e-7)[0]
    return INF if any(outside) else value


PRODUCTS = [pair for family in (LINE, WHOLE) for pair in itertools.product(family, family)]
PAIRS = [pair for pair in PRODUCTS if tuple(type(d).__name__ for d in pair) not in NONE]


@pytest.mark.parametrize("pair", PAIRS, ids=title)
def test_kl_and_cross_entropy_are_their_definitions(pair):
    p, q = pair
    assert kl_divergence(p, q) == pytest.approx(defined(p, q, lambda a, b: a - b), rel=1e-5, abs=1e-6)
    assert cross_entropy(p, q) == pytest.approx(defined(p, q, lambda a, b: -b), rel=1e-5, abs=1e-6)


def touching(p, q):
    """Whether an interval ends where the other support does, so that it cannot be moved."""
    return Uniform in (type(p), type(q)) and bool({*support(p)} & {*support(q)})


SMOOTH = [pair for pair in PAIRS if not touching(*pair) and np.all(np.isfinite(np.concatenate([np.ravel(leaves(d)) for d in pair])))]


@pytest.mark.parametrize("pair", [pair for pair in SMOOTH if np.all(np.isfinite(kl_divergence(*pair)))], ids=title)
def test_gradients_of_kl(pair):
    check_gradients(kl_divergence, pair, order=1)


@pytest.mark.parametrize("pair", [(CASES["gamma"][0], CASES["laplace"][0]), (CASES["mixture"][0], CASES["normal"][0])], ids=title)
def test_a_pair_without_closed_form_is_named(pair):
    names = " and ".join(type(d).__name__ for d in pair)
    for f in (kl_divergence, cross_entropy):
        with pytest.raises(TypeError, match=f"{f.__name__}: no closed form for {names}"):
            f(*pair)


def test_kl_of_vectors():
    p, q = MultivariateNormal(A(1.0, -2.0), COV), MultivariateNormal(A(0.5, -1.0), A([1.0, -0.3], [-0.3, 2.0]))
    box = [(-10, 12), (-8, 4)]
    integrand = lambda x: np.exp(p.log_prob(x)) * (p.log_prob(x) - q.log_prob(x))
    assert kl_divergence(p, q) == pytest.approx(integrate(integrand, box, 1e-6)[0], rel=1e-5)
    assert cross_entropy(p, q) == pytest.approx(kl_divergence(p, q) + p.entropy())
    batch = MultivariateNormal(np.stack([p.mean, q.mean]), np.stack([p.cov, q.cov]))
    np.testing.assert_allclose(kl_divergence(batch, q), [kl_divergence(p, q), 0], atol=1e-12)
    np.testing.assert_allclose(kl_divergence(q, batch), [kl_divergence(q, p), 0], atol=1e-12)
    a, b = Normal(A([1.0, 2.0], [3.0, 4.0]), A(0.5, 2.0)), Normal(A(0.0, 1.0), 1.5)
    np.testing.assert_allclose(kl_divergence(Independent(a), Independent(b)), kl_divergence(a, b).sum(-1))
    diagonal = lambda d: MultivariateNormal(d.mean, np.diag(np.broadcast_to(d.std, 2) ** 2))
    np.testing.assert_allclose(kl_divergence(Independent(a), Independent(b)), kl_divergence(diagonal(a), diagonal(b)))
    with pytest.raises(ValueError, match="Independent over 1 and over 2 axes"):
        kl_divergence(Independent(a), Independent(a, 2))


def test_kl_broadcasts():
    p, q = Categorical(np.log(A([0.5, 0.5], [0.1, 0.9], [0.3, 0.7]))), Bernoulli(A([0.0], [2.0]) + np.zeros((2, 3)))
    got = kl_divergence(p, q)
    assert got.shape == (2, 3) and kl_divergence(Normal(np.zeros((3, 1)), 1.0), Laplace(np.zeros(2), 1.0)).shape == (3, 2)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(got[i, j], kl_divergence(Categorical(p.logits[j]), Bernoulli(q.logits[i, j])))


def test_kl_keeps_its_digits_near_zero():
    step = 1e-5  # KL of N(δ, 1) from N(0, 1) is δ²/2
    assert kl_divergence(Normal(A(step), A(1.0)), Normal(A(0.0), A(1.0))) == pytest.approx(step**2 / 2, rel=1e-5)
    for d in LINE + WHOLE:
        assert abs(kl_divergence(d, d)) < 1e-12


def test_js_divergence():
    rng, n = np.random.default_rng(0), 100_000
    p, q = Normal(A(0.0), A(1.0)), Normal(A(1.0), A(2.0))
    mixture = lambda x: np.logaddexp(p.log_prob(x), q.log_prob(x)) - math.log(2)
    half = lambda d, x: 0.5 * np.exp(d.log_prob(x)) * (d.log_prob(x) - mixture(x))
    exact = integrate(lambda x: half(p, x[:, 0]) + half(q, x[:, 0]), [(-INF, INF)], 1e-9)[0]
    # Each draw's log ratio is at most log 2 and has a standard deviation below 1; 4.9 of them is a false alarm of 1e-6.
    assert js_divergence(p, q, n, rng) == pytest.approx(exact, abs=4.9 / math.sqrt(2 * n))
    assert js_divergence(q, p, n, rng) == pytest.approx(exact, abs=4.9 / math.sqrt(2 * n))
    assert js_divergence(p, p, 10, rng) == pytest.approx(0, abs=1e-15)
    assert js_divergence(Uniform(A(0.0), A(1.0)), Uniform(A(2.0), A(3.0)), 10, rng) == pytest.approx(math.log(2), abs=1e-15)
    assert js_divergence(Normal(np.zeros(3), 1.0), Normal(np.ones(3), 1.0), 10, rng).shape == (3,)


def test_wasserstein2_of_gaussians():
    from scipy.linalg import sqrtm

    p, q = MultivariateNormal(A(1.0, -2.0), COV), MultivariateNormal(A(0.5, -1.0), A([1.0, -0.3], [-0.3, 2.0]))
    root = sqrtm(p.cov)
    squared = np.sum((p.mean - q.mean) ** 2) + np.trace(p.cov + q.cov - 2 * np.real(sqrtm(root @ q.cov @ root)))
    assert wasserstein2_gaussian(p, q) == pytest.approx(math.sqrt(squared))
    assert wasserstein2_gaussian(q, p) == pytest.approx(math.sqrt(squared))
    assert wasserstein2_gaussian(p, p) == pytest.approx(0, abs=1e-7)
    # On the line W₂² is the integral of the squared distance of the quantiles.
    a, b = Normal(A(0.3), A(0.7)), Normal(A(-1.0), A(1.5))
    quantiles = lambda u: (stats.norm(0.3, 0.7).ppf(u[:, 0]) - stats.norm(-1, 1.5).ppf(u[:, 0])) ** 2
    assert wasserstein2_gaussian(a, b) == pytest.approx(math.sqrt(integrate(quantiles, [(0, 1)], 1e-8)[0]), rel=1e-6)
    batch = MultivariateNormal(np.stack([p.mean, q.mean]), np.stack([p.cov, q.cov]))
    np.testing.assert_allclose(wasserstein2_gaussian(batch, q), [math.sqrt(squared), 0], atol=1e-7)
    with pytest.raises(TypeError, match="got Normal and MultivariateNormal"):
        wasserstein2_gaussian(a, p)


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
