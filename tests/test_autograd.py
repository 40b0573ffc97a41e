"""The chain rule: nesting, trees, derivatives of higher order."""

from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest

import minigen as mg
from minigen.autograd import primitive, vjp_of
from minigen.tensor import recording
from tests.differences import assert_close, complex_slope, differences, flat

rng = np.random.default_rng(3)
X = rng.normal(size=4)


@dataclass
class Model:
    w: np.ndarray
    scale: np.ndarray = field(default_factory=lambda: np.array(3.0), metadata={"static": True})
    steps: np.ndarray = field(default_factory=lambda: np.array([2, 1]))
    name: str = "model"


def test_derivatives_of_high_order_are_those_of_calculus():
    f = np.sin
    for n in range(1, 7):
        f = mg.grad(f)
        assert f(0.3) == pytest.approx(np.sin(0.3 + n * np.pi / 2), abs=1e-12)
    g = lambda x: x**5
    for n, want in enumerate([5 * 2.0**4, 20 * 2.0**3, 60 * 2.0**2, 120 * 2.0, 120, 0], 1):
        g = mg.grad(g)
        assert g(2.0) == want, n


def test_a_derivative_inside_a_function_is_differentiated():
    """∂ₓ [x ∂ᵧ(x y)] = 2x, and ∂ₓ [∂ᵧ(x y)] = 1: the inner derivative must not be taken for the outer one."""
    inner = lambda x: mg.grad(lambda y: x * y)(5.0)
    assert mg.grad(lambda x: x * inner(x))(3.0) == 6
    assert mg.grad(inner)(3.0) == 1
    assert mg.grad(lambda x: x * mg.grad(lambda y: x + y)(1.0))(3.0) == 1  # ∂ᵧ(x + y) = 1, not 2


def test_nested_derivatives_at_the_same_point():
    f = lambda x, y: x**2 * y**3
    x = 1.5
    mixed = mg.grad(lambda x: mg.grad(lambda y: f(x, y))(x))(x)  # d/dx of 3 x² x²
    assert mixed == pytest.approx(12 * x**3, rel=1e-14)
    alone = mg.grad(lambda x: mg.grad(lambda y: f(2.0, y))(1.0) + 0 * x)(x)
    assert alone == 0


def test_three_levels_closing_over_each_other():
    f = lambda x, y, z: np.sin(x * y) * z**2 + x * z
    third = mg.grad(lambda x: mg.grad(lambda y: mg.grad(lambda z: f(x, y, z))(0.7))(0.4))(0.3)
    x, y, z = 0.3, 0.4, 0.7  # ∂ₓ∂ᵧ of 2z sin(xy)
    assert third == pytest.approx(2 * z * (np.cos(x * y) - x * y * np.sin(x * y)), rel=1e-13)


def test_a_nested_vjp_of_raw_arrays_is_a_constant_of_the_outer():
    """Its calls stand in the outer list, and must not take part in the outer derivative, whether or not they use outer Tensors."""
    c = np.array([0.5, 2.0])
    seen = []

    def f(x):
        g = mg.grad(lambda u: np.sum(u**3))(c)  # knows nothing of x
        h = mg.grad(lambda u: np.sum(u**3 * x))(c)  # 3 c² x
        seen.append(g)
        return np.sum(g * x**2 + h * x)

    x = np.array([1.0, -2.0])
    want = 12 * c**2 * x
    np.testing.assert_allclose(mg.grad(f)(x), want, rtol=1e-14)
    np.testing.assert_allclose(mg.hvp(f)(x, x), want, rtol=1e-14)
    np.testing.assert_allclose(mg.jacobian(mg.grad(f))(x), np.diag(12 * c**2), rtol=1e-14)
    assert recording.foreign is False


def test_the_inner_derivative_may_be_by_an_outer_tensor():
    penalty = lambda w: np.sum(mg.grad(lambda x: np.sum(np.tanh(x * w)))(w) ** 2)
    assert_close(mg.grad(penalty)(X), differences(lambda xs: penalty(xs[0]), [X]), 1e-9)


def test_gradient_penalty_reaches_parameters_not_data():
    """The pattern of a critic's penalty: a gradient by data inside a loss of parameters, both of several arrays."""
    x = rng.normal(size=(5, 3))
    critic = lambda w, x: np.sum(np.tanh(x @ w["a"]) @ w["b"])
    loss = lambda w: np.mean((np.linalg.norm(mg.grad(lambda u: critic(w, u))(x), axis=1) - 1) ** 2)
    w = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}
    grads = mg.grad(loss)(w)
    want = differences(lambda xs: loss({"a": xs[0], "b": xs[1]}), [w["a"], w["b"]])
    assert_close(flat([grads["a"], grads["b"]]), want, 1e-9)


def test_a_value_and_gradient_inside_keeps_both_parts_of_the_derivative():
    def f(x):
        y, g = mg.value_and_grad(lambda u: np.sum(u**3))(x)
        return y * np.sum(g)

    s3, s2 = np.sum(X**3), np.sum(X**2)
    np.testing.assert_allclose(mg.grad(f)(X), 9 * X**2 * s2 + 6 * X * s3, rtol=1e-12)


