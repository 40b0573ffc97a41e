"""Right answers, differently written, and named mistakes, for the checks of densities, divergences and metrics. {check: {name: case}}"""

import math

import numpy as np
from scipy import stats
from scipy.special import betaln, digamma, gammaln

from minigen.testing import (
    FAMILIES,
    check_density_normalises,
    check_divergence,
    check_kl_closed_form,
    check_metric,
    check_sampler_matches,
)
from tests.rejections import right, wrong

INF, LOG_2PI = np.inf, math.log(2 * math.pi)


# ---- Densities ----
def gaussian(dim, scale=1.0, constant=None):
    """log N(0, scale² I), with the constant counted `constant` times instead of dim times."""
    count = dim if constant is None else constant
    return lambda x: -0.5 * np.sum(np.reshape(x, (len(x), -1)) ** 2, -1) / scale**2 - count * (0.5 * LOG_2PI + math.log(scale))


def changes_its_input(x):
    x -= 1
    return gaussian(1)(x)


FAR = {"sample": lambda n, rng: 30 + rng.standard_normal((n, 4))}
LINE, BITS = (-INF, INF), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
ONE, NARROW = "integrates to 1", np.log(10)
DENSITIES = {
    "normal": right(gaussian(1), LINE),
    "normal, by SciPy": right(stats.norm.logpdf, LINE),
    "far": right(lambda x: stats.norm.logpdf(x, 30, 0.1), LINE),
    "half-line": right(stats.expon.logpdf, (-1, INF)),
    "singular": right(stats.beta(0.5, 0.5).logpdf, (0, 1)),
    "two dimensions": right(gaussian(2), [LINE] * 2),
    "three dimensions": right(gaussian(3), [(-8, 8)] * 3),
    "five dimensions": right(gaussian(5), [LINE] * 5),
    "four dimensions, a quadrant": right(lambda x: gaussian(4)(x) + 4 * math.log(2), [(-INF, 0)] * 4),
    "four dimensions, far": right(lambda x: gaussian(4)(x - 30), [LINE] * 4, **FAR),
    "a box of five": right(lambda x: np.zeros(len(x)), [(0, 1)] * 5),
    "counts": right(stats.poisson(3).logpmf, np.arange(60.0)),
    "pairs of bits": right(lambda x: np.full(len(x), -math.log(4)), BITS),
    "no constant": wrong(ONE, lambda x: -0.5 * x * x, LINE, hint=r"\(2π\)\^\(1/2\)"),
    "the constant counted once for two": wrong(ONE, gaussian(2, constant=1), [LINE] * 2, hint=r"\(2π\)\^\(1/2\)"),
    "the constant counted once for five": wrong(ONE, gaussian(5, constant=1), [LINE] * 5),
    "a hundredth too much in five": wrong(ONE, lambda x: gaussian(5)(x) + 0.1, [LINE] * 5),
    "the log of the scale is missing": wrong(ONE, lambda x: stats.norm.logpdf(x, 0, 2) + math.log(2), LINE, hint="factor 2"),
    "a hundred thousandth too much": wrong(ONE, lambda x: gaussian(1)(x) + 1e-5, LINE),
    "a jump, and a little too much": wrong(ONE, lambda x: np.where(np.abs(x - 0.3) < 0.05, NARROW + 1e-5, -INF), (-3, 3)),
    "mass below 0": wrong(ONE, lambda x: -np.abs(x), LINE, hint="factor 2"),
    "a category is missing": wrong(ONE, stats.poisson(3).logpmf, np.arange(1.0, 60)),
    "NaN": wrong("never NaN", lambda x: np.where(x > 1, np.nan, gaussian(1)(x)), LINE),
    "an infinite density": wrong("below", lambda x: np.where(np.abs(x) < 0.01, INF, gaussian(1)(x)), LINE),
    "a little too much in four, far": wrong(ONE, lambda x: gaussian(4)(x - 30) + 0.05, [LINE] * 4, **FAR),
    "changes its input": wrong("leaves its input", changes_its_input, LINE),
    "not reduced": wrong("log_prob returns shape", lambda x: -0.5 * x * x, [LINE] * 2),
}

