"""Reverse-mode differentiation of NumPy programs, to any order.

A function written in plain NumPy can be differentiated as it stands:

    y = f(x),   pullback: ȳ ↦ x̄ = (∂f/∂x)ᵀ ȳ                  the vector–Jacobian product of one call
    x̄ᵢ = Σ over the calls that used xᵢ of their pullbacks        the chain rule

While a `vjp` runs, every call on a `Tensor` is appended to one list (a Wengert list), which is therefore in topological
order. The backward pass walks it in reverse and looks up each call's pullbacks in a table (`derivatives`). These are
written in NumPy too, so they are polymorphic: the outermost pass feeds them raw arrays, a nested pass feeds them
Tensors, and then the gradient is itself recorded and can be differentiated again.

By hand, for grad(lambda x: x * np.exp(x))(1.0): the list holds a = exp(x) and b = x a. In reverse, with b̄ = 1: the row
of multiply gives x̄ = a and ā = x; the row of exp adds ā a = x a to x̄. So x̄ = a + x a = 2e.
"""

from operator import getitem

import numpy as np

from minigen.backend import array_module
from minigen.tensor import Tensor, identity, primitive, pullbacks, raw, recording, vjp_of
from minigen.tree import is_array, leaves, rebuild

__all__ = ["Tensor", "grad", "hvp", "jacobian", "primitive", "stop_gradient", "value_and_grad", "vjp", "vjp_of"]

PLAIN = (int, np.integer, slice, type(None), type(Ellipsis))


def stop_gradient(x):
    """The same tree of values, as constants: d stop_gradient(x) / dx = 0."""
    return rebuild(x, [raw(leaf) for leaf in leaves(x)])


def reached(calls, starts):
    """Identities of the Tensors that depend on the starts."""
    reach = set(map(id, starts))
    for t in calls:
        if any(type(a) is Tensor and id(a) in reach for a in t.args):
            reach.add(id(t))
    return reach


def plain(index):
    """Whether an index is made of whole numbers, slices, None and Ellipsis, so that it names no entry twice."""
    return all(isinstance(part, PLAIN) for part in (index if type(index) is tuple else (index,)))


def add_slice(cotangents, own, x, g, index):
    """Add g to the cotangent of x at a plain index, in place: scattered into zeros, each slice of x would cost all of x."""
    key = id(x)
    if key not in own:
        earlier = cotangents.get(key)
        cotangents[key] = array_module(g).zeros(x.shape, dtype=g.dtype) if earlier is None else earlier + 0
        own.add(key)
    cotangents[key][index] += g


def walk(calls, seeds, reach, nested):
    """The chain rule: cotangents by identity of the leaves, from (Tensor, cotangent) seeds and the calls in reverse."""
    cotangents, own = {}, set()  # own: whose cotangent is an array made here, which nobody else holds
    for t, g in seeds:
        cotangents[id(t)] = cotangents[id(t)] + g if id(t) in cotangents else g
    for t in calls:
        g = cotangents.pop(id(t), None)
        if g is None:
            continue
        args = t.args
        y, values = (t, args) if nested else (t.data, [a.data if type(a) is Tensor else a for a in args])
        rules = pullbacks[t.func]
        if t.func is getitem and not nested and plain(args[1]):
            if reach is None or id(args[0]) in reach:
                add_slice(cotangents, own, args[0], g, args[1])
            continue
        for i, a in enumerate(args):
            if type(a) is Tensor and (reach is None or id(a) in reach) and rules[i] is not None:
                key, contribution = id(a), rules[i](g, y, *values, **t.kwargs)
                cotangents[key] = cotangents[key] + contribution if key in cotangents else contribution
    return cotangents


def consume(calls):
    """The calls in reverse, each forgotten when it is done with, so that its memory is used again."""
    while calls:
        t = calls.pop()
        yield t
        t.args = ()  # whoever still holds t, as the caller holds y, must not hold all that came before it


def differentiable(x, name):
    """x with a bare Python float made an array; an error where there is nothing to differentiate."""
    x = np.asarray(x) if type(x) is float else x
    if not leaves(x):
        got = f"{x.dtype} array" if is_array(x) else type(x).__name__
        raise TypeError(
            f"{name}: nothing to differentiate in the first argument ({got}): expected a floating-point array,"
            " or a dataclass, dict, list or tuple with one in a field that is not static"
        )
    return x


