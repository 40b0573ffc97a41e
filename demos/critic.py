# %% [markdown]
"""
# The critic as a classifier that never saw a label

After S. Rakhmanova Shchegrova 2022, "Unsupervised Classification with Generative Models". A Wasserstein GAN learns to make images of
two kinds, noisy squares of one colour and noisy circles of another. Then its generator is laid aside, and its critic, a function
from an image to a number, scores ten classes of images, eight of which it has not met. Does one number tell the classes apart? How
early in training, and is the training what does it? As a control, every number is also that of a critic that was not trained, or of
the brightness of an image. (`critic_scores` goes on from here: what do the scores measure, do they last, and what are they good for?)

The trainings are the text's: from scratch for 10, 20, 100 and 200 epochs, 300 copies of each of the two classes, batches of 8; an
epoch is one pass of the critic over them, 75 of its steps. By default images are 16 × 16 and networks small, which takes some minutes
of a CPU; `full` is the text's own size of 64 × 64, meant for a GPU.
"""

# %%
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import TEST_CLASSES, TRAIN_CLASSES, ShapeClass, shapes
from minigen.metrics import eta_squared, pairwise_auc, relative_scores
from minigen.models import WGAN
from minigen.optim import Adam
from minigen.plot import figure, mosaic, save_figure, show_images

BATCH, LATENT, COPIES = 8, 8, 40  # COPIES: of each test class
TRAINED_ON = [TEST_CLASSES.index(c) for c in TRAIN_CLASSES]
REFERENCE = TEST_CLASSES.index(ShapeClass("square", 0.85, 1, 0.03))
PAIRS = [(0, 1), (3, 4), (7, 8)]  # alike but for their noise, 0.03 and 0.01
COLOURS = {  # circles yellow, squares purple, triangles green; darker where there is less noise
    ("square", 0.03): "#b48ad6", ("square", 0.01): "#5b2a86", ("circle", 0.03): "#f5c518", ("circle", 0.01): "#9a6f00",
    ("triangle", 0.03): "#7ccf7c", ("triangle", 0.01): "#1f7a1f",
}  # fmt: skip


@dataclass
class Size:
    """How much of everything."""

    side: int  # of an image
    copies: int  # of each of the two classes that are trained on
    epochs: tuple  # of the trainings of different length, each from scratch
    repeats: int  # further trainings, for `critic_scores`
    again: int  # their epochs
    hidden: tuple  # channels of the residual networks
    rate: float = 1e-3  # of Adam


SIZES = {
    "quick": Size(8, 40, (1, 2), 2, 2, (8, 16)), "cpu": Size(16, 300, (10, 20, 100, 200), 4, 20, (8, 16)),
    "full": Size(64, 300, (10, 20, 100, 200), 5, 200, (32, 64, 128, 256), 2e-4),
}  # fmt: skip


def size_of(quick, full):
    """The size that is asked for."""
    return SIZES["full" if full else "quick" if quick else "cpu"]


# %% [markdown]
# ## Objects
# A class is a shape, a colour (the first channel; the two others lie 0.1 and 0.2 above or below) and the deviation of its noise.


# %%
def colour(c):
    """The colour of a class in the pictures, which says its shape and noise and not, ironically, its colour."""
    return COLOURS[c.shape, c.noise]


def name_classes(axis, places):
    """Label the classes along an axis of a picture; those of the training are red."""
    across = axis.axis_name == "x"
    axis.set_ticks(places, [str(c).replace(" ", "\n" if across else " ", 1) for c in TEST_CLASSES], fontsize=8)
    axis.set_tick_params(length=0)
    for c in TRAINED_ON:
        axis.get_ticklabels()[c].set_color("red")


def draw_objects(ax, x, y):
    """One image of each test class."""
    n = len(TEST_CLASSES)
    picture = mosaic(np.stack([x[y == c][0] for c in range(n)]), n, gap=2)
    ax.imshow(picture, interpolation="nearest")
    name_classes(ax.xaxis, (np.arange(n) + 0.5) * picture.shape[1] / n)
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title("the ten classes to be scored (red: the two that the critic is trained on)", fontsize=9)


# %% [markdown]
# ## Training
# Residual networks, a gradient penalty, batches of 8, a step of the generator at every third of the critic.


