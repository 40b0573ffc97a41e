"""Right answers, differently written, and named mistakes, for the checks of derivatives and of maps. {check: {name: case}}"""

import math

import numpy as np

from minigen.autograd import grad, primitive, stop_gradient, vjp_of
from minigen.nn import MaskedConv2d, MaskedLinear, degree_mask
from minigen.testing import check_adjoint, check_bijection, check_causal, check_gradients, check_score, check_vjp
from tests.rejections import right, wrong


# ---- Gradients ----
def cube(rule):
    """x³ as a primitive of this pullback."""

    @primitive
    def cube(x):
        return x**3

    vjp_of(cube, rule)
    return lambda x: cube(x)


X, MANY = (np.array([0.01, -1.0, 2.0]),), (np.random.default_rng(0).standard_normal(1000),)
FIRST = "first derivative by x"
NO_SECOND, NO_COTANGENT = cube(lambda g, y, x: 3 * g * stop_gradient(x * x)), cube(lambda g, y, x: 3 * stop_gradient(g) * x * x)
GRADIENTS = {
    "right": right(cube(lambda g, y, x: 3 * g * x * x), X, order=3),
    "right, by the value": right(cube(lambda g, y, x: g * (3 * y / x)), X),
    "right, of arithmetic alone": right(lambda x: x * x * x, X),
    "no second order is asked for": right(NO_SECOND, X, order=1),
    "sign": wrong(FIRST, cube(lambda g, y, x: -3 * g * x * x), X, hint="-1 times"),
    "the factor is forgotten": wrong(FIRST, cube(lambda g, y, x: g * x * x), X, hint=r"0\.3333333 times"),
    "a part in a hundred thousand": wrong(FIRST, cube(lambda g, y, x: 3.00003 * g * x * x), X, hint=r"1\.00001 times"),
    "a tiny amount": wrong(FIRST, cube(lambda g, y, x: 3 * g * x * x + 1e-9), X),
    "nothing": wrong(FIRST, cube(lambda g, y, x: 0 * g), X, hint="no gradient arrives"),
    "one entry": wrong(rf"{FIRST} .* \[1\]", cube(lambda g, y, x: 3 * g * x * x * (np.arange(3) != 1)), X),
    "the last of many entries": wrong("first derivative", cube(lambda g, y, x: 3 * g * x * x * (np.arange(1000) != 999)), MANY),
    "the cotangent is forgotten": wrong(FIRST, cube(lambda g, y, x: 3 * x * x), X),
    "shape": wrong("has the shape of x", cube(lambda g, y, x: np.sum(3 * g * x * x)), X),
    "NaN": wrong("is finite", cube(lambda g, y, x: g * np.nan), X),
    "the second order": wrong("second derivative by x", NO_SECOND, X),
    "the second order by the cotangent": wrong("second derivative by ȳ", NO_COTANGENT, X),
}

# ---- Hand-written pullbacks ----
AFFINE = lambda x, w, b: x @ w + b
DRAWN = [lambda rng, shape=shape: rng.standard_normal(shape) for shape in ((4, 2), (2, 3), (3,))]


def changes_its_input(g, x):
    x += 1
    return 2 * g


PULLBACKS = {
    "right": right(AFFINE, lambda g, x, w, b: (g @ w.T, x.T @ g, g.sum(0)), DRAWN),
    "right, by sums": right(
        AFFINE, lambda g, x, w, b: [np.einsum("nk,dk->nd", g, w), np.einsum("nd,nk->dk", x, g), np.einsum("nk->k", g)], DRAWN
    ),
    "one array, of a list": right(lambda x: np.tanh(x), lambda g, x: g * (1 - np.tanh(x) ** 2), [[np.zeros(2), np.ones(2)]]),
    "the bias is not summed over the batch": wrong("by b has the shape of b", AFFINE, lambda g, x, w, b: (g @ w.T, x.T @ g, g), DRAWN),
    "the mean instead of the sum": wrong("derivative by b", AFFINE, lambda g, x, w, b: (g @ w.T, x.T @ g, g.mean(0)), DRAWN),
    "a part in a million": wrong("by w", AFFINE, lambda g, x, w, b: (g @ w.T, x.T @ g * (1 + 3e-6), g.sum(0)), DRAWN),
    "x and w are swapped": wrong("has the shape of x", AFFINE, lambda g, x, w, b: (x.T @ g, g @ w.T, g.sum(0)), DRAWN),
    "the cotangent is ignored": wrong("by x", AFFINE, lambda g, x, w, b: (np.ones_like(g) @ w.T, x.T @ g, g.sum(0)), DRAWN),
    "a gradient is missing": wrong("one gradient for each input", AFFINE, lambda g, x, w, b: (g @ w.T, x.T @ g), DRAWN),
    "an input is changed": wrong("leave their inputs", lambda x: 2 * x, changes_its_input, DRAWN[2:]),
}

