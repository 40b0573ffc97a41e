"""Score matching.  Hyvärinen 2005, "Estimation of non-normalized statistical models by score matching"; Vincent 2011, "A connection
between score matching and denoising autoencoders"; Song, Garg, Shi & Ermon 2019, "Sliced score matching".

Notation: s(x) ∈ ℝᴰ a model's score ∇ log p(x), as −∇E(x), which needs no Z; ∇s (D, D) its Jacobian, for an energy minus the Hessian.
The aim ½ E_data ‖s − ∇ log p_data‖² differs by a constant, by partial integration, from

    J = E_data [½‖s(x)‖² + tr ∇s(x)]                                                                    (1)

The trace costs D derivatives. It is the mean of vᵀ(∇s)v over v with E vvᵀ = I, each of which costs one,

    J = E_data E_v [½‖s(x)‖² + vᵀ∇s(x) v],   v ~ N(0, I) or signs ±1                                     (2)

Denoising needs no second derivative of E: for data with noise of width σ,

    J_σ = E_data E_ε ½‖s(x + σε) + ε/σ‖²,   ε ~ N(0, I)                                                  (3)

is least at the score of the smoothed density p_σ = p_data * N(0, σ²I), and grows from there as ½ E‖s − ∇ log p_σ‖²: what is learned
is smoother than the data by σ.
"""

import math

import numpy as np

from minigen.autograd import grad
from minigen.backend import like, normal
from minigen.checks import check_choice, check_data, check_rng
from minigen.train import minimise

OBJECTIVES = ("exact", "sliced", "denoising")


def directional(score, x, v):
    """vᵀ∇s(x) v (n,) of x and v (n, D): s(xᵢ) depends on xᵢ alone."""
    return np.sum(grad(lambda x: np.sum(score(x) * v))(x) * v, axis=1)


def exact_score_matching(score, x):
    """J of each datum, (n,): D second derivatives each."""
    basis = np.eye(x.shape[1])
    trace = sum(directional(score, x, like(x, e) + 0 * x) for e in basis)
    return 0.5 * np.sum(score(x) ** 2, axis=1) + trace  # (1)


def sliced_score_matching(score, x, v):
    """J of each datum, (n,), with one direction v (n, D) each."""
    return 0.5 * np.sum(score(x) ** 2, axis=1) + directional(score, x, v)  # (2)


def denoising_score_matching(score, x, sigma, eps):
    """J_σ of each datum, (n,), with its noise eps (n, D)."""
    return 0.5 * np.sum((score(x + sigma * eps) + eps / sigma) ** 2, axis=1)  # (3)


def fit_score(model, x, *, rng, objective="denoising", sigma=0.1, **training):
    """The model, with a `score`, trained on x (n, D) by "exact", "sliced" or "denoising" score matching; the last at width sigma.

    `training` goes to `train.minimise`. Raises TypeError or ValueError for data that are not finite floats (n, D), another
    objective, or a sigma that is not > 0.
    """
    check_data(x)
    check_rng(rng)
    check_choice("objective", objective, OBJECTIVES)
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma}; expected a finite number > 0")

    def loss(model, x, rng):
        if objective == "exact":
            return exact_score_matching(model.score, x)
        noise = normal(rng, x.shape, x)
        if objective == "sliced":
            return sliced_score_matching(model.score, x, noise)
        return denoising_score_matching(model.score, x, sigma, noise)

    return minimise(loss, model, x, rng=rng, **training)[0]
