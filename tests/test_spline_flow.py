"""The rational-quadratic spline; what spline flows share with all flows is in `test_flow`."""

import numpy as np
import pytest

from minigen.models import NeuralSplineFlow
from minigen.models.spline_flow import spline, spline_inverse, spline_shape
from tests.flows import lively

RNG = np.random.default_rng(0)
RAW = 2 * RNG.normal(size=(5, 3 * 6 - 1))


@pytest.mark.verifies("spline_flow.1")
def test_bins_fill_the_interval_and_zero_is_the_identity():
    (w, h), d = spline_shape(RAW.T, 3.0)
    np.testing.assert_allclose([w.sum(0), h.sum(0)], 6)
    assert w.shape == h.shape == (6, 5) and d.shape == (7, 5)
    assert min(w.min(), h.min()) >= 6e-3 and d.min() >= 1e-3
    np.testing.assert_array_equal(d[[0, -1]], 1)
    e = np.exp(RAW.T)
    np.testing.assert_allclose(w, 6 * (1e-3 + (1 - 6e-3) * e[:6] / e[:6].sum(0)))
    np.testing.assert_allclose(h, 6 * (1e-3 + (1 - 6e-3) * e[6:12] / e[6:12].sum(0)))
    x = np.linspace(-4, 4, 50)
    np.testing.assert_allclose(spline(x, np.zeros((50, 17)), 3.0), [x, 0 * x], atol=1e-12)


@pytest.mark.verifies("spline_flow.2")
def test_it_goes_through_its_knots_with_the_given_slopes_and_is_of_degree_two_over_two():
    (w, h), d = spline_shape(RAW.T, 3.0)
    for i in range(5):
        knots, values = (np.concatenate([[-3], -3 + np.cumsum(a[:, i])]) for a in (w, h))
        inner = knots[1:-1]
        raw = np.tile(RAW[i], (5, 1))
        for side in (-1e-9, 1e-9):  # from both sides: continuous, with one slope
            y, log_slope = spline(inner + side, raw, 3.0)
            np.testing.assert_allclose(y, values[1:-1], atol=1e-6)
            np.testing.assert_allclose(np.exp(log_slope), d[1:-1, i], rtol=1e-5)
        # y = P/Q of degree 2 in each bin: five points fix it (up to a factor), any further one agrees.
        xi = np.linspace(0.05, 0.95, 9)
        y, _ = spline(knots[2] + xi * w[2, i], np.tile(RAW[i], (9, 1)), 3.0)
        system = np.stack([xi**0, xi, xi**2, -y, -y * xi, -y * xi**2], axis=1)
        assert np.linalg.svd(system)[1][-1] < 1e-9 * np.linalg.svd(system)[1][0]


@pytest.mark.verifies("spline_flow.3")
@pytest.mark.verifies("spline_flow.4")
def test_slopes_are_derivatives_and_the_inverse_is_one():
    raw = np.repeat(RAW, 400, axis=0)
    x = np.tile(np.linspace(-3.5, 3.5, 400), 5)
    y, log_slope = spline(x, raw, 3.0)
    step = 1e-6
    away = np.abs(np.abs(x) - 3) > 1e-3
    slope = (spline(x + step, raw, 3.0)[0] - spline(x - step, raw, 3.0)[0]) / (2 * step)
    np.testing.assert_allclose(np.exp(log_slope)[away], slope[away], rtol=2e-4)
    assert np.all(np.diff(y.reshape(5, 400)) > 0)
    np.testing.assert_array_equal(y[np.abs(x) >= 3], x[np.abs(x) >= 3])
    back, inverse_slope = spline_inverse(y, raw, 3.0)
    np.testing.assert_allclose(back, x, atol=1e-9)
    np.testing.assert_allclose(inverse_slope, -log_slope, atol=1e-7)


@pytest.mark.parametrize("bins", [1, 2, 5])
def test_each_number_is_moved_by_the_spline_of_its_own(bins):
    x, raw = 2 * RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4, 3 * bins - 1))
    for f in (spline, spline_inverse):
        y, log_slope = f(x, raw, 3.0)
        assert y.shape == log_slope.shape == x.shape
        for i in np.ndindex(*x.shape):
            alone = f(x[i][None], raw[i][None], 3.0)
            np.testing.assert_allclose([y[i], log_slope[i]], [alone[0][0], alone[1][0]], rtol=1e-12, atol=1e-12)


def test_a_coupling_keeps_what_its_mask_keeps():
    layer = lively(NeuralSplineFlow, (4,), layers=1, hidden=(5,), bins=4).layers[0]
    x = RNG.normal(size=(9, 4))
    y, _ = layer.forward(x)
    np.testing.assert_array_equal(y[:, layer.kept], x[:, layer.kept])
    assert np.all(y[:, layer.moved] != x[:, layer.moved])
    x[:, layer.moved] += 0.1
    assert np.all((layer.forward(x)[0] > y)[:, layer.moved])
    with pytest.raises(ValueError, match="bound is 0"):
        NeuralSplineFlow.init(RNG, (2,), bound=0)
