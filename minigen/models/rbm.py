"""Restricted Boltzmann machine.  Smolensky 1986, "Information processing in dynamical systems"; Hinton 2002, "Training products of
experts by minimizing contrastive divergence"; Tieleman 2008, "Training RBMs using approximations to the likelihood gradient".

Notation: v ∈ {0, 1}ᴰ the visible units, h ∈ {0, 1}ᴴ the hidden ones, θ = (W, a, b) with W (D, H); σ is the sigmoid; [vᵀW]ⱼ = Σᵢ vᵢ Wᵢⱼ.

    E(v, h) = −aᵀv − bᵀh − vᵀW h,   p(v, h) = e^(−E(v, h)) / Z                                           (1)
    F(v) = −log Σₕ e^(−E(v, h)) = −aᵀv − Σⱼ softplus(bⱼ + [vᵀW]ⱼ),   p(v) = e^(−F(v)) / Z                (2)
    P(hⱼ = 1 | v) = σ(bⱼ + [vᵀW]ⱼ)                                                                      (3)
    P(vᵢ = 1 | h) = σ(aᵢ + [W h]ᵢ)                                                                      (4)

E is symmetric in the two layers: (Wᵀ, b, a) is the same machine with its layers exchanged. So Z is a sum over the smaller one,

    log Z = log Σᵥ e^(−F(v)) = log Σₕ e^(−F′(h)),   F′ the free energy of (Wᵀ, b, a)                     (5)
    log p(v) = −F(v) − log Z,                                                                           (6)

which is possible to about 20 units; the same sum gives exact draws, a state of the smaller layer first, then the other by (3) or (4).
The gradient of the likelihood has a phase for the data and one for the model; the second is what is hard:

    −∂/∂θ E_data log p(v) = E_data ∂F(v)/∂θ − E_p ∂F(v)/∂θ                                              (7)

Contrastive divergence takes for E_p the draws v⁻ after k Gibbs sweeps v → h → v from the data, persistent contrastive divergence those
of chains that go on from step to step. Both follow, with v⁻ held constant, the slope of

    L = F(v) − F(v⁻)                                                                                    (8)

CD's v⁻ are too near the data, so that it is biased; a sweep is reversible in v and leaves p(v) as it is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.backend import array_module, like, normal, uniform
from minigen.checks import check_binary, check_choice, check_columns, check_count, check_rng
from minigen.functions import logsumexp, sigmoid, softplus
from minigen.optim import Adam, cosine
from minigen.progress import shown
from minigen.train import Learner, run

LARGEST = 20  # units of the smaller layer whose states are enumerated
METHODS = ("cd", "pcd", "exact")


def binary_states(n, x):
    """All 2ⁿ states (2ⁿ, n) of n binary units, in the library and dtype of x.

    >>> binary_states(2, np.zeros(1))
    array([[0., 0.],
           [0., 1.],
           [1., 0.],
           [1., 1.]])
    """
    return like(x, np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1) & 1)


def bernoulli(p, rng):
    """1 where u < p, else 0."""
    return (uniform(rng, p.shape, p) < p).astype(p.dtype)


def draw_rows(log_weights, n, rng):
    """n rows i with probability ∝ exp(log_weights[i])."""
    xp = array_module(log_weights)
    total = np.cumsum(np.exp(log_weights - logsumexp(log_weights)))
    return np.minimum(xp.searchsorted(total, uniform(rng, (n,), total) * total[-1], side="right"), len(total) - 1)


def contrastive_loss(model, v, negative):
    """L (n,) for data v and as many draws of a chain, which are constants."""
    return model.free_energy(v) - model.free_energy(negative)  # (8)


@dataclass
class RBM:
    """The machine: data are floats (n, D), each 0 or 1.

    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(rng.integers(0, 2, (1000, 1)), 4, axis=1).astype(np.float64)  # four pixels that agree
    >>> rbm = RBM.fit(x, hidden=3, rng=rng, steps=1000, progress=False)
    >>> bool(-np.mean(rbm.log_prob(x)) < 1), rbm.sample(2, rng).shape  # of a least of log 2 = 0.69 nats
    (True, (2, 4))
    """

    weight: Any  # W (D, H)
    visible: Any  # a (D,)
    hidden: Any  # b (H,)

    @classmethod
    def init(cls, rng, visible, hidden, scale=0.05, dtype=np.float32):
        """Small random weights, N(0, scale²), and biases of 0."""
        check_rng(rng)
        check_count("visible", visible)
        check_count("hidden", hidden)
        zeros = np.zeros(visible + hidden, dtype)
        return cls(scale * normal(rng, (visible, hidden), zeros), zeros[:visible], zeros[visible:])

    def energy(self, v, h):
        """E(v, h) (n,) of v (n, D) and h (n, H)."""
        check_columns(v, self.visible.shape[0], "v")
        check_columns(h, self.hidden.shape[0], "h")
        return -(v @ self.visible) - h @ self.hidden - np.sum((v @ self.weight) * h, axis=1)  # (1)

    def free_energy(self, v):
        """F(v) (n,) of v (n, D), nats: −log p(v) but for a constant."""
        check_columns(v, self.visible.shape[0], "v")
        return -(v @ self.visible) - np.sum(softplus(v @ self.weight + self.hidden), axis=1)  # (2)

    def hidden_given(self, v):
        """P(h = 1 | v), (n, H)."""
        return sigmoid(v @ self.weight + self.hidden)  # (3)

    def visible_given(self, h):
        """P(v = 1 | h), (n, D)."""
        return sigmoid(h @ self.weight.T + self.visible)  # (4)

    def gibbs(self, v, rng, sweeps=1, progress=False):
        """v (n, D) after so many sweeps v → h → v."""
        for _ in shown(range(sweeps), progress):
            v = bernoulli(self.visible_given(bernoulli(self.hidden_given(v), rng)), rng)
        return v

    def exchanged(self):
        """The same machine with its layers exchanged."""
        return RBM(self.weight.T, self.hidden, self.visible)

    def smaller_layer(self):
        """(the machine, exchanged where that makes its visible layer the smaller one, all states of it)."""
        machine = self if self.visible.shape[0] <= self.hidden.shape[0] else self.exchanged()
        n = machine.visible.shape[0]
        if n > LARGEST:
            raise ValueError(
                f"the smaller layer has {n} units, so that log Z is a sum over 2^{n} states; at most {LARGEST} can be enumerated: "
                "minigen.metrics.ais estimates log Z, and raise_ais log p(v)"
            )
        return machine, binary_states(n, self.visible)

    def log_z(self):
        """log Z (0-d), exact, by enumeration of the smaller layer; ValueError where it has more than 20 units."""
        machine, states = self.smaller_layer()
        return logsumexp(-machine.free_energy(states))  # (5)

    def log_prob(self, v):
        """Exact log p(v) (n,), nats; ValueError where log Z cannot be enumerated, or v is not of zeros and ones."""
        check_binary(v, "v")
        return -self.free_energy(v) - self.log_z()  # (6)

    def exact_sample(self, n, rng):
        """n independent exact draws (n, D), by enumeration; ValueError where that is impossible. For reverse AIS."""
        check_count("n", n)
        check_rng(rng)
        machine, states = self.smaller_layer()
        smaller = states[draw_rows(-machine.free_energy(states), n, rng)]
        return smaller if self.visible.shape[0] <= self.hidden.shape[0] else bernoulli(self.visible_given(smaller), rng)

    def sample(self, n, rng, sweeps=1000, progress=True):
        """(n, D): n chains of Gibbs sampling from v ~ Bernoulli(½), independent of each other, and p(v) but for what sweeps do not mix."""
        check_count("n", n)
        check_count("sweeps + 1", sweeps + 1)
        check_rng(rng)
        start = uniform(rng, (n, self.visible.shape[0]), self.visible)
        return self.gibbs((start < 0.5).astype(start.dtype), rng, sweeps, progress)

    @classmethod
    def fit(cls, x, *, rng, hidden=64, method="pcd", k=1, steps=2000, batch_size=64, optimizer=None, **training):
        """Learn from binary x (n, D) with k Gibbs sweeps a step.

        method "cd": contrastive divergence; "pcd": persistent, batch_size chains; "exact": the gradient (7), by enumeration.
        The visible biases begin at the data's log-odds. `training` goes to `train.run`. ValueError or TypeError for other data.
        """
        check_binary(x)
        check_choice("method", method, METHODS)
        check_count("k", k)
        check_count("batch_size", batch_size)
        batch_size = min(batch_size, x.shape[0])
        model = cls.init(rng, x.shape[1], hidden)
        rate = (np.sum(x, axis=0) + 1) / (x.shape[0] + 2)
        model = cls(like(x, model.weight), np.log(rate / (1 - rate)), like(x, model.hidden))
        if method == "exact":
            model.smaller_layer()
        chains = bernoulli(np.repeat(rate[None], batch_size, axis=0), rng)
        state = {"learner": Learner.of(model, optimizer or Adam(cosine(1e-2, steps))), "chains": chains}

        def step(state, v, rng):
            learner, chains = state["learner"], state["chains"]
            if method == "exact":
                return learner.update(lambda model, v: -model.log_prob(v), v)  # (7)
            chains[...] = learner.model.gibbs(chains if method == "pcd" else v, rng, k)
            return learner.update(contrastive_loss, v, chains + 0)

        run(step, state, x, rng=rng, steps=steps, batch_size=batch_size, **training)
        return state["learner"].model