# ---- Adjoints ----
KERNEL = np.array([1.0, 2.0, 3.0])
CONVOLVE = lambda x: np.convolve(x, KERNEL, mode="valid")
MATRIX = np.array([CONVOLVE(row) for row in np.eye(6)])
SAME = "Aᵀ is the adjoint of A"
ADJOINTS = {
    "right": right(CONVOLVE, lambda y: np.convolve(y, KERNEL[::-1]), (6,)),
    "right, by its matrix": right(CONVOLVE, lambda y: MATRIX @ y, (6,)),
    "a transposition": right(lambda x: x.T, lambda y: y.T, (2, 3)),
    "the kernel is not flipped": wrong(SAME, CONVOLVE, lambda y: np.convolve(y, KERNEL), (6,)),
    "shape": wrong("has the shape of x", CONVOLVE, lambda y: np.convolve(y, KERNEL[::-1], mode="same"), (6,)),
    "the inverse": wrong(SAME, lambda x: 2 * x, lambda y: y / 2, (6,), hint="it is the inverse"),
    "the map itself": wrong(SAME, np.cumsum, np.cumsum, (6,), hint="A itself"),
    "affine": wrong("A is linear", lambda x: x + 1, lambda y: y, (6,), hint="a bias"),
    "quadratic": wrong("A is linear", lambda x: x * x, lambda y: y, (6,)),
    "one entry": wrong(SAME, lambda x: x, lambda y: y * (np.arange(6) != 5), (6,)),
    "a scatter that forgets repeats": wrong(SAME, lambda x: x[[0, 0, 1]], lambda y: np.array([y[1], y[2], 0, 0, 0, 0]), (6,)),
    "the adjoint is not linear": wrong(SAME, lambda x: x, lambda y: y + y**2 * (np.abs(y) != 1) * (np.arange(3) == 2), (3,)),
}

# ---- Scores ----
MEAN, VARIANCE = np.array([1, 2]), np.array([4, 1])
NORMAL = lambda x: -0.5 * np.sum((x - MEAN) ** 2 / VARIANCE, axis=-1)
AT = np.random.default_rng(0).standard_normal((5, 2))
SLOPE = "score is the gradient"


def subtracts(x):
    x -= 1
    return -0.5 * x * x


SCORES = {
    "right": right(lambda x: -(x - MEAN) / VARIANCE, NORMAL, AT),
    "right, by the engine": right(grad(lambda x: np.sum(NORMAL(x))), NORMAL, AT),
    "numbers": right(lambda x: -x, lambda x: -0.5 * x * x, np.array([-1.0, 0.0, 3.0])),
    "sign": wrong(SLOPE, lambda x: (x - MEAN) / VARIANCE, NORMAL, AT, hint="sign is turned"),
    "std for variance": wrong(SLOPE, lambda x: -(x - MEAN) / [2, 1], NORMAL, AT),
    "the mean is forgotten": wrong(SLOPE, lambda x: -x / VARIANCE, NORMAL, AT),
    "a part in a hundred thousand": wrong(SLOPE, lambda x: -(x - MEAN) / VARIANCE * 1.00001, NORMAL, AT),
    "one small entry": wrong(SLOPE, lambda x: -(x - MEAN) / VARIANCE * (1 + 0.01 * (x == np.min(x[:, 0]))), NORMAL, AT),
    "shape": wrong("score returns shape", lambda x: -np.sum((x - MEAN) / VARIANCE, -1), NORMAL, AT),
    "NaN": wrong("never NaN", lambda x: x * np.nan, NORMAL, AT),
    "the density changes its input": wrong("leaves its input", lambda x: -x, subtracts, np.ones(3)),
}

# ---- Bijections ----
W = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, -0.3], [0.4, 0.0, 0.7]])
LOG_DET, ROWS = np.linalg.slogdet(W)[1], 0.5 * np.random.default_rng(0).standard_normal((4, 3))


def bend(x, log_det=LOG_DET, sign=1):
    """sinh after a matrix: y = sinh(xW), log det = log|det W| + Σ log cosh."""
    z = x @ W
    return np.sinh(z), sign * (log_det + np.sum(np.log(np.cosh(z)), -1))


def unbend(y, log_det=LOG_DET, sign=-1):
    z = np.arcsinh(y)
    return z @ np.linalg.inv(W), sign * (log_det + np.sum(np.log(np.cosh(z)), -1))


def solve(y):
    """`unbend`, written in another way: cosh arcsinh y = √(1 + y²)."""
    return np.linalg.solve(W.T, np.log(y + np.sqrt(1 + y * y)).T).T, -LOG_DET - 0.5 * np.sum(np.log1p(y * y), -1)


def skew(pair, by=1e-3):
    """A (value, logdet) pair with one log-determinant, not the largest, a little wrong."""
    value, logdet = pair
    return value, logdet + by * (np.arange(len(value)) == 2)


