# %% [markdown]
"""
# Autoregressive models of images

One pixel after the other, each given all before it: digits of 17 grey levels by MADE (a dense network with masks), PixelRNN (an
LSTM that scans the rows) and PixelCNN (gated convolutions). Their probabilities are exact, so that they can be compared; and the
upper half of a digit can be given, and the lower drawn.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.metrics import bits_per_dim, density_coverage, mean_and_error, precision_recall
from minigen.models import MADE, PixelCNN, PixelRNN
from minigen.models.levels import log_softmax_at, one_hot, thermometer
from minigen.optim import Adam, cosine
from minigen.plot import figure, save_figure, show_images

# %% [markdown]
# ## Data
# Levels as they are: integers 0 … 16, nothing added. (In full: the 28 × 28 digits of MNIST, in 8 levels.)


# %%
def load(rng, full):
    """(training levels, test levels, number of levels), images (n, H, W)."""
    images, labels = mnist10k() if full else digits()
    levels = 8 if full else 17
    training, test, _, _ = split(images[..., 0], labels, rng=rng)
    quantised = lambda x: np.rint(x * (levels - 1)).astype(np.int64)
    return quantised(training), quantised(test), levels


# %% [markdown]
# ## Training
# Few digits and many weights: weights decay, and the learning rate ends at 0.


# %%
def fit_all(k, levels, rng, quick, full):
    """{name: model}."""
    schedule = lambda lr, steps, decay: {"steps": steps, "optimizer": Adam(cosine(lr, steps), weight_decay=decay)}
    if full:
        cnn = {"width": 64, "layers": 8, "reach": 2, "batch_size": 128} | schedule(1e-3, 8000, 0.1)
        return {"PixelCNN": PixelCNN.fit(k, levels, rng=rng, progress="PixelCNN", **cnn)}
    made = schedule(4e-3, 80, 2.0) if quick else schedule(2e-3, 900, 2.0)
    rnn = schedule(6e-3, 35, 0.5) if quick else schedule(4e-3, 260, 0.5)
    small = {"width": 24, "layers": 3, "reach": 2, "batch_size": 16}
    cnn = {"layers": 2} | schedule(6e-3, 60, 0.5) if quick else small | schedule(4e-3, 1400, 0.5)
    return {
        "MADE": MADE.fit(k, levels, rng=rng, progress="MADE", **made),
        "PixelRNN": PixelRNN.fit(k, levels, rng=rng, progress="PixelRNN", **rnn),
        "PixelCNN": PixelCNN.fit(k, levels, rng=rng, progress="PixelCNN", **cnn),
    }


# %% [markdown]
# ## What each pixel costs
# The exact bits of held-out digits, beside pixels that know nothing of each other: each has the frequencies of its levels in training.


# %%
def independent(k, test, levels):
    """log p of each pixel of test images by its own frequencies, (n, H, W) nats; one is added to each count."""
    counts = 1 + np.sum(one_hot(k, levels, np.zeros(0)), axis=0)
    p = counts / np.sum(counts, axis=-1, keepdims=True)
    return np.log(np.sum(p * one_hot(test, levels, np.zeros(0)), axis=-1))


def draw_bits(axes, found):
    """Bars with their standard errors."""
    values, errors = zip(*found.values(), strict=True)
    axes.barh(list(found), values, xerr=errors, color="C0", error_kw={"capsize": 3})
    for i, value in enumerate(values):
        axes.text(value + 0.05, i, f"{value:.3f}", va="center", fontsize=9)
    axes.set_xlim(0, max(values) * 1.2)
    axes.invert_yaxis()
    axes.set_xlabel("held-out bits per pixel (lower is better)")


def draw_maps(axes, fig, k, model, test, levels, device):
    """Bits of each pixel of held-out digits: alone, and for PixelCNN, which has read those above it and to its left."""
    there = to_device(test[:500], device)
    logits = model.logits(thermometer(there, levels, model.bias))
    maps = {"alone": independent(k, test, levels), "by PixelCNN": to_host(log_softmax_at(logits, one_hot(there, levels, logits)))}
    for ax, (name, log_p) in zip(axes, maps.items(), strict=True):
        picture = ax.imshow(-np.mean(log_p, axis=0) / np.log(2), cmap="viridis", vmin=0, vmax=np.log2(levels))
        ax.set_axis_off()
        ax.set_title(f"bits of each pixel, {name}", fontsize=9)
    fig.colorbar(picture, ax=axes, shrink=0.8)


# %% [markdown]
# ## Likeness
# Samples beside held-out digits, by the pixels' distances: how many lie where digits do (precision), and how many digits have samples
# near by (coverage). Training digits show what real ones reach.


# %%
def likeness(k, test, samples, levels):
    """Precision and coverage of samples, and of as many training digits, against as many held-out ones."""
    flat, found = (lambda x: x[: len(samples)].reshape(-1, test[0].size) / (levels - 1)), {}
    for name, x in (("samples", samples), ("training", k)):
        found[f"{name}_precision"] = float(precision_recall(flat(test), flat(x)).precision)
        found[f"{name}_coverage"] = float(density_coverage(flat(test), flat(x)).coverage)
    print(", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in found.items()))
    return found


# %% [markdown]
# ## Completion
# The upper half of held-out digits is given. What follows is a draw from p(lower half | upper half), four for each digit.


# %%
def draw_completions(axes, model, test, levels, rng, device, title):
    """Rows: real digits, their upper halves, and completions."""
    height = test.shape[1]
    known = np.zeros(test.shape[1:], bool)
    known[: height // 2] = True
    real = test[:16]
    filled = [to_host(model.fill(to_device(real, device), to_device(known, device), rng)) for _ in range(4)]
    halves = np.where(known, real, 0)
    show_images(axes, np.concatenate([real, halves, *filled]) / (levels - 1), 16, title)


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/autoregressive.png and return what was measured."""
    rng = np.random.default_rng(seed)
    k, test, levels = load(rng, full)
    d = test[0].size
    models = fit_all(to_device(k, device), levels, rng, quick, full)
    judge = lambda log_p: mean_and_error(bits_per_dim(-log_p.astype(float), d))
    found = {"independent pixels": judge(np.sum(independent(k, test, levels), axis=(1, 2)))}
    for name, model in models.items():
        found[name] = judge(to_host(model.log_prob(to_device(test, device))))
        print(f"{name:10s} {found[name].mean:.3f} ± {found[name].standard_error:.3f} held-out bits per pixel")

    fig = figure(11, 10)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1, 0.2 + 0.25 * len(models), 1.6))
    left, *maps = top.subplots(1, 3, width_ratios=(1.6, 1, 1))
    draw_bits(left, found)
    draw_maps(maps, top, k, models["PixelCNN"], test, levels, device)
    rows = [test[16:36]] + [to_host(model.sample(20, rng)) for model in models.values()]
    title = "rows: held-out digits, then samples of " + ", ".join(models)
    show_images(middle.subplots(), np.concatenate(rows) / (levels - 1), 20, title)
    title = "rows: held-out digits; their upper halves; four lower halves drawn by PixelCNN"
    draw_completions(bottom.subplots(), models["PixelCNN"], test, levels, rng, device, title)
    save_figure(fig, out, "autoregressive")
    samples = to_host(models["PixelCNN"].sample(100 if quick else 400, rng))
    return {f"{name}_bits": value.mean for name, value in found.items()} | likeness(k, test, samples, levels)


if __name__ == "__main__":
    main()
