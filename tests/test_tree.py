"""Trees of arrays: any nesting of dataclasses, dicts, lists, tuples and named tuples comes apart and together again."""

import sys
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from minigen import grad, to_device, to_host, vjp
from minigen.tree import count_parameters, field_names, is_array, is_leaf, leaves, map_nodes, named_arrays, ravel, rebuild, tree_map

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Node:
    """A node with a constant between its parameters."""

    weight: Any
    note: Any = field(metadata={"static": True})
    child: Any


@dataclass(frozen=True, slots=True)
class Sealed:
    """A node that cannot be assigned to and has no __dict__."""

    value: Any


@dataclass
class Checked:
    """A node whose constructor insists on what a gradient need not have."""

    scale: Any

    def __post_init__(self):
        if not np.all(self.scale > 0):
            raise ValueError("scale must be positive")


# Each strategy draws (tree, its leaves in order, all its arrays in order), so that the oracle owes nothing to the code.
shapes = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def array(shape, dtype, start):
    """An array of numbers that differ."""
    return (start + np.arange(np.prod(shape, dtype=int))).reshape(shape).astype(dtype)


def arrays(*dtypes):
    return st.builds(array, shapes, st.sampled_from(dtypes), st.integers(0, 99))


trainable = arrays(np.float64, np.float32).map(lambda a: (a, [a], [a]))
constant_array = arrays(np.int64, np.uint8, np.bool_).map(lambda a: (a, [], [a]))
other = st.sampled_from([None, 3, 2.5, "text", True, np.exp, (), [], {}]).map(lambda c: (c, [], []))


def joined(make, parts):
    """A node made of parts."""
    return make([t for t, _, _ in parts]), [a for _, ls, _ in parts for a in ls], [a for _, _, all_ in parts for a in all_]


def node(weight, note, child):
    """A dataclass: nothing below its constant field is a leaf."""
    return Node(weight[0], note[0], child[0]), weight[1] + child[1], weight[2] + note[2] + child[2]


def nested(inner):
    several = st.lists(inner, max_size=3)
    return st.one_of(
        several.map(lambda parts: joined(list, parts)),
        several.map(lambda parts: joined(tuple, parts)),
        several.map(lambda parts: joined(lambda ts: {f"k{i}": t for i, t in enumerate(ts)}, parts)),
        several.map(lambda parts: joined(lambda ts: OrderedDict((i, t) for i, t in enumerate(ts)), parts)),
        st.tuples(inner, inner).map(lambda parts: joined(lambda ts: Pair(*ts), parts)),
        st.builds(node, inner, inner, inner),
        inner.map(lambda part: joined(lambda ts: Sealed(*ts), [part])),
    )


trees = st.recursive(st.one_of(trainable, constant_array, other), nested, max_leaves=12)


def same(a, b, arrays):
    """Whether two trees have the same structure and constants, and arrays(x, y) holds of their corresponding arrays."""
    if is_array(a):
        return arrays(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k], arrays) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, arrays) for x, y in zip(a, b, strict=True))
    if isinstance(a, (Node, Sealed)):
        return all(same(getattr(a, n), getattr(b, n), arrays) for n in a.__dataclass_fields__)
    return a is b


def equal(a, b):
    return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def identical(xs, ys):
    return len(xs) == len(ys) and all(x is y for x, y in zip(xs, ys, strict=True))


@given(trees)
def test_leaves_are_the_trainable_arrays_in_order(case):
    tree, expected, _ = case
    assert identical(leaves(tree), expected)
    assert count_parameters(tree) == sum(np.size(a) for a in expected)


@given(trees)
def test_rebuild_undoes_leaves(case):
    tree, expected, _ = case
    again = rebuild(tree, expected)
    assert same(tree, again, lambda a, b: a is b)


@given(trees)
def test_tree_map_changes_the_leaves_and_nothing_else(case):
    tree, expected, everything = case
    before = [a.copy() for a in everything]
    new = tree_map(lambda a, b, c: a - 2 * b + 3 * c, tree, tree_map(np.square, tree), tree_map(np.negative, tree))
    assert all(equal(a, b - 2 * b * b - 3 * b) for a, b in zip(leaves(new), expected, strict=True))
    trained = {id(a) for a in expected}
    assert same(tree, new, lambda a, b: id(a) in trained or a is b)
    assert all(equal(a, b) for a, b in zip(everything, before, strict=True))


@given(trees)
def test_all_arrays_or_the_trainable_ones_can_be_mapped(case):
    tree, expected, everything = case
    for static, wanted in ((False, expected), (True, everything)):
        seen = []
        map_nodes(lambda a, seen=seen: seen.append(a), tree, static=static)
        assert identical(seen, wanted)


@given(trees.filter(lambda case: case[1]))
def test_ravel_and_unravel_are_inverse(case):
    tree, expected, _ = case
    vector, unravel = ravel(tree)
    assert equal(vector, np.concatenate([a.ravel() for a in expected]))
    again = unravel(vector)
    assert same(tree, again, lambda a, b: a is b or equal(a.astype(vector.dtype), b))
    assert equal(ravel(again)[0], vector)


