"""What is asked of the functions of flows."""

import numpy as np

from minigen.assignments.checks.common import numbers
from minigen.testing import check_bijection, check_density_normalises
from minigen.testing.failure import require

X0, NOISE = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]]), np.array([[0.5, 1.0], [-1.5, 2.0], [1.0, -0.25]])


def two(value):
    """The value, after requiring that it is a pair."""
    require(isinstance(value, (tuple, list)) and len(value) == 2, "it returns a pair", got=type(value).__name__, want="tuple")
    return value


def pair(f, arguments, *shapes):
    """The two results of f(*arguments), each as `numbers` wants it."""
    return [numbers(lambda *a, i=i: two(f(*a))[i], arguments, shape) for i, shape in enumerate(shapes)]


def same(got, want, message, **fields):
    """Fail with the message unless the numbers agree to 1e-9."""
    want = np.broadcast_to(np.asarray(want, dtype=float), np.shape(got))
    require(np.allclose(got, want, rtol=1e-9, atol=1e-12), message, got=got, want=want, **fields)


def flat(values):
    """All numbers of several arrays in a row, for a probe."""
    return np.concatenate([np.ravel(v) for v in values])


# ---- The change of variables ----
class Cubic:
    """A layer h + c h³, coordinate by coordinate."""

    def __init__(self, c):
        self.c = c

    def forward(self, h):
        """(value, log-determinant)."""
        return h + self.c * h**3, np.sum(np.log1p(3 * self.c * h**2), axis=1)


def flow(layers, mean, std, event=None):
    """A Flow of layers, after data are standardised by mean and std."""
    from minigen.models.flow import Flow

    return Flow(layers, np.array(mean), np.array(std), event or (len(mean),))


def density_cases(density):
    """No layers: the standard normal, and a wider one."""
    origin = np.zeros((1, 2))
    plain = numbers(lambda x: density(flow([], [0.0, 0.0], [1.0, 1.0]), x), (origin,), (1,))
    same(plain, -np.log(2 * np.pi), "where f(x) = x, p is the standard normal", equation="log p(0) = −½ D log 2π, D = 2")
    wide = numbers(lambda x: density(flow([], [0.0, 0.0], [4.0, 1.0]), x), (origin,), (1,))
    same(wide, -np.log(2 * np.pi) - np.log(4), "where f divides a coordinate by 4, p(0) is a quarter of the normal's")
    image = numbers(lambda x: density(flow([], [0.0, 0.0], [1.0, 1.0], (2, 1)), x), (origin.reshape(1, 2, 1),), (1,))
    same(image, plain, "an image has the density of its numbers in a row")


def density_normalises(density):
    """p integrates to 1, of one coordinate and of two."""
    for mean, std in (([0.5], [2.0]), ([0.5, -1.0], [2.0, 0.5])):
        bent = flow([Cubic(0.5), Cubic(0.1)], mean, std)
        # ± 1.6 σ become ± 8.6
        box = [(m - 1.6 * s, m + 1.6 * s) for m, s in zip(mean, std, strict=True)]
        check_density_normalises(lambda x, bent=bent: density(bent, x), box)


# ---- Coupling layers ----
def coupling(network, mask):
    """A Coupling layer of this network."""
    from minigen.models.realnvp import Coupling

    return Coupling(network, np.array(mask))


def waves(h):
    """A network of D = 3 numbers that are all felt in each of its outputs."""
    weights = np.array([[0.5, -1.0, 0.75], [1.0, 0.25, -0.5], [-0.75, 1.5, 1.0]])
    return np.concatenate([np.sin(h @ weights + 0.3), np.cos(h @ weights.T) + 0.5], axis=1)


def outputs(h, t):
    """A network of D = 2 numbers, whose outputs for the second are these multiples of the first."""
    return lambda x: x[:, :1] * np.array([0.0, h, 0.0, t])


# What of two numbers, the second of which is moved, becomes of a row: (what the layer does, network, x, y, log-determinant).
LAYERS = (
    ("a network of zeros changes nothing", outputs(0.0, 0.0), [2.0, 7.0], [2.0, 7.0], 0.0),
    ("t = 10 x₁ is added to x₂", outputs(0.0, 10.0), [2.0, 7.0], [2.0, 27.0], 0.0),
    ("s = 1 multiplies x₂ by e", outputs(1.0, 0.0), [np.log(3), 7.0], [np.log(3), 7 * np.e], 1.0),
    ("s = −1 divides x₂ by e", outputs(-1.0, 0.0), [np.log(3), 7.0], [np.log(3), 7 / np.e], -1.0),
    ("s = 1 multiplies x₂ by e, then t = log 3 is added", outputs(1.0, 1.0), [np.log(3), 7.0], [np.log(3), 7 * np.e + np.log(3)], 1.0),
)
POINTS = np.array([[0.0, 0.0, 0.0], [1.0, -0.5, 2.0], [-1.5, 0.25, 0.5], [0.75, 2.0, -1.0]])
MASKS = [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]


