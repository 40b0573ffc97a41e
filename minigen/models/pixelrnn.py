"""PixelRNN.  van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel Recurrent Neural Networks"; here in one raster scan.

An image k holds L levels, integers 0 … L − 1, at H rows and W columns, read row by row, each from the left: T = H W pixels.

    log p(k) = Σₜ log p(kₜ | k₀ … kₜ₋₁),   p(kₜ = l | …) = softmax(aₜ)ₗ                                    (1)

What was read long ago comes through the state (h, c) of an LSTM (its equations: `minigen.nn.recurrent`). It reads, at the pixel (r, c)
of time t = r W + c, the R pixels before it, and a window of reach R above it, which a plain scan of numbers would have far behind it
(compare Theis & Bethge 2015, "Generative Image Modeling Using Spatial LSTMs"). x(r, c)ₗ = xₜₗ = 1 where kₜ ≥ l, else −1; outside x = 0:

    eₜ = Σ W(i, j) x(r − i, c + j) + Σ U(i) xₜ₋ᵢ + mₜ,   i = 1 … R, |j| ≤ R                               (2)
    hₜ, cₜ = LSTM(silu(eₜ), hₜ₋₁, cₜ₋₁)                                                                    (3)
    aₜ = A hₜ + bₜ                                                                                        (4)

where m and b are learned for each place. A sample takes T steps, each of the cost of one: the state is kept.
"""

from dataclasses import dataclass

import numpy as np

from minigen.checks import check_count, check_rng
from minigen.convolution import conv2d
from minigen.functions import silu
from minigen.models.levels import check_levels, draw, log_softmax_at, one_hot, start, thermometer
from minigen.nn import LSTM, Conv2d, Linear
from minigen.optim import Adam, cosine
from minigen.progress import shown
from minigen.train import minimise


@dataclass
class PixelRNN:
    """The model. k holds integers (n, H, W).

    >>> rng = np.random.default_rng(0)
    >>> k = np.array([[[0, 0, 0], [1, 1, 1]], [[1, 1, 1], [0, 0, 0]]])  # log p = −log 2
    >>> model = PixelRNN.fit(k, 2, rng=rng, hidden=16, steps=100, optimizer=Adam(0.02), progress=False)
    >>> model.sample(5, rng).shape, model.log_prob(k).round(1)
    ((5, 2, 3), array([-0.7, -0.7], dtype=float32))
    """

    above: Conv2d
    before: Conv2d
    lstm: LSTM
    head: Linear
    place: np.ndarray  # (H, W, E), m
    bias: np.ndarray  # (H W, L), b
    levels: int

    @classmethod
    def init(cls, rng, event, levels, hidden=128, features=64, reach=2, dtype=np.float32):
        """A window of a reach to a number of features, which an LSTM of `hidden` units reads."""
        check_rng(rng)
        for name, number in {"levels": levels, "hidden": hidden, "features": features, "reach": reach}.items():
            check_count(name, number)
        if len(event) != 2:
            raise ValueError(f"event is {tuple(event)}; expected (H, W)")
        above = Conv2d.init(rng, levels, features, (reach, 2 * reach + 1), dtype=dtype)
        before = Conv2d.init(rng, levels, features, (1, reach), dtype=dtype)
        lstm, head = LSTM.init(rng, features, hidden, dtype), Linear.init(rng, hidden, levels, dtype=dtype)
        h, w = event
        return cls(above, before, lstm, head, np.zeros((h, w, features), dtype), np.zeros((h * w, levels), dtype), levels)

    @property
    def event(self):
        """(H, W)."""
        return self.place.shape[:2]

    def features(self, above, before, place, top, sides, left):
        """silu(e) where a window of rows above and a window of time before fit, with so much padding; place is m there."""
        e = conv2d(above, self.above.weight, padding=((top, 0), (sides, sides)), bias=self.above.bias)
        late = conv2d(before, self.before.weight, padding=((0, 0), (left, 0)), bias=self.before.bias)
        return silu(e + np.reshape(late, e.shape) + place)  # (2) (3)

    def logits(self, x):
        """a (n, T, L) from thermometers x (n, H, W, L)."""
        n, reach = x.shape[0], self.before.weight.shape[1]
        time = np.reshape(x, (n, 1, -1, self.levels))
        e = self.features(x[:, :-1], time[:, :, :-1], self.place, reach, reach, reach)
        h, _ = self.lstm(np.reshape(e, (n, -1, e.shape[-1])))  # (3)
        return self.head(h) + self.bias  # (4)

    def loss(self, k):
        """−log p of k (n, H, W), (n,) nats."""
        logits = self.logits(thermometer(k, self.levels, self.bias))
        return -np.sum(log_softmax_at(logits, one_hot(np.reshape(k, logits.shape[:2]), self.levels, self.bias)), axis=1)  # (1)

    def log_prob(self, k):
        """log p(k), exact, (n,) nats."""
        check_levels(k, self.levels, self.event)
        return -self.loss(k)

    def sample(self, n, rng, progress=True):
        """k ~ p(k), integers (n, H, W)."""
        check_count("n", n)
        k = np.zeros_like(self.bias, shape=(n, *self.event), dtype=np.int64)
        return self.fill(k, k > 0, rng, progress)

    def fill(self, k, known, rng, progress=True):
        """k with the pixels that are not `known` (booleans, of the shape of k or of one image) drawn, each given all before it."""
        check_rng(rng)
        k, known = start(k, known, self.event)
        check_levels(k, self.levels, self.event)
        (n, height, width), reach = k.shape, self.before.weight.shape[1]
        image = np.zeros_like(self.bias, shape=(n, height + reach, width + 2 * reach, self.levels))  # in a frame of zeros
        before, state = image[:, :1, :reach], self.lstm.start(image)
        for r in shown(range(height), progress):
            for c in range(width):
                above = image[:, r : r + reach, c : c + 2 * reach + 1]
                state = self.lstm.step(self.features(above, before, self.place[r, c], 0, 0, 0)[:, 0, 0], state)  # (3)
                drawn = draw(self.head(state[0]) + self.bias[r * width + c], rng)  # (4)
                k[:, r, c] = np.where(known[:, r, c], k[:, r, c], drawn)
                new = thermometer(k[:, r, c], self.levels, image)
                image[:, r + reach, c + reach] = new
                before = np.concatenate([before[:, :, 1:], new[:, None, None]], axis=2)
        return k

    @classmethod
    def fit(
        cls, k, levels, *, rng, hidden=128, features=64, reach=2, steps=1000, batch_size=32, optimizer=None, dtype=np.float32, **training
    ):  # fmt: skip
        """Train by Adam on −log p. The rest goes to `minigen.train.minimise`. Raises ValueError or TypeError for data that does not fit."""
        check_levels(k, levels)
        model, optimizer = cls.init(rng, k.shape[1:], levels, hidden, features, reach, dtype), optimizer or Adam(cosine(4e-3, steps))
        loss = lambda model, k, rng: model.loss(k)
        return minimise(loss, model, k, rng=rng, steps=steps, batch_size=batch_size, optimizer=optimizer, **training)[0]