def test_pullback_may_be_called_again():
    y, pullback = mg.vjp(lambda x: np.exp(x) * x, X)
    first = pullback(np.ones(4))
    np.testing.assert_array_equal(pullback(np.ones(4)), first)
    np.testing.assert_allclose(pullback(2 * np.ones(4)), 2 * first, rtol=1e-15)
    np.testing.assert_allclose(first, np.exp(X) * (X + 1), rtol=1e-14)
    np.testing.assert_allclose(y, np.exp(X) * X, rtol=1e-14)


def test_pullback_called_twice_inside_an_outer_derivative():
    def f(x):
        _, pullback = mg.vjp(lambda u: u**3, x)
        return np.sum(pullback(x) * pullback(np.ones_like(x)))  # 3x³ · 3x²

    np.testing.assert_allclose(mg.grad(f)(X), 45 * X**4, rtol=1e-13)


def test_trees_in_and_out():
    Pair = namedtuple("Pair", ["a", "b"])
    f = lambda t: {"sum": t[0] + t[1].a, "both": (t[1].b * t[0], [np.float64(1.0), "text", 3])}
    x = [np.array([1.0, 2.0]), Pair(np.array(3.0), np.array([4.0, 5.0]))]
    y, pullback = mg.vjp(f, x)
    assert y["both"][1] == [1.0, "text", 3]
    assert type(y["sum"]) is np.ndarray
    bar = {"sum": np.array([1.0, 10.0]), "both": (np.array([100.0, 1000.0]), [np.array(7.0)])}
    g = pullback(bar)
    assert type(g) is list
    assert type(g[1]) is Pair
    np.testing.assert_array_equal(g[0], bar["sum"] + x[1].b * bar["both"][0])
    np.testing.assert_array_equal(g[1].a, 11.0)
    np.testing.assert_array_equal(g[1].b, x[0] * bar["both"][0])


def test_the_same_output_twice_and_an_input_as_output():
    def f(x):
        y = 2 * x
        return [y, y, x]

    _, pullback = mg.vjp(f, X)
    np.testing.assert_array_equal(pullback([np.ones(4), 10 * np.ones(4), 100 * np.ones(4)]), 122 * np.ones(4))


def test_gradients_are_trees_with_static_fields_as_they_were():
    model = Model(np.array([1.0, 2.0]))
    g = mg.grad(lambda m: np.sum(m.scale * m.w[m.steps - 1] ** 2))(model)
    assert type(g) is Model
    assert g.name == "model"
    assert g.scale is model.scale
    assert g.steps is model.steps
    np.testing.assert_array_equal(g.w, 6 * model.w)
    assert type(model.w) is np.ndarray


def test_the_same_array_in_two_places_counts_as_two():
    w = np.array([1.0, 2.0])
    a, b = mg.grad(lambda t: np.sum(t[0] * 3 + t[1] * 5))([w, w])
    np.testing.assert_array_equal([a, b], [[3, 3], [5, 5]])


def test_unused_leaves_get_zeros_of_their_own_kind():
    tree = {"used": np.ones(2), "idle": np.ones((2, 3), dtype=np.float32), "nested": [np.array(1.0)]}
    for f in (mg.grad, lambda f: mg.grad(lambda t: sum(np.sum(g) for g in mg.leaves(mg.grad(f)(t))))):
        g = f(lambda t: np.sum(t["used"] ** 3))(tree)
        assert g["idle"].dtype == np.float32
        np.testing.assert_array_equal(g["idle"], np.zeros((2, 3)))
        np.testing.assert_array_equal(g["nested"][0], 0)
        assert np.all(g["used"] != 0)


def test_constant_functions_have_zero_gradients():
    np.testing.assert_array_equal(mg.grad(lambda x: np.array(2.0))(X), np.zeros(4))
    np.testing.assert_array_equal(mg.grad(lambda x: np.array(2))(X), np.zeros(4))
    np.testing.assert_array_equal(mg.grad(lambda x: np.sum(np.sign(x)))(X), np.zeros(4))
    np.testing.assert_array_equal(mg.hvp(lambda x: np.sum(x))(X, X), np.zeros(4))


def test_only_the_first_argument_is_differentiated():
    f = lambda x, y, *, k: k * np.sum(x * y)
    value, g = mg.value_and_grad(f)(X, 2 * X, k=3)
    assert value == pytest.approx(6 * np.sum(X**2))
    np.testing.assert_allclose(g, 6 * X)
    np.testing.assert_allclose(mg.grad(f)(X, 2 * X, k=3), 6 * X)


def test_python_floats_are_scalars():
    value, g = mg.value_and_grad(lambda x: x**3)(2.0)
    assert (value, g) == (8, 12)


