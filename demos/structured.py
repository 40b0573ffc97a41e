# %% [markdown]
"""
# Sequences: hidden Markov models and conditional random fields

A casino changes between a fair die and two loaded ones, and a hidden Markov model finds out, without being told, from the numbers alone.
Then the hidden path is given as labels of other sequences, and a conditional random field learns to label.
"""

# %%
import itertools

import numpy as np

from minigen.backend import to_device, to_host
from minigen.models import CRF, HMM
from minigen.models.hmm import CategoricalEmission
from minigen.plot import figure, save_figure

STATES = ["fair", "loaded to 6", "loaded to 1"]
COLORS = ["0.75", "C1", "C0"]


# %% [markdown]
# ## The casino
# A die stays in play for 20 throws on average; a loaded one shows its number half of the time.


# %%
def casino(length):
    """The true model."""
    faces = np.full((3, 6), 0.1)
    faces[0], faces[1, 5], faces[2, 0] = 1 / 6, 0.5, 0.5
    stay = np.full((3, 3), 0.025) + 0.925 * np.eye(3)
    return HMM(np.log(np.full(3, 1 / 3)), np.log(stay), CategoricalEmission(np.log(faces)), length)


def aligned(found, truth):
    """The order of the found states that fits the true ones best: their names are arbitrary."""
    a, b = np.exp(found.emission.log_probs), np.exp(truth.emission.log_probs)
    return list(min(itertools.permutations(range(3)), key=lambda p: np.abs(a[list(p)] - b).sum()))


def ribbon(axes, paths, names):
    """Paths (rows, T) as coloured stripes."""
    from matplotlib.colors import ListedColormap

    axes.imshow(paths, aspect="auto", cmap=ListedColormap(COLORS), vmin=0, vmax=2, interpolation="nearest")
    axes.set_yticks(range(len(names)), names, fontsize=8)


# %% [markdown]
# ## Labelling from noisy measurements
# Labels follow the casino's path; each step is seen as two numbers that a straight line cannot part by label: a ring around a spot, and
# a third cloud. Linear features fail at it, and a chain of them only agrees with itself; a small network does not, and its neighbours
# mend most of the errors that a step alone would make.


# %%
def measured(z, rng):
    """Two numbers for each label: the spot 0, the ring 1, the cloud 2; (n, T, 2)."""
    angle = rng.uniform(0, 2 * np.pi, z.shape)
    ring = 1.6 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    centre = np.where((z == 1)[..., None], ring, np.where((z == 2)[..., None], np.array([1.5, 1.5]), 0.0))
    return (centre + 0.6 * rng.standard_normal((*z.shape, 2))).astype(np.float32)


def alone(crf, x):
    """Labels from a CRF whose neighbours and start are silenced: of the same training, what a step says alone."""
    return np.argmax(to_host(crf.features(x)), axis=-1)


