"""What every layer owes: gradients, dtype, device, determinism, clear errors."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.testing.gradients import check_gradients
from minigen.tree import leaves, map_nodes, tree_map


def normal(*shape):
    return lambda rng, dtype: rng.normal(size=shape).astype(dtype)


def with_statistics(rng, dtype):
    return nn.BatchNorm.init(4, dtype=dtype).updated(rng.normal(size=(20, 4)).astype(dtype))


# name -> (constructor, input)
LAYERS = {
    "Linear": (lambda rng, dtype: nn.Linear.init(rng, 4, 3, dtype=dtype), normal(2, 5, 4)),
    "Linear of a vector": (lambda rng, dtype: nn.Linear.init(rng, 4, 3, dtype=dtype), normal(4)),
    "MLP": (lambda rng, dtype: nn.MLP.init(rng, [4, 5, 3, 2], np.tanh, dtype=dtype), normal(3, 4)),
    "Embedding": (lambda rng, dtype: nn.Embedding.init(rng, 5, 3, dtype=dtype), lambda rng, dtype: np.array([[4, 0, 4], [1, 4, 1]])),
    "Conv2d": (lambda rng, dtype: nn.Conv2d.init(rng, 4, 3, (3, 2), stride=2, dtype=dtype), normal(2, 4, 5, 4)),
    "Conv2d, groups": (lambda rng, dtype: nn.Conv2d.init(rng, 4, 2, 3, 1, 2, 2, 2, dtype=dtype), normal(2, 3, 4, 4)),
    "ConvTranspose2d": (lambda rng, dtype: nn.ConvTranspose2d.init(rng, 4, 3, dtype=dtype), normal(2, 2, 3, 4)),
    "ResBlock": (lambda rng, dtype: nn.ResBlock.init(rng, 4, 4, groups=2, dtype=dtype), normal(2, 4, 2, 4)),
    "ResBlock, up": (lambda rng, dtype: nn.ResBlock.init(rng, 4, 6, "up", dtype=dtype), normal(1, 2, 4, 4)),
    "ResBlock, down": (lambda rng, dtype: nn.ResBlock.init(rng, 4, 2, "down", dtype=dtype), normal(2, 4, 2, 4)),
    "ConvEncoder": (lambda rng, dtype: nn.ConvEncoder.init(rng, (4, 2, 1), 3, (2, 3), np.tanh, dtype=dtype), normal(2, 8)),
    "ConvDecoder": (lambda rng, dtype: nn.ConvDecoder.init(rng, 3, (4, 2, 1), (2, 3), np.tanh, dtype=dtype), normal(2, 3)),
    "ResidualEncoder": (lambda rng, dtype: nn.ResidualEncoder.init(rng, (4, 2, 1), 3, (2, 4), np.tanh, dtype=dtype), normal(2, 8)),
    "ResidualDecoder": (lambda rng, dtype: nn.ResidualDecoder.init(rng, 3, (4, 2, 1), (2, 4), np.tanh, dtype=dtype), normal(2, 3)),
    "LayerNorm": (lambda rng, dtype: nn.LayerNorm.init(4, dtype=dtype), normal(2, 3, 4)),
    "GroupNorm": (lambda rng, dtype: nn.GroupNorm.init(4, 2, dtype=dtype), normal(2, 3, 2, 4)),
    "BatchNorm": (with_statistics, normal(3, 2, 4)),
    "SelfAttention": (lambda rng, dtype: nn.SelfAttention.init(rng, 4, 2, dtype=dtype), normal(2, 3, 4)),
    "SelfAttention, causal": (lambda rng, dtype: nn.SelfAttention.init(rng, 4, causal=True, dtype=dtype), normal(2, 3, 4)),
    "TransformerBlock": (lambda rng, dtype: nn.TransformerBlock.init(rng, 4, 2, True, np.tanh, dtype=dtype), normal(2, 3, 4)),
    "GRU": (lambda rng, dtype: nn.GRU.init(rng, 4, 3, dtype=dtype), normal(2, 3, 4)),
    "LSTM": (lambda rng, dtype: nn.LSTM.init(rng, 4, 3, dtype=dtype), normal(2, 3, 4)),
    "MaskedLinear": (lambda rng, dtype: nn.MaskedLinear.init(rng, nn.degree_mask([1, 2, 3, 2], [1, 3]), dtype=dtype), normal(3, 4)),
    "MaskedConv2d": (lambda rng, dtype: nn.MaskedConv2d.init(rng, 4, 3, dtype=dtype), normal(2, 3, 4, 4)),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def build(name, dtype=np.float64):
    """A layer with all its parameters moved off their special values (0 and 1), and an input."""
    make, draw = LAYERS[name]
    rng = np.random.default_rng(0)
    layer = make(rng, dtype)
    return tree_map(lambda a: a + 0.3 * rng.normal(size=a.shape).astype(dtype), layer), draw(rng, dtype)


@every_layer
def test_gradients(name):
    layer, x = build(name)

    def f(layer, *xs):
        # The second part gives a derivative to what the output does not depend on: a key's bias, a bias before a norm.
        return [np.tanh(0.5 * y) for y in leaves(layer(*xs or (x,)))], [0.1 * w * w for w in leaves(layer)]

    check_gradients(f, (layer, x) if x.dtype.kind == "f" else (layer,), entries=3)


@every_layer
def test_float32_stays_on_every_array_library(name, device):
    layer, x = build(name, np.float32)
    wide, host = map_nodes(lambda a: a.astype(np.float64) if a.dtype.kind == "f" else a, (layer, x), static=True)
    layer, x = mg.to_device((layer, x), device)

    def loss(layer, x):
        ys = leaves(layer(x))
        assert {y.dtype for y in ys} == {np.dtype(np.float32)}
        return sum(np.sum(y * y) for y in ys)

    value, gradient = mg.value_and_grad(loss)(layer, x)
    assert {g.dtype for g in leaves(gradient)} == {np.dtype(np.float32)}
    assert value.dtype == np.float32
    assert {mg.array_module(g) for g in (value, *leaves(gradient))} == {mg.array_module(x)}
    want = mg.grad(lambda layer: sum(np.sum(y * y) for y in leaves(layer(host))))(wide)
    for g, w in zip(leaves(mg.to_host(gradient)), leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=0, atol=2e-3 * max(1, np.max(np.abs(w))))


@every_layer
def test_init_depends_on_its_generator_alone_and_is_float32(name):
    make, _ = LAYERS[name]
    first, second = (make(np.random.default_rng(1), np.float32) for _ in range(2))
    assert leaves(first)
    for a, b in zip(leaves(first), leaves(second), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)


RNG = np.random.default_rng(0)
BOOLS = np.ones((2, 3), bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Linear.init(RNG, 0, 3), r"sizes must be positive integers.*\(0, 3\)"),
        (lambda: nn.Linear.init(RNG, 2, 2.5), "positive integers"),
        (lambda: nn.Linear.init(RNG, 4, 3)(np.zeros((2, 5))), r"Linear: x has shape \(2, 5\); expected \(…, 4\)"),
        (lambda: nn.Linear.init(RNG, 4, 3)(np.zeros(())), r"Linear: x has shape \(\)"),
        (lambda: nn.MLP.init(RNG, [3]), r"MLP.init: sizes is \[3\]; expected at least two"),
        (lambda: nn.Conv2d.init(RNG, 3, 4, groups=2), "groups is 2; expected a divisor of n_in = 3 and n_out = 4"),
        (lambda: nn.Conv2d.init(RNG, 4, 3, groups=2), "groups is 2"),
        (lambda: nn.Conv2d.init(RNG, 3, 4, kernel=0), "kernel is 0"),
        (lambda: nn.Conv2d.init(RNG, 3, 4)(np.zeros((1, 5, 5, 2))), "conv2d: weight has shape .* and x 2 channels"),
        (lambda: nn.ConvTranspose2d.init(RNG, 3, 4, stride=0), "stride is 0"),
        (lambda: nn.ResBlock.init(RNG, 3, 4, "left"), "resample is 'left'"),
        (lambda: nn.ResBlock.init(RNG, 3, 4)(np.zeros((5, 5, 3))), r"ResBlock: x has shape \(5, 5, 3\)"),
        (lambda: nn.ConvEncoder.init(RNG, (8, 6, 1), 3), r"event is \(8, 6, 1\); expected .* multiples of 4"),
        (lambda: nn.ConvEncoder.init(RNG, (6, 8, 1), 3), r"multiples of 4"),
        (lambda: nn.ConvDecoder.init(RNG, 3, (8, 8), (4, 5)), r"event is \(8, 8\); expected \(H, W, C\)"),
        (lambda: nn.ConvDecoder.init(RNG, 3, (8, 8, 1), ()), r"widths \(\)"),
        (lambda: nn.ConvEncoder.init(RNG, (8, 8, 1), 3)(np.zeros((2, 8, 7, 1))), r"ConvEncoder: x has shape \(2, 8, 7, 1\)"),
        (lambda: nn.ResidualEncoder.init(RNG, (8, 6, 1), 3), r"event is \(8, 6, 1\); expected .* multiples of 4"),
        (lambda: nn.ResidualDecoder.init(RNG, 3, (8, 8), (4, 5)), r"event is \(8, 8\); expected \(H, W, C\)"),
        (lambda: nn.ResidualEncoder.init(RNG, (8, 8, 1), 3)(np.zeros((2, 8, 7, 1))), r"ResidualEncoder: x has shape \(2, 8, 7, 1\)"),
        (lambda: nn.LayerNorm.init(4)(np.zeros((2, 3))), "LayerNorm: x has shape"),
        (lambda: nn.GroupNorm.init(4, 3), "groups is 3; expected a divisor of the 4 channels"),
        (lambda: nn.GroupNorm.init(4, 2)(np.zeros((2, 3, 5))), "GroupNorm: x has shape"),
        (lambda: nn.BatchNorm.init(4)(np.zeros((2, 3))), "BatchNorm: x has shape"),
        (lambda: nn.BatchNorm.init(4).updated(np.zeros((2, 3))), "BatchNorm: x has shape"),
        (lambda: nn.BatchNorm.init(3).updated(np.zeros((1, 3))), "at least two values a channel"),
        (lambda: nn.SelfAttention.init(RNG, 4, 3), "heads is 3; expected a divisor of dim = 4"),
        (lambda: nn.SelfAttention.init(RNG, 4)(np.zeros((2, 3, 5))), "SelfAttention: x has shape"),
        (lambda: nn.SelfAttention.init(RNG, 4)(np.zeros((2, 4))), r"expected \(n, T, 4\)"),
        (lambda: nn.GRU.init(RNG, 4, 3)(np.zeros((2, 4))), r"GRU: x has shape \(2, 4\); expected \(n, T ≥ 1, 4\)"),
        (lambda: nn.LSTM.init(RNG, 4, 3)(np.zeros((2, 0, 4))), "LSTM: x has shape"),
        (lambda: nn.LSTM.init(RNG, 4, 3)(np.zeros((2, 5, 3))), r"LSTM: x has shape \(2, 5, 3\); expected \(…, 4\)"),
        (lambda: nn.MaskedLinear.init(RNG, BOOLS.astype(float)), "mask is float64"),
        (lambda: nn.MaskedLinear.init(RNG, BOOLS[0]), r"mask is bool of shape \(3,\)"),
        (lambda: nn.MaskedLinear.init(RNG, BOOLS)(np.zeros((2, 3))), "MaskedLinear: x has shape"),
        (lambda: nn.MaskedConv2d.init(RNG, 1, 2, kernel=(3, 4)), r"kernel is \(3, 4\); expected odd"),
        (lambda: nn.MaskedConv2d.init(RNG, 1, 2, kernel=(4, 3)), r"kernel is \(4, 3\); expected odd"),
        (lambda: nn.MaskedConv2d.init(RNG, 1, 2, kind="C"), 'kind is \'C\'; expected "A" or "B"'),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_defaults():
    """What a reader gets who names no option; a layer made of arrays has the same options as one made by init."""
    rng, weight, bias = np.random.default_rng(0), np.zeros((4, 4, 2, 2)), np.zeros(2)
    conv, up = nn.Conv2d.init(rng, 2, 2), nn.ConvTranspose2d.init(rng, 2, 2)
    assert (conv.weight.shape[:2], up.weight.shape[:2]) == ((3, 3), (4, 4))
    for layer in (conv, nn.Conv2d(weight, bias)):
        assert (layer.stride, layer.padding, layer.dilation, layer.groups) == (1, "same", 1, 1)
    for layer in (up, nn.ConvTranspose2d(weight, bias)):
        assert (layer.stride, layer.padding) == (2, "same")
    for layer in (nn.LayerNorm.init(2), nn.LayerNorm(bias, bias), nn.GroupNorm.init(8), nn.GroupNorm(bias, bias)):
        assert layer.eps == 1e-5
    assert nn.GroupNorm.init(8).groups == nn.GroupNorm(bias, bias).groups == 8
    for layer in (nn.BatchNorm.init(2), nn.BatchNorm(bias, bias, bias, bias)):
        assert (layer.momentum, layer.eps) == (0.1, 1e-5)
    attention, block = nn.SelfAttention.init(rng, 64), nn.TransformerBlock.init(rng, 64)
    for layer in (attention, block.attention, nn.SelfAttention(None, None)):
        assert (layer.heads, layer.causal) == (1, False)
    for layer in (attention.output, block.attention.output):
        assert 0.7 < 64 * np.mean(layer.weight**2) < 1.3
    assert len(block.norms) == 2
    residual = nn.ResBlock.init(rng, 16, 16)
    assert (residual.resample, residual.activation, residual.norms[0].groups) == (None, nn.silu, 8)
    assert nn.MLP.init(rng, [2, 2]).activation is nn.MLP([]).activation is nn.relu


def test_embedding_wants_integers():
    with pytest.raises(TypeError, match="index has dtype float64; expected integers"):
        nn.Embedding.init(RNG, 4, 3)(np.zeros(2))
