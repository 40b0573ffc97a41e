"""The atlas: each claim of which metric sees a fault, is blind to it, or is fooled by it."""

import numpy as np
import pytest

from minigen.cli import load_demo

atlas = load_demo("metrics")
SEES, BLIND, FOOLED = 1, 0, -1

# (world, fault, metric, what it does); a shift is in standard deviations of what honest samples score
CLAIMS = [
    # Blur: fidelity suffers, and whatever rewards difference from the training set is pleased.
    ("known distribution", "blur and noise", "1 − density", SEES),
    ("known distribution", "blur and noise", "copying, −C_T", FOOLED),
    ("digits", "blur and noise", "− authenticity", FOOLED),
    ("known distribution", "blur and noise", "KID (cubic kernel)", BLIND),
    ("digits", "blur and noise", "Fréchet distance", SEES),
    ("digits", "blur and noise", "1 − precision", SEES),
    ("digits", "blur and noise", "− Vendi score", FOOLED),
    # Dropped modes: diversity suffers; precision, density and the copying tests cannot know.
    ("known distribution", "two modes of ten dropped", "1 − recall", SEES),
    ("known distribution", "two modes of ten dropped", "1 − coverage", SEES),
    ("known distribution", "two modes of ten dropped", "1 − PRD recall (F 8)", SEES),
    ("known distribution", "two modes of ten dropped", "− Inception score", SEES),
    ("known distribution", "two modes of ten dropped", "1 − precision", BLIND),
    ("known distribution", "two modes of ten dropped", "1 − PRD precision (F 1/8)", BLIND),
    ("known distribution", "two modes of ten dropped", "− authenticity", BLIND),
    ("digits", "two modes of ten dropped", "Fréchet distance", SEES),
    ("digits", "two modes of ten dropped", "1 − precision", BLIND),
    # Reweighted modes: what looks at supports is blind.
    ("known distribution", "modes reweighted", "Fréchet distance", SEES),
    ("known distribution", "modes reweighted", "− Inception score", SEES),
    ("known distribution", "modes reweighted", "1 − recall", BLIND),
    ("known distribution", "modes reweighted", "1 − precision", BLIND),
    ("known distribution", "modes reweighted", "1 − coverage", BLIND),
    # Outliers: moments are ruled by them, balls and classes hardly notice one in twenty.
    ("known distribution", "5 % outliers", "Fréchet distance", SEES),
    ("known distribution", "5 % outliers", "1 − recall", BLIND),
    ("known distribution", "5 % outliers", "MMD (Gaussian kernel)", BLIND),
    ("known distribution", "5 % outliers", "− Inception score", BLIND),
    ("digits", "5 % outliers", "− Vendi score", FOOLED),
    # Duplicates: each sample is good, together they are few.
    ("known distribution", "every sample five times", "pairs of duplicates", SEES),
    ("known distribution", "every sample five times", "1 − coverage", SEES),
    ("known distribution", "every sample five times", "− Vendi score", SEES),
    ("known distribution", "every sample five times", "1 − precision", BLIND),
    ("known distribution", "every sample five times", "1 − density", BLIND),
    # The training set handed out: perfect by every distance; only the copying tests see it.
    *[
        (world, "the training set itself", metric, verdict)
        for world in ("known distribution", "digits")
        for metric, verdict in (
            ("− authenticity", SEES), ("copying, −C_T", SEES), ("Fréchet distance", BLIND), ("1 − precision", BLIND),
            ("1 − recall", BLIND), ("C2ST accuracy", BLIND), ("pairs of duplicates", BLIND),
        )
    ],
    # Too few samples: biased distances grow though the samples are honest; unbiased ones do not mind much.
    ("known distribution", "an eighth of the samples", "Fréchet distance", SEES),
    ("known distribution", "an eighth of the samples", "1 − coverage", SEES),
    ("known distribution", "an eighth of the samples", "− Vendi score", SEES),
    ("known distribution", "an eighth of the samples", "1 − precision", BLIND),
    # Three equal moments: the cubic kernel and Gaussian moments see nothing, tests that look closely do.
    ("known distribution", "equal first three moments", "KID (cubic kernel)", BLIND),
    ("known distribution", "equal first three moments", "Fréchet distance", BLIND),
    ("known distribution", "equal first three moments", "1 − precision", BLIND),
    ("known distribution", "equal first three moments", "C2ST accuracy", SEES),
    ("known distribution", "equal first three moments", "same-set neighbours", SEES),
]  # fmt: skip


@pytest.fixture(scope="module")
def maps():
    """The shifts of all that is claimed."""
    found = {}
    for kind in (atlas.Known, atlas.Digits):
        claims = [c for c in CLAIMS if c[0] == kind.name]
        faults, metrics = (sorted({c[i] for c in claims}) for i in (1, 2))
        found[kind.name] = atlas.shifts(kind(1, 400), faults, metrics, np.random.default_rng(1), 4)
    return found


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: f"{c[1]}: {c[2]} {('is fooled', 'is blind', 'sees')[c[3] + 1]} ({c[0]})")
def test_claim(claim, maps):
    world, fault, metric, verdict = claim
    z = maps[world][fault][metric]
    assert (z > atlas.SEEN) - (z < -atlas.SEEN) == verdict, f"{z:+.1f} standard deviations"


def test_noise_costs_a_likelihood_at_most_log_100_and_copies_have_none():
    table = atlas.likelihoods(atlas.Known(1, 400), 1)
    good, noise, copies = table.values()
    assert 3 < noise[0] - good[0] <= np.log(100) + 1e-9 and noise[1] < 0.1 < 0.8 < good[1]
    assert copies[0] > 1e4 and min(copies[1:3]) > 0.8 and copies[3] == 0 < good[3]


def test_the_distance_depends_on_the_features_but_not_much_on_their_seed():
    table = atlas.by_features(atlas.Digits(1, 400), 1, repeats=2)
    assert all(noisy > 2 * honest for honest, noisy in table.values())
    one, two, untrained, pixels = (noisy for _, noisy in table.values())
    assert max(one, two) < 2 * min(one, two) and untrained > 2 * max(one, two) and pixels > 2 * max(one, two)


def test_honest_samples_are_honest():
    rng = np.random.default_rng(0)
    for kind in (atlas.Known, atlas.Digits):
        world = kind(0, 200)
        x = atlas.honest(world, rng)
        assert x.shape == (200, world.test.shape[1])
        rows = [tuple(row) for part in (world.train, world.test, x) for row in part.tolist()]
        assert len(set(rows)) == len(rows) == 600
    for name, fault in atlas.FAULTS.items():
        x = fault(atlas.Known(0, 200), rng)
        assert len(x) == (25 if name == "an eighth of the samples" else 200)
    x = atlas.equal_moments(atlas.Known(0, 60_000), rng)[:, 4]
    np.testing.assert_allclose([np.mean(x**k) for k in (1, 2, 3)], [0, 1, 0], atol=4.9 * 3 / 60_000**0.5)
    assert np.mean(x**4) > 2.8
