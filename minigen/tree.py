"""Trees of arrays: a dataclass, dict, list or tuple of arrays, nested as one likes.

The *leaves* of a tree are its trainable arrays: every floating-point array (NumPy, CuPy or Tensor) that is not in a
dataclass field marked `field(metadata={"static": True})`. Integer and boolean arrays, Python numbers, strings, functions
and None are constants: they stay where they are.

    leaves(tree)                 the arrays, in order
    rebuild(tree, new_leaves)    the same tree with other leaves
    tree_map(f, *trees)          f over corresponding leaves
    ravel(tree)                  one flat vector, and the way back
"""

import functools
from dataclasses import fields, is_dataclass

import numpy as np


def is_array(x):
    """Whether x is an array of any library, a Tensor or a NumPy scalar."""
    return isinstance(x, np.ndarray) or (hasattr(x, "dtype") and hasattr(x, "shape"))


def is_leaf(x):
    """Whether x is a floating-point array, the only thing that is trained."""
    return is_array(x) and x.dtype.kind == "f"


@functools.cache
def field_names(cls, static):
    """Names of a dataclass's fields, those of constants too or not; None for another class. Cached: every step asks for them."""
    return tuple(f.name for f in fields(cls) if static or not f.metadata.get("static")) if is_dataclass(cls) else None


def children(node, static=False):
    """(key, value) pairs of a dataclass, dict, list or tuple; none for anything else."""
    names = field_names(type(node), static)
    if names is not None:
        return [(name, getattr(node, name)) for name in names]
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, (list, tuple)) else []


def leaves(tree):
    """The trainable arrays of a tree, as a list, in the order of fields, keys and items.

    >>> import numpy as np
    >>> leaves({"w": np.ones(2), "steps": 3, "layers": [np.zeros(1)]})
    [array([1., 1.]), array([0.])]
    """
    if is_array(tree):
        return [tree] if tree.dtype.kind == "f" else []
    return [leaf for _, node in children(tree) for leaf in leaves(node)]


def named_arrays(tree, name=""):
    """{path: array} for every array of a tree, trainable or not; the path joins fields, keys and positions by dots."""
    if is_array(tree):
        return {name or "array": tree}
    parts = children(tree, static=True)
    return {path: a for key, node in parts for path, a in named_arrays(node, f"{name}.{key}" if name else str(key)).items()}


def map_nodes(f, tree, static):
    """The tree with f applied to each array: to trainable ones, and where `static` also to all others."""
    if is_array(tree):
        return f(tree) if static or tree.dtype.kind == "f" else tree
    parts = [(key, map_nodes(f, node, static)) for key, node in children(tree, static)]
    if field_names(type(tree), static) is not None:
        # Not dataclasses.replace: a gradient is no valid model, so that constructors must not see it.
        new, changed = object.__new__(type(tree)), dict(parts)
        for name in field_names(type(tree), True):
            object.__setattr__(new, name, changed[name] if name in changed else getattr(tree, name))
        return new
    if isinstance(tree, dict):
        return type(tree)(parts)
    if isinstance(tree, (list, tuple)):
        new = [node for _, node in parts]
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
