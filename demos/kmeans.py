# %% [markdown]
"""
# k-means

The plane divided among the nearest of k centres, each the mean of its cell; what the start is worth; and the digits that twenty
centres make of 1,797 handwritten ones, without having seen a label.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, toy
from minigen.models import KMeans
from minigen.plot import figure, save_figure, show_images

# %% [markdown]
# ## Cells
# Every point of the plane belongs to its nearest centre, so that the cells are convex (a Voronoi diagram). The grey lines are the
# paths of the centres: round by round from where k-means++ put them to where no label changes any more.


# %%
def draw_cells(axes, x, k, rng, device):
    """The cells of k centres on points x (n, 2), and how the centres came there."""
    seeds = KMeans.fit(x, k, rng=rng, max_iter=0).centers
    path = [to_host(KMeans.fit(x, k, init=seeds, max_iter=t).centers) for t in range(40)]
    model, points = KMeans.fit(x, k, init=seeds), to_host(x)
    low, high = points.min(0) - 0.3, points.max(0) + 0.3
    plane = np.stack(np.meshgrid(*np.linspace(low, high, 300).T), axis=-1).reshape(-1, 2).astype(np.float32)
    cells = to_host(model.predict(to_device(plane, device))).reshape(300, 300)
    extent = (low[0], high[0], low[1], high[1])
    axes.imshow(cells, extent=extent, origin="lower", cmap="Pastel1", interpolation="nearest", aspect="equal")
    axes.scatter(*points.T, s=3, color="0.3", linewidths=0, alpha=0.6)
    for track in np.stack(path, axis=1):
        axes.plot(*track.T, color="0.45", linewidth=1)
    axes.scatter(*path[0].T, s=14, facecolors="white", edgecolors="0.45", zorder=3)
    axes.scatter(*to_host(model.centers).T, marker="X", s=70, color="C3", edgecolors="white", zorder=4)
    axes.set_axis_off()
    axes.set_title(f"{k} cells after {len(model.history) - 1} rounds", fontsize=9)
    return model


# %% [markdown]
# ## The start
# The inertia can only fall, but it ends in a local minimum, and which one depends on the start: here centres drawn from the data
# uniformly, against k-means++, which draws each in proportion to its squared distance from those before it. On blobs that are
# clearly apart a uniform start leaves some without a centre and gives others two, and no later round mends that.


# %%
def draw_starts(axes, x, k, runs, rng):
    """Inertia by round for several starts of both kinds; returns the mean of the last values of each."""
    ends = {}
    for name, colour in (("uniform start", "C0"), ("k-means++", "C3")):
        ends[name] = []
        for run in range(runs):
            init = x[rng.choice(x.shape[0], k, replace=False)] if name == "uniform start" else "k-means++"
            history = to_host(KMeans.fit(x, k, rng=rng, init=init).history) / x.shape[0]
            axes.plot(history, color=colour, alpha=0.5, linewidth=1, label=name if run == 0 else None)
            ends[name].append(history[-1])
    axes.set_yscale("log")
    axes.set_xlabel("round")
    axes.set_ylabel("inertia per point")
    axes.set_title(f"{runs} runs of each start, {k} blobs", fontsize=9)
    axes.legend(fontsize=8)
    return {name: float(np.mean(values)) for name, values in ends.items()}


# %% [markdown]
# ## Digits
# Centres are means of images, hence blurred where the members of a cell differ. Below each: how many digits it stands for, and the
# label that most of them bear.


# %%
def draw_centres(axes, model, labels, cluster):
    """The centres as images, the most frequent first; returns the share of digits whose cell bears their label."""
    counts = np.array([np.bincount(labels[cluster == j], minlength=10) for j in range(len(model.centers))])
    order = np.argsort(-counts.sum(1))
    show_images(axes, model.centers[order].reshape(-1, 8, 8), 10)
    for place, j in enumerate(order):
        row, column = divmod(place, 10)
        caption = f"“{counts[j].argmax()}” {counts[j].sum()}"
        axes.text(9 * column + 3.5, 9 * row + 7.6, caption, ha="center", va="top", fontsize=7, color="C3")
    purity = float(counts.max(1).sum() / counts.sum())
    axes.set_title(f"{len(order)} centres of the digits: “majority label” and count ({purity:.0%} bear it)", fontsize=9)
    return purity


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Cluster toys and digits and draw; returns what was measured."""
    rng = np.random.default_rng(seed)
    fig = figure(11, 7)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1.15, 1])
    left, right = top.subplots(1, 2)

    cells = draw_cells(left, to_device(toy("pinwheel", 1000, rng), device), 9, rng, device)
    blobs = 4 * rng.standard_normal((25, 2))[rng.integers(25, size=2000)] + 0.15 * rng.standard_normal((2000, 2))
    ends = draw_starts(right, to_device(blobs.astype(np.float32), device), 25, 5 if quick else 15, rng)

    images, labels = digits()
    x = to_device(images.reshape(len(images), -1), device)
    runs = [KMeans.fit(x, 20, rng=rng) for _ in range(3 if quick else 20)]
    best = min(runs, key=lambda model: float(model.inertia))
    purity = draw_centres(bottom.subplots(), to_host(best), labels, to_host(best.predict(x)))
    save_figure(fig, out, "kmeans")
    return {
        "cells_rounds": len(cells.history) - 1,
        "inertia_per_point": ends,
        "digits_inertia_per_image": float(best.inertia) / len(x),
        "digits_total_variance": float(np.sum(np.var(x, axis=0))),
        "digits_purity": purity,
    }


if __name__ == "__main__":
    print(main())
