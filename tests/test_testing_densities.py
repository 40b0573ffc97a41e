"""The checks of densities, samplers and divergences accept what is right and reject named mistakes."""

import math

import numpy as np
import pytest
from scipy import stats

from minigen.testing import (
    FAMILIES,
    check_density_normalises,
    check_divergence,
    check_kl_closed_form,
    check_sampler_matches,
    check_score,
)
from minigen.testing.quadrature import integrate
from tests.rejections import rejects

INF, LOG_2PI = np.inf, math.log(2 * math.pi)
RNG = np.random.default_rng(0)


def test_quadrature_states_its_error():
    kinds = {
        "far, narrow peak": (stats.norm(3, 0.01), (-INF, INF)), "jumps": (stats.uniform(0.3, 0.1), (-3, 3)),
        "cauchy": (stats.cauchy(), (-INF, INF)), "kink": (stats.laplace(0.3, 2), (-INF, INF)),
        "singular ends": (stats.beta(0.5, 0.5), (0, 1)), "half-line": (stats.gamma(0.4), (0, INF)),
        "to the left": (stats.gumbel_l(), (-INF, 40)),
    }  # fmt: skip
    for dist, support in kinds.values():
        value, error = integrate(lambda x, dist=dist: dist.pdf(x[:, 0]), [support])
        assert abs(value - 1) <= error < 1e-6
    value, error = integrate(lambda x: np.exp(-np.sum(x * x, -1)), [(-INF, INF), (0, INF)], 1e-6)
    assert abs(value - math.pi / 2) <= error < 1e-5
    value, error = integrate(lambda x: np.stack([x[:, 0], x[:, 1] ** 2, 0 * x[:, 2] + 1], -1), [(0, 1), (0, 2), (0, 3)])
    np.testing.assert_allclose(value, [3, 8, 6], rtol=1e-7)
    with pytest.raises(ValueError, match="only reached"):
        integrate(lambda x: np.sin(1e7 * x[:, 0]) ** 2, [(0, 1)])
    with pytest.raises(ValueError, match="4 dimensions"):
        integrate(lambda x: x[:, 0], [(0, 1)] * 4)


def gaussian(dim, scale=1.0, constant=None):
    """log N(0, scale² I), with the constant counted `constant` times instead of dim times."""
    count = dim if constant is None else constant
    return lambda x: -0.5 * np.sum(np.reshape(x, (len(x), -1)) ** 2, -1) / scale**2 - count * (0.5 * LOG_2PI + math.log(scale))


DENSITIES = {
    "normal": (gaussian(1), (-INF, INF), None),
    "far": (lambda x: stats.norm.logpdf(x, 30, 0.1), (-INF, INF), None),
    "half-line": (stats.expon.logpdf, (-1, INF), None),
    "singular": (stats.beta(0.5, 0.5).logpdf, (0, 1), None),
    "two dimensions": (gaussian(2), [(-INF, INF)] * 2, None),
    "three dimensions": (gaussian(3), [(-8, 8)] * 3, None),
    "five dimensions": (gaussian(5), [(-INF, INF)] * 5, None),
    "a box of five": (lambda x: np.zeros(len(x)), [(0, 1)] * 5, None),
    "counts": (stats.poisson(3).logpmf, np.arange(60.0), None),
    "pairs of bits": (lambda x: np.full(len(x), -math.log(4)), np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), None),
    "no constant": (lambda x: -0.5 * x * x, (-INF, INF), "integrates to 1"),
    "the constant counted once for two": (gaussian(2, constant=1), [(-INF, INF)] * 2, "integrates to 1"),
    "the constant counted once for five": (gaussian(5, constant=1), [(-INF, INF)] * 5, "integrates to 1"),
    "a hundredth too much in five": (lambda x: gaussian(5)(x) + 0.1, [(-INF, INF)] * 5, "integrates to 1"),
    "the log of the scale is missing": (lambda x: stats.norm.logpdf(x, 0, 2) + math.log(2), (-INF, INF), "integrates to 1"),
    "a hundred thousandth too much": (lambda x: gaussian(1)(x) + 1e-5, (-INF, INF), "integrates to 1"),
    "a jump, and a hundred thousandth too much": (lambda x: np.where(np.abs(x - 0.3) < 0.05, math.log(10) + 1e-5, -INF), (-3, 3), "to 1"),
    "mass below 0": (lambda x: -np.abs(x), (-INF, INF), "integrates to 1"),
    "a category is missing": (stats.poisson(3).logpmf, np.arange(1.0, 60), "integrates to 1"),
    "NaN": (lambda x: np.where(x > 1, np.nan, gaussian(1)(x)), (-INF, INF), "never NaN"),
    "an infinite density": (lambda x: np.where(np.abs(x) < 0.01, INF, gaussian(1)(x)), (-INF, INF), "below"),
    "not reduced": (lambda x: -0.5 * x * x, [(-INF, INF)] * 2, r"log_prob returns shape"),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_check_density_normalises(name):
    log_prob, support, message = DENSITIES[name]
    if message is None:
        check_density_normalises(log_prob, support)
    else:
        rejects(message, check_density_normalises, log_prob, support)


