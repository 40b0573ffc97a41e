"""The engine on a device: the same values and derivatives as on the host, in the device's library, without waiting for it.

Runs on CuPy where it finds a GPU, elsewhere on the stand-in, which refuses what CuPy refuses.
"""

import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import minigen as mg
from minigen import functions as fn
from minigen.convolution import conv2d, conv_transpose2d
from minigen.pooling import avg_pool, max_pool, upsample
from tests import standin
from tests.derivative_cases import CASES, Case

rng = np.random.default_rng(7)


def images(*shape):
    return rng.normal(size=shape)


IMAGES = {
    "conv2d": (conv2d, images(2, 5, 5, 3), images(3, 3, 3, 4)),
    "conv2d: stride": (lambda x, w: conv2d(x, w, stride=2), images(2, 6, 5, 3), images(3, 3, 3, 4)),
    "conv2d: dilation": (lambda x, w: conv2d(x, w, dilation=2, padding=2), images(2, 6, 6, 2), images(3, 3, 2, 2)),
    "conv2d: groups": (lambda x, w: conv2d(x, w, groups=2, padding="valid"), images(2, 5, 5, 4), images(2, 3, 2, 6)),
    "conv2d: depthwise": (lambda x, w: conv2d(x, w, groups=3), images(2, 4, 4, 3), images(3, 3, 1, 3)),
    "conv_transpose2d": (lambda x, w: conv_transpose2d(x, w, stride=2), images(2, 3, 3, 2), images(3, 3, 2, 3)),
    "avg_pool": (avg_pool, images(2, 4, 6, 3)),
    "max_pool": (max_pool, images(2, 4, 6, 3)),
    "upsample": (upsample, images(2, 2, 3, 3)),
}
EVERYTHING = [*CASES, *(Case(name, f, f, args, False) for name, (f, *args) in IMAGES.items())]


def loss_of(case):
    """A scalar that is not linear in the value."""
    return lambda xs: np.sum(np.square(case.f(*xs)))


def everything_about(case, xs):
    """Value, loss, gradient and a product with the Hessian, as a list of arrays."""
    value, _ = mg.vjp(lambda xs: case.f(*xs), xs)
    loss, slope = mg.value_and_grad(loss_of(case))(xs)
    return [value, loss, *slope, *mg.hvp(loss_of(case))(xs, xs)]


@pytest.mark.parametrize("case", EVERYTHING, ids=lambda c: c.name)
def test_same_numbers_in_the_devices_library_without_a_wait(cp, case):
    xs = [np.array(a, np.float32) for a in case.args]
    there = mg.to_device(xs)
    everything_about(case, there)  # a first call may compile and wait for that
    must_wait = "mask" in case.name or case.name.endswith("bool")  # how long x[mask] is, is known on the device only
    with standin.forbid(*([] if must_wait else ["sync"])):
        got = everything_about(case, there)
    assert all(isinstance(a, cp.ndarray) and a.dtype == np.float32 for a in got)
    for g, w in zip(got, everything_about(case, xs), strict=True):
        assert g.shape == np.shape(w)
        np.testing.assert_allclose(mg.to_host(g), w, rtol=1e-3, atol=1e-4 * np.max(np.abs(w), initial=1e-3))


# Arrays without axes and without entries
EDGES = {
    "new axis": lambda x: x[None], "ellipsis": lambda x: x[...], "reshape": lambda x: x.reshape(-1), "product": np.prod, "sum": np.sum,
    "broadcast": lambda x: np.broadcast_to(x, (2, *x.shape)), "stack": lambda x: np.stack([x, x]), "outer": lambda x: np.outer(x, x),
    "multiply": lambda x: x * np.ones_like(x), "einsum": lambda x: np.einsum("...,...->...", x, x), "ravel": np.ravel,
    "full_like": lambda x: np.full_like(x, np.sum(x), shape=()),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (2, 0)], ids=str)
@pytest.mark.parametrize("f", EDGES.values(), ids=EDGES)
def test_edges_have_their_shapes(device, f, shape):
    x = np.full(shape, 2.0)
    y, pullback = mg.vjp(f, mg.to_device(x, device))
    want, want_pullback = mg.vjp(f, x)
    assert y.shape == np.shape(want)
    slope = pullback(y)
    assert slope.shape == shape and mg.array_module(slope) is mg.array_module(mg.to_device(x, device))
    np.testing.assert_allclose(mg.to_host(slope), want_pullback(want))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3)], ids=str)
def test_a_batch_without_examples(device, shape):
    w = mg.to_device((np.ones((3, 2)), np.ones(2)), device)
    x = mg.to_device(np.ones(shape), device)
    for f in (lambda w: x @ w[0] + w[1], lambda w: fn.affine(x, *w), lambda w: np.einsum("...i,ij->...j", x, w[0]) * w[1]):
        slope = mg.to_host(mg.grad(lambda w, f=f: np.sum(f(w)))(w))
        n = np.prod(shape[:-1])
        np.testing.assert_array_equal(slope[0], np.full((3, 2), n))
        assert slope[1].shape == (2,) and np.all(slope[1] > 0 if n else slope[1] == 0)


# Trees, orders, composition
@dataclass
class Model:
    weight: Any
    scale: Any = field(metadata={"static": True})
    steps: Any = 3


