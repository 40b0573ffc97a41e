"""KL, cross-entropy, Jensen–Shannon and Wasserstein against their definitions: quadrature, enumeration, quantiles."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

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
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
    cross_entropy,
    js_divergence,
    kl_divergence,
    wasserstein2_gaussian,
)
from minigen.testing import check_gradients
from minigen.testing.quadrature import integrate
from minigen.tree import leaves, tree_map
from tests.test_distributions import CASES, COV, INF, A

# One-dimensional and whole-numbered distributions, taken in all pairs.
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


@pytest.mark.parametrize("pair", PAIRS, ids=title)
def test_a_batch_on_either_side_gives_a_batch(pair):
    p, q = pair
    twice_p, twice_q = (tree_map(lambda w: np.stack([w, w]), d) for d in pair)
    for divergence in (kl_divergence, cross_entropy):
        for batch in ((twice_p, q), (p, twice_q), (twice_p, twice_q)):
            found = divergence(*batch)
            assert found.shape == (2,)
            np.testing.assert_allclose(found, divergence(p, q), rtol=1e-12)


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
    one, other = Dirichlet(A(1.5, 1.0, 2.0)), Dirichlet(A(0.7, 3.0, 1.2))
    batch = Dirichlet(np.stack([one.alpha, other.alpha]))
    np.testing.assert_allclose(kl_divergence(batch, other), [kl_divergence(one, other), 0], atol=1e-12)
    np.testing.assert_allclose(cross_entropy(other, batch), [cross_entropy(other, one), other.entropy()])
    a, b = Normal(A([1.0, 2.0], [3.0, 4.0]), A(0.5, 2.0)), Normal(A(0.0, 1.0), 1.5)
    np.testing.assert_allclose(kl_divergence(Independent(a), Independent(b)), kl_divergence(a, b).sum(-1))
    diagonal = lambda d: MultivariateNormal(d.mean, np.diag(np.broadcast_to(d.std, 2) ** 2))
    np.testing.assert_allclose(kl_divergence(Independent(a), Independent(b)), kl_divergence(diagonal(a), diagonal(b)))
    with pytest.raises(ValueError, match="Independent over 1 and over 2 axes"):
        kl_divergence(Independent(a), Independent(a, 2))


def test_kl_of_plain_numbers_is_one_number():
    for p, q in itertools.product((Bernoulli(0.3), Categorical(A(0.2, 0.8))), (Bernoulli(0.6), Poisson(2.0))):
        assert kl_divergence(p, q).shape == ()


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
