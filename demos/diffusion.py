# %% [markdown]
"""
# Diffusion

Noise is added to data until nothing is left of them, and a network learns the way back. Points first: their scores, four ways of drawing
by one network, and the density that its ODE defines, beside the true one. Then digits: what a step costs in bits, drawing, drawing what a
label says, and the lower half of a digit from its upper half.
"""

# %%
import os
from itertools import pairwise

import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, split, toy, toy_density, toy_entropy
from minigen.metrics import bits_per_dim, density_coverage, dequantize, precision_recall
from minigen.models import DDPM, PPCA, FlowMatching, ScoreSDE
from minigen.models.continuous_flow import transport
from minigen.models.flow import log_normal
from minigen.models.inpainting import inpaint
from minigen.models.noising import cosine_from
from minigen.optim import EMA, Adam, cosine
from minigen.plot import density_map, figure, save_figure, scatter, show_images

NAME, LIMIT = "moons", 3.0
TIMES = (0.0, 0.05, 0.15, 0.3, 1.0)


def device_of(x):
    """Where an array lives."""
    return "cpu" if isinstance(x, np.ndarray) else "cuda"


# %% [markdown]
# ## Points: there and back
# Above, points with more and more noise, and the score that the network has learned there: it points to where data are. Below, the way
# back by the ODE, from right to left.


# %%
def draw_way(cells, model, x, rng):
    """Noised points with scores in the first row of cells, the ODE's points at the same times in the second."""
    grid = np.stack(np.meshgrid(np.linspace(-2.6, 2.6, 13), np.linspace(-2.6, 2.6, 13)), axis=-1).reshape(-1, 2).astype(np.float32)
    path, times = ode_path(model, x.shape[0], rng)
    y = model.flat(x)
    for i, t in enumerate(TIMES):
        a, sigma = float(model.sde.a(t)), float(model.sde.sigma(t))
        noised = a * to_host(y) + sigma * rng.standard_normal(y.shape)
        scatter(cells[0, i], noised, f"t = {t:g}", limit=LIMIT, color="0.4", s=2)
        where = to_device(grid, device_of(y))
        s = to_host(model.score_at(where, np.full_like(where, max(t, model.sde.start), shape=grid.shape[:1])))
        s = s / np.maximum(np.linalg.norm(s, axis=1, keepdims=True), 1e-6) ** 0.7
        cells[0, i].quiver(grid[:, 0], grid[:, 1], s[:, 0], s[:, 1], color="C0", width=0.005)
        scatter(cells[1, i], path[int(np.argmin(np.abs(times - t)))], limit=LIMIT, color="C3", s=2)
    cells[0, 0].set_ylabel("noise added, and scores", fontsize=8)
    cells[1, 0].set_ylabel("the ODE, from right to left", fontsize=8)
    return path


def ode_path(model, n, rng, steps=60):
    """(Points (steps + 1, n, 2) of the ODE from noise to data, their times)."""
    u = np.linspace(1, np.sqrt(model.sde.start), steps + 1)
    x = model.mean * 0 + model.prior_std() * to_device(rng.standard_normal((n, 2)).astype(np.float32), device_of(model.mean))
    path = [to_host(x)]
    for here, there in pairwise(u):
        at = lambda x, u: model.in_root(x, np.full_like(x, u, shape=x.shape[:1]))
        middle = x + 0.5 * (there - here) * at(x, here)
        x = x + (there - here) * at(middle, 0.5 * (here + there))
        path.append(to_host(x))
    return np.stack(path), u**2


