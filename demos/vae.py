# %% [markdown]
"""
# Variational autoencoder

A decoder turns codes into digits, an encoder guesses the code of a digit, and one bound on log p(x) trains both. Three pictures:
what a two-dimensional code means, what the bound is worth beside an exact likelihood, and how the prior shapes the samples.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, split
from minigen.metrics import bits_per_dim, dequantize
from minigen.models import PPCA, VAE
from minigen.optim import Adam, cosine
from minigen.plot import figure, save_figure, show_images

LEVELS, COPIES = 17, 8


# %% [markdown]
# ## Data
# Densities need real values: each of the 17 grey levels is spread evenly over its cell, anew for each copy of the training data.


# %%
def spread(images, rng):
    """(k + u)/17 of digits, flat."""
    k = np.rint(images * (LEVELS - 1)).reshape(len(images), -1)
    return dequantize(k, LEVELS, rng.random(k.shape, dtype=np.float32)).astype(np.float32)


def train(x, rng, steps, **settings):
    """A VAE, with a learning rate that ends at 0 and weights that decay: there are few digits and many weights."""
    return VAE.fit(x, rng=rng, steps=steps, optimizer=Adam(cosine(2e-3, steps), weight_decay=0.3), progress="vae", **settings)


# %% [markdown]
# ## A code of two numbers
# Left: where the encoder puts each digit, coloured by the label that it never saw. Right: what the decoder makes of a grid of codes,
# at equal steps of probability under the prior.


# %%
def draw_plane(axes, vae, x, labels, device):
    """The codes of data, and the decoded plane."""
    z = to_host(vae.encode(to_device(x, device)))
    axes[0].scatter(z[:, 0], z[:, 1], c=labels, cmap="tab10", s=5)
    axes[0].set_title("codes of digits (means of q)", fontsize=9)
    from scipy.special import ndtri

    line = ndtri(np.linspace(0.03, 0.97, 12))
    grid = np.stack(np.meshgrid(line, line[::-1]), axis=-1).reshape(-1, 2).astype(np.float32)
    show_images(axes[1], to_host(vae.decode(to_device(grid, device))).reshape(-1, 8, 8), 12, "decoded codes")


# %% [markdown]
# ## What the bound is worth
# More samples make the bound tighter (IWAE). It is compared with the exact likelihood of PPCA, the linear Gaussian model, on the
# same dequantised digits, which neither has seen.


# %%
def draw_bound(axes, vae, ppca, x, rng, device):
    """Bits per dimension by the number of samples; returns (ELBO, the tightest bound, PPCA's exact value)."""
    x = to_device(x, device)
    bits = lambda log_p: float(bits_per_dim(-np.mean(to_host(log_p)), x.shape[1], cell=1 / LEVELS))
    counts = [1, 2, 4, 8, 16, 32, 64]
    bounds = [bits(vae.iwae(x, vae.noise(rng, len(x), k))) for k in counts]
    exact = bits(ppca.log_prob(x))
    axes.plot(counts, bounds, "o-", label="VAE, IWAE bound (K = 1: the ELBO)")
    axes.axhline(exact, color="C1", label="PPCA, exact")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("samples K")
    axes.set_ylabel("held-out bits per dimension (lower is better)")
    axes.legend(fontsize=8)
    axes.set_title("what more samples are worth", fontsize=9)
    return bounds[0], bounds[-1], exact


# %% [markdown]
# ## Priors
# Black and white digits from codes with a normal, a Laplace and a binary prior. Through a binary code no gradient passes: there the
# score function trains the encoder, each sample with the others as its baseline.


# %%
def draw_priors(axes, x, rng, steps, device):
    """Samples (their pixel probabilities) of a model for each prior; returns {prior: held-out ELBO in nats}."""
    fit, held_out = to_device(x[:1400], device), to_device(x[1400:], device)
    found = {}
    for ax, prior in zip(axes, ("normal", "laplace", "bernoulli"), strict=True):
        vae = VAE.fit(
            fit, rng=rng, latent=12, hidden=(128,), prior=prior, likelihood="bernoulli", steps=steps,
            optimizer=Adam(cosine(3e-3, steps)), progress=f"{prior} prior",
        )  # fmt: skip
        found[prior] = float(np.mean(to_host(vae.elbo(held_out, vae.noise(rng, len(held_out), 8)))))
        show_images(ax, to_host(vae.decode(vae.draw_prior(40, rng))), 10, f"{prior} prior: held-out ELBO {found[prior]:.2f} nats")
    return found


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit, draw out/vae.png and return what was measured."""
    rng = np.random.default_rng(seed)
    images, labels = digits()
    training, test, training_labels, _ = split(images, labels, rng=rng)
    x = np.concatenate([spread(training, rng) for _ in range(COPIES)])
    x_test, x_device = spread(test, rng), to_device(x, device)
    plane = train(x_device, rng, 300 if quick else 2000, latent=2, hidden=(128, 128))
    vae = train(x_device, rng, 400 if quick else 3000, latent=16)
    ppca = PPCA.fit(x_device, 48)

    fig = figure(12, 11.2)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1.25, 1, 0.42))
    draw_plane(top.subplots(1, 2), plane, x[: len(training)], training_labels, device)
    left, right = middle.subplots(1, 2)
    elbo, bound, exact = draw_bound(left, vae, ppca, x_test, rng, device)
    real = x_test[:24]
    again, fresh = to_host(vae.reconstruct(to_device(real, device))), to_host(vae.sample(48, rng))
    rows = [a[i : i + 12] for i in (0, 12) for a in (real, again)]
    show_images(right, np.concatenate([*rows, fresh]).reshape(-1, 8, 8), 12)
    right.set_title("held-out digits, under each its reconstruction; below, four rows of samples x ~ p(x)", fontsize=9)
    binary = (images > 0.5).astype(np.float32)
    priors = draw_priors(bottom.subplots(1, 3), binary, rng, 150 if quick else 1500, device)
    save_figure(fig, out, "vae")
    return {"elbo_bits": elbo, "iwae64_bits": bound, "ppca_bits": exact, **{f"{p}_prior_elbo_nats": v for p, v in priors.items()}}


if __name__ == "__main__":
    main()
