# %% [markdown]
"""
# An atlas of how each metric is fooled

A score is trusted because of what it would say if something were wrong. Here something is wrong, on purpose: samples are blurred, a class
is missing, the training set is handed out as if it were new. Every metric scores every such set, many times over; a cell of the map says
how many standard deviations it moves from what honest samples of the same distribution score: red where it sees the fault, white where
it is blind, blue where it even finds the faulty samples better. A cell with a ± moved far, but its scores differ so much among
themselves that this may be chance: nothing is claimed of it.

Two worlds: one whose distribution is known, where honest samples are endless, and real digits in the features of a small classifier, where
they are other real digits. There the features may be at fault, too: those of the same classifier from another seed, and those of a
classifier of squares, circles and triangles. What judges models and not samples, likelihood and memorisation, has a table of its own.
"""

# %%
from typing import NamedTuple

import numpy as np

from minigen.cli import load_demo
from minigen.metrics import (
    authenticity,
    birthday_paradox,
    classification_accuracy_score,
    classifier_two_sample_test,
    data_copying_test,
    density_coverage,
    f_scores,
    frechet_distance,
    frechet_distance_infinity,
    inception_score,
    kernel_distance,
    knn_two_sample_test,
    mmd2,
    mmd_test,
    mode_scores,
    nearest_neighbours,
    prd_curve,
    precision_recall,
    realism,
    sinkhorn,
    sliced_wasserstein,
    spatial_frechet_distance,
    train_features,
    vendi_score,
    wasserstein,
)
from minigen.metrics.two_sample import deep_kernel
from minigen.plot import figure, save_figure

faults = load_demo("faults")
Known, Digits, FAULTS, honest, features_of_shapes = faults.Known, faults.Digits, faults.FAULTS, faults.honest, faults.features_of_shapes
SEEN = 4.0  # standard deviations from what honest samples score, and of the mean of the faulty ones

# %% [markdown]
# ## Metrics
# All of them, of samples with the labels that they were made for, each as a number that is larger the worse the samples are.


# %%
def neighbour(x, y, rng):
    """A classifier by the nearest datum."""
    return lambda z: y[nearest_neighbours(z, x)[0][:, 0]]


