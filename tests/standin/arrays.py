"""The stand-in's array: a NumPy array that is out of NumPy's reach."""

import operator
import types

import numpy as np

from tests.standin.ledger import count

SCALARS = (bool, int, float, complex, np.generic)
DTYPES = "?bhilqBHILQefdFD"  # what CuPy can store; in particular no objects and no strings


class Device:
    """Where the arrays say that they live. CuPy's too differs from any string."""

    id = 0

    def __repr__(self):
        return "<CUDA Device 0>"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        count("sync")


DEVICE = Device()


def unwrap(x):
    """The host array inside, also within lists and tuples; NumPy arrays do not pass."""
    if type(x) is ndarray:
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: move it to the device with cupy.asarray first")
    return type(x)(map(unwrap, x)) if type(x) in (list, tuple) else x


def wrap(x):
    """NumPy's result as CuPy would give it: scalars are 0-d arrays, named tuples plain ones."""
    if isinstance(x, (np.ndarray, np.generic)):
        if x.dtype.char not in DTYPES:
            raise ValueError(f"Unsupported dtype {x.dtype}")
        return ndarray(np.asarray(x))
    if isinstance(x, (list, tuple)):
        return (list if isinstance(x, list) else tuple)(map(wrap, x))
    return x


def quiet():
    """No floating-point warnings: a device has none."""
    return np.errstate(all="ignore")


class ndarray:
    """An array on the pretended device."""

    __slots__ = ("_host",)
    __hash__ = None
    __array_priority__ = 100

    def __init__(self, host):
        self._host = host

    # What it is
    shape = property(lambda self: self._host.shape, lambda self, shape: setattr(self._host, "shape", shape))
    dtype, ndim, size, strides, nbytes, itemsize = (
        property(operator.attrgetter(f"_host.{name}")) for name in ("dtype", "ndim", "size", "strides", "nbytes", "itemsize")
    )
    device = property(lambda self: DEVICE)
    T = property(lambda self: wrap(self._host.T))
    mT = property(lambda self: wrap(self._host.mT))
    real = property(lambda self: wrap(self._host.real))
    imag = property(lambda self: wrap(self._host.imag))

    @property
    def flags(self):
        """CuPy knows three flags only."""
        return types.SimpleNamespace(**{name: getattr(self._host.flags, name) for name in ("c_contiguous", "f_contiguous", "owndata")})

    def __getattr__(self, name):
        from tests.standin.namespaces import array_method

        return array_method(self, name)

    # To and from the host
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def get(self, stream=None, order="C", out=None, blocking=True):
        count("sync")
        if out is not None:
            out[...] = self._host
            return out
        return np.array(self._host, order=order)

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or (arr.dtype, arr.shape) != (self.dtype, self.shape):
            raise TypeError("set expects a NumPy array of the same dtype and shape")
        count("h2d")
        self._host[...] = arr

    def __reduce__(self):
        from tests.standin.namespaces import cupy

        return cupy.array, (self.get(),)

    def __copy__(self):
        return wrap(self._host.copy())

    def __deepcopy__(self, memo):
        return self.__copy__()

    # NumPy's dispatch
    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        from tests.standin.namespaces import cupy, special

        count("via_numpy")
        function = getattr(cupy, ufunc.__name__, None) or getattr(special, ufunc.__name__, None)
        if function is not None and method != "__call__":
            function = getattr(function, method, None)
        operands = (*inputs, *(out or ()))  # with the index of `at`, so that cupy.add.at takes tuples and slices, np.add.at does not
        if function is None or not all(isinstance(x, (ndarray, np.ndarray, *SCALARS)) for x in operands):
            return NotImplemented
        return function(*inputs, **kwargs) if out is None else function(*inputs, out=out[0], **kwargs)

    def __array_function__(self, func, types, args, kwargs):
        from tests.standin.namespaces import cupy

        count("via_numpy")
        try:
            twin = operator.attrgetter(".".join([*func.__module__.split(".")[1:], func.__name__]))(cupy)
        except AttributeError:
            return NotImplemented
        if twin is func or not all(issubclass(t, (ndarray, np.ndarray)) for t in types):
            return NotImplemented
        return twin(*args, **kwargs)

    # Indexing
    def _index(self, index):
        """The index for the host array, with `...` so that even one element is a view, and the arrays in it."""
        parts, arrays = [], []
        for part in index if type(index) is tuple else (index,):
            if isinstance(part, (list, np.ndarray, bool, np.bool)):
                count("h2d")
                part = np.asarray(part)
            part = part._host if type(part) is ndarray else part
            if isinstance(part, np.ndarray):
                arrays.append(part)
            parts.append(part)
        return (*parts, *(() if any(p is Ellipsis for p in parts) else (Ellipsis,))), arrays

    def __getitem__(self, index):
        index, arrays = self._index(index)
        if arrays:
            count("launch")
        if any(a.dtype == bool for a in arrays):
            count("sync")  # the length of the result is known to the device only
        return wrap(self._host[index])

    def __setitem__(self, index, value):
        if not isinstance(value, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(value)}")
        index, arrays = self._index(index)
        count("launch")
        if any(a.dtype == bool for a in arrays):
            count("sync")
        positions = [a for a in arrays if a.dtype != bool]
        if positions and type(value) is ndarray and value.size > 1:
            flat = np.stack([a.ravel() for a in np.broadcast_arrays(*positions)])
            if np.unique(flat, axis=1).shape[1] < flat.shape[1]:
                raise ValueError("duplicate indices: CuPy stores an undefined one of the values; use cupy.add.at")
        self._host[index] = unwrap(value)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __len__(self):
        return len(self._host)


