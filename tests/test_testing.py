"""Each check accepts what is right and rejects at least three named mistakes, saying what is wrong in its first line."""

import importlib.util
import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from minigen.autograd import primitive, stop_gradient, vjp_of
from minigen.backend import to_device
from minigen.testing import (
    FAMILIES,
    PropertyFailure,
    check_adjoint,
    check_bijection,
    check_bound,
    check_density_normalises,
    check_divergence,
    check_em,
    check_gradients,
    check_kl_closed_form,
    check_metric,
    check_sampler_matches,
    check_score,
    check_vjp,
    for_all,
    run_checks,
)
from minigen.testing.quadrature import integrate

INF, LOG_2PI = np.inf, math.log(2 * math.pi)
RNG = np.random.default_rng(0)


def rejects(message, check, *args, **kwargs):
    """The failure that a check raises, which must have a message."""
    with pytest.raises(PropertyFailure, match=message) as caught:
        check(*args, **kwargs)
    return caught.value


# --- failures, runs, cases


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


@pytest.fixture(params=["hypothesis", "seeded"])
def cases(request, monkeypatch):
    """Both ways to draw cases: with hypothesis, and as where it is not installed."""
    if request.param == "seeded":
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: None if name == "hypothesis" else find(name, *args))
    return request.param


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


# --- gradients


@dataclass
class Layer:
    weight: np.ndarray
    bias: np.ndarray


@primitive
def cube(x):
    return x**3


CUBE_MISTAKES = {
    "right": (lambda g, y, x: 3 * g * x * x, None),
    "sign": (lambda g, y, x: -3 * g * x * x, "first derivative by x"),
    "a part in a hundred thousand": (lambda g, y, x: 3.00003 * g * x * x, "first derivative by x"),
    "a tiny amount": (lambda g, y, x: 3 * g * x * x + 1e-9, "first derivative by x"),
    "nothing": (lambda g, y, x: 0 * g, "first derivative by x"),
    "one entry": (lambda g, y, x: 3 * g * x * x * (np.arange(3) != 1), r"first derivative by x .* \[1\]"),
    "the cotangent is forgotten": (lambda g, y, x: 3 * x * x, "first derivative by x"),
    "shape": (lambda g, y, x: np.sum(3 * g * x * x), "has the shape of x"),
    "NaN": (lambda g, y, x: g * np.nan, "is finite"),
    "the second order": (lambda g, y, x: 3 * g * stop_gradient(x * x), "second derivative by x"),
    "the second order by the cotangent": (lambda g, y, x: 3 * stop_gradient(g) * x * x, "second derivative by ȳ"),
}


@pytest.mark.parametrize("name", CUBE_MISTAKES)
def test_check_gradients(name):
    rule, message = CUBE_MISTAKES[name]
    vjp_of(cube, rule)
    f = lambda x: cube(x)
    args = (np.array([0.01, -1.0, 2.0]),)
    if message is None:
        check_gradients(f, args, order=3)
    else:
        rejects(message, check_gradients, f, args)
    if name.startswith("the second order"):
        check_gradients(f, args, order=1)


def test_check_gradients_sees_an_error_in_the_last_of_many_entries():
    vjp_of(cube, lambda g, y, x: 3 * g * x * x * (np.arange(1000) != 999))
    rejects("first derivative", check_gradients, lambda x: cube(x), (RNG.standard_normal(1000),))


