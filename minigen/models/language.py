"""Language models: a recurrent network and a transformer decoder for sequences of symbols.

Mikolov et al. 2010, "Recurrent neural network based language model"; Graves 2013, "Generating Sequences With Recurrent Neural
Networks"; Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2018 (the decoder alone). A sequence k has T symbols,
integers 0 … L − 1, each guessed from those before it; a start symbol, k₋₁ = L, stands before the first.

    log p(k) = Σₜ log p(kₜ | k₀ … kₜ₋₁),   p(kₜ = l | …) = softmax(aₜ)ₗ                                    (1)

E has a vector for each symbol. The recurrent network (LSTM: its equations in `minigen.nn.recurrent`) keeps a state of fixed size:

    hₜ, cₜ = LSTM(E[kₜ₋₁], hₜ₋₁, cₜ₋₁),   aₜ = A hₜ + b                                                    (2)

The transformer looks back at all that was read (its blocks: `minigen.nn.attention`). It needs to be told the positions, P, and reads
R symbols at once, each from a table of its own: R = 1 is the plain decoder, but with a few more the first block knows which letters
stand together, and need not first learn to look for them (a causal convolution of the vectors, as So et al. 2021, "Primer", have it):

    xₜ = Σⱼ Eⱼ[kₜ₋ⱼ] + Pₜ,   j = 1 … R,   x ← blocks(x),   aₜ = A norm(xₜ) + b                              (3)

In a causal block position t reads t′ ≤ t only. So while a sequence is drawn, the keys and values of earlier positions never change:
they are kept, and a new position costs one query q, key and value; of each head, of d coordinates,

    K ← [K; kₜ],   V ← [V; vₜ],   attention = softmax(q Kᵀ / √d) V                                        (4)

With natural logarithms log p is in nats; −log p / (T log 2) are bits a symbol, and 2^bits = e^nats is the perplexity.
"""

from dataclasses import dataclass

import numpy as np

from minigen.checks import check_count, check_rng
from minigen.functions import softmax
from minigen.models.levels import check_levels, draw, log_softmax_at, one_hot, start
from minigen.nn import LSTM, Embedding, LayerNorm, Linear, TransformerBlock
from minigen.optim import Adam, cosine, warmup
from minigen.progress import shown
from minigen.train import minimise


def shifted(k, levels):
    """What is read before each symbol: the start symbol and all symbols but the last, (n, T)."""
    return np.concatenate([np.full_like(k[:, :1], levels, dtype=np.int64), k[:, :-1]], axis=1)


# ---- What both models make of their logits: functions of a model, which are their methods ----
def check_sequences(k, levels, longest=None):
    """Raise unless k holds integers 0 … levels − 1 in shape (n, T), T ≤ longest."""
    check_levels(k, levels)
    if k.ndim != 2 or (longest is not None and k.shape[1] > longest):
        raise ValueError(f"k has shape {k.shape}; expected (n, T{'' if longest is None else f' ≤ {longest}'})")


def conditionals(model, k):
    """log p(kₜ | k₀ … kₜ₋₁), (n, T) nats, for integers k (n, T)."""
    check_sequences(k, model.levels, model.longest)
    logits = model.logits(k)
    return log_softmax_at(logits, one_hot(k, model.levels, logits))  # (1)


def log_prob(model, k):
    """log p(k), exact, (n,) nats."""
    return np.sum(conditionals(model, k), axis=1)  # (1)


def sample(model, n, rng, length=None, progress=True):
    """k ~ p(k), integers (n, length); by default as long as those of the training."""
    length = model.length if length is None else length
    check_count("n", n)
    check_count("length", length)
    k = np.zeros_like(model.head.bias, shape=(n, length), dtype=np.int64)
    return fill(model, k, k > 0, rng, progress)


