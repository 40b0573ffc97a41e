"""What long sampling shows, and that Ctrl-C in training keeps every model as it was then."""

import signal
import sys
import time

import numpy as np
import pytest
import tqdm

from minigen import train, tree
from minigen.metrics import ais, bidirectional_ais, raise_ais, rbm_path, reverse_ais
from minigen.models import (
    DDPM,
    EBM,
    GAN,
    HMM,
    MADE,
    MAF,
    RBM,
    VQVAE,
    VQVAE2,
    WGAN,
    ConditionalGAN,
    ContinuousFlow,
    DAGPosterior,
    MixtureMeans,
    PixelCNN,
    PixelRNN,
    RNNLanguageModel,
    ScoreSDE,
    TransformerLM,
)
from minigen.models.inference import hmc, metropolis
from minigen.optim import EMA, Adam
from minigen.progress import shown

RNG = np.random.default_rng(0)
X = RNG.standard_normal((32, 2)).astype(np.float32)
K = RNG.integers(2, size=(32, 4))
IMAGES = RNG.integers(2, size=(32, 4, 4))
COLOURS = IMAGES[..., None].astype(np.float32)
ADAM = Adam(1e-2)

# name: fit(**training), of settings that do not depend on the number of steps
FITS = {
    "GAN": lambda **t: GAN.fit(X, hidden=(4,), latent=2, batch_size=8, optimizers=[ADAM, ADAM], ema=None, **t),
    "conditional GAN": lambda **t: ConditionalGAN.fit(
        X, K[:, 0], hidden=(4,), latent=2, batch_size=8, optimizers=[ADAM, ADAM], ema=EMA(0.5), **t
    ),
    "WGAN": lambda **t: WGAN.fit(X, hidden=(4,), latent=2, batch_size=8, n_critic=2, optimizer=ADAM, **t),
    "RBM": lambda **t: RBM.fit(K.astype(np.float32), hidden=3, batch_size=8, optimizer=ADAM, **t),
    "EBM": lambda **t: EBM.fit(X, hidden=(4,), batch_size=8, k=2, optimizer=ADAM, **t),
    "RNN": lambda **t: RNNLanguageModel.fit(K, 2, hidden=4, features=4, batch_size=8, optimizer=ADAM, **t),
    "transformer": lambda **t: TransformerLM.fit(K, 2, dim=8, blocks=1, batch_size=8, optimizer=ADAM, **t),
    "MADE": lambda **t: MADE.fit(K, 2, hidden=(8,), batch_size=8, optimizer=ADAM, **t),
    "PixelCNN": lambda **t: PixelCNN.fit(IMAGES, 2, width=4, layers=1, batch_size=8, optimizer=ADAM, **t),
    "PixelRNN": lambda **t: PixelRNN.fit(IMAGES, 2, hidden=4, features=4, batch_size=8, optimizer=ADAM, **t),
    "MAF": lambda **t: MAF.fit(X, layers=3, hidden=(4,), batch_size=8, optimizer=ADAM, **t),
    "continuous flow": lambda **t: ContinuousFlow.fit(X, width=4, blocks=1, ode_steps=2, batch_size=8, optimizer=ADAM, **t),
    "score SDE": lambda **t: ScoreSDE.fit(X, width=4, blocks=1, batch_size=8, optimizer=ADAM, ema=EMA(0.5), **t),
    "DDPM": lambda **t: DDPM.fit(X, timesteps=30, width=8, blocks=1, batch_size=8, optimizer=ADAM, ema=EMA(0.5), **t),
}


@pytest.fixture
def bars(monkeypatch):
    """A terminal, on which (label, number of steps) of every bar are noted in the place of showing it."""
    noted = []

    def bar(items, desc, **settings):
        noted.append((desc, len(items)))
        return items

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(tqdm, "tqdm", bar)
    return noted


