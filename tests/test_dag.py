"""Structure posteriors against the enumeration of every graph and of every order, and scores against their sequential definition."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy.special import logsumexp

from minigen.models.dag import (
    DAGPosterior,
    before_and_behind,
    edges_by_enumeration,
    every_dag,
    family_score,
    family_scores,
    linear_extensions,
    over_subsets,
    over_supersets,
    sample_network,
)  # fmt: skip

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score
CHAIN = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], bool)  # 0 → 1 → 2, 3 → 1


def tables(graph, levels=3, seed=0, sharpness=0.4):
    """Random tables of a network."""
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(levels, sharpness), (levels,) * graph[:, i].sum()) for i in range(len(graph))]


def data(graph=CHAIN, n=120, levels=3, seed=0, intervene=True):
    """Rows and targets: in two thirds of them one variable is set at random."""
    rng = np.random.default_rng(seed)
    targets = np.full((n, len(graph)), -1)
    if intervene:
        rows = np.arange(n)[: 2 * n // 3]
        targets[rows, rows % len(graph)] = rng.integers(0, levels, len(rows))
    return sample_network(graph, tables(graph, levels, seed), targets, rng), targets


def orders(graph):
    """e(G) by trying every order."""
    d = len(graph)
    return sum(all(p.index(u) < p.index(i) for u, i in zip(*np.nonzero(graph), strict=True)) for p in permutations(range(d)))


@pytest.mark.verifies("dag.2")
@pytest.mark.parametrize("parents", [(), (1,), (0, 3)])
def test_a_score_is_the_product_of_predictions(parents):
    x, _ = data(n=40)
    i, r, a = 2, 3, 1.7
    total, counts = 0.0, {}
    for row in x:
        seen = counts.setdefault(tuple(row[list(parents)]), np.zeros(r))
        cell = a / r ** (len(parents) + 1)
        total += np.log((seen[row[i]] + cell) / (seen.sum() + r * cell))
        seen[row[i]] += 1
    assert family_score(x, i, parents, r, a) == pytest.approx(total)


def test_equivalent_graphs_score_alike_without_interventions():
    x, _ = data(n=200, intervene=False)
    s = family_scores(x, 3, np.zeros(x.shape, bool), 2)
    assert s[0, 0] + s[1, 0b0001] == pytest.approx(s[1, 0] + s[0, 0b0010])
    assert np.isneginf(s[1, 0b0010]) and np.isneginf(s[1, 0b1101]) and np.isfinite(s[1, 0b1001])


@pytest.mark.verifies("dag.3")
def test_rows_in_which_a_variable_was_set_say_nothing_of_its_parents():
    x, targets = data()
    s, free = family_scores(x, 3, targets >= 0, 2), targets[:, 1] < 0
    assert s[1, 0b1001] == pytest.approx(family_score(x[free], 1, (0, 3), 3))
    changed = x.copy()
    changed[~free, 0] = (changed[~free, 0] + 1) % 3  # a parent of 1, where 1 was set
    np.testing.assert_array_equal(family_scores(changed, 3, targets >= 0, 2)[1], s[1])
    assert not np.allclose(family_scores(changed, 3, targets >= 0, 2)[2], s[2]), "children use these rows"


def test_every_dag_once():
    for d, count in [(1, 1), (2, 3), (3, 25), (4, 543)]:
        graphs = every_dag(d)
        assert len(graphs) == count == len({g.tobytes() for g in graphs})
        assert all(orders(g) > 0 for g in graphs)
    assert len(every_dag(5)) == 29281
    with pytest.raises(ValueError, match="d is 6"):
        every_dag(6)


@pytest.mark.verifies("dag.10")
def test_linear_extensions_are_the_orders():
    for g in every_dag(4)[::5]:
        assert linear_extensions(g) == orders(g)
    assert linear_extensions(np.zeros((5, 5), bool)) == 120 and linear_extensions(np.array([[0, 1], [1, 0]], bool)) == 0


@pytest.mark.verifies("dag.4")
def test_sums_over_subsets_and_supersets():
    values = np.random.default_rng(0).normal(size=(2, 8))
    down, up = over_subsets(values, 3), over_supersets(values, 3)
    for s in range(8):
        np.testing.assert_allclose(down[:, s], logsumexp(values[:, [u for u in range(8) if u & ~s == 0]], axis=1))
        np.testing.assert_allclose(up[:, s], logsumexp(values[:, [u for u in range(8) if s & ~u == 0]], axis=1))


@pytest.mark.verifies("dag.5", "dag.6")
def test_sums_before_and_behind_run_over_orders():
    alpha = np.random.default_rng(1).normal(size=(4, 16))
    before, behind = before_and_behind(alpha)
    along = lambda start, order: sum(alpha[i, start | sum(1 << j for j in order[:k])] for k, i in enumerate(order))
    for s in (0, 0b0001, 0b1010, 0b0111, 0b1111):
        inside, outside = [i for i in range(4) if s >> i & 1], [i for i in range(4) if not s >> i & 1]
        assert before[s] == pytest.approx(logsumexp([along(0, p) for p in permutations(inside)]))
        assert behind[s] == pytest.approx(logsumexp([along(s, p) for p in permutations(outside)]))
    assert before[-1] == pytest.approx(behind[0])


@pytest.mark.verifies("dag.1", "dag.7", "dag.8")
@pytest.mark.parametrize(("d", "most", "n"), [(3, 2, 40), (4, 3, 40), (4, 1, 40), (3, 2, 2)])
def test_posterior_is_the_sum_over_all_graphs(d, most, n):
    """Also for so little data that no term is small beside the others."""
    graph = CHAIN[:d, :d]
    x, targets = data(graph, n=n)
    found = DAGPosterior.fit(x, targets >= 0, levels=3, max_parents=most)
    weights, edges, families = [], np.zeros((d, d)), np.zeros((d, 2**d))
    for g in every_dag(d):
        sets = [sum(1 << u for u in range(d) if g[u, i]) for i in range(d)]
        if max(bin(s).count("1") for s in sets) <= most:
            scores = [family_score(x[targets[:, i] < 0], i, [u for u in range(d) if g[u, i]], 3) for i in range(d)]
            weights.append(np.exp(sum(scores) + 100) * orders(g))
            edges += weights[-1] * g
            families[np.arange(d), sets] += weights[-1]
    np.testing.assert_allclose(found.families, families / sum(weights), atol=1e-12)
    np.testing.assert_allclose(found.edges(), edges / sum(weights), atol=1e-12)
    np.testing.assert_allclose(edges_by_enumeration(found.scores, uniform=False), edges / sum(weights), atol=1e-12)
    np.testing.assert_allclose(found.families.sum(1), 1)
    assert not np.allclose(edges_by_enumeration(found.scores), found.edges(), atol=1e-4), "the two priors are not one"


@pytest.mark.verifies("dag.9", "dag.11")
def test_samples_have_the_posterior_and_weights_undo_its_prior():
    x, targets = data(n=30)
    posterior, n = DAGPosterior.fit(x, targets >= 0, levels=3), 3000
    edges = posterior.edges()
    graphs = posterior.sample(n, np.random.default_rng(0))
    assert np.all(np.abs(graphs.mean(0) - edges) <= Z * np.sqrt(edges * (1 - edges) / n) + 1e-9)
    exact, total = 0.0, 0.0
    for g in every_dag(4):
        w = np.exp(sum(posterior.scores[i, sum(1 << u for u in range(4) if g[u, i])] for i in range(4)) + 50) * orders(g)
        total, exact = total + w, exact + w * (g[0, 1] and g[1, 2])
    p = exact / total
    both = graphs[:, 0, 1] & graphs[:, 1, 2]  # a joint event
    assert abs(both.mean() - p) < Z * np.sqrt(p * (1 - p) / n)
    found, effective = posterior.uniform_edges(n, np.random.default_rng(1))
    uniform = edges_by_enumeration(posterior.scores)
    assert n / 10 < effective < n
    assert np.all(np.abs(found - uniform) <= Z * np.sqrt(uniform * (1 - uniform) / effective) + 1e-3)
    assert np.abs(uniform - edges).max() > 5 * np.abs(uniform - found).max(), "the weights did something"


def test_interventions_find_the_graph_which_observations_leave_open():
    x, targets = data(n=1500, seed=3)
    np.testing.assert_array_equal(DAGPosterior.fit(x, targets >= 0).graph(), CHAIN)
    two = np.array([[0, 1], [0, 0]], bool)
    x, targets = data(two, n=900, seed=1)
    watched, _ = data(two, n=900, seed=1, intervene=False)
    np.testing.assert_allclose(DAGPosterior.fit(watched).edges(), [[0, 0.5], [0.5, 0]], atol=1e-6)
    assert not DAGPosterior.fit(watched).graph().any(), "two directions of ½ each are no edge"
    assert DAGPosterior.fit(x, targets >= 0).edges()[0, 1] > 0.99


def test_network_data_follow_its_tables():
    p, n = tables(CHAIN, sharpness=2.0), 60_000
    targets = np.full((n, 4), -1)
    targets[: n // 2, 2] = 1
    x = sample_network(CHAIN, p, targets, np.random.default_rng(0))
    assert (x[: n // 2, 2] == 1).all()
    for a, b in product(range(3), repeat=2):
        rows = x[(x[:, 0] == a) & (x[:, 3] == b), 1]
        q = p[1][a, b]
        assert np.all(np.abs(np.bincount(rows, minlength=3) / len(rows) - q) < Z * np.sqrt(q * (1 - q) / len(rows)) + 1e-9)
        q, rows = p[2][a], x[n // 2 :][x[n // 2 :, 1] == a, 2]
        assert np.all(np.abs(np.bincount(rows, minlength=3) / len(rows) - q) < Z * np.sqrt(q * (1 - q) / len(rows)) + 1e-9)


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.zeros((5, 3)), {}, "x is float64"),
        (np.zeros(5, int), {}, r"expected integers \(n, d\)"),
        (np.zeros((5, 17), int), {}, "d ≤ 16"),
        (np.full((5, 3), -1), {"levels": 2}, "values from -1"),
        (np.full((5, 3), 2), {"levels": 2}, "levels − 1 = 1"),
        (np.zeros((5, 3), int), {"interventions": np.zeros((5, 2), bool)}, "interventions is bool"),
        (np.zeros((5, 3), int), {"interventions": np.zeros((5, 3))}, "interventions is float64"),
        (np.zeros((5, 3), int), {"interventions": [[True] * 3] * 5}, "interventions is list"),
        (np.zeros((5, 3), int), {"ess": 0.0}, "ess is 0.0"),
        (np.zeros((5, 3), int), {"ess": np.inf}, "ess is inf"),
        (np.zeros((5, 3), int), {"max_parents": 1.5}, "max_parents 1.5"),
        (np.zeros((5, 3), int), {"max_parents": -1}, "max_parents -1"),
    ],
)
def test_bad_input_is_named(x, settings, message):
    with pytest.raises(ValueError, match=message):
        DAGPosterior.fit(x, **settings)


def test_bad_draws_are_named():
    posterior = DAGPosterior.fit(np.zeros((5, 2), int))
    for draw in (posterior.sample, posterior.uniform_edges):
        with pytest.raises(ValueError, match="n is 0"):
            draw(0, np.random.default_rng(0))
        with pytest.raises(TypeError, match="rng is None"):
            draw(2, None)
