"""Noise-contrastive estimation on a Gaussian, whose log Z is known, and its loss against Bayes' rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device
from minigen.distributions import Independent, Normal
from minigen.models.nce import NCE, log_odds, nce_loss
from minigen.optim import Adam, cosine


@dataclass
class Quadratic:
    """E(x) = ½ Σ λ (x − m)², with log Z = D/2 log 2π − ½ Σ log λ."""

    log_precision: Any
    center: Any

    def energy(self, x):
        return 0.5 * np.sum(np.exp(self.log_precision) * (x - self.center) ** 2, axis=1)


def wide(x, scale=2.0):
    return Independent(Normal(0 * x[0], scale + 0 * x[0]), 1)


@pytest.mark.verifies("nce.2", "nce.3")
@pytest.mark.parametrize("ratio", [1, 3])
def test_loss_is_the_cross_entropy_of_bayes_rule(ratio):
    rng = np.random.default_rng(0)
    p, q, pn, qn = rng.standard_normal(5), rng.standard_normal(5), rng.standard_normal((ratio, 5)), rng.standard_normal((ratio, 5))
    data = lambda a, b: np.exp(a) / (np.exp(a) + ratio * np.exp(b))  # P(datum | x)
    np.testing.assert_allclose(1 / (1 + np.exp(-log_odds(p, q, ratio))), data(p, q))
    np.testing.assert_allclose(nce_loss(p, q, pn, qn), -np.log(data(p, q)) - np.log(1 - data(pn, qn)).sum(0))


@pytest.mark.verifies("nce.1", "nce.3")
@pytest.mark.parametrize("ratio", [1, 5])
def test_expected_loss_is_stationary_at_the_truth_alone(ratio):
    line = np.linspace(-12, 12, 4001)[:, None]
    truth, noise = stats.norm(0.7, 0.8).pdf(line[:, 0]), stats.norm(0, 2).pdf(line[:, 0])
    log_q = np.log(noise)

    def expected(nce):
        log_p = nce.log_density(line)
        odds = log_odds(log_p, log_q, ratio)
        both = nce_loss(log_p, log_q, np.tile(log_p, (ratio, 1)), np.tile(log_q, (ratio, 1)))
        alone = np.log1p(np.exp(-odds))
        return np.sum(truth * alone + noise * (both - alone)) * 0.006

    log_z = 0.5 * np.log(2 * np.pi) + np.log(0.8)
    make = lambda shift: NCE(Quadratic(np.array([-2 * np.log(0.8)]), np.array([0.7])), np.array(log_z + shift))
    assert np.isclose(integrate.trapezoid(np.exp(make(0).log_density(line)), line[:, 0]), 1)
    assert all(np.allclose(g, 0, atol=1e-9) for g in tree.leaves(grad(expected)(make(0))))
    assert float(grad(expected)(make(0.1)).log_z) > 1e-3 and float(grad(expected)(make(-0.1)).log_z) < -1e-3


@pytest.mark.parametrize("ratio", [1, 5])
def test_recovers_log_z_of_a_gaussian(ratio):
    rng = np.random.default_rng(0)
    std, mean = np.array([0.5, 1.5]), np.array([0.5, -0.5])
    x = mean + std * rng.standard_normal((20_000, 2))
    begin = Quadratic(np.zeros(2), np.zeros(2))
    nce = NCE.fit(x, begin, wide(x), rng=rng, ratio=ratio, steps=1200, batch_size=500, optimizer=Adam(cosine(0.03, 1200)), progress=False)
    np.testing.assert_allclose(nce.log_z, np.log(2 * np.pi) + np.log(std).sum(), atol=0.05)
    np.testing.assert_allclose(np.exp(-0.5 * nce.model.log_precision), std, rtol=0.05)
    np.testing.assert_allclose(nce.model.center, mean, atol=0.05)


def test_stays_in_its_library_and_float32(device):
    x = to_device(np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32), device)
    begin = to_device(Quadratic(np.zeros(2, np.float32), np.zeros(2, np.float32)), device)
    nce = NCE.fit(x, begin, wide(x), rng=np.random.default_rng(1), steps=3, batch_size=20, progress=False)
    assert all(type(a) is type(x) and a.dtype == np.float32 for a in tree.leaves(nce))


def test_noise_that_cannot_have_drawn_one_of_the_data_is_refused():
    x = np.array([[0.2, 0.3], [0.5, 1.5]])

    class Square:
        def log_prob(self, x):
            return np.where(np.all((x > 0) & (x < 1), axis=1), 0.0, -np.inf)

    with pytest.raises(ValueError, match="−∞"):
        NCE.fit(x, Quadratic(np.zeros(2), np.zeros(2)), Square(), rng=np.random.default_rng(0), steps=1)


def test_bad_input_is_named():
    x, rng, begin = np.zeros((8, 2)), np.random.default_rng(0), Quadratic(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="ratio is 0"):
        NCE.fit(x, begin, wide(x), rng=rng, ratio=0, steps=1)
    with pytest.raises(ValueError, match="NaN"):
        NCE.fit(x * np.nan, begin, wide(x), rng=rng, steps=1)
    with pytest.raises(ValueError, match=r"noise\.log_prob"):
        NCE.fit(x, begin, Normal(np.zeros(2), np.ones(2)), rng=rng, steps=1)
