"""Recurrent layers, in the equations that PyTorch computes; σ is the logistic function, ⊙ the elementwise product.

GRU (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder–Decoder"), with the reset gate after the product:

    r = σ(x Wᵣ + bᵣ + h Uᵣ + cᵣ)      z = σ(x W_z + b_z + h U_z + c_z)
    n = tanh(x Wₙ + bₙ + r ⊙ (h Uₙ + cₙ))      h ← (1 − z) ⊙ n + z ⊙ h

LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000, "Learning to Forget"):

    i, f, o = σ(x W + b + h U + c) each      g = tanh(x W_g + b_g + h U_g + c_g)
    c ← f ⊙ c + i ⊙ g      h ← o ⊙ tanh(c)

The gates' weights lie side by side, in the order r z n and i f g o, in one layer for x and one for h. They begin as N(0, 1/in)
for x and orthogonal for h, which neither shrinks nor grows the state (Saxe et al. 2014, "Exact solutions to the nonlinear
dynamics of learning"), with biases 0, but 1 for the forget gate, which is thus open (Jozefowicz et al. 2015, "An Empirical
Exploration of Recurrent Network Architectures").
"""

from dataclasses import dataclass

import numpy as np

from minigen.functions import sigmoid
from minigen.nn.dense import Linear, expect_last, initial


def orthogonal(rng, n, dtype):
    """An orthogonal matrix (n, n), uniformly distributed: QR with R's diagonal made positive (Mezzadri 2007)."""
    q, r = np.linalg.qr(initial(rng, (n, n), 1, dtype=dtype))
    return q * np.sign(np.diagonal(r))


def gate_layers(rng, n_in, hidden, gates, dtype):
    """The layers of x and of h, for several gates side by side."""
    recurrent = np.concatenate([orthogonal(rng, hidden, dtype) for _ in range(gates)], axis=1)
    return Linear.init(rng, n_in, gates * hidden, dtype=dtype), Linear(recurrent, np.zeros(gates * hidden, dtype))


def scan(layer, x, state):
    """Run layer.update over time: ((n, T, hidden), last state). The gates' share of all x is one matrix product."""
    n_in = layer.input.weight.shape[0]
    expect_last(type(layer).__name__, x, n_in)
    if x.ndim != 3 or x.shape[1] < 1:
        raise ValueError(f"{type(layer).__name__}: x has shape {x.shape}; expected (n, T ≥ 1, {n_in})")
    state = layer.start(x) if state is None else state
    hs = []
    gates = layer.input(x)
    for t in range(x.shape[1]):
        state = layer.update(gates[:, t], state)
        hs.append(state[0] if isinstance(state, tuple) else state)
    return np.stack(hs, axis=1), state


@dataclass
class GRU:
    """Gated recurrent unit; the state is h (n, hidden)."""

    input: Linear  # (in, 3 hidden)
    hidden: Linear  # (hidden, 3 hidden)

    @classmethod
    def init(cls, rng, n_in, hidden, dtype=np.float32):
        """Weights as the module says."""
        return cls(*gate_layers(rng, n_in, hidden, 3, dtype))

    def start(self, x):
        """The zero state for the examples x."""
        return np.zeros_like(x, shape=(x.shape[0], self.hidden.weight.shape[0]))

    def update(self, a, h):
        """The next state from a = x W + b."""
        ar, az, an = np.split(a, 3, axis=-1)
        ur, uz, un = np.split(self.hidden(h), 3, axis=-1)
        r, z = sigmoid(ar + ur), sigmoid(az + uz)
        n = np.tanh(an + r * un)
        return n + z * (h - n)

    def step(self, x, h):
        """x (n, in), h (n, hidden) → the next h."""
        return self.update(self.input(x), h)

    def __call__(self, x, h=None):
        """x (n, T, in) → (every h (n, T, hidden), the last h); from 0 if no h is given."""
        return scan(self, x, h)


@dataclass
class LSTM:
    """Long short-term memory; the state is (h, c), each (n, hidden)."""

    input: Linear  # (in, 4 hidden)
    hidden: Linear  # (hidden, 4 hidden)

    @classmethod
    def init(cls, rng, n_in, hidden, dtype=np.float32):
        """Weights as the module says."""
        layers = gate_layers(rng, n_in, hidden, 4, dtype)
        layers[0].bias[hidden : 2 * hidden] = 1
        return cls(*layers)

    def start(self, x):
        """The zero state for the examples x."""
        zeros = np.zeros_like(x, shape=(x.shape[0], self.hidden.weight.shape[0]))
        return zeros, zeros

    def update(self, a, state):
        """The next state from a = x W + b."""
        h, c = state
        i, f, g, o = np.split(a + self.hidden(h), 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    def step(self, x, state):
        """x (n, in), (h, c) → the next (h, c)."""
        return self.update(self.input(x), state)

    def __call__(self, x, state=None):
        """x (n, T, in) → (every h (n, T, hidden), the last (h, c)); from 0 if no state is given."""
        return scan(self, x, state)
