"""Ways through codes: their ends, their angles and norms, coordinates and attributes."""

import numpy as np
import pytest
from scipy import special

import minigen as mg
from minigen.models.latent import analogy, attribute_vector, latent_map, lerp, slerp, traverse

RNG = np.random.default_rng(0)
T = np.linspace(0, 1, 9)
PAIRS = {
    "any": (RNG.normal(size=(6, 4)), RNG.normal(size=(6, 4))),
    "other norms": (5 * RNG.normal(size=(6, 4)), 0.1 * RNG.normal(size=(6, 4))),
    "equal": (np.ones((2, 3)), np.ones((2, 3))),
    "collinear": (np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])),
    "opposite": (np.array([[1.0, 0.0, 0.0], [1.0, 2.0, 2.0]]), np.array([[-2.0, 0.0, 0.0], [-1.0, -2.0, -2.0]])),
    "nearly equal": (np.array([[1.0, 2.0, 2.0]]), np.array([[1.0, 2.001, 2.0]])),
    "nearly opposite": (np.array([[1.0, 2.0, 2.0]]), np.array([[-1.0, -2.001, -2.0]])),
    "from 0": (np.zeros((1, 3)), np.array([[0.0, 3.0, 4.0]])),
    "to 0": (np.array([[0.0, 3.0, 4.0]]), np.zeros((1, 3))),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("way", [lerp, slerp])
@pytest.mark.verifies("latent.1")
@pytest.mark.verifies("latent.3")
def test_ways_begin_and_end_where_they_should(name, way, device):
    a, b = PAIRS[name]
    path = mg.to_host(way(*mg.to_device((a, b), device), mg.to_device(T, device)))
    assert path.shape == (9, *a.shape)
    np.testing.assert_allclose(path[0], a, atol=1e-12)
    np.testing.assert_allclose(path[-1], b, atol=1e-12)
    if way is lerp:
        np.testing.assert_allclose(np.diff(path, axis=0), np.broadcast_to((b - a) / 8, (8, *a.shape)), atol=1e-12)
    else:
        norms = (1 - T[:, None]) * np.linalg.norm(a, axis=1) + T[:, None] * np.linalg.norm(b, axis=1)
        np.testing.assert_allclose(np.linalg.norm(path, axis=-1), norms, atol=1e-12)


@pytest.mark.parametrize("name", ["any", "other norms", "collinear", "opposite", "nearly equal", "nearly opposite"])
@pytest.mark.verifies("latent.2")
def test_the_spherical_way_turns_at_constant_speed_in_the_plane_of_its_ends(name):
    a, b = PAIRS[name]
    path = slerp(a, b, T)
    u = path / np.linalg.norm(path, axis=-1, keepdims=True)
    whole = np.arccos(np.clip(np.sum(u[0] * u[-1], axis=-1), -1, 1))
    steps = np.arccos(np.clip(np.sum(u[1:] * u[:-1], axis=-1), -1, 1))
    np.testing.assert_allclose(steps, np.broadcast_to(whole / 8, steps.shape), atol=2e-8)
    for i in range(len(a)):
        assert np.linalg.matrix_rank(path[:, i], tol=1e-6) <= 2
    if name == "any":  # Shoemake's formula for the directions
        a, b = u[0], u[-1]
        want = (np.sin((1 - T[:, None]) * whole)[..., None] * a + np.sin(T[:, None] * whole)[..., None] * b) / np.sin(whole)[:, None]
        np.testing.assert_allclose(u, want, atol=1e-10)


def test_float32_stays_and_gradients_exist():
    a, b = (RNG.normal(size=(2, 3)).astype(np.float32) for _ in range(2))
    assert slerp(a, b, T).dtype == lerp(a, b, T).dtype == traverse(a, 0, T).dtype == np.float32
    g = mg.grad(lambda a: np.sum(slerp(a, b, T) ** 2))(a)
    assert np.all(np.isfinite(g)) and np.any(g != 0)


@pytest.mark.verifies("latent.4")
def test_traversal_changes_one_coordinate(device):
    z = RNG.normal(size=(4, 3))
    for j in (0, 2, -1):
        path = mg.to_host(traverse(mg.to_device(z, device), j, [-1.0, 0.0, 2.5]))
        want = np.stack([z] * 3)
        want[:, :, j] = np.array([-1.0, 0.0, 2.5])[:, None]
        np.testing.assert_array_equal(path, want)


@pytest.mark.verifies("latent.5")
def test_the_attribute_vector_is_the_difference_of_means(device):
    z, has = RNG.normal(size=(9, 3)), np.arange(9) < 4
    got = mg.to_host(attribute_vector(*mg.to_device((z, has), device)))
    np.testing.assert_allclose(got, z[:4].mean(0) - z[4:].mean(0), rtol=1e-12)
    np.testing.assert_allclose(mg.to_host(attribute_vector(*mg.to_device((z, ~has), device))), -got, rtol=1e-12)


@pytest.mark.verifies("latent.6")
def test_an_analogy_closes_a_parallelogram(device):
    a, b, c = RNG.normal(size=(3, 4, 2))
    d = mg.to_host(analogy(*mg.to_device((a, b, c), device)))
    np.testing.assert_allclose(d - c, a - b, atol=1e-12)
    np.testing.assert_allclose(d - a, c - b, atol=1e-12)


@pytest.mark.verifies("latent.7")
@pytest.mark.parametrize("n", [1, 2, 7])
def test_each_code_of_the_map_is_the_median_of_a_cell_of_equal_probability(n):
    z = latent_map(n).reshape(n, n, 2)
    p = 0.5 * (1 + special.erf(z / np.sqrt(2)))
    middles = (np.arange(n) + 0.5) / n
    np.testing.assert_allclose(p[..., 0], np.broadcast_to(middles, (n, n)), atol=1e-12)  # to the right it grows
    np.testing.assert_allclose(p[..., 1], np.broadcast_to(middles[::-1, None], (n, n)), atol=1e-12)  # and upwards


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: lerp(z, z[:1], T), r"codes have shapes \(4, 3\) and \(1, 3\)"),
        (lambda z: analogy(z, z, z[0]), r"codes have shapes \(4, 3\) and \(3,\)"),
        (lambda z: analogy(z[:1], z, z), r"codes have shapes \(1, 3\) and \(4, 3\)"),
        (lambda z: latent_map(0), "n is 0"),
        (lambda z: slerp(z[:, :1], z[:, :1], T), "L ≥ 2"),
        (lambda z: lerp(z, z, 0.5), r"t has shape \(\)"),
        (lambda z: traverse(z, 3, [0.0]), r"coordinate is 3 and z has shape \(4, 3\)"),
        (lambda z: traverse(z, -4, [0.0]), "coordinate is -4"),
        (lambda z: attribute_vector(z, np.ones(4, bool)), "has is true of 4 codes of 4"),
        (lambda z: attribute_vector(z, np.ones(4)), "has is float64"),
        (lambda z: attribute_vector(z, np.ones(3, bool)), r"of shape \(3,\); expected booleans \(4,\)"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((4, 3)))
