"""Codebooks against their definitions: enumeration of distances, gradients by hand, averages by loops."""

import numpy as np
import pytest
from scipy import stats

from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.models.codebook import AveragedCodebook, Codebook, nearest, perplexity, quantisation_loss, straight_through
from minigen.tree import leaves

rng = np.random.default_rng(0)
Z, E = rng.standard_normal((5, 2, 3, 4)), rng.standard_normal((7, 4))


@pytest.mark.verifies("codebook.1")
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_nearest_by_enumeration(shift):
    k = nearest(Z + shift, E + shift)
    expected = np.argmin(((Z[..., None, :] - E) ** 2).sum(-1), axis=-1)
    assert k.dtype.kind == "i" and len(np.unique(k)) > 4
    np.testing.assert_array_equal(k, expected)


@pytest.mark.verifies("codebook.2")
def test_straight_through_has_the_value_of_e_and_the_gradient_of_z():
    e = E[nearest(Z, E)]
    np.testing.assert_allclose(straight_through(Z, e), e, rtol=1e-14, atol=1e-15)
    f = lambda z, e: np.sum(np.sin(straight_through(z, e)))
    np.testing.assert_allclose(grad(f)(Z, e), np.cos(e), rtol=1e-12)
    np.testing.assert_array_equal(grad(lambda e, z: f(z, e))(e, Z), 0 * e)


@pytest.mark.verifies("codebook.3")
@pytest.mark.parametrize("beta", [0.0, 0.25, 3.0])
def test_one_term_moves_codewords_and_the_other_the_network(beta):
    k = nearest(Z, E)
    e = E[k]
    squared = ((Z - e) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(quantisation_loss(Z, e, beta), (1 + beta) * squared)
    by_codewords = grad(lambda book, z: np.sum(quantisation_loss(z, book[k], beta)))(E, Z)
    expected = np.stack([2 * (e[k == j] - Z[k == j]).sum(0) for j in range(7)])
    np.testing.assert_allclose(by_codewords, expected, rtol=1e-12, atol=1e-14)
    assert np.abs(by_codewords).max() > 0.1
    by_vectors = grad(lambda z: np.sum(quantisation_loss(z, e, beta)))(Z)
    np.testing.assert_allclose(by_vectors, 2 * beta * (Z - e), rtol=1e-12)


# ---- Averages ----
@pytest.mark.verifies("codebook.4", "codebook.5")
def test_averages_by_loops():
    """Over many batches one codeword is hardly chosen: there the smoothing is what one sees."""
    g = np.random.default_rng(1)
    book = AveragedCodebook.init(g, 3, 2, np.float64)
    np.testing.assert_array_equal(book.counts, np.ones(3))
    np.testing.assert_array_equal(book.sums, book.codewords)
    counts, sums = [1.0] * 3, [row.copy() for row in book.codewords]
    for _ in range(14):
        z, k = g.standard_normal((20, 2)), g.integers(2, size=20)
        book.follow(z, k, 0.4)
        for j in range(3):
            counts[j] = 0.4 * counts[j] + 0.6 * np.sum(k == j)
            sums[j] = 0.4 * sums[j] + 0.6 * z[k == j].sum(0)
    total = sum(counts)
    smoothed = [(n + 1e-5) / (total + 3 * 1e-5) * total for n in counts]
    assert abs(sum(smoothed) - total) < 1e-9 and 3 * counts[2] < smoothed[2]
    np.testing.assert_allclose(book.counts, counts)
    np.testing.assert_allclose(book.codewords, np.array(sums) / np.array(smoothed)[:, None], rtol=1e-12)


def test_without_memory_averages_are_a_round_of_k_means():
    z = np.random.default_rng(2).standard_normal((400, 2))
    book = AveragedCodebook.init(np.random.default_rng(3), 5, 2, np.float64)
    k = nearest(z, book.codewords)
    book.follow(z, k, 0.0)
    np.testing.assert_allclose(book.codewords, [z[k == j].mean(0) for j in range(5)], rtol=1e-5)


def test_codewords_that_are_parameters_only_count():
    book = Codebook.init(np.random.default_rng(3), 5, 2, np.float64)
    before = book.codewords.copy()
    book.follow(np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 4]), 0.25)
    np.testing.assert_allclose(book.counts, 0.25 + 0.75 * np.array([3, 2, 0, 0, 1]))
    np.testing.assert_array_equal(book.codewords, before)
    assert len(leaves(book)) == 1 and leaves(AveragedCodebook.init(rng, 5, 2)) == []


