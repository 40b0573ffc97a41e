"""Two-dimensional toys, each a sampler with its exact density and entropy (in nats).

With ε, ε₁, ε₂ ~ N(0, 1), u ~ U[0, 1) and k uniform on 0 … K − 1, all independent, most toys are smeared curves,

    x = c_k(u) + σ (ε₁, ε₂)      p(x) = 1/K Σ_k ∫₀¹ N(x; c_k(u), σ² I) du

and a curve that is one point makes them mixtures of Gaussians. Their integral is a Gauss–Legendre sum, so fine that log p is right
to 10⁻⁸ within 10 σ of the curve. The others are changes of variables and uniform squares, in closed form. Each states its
equation where it is defined. Draws are independent: the number of points on each piece is random too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from minigen.backend import like
from minigen.checks import check_count, check_rng
from minigen.functions import logsumexp

ENTROPY_GAUSS = np.log(2 * np.pi * np.e).item()  # of N(0, I) in two dimensions
BLOCK = 1 << 16  # numbers in one intermediate matrix


def toy(name, n, rng, dtype=np.float32):
    """n independent points (n, 2) of the toy of that name. The names are the keys of `TOYS`.

    >>> toy("moons", 3, np.random.default_rng(0)).shape
    (3, 2)
    """
    find(name)
    check_count("n", n)
    check_rng(rng)
    return TOYS[name].sample(n, rng).astype(dtype)


def toy_density(name):
    """The function log p: (n, 2) → (n,) in nats, normalised and exact (see the top of this file), of what `toy` draws.

    >>> log_p = toy_density("checkerboard")
    >>> np.exp(log_p(np.array([[0.5, 0.5], [0.5, 1.5]])))
    array([0.125, 0.   ])
    """
    density = find(name).log_prob

    def log_prob(x):
        if x.ndim != 2 or x.shape[1] != 2 or x.dtype.kind != "f":
            raise ValueError(f"x has shape {x.shape} and dtype {x.dtype}; expected points (n, 2) of floating-point numbers")
        return density(x)

    return log_prob


@cache
def toy_entropy(name):
    """−E log p in nats: no model's mean log-likelihood on the toy can exceed minus this, in expectation.

    In closed form, or by the trapezoid rule on a grid, right to 10⁻⁶.

    >>> round(toy_entropy("checkerboard"), 4), round(toy_entropy("eight_gaussians"), 4)
    (2.0794, -1.0741)
    """
    return find(name).entropy


def find(name):
    """The toy of a name; ValueError lists the names."""
    if name not in TOYS:
        raise ValueError(f"there is no toy {name!r}; expected one of {', '.join(TOYS)}")
    return TOYS[name]


def grid_entropy(log_prob, low, high, step):
    """−∫ p log p by the trapezoid rule, row by row, for a density that vanishes at the edges of the box."""
    a, b = (np.arange(low[i], high[i] + step, step) for i in (0, 1))
    total = 0.0
    for row in a:
        log_p = log_prob(np.stack([np.full_like(b, row), b], axis=1))
        total -= float(np.exp(log_p) @ log_p)
    return total * step * step


def log_gauss(d1, d2, s1, s2):
    """log N(d₁; 0, s₁²) + log N(d₂; 0, s₂²)."""
    return -0.5 * ((d1 / s1) ** 2 + (d2 / s2) ** 2) - float(np.log(2 * np.pi * s1 * s2))


@dataclass(frozen=True)
class Smeared:
    """x = c_k(u) + σ ε: `curve(k, u)` is the point c_k(u) as a pair of coordinates, for k of `pieces` pieces."""

    curve: Callable
    pieces: int
    sigma: float

    def points(self, k, u):
        """c_k(u) as an array (…, 2)."""
        zero = 0 * (k + u)
        return np.stack(self.curve(k + zero, u + zero), axis=-1)

    def sample(self, n, rng):
        """n points."""
        k, u = rng.integers(self.pieces, size=n), rng.random(n)
        return self.points(k, u) + self.sigma * rng.standard_normal((n, 2))

    @cached_property
    def nodes(self):
        """Centres (m, 2) and log-weights (m,) of the mixture that stands for the integral: panels of 16 nodes, none above 5 σ long."""
        k, u = np.arange(self.pieces)[:, None], np.linspace(0, 1, 1001)
        speed = 1000 * np.sqrt((np.diff(self.points(k, u), axis=1) ** 2).sum(axis=2)).max()
        panels = int(np.ceil(speed / (5 * self.sigma)))
        if panels == 0:
            return self.points(k[:, 0], 0.5), np.full(self.pieces, -np.log(self.pieces))
        t, w = np.polynomial.legendre.leggauss(16)
        u = ((np.arange(panels)[:, None] + (t + 1) / 2) / panels).ravel()
        weights = np.tile(w / (2 * panels), panels * self.pieces) / self.pieces
        return self.points(k, u).reshape(-1, 2), np.log(weights)

    def log_prob(self, x):
        """log p(x), block by block."""
        centres, log_w = (like(x, a) for a in self.nodes)
        rows = max(1, BLOCK // len(log_w))
        blocks = [x[i : i + rows] for i in range(0, len(x), rows)] or [x]
        norm = float(np.log(2 * np.pi * self.sigma**2))
        return np.concatenate([logsumexp(self.exponents(b, centres, log_w), axis=1) for b in blocks]) - norm

    def exponents(self, x, centres, log_w):
        """log w − ‖x − c‖² / 2σ² for every point and centre, (n, m)."""
        scale = float(np.sqrt(2)) * self.sigma
        a, b = (x[:, :1] - centres[:, 0]) / scale, (x[:, 1:] - centres[:, 1]) / scale
        return log_w - (a * a + b * b)

    @cached_property
    def entropy(self):
        """By quadrature."""
        centres, _ = self.nodes
        return grid_entropy(self.log_prob, centres.min(axis=0) - 8 * self.sigma, centres.max(axis=0) + 8 * self.sigma, self.sigma / 2)


class Checkerboard:
    """Uniform on the eight squares [i − 2, i − 1] × [j − 2, j − 1], 0 ≤ i, j ≤ 3, with i + j even; p = 1/8 there."""

    entropy = float(np.log(8))

    def sample(self, n, rng):
        """n points."""
        i, j = rng.integers(4, size=n), rng.integers(2, size=n)
        return np.stack([i, 2 * j + i % 2], axis=1) - 2 + rng.random((n, 2))

    def log_prob(self, x):
        """−log 8 on the squares and on the lines of the board (to which rounding may take a draw), −∞ elsewhere."""
        a, b = x[:, 0], x[:, 1]
        i, j = np.floor(a), np.floor(b)
        black = ((i + j) % 2 == 0) | (a == i) | (b == j)
        inside = (np.abs(a) <= 2) & (np.abs(b) <= 2) & black
        return np.where(inside, like(x, -self.entropy), like(x, -np.inf))


class Pinwheel:
    """z = (2 + 0.6 ε₁, 0.2 ε₂), turned by the angle 2πk/5 + ‖z‖²/8. A turn that depends on ‖z‖ alone keeps areas, so

    p(x) = 1/5 Σ_k N(z_k; (2, 0), diag(0.6², 0.2²)),   z_k = x turned back by 2πk/5 + ‖x‖²/8.
    """

    def sample(self, n, rng):
        """n points."""
        k, e = rng.integers(5, size=n), rng.standard_normal((n, 2))
        z = np.stack([2 + 0.6 * e[:, 0], 0.2 * e[:, 1]], axis=1)
        return np.stack(self.turn(z, 2 * np.pi * k / 5, 1), axis=1)

    def turn(self, x, angle, sign):
        """The coordinates of x turned by sign · (angle + ‖x‖²/8)."""
        a, b = x[:, 0], x[:, 1]
        t = sign * (angle + (a * a + b * b) / 8)
        return np.cos(t) * a - np.sin(t) * b, np.sin(t) * a + np.cos(t) * b

    def log_prob(self, x):
        """log p(x)."""
        arms = [self.turn(x, 2 * np.pi * k / 5, -1) for k in range(5)]
        return logsumexp(np.stack([log_gauss(a - 2, b, 0.6, 0.2) for a, b in arms]), axis=0) - float(np.log(5))

    @cached_property
    def entropy(self):
        """By quadrature."""
        return grid_entropy(self.log_prob, (-7, -7), (7, 7), 0.05)


class Banana:
    """x₁ = 1.5 ε₁, x₂ = x₁²/4 − ½ + 0.4 ε₂: a Gaussian bent by a shear, which keeps areas (Haario et al. 1999)."""

    entropy = ENTROPY_GAUSS + float(np.log(1.5 * 0.4))

    def sample(self, n, rng):
        """n points."""
        e = rng.standard_normal((n, 2))
        a = 1.5 * e[:, 0]
        return np.stack([a, a * a / 4 - 0.5 + 0.4 * e[:, 1]], axis=1)

    def log_prob(self, x):
        """log N(x₁; 0, 1.5²) + log N(x₂; x₁²/4 − ½, 0.4²)."""
        a, b = x[:, 0], x[:, 1]
        return log_gauss(a, b - a * a / 4 + 0.5, 1.5, 0.4)


class Funnel:
    """x₁ = e^{x₂/2} ε₁, x₂ = ε₂: the scale of one coordinate is the other (Neal 2003, Slice Sampling, § 8, with a milder scale)."""

    entropy = ENTROPY_GAUSS  # log 2πe + E[x₂]/2, and E[x₂] = 0

    def sample(self, n, rng):
        """n points."""
        e = rng.standard_normal((n, 2))
        return np.stack([np.exp(e[:, 1] / 2) * e[:, 0], e[:, 1]], axis=1)

    def log_prob(self, x):
        """log N(x₁; 0, e^{x₂}) + log N(x₂; 0, 1)."""
        a, b = x[:, 0], x[:, 1]
        return log_gauss(a * np.exp(-b / 2), b, 1.0, 1.0) - b / 2


def polar(r, angle):
    """r (cos, sin) of an angle, as a pair."""
    return r * np.cos(angle), r * np.sin(angle)


def moon(k, u):
    """Half circles of radius 1: (cos πu, sin πu) and (1 − cos πu, ½ − sin πu)."""
    a, b = polar(1 - 2 * k, np.pi * u)
    return a + k, b + k / 2


def spiral(k, u):
    """±t/3 (cos t, sin t) with t² uniform on [1, 9π²], so that the points are about evenly spread along each arm."""
    t = np.sqrt(1 + (9 * np.pi**2 - 1) * u)
    return polar((1 - 2 * k) * t / 3, t)


TOYS = {
    "two_gaussians": Smeared(lambda k, u: (4 * k - 2, 0 * k), 2, 0.5),  # means (±2, 0)
    "eight_gaussians": Smeared(lambda k, u: polar(2, np.pi * k / 4), 8, 0.05),  # on a circle of radius 2
    "grid_gaussians": Smeared(lambda k, u: (k % 5 - 2, k // 5 - 2), 25, 0.05),  # 5 × 5, one apart
    "ring": Smeared(lambda k, u: polar(2, 2 * np.pi * u), 1, 0.1),  # a circle of radius 2
    "circles": Smeared(lambda k, u: polar(1 - k / 2, 2 * np.pi * u), 2, 0.08),  # radii 1, ½
    "rings": Smeared(lambda k, u: polar((k + 1) / 2, 2 * np.pi * u), 4, 0.08),  # radii ½, 1, 1½, 2
    "moons": Smeared(moon, 2, 0.1),
    "spirals": Smeared(spiral, 2, 0.1),
    "swiss_roll": Smeared(lambda k, u: polar(0.3 * np.pi * (1 + 2 * u), 1.5 * np.pi * (1 + 2 * u)), 1, 0.1),  # t/5 (cos t, sin t)
    "checkerboard": Checkerboard(),
    "pinwheel": Pinwheel(),
    "banana": Banana(),
    "funnel": Funnel(),
}
