# %% [markdown]
"""
# Autoencoders

A few numbers from which a digit can be rebuilt: how few, and how well, beside principal components, which are the best that affine maps can
do. What a network learns that is asked to remove noise. And why a decoder alone makes no digits: nobody has told which codes occur.
"""

# %%
import numpy as np

from minigen.backend import like, to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.metrics import frechet_distance, train_features
from minigen.models import PCA, PPCA, Autoencoder
from minigen.optim import Adam, cosine
from minigen.plot import figure, save_figure, show_images

SIGMA = 0.35  # of the noise that is to be removed
TICKS = (0.003, 0.01, 0.03)


# %% [markdown]
# ## Training
# There are few digits and many weights: the weights decay, and a little noise on the input keeps the encoder from learning pixels by heart.
# Both were chosen on a part of the training digits: without them the error on digits not trained on is a fifth larger.


# %%
def train(x, rng, latent, steps, noise=0.05, network="mlp", decay=0.1):
    """An autoencoder with a learning rate that ends at 0."""
    optimizer = Adam(cosine(2e-3, steps), weight_decay=decay)
    return Autoencoder.fit(
        x, rng=rng, latent=latent, network=network, noise=noise, steps=steps, optimizer=optimizer, progress=f"{latent} numbers"
    )  # fmt: skip


def error(again, x):
    """The mean squared error of a pixel."""
    return float(np.mean((to_host(again) - to_host(x)) ** 2))


# %% [markdown]
# ## How few numbers
# Errors on held-out digits, of an autoencoder and of as many principal components. With few numbers the autoencoder's bent surfaces come
# much nearer to digits than planes do; with half as many numbers as there are pixels a plane is as good.


# %%
def draw_sizes(axes, x, x_test, rng, sizes, steps, network):
    """Held-out errors by the size of the code; returns ({size: error}, the same of PCA, the largest model)."""
    found, linear = {}, {}
    for size in sizes:
        model = train(x, rng, size, steps, network=network)
        found[size] = error(model.reconstruct(x_test), x_test)
        flat, flat_test = (np.reshape(a, (len(a), -1)) for a in (x, x_test))
        pca = PCA.fit(flat, size)
        linear[size] = error(pca.decode(pca.encode(flat_test)), flat_test)
    axes.plot(list(linear), list(linear.values()), "o-", color="C1", label="principal components")
    axes.plot(list(found), list(found.values()), "o-", color="C0", label="autoencoder")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, sizes)
    axes.set_yticks(TICKS, [f"{t:g}" for t in TICKS])
    axes.minorticks_off()
    axes.set_xlabel("numbers in a code")
    axes.set_title("mean squared error of a pixel, held-out digits", fontsize=9)
    axes.legend(fontsize=8)
    return found, linear, model


# %% [markdown]
# ## Noise
# Noisy digits, and what the network takes for the clean ones. The best affine denoiser, which is right for Gaussian data, is E[x | x̃] of
# probabilistic principal components.


# %%
def denoise(axes, model, ppca, x, rng):
    """Clean, noisy and cleaned held-out digits; returns the errors of nothing, of the affine denoiser and of the network."""
    noisy = x + SIGMA * like(x, rng.standard_normal(x.shape))
    mean, cov = to_host(ppca.mean), to_host(ppca.cov)
    affine = mean + (to_host(noisy).reshape(len(x), -1) - mean) @ np.linalg.solve(cov + SIGMA**2 * np.eye(len(cov)), cov)
    cleaned = model.reconstruct(noisy)
    show = lambda a: to_host(a).reshape(x.shape)[:26]
    show_images(axes, np.concatenate([show(a) for a in (x, noisy, affine, cleaned)]), 26)
    axes.set_title(f"held-out digits; with noise of {SIGMA}; cleaned by the best affine map; by a denoising autoencoder", fontsize=9)
    return error(noisy, x), error(affine.reshape(x.shape), x), error(cleaned, x)


# %% [markdown]
# ## No generative model
# Codes drawn from N(0, I), and from a Gaussian with the mean and covariance of the codes that occur, decoded; their distances from one
# half of the held-out digits, beside that of the other half.


# %%
def draw_codes(axes, model, codes, features, reference, real, rng):
    """Decoded codes of two kinds; returns {kind: Fréchet distance in features} to as many reference digits."""
    host = to_host(codes).astype(float)
    fitted = rng.multivariate_normal(host.mean(axis=0), np.cov(host.T), len(reference))
    kinds = {"N(0, I)": rng.standard_normal(fitted.shape), "a Gaussian fitted to codes": fitted}
    found = {}
    for ax, (kind, z) in zip(axes, kinds.items(), strict=True):
        images = to_host(model.decode(like(codes, z))).reshape(reference.shape)
        found[kind] = frechet_distance(features(reference), features(np.clip(images, 0, 1)))
        show_images(ax, images[:60], 15, f"decoded codes of {kind}: Fréchet distance {found[kind]:.1f} (real digits: {real:.1f})")
    return found


# %%
def main(quick=False, full=False, device="cpu", seed=0, out="out"):
    """Fit, draw out/autoencoder.png and return what was measured. full: 28 × 28 digits and convolutions, meant for a GPU."""
    rng = np.random.default_rng(seed)
    images, labels = mnist10k() if full else digits()
    training, test, y, y_test = split(images, labels, rng=rng)
    network, steps = ("conv", 20_000) if full else ("mlp", 250 if quick else 2500)
    x, x_test = to_device(training, device), to_device(test, device)
    features = train_features(training, y, rng, steps=300 if quick else 1500)
    half = len(test) // 2
    reference, others = test[:half], test[half : 2 * half]
    real = frechet_distance(features(reference), features(others))

    fig = figure(12, 8.6)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1.2, 0.62, 0.6))
    left, right = top.subplots(1, 2)
    sizes = [2, 16] if quick else [2, 4, 8, 16, 32]
    errors, linear, model = draw_sizes(left, x, x_test, rng, sizes, steps, network)
    plane = train(x, rng, 2, steps, network=network)
    z = to_host(plane.encode(x_test))
    for k in range(10):
        right.scatter(*z[y_test == k].T, color=f"C{k}", s=9, label=str(k))
    right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.1, markerscale=1.6)
    right.set_title("codes of two numbers of held-out digits, coloured by label", fontsize=9)
    right.set_xticks([])
    right.set_yticks([])
    cleaner = train(x, rng, 32, steps, noise=SIGMA, network=network)
    ppca = PPCA.fit(np.reshape(x, (len(x), -1)), 48)
    noise = denoise(middle.subplots(), cleaner, ppca, x_test, rng)
    generated = draw_codes(bottom.subplots(1, 2), model, model.encode(x), features, reference, real, rng)
    save_figure(fig, out, "autoencoder")
    return {
        "held_out_error": errors, "held_out_error_of_pca": linear, "noisy_error": noise[0], "cleaned_error_affine": noise[1],
        "cleaned_error": noise[2], "frechet_of_codes": generated, "frechet_of_real_halves": real,
    }  # fmt: skip


if __name__ == "__main__":
    main()
