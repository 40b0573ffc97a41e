# %% [markdown]
"""
# Wasserstein GAN

Why the distance W₁ and not the divergences, what a critic knows of it, what clipping does to a critic and what a penalty on its
gradient does instead; then eight Gaussians, and digits.
"""

# %%
import numpy as np

from minigen.autograd import grad
from minigen.backend import to_device, to_host, uniform
from minigen.data import digits, mnist10k, split, toy
from minigen.functions import sigmoid
from minigen.metrics import density_coverage, expected_mode_quality, mode_scores, precision_recall, train_features, wasserstein
from minigen.models import WGAN
from minigen.models import wgan as chapter
from minigen.optim import EMA, Adam, RMSProp, cosine
from minigen.plot import figure, save_figure, scatter, show_images
from minigen.train import Learner

STD, PENALTY, CLIP = 0.1, 10.0, 0.01
ANGLES = np.arange(8) * np.pi / 4
CENTERS = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)


# %% [markdown]
# ## Why this distance
# Two narrow normals (σ = 0.1), or two bars (of width 0.4), θ apart. Where they no longer overlap JSD stays at log 2: its slope, which
# would move a generator, is 0. KL of the normals climbs ever faster; of the bars it is infinite. W₁ is the distance, its slope is 1.


# %%
def draw_why(axes):
    """The three divergences over θ, and their derivatives, by the engine."""
    theta = np.linspace(-1, 1, 401)
    normals, bars = (lambda t: chapter.divergences_of_normals(t, STD)), (lambda t: chapter.divergences_of_bars(t, 4 * STD))
    for f, style in ((normals, "-"), (bars, "--")):
        for name, label, color in (("kl", "KL", "C3"), ("js", "JSD", "C1"), ("w1", "W₁", "C0")):
            if f is bars and name != "js":
                continue  # KL is infinite and off the paper; W₁ is the same
            axes[0].plot(theta, getattr(f(theta), name), style, color=color, label=label + (", bars" if f is bars else ""))
            slope = grad(lambda t, f=f, name=name: np.sum(getattr(f(t), name)))(theta)
            axes[1].plot(theta, slope, style, color=color)
    axes[0].axhline(chapter.LOG_2, color="0.7", lw=0.8, zorder=0)
    axes[0].text(-0.98, chapter.LOG_2 + 0.02, "log 2", fontsize=7, color="0.4")
    axes[0].set(ylim=(0, 1.2), xlabel="distance θ", title="KL (nats), JSD (nats) and W₁")
    axes[1].set(ylim=(-6, 6), xlabel="distance θ", title="their derivatives in θ")
    axes[0].legend(fontsize=7, loc="lower right")


# %% [markdown]
# ## What a critic knows
# Real data (eight Gaussians) and fake data (a cloud) stay as they are, and only the critic learns. Between these 400 and 400 points W₁
# is known exactly, by an assignment problem. The critic's gap divided by its steepest slope between any real and any fake point can
# only be below it; the gap itself is above it, as a penalty sells slope (9). Clipped weights gather at ±c, and the slope of such a critic
# varies between real and fake points, where that of the best critic would be the same everywhere.


# %%
def steepest(f, real, fake):
    """The largest |f(x) − f(y)| / ‖x − y‖ over all pairs."""
    distance = np.sqrt(np.sum((real[:, None] - fake) ** 2, axis=-1))
    return np.max(np.abs(f(real)[:, None] - f(fake)) / distance)


def train_critic(real, fake, rng, steps, constraint):
    """A critic trained on all data at each step; ([(step, gap, steepest slope)], Learner)."""
    f = WGAN.init(rng, (2,), hidden=(64, 64, 64)).critic
    learner = Learner.of(to_device(f, "cpu"), RMSProp(5e-5) if constraint == "clip" else Adam(cosine(2e-3, steps), b1=0.0, b2=0.9))
    seen = []

    def loss(f, eps):
        penalty = 0.0 if constraint == "clip" else PENALTY * chapter.gradient_penalty(f, chapter.interpolate(real, fake, eps))
        return chapter.critic_loss(f, real, fake, penalty)

    for t in range(steps):
        learner.update(loss, uniform(rng, (len(real),), real))
        if constraint == "clip":
            chapter.clip_weights(learner.vector, CLIP)
        if t % 10 == 9:
            seen.append((t + 1, float(chapter.gap(learner.model, real, fake)), float(steepest(learner.model, real, fake))))
    return np.array(seen), learner