def scores(w, x, y, rng):
    """Every metric of samples x (n, D) with labels y (n,) in the world w: {name: larger is worse}."""
    test = w.test[rng.choice(len(w.test), min(len(w.test), len(x)), replace=False)]  # as many as samples
    half, few, steps = len(test) // 2, min(len(test), 100), min(w.n // 3, 100)
    pr, dc = precision_recall(w.test, x), density_coverage(w.test, x)
    prd = f_scores(prd_curve(test, x[: len(test)], rng, runs=1, angles=101))
    of_modes = mode_scores(w.coordinates(x), w.centres, w.width, radius=2 * w.centres.shape[1] ** 0.5)
    tested = mmd_test(w.test, x, rng, permutations=99)
    kernel = deep_kernel(test[:half], x[:half], rng, hidden=(8,), steps=steps // 5)
    return {
        "Fréchet distance": frechet_distance(w.test, x),
        "Fréchet distance, n → ∞": frechet_distance_infinity(w.test, x, rng, points=5).mean,
        "KID (cubic kernel)": kernel_distance(w.test, x).mean,
        "MMD (Gaussian kernel)": mmd2(w.test, x, w.kernel).mean,
        "MMD (learned kernel)": mmd2(test[half:], x[half:], kernel).mean,
        "Wasserstein": wasserstein(test, x[: len(test)], p=2),
        "sliced Wasserstein": sliced_wasserstein(w.test, x, np.random.default_rng(0), 50).mean,
        "Sinkhorn (of 100)": sinkhorn(test[:few], x[:few], w.scale**2 / 4, tolerance=1e-2),
        "1 − precision": 1 - pr.precision,
        "1 − recall": 1 - pr.recall,
        "1 − density": 1 - dc.density,
        "1 − coverage": 1 - dc.coverage,
        "− realism (median)": -float(np.median(realism(w.test, x))),
        "1 − PRD recall (F 8)": 1 - prd.recall,
        "1 − PRD precision (F 1/8)": 1 - prd.precision,
        "modes missed": len(w.centres) - of_modes.hit,
        "far from modes": 1 - of_modes.quality,
        "− Inception score": -inception_score(w.probabilities(x), splits=1).mean,
        "− Vendi score": -vendi_score(x, w.kernel),
        "MMD test": (tested.statistic - np.mean(tested.null)) / np.std(tested.null),
        "classifier test": classifier_two_sample_test(w.test, x, rng, hidden=(32,), steps=steps, permutations=1).statistic,
        "neighbours test": knn_two_sample_test(w.test, x, rng, permutations=1).statistic,
        "classification accuracy": -classification_accuracy_score(x, y, w.test, w.test_labels, rng, train=neighbour).score.mean,
        "− authenticity": -authenticity(w.train, x),
        "copying, −C_T": -data_copying_test(w.train, w.test, x).statistic,
        "pairs of duplicates": birthday_paradox(x, w.same).pairs,
    }


# %% [markdown]
# ## Shifts


# %%
class Shift(NamedTuple):
    """How far a fault moves a metric, in standard deviations of honest samples' scores, > 0 for worse; and the error of that."""

    z: float
    error: float

    @property
    def verdict(self):
        """1 where the metric sees the fault, −1 where it is fooled, 0 where it is blind; None where it moved, perhaps by chance."""
        sure = abs(self.z) > SEEN * max(1, self.error)
        return int(np.sign(self.z)) if sure else 0 if abs(self.z) <= SEEN else None


def sample_scores(world, make, rng, repeats):
    """The scores of independent sets of samples, {metric: (repeats,)}."""
    found = [scores(world, *make(world, rng), rng) for _ in range(repeats)]
    return {metric: np.array([row[metric] for row in found]) for metric in found[0]}


def compared(found, null, fresh):
    """The Shift of each metric between scores of faulty and of honest samples."""
    shifts = {}
    for metric, values in found.items():
        spread = max(np.std(null[metric], ddof=1) / fresh, 1e-9 * max(1.0, float(np.max(np.abs(null[metric])))))
        error = (np.var(values, ddof=1) / len(values) + spread**2 / len(null[metric])) ** 0.5
        shifts[metric] = Shift(float((np.mean(values) - np.mean(null[metric])) / spread), float(error / spread))
    return shifts


def atlas(world, rng, repeats):
    """{fault: {metric: Shift}} of a world, and for digits what other features do."""
    null = sample_scores(world, honest, rng, 2 * repeats)
    faults = [f for f in FAULTS if not (isinstance(world, Digits) and f == "equal first three moments")]
    found = {fault: compared(sample_scores(world, FAULTS[fault], rng, repeats), null, world.fresh) for fault in faults}
    if isinstance(world, Digits):
        again = train_features(world.pictures, world.labels, np.random.default_rng(world.seed + 1), steps=400)
        foreign = Digits(world.seed, world.n, features_of_shapes(rng))
        there = sample_scores(foreign, honest, rng, 2 * repeats)
        other = sample_scores(Digits(world.seed, world.n, again), honest, rng, repeats)
        found["honest, other seed's features"] = compared(other, null, world.fresh)
        found["honest, foreign features"] = compared(there, null, world.fresh)
        found["noise, foreign features"] = compared(sample_scores(foreign, FAULTS["blur and noise"], rng, repeats), there, world.fresh)
    return found


# %% [markdown]
# ## Claims
# What was so in each of five worlds and draws: the metric, in the order of `scores`, sees the fault (+), is fooled, and even finds faulty
# samples better (-), or is blind (.). Where it depends on the draw (?) nothing is claimed.


# %%
CLAIMS = {
    "known distribution": {
        "blur and noise": "........+.+?+...?.-?...--.",
        "two modes of ten dropped": "+??+?++..+.+.+?+.+???++...",
        "modes reweighted": "+??++++?...?.?...+????....",
        "5 % outliers": "++??.++??.....+.+.........",
        "a fifth of them, five times": "?..+?+??.+.+.??..?+.?+?..+",
        "the training set itself": ".......................++.",
        "99 % noise (Theis et al.)": "+++++++++-++++++++-++++--.",
        "tiny Gaussians (Theis et al.)": "...+.....+.+.?..?.+..+.+++",
        "an eighth of the samples": "??.??++..?.+.++..?+.?+?...",
        "equal first three moments": "...+....?..+?.......?+.--.",
    },
    "digits": {
        "blur and noise": "+.???+?++?+++...++-.+++--.",
        "two modes of ten dropped": "+????+?..+.+.+.+.++?.?+...",
        "modes reweighted": "+.??.+?......?...?...?....",
        "5 % outliers": "++?..+++?.....?.+?-.......",
        "a fifth of them, five times": "+????++?.+.+.??..?+?+++..+",
        "the training set itself": "................??.....++.",
        "99 % noise (Theis et al.)": "+++++++++?+++.?+++-++.+--.",
        "tiny Gaussians (Theis et al.)": "....??..?+.?....??..++.+++",
        "an eighth of the samples": "+?..?++?...+.++?.?+.+++...",
        "honest, other seed's features": "................??........",
        "honest, foreign features": "?....-?-........?+-...+...",
        "noise, foreign features": "+++++++++-+++?+.+.-++++--.",
    },
}


def holds(claim, shift):
    """Whether a shift bears out a claim: one that is seen is half of SEEN at least, and no chance; what is blind stays within SEEN."""
    seen = SEEN / 2 * max(1, shift.error)
    return {"+": shift.z > seen, "-": shift.z < -seen, ".": abs(shift.z) <= SEEN, "?": True}[claim]


# %% [markdown]
# ## What features do
# A Fréchet distance depends on its features. The same two sets of digits, one of them noisy, in the features of the classifier, of
# others, and as maps of pixels, which the spatial distance takes.


# %%
def by_features(world, repeats=5):
    """{features: (honest, noisy)} Fréchet distances divided by the trace of the covariance, for digits."""
    rng = np.random.default_rng(world.seed)
    clean = world.draw_pictures(world.n, rng)[0]
    noisy = clean + 0.3 * rng.standard_normal(clean.shape).astype(np.float32)
    train = lambda s, steps: train_features(world.pictures, world.labels, np.random.default_rng(s), steps=steps)
    extractors = {f"classifier, seed {s}": train(s, 400) for s in range(repeats)}
    extractors |= {"of shapes": features_of_shapes(rng), "untrained network": train(0, 0)}
    trace = lambda x: float(np.sum(np.var(x, axis=0, ddof=1)))
    relative = lambda f, x: frechet_distance(f(world.real), f(x)) / trace(f(world.real))
    found = {name: (relative(f, clean), relative(f, noisy)) for name, f in extractors.items()}
    spatial = lambda x: spatial_frechet_distance(world.real.reshape(-1, 8, 8, 1), x.reshape(-1, 8, 8, 1), channels=1) / trace(world.real)
    return found | {"pixels (spatial)": (spatial(clean), spatial(noisy))}


# %% [markdown]
# ## The picture


# %%
def draw_map(axes, world, found):
    """The cells of one world."""
    faults, metrics = list(found), list(next(iter(found.values())))
    cells = np.array([[found[f][m].z for m in metrics] for f in faults])
    sure = np.array([[found[f][m].verdict is not None for m in metrics] for f in faults])
    axes.imshow(np.clip(np.where(sure, cells, 0), -12, 12), cmap="RdBu_r", vmin=-12, vmax=12, aspect="auto")
    for (i, j), z in np.ndenumerate(cells):
        said = (f"{z:+.0f}" if abs(z) >= 0.5 else "0") if abs(z) < 99.5 else "> 99" if z > 0 else "< −99"
        said = said.replace("-", "−") if sure[i, j] else f"± {min(abs(z), 999):.0f}"
        axes.text(j, i, said, ha="center", va="center", fontsize=7.5, color="white" if sure[i, j] and abs(z) > 7 else "black")
    axes.set_xticks(range(len(metrics)), metrics, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(faults)), faults, fontsize=8)
    axes.set_title(f"{world}: standard deviations from honest samples; red: worse, blue: better, ±: perhaps by chance", fontsize=10)


