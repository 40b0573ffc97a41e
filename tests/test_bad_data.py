"""What a fitted model says of data that do not fit it: an error that names the argument, never a number."""

import numpy as np
import pytest

from minigen.models import CRF, HMM, MAF, ContinuousFlow, FlowMatching, Glow, NeuralSplineFlow, RealNVP

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
