"""Masked autoregressive layers; what they share with all flows is in `test_flow`."""

import numpy as np
import pytest

import minigen as mg
from minigen.models import MAF
from minigen.models.maf import Autoregressive
from minigen.testing import check_causal
from tests.flows import lively

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("times", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 1, 4, 3]])
@pytest.mark.verifies("maf.4")
def test_a_coordinate_is_moved_by_those_before_it_and_by_all_of_them(times):
    layer = Autoregressive.init(RNG, np.array(times), (24, 24), dtype=np.float64)
    layer = mg.tree_map(lambda w: w + 0.3 * RNG.normal(size=w.shape), layer)
    check_causal(lambda x: np.stack(layer.shift_and_scale(x), axis=-1), np.array(times), complete=True)


@pytest.mark.verifies("maf.1")
@pytest.mark.verifies("maf.2")
@pytest.mark.verifies("maf.3")
def test_a_layer_is_the_formula():
    layer = lively(MAF, (4,), layers=1, hidden=(9,)).layers[0]
    x = RNG.normal(size=(7, 4))
    mu, a = layer.shift_and_scale(x)
    y, logdet = layer.forward(x)
    np.testing.assert_allclose(y * np.exp(a) + mu, x)
    np.testing.assert_allclose(logdet, -a.sum(1))
    np.testing.assert_allclose(layer.inverse(y)[0], x)
    out = layer.layers[1](mg.nn.silu(layer.layers[0](x)))
    np.testing.assert_allclose(mu, out[:, :4])
    np.testing.assert_allclose(a, 2 * np.tanh(out[:, 4:] / 2))


def test_the_order_turns_round_from_layer_to_layer():
    assert [layer.times.tolist() for layer in MAF.init(RNG, (3,), layers=3).layers] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]
    with pytest.raises(ValueError, match="hidden is empty"):
        MAF.init(RNG, (3,), hidden=())