def draw_features(axes, table):
    """Relative Fréchet distances in each space of features."""
    names = list(table)
    for k, (label, colour) in enumerate((("honest", "#1f77b4"), ("noisy", "#d62728"))):
        axes.barh(np.arange(len(names)) + 0.4 * k, [table[n][k] for n in names], 0.4, label=label, color=colour)
    axes.set_yticks(np.arange(len(names)) + 0.2, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("digits: Fréchet distance / trace of the covariance", fontsize=10)
    axes.legend(fontsize=8)


def draw_likelihoods(axes, table):
    """The table of likelihoods."""
    axes.set_axis_off()
    columns = ["test NLL", "gap", "memorized", "precision", "coverage", "authentic"]
    cells = [[*(f"{v:.3g}" for v in row[:3]), *(f"{v:.2f}" for v in row[3:])] for row in table.values()]
    drawn = axes.table(cells, rowLabels=list(table), colLabels=columns, bbox=(0.28, 0.25, 0.72, 0.5), cellLoc="center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    axes.set_title("models of the known distribution, in nats: likelihood and samples say little of each other", fontsize=10)


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Score all faults by all metrics, draw out/metrics.png and return the tables."""
    n, repeats = (160, 2) if quick else (400, 6)  # an eighth of them is 20, which the extrapolated distance needs
    worlds = Known(seed, n), Digits(seed, n)
    maps = {world.name: atlas(world, np.random.default_rng(seed), repeats) for world in worlds}
    features, likelihood = by_features(worlds[1], 1 if quick else 5), faults.likelihoods(worlds[0], seed, 2 if quick else 5)

    fig = figure(16, 14)
    fig.get_layout_engine().set(w_pad=0.1)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1.15, 1.25, 0.6))
    for part, (name, found) in zip((top, middle), maps.items(), strict=True):
        draw_map(part.subplots(), name, found)
    left, right = bottom.subplots(1, 2, width_ratios=(1, 1.2))
    draw_features(left, features)
    draw_likelihoods(right, likelihood)
    save_figure(fig, out, "metrics")
    table(maps)
    plain = {world: {f: {m: list(s) for m, s in row.items()} for f, row in found.items()} for world, found in maps.items()}
    judged = {name: row._asdict() for name, row in likelihood.items()}
    return {"shifts_and_errors": plain, "relative_frechet_by_features": features, "likelihoods": judged}


def table(maps):
    """Print what each metric makes of each fault, as claimed, and which claims this run does not bear out."""
    for world, found in maps.items():
        print(f"\n{world}")
        for fault, row in found.items():
            print(f"  {fault}")
            claims = dict(zip(row, CLAIMS[world][fault], strict=True))
            for sign, says in (("+", "seen by"), ("-", "fooled, even better"), (".", "blind"), ("?", "depends on the draw")):
                print(f"    {says}: {', '.join(m for m in row if claims[m] == sign) or 'none'}")
            wrong = [f"{m} ({shift.z:+.3g} ± {shift.error:.2g})" for m, shift in row.items() if not holds(claims[m], shift)]
            print(f"    not so in this run: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()
