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
