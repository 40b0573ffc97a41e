"""The table of derivatives: one row a NumPy function, one pullback an argument.

`vjp_of(f, rule, …)` says how the cotangent g of y = f(a, b, …) comes back to each argument: rule(g, y, a, b, …) = (∂y/∂a)ᵀ g.
Rules are NumPy themselves, hence differentiable again. Where two arrays were broadcast, `fit` sums g back to the shape of
one of them. Linear maps come in adjoint pairs, each the other's pullback: sum and broadcast_to, getitem and scatter_add.
Products of matrices and their inverses are in `linear_algebra`, SciPy's functions in `special`, and NumPy functions that
are made of others (mean, std, tile, …) in `compositions`.

Source: Griewank & Walther 2008, "Evaluating Derivatives".
"""

import operator

import numpy as np

from minigen.backend import array_module
from minigen.tensor import EachArgument, constants, primitive, pullbacks, vjp_of

LN2, LN10 = 0.6931471805599453, 2.302585092994046


def column_sums(g):
    """g.sum(0) of a matrix as a product with ones: BLAS does it several times faster than a reduction over rows."""
    return np.ones_like(g, shape=(len(g),)) @ g


def fit(g, x):
    """g summed over the axes along which x was broadcast, the adjoint of broadcasting."""
    shape = x.shape
    if g.shape == shape:
        return g
    if g.ndim == 2 and shape == g.shape[1:]:
        return column_sums(g)
    lead = g.ndim - len(shape)
    axes = tuple(i for i, n in enumerate(g.shape) if i < lead or (shape[i - lead] == 1 and n != 1))
    return np.reshape(np.sum(g, axis=axes), shape)


def mT(x):
    """The transpose of the last two axes."""
    return np.swapaxes(x, -1, -2)


def keep(y, x, axis):
    """y, a reduction of x over an axis (None, int or tuple), with the reduced axes put back as axes of length 1."""
    axes = range(x.ndim) if axis is None else [a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
    return np.reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


# Arithmetic
vjp_of(np.add, lambda g, y, a, b: fit(g, a), lambda g, y, a, b: fit(g, b))
vjp_of(np.subtract, lambda g, y, a, b: fit(g, a), lambda g, y, a, b: fit(-g, b))
vjp_of(np.multiply, lambda g, y, a, b: fit(g * b, a), lambda g, y, a, b: fit(g * a, b))
vjp_of(np.divide, lambda g, y, a, b: fit(g / b, a), lambda g, y, a, b: fit(-g * y / b, b))
vjp_of(np.negative, lambda g, y, x: -g)
vjp_of(np.positive, lambda g, y, x: g)
vjp_of(np.reciprocal, lambda g, y, x: -g * y * y)
vjp_of(np.square, lambda g, y, x: 2 * g * x)
vjp_of(np.sqrt, lambda g, y, x: 0.5 * g / y)
vjp_of(np.absolute, lambda g, y, x: g * np.sign(x))


def power_slope(a, n):
    """∂aⁿ/∂a = n aⁿ⁻¹, and exactly 0 at n = 0, where aⁿ⁻¹ may be infinite."""
    if np.ndim(n) == 0 and not hasattr(n, "dtype"):
        return np.zeros_like(a) if n == 0 else n * a ** (n - 1)
    return n * a ** np.where((n == 0) & (a == 0), 1, n - 1)


def log_or_zero(a):
    """log a where a > 0, else 0: ∂aⁿ/∂n = aⁿ log a tends to 0 with a for n > 0, and is no real number for a < 0."""
    return np.log(np.where(a > 0, a, 1)) if hasattr(a, "dtype") else float(np.log(a)) if a > 0 else 0.0


vjp_of(np.power, lambda g, y, a, n: fit(g * power_slope(a, n), a), lambda g, y, a, n: fit(g * y * log_or_zero(a), n))

# Exponentials, logarithms, trigonometry
vjp_of(np.exp, lambda g, y, x: g * y)
vjp_of(np.exp2, lambda g, y, x: g * y * LN2)
vjp_of(np.expm1, lambda g, y, x: g * (y + 1))
vjp_of(np.log, lambda g, y, x: g / x)
vjp_of(np.log1p, lambda g, y, x: g / (1 + x))
vjp_of(np.log2, lambda g, y, x: g / (x * LN2))
vjp_of(np.log10, lambda g, y, x: g / (x * LN10))
vjp_of(np.logaddexp, lambda g, y, a, b: fit(g * np.exp(a - y), a), lambda g, y, a, b: fit(g * np.exp(b - y), b))
vjp_of(np.sin, lambda g, y, x: g * np.cos(x))
vjp_of(np.cos, lambda g, y, x: -g * np.sin(x))
vjp_of(np.tan, lambda g, y, x: g * (1 + y * y))
vjp_of(np.sinh, lambda g, y, x: g * np.cosh(x))
vjp_of(np.cosh, lambda g, y, x: g * np.sinh(x))
vjp_of(np.tanh, lambda g, y, x: g * (1 - y * y))
vjp_of(np.arcsin, lambda g, y, x: g / np.sqrt(1 - x * x))
vjp_of(np.arccos, lambda g, y, x: -g / np.sqrt(1 - x * x))
vjp_of(np.arctan, lambda g, y, x: g / (1 + x * x))
vjp_of(np.arcsinh, lambda g, y, x: g / np.sqrt(1 + x * x))
vjp_of(np.arctanh, lambda g, y, x: g / (1 - x * x))
vjp_of(np.arctan2, lambda g, y, a, b: fit(g * b / (a * a + b * b), a), lambda g, y, a, b: fit(-g * a / (a * a + b * b), b))


# Choices. At a tie both arguments get half, the middle of the subgradients.
def share(a, b, g):
    """1 where a is chosen over b, ½ at a tie, 0 elsewhere, in the dtype of g."""
    return ((a > b) + 0.5 * (a == b)).astype(g.dtype)


vjp_of(np.maximum, lambda g, y, a, b: fit(g * share(a, b, g), a), lambda g, y, a, b: fit(g * share(b, a, g), b))
vjp_of(np.minimum, lambda g, y, a, b: fit(g * share(b, a, g), a), lambda g, y, a, b: fit(g * share(a, b, g), b))
vjp_of(np.where, None, lambda g, y, c, a, b: fit(np.where(c, g, 0), a), lambda g, y, c, a, b: fit(np.where(c, 0, g), b))


@primitive
def clip(x, low, high):
    """np.clip with both bounds in their places; None is no bound."""
    return np.clip(x, low, high)


vjp_of(
    clip,
    lambda g, y, x, low, high: fit(np.where(x == y, g, 0), x),
    lambda g, y, x, low, high: fit(np.where(x < low, g, 0), low),
    lambda g, y, x, low, high: fit(np.where(x > high, g, 0), high),
)


def extreme(g, y, x, axis=None, *, keepdims=False):
    """Pullback of max and min: to where the extreme was reached, in equal parts if in several places."""
    hit = (x == keep(y, x, axis)).astype(x.dtype)
    return keep(g, x, axis) * (hit / np.sum(hit, axis=axis, keepdims=True))


vjp_of(np.max, extreme)
vjp_of(np.min, extreme)

# Linear maps and their adjoints
vjp_of(np.sum, lambda g, y, x, axis=None, *, keepdims=False: np.broadcast_to(keep(g, x, axis), x.shape))
vjp_of(np.broadcast_to, lambda g, y, x, shape: fit(g, x))
vjp_of(np.reshape, lambda g, y, x, shape: np.reshape(g, x.shape))
vjp_of(np.swapaxes, lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2))
vjp_of(np.tril, lambda g, y, x, k=0: np.tril(g, k))
vjp_of(np.triu, lambda g, y, x, k=0: np.triu(g, k))


