"""Dense layers, and how weights begin.

    y = x W + b,   W (in, out),  b (out,),  x (…, in)

Initialisation: b = 0 and Wᵢⱼ ~ N(0, gain²/in). If the inputs of a layer have mean square 1, its outputs have variance gain². A
layer behind an activation φ sees inputs of mean square E φ(z)², z ~ N(0, 1), so that

    gain = (E φ(z)²)^(−½)        √2 for relu, 1 for the identity, about 1.6 for tanh

keeps every pre-activation at variance 1, however deep the network is. Sources: LeCun et al. 1998, "Efficient BackProp", §4.6
(gain 1); He et al. 2015, "Delving Deep into Rectifiers", §2.2 (√2); the expectation extends He's argument to any φ.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigen.backend import normal
from minigen.functions import affine, relu


def gain(activation):
    """(E φ(z)²)^(−½) for z ~ N(0, 1), by the trapezoidal rule.

    >>> gain(np.tanh).__round__(3), gain(lambda x: 3 * x).__round__(3)
    (1.593, 0.333)
    """
    z = np.linspace(-8, 8, 1601)
    density = np.exp(-0.5 * z * z)
    return float(np.sum(density * activation(z) ** 2) / np.sum(density)) ** -0.5


def initial(rng, shape, fan_in, gain=1.0, dtype=np.float32):
    """Weights of a shape from N(0, gain²/fan_in)."""
    if any(int(n) != n or n < 1 for n in shape):
        raise ValueError(f"init: sizes must be positive integers; they make a weight of shape {tuple(shape)}")
    return normal(rng, shape, np.zeros(0, dtype)) * (gain / fan_in**0.5)


def expect_last(layer, x, n):
    """Raise unless the last axis of x has length n."""
    if x.ndim == 0 or x.shape[-1] != n:
        raise ValueError(f"{layer}: x has shape {x.shape}; expected (…, {n})")


@dataclass
class Linear:
    """y = x W + b for x (…, in)."""

    weight: np.ndarray  # (in, out)
    bias: np.ndarray  # (out,)

    @classmethod
    def init(cls, rng, n_in, n_out, gain=1.0, dtype=np.float32):
        """W ~ N(0, gain²/in), b = 0."""
        return cls(initial(rng, (n_in, n_out), n_in, gain, dtype), np.zeros(n_out, dtype))

    def __call__(self, x):
        """(…, in) → (…, out)."""
        expect_last("Linear", x, self.weight.shape[0])
        return affine(x, self.weight, self.bias)


@dataclass
class MLP:
    """Linear layers with an activation between them, and none after the last.

    >>> mlp = MLP.init(np.random.default_rng(0), [2, 64, 64, 1])
    >>> mlp(np.zeros((5, 2), np.float32)).shape
    (5, 1)
    """

    layers: list
    activation: Callable = relu

    @classmethod
    def init(cls, rng, sizes, activation=relu, output_gain=1.0, dtype=np.float32):
        """Layers sizes[0] → sizes[1] → …, with gain 1 for the first, the activation's own for those behind it.

        The last one's is multiplied by `output_gain`: with 0, the network begins as the zero function.
        """
        if len(sizes) < 2:
            raise ValueError(f"MLP.init: sizes is {sizes}; expected at least two, those of the input and the output")
        gains = [1.0] + [gain(activation)] * (len(sizes) - 2)
        gains[-1] *= output_gain
        pairs = zip(sizes[:-1], sizes[1:], gains, strict=True)
        return cls([Linear.init(rng, n_in, n_out, g, dtype) for n_in, n_out, g in pairs], activation)

    def __call__(self, x):
        """(…, sizes[0]) → (…, sizes[-1])."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


@dataclass
class Embedding:
    """A vector for each of n symbols."""

    weight: np.ndarray  # (n, dim)

    @classmethod
    def init(cls, rng, n, dim, gain=1.0, dtype=np.float32):
        """Entries from N(0, gain²)."""
        return cls(initial(rng, (n, dim), 1, gain, dtype))

    def __call__(self, index):
        """Integers (…) in [0, n) → (…, dim)."""
        if index.dtype.kind not in "iu":
            raise TypeError(f"Embedding: index has dtype {index.dtype}; expected integers")
        return self.weight[index]