# %%
def main(quick=False, device="cpu", seed=0, out="out"):
    """Fit, draw out/structured.png and return what was measured."""
    rng, length = np.random.default_rng(seed), 300
    truth = casino(length)
    z, z_test = truth.sample_states(60, rng), truth.sample_states(40, rng)
    x, x_test = truth.emission.sample(z, rng), truth.emission.sample(z_test, rng)
    fits = [HMM.fit(to_device(x, device), 3, rng=rng, levels=6, iterations=20 if quick else 60) for _ in range(1 if quick else 3)]
    hmm = to_host(max(fits, key=lambda m: m.history[-1]))
    order = aligned(hmm, truth)
    names = np.argsort(order)
    path, gamma = names[hmm.predict(x_test)], hmm.posteriors(x_test)[:, :, order]
    best = truth.predict(x_test)
    found = {
        "hmm_log_prob_per_throw": float(hmm.log_prob(x_test).mean() / length),
        "true_log_prob_per_throw": float(truth.log_prob(x_test).mean() / length),
        "independent_log_prob_per_throw": float(np.log(np.bincount(x.ravel(), minlength=6) / x.size)[x_test].mean()),
        "hmm_accuracy": float((path == z_test).mean()), "true_model_accuracy": float((best == z_test).mean()),
        "hmm_posterior_accuracy": float((gamma.argmax(-1) == z_test).mean()),
    }  # fmt: skip

    seen, seen_test = to_device(measured(z[:40, :60], rng), device), to_device(measured(z_test[:, :60], rng), device)
    y, y_test = to_device(z[:40, :60], device), z_test[:, :60]
    crfs, steps = {}, 60 if quick else 400
    for name, hidden in (("linear", ()), ("network", (24,))):
        crf = CRF.fit(seen, y, rng=rng, hidden=hidden, classes=3, steps=steps, batch_size=20, progress=f"{name} CRF")
        crfs[name] = crf
        found[f"crf_{name}_accuracy"] = float((to_host(crf.predict(seen_test)) == y_test).mean())
        found[f"crf_{name}_without_neighbours"] = float((alone(crf, seen_test) == y_test).mean())
        found[f"crf_{name}_log_prob_per_label"] = float(np.mean(to_host(crf.log_prob(to_device(y_test, device), seen_test))) / 60)

    fig = figure(12, 10)
    rows = fig.subfigures(3, 1, height_ratios=(1, 1, 1.3))
    top = rows[0].subplots(2, 1, sharex=True, height_ratios=(1, 1.1))
    ribbon(top[0], np.stack([z_test[0], best[0], path[0]]), ["true path", "Viterbi, true model", "Viterbi, learned"])
    right = f"{found['hmm_accuracy']:.0%} of states right (true model {found['true_model_accuracy']:.0%})"
    top[0].set_title(f"HMM on unseen throws: {right}", fontsize=10)
    top[1].stackplot(np.arange(length), gamma[0].T, colors=COLORS, labels=STATES)
    top[1].scatter(np.arange(length), 0.05 + 0.18 * x_test[0], s=3, color="black")
    top[1].set_ylabel("posterior")
    top[1].set_xlim(-0.5, length - 0.5)
    top[1].set_ylim(0, 1)
    top[1].set_xlabel("throw (dots: the number shown, 1 at the bottom)")
    top[1].legend(fontsize=7, loc="lower right", ncols=3, framealpha=0.9)

    left, middle, right = rows[1].subplots(1, 3)
    left.plot([h for h in hmm.history / length], ".-")
    left.axhline(truth.log_prob(x).mean() / length, color="grey", ls="--", label="true parameters, same data")
    left.set_xlabel("rounds of EM")
    left.set_ylabel("log p(x) per throw, nats")
    left.legend(fontsize=8)
    for k in range(3):
        middle.plot(np.arange(1, 7), np.exp(hmm.emission.log_probs[order[k]]), "o-", color=COLORS[k], label=STATES[k])
        middle.plot(np.arange(1, 7), np.exp(truth.emission.log_probs[k]), "k_", ms=12)
    middle.set_xlabel("face (bars: true probabilities)")
    middle.set_title("learned dice", fontsize=9)
    middle.legend(fontsize=8)
    table = np.exp(hmm.log_transition[np.ix_(order, order)])
    right.imshow(table, cmap="Blues", vmin=0, vmax=1)
    for i, j in itertools.product(range(3), repeat=2):
        right.text(j, i, f"{table[i, j]:.3f}", ha="center", va="center", fontsize=9, color="white" if table[i, j] > 0.5 else "black")
    right.set_xticks(range(3), STATES, fontsize=8)
    right.set_yticks(range(3), STATES, fontsize=8)
    right.set_title("learned transitions (true: 0.950 and 0.025)", fontsize=9)

    points, bars, strips = rows[2].subplots(1, 3, width_ratios=(1, 1, 1.4))
    flat = to_host(seen_test).reshape(-1, 2)
    for k in range(3):
        points.scatter(*flat[y_test.ravel() == k].T, s=3, color=COLORS[k], label=f"label {k}")
    points.set_aspect("equal")
    points.legend(fontsize=8, markerscale=3)
    points.set_title("what the CRF sees of a step", fontsize=9)
    for i, name in enumerate(crfs):
        for j, (key, color) in enumerate((("without_neighbours", "0.7"), ("accuracy", "C2"))):
            value = found[f"crf_{name}_{key}"]
            bars.bar(i + 0.38 * j - 0.19, value, 0.36, color=color, label=("scores of a step alone", "whole chain")[j] if not i else None)
            bars.text(i + 0.38 * j - 0.19, value + 0.01, f"{value:.0%}", ha="center", fontsize=8)
    bars.set_xticks(range(2), [f"{name} features" for name in crfs], fontsize=8)
    bars.set_ylim(0, 1.25)
    bars.legend(fontsize=8, loc="upper left")
    bars.set_title("labels right on unseen sequences", fontsize=9)
    liveliest = int(np.argmax((np.diff(y_test) != 0).sum(1)))
    shown = slice(liveliest, liveliest + 1)
    stripes = [y_test[shown], to_host(crfs["network"].predict(seen_test[shown])), alone(crfs["network"], seen_test[shown])]
    stripes += [to_host(crfs["linear"].predict(seen_test[shown]))]
    ribbon(strips, np.concatenate(stripes), ["truth", "network", "network, step alone", "linear"])
    strips.set_xlabel("step")
    strips.set_title("one unseen sequence", fontsize=9)
    save_figure(fig, out, "structured")
    return found


if __name__ == "__main__":
    main()
