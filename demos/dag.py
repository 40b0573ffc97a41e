# %% [markdown]
"""
# Which protein acts on which?

Flow cytometry measures the states of signalling proteins in thousands of single cells, some of them after a chemical has set one protein.
Here the cells are drawn from a known network of eleven such variables, so that what is inferred can be compared with the truth: the
probability of every edge, all 3·10²² graphs summed exactly, with interventions and without.
"""

# %%
from itertools import combinations

import numpy as np

from minigen.models import DAGPosterior
from minigen.models.dag import edges_by_enumeration, sample_network
from minigen.plot import figure, save_figure

NAMES = ["PKC", "PKA", "Raf", "Mek", "Erk", "Akt", "Jnk", "P38", "Plcγ", "PIP3", "PIP2"]
EDGES = [
    ("PKC", "PKA"), ("PKC", "Raf"), ("PKA", "Raf"), ("Raf", "Mek"), ("PKA", "Mek"), ("Mek", "Erk"), ("PKA", "Erk"), ("Erk", "Akt"),
    ("PKA", "Akt"), ("PKC", "Jnk"), ("PKA", "Jnk"), ("PKC", "P38"), ("PKA", "P38"), ("Plcγ", "PIP3"), ("Plcγ", "PIP2"), ("PIP3", "PIP2"),
]  # fmt: skip
SET = ["PKC", "PKA", "Mek", "Akt", "Plcγ", "PIP3"]  # what a chemical activates or inhibits
PLACES = np.array([(2, 4), (3.4, 3.2), (2, 2.4), (2.6, 1.4), (3.4, 0.5), (4.6, 1.2), (4.9, 3.6), (1, 3.2), (0, 2.2), (0, 0.8), (1.1, 0.2)])
LEVELS = 3


# %% [markdown]
# ## The truth, and cells
# Every protein tends to one of three levels (low, medium, high), which depends on its parents. One cell in seven is only watched; in the
# others one of six proteins is set, high or low.


# %%
def truth():
    """The known graph, (11, 11) booleans."""
    graph = np.zeros((len(NAMES), len(NAMES)), bool)
    for u, i in EDGES:
        graph[NAMES.index(u), NAMES.index(i)] = True
    return graph


def response(parents, rng):
    """A table p(x | parents): probabilities of a level that follows a random signed sum of the parents' levels."""
    signs = rng.choice([-1.0, 1.0], parents) * rng.uniform(0.8, 1.6, parents)
    grid = np.stack(np.meshgrid(*[np.arange(LEVELS) - 1.0] * parents, indexing="ij"), axis=-1) if parents else np.zeros(0)
    centre = np.clip(grid @ signs, -1.3, 1.3) + rng.uniform(-0.2, 0.2)
    p = np.exp(-1.2 * (np.arange(LEVELS) - 1 - np.asarray(centre)[..., None]) ** 2)
    return p / p.sum(-1, keepdims=True)


def cells(graph, tables, n, rng, intervene):
    """(levels (n, 11), targets (n, 11)): −1 where a protein was left alone."""
    targets = np.full((n, len(graph)), -1)
    if intervene:
        kind = rng.integers(0, len(SET) + 1, n)
        for k, name in enumerate(SET):
            rows = kind == k
            targets[rows, NAMES.index(name)] = rng.choice([0, LEVELS - 1], rows.sum())
    return sample_network(graph, tables, targets, rng), targets


# %% [markdown]
# ## What was found
# Black edges are right, red ones wrong (dashed: missed). Directions that observation alone leaves open have probability ½ each: grey in
# the matrices, missed in the graph of edges with P > 0.5.


