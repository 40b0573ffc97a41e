# %% [markdown]
"""
# Ways through codes

What a coordinate of a code means, whether one can reckon with codes, and where the way from one code to another leads. First on shapes,
where all that makes an image is known, so that every answer can be measured: a decoded shape has a place, a size and a colour. Then on
digits, where a classifier that knows the labels is the judge.
"""

# %%
import numpy as np

from minigen.backend import like, to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.data.shapes import SIZES, ShapeClass, coverage, shapes
from minigen.metrics import frechet_distance, train_features
from minigen.models import VAE
from minigen.models.latent import analogy, attribute_vector, lerp, slerp, traverse
from minigen.models.vae import log_prior
from minigen.optim import Adam, cosine
from minigen.plot import figure, save_figure, show_images

SIZE, NOISE, KINDS, COLOURS = 16, 0.1, ("square", "triangle"), (0.3, 0.9)
FACTORS = ("right", "down", "size", "colour", "triangle")


def show_rows(axes, rows, names, title, columns=()):
    """Rows of images, each with its name, and names of columns."""
    show_images(axes, np.concatenate([to_host(row) for row in rows]), len(rows[0]), title)
    step = rows[0].shape[1] + 1
    for i, name in enumerate(names):
        axes.text(-1, (i + 0.45) * step, name, ha="right", va="center", fontsize=8)
    for j, name in enumerate(columns):
        axes.text((j + 0.45) * step, len(rows) * step, name, ha="center", va="top", fontsize=8)


