"""What the check of gradients accepts, how it names the place, what it refuses to judge; and the numerical derivatives beneath it."""

from dataclasses import dataclass

import numpy as np
import pytest

from minigen.autograd import primitive, stop_gradient, vjp_of
from minigen.backend import to_device
from minigen.functions import softmax
from minigen.testing import check_gradients
from minigen.testing.differences import along
from tests.rejections import rejects

RNG = np.random.default_rng(0)


@dataclass
class Layer:
    weight: np.ndarray
    bias: np.ndarray


def test_check_gradients_names_the_argument_and_the_index():
    bad = lambda model, x: x @ np.where(np.eye(2, 3) == 1, model[0].weight, stop_gradient(model[0].weight)) + model[0].bias
    args = ([Layer(RNG.standard_normal((2, 3)), np.zeros(3))], RNG.standard_normal((4, 2)))
    failure = rejects(r"first derivative by model\[0\].weight is right at every index; worst at \[\d, \d\]", check_gradients, bad, args)
    assert failure.got == 0 and "numerical derivative" in str(failure)
    doubled = lambda x, y: np.sum(x * y + 0 * (x - stop_gradient(x)) + (x - stop_gradient(x)) * y)
    assert rejects("by x", check_gradients, doubled, (np.ones(3), np.arange(1.0, 4))).hint == "every entry is 2 times what it should be"
    # wrong in two of 2,000 entries, by as much up as down: only a direction drawn at random sees it
    twisted = lambda x: np.sum(x**2) + stop_gradient(x)[900] * x[1100] - stop_gradient(x)[1100] * x[900]
    rejects("random direction", check_gradients, twisted, (np.ones(2000),), order=1)
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


def test_numerical_derivatives_state_their_error():
    """Also where f cancels inside, is flat, nearly constant, or so far out that its last digit is coarse."""
    functions = [
        (np.exp, np.exp), (np.sin, np.cos), (lambda x: (1e6 + x) - 1e6, np.ones_like), (lambda x: 1e4 + np.sin(x), np.cos),
        (np.log, lambda x: 1 / x), (lambda x: np.cos(x) - 1 + 0.5 * x * x, lambda x: x - np.sin(x)), (np.abs, np.sign),
        (lambda x: x - np.log1p(x), lambda x: x / (1 + x)), (lambda x: np.exp(-20 * x), lambda x: -20 * np.exp(-20 * x)),
    ]  # fmt: skip
    for f, slope in functions:
        for x in np.concatenate([np.linspace(0.01, 3, 200), [1e-4, 1.0, 1.90067563]])[:, None]:
            df, error = along(f, x, x)
            assert abs(df - x * slope(x)) <= 3 * error  # the checks allow ten times
            assert error <= 1e-7 * (1 + abs(x * slope(x)))


def test_a_gradient_that_cancels_to_zero_is_right_to_rounding():
    # a shift of all keys moves all logits alike, which softmax ignores: the terms of its gradient add up to 0 but for rounding
    rng = np.random.default_rng(0)
    q, k, b, v = (rng.normal(size=shape) for shape in ((4, 6), (5, 6), 6, (5, 3)))
    check_gradients(lambda q, k, b: softmax(q @ (k + b).T) @ v, (q, k, b))
