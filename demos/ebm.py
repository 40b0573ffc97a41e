# %% [markdown]
"""
# Energy-based models

An energy learned from points by Langevin chains that persist, its surface beside the true one, and chains on it: the unadjusted ones
are biased, Metropolis' are not; their acceptance and effective sample size by the length of a step.
"""

# %%
import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import toy, toy_density
from minigen.models import EBM
from minigen.models.ebm import effective_sample_size
from minigen.plot import density_map, figure, save_figure, scatter

NAME, LIMIT = "two_gaussians", 5.0


def normalised(ebm, device, limit=9.0, size=361):
    """log p(x) of the model with its Z by a sum over a grid, in two dimensions."""
    line = np.linspace(-limit, limit, size, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    energy = lambda x: to_host(ebm.energy(to_device(x.astype(np.float32), device))).astype(np.float64)
    log_z = np.log(np.sum(np.exp(-energy(grid)))) + 2 * np.log(line[1] - line[0])
    return lambda x: -energy(x) - log_z


# %% [markdown]
# ## Steps
# A long step travels far and is refused often; a short one is accepted and goes nowhere. Between them the effective sample size
# of a chain is largest, for the coordinate that stays within a well; the one between the wells hardly mixes at any step. What chains that
# are never refused draw is wider than the model, the more so the longer their step. At both ends of the scale chains have not yet
# forgotten where they began, refusals or not.


# %%
def draw_steps(axes, ebm, rng, steps, log_p):
    """Acceptance, ESS and the bias of unadjusted chains by η."""
    widths = float(ebm.std) * np.geomspace(0.05, 0.8, 6)
    rates, worth, bias = [], [], {True: [], False: []}
    line = np.linspace(-9, 9, 181)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    p = np.exp(log_p(grid))
    truth = p @ log_p(grid) / np.sum(p)
    for eta in widths.tolist():
        for adjust in (True, False):
            found = ebm.chains(100, rng, steps=steps, eta=eta, adjust=adjust)
            draws = to_host(found.draws)[steps // 3 :]
            bias[adjust].append(truth - np.mean(log_p(draws[::5].reshape(-1, 2))))
            if adjust:
                rates.append(float(to_host(found.acceptance)))
                worth.append(effective_sample_size(draws) / (draws.shape[0] * draws.shape[1]))
    axes[0].plot(widths, rates, "o-", label="acceptance")
    for i, name in enumerate(("x₁, between the wells", "x₂, within a well")):
        axes[0].plot(widths, np.array(worth)[:, i], "s-", label=f"ESS per step of {name}")
    axes[0].set(xlabel="step η", ylim=(1e-4, 1.5), yscale="log")
    axes[0].set_title("Metropolis-adjusted chains", fontsize=9)
    axes[0].legend(fontsize=7, loc="lower left")
    axes[1].plot(widths, bias[True], "o-", label="adjusted (MALA)")
    axes[1].plot(widths, bias[False], "s-", label="unadjusted")
    axes[1].axhline(0, color="0.6", lw=0.8)
    axes[1].set(xlabel="step η", ylabel="nats")
    axes[1].set_title("mean energy of draws less the exact", fontsize=9)
    axes[1].set_yscale("symlog", linthresh=0.1)
    axes[1].set_ylim(bottom=-0.03)
    axes[1].legend(fontsize=7)
    best = int(np.argmin(np.abs(np.array(rates) - 0.574)))  # Roberts & Rosenthal 1998; ESS means nothing where chains stand still
    found = {"eta": widths[best], "acceptance": rates[best], "ess_per_step": worth[best][1], "bias_mala": bias[True][best]}
    return {name: float(value) for name, value in found.items()}


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit, draw out/ebm.png and return what was measured."""
    rng = np.random.default_rng(seed)
    x = to_device(toy(NAME, 8000, rng), device)
    ebm = EBM.fit(x, rng=rng, hidden=(64, 64), steps=200 if quick else 2500, progress="EBM")
    log_p, truth, fresh = normalised(ebm, device), toy_density(NAME), toy(NAME, 4000, rng)
    fig = figure(12, 7.6)
    cells = fig.subplots(2, 3)
    found = {"true_log_prob": float(np.mean(truth(fresh))), "log_prob": float(np.mean(log_p(fresh)))}
    density_map(cells[0, 0], truth, -LIMIT, LIMIT, f"the data's density: {found['true_log_prob']:.3f} nats")
    density_map(cells[0, 1], log_p, -LIMIT, LIMIT, f"the model's, Z by a sum: {found['log_prob']:.3f} nats")
    found |= draw_steps(cells[1, :2], ebm, rng, 150 if quick else 600, log_p)
    line = np.linspace(-LIMIT, LIMIT, 120)
    energy = -log_p(np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)).reshape(120, 120)
    drawn = cells[0, 2].contourf(line, line, energy - energy.min(), levels=np.arange(0, 21), cmap="viridis", extend="max")
    fig.colorbar(drawn, ax=cells[0, 2], label="energy above its least, nats")
    paths = ebm.chains(5, rng, steps=60, eta=found["eta"] / 2)
    for path in np.moveaxis(to_host(paths.draws), 1, 0):
        cells[0, 2].plot(path[:, 0], path[:, 1], ".-", lw=0.7, ms=3)
        cells[0, 2].plot(*path[0], "wo", ms=5, mec="k")
    cells[0, 2].set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT))
    cells[0, 2].set_title("energy, and five chains from their starts (white)", fontsize=9)
    cells[0, 2].set_aspect("equal")
    y = to_host(ebm.sample(2000, rng, steps=100 if quick else 400, eta=found["eta"]))
    scatter(cells[1, 2], y, "samples: ends of 2000 chains", limit=LIMIT, c="k")
    save_figure(fig, out, "ebm")
    return found


if __name__ == "__main__":
    main()
