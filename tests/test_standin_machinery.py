"""The machinery of the stand-in for CuPy: its counts, its compiled kernels, how it is installed, and the check of its conformance."""

import shutil
import sys

import numpy as np
import pytest
from scipy import special

from minigen import to_device
from tests import standin
from tests.standin import conformance, namespaces

HOST = np.arange(6.0, dtype=np.float32).reshape(2, 3)
needs_compiler = pytest.mark.skipif(not (standin.real_cupy() or shutil.which("g++")), reason="needs g++")
standin_only = pytest.mark.skipif(standin.real_cupy(), reason="about the stand-in only")


@standin_only
def test_launches_copies_and_waits_are_counted(install_standin):
    with standin.counting() as counts:
        x = to_device(HOST)
        y = np.exp(x) + 1
        y.reshape(-1)[:2].swapaxes(0, 0)
        float(y.sum())
    assert counts == {"launch": 3, "sync": 1, "h2d": 1, "via_numpy": 1}
    with standin.counting() as counts:
        y += 1
        y = -y
    assert counts["launch"] == 2
    with standin.counting() as counts:
        y = x[[0, 1]]
    assert counts["h2d"] == 1


@standin_only
def test_forbidden_launches_raise_and_only_within(install_standin):
    x = to_device(HOST)
    with standin.forbid("launch", "h2d"):
        with standin.forbid("sync"), pytest.raises(RuntimeError, match="launch"):
            x + 1
        with pytest.raises(RuntimeError, match="h2d"):
            to_device(HOST)
        assert float(x[0, 1]) == 1
    x + 1


@needs_compiler
def test_elementwise_kernels_compute_what_their_body_says(cp):
    x = cp.asarray(HOST)
    kernel = cp.ElementwiseKernel("T x, T a", "T y, T z", "y = a * tanh(x); z = x > 1 ? x : -x", "test_pair")
    y, z = kernel(x, 2.0)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.get(), 2 * np.tanh(HOST), rtol=1e-6)
    np.testing.assert_array_equal(z.get(), np.where(HOST > 1, HOST, -HOST))
    step = cp.ElementwiseKernel("float64 g, float64 lr", "float64 p", "p -= lr * g", "test_step")
    p = cp.ones((2, 2))
    step(cp.asarray([1.0, 2.0]), 0.5, p)
    assert p.get().tolist() == [[0.5, 0.0], [0.5, 0.0]]


@needs_compiler
def test_elementwise_kernels_refuse_what_does_not_fit(cp):
    x = cp.asarray(HOST)
    kernel = cp.ElementwiseKernel("T x, T y", "T z", "z = x + y", "test_sum")
    for args in ((x, x.astype(float)), (x, HOST), (x,)):
        with pytest.raises(TypeError):
            kernel(*args)


@standin_only
def test_nothing_is_installed_outside_the_fixture():
    assert not any(sys.modules.get(name) is module for name, module in standin.modules.items())


@standin_only
def test_imports_find_the_standin(install_standin):
    import cupy
    import cupyx.scipy.special

    assert cupy is standin.cupy and cupy.is_available() and cupyx.scipy.special is namespaces.special
    assert cupy.fuse(np.exp) is np.exp and cupy.fuse()(np.exp) is np.exp and cupy.__version__.endswith("standin")
    assert not standin.real_cupy()


def test_every_expression_of_the_conformance_check_can_be_judged():
    """Agreement with itself is trivial; that no expression is a slip of the pen is not."""
    for expression in conformance.expressions():
        kind, value = conformance.outcome(expression, standin.cupy, namespaces.linalg, namespaces.special)
        assert kind == "value" or value not in ("SyntaxError", "NameError"), expression
    assert list(conformance.differences(standin.cupy, namespaces.linalg, namespaces.special)) == []


def test_the_conformance_check_sees_differences():
    """NumPy in the place of CuPy differs wherever the traps are."""
    import scipy.linalg

    found = {expression for expression, *_ in conformance.differences(np, scipy.linalg, special)}
    assert {"x+np.ones(3)", "np.asarray(x)", "cp.max(x,initial=0)", "x+[1,2,3]", "cp.block([[x]])", "cp.logaddexp.reduce(x)"} <= found
