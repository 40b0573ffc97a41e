"""The failure as a reader sees it; running checks; drawing cases; and the checks of bounds, EM, bijections and metrics.

Each check accepts what is right and rejects at least three named mistakes, saying what is wrong in its first line.
"""

import math
import pickle

import numpy as np
import pytest
from scipy import stats

from minigen.testing import (
    FAMILIES,
    PropertyFailure,
    check_bijection,
    check_bound,
    check_density_normalises,
    check_em,
    check_metric,
    for_all,
    run_checks,
)
from tests.rejections import rejects

INF, LOG_2PI = np.inf, math.log(2 * math.pi)
RNG = np.random.default_rng(0)


def test_a_failure_reads_as_designed():
    failure = PropertyFailure(
        "closed-form KL equals its defining integral", ref="vae.2", equation="KL(q‖p) = E_q[log q(x) − log p(x)]",
        inputs="q = N(0, 0.25²)   p = N(0, 0.5²)", got=0.8068528, want=0.3181472, oracle="quadrature of the definition", error=8e-13,
        tolerance=1e-6, hint="the arguments look swapped: this is KL(p‖q)", replay="kl(0.0, 0.25, 0.0, 0.5)",
    )  # fmt: skip
    assert str(failure).splitlines() == [
        "[vae.2] FAILED: closed-form KL equals its defining integral",
        "  equation   KL(q‖p) = E_q[log q(x) − log p(x)]",
        "  at         q = N(0, 0.25²)   p = N(0, 0.5²)",
        "  yours      0.8068528   expected 0.3181472 (quadrature of the definition, error 8e-13)   ratio 2.536099",
        "  tolerance  1.0e-06",
        "  hint       the arguments look swapped: this is KL(p‖q)",
        "  replay     kl(0.0, 0.25, 0.0, 0.5)",
    ]
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)
    assert isinstance(failure, AssertionError)


def test_run_checks():
    def good(target):
        assert target == 3

    def bad(target):
        raise PropertyFailure("no")

    def broken(target):
        raise KeyError("x")

    results = run_checks(3, [good, bad, broken], on_fail="collect")
    assert list(results) == ["good", "bad", "broken"]
    assert results["good"] is None and str(results["bad"]) == "FAILED: no" and isinstance(results["broken"], KeyError)
    assert run_checks(3, {"a name": good}) == {"a name": None}
    with pytest.raises(PropertyFailure, match="no"):
        run_checks(3, [good, bad])
    with pytest.raises(ValueError, match="on_fail is 'ignore'"):
        run_checks(3, [], on_fail="ignore")


def test_for_all_finds_a_counterexample(cases):
    seen = []

    def body(x, y):
        seen.append((x, y))
        if x + y >= 11:
            raise PropertyFailure("too large", inputs=f"{x} {y}")

    failure = rejects("too large", for_all, body, [[0, 1, 2, 3, 4], lambda rng: int(rng.integers(3, 9))])
    assert failure.__cause__ is None and failure.__context__ is None and not hasattr(failure, "__notes__")
    assert len(set(seen)) > 1
    first = seen.copy()
    seen.clear()
    assert str(rejects("too large", for_all, body, [[0, 1, 2, 3, 4], lambda rng: int(rng.integers(3, 9))])) == str(failure)
    assert seen == first  # the same cases at every run
    for_all(lambda x: None, [[1]])
    with pytest.raises(ZeroDivisionError):
        for_all(lambda x: 1 / 0, [[1]])


def test_hypothesis_shrinks():
    def body(x, y):
        if x + y >= 4:
            raise PropertyFailure("too large", inputs=f"{x} {y}")

    assert rejects("too large", for_all, body, [range(9), range(9)]).inputs in {"0 4", "4 0"}


def log_mean(k):
    """log of the mean of k weights of expectation 1: a bound on log 1, of examples of growing difficulty."""
    return lambda rng: np.log(np.mean(np.exp(np.array([0.3, 1.0]) * rng.standard_normal((k, 2)) - np.array([0.045, 0.5])), axis=0))


