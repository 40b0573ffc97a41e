# %% [markdown]
"""
# Three ways to a posterior

The means of two mixture components are unknown, so their posterior is a picture: two modes, since the labels of the components could be
exchanged but for their weights. It is drawn exactly by a grid, and beside it what a variational approximation and two kinds of Markov
chain make of it, each with what it costs in evaluations of the likelihood.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.models import MixtureMeans
from minigen.models.inference import effective_sample_size, hmc, metropolis
from minigen.plot import figure, save_figure

LIMITS, SIZE = (-4.0, 4.0), 120


# %% [markdown]
# ## The model
# Sixteen draws of a mixture with means −1 and 1.2 and weights 0.45 and 0.55: few and overlapping, so that the modes are of unequal mass
# and a chain finds the way from one to the other.


# %%
def posterior(seed, dtype=np.float64):
    """The model with its data."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(16) < 0.45, -1.0, 1.2) + rng.standard_normal(16)
    return MixtureMeans(x.astype(dtype), np.array([0.45, 0.55], dtype), noise=1.0, spread=3.0)


def distance(states, exact):
    """Total variation between the chains' histogram and the exact posterior on 30 × 30 cells: 0 to 1."""
    edges = np.linspace(*LIMITS, 31)
    seen, _, _ = np.histogram2d(*states.reshape(-1, 2).T, bins=(edges, edges))
    true = exact.reshape(30, SIZE // 30, 30, SIZE // 30).sum((1, 3))
    return 0.5 * float(np.abs(seen / states[..., 0].size - true).sum())


def autocorrelation(values, lags):
    """ρ_t of values (T, chains) about the mean of all."""
    centred = values - values.mean()
    return [np.mean(centred[: len(values) - t] * centred[t:]) / np.mean(centred**2) for t in range(lags)]


# %% [markdown]
# ## Pictures
# The exact posterior as shading; over it the mean-field ellipses, or the states of four chains. Below: the bound's climb to what it
# can reach, how fast chains forget, and the marginal of μ₁ by each. A step of HMC costs five evaluations here; in two dimensions that
# buys no more independent states than five small steps do, in many it does.


# %%
def shade(axes, exact, title):
    """The exact posterior, with μ₁ to the right."""
    axes.imshow(exact.T, origin="lower", extent=(*LIMITS, *LIMITS), cmap="Greys", vmax=exact.max() * 0.8, interpolation="bilinear")
    axes.set_xlim(-2.6, 2.6)
    axes.set_ylim(-2.6, 2.6)
    axes.set_xlabel("μ₁")
    axes.set_ylabel("μ₂")
    axes.set_title(title, fontsize=9)


def ellipse(axes, q, label, color):
    """Two standard deviations of a mean-field approximation."""
    t = np.linspace(0, 2 * np.pi, 200)
    m, s = to_host(q.means), np.sqrt(to_host(q.variances))
    axes.plot(m[0] + 2 * s[0] * np.cos(t), m[1] + 2 * s[1] * np.sin(t), color=color, label=label)


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Infer, draw out/inference.png and return what was measured."""
    rng, model = np.random.default_rng(seed), to_device(posterior(seed), device)
    middles, log_p, evidence = (to_host(a) for a in model.grid(*LIMITS, SIZE))
    exact = np.exp(log_p) * (middles[1] - middles[0]) ** 2
    fields = [model.mean_field(to_device(np.array(m), device)) for m in ([-1.0, 1.0], [1.0, -1.0])]

    chains, steps = 8, 300 if quick else 4000
    start = to_device(rng.uniform(-2, 2, (chains, 2)), device)
    runs = {
        "Metropolis": metropolis(model.log_joint, start, 1.0, 5 * steps, rng),
        "HMC": hmc(model.log_joint, start, 0.5, 5, steps, rng),
    }
    found = {"log_evidence_grid": float(evidence), "grid_evaluations": SIZE**2}
    for name, q in zip(("left", "right"), fields, strict=True):
        found[f"mean_field_{name}"] = {"elbo": q.history[-1], "evaluations": q.evaluations, "gap": float(evidence) - q.history[-1]}

    fig = figure(12, 8)
    top, bottom = fig.subplots(2, 3)
    shade(top[0], exact, f"exact by a grid:\n{SIZE**2} evaluations")
    for q, color in zip(fields, ("C0", "C1"), strict=True):
        ellipse(top[0], q, f"mean field: ELBO {q.history[-1]:.2f}, {q.evaluations} rounds", color)
    top[0].legend(fontsize=7, loc="lower left", title=f"log p(x) = {float(evidence):.2f}", title_fontsize=7)
    for axes, (name, run) in zip(top[1:], runs.items(), strict=True):
        states = to_host(run.states)[len(run.states) // 10 :]
        sizes = [effective_sample_size(states[:, :, i]) for i in range(2)]
        per = min(sizes) / (run.evaluations * chains * 0.9)
        found[name] = {
            "acceptance": run.acceptance, "evaluations": run.evaluations * chains, "ess": float(min(sizes)),
            "ess_per_1000_evaluations": 1000 * float(per), "total_variation": distance(states, exact),
        }  # fmt: skip
        shade(axes, exact, f"{name}: {run.acceptance:.0%} accepted,\n{1000 * per:.0f} effective samples per 1000 evaluations")
        points = states[:: max(1, len(states) // 150), :4].reshape(-1, 2)
        axes.scatter(*points.T, s=4, alpha=0.6, c=np.tile(np.arange(4), len(points) // 4), cmap="tab10", vmax=9)
        bottom[1].plot(autocorrelation(states[:, :, 0], 60), label=name)
    for q, color in zip(fields, ("C0", "C1"), strict=True):
        bottom[0].plot(1 + np.arange(len(q.history)), float(evidence) - np.array(q.history), color=color)
    bottom[0].set_ylim(0)
    bottom[0].set_xlabel("rounds of coordinate ascent")
    bottom[0].set_ylabel("log p(x) − ELBO, nats")
    bottom[0].set_title("the bound, from each side", fontsize=9)
    bottom[1].axhline(0, color="grey", lw=0.8)
    bottom[1].set_xlabel("steps of the chain")
    bottom[1].set_title("autocorrelation of μ₁", fontsize=9)
    bottom[1].legend(fontsize=8)
    width = middles[1] - middles[0]
    bottom[2].fill_between(middles, exact.sum(1) / width, color="0.8", label="exact")
    for name, run in runs.items():
        states = to_host(run.states)[len(run.states) // 10 :]
        bottom[2].hist(states[:, :, 0].ravel(), bins=80, range=LIMITS, density=True, histtype="step", label=name)
    for q, color in zip(fields, ("C0", "C1"), strict=True):
        m, v = float(to_host(q.means)[0]), float(to_host(q.variances)[0])
        bottom[2].plot(middles, np.exp(-0.5 * (middles - m) ** 2 / v) / np.sqrt(2 * np.pi * v), "--", color=color, lw=1)
    bottom[2].set_xlabel("μ₁")
    bottom[2].set_xlim(-2.6, 2.6)
    bottom[2].set_title("marginal density of μ₁ (dashed: mean field)", fontsize=9)
    bottom[2].legend(fontsize=8)
    save_figure(fig, out, "inference")
    return found


if __name__ == "__main__":
    main()