def animate(path, out, name):
    """out/name.gif: points on their way from noise to data."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    fig = figure(3.2, 3.2)
    axes = fig.subplots()
    scatter(axes, path[0], limit=LIMIT, color="C3", s=2)
    dots = axes.collections[0]
    frames = [*range(0, len(path), 2), *[len(path) - 1] * 8]
    film = FuncAnimation(fig, lambda i: dots.set_offsets(path[i]), frames=frames)
    os.makedirs(out, exist_ok=True)
    target = os.path.join(out, f"{name}.gif")
    film.save(target, writer=PillowWriter(fps=12), dpi=80)
    print(target)
    return target


# %% [markdown]
# ## Two densities
# The ODE's density is exact, and so is that of flow matching, which is trained on straight lines instead. Their mean makes its paths, too,
# nearly straight: they bend where lines from many data cross. No density has more nats than the true one, on average over all points.


# %%
def held_out(log_p, truth, fresh):
    """E log p in nats: minus the entropy, less the mean log-ratio at fresh points, which varies less than log p itself."""
    return float(-toy_entropy(NAME) - np.mean(truth(fresh.astype(float)) - log_p(fresh)))


def map_of(model):
    """log p of the ODE for a map, in 32 steps: `log_prob` takes many more in empty corners."""

    def log_p(x):
        y, rho = model.flat(to_device(x.astype(np.float32), device_of(model.mean))), model.prior_std()
        z, logdet, _ = transport(model.in_root, y, np.sqrt(model.sde.start), 1.0, 32)
        return to_host(log_normal(z / rho) - 2 * np.log(rho) + logdet - np.sum(np.log(model.std)))

    return log_p


def draw_densities(axes, sde, matching, fresh, device, rng, size):
    """The true density, the ODE's, and paths of flow matching, with held-out nats."""
    truth = toy_density(NAME)
    log_p = lambda model: lambda x: to_host(model.log_prob(to_device(x.astype(np.float32), device)))
    found = {name: held_out(log_p(model), truth, fresh) for name, model in (("sde", sde), ("matching", matching))}
    density_map(axes[0], truth, -1.6, 2.6, f"true density: at most {-toy_entropy(NAME):.3f} nats")
    density_map(axes[1], map_of(sde), -1.6, 2.6, f"score SDE's ODE: {found['sde']:.3f} nats", size=size)
    x = to_device(rng.standard_normal((60, 2)).astype(np.float32), device)
    path, steps = [to_host(x)], 32
    for i in range(steps):
        x = x + matching.layers[0].network(x, np.full_like(x, (i + 0.5) / steps, shape=x.shape[:1])) / steps
        path.append(to_host(x))
    path = np.stack(path) * to_host(matching.std) + to_host(matching.mean)
    scatter(axes[2], fresh, color="0.85", s=4)
    axes[2].plot(path[:, :, 0], path[:, :, 1], color="0.6", lw=0.6, zorder=0)
    scatter(axes[2], path[0], color="C0", s=8)
    scatter(axes[2], path[-1], f"flow matching's paths: {found['matching']:.3f} nats", color="C3", s=8)
    axes[2].legend(axes[2].collections[-2:], ("noise", "data"), fontsize=7, loc="upper right", handletextpad=0)
    axes[2].set(xlim=(-1.6, 2.6), ylim=(-1.6, 2.6))
    return found


def draw_samplers(axes, model, rng, n):
    """Draws by each sampler: their mean log-density under the truth."""
    truth, found = toy_density(NAME), {}
    for cell, (solver, title) in zip(axes, {"heun": "Heun, 32 steps", "pc": "predictor–corrector, 250"}.items(), strict=True):
        y = to_host(model.sample(n, rng, solver=solver))
        found[solver] = float(np.mean(np.maximum(truth(y.astype(float)), -20)))
        scatter(cell, y, f"{title}: {found[solver]:.2f}", color="k", s=2)
        cell.set(xlim=(-1.6, 2.6), ylim=(-1.6, 2.6))
    return found


# %% [markdown]
# ## Digits
# The bound on the likelihood is a sum over the steps: a sketch of a digit costs little, and most bits are spent on its last shades.


# %%
def likeness(model, train, test, rng):
    """Precision and coverage of draws as against test digits, and what as many training digits reach."""
    flat, real = (lambda x: to_host(x).reshape(len(x), -1)), to_host(test)
    found = {}
    for name, x in (("samples", model.sample(len(real), rng)), ("training", train[: len(real)])):
        found[f"{name}_precision"] = float(precision_recall(flat(real), flat(x)).precision)
        found[f"{name}_coverage"] = float(density_coverage(flat(real), flat(x)).coverage)
    return found


def ppca_bits(train, test, rng, levels=17):
    """Held-out bits per dimension of PPCA, of the same levels spread over their cells."""
    spread = lambda x: dequantize(np.rint(x * (levels - 1)).astype(int), levels, rng.random(x.shape)).reshape(len(x), -1)
    ppca = PPCA.fit(np.concatenate([spread(train) for _ in range(4)]), 48)
    return float(bits_per_dim(-np.mean(ppca.log_prob(spread(test))), 64, cell=1 / levels))


