# %% [markdown]
"""
# The family of variational autoencoders

What the two terms of the bound trade for one another, when codes fall silent, which distribution of pixels is worth how many bits,
what convolutions draw, and what a label changes.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.metrics import bits_per_dim, dequantize, frechet_distance, train_features
from minigen.models import GMM, PPCA, VAE, ConditionalVAE
from minigen.models.vae import kl_normal
from minigen.optim import Adam, cosine
from minigen.plot import figure, save_figure, show_images

COPIES = 8


# %% [markdown]
# ## Data
# Grey levels k = 0 … L − 1 in three dresses: spread over their cells for a density, on {0, 1/(L − 1), …, 1} for a distribution of levels,
# and drawn as black or white with the grey as probability, for a Bernoulli decoder.


# %%
def spread(images, levels, rng):
    """(k + u)/L of images."""
    k = np.rint(images * (levels - 1))
    return dequantize(k, levels, rng.random(k.shape, dtype=np.float32)).astype(np.float32)


def on_levels(x, levels):
    """Samples of spread levels as k/(L − 1) again, on the host."""
    return np.clip(np.floor(to_host(x) * levels), 0, levels - 1) / (levels - 1)


def train(x, rng, steps, label, model=VAE, y=(), **settings):
    """A model, with a learning rate that ends at 0 and weights that decay."""
    return model.fit(x, *y, rng=rng, steps=steps, optimizer=Adam(cosine(2e-3, steps), weight_decay=0.3), progress=label, **settings)


# %% [markdown]
# ## Two terms
# ELBO = reconstruction − KL: its first term is what the code saves when a digit is sent, its second is what the code costs. A β-VAE
# pays β for each nat of code: over β it walks along the curve of rate and distortion. The best bound lies at β = 1, which is the ELBO.
#
# ## Codes that fall silent
# A coordinate whose q(z|x) is the prior for all x says nothing: its KL is 0. A coordinate is active if the mean of q varies over
# data by more than 0.01 (Burda et al. 2016). The dearer the code, the fewer remain; in the end all are silent: posterior collapse.


# %%
def walk(x, held, rng, steps, betas, device):
    """{β: (reconstruction, KL of each coordinate, active units)} on held-out data, in nats."""
    found = {}
    for beta in betas:
        vae = train(x, rng, steps, f"β = {beta:g}", latent=16, hidden=(128, 128), beta=beta)
        h = vae.encoder(vae.flat(held))
        fit, _ = vae.terms(vae.flat(held), vae.noise(rng, len(held), 8))
        mean, log_std = (to_host(a) for a in vae.halves(h))
        kl = np.mean(kl_normal(mean[..., None], log_std[..., None]), axis=0)
        found[beta] = float(np.mean(to_host(fit))), np.sort(kl)[::-1], int(np.sum(np.var(mean, axis=0) > 0.01))
    return found


def draw_terms(axes, found):
    """The two terms and the bound over β, and the curve that they trace."""
    betas, (fit, kl, active) = list(found), zip(*found.values(), strict=True)
    rate = np.array([np.sum(k) for k in kl])
    for values, label in ((fit, "reconstruction E log p(x|z)"), (rate, "KL(q(z|x) ‖ p(z))"), (fit - rate, "ELBO, their difference")):
        axes[0].plot(betas, values, "o-", label=label)
    axes[0].set(xscale="log", xlabel="β", ylabel="held-out nats per digit")
    axes[0].legend(fontsize=8)
    axes[0].set_title("the two terms of the bound over β", fontsize=9)
    axes[1].plot(rate, -np.array(fit), "o-", color="C3")
    spoken = [i for i, r in enumerate(rate) if i == 0 or r > 0.5]
    for i in spoken:
        axes[1].annotate(f"β = {betas[i]:g}", (rate[i], -fit[i]), textcoords="offset points", xytext=(7, 3), fontsize=8)
    if len(spoken) < len(betas):
        axes[1].annotate(f"β ≥ {betas[len(spoken)]:g}", (rate[-1], -fit[-1]), textcoords="offset points", xytext=(7, -3), fontsize=8)
    axes[1].set(xlabel="rate: KL (nats)", ylabel="distortion: −E log p(x|z) (nats)")
    axes[1].set_xlim(-0.05 * rate[0], 1.28 * rate[0])
    axes[1].set_title("rate and distortion", fontsize=9)
    image = axes[2].imshow(np.log10(np.maximum(np.stack(kl), 1e-3)), cmap="viridis", vmin=-3, aspect="auto")
    axes[2].set_yticks(range(len(betas)), [f"β = {b:g}: {a} active" for b, a in zip(betas, active, strict=True)], fontsize=8)
    axes[2].set_xticks([0, 5, 10, 15], ["1", "6", "11", "16"])
    axes[2].set_xlabel("coordinate of the code, sorted")
    axes[2].set_title("posterior collapse: KL of each coordinate", fontsize=9)
    bar = axes[2].figure.colorbar(image, ax=axes[2], ticks=[-3, -2, -1, 0])
    bar.ax.set_yticklabels(["≤ .001", ".01", ".1", "1 nat"], fontsize=8)
    return {"active_units": dict(zip(map(str, betas), active, strict=True))}


# %% [markdown]
# ## Which distribution of a pixel?
# Bits per pixel make decoders comparable, on the same data: 17 grey levels, or black and white. A Gaussian gives a density of levels
# that were spread over their cells, a rounded logistic probabilities of the levels themselves, a Bernoulli those of black and white only.


# %%
def draw_decoders(axes, images, held, rng, steps, device, grey):
    """Samples of models with each decoder; returns {data: {decoder: held-out bits per pixel}}."""
    found = {}
    for column, (name, levels) in zip(axes.T, ((f"{grey} grey levels", grey), ("black and white", 2)), strict=True):
        dresses = {  # what the decoder sees, and the width of a level in its units
            "gaussian": (lambda x, L=levels: spread(x, L, rng), 1 / levels),
            "logistic": (lambda x, L=levels: (np.rint(x * (L - 1)) / (L - 1)).astype(np.float32), 1.0),
            "bernoulli": (lambda x: np.rint(x), 1.0),
        }  # fmt: skip
        found[name] = {}
        for ax, (likelihood, (dress, cell)) in zip(column, dresses.items(), strict=True):
            if likelihood == "bernoulli" and levels > 2:
                show_images(ax, held[:32], 16, "held-out digits (a Bernoulli decoder knows no grey)")
                continue
            x = np.concatenate([dress(images) for _ in range(COPIES if likelihood == "gaussian" else 1)])
            settings = {"latent": 16, "hidden": (128, 128), "likelihood": likelihood, "levels": levels}
            vae = train(to_device(x, device), rng, steps, f"{name}, {likelihood}", **settings)
            y = to_device(dress(held), device)
            nll = -float(np.mean(to_host(vae.iwae(y, vae.noise(rng, len(y), 32)))))
            found[name][likelihood] = float(bits_per_dim(nll, x[0].size, cell=cell))
            samples = vae.sample(32, rng)
            samples = on_levels(samples, levels) if likelihood == "gaussian" else samples
            show_images(ax, samples, 16, f"{name}, {likelihood}: {found[name][likelihood]:.3f} bits per pixel")
    return found


# %% [markdown]
# ## Convolutions, and where samples fail
# Decoded codes of real digits look right, samples less so: the codes that occur do not fill the prior, and between them there is nothing
# sensible. A mixture of Gaussians fitted to the codes, as the prior in its stead, mends most of it (Ghosh et al. 2020, "From variational to
# deterministic autoencoders").


# %%
def draw_samples(axes, x, images, held, features, rng, steps, levels):
    """Samples from both priors of a convolutional VAE; returns their Fréchet distances and the held-out bound in nats."""
    size = {"latent": 32, "hidden": (32, 64, 128)} if levels == 256 else {"latent": 16, "hidden": (16, 32)}
    vae = train(x, rng, steps, "convolutional", network="conv", **size)
    codes = vae.draw_code(vae.encoder(vae.flat(x)), vae.noise(rng, len(x)))
    mixture = GMM.fit(codes, 20, rng=rng, reg=1e-4, max_iter=60)
    n, found = len(held), {}
    reference = features(images)
    for ax, (name, z) in zip(
        axes, (("the prior N(0, I)", vae.draw_prior(n, rng)), ("20 Gaussians fitted to codes", mixture.sample(n, rng))), strict=True
    ):
        samples = on_levels(vae.draw_data(z, rng), levels)
        found[name] = float(frechet_distance(reference, features(samples)))
        show_images(ax, samples[:60], 12, f"convolutional VAE, {name}: Fréchet distance {found[name]:.1f}")
    return found, float(np.mean(to_host(vae.elbo(held, vae.noise(rng, n, 8)))))


# %% [markdown]
# ## One hand, ten digits
# With the label in the encoder and in the decoder, the code keeps what the label does not say: slant, width, thickness.


# %%
def draw_hands(axes, model, features, rng, device):
    """The same codes with every label; returns the share of samples that a classifier recognises as what was asked for."""
    rows = 8
    z = np.repeat(to_host(model.noise(rng, rows)), 10, axis=0)
    x = model.decode(to_device(z, device), to_device(np.tile(np.arange(10), rows), device))
    asked = np.arange(2000) % 10
    samples = to_host(model.sample(2000, rng, to_device(asked, device)))
    share = float(np.mean(to_host(features.predict(samples)) == asked))
    show_images(axes, to_host(x), 10, f"conditional VAE: each row one code, all labels\n{100 * share:.1f} % of samples recognised")
    return share


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/vae_family.png and return what was measured. `full`: digits of 28 × 28 pixels, more steps, meant for a GPU."""
    rng = np.random.default_rng(seed)
    images, labels = mnist10k() if full else digits()
    levels, longer = (256, 20) if full else (17, 1)
    training, test, y, y_test = split(images, labels, rng=rng)
    features = train_features(training, y, rng, steps=200 if quick else 1500)
    x = to_device(np.concatenate([spread(training, levels, rng) for _ in range(1 if full else COPIES)]), device)
    held = to_device(spread(test, levels, rng), device)
    steps = lambda n: (n // 12 if quick else n) * longer

    fig = figure(13, 12.5)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1.05, 0.62, 1.1))
    found = walk(x, held, rng, steps(900), (0.1, 1.0, 10.0) if quick else (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), device)
    measured = draw_terms(top.subplots(1, 3, width_ratios=(1, 1, 1.1)), found)
    bits = draw_decoders(middle.subplots(3, 2), training, test, rng, steps(1200), device, levels)
    left, right = bottom.subfigures(1, 2, width_ratios=(1.1, 1))
    frechet, elbo = draw_samples(left.subplots(2, 1), x, test, held, features, rng, steps(1100), levels)
    conditional = train(
        to_device(training, device), rng, steps(2000), "conditional", ConditionalVAE, (to_device(y, device),), latent=8, hidden=(128, 128),
        likelihood="logistic", levels=levels,
    )  # fmt: skip
    share = draw_hands(right.subplots(), conditional, features, rng, device)
    save_figure(fig, out, "vae_family")
    ppca = PPCA.fit(np.reshape(x, (len(x), -1)), 48)
    return {
        **measured, "bits_per_pixel": bits, "frechet": frechet, "convolutional_elbo_nats": elbo,
        "ppca_nats": float(np.mean(to_host(ppca.log_prob(np.reshape(held, (len(held), -1)))))), "recognised": share,
        "test_digits_recognised": float(np.mean(to_host(features.predict(test)) == y_test)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