def fill(model, k, known, rng, progress=True):
    """k with the symbols that are not `known` (booleans, of the shape of k or of one sequence) drawn, each given all before it.

    With a known beginning that is a continuation. What is known of later symbols is kept, but earlier ones are drawn without it.
    """
    check_rng(rng)
    k, known = start(k, known, getattr(k, "shape", ())[1:])
    check_sequences(k, model.levels, model.longest)
    state, symbol = model.begin(k.shape[0]), shifted(k, model.levels)[:, 0]
    for t in shown(range(k.shape[1]), progress):
        logits, state = model.step(symbol, state, t)
        symbol = np.where(known[:, t], k[:, t], draw(logits, rng))
        k[:, t] = symbol
    return k


def train(model, k, rng, steps, batch_size, optimizer, training):
    """The model trained on −log p a symbol of sequences k (n, T)."""
    check_sequences(k, model.levels)
    loss = lambda model, k, rng: -np.mean(conditionals(model, k), axis=1)
    return minimise(loss, model, k, rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer, **training)[0]


@dataclass
class RNNLanguageModel:
    """A recurrent language model. k holds integers (n, T).

    >>> k = np.array([[0, 1, 2, 0, 1, 2], [2, 1, 0, 2, 1, 0]])  # log p = −log 2
    >>> model = RNNLanguageModel.fit(k, 3, rng=np.random.default_rng(0), hidden=16, steps=150, optimizer=Adam(0.02), progress=False)
    >>> model.log_prob(k).round(1)
    array([-0.7, -0.7], dtype=float32)
    """

    embedding: Embedding  # (L + 1, E)
    lstm: LSTM
    head: Linear
    levels: int
    length: int  # of the sequences of the training
    longest = None

    @classmethod
    def init(cls, rng, length, levels, hidden=256, features=64, dtype=np.float32):
        """Vectors of `features` coordinates for symbols, a state of `hidden`."""
        check_rng(rng)
        for name, number in {"length": length, "levels": levels, "hidden": hidden, "features": features}.items():
            check_count(name, number)
        embedding, lstm = Embedding.init(rng, levels + 1, features, dtype=dtype), LSTM.init(rng, features, hidden, dtype)
        return cls(embedding, lstm, Linear.init(rng, hidden, levels, dtype=dtype), levels, length)

    def logits(self, k):
        """a (n, T, L)."""
        return self.head(self.lstm(self.embedding(shifted(k, self.levels)))[0])  # (2)

    def begin(self, n):
        """The state before n sequences."""
        return self.lstm.start(np.zeros_like(self.head.bias, shape=(n, 1)))

    def step(self, symbol, state, t):
        """(aₜ (n, L), the next state) for the symbols (n,) read at t."""
        state = self.lstm.step(self.embedding(symbol), state)
        return self.head(state[0]), state  # (2)

    conditionals, log_prob, sample, fill = conditionals, log_prob, sample, fill

    @classmethod
    def fit(
        cls, k, levels, *, rng, hidden=256, features=64, steps=1000, batch_size=32, optimizer=None, dtype=np.float32, **training
    ):  # fmt: skip
        """Train on sequences k (n, T) by Adam. The rest goes to `minigen.train.minimise`."""
        check_sequences(k, levels)
        model = cls.init(rng, k.shape[1], levels, hidden, features, dtype)
        return train(model, k, rng, steps, batch_size, optimizer or Adam(cosine(4e-3, steps)), training)


