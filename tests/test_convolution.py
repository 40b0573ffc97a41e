"""Convolution against its definition, in loops; its three primitives against one another; any-order derivatives."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

import minigen as mg
from minigen.convolution import blocks, conv2d, conv_transpose2d, layout
from minigen.testing.gradients import check_gradients


@dataclass(frozen=True)
class Geometry:
    """A convolution: shapes of x (H, W, C) and of the weight, and the options."""

    x: tuple
    w: tuple
    stride: object = 1
    padding: object = "same"
    dilation: object = 1
    groups: int = 1

    @property
    def options(self):
        return self.stride, self.padding, self.dilation, self.groups

    def __str__(self):
        return f"{self.x}*{self.w} s{self.stride} p{self.padding} d{self.dilation} g{self.groups}".replace(" ", "")

    def draw(self, n=2, seed=0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, *self.x)).astype(dtype), rng.normal(size=self.w).astype(dtype)


GEOMETRIES = [
    Geometry((5, 4, 3), (3, 3, 3, 2)),
    Geometry((5, 4, 1), (3, 2, 1, 2)),
    Geometry((4, 5, 17), (2, 2, 17, 3)),  # many channels: the other memory layout
    Geometry((6, 5, 2), (3, 3, 2, 3), stride=2),
    Geometry((5, 6, 2), (3, 3, 2, 3), stride=2),
    Geometry((7, 6, 2), (3, 3, 2, 1), stride=(3, 2), padding=1),
    Geometry((8, 7, 1), (2, 1, 1, 2), stride=(3, 4), padding="valid"),  # pixels that no window sees
    Geometry((6, 7, 2), (4, 4, 2, 2), stride=2, padding=((1, 2), (0, 3))),
    Geometry((7, 7, 2), (3, 2, 2, 2), dilation=(2, 3)),
    Geometry((8, 9, 2), (3, 2, 2, 2), stride=(2, 3), dilation=(2, 2), padding=2),
    Geometry((9, 8, 1), (3, 2, 1, 2), stride=(2, 4), dilation=(3, 2), padding=3),
    Geometry((4, 4, 2), (3, 3, 2, 1), padding=4),  # windows that see nothing but padding
    Geometry((5, 4, 1), (3, 3, 1, 2), stride=9, padding=((4, 0), (0, 0))),  # every window above the image
    Geometry((4, 4, 2), (2, 2, 2, 1), stride=2, padding=((1, 0), (1, 0))),  # as large as the image, but shifted
    Geometry((4, 3, 3), (1, 1, 3, 2), padding="valid"),
    Geometry((5, 5, 2), (1, 1, 2, 2), stride=2, padding=1),
    Geometry((5, 4, 4), (3, 3, 2, 6), groups=2),
    Geometry((6, 5, 6), (3, 2, 2, 3), stride=2, padding=1, groups=3),
    Geometry((5, 4, 3), (3, 3, 1, 6), groups=3, dilation=2, padding=2),  # depthwise, two outputs a channel
    Geometry((3, 4, 34), (2, 2, 17, 4), stride=2, groups=2),
]
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)


def pairs(value):
    return (value, value) if isinstance(value, int) else value


def loops(x, w, stride, padding, dilation, groups):
    """The definition, term by term."""
    (n, *image, channels), (*kernel, _, outputs) = x.shape, w.shape
    stride, dilation, size, before = pairs(stride), pairs(dilation), [], []
    for a in range(2):
        reach = dilation[a] * (kernel[a] - 1) + 1
        if padding == "same":
            size.append(int(np.ceil(image[a] / stride[a])))
            before.append(max((size[a] - 1) * stride[a] + reach - image[a], 0) // 2)
        else:
            p = (0, 0) if padding == "valid" else pairs(pairs(padding)[a])
            size.append((image[a] + sum(p) - reach) // stride[a] + 1)
            before.append(p[0])
    y = np.zeros((n, *size, outputs))
    for oh, ow, i, j, k, c in itertools.product(*map(range, (*size, *kernel, outputs, channels // groups))):
        h, v = oh * stride[0] + i * dilation[0] - before[0], ow * stride[1] + j * dilation[1] - before[1]
        if 0 <= h < image[0] and 0 <= v < image[1]:
            y[:, oh, ow, k] += x[:, h, v, k // (outputs // groups) * (channels // groups) + c] * w[i, j, c, k]
    return y


@every_geometry
def test_value_is_the_definition(geometry):
    x, w = geometry.draw()
    y = conv2d(x, w, *geometry.options)
    want = loops(x, w, *geometry.options)
    assert y.shape == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-13, atol=1e-13)


@every_geometry
def test_pullbacks_are_adjoints(geometry):
    x, w = geometry.draw()
    y, pullback = mg.vjp(lambda t: conv2d(*t, *geometry.options), (x, w))
    g = np.random.default_rng(1).normal(size=y.shape)
    x_bar, w_bar = pullback(g)
    assert (x_bar.shape, w_bar.shape) == (x.shape, w.shape)
    u, v = geometry.draw(seed=2)
    assert np.sum(loops(u, w, *geometry.options) * g) == pytest.approx(np.sum(u * x_bar), rel=1e-12)
    assert np.sum(loops(x, v, *geometry.options) * g) == pytest.approx(np.sum(v * w_bar), rel=1e-12)


@every_geometry
def test_derivatives_of_any_order(geometry):
    x, w = geometry.draw()
    w /= np.prod(w.shape[:3]) ** 0.5
    check_gradients(lambda x, w: np.tanh(conv2d(x, w, *geometry.options)), (x[:1], w), order=3, entries=4)


def test_mixed_precision_is_the_wider():
    geometry = GEOMETRIES[3]
    for narrow in (0, 1):
        pair = list(geometry.draw())
        pair[narrow] = pair[narrow].astype(np.float32)
        y, pullback = mg.vjp(lambda t: conv2d(*t, 2), pair)
        wide, wide_pullback = mg.vjp(lambda t: conv2d(*t, 2), [a.astype(np.float64) for a in pair])
        assert y.dtype == np.float64
        np.testing.assert_allclose(y, wide, rtol=0, atol=1e-13)
        for g, want, a in zip(pullback(y), wide_pullback(y), pair, strict=True):
            assert g.dtype == a.dtype
            np.testing.assert_allclose(g, want, rtol=0, atol=1e-13 if a.dtype == np.float64 else 1e-5)


def test_bias_is_added_everywhere():
    x, w = GEOMETRIES[3].draw()
    b = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(conv2d(x, w, 2, bias=b), conv2d(x, w, 2) + b, rtol=1e-14)
    check_gradients(lambda w, b: np.tanh(conv2d(x, w, 2, bias=b)), (w / 4, b), entries=6)


def test_large_batches_go_in_blocks():
    # 64 · 64 · 49 columns an image: ten fit in a block
    rng, n = np.random.default_rng(0), 13
    x, w, g = rng.normal(size=(n, 64, 64, 1)), rng.normal(size=(7, 7, 1, 1)), rng.normal(size=(n, 64, 64, 1))
    y, pullback = mg.vjp(lambda t: conv2d(*t), (x, w))
    x_bar, w_bar = pullback(g)
    singles = [mg.vjp(lambda t: conv2d(*t), (x[i : i + 1], w)) for i in range(n)]
    np.testing.assert_allclose(y, np.concatenate([y for y, _ in singles]), rtol=1e-12, atol=1e-13)
    bars = [pull(g[i : i + 1]) for i, (_, pull) in enumerate(singles)]
    np.testing.assert_allclose(x_bar, np.concatenate([b[0] for b in bars]), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(w_bar, sum(b[1] for b in bars), rtol=1e-11, atol=1e-10)


def test_columns_are_never_many():
    x = np.zeros((60, 16, 16, 32), np.float32)
    for kernel, stride in ((3, 1), (5, 2), (1, 1)):
        parts = list(blocks(x, layout((16, 16), (kernel, kernel), stride, "same", 1), 1))
        assert max(columns.size for _, columns in parts) <= 2**21
        assert len(parts) <= 1 + sum(columns.size for _, columns in parts) // 2**20  # nor are the blocks smaller than they must be


@pytest.mark.parametrize("n", [0, 1])
def test_small_batches(n):
    x, w = GEOMETRIES[0].draw(n)
    y, pullback = mg.vjp(lambda t: conv2d(*t), (x, w))
    assert y.shape == (n, 5, 4, 2)
    assert [g.shape for g in pullback(np.ones_like(y))] == [x.shape, w.shape]


@every_geometry
def test_layout_in_memory_does_not_matter(geometry):
    x, w = geometry.draw()
    turned = [np.asfortranarray(a) for a in (x, w)]
    for a in turned:
        a.flags.writeable = False
    y, pullback = mg.vjp(lambda t: conv2d(*t, *geometry.options), (x, w))
    y2, pullback2 = mg.vjp(lambda t: conv2d(*t, *geometry.options), tuple(turned))
    g = np.random.default_rng(1).normal(size=y.shape)
    for a, b in zip((y, *pullback(g)), (y2, *pullback2(np.asfortranarray(g))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@every_geometry
def test_float32_stays_on_every_array_library(geometry, device):
    x, w = geometry.draw(dtype=np.float32)
    f = lambda t: np.sum(mg.grad(lambda t: np.sum(np.tanh(conv2d(*t, *geometry.options))))(t)[1] ** 2)
    value, grads = mg.value_and_grad(f)(mg.to_device((x, w), device))
    assert mg.array_module(*grads) is mg.array_module(mg.to_device(x, device))
    assert value.dtype == grads[0].dtype == grads[1].dtype == np.float32
    for g, want in zip(mg.to_host(grads), mg.grad(f)((x.astype(np.float64), w.astype(np.float64))), strict=True):
        np.testing.assert_allclose(g, want, rtol=0, atol=1e-4 * np.max(np.abs(want)))


# Padding
def test_same_padding_by_hand():
    # TensorFlow's rule: ⌈H / stride⌉ pixels; of an odd number of padded rows the larger part is below
    assert layout((5, 4), (3, 3), 2, "same", 1) == layout((5, 4), (3, 3), 2, ((1, 1), (0, 1)), 1)
    assert layout((5, 4), (2, 4), 1, "same", 1) == layout((5, 4), (2, 4), 1, ((0, 1), (1, 2)), 1)
    assert layout((6, 6), (1, 3), 3, "same", 2) == layout((6, 6), (1, 3), 3, ((0, 0), (1, 1)), 2)
    assert layout((6, 7), (3, 5), 1, 1, 1) == layout((6, 7), (3, 5), (1, 1), [(1, 1), (1, 1)], (1, 1))
    assert layout((6, 7), (3, 5), 1, "valid", 1).size == (4, 3)


# Transposed convolution
TRANSPOSED = [
    ((3, 4, 2), (4, 4, 2, 3), 2, "same", 1),
    ((3, 4, 2), (3, 3, 2, 1), 2, "same", 1),
    ((3, 2, 2), (2, 3, 2, 3), (3, 1), "valid", (1, 2)),
    ((3, 4, 1), (3, 3, 1, 2), 2, 1, 1),
    ((3, 4, 2), (3, 3, 2, 2), 2, ((1, 0), (0, 1)), 1),
    ((4, 4, 2), (3, 2, 2, 2), 1, "same", 2),
    ((2, 3, 2), (2, 2, 2, 2), (2, 3), "valid", 1),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), TRANSPOSED)
def test_transposed_convolution_is_the_adjoint_of_convolution(shape, kernel, stride, padding, dilation):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, *shape)), rng.normal(size=kernel)
    y = conv_transpose2d(x, w, stride, padding, dilation)
    s, d, p = pairs(stride), pairs(dilation), pairs(0 if padding == "valid" else padding)
    if padding == "same":
        size = tuple(a * b for a, b in zip(s, shape, strict=False))
    else:
        size = tuple(s[a] * (shape[a] - 1) + d[a] * (kernel[a] - 1) + 1 - sum(pairs(p[a])) for a in range(2))
    assert y.shape == (2, *size, kernel[3])
    z = rng.normal(size=y.shape)
    assert np.sum(y * z) == pytest.approx(np.sum(x * loops(z, w.swapaxes(2, 3), stride, padding, dilation, 1)), rel=1e-12)
    check_gradients(lambda x, w: np.tanh(conv_transpose2d(x, w, stride, padding, dilation)), (x[:1], w / 4), entries=4)


def test_transposed_convolution_with_stride_paints_each_pixel():
    x = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    w = np.array([[3.0, 4.0], [5.0, 6.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(conv_transpose2d(x, w, 2)[0, :, :, 0], [[3, 4, 6, 8], [5, 6, 10, 12]])


# Errors
X, W = np.zeros((2, 5, 4, 3)), np.zeros((3, 3, 3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv2d(X[0], W), r"conv2d: x has shape \(5, 4, 3\); expected images \(n, H, W, C\)"),
        (lambda: conv2d(X, W[..., :2, :]), r"weight has shape \(3, 3, 2, 2\) and x 3 channels; expected \(kh, kw, 3, out\)"),
        (lambda: conv2d(X, W[0]), "weight has shape"),
        (lambda: conv2d(X, W[:, :, :1], groups=3), r"expected \(kh, kw, 3 / 3, out divisible by 3\)"),
        (lambda: conv2d(X, W, stride=0), "stride is 0; expected a positive integer or a pair"),
        (lambda: conv2d(X, W, stride=(1, 2, 3)), "stride is"),
        (lambda: conv2d(X, W, dilation=(1, 1.5)), r"dilation is \(1, 1.5\)"),
        (lambda: conv2d(X, W, padding="full"), "padding is 'full'; expected"),
        (lambda: conv2d(X, W, padding=-1), "padding is"),
        (lambda: conv2d(X, W, padding=((1, 1), (1, -1))), "padding is"),
        (lambda: conv2d(X, W, padding=(1, 1)), r"padding is \(1, 1\); expected"),
        (lambda: conv2d(X, W, padding="valid", dilation=2), r"the kernel spans \(5, 5\) pixels, but x has \(5, 4\)"),
        (lambda: conv_transpose2d(X[0], W), "conv_transpose2d: x has shape"),
        (lambda: conv_transpose2d(X[..., :2], W), r"conv_transpose2d: weight has shape \(3, 3, 3, 2\) and x 2 channels"),
        (lambda: conv_transpose2d(X[:, :1], W, padding=2), "leaves an output of"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Peers
def nchw(torch, a):
    return torch.tensor(np.ascontiguousarray(np.moveaxis(a, -1, 1)), requires_grad=True)


def nhwc(t):
    return np.moveaxis(t.detach().numpy(), 1, -1)


@pytest.mark.parametrize("geometry", [g for g in GEOMETRIES if isinstance(g.padding, int)], ids=str)
def test_agrees_with_torch(geometry):
    torch = pytest.importorskip("torch")
    x, w = geometry.draw()
    y, pullback = mg.vjp(lambda t: conv2d(*t, *geometry.options), (x, w))
    tx, tw = nchw(torch, x), torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    ty = torch.nn.functional.conv2d(tx, tw, None, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    np.testing.assert_allclose(y, nhwc(ty), rtol=1e-12, atol=1e-12)
    g = np.random.default_rng(1).normal(size=y.shape)
    ty.backward(nchw(torch, g).detach())
    x_bar, w_bar = pullback(g)
    np.testing.assert_allclose(x_bar, nhwc(tx.grad), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(w_bar, tw.grad.numpy().transpose(2, 3, 1, 0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (3, 0, 2), (2, 1, 2)])
def test_transposed_agrees_with_torch(stride, padding, dilation):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(4, 3, 2, 5))
    tw = torch.tensor(w.transpose(2, 3, 0, 1).copy())
    want = torch.nn.functional.conv_transpose2d(nchw(torch, x), tw, None, stride, padding, dilation=dilation)
    np.testing.assert_allclose(conv_transpose2d(x, w, stride, padding, dilation), nhwc(want), rtol=1e-12, atol=1e-12)
