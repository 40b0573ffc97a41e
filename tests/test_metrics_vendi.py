"""The Vendi score: its definition by eigenvalues of the whole matrix, effective numbers that are known, invariances."""

import math

import numpy as np
import pytest

import minigen as mg
from minigen.metrics import gaussian_kernel
from minigen.metrics.vendi import vendi_score

RNG = np.random.default_rng(0)


def definition(k, q):
    """The score from a similarity matrix."""
    p = np.linalg.eigvals(k / len(k)).real
    p = p[p > 1e-12]
    return {1: lambda: np.exp(-np.sum(p * np.log(p))), math.inf: lambda: 1 / p.max()}.get(q, lambda: np.sum(p**q) ** (1 / (1 - q)))()


@pytest.mark.parametrize("q", [0.5, 1, 2, math.inf])
@pytest.mark.parametrize("shape", [(9, 4), (5, 12), (6, 6)])
@pytest.mark.verifies("vendi.1")
@pytest.mark.verifies("vendi.2")
@pytest.mark.verifies("vendi.3")
def test_definition(q, shape, device):
    x = 0.5 + RNG.normal(size=shape)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert vendi_score(mg.to_device(x, device), q=q) == pytest.approx(definition(u @ u.T, q), rel=1e-7)
    kernel = gaussian_kernel(1.5)
    assert vendi_score(mg.to_device(x, device), kernel, q=q) == pytest.approx(definition(kernel(x, x), q), rel=1e-7)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, int])
def test_effective_numbers(q, dtype):
    kinds = np.eye(4, 7, dtype=dtype)
    assert vendi_score(kinds, q=q) == pytest.approx(4) and vendi_score(3 * kinds[[0] * 5], q=q) == pytest.approx(1)
    assert vendi_score(kinds[[0, 0, 1, 1, 3, 3]], q=q) == pytest.approx(3)
    p = np.array([0.5, 0.25, 0.125, 0.125])
    want = {1.0: 2 ** np.sum(p * -np.log2(p)), math.inf: 2.0}.get(q) or np.sum(p**q) ** (1 / (1 - q))
    assert vendi_score(kinds[[0, 0, 0, 0, 1, 1, 2, 3]], q=q) == pytest.approx(want)


def test_doubling_and_scaling_change_nothing_and_orders_fall():
    x = RNG.normal(size=(8, 3))
    scores = [vendi_score(x, q=q) for q in (0.5, 1, 1.5, 2, 10, math.inf)]
    assert scores == sorted(scores, reverse=True) and 1 < scores[-1] and scores[0] < 3
    assert vendi_score(np.concatenate([x, x])) == pytest.approx(vendi_score(x)) == pytest.approx(vendi_score(x * RNG.random((8, 1))))
    assert vendi_score(x, q=1 + 1e-7) == pytest.approx(vendi_score(x), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: vendi_score(0 * x), ValueError, "rows of zeros"),
        (lambda x: vendi_score(x, "gaussian"), ValueError, "kernel is 'gaussian'"),
        (lambda x: vendi_score(x, lambda a, b: a @ b.T), ValueError, "ones on the diagonal"),
        (lambda x: vendi_score(x, lambda a, b: a), ValueError, r"kernel gave shape \(5, 2\)"),
        (lambda x: vendi_score(x, q=0), ValueError, "q is 0"),
        (lambda x: vendi_score(x, gaussian_kernel(1.0), memory=1e-9), MemoryError, "needs about .* GiB for 5 × 5 numbers"),
        (lambda x: vendi_score(x[:, 0]), ValueError, "x has shape"),
        (lambda x: vendi_score(x * np.nan), ValueError, "x has NaN"),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(RNG.normal(size=(5, 2)))


def test_the_linear_kernel_needs_little_memory_for_many_samples():
    assert 1 < vendi_score(RNG.normal(size=(5000, 2)), memory=1e-6) < 2.01