def test_check_gradients_names_the_argument_and_the_index():
    bad = lambda model, x: x @ np.where(np.eye(2, 3) == 1, model[0].weight, stop_gradient(model[0].weight)) + model[0].bias
    args = ([Layer(RNG.standard_normal((2, 3)), np.zeros(3))], RNG.standard_normal((4, 2)))
    failure = rejects(r"first derivative by model\[0\].weight is right at every index; worst at \[\d, \d\]", check_gradients, bad, args)
    assert failure.got == 0 and "numerical derivative" in str(failure)
    doubled = lambda x, y: np.sum(x * y + 0 * (x - stop_gradient(x)) + (x - stop_gradient(x)) * y)
    assert rejects("by x", check_gradients, doubled, (np.ones(3), np.arange(1.0, 4))).hint == "every entry is 2 times what it should be"
    constant = lambda x: np.sum(stop_gradient(x) ** 2) + 0 * np.sum(x)
    assert "no gradient arrives" in rejects("by x", check_gradients, constant, (np.ones(3),)).hint


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda a, b: {"y": a @ b, "z": np.sum(a)}, (RNG.standard_normal((2, 3)), RNG.standard_normal(3))),
        (lambda a: np.exp(a), (np.float32(0.3),)),
        (lambda a: np.abs(a) + np.maximum(a, 0), (RNG.standard_normal((2, 2)).astype(np.float32),)),
        (np.log, (np.array([1e-6, 1.0, 300.0]),)),
        (lambda x: np.log(x), (np.array([1e-7, 1e-3, 1.0]),)),
        (lambda x: np.sum(x, axis=0), (np.zeros((2, 0)),)),
        (lambda x: np.sum(x), (np.zeros((2, 0)),)),
        (lambda x: np.exp(-50 * x) + 1e6 * x, (np.array([1.0, 0.1]),)),
        (lambda x, k: x[k], (RNG.standard_normal(4), np.array([0, 0, 2]))),
        (lambda d: d["a"] * d["b"], ({"a": np.ones(2), "b": np.ones(2), "name": "x"},)),
    ],
)
def test_check_gradients_accepts(f, args):
    check_gradients(f, args)


def test_check_gradients_on_every_library(device):
    args = to_device((RNG.standard_normal((2, 3)), RNG.standard_normal(3)), device)
    check_gradients(lambda a, b: np.tanh(a) @ b, args)
    rejects("by a", check_gradients, lambda a, b: np.tanh(stop_gradient(a)) @ b + 0 * np.sum(a), args)


def test_check_gradients_refuses_what_it_cannot_judge():
    with pytest.raises(ValueError, match="do not settle at x"):
        check_gradients(lambda x: np.sqrt(np.maximum(x, 0)), (np.array([1.0, 1e-300]),))
    with pytest.raises(ValueError, match="no floating-point output"):
        check_gradients(lambda x: np.argmax(x), (np.ones(2),))
    with pytest.raises(ValueError, match="no floating-point array"):
        check_gradients(lambda x: x, (np.arange(3),))
    with pytest.raises(ValueError, match="not finite"), np.errstate(divide="ignore"):
        check_gradients(np.log, (np.zeros(2),))


def test_check_gradients_compares_the_values_and_the_arguments():
    unlike = lambda x: x * (2.0 if type(x) is np.ndarray else 3.0)
    rejects("same value on arrays and on Tensors", check_gradients, unlike, (np.ones(2),))

    @primitive
    def careless(x):
        return 2 * x

    def back(g, y, x):
        x *= 2
        return 2 * g

    vjp_of(careless, back)
    rejects("leave their arguments", check_gradients, careless, (np.ones(2),))


MATRIX = lambda *shape: lambda rng: rng.standard_normal(shape)
AFFINE = lambda x, w, b: x @ w + b
BACKWARDS = {
    "right": (lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(0)), None),
    "the bias is not summed over the batch": (lambda g, x, w, b: (g @ w.T, x.T @ g, g), "gradient by b has the shape of b"),
    "the mean instead of the sum": (lambda g, x, w, b: (g @ w.T, x.T @ g, g.mean(0)), "derivative by b"),
    "a part in a million": (lambda g, x, w, b: (g @ w.T, x.T @ g * (1 + 3e-6), g.sum(0)), "derivative by w"),
    "x and w are swapped": (lambda g, x, w, b: (x.T @ g, g @ w.T, g.sum(0)), "has the shape of x"),
    "the cotangent is ignored": (lambda g, x, w, b: (np.ones_like(g) @ w.T, x.T @ g, g.sum(0)), "derivative by x"),
    "a gradient is missing": (lambda g, x, w, b: (g @ w.T, x.T @ g), "one gradient for each input"),
}


