"""Continuous flow: a neural ordinary differential equation.  Chen, Rubanova, Bettencourt & Duvenaud 2018, "Neural Ordinary Differential
Equations"; Grathwohl et al. 2019, "FFJORD" (the estimated trace); Hutchinson 1990 (the estimator itself).

Notation as in `flow`; x(t) ∈ ℝᴰ, with x(0) = z the code, of density N(0, I), and x(1) the data; v a network, the velocity:

    dx/dt = v(x, t)                                                                                       (1)
    d log p(x(t))/dt = −tr ∂v/∂x,   so log p(x(1)) = log N(x(0); 0, I) − ∫₀¹ tr ∂v/∂x dt                    (2)

Any v will do, as a path never crosses another: no mask, no triangular Jacobian, and backwards is the same equation run backwards.
The trace costs D pullbacks of unit vectors, or one of noise, on average,

    tr ∂v/∂x = Σᵢ eᵢᵀ (∂v/∂x) eᵢ                                                                           (3)
    tr ∂v/∂x = E_ε εᵀ (∂v/∂x) ε,   ε ~ N(0, I), one for the whole path                                     (4)

The integral is a sum of Runge and Kutta's classical steps, whose error falls as the fourth power of their length h; with k₁ … k₄ the
slopes f at the start, twice in the middle and at the end,

    y(t + h) = y(t) + h/6 (k₁ + 2k₂ + 2k₃ + k₄),   k₁ = f(y, t),   k₂ = f(y + ½h k₁, t + ½h),
    k₃ = f(y + ½h k₂, t + ½h),   k₄ = f(y + h k₃, t + h)                                                  (5)

The likelihood is exact but for these steps. Training at a fixed number of them finds velocities whose steps err in its favour, and
then a "likelihood" far above the data's entropy; so `log_prob` doubles the steps until each datum's is known to 10⁻³ nats, with the exact
trace, and training, where (4) serves if D is large, holds the paths straight (Finlay, Jacobsen, Nurbekyan & Oberman 2020, "How to Train
Your Neural ODE"):

    L = −log p(x) + λ ∫₀¹ ‖v(x(t), t)‖² dt                                                                (6)
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import vjp
from minigen.backend import like, normal
from minigen.checks import check_columns, check_count, check_data, check_rng
from minigen.models.flow import Flow, check_event, event_and_dtype, log_normal
from minigen.nn import TimedMLP
from minigen.progress import shown

FEW = 4  # up to so many dimensions the exact trace is used in training, too


def trace(v, x, eps=None):
    """(v(x), tr ∂v/∂x (n,)) for v: (n, D) → (n, D) row by row; exact, or with eps (n, D) its estimate."""
    y, pull = vjp(v, x)
    if eps is not None:
        return y, np.sum(pull(eps) * eps, axis=1)  # (4)
    unit = lambda i: like(x, np.eye(x.shape[1])[i]) + np.zeros_like(y)
    return y, sum(pull(unit(i))[:, i] for i in range(x.shape[1]))  # (3)


def runge_kutta(f, y, t0, t1, steps, progress=False):
    """y(t₁) of dy/dt = f(y, t) from the tuple of arrays y at t₀; f gives a tuple, too. t₁ may lie before t₀."""
    h = (t1 - t0) / steps
    move = lambda y, k, h: tuple(a + h * b for a, b in zip(y, k, strict=True))
    for i in shown(range(steps), progress):
        t = t0 + i * h
        k1 = f(y, t)  # (5)
        k2 = f(move(y, k1, h / 2), t + h / 2)  # (5)
        k3 = f(move(y, k2, h / 2), t + h / 2)  # (5)
        k4 = f(move(y, k3, h), t + h)  # (5)
        y = tuple(a + h / 6 * (b + 2 * c + 2 * d + e) for a, b, c, d, e in zip(y, k1, k2, k3, k4, strict=True))  # (5)
    return y


def transport(v, x, t0, t1, steps, eps=None, progress=False):
    """(x(t₁), ∫ tr ∂v/∂x dt (n,), |∫ ‖v‖² dt| (n,)) for the velocity v(x, t) with t (n,), from x (n, D) at t₀, in so many steps.

    The second is the log-determinant of x(t₀) ↦ x(t₁).
    """

    def slopes(y, t):
        time = t + 0 * y[1]
        velocity, divergence = trace(lambda x: v(x, time), y[0], eps)
        return velocity, divergence, np.sum(velocity**2, axis=1)  # (1) (2)

    zero = np.zeros_like(x, shape=x.shape[:1])
    x, logdet, energy = runge_kutta(slopes, (x, zero, zero), t0, t1, steps, progress)
    return x, logdet, abs(energy)


def transport_closely(v, x, t0, t1, steps=8, scale=1.0, tolerance=1e-3, limit=1024, progress="ODE"):
    """(x(t₁), log-determinant (n,)) with the steps doubled until each log-density that ends in N(0, scale² I) is known to the tolerance.

    At the limit of steps it says on stderr how well they are known.
    """
    before = None
    while True:
        y, logdet, _ = transport(v, x, t0, t1, steps, progress=progress)
        value = logdet - 0.5 * np.sum(y**2, axis=1) / scale**2
        # Of an error in h⁴, doubling the steps leaves a sixteenth: it is a fifteenth of the change (5).
        error = math.inf if before is None else float(np.max(np.abs(value - before))) / 15
        if error > tolerance and steps >= limit:
            print(f"log-densities are only known to {error:.2g} nats at {steps} steps", file=sys.stderr)
        if error <= tolerance or steps >= limit:
            return y, logdet
        before, steps = value, 2 * steps


@dataclass
class ODE:
    """The equation as one layer of a flow: from the data's end, t = 1, to the code's, t = 0, and back."""

    network: Any
    steps: int  # in training; elsewhere the first number that is tried

    def forward(self, x):
        """(x(0), log-determinant (n,))."""
        return transport_closely(self.network, x, 1.0, 0.0, self.steps)

    def inverse(self, z):
        """(x(1), log-determinant of the inverse (n,))."""
        return transport_closely(self.network, z, 0.0, 1.0, self.steps)


@dataclass
class ContinuousFlow(Flow):
    """The model. Data has shape (n, *event), codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 2)) ** 2
    >>> flow = ContinuousFlow.fit(x, rng=rng, width=8, blocks=1, ode_steps=3, steps=20, progress=False)
    >>> flow.log_prob(x).shape, flow.sample(3, rng).shape
    ((200,), (3, 2))
    """

    @classmethod
    def init(cls, rng, event, width=64, blocks=2, ode_steps=6, dtype=np.float32):
        """A velocity that begins as 0, so that the flow begins as the identity; so many Runge–Kutta steps from end to end."""
        check_rng(rng)
        check_count("ode_steps", ode_steps)
        d = check_event(event, "in one dimension a spline does")
        return cls.of([ODE(TimedMLP.init(rng, d, d, width, blocks, dtype=dtype), ode_steps)], event, dtype)

    def decode(self, z, progress=True):
        """The data (n, *event) of codes: no trace is needed."""
        check_data(z, name="z")
        check_columns(z, self.mean.shape[0], "z")
        layer = self.layers[0]
        velocity = lambda y, t: (layer.network(y[0], np.full_like(y[0], t, shape=y[0].shape[:1])),)
        (y,) = runge_kutta(velocity, (z,), 0.0, 1.0, 4 * layer.steps, progress)  # (1)
        x, _ = self.from_line(y)
        return np.reshape(x, (x.shape[0], *self.event))

    def loss(self, x, rng, straight):
        """L (n,), at the number of steps of training; where D is large with an estimated trace, which is right on average."""
        (y, logdet), layer = self.to_line(x), self.layers[0]
        eps = None if y.shape[1] <= FEW else normal(rng, y.shape, y)
        z, step, energy = transport(layer.network, y, 1.0, 0.0, layer.steps, eps)
        return -(log_normal(z) + logdet + step) + straight * energy  # (2) (6)

    @classmethod
    def fit(cls, x, *, rng, width=64, blocks=2, ode_steps=6, straight=0.05, steps=500, **settings):
        """Train on x (n, *event) with λ = straight. The settings (alpha …) are those of `Flow.trained`, which says what is raised."""
        if not 0 <= straight < math.inf:
            raise ValueError(f"straight is {straight}; expected a finite weight λ ≥ 0")
        loss = lambda flow, x, rng: flow.loss(x, rng, straight)
        event, dtype = event_and_dtype(x)
        return cls.init(rng, event, width, blocks, ode_steps, dtype).trained(x, rng=rng, loss=loss, steps=steps, **settings)