def draw_critics(axes, rng, steps):
    """Estimates of W₁ over steps against the exact value, the weights and the slopes of both critics; returns what was measured."""
    real = toy("eight_gaussians", 400, rng)
    fake = 0.5 * rng.standard_normal((400, 2)).astype(np.float32)
    exact = wasserstein(real, fake)
    axes[0].axhline(exact, color="k", lw=1, label="exact W₁")
    found = {"w1_exact": exact, "w1_gap_expected_of_penalty": float(chapter.penalised_slope(exact, PENALTY) * exact)}
    for constraint, color in (("gradient_penalty", "C0"), ("clip", "C3")):
        seen, learner = train_critic(real, fake, rng, steps, constraint)
        name = f"clip, c = {CLIP}" if constraint == "clip" else f"penalty, λ = {PENALTY:.0f}"
        axes[0].plot(seen[:, 0], seen[:, 1] / seen[:, 2], color=color, label=f"{name}: gap / steepest slope")
        axes[0].plot(seen[:, 0], seen[:, 1], ":", color=color, label=f"{name}: gap")
        w = learner.vector
        if constraint == "clip":
            w = w / CLIP
            found["clip_weights_at_corners"] = float(np.mean(np.abs(w) > 0.99))
            axes[1].hist(w, bins=81, range=(-1.02, 1.02), color=color)
            axes[1].set(xlabel="weight / c", title=f"clipping: {found['clip_weights_at_corners']:.0%} of the weights are at ±c")
        else:
            axes[2].hist(w, bins=81, range=(-1, 1), color=color)
            axes[2].set(xlabel="weight", title="penalty: the weights are free")
        between = chapter.interpolate(real, fake, uniform(rng, (len(real),), real))
        slope = chapter.gradient_norm(learner.model, between) / seen[-1, 2]
        axes[3].hist(slope, bins=40, range=(0, 1.2), color=color, alpha=0.6, label=name.split(",")[0])
        found[f"w1_by_{constraint}"], found[f"w1_gap_{constraint}"] = float(seen[-1, 1] / seen[-1, 2]), float(seen[-1, 1])
    axes[0].set(xlabel="step of the critic", ylim=(-0.08, 1.3 * exact), title="the critic's estimate of W₁")
    axes[0].legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 0.08))
    axes[3].set(xlabel="slope at x̂ / steepest slope", title="the slope between real and fake")
    axes[3].legend(fontsize=7, loc="upper left")
    return found


# %% [markdown]
# ## Eight Gaussians
# Samples within 4 σ of a centre are of high quality; a mode is hit that holds a tenth of its share. The same networks and steps: with
# weights clipped as the paper has it (c = 0.01), less (0.1), and with the penalty. The shade is the critic: bright where it sees data.


