"""Glow: squeezing, its three layers by definition, its scales; what it shares with all flows is in `test_flow`."""

import numpy as np
import pytest
from scipy.stats import t as student

import minigen as mg
from minigen.data import digits
from minigen.models import Glow
from minigen.models.glow import ActNorm, ChannelCoupling, Mix, squeeze, unsqueeze
from minigen.optim import Adam
from minigen.testing import check_adjoint, check_bijection, check_gradients
from tests.flows import flat, lively

RNG = np.random.default_rng(0)
SMALL = {"depth": 2, "width": 5, "bins": 3}


def test_squeezing_makes_channels_of_squares():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    y = squeeze(x)
    assert y.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(y[1, 1, 2], x[1, 2:4, 4:6].reshape(-1))
    np.testing.assert_array_equal(unsqueeze(y), x)
    check_adjoint(squeeze, unsqueeze, (2, 4, 6, 3))


@pytest.mark.parametrize("layer", ["norm", "mix", "splines", "lines"])
@pytest.mark.verifies("glow.1")
@pytest.mark.verifies("glow.2")
@pytest.mark.verifies("glow.3")
def test_each_layer_is_a_bijection_with_its_log_determinant(layer):
    made = {
        "norm": lambda: ActNorm(RNG.normal(size=4), RNG.normal(size=4)),
        "mix": lambda: Mix.init(RNG, 4, np.float64),
        "splines": lambda: ChannelCoupling.init(RNG, 4, 5, 3, np.float64),
        "lines": lambda: ChannelCoupling.init(RNG, 4, 5, 0, np.float64),
    }[layer]()
    made = mg.tree_map(lambda w: w + 0.3 * RNG.normal(size=w.shape), made)
    x = RNG.normal(size=(3, 24))

    def through(f):
        def g(x):
            y, logdet = f(x.reshape(-1, 2, 3, 4))
            return y.reshape(len(x), -1), logdet + np.zeros(len(x))

        return g

    check_bijection(through(made.forward), through(made.inverse), x)