# ---- Samplers ----
STANDARD = lambda n, rng: rng.standard_normal(n)
LAW = {"log_prob": gaussian(1), "support": LINE}
PLANE = {"log_prob": gaussian(2), "support": [LINE] * 2}
FIVE = {"log_prob": gaussian(5), "support": [LINE] * 5}
CDF = {"cdf": stats.norm.cdf}
COUNTS = {"log_prob": stats.poisson(3).logpmf, "support": np.arange(60.0)}
FAIR = {"log_prob": lambda x: np.full(4, -math.log(4)), "support": BITS}
GLOBAL = np.random.default_rng(5)
FOLLOW, CHANCES = "follow the density", "follow the probabilities"
SAMPLERS = {
    "normal": right(STANDARD, **LAW),
    "normal, by its cdf": right(STANDARD, **CDF),
    "normal, by inverting its cdf": right(lambda n, rng: stats.norm.ppf(rng.random(n)), **CDF),
    "0 and 1 are probabilities": right(lambda n, rng: np.concatenate([[0, 1], rng.random(n - 2)]), cdf=lambda x: x),
    "plane": right(lambda n, rng: rng.standard_normal((n, 2)), **PLANE),
    "five": right(lambda n, rng: rng.standard_normal((n, 5)), **FIVE),
    "counts": right(lambda n, rng: rng.poisson(3, n), **COUNTS),
    "bits": right(lambda n, rng: rng.integers(0, 2, (n, 2)), **FAIR),
    "scale 2 % off": wrong(FOLLOW, lambda n, rng: 1.02 * rng.standard_normal(n), **LAW),
    "scale 2 % off, by cdf": wrong(FOLLOW, lambda n, rng: 1.02 * rng.standard_normal(n), **CDF),
    "shifted": wrong(FOLLOW, lambda n, rng: rng.standard_normal(n) + 0.02, **LAW),
    "another law of the same moments": wrong(FOLLOW, lambda n, rng: rng.uniform(-(3**0.5), 3**0.5, n), **LAW),
    "Laplace for normal": wrong(FOLLOW, lambda n, rng: rng.laplace(0, 0.5**0.5, n), **CDF),
    "one noise for both coordinates": wrong(FOLLOW, lambda n, rng: np.repeat(rng.standard_normal((n, 1)), 2, 1), **PLANE),
    "correlated": wrong(FOLLOW, lambda n, rng: rng.multivariate_normal([0, 0], [[1, 0.1], [0.1, 1]], n), **PLANE),
    "one noise for all draws": wrong("draws differ", lambda n, rng: np.tile(rng.standard_normal((1, 2)), (n, 1)), **PLANE),
    "scale 5 % off in five": wrong(FOLLOW, lambda n, rng: 1.05 * rng.standard_normal((n, 5)), **FIVE),
    "the global generator": wrong("same seed", lambda n, rng: GLOBAL.standard_normal(n), **LAW),
    "one draw short": wrong("gives n draws", lambda n, rng: rng.standard_normal(n - 1), **LAW),
    "infinite": wrong("finite", lambda n, rng: np.full(n, INF), **LAW),
    "rate 3 % off": wrong(CHANCES, lambda n, rng: rng.poisson(3.1, n), **COUNTS),
    "one too many": wrong(CHANCES, lambda n, rng: rng.poisson(3, n) + 1, **COUNTS),
    "outside of the support": wrong("in the support", lambda n, rng: rng.poisson(3, n) + 0.5, **COUNTS),
    "a cdf above 1": wrong("between 0 and 1", STANDARD, cdf=lambda x: x),
}


# ---- Closed forms of KL ----
def kl_normal(m, s, n, t):
    return math.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - 0.5


def kl_normal_precisions(m, s, n, t):
    """The same by the ratio r of variances."""
    r = (s / t) ** 2
    return 0.5 * (r - 1 - math.log(r)) + 0.5 * ((m - n) / t) ** 2


def kl_gamma(a, b, c, d):
    return (a - c) * digamma(a) - gammaln(a) + gammaln(c) + c * math.log(b / d) + a * (d - b) / b


def kl_beta(a, b, c, d):
    return betaln(c, d) - betaln(a, b) + (a - c) * digamma(a) + (b - d) * digamma(b) + (c + d - a - b) * digamma(a + b)


