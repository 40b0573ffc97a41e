"""The RBM chapter against enumeration of every state of tiny machines.

Statistical tests have fixed seeds and a false-alarm rate of 1e-6.
"""

import itertools

import numpy as np
import pytest

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host
from minigen.models import RBM
from minigen.models.rbm import binary_states, contrastive_loss
from minigen.optim import Adam, cosine
from minigen.testing import check_sampler_matches

SIZES = [(4, 3), (3, 5), (5, 5), (8, 4)]


def machine(d, h, seed=0, scale=1.0):
    """A lively machine in float64, all its states, and their probabilities p(v, h), (2ᴰ, 2ᴴ), from the definition alone."""
    rng = np.random.default_rng(seed)
    rbm = RBM(*(scale * rng.standard_normal(shape) for shape in ((d, h), d, h)))
    v, u = (np.array(list(itertools.product([0.0, 1.0], repeat=n))) for n in (d, h))
    energy = np.array([[-(rbm.visible @ x) - rbm.hidden @ y - x @ rbm.weight @ y for y in u] for x in v])
    return rbm, v, u, energy


@pytest.mark.verifies("rbm.1", "rbm.2", "rbm.5", "rbm.6")
@pytest.mark.parametrize(("d", "h"), SIZES)
def test_energies_and_log_z_are_sums_over_states(d, h):
    rbm, v, u, energy = machine(d, h)
    pairs = [np.repeat(v, len(u), axis=0), np.tile(u, (len(v), 1))]
    np.testing.assert_allclose(rbm.energy(*pairs), energy.ravel(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rbm.free_energy(v), -np.log(np.exp(-energy).sum(1)), rtol=1e-12)
    z = np.exp(-energy).sum()
    np.testing.assert_allclose(rbm.log_z(), np.log(z), rtol=1e-12)
    np.testing.assert_allclose(rbm.log_prob(v), np.log(np.exp(-energy).sum(1) / z), rtol=1e-11)
    np.testing.assert_array_equal(binary_states(d, np.zeros(0)), v)


@pytest.mark.verifies("rbm.3", "rbm.4")
@pytest.mark.parametrize(("d", "h"), SIZES)
def test_conditionals_are_bayes_rule_and_a_sweep_is_reversible_at_the_model(d, h):
    rbm, v, u, energy = machine(d, h)
    joint = np.exp(-energy) / np.exp(-energy).sum()
    np.testing.assert_allclose(rbm.hidden_given(v), joint @ u / joint.sum(1, keepdims=True), rtol=1e-11)
    np.testing.assert_allclose(rbm.visible_given(u), joint.T @ v / joint.sum(0)[:, None], rtol=1e-11)


def sweeps_from(v0, sweeps):
    rbm, v, _, energy = machine(3, 2, scale=1.5)
    joint = np.exp(-energy) / np.exp(-energy).sum()
    kernel = (joint / joint.sum(1, keepdims=True)) @ (joint / joint.sum(0)).T  # v → h → v′, every path
    start = int(np.flatnonzero((v == v0).all(1))[0])
    draw = lambda n, rng: rbm.gibbs(np.repeat(v0[None], n, 0), rng, sweeps)
    return draw, np.linalg.matrix_power(kernel, sweeps)[start], v


@pytest.mark.parametrize("sweeps", [1, 2])
def test_gibbs_sweeps_follow_their_transition_matrix(sweeps):
    draw, p, v = sweeps_from(np.array([1.0, 0.0, 1.0]), sweeps)
    check_sampler_matches(draw, lambda x: np.log(p), support=v, n=50_000)


@pytest.mark.parametrize(("d", "h"), [(4, 3), (3, 5), (3, 3)])
def test_exact_draws_and_long_chains_follow_the_model(d, h):
    rbm, v, _, energy = machine(d, h)
    log_p = np.log(np.exp(-energy).sum(1) / np.exp(-energy).sum())
    check_sampler_matches(rbm.exact_sample, lambda x: log_p, support=v, n=50_000)
    check_sampler_matches(lambda n, rng: rbm.sample(n, rng, sweeps=60), lambda x: log_p, support=v, n=20_000)


@pytest.mark.verifies("rbm.7", "rbm.8")
@pytest.mark.parametrize(("d", "h"), SIZES)
def test_gradient_is_the_datas_phase_less_the_models(d, h):
    rbm, v, u, energy = machine(d, h)
    x = v[[0, 1, 3, 3, 5]]
    joint = np.exp(-energy) / np.exp(-energy).sum()
    clamped = np.zeros_like(joint)
    for row in (0, 1, 3, 3, 5):
        clamped[row] += joint[row] / joint[row].sum() / 5
    expected = [-np.einsum("vh,vi,hj->ij", clamped - joint, v, u), -(clamped - joint).sum(1) @ v, -(clamped - joint).sum(0) @ u]
    for g, want in zip(tree.leaves(grad(lambda m: -np.mean(m.log_prob(x)))(rbm)), expected, strict=True):
        np.testing.assert_allclose(g, want, rtol=1e-9, atol=1e-12)
    # the slope of (8), on average over draws v⁻ ~ p, is the same
    pairs = np.repeat(x, len(v), axis=0), np.tile(v, (len(x), 1))
    slope = grad(lambda m: np.tile(joint.sum(1), len(x)) @ contrastive_loss(m, *pairs) / len(x))(rbm)
    for g, want in zip(tree.leaves(slope), expected, strict=True):
        np.testing.assert_allclose(g, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("method", "excess"), [("exact", 0.01), ("pcd", 0.03), ("cd", 0.03)])
def test_each_method_learns_a_distribution(method, excess):
    rng = np.random.default_rng(0)
    p = np.array([0.35, 0.05, 0.05, 0.1, 0.05, 0.0, 0.1, 0.3])  # over the states of three units
    x = binary_states(3, np.zeros(0))[rng.choice(8, 2000, p=p)]
    share = np.unique(x @ [4, 2, 1], return_counts=True)[1] / 2000
    entropy = -np.sum(share * np.log(share))
    settings = {"steps": 1500, "batch_size": 100, "optimizer": Adam(cosine(0.1, 1500))}
    rbm = RBM.fit(x, hidden=4, rng=rng, method=method, progress=False, **settings)
    assert entropy <= -np.mean(rbm.log_prob(x)) < entropy + excess


def test_persistent_chains_go_on_and_others_begin_at_data():
    # one pixel is 1 in all data; few steps without learning: chains of "cd" begin there each time, those of "pcd" do not
    x = np.ones((50, 1))
    seen = {}
    for method in ("cd", "pcd"):
        starts = []

        class Watched(RBM):
            def gibbs(self, v, rng, sweeps=1, starts=starts):
                starts.append(float(np.mean(v)))
                assert sweeps == 2
                return np.zeros_like(v)

        Watched.fit(x, hidden=1, rng=np.random.default_rng(0), method=method, k=2, steps=3, batch_size=50, progress=False)
        seen[method] = starts
    assert seen["cd"] == [1.0, 1.0, 1.0] and seen["pcd"][1:] == [0.0, 0.0] and seen["pcd"][0] > 0.8


def test_same_on_every_device_in_float32(device):
    rng = np.random.default_rng(0)
    rbm = RBM.init(rng, 5, 3, scale=1.0)
    x = (rng.random((40, 5)) < 0.5).astype(np.float32)
    there, y = to_device((rbm, x), device)
    for verb in ("free_energy", "log_prob", "hidden_given"):
        found = getattr(there, verb)(y)
        assert type(found) is type(y) and found.dtype == np.float32
        np.testing.assert_allclose(to_host(found), getattr(rbm, verb)(x), rtol=1e-4)
    for draw in ("sample", "exact_sample"):
        found = getattr(there, draw)(6, np.random.default_rng(1))
        assert type(found) is type(y) and found.dtype == np.float32
        np.testing.assert_array_equal(to_host(found), getattr(rbm, draw)(6, np.random.default_rng(1)))
    for method in ("cd", "pcd", "exact"):
        fitted = RBM.fit(y, rng=np.random.default_rng(2), hidden=3, method=method, steps=3, batch_size=10, progress=False)
        assert all(type(a) is type(y) and a.dtype == np.float32 for a in tree.leaves(fitted))


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.full((8, 2), 0.5), {}, "values other than 0 and 1"),
        (np.full((8, 2), np.nan), {}, "NaN"),
        (np.zeros(8), {}, "shape"),
        (np.zeros((8, 2)), {"method": "ml"}, "method is 'ml'"),
        (np.zeros((8, 2)), {"hidden": 0}, "hidden is 0"),
        (np.zeros((8, 2)), {"k": 0}, "k is 0"),
        (np.zeros((8, 2)), {"batch_size": 0}, "batch_size is 0"),
        (np.zeros((8, 21)), {"hidden": 21, "method": "exact"}, "smaller layer has 21 units"),
    ],
)
def test_fit_names_what_is_wrong(x, settings, message):
    with pytest.raises(ValueError, match=message):
        RBM.fit(x, rng=np.random.default_rng(0), steps=2, progress=False, **settings)


