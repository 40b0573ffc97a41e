"""The rules where a function is not smooth, not finite, or has nothing to work on."""

import numpy as np
import pytest

import minigen as mg


def gradient(f, x):
    return mg.grad(lambda x: np.sum(f(x)))(np.asarray(x, dtype=float))


def test_powers_stop_at_zero():
    f = lambda x: x**2
    for want in (0.0, 2.0, 0.0, 0.0, 0.0):
        f = mg.grad(f)
        assert f(0.0) == want
    zero = np.zeros(3)
    exponents = np.array([0.0, 1.0, 2.0])
    np.testing.assert_array_equal(gradient(lambda x: x**exponents, zero), [0, 1, 0])
    np.testing.assert_array_equal(gradient(lambda x: x**0, [0.0, -1.0, np.inf])[:2], [0, 0])
    second = mg.jacobian(mg.grad(lambda x: np.sum(x**exponents)))(zero)
    np.testing.assert_array_equal(second, np.diag([0, 0, 2]))
    np.testing.assert_array_equal(gradient(lambda x: 0 * x**exponents, zero), 0)


def test_powers_of_numbers_that_are_not_positive():
    np.testing.assert_allclose(gradient(lambda x: x ** np.array([3.0, 2.0]), [-2.0, -0.5]), [12, -1])
    by_exponent = lambda base: mg.grad(lambda n: np.sum(base**n))(np.array([2.0, 3.0]))
    np.testing.assert_array_equal(by_exponent(np.array([0.0, -2.0])), [0, 0])
    np.testing.assert_allclose(by_exponent(np.array([2.0, 3.0])), [4 * np.log(2), 27 * np.log(3)])
    assert mg.grad(lambda n: 0**n)(2.0) == 0
    assert mg.grad(lambda n: 0.0**n)(2.0) == 0


def test_the_mixed_second_derivative_of_a_power_at_exponent_zero():
    """∂ₐ∂ₙ aⁿ = aⁿ⁻¹ (1 + n log a) = 1/a at n = 0."""
    mixed = mg.grad(lambda n: mg.grad(lambda a: np.sum(a**n))(np.array(2.5)))(np.array(0.0))
    assert mixed == pytest.approx(0.4)


def test_norm_and_length_at_zero():
    for options in ({}, {"axis": 1}, {"axis": 0, "keepdims": True}):
        f = lambda x, options=options: np.sum((np.linalg.norm(x, **options) - 1) ** 2)
        np.testing.assert_array_equal(mg.grad(f)(np.zeros((2, 3))), 0)
        assert np.all(np.isfinite(mg.hvp(f)(np.zeros((2, 3)), np.ones((2, 3)))))
    np.testing.assert_allclose(gradient(lambda x: np.linalg.norm(x, axis=1), [[0.0, 0.0], [3.0, 4.0]]), [[0, 0], [0.6, 0.8]])


def test_sqrt_at_zero_is_infinite_and_says_so():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert gradient(np.sqrt, [0.0])[0] == np.inf
    safe = lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0)
    np.testing.assert_array_equal(gradient(safe, [0.0, 4.0]), [0, 0.25])


def test_where_lets_nothing_through_from_the_branch_not_taken():
    c = np.array([True, False])
    np.testing.assert_array_equal(gradient(lambda x: np.where(c, x, np.nan * np.ones(2)), [1.0, 2.0]), [1, 0])
    with np.errstate(all="ignore"):
        bad = np.array([1.0, np.nan])
        a, b = mg.grad(lambda t: np.sum(np.where(c, t[0], t[1]) * bad))([np.ones(2), np.ones(2)])
    np.testing.assert_array_equal(a, [1, 0])
    np.testing.assert_array_equal(b, [0, np.nan])
    np.testing.assert_array_equal(gradient(lambda x: np.where(x > 0, x * 2, x * 3), [1.0, -1.0]), [2, 3])
    np.testing.assert_array_equal(mg.grad(lambda x: np.sum(np.where(x, x, 5.0)))(np.array([0.0, 2.0])), [0, 1])  # a Tensor as condition


@pytest.mark.parametrize("f", [np.linalg.cholesky, np.linalg.eigvalsh, lambda a: np.linalg.eigh(a)[1] ** 2], ids=["cholesky", "w", "v"])
def test_gradients_by_a_symmetric_matrix_are_symmetric(f):
    """These functions read one triangle; the gradient is that of the symmetric argument, half on either side."""
    a = np.array([[2.0, 0.5, 0.3], [0.5, 3.0, -0.4], [0.3, -0.4, 4.5]])
    weights = np.arange(1.0, 1.0 + f(a).size).reshape(f(a).shape) ** 2
    for g in (gradient(lambda a: weights * f(a), a), mg.hvp(lambda a: np.sum(weights * f(a)))(a, np.diag([1.0, -2.0, 0.5]))):
        assert np.max(np.abs(g)) > 0.01
        np.testing.assert_allclose(g, g.T, rtol=1e-12, atol=1e-14)


