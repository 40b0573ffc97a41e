"""GRU and LSTM by their equations, one number at a time; over time; PyTorch."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.nn.recurrent import orthogonal

rng = np.random.default_rng(0)
N, T, IN, HIDDEN = 2, 4, 3, 5
X = rng.normal(size=(N, T, IN))


def perturbed(layer):
    for part in (layer.input, layer.hidden):
        part.bias += rng.normal(size=part.bias.shape)
    return layer


def gru():
    return perturbed(nn.GRU.init(np.random.default_rng(1), IN, HIDDEN, dtype=np.float64))


def lstm():
    return perturbed(nn.LSTM.init(np.random.default_rng(1), IN, HIDDEN, dtype=np.float64))


def logistic(a):
    return 1 / (1 + math.exp(-a))


def shares(layer, x, h):
    """gate, unit -> (x W + b, h U + c)."""
    a, u = x @ layer.input.weight + layer.input.bias, h @ layer.hidden.weight + layer.hidden.bias
    return lambda gate, j: (a[gate * HIDDEN + j], u[gate * HIDDEN + j])


def test_gru_step_is_its_equations():
    layer, x, h = gru(), X[:, 0], rng.normal(size=(N, HIDDEN))
    got = layer.step(x, h)
    for i in range(N):
        part = shares(layer, x[i], h[i])
        for j in range(HIDDEN):
            r, z = logistic(sum(part(0, j))), logistic(sum(part(1, j)))
            a, u = part(2, j)
            n = math.tanh(a + r * u)
            assert got[i, j] == pytest.approx((1 - z) * n + z * h[i, j], rel=1e-13)


def test_lstm_step_is_its_equations():
    layer, x, h, c = lstm(), X[:, 0], *rng.normal(size=(2, N, HIDDEN))
    new_h, new_c = layer.step(x, (h, c))
    for i in range(N):
        part = shares(layer, x[i], h[i])
        for j in range(HIDDEN):
            gates = [sum(part(k, j)) for k in range(4)]
            cell = logistic(gates[1]) * c[i, j] + logistic(gates[0]) * math.tanh(gates[2])
            assert new_c[i, j] == pytest.approx(cell, rel=1e-13)
            assert new_h[i, j] == pytest.approx(logistic(gates[3]) * math.tanh(cell), rel=1e-13)


def test_a_sequence_is_its_steps():
    g, l, h, c = gru(), lstm(), *rng.normal(size=(2, N, HIDDEN))
    for start in (None, h):
        hs, last = g(X, start)
        state = np.zeros((N, HIDDEN)) if start is None else start
        for t in range(T):
            state = g.step(X[:, t], state)
            np.testing.assert_allclose(hs[:, t], state, rtol=1e-12)
        np.testing.assert_array_equal(last, hs[:, -1])
    for start in (None, (h, c)):
        hs, last = l(X, start)
        state = (np.zeros((N, HIDDEN)),) * 2 if start is None else start
        for t in range(T):
            state = l.step(X[:, t], state)
            np.testing.assert_allclose(hs[:, t], state[0], rtol=1e-12)
        np.testing.assert_allclose(last[0], state[0], rtol=1e-12)
        np.testing.assert_allclose(last[1], state[1], rtol=1e-12)


@pytest.mark.parametrize("layer", [gru(), lstm()], ids=["GRU", "LSTM"])
def test_an_output_sees_the_past_only(layer):
    sees = np.any(mg.jacobian(lambda x: layer(x[None])[0][0])(X[0]) != 0, axis=(1, 3))
    np.testing.assert_array_equal(sees, np.tril(np.ones((T, T), bool)))


def test_initial_weights():
    z, n_in, hidden = 4.9, 50, 40  # two-sided false-alarm rate 1e-6
    for cls, gates in ((nn.GRU, 3), (nn.LSTM, 4)):
        layer = cls.init(np.random.default_rng(0), n_in, hidden, dtype=np.float64)
        w = layer.input.weight
        assert w.shape == (n_in, gates * hidden)
        assert np.mean(w**2) * n_in == pytest.approx(1, rel=z * (2 / w.size) ** 0.5)
        blocks = np.split(layer.hidden.weight, gates, axis=1)
        for u in blocks:
            np.testing.assert_allclose(u @ u.T, np.eye(hidden), atol=1e-12)
        assert not np.allclose(blocks[0], blocks[1])
        np.testing.assert_array_equal(layer.hidden.bias, 0)
        forget = np.arange(gates * hidden) // hidden == 1
        np.testing.assert_array_equal(layer.input.bias, forget if cls is nn.LSTM else 0 * forget)


def test_orthogonal_matrices_are_those_of_gram_and_schmidt():
    # the one decomposition q r of the drawn matrix with a positive diagonal of r
    r = orthogonal(np.random.default_rng(3), 6, np.float64).T @ np.random.default_rng(3).normal(size=(6, 6))
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-14)
    assert np.all(np.diagonal(r) > 0)


def test_orthogonal_matrices_are_uniform():
    # Of a uniformly distributed orthogonal matrix (n, n), tr has mean 0 and variance 1; QR without the sign has mean < 0.
    draw, count = np.random.default_rng(0), 2000
    traces = [np.trace(orthogonal(draw, 4, np.float64)) for _ in range(count)]
    assert abs(np.mean(traces)) < 4.9 / count**0.5  # false-alarm rate 1e-6
    assert np.mean(np.square(traces)) == pytest.approx(1, abs=4.9 * (2 / count) ** 0.5)  # tr⁴ has mean ≤ 3


@pytest.mark.parametrize("ours", [gru(), lstm()], ids=["GRU", "LSTM"])
def test_agrees_with_torch(ours):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn, type(ours).__name__)(IN, HIDDEN, batch_first=True).double()
    for part, suffix in ((ours.input, "ih"), (ours.hidden, "hh")):
        getattr(theirs, f"weight_{suffix}_l0").data = torch.tensor(part.weight.T.copy())
        getattr(theirs, f"bias_{suffix}_l0").data = torch.tensor(part.bias)
    x = torch.tensor(X, requires_grad=True)
    y, _ = theirs(x)
    (y**2).sum().backward()
    np.testing.assert_allclose(ours(X)[0], y.detach(), rtol=1e-11)
    g, gx = mg.grad(lambda t: np.sum(t[0](t[1])[0] ** 2))((ours, X))
    np.testing.assert_allclose(gx, x.grad, rtol=1e-9, atol=1e-12)
    for part, suffix in ((g.input, "ih"), (g.hidden, "hh")):
        np.testing.assert_allclose(part.weight, getattr(theirs, f"weight_{suffix}_l0").grad.numpy().T, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(part.bias, getattr(theirs, f"bias_{suffix}_l0").grad.numpy(), rtol=1e-9, atol=1e-12)
