"""Pooling and upsampling against their definitions."""

import numpy as np
import pytest

import minigen as mg
from minigen.convolution import conv_transpose2d, layout
from minigen.pooling import avg_pool, fold, max_pool, patches, upsample
from minigen.testing.gradients import check_gradients

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 7, 6, 3))
OPTIONS = [(2,), ((3, 2),), (3, 2), (3, 1, "same"), (2, (2, 3), 1), (3, 2, ((2, 1), (0, 1))), (2, 1)]


def windows(x, size, stride=None, padding="valid"):
    """The pixels inside the image that each output pixel sees: a dict (row, column) -> (n, pixels, C)."""
    window = layout(x.shape[1:3], (size, size) if isinstance(size, int) else size, stride or size, padding, 1)
    seen = {}
    for i, j in np.ndindex(*window.size):
        h, w = (s + k * o for s, k, o in zip(window.start, window.stride, (i, j), strict=True))
        part = x[:, max(h, 0) : h + window.kernel[0], max(w, 0) : w + window.kernel[1]]
        seen[i, j] = part.reshape(len(x), -1, x.shape[3])
    return seen


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("pool", "reduce"), [(max_pool, np.max), (avg_pool, np.mean)])
@pytest.mark.parametrize("height", [6, 7])  # windows of 2 and 3 pixels tile an image of 6 × 6
def test_pooling_is_a_reduction_over_the_window(pool, reduce, options, height):
    x = X[:, :height]
    seen = windows(x, *options)
    y = pool(x, *options)
    assert y.shape[1:3] == tuple(np.add(max(seen), 1))
    for (i, j), part in seen.items():
        np.testing.assert_allclose(y[:, i, j], reduce(part, axis=1), rtol=1e-13)
    check_gradients(lambda x: np.tanh(pool(x, *options)), (x[:1],), entries=10)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fold_is_the_adjoint_of_patches(options):
    window = layout((7, 6), (3, 2), *(options[1:] or (2,)), *(("valid",) if len(options) < 3 else ()), 2)
    p = patches(X, window, 0.0)
    g = rng.normal(size=p.shape)
    assert np.sum(p * g) == pytest.approx(np.sum(X * fold(g, window, (7, 6))), rel=1e-12)
    check_gradients(lambda x: np.tanh(patches(x, window, 0.5)), (X[:1],), entries=6, order=3)
    check_gradients(lambda g: np.tanh(fold(g, window, (7, 6))), (g[:1],), entries=6)


def test_max_pool_of_negative_numbers_ignores_padding():
    assert np.all(max_pool(np.full((1, 3, 3, 1), -5.0), 3, 1, "same") == -5)


def test_max_pool_shares_ties():
    g = mg.grad(lambda x: np.sum(max_pool(x, 2)))(np.array([[1.0, 1.0], [0.0, 1.0]]).reshape(1, 2, 2, 1))
    np.testing.assert_allclose(g[0, :, :, 0], [[1 / 3, 1 / 3], [0, 1 / 3]])


@pytest.mark.parametrize("factor", [1, 2, (3, 1)])
def test_upsampling_repeats_pixels(factor):
    a, b = (factor, factor) if isinstance(factor, int) else factor
    np.testing.assert_array_equal(upsample(X, factor), X.repeat(a, axis=1).repeat(b, axis=2))
    check_gradients(lambda x: np.tanh(upsample(x, factor)), (X[:1],), entries=10)


def test_upsampling_is_a_transposed_convolution_with_ones():
    ones = np.ones((2, 2, 1, 1)) * np.eye(3)
    np.testing.assert_allclose(upsample(X), conv_transpose2d(X, ones, 2))


@pytest.mark.parametrize("f", [max_pool, avg_pool, upsample, lambda x: avg_pool(x, 3, 2, "same"), lambda x: max_pool(x, 3, 2, 1)])
def test_float32_stays_on_every_array_library(f, device):
    x = mg.to_device(X.astype(np.float32), device)
    y, pullback = mg.vjp(f, x)
    g = pullback(y)
    assert y.dtype == g.dtype == np.float32
    assert mg.array_module(y) is mg.array_module(g) is mg.array_module(x)
    want, pull = mg.vjp(f, X)
    np.testing.assert_allclose(mg.to_host(y), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mg.to_host(g), pull(want), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: max_pool(X[0]), "max_pool: x has shape"),
        (lambda: avg_pool(X[0]), "avg_pool: x has shape"),
        (lambda: upsample(X[0]), "upsample: x has shape"),
        (lambda: max_pool(X, 0), "size is 0"),
        (lambda: max_pool(X, 2, -1), "stride is -1"),
        (lambda: avg_pool(X, 8), "no output pixel"),
        (lambda: upsample(X, 0), "factor is 0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