# %%
def draw_eight(axes, rng, steps, device):
    """Samples of three models; returns the modes hit and the quality of each."""
    x, found = to_device(toy("eight_gaussians", 8000, rng), device), {"eight_ceiling": expected_mode_quality(2)}
    line = np.linspace(-3, 3, 80, dtype=np.float32)
    grid = to_device(np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2), device)
    for ax, c in zip(axes, (0.01, 0.1, None), strict=True):
        schedules = [(lambda lr: RMSProp(lr, 0.9)) if c else (lambda lr: Adam(lr, b1=0.0, b2=0.9)), 1e-3 if c else 2e-3]
        optimizer, generator_optimizer = (schedules[0](cosine(schedules[1], n)) for n in (steps, steps // 2))
        settings = {"constraint": "clip", "clip": c} if c else {"penalty": 1.0}
        name = f"clip, c = {c}" if c else "gradient penalty"
        wgan = WGAN.fit(
            x, rng=rng, latent=2, hidden=(64, 64, 64), n_critic=2, steps=steps, batch_size=128, optimizer=optimizer,
            generator_optimizer=generator_optimizer, ema=EMA(0.99), progress=name, **settings,
        )  # fmt: skip
        y = to_host(wgan.sample(4000, rng))
        hit, quality, _ = mode_scores(y, CENTERS, std=0.05)
        ax.imshow(to_host(wgan.critic(grid)).reshape(80, 80), extent=(-3, 3, -3, 3), origin="lower", cmap="Greens_r", alpha=0.6)
        scatter(ax, y[:1500], f"{name}: {hit} of 8 modes, {quality:.0%} within 4 σ", 3, c="k")
        key = f"clip_{c}" if c else "penalty"
        found[f"eight_hit_{key}"], found[f"eight_quality_{key}"] = hit, quality
    return found


# %% [markdown]
# ## Digits
# The gap falls as samples get better, until the critic begins to know the training digits by heart: then it grows again, and is larger
# than on held-out digits. Precision and coverage are those of as many samples as there are held-out digits, in the features of a classifier
# of ours; what training digits score is the ceiling.


# %%
def blockwise(f, x, size=250):
    """f(x), so many rows at a time: convolutions of all of MNIST would not fit in memory."""
    return np.concatenate([to_host(f(x[i : i + size])) for i in range(0, len(x), size)])


def draw_digits(axes, rng, steps, device, full):
    """Train, draw the gap and samples; returns what was measured."""
    images, labels = mnist10k() if full else digits()
    training, test, y, _ = split(images, labels, rng=rng)
    features = train_features(training, y, rng, steps=300 if steps < 1000 else 1500)
    x, found = to_device(training, device), {}

    def judge(samples, name):
        """Precision and coverage on the held-out digits."""
        real, fake = features(test), features(samples)
        found[f"precision_{name}"] = precision_recall(real, fake).precision
        found[f"coverage_{name}"] = density_coverage(real, fake).coverage

    for network in ("conv", "residual") if full else ("mlp",):
        wgan = WGAN.fit(
            x, rng=rng, latent=32 if full else 10, network=network, hidden=(32, 64, 128) if full else (192, 192), output=sigmoid,
            n_critic=2, steps=steps, batch_size=64, penalty=1.0, optimizer=Adam(cosine(1e-3 if full else 2e-3, steps), b1=0.0, b2=0.9),
            generator_optimizer=Adam(cosine(1e-3 if full else 2e-3, steps // 2), b1=0.0, b2=0.9), ema=EMA(0.995), progress=network,
        )  # fmt: skip
        samples = blockwise(wgan.generator, wgan.noise(rng, len(test)))
        judge(samples, network)
        scores = lambda x, wgan=wgan: blockwise(wgan.critic, to_device(x, device))
        for part, real in (("training", training), ("held_out", test)):
            found[f"gap_{part}_{network}"] = float(chapter.gap(scores, real, samples))
        gap = to_host(wgan.history["gap"])
        width = max(1, steps // 100)
        axes[0].plot(np.convolve(gap, np.ones(width) / width, "valid"), label=f"{network}, running mean")
    found["classes_generated"] = len(set(features.predict(samples).tolist()))
    judge(training[rng.permutation(len(training))[: len(test)]], "real")
    axes[0].axhline(found[f"gap_held_out_{network}"], ls=":", color="C3", label="at the end, on held-out digits")
    axes[0].set(xlabel="step of the critic", ylim=(0, None), title="digits: the critic's gap")
    axes[0].legend(fontsize=7)
    flat = training.reshape(len(training), -1)
    shown = samples[:48]
    near = np.argmin(np.sum(flat**2, axis=1) - 2 * shown.reshape(48, -1) @ flat.T, axis=1)
    rows = [a for i in (0, 16, 32) for a in (shown[i : i + 16], training[near[i : i + 16]])]
    show_images(axes[1], np.concatenate(rows), 16, "samples, under each row the nearest training digits")
    return found


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/wgan.png and return what was measured. full: MNIST and convolutional and residual networks, for a GPU."""
    rng = np.random.default_rng(seed)
    fig = figure(11, 10.5)
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=(1, 1.1, 0.9))
    why = top.subplots(1, 3)
    draw_why(why[:2])
    cells = middle.subplots(2, 3, height_ratios=(1, 2.2))
    found = draw_critics([why[2], *cells[0]], rng, 200 if quick else 800)
    found |= draw_eight(cells[1], rng, 400 if quick else 5000, device)
    steps = 20_000 if full else 6000
    found |= draw_digits(bottom.subplots(1, 2, width_ratios=(1, 2)), rng, 400 if quick else steps, device, full)
    save_figure(fig, out, "wgan")
    return found


if __name__ == "__main__":
    main()