# ---- Sampling ----
def test_a_bar_only_on_a_terminal_and_only_for_what_is_slow(monkeypatch, capsys):
    assert list(shown([3, 1])) == [3, 1] and list(shown(range(3), "chains")) == [0, 1, 2]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(shown(range(3))) == [0, 1, 2] and list(shown(range(3), False)) == [0, 1, 2]
    assert capsys.readouterr().err == "", "no terminal, or no time"
    for _ in shown(range(2), "chains"):
        time.sleep(0.6)
    assert "chains: 100%" in capsys.readouterr().err


def test_elsewhere_a_line_now_and_then_and_only_for_what_is_slow(monkeypatch, capsys):
    monkeypatch.setattr("minigen.progress.time.perf_counter", iter([0.0, 4.0, 11.0, 11.0, 12.0, 20.0, 22.0, 22.0, 23.0]).__next__)
    assert list(shown(range(6), "chains")) == [0, 1, 2, 3, 4, 5]
    assert capsys.readouterr().err == "chains: step 1/6\nchains: step 4/6\n", "ten seconds after the last one"
    assert list(shown(range(2), False)) == [0, 1]


def test_annealing_shows_its_temperatures(bars):
    rng, rbm = np.random.default_rng(0), FITS["RBM"](rng=np.random.default_rng(0), steps=1, progress=False)
    path, v = rbm_path(rbm), rbm.exact_sample(3, rng)
    ais(path, 5, 2, rng=rng)
    reverse_ais(path, v, 6, rng=rng, progress="back")
    raise_ais(path, v, 7, 2, rng=rng)
    bidirectional_ais(path, v, 8, rng=rng, progress=False)
    assert bars == [("anneal", 5), ("back", 6), ("anneal", 7)]


def test_chains_for_a_posterior_show_their_steps(bars):
    model, rng = MixtureMeans(X[:, 0], np.full(2, 0.5, np.float32)), np.random.default_rng(0)
    metropolis(model.log_joint, X[:3], 0.1, 4, rng)
    hmc(model.log_joint, X[:3], 0.1, 2, 5, rng, progress="HMC")
    hmc(model.log_joint, X[:3], 0.1, 2, 5, rng, progress=False)
    assert bars == [("chain", 4), ("HMC", 5)]


def test_densities_by_an_equation_and_bounds_show_their_steps(bars):
    FITS["score SDE"](rng=np.random.default_rng(0), steps=1, progress=False).log_prob(X[:2])
    FITS["continuous flow"](rng=np.random.default_rng(0), steps=1, progress=False).log_prob(X[:2])
    assert {name for name, _ in bars} == {"ODE"} and [n for _, n in bars][:2] == [16, 32] and bars[-1][1] in (4, 8, 16)
    del bars[:]
    model = FITS["DDPM"](rng=np.random.default_rng(0), steps=1, progress=False)
    model.elbo(X, np.random.default_rng(0))
    model.elbo(X, np.random.default_rng(0), progress=False)
    assert bars == [("bound", 30)]


def test_graphs_show_their_sums_and_draws(bars):
    posterior = DAGPosterior.fit(K)
    posterior.uniform_edges(5, np.random.default_rng(0))
    posterior.sample(6, np.random.default_rng(0), progress="graphs")
    DAGPosterior.fit(K, progress=False).uniform_edges(5, np.random.default_rng(0), progress=False)
    assert bars == [("sums", 4), ("sums", 15), ("sums", 15), ("sample", 5), ("orders", 5), ("graphs", 6)], "families, sets, sets"


