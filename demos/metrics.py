# %% [markdown]
"""
# An atlas of how each metric is fooled

A score is trusted because of what it would say if something were wrong. Here something is wrong, on purpose: samples are blurred, a class
is missing, the training set is handed out as if it were new. Every metric scores every such set, many times over; a cell of the map says
how many standard deviations it moves from what honest samples of the same distribution score: red where it sees the fault, white where
it is blind, blue where it even finds the faulty samples better.

Two worlds: one whose distribution is known, where honest samples are endless, and real digits in the features of a small classifier, where
they are other real digits. Likelihoods get a table of their own, with the two examples of Theis, van den Oord & Bethge 2016.
"""

# %%

import numpy as np

from minigen.data import digits
from minigen.metrics import (
    authenticity,
    birthday_paradox,
    classifier_two_sample_test,
    data_copying_test,
    density_coverage,
    f_scores,
    frechet_distance,
    gaussian_kernel,
    inception_score,
    kernel_distance,
    knn_two_sample_test,
    mmd2,
    nll,
    prd_curve,
    precision_recall,
    sliced_wasserstein,
    train_features,
    vendi_score,
)
from minigen.models import GMM, KDE
from minigen.plot import figure, save_figure

SEEN = 4.0  # standard deviations from what honest samples score

# %% [markdown]
# ## Metrics
# Each takes a world and a set of samples, and gives a number that is larger the worse the samples are.


# %%
METRICS = {
    "Fréchet distance": lambda w, x, rng: frechet_distance(w.test, x),
    "KID (cubic kernel)": lambda w, x, rng: kernel_distance(w.test, x).mean,
    "MMD (Gaussian kernel)": lambda w, x, rng: mmd2(w.test, x, w.kernel).mean,
    "sliced Wasserstein": lambda w, x, rng: sliced_wasserstein(w.test, x, np.random.default_rng(0), 100).mean,
    "1 − precision": lambda w, x, rng: 1 - precision_recall(w.test, x).precision,
    "1 − recall": lambda w, x, rng: 1 - precision_recall(w.test, x).recall,
    "1 − density": lambda w, x, rng: 1 - density_coverage(w.test, x).density,
    "1 − coverage": lambda w, x, rng: 1 - density_coverage(w.test, x).coverage,
    "1 − PRD recall (F 8)": lambda w, x, rng: 1 - f_scores(w.prd(x, rng)).recall,
    "1 − PRD precision (F 1/8)": lambda w, x, rng: 1 - f_scores(w.prd(x, rng)).precision,
    "− Inception score": lambda w, x, rng: -inception_score(w.probabilities(x), splits=1).mean,
    "− Vendi score": lambda w, x, rng: -vendi_score(x, w.kernel),
    "C2ST accuracy": lambda w, x, rng: classifier_two_sample_test(w.test, x, rng, steps=100, permutations=1).statistic,
    "same-set neighbours": lambda w, x, rng: knn_two_sample_test(w.test, x, rng, permutations=1).statistic,
    "− authenticity": lambda w, x, rng: -authenticity(w.train, x),
    "copying, −C_T": lambda w, x, rng: -data_copying_test(w.train, w.test, x).statistic,
    "pairs of duplicates": lambda w, x, rng: birthday_paradox(x, w.same).pairs,
}

# %% [markdown]
# ## Worlds
# A world holds a training set, a test set to compare with, honest samples without end, and the labels of all.


# %%
class Known:
    """Ten Gaussians in ℝ⁴, and a fifth coordinate that is ±1: two sets of it differ by chance alone."""

    name = "known distribution"

    def __init__(self, seed, n):
        self.n, rng = n, np.random.default_rng(seed)
        self.centres = 4 * rng.standard_normal((10, 4))
        (self.train, self.train_labels), (self.test, _) = self.draw(n, rng), self.draw(n, rng)
        self.kernel, self.same = gaussian_kernel(1.0), 0.02

    def draw(self, n, rng, weights=None):
        """n samples and their labels."""
        y = rng.choice(10, n, p=weights)
        x = self.centres[y] + rng.standard_normal((n, 4))
        return np.concatenate([x, rng.choice([-1.0, 1.0], (n, 1))], axis=1), y

    def probabilities(self, x):
        """p(y|x), exact."""
        squares = -0.5 * np.sum((x[:, None, :4] - self.centres) ** 2, axis=-1)
        p = np.exp(squares - np.max(squares, axis=1, keepdims=True))
        return p / np.sum(p, axis=1, keepdims=True)

    def prd(self, x, rng):
        """The precision-recall curve."""
        return prd_curve(self.test, x[: self.n], rng, runs=2, angles=101) if len(x) == self.n else few(self.test, x, rng)

    def blurred(self, x, rng):
        """Samples with noise of half the width of a mode."""
        return x + 0.5 * rng.standard_normal(x.shape)


