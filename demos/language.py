# %% [markdown]
"""
# Language models

Characters of Python's own help texts, guessed one by one: by counts, by a recurrent network and by a transformer decoder. How many
bits a character of unseen text costs each, how far back they look, and how they would go on from a real beginning.
"""

# %%
import bz2
import gzip
import sys

import numpy as np

from minigen.backend import to_device, to_host
from minigen.metrics import bits_per_dim, perplexity
from minigen.models import NGram, RNNLanguageModel, TransformerLM
from minigen.optim import Adam, cosine, warmup
from minigen.plot import figure, save_figure

LENGTH = 64
OTHER = "\N{REPLACEMENT CHARACTER}"


# %% [markdown]
# ## Text
# The topics of `help()`, which ship with Python. They differ by its version, so counts are printed with it. The text is cut into three
# contiguous parts: what is held out comes after what is learned from. A character that the first part lacks becomes one other symbol.


# %%
def python_text():
    """All help topics behind one another."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def encode(text, alphabet):
    """Characters as integers; those that the alphabet lacks as its first symbol."""
    index = {character: i for i, character in enumerate(alphabet)}
    return np.array([index.get(character, 0) for character in text])


def windows(k, length, stride):
    """Pieces (n, length) of a text k (N,), each `stride` behind the one before."""
    return k[np.arange(0, len(k) - length + 1, stride)[:, None] + np.arange(length)]


# %% [markdown]
# ## Bits
# A network that reads windows of T characters is asked for the second half of each, given the first: so every held-out character but
# the first T/2 is guessed once, from at least T/2 before it. Counts are judged on the same characters. Help texts repeat themselves,
# which counts of long pieces make the most of: in the half minute that the networks have here they do not come up with the 5-gram.


# %%
def network_nats(model, k, device):
    """−log p of the characters T/2, T/2 + 1, … of a text, in nats, and the mean by place in a window."""
    pieces = windows(k, LENGTH, LENGTH // 2)
    parts = [-to_host(model.conditionals(to_device(pieces[i : i + 256], device))) for i in range(0, len(pieces), 256)]
    nats = np.concatenate(parts).astype(float)
    return nats[:, LENGTH // 2 :].reshape(-1), nats.mean(0)


def bits(nats):
    """Mean nats a character as bits a character."""
    return float(bits_per_dim(np.mean(nats), 1))


def compressed(compress, learned, held_out):
    """Bits a character that held-out text adds to a compressed file of what was learned from."""
    return 8 * (len(compress((learned + held_out).encode())) - len(compress(learned.encode()))) / len(held_out)


def fit_networks(k, levels, rng, quick, full, device):
    """The two networks, trained on pieces of the text k."""
    pieces = to_device(windows(k, LENGTH, LENGTH // 2), device)
    schedule = lambda lr, steps: Adam(warmup(cosine(lr, steps), steps // 10))
    steps = 40 if quick else 5000 if full else 250
    size = {"hidden": 1024, "features": 128, "batch_size": 256} if full else {"hidden": 128, "batch_size": 32}
    rate = 2e-3 if full else 1e-2
    rnn = RNNLanguageModel.fit(pieces, levels, rng=rng, steps=steps, optimizer=schedule(rate, steps), progress="LSTM", **size)
    steps = 40 if quick else 5000 if full else 720
    size = {"dim": 384, "blocks": 6, "heads": 6, "batch_size": 256} if full else {"dim": 64, "blocks": 2, "batch_size": 16}
    rate = 1e-3 if full else 1e-2
    transformer = TransformerLM.fit(pieces, levels, rng=rng, steps=steps, optimizer=schedule(rate, steps), progress="transformer", **size)
    return {"LSTM": rnn, "transformer": transformer}


# %% [markdown]
# ## Pictures
# Bits of each model; what a longer context is worth; and continuations of one held-out beginning, drawn, not searched for.


# %%
def draw_bits(axes, found, reference):
    """Bars of the models, lines of the compressors."""
    axes.barh(list(found), list(found.values()), color=["C0" if "gram" in name else "C1" for name in found])
    for i, value in enumerate(found.values()):
        axes.text(0.08, i, f"{value:.2f}", va="center", color="white", fontsize=9)
    for i, (name, value) in enumerate(reference.items()):
        axes.axvline(value, color=f"C{i + 2}", linestyle="--", label=f"{name}: {value:.2f}")
    axes.invert_yaxis()
    axes.set_xlabel("held-out bits a character (lower is better)")
    axes.legend(fontsize=8, loc="lower right", title="compressed behind the training text", title_fontsize=8)


def draw_context(axes, by_place):
    """Bits by the number of characters that were read."""
    for name, nats in by_place.items():
        smooth = np.convolve(nats / np.log(2), np.ones(4) / 4, mode="valid")
        axes.plot(np.arange(len(smooth)) + 1.5, smooth, label=name)
    axes.set_xlabel("characters read before (mean over four places)")
    axes.set_ylabel("bits a character")
    axes.legend(fontsize=8)


def draw_continuations(axes, name, texts):
    """A beginning in brackets and what follows."""
    axes.set_axis_off()
    axes.set_title(name, loc="left", fontsize=10)
    lines = "\n\n".join(" ".join(text.split()) for text in texts)
    axes.text(0, 1, lines, va="top", family="monospace", fontsize=9, transform=axes.transAxes)


# %%
def main(quick=False, device="cpu", seed=0, out="out", full=False):
    """Fit, draw out/language.png and return what was measured."""
    rng, text = np.random.default_rng(seed), python_text()
    learned, held_out = text[: len(text) * 8 // 10], text[len(text) * 9 // 10 :]  # the tenth between them was for choices
    alphabet = [OTHER, *sorted(set(learned))]
    k, k_test = encode(learned, alphabet), encode(held_out, alphabet)
    print(f"Python {sys.version.split()[0]}: {len(learned)} characters to learn from, {len(held_out)} held out, {len(alphabet)} symbols")

    networks = fit_networks(k, len(alphabet), rng, quick, full, device)
    found, by_place = {}, {}
    scored = len(windows(k_test, LENGTH, LENGTH // 2)) * LENGTH // 2
    names = {1: "unigram", 2: "bigram", 3: "3-gram", 4: "4-gram", 5: "5-gram"}
    for order, name in names.items():
        found[name] = bits(-NGram.fit(k, len(alphabet), order).conditionals(k_test)[LENGTH // 2 :][:scored])
    for name, model in networks.items():
        nats, by_place[name] = network_nats(model, k_test, device)
        found[name] = bits(nats)
    reference = {name: compressed(f, learned, held_out) for name, f in (("gzip", gzip.compress), ("bz2", bz2.compress))}
    for name, value in found.items():
        nats = value * np.log(2)
        print(f"{name:12s} {value:.3f} bits = {nats:.3f} nats a character, perplexity {perplexity(value, unit='bits'):.2f}")
    print("the transformer is better than", ", ".join(name for name, value in found.items() if value > found["transformer"]))

    begin = held_out.index("\n\nThe ", 1000) + 2
    prompt = encode(held_out[begin : begin + LENGTH // 2], alphabet)
    start = to_device(np.tile(np.concatenate([prompt, 0 * prompt]), (6, 1)), device)
    known = to_device(np.arange(LENGTH) < len(prompt), device)
    continued = lambda rest: f"[{held_out[begin : begin + len(prompt)]}]{rest}"

    fig = figure(11, 7)
    top, bottom = fig.subfigures(2, 1, height_ratios=(1.6, 1))
    left, right = top.subplots(1, 2)
    draw_bits(left, found, reference)
    draw_context(right, by_place)
    for axes, (name, model) in zip(bottom.subplots(1, 2), networks.items(), strict=True):
        rows = to_host(model.fill(start, known, rng))[:, len(prompt) :]
        drawn = [continued("".join(alphabet[i] for i in row)) for row in rows]
        truth = continued(held_out[begin + len(prompt) : begin + LENGTH])
        draw_continuations(axes, f"{name} goes on (first line: the text itself)", [truth, *drawn])
    save_figure(fig, out, "language")
    return {f"{name}_bits": value for name, value in {**found, **reference}.items()} | {"python": sys.version.split()[0], "n": len(text)}


if __name__ == "__main__":
    main()
