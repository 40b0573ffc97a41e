# %% [markdown]
"""
# Generative adversarial networks

A generator learns to fool a critic who learns to tell its samples from data. What the critic measures, why one loss of the generator
is used and not the other, why the two may circle for ever or lose modes, what cures both, and what the generator's noise means.
"""

# %%
import numpy as np

from minigen.autograd import value_and_grad
from minigen.backend import to_device, to_host
from minigen.data import digits, mnist10k, split, toy
from minigen.functions import sigmoid
from minigen.metrics import density_coverage, dequantize, expected_mode_quality, mode_scores, precision_recall, train_features
from minigen.models import GAN
from minigen.models.gan import LOG_4, critic_loss, generator_loss, logit_gradient, optimal_logits, optimal_value, smallest_game, value
from minigen.nn import MLP
from minigen.optim import Adam
from minigen.plot import figure, save_figure, scatter, show_images
from minigen.train import minimise
from minigen.tree import leaves

EIGHT = 2 * np.stack([np.cos(np.pi * np.arange(8) / 4), np.sin(np.pi * np.arange(8) / 4)], axis=1)


# %% [markdown]
# ## What the critic measures
# Data from two bumps, samples from one: a trained critic's logit is the log-ratio of the two densities where there are data, and the
# value of the game is 2 JSD − log 4, here known exactly.


# %%
def log_normal(x, mean, std):
    """log N(x; mean, std²)."""
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)


def draw_critic(axes, rng, steps):
    """A critic of known densities; returns (its value on fresh data, the best value)."""
    log_p = lambda x: np.logaddexp(log_normal(x, -1.5, 0.6), log_normal(x, 1.5, 0.6)) - np.log(2)
    log_q = lambda x: log_normal(x, 0.5, 1.0)

    def draws(n):
        real = np.where(rng.random(n) < 0.5, -1.5, 1.5) + 0.6 * rng.standard_normal(n)
        return real[:, None].astype(np.float32), (0.5 + rng.standard_normal((n, 1))).astype(np.float32)

    loss = lambda critic, batch, rng: critic_loss(lambda x: critic(x)[:, 0], *batch)
    start, settings = MLP.init(rng, [1, 32, 32, 1], np.tanh), {"batch_size": 512, "optimizer": Adam(5e-3), "progress": False}
    critic, _ = minimise(loss, start, draws(20_000), rng=rng, steps=steps, **settings)
    line = np.linspace(-4, 4, 400)
    axes.plot(line, np.exp(log_p(line)), color="C0", label="p, the data")
    axes.plot(line, np.exp(log_q(line)), color="C1", label="q, the samples")
    axes.plot(line, sigmoid(optimal_logits(log_p(line), log_q(line))), "k--", lw=1, label="D* = p / (p + q)")
    axes.plot(line, sigmoid(critic(line[:, None].astype(np.float32))[:, 0]), color="C3", label="D, trained")
    grid = np.linspace(-12, 12, 20_001)
    best = float(optimal_value(log_p(grid), log_q(grid), grid[1] - grid[0]))
    found = float(value(*(critic(x)[:, 0] for x in draws(50_000))))
    axes.set_title(f"value of the game {found:.3f}; 2 JSD − log 4 = {best:.3f}", fontsize=9)
    axes.set_ylim(0, 1.35)
    axes.set_xlabel("x")
    axes.legend(fontsize=7, ncols=2, loc="upper center")
    return found, best


# %% [markdown]
# ## The gradient that vanishes
# A generator of digits that has not begun meets a critic that trains alone. As the critic grows sure, the derivative of the minimax
# loss by its logits goes to 0 and with it the generator's gradient; the other loss keeps its gradient.