BOUNDS = {
    "ELBO": ({"lower": log_mean(1)}, None),
    "IWAE": ({"lower": log_mean(5), "upper": lambda rng: -log_mean(5)(rng)}, None),
    "exact": ({"lower": np.zeros(2), "upper": 0.0, "tight": True}, None),
    "above": ({"lower": lambda rng: log_mean(1)(rng) + np.array([0.2, 0])}, "lower bound does not cross"),
    "the sign of the KL": ({"lower": lambda rng: -log_mean(1)(rng)}, "lower bound does not cross"),
    "below": ({"upper": log_mean(1)}, "upper bound does not cross"),
    "a little above": ({"lower": 1e-6}, "lower bound does not cross"),
    "not attained": ({"lower": np.array([0.0, -0.01]), "tight": True}, "lower bound is attained"),
    "NaN": ({"lower": lambda rng: np.array([np.nan])}, "finite"),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_check_bound(name):
    options, message = BOUNDS[name]
    if message is None:
        check_bound(truth=np.zeros(2), **options)
    else:
        rejects(message, check_bound, truth=np.zeros(2), **options)


def test_check_bound_wants_something_to_compare():
    for wrong in ({"truth": 0.0}, {"lower": 0.0}):
        with pytest.raises(ValueError, match="give truth, and lower or upper"):
            check_bound(**wrong)


# EM for the mixing weight of two known densities, whose likelihood has one maximum.
X = np.concatenate([RNG.normal(-1, 1, 30), RNG.normal(2, 1, 70)])
TWO = np.stack([stats.norm.pdf(X, -1, 1), stats.norm.pdf(X, 2, 1)])
LOGLIK = lambda w: np.sum(np.log(w * TWO[0] + (1 - w) * TWO[1]))
SLOPE = lambda w: np.sum((TWO[0] - TWO[1]) / (w * TWO[0] + (1 - w) * TWO[1]))
RESPONSIBLE = lambda w: w * TWO[0] / (w * TWO[0] + (1 - w) * TWO[1])
STEPS = {
    "right": (lambda w: np.mean(RESPONSIBLE(w)), None),
    "no step": (lambda w: w, "stationary"),
    "the other component's responsibility": (lambda w: 1 - np.mean(RESPONSIBLE(w)), "never lowers"),
    "hard assignments": (lambda w: np.mean(RESPONSIBLE(w) > 0.5), "never lowers|stationary"),
    "n − 1": (lambda w: np.sum(RESPONSIBLE(w)) / (len(X) - 1), "never lowers|stationary"),
    "the weight is not used": (lambda w: np.mean(RESPONSIBLE(0.5)), "stationary"),
    "NaN": (lambda w: np.nan, "finite"),
}


@pytest.mark.parametrize("name", STEPS)
def test_check_em(name):
    step, message = STEPS[name]
    if message is None:
        check_em(step, LOGLIK, SLOPE, start=0.9)
        check_em(step, LOGLIK, start=0.9)
    else:
        rejects(message, check_em, step, LOGLIK, SLOPE, start=0.9)
        if name == "no step":
            rejects("raises the likelihood", check_em, step, LOGLIK, start=0.9)


W = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.4, 0.0, 0.7]])


def bend(x, logdet=1.0, sign=1):
    """tanh-like bijection after a matrix: y = sinh(xW), log det = log|det W| + Σ log cosh."""
    z = x @ W
    return np.sinh(z), sign * (np.linalg.slogdet(W)[1] * logdet + np.sum(np.log(np.cosh(z)), -1))


def unbend(y, sign=-1):
    z = np.arcsinh(y)
    return z @ np.linalg.inv(W), sign * (np.linalg.slogdet(W)[1] + np.sum(np.log(np.cosh(z)), -1))


def skew(pair, by=1e-3):
    """A (value, logdet) pair with one log-determinant, not the largest, a little wrong."""
    value, logdet = pair
    return value, logdet + by * (np.arange(4) == 2)


BIJECTIONS = {
    "right": (bend, unbend, None),
    "the matrix is forgotten": (lambda x: bend(x, 0), lambda y: (unbend(y)[0], -bend(unbend(y)[0], 0)[1]), "that of the Jacobian"),
    "one row": (lambda x: skew(bend(x)), lambda y: skew(unbend(y), -1e-3), "that of the Jacobian"),
    "sign": (lambda x: bend(x, sign=-1), lambda y: unbend(y, sign=1), "that of the Jacobian"),
    "the inverse's sign": (bend, lambda y: unbend(y, sign=1), "cancel"),
    "transposed inverse": (bend, lambda y: (np.arcsinh(y) @ np.linalg.inv(W).T, unbend(y)[1]), "inverse undoes forward"),
    "projection": (lambda x: (x * [1, 1, 0], np.zeros(len(x))), lambda y: (y, np.zeros(len(y))), "inverse undoes forward"),
    "not reduced": (lambda x: (2 * x, np.full(x.shape, math.log(2))), lambda y: (y / 2, y), "logdet of forward"),
}


