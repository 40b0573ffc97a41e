# %% [markdown]
"""
# What a critic's scores measure, whether they last, and what they are good for

`critic` trained a Wasserstein GAN on two classes of shapes and looked at how its critic scores ten. Here are the questions that the
text (S. Rakhmanova Shchegrova 2022) answered by a look and a guess, measured over several trainings that differ in their seed
alone: is it an object's area that decides, or its colour, or noise? Does the spread of a class's scores follow its noise? Is the
order of the classes the same after another training? Do scores help a second model? And would a threshold on them reject what the
model has never seen, as a likelihood would? Critics that were not trained are the control.

Sizes are those of `critic`; `full` is meant for a GPU.
"""

# %%
from itertools import combinations

import numpy as np

from minigen.backend import to_device
from minigen.cli import load_demo
from minigen.data import SHAPES, TEST_CLASSES, shapes
from minigen.data.shapes import coverage
from minigen.metrics import class_statistics, pairwise_auc, r_squared, rank_correlation, rejection_threshold, roc, variance_shares
from minigen.models import GMM, KDE, PPCA
from minigen.plot import figure, save_figure

critic = load_demo("critic")
NOVEL = [c for c in range(len(TEST_CLASSES)) if c not in critic.TRAINED_ON]
LOUD = [c for c, kind in enumerate(TEST_CLASSES) if kind.noise == 0.03]


# %% [markdown]
# ## What explains a score, and does it last?
# A regression of class means on area, colour (base and sign) and noise; each has the part of R² that it adds on average over the
# orders in which they may come. The same for every training, whose rankings of the classes are compared with each other.


# %%
def explain(means):
    """{factor: its share of the variance of the class means}."""
    _, _, f = shapes(1, np.random.default_rng(0), 2, TEST_CLASSES)
    return variance_shares(means, {"area": f["area"], "colour": np.stack([f["base"], f["sign"]], axis=1), "noise": f["noise"]})


def draw_shares(ax, shares):
    """Stacked bars, one for each critic; shares: {name: {factor: share}}."""
    bottom = np.zeros(len(shares))
    for factor in ("area", "colour", "noise"):
        part = np.array([s[factor] for s in shares.values()])
        ax.bar(range(len(shares)), part, bottom=bottom, label=factor)
        bottom += part
    ax.set_xticks(range(len(shares)), [name.replace(" ", "\n") for name in shares], fontsize=8)
    ax.set_ylim(0, 1.15)
    ax.legend(fontsize=8, ncols=3, loc="upper center")
    ax.set_title("shares of the variance of class means", fontsize=9)


def draw_drift(ax, means, rho):
    """The classes' means, standardised, over the trainings."""
    table = np.array([(m - m.mean()) / m.std() for m in means])
    for c, kind in enumerate(TEST_CLASSES):
        ax.plot(range(1, len(table) + 1), table[:, c], "o-", color=critic.colour(kind), linewidth=1.2, markersize=4)
    ax.set_xticks(range(1, len(table) + 1))
    ax.set_xlabel("training")
    ax.set_title(f"standardised class means; Spearman's ρ {np.mean(rho):.2f} (least {min(rho):.2f})", fontsize=9)


def draw_spreads(ax, deviations):
    """The spread of each class's scores by its noise; a line for each of the pairs that differ in nothing else."""
    for d in deviations:
        for a, b in critic.PAIRS:
            ax.plot([0.01, 0.03], [d[b], d[a]], "-", color=critic.colour(TEST_CLASSES[a]), linewidth=1)
        for c, kind in enumerate(TEST_CLASSES):
            ax.plot(kind.noise, d[c], "o", color=critic.colour(kind), markersize=4)
    ends, middle = np.array([0.01, 0.03]), np.median([d[a] for d in deviations for a, _ in critic.PAIRS])
    ax.plot(ends, middle * ends / 0.03, "k--", linewidth=1.5, label="proportional")
    from matplotlib.ticker import LogLocator

    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(ends, ["0.01", "0.03"])
    ax.set_xticks([], minor=True)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_yticks([], minor=True)
    ax.legend(fontsize=8)
    ax.set_xlabel("noise of the class")
    ax.set_title("standard deviation of a class's scores, all trainings", fontsize=9)


# %% [markdown]
# ## Area, or shape?
# The ten classes cannot tell: each shape has its own area. So here are shapes of one colour and without noise in many sizes. If area
# alone decided, the curves of the three shapes would be one.


# %%
def sized(side, n=25):
    """(images, shape index, area) of each shape in n sizes from 0.3 to 0.7 of the frame, in the colour of the training's squares."""
    kind, extents = TEST_CLASSES[critic.TRAINED_ON[0]], np.linspace(0.3, 0.7, n)
    masks = np.stack([coverage(shape, (0.5, 0.5), e, side) for shape in SHAPES for e in extents])
    x = masks[..., None] * (kind.base + kind.sign * np.array([0, 0.1, 0.2]))
    return x.astype(np.float32), np.repeat(np.arange(len(SHAPES)), n), np.mean(masks, axis=(1, 2))