def test_the_first_codewords_are_normal():
    book = Codebook.init(np.random.default_rng(0), 500, 4, np.float64)
    assert book.codewords.shape == (500, 4) and stats.kstest(book.codewords.ravel(), stats.norm.cdf).pvalue > 1e-6


# ---- Dead codewords ----
@pytest.mark.verifies("codebook.6")
@pytest.mark.parametrize("kind", [Codebook, AveragedCodebook])
def test_dead_codewords_start_anew_at_the_data(kind):
    g = np.random.default_rng(4)
    book = kind.init(g, 6, 2, np.float64)
    book.counts[...] = [5.0, 0.49, 0.51, 0.0, 2.0, 4.0]  # their mean is 2, a quarter of it 0.5
    old, sums, counts = book.codewords.copy(), getattr(book, "sums", book.codewords).copy(), book.counts.copy()
    z = g.standard_normal((50, 2))
    dead = book.restart(z, 0.25, g)
    np.testing.assert_array_equal(dead, [False, True, False, True, False, False])
    np.testing.assert_array_equal(book.codewords[~dead], old[~dead])
    assert all(np.any(np.all(z == e, axis=1)) for e in book.codewords[dead]) and np.any(book.codewords[1] != book.codewords[3])
    np.testing.assert_allclose(book.counts, np.where(dead, counts.mean(), counts))
    if kind is AveragedCodebook:
        np.testing.assert_array_equal(book.sums[~dead], sums[~dead])
        np.testing.assert_allclose(book.sums[dead], book.codewords[dead] * 2.0 * counts.mean() / 2)


def test_new_starts_are_uniform_over_the_batch_and_none_happen_at_threshold_zero():
    book = Codebook.init(rng, 4000, 1, np.float64)
    book.counts[1:] = 0
    before = book.codewords.copy()
    assert not book.restart(np.arange(10.0)[:, None], 0.0, np.random.default_rng(0)).any()
    np.testing.assert_array_equal(book.codewords, before)
    book.restart(np.arange(10.0)[:, None], 0.5, np.random.default_rng(0))
    assert stats.chisquare(np.bincount(book.codewords[1:, 0].astype(int), minlength=10)).pvalue > 1e-6


# ---- Use ----
@pytest.mark.verifies("codebook.7")
def test_perplexity_is_the_exponential_of_the_entropy():
    k = np.random.default_rng(0).integers(3, size=(20, 2, 2)) ** 2
    p = np.bincount(k.ravel(), minlength=9) / k.size
    np.testing.assert_allclose(perplexity(k, 9), np.exp(stats.entropy(p)))
    np.testing.assert_allclose(perplexity(np.arange(12).reshape(3, 4) % 6, 6), 6)
    np.testing.assert_allclose(perplexity(np.full((5, 1), 2), 6), 1)


@pytest.mark.parametrize("kind", [Codebook, AveragedCodebook])
def test_same_on_every_device_in_float32(kind, device):
    book = kind.init(np.random.default_rng(0), 8, 4)
    z = np.random.default_rng(1).standard_normal((30, 4)).astype(np.float32)
    there, moved = to_device(kind.init(np.random.default_rng(0), 8, 4), device), to_device(z, device)
    for b, v in ((book, z), (there, moved)):
        k = nearest(v, b.codewords)
        b.follow(v, k, 0.9)
        b.restart(v, 0.9, np.random.default_rng(2))
        assert type(k) is type(v) and type(perplexity(k, 8)) in (type(v), np.float64)
    for name in ("codewords", "counts", *(["sums"] if kind is AveragedCodebook else [])):
        a, b = getattr(book, name), getattr(there, name)
        assert type(b) is type(moved) and b.dtype == np.float32
        np.testing.assert_allclose(to_host(b), a, rtol=1e-5)
