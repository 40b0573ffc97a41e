"""The stand-in's modules: every recorded name of CuPy, made on first use from NumPy's or SciPy's function of that name."""

import functools
import importlib
import json
import pathlib
import types

import numpy as np

from tests.standin.arrays import DEVICE, SCALARS, ndarray, quiet, unwrap, wrap
from tests.standin.ledger import count

API = json.loads(pathlib.Path(__file__).with_name("cupy_api.json").read_text())

# The record marks what mentions synchronisation in its documentation; these sets correct it.
NO_WAIT = {"array", "asarray", "asanyarray", "digitize", "count_nonzero", "where", "ix_", "unravel_index"}
WAIT = {"item", "tolist", "get", "tobytes", "argwhere", "expm", "asnumpy", "array2string", "save", "union1d"}
# Functions that take lists (of arrays or numbers) as their first argument.
TAKE_LISTS = set(
    """array asarray asanyarray ascontiguousarray zeros ones empty full eye tri indices concatenate concat stack vstack hstack
    dstack column_stack einsum meshgrid broadcast_arrays broadcast_shapes ix_ result_type where select tile save savez""".split()
)
# Functions that launch no kernel, because they only make another view.
VIEWS = set(
    """reshape transpose ravel squeeze swapaxes moveaxis expand_dims broadcast_to flip diagonal view atleast_1d atleast_2d rot90
    permute_dims matrix_transpose sliding_window_view as_strided split""".split()
)
# Functions whose answer is a number on the host in NumPy, and an array without axes on the device in CuPy.
ANSWER_ON_DEVICE = {"allclose", "array_equal", "array_equiv", "count_nonzero"}
ADDED_ATOMICALLY = "iILQefd"  # the types that ufunc.at takes
LIKE = {"empty_like", "zeros_like", "ones_like", "full_like"}


class ufunc:
    """A ufunc with the methods and keyword arguments that CuPy's has."""

    def __init__(self, name, methods, host):
        self.__name__, self.methods, self.host = name, methods, host

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        for a in args:
            if not isinstance(a, (ndarray, *SCALARS)):
                raise TypeError(f"Unsupported type {type(a)}")
        count("launch")
        options = {"casting": casting} if isinstance(self.host, np.ufunc) else {}  # SciPy's zeta is a function around a ufunc
        options |= {} if dtype is None else {"dtype": dtype}
        with quiet():
            result = self.host(*map(unwrap, args), out=unwrap(out), **options)
        return wrap(result) if out is None else out

    def check(self, method):
        if method not in self.methods:
            raise NotImplementedError(f"`cupy_{self.__name__}.{method}` is not supported yet")
        count("launch")

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        self.check("reduce")
        return wrap(self.host.reduce(unwrap(array), axis=axis, dtype=dtype, out=unwrap(out), keepdims=keepdims))

    def accumulate(self, array, axis=0, dtype=None, out=None):
        self.check("accumulate")
        return wrap(self.host.accumulate(unwrap(array), axis=axis, dtype=dtype, out=unwrap(out)))

    def outer(self, a, b):
        self.check("outer")
        return wrap(self.host.outer(unwrap(a), unwrap(b)))

    def at(self, array, index, *values):
        self.check("at")
        if array.dtype.char not in ADDED_ATOMICALLY:
            raise TypeError(f"cupy.{self.__name__}.at does not support {array.dtype}")
        index, _ = array._index(index)
        self.host.at(unwrap(array), index, *map(unwrap, values))

    def reduceat(self, *args, **kwargs):
        self.check("reduceat")


def check_operands(name, args, kwargs):
    """Where CuPy asks more of the operands than NumPy does, or reads them differently."""
    if name == "solve" and args[1].ndim > 1 and args[0].shape[:-1] != args[1].shape[:-1]:
        raise ValueError("a must have (..., M, M) shape and b must have (..., M, K): stacks are not broadcast")
    if name == "where" and type(args[0]) is not ndarray:
        raise TypeError("the condition must be an array on the device")
    if name in LIKE and not kwargs.get("shape", True):
        del kwargs["shape"]  # CuPy takes shape=() for no shape given


def function(name, host, parameters, waits, is_method=False, takes_lists=False):
    """`host` for arrays of ours, called as CuPy's parameter list allows (None: anything)."""

    @functools.wraps(host)
    def call(*args, **kwargs):
        if parameters is not None:
            unknown = set(kwargs).difference(parameters)
            if unknown or len(args) - is_method > len(parameters):
                raise TypeError(f"{name}() got an unexpected argument {unknown or len(args)}; CuPy takes {parameters}")
        if args and type(args[0]) in (list, tuple) and not takes_lists:
            raise TypeError(f"cupy.{name} takes an array, not {type(args[0])}")
        if waits or (name == "where" and len(args) == 1):
            count("sync")
        if name not in VIEWS:
            count("launch")
        check_operands(name, args, kwargs)
        args, out = [unwrap(a) for a in args], kwargs.get("out")
        try:
            with quiet():
                result = host(*args, **{key: unwrap(value) for key, value in kwargs.items()})
        except np.linalg.LinAlgError:  # CuPy does not look at what the device reports
            result = np.full_like(args[-1], np.nan, dtype=np.result_type(args[-1], np.float32))
        return out if out is not None else wrap(np.asarray(result) if name in ANSWER_ON_DEVICE else result)

    return call