def test_jacobian_is_its_definition():
    f = lambda x: np.stack([np.sum(x**2), np.prod(x), x[0, 1] * 3])
    x = rng.normal(size=(2, 3))
    j = mg.jacobian(f)(x)
    assert j.shape == (3, 2, 3)
    want = np.stack([differences(lambda xs, i=i: f(xs[0])[i], [x], by=complex_slope) for i in range(3)])
    np.testing.assert_allclose(j.reshape(3, 6), want, rtol=1e-12, atol=1e-13)


def test_jacobian_of_trees_and_of_jacobians():
    tree = {"a": rng.normal(size=3), "b": np.array(0.5)}
    j = mg.jacobian(lambda t: t["a"] ** 2 * t["b"])(tree)
    np.testing.assert_allclose(j["a"], np.diag(2 * tree["a"] * 0.5))
    np.testing.assert_allclose(j["b"], tree["a"] ** 2)
    h = mg.jacobian(mg.jacobian(lambda x: np.stack([x[0] ** 2 * x[1], x[1] ** 3])))(np.array([2.0, 3.0]))
    np.testing.assert_allclose(h, [[[6, 4], [4, 0]], [[0, 0], [0, 18]]])
    assert mg.jacobian(lambda x: np.sum(x))(X).shape == (4,)
    assert mg.jacobian(lambda x: x[:0])(X).shape == (0, 4)


def test_hvp_is_the_product_with_the_hessian():
    f = lambda x: np.sum(np.exp(x) * np.roll(x, 1)) + np.prod(x)
    v = rng.normal(size=4)
    hessian = mg.jacobian(mg.grad(f))(X)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-12)
    np.testing.assert_allclose(mg.hvp(f)(X, v), hessian @ v, rtol=1e-12)
    want = differences(lambda xs: np.sum(mg.grad(f)(xs[0]) * v), [X])
    assert_close(mg.hvp(f)(X, v), want, 1e-9)
    tree, u = {"a": X, "b": np.array(2.0)}, {"a": v, "b": np.array(1.0)}
    out = mg.hvp(lambda t: t["b"] * f(t["a"]))(tree, u)
    np.testing.assert_allclose(out["a"], 2 * hessian @ v + mg.grad(f)(X), rtol=1e-12)
    np.testing.assert_allclose(out["b"], mg.grad(f)(X) @ v, rtol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: [x[:, 1], x[:, 1], x[0], x[1, 2], x[..., None, :2], x[::-1], x[np.int64(1)]],
        lambda x: [x, x[0]],
        lambda x: [x, x[0], x],
        lambda x: [x[1:], 3 * x, x[[0, 0, 1]], x[:1], x[np.array([1, 1])], x[x[:, 0] > -np.inf]],
        lambda x: [x[:, t] for t in range(3)] + [y[:, t] for y in (x * x, x[:, :2]) for t in range(2)],
        lambda x: [(x + x)[0], x[0][1], x[1:][0, :2], np.sum(x), x[True]],
    ],
)
def test_slices_of_one_array_add_up(f):
    # what is added up in place must not be anybody else's: neither the cotangents given nor those of another array
    x = rng.normal(size=(2, 3))
    y, pullback = mg.vjp(f, x)
    bars = [rng.normal(size=part.shape) for part in y]
    kept = [np.copy(bar) for bar in bars]
    got = pullback(bars)
    weighted = lambda xs: sum(np.sum(part * bar) for part, bar in zip(f(xs[0]), bars, strict=True))
    np.testing.assert_allclose(got.reshape(-1), differences(weighted, [x], by=complex_slope), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(pullback(bars), got)
    for bar, copy in zip(bars, kept, strict=True):
        np.testing.assert_array_equal(bar, copy)
    hessian = mg.jacobian(mg.grad(lambda x: sum(np.sum(part**3) for part in f(x))))(x).reshape(6, 6)
    slopes = lambda xs, i: mg.grad(lambda x: sum(np.sum(part**3) for part in f(x)))(xs[0]).reshape(-1)[i]
    want = [differences(lambda xs, i=i: slopes(xs, i), [x]) for i in range(6)]
    np.testing.assert_allclose(hessian, want, rtol=1e-7, atol=1e-7)


def test_stop_gradient():
    stop = mg.stop_gradient
    np.testing.assert_allclose(mg.grad(lambda x: np.sum(x * stop(x)))(X), X)
    np.testing.assert_allclose(mg.grad(lambda x: np.sum(x * stop({"x": [x**2]})["x"][0]))(X), X**2)
    assert mg.grad(lambda x: mg.grad(lambda y: stop(x) * y**2)(1.0) * x)(3.0) == 6  # the level above is stopped too
    assert stop(X) is X


def test_primitive_and_its_row_make_a_new_function():
    @primitive
    def cube(x, k):
        """k x³"""
        return k * x**3

    vjp_of(cube, lambda g, y, x, k: 3 * g * k * x**2, None)
    assert cube(2.0, 5) == 40
    assert cube.__doc__ == "k x³"
    assert mg.grad(mg.grad(lambda x: cube(x, 5)))(2.0) == 60
