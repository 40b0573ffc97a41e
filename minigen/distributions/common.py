"""What the distributions share: checks of parameters, constants that keep float32, where samples live."""

import numpy as np

from minigen.backend import array_module, exponential, like, to_host
from minigen.tensor import Tensor, raw
from minigen.tree import is_array

DEMANDS = {"finite": np.isfinite, "positive and finite": lambda v: (v > 0) & np.isfinite(v), "below +∞": lambda v: v < np.inf}


def demand(dist, what, *names):
    """Raise TypeError or ValueError, naming the parameter, unless the parameters are float numbers or arrays that are `what`.

    Values are looked at on the host only: a Tensor was checked where it was made, and a device array would have to be waited for.
    """
    for name in names:
        value, where = getattr(dist, name), f"{type(dist).__name__}: {name}"
        if type(value) is Tensor:
            continue
        if not isinstance(value, (int, float)) and not (is_array(value) and value.dtype.kind == "f"):
            kind = f"{value.dtype} array" if is_array(value) else type(value).__name__
            raise TypeError(f"{where} is {kind}; expected a number or a floating-point array")
        if array_module(value) is np and not np.all(DEMANDS[what](value)):
            raise ValueError(f"{where} must be {what}; got {value!r}")


def demand_broadcast(dist, *names):
    """Raise ValueError unless the shapes of the parameters broadcast."""
    shapes = [getattr(getattr(dist, name), "shape", ()) for name in names]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{type(dist).__name__}: {' and '.join(names)} have shapes {shapes}, which do not broadcast") from None


def of(f, *parameters):
    """f of parameters, as a Python float where all are Python numbers: a NumPy scalar would turn float32 data into float64."""
    y = f(*parameters)
    return float(y) if all(isinstance(p, (int, float)) for p in parameters) else y


def prototype(*parameters):
    """An array with the broadcast shape, the dtype and the library of the parameters: what samples look like."""
    total = sum(map(raw, parameters))
    return total if is_array(total) else np.float64(total)


def spread(value, *parameters):
    """value broadcast to the shape of the parameters."""
    return np.broadcast_to(value, np.broadcast_shapes(*(getattr(p, "shape", ()) for p in parameters)))


def real(x, *parameters):
    """x in floating point: integers and booleans take the dtype of the parameters, so that they do not promote float32."""
    return x.astype(prototype(*parameters).dtype) if is_array(x) and x.dtype.kind != "f" else x


def matched(parameter, x):
    """A parameter for a binary function of SciPy, whose ufuncs let a Python number promote float32: an array of the dtype of x."""
    return like(x, parameter) if is_array(x) and not is_array(parameter) else parameter


def variates(rng, method, parameter, n, x):
    """Draws (n, *x.shape) by a generator's method that takes one parameter: on the host, unless the generator is a device's own."""
    parameter = to_host(raw(parameter)) if isinstance(rng, np.random.Generator) else raw(parameter)
    return like(x, getattr(rng, method)(parameter, (n, *x.shape)))


def log_gamma_variates(rng, shape, n, x):
    """log g with g ~ Gamma(shape, 1), finite for however small a shape: g = g′ u^(1/shape), g′ ~ Gamma(shape + 1, 1).

    Source: Marsaglia & Tsang 2000, "A simple method for generating gamma variables", section 6.
    """
    return np.log(variates(rng, "standard_gamma", raw(shape) + 1, n, x)) - exponential(rng, (n, *x.shape), x) / raw(shape)
