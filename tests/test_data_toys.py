"""The toys: each sampler, density and entropy against its own equation, written out here a second time.

Where the density is an integral along a curve, the reference is a plain sum over very many points of that curve, as complex numbers.
"""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0e
from scipy.stats import chi2, norm

import minigen as mg
from minigen.backend import array_module, to_device, to_host
from minigen.data import TOYS, toy, toy_density, toy_entropy
from minigen.data.toys import Smeared

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score
TAU = 2 * np.pi
FINE = (np.arange(40_000) + 0.5) / 40_000


def arm(a, b):
    """Points of the spiral t/3 e^{it}, t² uniform between 1 and 9π²."""
    t = np.sqrt(a + (b - a) * FINE)
    return t / 3 * np.exp(1j * t)


ROLL = np.pi * (1.5 + 3 * FINE)
CURVES = {  # name: (σ, its pieces as arrays of equally likely points)
    "two_gaussians": (0.5, [np.array([-2 + 0j]), np.array([2 + 0j])]),
    "eight_gaussians": (0.05, [2 * np.exp([1j * TAU * k / 8]) for k in range(8)]),
    "grid_gaussians": (0.05, [np.array([a + 1j * b]) for a in range(-2, 3) for b in range(-2, 3)]),
    "ring": (0.1, [2 * np.exp(1j * TAU * FINE)]),
    "circles": (0.08, [r * np.exp(1j * TAU * FINE) for r in (0.5, 1)]),
    "rings": (0.08, [r * np.exp(1j * TAU * FINE) for r in (0.5, 1, 1.5, 2)]),
    "moons": (0.1, [np.exp(1j * np.pi * FINE), 1 + 0.5j - np.exp(1j * np.pi * FINE)]),
    "spirals": (0.1, [arm(1, 9 * np.pi**2), -arm(1, 9 * np.pi**2)]),
    "swiss_roll": (0.1, [ROLL / 5 * np.exp(1j * ROLL)]),
}
BANANA = lambda x: norm.logpdf(x[:, 0], 0, 1.5) + norm.logpdf(x[:, 1], x[:, 0] ** 2 / 4 - 0.5, 0.4)
FUNNEL = lambda x: norm.logpdf(x[:, 1]) + norm.logpdf(x[:, 0], 0, np.exp(x[:, 1] / 2))


def pinwheel(x):
    z = x[:, 0] + 1j * x[:, 1]
    back = [z * np.exp(-1j * (TAU * k / 5 + np.abs(z) ** 2 / 8)) for k in range(5)]
    return np.log(np.mean([norm.pdf(w.real, 2, 0.6) * norm.pdf(w.imag, 0, 0.2) for w in back], axis=0))


def smeared(x, sigma, pieces):
    z, total = x[:, 0] + 1j * x[:, 1], 0
    for piece in pieces:
        total = total + np.array([np.mean(np.exp(-(np.abs(p - piece) ** 2) / (2 * sigma**2))) for p in z])
    return np.log(total / len(pieces) / (TAU * sigma**2))


def reference(name, x):
    if name in CURVES:
        return smeared(x, *CURVES[name])
    return {"banana": BANANA, "funnel": FUNNEL, "pinwheel": pinwheel}[name](x)


def rng_of(seed=0):
    return np.random.default_rng(seed)


def draws(name, n, seed=0):
    return toy(name, n, rng_of(seed), np.float64)


def boxes(name):
    """Edges of a grid of boxes that holds all but 1e-9 of the toy; narrow enough for a Gauss–Legendre rule of 6 × 6 points a box."""
    if name in CURVES:
        sigma, pieces = CURVES[name]
        z = np.concatenate(pieces)
        return [np.arange(a.min() - 6.5 * sigma, a.max() + 6.5 * sigma + 2.5 * sigma, 2.5 * sigma) for a in (z.real, z.imag)]
    return {
        "pinwheel": [np.arange(-6, 6.1, 0.3)] * 2,
        "banana": [np.arange(-9.3, 9.4, 0.3), np.arange(-3.5, 24, 0.5)],
        "funnel": [np.sinh(np.arange(-5.8, 5.9, 0.1)) / 2, np.arange(-6.2, 6.3, 0.2)],
        "checkerboard": [np.arange(-3.0, 3.1)] * 2,
    }[name]