def waits(convert):
    """A special method that needs the value on the host."""
    return lambda self, *args: convert(self.get(), *args)


for name, convert in {"bool": bool, "int": int, "float": float, "complex": complex, "repr": repr, "str": str, "format": format}.items():
    setattr(ndarray, f"__{name}__", waits(convert))


def operators(name, ufunc):
    """x ∘ y, y ∘ x and x ∘= y. What is no array of ours and no number goes through NumPy, which asks the other operand's type."""

    def forward(self, other):
        if not isinstance(other, (ndarray, *SCALARS)):
            return NotImplemented if getattr(other, "__array_ufunc__", ufunc) is None else ufunc(self, other)
        count("launch")
        with quiet():
            return wrap(ufunc(self._host, unwrap(other)))

    def reflected(self, other):
        if not isinstance(other, SCALARS):
            return ufunc(other, self)
        count("launch")
        with quiet():
            return wrap(ufunc(other, self._host))

    def in_place(self, other):
        if not isinstance(other, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(other)}")
        count("launch")
        with quiet():
            ufunc(self._host, unwrap(other), out=self._host, casting="same_kind")
        return self

    setattr(ndarray, f"__{name}__", forward)
    setattr(ndarray, f"__r{name}__", reflected)
    if name != "matmul":
        setattr(ndarray, f"__i{name}__", in_place)


def comparison(name, ufunc):
    """x < y and its like. With None or an arbitrary object, == and != give constant arrays, as in CuPy."""

    def compare(self, other):
        if isinstance(other, np.ndarray) and other.ndim == 0:
            other = other.item()
        if not isinstance(other, (ndarray, *SCALARS)):
            if name in ("eq", "ne") and (other is None or type(other).__eq__ is object.__eq__):
                return wrap(np.full(self.shape, name == "ne"))
            return NotImplemented if getattr(other, "__array_ufunc__", ufunc) is None else ufunc(self, other)
        count("launch")
        return wrap(ufunc(self._host, unwrap(other)))

    setattr(ndarray, f"__{name}__", compare)


def unary(name, ufunc):
    """−x and its like."""

    def apply(self):
        count("launch")
        with quiet():
            return wrap(ufunc(self._host))

    setattr(ndarray, f"__{name}__", apply)


for name, ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide, "mod": np.remainder,
    "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift,
}.items():  # fmt: skip
    operators(name, ufunc)
for name, ufunc in {
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater, "ge": np.greater_equal,
}.items():  # fmt: skip
    comparison(name, ufunc)
for name, ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    unary(name, ufunc)
