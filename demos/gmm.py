# %% [markdown]
"""
# Gaussian mixtures

A few ellipses make a curved density; a mixture on real digits draws new ones, says how likely each is, and completes digits of
which the lower half is hidden. What it is sure of, all completions share; where it is not, their mean is a blur and no digit.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, split, toy, toy_density
from minigen.metrics import bits_per_dim, dequantize
from minigen.models import GMM
from minigen.plot import density_map, figure, save_figure, show_images

LEVELS = 17

# %% [markdown]
# ## Density
# Each ellipse holds the points within two standard deviations of a component. EM reshapes them until the data's likelihood stops
# rising; with enough of them a mixture follows any density.


# %%
def ellipse(mean, covariance):
    """Points (100, 2) two standard deviations from the mean: the circle of radius 2, coloured by a root of the covariance."""
    angle = np.linspace(0, 2 * np.pi, 100)
    return mean + 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.linalg.cholesky(covariance).T


def draw_density(axes, model, limit, device):
    """p(x) as brightness, and an ellipse for each component, as wide a line as it has weight."""
    density_map(axes, lambda x: model.log_prob(to_device(x.astype(np.float32), device)), -limit, limit)
    host = to_host(model)
    for weight, mean, covariance in zip(host.weights, host.means, host.covariances, strict=True):
        axes.plot(*ellipse(mean, covariance).T, color="white", linewidth=8 * weight + 0.3, alpha=0.7)
    axes.set_title(f"{len(host.weights)} components on two moons", fontsize=9)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)


# %% [markdown]
# ## How many, and of what shape
# More components and freer covariances always fit the training digits better. Held-out digits say which of that was learnt.


# %%
def draw_choices(axes, x, test, counts, rng):
    """Held-out bits per dimension by k and type; returns them and the best model."""
    scores, best = {}, None
    for covariance in ("full", "tied", "diag", "spherical"):
        for k in counts:
            model = GMM.fit(x, k, rng=rng, covariance=covariance, reg=1e-3, max_iter=50)
            nll = -float(np.mean(model.log_prob(test)))
            score = bits_per_dim(nll, test.shape[1], cell=1 / LEVELS)
            if best is None or score < min(scores.values()):
                best = model
            scores[f"{covariance} {k}"] = score
        axes.plot(counts, [scores[f"{covariance} {k}"] for k in counts], "o-", label=covariance, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("components k")
    axes.set_ylabel("held-out bits per dimension")
    axes.legend(fontsize=8)
    return scores, best


# %% [markdown]
# ## The hidden half
# The conditional of a mixture is a mixture, in closed form. Its mean is the best guess in squared error; draws are what a digit may
# look like. A metric that only asks for the least error prefers the blur.


# %%
def draw_completions(axes, model, x, rng, device):
    """Rows of digits: the truth, what is seen, the conditional mean and four draws; returns the errors of mean and draws."""
    seen = x.copy()
    seen[:, 32:] = np.nan
    mean, draws = map(to_host, model.impute(to_device(seen, device), rng, 4))
    shown = np.concatenate([x, np.nan_to_num(seen), mean, *draws])
    show_images(axes, shown.reshape(-1, 8, 8), len(x))
    for row, name in enumerate(["true", "seen", "mean", "draws"]):
        axes.text(-1, 9 * row + 4, name, ha="right", va="center", fontsize=8)
    axes.set_title("the lower half imputed", fontsize=9)
    error = lambda guess: float(np.mean(np.sum((guess - x)[..., 32:] ** 2, axis=-1)))
    return error(mean), error(draws)


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit toys and digits and draw; returns what was measured."""
    rng = np.random.default_rng(seed)
    fig = figure(11, 7)
    axes = fig.subplots(2, 3)

    points, fresh = (toy("moons", n, rng) for n in (2000, 4000))
    middle = points.mean(0)
    moons = GMM.fit(to_device(points - middle, device), 12, rng=rng, reg=1e-4, tol=1e-6)
    draw_density(axes[0, 0], moons, 2.1, device)
    gap = float(np.mean(toy_density("moons")(fresh)) - np.mean(to_host(moons.log_prob(to_device(fresh - middle, device)))))
    axes[0, 1].plot(to_host(moons.history))
    axes[0, 1].set_xlabel("round of EM")
    axes[0, 1].set_ylabel("log p(x), nats per point")

    images, _ = digits()
    train, test = split(np.rint(images * (LEVELS - 1)).reshape(len(images), -1), rng=rng)
    spread = lambda k: to_device(dequantize(k, LEVELS, rng.random(k.shape, dtype=np.float32)).astype(np.float32), device)
    x, held_out = spread(train), spread(test)
    scores, best = draw_choices(axes[0, 2], x, held_out, (2, 8) if quick else (1, 2, 4, 8, 16, 32, 64), rng)

    order = np.argsort(-to_host(best.weights))[:16]
    show_images(axes[1, 0], to_host(best.means)[order].reshape(-1, 8, 8), 4, "means of components")
    name = f"{best.covariance}, k = {len(best.weights)}"
    show_images(axes[1, 1], best.sample(64, rng).reshape(-1, 8, 8), 8, f"samples ({name})")
    error_of_mean, error_of_draws = draw_completions(axes[1, 2], best, to_host(held_out)[:9], rng, device)
    save_figure(fig, out, "gmm")
    return {
        "moons_nats_below_the_truth": gap,
        "test_bits_per_dim": {name: float(score) for name, score in scores.items()},
        "best": min(scores, key=scores.get),
        "error_of_mean": error_of_mean,
        "error_of_draws": error_of_draws,
    }


if __name__ == "__main__":
    print(main())
