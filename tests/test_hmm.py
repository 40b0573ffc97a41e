"""Hidden Markov models against the enumeration of every path, finite sums over all sequences, and EM's own fixed point."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from minigen import grad
from minigen.backend import to_device, to_host
from minigen.models.hmm import HMM, CategoricalEmission, GaussianEmission, forward

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score
KINDS = ["symbols", "gaussian"]


def small(kind, k=3, seed=0, dtype=np.float64):
    """A random model of k states, and data (3, 4) for it."""
    rng = np.random.default_rng(seed)
    if kind == "symbols":
        emission, x = CategoricalEmission(np.log(rng.dirichlet(np.ones(4), k)).astype(dtype)), rng.integers(0, 4, (3, 4))
    else:
        emission = GaussianEmission(rng.normal(size=(k, 2)).astype(dtype), rng.uniform(0.3, 2, (k, 2)).astype(dtype))
        x = rng.normal(size=(3, 4, 2)).astype(dtype)
    return HMM(np.log(rng.dirichlet(np.ones(k))).astype(dtype), np.log(rng.dirichlet(np.ones(k), k)).astype(dtype), emission, 4), x


def every_path(hmm, x):
    """(paths (K^T, T), log p(x, z) (n, K^T)), one term after the other."""
    k, (n, length) = hmm.log_initial.shape[0], x.shape[:2]
    paths = np.array(list(itertools.product(range(k), repeat=length)))
    out = np.zeros((n, len(paths)))
    for i, p in itertools.product(range(n), range(len(paths))):
        for t, z in enumerate(paths[p]):
            if isinstance(hmm.emission, CategoricalEmission):
                out[i, p] += hmm.emission.log_probs[z, x[i, t]]
            else:
                out[i, p] += norm(hmm.emission.means[z], np.sqrt(hmm.emission.variances[z])).logpdf(x[i, t]).sum()
            out[i, p] += hmm.log_transition[paths[p, t - 1], z] if t else hmm.log_initial[z]
    return paths, out


@pytest.mark.verifies("hmm.1", "hmm.2", "hmm.4")
@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_is_the_sum_over_paths(kind):
    hmm, x = small(kind)
    paths, joint = every_path(hmm, x)
    np.testing.assert_allclose(hmm.log_prob(x), logsumexp(joint, axis=1))
    for p in (0, 17, 80):
        np.testing.assert_allclose(hmm.log_joint(x, np.tile(paths[p], (3, 1))), joint[:, p])


def test_log_prob_sums_to_one_over_all_sequences():
    hmm, _ = small("symbols")
    assert np.exp(hmm.log_prob(np.array(list(itertools.product(range(4), repeat=5))))).sum() == pytest.approx(1)


def test_the_density_of_gaussian_sequences_integrates_to_one():
    hmm, _ = small("gaussian")
    side = np.linspace(-8, 8, 25)
    grid = np.stack(np.meshgrid(side, side, side, side), axis=-1).reshape(-1, 2, 2)  # two steps of two coordinates
    assert np.exp(hmm.log_prob(grid)).sum() * (side[1] - side[0]) ** 4 == pytest.approx(1, abs=2e-3)


@pytest.mark.verifies("hmm.3")
def test_forward_gives_the_filtered_states():
    hmm, x = small("symbols")
    alphas, c = forward(hmm.log_initial, hmm.log_transition, hmm.emission.log_prob(x))
    for t in range(4):
        paths, joint = every_path(hmm, x[:, : t + 1])
        weight = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        filtered = np.stack([weight[:, paths[:, t] == j].sum(1) for j in range(3)], axis=1)
        np.testing.assert_allclose(np.exp(alphas[t]), filtered)
        np.testing.assert_allclose(c[:, : t + 1].sum(1), logsumexp(joint, axis=1))


@pytest.mark.verifies("hmm.5", "hmm.6")
@pytest.mark.parametrize("kind", KINDS)
def test_posteriors_and_best_path_by_enumeration(kind):
    hmm, x = small(kind, seed=1)
    paths, joint = every_path(hmm, x)
    weight = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    expected = np.stack([weight @ (paths == j) for j in range(3)], axis=-1)
    np.testing.assert_allclose(hmm.posteriors(x), expected)


@pytest.mark.verifies("hmm.8")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_viterbi_finds_the_best_path(kind, seed):
    hmm, x = small(kind, seed=seed)
    paths, joint = every_path(hmm, x)
    np.testing.assert_array_equal(hmm.predict(x), paths[joint.argmax(1)])


@pytest.mark.verifies("hmm.7", "hmm.9", "hmm.10", "hmm.11")
@pytest.mark.parametrize("kind", KINDS)
def test_em_step_is_that_of_enumerated_paths(kind):
    hmm, x = small(kind, seed=2)
    paths, joint = every_path(hmm, x)
    weight = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    initial, transition = np.zeros(3), np.zeros((3, 3))
    for p, w in zip(paths, weight.sum(0), strict=True):
        initial[p[0]] += w
        np.add.at(transition, (p[:-1], p[1:]), w)
    new, log_p = hmm.em_step(x)
    assert log_p == pytest.approx(logsumexp(joint, axis=1).mean())
    np.testing.assert_allclose(np.exp(new.log_initial), initial / initial.sum())
    np.testing.assert_allclose(np.exp(new.log_transition), transition / transition.sum(1, keepdims=True))
    gamma = np.stack([weight @ (paths == j) for j in range(3)], axis=-1)
    if kind == "symbols":
        counts = np.stack([(gamma * (x == v)[..., None]).sum((0, 1)) for v in range(4)], axis=1)
        np.testing.assert_allclose(np.exp(new.emission.log_probs), counts / counts.sum(1, keepdims=True))
    else:
        for j in range(3):
            w, rows = gamma[:, :, j].ravel(), x.reshape(-1, 2)
            mean = np.average(rows, axis=0, weights=w)
            np.testing.assert_allclose(new.emission.means[j], mean)
            np.testing.assert_allclose(new.emission.variances[j], np.average((rows - mean) ** 2, axis=0, weights=w) + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_em_never_falls_and_ends_where_the_gradient_vanishes(kind):
    truth, _ = small(kind, k=2, seed=3)
    x = truth.sample(60, np.random.default_rng(0), length=20)
    hmm = HMM.fit(x, 2, rng=np.random.default_rng(1), iterations=400, tol=1e-12, reg=0.0)
    assert (np.diff(hmm.history) > -1e-9).all() and len(hmm.history) > 5
    assert hmm.history[-1] > truth.log_prob(x).mean() - 0.05, "the maximum lies above the truth (a local one near it would do)"
    g = grad(lambda m: np.mean(m.log_prob(x)))(hmm)
    along = lambda row, p: row - np.exp(p) * np.sum(row, axis=-1, keepdims=True)  # logits: what rows that sum to 1 can still gain
    assert np.abs(along(g.log_transition, hmm.log_transition)).max() < 1e-3
    if kind == "symbols":
        assert np.abs(along(g.emission.log_probs, hmm.emission.log_probs)).max() < 1e-3
    else:
        assert np.abs(g.emission.means).max() < 1e-3 and np.abs(g.emission.variances).max() < 1e-3


def test_gaussian_states_begin_at_clusters():
    rng = np.random.default_rng(0)
    x = (5.0 * rng.integers(0, 3, (10, 20)) + 0.1 * rng.standard_normal((10, 20)))[..., None]
    np.testing.assert_allclose(np.sort(HMM.fit(x, 3, rng=rng, iterations=25).emission.means[:, 0]), [0, 5, 10], atol=0.3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_sequences_keep_their_digits(dtype):
    hmm, _ = small("symbols", dtype=dtype)
    x = hmm.sample(2, np.random.default_rng(0), length=5000)
    p, b = np.exp(hmm.log_transition.astype(float)), np.exp(hmm.emission.log_probs.astype(float))
    for row, found in zip(x, hmm.log_prob(x), strict=True):
        a, total = np.exp(hmm.log_initial.astype(float)) * b[:, row[0]], 0.0
        for symbol in row[1:]:
            total, a = total + np.log(a.sum()), (a / a.sum()) @ p * b[:, symbol]
        assert found == pytest.approx(total + np.log(a.sum()), rel=1e-5 if dtype == np.float32 else 1e-12)
    gamma = hmm.posteriors(x)
    assert gamma.dtype == dtype and np.abs(gamma.sum(-1) - 1).max() < (1e-2 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_models_moments(kind):
    hmm, _ = small(kind, seed=4)
    n, rng = 40_000, np.random.default_rng(0)
    z = hmm.sample_states(n, rng, 3)
    p = np.exp(hmm.log_initial)
    for t in range(3):
        np.testing.assert_array_less(np.abs((z[:, t, None] == np.arange(3)).mean(0) - p), Z * np.sqrt(p * (1 - p) / n))
        p = p @ np.exp(hmm.log_transition)
    x = hmm.emission.sample(z, rng)
    for j in range(3):
        found = x[z == j]
        if kind == "symbols":
            q = np.exp(hmm.emission.log_probs[j])
            np.testing.assert_array_less(np.abs(np.bincount(found, minlength=4) / len(found) - q), Z * np.sqrt(q * (1 - q) / len(found)))
        else:
            v = hmm.emission.variances[j]
            np.testing.assert_array_less(np.abs(found.mean(0) - hmm.emission.means[j]), Z * np.sqrt(v / len(found)))
            np.testing.assert_array_less(np.abs(found.var(0) / v - 1), Z * np.sqrt(2 / len(found)))
    assert hmm.sample(2, rng).shape[:2] == (2, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_same_on_every_device_in_float32(kind, device):
    hmm, x = small(kind, dtype=np.float32)
    there, y = to_device(hmm, device), to_device(x, device)
    for verb in ("log_prob", "posteriors", "predict"):
        found, here = getattr(there, verb)(y), getattr(hmm, verb)(x)
        assert type(found) is type(y) and found.dtype == here.dtype
        assert found.dtype == np.float32 or verb == "predict"
        np.testing.assert_allclose(to_host(found), here, rtol=1e-4, atol=1e-6)
    step, _ = there.em_step(y)
    np.testing.assert_allclose(to_host(step.log_transition), hmm.em_step(x)[0].log_transition, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        to_host(there.sample(3, np.random.default_rng(0))), hmm.sample(3, np.random.default_rng(0)), rtol=1e-4, atol=1e-5
    )
    assert type(HMM.fit(y, 2, rng=np.random.default_rng(0), iterations=2).log_transition) is type(there.log_transition)


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.zeros(4, int), {}, r"x has shape \(4,\); expected symbols"),
        (np.full((2, 3), -1), {}, "integers from 0"),
        (np.full((2, 3), 7), {"levels": 5}, "below levels = 5"),
        (np.zeros((2, 3)), {}, r"floats \(n, T, D\)"),
        (np.full((2, 3, 1), np.nan), {}, "expected finite"),
        (np.zeros((2, 3), int), {"k": 0}, "k is 0"),
        (np.zeros((2, 3), int), {"rng": 0}, "rng is 0"),
        (np.zeros((1, 1, 2)), {}, "n T ≥ k"),
        ([[0, 1]], {}, "expected a floating-point array"),
    ],
)
def test_bad_input_is_named(x, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        HMM.fit(x, **{"k": 2, "rng": np.random.default_rng(0), **settings})


def test_data_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"expected integers \(n, T\) in 0 … 3"):
        small("symbols")[0].log_prob(np.full((2, 3), 4))
    with pytest.raises(ValueError, match=r"expected \(n, T, 2\)"):
        small("gaussian")[0].log_prob(np.zeros((2, 3, 3)))