def kl_normal_laplace(m, s, n, b):
    mean_distance = s * math.sqrt(2 / math.pi) * math.exp(-0.5 * ((m - n) / s) ** 2) + (m - n) * math.erf((m - n) / s / 2**0.5)
    return math.log(2 * b) - 0.5 * (LOG_2PI + 1) - math.log(s) + mean_distance / b


KL_MISTAKE = "^closed-form KL equals its defining integral$"
KLS = {
    "normal": right(kl_normal),
    "normal, by the ratio": right(kl_normal_precisions),
    "to a prior": right(lambda m, s: 0.5 * (m * m + s * s - 1) - math.log(s), p=FAMILIES["normal"].fixed(0.0, 1.0)),
    "Laplace": right(lambda m, b, n, c: math.log(c / b) + (abs(m - n) + b * math.exp(-abs(m - n) / b)) / c - 1, q="laplace", p="laplace"),
    "exponential": right(lambda a, b: math.log(a / b) + b / a - 1, q="exponential", p="exponential"),
    "Bernoulli": right(lambda p, q: p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)), q="bernoulli", p="bernoulli"),
    "Poisson": right(lambda a, b: a * math.log(a / b) - a + b, q="poisson", p="poisson"),
    "uniform": right(lambda a, b, c, d: math.log((d - c) / (b - a)) if c <= a and b <= d else INF, q="uniform", p="uniform"),
    "gamma": right(kl_gamma, q="gamma", p="gamma"),
    "beta": right(kl_beta, q="beta", p="beta"),
    "gamma to exponential": right(lambda a, b, r: kl_gamma(a, b, 1, r), q="gamma", p="exponential"),
    "of two families": right(kl_normal_laplace, p="laplace"),
    "gamma by its scale": wrong(KL_MISTAKE, lambda a, b, r: kl_gamma(a, 1 / b, 1, r), q="gamma", p="exponential"),
    "swapped": wrong(KL_MISTAKE, lambda m, s, n, t: kl_normal(n, t, m, s), hint="swapped"),
    "halved": wrong(KL_MISTAKE, lambda *a: 0.5 * kl_normal(*a), hint="½ too many"),
    "doubled": wrong(KL_MISTAKE, lambda *a: 2 * kl_normal(*a), hint="½ is missing"),
    "sign": wrong(KL_MISTAKE, lambda *a: -kl_normal(*a), hint="sign"),
    "bits": wrong(KL_MISTAKE, lambda *a: kl_normal(*a) / math.log(2), hint="bits"),
    "variance for std": wrong(KL_MISTAKE, lambda m, s, n, t: kl_normal(m, s**2, n, t**2)),
    "no −½": wrong(KL_MISTAKE, lambda *a: kl_normal(*a) + 0.5),
    "negative": wrong(KL_MISTAKE, lambda *a: kl_normal(*a) - 3, hint="never negative"),
    "the means are forgotten": wrong(KL_MISTAKE, lambda m, s, n, t: kl_normal(0, s, 0, t)),
    "rates swapped": wrong(KL_MISTAKE, lambda a, b: math.log(b / a) + b / a - 1, q="exponential", p="exponential"),
    "half of the outcomes": wrong(KL_MISTAKE, lambda p, q: p * math.log(p / q), q="bernoulli", p="bernoulli"),
    "outside of p": wrong(KL_MISTAKE, lambda a, b, c, d: abs(math.log((d - c) / (b - a))), q="uniform", p="uniform"),
}

