"""Checks of hand-written maps: a layer's backward, an adjoint pair, a score.

The oracle is the definition of the derivative (`differences`), and of an adjoint, ⟨A x, y⟩ = ⟨x, Aᵀ y⟩.
"""

import numpy as np

from minigen.testing.differences import jacobians
from minigen.testing.failure import PropertyFailure, evaluate, for_all, require, show
from minigen.testing.gradients import compare, cut, index_of, join, leaf_names


def check_vjp(forward, backward, strategies, *, cases=10, rtol=1e-6, seed=0, ref=""):
    """Raise PropertyFailure unless backward(ȳ, *x) = (∂ forward/∂x)ᵀ ȳ, one array for each array x in forward(*x).

    strategies: for each x a function rng -> array, or a list of arrays, or a hypothesis strategy. backward may return one
    array where there is one x. The name of the argument and the worst index are reported.

    >>> check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), [lambda rng: rng.standard_normal((2, 3))])
    """

    def body(*xs):
        rng = np.random.default_rng(seed)
        xs = [np.array(x, dtype=float) for x in xs]
        before = [x.copy() for x in xs]
        y = np.asarray(forward(*xs))
        ybar = rng.standard_normal(y.shape)
        found = backward(ybar.copy(), *xs)
        found = [np.asarray(g) for g in (found if isinstance(found, (tuple, list)) else (found,))]
        require(len(found) == len(xs), "backward returns one gradient for each input", got=len(found), want=len(xs), ref=ref)
        same = all(np.array_equal(a, b) for a, b in zip(xs, before, strict=True))
        require(same, "forward and backward leave their inputs as they were", ref=ref)
        names = leaf_names(forward, xs)
        compare(lambda z: join([forward(*cut(z, xs))]), xs, ybar.reshape(-1), found, names, "derivative", rng, rtol, ref=ref)

    for_all(body, strategies, cases, seed)


def check_adjoint(A, At, shape, *, rtol=1e-9, seed=0, ref=""):
    """Raise PropertyFailure unless A is linear and At its adjoint: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for x of a shape and y like A x.

    y is random and x each unit vector in turn; where they disagree, the failure is about unit vectors y too, if one tells.

    >>> check_adjoint(lambda x: np.cumsum(x), lambda y: np.cumsum(y[::-1])[::-1], (5,))
    """
    rng = np.random.default_rng(seed)
    x, z = rng.standard_normal((2, *shape))
    check_linear(A, x, z, rtol, ref)
    Ax = np.asarray(A(x))
    y = rng.standard_normal(Ax.shape)
    back = np.asarray(At(y))
    fields = {"got": back.shape, "want": x.shape, "replay": f"At(np.zeros({y.shape})).shape", "ref": ref}
    require(back.shape == x.shape, "Aᵀ y has the shape of x", **fields)
    for i in range(min(x.size, 1000)):
        column = np.asarray(A(unit(i, x.shape)))
        want, size = float(np.sum(column * y)), float(np.sum(np.abs(column * y)))
        got, tolerance = float(back.reshape(-1)[i]), rtol * (size + 1e-6)
        if not abs(got - want) <= tolerance:
            smaller_counterexample(A, At, i, column, x.shape, rtol, ref)
            fields = {"inputs": f"i = [{index_of(i, x)}]", "got": got, "want": want, "tolerance": tolerance, "ref": ref}
            raise PropertyFailure("Aᵀ is the adjoint of A", equation="⟨A eᵢ, y⟩ = ⟨eᵢ, Aᵀ y⟩", **fields)
    left, right = float(np.sum(Ax * y)), float(np.sum(x * back))
    tolerance = rtol * (float(np.sum(np.abs(Ax * y))) + float(np.sum(np.abs(x * back))))
    require(abs(left - right) <= tolerance, "Aᵀ is the adjoint of A", equation="⟨A x, y⟩ = ⟨x, Aᵀ y⟩", got=right, want=left, ref=ref)


def unit(i, shape):
    """The unit vector that is 1 at the flat index i, of this shape."""
    e = np.zeros(int(np.prod(shape)))
    e[i] = 1
    return e.reshape(shape)