def linearise(f, x, args=(), kwargs=None):
    """Run f(x) on fresh Tensors: (y, pull), where pull(ȳ, last=) gives the cotangents of the leaves of x, as a list.

    y is raw where no other vjp is running. `last` promises that pull is not called again.
    """
    outer, foreign, old = recording.calls, recording.foreign, leaves(x)
    nested = outer is not recording.closed
    calls = outer if nested else []
    fresh = [Tensor(raw(leaf), identity, (leaf,), {}) for leaf in old]
    if nested:
        calls.extend(fresh)
        recording.foreign = foreign or any(type(leaf) is not Tensor for leaf in old)
    start = len(calls) if nested else 0
    recording.calls = calls
    try:
        y = f(rebuild(x, fresh), *args, **(kwargs or {}))
        own = calls[start:] if nested else calls
        reach = reached(own, fresh) if recording.foreign or nested else None
    finally:
        recording.calls = outer
        if not nested:
            recording.foreign = False
    outputs = [t if type(t) is Tensor else None for t in leaves(y)]

    def pull(cotangent, last=False):
        ybar = leaves(cotangent)
        if [g.shape for g in ybar] != [t.shape for t in leaves(y)]:
            raise ValueError(
                f"pullback: the cotangent has shapes {[g.shape for g in ybar]}; expected those of y, {[t.shape for t in leaves(y)]}"
            )
        seeds = [(t, g) for t, g in zip(outputs, ybar, strict=True) if t is not None]
        found = walk(consume(own) if last and not nested else reversed(own), seeds, reach, nested)
        bars = [found.get(id(t)) for t in fresh]
        bars = [np.zeros_like(t.data) if g is None else g for t, g in zip(fresh, bars, strict=True)]
        return [g if g.dtype == t.dtype else g.astype(t.dtype) for t, g in zip(fresh, bars, strict=True)]

    return (y if nested else rebuild(y, [raw(t) for t in leaves(y)])), pull


def vjp(f, x):
    """(y, pullback) with y = f(x) and pullback(ȳ) = (∂f/∂x)ᵀ ȳ, for trees x and y of arrays.

    >>> y, pullback = vjp(lambda x: np.stack([x[0] * x[1], x[1]]), np.array([2.0, 3.0]))
    >>> y, pullback(np.array([1.0, 0.0]))
    (array([6., 3.]), array([3., 2.]))
    """
    x = differentiable(x, "vjp")
    y, pull = linearise(f, x)
    return y, lambda cotangent: rebuild(x, pull(cotangent))


def value_and_grad(f):
    """The function x, … ↦ (f(x, …), ∂f/∂x): the gradient by the first argument has the shape of that tree. f must give a scalar.

    >>> value_and_grad(lambda w, x: np.sum(w["a"] * x) ** 2)({"a": np.array([1.0, 2.0])}, np.array([3.0, 1.0]))
    (np.float64(25.0), {'a': array([30., 10.])})
    """

    def value_and_gradient(x, *args, **kwargs):
        x = differentiable(x, "grad")
        y, pull = linearise(f, x, args, kwargs)
        if getattr(y, "shape", None) != ():
            got = f"shape {y.shape}" if is_array(y) else f"type {type(y).__name__}"
            raise ValueError(f"grad: f returned a value of {got}; expected a scalar array: reduce it with np.sum or np.mean")
        return y, rebuild(x, pull(np.ones_like(raw(y)), last=True))

    return value_and_gradient


def grad(f):
    """The function x, … ↦ ∂f/∂x, shaped like its first argument. It can be differentiated again.

    The arrays of a gradient may share memory with each other: make new ones of them (g * 2) rather than write into them (g *= 2).

    >>> bool(grad(grad(np.sin))(0.5) == -np.sin(0.5))
    True
    """
    evaluate = value_and_grad(f)
    return lambda x, *args, **kwargs: evaluate(x, *args, **kwargs)[1]


def hvp(f):
    """The function x, v ↦ H v with H the Hessian of the scalar f at x, for trees x and v: the gradient of ⟨∇f(x), v⟩.

    >>> hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])
    """

    def slope(x, v):
        pairs = zip(leaves(grad(f)(x)), leaves(v), strict=True)
        return sum(np.sum(g * u) for g, u in pairs)

    return grad(slope)


def jacobian(f):
    """The function x ↦ ∂f/∂x for an array-valued f: each leaf of x gives an array of shape (*y.shape, *leaf.shape).

    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def matrix(x):
        x = differentiable(x, "jacobian")
        y, pull = linearise(f, x)
        if not is_array(y):
            raise TypeError(f"jacobian: f returned {type(y).__name__}; expected one array")
        if y.size == 0:
            return rebuild(x, [np.zeros_like(raw(leaf), shape=y.shape + leaf.shape) for leaf in leaves(x)])
        rows = [pull(np.reshape(unit, y.shape)) for unit in array_module(y).eye(y.size, dtype=y.dtype)]
        return rebuild(x, [np.stack(column).reshape(y.shape + column[0].shape) for column in zip(*rows, strict=True)])

    return matrix
