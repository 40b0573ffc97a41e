"""What is asked of the engine: rows of the table of derivatives, the adjoints of broadcasting and convolution, the walk."""

import itertools

import numpy as np

from minigen.assignments.checks.common import accepts, numbers, rejects
from minigen.autograd import vjp
from minigen.convolution import conv2d, convolve, convolve_weight, layout
from minigen.testing import check_gradients
from minigen.testing.failure import require

A = np.array([[0.5, 1.5, 2.0], [0.25, 3.0, 1.0]])
B = np.array([[2.0], [0.75]])
G = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]])


def pulled(f, *arguments):
    """The cotangents of the arguments for the cotangent G of f, or for as much of it as f has entries; one flat vector."""
    y, pull = vjp(lambda args: f(*args), arguments)
    return np.concatenate([np.ravel(g) for g in pull(np.reshape(np.ravel(G)[: y.size], y.shape))])


def unary_slope(f):
    """One number: the pullback of 1 is the slope, and that of 2 twice the slope."""
    x = np.array(0.75)
    one, two = (float(vjp(f, x)[1](np.array(g))) for g in (1.0, 2.0))
    want = float((f(x + 1e-6) - f(x - 1e-6)) / 2e-6)
    require(abs(one - want) < 1e-8, "the pullback of 1 is the slope", got=one, want=want, oracle="difference quotient")
    require(abs(two - 2 * want) < 1e-8, "a pullback is linear in the cotangent", got=two, want=2 * want)


def unary_gradient(f):
    """Every entry of an array, and the second derivative."""
    check_gradients(lambda x: f(x), (A,), order=2)


def binary_slopes(f):
    """Two numbers: a slope by each."""
    a, b = 0.75, 2.0
    got = np.array([float(g) for g in vjp(lambda args: f(*args), (np.array(a), np.array(b)))[1](np.array(1.0))])
    want = np.array([f(a + 1e-6, b) - f(a - 1e-6, b), f(a, b + 1e-6) - f(a, b - 1e-6)]) / 2e-6
    require(np.allclose(got, want, atol=1e-8), "the slopes by both arguments", got=got, want=want, oracle="difference quotients")


def binary_gradient(f):
    """Arrays that are broadcast, either way round, and the second derivative."""
    for a, b in ((A, B), (B, A), (A, A[0])):
        check_gradients(lambda a, b: f(a, b), (a, b), order=2)


def sum_cases(f):
    """Each entry of a sum has the slope 1."""
    got = vjp(f, A)[1](np.array(2.0))
    require(np.array_equal(got, np.full((2, 3), 2.0)), "the cotangent of a sum goes to every entry", got=got, want=np.full((2, 3), 2.0))


