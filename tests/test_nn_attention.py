"""Attention by its formula, its symmetry, its causality; the transformer block by its parts."""

from dataclasses import replace

import numpy as np
import pytest

import minigen as mg
from minigen import nn
from minigen.nn.dense import gain

rng = np.random.default_rng(0)
N, T, DIM = 2, 5, 6
X = rng.normal(size=(N, T, DIM))


def attention(heads, causal):
    rng = np.random.default_rng(1)
    layer = nn.SelfAttention.init(rng, DIM, heads, causal, dtype=np.float64)
    layer.project.bias += rng.normal(size=3 * DIM)
    layer.output.bias += rng.normal(size=DIM)
    return layer


def block(causal):
    return nn.TransformerBlock.init(np.random.default_rng(2), DIM, 2, causal, dtype=np.float64)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_attention_is_its_formula(heads, causal):
    layer, d = attention(heads, causal), DIM // heads
    w, b = layer.project.weight, layer.project.bias
    want = np.zeros((N, T, DIM))
    for n in range(N):
        q, k, v = (X[n] @ w[:, s] + b[s] for s in (slice(0, DIM), slice(DIM, 2 * DIM), slice(2 * DIM, None)))
        for i in range(T):
            for h in range(heads):
                own = slice(h * d, (h + 1) * d)
                seen = range(i + 1) if causal else range(T)
                e = np.array([np.exp(q[i, own] @ k[j, own] / np.sqrt(d)) for j in seen])
                want[n, i, own] = sum(p * v[j, own] for p, j in zip(e / e.sum(), seen, strict=True))
    np.testing.assert_allclose(layer(X), want @ layer.output.weight + layer.output.bias, rtol=1e-12)


@pytest.mark.parametrize("make", [lambda causal: attention(2, causal), block], ids=["attention", "block"])
def test_without_a_mask_positions_are_equals(make):
    order = np.array([3, 0, 4, 2, 1])
    free, causal = make(False), make(True)
    np.testing.assert_allclose(free(X[:, order]), free(X)[:, order], rtol=1e-11)
    assert not np.allclose(causal(X[:, order]), causal(X)[:, order])


@pytest.mark.parametrize("make", [lambda causal: attention(2, causal), block], ids=["attention", "block"])
def test_causality_is_exact_zeros_in_the_jacobian(make):
    sees = lambda layer: np.any(mg.jacobian(lambda x: layer(x[None])[0])(X[0]) != 0, axis=(1, 3))
    np.testing.assert_array_equal(sees(make(True)), np.tril(np.ones((T, T), bool)))
    assert np.all(sees(make(False)))


def test_large_logits_do_not_overflow():
    layer = attention(2, True)
    layer = replace(layer, project=nn.Linear(1e4 * layer.project.weight, layer.project.bias))
    g = mg.grad(lambda x: np.sum(layer(x)))(X)
    assert np.all(np.isfinite(g))
    changed = X + np.where(np.arange(T) == T - 1, 1.0, 0.0)[:, None]
    np.testing.assert_array_equal(layer(X)[:, :-1], layer(changed)[:, :-1])  # no logit outweighs the mask


def test_block_is_pre_norm():
    layer = block(True)
    for norm in layer.norms:
        norm.scale += rng.normal(size=DIM)
    h = X + layer.attention(layer.norms[0](X))
    np.testing.assert_allclose(layer(X), h + layer.mlp(layer.norms[1](h)), rtol=1e-13)
    assert [m.weight.shape for m in layer.mlp.layers] == [(DIM, 4 * DIM), (4 * DIM, DIM)]
    assert (layer.attention.heads, layer.attention.causal, layer.mlp.activation) == (2, True, nn.gelu)


def test_gains():
    z = 4.9  # two-sided false-alarm rate 1e-6; the variance of n normal numbers has relative standard error √(2/n)
    layer = nn.TransformerBlock.init(np.random.default_rng(0), 64, 2, output_gain=0.5, dtype=np.float64)
    inner, outer = layer.mlp.layers
    wanted = [(layer.attention.project, 64, 1.0), (layer.attention.output, 64, 0.5), (inner, 64, 1.0), (outer, 256, 0.5 * gain(nn.gelu))]
    for linear, fan, g in wanted:
        assert np.mean(linear.weight**2) * fan == pytest.approx(g**2, rel=z * (2 / linear.weight.size) ** 0.5)
    silent = nn.TransformerBlock.init(np.random.default_rng(0), DIM, output_gain=0.0, dtype=np.float64)
    np.testing.assert_array_equal(silent(X), X)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_agrees_with_torch(causal):
    torch = pytest.importorskip("torch")
    layer = attention(3, causal)
    theirs = torch.nn.MultiheadAttention(DIM, 3, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = torch.tensor(layer.project.weight.T.copy()), torch.tensor(layer.project.bias)
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = torch.tensor(layer.output.weight.T.copy()), torch.tensor(layer.output.bias)
    x = torch.tensor(X, requires_grad=True)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64) if causal else None
    y, _ = theirs(x, x, x, attn_mask=mask, need_weights=False)
    (y**2).sum().backward()
    np.testing.assert_allclose(layer(X), y.detach(), rtol=1e-11)
    g, gx = mg.grad(lambda t: np.sum(t[0](t[1]) ** 2))((layer, X))
    np.testing.assert_allclose(gx, x.grad, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(g.project.weight, theirs.in_proj_weight.grad.numpy().T, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(g.output.weight, theirs.out_proj.weight.grad.numpy().T, rtol=1e-9, atol=1e-10)