@pytest.mark.parametrize("name", BACKWARDS)
def test_check_vjp(name, cases):
    backward, message = BACKWARDS[name]
    strategies = [MATRIX(4, 2), MATRIX(2, 3), MATRIX(3)]
    if message is None:
        check_vjp(AFFINE, backward, strategies)
        check_vjp(lambda x: np.tanh(x), lambda g, x: g * (1 - np.tanh(x) ** 2), [[np.zeros(2), np.ones(2)]])
    else:
        rejects(message, check_vjp, AFFINE, backward, strategies)


def test_check_vjp_sees_a_changed_input():
    def backward(g, x):
        x += 1
        return 2 * g

    rejects("leave their inputs", check_vjp, lambda x: 2 * x, backward, [MATRIX(3)])


def convolve(x):
    return np.convolve(x, [1.0, 2.0, 3.0], mode="valid")


ADJOINTS = {
    "right": (convolve, lambda y: np.convolve(y, [3.0, 2.0, 1.0]), None),
    "the kernel is not flipped": (convolve, lambda y: np.convolve(y, [1.0, 2.0, 3.0]), "Aᵀ is the adjoint of A"),
    "shape": (convolve, lambda y: np.convolve(y, [3.0, 2.0, 1.0], mode="same"), "has the shape of x"),
    "the inverse": (lambda x: 2 * x, lambda y: y / 2, "Aᵀ is the adjoint of A"),
    "affine": (lambda x: x + 1, lambda y: y, "A is linear"),
    "quadratic": (lambda x: x * x, lambda y: y, "A is linear"),
    "one entry": (lambda x: x, lambda y: y * (np.arange(6) != 5), "Aᵀ is the adjoint of A"),
    "a scatter that forgets repeats": (lambda x: x[[0, 0, 1]], lambda y: np.array([y[1], y[2], 0, 0, 0, 0]), "Aᵀ is the adjoint"),
}


@pytest.mark.parametrize("name", ADJOINTS)
def test_check_adjoint(name):
    A, At, message = ADJOINTS[name]
    if message is None:
        check_adjoint(A, At, (6,))
        check_adjoint(lambda x: x.T, lambda y: y.T, (2, 3))
    else:
        rejects(message, check_adjoint, A, At, (6,))


NORMAL_2D = lambda x: -0.5 * np.sum((x - [1, 2]) ** 2 / [4, 1], -1)
SCORES = {
    "right": (lambda x: -(x - [1, 2]) / [4, 1], None),
    "sign": (lambda x: (x - [1, 2]) / [4, 1], "score is the gradient"),
    "std for variance": (lambda x: -(x - [1, 2]) / [2, 1], "score is the gradient"),
    "the mean is forgotten": (lambda x: -x / [4, 1], "score is the gradient"),
    "a part in a hundred thousand": (lambda x: -(x - [1, 2]) / [4, 1] * 1.00001, "score is the gradient"),
    "shape": (lambda x: -np.sum((x - [1, 2]) / [4, 1], -1), "score returns shape"),
    "NaN": (lambda x: x * np.nan, "never NaN"),
}


@pytest.mark.parametrize("name", SCORES)
def test_check_score(name):
    score, message = SCORES[name]
    x = RNG.standard_normal((5, 2))
    if message is None:
        check_score(score, NORMAL_2D, x)
        check_score(lambda x: -x, lambda x: -0.5 * x * x, np.array([-1.0, 0.0, 3.0]))
    else:
        failure = rejects(message, check_score, score, NORMAL_2D, x)
        assert ("sign is turned" in failure.hint) == (name == "sign")


# --- densities and samplers


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


# --- divergences


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


# --- bounds, EM, bijections, metrics


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


BIJECTIONS = {
    "right": (bend, unbend, None),
    "the matrix is forgotten": (lambda x: bend(x, 0), lambda y: (unbend(y)[0], -bend(unbend(y)[0], 0)[1]), "that of the Jacobian"),
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
    "another value at each call": (lambda x, y: FIXED.random(), [], "same value twice"),
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