def lookup(space, name, source):
    """CuPy's attribute `name` of a namespace, made from the attribute of NumPy's or SciPy's `source`."""
    try:
        kind = API["spaces"][space][name]
    except KeyError:
        raise AttributeError(f"CuPy {API['version']} has no {space or 'cupy'}.{name}") from None
    host = getattr(source, name)
    if kind is None:
        return host
    if kind == "host":  # the answer is about shapes and dtypes, which the host knows
        return lambda *args, **kwargs: host(*map(unwrap, args), **kwargs)
    if kind[0] == "ufunc":
        return ufunc(name, kind[1], host)
    return function(name, host, kind[1], name in WAIT or (kind[2] and name not in NO_WAIT), takes_lists=name in TAKE_LISTS)


@functools.cache
def recorded_method(name):
    """The function behind an array's method, or an AttributeError where CuPy's arrays have none of this name."""
    kind = API["spaces"]["ndarray"].get(name)
    if kind is None:
        raise AttributeError(f"cupy.ndarray has no attribute {name!r} here")
    return function(name, getattr(np.ndarray, name), kind[1], name in WAIT or kind[2], is_method=True)


def array_method(array, name):
    """The bound method."""
    return functools.partial(recorded_method(name), array)


class Space(types.ModuleType):
    """One of CuPy's modules. `space` is its name in the record, `source` the module of the functions that compute."""

    def __init__(self, name, space, source, **given):
        super().__init__(name)
        self.__dict__.update(given, _space=space, _source=source)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        value = self.__dict__[name] = lookup(self._space, name, importlib.import_module(self._source))
        return value


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, blocking=False):
    """A device array from host data, or from (lists of) device arrays, which are joined on the device."""
    if type(obj) is ndarray:
        return wrap(np.array(obj._host, dtype, copy=copy, order=order, ndmin=ndmin))
    if isinstance(obj, (list, tuple)) and any(type(x) is ndarray for x in obj):
        obj = unwrap(list(obj))
    else:
        count("h2d")
    return wrap(np.array(obj, dtype, order=order, ndmin=ndmin))


def asarray(obj, dtype=None, order=None, copy=None, blocking=False):
    """As `array`, without a copy of what is on the device already."""
    return array(obj, dtype, copy, order or "K")


def asnumpy(a, stream=None, order="C", out=None, blocking=True):
    """A NumPy array."""
    return a.get(stream, order, out, blocking) if type(a) is ndarray else np.asarray(a)


class Generator:
    """Draws on the device: fewer distributions than NumPy's, and other numbers for the same seed."""

    def __init__(self, seed=None):
        seed = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self._host = np.random.Generator(np.random.Philox(key=seed.generate_state(2, np.uint64)))

    def __getattr__(self, name):
        kind = API["spaces"]["random.Generator"].get(name)
        if kind is None:
            raise AttributeError(f"CuPy's Generator has no {name}")
        host = getattr(self._host, name)
        if name in ("uniform", "beta"):  # CuPy's take a dtype, NumPy's do not
            host = functools.wraps(host)(lambda *args, dtype=float, **kwargs: np.asarray(getattr(self._host, name)(*args, **kwargs), dtype))
        return function(name, host, kind[1], waits=False, takes_lists=True)


def get_array_module(*args):
    """The stand-in for arrays of ours, else NumPy."""
    return cupy if any(type(a) is ndarray for a in args) else np


def fuse(*args, **kwargs):
    """cupy.fuse, with or without arguments: the function as it is."""
    return args[0] if args and callable(args[0]) else lambda f: f


def elementwise_kernel(*args, **kwargs):
    """cupy.ElementwiseKernel; what it needs is imported when it is used."""
    from tests.standin.kernels import ElementwiseKernel

    return ElementwiseKernel(*args, **kwargs)


class Stream:
    """The only stream there is."""

    ptr = 0

    def synchronize(self):
        count("sync")


Stream.null = Stream()
cuda = types.SimpleNamespace(is_available=lambda: True, get_current_stream=lambda: Stream.null, Stream=Stream, Device=lambda _=0: DEVICE)
cupy = Space(
    "cupy", "", "numpy",
    __version__=API["version"] + "+standin", ndarray=ndarray, ufunc=ufunc, array=array, asarray=asarray, asnumpy=asnumpy,
    get_array_module=get_array_module, fuse=fuse, ElementwiseKernel=elementwise_kernel, is_available=lambda: True, cuda=cuda,
    linalg=Space("cupy.linalg", "linalg", "numpy.linalg"),
    fft=Space("cupy.fft", "fft", "numpy.fft"),
    random=types.SimpleNamespace(default_rng=Generator, Generator=Generator),
    lib=types.SimpleNamespace(stride_tricks=Space("cupy.lib.stride_tricks", "lib.stride_tricks", "numpy.lib.stride_tricks")),
)  # fmt: skip

special, linalg, ndimage = (
    Space(f"cupyx.scipy.{name}", f"cupyx.scipy.{name}", f"scipy.{name}") for name in ("special", "linalg", "ndimage")
)
cupyx_scipy = types.ModuleType("cupyx.scipy")
vars(cupyx_scipy).update(special=special, linalg=linalg, ndimage=ndimage)
cupyx = types.ModuleType("cupyx")
vars(cupyx).update(scipy=cupyx_scipy, scatter_add=lambda a, i, v: cupy.add.at(a, i, v), rsqrt=lambda x: 1 / cupy.sqrt(x))

# What `import` finds where the stand-in is installed.
modules = {m.__name__: m for m in (cupy, cupy.linalg, cupy.fft, cupyx, cupyx_scipy, special, linalg, ndimage)}
