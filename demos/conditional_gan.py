# %% [markdown]
"""
# Conditional generative adversarial networks

Both players see the label. The generator then draws the class that it is asked for, and one noise vector becomes the same hand writing
all ten digits: what the labels do not say is left to the noise.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.functions import sigmoid
from minigen.metrics import density_coverage, dequantize, precision_recall, train_features
from minigen.models import ConditionalGAN
from minigen.plot import figure, save_figure, show_images

# %% [markdown]
# ## Are the digits what was asked for?
# A classifier that saw neither samples nor test digits says so, and how well it does on real ones. Rows: the label asked for; columns:
# the label recognised.


# %%
def draw_confusion(axes, asked, recognised):
    """The table of labels asked for and recognised, in percent."""
    table = np.zeros((10, 10))
    np.add.at(table, (asked, recognised), 1)
    table /= np.sum(table, axis=1, keepdims=True)
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*np.nonzero(table > 0.005), strict=True):
        axes.text(j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", fontsize=7, color="white" if table[i, j] > 0.5 else "black")
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xlabel("recognised")
    axes.set_ylabel("asked for")
    axes.set_title("samples, recognised by a classifier (%)", fontsize=9)


# %% [markdown]
# ## One hand, ten digits
# Each row is one noise vector with each label in turn. Beside it, the label changes little by little: the vectors of two labels are mixed,
# of which the generator has only ever seen the ends.


# %%
def draw_hands(axes, gan, rng, device, rows=10):
    """The same noise with every label."""
    z = np.repeat(to_host(gan.noise(rows, rng)), 10, axis=0)
    x = gan.generator(to_device(z, device), to_device(np.tile(np.arange(10), rows), device))
    show_images(axes, to_host(x), 10, "each row: one noise vector, all labels")


def draw_mixed_labels(axes, gan, rng, device, points=10):
    """From one label to the next, with one noise vector a row."""
    vectors = to_host(gan.generator.embedding.weight)
    z, t = to_host(gan.noise(10, rng)), np.linspace(0, 1, points, dtype=np.float32)[:, None]
    mixed = np.concatenate([(1 - t) * vectors[c] + t * vectors[(c + 1) % 10] for c in range(10)])
    x = gan.generator.network(to_device(np.concatenate([np.repeat(z, points, axis=0), mixed], axis=1), device))
    show_images(axes, to_host(x), points, "each row: from one label's vector to the next one's")


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Train, draw out/conditional_gan.png and return what was measured. `full`: digits of 28 × 28 pixels, convolutional networks."""
    rng = np.random.default_rng(seed)
    images, labels = mnist10k() if full else digits()
    levels = 256 if full else 17
    training, test, training_labels, test_labels = split(images, labels, rng=rng)
    fit, held, fit_labels, _ = split(training, training_labels, rng=rng)
    copies = 1 if full else 8
    k = np.concatenate([np.rint(fit * (levels - 1))] * copies)
    x, y = dequantize(k, levels, rng.random(k.shape, dtype=np.float32)).astype(np.float32), np.tile(fit_labels, copies)
    settings = {"network": "conv", "latent": 64, "steps": 20_000} if full else {"steps": 500 if quick else 4000}
    gan = ConditionalGAN.fit(to_device(x, device), to_device(y, device), rng=rng, output=sigmoid, progress="digits", **settings)

    features = train_features(fit, fit_labels, rng, steps=300 if quick else 1500)
    on_levels = lambda x: np.clip(np.floor(to_host(x) * levels), 0, levels - 1).astype(np.float32) / (levels - 1)
    asked = np.arange(2000) % 10
    recognised = features.predict(on_levels(gan.sample(2000, rng, to_device(asked, device))))
    real, again = features(test), features(on_levels(gan.sample(len(held), rng)))
    per_class = [float(np.mean(recognised[asked == c] == c)) for c in range(10)]

    fig = figure(14.5, 5.6)
    axes = fig.subplots(1, 3)
    draw_hands(axes[0], gan, rng, device)
    draw_mixed_labels(axes[1], gan, rng, device)
    draw_confusion(axes[2], asked, recognised)
    save_figure(fig, out, "conditional_gan")
    return {
        "recognised": float(np.mean(recognised == asked)), "worst_class_recognised": min(per_class),
        "test_digits_recognised": float(np.mean(features.predict(test) == test_labels)),
        "precision": precision_recall(real, again).precision, "held_out_precision": precision_recall(real, features(held)).precision,
        "coverage": density_coverage(real, again).coverage, "held_out_coverage": density_coverage(real, features(held)).coverage,
    }  # fmt: skip


if __name__ == "__main__":
    main()