@pytest.mark.parametrize("name", BIJECTIONS)
def test_check_bijection(name):
    forward, inverse, message = BIJECTIONS[name]
    x = 0.5 * RNG.standard_normal((4, 3))
    if message is None:
        check_bijection(forward, inverse, x)
    else:
        rejects(message, check_bijection, forward, inverse, x)


def energy(x, y):
    """The energy distance, squared."""
    d = lambda a, b: np.mean(np.linalg.norm(a[:, None] - b[None], axis=-1))
    return 2 * d(x, y) - d(x, x) - d(y, y)


def sorts_its_input(x, y):
    x.sort(axis=0)
    return 0.0


ALL = ["nonnegative", "zero_on_identical", "symmetric", "permutation", "translation", "rotation", "homogeneous", "duplication"]
METRICS = {
    "energy distance": (energy, ALL, None),
    "its square": (lambda x, y: energy(x, y) ** 2, ["quadratic", "zero_on_identical"], None),
    "several numbers": (lambda x, y: (energy(x, y), 0.0), ["symmetric"], None),
    "scale-free": (lambda x, y: energy(x, y) / np.std(np.concatenate([x, y])), ["scale"], None),
    "one's own invariant": (energy, [lambda d, x, y: (d(x, y) > 0.01, True)], None),
    "the order of the arguments": (lambda x, y: np.mean(x[:, 0]) - np.mean(y[:, 0]), ["symmetric"], "'symmetric'"),
    "paired samples": (lambda x, y: np.mean(np.linalg.norm(x[:40] - y[:40], axis=1)), ["permutation"], "'permutation'"),
    "uncentred": (lambda x, y: np.linalg.norm(np.cov(x.T) - y.T @ y / len(y)), ["translation"], "'translation'"),
    "by coordinate": (lambda x, y: np.sum(np.abs(x.mean(0) - y.mean(0))), ["rotation"], "'rotation'"),
    "unbiased where biased is meant": (lambda x, y: np.trace(np.cov(x.T)) - np.trace(np.cov(y.T)), ["duplication"], "'duplication'"),
    "not squared": (energy, ["quadratic"], "'quadratic'"),
    "an absolute bandwidth": (lambda x, y: np.mean(np.exp(-((x[:, None] - y) ** 2))), ["scale"], "'scale'"),
    "not 0 on identical sets": (lambda x, y: np.linalg.norm(x.mean(0) + y.mean(0)), ["zero_on_identical"], "'zero_on_identical'"),
    "negative": (lambda x, y: -energy(x, y), ["nonnegative"], "not negative"),
    "NaN": (lambda x, y: np.nan, [], "finite"),
    "changes its input": (sorts_its_input, [], "leaves its inputs"),
    "another value at each call": (lambda x, y: RNG.random(), [], "same value twice"),
}


@pytest.mark.parametrize("name", METRICS)
def test_check_metric(name):
    metric, invariants, message = METRICS[name]
    if message is None:
        check_metric(metric, invariants)
    else:
        rejects(message, check_metric, metric, invariants)


def test_check_metric_names_an_unknown_invariant():
    with pytest.raises(ValueError, match="no invariant 'reflexive'"):
        check_metric(energy, ["reflexive"])
    check_metric(energy, ["zero_on_identical"], x=np.zeros((4, 2)), y=np.ones((3, 2)))


def test_the_public_families_are_normalised():
    for family in FAMILIES.values():
        parameters = [values[0] for values in family.values]
        log_prob, support = (lambda x, f=family, p=parameters: f.log_prob(x, *p)), family.support(*parameters)
        if isinstance(support, np.ndarray):
            assert np.sum(np.exp(log_prob(support))) == pytest.approx(1)
        else:
            check_density_normalises(log_prob, support)
