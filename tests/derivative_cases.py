"""The cases on which the table of derivatives is checked: a function, inputs in a smooth part of its domain, and what it is about.

Every function takes arrays and gives one array. `analytic` says that it takes complex numbers and is holomorphic there, so
that the complex step gives its derivative without rounding.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special as sp

import minigen as mg
from minigen import derivatives as d
from minigen import functions as fn
from minigen import linear_algebra as la
from minigen import special, tensor
from minigen.backend import array_module

rng = np.random.default_rng(20)


@dataclass(frozen=True)
class Case:
    """`f(*args)` exercises the row of the table that `key` has."""

    name: str
    key: Callable
    f: Callable
    args: tuple
    analytic: bool


CASES = []


def case(key, *args, f=None, of="", analytic=True):
    """Add a case about the function `key`; `f` is how it is called where that is not key(*args), `of` tells the cases of a key apart."""
    name = getattr(key, "__name__", str(key)) + (f":{of}" if of else "")
    assert name not in {c.name for c in CASES}, name
    CASES.append(Case(name, key, f or key, args, analytic))


def real(key, *args, f=None, of=""):
    """A case that has no complex form."""
    case(key, *args, f=f, of=of, analytic=False)


def between(low, high, *shape):
    """Uniform numbers."""
    return rng.uniform(low, high, shape)


def constant(values, x):
    """An array of the library and precision of x: a constant that does not widen it."""
    return array_module(x).asarray(values, dtype=np.float32 if x.dtype == np.float32 else np.float64)


def spread(*shape):
    """Numbers of both signs in random order, 0.1 apart and none near 0, so that no order and no sign changes nearby."""
    n = int(np.prod(shape))
    return rng.permutation(0.1 * (np.arange(n) - n // 2) + 0.04).reshape(shape)


def positive_definite(*batch, n=3):
    """Well-conditioned symmetric matrices."""
    a = between(-1, 1, *batch, n, n)
    return a @ np.swapaxes(a, -1, -2) + 2 * np.eye(n)


def symmetric(f):
    """f of the symmetric part of its argument: the decompositions read one triangle only."""
    return lambda a: f(0.5 * (a + np.swapaxes(a, -1, -2)))


# One array in, element by element: (function, domain, whether it takes complex numbers)
UNARY = [
    (np.negative, -2, 2, True), (np.positive, -2, 2, True), (np.reciprocal, 0.5, 2, True), (np.square, -2, 2, True),
    (np.sqrt, 0.3, 3, True), (np.exp, -2, 2, True), (np.exp2, -2, 2, True), (np.expm1, -2, 2, True),
    (np.log, 0.3, 3, True), (np.log1p, -0.6, 3, True), (np.log2, 0.3, 3, True), (np.log10, 0.3, 3, True),
    (np.sin, -3, 3, True), (np.cos, -3, 3, True), (np.tan, -1, 1, True), (np.sinh, -2, 2, True), (np.cosh, -2, 2, True),
    (np.tanh, -2, 2, True), (np.arcsin, -0.7, 0.7, True), (np.arccos, -0.7, 0.7, True), (np.arctan, -3, 3, True),
    (np.arcsinh, -3, 3, True), (np.arctanh, -0.7, 0.7, True), (sp.erf, -2, 2, True), (sp.erfc, -2, 2, True),
    (sp.erfinv, -0.8, 0.8, False), (sp.ndtr, -2, 2, True), (sp.log_ndtr, -3, 2, True), (sp.ndtri, 0.15, 0.85, False),
    (sp.expit, -3, 3, False), (sp.log_expit, -3, 3, False), (sp.logit, 0.2, 0.8, False), (sp.gammaln, 0.5, 4, False),
    (sp.digamma, 0.7, 4, True), (fn.sigmoid, -3, 3, True), (fn.softplus, -3, 3, False), (fn.log_sigmoid, -3, 3, False),
    (fn.silu, -3, 3, True), (fn.gelu, -3, 3, True),
]  # fmt: skip
for function, low, high, takes_complex in UNARY:
    case(function, between(low, high, 2, 3), analytic=takes_complex)
real(np.absolute, spread(2, 3))
real(fn.relu, spread(2, 3))
real(sp.gammaln, between(-0.8, -0.2, 3), of="negative")

# Two arrays in, broadcast: (function, domains)
BINARY = [
    (np.add, -2, 2, -2, 2, True), (np.subtract, -2, 2, -2, 2, True), (np.multiply, -2, 2, -2, 2, True), (np.divide, -2, 2, 0.5, 2, True),
    (np.power, 0.4, 2, -2, 2, True), (np.logaddexp, -2, 2, -2, 2, False), (np.arctan2, 0.3, 2, -2, 2, False),
    (sp.betaln, 0.5, 3, 0.5, 3, False), (sp.xlogy, -2, 2, 0.5, 2, True), (sp.xlog1py, -2, 2, -0.5, 2, True),
]  # fmt: skip
SHAPES = {"same": ((2, 3), (2, 3)), "row": ((2, 3), (3,)), "column": ((2, 1), (1, 3)), "0-d": ((), (2, 2)), "stack": ((2, 1, 2), (3, 1))}
for function, la_, ha, lb, hb, takes_complex in BINARY:
    for label, (a, b) in SHAPES.items():
        case(function, between(la_, ha, *a), between(lb, hb, *b), of=label, analytic=takes_complex)
for label, (a, b) in SHAPES.items():
    for function in (np.maximum, np.minimum):
        pool = spread(int(np.prod(a)) + int(np.prod(b)))
        real(function, pool[: int(np.prod(a))].reshape(a), pool[int(np.prod(a)) :].reshape(b), of=label)
    mask = between(0, 1, *np.broadcast_shapes(a, b)) < 0.5
    choose = (lambda a, b, mask=mask: np.where(array_module(a).asarray(mask), a, b))
    case(np.where, between(-2, 2, *a), between(-2, 2, *b), f=choose, of=label)
real(special.hurwitz_zeta, between(1, 3, 4), f=lambda x: special.hurwitz_zeta(3, x))
for n in (0, 1, 2, 3, 0.5, -1):
    case(np.power, between(0.4, 2, 3), f=lambda x, n=n: x**n, of=f"x**{n}")
case(np.power, between(0.4, 2, 2, 3), f=lambda x: x ** constant([0, 1, 2], x), of="array exponents")
case(np.power, between(0.4, 2, 2, 3), np.array([0.0, 1.0, 2.0]), of="whole exponents")
case(np.power, np.array([-1.5, -0.5, 1.0, 0.5]), f=lambda x: x ** constant([2, 3, 0, 1], x), of="negative bases")
case(np.power, between(-2, 2, 3), f=lambda n: 2**n, of="2**n")
real(np.clip, 4 * spread(3, 4), f=lambda x: np.clip(x, -0.9, 0.7), of="numbers")
real(np.clip, 4 * spread(3, 4), f=lambda x: np.clip(x, None, 0.7), of="upper")
real(np.clip, 4 * spread(3, 4), f=lambda x: x.clip(min=-0.9), of="method, lower")
real(np.clip, 4 * spread(3, 4), f=lambda x: x.clip(max=0.7), of="method, upper")
real(d.clip, 4 * spread(3, 4), np.array([-0.91, -0.52, -0.33, -0.14]), np.array([[0.36], [0.58], [0.72]]), f=np.clip)

# Reductions
for label, options in {"all": {}, "axis": {"axis": 1}, "axes": {"axis": (0, -1)}, "kept": {"axis": -2, "keepdims": True}}.items():
    for function in (np.sum, np.mean, np.prod):
        case(function, between(0.5, 1.5, 2, 3, 2), f=lambda x, function=function, options=options: function(x, **options), of=label)
    for function in (np.max, np.min, np.amax, np.amin):
        real(function, spread(2, 3, 2), f=lambda x, function=function, options=options: function(x, **options), of=label)
    for function in (np.var, np.std, fn.logsumexp):
        real(function, between(-1, 1, 2, 3, 2), f=lambda x, function=function, options=options: function(x, **options), of=label)
    real(la.length, between(-1, 1, 2, 3, 2), f=lambda x, options=options: la.length(x, **options), of=label)
for function in (np.sum, np.mean, np.prod, np.var, np.std, np.max, np.min):
    real(function, spread(2, 3), f=lambda x, name=function.__name__: getattr(x, name)(axis=1), of="method")
case(np.prod, np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 1.5], [0.5, -1.0, 2.0]]), f=lambda x: np.prod(x, axis=1), of="zeros")
case(np.prod, between(0.5, 1.5, 5), of="odd count")
real(np.var, between(-1, 1, 2, 3), f=lambda x: x.var(0, ddof=1), of="ddof")
real(np.std, between(-1, 1, 2, 3), f=lambda x: x.std(1, ddof=1, keepdims=True), of="ddof")
real(np.std, between(-1, 1, 2, 3), f=lambda x: np.std(x, axis=0, correction=1), of="correction")
case(np.cumsum, between(-1, 1, 2, 3), of="flattened")
case(np.cumsum, between(-1, 1, 2, 3), f=lambda x: np.cumsum(x, axis=0), of="axis 0")
case(np.cumsum, between(-1, 1, 2, 3), f=lambda x: x.cumsum(-1), of="axis -1")
for axis in (-1, 0):
    case(fn.softmax, between(-2, 2, 2, 3), f=lambda x, axis=axis: fn.softmax(x, axis=axis), of=f"axis {axis}", analytic=False)
    case(fn.log_softmax, between(-2, 2, 2, 3), f=lambda x, axis=axis: fn.log_softmax(x, axis=axis), of=f"axis {axis}", analytic=False)

# Order and choice
for axis in (-1, 0, None):
    real(np.sort, spread(3, 4), f=lambda x, axis=axis: np.sort(x, axis), of=f"axis {axis}")
case(np.take, between(-1, 1, 3, 4), f=lambda x: np.take(x, [1, 1, -2], axis=1), of="axis 1")
case(np.take, between(-1, 1, 3, 4), f=lambda x: x.take(np.array([[0, 5], [5, -1]])), of="flattened")
case(np.take, between(-1, 1, 3, 4), f=lambda x: np.take(x, 2, 0), of="one")
rows = np.array([[2, 0, 0], [1, 1, 3]])
case(np.take_along_axis, between(-1, 1, 2, 4), f=lambda x: np.take_along_axis(x, rows, 1), of="axis 1")
case(np.take_along_axis, between(-1, 1, 4, 3), f=lambda x: np.take_along_axis(x, rows, 0), of="axis 0")
case(np.take_along_axis, between(-1, 1, 4, 3), f=lambda x: np.take_along_axis(x, np.array([[3], [3]]), axis=0), of="broadcast indices")
case(np.take_along_axis, between(-1, 1, 4, 3), f=lambda x: np.take_along_axis(x, np.array([3, 3, 11]), None), of="flattened")
upper = np.triu(np.ones((3, 4), dtype=bool))
INDICES = {
    "int": 1, "negative int": -1, "NumPy int": np.int64(1), "slice": slice(0, 2), "negative step": slice(None, None, -2), "pair": (1, -2),
    "ellipsis": (..., 1), "new axis": (None, slice(None), None, 2), "mask": upper, "row mask": np.array([True, False, True]),
    "list": [0, 0, 2], "repeats": np.array([1, 1, -1]), "matrix of ints": np.array([[0, 1], [1, 1]]), "two arrays": ([0, 0, 2], [3, 3, 1]),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 1])), "array and slice": (slice(1, None), np.array([0, 0, 3])),
    "mask and int": (np.array([True, False, True]), 1), "nothing": slice(0, 0), "all": ..., "empty tuple": (), "bool": True,
}  # fmt: skip
for label, index in INDICES.items():
    case(operator.getitem, between(-1, 1, 3, 4), f=lambda x, index=index: x[index], of=label)
    filled = np.zeros((3, 4))[index].shape
    case(d.scatter_add, between(-1, 1, *filled), f=lambda g, index=index: d.scatter_add(g, index, (3, 4)), of=label)

# Joining and cutting
case(np.concatenate, between(-1, 1, 2, 3), between(-1, 1, 1, 3), f=lambda a, b: np.concatenate([a, b, a]), of="axis 0")
case(np.concatenate, between(-1, 1, 2, 1, 2), between(-1, 1, 2, 3, 2), f=lambda a, b: np.concatenate((b, a), axis=-2), of="axis -2")
case(np.concatenate, between(-1, 1, 2, 1), between(-1, 1, 3), f=lambda a, b: np.concatenate((b, a), axis=None), of="flattened")
case(np.concatenate, between(-1, 1, 2), f=lambda a: np.concatenate([constant([1, 2, 3], a), a, constant([4], a)]), of="with constants")
case(d.join, between(-1, 1, 2, 3), between(-1, 1, 2, 1), f=lambda a, b: d.join(1, a, b))
for axis in (0, 1, -1):
    case(np.stack, between(-1, 1, 2, 3), between(-1, 1, 2, 3), f=lambda a, b, axis=axis: np.stack([a, b, a], axis=axis), of=f"axis {axis}")
for function in (np.split, np.array_split):
    parts = (lambda x, function=function: sum(k * p for k, p in enumerate(function(x, 3, axis=1), 1)))
    case(function, between(-1, 1, 2, 6), f=parts, of="equal")
    unequal = (lambda x, function=function: function(x, [1, 3], -1)[1] * function(x, [1, 3], -1)[0])
    case(function, between(-1, 1, 2, 6), f=unequal, of="at")
case(np.array_split, between(-1, 1, 5), f=lambda x: np.concatenate(np.array_split(x, 3)[::-1]), of="unequal")

# Shapes
A, B = between(-1, 1, 2, 3), between(-1, 1, 2, 1, 6)
SHAPING = {
    np.reshape: [lambda x: np.reshape(x, (3, 4)), lambda x: x.reshape(1, -1), lambda x: x.reshape((12,))],
    np.ravel: [np.ravel, lambda x: x.ravel()], np.copy: [np.copy, lambda x: x.copy()],
    np.transpose: [
        np.transpose, lambda x: x.T, lambda x: np.transpose(x, (2, 0, 1)), lambda x: x.transpose(1, -1, 0),
        lambda x: x.transpose((2, 1, 0)),
    ],
    np.swapaxes: [lambda x: np.swapaxes(x, 0, -1), lambda x: x.swapaxes(1, 2), lambda x: x.mT],
    np.matrix_transpose: [np.matrix_transpose], np.linalg.matrix_transpose: [np.linalg.matrix_transpose],
    np.moveaxis: [lambda x: np.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, (0, 2), (-1, 0)), lambda x: np.moveaxis(x, (0, 1), (1, 0))],
    np.squeeze: [np.squeeze, lambda x: x.squeeze(1), lambda x: np.squeeze(x, axis=(-2,))],
    np.expand_dims: [lambda x: np.expand_dims(x, 1), lambda x: np.expand_dims(x, (0, -1))],
    np.broadcast_to: [lambda x: np.broadcast_to(x, (2, 2, 6)), lambda x: np.broadcast_to(x, (2, 2, 4, 6))],
    np.tile: [lambda x: np.tile(x, 2), lambda x: np.tile(x, (2, 1, 2)), lambda x: np.tile(x, (2, 1, 1, 2))],
    np.repeat: [lambda x: np.repeat(x, 2), lambda x: x.repeat([2, 0, 1, 1, 0, 1], axis=2), lambda x: np.repeat(x, 3, axis=0)],
    np.roll: [
        lambda x: np.roll(x, 1), lambda x: np.roll(x, -4, axis=2), lambda x: np.roll(x, (1, 2), (0, -1)), lambda x: np.roll(x, 1, (0, 2)),
    ],
    np.flip: [np.flip, lambda x: np.flip(x, 0), lambda x: np.flip(x, (-1, 0))],
}  # fmt: skip
for key, functions in SHAPING.items():
    for i, function in enumerate(functions):
        case(key, B, f=function, of=f"{i}" + (" linalg" if key is np.linalg.matrix_transpose else ""))
for mode in ("constant", "reflect", "edge", "wrap", "symmetric"):
    for label, widths in {"number": 2, "pair": (1, 2), "pairs": ((0, 1), (2, 0)), "long": ((5, 0), (0, 7))}.items():
        case(np.pad, A, f=lambda x, widths=widths, mode=mode: np.pad(x, widths, mode), of=f"{mode}, {label}")
case(np.pad, A, f=lambda x: np.pad(x, 1, constant_values=0.7), of="value")
case(d.pad_constant, A, f=lambda x: d.pad_constant(x, ((1, 0), (0, 2)), 0.5))
for k in (-1, 0, 1):
    case(np.tril, between(-1, 1, 3, 4), f=lambda x, k=k: np.tril(x, k), of=str(k))
    case(np.triu, between(-1, 1, 2, 3, 3), f=lambda x, k=k: np.triu(x, k=k), of=str(k))
    case(np.diag, between(-1, 1, 3, 4), f=lambda x, k=k: np.diag(x, k), of=f"of a matrix, {k}")
    case(np.diag, between(-1, 1, 3), f=lambda x, k=k: np.diag(x, k), of=f"of a vector, {k}")
    case(np.trace, between(-1, 1, 3, 4, 2), f=lambda x, k=k: np.trace(x, k, axis1=1, axis2=0), of=str(k))
    case(np.diagonal, between(-1, 1, 2, 4, 3), f=lambda x, k=k: np.diagonal(x, k, -1, 1), of=str(k))
case(np.trace, between(-1, 1, 3, 3), f=lambda x: x.trace(), of="method")
case(np.diagonal, between(-1, 1, 3, 3), f=lambda x: x.diagonal(), of="method")
case(np.full_like, np.array(0.7), f=lambda x: np.full_like(x * np.ones_like(x, shape=(2, 3)), x))
if hasattr(np, "astype"):
    case(np.astype, A, f=lambda x: np.astype(x, x.dtype))
case(tensor.astype, A, f=lambda x: x.astype(x.dtype), of="method")
real(tensor.identity, A, f=mg.grad(lambda x: np.sum(x**3)))  # every nested vjp records it

# Products
MATMUL = [
    ((3,), (3,)), ((2, 3), (3,)), ((2,), (2, 3)), ((2, 3), (3, 2)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)), ((4, 1, 2, 3), (2, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((2, 2, 2, 3), (3, 1)),
]  # fmt: skip
for a, b in MATMUL:
    case(np.matmul, between(-1, 1, *a), between(-1, 1, *b), f=operator.matmul, of=f"{a} @ {b}")
DOT = [((), ()), ((), (2, 2)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 2)), ((4, 3), (2, 3, 2)), ((2, 2, 3), (3,))]
for a, b in DOT:
    case(np.dot, between(-1, 1, *a), between(-1, 1, *b), of=f"{a}, {b}")
case(np.dot, between(-1, 1, 2, 3), between(-1, 1, 3), f=lambda a, b: a.dot(b), of="method")
for a, b in [((), (2,)), ((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,))]:
    case(np.inner, between(-1, 1, *a), between(-1, 1, *b), of=f"{a}, {b}")
case(np.outer, between(-1, 1, 2), between(-1, 1, 3))
case(np.outer, between(-1, 1, 2, 2), between(-1, 1), of="flattened")
TENSORDOT = {
    "2": ((4, 2, 3), (2, 3, 2), 2), "1": ((2, 3, 2), (2, 3), 1), "0": ((2, 2), (2, 2), 0), "numbers": ((2, 3), (3, 2), (1, 0)),
    "lists": ((2, 2, 3), (3, 2, 2), ([0, -1], [1, 0])),
}  # fmt: skip
for label, (a, b, axes) in TENSORDOT.items():
    case(np.tensordot, between(-1, 1, *a), between(-1, 1, *b), f=lambda a, b, axes=axes: np.tensordot(a, b, axes), of=label)
EINSUM = {
    "ij,jk->ik": ((2, 3), (3, 2)), "ij,jk": ((2, 3), (3, 2)), "ba": ((2, 3),), "ii": ((3, 3),), "ii->i": ((3, 3),),
    "iji->j": ((2, 3, 2),), "...ij,...jk->...ik": ((2, 2, 3), (3, 2)),
    "ij->": ((2, 3),), "i,j,k->kji": ((2,), (3,), (2,)), "ij,ij,jk->ik": ((2, 3), (2, 3), (3, 2)),
    "...i->...": ((2, 3),), "i...,i": ((3, 2), (3,)), "ij,j->j": ((2, 3), (3,)), "ijk,j->i": ((2, 3, 2), (3,)), "ii,i->": ((3, 3), (3,)),
    " i j , k j -> k i ": ((2, 3), (2, 3)), "ij,ij->ij": ((1, 3), (2, 3)), "i,i->": ((3,), (1,)), "...k,...k->...": ((1, 2, 3), (4, 1, 3)),
    "iij,jj": ((2, 2, 3), (3, 3)), ",i->i": ((), (3,)), "ab,bc->ac": ((1, 3), (3, 1)), "...a,...a->...": ((2, 3, 2), (3, 2)),
}  # fmt: skip
for subscripts, shapes in EINSUM.items():
    case(np.einsum, *(between(-1, 1, *s) for s in shapes), f=lambda *x, subscripts=subscripts: np.einsum(subscripts, *x), of=subscripts)
case(la.contract, between(-1, 1, 2, 3), between(-1, 1, 3, 2), f=lambda a, b: la.contract("ij,jk->ki", a, b))
for shape in ((3,), (2, 3), (2, 2, 3)):
    case(fn.affine, between(-1, 1, *shape), between(-1, 1, 3, 2), between(-1, 1, 2), of=str(shape))

# Inverses, determinants, decompositions
well, wells = between(-1, 1, 3, 3) + 2 * np.eye(3), between(-1, 1, 2, 2, 2) + 2 * np.eye(2)
for label, a in {"": well, "stack": wells}.items():
    case(np.linalg.inv, a, of=label)
    case(np.linalg.det, a, of=label)
    real(la.log_abs_det, -a, of=label)
    real(np.linalg.slogdet, a[..., ::-1, :], f=lambda a: np.linalg.slogdet(a).logabsdet * np.linalg.slogdet(a)[0], of=label)
SOLVE = [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 2, 2), (2, 2, 3)), ((2, 2, 2), (2, 1)), ((2, 2), (3, 2, 1)), ((2, 2, 2), (2,))]
for a, b in SOLVE:
    case(np.linalg.solve, between(-1, 1, *a) + 2 * np.eye(a[-1]), between(-1, 1, *b), of=f"{a}, {b}")
case(la.solve, well, between(-1, 1, 3, 2))
distinct = symmetric(lambda a: a)(between(-0.3, 0.3, 2, 3, 3)) + np.diag([1.0, 2.0, 3.5])
for label, a in {"": positive_definite(), "stack": positive_definite(2, n=2)}.items():
    real(np.linalg.cholesky, a, f=symmetric(np.linalg.cholesky), of=label)
for label, a in {"": distinct[0], "stack": distinct}.items():
    real(np.linalg.eigvalsh, a, f=symmetric(np.linalg.eigvalsh), of=label)
    real(la.eigen, a, f=symmetric(lambda a: la.eigen(a) ** 2), of=label)  # a square has no sign to choose
    vectors = (lambda a: np.linalg.eigh(a).eigenvectors[..., 0, :] ** 2 * np.linalg.eigh(a)[0])
    real(np.linalg.eigh, a, f=symmetric(vectors), of=label)
for label, (shape, options) in {
    "vector": ((3,), {}), "matrix": ((2, 3), {}), "fro": ((2, 3), {"ord": "fro"}), "axis": ((2, 3), {"axis": 1}), "2": ((3,), {"ord": 2}),
    "kept": ((2, 3), {"axis": 0, "keepdims": True}), "1": ((2, 3), {"ord": 1, "axis": 1}), "inf": ((5,), {"ord": np.inf}),
    "axes": ((2, 2, 3), {"axis": (0, 2)}),
}.items():  # fmt: skip
    real(np.linalg.norm, 4 * spread(*shape), f=lambda x, options=options: np.linalg.norm(x, **options), of=label)
