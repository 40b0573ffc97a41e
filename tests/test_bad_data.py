"""What a fitted model says of data that do not fit it: an error that names the argument, never a number."""

import numpy as np
import pytest

from minigen.distributions import Independent, Normal
from minigen.models import (
    CRF,
    DDPM,
    EBM,
    HMM,
    MADE,
    MAF,
    NCE,
    RBM,
    ContinuousFlow,
    FlowMatching,
    Glow,
    NeuralSplineFlow,
    NGram,
    PixelCNN,
    PixelRNN,
    RealNVP,
    RNNLanguageModel,
    ScoreSDE,
    TransformerLM,
)
from minigen.models.noising import cosine_betas, cosine_from, linear_betas
from minigen.models.score_matching import fit_score
from minigen.models.score_sde import VE, VP

RNG = lambda: np.random.default_rng(0)
X = RNG().random((16, 2))
IMAGES = RNG().random((16, 4, 4, 1))
BRIEF = {"rng": RNG(), "steps": 1, "progress": False}


def refuses(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


def spoiled(x):
    """x with one NaN."""
    x = x.copy()
    x.flat[-1] = np.nan
    return x


# ---- Flows ----
FLOWS = {
    RealNVP: (X, {"layers": 2, "hidden": (4,)}),
    MAF: (X, {"layers": 2, "hidden": (4,)}),
    NeuralSplineFlow: (X, {"layers": 2, "hidden": (4,)}),
    Glow: (IMAGES, {"depth": 1, "width": 4}),
    ContinuousFlow: (X, {"width": 4, "blocks": 1, "ode_steps": 2}),
    FlowMatching: (X, {"width": 4, "blocks": 1, "ode_steps": 2}),
}


@pytest.mark.parametrize("cls", FLOWS)
def test_flows(cls):
    x, settings = FLOWS[cls]
    cases = (x.tolist(), "x is list"), (x.ravel(), "x has shape"), (spoiled(x), "x has NaN"), ((9 * x).astype(int), "x is int64")
    for bad, words in cases:
        refuses(lambda bad=bad: cls.fit(bad, **settings, **BRIEF), words)
    model, z = cls.fit(x, **settings, **BRIEF), np.zeros((3, x[0].size))
    for verb in (model.log_prob, model.encode):
        for bad, words in ((x.tolist(), "list"), (x.ravel(), "has shape"), (x[:, :1], "shape"), (spoiled(x), "has NaN"), (x > 0, "bool")):
            refuses(lambda verb=verb, bad=bad: verb(bad), f"x .*{words}")
    for verb in (model.decode, model.inverse):
        refuses(lambda verb=verb: verb(np.zeros((3, z.shape[1] + 5))), "z has shape")
    refuses(lambda: model.decode(spoiled(z)), "z has NaN")
    refuses(lambda: model.decode(z.tolist()), "z is list")


@pytest.mark.parametrize(
    ("cls", "settings", "words"),
    [
        (NeuralSplineFlow, {"bins": 1000}, "bins is 1000"),
        (NeuralSplineFlow, {"bound": np.inf}, "bound is inf"),
        (ContinuousFlow, {"straight": np.inf}, "straight is inf"),
        (Glow, {"bins": -1}, "bins"),
    ],
)
def test_numbers_of_flows(cls, settings, words):
    refuses(lambda: cls.fit(FLOWS[cls][0], **settings, **BRIEF), words)


# ---- Structured ----
S = RNG().integers(0, 3, (8, 5))
G = RNG().standard_normal((8, 5, 2))


@pytest.mark.parametrize("verb", ["log_prob", "posteriors", "predict"])
def test_hidden_markov_models(verb):
    symbols, normal = HMM.fit(S, 2, rng=RNG(), iterations=2), HMM.fit(G, 2, rng=RNG(), iterations=2)
    for bad, words in ((S.tolist(), "x is list"), (1.0 * S, "x is float64"), (S[0], "x is"), (S - 1, "from -1"), (S + 1, "to 3")):
        refuses(lambda bad=bad: getattr(symbols, verb)(bad), words)
    for bad, words in ((G.tolist(), "is list"), (S, "is int64"), (G[0], "has shape"), (G[..., :1], "has shape"), (spoiled(G), "has NaN")):
        refuses(lambda bad=bad: getattr(normal, verb)(bad), words)


def test_paths_and_draws_of_hidden_markov_models():
    hmm = HMM.fit(S, 2, rng=RNG(), iterations=2)
    for z, words in ((S * 0 - 1, "z has entries from -1"), (S * 0 + 2, "to 2"), (S * 0.0, "z is float64"), (S[:, :2] * 0, "z is int64")):
        refuses(lambda z=z: hmm.log_joint(S, z), words)
    refuses(lambda: hmm.sample(0, RNG()), "n is 0")
    refuses(lambda: hmm.sample(2, RNG(), length=0), "length is 0")
    refuses(lambda: hmm.sample(2, 0), "rng is 0")
    for settings, words in (({"reg": -1.0}, "reg -1"), ({"reg": np.nan}, "reg nan"), ({"tol": np.nan}, "tol is nan")):
        refuses(lambda settings=settings: HMM.fit(G, 2, rng=RNG(), **settings), words)


def test_conditional_random_fields():
    y = S % 2
    crf = CRF.fit(G, y, **BRIEF)
    xs = (G.tolist(), "x is list"), (S, "x is int64"), (G[0], "x has shape"), (G[..., :1], "shape"), (spoiled(G), "x has NaN")
    for x, words in xs:
        for call in (crf.posteriors, crf.predict, lambda x: crf.log_prob(y, x)):
            refuses(lambda x=x, call=call: call(x), words)
    for bad, words in ((y.tolist(), "is list"), (1.0 * y, "is float64"), (y - 1, "from -1"), (y + 1, "to 2"), (y[:, :2], "is int64")):
        refuses(lambda bad=bad: crf.log_prob(bad, G), words)
    refuses(lambda: CRF.fit(G, y, decay=np.nan, **BRIEF), "decay is nan")


# ---- Levels ----
K = RNG().integers(0, 3, (8, 4, 4))
LEVELS = {
    MADE: (K, {"hidden": (4,)}),
    PixelCNN: (K, {"width": 4, "layers": 1}),
    PixelRNN: (K, {"hidden": 4, "features": 4}),
    RNNLanguageModel: (K[0], {"hidden": 4, "features": 4}),
    TransformerLM: (K[0], {"dim": 8, "blocks": 1}),
}


@pytest.mark.parametrize("cls", LEVELS)
def test_models_of_levels(cls):
    k, settings = LEVELS[cls]
    refuses(lambda: cls.fit(k, 3, **settings, **{**BRIEF, "rng": None}), "rng is None")
    model = cls.fit(k, 3, **settings, **BRIEF)
    wrong = (k.tolist(), "list"), (1.0 * k, "float64"), (np.nan * k, "float64"), (k - 1, "from -1"), (k + 1, "to 3"), (k.ravel(), "shape")
    for bad, words in wrong:
        refuses(lambda bad=bad: cls.fit(bad, 3, **settings, **BRIEF), f"k .*{words}")
        refuses(lambda bad=bad: model.log_prob(bad), f"k .*{words}")
    refuses(lambda: model.fill(k.tolist(), k > 0, RNG()), "k is list")
    for known in ((k > 0).tolist(), k, k[:2] > 0):
        refuses(lambda known=known: model.fill(k, known, RNG()), "known is")
    refuses(lambda: model.sample(2, None), "rng is None")


def test_texts():
    text = K.ravel()
    for bad, words in ((text.tolist(), "k is list"), (K[0], "k is of shape"), (1.0 * text, "k is float64"), (text + 1, "to 3")):
        refuses(lambda bad=bad: NGram.fit(bad, 3, order=2), words)
        refuses(lambda bad=bad: NGram.fit(text, 3, order=2).log_prob(bad), words)


def test_heads_are_counted():
    for heads in (0, 2.0):
        refuses(lambda heads=heads: TransformerLM.fit(K[0], 3, dim=8, heads=heads, **BRIEF), "heads is")


def test_contexts_of_a_pixelcnn():
    context = RNG().random((8, 4, 4, 2))
    for bad, words in ((context.tolist(), "is list"), (context[..., 0], "has"), (context[:2], "has shape"), (spoiled(context), "has NaN")):
        refuses(lambda bad=bad: PixelCNN.fit(K, 3, context=bad, width=4, layers=1, **BRIEF), f"context {words}")


# ---- Energies ----
def test_energies():
    ebm, binary = EBM.fit(X, hidden=(4,), **BRIEF), (X > 0.5) * 1.0
    noise = Independent(Normal(np.zeros(2), np.ones(2)))
    for bad, words in ((X.tolist(), "x is list"), (X.ravel(), "x has shape"), (spoiled(X), "x has NaN"), (X > 0, "x is bool")):
        refuses(lambda bad=bad: EBM.fit(bad, hidden=(4,), **BRIEF), words)
        refuses(lambda bad=bad: NCE.fit(bad, ebm, noise, **BRIEF), words)
        refuses(lambda bad=bad: fit_score(ebm, bad, **BRIEF), words)
    for bad, words in ((X.tolist(), "x is list"), (X.ravel(), "x has shape"), (X > 0, "x is bool")):
        refuses(lambda bad=bad: ebm.energy(bad), words)
    nobody = {**BRIEF, "rng": None}
    refuses(lambda: EBM.fit(X, **nobody), "rng is None")
    refuses(lambda: NCE.fit(X, ebm, noise, **nobody), "rng is None")
    refuses(lambda: fit_score(ebm, X, **nobody), "rng is None")
    refuses(lambda: RBM.fit(binary, **nobody), "rng is None")
    refuses(lambda: ebm.sample(2, None), "rng is None")
    for eta in (0.0, -1.0, np.nan, np.inf):
        refuses(lambda eta=eta: EBM.fit(X, hidden=(4,), eta=eta, **BRIEF), "eta is")
        refuses(lambda eta=eta: ebm.sample(2, RNG(), eta=eta), "eta is")


# ---- Diffusion ----
SMALL = {"width": 4, "blocks": 1}


@pytest.mark.parametrize("cls", [DDPM, ScoreSDE])
def test_diffusions(cls):
    model = cls.fit(X, **SMALL, **BRIEF)
    calls = [lambda x: cls.fit(x, **SMALL, **BRIEF)]
    calls += [lambda x: model.elbo(x, RNG()), lambda x: model.q_sample(x, 3, x)] if cls is DDPM else [model.log_prob, model.score]
    for bad, words in ((X.tolist(), "is list"), (X.ravel(), "has shape"), (spoiled(X), "has NaN"), (X > 0, "is bool")):
        for call in calls:
            refuses(lambda call=call, bad=bad: call(bad), f"x {words}")


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (np.array([0.1, 1.2]), "schedule, goes from 0.1 to 1.2"),
        (np.array([0.0, 0.2]), "schedule, goes from 0 to 0.2"),
        (np.array([0.1, np.nan]), "schedule, goes from nan"),
        ([0.1, 0.2], "schedule, is list"),
        (None, "schedule, is NoneType"),
        (np.array([0.1, 0.2], np.float32), "schedule, is float32"),
        (np.array([[0.1, 0.2]]), r"schedule, is float64 of shape \(1, 2\)"),
        ("sine", "schedule is 'sine'"),
    ],
)
def test_schedules_outside_of_0_to_1(schedule, words):
    refuses(lambda: DDPM.fit(X, schedule=schedule, **SMALL, **BRIEF), words)


