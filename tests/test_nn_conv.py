"""Convolutional layers: their variance at the beginning, the residual block by its formula, PyTorch."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn

Z = 4.9  # two-sided normal false-alarm rate 1e-6


def assert_variance(weight, want):
    n = weight.size
    assert np.mean(weight**2) == pytest.approx(want, rel=Z * (2 / n) ** 0.5)


def test_convolution_begins_with_the_variance_of_its_fan_in():
    rng = np.random.default_rng(0)
    assert_variance(nn.Conv2d.init(rng, 40, 50, (3, 5), gain=2.0, dtype=np.float64).weight, 4 / (15 * 40))
    assert_variance(nn.Conv2d.init(rng, 40, 80, 5, groups=4, dtype=np.float64).weight, 1 / (25 * 10))
    assert_variance(nn.ConvTranspose2d.init(rng, 40, 50, 4, 2, gain=3.0, dtype=np.float64).weight, 9 * 4 / (16 * 40))
    assert_variance(nn.ConvTranspose2d.init(rng, 40, 50, (6, 4), (3, 1), dtype=np.float64).weight, 3 / (24 * 40))
    assert_variance(nn.MaskedConv2d.init(rng, 40, 50, 5, "A", dtype=np.float64).weight, 1 / (12 * 40))
    assert_variance(nn.MaskedConv2d.init(rng, 40, 50, (3, 5), "B", gain=2.0, dtype=np.float64).weight, 4 / (8 * 40))


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_unit_variance_in_unit_variance_out(layer):
    # away from the border, over many draws of weights and images
    rng, squares = np.random.default_rng(0), []
    for _ in range(200):
        y = layer.init(rng, 8, 16, 4, 2, dtype=np.float64)(rng.normal(size=(1, 8, 8, 8)))
        squares.append(np.mean(y[:, 2:-2, 2:-2] ** 2) if y.shape[1] > 4 else np.mean(y[:, 1:-1, 1:-1] ** 2))
    error = np.std(squares, ddof=1) / len(squares) ** 0.5
    assert abs(np.mean(squares) - 1) < Z * error < 0.2


def test_layers_pass_their_options_on():
    rng = np.random.default_rng(0)
    conv = nn.Conv2d.init(rng, 4, 6, (3, 2), stride=(2, 1), padding=((0, 1), (2, 0)), dilation=(1, 2), groups=2, dtype=np.float64)
    conv.bias += rng.normal(size=6)
    x = rng.normal(size=(2, 5, 6, 4))
    want = nn.conv2d(x, conv.weight, (2, 1), ((0, 1), (2, 0)), (1, 2), 2) + conv.bias
    np.testing.assert_allclose(conv(x), want, rtol=1e-13)
    up = nn.ConvTranspose2d.init(rng, 4, 3, 3, (2, 3), padding=1, dtype=np.float64)
    up.bias += rng.normal(size=3)
    np.testing.assert_allclose(up(x), nn.conv_transpose2d(x, up.weight, (2, 3), 1) + up.bias, rtol=1e-13)


@pytest.mark.parametrize("resample", [None, "up", "down"])
@pytest.mark.parametrize("n_out", [4, 6])
def test_residual_block_by_its_formula(resample, n_out):
    rng = np.random.default_rng(0)
    block = nn.ResBlock.init(rng, 4, n_out, resample, np.tanh, dtype=np.float64)
    x, shift = rng.normal(size=(2, 4, 6, 4)), rng.normal(size=(2, n_out))
    assert [norm.groups for norm in block.norms] == [4, 2 if n_out == 6 else 4]
    (norm1, norm2), (conv1, conv2) = block.norms, block.convs
    up = (lambda a: a.repeat(2, axis=1).repeat(2, axis=2)) if resample == "up" else lambda a: a
    halve = lambda a: 0.25 * sum(a[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    down = halve if resample == "down" else lambda a: a
    h = down(conv1(up(np.tanh(norm1(x)))))
    project = (lambda a: a) if n_out == 4 else (lambda a: a @ block.skip.weight[0, 0] + block.skip.bias)
    for s in (None, shift):
        want = project(down(up(x))) + conv2(np.tanh(norm2(h if s is None else h + s[:, None, None])))
        np.testing.assert_allclose(block(x, s), want, rtol=1e-11, atol=1e-12)


def test_residual_block_with_output_gain_0_begins_as_the_identity():
    block = nn.ResBlock.init(np.random.default_rng(0), 4, 4, output_gain=0.0)
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(block(x), x)


def test_residual_block_gains():
    block = nn.ResBlock.init(np.random.default_rng(0), 40, 60, activation=nn.relu, output_gain=0.5, dtype=np.float64)
    assert_variance(block.convs[0].weight, 2 / (9 * 40))
    assert_variance(block.convs[1].weight, 0.25 * 2 / (9 * 60))
    assert_variance(block.skip.weight, 1 / 40)


def test_image_networks_by_their_formula():
    rng = np.random.default_rng(0)
    encoder = nn.ConvEncoder.init(rng, (8, 4, 2), 5, (3, 4, 6), np.tanh, dtype=np.float64)
    x = rng.normal(size=(2, 8, 4, 2))
    h = np.tanh(nn.conv2d(x, encoder.convs[0].weight))
    h = np.tanh(nn.conv2d(np.tanh(nn.conv2d(h, encoder.convs[1].weight, 2)), encoder.convs[2].weight, 2))
    assert h.shape == (2, 2, 1, 6)
    np.testing.assert_allclose(encoder(x), h.reshape(2, 12) @ encoder.head.weight, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(encoder(x.reshape(2, 64)), encoder(x))
    decoder = nn.ConvDecoder.init(rng, 5, (8, 4, 2), (3, 4, 6), np.tanh, dtype=np.float64)
    z = rng.normal(size=(2, 7, 5))
    h = np.tanh(z @ decoder.stem.weight).reshape(14, 2, 1, 6)
    for conv in decoder.convs:
        h = np.tanh(nn.conv_transpose2d(h, conv.weight, 2))
    np.testing.assert_allclose(decoder(z).reshape(14, 8, 4, 2), nn.conv2d(h, decoder.head.weight), rtol=1e-11, atol=1e-12)


def test_residual_networks_by_their_formula():
    rng = np.random.default_rng(0)
    encoder = nn.ResidualEncoder.init(rng, (8, 4, 2), 5, (3, 4, 6), np.tanh, dtype=np.float64)
    x, (first, second) = rng.normal(size=(2, 8, 4, 2)), encoder.blocks
    h = np.tanh(second(first(nn.conv2d(x, encoder.stem.weight))))
    assert h.shape == (2, 2, 1, 6) and {b.resample for b in encoder.blocks} == {"down"}
    np.testing.assert_allclose(encoder(x), h.reshape(2, 12) @ encoder.head.weight, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(encoder(x.reshape(2, 64)), encoder(x))
    decoder = nn.ResidualDecoder.init(rng, 5, (8, 4, 2), (3, 4, 6), np.tanh, dtype=np.float64)
    z, (first, second) = rng.normal(size=(2, 7, 5)), decoder.blocks
    h = np.tanh(second(first((z @ decoder.stem.weight).reshape(14, 2, 1, 6))))
    assert h.shape == (14, 8, 4, 3) and {b.resample for b in decoder.blocks} == {"up"}
    np.testing.assert_allclose(decoder(z).reshape(14, 8, 4, 2), nn.conv2d(h, decoder.head.weight), rtol=1e-11, atol=1e-12)
    for network in (encoder, decoder):
        assert {b.activation for b in network.blocks} == {np.tanh}


def test_residual_networks_treat_examples_apart():
    """What makes the gradient of a critic at one image its own; a norm over the batch would not."""
    rng = np.random.default_rng(0)
    encoder = nn.ResidualEncoder.init(rng, (4, 4, 2), 1, (8, 8), dtype=np.float64)
    x = rng.normal(size=(3, 4, 4, 2))
    np.testing.assert_allclose(encoder(x), np.concatenate([encoder(a[None]) for a in x]), rtol=1e-11)


@pytest.mark.parametrize("output_gain", [1.0, 0.3])
def test_gains_of_residual_networks(output_gain):
    rng = np.random.default_rng(0)
    encoder = nn.ResidualEncoder.init(rng, (8, 8, 20), 40, (30, 40), nn.relu, output_gain, dtype=np.float64)
    decoder = nn.ResidualDecoder.init(rng, 40, (8, 8, 20), (30, 40), nn.relu, output_gain, dtype=np.float64)
    wanted = {
        "first": (encoder.stem, 1 / 180), "halving": (encoder.blocks[0].convs[0], 2 / 270),
        "code": (encoder.head, 2 * output_gain**2 / 640), "stem": (decoder.stem, 1 / 40),
        "doubling": (decoder.blocks[0].convs[0], 2 / 360), "image": (decoder.head, 2 * output_gain**2 / 270),
    }  # fmt: skip
    for layer, want in wanted.values():
        assert_variance(layer.weight, want)
        assert not np.any(layer.bias)


@pytest.mark.parametrize("output_gain", [1.0, 0.3])
def test_gains_of_image_networks(output_gain):
    rng = np.random.default_rng(0)
    encoder = nn.ConvEncoder.init(rng, (8, 8, 20), 40, (30, 40), nn.relu, output_gain, dtype=np.float64)
    decoder = nn.ConvDecoder.init(rng, 40, (8, 8, 20), (30, 40), nn.relu, output_gain, dtype=np.float64)
    wanted = {
        "first": (encoder.convs[0], 1 / 180), "halving": (encoder.convs[1], 2 / 480), "code": (encoder.head, 2 * output_gain**2 / 640),
        "stem": (decoder.stem, 1 / 40), "doubling": (decoder.convs[0], 2 / 160), "image": (decoder.head, 2 * output_gain**2 / 270),
    }  # fmt: skip
    for layer, want in wanted.values():
        assert_variance(layer.weight, want)
        assert not np.any(layer.bias)


def test_layers_agree_with_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    conv = nn.Conv2d.init(rng, 4, 6, 3, 2, padding=1, groups=2, dtype=np.float64)
    up = nn.ConvTranspose2d.init(rng, 6, 3, 4, 2, padding=1, dtype=np.float64)
    x = rng.normal(size=(2, 6, 8, 4))
    value, (gc, gu) = mg.value_and_grad(lambda layers: np.sum(layers[1](nn.relu(layers[0](x))) ** 2))((conv, up))
    tc, tu = torch.nn.Conv2d(4, 6, 3, 2, 1, groups=2).double(), torch.nn.ConvTranspose2d(6, 3, 4, 2, 1).double()
    tc.weight.data = torch.tensor(conv.weight.transpose(3, 2, 0, 1).copy())
    tu.weight.data = torch.tensor(up.weight.transpose(2, 3, 0, 1).copy())
    tc.bias.data, tu.bias.data = torch.tensor(conv.bias), torch.tensor(up.bias)
    loss = (tu(tc(torch.tensor(x.transpose(0, 3, 1, 2).copy())).relu()) ** 2).sum()
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(gc.weight, tc.weight.grad.numpy().transpose(2, 3, 1, 0), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(gu.weight, tu.weight.grad.numpy().transpose(2, 3, 0, 1), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(gc.bias, tc.bias.grad.numpy(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(gu.bias, tu.bias.grad.numpy(), rtol=1e-9, atol=1e-10)