def show_table(axes, values, labels, ticks, title, limits):
    """A matrix with its numbers, or other labels, in its cells."""
    axes.imshow(values, cmap="Blues", vmin=limits[0], vmax=limits[1], aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        axes.text(j, i, labels[i][j], ha="center", va="center", fontsize=7, color="white" if value > 0.6 * limits[1] else "black")
    axes.set_xticks(range(len(ticks[0])), ticks[0], fontsize=8)
    axes.set_yticks(range(len(ticks[1])), ticks[1], fontsize=8)
    axes.set_title(title, fontsize=9)


# %% [markdown]
# ## Shapes
# Squares and triangles of any place, size and colour: five factors, each drawn by itself. Moments of a picture tell of its place, of its
# colour (the mean of x with weights x) and of its area (the sum of x over the colour). Whether it is a triangle is for a classifier to say,
# which has seen other shapes.


# %%
def render(factors):
    """Shapes without noise (n, 16, 16, 1), from factors (n, 5) in the order of FACTORS."""
    draw = lambda right, down, size, colour, kind: colour * coverage(KINDS[int(kind)], (right, down), size, SIZE)
    return np.stack([draw(*row) for row in factors])[..., None].astype(np.float32)


def draw_factors(n, rng):
    """Factors (n, 5), each drawn by itself; places near the middle, so that any shape is within the frame."""
    low, high = np.array([0.35, 0.35, SIZES[0], COLOURS[0], 0]), np.array([0.65, 0.65, SIZES[1], COLOURS[1], 2])
    factors = rng.uniform(low, high, (n, 5))
    factors[:, 4] = np.floor(factors[:, 4])
    return factors


def make_shapes(n, rng):
    """(images (n, 16, 16, 1), factors (n, 5)): the base channel of the shapes data."""
    classes = [ShapeClass(kind, float(base), 1, NOISE) for kind in KINDS for base in np.linspace(*COLOURS, 10)]
    x, _, f = shapes(n // len(classes), rng, size=SIZE, classes=classes, vary=True)
    return x[..., :1], np.stack([*f["centre"].T, f["size"], f["base"], f["shape"] > 0], axis=1)


def measure(images, classifier):
    """Place (2), root of the area, colour and the classifier's probability of a triangle, (n, 5), of images (n, 16, 16, 1)."""
    x = to_host(images)[..., 0]
    total, line = np.sum(x, axis=(1, 2)), (np.arange(SIZE) + 0.5) / SIZE
    colour = np.sum(x * x, axis=(1, 2)) / total
    right, down = np.sum(x, axis=1) @ line / total, np.sum(x, axis=2) @ line / total
    area = np.maximum(total / colour, 0) / SIZE**2
    return np.stack([right, down, np.sqrt(area), colour, classifier.probabilities(x[..., None])[:, 1]], axis=1)


def train_shapes(x, rng, beta, steps):
    """A β-VAE of six coordinates, one more than there are factors."""
    optimizer = Adam(cosine(2e-3, steps))
    return VAE.fit(x, rng=rng, latent=6, hidden=(256, 128), beta=beta, steps=steps, optimizer=optimizer, progress=f"β = {beta:g}")


# %% [markdown]
# ## What a coordinate means
# At a large β those coordinates fall silent that are not worth their price (KL = 0), and the others tend to stand for one factor each.
# They need not: right and down weigh the same, so that any turn of the two costs the same, and which one comes is left to chance. No
# coordinate is the colour, which is the length of the code: a network of ReLUs makes it so, for without its biases it would be homogeneous.


# %%
def draw_coordinates(axes, models, x, factors):
    """Correlations of coordinates and factors, and what the last model's coordinates do; {β: the largest |correlation| by factor}."""
    found = {}
    for ax, model in zip(axes[1:], models, strict=True):
        mean, log_std = (to_host(half) for half in model.halves(model.encoder(model.flat(x))))
        kl = np.mean(0.5 * (np.exp(2 * log_std) + mean**2 - 1) - log_std, axis=0)
        order = np.argsort(-kl)
        columns = np.concatenate([mean[:, order], np.linalg.norm(mean, axis=1, keepdims=True)], axis=1)
        r = np.corrcoef(columns.T, factors.T)[:7, 7:]
        names = [*(f"z{j}: {kl[j]:.1f} nats" for j in order), "‖z‖"]
        title = f"correlations with factors of coordinates (and\ntheir KL) and of the length of codes, β = {model.beta:g}"
        show_table(ax, np.abs(r), [[f"{v:.2f}" for v in row] for row in r], (FACTORS, names), title, (0, 1))
        found[f"{model.beta:g}"] = dict(zip(FACTORS, np.max(np.abs(r), axis=0).round(3).tolist(), strict=True))
    active = order[: max(1, np.sum(kl > 0.1))]
    start = np.zeros_like(model.encode(x[:1]))
    rows = [model.decode(traverse(start, j, np.linspace(-2.4, 2.4, 9))[:, 0]) for j in active]
    show_rows(axes[0], rows, [f"z{j}" for j in active], f"one coordinate from −2.4 to 2.4,\nthe others 0, β = {model.beta:g}")
    return found


# %% [markdown]
# ## Reckoning with codes
# The vector of an attribute is the mean code of those who have it less the mean code of the others; to have a size is to be above the
# median. Added to the codes of held-out shapes without it, it should change what it is named after by as much as real shapes with and
# without it differ, and nothing in which these do not. (A triangle has half of the area of its square, and lies lower.) For the colour this
# fails, since the mean forgets lengths: codes have to be lengthened, by the ratio of the mean lengths. An analogy takes three shapes and
# asks for the fourth, a − b + c, where a and b differ in one factor. Its error is set between that of doing nothing, 0 %, and that of
# encoding and decoding the true fourth shape, 100 %.


# %%
def draw_attributes(axes, model, x, factors, x_test, test_factors, classifier):
    """Attributes added to held-out shapes; returns {attribute: the change of what it is named after, in units of the true one}."""
    middle = np.array([*np.median(factors[:, :4], axis=0), 0.5])
    high, high_test = factors > middle, test_factors > middle
    real, z, code = measure(render(test_factors), classifier), model.encode(x), model.encode(x_test)
    truth = np.stack([real[h].mean(axis=0) - real[~h].mean(axis=0) for h in high_test.T])
    length = np.linalg.norm(to_host(z), axis=1)
    ratio = float(length[high[:, 3]].mean() / length[~high[:, 3]].mean())
    moved = [code + attribute_vector(z, like(z, high[:, j]) > 0) for j in range(5)] + [code * ratio]
    names, about = [*(f"+ {name}" for name in FACTORS), f"× {ratio:.2f}"], [0, 1, 2, 3, 4, 3]
    before, after = measure(model.decode(code), classifier), [measure(model.decode(m), classifier) for m in moved]
    changed = [(a - before)[~high_test[:, j]].mean(axis=0) for a, j in zip(after, about, strict=True)]
    got, want = np.stack(changed) / np.diag(truth), truth[about] / np.diag(truth)
    rows = [model.decode(m[:9]) for m in (code, *moved)]
    show_rows(axes[0], rows, ["held out", *names], "decoded shapes, with attributes added and lengthened")
    labels = [[f"{g:.2f} ({w:.2f})" for g, w in zip(*pair, strict=True)] for pair in zip(got, want, strict=True)]
    show_table(axes[1], got, labels, (FACTORS, names), "what this changes (how real shapes differ)", (0, 1.2))
    return {name: float(row[j]) for name, row, j in zip([*names[:5], "longer: colour"], got, about, strict=True)}


def draw_analogies(axes, model, rng, like_x, n=500):
    """The fourth shape; returns how much of the way to the best possible was gone, by the factor in which a and b differ."""
    found, shown = {}, []
    for j, name in enumerate(FACTORS):
        b, c, d = (draw_factors(n, rng) for _ in range(3))
        d = np.where(np.arange(5) == j, 1 - c if j == 4 else d, c)  # d differs from c in factor j, as a from b
        a, b = (np.where(np.arange(5) == j, that, b) for that in (d, c))
        a, b, c, d = (like(like_x, render(f)) for f in (a, b, c, d))
        error = lambda z, d=d: float(np.mean((model.decode(z) - d) ** 2))
        z = analogy(model.encode(a), model.encode(b), model.encode(c))
        nothing, best = error(model.encode(c)), error(model.encode(d))
        found[name] = (nothing - error(z)) / (nothing - best)
        shown.append(np.stack([to_host(i)[0] for i in (a, b, c, model.decode(z), d)]))
    columns = [f"{name}\n{share:.0%}" for name, share in found.items()]
    names = ("a", "b", "c", "a − b + c", "truth")
    show_rows(axes, list(np.stack(shown, axis=1)), names, "analogies: how far on the way to the best", columns)
    return found


# %% [markdown]
# ## From digit to digit
# Straight and spherical ways between held-out digits of different classes. The straight way cuts through the middle, where N(0, I) is
# densest and has next to no mass: codes there are shorter than those of digits. How much this harms, the Fréchet distance tells, of
# decoded middles from half of the held-out digits, beside that of the other half, decoded.


# %%
def draw_ways(axes, model, x, y, features, rng):
    """Ways between held-out digits; returns lengths, log p(z) and Fréchet distances half way."""
    z, half = model.encode(x), len(y) // 2
    pairs = np.array([(i, j) for i, j in rng.integers(0, len(y), (40 * half, 2)) if y[i] != y[j]][:half])
    t = np.linspace(0, 1, 13)
    ways = {"straight": lerp(z[pairs[:, 0]], z[pairs[:, 1]], t), "spherical": slerp(z[pairs[:, 0]], z[pairs[:, 1]], t)}
    rows, names = [model.decode(way[:, i]) for i in range(4) for way in ways.values()], list(ways) * 4
    show_rows(axes[0], rows, names, "ways between held-out digits")
    pixels = lambda code: np.clip(to_host(model.decode(code)), 0, 1)
    reference = features(to_host(x)[:half])
    found = {"frechet of held-out digits, decoded": frechet_distance(reference, features(pixels(z[half : 2 * half])))}
    axes[1].hist(np.linalg.norm(to_host(z), axis=1), 30, orientation="horizontal", color="0.85", density=True)
    for (name, way), colour in zip(ways.items(), ("C1", "C0"), strict=True):
        norms = np.linalg.norm(to_host(way), axis=-1)
        axes[1].plot(t, norms.mean(axis=1), "o-", color=colour, label=f"{name}: mean length on the way")
        found[f"{name}: length half way"] = float(norms[6].mean())
        found[f"{name}: log p(z) half way"] = float(np.mean(to_host(log_prior(way[6], "normal"))))
        found[f"{name}: frechet half way"] = frechet_distance(reference, features(pixels(way[6])))
    found["log p(z) of codes"] = float(np.mean(to_host(log_prior(z, "normal"))))
    found["length of codes"] = float(np.linalg.norm(to_host(z), axis=1).mean())
    axes[1].set_xlabel("t")
    axes[1].set_title("lengths on the way, and (grey) of all codes", fontsize=9)
    axes[1].legend(fontsize=8)
    return found


# %% [markdown]
# ## From class to class
# The difference of two classes' mean codes, added to held-out digits of the one, makes how many that the classifier takes for the other?


# %%
def draw_classes(axes, model, x, y, x_test, y_test, classifier):
    """Digits changed into others; returns the mean rate of success and the classifier's accuracies."""
    z, code = model.encode(x), model.encode(x_test)
    means = np.stack([to_host(z)[y == k].mean(axis=0) for k in range(10)])
    label = lambda code: classifier.predict(np.clip(to_host(model.decode(code)), 0, 1))
    vector = lambda i, j: like(code, means[j] - means[i])
    at = [np.flatnonzero(y_test == k) for k in range(10)]
    rates = np.array([[np.mean(label(code[at[i]] + vector(i, j)) == j) for j in range(10)] for i in range(10)])
    pairs = [(0, 6), (3, 5), (4, 9), (7, 2)]
    rows = [model.decode(code[at[i][:14]] + s * vector(i, j)) for i, j in pairs for s in (0, 1)]
    names = [name for i, j in pairs for name in (f"{i}", f"− {i} + {j}")]
    show_rows(axes[0], rows, names, "held-out digits decoded, and with classes' vectors")
    labels, ticks = [[f"{r:.0%}" for r in row] for row in rates], (range(10), range(10))
    show_table(axes[1], rates, labels, ticks, "recognised as the class of the column, made from that of the row", (0, 1))
    return {
        "turned into another class": float((rates.sum() - np.trace(rates)) / 90), "decoded alone": float(np.mean(label(code) == y_test)),
        "real": float(np.mean(classifier.predict(to_host(x_test)) == y_test)),
    }  # fmt: skip


# %%
def main(quick=False, full=False, device="cpu", seed=0, out="out"):
    """Fit, draw out/latent.png and return what was measured. full: 28 × 28 digits and convolutions, meant for a GPU."""
    rng = np.random.default_rng(seed)
    x, factors = make_shapes(2000 if quick else 8000, rng)
    x_test, test_factors = make_shapes(800, rng)
    others = draw_factors(1000 if quick else 6000, rng)
    judge = train_features(render(others), others[:, 4].astype(int), rng, steps=200 if quick else 2000)
    x, x_test = to_device(x, device), to_device(x_test, device)
    models = [train_shapes(x, rng, beta, 250 if quick else steps) for beta, steps in ((1.0, 2000), (8.0, 3000))]

    images, labels = mnist10k() if full else digits()
    training, test, y, y_test = split(images, labels, rng=rng)
    classifier = train_features(training, y, rng, steps=300 if quick else 1500)
    steps = 20_000 if full else 250 if quick else 2500
    settings = {"network": "conv", "levels": 256, "latent": 32} if full else {"levels": 17, "latent": 16}
    training, test = to_device(training, device), to_device(test, device)
    optimizer = Adam(cosine(2e-3, steps), weight_decay=0.3)
    vae = VAE.fit(training, rng=rng, likelihood="logistic", steps=steps, optimizer=optimizer, progress="digits", **settings)

    fig = figure(13, 16)
    first, second, third, last = fig.subfigures(4, 1, height_ratios=(0.85, 0.95, 1, 1))
    found = {"correlation": draw_coordinates(first.subplots(1, 3, width_ratios=(1.4, 1, 1)), models, x_test, test_factors)}
    *axes, right = second.subplots(1, 3, width_ratios=(1, 1.1, 0.8))
    found["attribute"] = draw_attributes(axes, models[1], x, factors, x_test, test_factors, judge)
    found["analogy"] = draw_analogies(right, models[1], rng, x)
    found["way"] = draw_ways(third.subplots(1, 2, width_ratios=(1.5, 1)), vae, test, y_test, classifier, rng)
    found["class"] = draw_classes(last.subplots(1, 2, width_ratios=(1.5, 1)), vae, training, y, test, y_test, classifier)
    found["judge_of_shapes"] = float(np.mean((measure(render(test_factors), judge)[:, 4] > 0.5) == test_factors[:, 4]))
    save_figure(fig, out, "latent")
    return found


if __name__ == "__main__":
    main()