# %%
def train(x, size, epochs, seed):
    """A Wasserstein GAN trained from scratch for so many epochs."""
    return WGAN.fit(
        x, rng=np.random.default_rng(seed), steps=epochs * len(x) // BATCH, n_critic=3, batch_size=BATCH, network="residual",
        latent=LATENT, hidden=size.hidden, optimizer=Adam(size.rate, b1=0.5, b2=0.9), progress=count(epochs),
    )  # fmt: skip


def without_training(rng, size):
    """The same networks with random weights."""
    return WGAN.init(rng, (size.side, size.side, 3), LATENT, size.hidden, "residual")


def count(epochs):
    """1 epoch, 2 epochs."""
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def score(model, x, device):
    """The critic's scores of images on the host, (n,) float64."""
    return np.concatenate([to_host(model.critic(to_device(x[i : i + 50], device))) for i in range(0, len(x), 50)]).astype(np.float64)


def image_error(images):
    """The median over images of the RMS difference of their pixels from the nearest training class without its noise."""
    clean, _, _ = shapes(1, np.random.default_rng(0), images.shape[1], [c._replace(noise=0.0) for c in TRAIN_CLASSES])
    return float(np.median(np.sqrt(np.min(np.mean((images[:, None] - clean) ** 2, axis=(2, 3, 4)), axis=1))))


def draw_training(axes, model, images):
    """The critic's gap and the penalty at each step, and what the generator makes."""
    titles = {"gap": "critic's gap: its mean on real images minus that on made ones", "penalty": "gradient penalty"}
    for ax, (name, title) in zip(axes, titles.items(), strict=False):
        ax.plot(model.history[name], linewidth=0.8)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("critic's step")
    axes[1].set_yscale("log")
    show_images(axes[2], images[:24], 6, "generated objects", ink=False)


# %% [markdown]
# ## Scores
# Each class in a row of its own, at its distance from one reference class. What is 0 and what is 1 means nothing in a critic.


# %%
def draw_rows(ax, s, y):
    """A histogram for each class, all on one axis; returns the relative scores of the classes, which it also writes."""
    relative = relative_scores(s, y, REFERENCE)
    s = s - np.mean(s[y == REFERENCE])
    bins = np.linspace(s.min(), s.max(), 121)
    for c, kind in enumerate(TEST_CLASSES):
        counts, _ = np.histogram(s[y == c], bins)
        ax.bar(bins[:-1], 0.85 * counts / counts.max(), np.diff(bins), bottom=-c, align="edge", color=colour(kind))
        ax.text(1.01, 0.3 - c, f"{relative[c]:+.2f}", transform=ax.get_yaxis_transform(), fontsize=8)
        ax.axhline(-c, color="0.85", linewidth=0.5, zorder=0)
    name_classes(ax.yaxis, 0.3 - np.arange(len(TEST_CLASSES)))
    ax.set_ylim(1 - len(TEST_CLASSES), 1)
    ax.set_title(f"scores relative to {TEST_CLASSES[REFERENCE]}; the number is the class's mean", fontsize=9)
    return relative


def draw_pairs(axes, s, y, auc):
    """The histograms of the pairs of classes that differ in nothing but noise, close up."""
    for ax, (a, b) in zip(axes, PAIRS, strict=True):
        both = s[(y == a) | (y == b)] - np.mean(s[y == a])
        bins = np.linspace(both.min(), both.max(), 31)
        for c in (a, b):
            ax.hist(s[y == c] - np.mean(s[y == a]), bins, color=colour(TEST_CLASSES[c]), alpha=0.8, label=f"noise {TEST_CLASSES[c].noise}")
        ax.set_title(f"{str(TEST_CLASSES[a]).rsplit(' ', 1)[0]}: AUC {max(auc[a, b], auc[b, a]):.2f}", fontsize=9)
        ax.legend(fontsize=8)
        ax.locator_params(axis="x", nbins=6)
        ax.set_yticks([])


def draw_auc(ax, auc):
    """The matrix of pairwise separations: 0 and 1 are perfect, ½ is none."""
    ax.imshow(auc, cmap="PuOr", vmin=0, vmax=1)
    for a, b in np.ndindex(auc.shape):
        ax.text(b, a, f"{auc[a, b]:.2f}", ha="center", va="center", fontsize=7, color="white" if abs(auc[a, b] - 0.5) > 0.3 else "black")
    name_classes(ax.yaxis, range(len(auc)))
    ax.set_xticks([])
    ax.set_title("AUC: how often the row's class scores above the column's (in the same order)", fontsize=9)


