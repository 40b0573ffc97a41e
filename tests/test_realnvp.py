"""Coupling layers; what they share with all flows is in `test_flow`."""

import numpy as np
import pytest

import minigen as mg
from minigen.models import RealNVP
from minigen.models.realnvp import Coupling
from tests.flows import lively

RNG = np.random.default_rng(0)


@pytest.mark.verifies("realnvp.1")
@pytest.mark.verifies("realnvp.2")
@pytest.mark.verifies("realnvp.3")
def test_a_coupling_keeps_what_its_mask_keeps_and_its_scale_is_bounded():
    layer = lively(RealNVP, (6,), layers=4, hidden=(7,)).layers[0]
    x = 50 * RNG.normal(size=(30, 6))
    y, logdet = layer.forward(x)
    np.testing.assert_array_equal(y[:, layer.mask == 1], x[:, layer.mask == 1])
    np.testing.assert_allclose(layer.inverse(y)[0], x)
    assert layer.mask.sum() == 3 and np.all(np.abs(logdet) <= 6)
    wild = Coupling(mg.tree_map(lambda w: 100 * w, layer.network), layer.mask)
    assert np.max(np.abs(wild.scale_and_shift(x)[0])) == 2
    small = wild.scale_and_shift(0 * x)[0]
    h = wild.network(0 * x)[:, :6]
    np.testing.assert_allclose(small, (1 - layer.mask) * 2 * np.tanh(h / 2))


def test_the_masks_alternate():
    masks = [c.mask for c in RealNVP.init(RNG, (5,), layers=4).layers]
    np.testing.assert_array_equal(masks[0] + masks[1], 1)
    np.testing.assert_array_equal(masks[2] + masks[3], 1)
    assert [m.sum() for m in masks] == [2, 3, 2, 3]