class Digits(Known):
    """Real digits in the 64 features of a classifier; honest samples are drawn from those that nobody else has."""

    name = "digits"

    def __init__(self, seed, n):
        rng = np.random.default_rng(seed)
        x, y = digits()
        order = rng.permutation(len(x))
        self.x, self.y = x.reshape(len(x), -1)[order], y[order]
        self.n = n = min(n, len(x) // 4)
        self.classifier = train_features(self.x[: 2 * n], self.y[: 2 * n], rng, steps=500)
        self.train, self.train_labels = self.classifier(self.x[:n]), self.y[:n]
        self.test, self.pool, self.pool_labels = self.classifier(self.x[2 * n : 3 * n]), self.x[3 * n :], self.y[3 * n :]
        self.kernel, self.same = gaussian_kernel(float(np.median(np.linalg.norm(self.test[:200, None] - self.test[:200], axis=-1)))), 1e-3

    def draw(self, n, rng, weights=None):
        """n of the pool, no digit twice where there are enough, and their labels."""
        p = None if weights is None else (w := np.asarray(weights)[self.pool_labels]) / np.sum(w)
        some = rng.choice(len(self.pool), n, replace=p is not None and np.count_nonzero(p) < n, p=p)
        return self.classifier(self.pool[some]), self.pool_labels[some]

    def probabilities(self, x):
        """p(y|x), from the last layer of the classifier."""
        logits = self.classifier.network.layers[-1](x)
        p = np.exp(logits - np.max(logits, axis=1, keepdims=True))
        return p / np.sum(p, axis=1, keepdims=True)

    def blurred(self, x, rng):
        """Pictures with noise: half of a grey level in sixteen would not be seen, a third of the whole range is."""
        some = rng.choice(len(self.pool), len(x), replace=False)
        return self.classifier(self.pool[some] + 0.3 * rng.standard_normal(self.pool[some].shape).astype(np.float32))


def few(test, x, rng):
    """The precision-recall curve where there are fewer samples: of as many test data."""
    return prd_curve(test[rng.choice(len(test), len(x), replace=False)], x, rng, runs=2, angles=101)


# %% [markdown]
# ## Faults


# %%
def without_two(world, rng):
    """No sample of two of the ten classes."""
    return world.draw(world.n, rng, [0.0, 0.0] + [0.125] * 8)[0]


def reweighted(world, rng):
    """All classes, five of them three times as often as the others."""
    return world.draw(world.n, rng, [0.15] * 5 + [0.05] * 5)[0]


def outliers(world, rng):
    """One sample in twenty is far from everything."""
    x, spread = world.draw(world.n, rng)[0].copy(), np.std(world.test, axis=0)
    far = rng.choice(len(x), len(x) // 20, replace=False)
    x[far] = np.mean(world.test, axis=0) + 6 * (spread + np.mean(spread)) * rng.standard_normal((len(far), x.shape[1]))
    return x


def duplicates(world, rng):
    """Each of a fifth of the samples five times."""
    return np.repeat(world.draw(-(-world.n // 5), rng)[0], 5, axis=0)[: world.n]


def memorised(world, rng):
    """The training set."""
    return world.train[rng.permutation(len(world.train))]


def equal_moments(world, rng):
    """The fifth coordinate is −√3, 0 or √3 with probabilities 1/6, 2/3, 1/6: mean, variance and skewness are those of ±1."""
    x = world.draw(world.n, rng)[0].copy()
    x[:, 4] = rng.choice([-(3**0.5), 0.0, 3**0.5], len(x), p=[1 / 6, 2 / 3, 1 / 6])
    return x


FAULTS = {
    "blur and noise": lambda world, rng: world.blurred(world.draw(world.n, rng)[0], rng),
    "two modes of ten dropped": without_two,
    "modes reweighted": reweighted,
    "5 % outliers": outliers,
    "every sample five times": duplicates,
    "the training set itself": memorised,
    "an eighth of the samples": lambda world, rng: world.draw(world.n // 8, rng)[0],
    "equal first three moments": equal_moments,
}


def score(world, make, metric, rng, repeats):
    """The metric's values for independent sets of samples."""
    return np.array([METRICS[metric](world, make(world, rng), rng) for _ in range(repeats)])


def honest(world, rng):
    """Fresh samples of the truth."""
    return world.draw(world.n, rng)[0]


def shifts(world, faults, metrics, rng, repeats):
    """How far each fault moves each metric, in standard deviations of honest samples: {fault: {metric: shift}}, > 0 for worse."""
    found = {fault: {} for fault in faults}
    for metric in metrics:
        null = score(world, honest, metric, rng, 2 * repeats)
        spread = max(np.std(null, ddof=1), 1e-9 * max(1.0, float(np.max(np.abs(null)))))
        for fault in faults:
            found[fault][metric] = float((np.mean(score(world, FAULTS[fault], metric, rng, repeats)) - np.mean(null)) / spread)
    return found


# %% [markdown]
# ## What features do
# A feature distance depends on the features. The same two sets of digits, one of them noisy, in the features of the same classifier trained
# from another seed, and in those of a network that knows nothing of digits.


# %%
def by_features(world, seed, repeats=5):
    """{features: (honest, noisy)} Fréchet distances divided by the trace of the covariance, for digits."""
    rng = np.random.default_rng(seed)
    real, clean = world.x[2 * world.n : 3 * world.n], world.pool[: world.n]
    noisy = clean + 0.3 * rng.standard_normal(clean.shape).astype(np.float32)
    labels = world.y[: 2 * world.n]
    train = lambda s, steps: train_features(world.x[: 2 * world.n], labels, np.random.default_rng(s), steps=steps)
    extractors = {f"classifier, seed {s}": train(s, 500) for s in range(repeats)} | {"untrained network": train(0, 0)}
    extractors["pixels"] = lambda x: x
    relative = lambda f, x: frechet_distance(f(real), f(x)) / float(np.trace(np.cov(f(real).T)))
    return {name: (relative(f, clean), relative(f, noisy)) for name, f in extractors.items()}


# %% [markdown]
# ## What likelihoods do
# A mixture of 1 % of a good model and 99 % noise loses at most log 100 ≈ 4.6 nats, and draws garbage. Tiny Gaussians on the training points
# draw perfect copies, and find test data impossible.


# %%
def likelihoods(world, seed):
    """{model: (test NLL in nats, precision, coverage, share of authentic samples)}."""
    rng = np.random.default_rng(seed)
    good = GMM.fit(world.train[:, :4], 10, rng=rng)
    spread, middle = np.std(world.train[:, :4], axis=0), np.mean(world.train[:, :4], axis=0)
    log_noise = lambda x: -np.sum(0.5 * ((x - middle) / (5 * spread)) ** 2 + np.log(5 * spread) + 0.5 * np.log(2 * np.pi), axis=1)
    log_mixed = lambda x: np.logaddexp(np.log(0.01) + good.log_prob(x), np.log(0.99) + log_noise(x))
    copies = KDE.fit(world.train[:, :4], 1e-3)
    n, keep = world.n, rng.random(world.n) < 0.01
    noise = middle + 5 * spread * rng.standard_normal((n, 4))
    samples = {
        "a good model": (good.log_prob, good.sample(n, rng)),
        "1 % of it, 99 % noise": (log_mixed, np.where(keep[:, None], good.sample(n, rng), noise)),
        "tiny Gaussians on the training data": (copies.log_prob, copies.sample(n, rng)),
    }
    test, train = world.test[:, :4], world.train[:, :4]
    judge = lambda x: (precision_recall(test, x).precision, density_coverage(test, x).coverage, authenticity(train, x))
    return {name: (nll(log_prob(test)).mean, *judge(x)) for name, (log_prob, x) in samples.items()}


# %%
def draw_map(axes, world, found):
    """The cells of one world."""
    faults, metrics = list(found), list(METRICS)
    cells = np.array([[found[f][m] for m in metrics] for f in faults])
    image = axes.imshow(np.clip(cells, -12, 12), cmap="RdBu_r", vmin=-12, vmax=12, aspect="auto")
    for i, j in np.ndindex(cells.shape):
        z = cells[i, j]
        said = f"{z:+.0f}" if abs(z) < 99.5 else "> 99" if z > 0 else "< −99"
        axes.text(j, i, said, ha="center", va="center", fontsize=8, color="white" if abs(z) > 7 else "black")
    axes.set_xticks(range(len(metrics)), metrics, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(faults)), faults, fontsize=8)
    axes.set_title(f"{world.name}: standard deviations from honest samples; red: worse, blue: better", fontsize=10)
    return image


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
    columns = ["test NLL (nats)", "precision", "coverage", "authentic"]
    cells = [[f"{row[0]:.3g}", *(f"{v:.2f}" for v in row[1:])] for row in table.values()]
    drawn = axes.table(cells, rowLabels=list(table), colLabels=columns, loc="center", cellLoc="center")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.6)
    axes.set_title("likelihood and samples say little of each other", fontsize=10)


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Score all faults by all metrics, draw out/metrics.png and return the tables."""
    n, repeats = (160, 2) if quick else (400, 6)
    rng, worlds = np.random.default_rng(seed), {w.name: w(seed, n) for w in (Known, Digits)}
    maps = {}
    for name, world in worlds.items():
        faults = [f for f in FAULTS if name == "known distribution" or f != "equal first three moments"]
        maps[name] = shifts(world, faults, METRICS, rng, repeats)
    features, likelihood = by_features(worlds["digits"], seed, 2 if quick else 5), likelihoods(worlds["known distribution"], seed)

    fig = figure(13, 13)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1.2, 1.15, 0.7))
    for part, (name, found) in zip((top, middle), maps.items(), strict=True):
        draw_map(part.subplots(), worlds[name], found)
    left, right = bottom.subplots(1, 2)
    draw_features(left, features)
    draw_likelihoods(right, likelihood)
    save_figure(fig, out, "metrics")
    table(maps)
    return {"shifts": maps, "relative_frechet_by_features": features, "likelihoods": likelihood}


def table(maps):
    """Print which metric sees what, one line a fault."""
    for world, found in maps.items():
        print(f"\n{world}")
        for fault, row in found.items():
            say = lambda test, row=row: ", ".join(m for m, z in row.items() if test(z)) or "none"
            print(f"  {fault}\n    seen by: {say(lambda z: z > SEEN)}\n    fooled, even better: {say(lambda z: z < -SEEN)}")


if __name__ == "__main__":
    main()
