"""Score matching against exact Hessians, Gaussians and smoothed densities by quadrature."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minigen import tree
from minigen.autograd import grad, jacobian
from minigen.backend import to_device
from minigen.models.ebm import energy_and_score
from minigen.models.score_matching import denoising_score_matching, exact_score_matching, fit_score, sliced_score_matching
from minigen.optim import Adam, cosine


def bumpy(x):
    """An energy whose Hessian is not symmetric in its coordinates' roles."""
    return np.sum(np.cos(x) * x**2, axis=1) + x[:, 0] * np.sin(x[:, 1]) + np.exp(-(x[:, 2] ** 2)) * x[:, 0] ** 2


def score(x):
    return energy_and_score(bumpy, x)[1]


@dataclass
class Gaussian:
    """s(x) = −P x, for any matrix P."""

    precision: Any

    def score(self, x):
        return -(x @ self.precision.T)


@pytest.mark.verifies("score_matching.1", "score_matching.2")
def test_exact_and_sliced_are_their_definitions_with_the_hessian():
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    jac = np.stack([jacobian(lambda y: score(y[None])[0])(row) for row in x])
    half = 0.5 * (score(x) ** 2).sum(1)
    np.testing.assert_allclose(exact_score_matching(score, x), half + np.trace(jac, axis1=1, axis2=2), rtol=1e-9)
    np.testing.assert_allclose(sliced_score_matching(score, x, v), half + np.einsum("ni,nij,nj->n", v, jac, v), rtol=1e-9)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T  # the mean over all signs is the trace
    mean = np.mean([sliced_score_matching(score, x, np.tile(s, (5, 1))) for s in signs], axis=0)
    np.testing.assert_allclose(mean, exact_score_matching(score, x), rtol=1e-9)


@pytest.mark.verifies("score_matching.1")
def test_least_on_a_gaussian_at_its_precision():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])
    at = Gaussian(np.linalg.inv(x.T @ x / len(x)))
    np.testing.assert_allclose(grad(lambda m: np.mean(exact_score_matching(m.score, x)))(at).precision, 0, atol=1e-10)
    # tr P Σ P / 2 − tr P, whose least value is −½ tr Σ⁻¹
    np.testing.assert_allclose(np.mean(exact_score_matching(at.score, x)), -0.5 * np.trace(at.precision), rtol=1e-10)


@pytest.mark.verifies("score_matching.3")
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_denoising_is_least_at_the_smoothed_score_and_grows_as_half_the_square(sigma):
    data, (nodes, weights) = np.array([-1.0, 0.2, 1.5]), np.polynomial.hermite_e.hermegauss(80)
    x, eps = np.repeat(data, 80)[:, None], np.tile(nodes, 3)[:, None]
    w = np.tile(weights / weights.sum(), 3) / 3

    def smoothed(y):  # the score of the mixture of Gaussians of width σ on the data
        r = np.exp(-((y - data) ** 2) / (2 * sigma**2) + np.min((y - data) ** 2, axis=1, keepdims=True) / (2 * sigma**2))
        return ((r @ data)[:, None] / r.sum(1, keepdims=True) - y) / sigma**2

    total = lambda s: w @ denoising_score_matching(s, x, sigma, eps)
    for other in (lambda y: -y, lambda y: np.sin(y), lambda y: smoothed(y) + 0.1):
        y = x + sigma * eps
        np.testing.assert_allclose(total(other) - total(smoothed), 0.5 * w @ (other(y) - smoothed(y))[:, 0] ** 2, rtol=1e-4)


@pytest.mark.parametrize("objective", ["exact", "sliced", "denoising"])
def test_fit_recovers_the_precision(objective):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8000, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])
    settings = {"steps": 800, "batch_size": 400, "optimizer": Adam(cosine(0.05, 800)), "progress": False}
    fitted = fit_score(Gaussian(np.eye(2)), x, rng=rng, objective=objective, sigma=0.5, **settings)
    smooth = 0.25 * np.eye(2) if objective == "denoising" else 0
    np.testing.assert_allclose(fitted.precision, np.linalg.inv(x.T @ x / len(x) + smooth), atol=0.15)


@pytest.mark.parametrize("objective", ["sliced", "denoising"])
def test_each_datum_has_noise_of_its_own(monkeypatch, objective):
    seen = []
    monkeypatch.setattr(f"minigen.models.score_matching.{objective}_score_matching", lambda s, x, *rest: seen.append(rest) or x @ s(x).T)
    x = np.random.default_rng(0).standard_normal((60, 3))
    fit_score(Gaussian(np.eye(3)), x, rng=np.random.default_rng(1), objective=objective, sigma=0.3, steps=2, batch_size=50, progress=False)
    noise = np.stack([rest[-1] for rest in seen])
    assert noise.shape == (2, 50, 3) and len(np.unique(noise)) == 300
    assert seen[0][:-1] == ((0.3,) if objective == "denoising" else ())


@pytest.mark.parametrize("objective", ["exact", "sliced", "denoising"])
def test_stays_in_its_library_and_float32(objective, device):
    x = to_device(np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32), device)
    begin = to_device(Gaussian(np.eye(2, dtype=np.float32)), device)
    fitted = fit_score(begin, x, rng=np.random.default_rng(1), objective=objective, steps=3, batch_size=20, progress=False)
    assert all(type(a) is type(x) and a.dtype == np.float32 for a in tree.leaves(fitted))


def test_bad_input_is_named():
    x, rng, begin = np.zeros((8, 2)), np.random.default_rng(0), Gaussian(np.eye(2))
    for settings, message in (({"objective": "ism"}, "objective is 'ism'"), ({"sigma": 0.0}, "sigma is 0")):
        with pytest.raises(ValueError, match=message):
            fit_score(begin, x, rng=rng, steps=1, **settings)
    with pytest.raises(ValueError, match="NaN"):
        fit_score(begin, x * np.nan, rng=rng, steps=1)