# ---- Divergences ----
KL = lambda p, q: np.sum(p * np.log(p / q))
DISTANCE = {"symmetric": True, "triangle": True}
DIVERGENCES = {
    "a KL is a divergence": right(KL),
    "a KL, as cross-entropy less entropy": right(lambda p, q: -np.sum(p * np.log(q)) + np.sum(p * np.log(p))),
    "total variation is a distance": right(lambda p, q: 0.5 * np.sum(np.abs(p - q)), **DISTANCE),
    "total variation, of minima": right(lambda p, q: 1 - np.sum(np.minimum(p, q)), **DISTANCE),
    "of numbers": right(lambda x, y: abs(x - y), draw=lambda rng: float(rng.integers(9)), **DISTANCE),
    "0 is allowed": right(lambda p, q: (p[0] - q[0]) ** 2, zero_iff_equal=False),
    "a KL is not symmetric": wrong("is symmetric", KL, symmetric=True),
    "a KL has no triangle inequality": wrong("triangle inequality", KL, triangle=True),
    "negative": wrong("not negative", lambda p, q: -KL(p, q)),
    "cross-entropy is not 0 at equality": wrong("of equal arguments is 0", lambda p, q: -np.sum(p * np.log(q))),
    "one coordinate only": wrong("of different arguments is positive", lambda p, q: (p[0] - q[0]) ** 2),
    "the square of a distance": wrong("triangle inequality", lambda p, q: np.sum((p - q) ** 2), **DISTANCE),
}


# ---- Metrics ----
def energy(x, y):
    """The energy distance, squared."""
    d = lambda a, b: np.mean(np.linalg.norm(a[:, None] - b[None], axis=-1))
    return 2 * d(x, y) - d(x, x) - d(y, y)


def energy_by_one_matrix(x, y):
    """The same as a quadratic form of all distances."""
    z, w = np.concatenate([x, y]), np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)])
    return -w @ np.sqrt(np.sum((z[:, None] - z) ** 2, axis=-1)) @ w


def sorts_its_input(x, y):
    x.sort(axis=0)
    return 0.0


RNG = np.random.default_rng(0)
ALL = ["nonnegative", "zero_on_identical", "symmetric", "permutation", "translation", "rotation", "homogeneous", "duplication"]
METRICS = {
    "energy distance": right(energy, ALL),
    "energy distance, by one matrix": right(energy_by_one_matrix, ALL),
    "its square": right(lambda x, y: energy(x, y) ** 2, ["quadratic", "zero_on_identical"]),
    "without symmetry": right(lambda x, y: np.mean(x[:, 0]) - 2 * np.mean(y[:, 0] ** 2), ["permutation"]),
    "several numbers": right(lambda x, y: (energy(x, y), 0.0), ["symmetric"]),
    "scale-free": right(lambda x, y: energy(x, y) / np.std(np.concatenate([x, y])), ["scale"]),
    "one's own invariant": right(energy, [lambda d, x, y: (d(x, y) > 0.01, True)]),
    "one's own samples": right(energy, ["zero_on_identical"], x=np.zeros((4, 2)), y=np.ones((3, 2))),
    "the order of the arguments": wrong("'symmetric'", lambda x, y: np.mean(x[:, 0]) - np.mean(y[:, 0]), ["symmetric"]),
    "paired samples": wrong("'permutation'", lambda x, y: np.mean(np.linalg.norm(x[:40] - y[:40], axis=1)), ["permutation"]),
    "uncentred": wrong("'translation'", lambda x, y: np.linalg.norm(np.cov(x.T) - y.T @ y / len(y)), ["translation"]),
    "by coordinate": wrong("'rotation'", lambda x, y: np.sum(np.abs(x.mean(0) - y.mean(0))), ["rotation"]),
    "unbiased where biased is meant": wrong("'duplication'", lambda x, y: np.trace(np.cov(x.T)) - np.trace(np.cov(y.T)), ["duplication"]),
    "not squared": wrong("'quadratic'", energy, ["quadratic"]),
    "an absolute bandwidth": wrong("'scale'", lambda x, y: np.mean(np.exp(-((x[:, None] - y) ** 2))), ["scale"]),
    "not 0 on identical sets": wrong("'zero_on_id", lambda x, y: np.linalg.norm(x.mean(0) + y.mean(0)), ["zero_on_identical"]),
    "negative": wrong("not negative", lambda x, y: -energy(x, y), ["nonnegative"]),
    "NaN": wrong("finite", lambda x, y: np.nan, []),
    "changes its input": wrong("leaves its inputs", sorts_its_input, []),
    "another value at each call": wrong("same value twice", lambda x, y: RNG.random(), []),
}

LAWS = {
    check_density_normalises: DENSITIES, check_sampler_matches: SAMPLERS, check_kl_closed_form: KLS, check_divergence: DIVERGENCES,
    check_metric: METRICS,
}  # fmt: skip
