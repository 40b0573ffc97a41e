"""The table of derivatives, continued: products, determinants, inverses and decompositions of (stacks of) matrices.

Source: Giles 2008, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation".
"""

import math
from collections import namedtuple

import numpy as np

from minigen.backend import array_module
from minigen.derivatives import fit, keep, mT
from minigen.tensor import EachArgument, compositions, primitive, pullbacks, raw, vjp_of

SlogdetResult = namedtuple("SlogdetResult", ["sign", "logabsdet"])
EighResult = namedtuple("EighResult", ["eigenvalues", "eigenvectors"])


def eye(a):
    """The identity of the size, dtype and library of the square matrices a."""
    return array_module(a).eye(a.shape[-1], dtype=a.dtype)


# Products
def as_matrices(g, a, b):
    """g, a and b with the axes that matmul adds to a vector and drops from the product."""
    if b.ndim == 1:
        b, g = b[:, None], g[..., None]
    if a.ndim == 1:
        a, g = a[None, :], g[..., None, :]
    return g, a, b


def matmul_left(g, y, a, b):
    """Pullback of a @ b to a: g bᵀ."""
    g, left, b = as_matrices(g, a, b)
    return np.reshape(fit(g @ mT(b), left), a.shape)


def matmul_right(g, y, a, b):
    """Pullback of a @ b to b: aᵀ g. For one b and a stack of a this is one product over all rows, not a sum of products."""
    g, a, right = as_matrices(g, a, b)
    if right.ndim == 2 and a.ndim > 2:
        rows = math.prod(a.shape[:-1])
        a, g = np.reshape(a, (rows, a.shape[-1])), np.reshape(g, (rows, g.shape[-1]))
    return np.reshape(fit(mT(a) @ g, right), b.shape)


vjp_of(np.matmul, matmul_left, matmul_right)


@primitive
def contract(subscripts, *operands):
    """np.einsum with an explicit output, without ellipsis and without an index that repeats in one operand."""
    return np.einsum(subscripts, *operands)


def contract_back(i, g, y, subscripts, *operands):
    """Pullback of contract to argument i (0 is the subscripts): contract g with the other operands.

    Ones stand in for an index that only this operand had, which was summed over.
    """
    inputs, output = subscripts.split("->")
    inputs = inputs.split(",")
    mine, x = inputs.pop(i - 1), operands[i - 1]
    others = [*operands[: i - 1], *operands[i:]]
    for letter, n in zip(mine, x.shape, strict=True):
        if letter not in output + "".join(inputs):
            inputs.append(letter)
            others.append(np.ones_like(x, shape=(n,)))
    return contract(f"{','.join([output, *inputs])}->{mine}", g, *others)


pullbacks[contract] = EachArgument(contract_back)


def einsum(subscripts, *operands):
    """np.einsum brought to the form that `contract` takes: an ellipsis is spelled out, a repeated index multiplied by an identity.

    An axis of length 1 that is broadcast against a longer one is dropped.
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum of a Tensor: subscripts is {type(subscripts).__name__}; expected a string such as 'ij,jk->ik'")
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    unused = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in subscripts]
    terms, operands = inputs.split(","), list(operands)
    hidden = [x.ndim - len(t.replace("...", "")) if "..." in t else 0 for t, x in zip(terms, operands, strict=True)]
    batch = "".join(unused.pop() for _ in range(max(hidden)))
    terms = [t.replace("...", batch[len(batch) - n :]) for t, n in zip(terms, hidden, strict=True)]
    every = "".join(terms)
    output = output.replace("...", batch) if arrow else batch + "".join(sorted(c for c in set(every) - set(batch) if every.count(c) == 1))
    sizes = {c: n for t, x in zip(terms, operands, strict=True) for c, n in zip(t, x.shape, strict=True) if n != 1}
    for k in range(len(operands)):
        thin = [i for i, c in enumerate(terms[k]) if operands[k].shape[i] == 1 and c in sizes]
        if thin:
            terms[k] = "".join(c for i, c in enumerate(terms[k]) if i not in thin)
            operands[k] = np.squeeze(operands[k], tuple(thin))
        for c in sorted(set(terms[k])):
            while terms[k].count(c) > 1:
                new = unused.pop()
                terms[k] = terms[k].replace(c, new, 1)
                terms.append(new + c)
                operands.append(array_module(operands[k]).eye(operands[k].shape[terms[k].index(c)], dtype=operands[k].dtype))
    return contract(f"{','.join(terms)}->{output}", *operands)


def tensordot(a, b, axes=2):
    """np.tensordot as one matrix product."""
    left, right = (range(a.ndim - axes, a.ndim), range(axes)) if isinstance(axes, int) else axes
    left, right = ([x % t.ndim for x in ([xs] if isinstance(xs, int) else xs)] for xs, t in ((left, a), (right, b)))
    rows, columns = [i for i in range(a.ndim) if i not in left], [i for i in range(b.ndim) if i not in right]
    before, inner, after = [a.shape[i] for i in rows], [a.shape[i] for i in left], [b.shape[i] for i in columns]
    a = np.reshape(np.transpose(a, (*rows, *left)), (math.prod(before), math.prod(inner)))
    b = np.reshape(np.transpose(b, (*right, *columns)), (math.prod(inner), math.prod(after)))
    return np.reshape(a @ b, (*before, *after))


def dot(a, b):
    """np.dot: the last axis of a with the last but one of b."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return a @ b if b.ndim <= 2 else tensordot(a, b, (-1, -2))