def check_linear(A, x, z, rtol, ref):
    """Raise unless A(0) = 0 and A(2x − 3z) = 2 A x − 3 A z."""
    zero = np.asarray(A(np.zeros(x.shape))).reshape(-1)
    i = int(np.argmax(zero != 0)) if zero.size else 0
    fields = {"equation": "A 0 = 0", "hint": "something is added: is there a bias?", "replay": f"A(np.zeros({x.shape})).reshape(-1)[{i}]"}
    require(not np.any(zero), "A is linear", got=float(np.sum(zero[i : i + 1])), want=0.0, smallest=True, ref=ref, **fields)
    together, apart = np.asarray(A(2 * x - 3 * z)), 2 * np.asarray(A(x)) - 3 * np.asarray(A(z))
    worst = float(np.max(np.abs(together - apart), initial=0))
    linear = worst <= rtol * max(1.0, float(np.max(np.abs(together), initial=0)))
    fields = {"equation": "A(2x − 3z) − 2 A x + 3 A z = 0", "inputs": "random x and z", "got": worst, "want": 0.0, "ref": ref}
    require(linear, "A is linear", **fields)


def smaller_counterexample(A, At, i, column, shape, rtol, ref):
    """Raise about ⟨A eᵢ, eⱼ⟩ and ⟨eᵢ, Aᵀ eⱼ⟩ for the first j where they differ, among a thousand."""
    for j in range(min(column.size, 1000)):
        got, want = (float(v) for v in (np.asarray(At(unit(j, column.shape))).reshape(-1)[i], column.reshape(-1)[j]))
        if not abs(got - want) <= rtol * (abs(want) + 1e-6):
            where = f"i = [{index_of(i, np.empty(shape))}]   j = [{index_of(j, column)}]"
            fields = {"equation": "⟨A eᵢ, eⱼ⟩ = ⟨eᵢ, Aᵀ eⱼ⟩", "inputs": where, "got": got, "want": want, "oracle": "A eᵢ", "ref": ref}
            row = f"np.eye({column.size})[{j}]" + (f".reshape{column.shape}" if column.ndim != 1 else "")
            replay = f"At({row}).reshape(-1)[{i}]"
            hint = adjoint_hint(A, At, shape, column.shape)
            raise PropertyFailure("Aᵀ is the adjoint of A", hint=hint, replay=replay, smallest=True, **fields)


def adjoint_hint(A, At, shape, out):
    """What a wrong At is instead, told from random vectors."""
    x, y = np.random.default_rng(0).standard_normal(shape), np.random.default_rng(1).standard_normal(out)
    if np.allclose(At(np.asarray(A(x))), x):
        return "this undoes A: it is the inverse, where the adjoint is the transpose of A's matrix"
    return "this is A itself, not its transpose" if tuple(shape) == tuple(out) and np.allclose(At(y), A(y)) else ""


def check_score(score, log_prob, x, *, rtol=1e-6, ref=""):
    """Raise PropertyFailure unless score(x) = ∇ₓ log p(x) at each row of x, (n, D), or each number of x, (n,).

    >>> check_score(lambda x: -x, lambda x: -0.5 * x**2, np.array([-1.0, 0.5]))
    """
    x = np.array(x, dtype=float)
    got = evaluate(score, x, "score", x.shape, ref=ref)
    rows = x.reshape(len(x), -1)
    want, error = jacobians(lambda z: evaluate(log_prob, z.reshape(x.shape), "log_prob", x.shape[:1], ref=ref), rows)
    got = got.reshape(rows.shape)
    tolerance = rtol * np.abs(want) + 10 * error + 1e-12
    i = np.unravel_index(np.argmax(np.abs(got - want) / tolerance), got.shape)
    hint = "the sign is turned: this is −∇ log p" if np.allclose(got, -want, rtol=1e-4) and np.any(want) else ""
    fields = {"equation": "s(x) = ∇ₓ log p(x)", "inputs": f"x = {show(x[i[0]])}, coordinate {i[1]}", "oracle": "central differences"}
    fields |= {"got": float(got[i]), "want": float(want[i]), "error": float(error[i]), "tolerance": float(tolerance[i])}
    fields |= {"hint": hint, "ref": ref}
    require(abs(got[i] - want[i]) <= tolerance[i], "the score is the gradient of log_prob", **fields)