def of_area_alone(s, area):
    """How much of the variance of scores is a function of area, a polynomial of degree 5."""
    return r_squared(s, np.stack([area**k for k in range(1, 6)], axis=1))


def draw_sizes(ax, s, shape, area, of_area):
    """Scores by area, a curve for each shape."""
    for i, name in enumerate(SHAPES):
        ax.plot(area[shape == i], s[shape == i], "-", color=critic.COLOURS[name, 0.03], label=name, linewidth=2)
    ax.legend(fontsize=8)
    ax.set_xlabel("area, share of the frame")
    ax.set_title(f"scores of one colour by area, which explains {np.mean(of_area):.0%} on average", fontsize=9)


# %% [markdown]
# ## Scores for a second model
# Nearest neighbours name the ten classes from columns: an image's brightness and contrast, which are its mean and its deviation, a
# critic's score, the scores of several critics, the pixels.


# %%
def knn_accuracy(columns, labels, queries, truth, k=5):
    """The share of queries (m, d) whose class is that of most of their k nearest examples, columns standardised."""
    mean, std = columns.mean(axis=0), columns.std(axis=0)
    columns, queries = (columns - mean) / std, (queries - mean) / std
    squares = np.sum(queries**2, axis=1)[:, None] - 2 * queries @ columns.T + np.sum(columns**2, axis=1)
    nearest = np.argsort(squares, axis=1)[:, :k]
    votes = (labels[nearest][:, :, None] == np.arange(labels.max() + 1)).sum(axis=1)
    return float(np.mean(votes.argmax(axis=1) == truth))


def embed(pair, labels, truth, trained, untrained):
    """Accuracies by the columns used. pair: labelled and test images; the others: functions images → scores (n, trainings)."""
    columns = {
        "brightness": lambda x: x.mean(axis=(1, 2, 3)), "contrast": lambda x: x.std(axis=(1, 2, 3)),
        "score": lambda x: trained(x)[:, 0], "untrained score": lambda x: untrained(x)[:, 0], "scores of all trainings": trained,
        "scores of as many untrained": untrained, "pixels": lambda x: x.reshape(len(x), -1),
    }  # fmt: skip
    used = [["brightness"], ["score"], ["untrained score"], ["brightness", "score"], ["brightness", "untrained score"]]
    used += [["brightness", "contrast"], ["brightness", "contrast", "score"], *([name] for name in list(columns)[4:])]
    tables = {name: [f(x).astype(np.float64) for x in pair] for name, f in columns.items()}
    join = lambda names, i: np.column_stack([tables[name][i] for name in names])
    return {" + ".join(names): knn_accuracy(join(names, 0), labels, join(names, 1), truth) for names in used}


def draw_accuracy(ax, accuracy):
    """A bar for each choice of columns."""
    ax.barh(range(len(accuracy)), list(accuracy.values()))
    for i, v in enumerate(accuracy.values()):
        ax.text(v, i, f" {v:.2f}", va="center", fontsize=8)
    ax.set_yticks(range(len(accuracy)), list(accuracy), fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.1)
    ax.set_xticks([])
    ax.set_title("accuracy of 5 nearest neighbours on ten classes, by the columns they see", fontsize=9)


# %% [markdown]
# ## Rejection
# A number for each image, from the critic or a log-likelihood under a mixture, a kernel estimate or PPCA of the same training images.
# Test "high" accepts an image whose number is high; test "typical" one whose number is as frequent as those of the inside (by a
# kernel estimate on further images of the training classes). Inside are the two training classes, outside the eight others.


# %%
def densities(x, rng):
    """{name: images → log p(x) in nats} of models of the training images."""
    flat = lambda x: x.reshape(len(x), -1).astype(np.float64)
    models = {
        "mixture": GMM.fit(flat(x), 2, rng=rng, covariance="spherical"), "kernel": KDE.fit(flat(x), "cv"), "PPCA": PPCA.fit(flat(x), 1),
    }  # fmt: skip
    return {name: lambda x, model=model: model.log_prob(flat(x)) for name, model in models.items()}


def rejection(numbers, calibration, x, y, level=0.05):
    """For each number and test: (ROC, its area, acceptance of each class at the threshold that may reject `level` of the inside)."""
    inside, found = np.isin(y, critic.TRAINED_ON), {}
    for name, number in numbers.items():
        spare, s = number(calibration), number(x)
        density = KDE.fit(spare[::2, None], "cv")
        for test, f in (("high", lambda v: v), ("typical", lambda v, density=density: density.log_prob(v[:, None]))):
            v, threshold = f(s), rejection_threshold(f(spare[1::2]), level)
            accepted = np.array([np.mean(v[y == c] >= threshold) for c in range(len(TEST_CLASSES))])
            found[f"{name}, {test}"] = roc(v[inside], v[~inside]), float(pairwise_auc(v, inside.astype(int))[1, 0]), accepted
    return found


