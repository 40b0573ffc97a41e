# %% [markdown]
"""
# Normalising flows

Maps that can be undone carry a normal density to the data's, and the change of variables gives every point its exact density. Four flows
on two toys whose entropy is known; a grid that one of them warps, layer by layer; and digits.
"""

# %%
import os
from itertools import pairwise

import numpy as np

from minigen.backend import normal, to_device, to_host
from minigen.data import digits, mnist10k, split, toy, toy_density, toy_entropy
from minigen.metrics import bits_per_dim, density_coverage, dequantize, precision_recall
from minigen.models import MAF, PPCA, ContinuousFlow, Glow, NeuralSplineFlow, RealNVP
from minigen.models.continuous_flow import runge_kutta, transport
from minigen.models.flow import log_normal
from minigen.optim import EMA, Adam, cosine
from minigen.plot import density_map, figure, save_figure, show_images

TOYS = {"moons": ((0.5, 0.25), 1.9), "checkerboard": ((0.0, 0.0), 2.4)}  # the centre and half the side of each map
EDGE = 2.7  # of the pictures of grids, in standard deviations of the data

# %% [markdown]
# ## Four flows, two toys
# No model's mean log-likelihood can exceed minus the entropy of the data, which a flow with enough layers nears. Lines as curves
# (RealNVP, MAF) bend the plane less than splines do; and no flow of a plane can cut it: thin bridges join what the data keep apart.


# %%
def fit_toy(flow, name, rng, quick, device):
    """A flow of that class, trained on a toy."""
    steps, lr, settings = {
        RealNVP: (800, 6e-3, {"layers": 8, "hidden": (48, 48)}),
        MAF: (1000, 8e-3, {"layers": 6, "hidden": (48, 48)}),
        NeuralSplineFlow: (1200, 4e-3, {"layers": 6, "hidden": (48, 48), "bins": 16 if name == "checkerboard" else 8}),
        ContinuousFlow: (200, 8e-3, {"width": 48, "blocks": 2, "ode_steps": 4, "straight": 0.1}),
    }[flow]
    steps = steps // 15 if quick else steps
    x = to_device(toy(name, 20_000, rng), device)
    settings |= {"steps": steps, "optimizer": Adam(cosine(lr, steps)), "batch_size": 128}
    return flow.fit(x, rng=rng, progress=flow.__name__, **settings)


def held_out(flow, name, rng, n, device):
    """E log q in nats: minus the entropy, less the mean log p − log q of fresh points, which varies less than log q itself."""
    fresh = toy(name, n, rng)
    gap = toy_density(name)(fresh.astype(float)) - to_host(flow.log_prob(to_device(fresh, device)))
    return float(-toy_entropy(name) - np.mean(gap))


def nats_text(value):
    """A number with a true minus."""
    return f"{value:.3f} nats".replace("-", "−")


def map_of(flow, device):
    """log q for a map, on the host. A continuous flow takes 32 steps: `log_prob` takes many more in empty corners."""

    def log_prob(x):
        x = to_device(x, device)
        if not isinstance(flow, ContinuousFlow):
            return to_host(flow.log_prob(x))
        y, logdet = flow.to_line(x)
        z, step, _ = transport(flow.layers[0].network, y, 1.0, 0.0, 32)
        return to_host(log_normal(z) + logdet + step)

    return log_prob


def draw_toy(axes, name, rng, quick, device):
    """A row of maps, the data's own first, all on its scale of brightness; returns the flows and their held-out nats."""
    centre, half = TOYS[name]
    truth, models, found = toy_density(name), [], {}
    kinds = (RealNVP, MAF, NeuralSplineFlow, ContinuousFlow)[: len(axes) - 1]
    centred = lambda log_prob: lambda x: log_prob((x + centre).astype(np.float32))
    density_map(axes[0], centred(truth), -half, half, f"{name}: at most {nats_text(-toy_entropy(name))}")
    top = axes[0].images[0].get_array().max()
    for ax, kind in zip(axes[1:], kinds, strict=True):
        flow = fit_toy(kind, name, rng, quick, device)
        nats = held_out(flow, name, rng, 1000 if kind is ContinuousFlow else 5000, device)
        size = (24 if quick else 60) if kind is ContinuousFlow else 120
        density_map(ax, centred(map_of(flow, device)), -half, half, f"{kind.__name__}: {nats_text(nats)}", size=size)
        ax.images[0].set_clim(0, top)
        models.append(flow)
        found[f"{name}_{kind.__name__}"] = nats
    return models, found | {f"{name}_bound": float(-toy_entropy(name))}


