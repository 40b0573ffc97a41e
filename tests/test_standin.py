"""The stand-in for CuPy refuses what CuPy refuses. Where CuPy finds a GPU, the same tests run on CuPy itself."""

import copy
import operator
import pickle

import numpy as np
import pytest
from scipy import special

from minigen import array_module, to_host
from tests import standin

HOST = np.arange(6.0, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def x(cp):
    """A matrix on the device."""
    return cp.asarray(HOST)


# Conversion and mixing
@pytest.mark.parametrize("convert", [np.asarray, np.array, np.ascontiguousarray, lambda x: np.zeros((2, 3)).__iadd__(x)])
def test_nothing_becomes_a_numpy_array_by_itself(x, convert):
    with pytest.raises(TypeError):
        convert(x)


MIXTURES = {
    "x + a": lambda x, a: x + a, "a + x": lambda x, a: a + x, "x @ a": lambda x, a: x @ a.T, "x < a": lambda x, a: x < a,
    "x += a": lambda x, a: x.__iadd__(a), "np.add": lambda x, a: np.add(x, a), "np.where": lambda x, a: np.where(x > 0, x, a),
    "np.concatenate": lambda x, a: np.concatenate([x, a]), "np.stack": lambda x, a: np.stack([a, x]),
    "np.einsum": lambda x, a: np.einsum("ij,ij", x, a), "special": lambda x, a: special.xlogy(x, a),
    "list": lambda x, a: operator.add(x, [1, 2, 3]),
    "list first": lambda x, a: operator.add([1, 2, 3], x), "None": lambda x, a: x + None,
    "condition": lambda x, a: np.where(a > 0, x, x), "cupy": lambda x, a: array_module(x).exp(a),
    "list to a ufunc": lambda x, a: array_module(x).add(x, [1, 2, 3]), "number as condition": lambda x, a: np.where(True, x, x),
    "list to a function": lambda x, a: array_module(x).sum([1.0, 2.0]),
}  # fmt: skip


@pytest.mark.parametrize("mix", MIXTURES.values(), ids=MIXTURES)
def test_nothing_mixes_with_numpy_arrays_or_lists(x, mix):
    with pytest.raises((TypeError, AttributeError)):
        mix(x, HOST)


def test_numpy_scalars_mix_and_widen(x):
    assert (2.0 * x).dtype == (np.float32(2) * x).dtype == (x * 2).dtype == np.float32
    assert (np.float64(2) * x).dtype == (x * np.float64(2)).dtype == np.float64
    assert bool((x == np.array(3.0)).any())


class Foreign:
    """A type that answers NumPy's protocols itself, as a Tensor does."""

    def __array_ufunc__(self, f, method, *args):
        return f.__name__, [type(a) for a in args]

    def __array_function__(self, f, types, args, kwargs):
        return f.__name__, [type(a) for a in args]


def test_other_types_may_answer(x):
    other, device = Foreign(), type(x)
    assert x - other == np.subtract(x, other) == ("subtract", [device, Foreign])
    assert other - x == ("subtract", [Foreign, device])
    assert (x < other) == ("less", [device, Foreign])
    assert np.where(x, x, other) == ("where", [device, device, Foreign])


def test_nothing_equals_none(cp, x):
    assert isinstance(x == None, cp.ndarray) and isinstance(x != None, cp.ndarray)  # noqa: E711  the operators are what is tested
    assert not (x == None).any() and (x != None).all()  # noqa: E711


@pytest.mark.parametrize("values", [["a"], [None], np.array([object()])], ids=["string", "None", "object"])
def test_only_numbers_can_be_stored(cp, values):
    with pytest.raises((ValueError, TypeError)):
        cp.asarray(values)


def test_a_copy_is_a_copy(cp):
    a = np.zeros(3)
    x = cp.asarray(a)
    a[0] = 1
    x.get()[1] = 1
    assert x.get().tolist() == [0, 0, 0]
    assert cp.asarray(x) is not None and cp.shares_memory(cp.asarray(x), x)
    copies = [cp.array(x), x.copy(), copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.astype(float)]
    x += 1
    assert [c.get().tolist() for c in copies] == [[0, 0, 0]] * len(copies)


# Names and arguments
ABSENT = """block insert geomspace nanquantile vecdot unstack errstate linalg.expm linalg.svdvals linalg.vector_norm linalg.multi_dot
    random.default_rng().normal random.default_rng().permutation random.default_rng().choice random.default_rng().shuffle
    random.default_rng().multivariate_normal random.default_rng().multinomial random.default_rng().laplace random.default_rng().spawn
    asarray(0.0).flatten().setflags asarray(0.0).newbyteorder asarray(0.0).argwhere"""


@pytest.mark.parametrize("name", ABSENT.split())
def test_what_cupy_lacks_is_absent(cp, name):
    with pytest.raises(AttributeError):
        eval(f"cp.{name}")


@pytest.mark.parametrize("name", ["linalg.sqrtm", "linalg.logm", "linalg.cho_factor", "linalg.schur", "special.iv", "special.comb"])
def test_what_cupyx_lacks_is_absent(cp, name):
    import cupyx.scipy.linalg
    import cupyx.scipy.special

    home, function = name.split(".")
    with pytest.raises(AttributeError):
        getattr(getattr(cupyx.scipy, home), function)


def test_numpy_functions_without_a_twin_refuse(x):
    for call in (lambda: np.block([[x]]), lambda: np.insert(x, 0, 0), lambda: np.vecdot(x, x), lambda: np.nanquantile(x, 0.5)):
        with pytest.raises(TypeError):
            call()


REFUSED = {
    "where": lambda x: np.exp(x, where=x > 0), "initial": lambda x: np.max(x, initial=0.0), "method initial": lambda x: x.max(initial=0.0),
    "sum where": lambda x: np.sum(x, where=x > 0), "correction": lambda x: np.var(x, correction=1),
    "stable": lambda x: np.sort(x, stable=True), "tuple to np.add.at": lambda x: np.add.at(x, (np.argsort(x[0]), 0), 1.0),
    "slice to np.add.at": lambda x: np.add.at(x, slice(1), 1.0),
    "reduce initial": lambda x: np.add.reduce(x, initial=0.0), "too many": lambda x: x.sum(0, None, None, False, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_unknown_arguments_are_refused(x, call):
    with pytest.raises(TypeError):
        call(x)


@pytest.mark.parametrize("f", [np.maximum, np.minimum, np.logaddexp, np.subtract, np.logical_or])
def test_only_add_and_multiply_reduce(x, f):
    with pytest.raises((NotImplementedError, TypeError)):
        f.reduce(x)
    assert to_host(np.add.reduce(x, axis=1)).tolist() == [3, 12]
    assert to_host(np.multiply.reduce(x)).tolist() == [0, 4, 10]


# What there is, agrees
@pytest.mark.parametrize("name", ["erf", "psi", "digamma", "gammaln", "expit", "log_expit", "ndtr", "log_ndtr", "ndtri", "i0e"])
def test_ufuncs_of_scipy_dispatch_by_name(cp, name):
    f, a = getattr(special, name), np.linspace(0.1, 0.9, 5)
    y = f(cp.asarray(a))
    assert isinstance(y, cp.ndarray)
    np.testing.assert_allclose(y.get(), f(a), rtol=1e-12)


def test_zeta_is_a_function_of_cupyx(cp):
    from cupyx.scipy.special import zeta

    np.testing.assert_allclose(zeta(2, cp.asarray([1.0])).get(), np.pi**2 / 6)


SHARED = {
    "np.exp": np.exp, "np.sum": lambda x: np.sum(x, axis=0), "np.linalg.norm": lambda x: np.linalg.norm(x, axis=1),
    "np.where": lambda x: np.where(x > 1, x, 0.0), "concatenate": lambda x: np.concatenate([x, x]), "reflected": lambda x: 2 - x,
    "power": lambda x: 2.0**x, "einsum": lambda x: np.einsum("ij,kj->ik", x, x), "index": lambda x: x[::-1, 1:],
    "ints": lambda x: x[[1, 1, 0]], "count": np.count_nonzero, "allclose": lambda x: np.allclose(x, x),
    "equal": lambda x: np.array_equal(x, -x),
    "transpose": lambda x: x.T @ x, "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1), "abs": abs,
    "invert": lambda x: ~(x > 1), "pad": lambda x: np.pad(x, 1), "cumsum": lambda x: x.cumsum(0),
    "zeros_like": lambda x: np.zeros_like(x, shape=4),
    "mod": lambda x: x % 2 + x // 2, "clip": lambda x: np.clip(x, 1, 4), "argsort": lambda x: np.argsort(-x, axis=1),
    "eigh": lambda x: np.linalg.eigh(x.T @ x)[0], "out": lambda x: np.add(x, 1, out=np.empty_like(x)),
    "real": lambda x: x.real + x.imag,
    "slogdet": lambda x: np.linalg.slogdet(x @ x.T)[1], "outer": lambda x: np.multiply.outer(x[0], x[1]),
    "float": lambda x: x.astype(float),
}  # fmt: skip


@pytest.mark.parametrize("f", SHARED.values(), ids=SHARED)
def test_what_both_have_agrees_and_stays_on_the_device(cp, x, f):
    y, expected = f(x), np.asarray(f(HOST))
    assert isinstance(y, cp.ndarray)
    assert y.dtype == expected.dtype and y.shape == expected.shape
    np.testing.assert_allclose(y.get(), expected, rtol=1e-5, atol=1e-5)


def test_shapes_are_host_values(x):
    assert (np.shape(x), np.ndim(x), np.size(x), len(x)) == ((2, 3), 2, 6, 2)
    assert type(np.ndim(x)) is int and np.result_type(x, 1.0) == np.float32


def test_arrays_live_elsewhere(cp, x):
    assert x.device != "cpu" and array_module(x) is cp and array_module(HOST) is np
    assert not isinstance(x, np.ndarray)


# Reductions are arrays
@pytest.mark.parametrize("reduce", [np.sum, np.mean, np.max, lambda x: x.std(), lambda x: x[0, 0], lambda x: np.dot(x[0], x[1]), np.median])
def test_reductions_give_arrays_without_axes(cp, x, reduce):
    y = reduce(x)
    assert isinstance(y, cp.ndarray) and y.shape == ()
    with pytest.raises(TypeError):
        hash(y)


def test_a_shared_value_changes_under_a_second_name(x):
    total = shared = x.sum()
    total += 1  # on NumPy this makes a new scalar
    assert float(shared) == HOST.sum() + 1
    element = x[0, 1]
    element += 10
    assert float(x[0, 1]) == 11


@pytest.mark.parametrize("use", [lambda i: range(i), lambda i: [1, 2, 3][i], lambda i: np.zeros(i), iter, len])
def test_a_device_number_is_no_host_integer(cp, use):
    with pytest.raises(TypeError):
        use(cp.asarray(2))


# Waits
WAITS = {
    "float": float, "int": int, "bool": lambda s: bool(s > 0), "item": lambda s: s.item(), "print": repr, "format": lambda s: f"{s:.2f}",
    "get": lambda s: s.get(), "to_host": to_host, "if": lambda s: 1 if s > 0 else 0, "tolist": lambda s: s.tolist(),
    "in": lambda s: 3 in s[None], "masked write": lambda s: s[None].__setitem__(s[None] > 0, 0.0), "True as index": lambda s: s[None][True],
    "mask": lambda s: s[None][s[None] > 0], "nonzero": lambda s: np.nonzero(s[None]), "one-argument where": lambda s: np.where(s[None]),
    "unique": lambda s: np.unique(s[None]), "bincount": lambda s: np.bincount(s[None].astype(int)),
    "allclose": lambda s: bool(np.allclose(s, s)),
}  # fmt: skip


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_waits_can_be_forbidden(x, wait):
    s = x.sum()
    wait(s)
    with standin.forbid("sync"), pytest.raises(Exception, match=r"(?i)sync"):
        wait(s)
    wait(s)


@pytest.mark.parametrize("f", SHARED.values(), ids=SHARED)
def test_arithmetic_does_not_wait(x, f):
    f(x)
    with standin.forbid("sync"):
        f(x)


# Writing
def test_duplicates_in_an_assignment_are_caught(cp):
    if standin.real_cupy():
        pytest.skip("CuPy stores any of the values")
    x = cp.zeros(3)
    with pytest.raises(ValueError, match=r"add\.at"):
        x[cp.asarray([0, 0])] = cp.asarray([1.0, 2.0])


def test_scatter_add_adds_duplicates(cp):
    x = cp.zeros(3)
    np.add.at(x, cp.asarray([0, 0, 2]), cp.asarray([1.0, 2.0, 3.0]))
    x[cp.asarray([1, 0])] = cp.asarray([5.0, 6.0])
    x[x > 5] = 7.0
    assert x.get().tolist() == [7, 5, 3]
    cp.add.at(x, (cp.asarray([0, 0]),), 1.0)
    assert x.get().tolist() == [9, 5, 3]
    if not standin.real_cupy():
        with pytest.raises(TypeError):  # newer than CuPy 14.2
            np.add.at(x.astype(np.int64), cp.asarray([0]), 1)


@pytest.mark.parametrize("value", [np.ones(3), [1.0, 2.0, 3.0], (1.0, 2.0, 3.0)])
def test_host_values_cannot_be_written(x, value):
    with pytest.raises((ValueError, TypeError)):
        x[0] = value


def test_an_index_out_of_range_is_caught(cp):
    if standin.real_cupy():
        pytest.skip("CuPy wraps around")
    with pytest.raises(IndexError):
        cp.zeros(3)[cp.asarray([3])]


# Silence
def test_no_floating_point_warnings(cp):  # warnings are errors in this suite
    x = cp.asarray([0.0, -1.0, 1e300])
    assert np.isnan(np.log(x)[1]) and np.isinf(x * x)[2] and np.isinf((1 / x)[0]) and np.isinf(-np.exp(x))[2]
    x *= x
    assert np.isinf(x.sum()) and np.isinf(np.linalg.norm(x))


@pytest.mark.parametrize("f", [np.linalg.inv, np.linalg.cholesky, lambda a: np.linalg.solve(a, a)])
def test_a_failed_factorisation_is_not_finite_instead_of_an_error(cp, f):
    a = -cp.ones((2, 2))
    y = f(a)
    assert y.shape == (2, 2) and not bool(np.isfinite(y).all())


# Random numbers
def test_like_takes_an_empty_shape_for_none(x):
    """CuPy's own; so a result without axes is made by summing, not by np.zeros_like(x, shape=())."""
    assert np.zeros_like(x, shape=()).shape == np.full_like(x, 1.0, shape=[]).shape == (2, 3)


@pytest.mark.parametrize(("a", "b"), [((2, 2), (3, 2, 1)), ((3, 2, 2), (2, 1))])
def test_solve_does_not_broadcast_stacks(cp, a, b):
    with pytest.raises(ValueError):
        np.linalg.solve(cp.ones(a) + cp.eye(2), cp.ones(b))
    assert np.linalg.solve(cp.ones(a) + cp.eye(2), cp.ones(2)).shape == a[:-1]


def test_seeds_give_other_numbers_reproducibly(cp):
    draw = lambda seed: cp.random.default_rng(seed).standard_normal((4,), dtype=np.float32)
    assert draw(0).dtype == np.float32
    assert (draw(0) == draw(0)).all() and not (draw(0) == draw(1)).any()
    assert not np.isin(draw(0).get(), np.random.default_rng(0).standard_normal(4, dtype=np.float32)).any()
    assert cp.random.default_rng(0).uniform(2, 3, 5, dtype=np.float32).dtype == np.float32
