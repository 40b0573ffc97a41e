"""Trees of arrays: a dataclass, dict, list or tuple of arrays, nested as one likes.

The *leaves* of a tree are its trainable arrays: every floating-point array (NumPy, CuPy or Tensor) that is not in a
dataclass field marked `field(metadata={"static": True})`. Integer and boolean arrays, Python numbers, strings, functions
and None are constants: they stay where they are.

    leaves(tree)                 the arrays, in order
    rebuild(tree, new_leaves)    the same tree with other leaves
    tree_map(f, *trees)          f over corresponding leaves
    ravel(tree)                  one flat vector, and the way back
"""

import copy
from dataclasses import fields, is_dataclass

import numpy as np


def is_array(x):
    """Whether x is an array of any library, a Tensor or a NumPy scalar."""
    return hasattr(x, "dtype") and hasattr(x, "shape")


def is_leaf(x):
    """Whether x is a floating-point array, the only thing that is trained."""
    return is_array(x) and x.dtype.kind == "f"


def trainable_fields(node):
    """Names of the dataclass fields that may hold leaves."""
    return [f.name for f in fields(node) if not f.metadata.get("static")]


def is_dataclass_instance(x):
    """Whether x is an instance of a dataclass, not the class itself."""
    return is_dataclass(x) and not isinstance(x, type)


def leaves(tree):
    """The trainable arrays of a tree, as a list, in the order of fields, keys and items.

    >>> import numpy as np
    >>> leaves({"w": np.ones(2), "steps": 3, "layers": [np.zeros(1)]})
    [array([1., 1.]), array([0.])]
    """
    if is_leaf(tree):
        return [tree]
    if is_dataclass_instance(tree):
        nodes = [getattr(tree, name) for name in trainable_fields(tree)]
    elif isinstance(tree, dict):
        nodes = tree.values()
    elif isinstance(tree, (list, tuple)):
        nodes = tree
    else:
        return []
    return [leaf for node in nodes for leaf in leaves(node)]


def map_nodes(f, tree, static):
    """The tree with f applied to each array: to trainable ones, and where `static` also to all others."""
    if is_array(tree):
        return f(tree) if static or is_leaf(tree) else tree
    if is_dataclass_instance(tree):
        # Not dataclasses.replace: a gradient is no valid model, so that constructors must not see it.
        new = copy.copy(tree)
        for name in [f.name for f in fields(tree)] if static else trainable_fields(tree):
            object.__setattr__(new, name, map_nodes(f, getattr(tree, name), static))
        return new
    if isinstance(tree, dict):
        return type(tree)((k, map_nodes(f, v, static)) for k, v in tree.items())
    if isinstance(tree, (list, tuple)):
        new = [map_nodes(f, v, static) for v in tree]
        return type(tree)(*new) if hasattr(tree, "_fields") else type(tree)(new)
    return tree


def rebuild(tree, new_leaves):
    """The same tree with its leaves replaced, in the order of `leaves`."""
    it = iter(new_leaves)
    return map_nodes(lambda _: next(it), tree, static=False)


def tree_map(f, tree, *more):
    """Apply f to corresponding leaves of trees of one structure; constants come from the first.

    >>> import numpy as np
    >>> tree_map(lambda a, b: a - 0.1 * b, {"w": np.ones(2)}, {"w": np.array([1.0, 2.0])})
    {'w': array([0.9, 0.8])}
    """
    columns = [leaves(t) for t in (tree, *more)]
    if len({len(c) for c in columns}) > 1:
        raise ValueError(f"tree_map: the trees have {', '.join(str(len(c)) for c in columns)} leaves; expected the same number in each")
    return rebuild(tree, [f(*row) for row in zip(*columns, strict=True)])


def ravel(tree):
    """(vector, unravel): all leaves in one flat vector, and the function that makes the tree of views of such a vector.

    >>> import numpy as np
    >>> vector, unravel = ravel({"a": np.zeros((1, 2)), "b": np.ones(1)})
    >>> vector, unravel(vector + 1)
    (array([0., 0., 1.]), {'a': array([[1., 1.]]), 'b': array([2.])})
    """
    arrays = leaves(tree)
    if not arrays:
        raise ValueError("ravel: the tree has no floating-point array; parameters must be float arrays in non-static fields")
    shapes, ends = [a.shape for a in arrays], np.cumsum([a.size for a in arrays]).tolist()

    def unravel(vector):
        return rebuild(tree, [vector[e - a.size : e].reshape(s) for a, s, e in zip(arrays, shapes, ends, strict=True)])

    return np.concatenate([a.reshape(-1) for a in arrays]), unravel


def count_parameters(tree):
    """How many trainable numbers a tree holds."""
    return sum(a.size for a in leaves(tree))