# %% [markdown]
# ## Paths
# The continuous flow has no layers but a velocity: its codes move to the data along paths that never cross in space and time.


# %%
def draw_paths(ax, flow, z, legs=16):
    """The paths of codes z, on the plane of standardised data."""
    network = flow.layers[0].network
    velocity = lambda y, t: (network(y[0], np.full_like(y[0], t, shape=y[0].shape[:1])),)
    places = [z]
    for start, end in pairwise(np.linspace(0, 1, legs + 1).tolist()):
        places += runge_kutta(velocity, (places[-1],), start, end, 2)
    paths = np.stack([to_host(p) for p in places], axis=1)
    from matplotlib.collections import LineCollection

    ax.scatter(*paths[:, -1].T, s=4, c="C3", linewidths=0, label="data")
    ax.add_collection(LineCollection(paths[:150], colors="0.3", linewidths=0.5))
    ax.scatter(*paths[:150, 0].T, s=7, c="C0", linewidths=0, zorder=3, label="codes")
    ax.legend(fontsize=7, loc="upper right", markerscale=2, handletextpad=0)
    frame(ax, "ContinuousFlow: paths to the moons")


def frame(ax, title, edge=EDGE):
    """A square without ticks."""
    ax.set(xlim=(-edge, edge), ylim=(-edge, edge), xticks=[], yticks=[], aspect="equal")
    ax.set_title(title, fontsize=9)


# %% [markdown]
# ## A warped grid
# Each layer moves one coordinate by what the other says: columns slide, then rows. Where lines crowd, density gathers; colours are the
# angles of the codes. Half of a layer is such a map, too, so that the film between two layers shows flows, not a trick of drawing.


# %%
def warp(flow, rng, device, lines=27, points=900):
    """[(grid (2 · lines, m, 2), samples (points, 2), title)] from the codes through each layer's inverse, and the samples' colours."""
    line, fine = np.linspace(-3, 3, lines), np.linspace(-3, 3, 241)
    columns = np.stack(np.broadcast_arrays(line[:, None], fine), axis=-1)
    grid = np.concatenate([columns, columns[..., ::-1]])
    codes = rng.standard_normal((points, 2))
    h = to_device(np.concatenate([grid.reshape(-1, 2), codes]).astype(np.float32), device)
    stages = [h]
    for layer in flow.layers[::-1]:
        stages.append(layer.inverse(stages[-1])[0])
    named = ["codes", *(f"layer {i} undone" for i in range(len(flow.layers), 1, -1)), "layer 1 undone: data"]
    cut = [to_host(s) for s in stages]
    parts = [(s[:-points].reshape(grid.shape), s[-points:], title) for s, title in zip(cut, named, strict=True)]
    return parts, np.arctan2(codes[:, 1], codes[:, 0])


def draw_grid(ax, grid, samples, title, colours, size=2):
    """One stage; returns what is drawn, which the film moves."""
    from matplotlib.collections import LineCollection

    mesh = ax.add_collection(LineCollection(grid, colors="0.55", linewidths=0.35))
    dots = ax.scatter(*samples.T, s=size, c=colours, cmap="hsv", vmin=-np.pi, vmax=np.pi, linewidths=0, zorder=3)
    frame(ax, title)
    return mesh, dots


def film(stages, colours, out, between):
    """Write out/flows.gif, `between` pictures a layer; returns their number and the megabytes."""
    from matplotlib.animation import PillowWriter

    fig = figure(3.4, 3.6)
    ax = fig.subplots()
    mesh, dots = draw_grid(ax, *stages[0], colours, size=5)
    path, writer = os.path.join(out, "flows.gif"), PillowWriter(fps=8)
    os.makedirs(out, exist_ok=True)
    ease = [0.5 - 0.5 * np.cos(np.pi * (i + 1) / between) for i in range(between)]
    frames = [stages[0]] * 2
    for (g0, s0, _), (g1, s1, title) in pairwise(stages):
        frames += [((1 - w) * g0 + w * g1, (1 - w) * s0 + w * s1, title) for w in ease]
    frames += [stages[-1]] * 6
    with writer.saving(fig, path, dpi=90):
        for grid, samples, title in frames:
            mesh.set_segments(grid)
            dots.set_offsets(samples)
            ax.set_title(title, fontsize=9)
            writer.grab_frame()
    print(path)
    return {"frames": len(frames), "gif_megabytes": os.path.getsize(path) / 1e6}


