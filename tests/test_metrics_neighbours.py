"""Nearest neighbours by their definition, with ties, offsets and every array library."""

import numpy as np
import pytest

import minigen as mg
from minigen.metrics.neighbours import nearest_neighbours

RNG = np.random.default_rng(0)
SETS = {
    "continuous": (RNG.normal(size=(23, 3)), RNG.normal(size=(40, 3))),
    "far from the origin": (1e6 + RNG.normal(size=(23, 3)), 1e6 + RNG.normal(size=(40, 3))),
    "a grid": (RNG.integers(0, 3, (23, 2)), RNG.integers(0, 3, (12, 2))),
    "half precision": (RNG.normal(size=(23, 3)).astype(np.float16), RNG.normal(size=(40, 3)).astype(np.float16)),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("k", [1, 3, 12])
@pytest.mark.verifies("neighbours.1")
def test_neighbours_by_their_definition(name, k, device):
    for x, y in (SETS[name], (SETS[name][0][:1], SETS[name][1]), (SETS[name][0], None)):
        index, distance = mg.to_host(nearest_neighbours(*mg.to_device((x, y), device), k=k))
        distances = np.linalg.norm(x[:, None].astype(float) - (x if y is None else y).astype(float), axis=-1)
        np.testing.assert_allclose(np.take_along_axis(distances, index, 1), distance, rtol=1e-12)
        distances += np.diag(np.full(len(x), np.inf)) if y is None else 0
        np.testing.assert_allclose(distance, np.sort(distances, axis=1)[:, :k], rtol=1e-12)
        assert all(len(set(row)) == k for row in index.tolist())
        if name != "a grid":
            np.testing.assert_array_equal(index, np.argsort(distances, axis=1)[:, :k])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: nearest_neighbours(x, x, k=6), "y has n = 5 rows; expected at least 6"),
        (lambda x: nearest_neighbours(x, k=5), "x has n = 5 rows; expected at least 6"),
        (lambda x: nearest_neighbours(x, x[:, :1]), "D = 2 columns"),
        (lambda x: nearest_neighbours(x, k=0), "k is 0"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((5, 2)))