def test_check_density_normalises_far_from_the_origin_needs_a_sample():
    log_prob = lambda x: gaussian(4)(x - 30)
    with pytest.raises(ValueError, match="give `sample`"):
        check_density_normalises(lambda x: gaussian(4)(10 * (x - 3)) + 4 * math.log(10), [(-INF, INF)] * 4)
    sample = lambda n, rng: 30 + rng.standard_normal((n, 4))
    check_density_normalises(log_prob, [(-INF, INF)] * 4, sample=sample)
    rejects("integrates to 1", check_density_normalises, lambda x: log_prob(x) + 0.05, [(-INF, INF)] * 4, sample=sample)
    assert "(2π)^(1/2)" in rejects("integrates", check_density_normalises, lambda x: -0.5 * x * x, (-INF, INF)).hint


def changes_its_input(x):
    x -= 1
    return gaussian(1)(x)


def test_checks_see_a_changed_input():
    rejects("leaves its input", check_density_normalises, changes_its_input, (-INF, INF))
    rejects("leaves its input", check_score, lambda x: -x, changes_its_input, np.ones(3))


STANDARD = lambda n, rng: rng.standard_normal(n)
LINE = {"log_prob": gaussian(1), "support": (-INF, INF)}
PLANE = {"log_prob": gaussian(2), "support": [(-INF, INF)] * 2}
FIVE = {"log_prob": gaussian(5), "support": [(-INF, INF)] * 5}
CDF = {"cdf": stats.norm.cdf}
COUNTS = {"log_prob": stats.poisson(3).logpmf, "support": np.arange(60.0)}
BITS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
FIXED = np.random.default_rng(5)
SAMPLERS = {
    "normal": (STANDARD, LINE, None),
    "normal by cdf": (STANDARD, CDF, None),
    "0 and 1 are probabilities": (lambda n, rng: np.concatenate([[0, 1], rng.random(n - 2)]), {"cdf": lambda x: x}, None),
    "plane": (lambda n, rng: rng.standard_normal((n, 2)), PLANE, None),
    "five": (lambda n, rng: rng.standard_normal((n, 5)), FIVE, None),
    "counts": (lambda n, rng: rng.poisson(3, n), COUNTS, None),
    "bits": (lambda n, rng: rng.integers(0, 2, (n, 2)), {"log_prob": lambda x: np.full(4, -math.log(4)), "support": BITS}, None),
    "scale 2 % off": (lambda n, rng: 1.02 * rng.standard_normal(n), LINE, "follow the density"),
    "scale 2 % off, by cdf": (lambda n, rng: 1.02 * rng.standard_normal(n), CDF, "follow the density"),
    "shifted": (lambda n, rng: rng.standard_normal(n) + 0.02, LINE, "follow the density"),
    "another law of the same moments": (lambda n, rng: rng.uniform(-(3**0.5), 3**0.5, n), LINE, "follow the density"),
    "Laplace for normal": (lambda n, rng: rng.laplace(0, 0.5**0.5, n), CDF, "follow the density"),
    "one noise for both coordinates": (lambda n, rng: np.repeat(rng.standard_normal((n, 1)), 2, 1), PLANE, "follow the density"),
    "correlated": (lambda n, rng: rng.multivariate_normal([0, 0], [[1, 0.1], [0.1, 1]], n), PLANE, "follow the density"),
    "one noise for all draws": (lambda n, rng: np.tile(rng.standard_normal((1, 2)), (n, 1)), PLANE, "draws differ"),
    "scale 5 % off in five": (lambda n, rng: 1.05 * rng.standard_normal((n, 5)), FIVE, "follow the density"),
    "the global generator": (lambda n, rng: FIXED.standard_normal(n), LINE, "same seed"),
    "one draw short": (lambda n, rng: rng.standard_normal(n - 1), LINE, "gives n draws"),
    "infinite": (lambda n, rng: np.full(n, INF), LINE, "finite"),
    "rate 3 % off": (lambda n, rng: rng.poisson(3.1, n), COUNTS, "follow the probabilities"),
    "one too many": (lambda n, rng: rng.poisson(3, n) + 1, COUNTS, "follow the probabilities"),
    "outside of the support": (lambda n, rng: rng.poisson(3, n) + 0.5, COUNTS, "in the support"),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_check_sampler_matches(name):
    sample, against, message = SAMPLERS[name]
    if message is None:
        for seed in range(3):
            check_sampler_matches(sample, seed=seed, **against)
    else:
        rejects(message, check_sampler_matches, sample, **against)


def test_check_sampler_matches_wants_one_description():
    for wrong in ({}, {"log_prob": gaussian(1)}, CDF | LINE):
        with pytest.raises(ValueError, match="give cdf, or log_prob together with support"):
            check_sampler_matches(STANDARD, **wrong)
    rejects("between 0 and 1", check_sampler_matches, STANDARD, cdf=lambda x: x)


def test_the_false_alarm_rate_is_not_far_above_what_it_says():
    """At 10⁻⁶ none of 200 seeds raises; were the tests run at 1 %, two would be expected."""
    for seed in range(200):
        check_sampler_matches(STANDARD, seed=seed, n=500, **CDF)


def kl_normal(m, s, n, t):
    return math.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - 0.5


KL_MISTAKES = {
    "swapped": (lambda m, s, n, t: kl_normal(n, t, m, s), "swapped"),
    "halved": (lambda *a: 0.5 * kl_normal(*a), "½ too many"),
    "doubled": (lambda *a: 2 * kl_normal(*a), "½ is missing"),
    "sign": (lambda *a: -kl_normal(*a), "sign"),
    "bits": (lambda *a: kl_normal(*a) / math.log(2), "bits"),
    "variance for std": (lambda m, s, n, t: kl_normal(m, s**2, n, t**2), ""),
    "no −½": (lambda *a: kl_normal(*a) + 0.5, ""),
    "negative": (lambda *a: kl_normal(*a) - 3, "never negative"),
    "the means are forgotten": (lambda m, s, n, t: kl_normal(0, s, 0, t), ""),
}


@pytest.mark.parametrize("name", KL_MISTAKES)
def test_check_kl_rejects(name, cases):
    kl, hint = KL_MISTAKES[name]
    failure = rejects("closed-form KL equals its defining integral", check_kl_closed_form, kl, ref="vae.2")
    assert str(failure).startswith("[vae.2] FAILED: closed-form KL")
    assert hint in failure.hint or cases == "seeded"
    arguments = eval(failure.replay.removeprefix("kl"))
    assert kl(*arguments) == failure.got and kl_normal(*arguments) == pytest.approx(failure.want)


def test_the_smallest_counterexample_is_simple():
    failure = rejects("closed-form KL", check_kl_closed_form, KL_MISTAKES["variance for std"][0])
    assert failure.replay in {"kl(0.0, 1.0, 0.0, 2.0)", "kl(0.0, 2.0, 0.0, 1.0)"}
    assert failure.inputs.startswith("q = N(0.0, ")


LAPLACE_KL = lambda m, b, n, c: math.log(c / b) + (abs(m - n) + b * math.exp(-abs(m - n) / b)) / c - 1
BERNOULLI_KL = lambda p, q: p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
UNIFORM_KL = lambda a, b, c, d: math.log((d - c) / (b - a)) if c <= a and b <= d else math.inf


def test_check_kl_accepts(cases):
    check_kl_closed_form(kl_normal)
    check_kl_closed_form(lambda m, s: 0.5 * (m * m + s * s - 1) - math.log(s), p=FAMILIES["normal"].fixed(0.0, 1.0))
    check_kl_closed_form(LAPLACE_KL, q="laplace", p="laplace")
    check_kl_closed_form(lambda a, b: math.log(a / b) + b / a - 1, q="exponential", p="exponential")
    check_kl_closed_form(BERNOULLI_KL, q="bernoulli", p="bernoulli")
    check_kl_closed_form(lambda a, b: a * math.log(a / b) - a + b, q="poisson", p="poisson")
    check_kl_closed_form(UNIFORM_KL, q="uniform", p="uniform")
    normal_laplace = lambda m, s, n, b: (
        math.log(2 * b) - 0.5 * (LOG_2PI + 1) - math.log(s)
        + (s * math.sqrt(2 / math.pi) * math.exp(-0.5 * ((m - n) / s) ** 2) + (m - n) * math.erf((m - n) / s / 2**0.5)) / b
    )  # fmt: skip
    check_kl_closed_form(normal_laplace, p="laplace")
    rejects("closed-form KL", check_kl_closed_form, lambda a, b: math.log(b / a) + b / a - 1, q="exponential", p="exponential")
    rejects("closed-form KL", check_kl_closed_form, lambda p, q: p * math.log(p / q), q="bernoulli", p="bernoulli")
    rejects("closed-form KL", check_kl_closed_form, lambda a, b, c, d: abs(math.log((d - c) / (b - a))), q="uniform", p="uniform")


KL = lambda p, q: np.sum(p * np.log(p / q))
TV = lambda p, q: 0.5 * np.sum(np.abs(p - q))
DIVERGENCES = {
    "a KL is a divergence": (KL, {}, None),
    "total variation is a distance": (TV, {"symmetric": True, "triangle": True}, None),
    "a KL is not symmetric": (KL, {"symmetric": True}, "is symmetric"),
    "a KL has no triangle inequality": (KL, {"triangle": True}, "triangle inequality"),
    "negative": (lambda p, q: -KL(p, q), {}, "not negative"),
    "cross-entropy is not 0 at equality": (lambda p, q: -np.sum(p * np.log(q)), {}, "of equal arguments is 0"),
    "one coordinate only": (lambda p, q: (p[0] - q[0]) ** 2, {}, "of different arguments is positive"),
    "the square of a distance": (lambda p, q: np.sum((p - q) ** 2), {"symmetric": True, "triangle": True}, "triangle inequality"),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_check_divergence(name, cases):
    d, options, message = DIVERGENCES[name]
    if message is None:
        check_divergence(d, **options)
    else:
        rejects(message, check_divergence, d, **options)


def test_check_divergence_of_other_things():
    check_divergence(lambda x, y: abs(x - y), draw=lambda rng: float(rng.integers(9)), symmetric=True, triangle=True)
    check_divergence(lambda p, q: (p[0] - q[0]) ** 2, zero_iff_equal=False)
