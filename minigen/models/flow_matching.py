"""Flow matching.  Lipman, Chen, Ben-Hamu, Nickel & Le 2023, "Flow Matching for Generative Modeling"; Liu, Gong & Liu 2023, "Flow Straight
and Fast" (the same lines, as rectified flow).

Notation as in `continuous_flow`: x(0) = z ~ N(0, I), x(1) the data, v the velocity, of which the flow is to make the density of the
one out of that of the other. Maximum likelihood would solve the equation in every step of training. Here each datum x is joined with a
noise z by a straight line,

    x_t = (1 − t) z + t x,   so that dx_t/dt = x − z                                                      (1)

and the velocity that carries the density of x_t along is the mean of the lines' at a point, which is what least squares learns:

    v*(x, t) = E[x₁ − z | x_t = x]                                                                        (2)
    L = ‖v(x_t, t) − (x − z)‖² / D,   t ~ U[0, 1),   z ~ N(0, I)                                          (3)

For data N(m, S) it is known, with C = (1 − t)² I + t² S the covariance of x_t:

    v*(x, t) = m + (t S − (1 − t) I) C⁻¹ (x − t m)                                                        (4)

The density is that of the equation dx/dt = v(x, t), as in `continuous_flow`: exact to the solver's tolerance, of a model whose training
never saw it.
"""

from dataclasses import dataclass

import numpy as np

from minigen.backend import normal, uniform
from minigen.checks import check_count, check_rng
from minigen.models.continuous_flow import ODE, ContinuousFlow
from minigen.models.flow import event_and_dtype
from minigen.nn import TimedMLP


def line(x, z, t):
    """(x_t, its velocity), both (n, D), from data x and noise z (n, D) at times t (n,)."""
    return (1 - t[:, None]) * z + t[:, None] * x, x - z  # (1)


def gaussian_velocity(x, t, mean, covariance):
    """v*(x, t) (n, D) of data N(mean, covariance) at x (n, D) and one time t."""
    one = np.eye(mean.shape[0])
    c = (1 - t) ** 2 * one + t**2 * covariance
    return mean + np.linalg.solve(c, (x - t * mean).T).T @ (t * covariance - (1 - t) * one)  # (4)


@dataclass
class FlowMatching(ContinuousFlow):
    """The model. Data has shape (n, *event), codes (n, D).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.choice([-2.0, 2.0], (500, 1)) + 0.1 * rng.standard_normal((500, 1))
    >>> flow = FlowMatching.fit(x, rng=rng, width=32, blocks=1, steps=300, progress=False)
    >>> p = flow.log_prob(np.array([[-2.0], [0.0], [2.0]]))
    >>> bool(p[0] > p[1]), bool(p[2] > p[1]), flow.sample(3, rng).shape
    (True, True, (3, 1))
    """

    @classmethod
    def init(cls, rng, event, width=128, blocks=3, ode_steps=16, dtype=np.float32):
        """A velocity that begins as 0; so many Runge–Kutta steps are tried first."""
        check_rng(rng)
        check_count("ode_steps", ode_steps)
        d = int(np.prod(event))
        return cls.of([ODE(TimedMLP.init(rng, d, d, width, blocks, dtype=dtype), ode_steps)], event, dtype)

    def loss_at(self, x, z, t):
        """L (n,) of standardised data x, noise z (n, D) and times t (n,)."""
        x_t, velocity = line(x, z, t)
        return np.mean((self.layers[0].network(x_t, t) - velocity) ** 2, axis=1)  # (2) (3)

    def loss(self, x, rng):
        """L (n,) of data x (n, *event)."""
        y, _ = self.to_line(x)
        return self.loss_at(y, normal(rng, y.shape, y), uniform(rng, y.shape[:1], y))

    @classmethod
    def fit(cls, x, *, rng, width=128, blocks=3, ode_steps=16, **settings):
        """Train on x (n, *event). The settings (alpha, levels, steps …) are those of `Flow.trained`, which says what is raised."""
        event, dtype = event_and_dtype(x)
        flow = cls.init(rng, event, width, blocks, ode_steps, dtype)
        return flow.trained(x, rng=rng, loss=lambda flow, x, rng: flow.loss(x, rng), **settings)
