"""The Tensor as an array, and what it says where it cannot be one."""

import operator
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import special as sp

import minigen as mg
from minigen.tensor import Tensor, primitive, recording, vjp_of

rng = np.random.default_rng(3)
X = rng.normal(size=4)
INDEX = np.array([0, 2, 2, 0])


@dataclass
class Constants:
    a: np.ndarray = field(default_factory=lambda: np.ones(2), metadata={"static": True})
    b: float = 1.0


def test_a_tensor_looks_like_its_array():
    def f(t):
        assert (t.shape, t.ndim, t.size, t.dtype, t.itemsize, len(t)) == ((2, 3), 2, 6, np.float64, 8, 2)
        assert t.device == "cpu"
        assert repr(t).startswith("Tensor(array([[")
        assert np.shape(t) == (2, 3)
        assert (t.argmax(), t.argmin(), list(t.argsort(axis=0)[0])) == (5, 0, [0, 0, 0])
        assert [row.shape for row in t] == [(3,), (3,)]
        assert type(t.astype(int)) is np.ndarray
        assert isinstance(t, mg.Tensor)
        assert len({t, t}) == 1
        a, b = t
        return -(+a) + abs(b) + np.add.reduce(t) + np.add.reduce(t, axis=1, keepdims=True)[:, 0].sum()

    x = np.arange(6.0).reshape(2, 3)
    y, pullback = mg.vjp(f, x)
    np.testing.assert_array_equal(y, -x[0] + x[1] + x[0] + x[1] + 15)
    np.testing.assert_array_equal(pullback(np.array([1.0, 0, 0])), [[1, 1, 1], [3, 1, 1]])


def test_astype_keeps_the_derivative_and_returns_to_the_own_type():
    @primitive
    def look(x):
        return 1 * x

    seen = []
    vjp_of(look, lambda g, y, x: (seen.append(g.dtype), g)[1])
    x = np.array([1.0, 2.0], dtype=np.float32)
    y, pullback = mg.vjp(lambda x: look(x).astype(np.float64) * np.float64(3), x)
    assert y.dtype == np.float64
    g = pullback(np.ones(2))
    assert g.dtype == seen[0] == np.float32
    np.testing.assert_array_equal(g, [3, 3])
    wide = mg.grad(lambda x: np.sum(x * np.array([1.0, 2.0])))(x)  # a float64 constant does not widen the gradient
    assert wide.dtype == np.float32


def test_augmented_assignment_rebinds():
    def f(x):
        y = x
        y += 1
        y *= x
        return np.sum(y)

    np.testing.assert_allclose(mg.grad(f)(X), 2 * X + 1)


def test_lists_beside_tensors():
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(mg.grad(lambda x: np.sum([3.0, 4.0] * x + x / [2.0, 4.0]))(x), [3.5, 4.25])
    np.testing.assert_allclose(mg.grad(lambda x: np.sum(np.concatenate([[1.0], x, [2.0, 3.0]]) ** 2))(x), 2 * x)


def test_tensors_have_no_attributes_to_misspell():
    with pytest.raises(AttributeError):
        mg.vjp(lambda x: x.grad, X)
    with pytest.raises(AttributeError):
        mg.vjp(lambda x: setattr(x, "requires_grad", True), X)
    assert Tensor.__slots__ == ("args", "data", "func", "kwargs")


def raises(error, message, f, *args):
    with pytest.raises(error, match=message):
        f(*args)
    assert recording.calls is recording.closed  # the engine is ready for the next


