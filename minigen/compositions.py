"""NumPy functions that are made of others: on a Tensor they are computed with functions that have a row in the table.

Their derivatives, of any order, then follow from the chain rule, and nothing can be wrong with them but their values.
"""

import numpy as np

from minigen.backend import array_module
from minigen.derivatives import clip, join, pad_constant, scatter_add
from minigen.tensor import Tensor, compositions, raw


def composes(func):
    """Name the NumPy function that the decorated one stands for."""

    def remember(f):
        compositions[func] = f
        return f

    return remember


def normal_axes(axis, ndim):
    """An axis argument (None, int or tuple) as a tuple of axes ≥ 0."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    for a in axes:
        if not -ndim <= a < ndim:
            raise np.exceptions.AxisError(a, ndim)
    return tuple(a % ndim for a in axes)


def along(x, axis, index):
    """x indexed along one axis."""
    return x[(slice(None),) * normal_axes(axis, x.ndim)[0] + (index,)]


def integers(x, n):
    """0, …, n − 1 in the library of x."""
    return array_module(x).arange(n)


# Reductions
@composes(np.mean)
def mean(x, axis=None, *, keepdims=False):
    """Sum over count."""
    return np.sum(x, axis=axis, keepdims=keepdims) / int(np.prod([x.shape[a] for a in normal_axes(axis, x.ndim)]))


@composes(np.var)
def var(x, axis=None, *, ddof=0, keepdims=False, correction=None):
    """Mean squared deviation, over n − ddof."""
    n = int(np.prod([x.shape[a] for a in normal_axes(axis, x.ndim)]))
    deviations = np.square(x - mean(x, axis, keepdims=True))
    return np.sum(deviations, axis=axis, keepdims=keepdims) / (n - (ddof if correction is None else correction))


@composes(np.std)
def std(x, axis=None, *, ddof=0, keepdims=False, correction=None):
    """Root of the variance."""
    return np.sqrt(var(x, axis, ddof=ddof, keepdims=keepdims, correction=correction))


@composes(np.prod)
def prod(x, axis=None, *, keepdims=False):
    """The product as a tree of halves, so that its derivatives hold at zeros too, where y/x would not."""
    axes = normal_axes(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    count = int(np.prod([x.shape[a] for a in axes]))
    if count == 0:
        return array_module(x).ones(kept if keepdims else tuple(x.shape[i] for i in rest), dtype=x.dtype)
    y = np.reshape(np.transpose(x, (*axes, *rest)), (count, *[x.shape[i] for i in rest]))
    while len(y) > 1:
        half = len(y) // 2
        y = np.concatenate([y[:half] * y[half : 2 * half], y[2 * half :]])
    return np.reshape(y, kept if keepdims else y.shape[1:])


compositions[np.amax] = lambda x, *args, **kwargs: np.max(x, *args, **kwargs)
compositions[np.amin] = lambda x, *args, **kwargs: np.min(x, *args, **kwargs)


# Order and choice
@composes(np.clip)
def clip_between(x, a_min=None, a_max=None, *, min=None, max=None):
    """x moved into [a_min, a_max], by either pair of names."""
    return clip(x, a_min if min is None else min, a_max if max is None else max)


@composes(np.take_along_axis)
def take_along_axis(x, indices, axis=-1):
    """x at integer indices that run along one axis."""
    if axis is None:
        return np.ravel(x)[indices]
    (axis,) = normal_axes(axis, x.ndim)
    place = [np.reshape(integers(x, n), (n,) + (1,) * (x.ndim - 1 - i)) for i, n in enumerate(x.shape)]
    place[axis] = indices
    return x[tuple(place)]


@composes(np.sort)
def sort(x, axis=-1):
    """x in ascending order along an axis: the permutation is a constant."""
    return take_along_axis(x, np.argsort(x, axis=axis), axis)


@composes(np.take)
def take(x, indices, axis=None):
    """x at integer indices along one axis, or of the flattened array."""
    return np.ravel(x)[indices] if axis is None else along(x, axis, indices)


# Shapes
@composes(np.full_like)
def full_like(x, fill_value, dtype=None, *, shape=None):
    """An array shaped like x, of one value, through which the derivative flows."""
    if type(fill_value) is Tensor:
        return array_module(x).zeros(x.shape if shape is None else shape, dtype=dtype or x.dtype) + fill_value
    return np.full_like(raw(x), fill_value, dtype=dtype, shape=shape)


compositions[np.ravel] = lambda x: np.reshape(x, (-1,))
compositions[np.copy] = lambda x: x
if hasattr(np, "astype"):
    compositions[np.astype] = lambda x, dtype: x.astype(dtype)
compositions[np.matrix_transpose] = compositions[np.linalg.matrix_transpose] = lambda x: np.swapaxes(x, -1, -2)


@composes(np.moveaxis)
def moveaxis(x, source, destination):
    """One or several axes moved, the others in their order."""
    source, destination = normal_axes(source, x.ndim), normal_axes(destination, x.ndim)
    order = [i for i in range(x.ndim) if i not in source]
    for to, a in sorted(zip(destination, source, strict=True)):
        order.insert(to, a)
    return np.transpose(x, order)


@composes(np.squeeze)
def squeeze(x, axis=None):
    """x without axes of length 1."""
    gone = [i for i, n in enumerate(x.shape) if n == 1] if axis is None else normal_axes(axis, x.ndim)
    return np.reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


@composes(np.expand_dims)
def expand_dims(x, axis):
    """x with new axes of length 1."""
    new = normal_axes(axis, x.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    old = iter(x.shape)
    return np.reshape(x, tuple(1 if i in new else next(old) for i in range(x.ndim + len(new))))


@composes(np.concatenate)
def concatenate(arrays, axis=0):
    """Arrays one after the other along an axis."""
    return join(0, *map(np.ravel, arrays)) if axis is None else join(axis, *arrays)


@composes(np.stack)
def stack(arrays, axis=0):
    """Arrays along a new axis."""
    return join(axis, *[np.expand_dims(a, axis) for a in arrays])


@composes(np.array_split)
def array_split(x, sections, axis=0):
    """x cut at positions, or into a number of nearly equal sections."""
    n = x.shape[axis]
    if isinstance(sections, int):
        sections = [i * (n // sections) + min(i, n % sections) for i in range(1, sections)]
    return [along(x, axis, slice(a, b)) for a, b in zip([0, *sections], [*sections, n], strict=True)]


@composes(np.split)
def split(x, sections, axis=0):
    """x cut at positions, or into a number of equal sections."""
    if isinstance(sections, int) and x.shape[axis] % sections:
        raise ValueError(f"split: an axis of length {x.shape[axis]} has no {sections} equal sections")
    return array_split(x, sections, axis)


@composes(np.repeat)
def repeat(x, repeats, axis=None):
    """Each element (of the flattened array, or along an axis) several times in a row."""
    x, axis = (np.ravel(x), 0) if axis is None else (x, axis)
    return along(x, axis, np.repeat(integers(x, x.shape[axis]), repeats))


@composes(np.tile)
def tile(x, reps):
    """x laid out several times along each axis."""
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    x = np.reshape(x, (1,) * (len(reps) - x.ndim) + x.shape)
    reps = (1,) * (x.ndim - len(reps)) + reps
    split, grown = [m for n in x.shape for m in (1, n)], [m for pair in zip(reps, x.shape, strict=True) for m in pair]
    copies = np.broadcast_to(np.reshape(x, split), grown)
    return np.reshape(copies, tuple(r * n for r, n in zip(reps, x.shape, strict=True)))


@composes(np.flip)
def flip(x, axis=None):
    """x in reverse order along axes."""
    return x[tuple(slice(None, None, -1) if i in normal_axes(axis, x.ndim) else slice(None) for i in range(x.ndim))]


@composes(np.roll)
def roll(x, shift, axis=None):
    """x moved along axes, what leaves at one end entering at the other."""
    if axis is None:
        return np.reshape(roll(np.ravel(x), shift, 0), x.shape)
    for s, a in np.broadcast(shift, axis):
        cut = x.shape[a] - s % max(x.shape[a], 1)
        x = np.concatenate([along(x, a, slice(cut, None)), along(x, a, slice(None, cut))], a)
    return x


@composes(np.pad)
def pad(x, pad_width, mode="constant", constant_values=0):
    """x in a frame: of a constant, or of its own elements as `mode` says ("reflect", "edge", "wrap", "symmetric")."""
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    if mode == "constant":
        if type(constant_values) is Tensor:
            raise TypeError("pad: constant_values is a Tensor; expected a number: join the frame with np.concatenate to differentiate it")
        return pad_constant(x, widths, constant_values)
    if mode not in ("reflect", "edge", "wrap", "symmetric"):
        raise NotImplementedError(f"pad: no derivative for mode={mode!r}; expected 'constant', 'reflect', 'edge', 'wrap' or 'symmetric'")
    for axis, width in enumerate(widths):
        x = along(x, axis, np.pad(integers(x, x.shape[axis]), width, mode))
    return x


# Diagonals
@composes(np.diagonal)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonals of the matrices that two axes span, as a last axis."""
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    n = integers(x, max(0, min(x.shape[-2] + min(offset, 0), x.shape[-1] - max(offset, 0))))
    return x[..., n + max(-offset, 0), n + max(offset, 0)]


@composes(np.trace)
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the diagonal."""
    return np.sum(diagonal(x, offset, axis1, axis2), axis=-1)


@composes(np.diag)
def diag(x, k=0):
    """The diagonal of a matrix, or the matrix with a diagonal."""
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag: the array has {x.ndim} dimensions; expected 1 or 2")
    i = integers(x, len(x))
    return scatter_add(x, (i + max(-k, 0), i + max(k, 0)), (len(x) + abs(k),) * 2)