@pytest.mark.parametrize("bins", [3, 0])
@pytest.mark.verifies("glow.1")
def test_the_first_data_leave_every_normalisation_with_mean_0_and_variance_1(bins):
    x = 5 + RNG.gamma(2.0, size=(50, 4, 4, 3)) * [1, 20, 0.1]
    flow = Glow.fit(x, rng=RNG, scales=2, depth=2, width=5, bins=bins, steps=1, optimizer=Adam(1e-12), progress=False)
    h = flow.to_line(x.reshape(50, -1))[0].reshape(x.shape)
    for layers in flow.layers[0].scales:
        h = squeeze(h)
        for layer in layers:
            h, _ = layer.forward(h)
            np.testing.assert_allclose(h.mean((0, 1, 2)), 0, atol=1e-8)
            np.testing.assert_allclose(h.std((0, 1, 2)), 1, rtol=1e-8)
        h = h[..., : h.shape[-1] // 2]


@pytest.mark.verifies("glow.2")
def test_the_mixing_begins_as_a_permutation_and_its_factors_are_what_they_are_called():
    mix = Mix.init(RNG, 6, np.float64)
    p = mix.matrix()
    np.testing.assert_array_equal(p @ p.T, np.eye(6))
    assert set(p.ravel().tolist()) == {0.0, 1.0}
    assert not np.array_equal(p, Mix.init(RNG, 6, np.float64).matrix())
    mix = mg.tree_map(lambda w: w + RNG.normal(size=w.shape), mix)
    lower, upper = np.tril(mix.lower, -1) + np.eye(6), np.triu(mix.upper, 1) + np.diag(np.exp(mix.log_diagonal))
    np.testing.assert_allclose(mix.matrix(), p @ lower @ upper, atol=1e-12)
    np.testing.assert_allclose(np.linalg.slogdet(mix.matrix())[1], mix.log_diagonal.sum())


def test_a_coupling_keeps_its_first_channels_and_moves_the_others_by_them_alone():
    coupling = mg.tree_map(lambda w: w + 0.3 * RNG.normal(size=w.shape), ChannelCoupling.init(RNG, 5, 4, 3, np.float64))
    h = RNG.normal(size=(2, 3, 3, 5))
    y, _ = coupling.forward(h)
    np.testing.assert_array_equal(y[..., :2], h[..., :2])
    assert np.all(y[..., 2:] != h[..., 2:])
    other = h.copy()
    other[:, 0, 0, 2] += 1
    same = np.ones(y.shape, bool)
    same[:, 0, 0, 2] = False
    np.testing.assert_array_equal(coupling.forward(other)[0][same], y[same])


@pytest.mark.parametrize(("event", "scales"), [((4, 4, 1), 1), ((4, 4, 1), 2), ((2, 4, 3), 1), ((4, 8, 1), 2)])
@pytest.mark.verifies("glow.4")
def test_all_scales_together_are_a_bijection(event, scales):
    flow = lively(Glow, event, scales=scales, spread=0.1, **SMALL)
    d = int(np.prod(event))
    x = RNG.normal(size=(3, d))
    check_bijection(*flat(flow), x)
    z, logdet = flow.forward(x.reshape(3, *event))
    np.testing.assert_allclose(flow.inverse(z)[1], -logdet, rtol=1e-8)
    assert np.linalg.matrix_rank(mg.jacobian(lambda a: flow.forward(a.reshape(1, *event))[0][0])(x[0])) == d


def test_the_density_integrates_to_one():
    flow, n = lively(Glow, (2, 2, 1), scales=1, spread=0.1, **SMALL), 100_000
    centre, spread = flow.decode(np.zeros((1, 4))), 2 * np.std(flow.sample(2000, RNG), axis=0)
    t = RNG.standard_t(5, size=(n, 4))  # tails heavier than the model's
    x = centre + spread * t.reshape(n, 2, 2, 1)
    log_q = np.sum(student.logpdf(t, 5), axis=1) - np.sum(np.log(spread))
    ratio = np.exp(flow.log_prob(x) - log_q)
    assert abs(ratio.mean() - 1) < 4.9 * ratio.std() / n**0.5 < 0.05


@pytest.mark.verifies("glow.4")
def test_half_of_the_channels_leave_after_a_scale():
    # Codes that left at the first scale do not change when the second scale does, the others do.
    flow = lively(Glow, (4, 4, 1), scales=2, spread=0.1, **SMALL)
    x = RNG.normal(size=(3, 4, 4, 1))
    z = flow.encode(x)
    flow.layers[0].scales[1][0].bias = flow.layers[0].scales[1][0].bias + 1.0
    moved = flow.encode(x) != z
    assert not moved[:, :8].any() and moved[:, 8:].all()


@pytest.mark.parametrize("bins", [0, 3])
def test_gradients(bins):
    flow = lively(Glow, (4, 4, 1), 0.05, depth=1, width=3, bins=bins, spread=0.1)
    x = RNG.random((2, 4, 4, 1)) * 0.9 + 0.05
    check_gradients(lambda flow: flow.density(x), (flow,), order=1, entries=1)


def test_float32_on_every_array_library(device):
    data = mg.to_device(RNG.random((40, 4, 4, 1)).astype(np.float32), device)
    settings = {**SMALL, "alpha": 0.01, "steps": 3, "batch_size": 16, "progress": False}
    fitted = Glow.fit(data, rng=np.random.default_rng(0), **settings)
    for y in (fitted.log_prob(data), fitted.sample(6, np.random.default_rng(1)), *mg.leaves(fitted)):
        assert mg.array_module(y) is mg.array_module(data) and y.dtype == np.float32
    host = Glow.fit(mg.to_host(data), rng=np.random.default_rng(0), **settings)
    np.testing.assert_allclose(mg.to_host(fitted.log_prob(data)), host.log_prob(mg.to_host(data)), rtol=1e-3)


def test_it_learns_digits():
    x, _ = digits()
    k = np.rint(x[:256] * 16).astype(int)
    fit = lambda steps: Glow.fit(
        k, rng=np.random.default_rng(0), levels=17, alpha=0.01, depth=2, width=16, bins=4, steps=steps, batch_size=64, optimizer=Adam(4e-3),
        progress=False,
    )  # fmt: skip
    before, after = (fit(steps).log_prob(((k + 0.5) / 17).astype(np.float32)).mean() for steps in (0, 40))
    assert after > before + 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"event": (4, 4)}, r"event is \(4, 4\); expected an image"),
        ({"event": (6, 4, 1)}, r"multiples of 2\^scales = 4"),
        ({"event": (4, 6, 1)}, r"multiples of 2\^scales = 4"),
        ({"event": (4, 4, 1), "depth": 0}, "depth is 0"),
        ({"event": (4, 4, 1), "scales": 0}, "scales is 0"),
    ],
)
def test_what_is_wrong_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Glow.init(RNG, **settings)
