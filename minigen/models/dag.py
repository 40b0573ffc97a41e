"""Which variable depends on which: the posterior of a small directed graph.  Koivisto & Sood 2004, "Exact Bayesian structure discovery in
Bayesian networks"; Friedman & Koller 2003; Heckerman, Geiger & Chickering 1995 (scores); Cooper & Yoo 1999 (interventions).

Data x ∈ {0 … r−1}ᵈ; a directed acyclic graph G gives each variable i its parents G_i. With independent Dirichlet priors on the tables
p(x_i | x_{G_i}), integrated out, the likelihood is a product over families:

    P(G|D) ∝ P(G) Π_i s_i(G_i)                                                                           (1)
    s_i(U) = Π_j Γ(a/q)/Γ(a/q + N_j) Π_k Γ(a/(qr) + N_jk)/Γ(a/(qr)),   q = r^|U|                         (2)

(BDeu), where N_jk = Σ_k N_j counts the rows with the parents in their j-th state and x_i = k. Graphs that differ only in directions that no
observation tells apart score alike. Interventions tell: where an experimenter set x_i, its value says nothing of its parents, so

    N_jk counts only the rows in which i was not set                                                     (3)

while these rows count in full for the children of i. Graphs are too many to sum over (d = 11: 3·10²²), sets S of variables are not. Pairs
of a graph and an order of its variables, parents first, are uniform a priori if in-degrees are at most m. The graph's prior is then
order-modular, not uniform: proportional to the number e(G) of its orders. Sum over what can stand before i, and before and behind S:

    α_i(S) = Σ_{U ⊆ S, |U| ≤ m} s_i(U)                                                                   (4)
    L(S) = Σ_{i ∈ S} L(S∖i) α_i(S∖i),   L(∅) = 1                                                         (5)
    R(S) = Σ_{i ∉ S} α_i(S) R(S ∪ i),   R(V) = 1                                                         (6)
    P(G_i = U | D) = s_i(U) Σ_{S ⊇ U, i ∉ S} L(S) R(S ∪ i) / L(V)                                        (7)
    P(u → i | D) = Σ_{U ∋ u} P(G_i = U | D)                                                              (8)

A sample: the last variable of S = V, then of what remains, and so on; then parents among those that stand before:

    P(i last in S) = L(S∖i) α_i(S∖i) / L(S),   P(G_i = U | S before i) = s_i(U) / α_i(S)                 (9)

The uniform prior comes back by weighing each graph by 1/e(G), exactly where all graphs are enumerated, else over samples:

    e(G) = e(V),   e(S) = Σ e(S∖i) over the i ∈ S that have no child in S,   e(∅) = 1                    (10)
    P_uniform(u → i | D) = E[1{u → i} / e(G)] / E[1/e(G)]                                                (11)

All of it is combinatorics on the host, in float64 logarithms; sets are the bits of an integer: 2ᵈ numbers a variable.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from minigen.backend import to_host
from minigen.checks import check_count, check_rng
from minigen.functions import logsumexp
from minigen.progress import shown
from minigen.tree import is_array

LARGEST = 16  # d 2ᵈ float64 numbers: 8 MiB


def members(s, d):
    """The variables in the set s."""
    return [i for i in range(d) if s >> i & 1]


# ---- Scores of families ----
def family_score(x, i, parents, levels, ess=1.0):
    """log s_i(U) of rows x (n, d), of which i was set in none; `parents` lists U."""
    q = levels ** len(parents)
    j = x[:, list(parents)] @ levels ** np.arange(len(parents))
    counts = np.bincount(j * levels + x[:, i], minlength=q * levels).reshape(q, levels)
    from scipy.special import gammaln

    rows = gammaln(ess / q) - gammaln(ess / q + counts.sum(1))
    cells = gammaln(ess / (q * levels) + counts) - gammaln(ess / (q * levels))
    return rows.sum() + cells.sum()  # (2)


def family_scores(x, levels, interventions, max_parents, ess=1.0, progress=False):
    """log s_i(U) for every i and set U, (d, 2ᵈ); −∞ where U holds i or more than max_parents."""
    d = x.shape[1]
    scores = np.full((d, 2**d), -np.inf)
    for i in shown(range(d), progress):
        free = x[~interventions[:, i]]  # (3)
        for size in range(max_parents + 1):
            for parents in combinations([u for u in range(d) if u != i], size):
                scores[i, sum(1 << u for u in parents)] = family_score(free, i, parents, levels, ess)
    return scores


# ---- Sums over sets ----
def over_subsets(values, d):
    """log Σ_{U ⊆ S} exp values(U) for each S, values (…, 2ᵈ): one bit after the other, d 2ᵈ⁻¹ sums."""
    out = values.copy()
    for b in range(d):
        halves = out.reshape(*out.shape[:-1], -1, 2, 1 << b)
        halves[..., 1, :] = np.logaddexp(halves[..., 1, :], halves[..., 0, :])
    return out


def over_supersets(values, d):
    """log Σ_{S ⊇ U} exp values(S) for each U: complements reverse the order of integers."""
    return over_subsets(values[..., ::-1], d)[..., ::-1]


def before_and_behind(alpha, progress=False):
    """(log L, log R), each (2ᵈ,), from log α (d, 2ᵈ)."""
    d, size = alpha.shape
    before, behind = np.zeros(size), np.zeros(size)
    for s in shown(range(1, size), progress):
        before[s] = logsumexp(np.array([before[s ^ 1 << i] + alpha[i, s ^ 1 << i] for i in members(s, d)]))  # (5)
    for s in shown(range(size - 2, -1, -1), progress):
        behind[s] = logsumexp(np.array([alpha[i, s] + behind[s | 1 << i] for i in members(size - 1 ^ s, d)]))  # (6)
    return before, behind


# ---- Graphs: adjacency matrices, G[u, i] true for u → i ----
def linear_extensions(graph):
    """e(G): in how many orders of its variables parents stand before their children; 0 for a graph with a cycle."""
    d = len(graph)
    children, count = [sum(1 << int(c) for c in np.flatnonzero(row)) for row in graph], [1] + [0] * (2**d - 1)
    for s in range(1, 2**d):
        count[s] = sum(count[s ^ 1 << i] for i in members(s, d) if not children[i] & s)  # (10)
    return count[-1]


def every_dag(d):
    """All directed acyclic graphs of d ≤ 5 variables, (count, d, d): 1, 3, 25, 543, 29281; each from one of d − 1 and a new variable."""
    if not 1 <= d <= 5:
        raise ValueError(f"d is {d}; expected 1 … 5: there are 3 781 503 graphs of 6 variables")
    if d == 1:
        return np.zeros((1, 1, 1), bool)
    smaller, bits = every_dag(d - 1), (np.arange(2 ** (d - 1))[:, None] >> np.arange(d - 1) & 1).astype(bool)
    graphs = np.zeros((len(smaller), len(bits), len(bits), d, d), bool)
    graphs[..., :-1, :-1] = smaller[:, None, None]
    graphs[..., :-1, -1], graphs[..., -1, :-1] = bits[:, None], bits
    graphs = graphs.reshape(-1, d, d)
    walks = graphs.astype(np.float32)
    for _ in range(d - 1):
        walks = np.minimum(walks @ graphs, 1)
    return graphs[walks.sum((1, 2)) == 0]  # no walk of d steps


def edges_by_enumeration(scores, uniform=True):
    """P(u → i | D), (d, d), by summing over every graph, d ≤ 5, under the uniform or the order-modular prior."""
    graphs, d = every_dag(len(scores)), len(scores)
    sets = np.einsum("gui,u->gi", graphs, 1 << np.arange(d))
    total = scores[np.arange(d), sets].sum(1)  # (1)
    if not uniform:
        total = total + np.log([linear_extensions(g) for g in graphs])
    return np.einsum("g,gui->ui", np.exp(total - logsumexp(total)), graphs)


def sample_network(graph, tables, targets, rng):
    """Rows (n, d) of a network: tables[i] (r, …, r) has an axis for each parent, in their order, then p(x_i | them).

    targets (n, d): the value to which an experimenter set the variable, −1 where it was left alone.
    """
    x, done = np.array(targets), []
    while len(done) < len(graph):
        i = next(i for i in range(len(graph)) if i not in done and all(u in done for u in np.flatnonzero(graph[:, i])))
        p = tables[i][tuple(x[:, u] for u in np.flatnonzero(graph[:, i]))]
        drawn = (rng.random(len(x))[:, None] >= np.cumsum(np.broadcast_to(p, (len(x), p.shape[-1])), axis=1)[:, :-1]).sum(1)
        x[:, i] = np.where(targets[:, i] < 0, drawn, targets[:, i])
        done.append(i)
    return x


@dataclass
class DAGPosterior:
    """The posterior under the order-modular prior: log scores s_i(U), log α_i(S) and P(G_i = U | D), each (d, 2ᵈ), and log L(S) (2ᵈ,).

    >>> rng = np.random.default_rng(0)
    >>> a = rng.integers(0, 2, 500)
    >>> x = np.stack([a, (a + (rng.random(500) < 0.1)) % 2, rng.integers(0, 2, 500)], axis=1)
    >>> DAGPosterior.fit(x).edges().round(1)  # no intervention tells 0 → 1 from 1 → 0
    array([[0. , 0.5, 0. ],
           [0.5, 0. , 0. ],
           [0. , 0. , 0. ]])
    """

    scores: Any
    alpha: Any
    before: Any
    families: Any

    def edges(self):
        """P(u → i | D) at [u, i], (d, d)."""
        d = len(self.scores)
        return np.stack([self.families[:, [s for s in range(2**d) if s >> u & 1]].sum(1) for u in range(d)])  # (8)

    def graph(self, threshold=0.5):
        """The edges more probable than the threshold, (d, d) booleans; at 0.5 no pair has both directions."""
        return self.edges() > threshold + 1e-6  # directions that nothing tells apart have ½ each, but for rounding

    def sample(self, n, rng, progress=True):
        """Graphs G ~ P(G|D), (n, d, d)."""
        check_count("n", n)
        check_rng(rng)
        d, draw = len(self.scores), lambda logs: rng.choice(len(logs), p=np.exp(logs - logsumexp(logs)))
        graphs, sets = np.zeros((n, d, d), bool), np.arange(2**d)
        for graph in shown(graphs, progress):
            s = 2**d - 1
            while s:
                inside = members(s, d)
                i = inside[draw(np.array([self.before[s ^ 1 << i] + self.alpha[i, s ^ 1 << i] for i in inside]))]  # (9)
                s ^= 1 << i
                parents = draw(np.where(sets & ~s, -np.inf, self.scores[i]))  # (9)
                graph[members(parents, d), i] = True
        return graphs

    def uniform_edges(self, n, rng, progress=True):
        """P(u → i | D) under the uniform prior, from n samples of weight 1/e(G): (edges (d, d), effective number of samples)."""
        graphs = self.sample(n, rng, progress)
        weights = np.array([1 / linear_extensions(g) for g in shown(graphs, progress and "orders")])
        return np.einsum("g,gui->ui", weights / weights.sum(), graphs), weights.sum() ** 2 / (weights**2).sum()  # (11)

    @classmethod
    def fit(cls, x, interventions=None, *, levels=None, max_parents=3, ess=1.0, progress="sums"):
        """The posterior given rows x (n, d) of integers below `levels`; interventions (n, d) is true where a value was set.

        ess: the Dirichlet priors' equivalent sample size a. Raises ValueError or TypeError for other data.
        """
        x = to_host(x)
        if getattr(x, "ndim", 0) != 2 or x.dtype.kind not in "iu" or 0 in x.shape or x.shape[1] > LARGEST:
            what = f"{getattr(x, 'dtype', type(x).__name__)} of shape {getattr(x, 'shape', ())}"
            raise ValueError(f"x is {what}; expected integers (n, d) with 1 ≤ d ≤ {LARGEST} variables")
        levels = max(int(x.max()) + 1, 1) if levels is None else levels
        check_count("levels", levels)
        if x.min() < 0 or x.max() >= levels:
            raise ValueError(f"x has values from {x.min()} to {x.max()}; expected 0 … levels − 1 = {levels - 1}")
        interventions = np.zeros(x.shape, bool) if interventions is None else to_host(interventions)
        if not is_array(interventions) or interventions.shape != x.shape or interventions.dtype != bool:
            what = f"{interventions.dtype} of shape {interventions.shape}" if is_array(interventions) else type(interventions).__name__
            raise ValueError(f"interventions is {what}; expected booleans {x.shape}")
        if not 0 < ess < math.inf or not hasattr(max_parents, "__index__") or max_parents < 0:
            raise ValueError(f"ess is {ess} and max_parents {max_parents}; expected a finite ess > 0 and a whole max_parents ≥ 0")
        d = x.shape[1]
        scores = family_scores(x, levels, interventions, min(max_parents, d - 1), ess, progress)
        alpha = over_subsets(scores, d)  # (4)
        before, behind = before_and_behind(alpha, progress)
        sets, families = np.arange(2**d), np.zeros_like(scores)
        for i in range(d):
            around = np.where(sets >> i & 1, -np.inf, before + behind[sets | 1 << i])
            families[i] = np.exp(scores[i] + over_supersets(around, d) - before[-1])  # (7)
        return cls(scores, alpha, before, families)
