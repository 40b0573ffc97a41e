"""Annealed importance sampling against enumeration, and against a path whose every transition can be summed.

Statistical tests have fixed seeds and allow 4.9 standard errors, a false-alarm rate of 1e-6.
"""

import math

import numpy as np
import pytest

from minigen.backend import to_device, to_host
from minigen.data import digits
from minigen.functions import logsumexp
from minigen.metrics import ais, bidirectional_ais, raise_ais, rbm_path, reverse_ais
from minigen.metrics.annealing import Path
from minigen.models import RBM
from minigen.models.rbm import binary_states
from minigen.testing import check_sampler_matches

Z = 4.9


def tiny(seed=0, scale=1.5):
    rng = np.random.default_rng(seed)
    return RBM(*(scale * rng.standard_normal(shape) for shape in ((5, 3), 5, 3))), rng


def within(values, expected):
    """Whether the mean of values is the expected one, to 4.9 standard errors."""
    assert abs(np.mean(values) - expected) < Z * np.std(values, ddof=1) / math.sqrt(len(values)), (np.mean(values), expected)


@pytest.mark.verifies("annealing.1", "annealing.3")
@pytest.mark.parametrize("betas", [1, [0, 1], [0, 0.5, 1], [0, 0.1, 0.4, 1]])
def test_weights_are_unbiased_in_both_directions(betas):
    rbm, rng = tiny()
    path = rbm_path(rbm, np.array([0.5, -1.0, 0.0, 1.0, 0.2]))
    ratio = math.exp(float(rbm.log_z() - path.log_z0))
    within(np.exp(ais(path, betas, 40_000, rng=rng).log_weights), ratio)
    within(np.exp(reverse_ais(path, rbm.exact_sample(40_000, rng), betas, rng=rng).log_weights), 1 / ratio)


@pytest.mark.verifies("annealing.2", "annealing.4")
def test_expected_estimates_sandwich_the_truth_and_are_means_of_weights():
    rbm, rng = tiny()
    path, truth = rbm_path(rbm), float(rbm.log_z())
    low, high = [], []
    for _ in range(600):
        sandwich = bidirectional_ais(path, rbm.exact_sample(2, rng), 3, rng=rng)
        low.append(float(sandwich.lower))
        high.append(float(sandwich.upper))
    for side, values in ((1, low), (-1, high)):  # the bound is strict: it is off by more than its error
        assert side * (truth - np.mean(values)) > Z * np.std(values) / math.sqrt(600)
    found = ais(path, 6, 50, rng=rng)
    np.testing.assert_allclose(np.exp(found.log_z - path.log_z0), np.mean(np.exp(found.log_weights)))
    found = reverse_ais(path, rbm.exact_sample(50, rng), 6, rng=rng)
    np.testing.assert_allclose(np.exp(path.log_z0 - found.log_z), np.mean(np.exp(found.log_weights)))


def test_weights_are_taken_before_transitions_and_one_transition_each():
    # a deterministic walk shows the order: x counts its transitions, log f_β(x) = β (1 + 10 x)
    seen = []

    def transition(x, beta, rng):
        seen.append(beta)
        return x + 1

    path = Path(lambda x, beta: beta * (1 + 10 * x[:, 0]), transition, lambda n, rng: np.zeros((n, 1)), 0.0)
    rng = np.random.default_rng(0)
    found = ais(path, [0, 0.2, 0.5, 1], 2, rng=rng)
    np.testing.assert_allclose(found.log_weights, 0.2 * 1 + 0.3 * 11 + 0.5 * 21)
    assert seen == [0.2, 0.5]
    seen.clear()
    found = reverse_ais(path, np.zeros((2, 1)), [0, 0.2, 0.5, 1], rng=rng)
    np.testing.assert_allclose(found.log_weights, -(0.5 * 1 + 0.3 * 11 + 0.2 * 21))
    assert seen == [0.5, 0.2]
    seen.clear()
    found = raise_ais(path, np.array([[0.0], [1.0]]), [0, 0.2, 0.5, 1], chains=3, rng=rng)  # 10 x in log f, and −10 x in log w′
    np.testing.assert_allclose(found, 1 - (0.5 * 11 + 0.3 * 21 + 0.2 * 31))
    assert seen == [1, 0.5, 0.2]


@pytest.mark.verifies("annealing.5")
def test_raise_is_unbiased_for_the_process_that_ends_in_x():
    rbm, rng = tiny()
    base = np.array([0.5, -1.0, 0.0, 1.0, 0.2])
    path, betas, v = rbm_path(rbm, base), [0, 0.3, 1], binary_states(5, np.zeros(0))
    p = np.exp(path.log_density(v, 0) - path.log_z0)
    u = binary_states(3, np.zeros(0))
    for beta in betas[1:]:  # the process, every path summed
        m = RBM(beta * rbm.weight, (1 - beta) * base + beta * rbm.visible, beta * rbm.hidden)
        joint = np.exp(-np.array([m.energy(np.repeat(x[None], 8, 0), u) for x in v]))
        p = p @ ((joint / joint.sum(1, keepdims=True)) @ (joint / joint.sum(0)).T)
    np.testing.assert_allclose(p.sum(), 1)
    for i in (0, 7, 21):
        single = raise_ais(path, np.repeat(v[i][None], 20_000, 0), betas, chains=1, rng=rng)
        within(np.exp(single), p[i])
        assert np.mean(single) < np.log(p[i])
    many = raise_ais(path, v[[0, 7]], betas, chains=4000, rng=rng)  # chains of a row stay with it
    np.testing.assert_allclose(many, np.log(p[[0, 7]]), atol=0.1)
    close = raise_ais(path, v[[0, 7, 21]], 2000, chains=20, rng=rng)
    np.testing.assert_allclose(close, rbm.log_prob(v[[0, 7, 21]]), atol=0.1)


