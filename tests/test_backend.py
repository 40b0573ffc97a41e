"""Making and moving arrays, drawing noise, and what does not dispatch: the same on the host and on a device."""

import ast
import ctypes
import pathlib
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import minigen
from minigen import Tensor, backend, default_device, grad, to_device, to_host
from minigen.backend import array_module, eigenvalues_of_product, hurwitz_zeta, keep_memory, like, normal, solve_triangular, uniform
from minigen.tree import named_arrays
from tests import standin

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Model:
    """Arrays of every kind."""

    weight: Any
    mask: Any
    table: Any = field(metadata={"static": True})
    parts: Any = ()
    name: str = "model"

    def __post_init__(self):
        assert isinstance(self.weight, np.ndarray), "moving must not construct anew"


def model():
    return Model(
        np.ones((2, 3), np.float32), np.array([True, False]), {"t": np.arange(3.0)}, [Pair(np.arange(4), 2), (np.float64(0.5),), None]
    )


# Where an array lives
def test_array_module(device):
    x = to_device(np.ones(2), device)
    module = np if device == "cpu" else sys.modules["cupy"]
    assert array_module(x) is array_module(1.0, x) is array_module(x, None) is module
    assert array_module() is array_module(2.0, "text") is array_module(np.float32(1)) is np


def test_array_module_of_a_tensor(device):
    found = []
    grad(lambda x: found.append((type(x), array_module(x), array_module(1.0, x))) or np.sum(x))(to_device(np.ones(2), device))
    module = np if device == "cpu" else sys.modules["cupy"]
    assert found == [(Tensor, module, module)]


def test_any_argument_on_the_device_decides(cp):
    assert array_module(np.ones(2), cp.ones(2)) is cp


def test_moving_takes_every_array_and_nothing_else(device):
    before = model()
    moved = to_device(before, device)
    kind = type(to_device(np.ones(1), device))
    arrays = named_arrays(moved)
    assert list(arrays) == list(named_arrays(before)) and len(arrays) == 5
    assert all(isinstance(a, kind) for name, a in arrays.items() if device == "cuda" or name != "parts.1.0")  # that is a NumPy scalar
    assert type(moved) is Model and type(moved.parts) is list and type(moved.parts[0]) is Pair
    assert (moved.name, moved.parts[0].right, moved.parts[2]) == ("model", 2, None)
    back = to_host(moved)
    for name, a in named_arrays(back).items():
        original = named_arrays(before)[name]
        assert a.dtype == original.dtype and np.array_equal(a, original) and array_module(a) is np


def test_an_array_that_is_there_is_not_copied(device):
    x = to_device(np.ones(2), device)
    assert array_module(x).shares_memory(to_device(x, device), x)
    a = np.ones(2)
    assert to_host(a) is a and to_device(a, "cpu") is a
    assert type(to_device(x, "cpu")) is np.ndarray and to_device(x, "cpu").tolist() == [1, 1]


@pytest.mark.parametrize("name", ["gpu", "CUDA", "", None, 0])
def test_unknown_devices_are_refused(name):
    with pytest.raises(ValueError, match="expected 'cuda' or 'cpu'"):
        to_device(np.ones(1), name)


def test_without_cupy_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # what makes an import fail
    with pytest.raises(RuntimeError) as caught:
        to_device(np.ones(1))
    assert "CuPy is not installed" in str(caught.value) and 'pip install "minigen[cuda' in str(caught.value)
    assert "\n" not in str(caught.value)
    assert backend.cuda_problem() == str(caught.value) and default_device() == "cpu"
    assert to_device([np.ones(1)], "cpu")[0].tolist() == [1] and to_host(np.ones(1)).tolist() == [1]


def test_without_a_driver_one_line_says_where_to_look(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(is_available=lambda: False))
    with pytest.raises(RuntimeError, match="nvidia-smi") as caught:
        to_device(np.ones(1))
    assert "\n" not in str(caught.value) and default_device() == "cpu"


def test_with_cupy_cuda_is_the_default(cp):
    assert backend.cuda_problem() is None and default_device() == "cuda"
    assert isinstance(to_device(np.ones(1)), cp.ndarray)


# Constants
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", [2, 2.0, np.float64(2), [2, 2], np.array([2, 2]), np.array([2.0, 2.0])], ids=repr)
def test_like_takes_library_and_dtype_of_x(device, dtype, values):
    x = to_device(np.ones(2, dtype), device)
    y = like(x, values)
    assert type(y) is type(x) and y.dtype == dtype
    assert (x * y).dtype == dtype and to_host(x * y).tolist() == [2, 2]


def test_like_takes_values_of_either_library(cp):
    host, there = np.ones(2, np.float32), cp.full((2,), 3.0)
    assert type(like(host, there)) is np.ndarray and like(host, there).dtype == np.float32 and like(host, there).tolist() == [3, 3]
    assert isinstance(like(there, host), cp.ndarray) and like(there, host).dtype == np.float64
    with standin.forbid("sync"):
        assert like(there, there * 2).shape == (2,)


# Noise
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (4, 5)], ids=str)
@pytest.mark.parametrize("draw, method", [(normal, "standard_normal"), (uniform, "random")])
@pytest.mark.parametrize("dtype, drawn", [(np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float32)])
def test_noise_is_the_generators_own_wherever_it_goes(device, draw, method, shape, dtype, drawn):
    x = to_device(np.zeros(1, dtype), device)
    noise = draw(np.random.default_rng(5), shape, x)
    assert noise.dtype == dtype and noise.shape == shape and array_module(noise) is array_module(x)
    expected = np.asarray(getattr(np.random.default_rng(5), method)(shape, dtype=drawn)).astype(dtype)
    np.testing.assert_array_equal(to_host(noise), expected)


