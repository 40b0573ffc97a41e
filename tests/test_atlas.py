"""The atlas: each claim of which metric sees a fault, is blind to it, or is fooled by it."""

import inspect

import numpy as np
import pytest

import minigen.metrics as M
from minigen.cli import load_demo

atlas = load_demo("metrics")
faults = atlas.faults
SEED, WORLDS = 7, {kind.name: kind for kind in (atlas.Known, atlas.Digits)}  # a seed on which no claim was made


@pytest.fixture(scope="module")
def maps():
    """All shifts, of fewer draws than the demo's."""
    return {name: atlas.atlas(kind(SEED), np.random.default_rng(SEED), 3) for name, kind in WORLDS.items()}


@pytest.mark.parametrize("world, fault", [(world, fault) for world, rows in atlas.CLAIMS.items() for fault in rows])
def test_claims(world, fault, maps):
    row = maps[world][fault]
    claims = dict(zip(row, atlas.CLAIMS[world][fault], strict=True))
    assert {m: row[m] for m in row if not atlas.holds(claims[m], row[m])} == {}


def test_each_fault_is_scored_by_each_metric(maps):
    for world, found in maps.items():
        assert list(found) == list(atlas.CLAIMS[world])
        assert len({tuple(row) for row in found.values()}) == 1 and len(next(iter(found.values()))) == 26
    claimed = "".join("".join(rows.values()) for rows in atlas.CLAIMS.values())
    assert len(claimed) == 26 * 22 and claimed.count("?") < 0.2 * len(claimed)


def test_no_score_is_left_out():
    source = inspect.getsource(atlas) + inspect.getsource(faults)
    public = {name for name in M.__all__ if inspect.isfunction(getattr(M, name))}
    of_scores = {name for name in public if getattr(M, name).__module__.endswith("separation")}  # numbers a datum, not samples
    of_models = {n for n in public if getattr(M, n).__module__.endswith(("annealing", "likelihood"))} - {"nll", "generalisation_gap"}
    others = {
        "frechet_distance_gaussians", "prd_from_histograms", "manifold_scores", "cubic_kernel", "memorization_score",  # parts of others
        "expected_frechet_distance", "expected_coverage", "expected_mode_quality",  # what to expect of honest samples
        "identity_features", "random_features", "inception_v3", "digit_features", "score_name",  # features
        "hype", "with_error",  # of people, and of any score
    }  # fmt: skip
    assert sorted(n for n in public - of_scores - of_models - others if f"{n}(" not in source) == []


def test_a_shift_by_chance_is_no_claim():
    # E of an unbiased statistic does not fall where samples are fewer or outliers are added: its scores only differ more
    noise = atlas.compared({"KID": np.array([-900.0, 700.0, -400.0])}, {"KID": np.array([-1.0, 0.0, 1.0])}, 1.0)["KID"]
    assert noise.z == -200 and noise.error > 400 and noise.verdict is None and not atlas.holds("-", noise)
    exact = atlas.compared({"IS": np.array([5.0, 5.0, 5.2])}, {"IS": np.array([-1.0, 0.0, 1.0])}, 0.5)["IS"]
    assert exact.z == pytest.approx(5.0667 / 2, rel=1e-4) and exact.error == pytest.approx(((0.04 / 3) / 3 / 4 + 1 / 3) ** 0.5)
    assert exact.verdict == 0 and atlas.holds("+", exact) and atlas.holds(".", exact) and not atlas.holds("-", exact)
    assert [atlas.Shift(z, 1.0).verdict for z in (9, -9, 3)] == [1, -1, 0] and atlas.Shift(9.0, 3.0).verdict is None


def test_noise_costs_a_likelihood_at_most_log_100_and_copies_have_none():
    good, noise, copies = faults.likelihoods(atlas.Known(1, 400), 1).values()
    assert 3 < noise.nll - good.nll <= np.log(100) + 0.1 and noise.precision < 0.1 < 0.8 < good.precision  # two fits of the good part
    assert copies.nll > 1e4 and min(copies.precision, copies.coverage) > 0.8 and copies.authentic == 0 < good.authentic
    assert max(good.gap, noise.gap, good.memorization, noise.memorization) < 2 < 1e4 < min(copies.gap, copies.memorization)


def test_the_distance_depends_on_the_features_but_not_much_on_their_seed():
    table = atlas.by_features(atlas.Digits(1), repeats=2)
    assert all(noisy > 2 * honest for honest, noisy in table.values())
    one, two, foreign, untrained, pixels = (noisy for _, noisy in table.values())
    assert max(one, two) < 2 * min(one, two) and min(foreign, untrained, pixels) > 2 * max(one, two)


def test_honest_samples_are_honest():
    for kind in WORLDS.values():
        world, rng = kind(0, 200), np.random.default_rng(0)
        x, y = atlas.honest(world, rng)
        assert x.shape == (200, world.test.shape[1]) and y.shape == (200,)
        rows = [tuple(row) for part in (world.train, world.test, x) for row in part.tolist()]
        assert len(set(rows)) == len(rows) == 600
    digits = atlas.Digits(0, 200)
    seen = {p.tobytes() for p in digits.pictures}  # the classifier saw neither what it helps to judge nor what it compares with
    assert not seen & {p.tobytes() for p in np.concatenate([digits.real, digits.pool])}
    assert all(len(x) == len(y) for x, y in (digits.draw(150, rng), (digits.train, digits.train_labels), (digits.test, digits.test_labels)))
    assert np.mean(np.argmax(digits.probabilities(digits.test), axis=1) == digits.test_labels) > 0.85


def test_faults_are_what_they_say():
    world, rng = atlas.Known(0, 200), np.random.default_rng(0)
    sets = {name: fault(world, rng) for name, fault in atlas.FAULTS.items()}
    for name, (x, y) in sets.items():
        assert len(x) == len(y) == (25 if name == "an eighth of the samples" else 200), name
    assert not set(sets["two modes of ten dropped"][1]) & {0, 1} and len(np.unique(sets["a fifth of them, five times"][0], axis=0)) == 40
    assert {*map(tuple, sets["the training set itself"][0])} == {*map(tuple, world.train)}
    nearest = M.nearest_neighbours(sets["tiny Gaussians (Theis et al.)"][0], world.train)[1]
    assert 0 < np.max(nearest) < world.same
    far = lambda x: np.mean(np.max(np.abs(x - np.mean(world.test, axis=0)) / np.std(world.test, axis=0), axis=1) > 4)
    assert 0.02 < far(sets["5 % outliers"][0]) <= 0.05 and far(sets["99 % noise (Theis et al.)"][0]) > 0.8 and far(world.train) < 0.01
    x = faults.equal_moments(atlas.Known(0, 60_000), rng)[0][:, 4]
    np.testing.assert_allclose([np.mean(x**k) for k in (1, 2, 3)], [0, 1, 0], atol=4.9 * 3 / 60_000**0.5)
    assert np.mean(x**4) > 2.8
