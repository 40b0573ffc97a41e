"""Layers: plain dataclasses of arrays with `init(rng, …)` and `__call__`. Images are (n, H, W, C)."""

from minigen.convolution import conv2d, conv_transpose2d
from minigen.functions import gelu, log_softmax, logsumexp, relu, sigmoid, silu, softmax, softplus
from minigen.nn.attention import SelfAttention, TransformerBlock
from minigen.nn.conv import Conv2d, ConvTranspose2d, ResBlock
from minigen.nn.dense import MLP, Embedding, Linear
from minigen.nn.images import ConvDecoder, ConvEncoder
from minigen.nn.inception_v3 import InceptionV3
from minigen.nn.masked import MaskedConv2d, MaskedLinear, degree_mask
from minigen.nn.norm import BatchNorm, GroupNorm, LayerNorm
from minigen.nn.recurrent import GRU, LSTM
from minigen.nn.residual import ResidualDecoder, ResidualEncoder
from minigen.nn.timed import TimedMLP
from minigen.pooling import avg_pool, max_pool, upsample

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "BatchNorm",
    "Conv2d",
    "ConvDecoder",
    "ConvEncoder",
    "ConvTranspose2d",
    "Embedding",
    "GroupNorm",
    "InceptionV3",
    "LayerNorm",
    "Linear",
    "MaskedConv2d",
    "MaskedLinear",
    "ResBlock",
    "ResidualDecoder",
    "ResidualEncoder",
    "SelfAttention",
    "TimedMLP",
    "TransformerBlock",
    "avg_pool",
    "conv2d",
    "conv_transpose2d",
    "degree_mask",
    "gelu",
    "log_softmax",
    "logsumexp",
    "max_pool",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "upsample",
]
