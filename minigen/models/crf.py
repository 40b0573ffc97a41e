"""Linear-chain conditional random fields.  Lafferty, McCallum & Pereira 2001; Sutton & McCallum 2012, "An introduction to CRFs".

An HMM spends its likelihood on x. Where only labels y₁ … y_T ∈ {1 … K} of given x₁ … x_T ∈ ℝᴰ matter, model them given x. Scores
that need no normalisation, U_t(k) = f(x_t)ₖ of a linear map or a small network, W(j, k) of neighbours and s(k) of the first label:

    S(y, x) = s(y₁) + Σ_{t>1} W(y_{t−1}, y_t) + Σ_t U_t(y_t)                                             (1)
    log p(y|x) = S(y, x) − log Z(x),   Z(x) = Σ_y exp S(y, x)                                            (2)

Z sums over Kᵀ labellings; the recursion of the HMM, which never used that its rows sum to 1, gives it from K² T terms:

    log Z = Σ_t c_t,   c_t = log Σ_k exp (log Σ_j exp(α_{t−1}(j) + W(j, k)) + U_t(k))                    (3)

where α_t is the same before c_t is taken away from it. The partition function's gradient is an expectation, as in every exponential
family; automatic differentiation of (3) therefore runs the backward recursion by itself:

    ∂ log Z / ∂U_t(k) = p(y_t = k | x)                                                                   (4)
    ∂ log Z / ∂W(j, k) = Σ_t p(y_t = j, y_{t+1} = k | x)                                                 (5)

So the gradient of (2) is what was seen less what is expected, and it is concave in (s, W, U). A weight decay λ keeps it from
running off where the labels can be told apart without error:

    loss = −log p(y|x) + ½ λ (‖W‖² + ‖s‖² + ‖θ_f‖²) / n                                                  (6)

The best labelling is Viterbi's on (s, W, U).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import grad
from minigen.backend import array_module, like
from minigen.checks import check_count, check_data, check_rng
from minigen.models.hmm import forward, viterbi
from minigen.nn import MLP
from minigen.optim import Adam
from minigen.train import minimise
from minigen.tree import is_array, leaves, tree_map


# ---- On scores start (K,), pair (K, K), unary (n, T, K) ----
def score(start, pair, unary, y):
    """S(y, x) of labels y (n, T), (n,)."""
    seen = y[..., None] == array_module(y).arange(pair.shape[0])
    return start[y[:, 0]] + np.sum(pair[y[:, :-1], y[:, 1:]], axis=1) + np.sum(unary * seen, axis=(1, 2))  # (1)


def log_partition(start, pair, unary):
    """log Z(x), (n,)."""
    return np.sum(forward(start, pair, unary)[1], axis=1)  # (3)


def marginals(start, pair, unary):
    """(p(y_t = k | x) (n, T, K), the expected number of each pair over all n sequences (K, K)), from the gradient of log Z."""
    d_pair, d_unary = grad(lambda scores: np.sum(log_partition(start, *scores)))((pair, unary))
    return d_unary, d_pair  # (4) (5)


def check_sequences(x, y, classes=None):
    """Raise unless x is (n, T, D) and y (n, T) integers from 0 (below classes); returns the number of classes."""
    check_data(x, rank=3)
    if not is_array(y) or tuple(y.shape) != tuple(x.shape[:2]) or y.dtype.kind not in "iu":
        what = f"{y.dtype} of shape {y.shape}" if is_array(y) else type(y).__name__
        raise ValueError(f"y is {what}; expected integers of shape {tuple(x.shape[:2])}, a label for each step")
    low, high = int(np.min(y)), int(np.max(y))
    if low < 0 or (classes is not None and high >= classes):
        raise ValueError(f"y has labels from {low} to {high}; expected 0 … {'C' if classes is None else classes} − 1")
    return high + 1 if classes is None else classes


@dataclass
class CRF:
    """The model; `features` maps x (n, T, D) to scores (n, T, K). There is no p(x), hence no log_prob(x) and no sample of x.

    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(rng.integers(0, 2, (40, 5)), 4, axis=1)
    >>> x = (y + rng.normal(0, 1, y.shape))[..., None]
    >>> crf = CRF.fit(x, y, rng=rng, steps=200, progress=False)
    >>> bool((crf.predict(x) == y).mean() > 0.8 > ((x[..., 0] > 0.5) == y).mean())
    True
    """

    start: Any
    pair: Any
    features: Any

    @classmethod
    def init(cls, rng, features, classes, hidden=(), dtype=np.float32):
        """Scores of neighbours 0, and a linear map of x, or a network with hidden widths."""
        check_count("classes", classes)
        network = MLP.init(rng, [features, *hidden, classes], output_gain=0.1, dtype=dtype)
        return cls(np.zeros(classes, dtype), np.zeros((classes, classes), dtype), network)

    def scores(self, x):
        """(s, W, U)."""
        return self.start, self.pair, self.features(x)

    def density(self, y, x):
        """log p(y|x) of data that fit."""
        scores = self.scores(x)
        return score(*scores, y) - log_partition(*scores)  # (2)

    def log_prob(self, y, x):
        """log p(y|x) of labels y (n, T), (n,) nats."""
        check_sequences(x, y, self.start.shape[0])
        return self.density(y, x)

    def posteriors(self, x):
        """p(y_t = k | x), (n, T, K)."""
        check_data(x, rank=3)
        return marginals(*self.scores(x))[0]

    def predict(self, x):
        """The most probable labelling, (n, T)."""
        check_data(x, rank=3)
        return viterbi(*self.scores(x))

    @classmethod
    def fit(cls, x, y, *, rng, hidden=(), classes=None, decay=0.1, steps=500, batch_size=32, optimizer=None, **training):
        """Maximise log p(y|x) of labelled sequences by Adam; the rest goes to `minigen.train.minimise`.

        Raises TypeError or ValueError for data that does not fit. classes: by default the largest label plus one.
        """
        check_rng(rng)
        if not 0 <= decay < math.inf:
            raise ValueError(f"decay is {decay}; expected a finite number ≥ 0")
        classes, n = check_sequences(x, y, classes), x.shape[0]
        model = tree_map(lambda w: like(x, w), cls.init(rng, x.shape[2], classes, hidden, x.dtype))

        def loss(model, batch, rng):
            penalty = sum(np.sum(w * w) for w in leaves(model))
            return 0.5 * decay / n * penalty - model.density(batch["y"], batch["x"])  # (6)

        optimizer = optimizer or Adam(1e-2)
        return minimise(loss, model, {"x": x, "y": y}, rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer, **training)[0]
