"""Likelihood in its units, against entropies, enumeration and the definitions."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen import Tensor, grad, to_device, to_host
from minigen.metrics import (
    Estimate,
    bits_per_dim,
    dequantize,
    generalisation_gap,
    iwae_bound,
    kl_on_data,
    log_prob_by_quadrature,
    mean_and_error,
    nll,
    perplexity,
)
from minigen.testing import check_gradients

VALUES = [-1.0, -2.5, -4.0, 0.5, -0.25]


@pytest.mark.verifies("likelihood.1")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nll_is_minus_the_mean(device, dtype):
    mean, _ = nll(to_device(np.array(VALUES, dtype), device))
    assert type(mean) is float
    assert mean == 1.45


@pytest.mark.verifies("likelihood.2")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standard_error_is_that_of_the_mean(device, dtype):
    values = to_device(np.array(VALUES, dtype), device)
    want = statistics.stdev(VALUES) / math.sqrt(len(VALUES))
    assert nll(values).standard_error == pytest.approx(want, rel=1e-12)
    assert mean_and_error(values) == (pytest.approx(-1.45), pytest.approx(want))


def test_sums_are_in_float64():
    """In float32, the mean of a million of these is wrong in the fourth digit, and half precision overflows at once."""
    values = np.full(300_000, -1000.1, np.float32)
    assert nll(values).mean == pytest.approx(float(np.float32(1000.1)), rel=1e-12)
    assert nll(values.astype(np.float16)).mean == pytest.approx(1000, rel=1e-3)
    assert mean_and_error(np.array([2, 5])) == Estimate(3.5, pytest.approx(1.5))
    assert mean_and_error(np.array([True, False])) == Estimate(0.5, pytest.approx(0.5))


def test_a_datum_without_probability_makes_an_infinite_nll_of_unknown_error():
    mean, error = nll(np.array([-1.0, -math.inf]))
    assert mean == math.inf
    assert math.isnan(error)
    assert math.isnan(nll(np.array([-1.0])).standard_error)


@pytest.mark.verifies("likelihood.3")
@given(st.integers(1, 1000))
def test_perplexity_of_equally_probable_symbols_is_their_number(symbols):
    assert perplexity(math.log(symbols)) == pytest.approx(symbols)
    assert perplexity(math.log2(symbols), unit="bits") == pytest.approx(symbols)


def test_perplexity_of_arrays(device):
    values = to_device(np.array([0.0, 1.0, 3.0], np.float32), device)
    bits = perplexity(values, "bits")
    assert type(bits) is type(values) and bits.dtype == np.float32
    assert to_host(bits).tolist() == [1, 2, 8]
    np.testing.assert_allclose(to_host(perplexity(values, "nats")), np.exp([0, 1, 3]), rtol=1e-6)


@pytest.mark.verifies("likelihood.4")
@pytest.mark.parametrize("dims", [1, 3, 784])
@pytest.mark.parametrize("levels", [2, 10, 256])
def test_a_density_constant_in_each_cell_has_the_entropy_of_the_levels(dims, levels):
    """Each dimension is level k with probability ∝ k + 1, spread evenly over its cell: as many bits as the levels themselves."""
    p = np.arange(1, levels + 1) / np.sum(np.arange(1, levels + 1))
    bits = -np.sum(p * np.log2(p))
    for cell in (1 / levels, 1.0, 255.0):
        nats = -dims * np.sum(p * np.log(p / cell))
        assert bits_per_dim(nats, dims, cell=cell) == pytest.approx(bits, rel=1e-12)
    assert bits_per_dim(-dims * np.sum(p * np.log(p)), dims) == pytest.approx(bits, rel=1e-12)


def test_bits_per_dim_of_a_uniform_density_is_exact():
    assert bits_per_dim(0.0, 3072, cell=1 / 256) == 8.0
    assert bits_per_dim(0, 3072, 1 / 256) == 8.0


def test_bits_per_dim_of_each_datum_keeps_its_library_and_type(device):
    values = to_device(np.array([0.0, 64 * math.log(2)], np.float32), device)
    bits = bits_per_dim(values, 64, 1 / 16)
    assert type(bits) is type(values) and bits.dtype == np.float32
    np.testing.assert_allclose(to_host(bits), [4, 5], rtol=1e-6)


@pytest.mark.verifies("likelihood.4", "likelihood.5")
def test_a_density_of_dequantised_data_bounds_the_probability_of_the_levels():
    """E_u[bits] ≥ −log₂ P(k), P(k) the integral over the cell; equal where the density is constant there (Jensen)."""
    u = (np.arange(2000) + 0.5) / 2000
    for levels, slope in itertools.product((2, 5, 16), (0.0, 0.5, 1.9)):
        for k in range(levels):
            x = dequantize(np.full(u.shape, k), levels, u)
            probability = (1 - slope / 2) / levels + slope * (2 * k + 1) / (2 * levels**2)  # of the density 1 + slope (x − ½)
            bits = np.mean(bits_per_dim(-np.log(1 + slope * (x - 0.5)), 1, cell=1 / levels))
            gap = bits + np.log2(probability)
            assert gap >= -1e-9 if slope else abs(gap) < 1e-9
            assert gap <= (slope / levels) ** 2 / (1 - slope / 2) ** 2 / 8 / math.log(2) + 1e-9


@pytest.mark.verifies("likelihood.5")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dequantised_levels_fill_their_cells(device, dtype):
    k, u = np.array([0, 1, 2, 3, 3]), np.array([0.0, 0.5, 0.25, 0.75, 0.0], dtype)
    x = dequantize(to_device(k, device), 4, to_device(u, device))
    assert x.dtype == dtype and type(x) is type(to_device(u, device))
    assert to_host(x).tolist() == [0.0, 0.375, 0.5625, 0.9375, 0.75]


@pytest.mark.parametrize("levels", [2, 3, 10, 256, 1000])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_no_rounding_leads_out_of_the_unit_interval_or_the_cell(device, levels, dtype):
    k = np.arange(levels)
    for number in (0.0, 1 - np.finfo(dtype).epsneg):
        x = to_host(dequantize(to_device(k, device), levels, to_device(np.full(levels, number, dtype), device)))
        assert np.all((x >= 0) & (x < 1))
        if levels & (levels - 1) == 0:  # then levels · x is exact
            assert np.array_equal(np.floor(x * levels), k)


def test_dequantize_takes_levels_in_floating_point_of_any_shape():
    k = np.array([[[0.0], [7.0]]], np.float32)
    assert dequantize(k, 8, np.full(k.shape, 0.5)).tolist() == [[[0.0625], [0.9375]]]


@pytest.mark.verifies("likelihood.6")
@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_iwae_bound_is_the_log_of_the_mean_weight(device, offset, dtype):
    w = np.array([[0.5, 2.0, 7.0], [1.0, 0.25, 3.0]])
    log_w = to_device((np.log(w) + offset).astype(dtype), device)
    for axis in (0, 1, -1):
        bound = iwae_bound(log_w, axis=axis)
        assert type(bound) is type(log_w) and bound.dtype == dtype
        np.testing.assert_allclose(to_host(bound), np.log(w.mean(axis)) + offset, rtol=1e-6 if dtype == "float32" else 1e-12)
    assert np.array_equal(to_host(iwae_bound(log_w)), to_host(iwae_bound(log_w, axis=0)))


def test_one_weight_is_the_elbo_and_no_weight_is_minus_infinity():
    log_w = np.array([[1.5, -math.inf, -1e5]])
    assert iwae_bound(log_w).tolist() == [1.5, -math.inf, -1e5]
    dead = np.array([[-math.inf, 0.0], [-math.inf, -math.inf]])
    assert iwae_bound(dead).tolist() == [-math.inf, -math.log(2)]


@pytest.mark.verifies("likelihood.6")
def test_iwae_bound_rises_to_log_p_in_expectation():
    """By enumeration of all K-tuples of three codes: E_q[bound] ≤ log p(x), and it rises with K."""
    joint, q = np.array([0.02, 0.1, 0.3]), np.array([0.5, 0.3, 0.2])
    log_w, last = np.log(joint / q), -math.inf
    for count in (1, 2, 3, 5):
        tuples = np.array(list(itertools.product(range(3), repeat=count))).T
        expected = float(np.sum(np.prod(q[tuples], axis=0) * iwae_bound(log_w[tuples])))
        assert last < expected < math.log(joint.sum())
        last = expected
    exact = np.log(joint / (joint / joint.sum()))  # weights of the posterior: no gap
    np.testing.assert_allclose(iwae_bound(exact), math.log(joint.sum()))


def test_gradient_of_the_iwae_bound_is_the_normalised_weights():
    log_w = np.array([[0.3, -50.0, 2.0], [1.0, 700.0, -3.0], [-0.5, 0.0, 2.0]])
    check_gradients(iwae_bound, log_w[:, ::2])
    for axis in (0, 1):
        g = grad(lambda v, axis=axis: np.sum(iwae_bound(v, axis=axis)))(log_w)
        w = np.exp(log_w - log_w.max(axis, keepdims=True))
        np.testing.assert_allclose(g, w / w.sum(axis, keepdims=True), atol=1e-15)
    dead = grad(lambda v: iwae_bound(v)[1])(np.array([[-math.inf, 0.0], [-math.inf, -math.inf]]))
    assert dead.tolist() == [[0, 1], [0, 0]]


def test_ninety_nine_per_cent_noise_costs_at_most_log_100():
    rng = np.random.default_rng(0)
    model, noise = rng.normal(-500, 30, 1000), rng.normal(-900, 300, 1000)
    mixture = np.logaddexp(model + math.log(0.01), noise + math.log(0.99))
    assert nll(mixture).mean - nll(model).mean <= math.log(100)


T = Tensor(np.zeros(2))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nll(np.zeros((2, 1))), ValueError, r"log_prob has shape \(2, 1\)"),
        (lambda: nll(np.zeros(())), ValueError, "log_prob has shape"),
        (lambda: nll(np.zeros(0)), ValueError, "log_prob has shape"),
        (lambda: nll(np.array([0.0, math.nan])), ValueError, "log_prob has NaN"),
        (lambda: nll([1.0, 2.0]), TypeError, "log_prob is list"),
        (lambda: nll(np.zeros(2, complex)), TypeError, "log_prob is complex128"),
        (lambda: nll(T), TypeError, "log_prob is a Tensor.*stop_gradient"),
        (lambda: mean_and_error(np.array([math.nan])), ValueError, "values has NaN"),
        (lambda: perplexity(1.0, "bit"), ValueError, "unit is 'bit'"),
        (lambda: bits_per_dim(1.0, 0), ValueError, "dims is 0"),
        (lambda: bits_per_dim(1.0, 1, cell=0.0), ValueError, "cell is 0.0"),
        (lambda: bits_per_dim(1.0, 1, cell=-1.0), ValueError, "cell is -1.0"),
        (lambda: bits_per_dim(1.0, 1, cell=math.inf), ValueError, "cell is inf"),
        (lambda: bits_per_dim(1.0, math.nan), ValueError, "dims is nan"),
        (lambda: dequantize(np.array([0]), 4, np.array([0])), TypeError, "u is int"),
        (lambda: dequantize(np.array([True]), 4, np.array([0.5])), TypeError, "k is bool"),
        (lambda: dequantize(np.array([0, 1]), 4, np.array([0.5])), ValueError, r"k has shape \(2,\) and u has shape \(1,\)"),
        (lambda: dequantize(np.array([4]), 4, np.array([0.5])), ValueError, "k has entries other than 0"),
        (lambda: dequantize(np.array([-1]), 4, np.array([0.5])), ValueError, "k has entries other than 0"),
        (lambda: dequantize(np.array([0.5]), 4, np.array([0.5])), ValueError, "k has entries other than 0"),
        (lambda: dequantize(np.array([math.nan]), 4, np.array([0.5])), ValueError, "k has entries other than 0"),
        (lambda: dequantize(np.array([0]), 4, np.array([1.0])), ValueError, "u has entries outside"),
        (lambda: dequantize(np.array([0]), 4, np.array([-0.1])), ValueError, "u has entries outside"),
        (lambda: dequantize(np.array([0]), 4, np.array([math.nan])), ValueError, "u has entries outside"),
        (lambda: iwae_bound(np.zeros((0, 3))), ValueError, r"log_weights has shape \(0, 3\)"),
        (lambda: iwae_bound(np.array(1.0)), ValueError, "log_weights has shape"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.verifies("likelihood.7")
def test_kl_on_data_is_the_divergence(device):
    # every datum as often as p says: the mean over data is the sum that defines KL
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.2, 0.2, 0.6])
    data = np.array([0, 0, 1, 2])
    log_p, log_q = to_device((np.log(p)[data], np.log(q)[data]), device)
    got = kl_on_data(log_p, log_q)
    assert got.mean == pytest.approx(np.sum(p * np.log(p / q)))
    assert got.standard_error == pytest.approx(statistics.stdev(np.log(p / q)[data]) / 2)
    assert kl_on_data(log_p, to_device(np.array([0.0, -np.inf, 0.0, 0.0]), device)).mean == math.inf


def test_kl_on_data_refuses_what_p_cannot_have_drawn():
    with pytest.raises(ValueError, match="log_p has entries of −∞"):
        kl_on_data(np.array([0.0, -np.inf]), np.zeros(2))
    with pytest.raises(ValueError, match=r"log_p has shape \(2,\) and log_q \(3,\)"):
        kl_on_data(np.zeros(2), np.zeros(3))


@pytest.mark.verifies("likelihood.8")
def test_the_gap_is_what_is_lost_on_new_data():
    gap = generalisation_gap(np.array([-1.0, -2.0, -3.0]), np.array([-4.0, -7.0]))
    assert gap == (pytest.approx(3.5), pytest.approx(math.sqrt(1 / 3 + 9 / 4)))


@pytest.mark.parametrize("latent", [1, 2, 3])
@pytest.mark.verifies("likelihood.9")
def test_quadrature_over_codes_of_a_linear_gaussian_model(latent, device):
    # x = W z + μ + τ ε is N(μ, W Wᵀ + τ² I)
    rng = np.random.default_rng(latent)
    w, mu, tau, x = rng.normal(size=(latent, 4)), rng.normal(size=4), 1.2, rng.normal(size=(5, 4))

    def log_likelihood(z):
        mean = z @ to_device(w, device) + to_device(mu, device)
        squares = np.sum((to_device(x, device) - mean[:, None]) ** 2, axis=-1)
        return -0.5 * squares / tau**2 - 2 * math.log(2 * math.pi * tau**2)

    cov = w.T @ w + tau**2 * np.eye(4)
    d = x - mu
    want = -0.5 * np.sum(d @ np.linalg.inv(cov) * d, axis=1) - 0.5 * np.linalg.slogdet(2 * math.pi * cov)[1]
    got = log_prob_by_quadrature(log_likelihood, latent, 50, like=to_device(x, device))
    np.testing.assert_allclose(to_host(got), want, rtol=1e-6)


def test_quadrature_with_many_points_and_its_errors():
    moments = lambda z: np.log(z**8 + 1e-300)  # E z⁸ = 105
    assert log_prob_by_quadrature(moments, 1, 250) == pytest.approx(math.log(105))
    assert log_prob_by_quadrature(moments, 1, 5) == pytest.approx(math.log(105))
    with pytest.raises(ValueError, match="latent is 4; expected 1, 2 or 3"):
        log_prob_by_quadrature(moments, 4)
    with pytest.raises(ValueError, match="points is 251; expected at most 250"):
        log_prob_by_quadrature(moments, 1, 251)
    with pytest.raises(ValueError, match="points is 0"):
        log_prob_by_quadrature(moments, 1, 0)