ERRORS = {
    "no rule": (NotImplementedError, r"unwrap has no derivative.*vjp_of\(unwrap", lambda x: np.unwrap(x)),
    "no rule for a ufunc": (NotImplementedError, r"cbrt has no derivative.*vjp_of", np.cbrt),
    "SciPy ufunc": (NotImplementedError, r"jv has no derivative", lambda x: sp.jv(1, x)),
    "ufunc method": (NotImplementedError, r"np.multiply.reduce has no derivative", lambda x: np.multiply.reduce(x)),
    "ufunc at": (NotImplementedError, r"np.add.at has no derivative", lambda x: np.add.at(np.zeros(4), [0], x[:1])),
    "scipy logsumexp": (TypeError, r"logsumexp and softmax are in minigen.nn", sp.logsumexp),
    "scipy softmax": (TypeError, r"logsumexp and softmax are in minigen.nn", sp.softmax),
    "asarray": (TypeError, r"cannot become a plain number or array.*stop_gradient", np.asarray),
    "array of Tensors": (TypeError, r"cannot become a plain number or array", lambda x: np.array([x[0], x[1]])),
    "list in a function": (TypeError, r"cannot become a plain number or array", lambda x: np.sum([x[0], x[1]])),
    "float": (TypeError, r"cannot become a plain number", lambda x: float(x[0])),
    "int": (TypeError, r"cannot become a plain number", lambda x: int(x[0])),
    "bool": (TypeError, r"cannot become a plain number", lambda x: 1.0 if x[0] else x[0]),
    "item": (TypeError, r"cannot become a plain number", lambda x: x[0].item()),
    "tolist": (TypeError, r"cannot become a plain number", lambda x: x.tolist()),
    "index": (TypeError, r"cannot become a plain number", lambda x: [1, 2][x[0]]),
    "setitem": (TypeError, r"cannot be changed in place.*np.where", lambda x: operator.setitem(x, 0, 1.0)),
    "out": (TypeError, r"exp.*out=", lambda x: np.exp(x, out=np.zeros(4))),
    "out is a Tensor": (TypeError, r"exp.*out=", lambda x: np.exp(np.zeros(4), out=x)),
    "out of a function": (TypeError, r"sum.*out=", lambda x: np.sum(x, out=np.zeros(()))),
    "in-place array": (TypeError, r"array \+= t", lambda x: operator.iadd(np.zeros(4), x)),
    "where of a ufunc": (TypeError, r"exp of a Tensor.*'where'", lambda x: np.exp(x, where=np.array([True, False, True, True]))),
    "dtype of a ufunc": (TypeError, r"multiply of a Tensor.*'dtype'", lambda x: np.multiply(x, x, dtype=np.float32)),
    "dtype of sum": (TypeError, r"sum of a Tensor.*'dtype'.*x, axis, keepdims", lambda x: np.sum(x, dtype=np.float32)),
    "dtype of sum in its place": (TypeError, r"sum of a Tensor.*positional", lambda x: x.sum(0, np.float32)),
    "where of sum": (TypeError, r"sum of a Tensor.*'where'", lambda x: np.sum(x, where=X > 0)),
    "initial of sum": (TypeError, r"sum of a Tensor.*'initial'", lambda x: x.sum(initial=1.0)),
    "initial of max": (TypeError, r"max of a Tensor.*'initial'", lambda x: np.max(x, initial=0.0)),
    "dtype of mean": (TypeError, r"mean of a Tensor.*positional", lambda x: x.mean(0, np.float32)),
    "where of mean": (TypeError, r"mean of a Tensor.*'where'", lambda x: np.mean(x, where=X > 0)),
    "dtype of var": (TypeError, r"var of a Tensor.*positional", lambda x: np.var(x, 0, np.float32)),
    "dtype of cumsum": (TypeError, r"cumsum of a Tensor.*positional", lambda x: np.cumsum(x, 0, np.float32)),
    "order of reshape": (TypeError, r"reshape of a Tensor.*'order'", lambda x: np.reshape(x, (2, 2), order="F")),
    "order of ravel": (TypeError, r"ravel of a Tensor.*positional", lambda x: x.ravel("F")),
    "mode of take": (TypeError, r"take of a Tensor.*'mode'", lambda x: np.take(x, [0, 9], mode="clip")),
    "initial of add.reduce": (TypeError, r"sum of a Tensor.*'initial'", lambda x: np.add.reduce(x, initial=1.0)),
    "upper cholesky": (TypeError, r"cholesky of a Tensor.*'upper'", lambda x: np.linalg.cholesky(x.reshape(2, 2), upper=True)),
    "where with one argument": (TypeError, r"where of a Tensor.*missing", lambda x: np.where(x)),
    "Tensor as a keyword": (TypeError, r"sum: pass Tensors as positional", lambda x: np.sum(a=x)),
    "lists of subscripts": (TypeError, r"einsum.*string", lambda x: np.einsum(x, [0], [0])),
    "norm": (NotImplementedError, r"norm\(ord='nuc'\).*expected", lambda x: np.linalg.norm(x.reshape(2, 2), "nuc")),
    "spectral norm": (NotImplementedError, r"norm\(ord=2\).*expected", lambda x: np.linalg.norm(x.reshape(2, 2), 2)),
    "pad mode": (NotImplementedError, r"pad.*mode='mean'.*expected", lambda x: np.pad(x, 1, "mean")),
    "pad with a Tensor": (TypeError, r"pad: constant_values", lambda x: np.pad(x, 1, constant_values=x[0])),
    "split": (ValueError, r"split.*4 has no 3 equal", lambda x: np.split(x, 3)),
    "diag": (ValueError, r"diag", lambda x: np.diag(x.reshape(2, 2, 1))),
}  # fmt: skip
AXES = {
    "sum": lambda x: np.sum(x, axis=1), "prod": lambda x: np.prod(x, axis=1), "flip": lambda x: np.flip(x, 1),
    "take": lambda x: np.take(x, [0], 1),
    "sort": lambda x: np.sort(x, 1), "expand_dims": lambda x: np.expand_dims(x, 3), "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "squeeze": lambda x: np.squeeze(x, 1), "stack": lambda x: np.stack([x, x], 3), "concatenate": lambda x: np.concatenate([x, x], 1),
    "mean": lambda x: np.mean(x, axis=-2), "max": lambda x: np.max(x, axis=1), "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "take_along_axis": lambda x: np.take_along_axis(x, INDEX, 1), "cumsum": lambda x: np.cumsum(x, 1),
    "repeat": lambda x: np.repeat(x, 2, 1),
    "roll": lambda x: np.roll(x, 1, 1), "split": lambda x: np.split(x, 2, 1),
}  # fmt: skip