def forward_cases(forward):
    """Layers whose s and t are known."""
    for what, network, x, want, logdet in LAYERS:
        y, got = pair(lambda x, n=network: forward(coupling(n, [1.0, 0.0]), x), (np.array([x]),), (1, 2), (1,))
        same(y, [want], what, inputs=f"x = {x}", equation="y = m x + (1 − m) (x eˢ + t)")
        same(got, [logdet], f"{what}: the log-determinant is {logdet:g}", inputs=f"x = {x}")


def undone(f, mask):
    """The inverse of a map that moves each coordinate with m = 0 along a straight line, found by trying it at 0 and at 1."""

    def inverse(y):
        at_0, at_1 = f(mask * y)[0], f(mask * y + (1 - mask))[0]
        slope = np.where(mask == 1, 1, at_1 - at_0)
        return np.where(mask == 1, y, (y - at_0) / slope), -np.sum(np.log(slope), axis=1)

    return inverse


def forward_jacobian(forward):
    """What is kept is kept, what is moved moves along a line of a slope that does not depend on it, and the Jacobian is right."""
    for mask in map(np.array, MASKS):
        layer = coupling(waves, mask)
        y, _ = pair(lambda x, layer=layer: forward(layer, x), (POINTS,), (4, 3), (4,))
        same(mask * y, mask * POINTS, "coordinates with m = 1 stay as they are", inputs=f"m = {mask}")
        moved = [forward(layer, mask * POINTS + k * (1 - mask))[0] for k in range(3)]
        message = "s and t do not depend on what they move: a coordinate with m = 0 moves along a straight line"
        same(moved[2] - moved[1], moved[1] - moved[0], message, inputs=f"m = {mask}")
        check_bijection(lambda x, layer=layer: forward(layer, x), undone(lambda x, layer=layer: forward(layer, x), mask), POINTS)


def inverse_cases(inverse):
    """Layers whose s and t are known, backwards."""
    for what, network, want, y, logdet in LAYERS:
        x, got = pair(lambda y, n=network: inverse(coupling(n, [1.0, 0.0]), y), (np.array([y]),), (1, 2), (1,))
        same(x, [want], f"{what}; the inverse takes it back", inputs=f"y = {y}", equation="x = m y + (1 − m) (y − t) e⁻ˢ")
        same(got, [-logdet], f"{what}: the log-determinant of the inverse is {-logdet:g}", inputs=f"y = {y}")


def inverse_undoes(inverse):
    """A bijection with the layer's own forward."""
    for mask in MASKS:
        layer = coupling(waves, mask)
        pair(lambda y, layer=layer: inverse(layer, y), (POINTS,), (4, 3), (4,))
        check_bijection(layer.forward, lambda y, layer=layer: inverse(layer, y), POINTS)


# ---- Straight lines ----
START, END = 1.0, 0.0  # how much of the noise z is there at t = 0 and at t = 1


def on_line(line, t):
    """(x_t, velocity) between NOISE and X0 at one t for all."""
    return pair(line, (X0, NOISE, np.full(3, t)), (3, 2), (3, 2))


def line_cases(line):
    """From noise to data."""
    same(on_line(line, 0.0)[0], START * NOISE, "at t = 0 there is the noise z")
    same(on_line(line, 1.0)[0], X0 + END * NOISE, "at t = 1 there are the data x")
    rows, _ = pair(line, (X0, NOISE, np.array([0.0, 0.5, 1.0])), (3, 2), (3, 2))
    same(rows, [START * NOISE[0], (X0[1] + (START + END) * NOISE[1]) / 2, X0[2] + END * NOISE[2]], "each row has its own t: 0, ½ and 1")


def line_velocity(line):
    """The velocity is dx_t/dt, and the same at all times."""
    for t in (0.125, 0.5, 0.75):
        (x_t, velocity), (later, _), (earlier, _) = (on_line(line, t + h) for h in (0.0, 0.125, -0.125))
        same(later - x_t, x_t - earlier, "equal times make equal ways: the line is straight", inputs=f"t = {t}")
        same(velocity, (later - earlier) / 0.25, "the velocity is dx_t/dt", inputs=f"t = {t}", oracle="difference quotient")


PROBES = {
    "density": lambda f: f(flow([Cubic(0.5)], [0.5, -1.0], [2.0, 0.5]), X0),
    "coupling_forward": lambda f: flat(f(coupling(waves, MASKS[0]), POINTS)),
    "coupling_inverse": lambda f: flat(f(coupling(waves, MASKS[0]), POINTS)),
    "line": lambda f: flat(f(X0, NOISE, np.array([0.25, 0.5, 1.0]))),
}