@pytest.mark.parametrize(
    ("name", "settings", "steps"),
    [
        ("RBM", {"sweeps": 7}, 7),
        ("EBM", {"steps": 6}, 6),
        ("RNN", {"length": 5}, 5),
        ("transformer", {}, 4),
        ("MADE", {}, 4),
        ("PixelCNN", {}, 4),
        ("PixelRNN", {}, 4),
        ("MAF", {}, 3),
        ("continuous flow", {}, 8),
        ("score SDE", {}, 32),
        ("score SDE", {"solver": "ode", "steps": 3}, 3),
        ("score SDE", {"solver": "pc", "steps": 4}, 4),
        ("DDPM", {}, 30),
        ("DDPM", {"sampler": "ddim", "steps": 5}, 5),
    ],
)
def test_sampling_shows_its_steps_and_training_shows_none_of_them(name, settings, steps, bars):
    model = FITS[name](rng=np.random.default_rng(0), steps=2, progress=False)
    assert bars == []
    sample = model.sample(2, np.random.default_rng(1), **settings)
    assert bars == [("sample", steps)]
    np.testing.assert_array_equal(model.sample(2, np.random.default_rng(1), **settings, progress=False), sample)
    assert len(bars) == 1
    model.sample(2, np.random.default_rng(1), **settings, progress="digits")
    assert bars[1:] == [("digits", steps)]


@pytest.mark.parametrize("name", ["RNN", "transformer", "MADE", "PixelCNN", "PixelRNN"])
def test_filling_shows_its_steps_too(name, bars):
    model, k = FITS[name](rng=np.random.default_rng(0), steps=1, progress=False), IMAGES if name.startswith("Pixel") else K
    model.fill(k, k > 0, np.random.default_rng(0), progress=False)
    model.fill(k, k > 0, np.random.default_rng(0), progress="rest")
    assert bars == [("rest", 4)]


def test_priors_of_codes_and_kept_chains_show_theirs(bars):
    rng = np.random.default_rng(0)
    settings = {"rng": rng, "steps": 1, "prior_steps": 1, "progress": False}
    one = VQVAE.fit(COLOURS, size=2, width=2, widths=(4,), **settings)
    two = VQVAE2.fit(COLOURS, sizes=(2, 2), width=2, widths=(4,), top_widths=(4,), **settings)
    for model in (one, two):
        model.sample(2, rng, progress=False)
        model.sample(2, rng)
    assert bars == [("sample", 2), ("sample", 1), ("sample", 2)], "rows of codes; the top's before the bottom's"
    ebm = FITS["EBM"](rng=rng, steps=1, progress=False)
    assert ebm.chains(3, rng, steps=9).draws.shape == (9, 3, 2) and bars[3:] == [("sample", 9)]


# ---- Training ----
def test_ctrl_c_in_em_keeps_the_model_of_the_round_before(monkeypatch, capsys):
    fit = lambda rounds: HMM.fit(K, 2, rng=np.random.default_rng(0), iterations=rounds, tol=-1.0, progress=False)
    expected, em_step, rounds = fit(3), HMM.em_step, []

    def pressed(self, x):
        rounds.append(len(rounds))
        if len(rounds) == 4:
            signal.raise_signal(signal.SIGINT)
        return em_step(self, x)

    monkeypatch.setattr(HMM, "em_step", pressed)
    found = fit(9)
    assert "Ctrl-C after round 4 of 9" in capsys.readouterr().err and len(found.history) == 4
    np.testing.assert_array_equal(found.log_transition, expected.log_transition)


def test_em_shows_its_rounds(bars):
    HMM.fit(K, 2, rng=np.random.default_rng(0), iterations=5, tol=-1.0)
    HMM.fit(K, 2, rng=np.random.default_rng(0), iterations=5, tol=-1.0, progress=False)
    assert bars == [("EM", 5)]


@pytest.mark.parametrize("name", FITS)
def test_ctrl_c_keeps_the_model_of_the_step_that_was_running(name, monkeypatch, capsys):
    expected = FITS[name](rng=np.random.default_rng(0), steps=4, progress=False)
    order = train.batch_order

    def interrupted(*args):
        batch = order(*args)

        def press(t):
            if t == 3:
                signal.raise_signal(signal.SIGINT)
            return batch(t)

        return press

    monkeypatch.setattr(train, "batch_order", interrupted)
    found = FITS[name](rng=np.random.default_rng(0), steps=9, progress=False)
    assert "Ctrl-C after step 4 of 9" in capsys.readouterr().err
    for a, b in zip(tree.leaves(found), tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
