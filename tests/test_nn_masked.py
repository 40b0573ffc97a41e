"""Masked layers: who sees whom, read from Jacobians."""

import numpy as np
import pytest

import minigen as mg
from minigen import nn

rng = np.random.default_rng(0)


def test_degree_mask_by_its_rule():
    before, after = [1, 3, 2], [1, 2, 3, 3]
    for strict in (False, True):
        mask = nn.degree_mask(before, after, strict)
        assert mask.dtype == bool
        want = [[b < a if strict else b <= a for a in after] for b in before]
        np.testing.assert_array_equal(mask, want)


def test_masked_linear_sees_what_its_mask_shows():
    mask = rng.random((4, 3)) < 0.5
    layer = nn.MaskedLinear.init(rng, mask, dtype=np.float64)
    layer.bias += 1
    x = rng.normal(size=(2, 4))
    np.testing.assert_allclose(layer(x), x @ np.where(mask, layer.weight, 0) + layer.bias, rtol=1e-13)
    np.testing.assert_array_equal(mg.jacobian(layer)(x[0]), np.where(mask, layer.weight, 0).T)
    g = mg.grad(lambda layer: np.sum(layer(x) ** 2))(layer)
    np.testing.assert_array_equal(g.weight != 0, mask)
    assert g.mask is layer.mask


def test_made_is_autoregressive_in_any_order():
    order, hidden = np.array([2, 4, 1, 3]), np.array([1, 2, 3, 1, 2, 3, 2, 1])
    masks = [nn.degree_mask(order, hidden), nn.degree_mask(hidden, hidden[::-1]), nn.degree_mask(hidden[::-1], order, strict=True)]
    layers = [nn.MaskedLinear.init(rng, m, dtype=np.float64) for m in masks]
    sees = mg.jacobian(lambda x: layers[2](np.tanh(layers[1](np.tanh(layers[0](x))))))(rng.normal(size=4)) != 0
    np.testing.assert_array_equal(sees, order[None] < order[:, None])


def test_masked_linear_begins_with_the_variance_of_what_it_sees():
    z = 4.9  # two-sided false-alarm rate 1e-6
    mask = np.arange(200)[:, None] < np.array([0, 1, 50, 200] * 50)
    w = nn.MaskedLinear.init(np.random.default_rng(0), mask, gain=2.0, dtype=np.float64).weight
    for k, fan in enumerate((1, 1, 50, 200)):
        part = w[:, k::4]
        assert np.mean(part**2) * fan == pytest.approx(4, rel=z * (2 / part.size) ** 0.5)


def test_masked_convolution_begins_with_the_variance_of_what_it_sees():
    for kind, seen in (("A", 12), ("B", 13)):  # of a window of 5 × 5
        w = nn.MaskedConv2d.init(np.random.default_rng(0), 8, 200, 5, kind, gain=2.0, dtype=np.float64).weight
        assert np.mean(w**2) * seen * 8 == pytest.approx(4, rel=4.9 * (2 / w.size) ** 0.5)


@pytest.mark.parametrize("kernel", [3, (5, 3), (1, 3), (3, 1), 1])
@pytest.mark.parametrize("kind", ["A", "B"])
def test_masked_convolution_sees_earlier_pixels_in_its_window(kind, kernel):
    layer = nn.MaskedConv2d.init(rng, 2, 3, kernel, kind, dtype=np.float64)
    height, width = 5, 4
    sees = mg.jacobian(lambda x: layer(x[None])[0])(rng.normal(size=(height, width, 2))) != 0
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    for h, w, i, j in np.ndindex(height, width, height, width):
        near = abs(h - i) <= kh // 2 and abs(w - j) <= kw // 2
        earlier = (i, j) < (h, w) or (kind == "B" and (i, j) == (h, w))
        assert np.all(sees[h, w, :, i, j] == (near and earlier))


def test_a_stack_of_masks_has_the_receptive_field_of_pixelcnn():
    # A then B: the pixel sees no later one, nor itself
    first, second = (nn.MaskedConv2d.init(rng, 1, 1, 3, kind, dtype=np.float64) for kind in "AB")
    x = rng.normal(size=(4, 5, 1))
    sees = mg.jacobian(lambda x: second(np.tanh(first(x[None])))[0])(x).reshape(20, 20) != 0
    assert not np.any(np.triu(sees))
    assert sees[17, 7]  # two rows above


def test_masked_convolution_adds_its_bias():
    layer = nn.MaskedConv2d.init(rng, 1, 3, 3, "A", dtype=np.float64)
    layer.bias += np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(layer(np.zeros((1, 2, 2, 1))), np.broadcast_to([1.0, 2.0, 3.0], (1, 2, 2, 3)))
