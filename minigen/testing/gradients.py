"""Are these derivatives right? The check of a function that `minigen.autograd` differentiates.

The oracle is the definition of the derivative (`differences`). Each entry has a tolerance of its own, relative to its own
size plus the error of the oracle there, so that a wrong entry is found though it be tiny beside the others.
"""

import inspect
from dataclasses import replace

import numpy as np

from minigen.autograd import vjp
from minigen.backend import like, to_host
from minigen.testing.differences import EPS, derivative_along, typical_scale
from minigen.testing.failure import PropertyFailure, require, show
from minigen.tree import children, is_leaf, leaves, map_nodes, rebuild

ORDINALS = ("", "first", "second", "third", "fourth")


def check_gradients(f, args, *, order=2, rtol=1e-6, entries=24, seed=0, ref=""):
    """Raise PropertyFailure unless `minigen.autograd.vjp` of f at args is right, to the given order of derivatives.

    args is a tuple of trees, f(*args) a tree of arrays; all floating-point arrays are taken in float64. Up to `entries`
    entries of every array are compared one by one, and all together along random directions. The second order checks the
    pullback itself, as a function of args and of the cotangent, and so on. Raises ValueError where f is not smooth at args.

    >>> check_gradients(lambda a, b: a @ np.tanh(b), (np.ones((2, 3)), np.arange(3.0)))
    """
    args = args if isinstance(args, tuple) else (args,)
    try:
        check_order(f, args, leaf_names(f, args), order, 1, {"rtol": rtol, "entries": entries, "ref": ref}, seed)
    except PropertyFailure as failure:
        found = replace(failure, replay=f"check_gradients(f, args, {order=}, {rtol=}, {entries=}, {seed=})")
    else:
        return
    raise found


def check_order(f, args, names, order, now, options, seed):
    """One order of `check_gradients`, then the next one on the pullback."""
    args = rebuild(args, [like(x, to_host(x)).astype(np.float64) for x in leaves(args)])
    old = leaves(args)
    if not old:
        raise ValueError("check_gradients: args hold no floating-point array: there is nothing to differentiate")
    xs, rng = [np.array(to_host(x)) for x in old], np.random.default_rng(seed)

    def outputs(vector):
        y = f(*rebuild(args, [like(x.astype(vector.dtype), v) for x, v in zip(old, cut(vector, xs), strict=True)]))
        parts = []
        map_nodes(parts.append, y, static=True) if vector.dtype.kind == "c" else parts.extend(leaves(y))
        return join([to_host(p) for p in parts if p.dtype.kind == vector.dtype.kind])

    label = f"{ORDINALS[now]} derivative" if now < len(ORDINALS) else f"derivative of order {now}"
    value = outputs(join(xs))
    if not np.all(np.isfinite(value)):
        raise ValueError("check_gradients: f is not finite at args")
    y, pullback = vjp(lambda t: f(*t), args)
    if not leaves(y):
        raise ValueError("check_gradients: f has no floating-point output")
    recorded = join([to_host(leaf) for leaf in leaves(y)])
    same = recorded.shape == value.shape and np.allclose(recorded, value, rtol=1e-10, atol=1e-10 * np.max(np.abs(value), initial=0))
    require(same, "f gives the same value on arrays and on Tensors", ref=options["ref"], got=recorded, want=value)
    cotangents = [rng.standard_normal(leaf.shape) for leaf in leaves(y)]
    ybar = rebuild(y, [like(leaf, u) for leaf, u in zip(leaves(y), cotangents, strict=True)])
    found = [to_host(g) for g in leaves(pullback(ybar))]
    untouched = all(np.array_equal(to_host(x), before) for x, before in zip(leaves(args), xs, strict=True))
    require(untouched, "f and its pullback leave their arguments as they were", ref=options["ref"])
    compare(outputs, xs, join(cotangents), found, names, label, rng, **options)
    if now < order:
        names = names + paths(ybar, f"ȳ{now if now > 1 else ''}")
        check_order(lambda *a: vjp(lambda t: f(*t), a[:-1])[1](a[-1]), (*args, ybar), names, order, now + 1, options, seed)