# %%
def draw_graph(axes, found, graph, title):
    """Edges found, coloured by the truth, and the missed ones."""
    for u, i in zip(*np.nonzero(found | graph), strict=True):
        bend = "arc3,rad=0.25" if found[i, u] else "arc3"  # beside an edge that was found the wrong way round
        color, style = ("black" if graph[u, i] else "crimson", "-") if found[u, i] else ("crimson", (0, (3, 3)))
        axes.annotate(
            "", PLACES[i], PLACES[u], zorder=1,
            arrowprops={
                "arrowstyle": "-|>", "color": color, "linestyle": style, "shrinkA": 17, "shrinkB": 17, "lw": 1.4, "connectionstyle": bend,
            },
        )  # fmt: skip
    for name, (a, b) in zip(NAMES, PLACES, strict=True):
        axes.text(
            a, b, name, ha="center", va="center", fontsize=9, zorder=3,
            bbox={"boxstyle": "circle,pad=0.35" if len(name) < 4 else "round,pad=0.45", "fc": "mistyrose" if name in SET else "aliceblue"},
        )  # fmt: skip
    axes.text(-0.5, -0.3, "pink: what a chemical can set", fontsize=8, color="0.4")
    axes.set_xlim(-0.6, 5.5)
    axes.set_ylim(-0.4, 4.5)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)


def draw_edges(axes, edges, graph, title):
    """P(u → i | D) as a matrix, true edges framed."""
    from matplotlib.patches import Rectangle

    image = axes.imshow(edges, cmap="Greys", vmin=0, vmax=1)
    for u, i in zip(*np.nonzero(graph), strict=True):
        axes.add_patch(Rectangle((i - 0.5, u - 0.5), 1, 1, fill=False, ec="C1", lw=1.6))
    axes.set_xticks(range(len(NAMES)), NAMES, rotation=90, fontsize=8)
    axes.set_yticks(range(len(NAMES)), NAMES, fontsize=8)
    axes.set_xlabel("to")
    axes.set_ylabel("from")
    axes.set_title(title, fontsize=10)
    return image


def judged(found, graph):
    """(right, wrong, missed) edges."""
    return int((found & graph).sum()), int((found & ~graph).sum()), int((~found & graph).sum())


# %% [markdown]
# ## The prior's part
# Summing over orders favours graphs that many orders allow. On all choices of four variables every graph can be enumerated, so the two
# priors are compared exactly there; on all eleven the bias is undone by weighing sampled graphs by 1/e(G).


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Draw cells, infer, draw out/dag.png and return what was measured. The sums are combinatorics and stay on the host."""
    rng = np.random.default_rng(seed)
    graph, n = truth(), 1500 if quick else 5400
    tables = [response(graph[:, i].sum(), rng) for i in range(len(graph))]
    fig = figure(12, 10)
    axes, found = fig.subplots(2, 2), {}
    for row, (name, intervene) in enumerate([("observed only", False), ("with interventions", True)]):
        x, targets = cells(graph, tables, n, rng, intervene)
        posterior = DAGPosterior.fit(x, targets >= 0, levels=LEVELS, max_parents=3)
        edges, likely = posterior.edges(), posterior.graph()
        right, wrong, missed = judged(likely, graph)
        found[name.replace(" ", "_")] = {"right": right, "wrong": wrong, "missed": missed}
        draw_graph(axes[row, 0], likely, graph, f"{name}, {n} cells, P > 0.5: {right} right, {wrong} wrong, {missed} missed (dashed)")
        image = draw_edges(axes[row, 1], edges, graph, f"P(edge | data), {name}; true edges framed")
        fig.colorbar(image, ax=axes[row, 1], shrink=0.8)
    uniform, effective = posterior.uniform_edges(40 if quick else 400, rng)
    found["uniform_prior_change"], found["uniform_prior_effective_samples"] = float(np.abs(uniform - edges).max()), float(effective)
    few = slice(0, 60)  # with few cells the prior matters
    change = []
    for four in list(combinations(range(len(graph)), 4))[:: 60 if quick else 15]:
        part = DAGPosterior.fit(x[few][:, four], targets[few][:, four] >= 0, levels=LEVELS)
        change.append(np.abs(part.edges() - edges_by_enumeration(part.scores)).max())
    found["largest_change_by_prior_60_cells_4_variables"] = float(np.max(change))
    save_figure(fig, out, "dag")
    return found


if __name__ == "__main__":
    main()