def sum_gradient(f):
    """Along axes, kept or not."""
    for options in ({}, {"axis": 0}, {"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}):
        check_gradients(lambda x, options=options: f(x, **options), (A,), order=1)


def fit_cases(fit):
    """Equal shapes, and what was broadcast."""
    for shape in ((2, 3), (3,), (1, 3), (2, 1), (1, 1), ()):
        numbers(lambda g, s=shape: fit(g, np.zeros(s)), (G,), shape)
    got = numbers(lambda g: fit(g, np.zeros(())), (G,), ())
    require(np.isclose(got, 1.75), "for a scalar all entries are added", got=float(got), want=1.75)


def fit_adjoint(fit):
    """⟨broadcast x, g⟩ = ⟨x, fit g⟩."""
    rng = np.random.default_rng(0)
    for shape, large in (
        ((3,), (2, 3)),
        ((2, 1), (2, 3)),
        ((1, 3), (2, 3)),
        ((2, 1, 4), (5, 2, 3, 4)),
        ((1, 1), (4, 1, 5)),
        ((2, 3), (2, 3)),
    ):
        x, g = rng.standard_normal(shape), rng.standard_normal(large)
        got = float(np.sum(x * numbers(lambda g, x=x: fit(g, x), (g,), shape)))
        want = float(np.sum(np.broadcast_to(x, large) * g))
        fields = {"inputs": f"x {shape}   g {large}", "equation": "⟨broadcast x, g⟩ = ⟨x, fit g⟩"}
        require(np.isclose(got, want), "it is the adjoint of broadcasting", got=got, want=want, **fields)


CONVOLUTIONS = (  # kernel, stride, padding, dilation, groups
    ((2, 2), 1, "valid", 1, 1),
    ((3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2), 1),
    ((2, 3), 1, "same", 1, 2),
)


def tensor(x, w, y, windows, groups):
    """T = Σ ȳ y, by its definition: one product a kernel's place, output pixel and pair of channels."""
    total, (c, k) = 0.0, (w.shape[2], w.shape[3] // groups)
    for i, j, oh, ow in itertools.product(*map(range, (*windows.kernel, *windows.size))):
        row = windows.start[0] + windows.stride[0] * oh + windows.dilation[0] * i
        column = windows.start[1] + windows.stride[1] * ow + windows.dilation[1] * j
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            for g in range(groups):
                block = w[i, j, :, g * k : g * k + k]
                total += np.sum((x[:, row, column, g * c : g * c + c] @ block) * y[:, oh, ow, g * k : g * k + k])
    return float(total)


def convolution_cases(convolve_weight):
    """A kernel of one pixel, and many images."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 4, 2)), rng.standard_normal((2, 3, 4, 5))
    one = layout((3, 4), (1, 1), 1, "valid", 1)
    got = numbers(lambda x, y: convolve_weight(x, y, one, 1), (x, y), (1, 1, 2, 5))[0, 0]
    want = x.reshape(24, 2).T @ y.reshape(24, 5)
    require(np.allclose(got, want), "for a kernel of one pixel it is the product of matrices Σ x ȳ", got=got, want=want)
    x, y = rng.standard_normal((2, 96, 96, 32)), rng.standard_normal((2, 94, 94, 1))
    large = layout((96, 96), (3, 3), 1, "valid", 1)
    both, first, second = (numbers(lambda x, y: convolve_weight(x, y, large, 1), (x[s], y[s]), (3, 3, 32, 1)) for s in ([0, 1], [0], [1]))
    require(np.allclose(both, first + second), "the gradient of two large images is the sum of both", got=both, want=first + second)


def convolution_adjoint(convolve_weight):
    """⟨w, w̄⟩ = ⟨y, ȳ⟩, the gradient of a convolution and the second derivative."""
    rng = np.random.default_rng(1)
    for kernel, stride, padding, dilation, groups in CONVOLUTIONS:
        windows = layout((5, 4), kernel, stride, padding, dilation)
        x, w, y = (rng.standard_normal(s) for s in ((2, 5, 4, 4), (*kernel, 4 // groups, 6), (2, *windows.size, 6)))
        got = float(np.sum(w * numbers(lambda x, y, a=(windows, groups): convolve_weight(x, y, *a), (x, y), w.shape)))
        want = tensor(x, w, y, windows, groups)
        fields = {
            "inputs": f"kernel {kernel}   stride {stride}   padding {padding}   dilation {dilation}   groups {groups}",
            "equation": "⟨w, w̄⟩ = Σ ȳ[b, o, k] x[b, s o + d i − p, c] w[i, c, k]",
        }
        require(np.isclose(got, want), "it is the adjoint of w ↦ y", got=got, want=want, **fields)
    check_gradients(lambda x, w: conv2d(x, w, 2) ** 2, (x[:, :, :, :2], w), order=2)


def pairs():
    """Arguments of `adjoint_property` for convolutions by their weights, the last with more than a block of images."""
    rng = np.random.default_rng(2)
    cases = [((5, 4), 4, 6, c) for c in CONVOLUTIONS] + [((96, 96), 32, 1, CONVOLUTIONS[0])]
    for image, channels, out, (kernel, *options, groups) in cases:
        x, windows = rng.standard_normal((2, *image, channels)), layout(image, kernel, *options)
        forward = lambda w, x=x, a=(windows, groups): convolve(x, w, 0.0, *a)
        adjoint = lambda y, x=x, a=(windows, groups): convolve_weight(x, y, *a)
        yield forward, adjoint, (*kernel, channels // groups, out), (2, *windows.size, out)


def adjoint_property_accepts(prop):
    """It accepts a convolution by its weights and `convolve_weight`."""
    for arguments in pairs():
        accepts(prop, *arguments)


def adjoint_property_rejects(prop):
    """It rejects what is clearly wrong; a grader has more."""
    forward, adjoint, *shapes = next(pairs())
    wrong = {"Aᵀ of turned sign": lambda y: -adjoint(y), "0": lambda y: 0 * adjoint(y), "Aᵀ and 1": lambda y: adjoint(y) + 1}
    rejects(prop, {name: (forward, f, *shapes) for name, f in wrong.items()})


def walk_cases(walk):
    """A chain, a value that is used twice, and an output that is given twice."""
    for f, want in ((lambda x: 3.0 * np.exp(0 * x), 0.0), (lambda x: x * x, 4.0), (lambda x: x + x + x, 3.0)):
        got = float(vjp(f, np.array(2.0))[1](np.array(1.0)))
        require(np.isclose(got, want), "the chain rule adds over all uses of a value", equation="x̄ᵢ = Σ pullbacks", got=got, want=want)
    _, pull = vjp(lambda x: [y := x * x, y], np.array(2.0))
    got = float(pull([np.array(1.0), np.array(10.0)]))
    require(np.isclose(got, 44.0), "an output that is given twice has two cotangents", got=got, want=44.0)


def walk_gradient(walk):
    """A program that branches and joins, uses entries, and has a second derivative."""
    check_gradients(lambda a, b: np.sum(np.exp(a / b) * a[0] - np.sin(a * b) / a, axis=0), (A, B), order=2)


def walk_probe(walk):
    """First and second derivatives of a small program."""
    f = lambda a, b: np.exp(a / b) * a
    second = pulled(lambda a, b: pulled_tensor(f, a, b), A, B)
    _, pull = vjp(lambda x: [y := x * x, y], np.array(2.0))
    return [*pulled(f, A, B), *second, float(pull([np.array(1.0), np.array(10.0)]))]


def pulled_tensor(f, a, b):
    """The cotangent of a, for a nested pass."""
    return vjp(lambda x: f(x, b), a)[1](G)


def convolution_probe(convolve_weight):
    """Two groups, and images in more than one block."""
    x, y, z = (np.sin(np.arange(np.prod(s))).reshape(s) for s in ((2, 5, 4, 4), (2, 5, 4, 6), (2, 96, 96, 32)))
    small = convolve_weight(x, y, layout((5, 4), (2, 3), 1, "same", 1), 2)
    return np.concatenate([small, convolve_weight(z, z[..., :1], layout((96, 96), (3, 3), 1, "same", 1), 1)], axis=None)


def attempt(f, *arguments):
    """f(*arguments) as a flat vector, or one NaN where it raises."""
    try:
        return np.ravel(f(*arguments))
    except (ValueError, IndexError):
        return np.array([np.nan])


PROBES = {
    "fit": lambda f: np.concatenate([attempt(f, G, np.zeros(s)) for s in ((3,), (2, 1), (1, 3), ())]),
    "sqrt": lambda f: pulled(f, A),
    "tanh": lambda f: pulled(f, A),
    "divide": lambda f: pulled(f, A, B),
    "logaddexp": lambda f: pulled(f, A, B),
    "arctan2": lambda f: pulled(f, A, B),
    "sum": lambda f: np.concatenate([attempt(pulled, lambda x: f(x, axis=0), A), pulled(f, A)]),
    "convolve_weight": convolution_probe,
    "walk": walk_probe,
}
