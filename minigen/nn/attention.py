"""Attention and the transformer block.  Vaswani et al. 2017, "Attention Is All You Need".

    Attention(Q, K, V) = softmax(Q Kᵀ / √d) V          in each head, on its d = dim / heads coordinates
    causal: position i attends to j ≤ i only
    block (pre-norm): x ← x + Attention(norm(x)),  x ← x + MLP(norm(x))      Xiong et al. 2020, "On Layer Normalization…"
"""

from dataclasses import dataclass

import numpy as np

from minigen.functions import gelu, softmax
from minigen.nn.dense import MLP, Linear, expect_last
from minigen.nn.norm import LayerNorm


@dataclass
class SelfAttention:
    """Each position of a sequence gathers from all others (or, if causal, from none after it)."""

    project: Linear  # to queries, keys and values
    output: Linear
    heads: int = 1
    causal: bool = False

    @classmethod
    def init(cls, rng, dim, heads=1, causal=False, output_gain=1.0, dtype=np.float32):
        """Weights of gain 1; with output_gain 0 the layer begins as 0."""
        if heads < 1 or dim % heads:
            raise ValueError(f"SelfAttention.init: heads is {heads}; expected a divisor of dim = {dim}")
        return cls(Linear.init(rng, dim, 3 * dim, dtype=dtype), Linear.init(rng, dim, dim, output_gain, dtype), heads, causal)

    def __call__(self, x):
        """(n, T, dim) → (n, T, dim)."""
        dim = self.output.weight.shape[0]
        expect_last("SelfAttention", x, dim)
        if x.ndim != 3:
            raise ValueError(f"SelfAttention: x has shape {x.shape}; expected (n, T, {dim})")
        n, t, _ = x.shape
        d = dim // self.heads
        qkv = np.transpose(np.reshape(self.project(x), (n, t, 3, self.heads, d)), (2, 0, 3, 1, 4))
        q, k, v = qkv[0], qkv[1], qkv[2]  # (n, heads, T, d)
        logits = (q * d**-0.5) @ np.swapaxes(k, -1, -2)
        if self.causal:
            logits = logits + np.triu(np.full_like(logits, -np.inf, shape=(t, t)), 1)
        mixed = np.transpose(softmax(logits) @ v, (0, 2, 1, 3))
        return self.output(np.reshape(mixed, (n, t, dim)))


@dataclass
class TransformerBlock:
    """Attention across positions, then an MLP at each, both behind a norm and added to what they read."""

    norms: list
    attention: SelfAttention
    mlp: MLP

    @classmethod
    def init(cls, rng, dim, heads=1, causal=False, activation=gelu, output_gain=1.0, dtype=np.float32):
        """The MLP is four times as wide as the stream. An output_gain of (2 · blocks)^(−½) keeps a deep stack's variance (as GPT-2)."""
        attention = SelfAttention.init(rng, dim, heads, causal, output_gain, dtype)
        mlp = MLP.init(rng, [dim, 4 * dim, dim], activation, output_gain, dtype)
        return cls([LayerNorm.init(dim, dtype=dtype) for _ in range(2)], attention, mlp)

    def __call__(self, x):
        """(n, T, dim) → (n, T, dim)."""
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))
