# %% [markdown]
"""
# Samples with something wrong

What can be wrong with samples, done on purpose to honest ones: some are blurred, some classes are missing, the training set is handed out
as if it were new. Two worlds are there for it: one whose distribution is known, where honest samples are endless, and real digits in the
features of a small classifier, where they are other real digits. The atlas of metrics scores them; here they are drawn.
"""

# %%
from typing import NamedTuple

import numpy as np

from minigen.data import digits
from minigen.data.shapes import ShapeClass, shapes
from minigen.functions import softmax
from minigen.metrics import (
    authenticity,
    density_coverage,
    gaussian_kernel,
    generalisation_gap,
    median_distance,
    memorization_by_folds,
    nll,
    precision_recall,
    train_features,
)
from minigen.models import GMM, KDE
from minigen.plot import figure, save_figure

# %% [markdown]
# ## Worlds
# A world holds a training set, a test set to compare with, honest samples without end, and the labels of all.


# %%
class Known:
    """Ten Gaussians in ℝ⁴, and a fifth coordinate that is ±1: two sets of it differ by chance alone."""

    name, fresh = "known distribution", 1.0

    def __init__(self, seed, n=400):
        self.n, rng = n, np.random.default_rng((seed, 1))  # no other draw begins with the training set
        self.centres, self.width = 4 * np.random.default_rng(0).standard_normal((10, 4)), 1.0
        (self.train, self.train_labels), (self.test, self.test_labels) = self.draw(n, rng), self.draw(n, rng)
        self.kernel, self.same, self.scale = gaussian_kernel(1.0), 0.02, median_distance(self.test, self.test)

    def draw(self, n, rng, weights=None):
        """n samples and their labels."""
        y = rng.choice(10, n, p=weights)
        x = self.centres[y] + rng.standard_normal((n, 4))
        return np.concatenate([x, rng.choice([-1.0, 1.0], (n, 1))], axis=1), y

    def coordinates(self, x):
        """Where the modes are."""
        return x[:, :4]

    def probabilities(self, x):
        """p(y|x), exact."""
        squares = -0.5 * np.sum((x[:, None, :4] - self.centres) ** 2, axis=-1)
        p = np.exp(squares - np.max(squares, axis=1, keepdims=True))
        return p / np.sum(p, axis=1, keepdims=True)

    def blurred(self, rng):
        """Samples with noise of half the width of a mode."""
        x, y = self.draw(self.n, rng)
        return x + 0.5 * rng.standard_normal(x.shape), y


class Digits(Known):
    """Real digits in the features of a classifier that saw none of them; honest samples are drawn from those that nobody else has."""

    name = "digits"

    def __init__(self, seed, n=300, features=None):
        (x, y), rng, n = digits(), np.random.default_rng((seed, 1)), min(n, 300)
        order = rng.permutation(len(x))
        x, y = x.reshape(len(x), -1)[order], y[order]
        self.n, self.seed, self.fresh = n, seed, (1 - n / (len(x) - 400 - 2 * n)) ** 0.5  # of a finite pool, draws differ less
        self.pictures, _, self.real, self.pool = np.split(x, [400, 400 + n, 400 + 2 * n])
        self.labels, self.train_labels, self.test_labels, self.pool_labels = np.split(y, [400, 400 + n, 400 + 2 * n])
        self.features = features or train_features(self.pictures, self.labels, rng, steps=400)
        self.train, self.test = self.features(x[400 : 400 + n]), self.features(self.real)
        self.scale = median_distance(self.test, self.test)
        self.kernel, self.same = gaussian_kernel(self.scale), 1e-4 * self.scale
        self.centres = np.stack([np.mean(self.train[self.train_labels == c], axis=0) for c in range(10)])
        self.width = float(np.mean((self.train - self.centres[self.train_labels]) ** 2)) ** 0.5

    def draw(self, n, rng, weights=None):
        """n of the pool, no digit twice where there are enough, and their labels."""
        x, y = self.draw_pictures(n, rng, weights)
        return self.features(x), y

    def draw_pictures(self, n, rng, weights=None):
        """The pictures of `draw`."""
        p = None if weights is None else (w := np.asarray(weights)[self.pool_labels]) / np.sum(w)
        some = rng.choice(len(self.pool), n, replace=p is not None and np.count_nonzero(p) < n, p=p)
        return self.pool[some], self.pool_labels[some]

    def coordinates(self, x):
        """Modes are where the classes are."""
        return x

    def probabilities(self, x):
        """p(y|x), from the last layer of the classifier."""
        return softmax(self.features.network.layers[-1](x))

    def blurred(self, rng):
        """Pictures with noise of a third of the whole range of grey."""
        x, y = self.draw_pictures(self.n, rng)
        return self.features(x + 0.3 * rng.standard_normal(x.shape).astype(np.float32)), y


