"""The Tensor: an array that remembers the call which made it, and the table in which that call's derivative is looked up.

A Tensor answers NumPy's own dispatch protocols (NEP 13, `__array_ufunc__`; NEP 18, `__array_function__`). These and the
operators all end in one `record`: compute on the raw arrays and append the call to the list of the running `vjp`.
"""

import functools
import importlib
import inspect
import operator
import sys
import threading

import numpy as np


class Closed:
    """Stands for the list of calls while no vjp runs."""

    def append(self, _):
        """Refuse: there is nobody to record for."""
        raise RuntimeError("a Tensor was used after the vjp or grad that made it had ended: return values from f, do not store its Tensors")


class Recording(threading.local):
    """What the running vjp of this thread has recorded."""

    calls = closed = Closed()
    foreign = False  # whether the list holds leaves of a nested vjp on which the outermost one's do not depend


SPECIAL = "minigen.special"  # the rows of scipy.special, read when one is first missed, because SciPy is slow to import
NOTHING = {}  # the keyword arguments of a call that has none
recording, new_tensor = Recording(), object.__new__
pullbacks = {}  # function -> its pullbacks, one an argument: the table of derivatives
compositions = {}  # function -> the same function written with others
constants = set()  # functions whose derivative is zero wherever it exists, or whose values are no real numbers


def vjp_of(func, *rules):
    """Add a row to the table: rules[i](g, y, *args, **kwargs) pulls the cotangent g of y = func(*args) back to args[i].

    None stands for an argument that is not differentiated.
    """
    pullbacks[func] = rules


class EachArgument:
    """The pullbacks of a function of any number of arrays: rule(i, g, y, *args, **kwargs)."""

    def __init__(self, rule):
        self.rule = rule

    def __getitem__(self, i):
        return lambda *args, **kwargs: self.rule(i, *args, **kwargs)


def primitive(f):
    """Make f, written for raw arrays, one recorded call. Its positional arguments may be Tensors; give it a row with vjp_of."""

    def call(*args, **kwargs):
        return record(call, args, kwargs) if Tensor in map(type, args) else f(*args, **kwargs)

    functools.update_wrapper(call, f)
    return call


def record(func, args, kwargs):
    """Call func on the raw arrays and remember the call."""
    y = Tensor(func(*[a.data if type(a) is Tensor else a for a in args], **kwargs), func, args, kwargs)
    recording.calls.append(y)
    return y


def record_pair(func, a, b):
    """record(func, (a, b), {}) without a list, a constructor and an empty dict: operators are most of the calls of small models."""
    y = new_tensor(Tensor)
    y.func, y.args, y.kwargs = func, (a, b), NOTHING
    y.data = func(a.data if type(a) is Tensor else a, b.data if type(b) is Tensor else b)
    recording.calls.append(y)
    return y


def raw(x):
    """x with Tensors, also those in lists and tuples, replaced by their arrays."""
    if type(x) is Tensor:
        return x.data
    return type(x)(map(raw, x)) if type(x) in (list, tuple) else x