def inverse_permutation(axes):
    """The permutation of axes that undoes another."""
    return None if axes is None else sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))


vjp_of(np.transpose, lambda g, y, x, axes=None: np.transpose(g, inverse_permutation(axes)))


def reverse_cumsum(g, y, x, axis=None):
    """Pullback of cumsum: xᵢ is in yⱼ for j ≥ i. Without an axis, cumsum runs over the flattened array, and y is flat."""
    axis = 0 if axis is None else axis
    return np.reshape(np.flip(np.cumsum(np.flip(g, axis), axis), axis), x.shape)


vjp_of(np.cumsum, reverse_cumsum)


@primitive
def scatter_add(g, index, shape):
    """Zeros of a shape with g added at an index, repeated positions added up: the adjoint of x[index]."""
    out = array_module(g).zeros(shape, dtype=g.dtype)  # CuPy's zeros_like takes shape=() for none given
    parts = index if isinstance(index, tuple) else (index,)
    if any((getattr(p, "dtype", None) is not None and p.dtype != bool) or isinstance(p, list) for p in parts):
        array_module(out).add.at(out, index, g)  # np.add.at hands CuPy no tuples
    else:
        out[index] = g
    return out


vjp_of(operator.getitem, lambda g, y, x, index: scatter_add(g, index, x.shape))
vjp_of(scatter_add, lambda g, y, x, index, shape: g[index])


@primitive
def join(axis, *arrays):
    """np.concatenate of separate arguments, so that each has a place in the table."""
    return np.concatenate(arrays, axis)


def split_off(i, g, y, axis, *arrays):
    """Pullback of join to its i-th argument (the axis is the 0-th): the slice of g that it became."""
    sizes = [np.shape(a)[axis] for a in arrays[:i]]
    return g[(slice(None),) * (axis % g.ndim) + (slice(sum(sizes[:-1]), sum(sizes)),)]


pullbacks[join] = EachArgument(split_off)


@primitive
def pad_constant(x, widths, value):
    """x within a frame of a constant value; widths are (before, after) pairs, one an axis."""
    return np.pad(x, widths, constant_values=value)


vjp_of(pad_constant, lambda g, y, x, widths, value: g[tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True))])


constants.update(
    {np.sign, np.floor, np.ceil, np.rint, np.round, np.trunc, np.equal, np.not_equal, np.less, np.less_equal, np.greater}
    | {np.greater_equal, np.isfinite, np.isnan, np.isinf, np.isclose, np.allclose, np.array_equal, np.signbit, np.logical_not}
    | {np.argmax, np.argmin, np.argsort, np.searchsorted, np.count_nonzero, np.any, np.all, np.nonzero, np.shape, np.ndim, np.size}
    | {np.zeros_like, np.ones_like, np.empty_like, np.result_type, np.floor_divide, np.heaviside}
)