@pytest.mark.verifies("annealing.6")
def test_path_of_a_machine_begins_at_independent_units_and_ends_at_it():
    rbm, _ = tiny()
    base = np.array([0.5, -1.0, 0.0, 1.0, 0.2])
    path, v = rbm_path(rbm, base), binary_states(5, np.zeros(0))
    np.testing.assert_allclose(path.log_density(v, 1.0), -rbm.free_energy(v))
    log_p0 = path.log_density(v, 0.0) - path.log_z0
    np.testing.assert_allclose(log_p0, v @ base - np.log1p(np.exp(base)).sum(), rtol=1e-12)
    check_sampler_matches(path.start, lambda x: log_p0, support=v, n=20_000)
    half = path.log_density(v, 0.5)
    np.testing.assert_allclose(half, v @ (base + rbm.visible) / 2 + np.log1p(np.exp((v @ rbm.weight + rbm.hidden) / 2)).sum(1))
    stationary = np.exp(half - logsumexp(half))
    draw = lambda n, rng: path.transition(v[rng.choice(32, n, p=stationary)], 0.5, rng)
    check_sampler_matches(draw, lambda x: np.log(stationary), support=v, n=20_000)
    np.testing.assert_allclose(rbm_path(rbm).log_density(v, 0.0), v @ rbm.visible + 3 * np.log(2))


def test_within_a_tenth_of_a_nat_at_sixteen_hidden_units_on_digits():
    x = (digits()[0].reshape(-1, 64) > 0.5).astype(np.float32)
    rng = np.random.default_rng(0)
    rbm = RBM.fit(x, hidden=16, rng=rng, steps=1000, progress=False)
    rbm = RBM(*(a.astype(np.float64) for a in (rbm.weight, rbm.visible, rbm.hidden)))
    rate = np.clip(np.mean(x, axis=0, dtype=np.float64), 0.01, 0.99)
    path, truth = rbm_path(rbm, np.log(rate / (1 - rate))), float(rbm.log_z())
    sandwich = bidirectional_ais(path, rbm.exact_sample(100, rng), 1000, rng=rng)
    assert abs(sandwich.lower - truth) < 0.1 and abs(sandwich.upper - truth) < 0.1
    start = float(path.log_z0)
    assert abs(start - truth) > 5  # annealing has something to do


def test_same_on_every_device(device):
    rbm = RBM.init(np.random.default_rng(0), 5, 3, scale=1.0)
    there = to_device(rbm, device)
    draw = lambda m: ais(rbm_path(m), 5, 20, rng=np.random.default_rng(1))
    found = draw(there)
    assert type(found.log_weights) is type(there.weight) and found.log_weights.dtype == np.float32
    np.testing.assert_allclose(to_host(found.log_weights), draw(rbm).log_weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(float(to_host(found.log_z)), float(draw(rbm).log_z), rtol=1e-4)
    x = there.exact_sample(6, np.random.default_rng(2))
    assert type(raise_ais(rbm_path(there), x, 5, 2, rng=np.random.default_rng(3))) is type(x)


@pytest.mark.parametrize("betas", [0, 2.5, [0, 1, 0.5, 1], [0.1, 1], [0, 0.9], [0, 0.5, 0.5, 1], [1], [0, float("nan"), 1]])
def test_betas_rise_from_0_to_1(betas):
    rbm, rng = tiny()
    with pytest.raises((ValueError, TypeError), match="betas"):
        ais(rbm_path(rbm), betas, 3, rng=rng)


def test_bad_arguments_are_named():
    rbm, rng = tiny()
    with pytest.raises(ValueError, match="n is 0"):
        ais(rbm_path(rbm), 3, 0, rng=rng)
    with pytest.raises(ValueError, match="chains is 0"):
        raise_ais(rbm_path(rbm), np.zeros((1, 5)), 3, 0, rng=rng)
    for base in (np.zeros(3), np.full(5, np.nan)):
        with pytest.raises(ValueError, match="base has shape"):
            rbm_path(rbm, base)
    for x, words in ((np.full((1, 5), 0.5), "values other than 0 and 1"), (np.full((1, 5), np.nan), "NaN"), (np.zeros((1, 4)), "shape")):
        for estimate in (reverse_ais, raise_ais, bidirectional_ais):
            with pytest.raises(ValueError, match=f"x h.*{words}"):
                estimate(rbm_path(rbm), x, 3, rng=rng)
    with pytest.raises(TypeError, match="rng"):
        ais(rbm_path(rbm), 3, 3, rng=0)
