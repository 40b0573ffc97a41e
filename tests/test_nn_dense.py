"""Dense layers by their formulas, and how variance goes through a network at the beginning."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.nn.dense import gain

Z = 4.9  # two-sided normal false-alarm rate 1e-6


def test_linear_is_the_affine_map():
    layer = nn.Linear(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0.5, -0.5]))
    np.testing.assert_array_equal(layer(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]])), [[1.5, 1.5], [13.5, 15.5]])


def test_mlp_has_its_activation_between_layers_only():
    one = lambda w, b: nn.Linear(np.array([[w]]), np.array([b]))
    mlp = nn.MLP([one(2.0, -1.0), one(-1.0, 3.0), one(2.0, -5.0)], nn.relu)
    # 2 → 3 → 3 → 0 → 0 → −5: relu after the last would give 0
    np.testing.assert_array_equal(mlp(np.array([[2.0], [0.0]])), [[-5.0], [1.0]])


def test_embedding_takes_rows_and_adds_up_repeated_gradients():
    layer = nn.Embedding(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    index = np.array([[2, 0], [2, 2]])
    np.testing.assert_array_equal(layer(index), layer.weight[index])
    c = np.array([[1.0, 10.0], [100.0, 1000.0]])
    g = mg.grad(lambda layer: np.sum(layer(index) * c[..., None]))(layer)
    np.testing.assert_array_equal(g.weight, [[10, 10], [0, 0], [1101, 1101]])


@pytest.mark.parametrize(
    ("activation", "want"),
    [(nn.relu, 2**0.5), (lambda z: z, 1.0), (np.abs, 1.0), (np.sin, (2 / (1 - np.exp(-2))) ** 0.5), (np.exp, np.exp(-1))],
)
def test_gain_by_closed_forms(activation, want):
    # E max(z, 0)² = ½, E z² = 1, E sin² z = ½ (1 − e⁻²), E e²ᶻ = e²
    assert gain(activation) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("activation", [nn.relu, nn.silu, nn.gelu, np.tanh])
def test_mlp_keeps_the_variance_at_any_depth(activation):
    # The mean square of a wide layer's pre-activations, over many networks: each has mean 1 at the start, and its mean over
    # networks is 1 within Z standard errors.
    rng = np.random.default_rng(0)
    squares = []
    for _ in range(60):
        mlp = nn.MLP.init(rng, [256] * 7, activation)
        y = mlp(rng.normal(size=(1, 256)).astype(np.float32))
        squares.append(np.mean(y**2))
    error = np.std(squares, ddof=1) / len(squares) ** 0.5
    assert abs(np.mean(squares) - 1) < Z * error + 0.05  # at finite width the inputs of an activation are not quite normal
    assert Z * error < 0.5


def test_first_and_last_gains():
    rng = np.random.default_rng(0)
    mlp = nn.MLP.init(rng, [400, 300, 200, 100], output_gain=0.1, dtype=np.float64)
    for layer, fan, want in zip(mlp.layers, (400, 300, 200), (1.0, 2**0.5, 0.1 * 2**0.5), strict=True):
        n = layer.weight.size
        assert layer.weight.shape[0] == fan
        np.testing.assert_array_equal(layer.bias, 0)
        # the variance of n normal numbers has relative standard error √(2/n)
        assert np.mean(layer.weight**2) * fan / want**2 == pytest.approx(1, abs=Z * (2 / n) ** 0.5)
        assert abs(np.mean(layer.weight)) * (n * fan) ** 0.5 / want < Z


def test_output_gain_0_is_the_zero_function():
    mlp = nn.MLP.init(np.random.default_rng(0), [3, 4, 2], output_gain=0.0)
    assert len(nn.MLP.init(np.random.default_rng(0), [3, 2]).layers) == 1
    np.testing.assert_array_equal(mlp(np.ones((5, 3), np.float32)), 0)


def test_embedding_begins_standard_normal():
    w = nn.Embedding.init(np.random.default_rng(0), 100, 200, gain=0.5, dtype=np.float64).weight
    assert np.mean(w**2) == pytest.approx(0.25, rel=Z * (2 / w.size) ** 0.5)


def test_mlp_agrees_with_torch():
    torch = pytest.importorskip("torch")
    mlp, x = nn.MLP.init(np.random.default_rng(0), [4, 8, 3], nn.silu, dtype=np.float64), np.random.default_rng(1).normal(size=(5, 4))
    value, g = mg.value_and_grad(lambda mlp: np.sum(np.square(mlp(x))))(mlp)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.SiLU(), torch.nn.Linear(8, 3)).double()
    for theirs, ours in zip((net[0], net[2]), mlp.layers, strict=True):
        theirs.weight.data, theirs.bias.data = torch.tensor(ours.weight.T.copy()), torch.tensor(ours.bias)
    loss = (net(torch.tensor(x)) ** 2).sum()
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-12)
    for theirs, ours in zip((net[0], net[2]), g.layers, strict=True):
        np.testing.assert_allclose(ours.weight, theirs.weight.grad.numpy().T, rtol=1e-10)
        np.testing.assert_allclose(ours.bias, theirs.bias.grad.numpy(), rtol=1e-10)
