"""Modes hit and the quality of samples, against enumeration by hand and the mixtures' own probabilities."""

import numpy as np
import pytest
from scipy import stats

from minigen import Tensor, to_device, to_host
from minigen.data import toy
from minigen.metrics import expected_mode_quality, mode_scores

CENTERS = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
EIGHT = 2 * np.stack([np.cos(np.pi * np.arange(8) / 4), np.sin(np.pi * np.arange(8) / 4)], axis=1)


def by_definition(x, centers, std, radius, least):
    """One sample and one mode at a time."""
    held = [0] * len(centers)
    for point in x:
        d = [sum((a - b) ** 2 for a, b in zip(point, c, strict=True)) ** 0.5 for c in centers]
        if min(d) <= radius * std:
            held[d.index(min(d))] += 1
    return sum(h >= least * len(x) / len(centers) for h in held), sum(held) / len(x), np.array(held) / len(x)


@pytest.mark.verifies("modes.1", "modes.2", "modes.3", "modes.4", "modes.5")
@pytest.mark.parametrize("settings", [{}, {"radius": 2.0}, {"radius": 30.0}, {"least": 0.9}, {"radius": 1.0, "least": 0.5}])
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_scores_are_their_definition(settings, dims, device):
    rng = np.random.default_rng(dims)
    centers = rng.standard_normal((6, dims))
    x = centers[rng.integers(5, size=400)] + 0.3 * rng.standard_normal((400, dims))
    found = mode_scores(to_device(x, device), to_device(centers, device), 0.15, **settings)
    hit, quality, shares = by_definition(x, centers, 0.15, settings.get("radius", 4.0), settings.get("least", 0.1))
    assert (found.hit, type(found.hit), type(found.quality)) == (hit, int, float)
    np.testing.assert_allclose(found.quality, quality, rtol=1e-12)
    np.testing.assert_allclose(to_host(found.shares), shares, rtol=1e-12)


@pytest.mark.verifies("modes.2", "modes.5")
def test_limits_are_counted_in():
    x = np.array([[0.5, 0.0], [0.5 + 1e-9, 0.0], *[[3.0, 0.0]] * 28])
    assert mode_scores(x, CENTERS, std=0.125, least=0.1).hit == 2, "one of 30 is a tenth of a third; a distance of r σ is near"
    assert mode_scores(x, CENTERS, std=0.125, least=0.1001).hit == 1
    np.testing.assert_allclose(mode_scores(x, CENTERS, std=0.125).shares, [1 / 30, 28 / 30, 0])


def test_collapse_and_bridges_are_seen():
    rng = np.random.default_rng(0)
    collapsed = EIGHT[[2]] + 0.05 * rng.standard_normal((1000, 2))
    assert mode_scores(collapsed, EIGHT, 0.05)[0] == 1 and mode_scores(collapsed, EIGHT, 0.05)[1] > 0.99
    t = rng.random((1000, 1))
    bridges = mode_scores(t * EIGHT[rng.integers(8, size=1000)], EIGHT, 0.05)
    assert abs(bridges.quality - 0.1) < 0.05 and abs(bridges.shares.sum() - bridges.quality) < 1e-12


@pytest.mark.verifies("modes.6")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mixture_itself_hits_all_and_has_the_expected_quality(dtype):
    n = 40_000
    found = mode_scores(toy("eight_gaussians", n, np.random.default_rng(1), dtype=dtype), EIGHT.astype(dtype), 0.05, radius=2.0)
    truth = expected_mode_quality(2, radius=2.0)
    assert found.hit == 8 and abs(found.quality - truth) < 4.9 * np.sqrt(truth * (1 - truth) / n)
    assert np.all(np.abs(found.shares - truth / 8) < 4.9 * np.sqrt(truth / 8 / n))


@pytest.mark.verifies("modes.6")
@pytest.mark.parametrize("radius", [0.5, 1.0, 4.0])
def test_the_expected_quality_is_a_chi_squared_probability(radius):
    for dims in (1, 2, 3, 10):
        np.testing.assert_allclose(expected_mode_quality(dims, radius), stats.chi2(dims).cdf(radius**2), rtol=1e-12)
    np.testing.assert_allclose(expected_mode_quality(2, radius), 1 - np.exp(-(radius**2) / 2))
    assert expected_mode_quality(2) == expected_mode_quality(2, 4.0)


@pytest.mark.parametrize(
    ("x", "centers", "settings", "error", "message"),
    [
        (np.zeros((4, 3)), CENTERS, {}, ValueError, "x has D = 3"),
        (np.zeros(4), CENTERS, {}, ValueError, "x has shape"),
        (np.full((4, 2), np.nan), CENTERS, {}, ValueError, "x has NaN"),
        (np.zeros((4, 2)), CENTERS[:0], {}, ValueError, "centers has n = 0"),
        (np.zeros((0, 2)), CENTERS, {}, ValueError, "x has n = 0"),
        (np.zeros((4, 2)), CENTERS, {"std": 0.0}, ValueError, "std is 0.0"),
        (np.zeros((4, 2)), CENTERS, {"std": np.nan}, ValueError, "std is nan"),
        (np.zeros((4, 2)), CENTERS, {"radius": -1.0}, ValueError, "radius is -1.0"),
        (np.zeros((4, 2)), CENTERS, {"least": 0.0}, ValueError, "least is 0.0"),
        (Tensor(np.zeros((4, 2))), CENTERS, {}, TypeError, "x is a Tensor"),
    ],
)
def test_bad_input_is_named(x, centers, settings, error, message):
    with pytest.raises(error, match=message):
        mode_scores(x, centers, **{"std": 0.1, **settings})