@functools.cache
def check_call(func, count, names):
    """Refuse arguments that the row of func does not know (dtype=, where=, order=, …): nothing may be ignored in silence."""
    if func in compositions:
        parameters = inspect.signature(compositions[func]).parameters
    else:
        rule = next(rule for rule in pullbacks[func] if rule is not None)
        parameters = dict(list(inspect.signature(rule).parameters.items())[2:])  # without g and y
    try:
        inspect.Signature(parameters.values()).bind(*range(count), **dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(f"{func.__name__} of a Tensor: {error}; its arguments here are {', '.join(parameters)}") from None


def dispatch(func, args, kwargs):
    """Find out what to do with a NumPy function that was called on a Tensor."""
    if kwargs.get("out") is not None:
        raise TypeError(f"{func.__name__}(…, out=…) or array += t: no array can hold a Tensor; use the returned value, x = x + t")
    if func in pullbacks:
        if any(type(v) is Tensor for v in kwargs.values()):
            raise TypeError(f"{func.__name__}: pass Tensors as positional arguments")
        check_call(func, len(args), tuple(kwargs))
        return record(func, args, kwargs)
    if func in compositions:
        check_call(func, len(args), tuple(kwargs))
        return compositions[func](*args, **kwargs)
    if func in constants:
        return func(*raw(args), **{k: raw(v) for k, v in kwargs.items()})
    if isinstance(func, np.ufunc) and SPECIAL not in sys.modules:
        importlib.import_module(SPECIAL)
        return dispatch(func, args, kwargs)
    raise NotImplementedError(
        f"{func.__name__} has no derivative here: write it with functions that have one, or add a row with"
        f" minigen.autograd.vjp_of({func.__name__}, lambda g, y, x: …); for a constant, take stop_gradient(x) first"
    )


def unary(func):
    """The operator method of a unary ufunc."""
    return lambda self: record(func, (self,), {})


def binary(func):
    """The operator method of a binary ufunc and its reflection."""
    return lambda self, other: record_pair(func, self, other), lambda self, other: record_pair(func, other, self)


def compare(func):
    """The comparison method of a ufunc: a raw array."""
    return lambda self, other: func(self.data, raw(other))


def method(func):
    """The array method that calls a NumPy function on the array itself."""
    return lambda self, *args, **kwargs: dispatch(func, (self, *args), kwargs)


def attribute(name):
    """A property of the array inside."""
    return property(operator.attrgetter("data." + name))


def refuse(message):
    """A method that explains why it is not there."""

    def method(self, *_, **__):
        raise TypeError(message)

    return method


class Tensor:
    """An array and the call that made it. Made by `vjp` and by NumPy functions of Tensors; never by hand."""

    __slots__ = ("args", "data", "func", "kwargs")
    __hash__ = object.__hash__

    def __init__(self, data, func=None, args=(), kwargs=None):
        self.data, self.func, self.args, self.kwargs = data, func, args, kwargs

    def __array_ufunc__(self, ufunc, how, *args, **kwargs):
        """NEP 13: a ufunc was called on a Tensor."""
        if how == "__call__":
            return dispatch(ufunc, args, kwargs)
        if ufunc is np.add and how == "reduce":
            return dispatch(np.sum, args, {"axis": 0, **kwargs})
        raise NotImplementedError(f"np.{ufunc.__name__}.{how} has no derivative here")

    def __array_function__(self, func, types, args, kwargs):
        """NEP 18: a NumPy function was called on a Tensor."""
        return dispatch(func, args, kwargs)

    shape, dtype, ndim, size, device, itemsize = map(attribute, ("shape", "dtype", "ndim", "size", "device", "itemsize"))
    __neg__, __pos__, __abs__ = map(unary, (np.negative, np.positive, np.absolute))
    __add__, __radd__ = binary(np.add)
    __sub__, __rsub__ = binary(np.subtract)
    __mul__, __rmul__ = binary(np.multiply)
    __truediv__, __rtruediv__ = binary(np.divide)
    __pow__, __rpow__ = binary(np.power)
    __matmul__, __rmatmul__ = binary(np.matmul)
    __lt__, __le__, __gt__, __ge__ = map(compare, (np.less, np.less_equal, np.greater, np.greater_equal))
    __eq__, __ne__ = map(compare, (np.equal, np.not_equal))
    sum, mean, var, std, prod, max, min = map(method, (np.sum, np.mean, np.var, np.std, np.prod, np.max, np.min))
    argmax, argmin, argsort, cumsum, clip = map(method, (np.argmax, np.argmin, np.argsort, np.cumsum, np.clip))
    swapaxes, squeeze, ravel, repeat, take = map(method, (np.swapaxes, np.squeeze, np.ravel, np.repeat, np.take))
    dot, copy, trace, diagonal = map(method, (np.dot, np.copy, np.trace, np.diagonal))

    __array__ = __float__ = __int__ = __bool__ = __index__ = item = tolist = refuse(
        "a Tensor cannot become a plain number or array, because its derivative would be lost without a word:"
        " compute with NumPy functions (a list of Tensors wants np.stack; logsumexp and softmax are in minigen.nn, SciPy's convert),"
        " or take stop_gradient(x) where a constant is meant"
    )
    __setitem__ = refuse("a Tensor cannot be changed in place: build the new array with np.where, np.concatenate or np.stack")

    def __getitem__(self, index):
        return record_pair(operator.getitem, self, index)

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"Tensor({self.data!r})"

    def reshape(self, *shape):
        """The same numbers in another shape."""
        return dispatch(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def transpose(self, *axes):
        """The axes in another order, by default reversed."""
        return dispatch(np.transpose, (self, axes[0] if len(axes) == 1 else axes or None), {})

    def astype(self, dtype):
        """The same numbers in another floating-point type; a raw array in any other."""
        return record(astype, (self, dtype), {}) if np.dtype(dtype).kind == "f" else self.data.astype(dtype)

    T = property(transpose)
    mT = property(lambda self: self.swapaxes(-1, -2))


def astype(x, dtype):
    """x.astype(dtype) as a function, so that it can have a row."""
    return x.astype(dtype)


def identity(x):
    """x itself: the call that makes a nested vjp's own leaf from an outer one's Tensor."""
    return x


vjp_of(astype, lambda g, y, x, dtype: g.astype(x.dtype))
vjp_of(identity, lambda g, y, x: g)
