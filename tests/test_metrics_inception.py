"""The Inception score: its definition, its bounds and where they are reached, splits and conventions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr

from minigen import to_device
from minigen.metrics.inception import BLOCK, inception_score

RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.full(5, 0.3), size=23)


def definition(p):
    """exp of the mean of KL(pᵢ ‖ p̄), by SciPy's p log(p/q)."""
    return np.exp(np.mean([rel_entr(row, p.mean(0)).sum() for row in p]))


@pytest.mark.verifies("inception.1")
@pytest.mark.verifies("inception.2")
def test_definition_with_zeros(device):
    p = P * (P > 0.05)
    p[:, 4] = 0
    p /= p.sum(1, keepdims=True)
    mean, std = inception_score(to_device(p, device), splits=1)
    np.testing.assert_allclose([mean, std], [definition(p), 0], rtol=1e-12)


@given(st.integers(2, 6), st.integers(1, 30), st.integers(0, 2**31))
def test_bounds(classes, n, seed):
    p = np.random.default_rng(seed).dirichlet(np.full(classes, 0.1), size=n)
    assert 1 - 1e-9 <= inception_score(p, splits=1).mean <= min(n, classes) + 1e-9


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, bool])
def test_certain_and_balanced_gives_the_number_of_classes_exactly(dtype):
    p = np.eye(4)[np.arange(40) % 4].astype(dtype)
    assert inception_score(p) == (4, 0)
    unbalanced = np.eye(4)[[0] * 30 + [1, 2, 3, 3]]
    assert 1 < inception_score(unbalanced, splits=1).mean < 4
    assert inception_score(np.full((10, 4), 0.25)) == (1, 0)
    assert inception_score(np.sort(np.arange(40) % 4)[:, None] == np.arange(4), splits=4) == (1, 0)  # sorted by class
    assert inception_score(np.eye(4)[np.sort(np.arange(400) % 4)], 2, np.random.default_rng(0)).mean > 3.9


def test_splits():
    edges = [0, 5, 11, 17, 23]  # i · 23 // 4
    scores = [definition(P[a:b]) for a, b in pairwise(edges)]
    np.testing.assert_allclose(inception_score(P, 4), [np.mean(scores), np.std(scores)], rtol=1e-12)
    order = np.random.default_rng(3).permutation(23)
    assert inception_score(P, 4, np.random.default_rng(3)) == inception_score(P[order], 4)


def test_conventions():
    order = np.random.RandomState(2020).permutation(23)
    assert inception_score(P, 4, convention="torch-fidelity") == inception_score(P[order], 4)
    many = RNG.dirichlet(np.ones(3), size=BLOCK + 70)
    scores = [definition(many[:5000]), definition(many[5000:])]
    np.testing.assert_allclose(
        inception_score(many, 3, np.random.default_rng(0), "guided-diffusion"), [np.mean(scores), np.std(scores)], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inception_score(P[:9]), "probs has n = 9 rows; expected at least 10"),
        (lambda: inception_score(P[:, :1] * 0 + 1), "C ≥ 2"),
        (lambda: inception_score(P * 1.1), "no distributions"),
        (lambda: inception_score(P - 0.5 + 0.3), "no distributions"),
        (lambda: inception_score(P[0]), "probs has shape"),
        (lambda: inception_score(P * np.nan), "probs has NaN"),
        (lambda: inception_score(P, 0), "splits is 0"),
        (lambda: inception_score(P, convention="fid"), "convention is 'fid'"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
