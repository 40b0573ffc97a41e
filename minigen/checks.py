"""What functions ask of their arguments: a clear error names the argument and what was expected."""

import numpy as np

from minigen.backend import array_module
from minigen.tensor import Tensor
from minigen.tree import is_array, is_leaf

SHAPES = {2: "(n, D): images are flattened by {name}.reshape(len({name}), -1)", 3: "sequences (n, T, D)", 4: "images (n, H, W, C)"}


# ---- Arguments ----
def check_rng(rng):
    """TypeError unless rng can draw."""
    if not hasattr(rng, "integers"):  # the old RandomState and the global numpy.random have none
        raise TypeError(f"rng is {rng!r}; expected a random generator, as numpy.random.default_rng(0)")


def check_count(name, n):
    """ValueError unless n is a whole number ≥ 1."""
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise ValueError(f"{name} is {n!r}; expected a whole number ≥ 1")


def check_rank(k, largest, meaning):
    """Raise unless k is an integer in 1 … largest."""
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= largest:
        raise ValueError(f"k is {k!r}; expected an integer with 1 ≤ k ≤ {meaning} = {largest}")


def check_choice(name, value, choices):
    """ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")


# ---- What models are fitted to ----
def check_data(x, least=1, rank=2, name="x"):
    """Raise unless x is a finite floating-point array (n, …) with n ≥ least and no empty axis; rank None takes any from 2 on."""
    if not is_leaf(x):
        kind = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"{name} is {kind}; expected a floating-point array, such as {name}.astype(np.float32)")
    if x.ndim < 2 or x.ndim != (rank or x.ndim) or 0 in x.shape[1:]:
        raise ValueError(f"{name} has shape {x.shape}; expected {SHAPES[rank].format(name=name) if rank else '(n, …)'}")
    check_rows(x, least, name)


def check_rows(x, least, name):
    """Raise unless x has n ≥ least rows of finite numbers."""
    if x.shape[0] < least:
        raise ValueError(f"{name} has n = {x.shape[0]} rows; expected at least {least}")
    if not bool(np.all(np.isfinite(x))):
        raise ValueError(f"{name} has NaN or infinite entries; expected finite numbers")


def check_binary(x, name="x"):
    """Raise unless x is a floating-point array (n, D) of zeros and ones."""
    check_data(x, name=name)
    if not bool(np.all((x == 0) | (x == 1))):
        raise ValueError(f"{name} holds values other than 0 and 1; expected binary data, such as ({name} > 0.5).astype({name}.dtype)")


def check_columns(x, columns, name="x"):
    """Raise unless the array or Tensor x has shape (n, columns)."""
    if x.ndim != 2 or x.shape[1] != columns:
        raise ValueError(f"{name} has shape {x.shape}; expected (n, {columns})")


def check_labels(y, n, classes=None, name="y"):
    """Raise unless y holds n integers in 0 … classes − 1 (or ≥ 0, where classes is None); returns the number of classes."""
    if not is_array(y) or y.ndim != 1 or y.shape[0] != n or y.dtype.kind not in "iu":
        what = f"{y.dtype} of shape {y.shape}" if is_array(y) else type(y).__name__
        raise ValueError(f"{name} is {what}; expected an integer array ({n},): one label for each datum")
    low, high = (int(np.min(y)), int(np.max(y))) if n else (0, 0)
    if low < 0 or (classes is not None and high >= classes):
        raise ValueError(f"{name} has labels from {low} to {high}; expected 0 … {'C' if classes is None else classes} − 1")
    return high + 1 if classes is None else classes


# ---- What metrics take, and the floating-point type in which they compute ----

def as_floats(x, name):
    """x in float32 or float64: half precision becomes float32; integers and booleans, which float32 might round, become float64.

    Raises TypeError for what is no array of real numbers, and for a Tensor.
    """
    if isinstance(x, Tensor):
        raise TypeError(f"{name} is a Tensor, but this metric has no derivative; expected stop_gradient({name})")
    if not is_array(x) or x.dtype.kind not in "fiub":
        raise TypeError(f"{name} is {getattr(x, 'dtype', type(x).__name__)}; expected an array of real numbers (NumPy or CuPy)")
    dtype = np.float32 if x.dtype in (np.float16, np.float32) else np.float64
    return x if x.dtype == dtype else x.astype(dtype)


def as_samples(x, name, least=1):
    """x as a floating-point array (n, D), n ≥ least and D ≥ 1, of finite numbers; ValueError or TypeError otherwise."""
    x = as_floats(x, name)
    if x.ndim != 2 or x.shape[1] < 1:
        raise ValueError(f"{name} has shape {x.shape}; expected {SHAPES[2].format(name=name)}")
    check_rows(x, least, name)
    return x


def as_sample_pair(x, y, names, least=(1, 1)):
    """Two sets of samples with one D, one floating-point type and one library."""
    x, y = (as_samples(a, name, n) for a, name, n in zip((x, y), names, least, strict=True))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{names[0]} has D = {x.shape[1]} columns and {names[1]} has {y.shape[1]}; expected the same number")
    if array_module(x) is not array_module(y):
        raise TypeError(f"{names[0]} and {names[1]} are on different devices; expected both on one, see minigen.to_device")
    dtype = np.result_type(x.dtype, y.dtype)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False)