# %% [markdown]
# ## Faults


# %%
def honest(world, rng):
    """Fresh samples of the truth."""
    return world.draw(world.n, rng)


def without_two(world, rng):
    """No sample of two of the ten classes."""
    return world.draw(world.n, rng, [0.0, 0.0] + [0.125] * 8)


def reweighted(world, rng):
    """All classes, five of them three times as often as the others."""
    return world.draw(world.n, rng, [0.15] * 5 + [0.05] * 5)


def outliers(world, rng):
    """One sample in twenty is far from everything."""
    (x, y), spread = world.draw(world.n, rng), np.std(world.test, axis=0)
    far = rng.choice(len(x), len(x) // 20, replace=False)
    x[far] = np.mean(world.test, axis=0) + 6 * (spread + np.mean(spread)) * rng.standard_normal((len(far), x.shape[1]))
    return x, y


def duplicates(world, rng):
    """A fifth of the samples, each five times."""
    return tuple(np.repeat(a, 5, axis=0)[: world.n] for a in world.draw(-(-world.n // 5), rng))


def memorised(world, rng):
    """The training set."""
    order = rng.permutation(len(world.train))
    return world.train[order], world.train_labels[order]


def mostly_noise(world, rng):
    """One honest sample in a hundred, and 99 % of wide noise: a likelihood that is at most log 100 = 4.6 nats worse."""
    x, y = world.draw(world.n, rng)
    noise = np.mean(world.test, axis=0) + 5 * np.std(world.test, axis=0) * rng.standard_normal(x.shape)
    return np.where(rng.random(len(x))[:, None] < 0.01, x, noise).astype(x.dtype), y


def tiny_gaussians(world, rng):
    """Draws of tiny Gaussians on the training data: a hopeless likelihood."""
    some = rng.integers(len(world.train), size=world.n)
    x = world.train[some]
    return x + (1e-2 * world.same * rng.standard_normal(x.shape)).astype(x.dtype), world.train_labels[some]


def equal_moments(world, rng):
    """The fifth coordinate is −√3, 0 or √3 with probabilities 1/6, 2/3, 1/6: mean, variance and skewness are those of ±1."""
    x, y = world.draw(world.n, rng)
    x[:, 4] = rng.choice([-(3**0.5), 0.0, 3**0.5], len(x), p=[1 / 6, 2 / 3, 1 / 6])
    return x, y


FAULTS = {
    "blur and noise": lambda world, rng: world.blurred(rng),
    "two modes of ten dropped": without_two,
    "modes reweighted": reweighted,
    "5 % outliers": outliers,
    "a fifth of them, five times": duplicates,
    "the training set itself": memorised,
    "99 % noise (Theis et al.)": mostly_noise,
    "tiny Gaussians (Theis et al.)": tiny_gaussians,
    "an eighth of the samples": lambda world, rng: world.draw(world.n // 8, rng),
    "equal first three moments": equal_moments,
}


def features_of_shapes(rng):
    """A classifier of squares, circles and triangles, light or dark, in 8 × 8: a foreign domain."""
    kinds = [ShapeClass(shape, base, 1, 0.05) for shape in ("square", "circle", "triangle") for base in (0.4, 0.8)]
    x, y, _ = shapes(200, rng, 8, kinds, vary=True)
    return train_features(np.mean(x, axis=-1).reshape(len(x), -1), y, rng, steps=400)


# %% [markdown]
# ## Models with something wrong
# A mixture of 1 % of a good model and 99 % noise loses at most log 100 ≈ 4.6 nats, and draws garbage. Tiny Gaussians on the training
# points draw perfect copies, and find test data impossible: the gap and the memorization score, which look at densities, see it.


# %%
class Mixed(NamedTuple):
    """A model of 1 % of a good one and 99 % noise around the middle of the data."""

    good: GMM
    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, x, rng):
        """Fitted to x (n, D)."""
        return cls(GMM.fit(x, 10, rng=rng), np.mean(x, axis=0), 5 * np.std(x, axis=0))

    def log_prob(self, x):
        """Nats, (n,)."""
        z = (x - self.middle) / self.spread
        noise = -np.sum(0.5 * z**2 + np.log(self.spread) + 0.5 * np.log(2 * np.pi), axis=1)
        return np.logaddexp(np.log(0.01) + self.good.log_prob(x), np.log(0.99) + noise)

    def sample(self, n, rng):
        """Samples, (n, D)."""
        noise = self.middle + self.spread * rng.standard_normal((n, len(self.middle)))
        return np.where(rng.random(n)[:, None] < 0.01, self.good.sample(n, rng), noise)


class Judged(NamedTuple):
    """What is said of a model and of its samples; nats, shares, and the mean memorization score in nats."""

    nll: float
    gap: float
    memorization: float
    precision: float
    coverage: float
    authentic: float


def likelihoods(world, seed, folds=5):
    """{model: Judged}, of the four coordinates with a density."""
    rng, (train, test) = np.random.default_rng(seed), (world.coordinates(x) for x in (world.train, world.test))
    fits = {
        "a good model": lambda x: GMM.fit(x, 10, rng=rng),
        "1 % of it, 99 % noise": lambda x: Mixed.fit(x, rng),
        "tiny Gaussians on training data": lambda x: KDE.fit(x, 1e-3),
    }
    found = {}
    for name, fit in fits.items():
        model = fit(train)
        x, log_prob = model.sample(world.n, rng), model.log_prob(test)
        gap = generalisation_gap(model.log_prob(train), log_prob).mean
        memory = float(np.mean(memorization_by_folds(fit, train, rng, folds)))
        shares = precision_recall(test, x).precision, density_coverage(test, x).coverage, authenticity(train, x)
        found[name] = Judged(nll(log_prob).mean, gap, memory, *shares)
    return found


# %% [markdown]
# ## What the eye sees of them


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Draw two coordinates of each fault in the known world, out/faults.png; returns how many samples of each are distinct."""
    world, rng = Known(seed, 400), np.random.default_rng(seed)
    sets = [("honest", honest), *FAULTS.items(), ("honest", honest)]
    middle, spread = np.mean(world.test, axis=0), np.std(world.test, axis=0)
    fig, found = figure(15, 7), {}
    for k, (ax, (name, make)) in enumerate(zip(fig.subplots(2, 6).flat, sets, strict=True)):
        x, y = make(world, rng)
        found[name] = len(np.unique(x, axis=0))
        i, j = (0, 1) if k < 10 else (0, 4)
        far = 20 if name in ("5 % outliers", "99 % noise (Theis et al.)") else 3.5
        ax.scatter(x[:, i], x[:, j], s=5, c=y, cmap="tab10", vmin=0, vmax=9)
        ax.set(
            xlim=(middle[i] - far * spread[i], middle[i] + far * spread[i]), ylim=(middle[j] - far * spread[j], middle[j] + far * spread[j])
        )
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{name}{', from afar' if far > 9 else ''}", fontsize=9)
        ax.set_xlabel(f"coordinates {i + 1} and {j + 1}", fontsize=8)
    save_figure(fig, out, "faults")
    return {"distinct_samples": found}


if __name__ == "__main__":
    main()
