"""The table of derivatives as a whole: every row has a case, none widens float32, constants are raw."""

import functools
import importlib
from pathlib import Path

import numpy as np
import pytest

import minigen as mg
from minigen.tensor import EachArgument, Tensor, compositions, constants, pullbacks
from tests.derivative_cases import CASES
from tests.differences import derivative_along, directions, inputs, loss_of

ENGINE = {"tensor", "derivatives", "linear_algebra", "compositions", "special", "functions"}


def spy(func, calls):
    """The row of a function, noting (function, argument, whether it was fed Tensors) at every use."""
    def noting(rule, i):
        @functools.wraps(rule)  # its signature is read
        def noted(*args, **kwargs):
            calls.add((func, i, not raw_leaves(args)))
            return rule(*args, **kwargs)

        return noted

    if func in compositions:
        return noting(compositions[func], 0)
    rules = pullbacks[func]
    if isinstance(rules, EachArgument):
        return EachArgument(noting(rules.rule, 0))
    return tuple(rule and noting(rule, i) for i, rule in enumerate(rules))


def named(func):
    return f"{getattr(func, '__module__', 'numpy')}.{func.__name__}"


def of_engine(func):
    """Whether a row is the engine's own; other modules' primitives are checked in the tests of those modules."""
    package, _, module = (getattr(func, "__module__", None) or "numpy").partition(".")
    return module in ENGINE if package == "minigen" else package != "tests"


def test_every_row_has_a_case_that_uses_it_to_second_order(monkeypatch):
    calls, rows = set(), {}
    for table in (pullbacks, compositions):
        for func in filter(of_engine, list(table)):
            rows[func] = spy(func, calls)
            monkeypatch.setitem(table, func, rows[func])
    for case in CASES:
        xs = inputs(case)
        mg.grad(derivative_along(loss_of(case), directions(xs, 10)))(xs)
    keys = {case.key for case in CASES}
    assert not [named(func) for func in rows if func not in keys]
    unused = []
    for func, row in rows.items():
        if func in compositions:
            wanted = [(0, True)]
        else:
            places = [0] if isinstance(row, EachArgument) else [i for i, rule in enumerate(row) if rule]
            wanted = [(i, nested) for i in places for nested in (False, True)]
        unused += [(named(func), i, nested) for i, nested in wanted if (func, i, nested) not in calls]
    assert not unused


def test_no_pullback_widens_float32(monkeypatch):
    """The gradient's last cast would hide it, and a float64 pass over memory costs twice as much."""
    widened = set()

    def watched(func, rule):
        @functools.wraps(rule)  # its signature is read
        def watch(*args, **kwargs):
            y = rule(*args, **kwargs)
            if y.dtype != np.float32:
                widened.add(named(func))
            return y

        return watch

    for func, rules in list(pullbacks.items()):
        each = isinstance(rules, EachArgument)
        row = EachArgument(watched(func, rules.rule)) if each else tuple(rule and watched(func, rule) for rule in rules)
        monkeypatch.setitem(pullbacks, func, row)
    for case in CASES:
        narrow = [x.astype(np.float32) for x in inputs(case)]
        mg.grad(derivative_along(loss_of(case), directions(narrow, 10)))(narrow)
    assert not widened


def test_every_other_row_belongs_to_a_module_with_tests_of_its_own():
    importlib.import_module("minigen.nn")
    modules = {func.__module__ for func in pullbacks if not of_engine(func)}
    names = {module.removeprefix("minigen.").replace(".", "_") for module in modules if module.startswith("minigen.")}
    assert not [name for name in names if not (Path(__file__).parent / f"test_{name}.py").exists()]


def raw_leaves(value):
    return all(map(raw_leaves, value)) if isinstance(value, (tuple, list)) else type(value) is not Tensor


CONSTANTS = (
    "sign floor ceil rint round trunc equal not_equal less less_equal greater greater_equal isfinite isnan isinf isclose allclose"
    " array_equal signbit logical_not argmax argmin argsort searchsorted count_nonzero any all nonzero shape ndim size zeros_like"
    " ones_like empty_like result_type floor_divide heaviside"
)


def test_the_constants_are_these():
    assert constants == {getattr(np, name) for name in CONSTANTS.split()}


@pytest.mark.parametrize("func", sorted(constants, key=named), ids=named)
def test_constants_are_raw_and_equal_numpys(func):
    x, y = np.array([[0.5, -1.5], [2.5, 0.0]]), np.array([0.5, 1.0])
    takes_two = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isclose, np.allclose, np.array_equal,
                 np.searchsorted, np.floor_divide, np.heaviside, np.result_type}  # fmt: skip
    args = (np.sort(x[0]), y) if func is np.searchsorted else (x, y) if func in takes_two else (x,)
    want = func(*args)
    for k in range(len(args)):  # a Tensor in any place, and in all
        got = []
        mg.vjp(lambda t, k=k, got=got: got.append(func(*args[:k], t, *args[k + 1 :])) or t, args[k])
        assert raw_leaves(got[0])
        if func is not np.empty_like:
            np.testing.assert_equal(got[0], want)
    got = []
    mg.vjp(lambda ts: got.append(func(*ts)) or ts, list(args))
    assert raw_leaves(got[0])


def test_comparisons_of_tensors_are_raw():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    seen = []
    mg.vjp(lambda t: seen.extend([t < y, t <= y, t > y, t >= y, t == y, t != y, y < t, t < t[::-1], t > 2, 2.0 >= t, t == t]) or t, x)
    wanted = [x < y, x <= y, x > y, x >= y, x == y, x != y, y < x, x < x[::-1], x > 2, 2.0 >= x, x == x]
    for got, want in zip(seen, wanted, strict=True):
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, want)