def step_attention(attention, x, kept):
    """(attention of the newest position (n, 1, dim), all keys and values) for its x (n, 1, dim) and those kept, or None."""
    n, _, dim = x.shape
    heads = np.transpose(np.reshape(attention.project(x), (n, 3, attention.heads, 1, dim // attention.heads)), (1, 0, 2, 3, 4))
    q, k, v = heads[0], heads[1], heads[2]  # (n, heads, 1, d)
    if kept is not None:
        k, v = np.concatenate([kept[0], k], axis=2), np.concatenate([kept[1], v], axis=2)  # (4)
    mixed = softmax((q * q.shape[-1] ** -0.5) @ np.swapaxes(k, -1, -2)) @ v  # (4)
    return attention.output(np.reshape(mixed, (n, 1, dim))), (k, v)


@dataclass
class TransformerLM:
    """A transformer decoder. k holds integers (n, T), T at most the length of the training's sequences.

    >>> k = np.array([[0, 1, 2, 0, 1, 2], [2, 1, 0, 2, 1, 0]])  # log p = −log 2
    >>> model = TransformerLM.fit(k, 3, rng=np.random.default_rng(0), dim=16, blocks=1, steps=300, progress=False)
    >>> model.log_prob(k).round(1)
    array([-0.7, -0.7], dtype=float32)
    """

    embedding: Embedding  # (R (L + 1), dim): R tables
    positions: np.ndarray  # (length, dim)
    blocks: list
    norm: LayerNorm
    head: Linear
    levels: int

    @classmethod
    def init(cls, rng, length, levels, dim=64, blocks=2, heads=4, reach=4, dtype=np.float32):
        """A stream of `dim` coordinates through causal blocks, that reads `reach` symbols at once."""
        check_rng(rng)
        for name, number in {"length": length, "levels": levels, "dim": dim, "blocks": blocks, "heads": heads, "reach": reach}.items():
            check_count(name, number)
        embedding = Embedding.init(rng, reach * (levels + 1), dim, reach**-0.5, dtype)
        positions = Embedding.init(rng, length, dim, 0.3, dtype).weight
        stack = [TransformerBlock.init(rng, dim, heads, causal=True, output_gain=(2 * blocks) ** -0.5, dtype=dtype) for _ in range(blocks)]
        return cls(embedding, positions, stack, LayerNorm.init(dim, dtype=dtype), Linear.init(rng, dim, levels, 0.1, dtype), levels)

    @property
    def longest(self):
        """How many positions there are."""
        return self.positions.shape[0]

    length = longest

    @property
    def reach(self):
        """R."""
        return self.embedding.weight.shape[0] // (self.levels + 1)

    def logits(self, k):
        """a (n, T, L)."""
        x, before = self.positions[: k.shape[1]], k
        for j in range(self.reach):
            before = shifted(before, self.levels)
            x = x + self.embedding(before + j * (self.levels + 1))  # (3)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))  # (3)

    def begin(self, n):
        """What is kept before the first position: the symbols last read, no keys, no values."""
        before = np.full_like(self.head.bias, self.levels, shape=(n, self.reach), dtype=np.int64)
        return before, [None for _ in self.blocks]

    def step(self, symbol, state, t):
        """(aₜ (n, L), what is kept) for the symbols (n,) read at t."""
        before, kept = np.concatenate([symbol[:, None], state[0][:, :-1]], axis=1), list(state[1])
        x = self.positions[t][None, None]
        for j in range(self.reach):
            x = x + self.embedding(before[:, j : j + 1] + j * (self.levels + 1))
        for i, block in enumerate(self.blocks):
            y, kept[i] = step_attention(block.attention, block.norms[0](x), kept[i])
            x = x + y
            x = x + block.mlp(block.norms[1](x))
        return self.head(self.norm(x))[:, 0], (before, kept)

    conditionals, log_prob, sample, fill = conditionals, log_prob, sample, fill

    @classmethod
    def fit(
        cls, k, levels, *, rng, dim=64, blocks=2, heads=4, reach=4, steps=1000, batch_size=32, optimizer=None, dtype=np.float32,
        **training,
    ):  # fmt: skip
        """Train on sequences k (n, T) by Adam with a warm-up. The rest goes to `minigen.train.minimise`."""
        check_sequences(k, levels)
        model = cls.init(rng, k.shape[1], levels, dim, blocks, heads, reach, dtype)
        optimizer = optimizer or Adam(warmup(cosine(5e-3, steps), 1 + steps // 10))
        return train(model, k, rng, steps, batch_size, optimizer, training)