def draw_rejection(axes, found):
    """ROC curves of both tests, and who is accepted."""
    styles = {"critic": ("C0", "-", 1.5), "mixture": ("C1", "-", 5), "kernel": ("C2", "-", 3), "PPCA": ("C3", "--", 1.5)}
    for ax, test in zip(axes, ("high", "typical"), strict=False):
        for name, (c, style, width) in styles.items():
            curve, area, _ = found[f"{name}, {test}"]
            ax.plot(*curve, style, color=c, linewidth=width, label=f"{name}: {area:.2f}")
        ax.plot([0, 1], [0, 1], "k:", linewidth=0.8)
        ax.set_xlabel("outside accepted")
        ax.set_ylabel("inside accepted")
        ax.set_title(f'accept what is "{test}": ROC and area', fontsize=9)
        ax.legend(fontsize=8, loc="lower right")
    table, ax = np.array([accepted for _, _, accepted in found.values()]), axes[2]
    ax.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(table.shape):
        ax.text(j, i, f"{table[i, j]:.2f}", ha="center", va="center", fontsize=8, color="white" if table[i, j] > 0.6 else "black")
    ax.set_yticks(range(len(found)), list(found), fontsize=8)
    critic.name_classes(ax.xaxis, range(len(TEST_CLASSES)))
    ax.set_title("share of each class accepted, where 5 % of the inside (red) may be rejected", fontsize=9)


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Train, draw out/critic_scores.png and out/critic_rejection.png, and return what was measured."""
    size, rng = critic.size_of(quick, full), np.random.default_rng(seed)
    x, _, _ = shapes(size.copies, rng, size.side)
    (x_test, y, _), (labelled, labels, _) = (shapes(critic.COPIES, rng, size.side, TEST_CLASSES) for _ in range(2))
    calibration, _, _ = shapes(200, rng, size.side)
    untrained = [to_device(critic.without_training(rng, size), device) for _ in range(size.repeats)]
    trained = [critic.train(to_device(x, device), size, size.again, [seed, 100 + i]) for i in range(size.repeats)]
    scores = lambda models: lambda x: np.column_stack([critic.score(model, x, device) for model in models])

    means, deviations = zip(*(class_statistics(s, y) for s in scores(trained)(x_test).T), strict=True)
    plain = [class_statistics(s, y)[0] for s in scores(untrained)(x_test).T]
    shares = {f"{kind} {i + 1}": explain(m) for kind, all_means in (("random", plain), ("trained", means)) for i, m in enumerate(all_means)}
    rho, rho_plain = ([rank_correlation(a, b) for a, b in combinations(m, 2)] for m in (means, plain))
    objects, shape, area = sized(size.side)
    curves, plain_curves = scores(trained)(objects).T, scores(untrained)(objects).T
    of_area = [of_area_alone(s, area) for s in curves]
    accuracy = embed((labelled, x_test), labels, y, scores(trained), scores(untrained))
    fig = figure(14, 8.5)
    upper, lower = fig.subfigures(2, 1)
    (a, b, c), (d, e) = upper.subplots(1, 3), lower.subplots(1, 2)
    draw_shares(a, shares)
    draw_drift(b, means, rho)
    draw_spreads(c, deviations)
    draw_sizes(d, curves[0], shape, area, of_area)
    draw_accuracy(e, accuracy)
    save_figure(fig, out, "critic_scores")

    tests = rejection({"critic": lambda x: critic.score(trained[0], x, device)} | densities(x, rng), calibration, x_test, y)
    fig = figure(12, 8)
    upper, lower = fig.subfigures(2, 1, height_ratios=(1.1, 1))
    draw_rejection([*upper.subplots(1, 2), lower.subplots()], tests)
    save_figure(fig, out, "critic_rejection")
    ratios = [d[a] / d[b] for d in deviations for a, b in critic.PAIRS]
    return {
        "shares": shares, "of_area_alone": float(np.mean(of_area)),
        "of_area_alone_untrained": float(np.mean([of_area_alone(s, area) for s in plain_curves])),
        "rank_correlation": [min(rho), float(np.mean(rho)), max(rho)], "rank_correlation_untrained": float(np.mean(rho_plain)),
        "spread_at_3_times_the_noise": [min(ratios), float(np.median(ratios)), max(ratios)],
        "largest_over_least_spread_at_one_noise": float(np.median([d[LOUD].max() / d[LOUD].min() for d in deviations])),
        "knn_accuracy": accuracy,
        "rejection": {
            name: {"auc": area, "inside_accepted": float(p[critic.TRAINED_ON].mean()), "outside_accepted": float(p[NOVEL].mean())}
            for name, (_, area, p) in tests.items()
        },
    }  # fmt: skip


if __name__ == "__main__":
    main()
