"""Layers: plain dataclasses of arrays with `init(rng, …)` and `__call__`. Images are (n, H, W, C)."""

from minigen.functions import gelu, log_softmax, logsumexp, relu, sigmoid, silu, softmax, softplus
from minigen.nn.dense import MLP, Embedding, Linear

__all__ = [
    "MLP",
    "Embedding",
    "Linear",
    "gelu",
    "log_softmax",
    "logsumexp",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]