compositions[np.einsum] = einsum
compositions[np.tensordot] = tensordot
compositions[np.dot] = dot
compositions[np.outer] = lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))
compositions[np.inner] = lambda a, b: a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else tensordot(a, b, (-1, -1))

# Inverses and determinants
vjp_of(np.linalg.inv, lambda g, y, a: -mT(y) @ g @ mT(y))
vjp_of(np.linalg.det, lambda g, y, a: (g * y)[..., None, None] * mT(np.linalg.inv(a)))


@primitive
def log_abs_det(a):
    """log |det a|."""
    return np.linalg.slogdet(a)[1]


vjp_of(log_abs_det, lambda g, y, a: g[..., None, None] * mT(np.linalg.inv(a)))
compositions[np.linalg.slogdet] = lambda a: SlogdetResult(np.linalg.slogdet(raw(a))[0], log_abs_det(a))


@primitive
def solve(a, b):
    """a⁻¹ b for matrices b. Stacks are broadcast here, because CuPy's solve does not."""
    if a.shape[:-2] != b.shape[:-2]:
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = np.broadcast_to(a, stack + a.shape[-2:]), np.broadcast_to(b, stack + b.shape[-2:])
    return np.linalg.solve(a, b)


vjp_of(solve, lambda g, y, a, b: fit(-solve(mT(a), g) @ mT(y), a), lambda g, y, a, b: fit(solve(mT(a), g), b))
compositions[np.linalg.solve] = lambda a, b: solve(a, b) if b.ndim > 1 else solve(a, b[:, None])[..., 0]


# Decompositions
def cholesky_back(g, y, a):
    """Pullback of y = cholesky(a): ½ (S + Sᵀ) with S = y⁻ᵀ Φ(yᵀ g) y⁻¹, where Φ takes the lower half and half of the diagonal."""
    p = np.tril(mT(y) @ g)
    p = p - 0.5 * p * eye(a)
    s = solve(mT(y), mT(solve(mT(y), p)))
    return 0.5 * (s + mT(s))


vjp_of(np.linalg.cholesky, cholesky_back)


def eigenvalues_back(g, y, a):
    """Pullback of the eigenvalues of a symmetric matrix: V diag(g) Vᵀ."""
    v = np.linalg.eigh(a)[1]
    return (v * g[..., None, :]) @ mT(v)


vjp_of(np.linalg.eigvalsh, eigenvalues_back)


@primitive
def eigen(a):
    """Eigenvalues of a symmetric matrix as a row above its eigenvectors: one array, since a recorded call makes one."""
    w, v = np.linalg.eigh(a)
    return np.concatenate([w[..., None, :], v], axis=-2)


def eigen_back(g, y, a):
    """Pullback of eigen: V (diag ḡ_w + F ∘ Vᵀ ḡ_v) Vᵀ, symmetrised, with Fᵢⱼ = 1/(wⱼ − wᵢ). The eigenvalues must differ."""
    w, v, gw, gv = y[..., :1, :], y[..., 1:, :], g[..., :1, :], g[..., 1:, :]
    i = eye(a)
    inner = i * gw + (mT(v) @ gv) * (1 - i) / (w - mT(w) + i)
    s = v @ inner @ mT(v)
    return 0.5 * (s + mT(s))


def eigh(a):
    """np.linalg.eigh through `eigen`."""
    both = eigen(a)
    return EighResult(both[..., 0, :], both[..., 1:, :])


vjp_of(eigen, eigen_back)
compositions[np.linalg.eigh] = eigh


# Norms
@primitive
def length(x, axis=None, keepdims=False):
    """The Euclidean norm over an axis or over all."""
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def length_back(g, y, x, axis=None, keepdims=False):
    """Pullback of the norm: g x/‖x‖, and 0 at x = 0, the middle of the subgradients."""
    y = keep(y, x, axis)
    return keep(g, x, axis) * x / np.where(y == 0, 1, y)


vjp_of(length, length_back)


def norm(x, ord=None, axis=None, keepdims=False):
    """np.linalg.norm for the Euclidean (Frobenius), 1- and maximum norms of vectors."""
    vectors = isinstance(axis, int) or (axis is None and x.ndim == 1)
    if ord is None or ord == "fro" or (ord == 2 and vectors):
        return length(x, axis=axis, keepdims=keepdims)
    if vectors and ord in (1, np.inf):
        return (np.sum if ord == 1 else np.max)(np.abs(x), axis=axis, keepdims=keepdims)
    raise NotImplementedError(f"np.linalg.norm(ord={ord!r}): no derivative here; expected None, 'fro', or 1, 2, inf with one axis")


compositions[np.linalg.norm] = norm
