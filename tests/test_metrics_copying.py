"""Copying and support: definitions by loops, closed forms of KDE, SciPy's Mann–Whitney test, and data whose answer is known."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

import minigen as mg
from minigen.metrics.copying import (
    authenticity,
    birthday_paradox,
    data_copying_test,
    mann_whitney_z,
    memorization_by_folds,
    memorization_score,
)
from minigen.models import KDE

Z = 4.9  # two-sided normal false-alarm rate 1e-6
RNG = np.random.default_rng(0)


@pytest.mark.verifies("copying.1")
def test_memorization_by_its_definition():
    log_probs, held_out = RNG.normal(size=(5, 7)) * 50, RNG.random((5, 7)) < 0.4
    held_out[0], held_out[1] = True, False
    got = memorization_score(log_probs, held_out)
    for i in range(7):
        inside, outside = (log_probs[held_out[:, i] == value, i] for value in (False, True))
        log_mean = lambda v: np.log(np.mean(np.exp(v - v.max()))) + v.max()
        assert got[i] == pytest.approx(log_mean(inside) - log_mean(outside), rel=1e-12)


def test_memorization_of_a_kernel_estimate_has_a_closed_form():
    # with as many folds as data only one model lacks x_i; the others are the leave-one-out estimates of other data
    x, h = RNG.normal(size=(12, 1)), 0.4
    got = memorization_by_folds(lambda rows: KDE.fit(rows, h), x, np.random.default_rng(0), folds=12)
    k = np.exp(-0.5 * ((x - x.T) / h) ** 2) / (h * math.sqrt(2 * math.pi))
    p_without = (k.sum(1)[None] - k) / 11  # [j, i]: p(x_i) of the model without x_j
    outside, inside = np.diagonal(p_without), (p_without.sum(0) - np.diagonal(p_without)) / 11
    np.testing.assert_allclose(got, np.log(inside / outside), rtol=1e-9)
    narrow, wide = (memorization_by_folds(lambda rows, h=h: KDE.fit(rows, h), x, RNG, folds=4).mean() for h in (0.02, 3.0))
    assert narrow > 3 > 0.2 > wide > -0.05


@pytest.mark.verifies("copying.2")
def test_authenticity_by_its_definition(device):
    train, fake = RNG.normal(size=(15, 2)), RNG.normal(size=(11, 2))
    want = []
    for y in fake:
        i = np.argmin(np.linalg.norm(train - y, axis=1))
        own = np.sort(np.linalg.norm(train - train[i], axis=1))[1]
        want.append(own < np.linalg.norm(train[i] - y))
    assert 0 < np.mean(want) < 1
    assert authenticity(*mg.to_device((train, fake), device)) == np.mean(want)
    assert authenticity(train, train) == 0
    assert authenticity(np.zeros((3, 2)), np.zeros((2, 2))) == 0  # nothing is strictly nearer than a copy
    assert authenticity(np.zeros((3, 2)), np.ones((2, 2))) == 1


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.verifies("copying.3")
@pytest.mark.verifies("copying.4")
def test_z_is_that_of_the_mann_whitney_test(ties):
    a, b = RNG.normal(size=30), 0.3 + RNG.normal(size=20)
    if ties:
        a, b = np.round(a), np.round(b)
    test = mannwhitneyu(a, b, alternative="less", use_continuity=False, method="asymptotic")
    assert 0.5 * math.erfc(-mann_whitney_z(a, b) / math.sqrt(2)) == pytest.approx(test.pvalue, rel=1e-9)
    assert mann_whitney_z(a, b) == pytest.approx(-mann_whitney_z(b, a))
    assert mann_whitney_z(np.ones(5), np.ones(4)) == 0


@pytest.mark.parametrize("cells", [1, 3])
@pytest.mark.verifies("copying.5")
def test_copies_and_strangers_are_told_from_the_truth(cells, device):
    rng = np.random.default_rng(1)
    draw = lambda n: rng.normal(size=(n, 2)) + 20 * rng.integers(0, 3, size=(n, 1))
    train, test, fresh = draw(120), draw(90), draw(90)
    copies = train[rng.integers(0, 120, 90)] + 0.01 * rng.normal(size=(90, 2))
    far = draw(90) * [1.0, 0.0] + [0.0, 4.0]
    run = lambda fake: data_copying_test(*mg.to_device((train, test, fake), device), np.random.default_rng(0), cells)
    assert run(copies).statistic < -5 and run(copies).p_value < 1e-6
    assert run(far).statistic > 5 and run(far).p_value > 1 - 1e-6
    result = run(fresh)
    assert abs(result.statistic) < Z and result.cells.shape == (cells,)
    assert result.p_value == pytest.approx(0.5 * math.erfc(-result.statistic / math.sqrt(2)))


def test_cells_are_weighed_by_their_test_data_and_small_ones_left_out():
    # three far cells of 20, 30 and 5 test data; distances to the training data are set by hand
    train = np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0]])
    at = lambda i, d: np.stack([np.full(len(d), 100.0 * i), d], axis=1)
    draws = [[RNG.random(n) + 0.1 for n in sizes] for sizes in ((20, 30, 5), (15, 12, 40))]
    test, fake = (np.concatenate([at(i, d) for i, d in enumerate(part)]) for part in draws)
    result = data_copying_test(train, test, fake, np.random.default_rng(0), cells=3)
    z = [mann_whitney_z(draws[1][i], draws[0][i]) for i in range(2)]
    assert sorted(result.cells[~np.isnan(result.cells)]) == pytest.approx(sorted(z)) and np.isnan(result.cells).sum() == 1
    assert result.statistic == pytest.approx((20 * z[0] + 30 * z[1]) / 50)


@pytest.mark.parametrize("p", [np.full(400, 1 / 400), np.arange(1, 301) / 45150])
@pytest.mark.verifies("copying.6")
def test_the_effective_number_of_kinds(p):
    rng, kinds = np.random.default_rng(2), len(p)
    found = [birthday_paradox(rng.choice(kinds, 150, p=p)[:, None] * 1.0) for _ in range(200)]
    pairs = np.array([f.pairs for f in found])
    want = 150 * 149 / 2 * np.sum(p**2)  # E c, exactly
    assert abs(pairs.mean() - want) < Z * pairs.std() / 200**0.5
    assert all(f.size == pytest.approx(150 * 149 / 2 / f.pairs) for f in found)
    # the interval misses at most 2.5 % at each side: 200 draws stay below 20 misses but for 1e-6
    assert sum(not f.low <= 1 / np.sum(p**2) <= f.high for f in found) < 25


def test_duplicates_up_to_a_threshold(device):
    x = mg.to_device(np.array([[0.0], [0.3], [0.6], [5.0], [5.0]]), device)
    assert [birthday_paradox(x, t).pairs for t in (0.0, 0.31, 0.7, 9.0)] == [1, 3, 4, 10]
    nothing = birthday_paradox(x[:2])
    assert nothing.size == nothing.high == math.inf and 0.2 < nothing.low < 0.3  # 1 pair / 3.69


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: memorization_score(x, x > 0), "some datum is held out of no model, or of all"),
        (lambda x: memorization_score(x, x), r"held_out is float64 \(5, 2\); expected \(K, n\) and bool"),
        (lambda x: memorization_by_folds(KDE.fit, x, RNG, folds=6), "folds is 6; expected 2 … n = 5"),
        (lambda x: authenticity(x[:1], x), "train has n = 1 rows; expected at least 2"),
        (lambda x: authenticity(x, x[:, :1]), "D = 2 columns and fake has 1"),
        (lambda x: data_copying_test(x, x, x), "no cell of 1 with at least 10 of both"),
        (lambda x: data_copying_test(x, x * np.nan, x), "test has NaN"),
        (lambda x: birthday_paradox(x[:1]), "x has n = 1 rows; expected at least 2"),
        (lambda x: birthday_paradox(x, -1.0), "threshold is -1.0"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((5, 2)))
