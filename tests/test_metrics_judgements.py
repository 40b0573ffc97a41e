"""People's judgements: rates and intervals by their definitions, agreement by counting pairs."""

import itertools
import math

import numpy as np
import pytest

from minigen.metrics.judgements import fleiss_kappa, hype, rate

RNG = np.random.default_rng(0)


def tail(n, theta, ks):
    return sum(math.comb(n, k) * theta**k * (1 - theta) ** (n - k) for k in ks)


@pytest.mark.parametrize(("e", "n"), [(3, 10), (0, 7), (5, 5), (20, 41)])
@pytest.mark.verifies("judgements.1")
@pytest.mark.verifies("judgements.2")
def test_the_interval_is_exact(e, n):
    wrong = np.arange(n) < e
    share, low, high, count = rate(wrong)
    assert (share, count) == (e / n, n)
    assert low == 0 if e == 0 else tail(n, low, range(e, n + 1)) == pytest.approx(0.025)
    assert high == 1 if e == n else tail(n, high, range(e + 1)) == pytest.approx(0.025)
    assert np.isnan(rate(wrong[:0]).share)


@pytest.mark.verifies("judgements.3")
def test_the_test_against_guessing():
    for e, n in ((3, 10), (0, 7), (5, 10), (16, 20)):
        p = [math.comb(n, k) / 2**n for k in range(n + 1)]
        real = np.arange(n) % 2 == 0
        judgements = {"rater": np.zeros(n), "item": np.arange(n), "real": real, "said_real": real != (np.arange(n) < e)}
        assert hype(judgements).p_value == pytest.approx(sum(q for q in p if q <= p[e] * (1 + 1e-9)))


@pytest.mark.verifies("judgements.4")
def test_agreement_by_counting_pairs():
    item, said = RNG.integers(0, 6, 40), RNG.random(40) < 0.7
    item[:2] = 7, 8  # judged once
    pairs = []
    for i in set(item.tolist()):
        answers = said[item == i]
        if len(answers) > 1:
            pairs.append(np.mean([a == b for a, b in itertools.combinations(answers, 2)]))
    chance = said.mean() ** 2 + (1 - said.mean()) ** 2
    assert fleiss_kappa(item, said) == pytest.approx((np.mean(pairs) - chance) / (1 - chance))
    assert fleiss_kappa(np.array([0, 0, 1, 1]), np.array([True, True, False, False])) == 1
    assert np.isnan(fleiss_kappa(np.arange(4), said[:4])) and np.isnan(fleiss_kappa(np.zeros(3), np.ones(3, bool)))


def test_errors_are_told_apart_by_kind_and_rater():
    judgements = {
        "rater": ["ann", "ann", "bob", "bob", "bob"], "item": [0, 1, 0, 1, 2],
        "real": [True, False, True, False, False], "said_real": [False, False, True, True, True],
    }  # fmt: skip
    result = hype(judgements)
    assert result.agreement == fleiss_kappa(np.array(judgements["item"]), np.array(judgements["said_real"])) == pytest.approx(-0.52 / 0.48)
    assert result.score[::3] == (0.6, 5) and result.on_fakes[::3] == (2 / 3, 3) and result.on_reals[::3] == (0.5, 2)
    assert {name: r[::3] for name, r in result.raters.items()} == {"ann": (0.5, 2), "bob": (2 / 3, 3)}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda j: [], TypeError, "judgements is list; expected a dict"),
        (lambda j: {k: v for k, v in j.items() if k != "real"}, TypeError, "rater, item, real, said_real"),
        (lambda j: {**j, "item": [1]}, ValueError, r"judgements\['item'\] has shape \(1,\)"),
        (lambda j: {**j, "real": [1, 0]}, ValueError, r"judgements\['real'\] is int64; expected booleans"),
        (lambda j: {k: [] for k in j}, ValueError, r"judgements\['rater'\] has shape \(0,\)"),
    ],
)
def test_what_is_wrong_is_named(change, error, message):
    good = {"rater": ["a", "a"], "item": [0, 1], "real": [True, False], "said_real": [True, True]}
    with pytest.raises(error, match=message):
        hype(change(good))
