# %% [markdown]
"""
# PCA and probabilistic PCA on handwritten digits

PCA looks for the plane nearest to the data. Probabilistic PCA calls that plane's directions W, what is left over noise σ²,
and so turns the picture into a density: it can be sampled, and it gives every image an exact likelihood.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, split
from minigen.models.pca import PCA
from minigen.models.ppca import PPCA
from minigen.plot import figure, mosaic, save_figure, show_images

RANKS = (1, 2, 4, 8, 16, 32, 48, 56, 60)


# %% [markdown]
# The mean digit and the directions in which digits differ most. Red adds ink, blue takes it away.


# %%
def draw_components(axes, model):
    """The mean, and components scaled to full colour."""
    components = to_host(model.components[:15])
    signed = np.concatenate([to_host(model.mean)[None], components / np.abs(components).max(axis=1, keepdims=True)])
    picture = mosaic((signed / 2 + 0.5).reshape(-1, 8, 8), columns=4, background=0.5)
    axes.imshow(picture, cmap="RdBu_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title("mean, then the components 1–15", fontsize=9)


# %% [markdown]
# Held-out digits rebuilt from their k codes.


# %%
def draw_reconstructions(axes, x, models):
    """A row of digits, and a row from each model."""
    rows = [x] + [model.decode(model.encode(x)) for model in models.values()]
    show_images(axes, np.concatenate([to_host(r) for r in rows]).reshape(-1, 8, 8), columns=len(x))
    axes.set_title("held-out digits; rebuilt from " + ", ".join(map(str, models)) + " numbers", fontsize=9)


# %% [markdown]
# How much each direction counts, and where the likelihood of held-out digits says that directions end and noise begins.


# %%
def draw_spectrum(axes, spectrum):
    """Each component's share of the variance, and their running sum."""
    share = np.cumsum(spectrum) / np.sum(spectrum)
    axes.bar(range(1, len(spectrum) + 1), spectrum / np.sum(spectrum), color="0.7", label="of one component")
    axes.plot(range(1, len(spectrum) + 1), share, color="C0", label="of all up to it")
    axes.set_xlabel("component")
    axes.set_ylabel("share of the variance")
    axes.legend(fontsize=7)


def draw_likelihood(axes, train, test):
    """The mean log-likelihood by k."""
    axes.plot(train.keys(), train.values(), "o-", color="0.6", label="training digits")
    axes.plot(test.keys(), test.values(), "o-", color="C3", label="held-out digits")
    axes.set_xlabel("k")
    axes.set_ylabel("PPCA: log p(x), nats per digit")
    axes.legend(fontsize=7)


# %% [markdown]
# The whole data set seen through two numbers, and digits that PPCA makes up.


# %%
def draw_map(axes, codes, labels):
    """Codes (n, 2) in the colour of their digit."""
    for digit in range(10):
        axes.scatter(*codes[labels == digit].T, s=6, color=f"C{digit}", label=str(digit), linewidths=0)
    axes.legend(fontsize=7, ncols=2, markerscale=2)
    axes.set_title("codes of the two leading components", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit, measure on held-out digits and draw; returns what was measured."""
    rng = np.random.default_rng(seed)
    images, labels = digits()
    # Pixels are sixteenths: noise of one cell makes the data continuous, so that a density has a meaning.
    flat = images.reshape(len(images), -1) + (rng.random((len(images), 64)).astype(np.float32) - 0.5) / 16
    train, test, train_labels, _ = split(flat, labels, rng=rng)
    train, test = to_device(train, device), to_device(test, device)

    whole = PCA.fit(train, 64)
    models = {k: PCA.fit(train, k) for k in RANKS}
    errors = {k: float(np.mean(m.reconstruction_error(test))) for k, m in models.items()}
    densities = {k: PPCA.fit(train, k) for k in RANKS}
    on_train = {k: float(np.mean(m.log_prob(train))) for k, m in densities.items()}
    on_test = {k: float(np.mean(m.log_prob(test))) for k, m in densities.items()}
    best = max(on_test, key=on_test.get)
    em = PPCA.fit(train, 8, method="em", rng=rng, steps=50 if quick else 1000)

    spectrum = to_host(whole.explained_variance)
    fig = figure(11, 7)
    axes = fig.subplots(2, 3)
    draw_components(axes[0, 0], whole)
    draw_reconstructions(axes[0, 1], test[:10], {k: models[k] for k in (2, 8, 16, 32)})
    draw_map(axes[0, 2], to_host(whole.encode(train)[:, :2]), train_labels)
    draw_spectrum(axes[1, 0], spectrum)
    draw_likelihood(axes[1, 1], on_train, on_test)
    show_images(axes[1, 2], densities[best].sample(60, rng).reshape(-1, 8, 8), 10, f"samples of PPCA, k = {best}")
    save_figure(fig, out, "pca")
    return {
        "variance_of_two_components": float(spectrum[:2].sum() / spectrum.sum()),
        "reconstruction_error": errors,
        "ppca_test_log_prob": on_test,
        "best_k": best,
        "em_steps": len(em.history) - 1,
        "em_below_ml": on_train[8] - em.history[-1],
    }


if __name__ == "__main__":
    print(main())