def masses(name):
    """The probability of each box, by quadrature of the density."""
    t, w = np.polynomial.legendre.leggauss(6)
    (a, wa), (b, wb) = (
        ((e[:-1, None] + np.diff(e)[:, None] * (t + 1) / 2).ravel(), (np.diff(e)[:, None] * w / 2).ravel()) for e in boxes(name)
    )
    x = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    p = np.exp(toy_density(name)(x)).reshape(len(a), len(b)) * wa[:, None] * wb
    return p.reshape(len(a) // 6, 6, len(b) // 6, 6).sum(axis=(1, 3))


# ---- Density ----
@pytest.mark.parametrize("name", sorted(TOYS.keys() - {"checkerboard"}))
def test_density_is_that_of_the_equations(name):
    x = draws(name, 25)
    x = np.concatenate([x, x + 0.2 * rng_of(1).standard_normal(x.shape)])
    np.testing.assert_allclose(toy_density(name)(x), reference(name, x), atol=1e-6)


@pytest.mark.parametrize("name", ["moons", "spirals", "swiss_roll", "circles", "rings", "ring"])
def test_quadrature_is_right_to_ten_sigmas_also_past_the_ends(name):
    t, rng = TOYS[name], rng_of()
    u = np.concatenate([rng.random(30), [0, 1] * 10])
    away = np.exp(1j * TAU * rng.random(50)) * 10 * t.sigma * rng.random(50)
    x = t.points(rng.integers(t.pieces, size=50), u) + np.stack([away.real, away.imag], axis=1)
    nodes, w = np.polynomial.legendre.leggauss(200)
    u = ((np.arange(30)[:, None] + (nodes + 1) / 2) / 30).ravel()
    w = np.tile(w, 30) / 60
    log_gauss = [norm.logpdf(x[:, None], t.points(np.full(u.shape, k), u), t.sigma).sum(axis=2) for k in range(t.pieces)]
    top = np.max(log_gauss, axis=(0, 2))
    exact = top + np.log(np.mean([np.exp(g - top[:, None]) @ w for g in log_gauss], axis=0))
    assert np.abs(toy_density(name)(x) - exact).max() < 1e-8


@pytest.mark.parametrize("name", ["ring", "circles", "rings"])
def test_circles_have_a_bessel_function_for_their_integral(name):
    sigma, pieces = CURVES[name]
    x = draws(name, 100)
    r = np.hypot(x[:, 0], x[:, 1])
    p = np.mean([np.exp(-((r - a) ** 2) / (2 * sigma**2)) * i0e(r * a / sigma**2) for a in (abs(c[0]) for c in pieces)], axis=0)
    np.testing.assert_allclose(toy_density(name)(x), np.log(p / (TAU * sigma**2)), atol=1e-9)


def test_checkerboard_is_uniform_on_its_eight_squares_and_their_edges():
    i, j = np.meshgrid(np.arange(-4, 4), np.arange(-4, 4), indexing="ij")
    centres = np.stack([i.ravel() + 0.5, j.ravel() + 0.5], axis=1)
    black = ((i + j) % 2 == 0) & (np.minimum(i, j) >= -2) & (np.maximum(i, j) < 2)
    log_p = toy_density("checkerboard")
    np.testing.assert_allclose(np.exp(log_p(centres)), black.ravel() / 8, rtol=1e-12)
    np.testing.assert_allclose(log_p(np.array([[-2, -2], [2, 2], [2, 1.5], [1, 1], [0, -0.5], [-1.5, -1]])), -np.log(8), rtol=1e-12)
    assert np.all(np.isneginf(log_p(np.array([[-2.01, -1.5], [1.5, 2.01], [2.01, 1.5], [1.5, -2.01], [-1.5, 2.5]]))))


@pytest.mark.parametrize("name", TOYS)
def test_sampler_fills_boxes_as_the_density_says(name):
    p, n = masses(name), 20_000
    assert abs(p.sum() - 1) < 1e-5
    counts = np.histogram2d(*draws(name, n).T, bins=boxes(name))[0]
    often = p * n >= 8
    expected = np.append(p[often], 1 - p[often].sum()) * n
    found = np.append(counts[often], n - counts[often].sum())
    expected, found = expected[expected > 1e-3], found[expected > 1e-3]
    assert found.sum() == n and len(found) >= 8
    statistic = ((found - expected) ** 2 / expected).sum()
    assert 1e-6 < chi2.sf(statistic, len(found) - 1) < 1 - 1e-6


@pytest.mark.parametrize("name", ["two_gaussians", "moons", "pinwheel"])
def test_draws_are_independent_so_that_the_counts_of_pieces_vary(name):
    """A sampler that gives each piece its exact share has a smaller variance of the mean than an independent one."""
    rng = rng_of()
    means = np.array([toy(name, 40, rng, np.float64).mean(axis=0) for _ in range(2000)])
    x = draws(name, 100_000, seed=1)
    ratio = means.var(axis=0) * 40 / x.var(axis=0)
    assert np.abs(ratio - 1).max() < Z * np.sqrt(2 / 2000) + 0.02


# ---- Entropy ----
@pytest.mark.parametrize("name", TOYS)
def test_mean_log_probability_of_draws_is_minus_the_entropy(name):
    log_p = toy_density(name)(draws(name, 20_000, seed=2))
    assert np.all(np.isfinite(log_p))
    assert abs(log_p.mean() + toy_entropy(name)) <= Z * log_p.std() / np.sqrt(len(log_p)) + 1e-12


def radial_entropy(radii, sigma):
    """Of a mixture of smeared circles, by a one-dimensional integral."""

    def density(r):
        return np.mean([np.exp(-((r - a) ** 2) / (2 * sigma**2)) * i0e(r * a / sigma**2) for a in radii]) / (TAU * sigma**2)

    f = lambda r: -TAU * r * density(r) * np.log(density(r))
    return quad(f, 0, max(radii) + 8 * sigma, points=radii, epsabs=1e-10, limit=500)[0]


def test_entropies_by_other_ways():
    gauss = lambda s: np.log(TAU * np.e * s**2)
    assert abs(toy_entropy("eight_gaussians") - np.log(8) - gauss(0.05)) < 1e-9
    assert abs(toy_entropy("grid_gaussians") - np.log(25) - gauss(0.05)) < 1e-9
    pair = lambda a: (norm.pdf(a, -2, 0.5) + norm.pdf(a, 2, 0.5)) / 2
    two = quad(lambda a: -pair(a) * np.log(pair(a)), -7, 7, points=[-2, 0, 2], epsabs=1e-12)[0] + gauss(0.5) / 2
    assert abs(toy_entropy("two_gaussians") - two) < 1e-6
    assert abs(toy_entropy("ring") - radial_entropy([2], 0.1)) < 1e-6
    assert abs(toy_entropy("circles") - radial_entropy([0.5, 1], 0.08)) < 1e-6
    assert abs(toy_entropy("banana") - gauss(1) - np.log(1.5 * 0.4)) < 1e-12
    assert abs(toy_entropy("funnel") - gauss(1)) < 1e-12
    assert abs(toy_entropy("checkerboard") - np.log(8)) < 1e-12


@pytest.mark.parametrize("name", ["moons", "pinwheel", "spirals"])
def test_entropies_do_not_depend_on_the_grid(name):
    (a, b), h = boxes(name), 0.041
    x = np.stack(np.meshgrid(np.arange(a[0], a[-1], h), np.arange(b[0], b[-1], h), indexing="ij"), axis=-1).reshape(-1, 2)
    log_p = toy_density(name)(x)
    assert abs(-(np.exp(log_p) * log_p).sum() * h * h - toy_entropy(name)) < 1e-6


# ---- As arrays ----
@pytest.mark.parametrize("name", TOYS)
def test_draws_follow_the_generator_and_the_dtype(name):
    a, b, c = toy(name, 50, rng_of(3)), toy(name, 50, rng_of(3)), toy(name, 50, rng_of(4))
    assert a.shape == (50, 2) and a.dtype == np.float32 and np.array_equal(a, b) and not np.array_equal(a, c)
    assert np.array_equal(a, draws(name, 50, seed=3).astype(np.float32))
    one, two = rng_of(5), rng_of(5)
    assert not np.array_equal(toy(name, 9, one), toy(name, 9, one)) and toy(name, 1, two).shape == (1, 2)


@pytest.mark.parametrize("name", TOYS)
def test_density_of_float32_on_any_library(name, device):
    x = to_device(toy(name, 30, rng_of()), device)
    log_p = toy_density(name)(x)
    assert array_module(log_p) is array_module(x) and log_p.dtype == np.float32 and log_p.shape == (30,)
    np.testing.assert_allclose(to_host(log_p), toy_density(name)(to_host(x).astype(np.float64)), atol=2e-4)


@pytest.mark.parametrize("name", TOYS)
def test_a_generator_of_the_device_draws_there(name, device):
    xp = array_module(to_device(np.zeros(1), device))
    x = toy(name, 5, xp.random.default_rng(0))
    assert array_module(x) is xp and x.shape == (5, 2) and x.dtype == np.float32


@pytest.mark.parametrize("name", TOYS)
def test_densities_have_gradients(name):
    x, h = draws(name, 4), 1e-5
    score = mg.grad(lambda x: np.sum(toy_density(name)(x)))(x)
    for axis in (0, 1):
        step = h * np.eye(2)[axis]
        difference = (toy_density(name)(x + step) - toy_density(name)(x - step)) / (2 * h)
        np.testing.assert_allclose(score[:, axis], difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TOYS)
def test_blocks_do_not_show(name):
    x = draws(name, 3000 if name == "rings" else 600)
    whole = toy_density(name)(x)
    assert np.array_equal(whole[-7:], toy_density(name)(x[-7:])) or np.allclose(whole[-7:], toy_density(name)(x[-7:]), atol=1e-12)
    assert toy_density(name)(x[:0]).shape == (0,)


def test_the_intermediate_matrix_is_bounded(monkeypatch):
    seen, inner = [], Smeared.exponents
    monkeypatch.setattr(Smeared, "exponents", lambda self, x, c, w: seen.append(len(x) * len(c)) or inner(self, x, c, w))
    toy_density("rings")(draws("rings", 500))
    assert len(seen) > 1 and max(seen) <= 1 << 16


# ---- Errors ----
def test_errors_name_what_is_wrong():
    for f in (toy_density, toy_entropy, lambda name: toy(name, 3, rng_of())):
        with pytest.raises(ValueError, match=r"no toy 'moon'; expected one of two_gaussians, eight_gaussians, .*funnel"):
            f("moon")
    for n in (0, -3, 2.0, True, None):
        with pytest.raises(ValueError, match="n is"):
            toy("moons", n, rng_of())
    for rng in (0, None, np.random, np.random.RandomState(0)):
        with pytest.raises(TypeError, match="rng is"):
            toy("moons", 3, rng)
    for x in (np.zeros(2), np.zeros((3, 3)), np.zeros((2, 2, 2)), np.zeros((3, 2), int)):
        with pytest.raises(ValueError, match="x has shape"):
            toy_density("moons")(x)


def test_the_names_that_are_promised():
    promised = "moons circles spirals checkerboard eight_gaussians pinwheel swiss_roll two_gaussians"
    assert set(promised.split()) <= set(TOYS)
