# %% [markdown]
"""
# Two-sample tests, and nearest neighbours

Could these two sets of samples come from one distribution? A test must not cry wolf: where they do, its p-values are uniform. And it
should see what there is to see: where the sets differ, how often does it say so? Both are counted here, for a test by a kernel, by a
learned kernel, by a classifier and by neighbours. Below: for samples of a model, the real digits that are nearest in the features of
a classifier.
"""

# %%
import numpy as np

from minigen.data import digits, split
from minigen.metrics import (
    authenticity,
    classifier_two_sample_test,
    knn_two_sample_test,
    mmd_test,
    nearest_neighbours,
    train_features,
)
from minigen.models import GMM
from minigen.plot import figure, save_figure, show_images

LEVEL, PERMUTATIONS = 0.05, 99
TESTS = {
    "MMD, median bandwidth": lambda x, y, rng: mmd_test(x, y, rng, permutations=PERMUTATIONS),
    "MMD, learned kernel": lambda x, y, rng: mmd_test(x, y, rng, "deep", permutations=PERMUTATIONS),
    "classifier": lambda x, y, rng: classifier_two_sample_test(x, y, rng, hidden=(32,), steps=150, permutations=PERMUTATIONS),
    "5 nearest neighbours": lambda x, y, rng: knn_two_sample_test(x, y, rng, permutations=PERMUTATIONS),
}


# %% [markdown]
# ## Validity and power
# The sets are 80 points in the plane each. Under the alternative one of them is moved by so many standard deviations.


# %%
def p_values(test, shift, repeats, rng):
    """The p-values of so many pairs of sets."""
    draw = lambda shift: rng.standard_normal((80, 2)) + np.array([shift, 0.0])
    return np.array([TESTS[test](draw(0.0), draw(shift), rng).p_value for _ in range(repeats)])


def draw_tests(axes, repeats, shifts, fewer, rng):
    """Distribution functions of p-values under the hypothesis, and power by shift; returns {test: (share below 5 %, powers)}."""
    found = {}
    for k, test in enumerate(TESTS):
        null = np.sort(p_values(test, 0.0, repeats, rng))
        powers = [float(np.mean(p_values(test, shift, fewer, rng) <= LEVEL)) for shift in shifts]
        found[test] = (float(np.mean(null <= LEVEL)), powers)
        axes[0].step(null, np.arange(1, repeats + 1) / repeats, where="post", color=f"C{k}", label=test)
        axes[1].plot(shifts, powers, "o-", color=f"C{k}", label=test)
    axes[0].plot([0, 1], [0, 1], "k--", linewidth=1, label="uniform")
    axes[0].set_xlabel("p")
    axes[0].set_title(f"the same distribution: share of p-values below p ({repeats} pairs of sets)", fontsize=9)
    axes[0].legend(fontsize=8)
    axes[1].axhline(LEVEL, color="k", linestyle="--", linewidth=1)
    axes[1].set_xlabel("shift in standard deviations")
    axes[1].set_ylim(0, 1.03)
    axes[1].set_title(f"different distributions: how often p ≤ {LEVEL} (of {fewer})", fontsize=9)
    return found


# %% [markdown]
# ## Neighbours
# Samples of a mixture, each with the three training digits nearest to it in features. A model that copies would have its own picture below.


# %%
def draw_neighbours(ax, rng, components, steps):
    """Samples and their neighbours; returns the share of authentic samples of the mixture and of held-out digits."""
    images, labels = digits()
    x, x_test, y, _ = split(images.reshape(len(images), -1), labels, rng=rng)
    features = train_features(x, y, rng, steps=steps)
    samples = np.clip(GMM.fit(x, components, covariance="diag", reg=1e-3, rng=rng).sample(200, rng), 0, 1).astype(np.float32)
    index, _ = nearest_neighbours(features(samples), features(x), k=3)
    shown = 18
    rows = [samples[:shown], *(x[index[:shown, j]] for j in range(3))]
    show_images(ax, np.concatenate(rows).reshape(-1, 8, 8), shown, "samples of a mixture; under each the 3 nearest training digits")
    return authenticity(features(x), features(samples)), authenticity(features(x), features(x_test))


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Draw out/two_sample.png and return what was counted."""
    rng = np.random.default_rng(seed)
    shifts, repeats, fewer = ([1.0], 6, 4) if quick else ([0.25, 0.5, 1.0, 1.5], 50, 16)
    fig = figure(12, 8)
    top, bottom = fig.subfigures(2, 1, height_ratios=(1.4, 1))
    tests = draw_tests(top.subplots(1, 2), repeats, shifts, fewer, rng)
    ours, real = draw_neighbours(bottom.subplots(), rng, 10 if quick else 60, 300 if quick else 1500)
    save_figure(fig, out, "two_sample")
    return {
        "false_alarms_at_5_percent": {name: t[0] for name, t in tests.items()}, "shifts": shifts,
        "power": {name: t[1] for name, t in tests.items()}, "authentic_samples": ours, "authentic_held_out_digits": real,
    }  # fmt: skip


if __name__ == "__main__":
    main()