@pytest.mark.parametrize(
    "sde",
    [
        *(lambda kw=kw: VP(**kw) for kw in ({"beta0": -1.0}, {"beta1": -20.0}, {"beta1": np.nan}, {"start": 0.0}, {"start": 1.0})),
        *(lambda kw=kw: VE(**kw) for kw in ({"sigma0": 0.0}, {"sigma0": 99.0}, {"sigma1": np.inf}, {"start": -0.1}, {"start": 1.0})),
    ],
)
def test_processes_outside_of_their_range(sde):
    refuses(sde, r"V[PE]\(.*expected 0 . (beta|sigma)0 < (beta|sigma)1 < ∞ and start in")


def test_numbers_of_diffusions():
    ddpm, sde = DDPM.fit(X, timesteps=20, y=np.arange(16) % 2, **SMALL, **BRIEF), ScoreSDE.fit(X, **SMALL, **BRIEF)
    refuses(lambda: ScoreSDE.fit(X, sde=None, **SMALL, **BRIEF), "sde is None")
    for t in (-1, 21, 2.5):
        refuses(lambda t=t: ddpm.q_sample(X, t, X), f"t is {t}")
    refuses(lambda: ddpm.q_sample(X, 2, X[:3]), "eps has shape")
    refuses(lambda: ddpm.sample(2, RNG(), y=np.zeros(2, int), guidance=np.nan), "guidance is nan")
    for t in (-0.1, 1.1, np.nan):
        refuses(lambda t=t: sde.score(X, t), f"t is {t}")
    for steps in (0, 2.5):
        refuses(lambda steps=steps: linear_betas(steps), "steps is")
        refuses(lambda steps=steps: cosine_betas(steps), "steps is")
    for sigma in (-1.0, 1.0, np.nan):
        refuses(lambda sigma=sigma: cosine_from(sigma, 20), "sigma is")


def test_no_step_of_training_is_the_network_that_began():
    assert DDPM.fit(X, **SMALL, **{**BRIEF, "steps": 0}).sample(2, RNG(), steps=2).shape == (2, 2)
    refuses(lambda: DDPM.fit(X, **SMALL, **{**BRIEF, "steps": -1}), "steps is -1")
