"""What all tests share: hypothesis profiles, and the `device` fixture that runs a test over array libraries."""

import importlib.util
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests import standin

# A fixture of function scope is fine under @given here: none keeps state that one example could leave to the next.
common = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=30, **common)
settings.register_profile("ci", max_examples=30, derandomize=True, database=None, **common)
settings.register_profile("intense", max_examples=1000, **common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture
def install_standin(monkeypatch):
    """The stand-in as `cupy`, also where CuPy itself is installed: for counting what a device would do."""
    for name, module in standin.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return standin


@pytest.fixture(params=["cpu", pytest.param("cuda", id="cuda" if standin.real_cupy() else "standin")])
def device(request):
    """'cpu' or 'cuda', for `to_device(array, device)`: CuPy where it finds a GPU, elsewhere the stand-in in its place."""
    if request.param == "cuda" and not standin.real_cupy():
        request.getfixturevalue("install_standin")
    return request.param


@pytest.fixture
def cp(request):
    """CuPy itself where it finds a GPU, elsewhere the stand-in: for tests of what only a device does."""
    if not standin.real_cupy():
        request.getfixturevalue("install_standin")
    import cupy

    return cupy


@pytest.fixture(params=["hypothesis", "seeded"])
def cases(request, monkeypatch):
    """Both ways to draw cases: with hypothesis, and as where it is not installed."""
    if request.param == "seeded":
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: None if name == "hypothesis" else find(name, *args))
    return request.param
