# %% [markdown]
"""
# Restricted Boltzmann machine

Binary digits: contrastive divergence against chains that persist, by the exact likelihood of a machine of 16 hidden units; what
annealed importance sampling knows of log Z from below and above; filters and samples of a larger machine.
"""

# %%
import math

import numpy as np

from minigen.backend import to_device, to_host
from minigen.data import digits, mnist10k, split
from minigen.metrics import ais, bidirectional_ais, raise_ais, rbm_path
from minigen.models import RBM
from minigen.plot import figure, save_figure, show_images


def binary_digits(rng, full=False):
    """(training, held-out) digits (n, D), ink where a pixel is more than half dark."""
    images = (mnist10k() if full else digits())[0]
    training, test = split(images, rng=rng)
    return tuple((x.reshape(len(x), -1) > 0.5).astype(np.float32) for x in (training, test))


def log_odds(x):
    """Biases of independent pixels with the frequencies of x."""
    rate = (np.sum(x, axis=0) + 1) / (x.shape[0] + 2)
    return np.log(rate / (1 - rate))


# %% [markdown]
# ## Exact likelihoods
# With 16 hidden units log Z is a sum of 65 536 terms, so that log p(v) is exact. Chains of one sweep from the data (CD-1) lower the
# energy of data against its neighbours only; chains that persist (PCD) see the whole model. Independent pixels are the floor.


# %%
def draw_methods(axes, x, test, rng, steps):
    """Train by CD-1, CD-10 and PCD; returns the machine of PCD and what was measured."""
    odds = log_odds(x)
    found, names = {}, ["independent pixels"]
    found["independent"] = float(np.mean(test @ odds - np.sum(np.logaddexp(0, odds))))
    for name, method, k in (("CD-1", "cd", 1), ("CD-10", "cd", 10), ("PCD-1", "pcd", 1)):
        rbm = RBM.fit(x, hidden=16, rng=rng, method=method, k=k, steps=steps, progress=name)
        found[name] = float(np.mean(to_host(rbm.log_prob(test))))
        names.append(name)
    bars = axes.barh(names, list(found.values()), color=["0.7", "C0", "C0", "C3"])
    axes.bar_label(bars, fmt="%.1f ", fontsize=8, padding=3)
    axes.set(xlim=(1.25 * min(found.values()), 0), xlabel="held-out log p(v), nats", title="16 hidden units, exact likelihood")
    axes.invert_yaxis()
    return rbm, found


# %% [markdown]
# ## log Z from both sides
# Chains from independent pixels give a lower bound in expectation, chains back from exact draws an upper one: the gap closes with more
# temperatures. RAISE needs no exact draw: its log p(v) of held-out digits is below the exact one until the annealing is slow enough.


# %%
def draw_sandwich(axes, rbm, x, test, rng, counts):
    """Both bounds and RAISE beside the truth, for numbers of temperatures."""
    path, truth, found = rbm_path(rbm, log_odds(x)), float(rbm.log_z()), {}
    sides = [bidirectional_ais(path, rbm.exact_sample(100, rng), k, rng=rng) for k in counts]
    low, high = ([float(value) - truth for value in side] for side in zip(*sides, strict=True))
    exact = float(np.mean(rbm.log_prob(test[:50])))
    careful = [float(np.mean(raise_ais(path, test[:50], k, 5, rng=rng))) - exact for k in counts]
    axes.axhline(0, color="0.6", lw=0.8)
    axes.plot(counts, low, "o-", label="AIS: log Ẑ − log Z")
    axes.plot(counts, high, "o-", label="reverse AIS: log Ẑ − log Z")
    axes.plot(counts, careful, "s--", color="0.4", label="RAISE: log p̂(v) − log p(v), held-out digits")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set(xlabel="temperatures", ylabel="nats", title=f"against the exact log Z = {truth:.2f}")
    axes.legend(fontsize=7)
    found["ais_error"], found["reverse_ais_error"], found["raise_error"] = low[-1], high[-1], careful[-1]
    return found


# %% [markdown]
# ## A larger machine
# Its log Z is out of reach of enumeration; AIS bounds it from below, and so the likelihood it gives is too high rather than too low.


# %%
def draw_large(axes, x, test, rng, steps, hidden, device, sweeps):
    """Filters, and samples of long Gibbs chains."""
    side = math.isqrt(x.shape[1])
    rbm = RBM.fit(to_device(x, device), hidden=hidden, rng=rng, steps=steps, progress=f"{hidden} hidden units")
    samples = to_host(rbm.visible_given(rbm.hidden_given(rbm.sample(60, rng, sweeps))))
    weight = to_host(rbm.weight).T[:60]
    show_images(axes[0], x[:60].reshape(-1, side, side), 10, "training digits, binary")
    show_images(axes[1], samples.reshape(-1, side, side), 10, f"P(v | h) at the ends of {sweeps} Gibbs sweeps")
    show_images(axes[2], 0.5 + weight.reshape(-1, side, side) / (2 * np.abs(weight).max()), 10, "weights of 60 hidden units")
    log_z = ais(rbm_path(rbm, to_device(log_odds(x), device)), 1000, 50, rng=rng).log_z
    return {"large_log_prob_by_ais": float(-np.mean(to_host(rbm.free_energy(to_device(test, device)))) - float(to_host(log_z)))}


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/rbm.png and return what was measured. full: MNIST, for a GPU."""
    rng = np.random.default_rng(seed)
    x, test = binary_digits(rng, full)
    fig = figure(12, 6.4)
    upper, lower = fig.subfigures(2, 1, height_ratios=(1.4, 1))
    top, bottom = upper.subplots(1, 2), lower.subplots(1, 3)
    rbm, found = draw_methods(top[0], x, test, rng, 200 if quick else 2000)
    found |= draw_sandwich(top[1], rbm, x, test, rng, (3, 10, 30, 100) if quick else (3, 10, 30, 100, 300, 1000))
    steps, hidden = (300, 64) if quick else (20_000, 500) if full else (2500, 128)
    found |= draw_large(bottom, x, test, rng, steps, hidden, device, 200 if quick else 1000)
    save_figure(fig, out, "rbm")
    return found


if __name__ == "__main__":
    main()
