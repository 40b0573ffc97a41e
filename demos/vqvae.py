# %% [markdown]
"""
# VQ-VAE and VQ-VAE-2

A digit as four integers: an encoder network, a codebook of 64 vectors, a decoder network. The same number of bits buys more here
than in the coefficients of PCA, each quantised as well as can be. A second network, autoregressive, learns which codes go together, and
so draws new digits; with two maps of codes it draws the whole first and the details after.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.models import PCA, VQVAE, VQVAE2, KMeans
from minigen.models.codebook import perplexity
from minigen.optim import Adam, cosine
from minigen.plot import figure, mosaic, save_figure, show_images

LEVELS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32]
UNIT = 20  # the allocation counts in twentieths of a bit

# For each data set: the settings of the two models, and of their training.
SETTINGS = {
    "digits": {
        "one": {"size": 64, "width": 4, "widths": (32, 64)},
        "two": {"sizes": (32, 16), "width": 4, "widths": (32,), "top_widths": (64,)},
        "steps": 900, "decay": 1.0, "prior": {"steps": 700, "width": 32, "layers": 2, "weight_decay": 1.0}, "pca": 48,
    },
    "mnist10k": {
        "one": {"size": 128, "width": 16, "widths": (64, 128)},
        "two": {"sizes": (128, 64), "width": 16, "widths": (64,), "top_widths": (128,)},
        "steps": 20_000, "decay": 0.3, "prior": {"steps": 10_000, "width": 64, "layers": 6, "weight_decay": 0.1}, "pca": 160,
    },
}  # fmt: skip


# %% [markdown]
# ## PCA with as many bits
# Each coefficient gets a quantiser of its own with m levels, the best there is for the training data (Lloyd and Max: k-means in one
# dimension). How many levels each one gets is chosen so that the training error is the least for all bits, Σ log₂ m, together: by
# dynamic programming over all allocations, levels that are no powers of 2 among them.


# %%
class QuantisedPCA:
    """PCA whose coefficients are quantised, for any number of bits."""

    def __init__(self, x, rank, rng):
        self.pca = PCA.fit(x, rank)
        z = self.pca.encode(x)
        self.books = [[KMeans.fit(z[:, j : j + 1], m, rng=rng) for m in LEVELS] for j in range(rank)]
        self.errors = np.array([[float(book.inertia) for book in row] for row in self.books])

    def allocate(self, bits):
        """The indices into LEVELS, one a coefficient, of the least training error whose levels cost at most so many bits."""
        budget, costs = bits * UNIT, [int(np.ceil(UNIT * np.log2(m) - 1e-9)) for m in LEVELS]
        best, choices = np.zeros(budget + 1), []
        for errors in self.errors:
            totals = np.full((len(LEVELS), budget + 1), np.inf)
            for i, cost in enumerate(costs[: np.searchsorted(costs, budget, side="right")]):
                totals[i, cost:] = best[: budget + 1 - cost] + errors[i]
            choices.append(np.argmin(totals, axis=0))
            best = np.min(totals, axis=0)
        picked = []
        for choice in reversed(choices):
            picked.append(int(choice[budget]))
            budget -= costs[picked[-1]]
        return picked[::-1]

    def reconstruct(self, x, bits):
        """x as it comes back from its quantised coefficients."""
        z = self.pca.encode(x)
        books = [row[i] for row, i in zip(self.books, self.allocate(bits), strict=True)]
        columns = [book.centers[book.predict(z[:, j : j + 1].copy())] for j, book in enumerate(books)]
        return self.pca.decode(np.concatenate(columns, axis=1))


# %% [markdown]
# ## Training
# A learning rate that ends at 0, and weights that decay: there are few digits and many weights. What is here was chosen on a part of
# the training data.


# %%
def optimizer(steps, decay, lr=3e-3):
    """Adam for so many steps."""
    return Adam(cosine(lr, steps), weight_decay=decay)


def train(family, x, rng, settings, quick, **more):
    """A VQVAE or VQVAE2 with its prior."""
    steps, prior = settings["steps"] // (8 if quick else 1), dict(settings["prior"])
    model = family.fit(
        x, rng=rng, steps=steps, optimizer=optimizer(steps, settings["decay"]), prior_steps=0, progress=family.__name__, **more
    )  # fmt: skip
    prior["steps"] //= 8 if quick else 1
    return model.with_prior(x, rng=rng, optimizer=optimizer(prior["steps"], prior.pop("weight_decay")), progress="prior", **prior)


def bits_of(codes, sizes):
    """Bits of the codes of one image, each as dear as any other."""
    return round(sum(k[0].size * np.log2(size) for k, size in zip(codes, sizes, strict=True)))


# %% [markdown]
# ## Codes in use
# Codewords begin at random. In more dimensions than few, most are the nearest to no vector and
# would never move.


# %%
def draw_usage(axes, x, settings, steps):
    """Frequencies of codes with and without restarts; returns the perplexities (with, without)."""
    found = {}
    for restart, name in ((0.05, "dead codes start anew"), (0.0, "dead codes stay dead")):
        model = VQVAE.fit(
            x, rng=np.random.default_rng(1), steps=steps, restart=restart, prior_steps=0, optimizer=optimizer(steps, settings["decay"]),
            progress=name, **{**settings["one"], "width": 16},
        )  # fmt: skip
        size = settings["one"]["size"]
        k = to_host(model.encode(x))
        found[restart] = float(perplexity(k, size))
        p = np.sort(np.bincount(k.reshape(-1), minlength=size) / k.size)[::-1]
        axes.step(np.arange(1, size + 1), 100 * p, where="mid", label=f"{name}: {np.sum(p > 0)} in use, perplexity {found[restart]:.1f}")
    axes.axhline(100 / size, color="0.7", linewidth=1, label=f"all {size} alike")
    axes.set_xlabel("codes, from the most frequent")
    axes.set_ylabel("frequency (%)")
    axes.set_ylim(0, None)
    axes.set_title(f"usage of {size} codes, here vectors of ℝ¹⁶, after {steps} steps", fontsize=9)
    axes.legend(fontsize=8)
    return found[0.05], found[0.0]


# %% [markdown]
# ## Pictures


# %%
def coloured(k, size, side):
    """Maps of codes (n, h, w) as images (n, side, side, 3), a colour for each code."""
    from matplotlib import colormaps

    colours = colormaps["turbo"](np.linspace(0, 1, size))[np.random.default_rng(0).permutation(size), :3]
    return np.kron(colours[k], np.ones((1, side // k.shape[1], side // k.shape[2], 1)))


def draw_rows(axes, rows, title):
    """Rows of images under each other, with their names; grey images are ink on paper."""
    rows = {name: 1 - np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x for name, x in rows.items()}
    n, side = next(iter(rows.values())).shape[:2]
    axes.imshow(mosaic(np.concatenate(list(rows.values())), n), interpolation="nearest")
    axes.set_yticks([(side + 1) * i + side / 2 - 0.5 for i in range(len(rows))], rows, fontsize=8)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)


def draw_rates(axes, quantised, x_test, points, most):
    """The error of PCA by bits, and of the models."""
    budgets = sorted({*np.linspace(6, most, 12).astype(int).tolist(), *(bits for bits, _ in points.values())})
    axes.plot(budgets, [mse(quantised.reconstruct(x_test, b), x_test) for b in budgets], label="PCA, best quantisation")
    for (name, (bits, error)), marker in zip(points.items(), "os", strict=True):
        axes.plot([bits], [error], marker, label=f"{name}, {bits} bits: {error:.4f}")
    axes.set_yscale("log")
    axes.set_xlabel("bits for an image")
    axes.set_ylabel("mean squared error of a pixel")
    axes.set_title("error on held-out digits", fontsize=9)
    axes.legend(fontsize=8)


def mse(a, b):
    """The mean squared error of a pixel."""
    return float(np.mean((a - b) ** 2))


def draw_levels(axes, model, x, rng, draws=3, averaged=64):
    """Held-out digits, what the top map knows of them (the mean over draws of the bottom given the top), and such draws."""
    top, bottom = model.encode(x)
    again = model.decode((top, bottom))
    many = np.repeat(top, averaged, axis=0)
    x_hat = to_host(model.decode((many, model.draw_bottom(many, rng)))).reshape(len(x), averaged, *x.shape[1:])
    rows = {"digit": to_host(x), "both maps": to_host(again), "top, bottom averaged": x_hat.mean(1)}
    rows |= {f"top, bottom drawn ({i + 1})": x_hat[:, i] for i in range(draws)}
    draw_rows(axes, rows, "VQ-VAE-2: what the top map fixes, and what the bottom map adds")


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/vqvae.png and return what was measured."""
    rng = np.random.default_rng(seed)
    data = "mnist10k" if full else "digits"
    settings = SETTINGS[data]
    images, labels = mnist10k() if full else digits()
    training, test, _, _ = split(images, labels, rng=rng)
    x, x_test, side = to_device(training, device), to_device(test, device), images.shape[1]
    flat, flat_test = (a.reshape(len(a), -1) for a in (training, test))

    one = train(VQVAE, x, rng, settings, quick, **settings["one"])
    two = train(VQVAE2, x, rng, settings, quick, **settings["two"])
    quantised = QuantisedPCA(flat, settings["pca"] // (2 if quick else 1), rng)
    codes = one.encode(x_test)
    bits = bits_of([codes], [settings["one"]["size"]])
    bits_two = bits_of(two.encode(x_test), settings["two"]["sizes"])
    error, error_two = (mse(to_host(m.reconstruct(x_test)), test) for m in (one, two))
    pca, pca_two = (quantised.reconstruct(flat_test, b) for b in (bits, bits_two))

    fig = figure(11, 11.2)
    first, second, third, fourth = fig.subfigures(4, 1, height_ratios=(2.6, 2.8, 2.1, 3.7))
    n, size = 16, settings["one"]["size"]
    compared = {
        "held-out digit": test[:n],
        "its codes": coloured(to_host(codes[:n]), size, side),
        f"VQ-VAE, {bits} bits": to_host(one.reconstruct(x_test[:n])),
        f"PCA, {bits} bits": pca[:n].reshape(n, *test.shape[1:]),
    }
    pca_error = mse(pca, flat_test)
    title = f"{codes[0].size} codes of {size} each; mean squared error of a pixel: VQ-VAE {error:.4f}, PCA {pca_error:.4f}"
    draw_rows(first.subplots(), compared, title)
    left, right = second.subplots(1, 2)
    draw_rates(left, quantised, flat_test, {"VQ-VAE": (bits, error), "VQ-VAE-2": (bits_two, error_two)}, round(1.1 * bits_two))
    restarted, dead = draw_usage(right, x, settings, settings["steps"] // (20 if quick else 3))
    anything = to_device(rng.integers(size, size=(32, *codes.shape[1:])), device)
    drawn = {
        "VQ-VAE: any codes, all equally likely": one.decode(anything),
        "VQ-VAE: codes from the prior": one.sample(32, rng),
        "VQ-VAE-2: top, then bottom from the priors": two.sample(32, rng),
    }
    for ax, (name, images) in zip(third.subplots(1, 3, gridspec_kw={"wspace": 0.1}), drawn.items(), strict=True):
        show_images(ax, to_host(images), 8, name)
    draw_levels(fourth.subplots(), two, x_test[:n], rng)
    save_figure(fig, out, "vqvae")
    in_bits = lambda log_p: -float(np.mean(to_host(log_p))) / float(np.log(2))
    return {
        "bits": bits, "error": error, "pca_error": pca_error,
        "bits_two_maps": bits_two, "error_two_maps": error_two, "pca_error_two_maps": mse(pca_two, flat_test),
        "perplexity": float(perplexity(to_host(codes), size)), "perplexity_restarted": restarted, "perplexity_not_restarted": dead,
        "prior_bits": in_bits(one.prior.log_prob(codes)), "prior_bits_two_maps": in_bits(two.log_prior(two.encode(x_test))),
    }  # fmt: skip


if __name__ == "__main__":
    main()
