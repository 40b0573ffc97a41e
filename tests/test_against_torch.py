"""First and second derivatives beside PyTorch's, for every case whose function PyTorch has."""

import numpy as np
import pytest

import minigen as mg
from tests.derivative_cases import CASES, EINSUM, INDICES, TENSORDOT
from tests.differences import assert_close, flat

torch = pytest.importorskip("torch")
F, la = torch.nn.functional, torch.linalg


def dot(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return a @ b if b.ndim <= 2 else torch.tensordot(a, b, ([-1], [-2]))


def symmetric(f):
    return lambda a: f(0.5 * (a + a.mT))


# Every case of a function: those of the same name, and those that are called otherwise
SAME = (
    "negative positive reciprocal square sqrt exp exp2 expm1 log log1p log2 log10 sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh"
    " arctanh erf erfc erfinv logit sigmoid absolute add subtract multiply divide logaddexp arctan2 maximum minimum matmul inner"
)
FAMILIES = {name: getattr(torch, name) for name in SAME.split()} | {
    "expit": torch.sigmoid, "log_expit": F.logsigmoid, "log_sigmoid": F.logsigmoid, "softplus": F.softplus, "silu": F.silu,
    "gelu": F.gelu, "relu": F.relu, "gammaln": torch.lgamma, "psi": torch.digamma, "ndtr": torch.special.ndtr, "ndtri": torch.special.ndtri,
    "log_ndtr": torch.special.log_ndtr, "xlogy": torch.special.xlogy, "xlog1py": torch.special.xlog1py, "dot": dot, "inv": la.inv,
    "det": la.det, "outer": lambda a, b: torch.outer(a.ravel(), b.ravel()),
    "log_abs_det": lambda a: la.slogdet(a)[1], "slogdet": lambda a: torch.prod(torch.stack(la.slogdet(a)), 0),
    "solve": lambda a, b: la.solve(a, b) if b.ndim > 1 else la.solve(a, b[:, None])[..., 0],
}  # fmt: skip
FUNCTIONS = {c.name: FAMILIES[name] for c in CASES if (name := c.name.partition(":")[0]) in FAMILIES}

ALL, AXIS, AXES, KEPT = {}, {"dim": 1}, {"dim": (0, -1)}, {"dim": -2, "keepdim": True}
EVERY = (0, 1, 2)
for label, options in {"all": ALL, "axis": AXIS, "axes": AXES, "kept": KEPT}.items():
    for name in ("sum", "mean", "amax", "amin"):
        FUNCTIONS[f"{name}:{label}"] = lambda x, name=name, options=options: getattr(torch, name)(x, **options)
    FUNCTIONS[f"max:{label}"], FUNCTIONS[f"min:{label}"] = FUNCTIONS[f"amax:{label}"], FUNCTIONS[f"amin:{label}"]
    for name, f in (("var", torch.var), ("std", torch.std)):
        FUNCTIONS[f"{name}:{label}"] = lambda x, f=f, options=options: f(x, correction=0, **({"dim": EVERY} | options))
    FUNCTIONS[f"logsumexp:{label}"] = lambda x, options=options: torch.logsumexp(x, **({"dim": EVERY} | options))
    FUNCTIONS[f"length:{label}"] = lambda x, options=options: la.vector_norm(x, **options)
for detail, index in INDICES.items():
    FUNCTIONS[f"getitem:{detail}"] = lambda x, index=index: x[torch_index(index)]
for subscripts in EINSUM:
    if subscripts not in ("ij,ij->ij", "i,i->"):
        FUNCTIONS[f"einsum:{subscripts}"] = lambda *x, subscripts=subscripts: torch.einsum(subscripts.replace(" ", ""), *x)
for label, (_, _, axes) in TENSORDOT.items():
    dims = ([axes[0]], [axes[1]]) if label == "numbers" else axes
    FUNCTIONS[f"tensordot:{label}"] = lambda a, b, dims=dims: torch.tensordot(a, b, dims)
for k in (-1, 0, 1):
    FUNCTIONS[f"tril:{k}"] = lambda x, k=k: torch.tril(x, k)
    FUNCTIONS[f"triu:{k}"] = lambda x, k=k: torch.triu(x, k)
    FUNCTIONS[f"diag:of a matrix, {k}"] = FUNCTIONS[f"diag:of a vector, {k}"] = lambda x, k=k: torch.diag(x, k)
    FUNCTIONS[f"diagonal:{k}"] = lambda x, k=k: torch.diagonal(x, k, -1, 1)
    FUNCTIONS[f"trace:{k}"] = lambda x, k=k: torch.sum(torch.diagonal(x, k, 1, 0), -1)
for axis in (-1, 0):
    FUNCTIONS[f"softmax:axis {axis}"] = lambda x, axis=axis: torch.softmax(x, axis)
    FUNCTIONS[f"log_softmax:axis {axis}"] = lambda x, axis=axis: torch.log_softmax(x, axis)
    FUNCTIONS[f"sort:axis {axis}"] = lambda x, axis=axis: torch.sort(x, axis).values
for shape in ("(3,)", "(2, 3)", "(2, 2, 3)"):
    FUNCTIONS[f"affine:{shape}"] = lambda x, w, b: F.linear(x, w.mT, b)
FUNCTIONS |= {
    **{f"power:{shapes}": torch.pow for shapes in ("same", "row", "column", "0-d", "stack")}, "power:x**2": lambda x: x**2,
    "power:x**3": lambda x: x**3, "power:x**0": lambda x: x**0, "power:x**1": lambda x: x**1,
    "power:x**0.5": lambda x: x**0.5, "power:x**-1": lambda x: x**-1, "power:2**n": lambda n: 2**n,
    "clip:numbers": lambda x: torch.clamp(x, -0.9, 0.7), "clip": torch.clamp, "clip:upper": lambda x: torch.clamp(x, max=0.7),
    "prod:all": torch.prod, "prod:axis": lambda x: torch.prod(x, 1), "prod:kept": lambda x: torch.prod(x, -2, keepdim=True),
    "prod:zeros": lambda x: torch.prod(x, 1), "prod:odd count": torch.prod, "var:ddof": lambda x: torch.var(x, 0),
    "std:ddof": lambda x: torch.std(x, 1, keepdim=True), "cumsum:flattened": lambda x: torch.cumsum(x.ravel(), 0),
    "cumsum:axis 0": lambda x: torch.cumsum(x, 0), "cumsum:axis -1": lambda x: torch.cumsum(x, -1),
    "take:axis 1": lambda x: x[:, [1, 1, -2]], "take:flattened": lambda x: x.ravel()[torch.tensor([[0, 5], [5, -1]])],
    "take_along_axis:axis 1": lambda x: torch.take_along_dim(x, torch.tensor([[2, 0, 0], [1, 1, 3]]), 1),
    "concatenate:axis 0": lambda a, b: torch.cat([a, b, a]), "concatenate:axis -2": lambda a, b: torch.cat([b, a], -2),
    "join": lambda a, b: torch.cat([a, b], 1), "stack:axis 1": lambda a, b: torch.stack([a, b, a], 1),
    "array_split:unequal": lambda x: torch.cat(torch.tensor_split(x, 3)[::-1]), "reshape:0": lambda x: torch.reshape(x, (3, 4)),
    "transpose:2": lambda x: x.permute(2, 0, 1), "swapaxes:0": lambda x: torch.swapaxes(x, 0, -1), "squeeze:0": torch.squeeze,
    "moveaxis:1": lambda x: torch.moveaxis(x, (0, 2), (-1, 0)), "expand_dims:0": lambda x: torch.unsqueeze(x, 1), "ravel:0": torch.ravel,
    "broadcast_to:1": lambda x: torch.broadcast_to(x, (2, 2, 4, 6)), "tile:1": lambda x: torch.tile(x, (2, 1, 2)),
    "repeat:0": lambda x: torch.repeat_interleave(x, 2), "roll:2": lambda x: torch.roll(x, (1, 2), (0, -1)),
    "flip:2": lambda x: torch.flip(x, (-1, 0)), "pad:constant, pair": lambda x: F.pad(x, (1, 2, 1, 2)),
    "cholesky": symmetric(la.cholesky), "cholesky:stack": symmetric(la.cholesky), "eigvalsh": symmetric(la.eigvalsh),
    "eigvalsh:stack": symmetric(la.eigvalsh), "norm:vector": la.norm, "norm:fro": la.norm, "norm:axis": lambda x: la.norm(x, dim=1),
    "norm:1": lambda x: la.norm(x, 1, dim=1), "norm:inf": lambda x: la.norm(x, np.inf), "diagonal:method": torch.diagonal,
    "eigh": symmetric(lambda a: la.eigh(a)[1][..., 0, :] ** 2 * la.eigh(a)[0]), "trace:method": torch.trace,
}  # fmt: skip


def torch_index(index):
    """A NumPy index for PyTorch, which knows no negative steps."""
    if isinstance(index, tuple):
        return tuple(map(torch_index, index))
    return torch.from_numpy(index) if isinstance(index, np.ndarray) else index


# PyTorch has no negative steps; and for aⁿ at n = 0 its mixed second derivative is wrong, so that "power:whole exponents" is not here.
SKIPPED = {"getitem:negative step"}
ROUGH = {"psi": 1e-8}  # PyTorch's trigamma function
BY_NAME = {c.name: c for c in CASES}


def test_every_function_named_here_is_a_case():
    assert set(FUNCTIONS) <= set(BY_NAME)
    assert len(FUNCTIONS) > 250


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - SKIPPED))
def test_gradient_and_double_backward_are_pytorchs(name):
    case, theirs = BY_NAME[name], FUNCTIONS[name]
    xs = [np.array(x) for x in case.args]
    ts = [torch.tensor(x, requires_grad=True) for x in xs]
    y = theirs(*ts)
    rng = np.random.default_rng(0)
    w, vs = np.array(rng.normal(size=tuple(y.shape))), [np.array(rng.normal(size=x.shape)) for x in xs]

    def loss(xs):
        y = case.f(*xs)
        return np.sum(w * y * y)

    value, got = mg.value_and_grad(loss)(xs)
    total = torch.sum(torch.from_numpy(w) * y * y)
    want = torch.autograd.grad(total, ts, create_graph=True)
    assert_close(value, total.detach().numpy(), 1e-12)
    assert_close(flat(got), flat([t.detach().numpy() for t in want]), ROUGH.get(name, 1e-11))

    along = sum(torch.sum(g * torch.tensor(v)) for g, v in zip(want, vs, strict=True))
    if along.requires_grad:
        twice = torch.autograd.grad(along, ts, allow_unused=True)
        twice = [np.zeros(x.shape) if g is None else g.numpy() for g, x in zip(twice, xs, strict=True)]
    else:
        twice = [np.zeros(x.shape) for x in xs]
    assert_close(flat(mg.hvp(loss)(xs, vs)), flat(twice), ROUGH.get(name, 1e-10))
