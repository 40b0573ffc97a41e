"""The package's own functions against high-precision formulas, in the tails and in float32."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import special as sp

import minigen as mg
from minigen import functions as fn

getcontext().prec = 100
ONE = Decimal(1)


def exact(f):
    """f of a number in 100 digits, as a float64."""
    return np.vectorize(lambda x: float(f(Decimal(float(x)))), otypes=[np.float64])


def d_sigmoid(x):
    return ONE / (ONE + (-x).exp()) if x > -5000 else Decimal(0)


def d_softplus(x):
    if x > 5000:
        return x
    return (ONE + x.exp()).ln() if x > -100 else x.exp() - (2 * x).exp() / 2


VALUES = {
    fn.sigmoid: d_sigmoid, fn.softplus: d_softplus, fn.log_sigmoid: lambda x: -d_softplus(-x), fn.silu: lambda x: x * d_sigmoid(x),
    fn.relu: lambda x: max(x, Decimal(0)),
}  # fmt: skip
SLOPES = {
    fn.softplus: d_sigmoid, fn.log_sigmoid: lambda x: d_sigmoid(-x), fn.silu: lambda x: d_sigmoid(x) * (1 + x * d_sigmoid(-x)),
    fn.relu: lambda x: Decimal(int(x > 0)),
}  # fmt: skip
TAILS = {
    np.float64: np.array([-700.0, -300, -100.5, -40, -36.7, -20, -5, -1, -1e-3, -1e-9, 1e-12, 0.3, 1, 5, 17, 36.7, 40, 300, 700, 1e17]),
    np.float32: np.array([-87.0, -50, -30, -17.3, -16.6, -8, -2, -0.7, -1e-4, 1e-6, 0.1, 1, 3, 9, 16.6, 17.3, 50, 87, 12345.678, 1e9]),
}


@pytest.mark.parametrize("dtype", TAILS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("f", VALUES, ids=lambda f: f.__name__)
def test_values_are_accurate_in_the_tails(f, dtype):
    x = TAILS[dtype].astype(dtype)
    y = f(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, exact(VALUES[f])(x), rtol=6 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", TAILS, ids=lambda d: d.__name__)
@pytest.mark.parametrize("f", SLOPES, ids=lambda f: f.__name__)
def test_slopes_are_accurate_in_the_tails(f, dtype):
    x = TAILS[dtype].astype(dtype)
    g = mg.grad(lambda x: np.sum(f(x)))(x)
    assert g.dtype == dtype
    # 1 + x σ(−x) of silu has a root at −1.278, but no cancellation elsewhere
    np.testing.assert_allclose(g, exact(SLOPES[f])(x), rtol=20 * np.finfo(dtype).eps if f is fn.silu else 6 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", [fn.relu, fn.sigmoid, fn.softplus, fn.log_sigmoid, fn.silu, fn.gelu], ids=lambda f: f.__name__)
def test_extreme_inputs_raise_no_warning_and_give_limits(f, dtype):
    """Warnings are errors here, in the value and in both derivatives."""
    big = dtype(1e4) if dtype is np.float32 else dtype(1e8)
    x = np.array([-big, -1000, 1000, big], dtype=dtype)
    total = lambda x: np.sum(f(x))
    y, g, h = f(x), mg.grad(total)(x), mg.hvp(total)(x, np.ones_like(x))
    limits = {
        "relu": (0 * x + np.maximum(x, 0), x > 0), "sigmoid": (x > 0, 0 * x), "softplus": (np.maximum(x, 0), x > 0),
        "log_sigmoid": (np.minimum(x, 0), x < 0), "silu": (np.maximum(x, 0), x > 0), "gelu": (np.maximum(x, 0), x > 0),
    }[f.__name__]  # fmt: skip
    np.testing.assert_array_equal(y, limits[0])
    np.testing.assert_array_equal(g, limits[1])
    np.testing.assert_array_equal(h, 0)


def test_sigmoid_and_softplus_at_infinity():
    x = np.array([-np.inf, np.inf])
    np.testing.assert_array_equal(fn.sigmoid(x), [0, 1])
    np.testing.assert_array_equal(fn.softplus(x), [0, np.inf])
    np.testing.assert_array_equal(fn.log_sigmoid(x), [-np.inf, 0])
    np.testing.assert_array_equal(fn.relu(x), [0, np.inf])


def test_slopes_at_zero():
    slope = lambda f: mg.grad(lambda x: np.sum(f(x)))(np.zeros(1))[0]
    curve = lambda f: mg.hvp(lambda x: np.sum(f(x)))(np.zeros(1), np.ones(1))[0]
    assert [slope(f) for f in (fn.relu, fn.sigmoid, fn.softplus, fn.log_sigmoid, fn.silu, fn.gelu)] == [0, 0.25, 0.5, 0.5, 0.5, 0.5]
    assert [curve(f) for f in (fn.relu, fn.sigmoid, fn.softplus, fn.log_sigmoid, fn.silu)] == [0, 0, 0.25, -0.25, 0.5]
    assert curve(fn.gelu) == pytest.approx(2 / np.sqrt(2 * np.pi), rel=1e-15)


def test_gelu_is_x_times_the_normal_distribution_function():
    x = np.linspace(-12, 12, 49)
    np.testing.assert_allclose(fn.gelu(x), 0.5 * x * sp.erfc(-x / np.sqrt(2)), rtol=1e-12)


X = np.random.default_rng(0).normal(size=(3, 4, 2))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1, -1), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_is_its_definition(axis, keepdims):
    for x in (X, X[:1], X[:, :1]):
        want = np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))
        got = fn.logsumexp(x, axis=axis, keepdims=keepdims)
        assert np.shape(got) == np.shape(want)
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_is_its_definition(axis):
    want = np.exp(X) / np.sum(np.exp(X), axis=axis, keepdims=True)
    np.testing.assert_allclose(fn.softmax(X, axis=axis), want, rtol=1e-14)
    np.testing.assert_allclose(fn.log_softmax(X, axis=axis), np.log(want), rtol=1e-13)
    assert fn.softmax(X).shape == X.shape
    np.testing.assert_allclose(np.sum(fn.softmax(X), axis=-1), 1)
    np.testing.assert_allclose(fn.log_softmax(X), np.log(fn.softmax(X)))


@pytest.mark.parametrize("shift", [-1e4, 1e4, 800.0, -800.0])
def test_a_shift_by_row_changes_nothing(shift):
    """Also where rows differ so much that one maximum for all would lose a row."""
    rows = np.array([0.0, shift, -shift])[:, None, None]
    # The shift itself rounds X at 1e4 ε.
    np.testing.assert_allclose(fn.logsumexp(X + rows, axis=(1, 2)), fn.logsumexp(X, axis=(1, 2)) + rows[:, 0, 0], rtol=1e-14)
    np.testing.assert_allclose(fn.softmax(X + rows), fn.softmax(X), rtol=1e-11)
    np.testing.assert_allclose(fn.log_softmax(X + rows, axis=1), fn.log_softmax(X, axis=1), rtol=1e-10, atol=1e-11)
    grad = mg.grad(lambda x: np.sum(fn.logsumexp(x, axis=-1)))(X + rows)
    np.testing.assert_allclose(grad, fn.softmax(X), rtol=1e-11)


def test_log_softmax_keeps_small_probabilities():
    x = np.array([0.0, -1000.0, 50.0])
    np.testing.assert_allclose(fn.log_softmax(x), [-50, -1050, 0], atol=1e-15)
    np.testing.assert_allclose(fn.log_softmax(x.astype(np.float32)), [-50, -1050, 0], atol=1e-15)


def test_logsumexp_of_minus_infinities():
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf], [1.0, 1.0]])
    y, pullback = mg.vjp(lambda x: fn.logsumexp(x, axis=1), x)
    np.testing.assert_array_equal(y, [-np.inf, 0, 1 + np.log(2)])
    np.testing.assert_allclose(pullback(np.ones(3)), [[0, 0], [1, 0], [0.5, 0.5]], rtol=1e-15)
    h = mg.hvp(lambda x: np.sum(fn.logsumexp(x, axis=1)[1:]))(x, np.ones((3, 2)))
    np.testing.assert_allclose(h, 0, atol=1e-16)
    np.testing.assert_array_equal(fn.softmax(x[1:]), [[1, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(fn.log_softmax(x[1:])[0], [0, -np.inf])
    assert fn.logsumexp(np.array([np.inf, 0.0])) == np.inf
    assert fn.logsumexp(np.array(-np.inf)) == -np.inf


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (2, 0, 3)])
def test_affine_is_its_definition(shape):
    rng = np.random.default_rng(1)
    x, w, b = rng.normal(size=shape), rng.normal(size=(3, 2)), rng.normal(size=2)
    plain = lambda x, w, b: x @ w + b
    np.testing.assert_allclose(fn.affine(x, w, b), plain(x, w, b), rtol=1e-13)
    for f in (np.sum, lambda y: np.sum(np.sin(y))):
        ours = mg.grad(lambda p, f=f: f(fn.affine(*p)))([x, w, b])
        theirs = mg.grad(lambda p, f=f: f(plain(*p)))([x, w, b])
        for a, c in zip(ours, theirs, strict=True):
            assert a.shape == c.shape
            np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-14)


def test_inputs_are_not_written_to():
    x = X.copy()
    x.flags.writeable = False
    for f in (fn.relu, fn.sigmoid, fn.softplus, fn.log_sigmoid, fn.silu, fn.gelu, fn.logsumexp, fn.softmax, fn.log_softmax):
        f(x)
        mg.grad(lambda x, f=f: np.sum(f(x)))(x)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("f", [fn.relu, fn.sigmoid, fn.softplus, fn.log_sigmoid, fn.silu, fn.gelu], ids=lambda f: f.__name__)
def test_numbers_are_welcome(f):
    assert float(f(0.5)) == pytest.approx(float(f(np.array([0.5]))[0]), rel=1e-15)
    assert np.shape(f(np.float64(0.5))) == ()
    assert f(np.float32(0.5)).dtype == np.float32
