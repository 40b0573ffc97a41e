"""Pullbacks of linear maps are their adjoints: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩."""

import numpy as np
import pytest

import minigen as mg
from minigen.derivatives import pad_constant, scatter_add

rng = np.random.default_rng(3)
INDEX = np.array([0, 2, 2, 0])
LINEAR = {
    "sum": lambda x: np.sum(x, axis=1), "sum kept": lambda x: np.sum(x, axis=(0, 2), keepdims=True), "mean": lambda x: np.mean(x, axis=0),
    "broadcast_to": lambda x: np.broadcast_to(x[:, None], (3, 5, 4, 2)), "getitem": lambda x: x[INDEX, 1:],
    "mask": lambda x: x[np.arange(24).reshape(3, 4, 2) % 3 == 0], "scatter_add": lambda x: scatter_add(x, np.array([1, 1, 0]), (2, 4, 2)),
    "transpose": lambda x: np.transpose(x, (2, 0, 1)), "reshape": lambda x: np.reshape(x, (4, 6)), "cumsum": lambda x: np.cumsum(x, axis=1),
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2), (3, 1))), "reflect": lambda x: np.pad(x, ((2, 1), (0, 3), (1, 1)), "reflect"),
    "crop": lambda x: x[1:, 1:3, :1], "flip": lambda x: np.flip(x, (0, 1)), "roll": lambda x: np.roll(x, (1, 3), (0, 1)),
    "tril": lambda x: np.tril(np.swapaxes(x, 1, 2), 1), "repeat": lambda x: np.repeat(x, [1, 0, 3], axis=0),
    "tile": lambda x: np.tile(x, (2, 1, 3)),
    "concatenate": lambda x: np.concatenate([x, x[:1], x], axis=0),
    "einsum": lambda x: np.einsum("ijk,jl->lki", x, np.arange(8.0).reshape(4, 2)),
    "diagonal": lambda x: np.diagonal(x, 1, 2, 1), "trace": lambda x: np.trace(x, axis1=0, axis2=2),
    "take": lambda x: np.take(x, [3, 0, 3], 1),
}  # fmt: skip


@pytest.mark.parametrize("f", LINEAR.values(), ids=LINEAR.keys())
def test_pullback_of_a_linear_map_is_its_adjoint(f):
    x = rng.normal(size=(3, 4, 2))
    ax, adjoint = mg.vjp(f, x)
    y = rng.normal(size=ax.shape)
    assert np.sum(ax * y) == pytest.approx(np.sum(x * adjoint(y)), rel=1e-12)
    # and the adjoint of the adjoint, which double backward uses, is the map itself
    aty, back = mg.vjp(adjoint_of(f, x), y)
    np.testing.assert_allclose(back(x), ax, rtol=1e-12, atol=1e-13)
    assert aty.shape == x.shape


def adjoint_of(f, x):
    return lambda y: mg.vjp(f, x)[1](y)


def test_pad_and_crop_are_a_pair():
    x = rng.normal(size=(2, 3))
    framed, crop = mg.vjp(lambda x: pad_constant(x, [(1, 2), (0, 1)], 5.0), x)
    np.testing.assert_array_equal(crop(framed), x)
