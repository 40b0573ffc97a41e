# %% [markdown]
"""
# Kernel density estimation

Put a small bump on every datum and add them up. All that there is to choose is the width of the bump: too narrow and the
estimate believes in nothing but the data, too wide and it sees no shape. Held-out data tell, and so does leaving each one out.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, split, toy, toy_density
from minigen.models.kde import KDE
from minigen.plot import density_map, figure, mosaic, save_figure

TOY, LIMIT = "pinwheel", 4.0


# %% [markdown]
# A density that we know, beside estimates that smooth it too little, well and too much.


# %%
def draw_densities(axes, models, device):
    """The true density and the estimates, each on its own scale."""
    density_map(axes[0], toy_density(TOY), -LIMIT, LIMIT, "the true density")
    for ax, (title, model) in zip(axes[1:], models.items(), strict=True):
        density_map(ax, lambda x, model=model: model.log_prob(to_device(x, device)), -LIMIT, LIMIT, title)


# %% [markdown]
# What held-out data think of each bandwidth, beside what cross-validation on the training data alone chooses. A kernel that ends
# must be wide enough to reach every point: one held-out point without a neighbour and the likelihood is zero (no curve there).


# %%
def draw_likelihoods(axes, bandwidths, curves, chosen, truth):
    """A curve of held-out log-likelihood for each kernel."""
    for i, (kernel, curve) in enumerate(curves.items()):
        axes.plot(bandwidths, curve, color=f"C{i}", label=f"{kernel}, “cv” dotted")
        axes.axvline(chosen[kernel], color=f"C{i}", linestyle=":")
    axes.axhline(truth, color="0.6", label="the true density")
    axes.set_xscale("log")
    finite = np.concatenate(list(curves.values()))
    axes.set_ylim(truth - 1.5, max(finite.max(), truth) + 0.2)
    axes.set_xlabel("bandwidth h")
    axes.set_ylabel("held-out log p(x), nats per point")
    axes.legend(fontsize=7)


# %% [markdown]
# On digits a draw is a training digit with noise on it. That is what the method is, and the picture shows it: each sample
# stands above the training digit that lies nearest.


# %%
def nearest(x, data):
    """For each row of x the nearest row of data."""
    return data[np.argmin(np.sum((x[:, None] - data) ** 2, axis=2), axis=1)]


def draw_digits(axes, samples, data, title):
    """Two rows of ten samples, each over its nearest data."""
    pairs = np.concatenate([samples[:10], nearest(samples[:10], data), samples[10:], nearest(samples[10:], data)])
    axes.imshow(mosaic(pairs.reshape(-1, 8, 8), 10, background=0.0), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit, measure on held-out data and draw; returns what was measured."""
    rng = np.random.default_rng(seed)
    n = 300 if quick else 1000
    train, test = toy(TOY, n, rng), toy(TOY, 4000, rng)
    truth = float(np.mean(toy_density(TOY)(test)))
    train, test = to_device(train, device), to_device(test, device)
    kernels = ("gaussian", "epanechnikov", "uniform")
    bandwidths = np.geomspace(0.02, 2.0, 20 if quick else 60)
    curves = {
        kernel: np.array([float(np.mean(KDE.fit(train, h, kernel).log_prob(test))) for h in bandwidths.tolist()]) for kernel in kernels
    }
    cv = {kernel: KDE.fit(train, "cv", kernel) for kernel in kernels}
    h = {kernel: float(model.bandwidth) for kernel, model in cv.items()}
    best = float(bandwidths[np.argmax(curves["gaussian"])])

    images, _ = digits()
    cells = images.reshape(len(images), -1)
    noisy = cells + (rng.random(cells.shape).astype(np.float32) - 0.5) / 16  # sixteenths made continuous, one cell wide
    digits_train, digits_test = split(noisy, rng=rng)
    digits_train, digits_test = to_device(digits_train, device), to_device(digits_test, device)
    digit_model = KDE.fit(digits_train, "cv")

    fig = figure(11, 6.5)
    top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.25])
    shown = {
        "h = 0.04: too narrow": KDE.fit(train, 0.04),
        f"h = {h['gaussian']:.2f}: by “cv”": cv["gaussian"],
        "“scott”, made for one Gaussian": KDE.fit(train, "scott"),
        "h = 0.8: too wide": KDE.fit(train, 0.8),
    }
    draw_densities(top.subplots(1, 5), shown, device)
    left, right = bottom.subplots(1, 2)
    draw_likelihoods(left, bandwidths, curves, h, truth)
    samples = to_host(digit_model.sample(20, rng))
    draw_digits(right, samples, to_host(digits_train), "digits drawn from the estimate, the nearest training digit under each")
    save_figure(fig, out, "kde")
    return {
        "true_log_prob": truth,
        "cv_bandwidth": h,
        "cv_test_log_prob": float(np.mean(cv["gaussian"].log_prob(test))),
        "scott_test_log_prob": float(np.mean(shown["“scott”, made for one Gaussian"].log_prob(test))),
        "held_out_without_density": {kernel: float(np.mean(model.log_prob(test) == -np.inf)) for kernel, model in cv.items()},
        "best_bandwidth_on_held_out": best,
        "digits_bandwidth": float(digit_model.bandwidth),
        "digits_test_log_prob": float(np.mean(digit_model.log_prob(digits_test))),
    }


if __name__ == "__main__":
    print(main())