def separation(s, y):
    """Over the pairs of classes: the share that a threshold tells apart with an AUC > 0.95, the AUC of the worst pair, and η²."""
    auc = pairwise_auc(s, y)
    best = [float(max(auc[a, b], auc[b, a])) for a, b in combinations(range(len(auc)), 2)]
    return {"pairs_apart": sum(b > 0.95 for b in best) / len(best), "worst_auc": min(best), "eta_squared": eta_squared(s, y)}


def triangles_outside(s, y):
    """Whether the shape that was never seen is beyond the others: all its class means above all others, or all below."""
    means = np.array([s[y == c].mean() for c in range(len(TEST_CLASSES))])
    new = np.array([c.shape == "triangle" for c in TEST_CLASSES])
    return bool(means[new].min() > means[~new].max() or means[new].max() < means[~new].min())


# %% [markdown]
# ## Critics that are trained in part
# How early do the classes part, and does that need a generator whose images look right? Each training begins from scratch; the first
# row has had none.


# %%
def draw_stages(fig, models, x, y, rng, device):
    """A row for each length of training: its images, and all the scores; returns its facts by the number of epochs."""
    axes, found = fig.subplots(len(models), 2, width_ratios=(1, 2.2)), {}
    for (left, right), (epochs, model) in zip(axes, models.items(), strict=True):
        s, images = score(model, x, device), to_host(model.sample(200, rng))
        facts = separation(s, y) | {"triangles_outside": triangles_outside(s, y), "image_error": image_error(images)}
        show_images(left, images[:16], 8, f"{count(epochs)}: pixels {facts['image_error']:.3f} off", ink=False)
        s = s - np.mean(s[y == REFERENCE])
        bins = np.linspace(s.min(), s.max(), 121)
        for c, kind in enumerate(TEST_CLASSES):
            right.hist(s[y == c], bins, color=colour(kind), alpha=0.85)
        right.set_title(f"η² = {facts['eta_squared']:.4f}; {facts['pairs_apart']:.0%} of the pairs of classes have AUC > 0.95", fontsize=9)
        right.set_yticks([])
        found[count(epochs)] = facts
    from matplotlib.patches import Patch

    handles = [Patch(color=v, label=f"{shape}, noise {noise}") for (shape, noise), v in COLOURS.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    real = TRAIN_CLASSES[0].noise
    fig.suptitle(f"generated objects (real pixels are {real} off), and scores relative to {TEST_CLASSES[REFERENCE]}", fontsize=10)
    return found


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Train, score, draw out/critic.png and out/critic_stages.png, and return what was measured."""
    size, rng = size_of(quick, full), np.random.default_rng(seed)
    x = to_device(shapes(size.copies, rng, size.side)[0], device)
    x_test, y, _ = shapes(COPIES, rng, size.side, TEST_CLASSES)
    stages = {0: to_device(without_training(rng, size), device)} | {e: train(x, size, e, [seed, i]) for i, e in enumerate(size.epochs)}
    critic = stages[size.epochs[-1]]
    s, auc = score(critic, x_test, device), pairwise_auc(score(critic, x_test, device), y)

    fig = figure(12, 14)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1.1, 1.1, 1.3))
    objects, traces = top.subfigures(2, 1, height_ratios=(0.65, 1))
    draw_objects(objects.subplots(), x_test, y)
    draw_training(traces.subplots(1, 3, width_ratios=(1, 1, 1.1)), critic, to_host(critic.sample(24, rng)))
    relative = draw_rows(middle.subplots(), s, y)
    grid = bottom.add_gridspec(3, 2, width_ratios=(1, 1.6))
    draw_pairs([bottom.add_subplot(grid[i, 0]) for i in range(3)], s, y, auc)
    draw_auc(bottom.add_subplot(grid[:, 1]), auc)
    save_figure(fig, out, "critic")

    fig = figure(12, 1.9 * len(stages))
    found = draw_stages(fig, stages, x_test, y, rng, device)
    save_figure(fig, out, "critic_stages")
    return {
        "stages": found, "brightness": separation(x_test.mean(axis=(1, 2, 3)), y), "image_error_real": image_error(to_host(x)),
        "noise_auc": {TEST_CLASSES[a].shape: float(max(auc[a, b], auc[b, a])) for a, b in PAIRS},
        "relative_scores": dict(zip(map(str, TEST_CLASSES), relative.tolist(), strict=True)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
