"""The check of autoregressive networks accepts what is right and rejects named mistakes."""

import numpy as np
import pytest

from minigen.nn import MaskedConv2d, MaskedLinear, degree_mask
from minigen.testing import check_causal
from tests.rejections import rejects

RASTER = np.arange(25).reshape(5, 5)
ROW = np.arange(5).reshape(1, 5)


def stack(kinds):
    """Masked convolutions behind one another, tanh between them; a single stack, which has a blind spot."""
    rng = np.random.default_rng(0)
    layers = [MaskedConv2d.init(rng, 1 if i == 0 else 3, 3, kind=kind, dtype=np.float64) for i, kind in enumerate(kinds)]

    def net(x):
        h = x[..., None]
        for layer in layers:
            h = np.tanh(layer(h))
        return h

    return net


def made(order, shift=0, strict=True):
    """A hidden layer of all degrees and an output layer, by an order whose outputs are `shift` late."""
    rng = np.random.default_rng(0)
    d = len(order)
    degrees = np.tile(np.arange(d), 3)
    first = MaskedLinear.init(rng, degree_mask(order, degrees), dtype=np.float64)
    last = MaskedLinear.init(rng, degree_mask(degrees, order - shift, strict=strict), dtype=np.float64)
    return lambda x: last(np.tanh(first(x)))


ORDER = np.array([3, 0, 4, 1, 2])
SHORT = "every output depends on all inputs that come before it"
OWN = "no output depends on its own input"
LATER = "no output depends on an input that comes after it"
NETS = {
    "masked convolutions": (stack("ABBBB"), RASTER, False, None),
    "masked convolutions of a row": (stack("ABBBB"), ROW, True, None),
    "masked layers": (made(ORDER), ORDER, True, None),
    "nothing depends on anything": (lambda x: 0 * x, RASTER, False, None),
    "features of an input": (lambda x: np.cumsum(x, axis=1)[:, [0, 0, 1, 2], :1] * [[[0], [1], [1], [1]]], np.arange(4), True, None),
    "masks A and B swapped": (stack("BAAAA"), ROW, True, SHORT),
    "mask B in the first layer": (stack("BBB"), RASTER, False, OWN),
    "a blind spot": (stack("A" + 9 * "B"), RASTER, True, SHORT),
    "a reach too short": (stack("AB"), RASTER, True, SHORT),
    "the output layer is not strict": (made(ORDER, strict=False), ORDER, False, OWN),
    "another order": (made(ORDER), np.arange(5), False, LATER),
    "the order's inverse": (made(ORDER), np.argsort(ORDER), False, LATER),
    "the order turned around": (made(ORDER), 4 - ORDER, False, LATER),
    "one late": (made(ORDER, shift=1), ORDER, True, SHORT),
    "one early": (made(ORDER, shift=-1), ORDER, True, OWN),
    "columns first": (lambda x: np.swapaxes(stack("AB")(np.swapaxes(x, 1, 2)), 1, 2), RASTER, False, LATER),
    "a leak of a millionth of a millionth": (lambda x: 1e-12 * x[:, ::-1], np.arange(4), False, LATER),
    "an output for each level only": (lambda x: np.sum(x, axis=1), np.arange(4), False, "outputs for each coordinate"),
    "not finite": (lambda x: x / 0 * 0, np.arange(4), False, "finite"),
}


@pytest.mark.filterwarnings("ignore:invalid value|divide by zero:RuntimeWarning")
@pytest.mark.parametrize("name", NETS)
def test_check_causal(name):
    net, order, complete, message = NETS[name]
    settings = {"features": (2,) if name == "features of an input" else (), "complete": complete}
    if message is None:
        check_causal(net, order, **settings)
    else:
        failure = rejects(message, check_causal, net, order, **settings)
        assert failure.message == message or not failure.inputs


def test_the_failure_names_the_pair():
    failure = rejects(LATER, check_causal, lambda x: np.roll(x, -1, axis=2), np.arange(6).reshape(2, 3))
    assert failure.inputs == "output (0, 0), time 0; input (0, 1), time 1; such pairs: 4"


@pytest.mark.parametrize("order", [np.array([1, 2]), np.array([0, 0]), np.array([0.0, 1.0])])
def test_an_order_is_a_permutation(order):
    with pytest.raises(ValueError, match="expected a permutation"):
        check_causal(lambda x: x, order)