def compare(f, xs, ybar, found, names, label, rng, rtol=1e-6, entries=24, ref=""):
    """Compare gradients x̄ = (∂f/∂x)ᵀ ȳ, found by somebody, with the definition, entry by entry and along random directions."""
    for x, g, name in zip(xs, found, names, strict=True):
        require(g.shape == x.shape, f"the gradient by {name} has the shape of {name}", ref=ref, got=g.shape, want=x.shape)
        require(np.all(np.isfinite(g)), f"the gradient by {name} is finite", ref=ref, got=g)
    x, scale = join(xs), join([typical_scale(x) for x in xs])
    derivative = derivative_along(f, x, scale, rng)
    rounding = 4 * EPS * float(np.abs(ybar) @ np.abs(f(x)))  # where terms cancel to 0, nobody's sum of them is exactly 0

    def expected(v):
        df, error = derivative(v)
        return float(ybar @ df), float(np.abs(ybar) @ error) + rounding

    start, rows = 0, []
    for leaf, (array, g) in enumerate(zip(xs, found, strict=True)):
        chosen = rng.permutation(array.size)[:entries]
        for i in sorted(chosen):
            v = np.zeros_like(x)
            v[start + i] = scale[start + i]
            want, error = (number / scale[start + i] for number in expected(v))
            rows.append((leaf, i, float(g.reshape(-1)[i]), want, error))
        start += array.size
    judge(rows, xs, names, label, rtol, ref)
    for _ in range(2):
        v = scale * rng.standard_normal(x.shape)
        want, error = expected(v)
        got, size = float(join(found) @ v), float(np.abs(join(found)) @ np.abs(v))
        tolerance = rtol * (abs(want) + 1e-6 * size) + 10 * error
        fields = {"equation": "⟨x̄, v⟩ = ⟨ȳ, ∂f/∂x v⟩", "got": got, "want": want, "error": error, "tolerance": tolerance, "ref": ref}
        require(abs(got - want) <= tolerance, f"the {label} is right along a random direction v of all arguments", **fields)


def judge(rows, xs, names, label, rtol, ref):
    """Raise about the worst of the rows (leaf, flat index, got, want, error of want)."""
    largest = {leaf: max(abs(row[3]) for row in rows if row[0] == leaf) for leaf, *_ in rows}
    for leaf, i, _, want, error in rows:
        if not error <= max(1e-3 * largest[leaf], 1e-7):
            place = f"{names[leaf]}[{index_of(i, xs[leaf])}]"
            raise ValueError(f"finite differences do not settle at {place} ({want:.3g} ± {error:.1g}): choose a point where f is smooth")
    excess = [abs(got - want) / (rtol * abs(want) + 10 * error + 1e-300) for _, _, got, want, error in rows]
    if rows and max(excess) > 1:
        leaf, i, got, want, error = rows[int(np.argmax(excess))]
        index = index_of(i, xs[leaf])
        raise PropertyFailure(
            f"the {label} by {names[leaf]} is right at every index; worst at [{index}]",
            ref=ref, equation="x̄ = (∂f/∂x)ᵀ ȳ", inputs=f"{names[leaf]}[{index}] = {show(xs[leaf].reshape(-1)[i])}", got=got, want=want,
            oracle="numerical derivative", error=error, tolerance=rtol * abs(want) + 10 * error, hint=gradient_hint(rows, leaf),
        )  # fmt: skip


def index_of(i, x):
    """The i-th position of an array in its order of memory, as one would write it between brackets."""
    return ", ".join(str(int(k)) for k in np.unravel_index(i, x.shape))


def gradient_hint(rows, leaf):
    """What the wrong entries of one leaf have in common."""
    pairs = [(got, want) for other, _, got, want, error in rows if other == leaf and abs(want) > 100 * error]
    if pairs and all(got == 0 for got, _ in pairs):
        return "no gradient arrives: is the path through a constant, a comparison or stop_gradient?"
    ratios = [got / want for got, want in pairs]
    if len(ratios) > 1 and max(ratios) - min(ratios) < 1e-5 * abs(ratios[0]):
        return f"every entry is {ratios[0]:.7g} times what it should be"
    return ""


def leaf_names(f, args):
    """What to call each leaf: the parameter's name and the path inside of it, such as model.layers[0].weight."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        names = []
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return [name for root, arg in zip(names, args, strict=False) for name in paths(arg, root)]


def paths(tree, root):
    """The paths of the leaves of a tree, in the order of `leaves`."""
    if is_leaf(tree):
        return [root]
    style = "[{!r}]" if isinstance(tree, (dict, list, tuple)) else ".{}"
    return [path for key, child in children(tree) for path in paths(child, root + style.format(key))]


def join(arrays):
    """Arrays as one flat vector."""
    return np.concatenate([np.reshape(a, -1) for a in arrays]) if arrays else np.zeros(0)


def cut(vector, like_these):
    """A flat vector as arrays of given shapes: the inverse of `join`."""
    ends = np.cumsum([x.size for x in like_these])
    return [vector[e - x.size : e].reshape(x.shape) for x, e in zip(like_these, ends, strict=True)]