DOUBLE = lambda x: (2 * x, np.full(x.shape, math.log(2)))
BIJECTIONS = {
    "right": right(bend, unbend, ROWS),
    "right, by solving": right(bend, solve, ROWS),
    "the identity": right(lambda x: (x, np.zeros(len(x))), lambda y: (y, np.zeros(len(y))), ROWS),
    "the matrix is forgotten": wrong("that of the Jacobian", lambda x: bend(x, 0), lambda y: unbend(y, 0), ROWS),
    "one row": wrong("that of the Jacobian", lambda x: skew(bend(x)), lambda y: skew(unbend(y), -1e-3), ROWS),
    "sign": wrong("that of the Jacobian", lambda x: bend(x, sign=-1), lambda y: unbend(y, sign=1), ROWS, hint="sign is turned"),
    "det for log det": wrong(
        "that of the Jacobian", lambda x: (x * 2, np.full(len(x), 8.0)), lambda y: (y / 2, np.full(len(y), -8.0)), ROWS, hint="logarithm"
    ),
    "the inverse's sign": wrong("cancel", bend, lambda y: unbend(y, sign=1), ROWS, hint="sign is turned"),
    "transposed inverse": wrong("inverse undoes forward", bend, lambda y: (np.arcsinh(y) @ np.linalg.inv(W).T, unbend(y)[1]), ROWS),
    "projection": wrong("undoes", lambda x: (x * [1, 1, 0], np.zeros(len(x))), lambda y: (y, np.zeros(len(y))), ROWS),
    "not reduced": wrong("logdet of forward", DOUBLE, lambda y: (y / 2, y), ROWS),
}


# ---- Autoregressive networks ----
def stack(kinds):
    """Masked convolutions behind one another, tanh between them; a single stack, which has a blind spot."""
    rng = np.random.default_rng(0)
    layers = [MaskedConv2d.init(rng, 1 if i == 0 else 3, 3, kind=kind, dtype=np.float64) for i, kind in enumerate(kinds)]

    def net(x):
        h = x[..., None]
        for layer in layers:
            h = np.tanh(layer(h))
        return h

    return net


def made(order, shift=0, strict=True):
    """A hidden layer of all degrees and an output layer, by an order whose outputs are `shift` late."""
    rng = np.random.default_rng(0)
    d = len(order)
    degrees = np.tile(np.arange(d), 3)
    first = MaskedLinear.init(rng, degree_mask(order, degrees), dtype=np.float64)
    last = MaskedLinear.init(rng, degree_mask(degrees, order - shift, strict=strict), dtype=np.float64)
    return lambda x: last(np.tanh(first(x)))


RASTER, ROW, FOUR, ORDER = np.arange(25).reshape(5, 5), np.arange(5).reshape(1, 5), np.arange(4), np.array([3, 0, 4, 1, 2])
SHORT = "^every output depends on all inputs that come before it$"
OWN = "^no output depends on its own input$"
LATER = "^no output depends on an input that comes after it$"
PAIRS = lambda x: np.cumsum(x, axis=1)[:, [0, 0, 1, 2], :1] * [[[0], [1], [1], [1]]]
CAUSAL = {
    "masked convolutions": right(stack("ABBBB"), RASTER),
    "masked convolutions of a row": right(stack("ABBBB"), ROW, complete=True),
    "masked layers": right(made(ORDER), ORDER, complete=True),
    "sums of what came": right(lambda x: x @ np.triu(np.ones((4, 4)), 1), FOUR, complete=True),
    "nothing depends on anything": right(lambda x: 0 * x, RASTER),
    "features of an input": right(PAIRS, FOUR, features=(2,), complete=True),
    "masks A and B swapped": wrong(SHORT, stack("BAAAA"), ROW, complete=True),
    "mask B in the first layer": wrong(OWN, stack("BBB"), RASTER, hint="mask A"),
    "a blind spot": wrong(SHORT, stack("A" + 9 * "B"), RASTER, complete=True, hint="blind spot"),
    "a reach too short": wrong(SHORT, stack("AB"), RASTER, complete=True),
    "the output layer is not strict": wrong(OWN, made(ORDER, strict=False), ORDER),
    "another order": wrong(LATER, made(ORDER), np.arange(5), hint="another order"),
    "the order's inverse": wrong(LATER, made(ORDER), np.argsort(ORDER)),
    "the order turned around": wrong(LATER, made(ORDER), 4 - ORDER),
    "one late": wrong(SHORT, made(ORDER, shift=1), ORDER, complete=True),
    "one early": wrong(OWN, made(ORDER, shift=-1), ORDER, complete=True),
    "columns first": wrong(LATER, lambda x: np.swapaxes(stack("AB")(np.swapaxes(x, 1, 2)), 1, 2), RASTER),
    "a leak of a millionth of a millionth": wrong(LATER, lambda x: 1e-12 * x[:, ::-1], FOUR),
    "an output for each level only": wrong("outputs for each coordinate", lambda x: np.sum(x, axis=1), FOUR),
    "not finite": wrong("finite", lambda x: x * np.nan, FOUR),
}

MAPS = {
    check_gradients: GRADIENTS, check_vjp: PULLBACKS, check_adjoint: ADJOINTS, check_score: SCORES, check_bijection: BIJECTIONS,
    check_causal: CAUSAL,
}  # fmt: skip