def draw_digits(cells, model, x, y, rng, ppca_bits):
    """Bits by t, the way to a digit, draws by label and inpainting, in four cells."""
    terms = to_host(model.elbo_terms(x, rng, y))
    per_step = np.mean(terms, axis=1) / (64 * np.log(2))
    total = bits_per_dim(float(np.mean(np.sum(terms, axis=0))), 64)
    t = np.arange(len(per_step)) / (len(per_step) - 1)
    cells[0].semilogy(t[1:-1], np.maximum(per_step[1:-1], 1e-6) * (len(t) - 1))
    cells[0].set(xlabel="t / T", ylabel="bits per dimension and unit of t")
    cells[0].set_title(f"bound: {total:.2f} bits per dimension (PPCA: {ppca_bits:.2f})", fontsize=9)
    labels = np.repeat(np.arange(10), 8)
    at = lambda labels: to_device(labels, device_of(x))
    _, states = model.sample(8, rng, y=at(labels[::10]), trace=True)
    strip = to_host(states)[np.linspace(0, len(states) - 1, 8).astype(int)]
    show_images(cells[1], strip.swapaxes(0, 1).reshape(-1, 8, 8), 8, "from noise to data, eight draws")
    draws = model.sample(80, rng, y=at(labels), guidance=1.0)
    show_images(cells[2], draws[:, :, :, 0], 8, "by label, guidance w = 1")
    real, known = x[:16], np.zeros((8, 8, 1), bool)
    known[:4] = True
    filled = to_host(inpaint(model, real, to_device(known, device_of(x)), rng, resample=2))
    shown = np.where(known, to_host(real), 0.15)
    rows = np.concatenate([a[i : i + 8] for i in (0, 8) for a in (shown, filled, to_host(real))])
    show_images(cells[3], rows[..., 0], 8, "upper half given, filled in, the truth")
    return {"digits_bits": float(total), "ppca_bits": ppca_bits}


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit, draw out/diffusion.png and out/diffusion.gif and return what was measured."""
    rng = np.random.default_rng(seed)
    x, fresh = to_device(toy(NAME, 20_000, rng), device), toy(NAME, 100 if quick else 600, rng)
    steps = 200 if quick else 2000
    sde = ScoreSDE.fit(x, rng=rng, width=64, steps=steps, batch_size=512, progress="score SDE")
    matching = FlowMatching.fit(
        x, rng=rng, width=64, steps=steps, batch_size=512, optimizer=Adam(cosine(4e-3, steps)), ema=EMA(0.99), progress="flow matching"
    )
    fig = figure(13, 12.6)
    parts = fig.subfigures(3, 1, height_ratios=[2, 1.02, 1.5])
    path = draw_way(parts[0].subplots(2, 5), sde, x[:1500], rng)
    cells = parts[1].subplots(1, 5)
    found = {"entropy_bound": -toy_entropy(NAME)}
    found |= draw_densities(cells[:3], sde, matching, fresh, device, rng, 16 if quick else 50)
    found |= draw_samplers(cells[3:], sde, rng, 500 if quick else 2000)
    images, labels = digits()
    train, test, train_labels, test_labels = (to_device(a, device) for a in split(images.astype(np.float32), labels, rng=rng))
    schedule, steps = cosine_from(0.8 / 16, 25 if quick else 120), 60 if quick else 2000
    adam = Adam(cosine(3e-3, steps), weight_decay=0.3)
    ddpm = DDPM.fit(
        train, rng=rng, y=train_labels, levels=17, schedule=schedule, width=256, blocks=1, steps=steps, optimizer=adam, progress="DDPM"
    )
    shown = 64 if quick else 200
    cells = parts[2].subplots(1, 4, width_ratios=(1.1, 1, 1, 1))
    found |= draw_digits(cells, ddpm, test[:shown], test_labels[:shown], rng, ppca_bits(to_host(train), to_host(test), rng))
    found |= likeness(ddpm, train, test[:shown], rng)
    save_figure(fig, out, "diffusion")
    animate(path, out, "diffusion")
    return found


if __name__ == "__main__":
    main()