# %% [markdown]
# ## Digits
# Their 17 levels are spread over cells and sent to the real line; the flow's bits are a bound on those of the levels. Beside it PPCA, a
# flow of one linear map. Precision and coverage are of pixels, against test digits; training digits show what real ones reach.


# %%
def draw_digits(axes, rng, quick, full, device):
    """Samples beside real digits; returns held-out bits per dimension and how samples compare with real digits."""
    images, labels = mnist10k() if full else digits()
    levels = 256 if full else 17
    training, test, _, _ = split(np.rint(images * (levels - 1)).astype(np.int64), labels, rng=rng)
    kind, steps, lr, settings = NeuralSplineFlow, 25 if quick else 600, 5e-3, {"layers": 4, "hidden": (96,)}
    if full:
        kind, steps, lr, settings = Glow, 20_000, 1e-3, {"scales": 2, "depth": 8, "width": 128}
    flow = kind.fit(
        to_device(training, device), rng=rng, levels=levels, alpha=1e-3, steps=steps, batch_size=64, ema=EMA(0.99),
        optimizer=Adam(cosine(lr, steps), weight_decay=0.1 if full else 2.0), progress=kind.__name__, **settings,
    )  # fmt: skip
    d = training[0].size
    spread = lambda k: to_device(dequantize(k, levels, rng.random(k.shape)).astype(np.float32), device)
    bits = lambda log_p: float(bits_per_dim(-np.mean(to_host(log_p)), d, cell=1 / levels))
    ppca = PPCA.fit(np.concatenate([spread(training).reshape(-1, d) for _ in range(4)]), 48)
    x = spread(test)
    found = {"bits": bits(flow.log_prob(x)), "ppca_bits": bits(ppca.log_prob(x.reshape(-1, d)))}
    samples = np.minimum(np.floor(to_host(flow.sample(len(test), rng)) * levels), levels - 1)
    flat = lambda k: k.reshape(len(k), -1) / (levels - 1)
    for name, k in (("samples", samples), ("training", training[: len(test)])):
        found[f"{name}_precision"] = float(precision_recall(flat(test), flat(k)).precision)
        found[f"{name}_coverage"] = float(density_coverage(flat(test), flat(k)).coverage)
    show_images(axes[0], test[:64] / (levels - 1), 16, "test digits")
    title = f"samples of a {kind.__name__}: {found['bits']:.2f} held-out bits per dimension (PPCA: {found['ppca_bits']:.2f})"
    show_images(axes[1], samples[:64] / (levels - 1), 16, title)
    return found


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/flows.png and out/flows.gif, and return what was measured. full: Glow on 28 × 28 digits, meant for a GPU."""
    rng = np.random.default_rng(seed)
    fig = figure(12, 9.2)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(5.15, 2.2, 1.8))
    cells = top.subplots(2, 5)
    models, found = draw_toy(cells[0], "moons", rng, quick, device)
    found |= draw_toy(cells[1, :4], "checkerboard", rng, quick, device)[1]
    draw_paths(cells[1, 4], models[3], normal(rng, (1500, 2), models[3].mean))
    stages, colours = warp(models[2], rng, device)
    middle.suptitle("NeuralSplineFlow: a grid of codes carried to the moons by the layers' inverses, the last layer first", fontsize=9)
    for ax, stage in zip(middle.subplots(1, len(stages)), stages, strict=True):
        draw_grid(ax, *stage, colours)
    found |= film(stages, colours, out, 1 if quick else 5)
    sides = [part.subplots() for part in bottom.subfigures(1, 2, wspace=0.04)]
    found |= draw_digits(sides, rng, quick, full, device)
    save_figure(fig, out, "flows")
    return found


if __name__ == "__main__":
    main()
