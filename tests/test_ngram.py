"""The n-gram chapter against its definition, counted by hand in dictionaries."""

import itertools
from collections import Counter

import numpy as np
import pytest

from minigen.models.ngram import NGram, codes


def kneser_ney(text, levels, order, discount, context, w):
    """p(w | context) by the recursion, with every count taken from the text anew."""

    def p(m, context, w):
        if m == 0:
            return 1 / levels
        context = context[len(context) - (m - 1) :]
        n = Counter(tuple(text[i : i + m]) for i in range(len(text) - m + 1))
        if m < order:
            n = Counter(gram[1:] for gram in {tuple(text[i : i + m + 1]) for i in range(len(text) - m)})
        followers = [n[(*context, v)] for v in range(levels)]
        if sum(followers) == 0:
            return p(m - 1, context[1:], w)
        share = discount * sum(f > 0 for f in followers) / sum(followers)
        return max(followers[w] - discount, 0) / sum(followers) + share * p(m - 1, context[1:], w)

    return p(min(order, len(context) + 1), tuple(context), w)


def text(n, levels, seed=0):
    """Symbols that depend on the one before."""
    rng = np.random.default_rng(seed)
    k = [0]
    for _ in range(n - 1):
        k.append(int((k[-1] + rng.choice([0, 1, 1, 1, 2])) % levels))
    return np.array(k)


@pytest.mark.verifies("ngram.1", "ngram.2")
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("discount", [0.75, 0.3])
def test_conditionals_are_the_recursion(order, discount):
    k, new = text(60, 4), np.random.default_rng(1).integers(4, size=30)
    model = NGram.fit(k, 4, order, discount)
    expected = [np.log(kneser_ney(k.tolist(), 4, order, discount, new[:t].tolist(), int(new[t]))) for t in range(30)]
    np.testing.assert_allclose(model.conditionals(new), expected)


@pytest.mark.verifies("ngram.3")
@pytest.mark.parametrize("order", [1, 3, 5])
def test_probabilities_sum_to_one(order):
    """Also where the training text lacks a symbol."""
    model = NGram.fit(text(50, 3), 4, order)
    p = np.exp([model.log_prob(np.array(k)) for k in itertools.product(range(4), repeat=4)])
    np.testing.assert_allclose(np.sum(p), 1, rtol=1e-12)
    assert np.min(p) > 0


def test_more_context_helps_where_there_is_something_to_know():
    k = text(4000, 4)
    nats = [-np.mean(NGram.fit(k[:3000], 4, order).conditionals(k[3000:])) for order in (1, 2, 3)]
    truth = -(0.6 * np.log(0.6) + 0.4 * np.log(0.2))
    assert abs(nats[0] - np.log(4)) < 0.02 and abs(nats[1] - truth) < 0.08 and nats[2] < nats[1] + 0.05


def test_codes_are_numbers_in_base_levels():
    np.testing.assert_array_equal(codes(np.array([1, 2, 0, 3]), 2, 10), [12, 20, 3])


@pytest.mark.parametrize(
    ("k", "settings", "error", "message"),
    [
        (np.array([0.0, 1.0]), {}, TypeError, "k is float64"),
        (np.array([0, 3]), {}, ValueError, "entries from 0 to 3"),
        (np.array([0, 1]), {"order": 3}, ValueError, "order is 3 for 2 levels and 2 symbols"),
        (np.array([0, 1]), {"order": 0}, ValueError, "order is 0"),
        (np.zeros(99, int), {"order": 63}, ValueError, "order is 63"),
        (np.array([0, 1]), {"order": 1, "discount": 1.0}, ValueError, "discount is 1.0"),
    ],
)
def test_bad_input_is_named(k, settings, error, message):
    with pytest.raises(error, match=message):
        NGram.fit(k, 2, **settings)