def test_ties_share_the_derivative():
    x = np.array([1.0, 2.0, 3.0])
    for f in (np.maximum, np.minimum):
        a, b = mg.grad(lambda t, f=f: np.sum(f(t[0], t[1])))([x, np.array([1.0, 0.0, 3.0])])
        np.testing.assert_array_equal(a + b, 1)
        np.testing.assert_array_equal(a[[0, 2]], 0.5)
    np.testing.assert_array_equal(gradient(lambda x: np.maximum(x, 0), [-1.0, 0.0, 1.0]), [0, 0.5, 1])
    np.testing.assert_array_equal(gradient(np.max, [3.0, 1.0, 3.0, 3.0]), [1 / 3, 0, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(gradient(lambda x: np.min(x, axis=0), [[1.0, 2.0], [1.0, 0.0]]), [[0.5, 0], [0.5, 1]])
    np.testing.assert_array_equal(gradient(np.abs, [-2.0, 0.0, 2.0]), [-1, 0, 1])


def test_clip_passes_what_is_within():
    x = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    np.testing.assert_array_equal(gradient(lambda x: np.clip(x, -1, 1), x), [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(gradient(lambda x: np.clip(x, -1, None), x), [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(gradient(lambda x: np.clip(x, a_min=None, a_max=0.5), x), [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(gradient(lambda x: np.clip(x, 0.0, 1e-30), x), [0, 0, 1, 0, 0])


def test_sort_and_max_with_ties_still_sum_to_one():
    g = gradient(lambda x: np.sort(x) * np.array([1.0, 10.0, 100.0]), [2.0, 2.0, 1.0])
    assert g[2] == 1
    assert sorted(g[:2]) == [10, 100]


EMPTY = {
    "sum": (lambda x: np.sum(x, axis=0), (3,)), "sum of all": (np.sum, ()), "prod": (lambda x: np.prod(x, axis=0), (3,)),
    "prod kept": (lambda x: np.prod(x, axis=0, keepdims=True), (1, 3)), "prod of the others": (lambda x: np.prod(x, axis=1), (0,)),
    "max of the others": (lambda x: np.max(x, axis=1), (0,)), "mean of the others": (lambda x: np.mean(x, axis=1), (0,)),
    "var of the others": (lambda x: np.var(x, axis=1), (0,)), "cumsum": (lambda x: np.cumsum(x, 0), (0, 3)), "sort": (np.sort, (0, 3)),
    "concatenate": (lambda x: np.concatenate([x, np.ones((2, 3))]), (2, 3)), "stack": (lambda x: np.stack([x, x]), (2, 0, 3)),
    "matmul": (lambda x: x @ np.ones((3, 2)), (0, 2)), "inner matmul": (lambda x: np.ones((2, 0)) @ x, (2, 3)),
    "tensordot": (lambda x: np.tensordot(np.ones((2, 0)), x, 1), (2, 3)),
    "tensordot of rows": (lambda x: np.tensordot(x, np.ones(3), 1), (0,)),
    "einsum": (lambda x: np.einsum("ij,ik->jk", x, np.ones((0, 2))), (3, 2)), "reshape": (lambda x: np.reshape(x, (3, 0)), (3, 0)),
    "squeeze": (np.squeeze, (0, 3)), "transpose": (np.transpose, (3, 0)), "ravel": (np.ravel, (0,)),
    "tile": (lambda x: np.tile(x, (2, 2)), (0, 6)),
    "repeat": (lambda x: np.repeat(x, 2, axis=0), (0, 3)), "roll": (lambda x: np.roll(x, 1, 0), (0, 3)), "flip": (np.flip, (0, 3)),
    "getitem": (lambda x: x[np.array([], dtype=int)], (0, 3)), "mask": (lambda x: x[x > 0], (0,)), "pad": (lambda x: np.pad(x, 1), (2, 5)),
    "diagonal": (np.diagonal, (0,)), "trace": (np.trace, ()), "norm": (np.linalg.norm, ()),
    "batched": (lambda x: np.ones((4, 2, 0)) @ x, (4, 2, 3)),
    "add a row": (lambda x: x + np.ones(3), (0, 3)), "broadcast_to": (lambda x: np.broadcast_to(x, (2, 0, 3)), (2, 0, 3)),
}  # fmt: skip


@pytest.mark.parametrize(("f", "shape"), EMPTY.values(), ids=EMPTY.keys())
def test_empty_arrays(f, shape):
    x = np.ones((0, 3))
    y, pullback = mg.vjp(f, x)
    assert np.shape(y) == np.shape(f(x)) == shape
    np.testing.assert_array_equal(y, f(x))
    assert pullback(np.ones(shape)).shape == (0, 3)
    assert mg.grad(lambda x: np.sum(mg.grad(lambda x: np.sum(f(x) ** 2))(x)))(x).shape == (0, 3)


def test_an_empty_array_broadcast_against_a_parameter_gives_zero():
    np.testing.assert_array_equal(mg.grad(lambda b: np.sum(np.ones((0, 3)) * b))(np.ones(3)), np.zeros(3))
    with pytest.raises(ValueError, match="zero-size"):
        mg.grad(np.max)(np.ones(0))
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(mg.vjp(np.mean, np.ones(0))[0])