def test_trees_keep_their_shape_and_constants(cp):
    model = mg.to_device(Model(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.arange(2)))
    slope = mg.grad(lambda m: np.sum(m.scale * m.weight**m.steps))(model)
    assert type(slope) is Model and slope.scale is model.scale and slope.steps is model.steps
    assert mg.to_host(slope.weight).tolist() == [0, 4]


def test_higher_orders(device):
    x = mg.to_device(np.array([0.5, 1.5]), device)
    third = lambda x: np.sum(np.sin(x))
    for _ in range(3):
        third = lambda x, f=third: np.sum(mg.grad(f)(x))
    np.testing.assert_allclose(mg.to_host(third(x)), np.sum(-np.cos(mg.to_host(x))), rtol=1e-12)
    h = mg.jacobian(mg.grad(lambda x: np.prod(x) ** 2))(x)
    assert mg.array_module(h) is mg.array_module(x)
    np.testing.assert_allclose(mg.to_host(h), [[4.5, 3.0], [3.0, 0.5]], rtol=1e-12)


def test_variables_of_two_derivatives_stay_apart(device):
    x, y = mg.to_device((np.array(3.0), np.array(2.0)), device)
    inner = lambda x: mg.grad(lambda y: x * y)(y)
    assert float(mg.grad(inner)(x)) == 1


def test_stop_gradient_is_a_constant_there(device):
    x = mg.to_device(np.array([1.0, 2.0]), device)
    slope = mg.grad(lambda x: np.sum(x * mg.stop_gradient(x)))(x)
    assert mg.to_host(slope).tolist() == [1, 2] and type(mg.stop_gradient(x)) is type(x)


def test_a_cotangent_of_the_device_is_asked_for_and_given(cp):
    x = cp.asarray([1.0, 2.0])
    _, pullback = mg.vjp(np.square, x)
    assert pullback(cp.ones(2)).get().tolist() == [2, 4]
    with pytest.raises(TypeError):
        pullback(np.ones(2))


# What is refused
REFUSED = {
    "np.asarray": np.asarray, "float": lambda t: float(t[0]), "bool": lambda t: bool(t[0] > 0 and t[0]), "item": lambda t: t[0].item(),
    "write": lambda t: operator.setitem(t, 0, 1.0), "a NumPy array": lambda t: t + np.ones(2), "NumPy first": lambda t: np.ones(2) * t,
    "a list": lambda t: operator.add(t, [1.0, 2.0]), "matmul": lambda t: t @ np.ones(2),
    "concatenate": lambda t: np.concatenate([t, np.ones(2)]),
    "out": lambda t: np.add(t, 1, out=mg.to_device(np.ones(2))), "in place": lambda t: mg.to_device(np.ones(2)).__iadd__(t),
}  # fmt: skip


@pytest.mark.parametrize("f", REFUSED.values(), ids=REFUSED)
def test_a_tensor_on_a_device_refuses(cp, f):
    with pytest.raises(TypeError):
        mg.grad(lambda t: np.sum(f(t)))(cp.asarray([1.0, 2.0]))


def test_a_tensor_and_a_number_of_any_kind(cp):
    x = cp.asarray([1.0, 2.0], dtype=np.float32)
    for two in (2, 2.0, np.float32(2), cp.asarray(2.0, dtype=np.float32)):
        for f in (lambda t, two=two: two * t, lambda t, two=two: t * two, lambda t, two=two: np.multiply(two, t)):
            slope = mg.grad(lambda t, f=f: np.sum(f(t) ** 2))(x)
            assert slope.dtype == np.float32 and slope.get().tolist() == [8, 16]


@pytest.mark.parametrize("error, f", [(ValueError, np.square), (NotImplementedError, np.nextafter), (NotImplementedError, np.nan_to_num)])
def test_errors_are_those_of_the_host(device, error, f):
    with pytest.raises(error):
        mg.grad(lambda x: f(x, x) if f is np.nextafter else f(x))(mg.to_device(np.ones(2), device))


def test_nothing_to_differentiate(device):
    with pytest.raises(TypeError, match="int64 array"):
        mg.grad(np.sum)(mg.to_device(np.arange(3), device))


# Work
def counted(f, *args):
    """How many kernels a call launches."""
    f(*args)
    with standin.counting() as counts, standin.forbid("sync", "h2d"):
        f(*args)
    return counts["launch"]


@pytest.mark.skipif(standin.real_cupy(), reason="counted on the stand-in")
def test_the_backward_pass_launches_no_more_than_its_rules(install_standin):
    x = mg.to_device(np.ones((4, 3)))
    assert counted(mg.grad(lambda x: np.sum(np.exp(x))), x) <= 5  # exp, sum; ones, broadcast, product
    w, b = mg.to_device((np.ones((3, 2)), np.ones(2)))
    forward, loss = lambda p: fn.affine(x, *p), lambda p: np.sum(fn.affine(x, *p))
    assert counted(forward, (w, b)) == 2  # product, bias
    assert counted(mg.grad(loss), (w, b)) <= 2 + 1 + 5  # forward, sum; cotangent of ones, two products, ones for the column sums
    long = lambda x: np.sum(np.tanh(np.tanh(np.tanh(x))))
    assert counted(mg.grad(long), x) <= 4 + 1 + 3 * 4