@given(trees.filter(lambda case: case[1]))
def test_unravel_gives_views_of_the_vector(case):
    vector, unravel = ravel(case[0])
    views = leaves(unravel(vector))
    assert [v.shape for v in views] == [a.shape for a in case[1]]
    assert all(np.shares_memory(v, vector) for v in views if v.size)
    vector += 0.5
    assert equal(np.concatenate([v.ravel() for v in views]), vector)
    assert not any(np.shares_memory(a, vector) for a in case[1]), "the vector is a copy of the tree's own arrays"


@given(trees)
def test_named_arrays_are_all_arrays_with_the_way_to_them(case):
    tree, _, everything = case
    named = named_arrays(tree)
    assert identical(list(named.values()), everything)
    for path, a in named.items():
        at = tree
        for step in [] if tree is a else path.split("."):
            at = getattr(at, step) if hasattr(at, "__dataclass_fields__") else at[step if step.startswith("k") else int(step)]
        assert at is a
    if is_array(tree):
        assert list(named) == ["array"]


def test_fields():
    tree = Node(np.ones(2), np.zeros(3), {"n": np.arange(2), "layers": [Sealed(np.float32(4))]})
    assert list(named_arrays(tree)) == ["weight", "note", "child.n", "child.layers.0.value"]
    assert [a.shape for a in leaves(tree)] == [(2,), ()]
    assert field_names(Node, static=False) == ("weight", "child") and field_names(Node, static=True) == ("weight", "note", "child")
    assert field_names(dict, static=True) is None


def test_constants_stay_the_same_objects():
    note = np.ones(3)
    tree = Node(np.ones(2), note, [np.arange(3), "name"])
    new = tree_map(np.negative, tree)
    assert new.note is note and new.child[0] is tree.child[0] and new.child[1] is tree.child[1]
    assert new.weight.tolist() == [-1, -1] and tree.weight.tolist() == [1, 1]


def test_constructors_do_not_see_gradients():
    model = Checked(np.array([1.0, 2.0]))
    slope = grad(lambda m: -np.sum(m.scale**2))(model)
    assert type(slope) is Checked and slope.scale.tolist() == [-2, -4]
    assert tree_map(np.negative, model).scale.tolist() == [-1, -2]
    with pytest.raises(ValueError, match="positive"):
        Checked(np.array([-1.0]))


@pytest.mark.parametrize(
    ("x", "array_like", "trained"),
    [
        (np.ones(2), True, True), (np.float32(1), True, True), (np.ones(2, np.float16), True, True), (np.arange(2), True, False),
        (np.ones(2, bool), True, False), (np.ones(2, complex), True, False), (1.0, False, False), ("a", False, False), (None, False, False),
        (np.dtype(float), False, False), (np.nditer([1.0]), False, False),
        (SimpleNamespace(dtype=np.dtype(float)), False, False),
    ],
)  # fmt: skip
def test_what_is_trained(x, array_like, trained):
    assert is_array(x) is array_like
    assert (is_leaf(x), len(leaves(x))) == (trained, int(trained))


def test_ravel_joins_the_widest_type():
    vector, unravel = ravel([np.ones(1, np.float32), np.zeros((), np.float64)])
    assert vector.dtype == np.float64 and [a.shape for a in unravel(vector)] == [(1,), ()]
    assert ravel([np.ones(1, np.float32), np.zeros(2, np.float32)])[0].dtype == np.float32


@pytest.mark.parametrize("tree", [{}, None, 3.0, [np.arange(3)], Node(1, np.ones(2), "x")], ids=str)
def test_ravel_of_nothing_says_so(tree):
    with pytest.raises(ValueError, match="no floating-point array"):
        ravel(tree)
    assert leaves(tree) == [] and count_parameters(tree) == 0


def test_tree_map_refuses_trees_of_different_size():
    with pytest.raises(ValueError, match="1, 2 leaves"):
        tree_map(np.add, [np.ones(1)], [np.ones(1), np.ones(1)])


def test_a_deep_tree():
    tree = np.ones(1)
    for _ in range(200):
        tree = [tree]
    assert len(leaves(tree)) == 1 and sys.getrecursionlimit() >= 400


# On a device, and on Tensors
def test_ravel_stays_in_its_library(device):
    tree = to_device(Node(np.arange(6.0).reshape(2, 3), np.ones(2), [np.zeros(()), np.arange(2)]), device)
    vector, unravel = ravel(tree)
    assert type(vector) is type(tree.weight)
    model = unravel(vector)
    vector += 1.0
    assert to_host(model).weight.tolist() == [[1, 2, 3], [4, 5, 6]] and to_host(model.child[0]) == 1.0
    assert model.note is tree.note and model.child[1] is tree.child[1]


def test_ravel_can_be_differentiated(device):
    tree = to_device({"a": np.array([[1.0, 2.0]]), "b": np.array(3.0)}, device)
    y, pullback = vjp(lambda t: ravel(t)[0] ** 2, tree)
    slope = pullback(y)
    assert to_host(slope)["a"].tolist() == [[2, 16]] and to_host(slope)["b"] == 54
    _, unravel = ravel(tree)
    slope = grad(lambda v: np.sum(unravel(v)["b"] * unravel(v)["a"]))(ravel(tree)[0])
    assert to_host(slope).tolist() == [3, 3, 3]