def test_begins_at_small_weights_and_chains_at_fair_coins():
    rng = np.random.default_rng(0)
    rbm = RBM.init(rng, 100, 80, scale=0.2)
    assert abs(np.std(rbm.weight) / 0.2 - 1) < 4.9 / np.sqrt(2 * 8000) and not np.any(rbm.visible) and not np.any(rbm.hidden)
    begun = rbm.sample(500, rng, sweeps=0)
    assert set(np.unique(begun)) == {0, 1} and abs(np.mean(begun) - 0.5) < 4.9 * 0.5 / np.sqrt(begun.size)


def test_the_largest_layer_is_enumerated_still(monkeypatch):
    monkeypatch.setattr("minigen.models.rbm.LARGEST", 3)
    assert np.isfinite(machine(5, 3)[0].log_z()) and np.isfinite(machine(3, 5)[0].log_z())
    with pytest.raises(ValueError, match="4 units"):
        machine(4, 5)[0].log_z()


def test_large_machines_say_what_to_use_instead():
    rbm = RBM.init(np.random.default_rng(0), 30, 25)
    for call in (rbm.log_z, lambda: rbm.log_prob(np.zeros((1, 30), np.float32)), lambda: rbm.exact_sample(1, np.random.default_rng(0))):
        with pytest.raises(ValueError, match=r"25 units.*minigen\.metrics\.ais"):
            call()
    with pytest.raises(ValueError, match=r"v has shape"):
        rbm.free_energy(np.zeros((2, 3), np.float32))
    small = machine(3, 2)[0]
    for v, words in ((np.full((1, 3), 0.5), "values other than 0 and 1"), (np.full((1, 3), np.nan), "NaN"), (np.zeros(3), "shape")):
        with pytest.raises(ValueError, match=f"v h.*{words}"):
            small.log_prob(v)
    with pytest.raises(ValueError, match="sweeps"):
        small.sample(1, np.random.default_rng(0), sweeps=-1)
    with pytest.raises(TypeError, match="rng"):
        small.exact_sample(1, 0)
    with pytest.raises(TypeError, match="int64"):
        RBM.fit(np.zeros((8, 2), np.int64), rng=np.random.default_rng(0), progress=False)