# %%
def draw_saturation(axes, rng, steps):
    """Norms of the generator's gradient along the critic's training; returns their first and last ratio of the two losses."""
    x = digits()[0]
    gan = GAN.init(rng, x.shape[1:], output=sigmoid)
    fake, z = gan.sample(len(x), rng), gan.noise(500, rng)
    norms, shares, critic = {"minimax": [], "nonsaturating": []}, {"minimax": [], "nonsaturating": []}, gan.critic
    rounds = 12
    for k in range(rounds + 1):
        if k:
            loss = lambda critic, batch, rng: critic_loss(critic, *batch)
            critic, _ = minimise(loss, critic, (x, fake), rng=rng, steps=steps // rounds, optimizer=Adam(2e-3), progress=False)
        for loss, found in norms.items():
            g = value_and_grad(lambda g, critic, loss: np.mean(generator_loss(critic(g(z)), loss)))(gan.generator, critic, loss)[1]
            found.append(float(np.sqrt(sum(np.sum(w * w) for w in leaves(g)))))
            shares[loss].append(float(np.mean(np.abs(logit_gradient(critic(gan.generator(z)), loss)))))
    at = np.arange(rounds + 1) * (steps // rounds)
    for color, loss in (("C0", "minimax"), ("C1", "nonsaturating")):
        axes.semilogy(at, norms[loss], "o-", ms=3, color=color, label=f"{loss}: ‖gradient‖")
        axes.semilogy(at, shares[loss], "--", color=color, label=f"{loss}: mean |∂loss/∂logit|")
    axes.set_xlabel("steps of the critic alone")
    axes.set_title("the generator's gradient, as the critic grows sure", fontsize=9)
    axes.legend(fontsize=7)
    return [norms["nonsaturating"][i] / norms["minimax"][i] for i in (0, -1)]


# %% [markdown]
# ## The smallest game
# Data at 0, one sample at θ, a critic of slope ψ, the minimax loss. The players circle around their equilibrium and never come nearer;
# the penalty on the critic's slope turns the circle into a spiral towards it, as fast as the eigenvalues say.


# %%
def draw_smallest_game(axes, steps=400, rate=0.1):
    """The paths of both players for two penalties; returns the last distances from the equilibrium."""
    distances = {}
    for color, penalty in (("C0", 0.0), ("C3", 0.3)):
        theta, psi = 1.0, 0.0
        path = [(theta, psi)]
        for _ in range(steps):
            psi = psi - rate * (float(sigmoid(np.float64(psi * theta))) * theta + penalty * psi)
            theta = theta - rate * float(logit_gradient(np.float64(psi * theta), "minimax")) * psi
            path.append((theta, psi))
        path = np.array(path)
        decay = float(smallest_game(penalty)[0].real)
        axes.plot(path[:, 0], path[:, 1], color=color, lw=1, label=f"γ = {penalty:g}: Re λ = {decay:.2f}")
        distances[penalty] = float(np.hypot(*path[-1]))
    axes.plot(0, 0, "k+")
    axes.set_aspect("equal")
    axes.set_ylim(-1.1, 1.4)
    axes.set_xlabel("θ, the sample")
    axes.set_ylabel("ψ, the critic's slope")
    axes.set_title("data at 0, a sample at θ, f(x) = ψ x", fontsize=9)
    axes.legend(fontsize=7, ncols=2, loc="upper center")
    return distances


# %% [markdown]
# ## Mode collapse
# Eight narrow Gaussians. Without a penalty the samples visit some of them; with it, and all else equal, all.


# %%
def draw_modes(axes, rng, steps, device):
    """Samples of games that differ in the loss and the penalty; returns {name: (modes hit, quality)}."""
    x = toy("eight_gaussians", 5000, rng)
    real = mode_scores(x, EIGHT, 0.05)
    scatter(axes[0], x[:1500], f"data: {real.hit} of 8 modes, {real.quality:.1%} near one", 2.6, s=2)
    found = {"data": (real.hit, real.quality), "expected of data": (8, expected_mode_quality(2))}
    seed = int(rng.integers(2**31))
    for ax, (loss, penalty) in zip(axes[1:], [("minimax", 0.0), ("nonsaturating", 0.0), ("nonsaturating", 0.1)], strict=True):
        name = f"{loss}, γ = {penalty:g}"
        gan = GAN.fit(
            to_device(x, device), rng=np.random.default_rng(seed), loss=loss, penalty=penalty, latent=8, hidden=(64, 64, 64), steps=steps,
            batch_size=256, progress=name,
        )  # fmt: skip
        samples = to_host(gan.sample(5000, rng))
        scores = mode_scores(samples, EIGHT, 0.05)
        found[name] = (scores.hit, scores.quality)
        scatter(ax, samples[:1500], f"{name}: {scores.hit} of 8, {scores.quality:.1%}", 2.6, s=2)
    return found


# %% [markdown]
# ## Digits
# Samples beside held-out digits, judged in the features of a classifier that saw neither.


# %%
def judge(features, reference, x):
    """(precision, coverage) of images against a reference, on features."""
    real, fake = features(reference), features(x)
    return float(precision_recall(real, fake).precision), float(density_coverage(real, fake).coverage)


def train_digits(full, quick, device, rng):
    """(the fitted GAN, its scores, the test digits, the classifier)."""
    images, labels = mnist10k() if full else digits()
    levels = 256 if full else 17
    training, test, training_labels, _ = split(images, labels, rng=rng)
    fit, held, fit_labels, _ = split(training, training_labels, rng=rng)
    k = np.concatenate([np.rint(fit * (levels - 1))] * (1 if full else 8))
    x = dequantize(k, levels, rng.random(k.shape, dtype=np.float32)).astype(np.float32)
    settings = {"network": "conv", "latent": 64, "steps": 20_000} if full else {"steps": 500 if quick else 4000}
    gan = GAN.fit(to_device(x, device), rng=rng, output=sigmoid, progress="digits", **settings)
    features = train_features(fit, fit_labels, rng, steps=300 if quick else 1500)
    on_levels = lambda x: np.clip(np.floor(x * levels), 0, levels - 1).astype(np.float32) / (levels - 1)
    samples = on_levels(to_host(gan.sample(len(held), rng)))
    precision, coverage = judge(features, test, samples)
    real_precision, real_coverage = judge(features, test, held)
    classes = np.bincount(features.predict(on_levels(to_host(gan.sample(2000, rng)))), minlength=10) / 2000
    scores = {
        "precision": precision, "held_out_precision": real_precision, "coverage": coverage, "held_out_coverage": real_coverage,
        "classes_generated": int(np.sum(classes > 0.02)), "rarest_class_share": float(np.min(classes)),
    }  # fmt: skip
    return gan, scores, test, features


# %% [markdown]
# ## What the noise means
# Between two codes the generator makes one digit out of another, with few that are none in between. And differences of codes have a
# meaning: the mean code of bold digits minus that of thin ones of the same class, averaged over classes, makes any digit bolder.


# %%
def draw_paths(axes, gan, rng, device, pairs=10, points=11):
    """Straight lines between codes, spread to the length that codes have."""
    a, b = (to_host(gan.noise(pairs, rng)) for _ in range(2))
    t = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    z = np.concatenate([((1 - t) * u + t * v) / np.sqrt((1 - t) ** 2 + t**2) for u, v in zip(a, b, strict=True)])
    show_images(axes, to_host(gan.generator(to_device(z, device))), points, "from one code to another")


def draw_arithmetic(axes, gan, rng, device, features):
    """Digits of each class made bolder and thinner; returns the ink along the way, and how many digits stay what they are."""
    z = gan.noise(6000, rng)
    x = to_host(gan.generator(z))
    codes, ink, label = to_host(z), np.mean(x, axis=(1, 2, 3)), features.predict(x)
    differences = []
    for c in np.unique(label):
        own, low, high = label == c, *np.quantile(ink[label == c], [0.25, 0.75])
        differences.append(np.mean(codes[own & (ink >= high)], axis=0) - np.mean(codes[own & (ink <= low)], axis=0))
    direction = np.mean(differences, axis=0)
    amounts = np.linspace(-2, 2, 7, dtype=np.float32)
    moved = [to_host(gan.generator(to_device(codes[:1000] + a * direction, device))) for a in amounts]
    shown = np.stack(moved, axis=1)[np.unique(label[:1000], return_index=True)[1]]
    show_images(axes, shown.reshape(-1, *x.shape[1:]), 7, "from − 2 to + 2 times bold − thin")
    kept = [float(np.mean(features.predict(m) == label[:1000])) for m in moved]
    return [float(np.mean(m)) for m in moved], min(kept)


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Train, draw out/gan.png and return what was measured. `full`: digits of 28 × 28 pixels, convolutional networks."""
    rng = np.random.default_rng(seed)
    fig = figure(13, 12)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1, 0.85, 1.25))
    first = top.subplots(1, 3)
    critic_value, best_value = draw_critic(first[0], rng, 150 if quick else 1000)
    early, late = draw_saturation(first[1], rng, 60 if quick else 180)
    distances = draw_smallest_game(first[2])
    modes = draw_modes(middle.subplots(1, 4), rng, 150 if quick else 3000, device)
    gan, scores, test, features = train_digits(full, quick, device, rng)
    left, center, right = bottom.subplots(1, 3, width_ratios=(10, 11, 7))
    shown = np.concatenate([test[:30], to_host(gan.sample(70, rng))])
    show_images(left, shown, 10, "held-out digits (3 rows), and samples")
    draw_paths(center, gan, rng, device)
    ink, kept = draw_arithmetic(right, gan, rng, device, features)
    save_figure(fig, out, "gan")
    return {
        "critic_value": critic_value, "best_value": best_value, "gradient_ratio_before": early, "gradient_ratio_after": late,
        **{f"smallest_game_distance_gamma_{g:g}": d for g, d in distances.items()},
        **{f"modes_hit ({name})": hit for name, (hit, _) in modes.items()},
        **{f"high_quality ({name})": quality for name, (_, quality) in modes.items()},
        **scores, "critic_loss_at_the_end": float(np.mean(gan.history[-200:])), "log_4": LOG_4,
        "ink_thin_to_bold": [round(v, 3) for v in ink], "class_kept_thin_to_bold": kept,
    }  # fmt: skip


if __name__ == "__main__":
    main()
