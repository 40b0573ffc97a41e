"""What metrics ask of their arrays, and the floating-point type in which they then compute."""

import numpy as np

from minigen.backend import array_module
from minigen.tensor import Tensor
from minigen.tree import is_array


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
        raise ValueError(f"{name} has shape {x.shape}; expected (n, D): images are flattened by {name}.reshape(len({name}), -1)")
    if x.shape[0] < least:
        raise ValueError(f"{name} has n = {x.shape[0]} rows; expected at least {least}")
    if not bool(np.all(np.isfinite(x))):
        raise ValueError(f"{name} has NaN or infinite entries; expected finite numbers")
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
