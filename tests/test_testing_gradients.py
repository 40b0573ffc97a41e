"""The checks of derivatives accept what is right and reject named mistakes: gradients, pullbacks, adjoints, scores."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from minigen.autograd import primitive, stop_gradient, vjp_of
from minigen.backend import to_device
from minigen.functions import softmax
from minigen.testing import (
    check_adjoint,
    check_gradients,
    check_score,
    check_vjp,
)
from minigen.testing.differences import along
from tests.rejections import rejects

INF, LOG_2PI = np.inf, math.log(2 * math.pi)
RNG = np.random.default_rng(0)


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
    "one small entry": (lambda x: -(x - [1, 2]) / [4, 1] * (1 + 0.01 * (x == np.min(x[:, 0]))), "score is the gradient"),
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


def test_numerical_derivatives_state_their_error():
    """Also where f cancels inside, is flat, nearly constant, or so far out that its last digit is coarse."""
    functions = [
        (np.exp, np.exp), (np.sin, np.cos), (lambda x: (1e6 + x) - 1e6, np.ones_like), (lambda x: 1e4 + np.sin(x), np.cos),
        (np.log, lambda x: 1 / x), (lambda x: np.cos(x) - 1 + 0.5 * x * x, lambda x: x - np.sin(x)), (np.abs, np.sign),
        (lambda x: x - np.log1p(x), lambda x: x / (1 + x)), (lambda x: np.exp(-20 * x), lambda x: -20 * np.exp(-20 * x)),
    ]  # fmt: skip
    for f, slope in functions:
        for x in np.concatenate([RNG.uniform(0.01, 3, 30), [1e-4, 1.0]])[:, None]:
            df, error = along(f, x, x)
            assert abs(df - x * slope(x)) <= 3 * error  # the checks allow ten times
            assert error <= 1e-7 * (1 + abs(x * slope(x)))


def test_a_gradient_that_cancels_to_zero_is_right_to_rounding():
    # a shift of all keys moves all logits alike, which softmax ignores: the terms of its gradient add up to 0 but for rounding
    rng = np.random.default_rng(0)
    q, k, b, v = (rng.normal(size=shape) for shape in ((4, 6), (5, 6), 6, (5, 3)))
    check_gradients(lambda q, k, b: softmax(q @ (k + b).T) @ v, (q, k, b))