@pytest.mark.parametrize(("error", "message", "f"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_name_the_cause_at_the_call(error, message, f):
    raises(error, f"(?s){message}", mg.vjp, f, X)


def test_a_tensor_put_into_an_array():
    with pytest.raises(ValueError, match="setting an array element") as caught:  # NumPy's words, with ours as the cause
        mg.vjp(lambda x: operator.setitem(np.zeros(4), 0, x[0]), X)
    assert "cannot become a plain number" in str(caught.value.__cause__)


@pytest.mark.parametrize("f", AXES.values(), ids=AXES.keys())
def test_an_axis_that_is_not_there_is_an_error_as_in_numpy(f):
    raises((np.exceptions.AxisError, IndexError), None, f, X)
    raises((np.exceptions.AxisError, IndexError), None, mg.vjp, f, X)


def test_errors_of_grad():
    raises(ValueError, r"grad.*shape \(4,\).*scalar.*np.sum or np.mean", mg.grad(lambda x: x * 2), X)
    raises(ValueError, r"grad.*type dict.*scalar", mg.grad(lambda x: {"loss": x}), X)
    raises(ValueError, r"grad.*type NoneType", mg.grad(lambda x: None), X)
    raises(ValueError, r"grad.*shape \(1,\)", mg.value_and_grad(lambda x: x[:1]), X)
    raises(TypeError, r"jacobian.*tuple.*one array", mg.jacobian(lambda x: (x, x)), X)


@pytest.mark.parametrize("x", [3, np.arange(3), np.ones(2, dtype=bool), {"a": 2.0, "b": "text"}, [], None, 1j * X, Constants()])
def test_a_tree_with_nothing_to_train(x):
    for name, f in {"grad": mg.grad(np.sum), "vjp": lambda x: mg.vjp(np.sum, x), "jacobian": mg.jacobian(np.sum)}.items():
        raises(TypeError, rf"{name}: nothing to differentiate in the first argument", f, x)


def test_a_tensor_that_escaped_is_told_so():
    escaped = []
    mg.grad(lambda x: np.sum(escaped.append(x) or x))(X)
    for f in (lambda t: t + 1, np.exp, lambda t: t[0], lambda t: 2 * t, np.mean, lambda t: t.reshape(2, 2)):
        raises(RuntimeError, r"used after the vjp or grad that made it had ended", f, escaped[0])
    inner = []
    mg.vjp(lambda x: inner.append(mg.vjp(lambda u: u * x, x)[1]) or x, X)
    raises(RuntimeError, r"used after", inner[0], X)


def test_a_tensor_that_escaped_is_a_constant_of_another_vjp():
    escaped = []
    mg.vjp(lambda x: escaped.append(x * 2) or x, X)
    np.testing.assert_allclose(mg.grad(lambda x: np.sum(escaped[0] * x))(X), 2 * X)
    np.testing.assert_array_equal(mg.grad(lambda x: np.sum(escaped[0]))(X), 0 * X)


@pytest.mark.parametrize("bad", [np.ones(3), np.ones((1, 2)), 1.0, np.array(1.0), [np.ones(2)] * 2, None])
def test_a_cotangent_of_another_shape(bad):
    pullback = mg.vjp(lambda x: x[:2] * 2, X)[1]
    raises(ValueError, r"pullback: the cotangent.*expected.*\(2,\)", pullback, bad)


def test_an_exception_inside_leaves_the_engine_usable():
    def fail(x):
        mg.grad(lambda u: np.sum(u * x))(np.ones(4))
        raise KeyError("mine")

    raises(KeyError, "mine", mg.grad(fail), X)
    assert recording.foreign is False

    def recover(x):
        try:
            mg.grad(fail)(np.ones(4))
        except KeyError:
            pass
        return np.sum(x**2)

    np.testing.assert_allclose(mg.grad(recover)(X), 2 * X)
    np.testing.assert_allclose(mg.hvp(recover)(X, X), 2 * X)


def test_an_exception_in_a_pullback_leaves_the_engine_usable():
    raises(np.linalg.LinAlgError, "Singular", mg.grad(np.linalg.det), np.ones((2, 2)))
    np.testing.assert_allclose(mg.grad(lambda x: np.sum(x**2))(X), 2 * X)
