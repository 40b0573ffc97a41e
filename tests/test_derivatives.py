"""Every row of the table of derivatives against the definition of a derivative, to the third order."""

import numpy as np
import pytest

import minigen as mg
from minigen import special
from tests.derivative_cases import BINARY, CASES, UNARY
from tests.differences import (
    assert_close,
    complex_slope,
    derivative_along,
    differences,
    directions,
    flat,
    inputs,
    loss_of,
    slope,
)

every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
analytic_case = pytest.mark.parametrize("case", [c for c in CASES if c.analytic], ids=lambda c: c.name)


def gradient(case, xs):
    return mg.grad(loss_of(case))(xs)


@every_case
def test_value_is_numpys(case):
    xs = inputs(case)
    want = case.f(*xs)
    got, _ = mg.vjp(lambda xs: case.f(*xs), xs)
    assert np.shape(got) == np.shape(want)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


@every_case
def test_first_derivative(case):
    xs, loss = inputs(case), loss_of(case)
    grads = mg.grad(loss)(xs)
    assert [g.shape for g in grads] == [x.shape for x in xs]
    assert_close(flat(grads), differences(loss, xs), 1e-9)


@analytic_case
def test_first_derivative_by_the_complex_step(case):
    xs, loss = inputs(case), loss_of(case)
    assert_close(flat(mg.grad(loss)(xs)), differences(loss, xs, by=complex_slope), 2e-13)


@every_case
def test_second_derivative(case):
    xs = inputs(case)
    along = derivative_along(loss_of(case), directions(xs, 10))
    grads = mg.grad(along)(xs)
    assert [g.shape for g in grads] == [x.shape for x in xs]
    assert_close(flat(grads), differences(along, xs), 1e-8)


@every_case
def test_third_derivative(case):
    xs = inputs(case)
    u, v, w = directions(xs, 10), directions(xs, 20), directions(xs, 30)
    twice = derivative_along(derivative_along(loss_of(case), u), v)
    assert_close(derivative_along(twice, w)(xs), slope(twice, xs, w), 1e-7)


@every_case
def test_float32_stays(case):
    narrow = [x.astype(np.float32) for x in inputs(case)]
    wide = [x.astype(np.float64) for x in narrow]
    for f in (loss_of(case), derivative_along(loss_of(case), directions(narrow, 10))):
        value, grads = mg.value_and_grad(f)(narrow)
        assert value.dtype == np.float32
        assert [g.dtype for g in grads] == [np.float32] * len(narrow)
        assert_close(flat(grads), flat(mg.grad(f)(wide)), 2e-4)
    y, pullback = mg.vjp(lambda xs: case.f(*xs), narrow)
    assert y.dtype == np.float32
    assert [g.dtype for g in pullback(np.ones_like(y))] == [np.float32] * len(narrow)


def strided(x):
    """The same numbers as every second element of a larger array, its axes stored in reverse order and backwards."""
    if x.ndim == 0:
        return x
    big = np.full([2 * n for n in x.T.shape], np.nan)
    view = big.T[(slice(None, None, -2),) * x.ndim]
    view[...] = x
    return view


@every_case
def test_layout_does_not_matter(case):
    xs = inputs(case)
    views = [strided(x) for x in xs]
    assert all(not v.flags.c_contiguous for v in views if v.size > 1)
    assert_close(flat(gradient(case, views)), flat(gradient(case, xs)), 1e-13)


@every_case
def test_inputs_are_left_alone(case):
    xs = inputs(case)
    for x in xs:
        x.flags.writeable = False
    along = derivative_along(loss_of(case), directions(xs, 10))
    first, second = flat(mg.grad(along)(xs)), flat(mg.grad(along)(xs))
    np.testing.assert_array_equal(first, second)
    for x, original in zip(xs, case.args, strict=True):
        np.testing.assert_array_equal(x, original)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,)])
@pytest.mark.parametrize("function", [row[0] for row in UNARY] + [np.absolute], ids=lambda f: f.__name__)
def test_elementwise_functions_of_any_shape(function, shape):
    x = np.full(shape, 0.6)
    y, pullback = mg.vjp(function, x)
    g = pullback(np.ones_like(y))
    assert np.shape(y) == np.shape(g) == shape
    np.testing.assert_allclose(g, np.broadcast_to(mg.grad(lambda x: np.sum(function(x)))(np.array([0.6]))[0], shape), rtol=1e-14)
    assert mg.grad(lambda x: np.sum(mg.grad(lambda x: np.sum(function(x)))(x)))(x).shape == shape


@pytest.mark.parametrize(("a", "b"), [((0,), ()), ((), (0,)), ((0, 3), (3,)), ((2, 1), (0,)), ((0,), (0,)), ((1, 0), (2, 1))])
@pytest.mark.parametrize("function", [row[0] for row in BINARY] + [np.maximum, np.minimum], ids=lambda f: f.__name__)
def test_binary_functions_of_empty_arrays(function, a, b):
    xs = [np.full(a, 0.6), np.full(b, 0.7)]
    y, pullback = mg.vjp(lambda xs: function(*xs), xs)
    assert y.shape == np.broadcast_shapes(a, b)
    assert [np.shape(g) for g in pullback(np.ones_like(y))] == [a, b]
    assert all(not np.any(g) for g in pullback(np.ones_like(y)))  # a sum of nothing


SCALARS = {"int": 2, "float": 0.7, "float64": np.float64(0.7), "int64": np.int64(2), "0-d": np.array(0.7), "array": np.array([0.7, 1.1])}
OPERATORS = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b, "**": lambda a, b: a**b,
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power, "maximum": np.maximum,
    "minimum": np.minimum, "logaddexp": np.logaddexp, "arctan2": np.arctan2,
}  # fmt: skip


@pytest.mark.parametrize("scalar", SCALARS.values(), ids=SCALARS.keys())
@pytest.mark.parametrize("op", OPERATORS.values(), ids=OPERATORS.keys())
def test_numbers_and_arrays_on_either_side(op, scalar):
    for x in (np.array([[0.4], [1.5]]), np.array(0.4)):
        for f in (lambda x: op(x, scalar), lambda x: op(scalar, x)):
            total = lambda xs, f=f: np.sum(f(xs[0]) ** 2)
            along = derivative_along(total, [np.ones_like(x)])
            np.testing.assert_array_equal(mg.vjp(f, x)[0], f(x))
            assert_close(flat(mg.grad(total)([x])), differences(total, [x]), 1e-9)
            assert_close(flat(mg.grad(along)([x])), differences(along, [x]), 1e-8)


@pytest.mark.parametrize("scalar", [2, 0.7, np.float32(0.7), np.array(0.7, dtype=np.float32)], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("op", OPERATORS.values(), ids=OPERATORS.keys())
def test_numbers_keep_float32(op, scalar):
    for x in (np.full((2, 2), 0.4, dtype=np.float32), np.float32(0.4)):
        for f in (lambda x: op(x, scalar), lambda x: op(scalar, x)):
            y, pullback = mg.vjp(f, x)
            assert y.dtype == pullback(np.ones_like(y)).dtype == np.float32
            assert mg.vjp(mg.grad(lambda x, f=f: np.sum(f(x))), x)[0].dtype == np.float32


def test_hurwitz_zeta_has_its_known_value():
    assert special.hurwitz_zeta(2, np.array([1.0]))[0] == pytest.approx(np.pi**2 / 6)
