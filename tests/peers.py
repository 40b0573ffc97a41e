"""Modules of peers, each read by itself: their packages import more than their formulas need, which may not be there or fail."""

import contextlib
import importlib
import importlib.util
import sys
from types import ModuleType

import pytest


class Stub(type):
    """The class of `Anything`: each of its attributes is it again, and it holds nothing."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __iter__(cls):
        return iter(())


class Anything(metaclass=Stub):
    """Stands for whatever is imported but not used: a class to derive from, a function, a decorator that changes nothing."""

    def __new__(cls, *args, **kwargs):
        return lambda f: f


@contextlib.contextmanager
def replaced(modules):
    """sys.modules with some modules in it, and afterwards without them."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def peer(name, stubs=()):
    """The module `name` of a package, without running the __init__ of any package around it; modules named in stubs hold Anything.

    Skips the test where the package is not installed.
    """
    parts = name.split(".")
    pytest.importorskip("torch")
    spec = importlib.util.find_spec(parts[0])
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{parts[0]} is not installed")
    modules, path = {}, list(spec.submodule_search_locations)
    for i, _ in enumerate(parts[:-1], start=1):
        package = modules[".".join(parts[:i])] = ModuleType(".".join(parts[:i]))
        package.__path__ = path
        path = [f"{p}/{parts[i]}" for p in path]
    for stub in stubs:
        module = modules[stub] = ModuleType(stub)
        module.__path__, module.__getattr__ = [], lambda attribute: getattr(Anything, attribute)
    with replaced(modules):
        return importlib.import_module(name)