@pytest.mark.parametrize("draw", [normal, uniform])
def test_noise_advances_the_generator(draw):
    rng, x = np.random.default_rng(0), np.zeros(1)
    assert not np.isin(draw(rng, (4,), x), draw(rng, (4,), x)).any()


def test_noise_is_distributed_as_named():
    rng, x, n = np.random.default_rng(0), np.zeros(1), 10_000
    e, u = normal(rng, (n,), x), uniform(rng, (n,), x)
    # Mean and mean square within 4.9 standard errors: a false alarm in 10⁶ for each.
    assert abs(e.mean()) < 4.9 / n**0.5 and abs((e**2).mean() - 1) < 4.9 * (2 / n) ** 0.5
    assert abs(u.mean() - 0.5) < 4.9 / (12 * n) ** 0.5 and abs((u**2).mean() - 1 / 3) < 4.9 * (4 / 45 / n) ** 0.5
    assert u.min() >= 0 and u.max() < 1 and e.min() < -2


@pytest.mark.parametrize("draw", [normal, uniform])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_device_generator_draws_on_the_device(cp, draw, dtype):
    x = cp.zeros(1, dtype)
    with standin.counting() as counts, standin.forbid("sync"):
        noise = draw(cp.random.default_rng(1), (3, 2), x)
    assert isinstance(noise, cp.ndarray) and noise.dtype == dtype and noise.shape == (3, 2)
    assert counts["h2d"] == 0
    assert draw(cp.random.default_rng(1), (3,), np.zeros(1, dtype)).dtype == dtype  # and comes to the host for host arrays


def test_noise_for_a_tensor_is_a_constant(device):
    x = to_device(np.array([1.0, 2.0], np.float32), device)
    noisy = lambda x, rng: np.sum(x * normal(rng, x.shape, x))
    slope = grad(noisy)(x, np.random.default_rng(3))
    np.testing.assert_array_equal(to_host(slope), np.random.default_rng(3).standard_normal(2, dtype=np.float32))


# What does not dispatch
@pytest.mark.parametrize("s", [2, 3, 4.5])
def test_hurwitz_zeta_is_its_sum(device, s):
    x = np.array([0.5, 1.0, 3.25])
    n = np.arange(20_000.0)[:, None]
    # The sum's tail lies between these integrals.
    partial, low, high = ((n + x) ** -s).sum(0), (n[-1] + 1 + x) ** (1 - s) / (s - 1), (n[-1] + x) ** (1 - s) / (s - 1)
    z = hurwitz_zeta(s, to_device(x, device))
    assert array_module(z) is array_module(to_device(x, device))
    z = to_host(z)
    assert np.all(z >= (partial + low) * (1 - 1e-11)) and np.all(z <= (partial + high) * (1 + 1e-11))


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_solve_triangular_reads_one_triangle(device, lower, columns):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 4)) + 4 * np.eye(4), rng.normal(size=(4, *columns))
    x = solve_triangular(to_device(a, device), to_device(b, device), lower=lower)
    assert type(x) is type(to_device(b, device))
    triangle = np.tril(a) if lower else np.triu(a)
    np.testing.assert_allclose(triangle @ to_host(x), b, rtol=1e-12)
    if lower:
        np.testing.assert_array_equal(to_host(solve_triangular(to_device(a, device), to_device(b, device))), to_host(x))
        np.testing.assert_allclose(to_host(x), scipy.linalg.solve_triangular(a, b, lower=True), rtol=1e-12)


def test_eigenvalues_of_a_product(device):
    rng = np.random.default_rng(0)
    a, b = ((x + x.T) / 2 for x in rng.normal(size=(2, 5, 5)))
    b = b @ b + np.eye(5)
    found = eigenvalues_of_product(to_device(a, device), to_device(b, device))
    assert type(found) is type(to_device(a, device))
    np.testing.assert_allclose(to_host(found), np.sort(np.linalg.eigvals(a @ b).real), rtol=1e-12, atol=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        eigenvalues_of_product(to_device(b, device), to_device(-b, device))


# Memory
@pytest.fixture
def glibc(monkeypatch):
    """What would be asked of the C library."""
    calls = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *args: calls.append(args)))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("MINIGEN_MALLOC", raising=False)
    return calls


def test_keep_memory_sets_the_three_thresholds(glibc):
    keep_memory()
    assert dict(glibc) == {-3: 2**30, -1: 2**31 - 1, -2: 64 * 2**20}  # the numbers of mmap, trim and top pad in malloc.h


def test_keep_memory_can_be_refused(glibc, monkeypatch):
    monkeypatch.setenv("MINIGEN_MALLOC", "0")
    keep_memory()
    monkeypatch.delenv("MINIGEN_MALLOC")
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_memory()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())  # a C library without mallopt
    keep_memory()
    assert glibc == []


# The rule of the house
def test_only_the_backend_names_cupy():
    package = pathlib.Path(minigen.__file__).parent
    for path in package.rglob("*.py"):
        for at in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in at.names] if isinstance(at, ast.Import) else [at.module] if isinstance(at, ast.ImportFrom) else []
            names += [at.id] if isinstance(at, ast.Name) else []
            named = any((name or "").split(".")[0] in ("cupy", "cupyx") for name in names)
            assert not named or path.name == "backend.py", f"{path} line {at.lineno}"


def test_importing_minigen_imports_neither_cupy_nor_scipy():
    code = "import sys, minigen; print([m for m in ('cupy', 'scipy', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
