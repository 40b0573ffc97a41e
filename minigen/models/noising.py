"""Noise by steps, and its reversal.  Sohl-Dickstein et al. 2015; Ho, Jain & Abbeel 2020, "Denoising diffusion probabilistic models".

Data x₀ ∈ ℝᴰ of about unit size become noise in T steps with variances β_t ∈ (0, 1). After t of them, a_t of the data is left:

    q(x_t|x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t I)                                                         (1)
    x_t = a_t x₀ + σ_t ε,   ε ~ N(0, I),   a_t² = ᾱ_t = Π_{s≤t} (1 − β_s),   σ_t² = 1 − ᾱ_t,   ᾱ₀ = 1     (2)

Two schedules of variances, the second with c = 0.008 (Nichol & Dhariwal 2021, "Improved DDPM"), T = 1000 in both papers:

    β_t from 10⁻⁴ to 0.02 in equal steps, times 1000/T: then as much noise is added for other T            (3)
    β_t = min(1 − f(t)/f(t−1), 0.999),   f(t) = cos²(½π (t/T + c) / (1 + c))                              (4)

Given x₀, the way back from t to any s < t is normal, by Bayes' rule for (2), with β = 1 − ᾱ_t/ᾱ_s the noise between them:

    q(x_s|x_t, x₀) = N(μ̃, β̃ I),   μ̃ = (a_s β/σ_t²) x₀ + (a_t σ_s² / (a_s σ_t²)) x_t,   β̃ = β σ_s²/σ_t²    (5)

A network sees x_t and t/T and says ε, or x₀, or v = a_t ε − σ_t x₀ (Salimans & Ho 2022, "Progressive distillation"), from each of
which the others follow:

    x₀ = (x_t − σ_t ε)/a_t   or   x₀ = a_t x_t − σ_t v;   ε = (x_t − a_t x₀)/σ_t                           (6)
"""

import numpy as np

from minigen.checks import check_count

PREDICTIONS = ("eps", "x0", "v")


# ---- Noise by steps ----
def linear_betas(steps):
    """β_t, t = 1 … steps, (steps,) float64. From 21 steps on they are below 1.

    >>> linear_betas(1000)[[0, -1]]
    array([0.0001, 0.02  ])
    """
    check_count("steps", steps)
    return np.linspace(1e-4, 0.02, steps) * (1000 / steps)  # (3)


def cosine_betas(steps):
    """β_t, t = 1 … steps, (steps,) float64.

    >>> cosine_betas(4).round(3)
    array([0.153, 0.417, 0.708, 0.999])
    """
    check_count("steps", steps)
    f = np.cos(0.5 * np.pi * (np.arange(steps + 1) / steps + 0.008) / 1.008) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)  # (4)


def cosine_from(sigma, steps):
    """The cosine schedule of so many steps without its first ones, until σ_t ≥ sigma: (fewer,) float64.

    On levels, noise finer than the cells says nothing, yet costs bits: sigma is then about the half of a cell.

    >>> len(cosine_from(0.05, 100)), bool(cosine_from(0.05, 100)[0] >= 0.05**2)
    (98, True)
    """
    if not 0 <= sigma < 1:
        raise ValueError(f"sigma is {sigma}; expected a number in [0, 1)")
    left = np.cumprod(1 - cosine_betas(steps))
    left = left[1 - left >= sigma**2]
    return 1 - left / np.concatenate([[1.0], left[:-1]])


SCHEDULES = {"cosine": cosine_betas, "linear": linear_betas}


def signal_and_noise(betas):
    """(a_t, σ_t) for t = 0 … T, each (T + 1,), from β (T,).

    >>> [s.tolist() for s in signal_and_noise(np.array([0.36]))]
    [[1.0, 0.8], [0.0, 0.6]]
    """
    left = np.concatenate([np.ones_like(betas[:1]), np.cumprod(1 - betas)])  # (1)
    return np.sqrt(left), np.sqrt(1 - left)  # (2)


def noised(x0, eps, a, sigma):
    """x_t."""
    return a * x0 + sigma * eps  # (2)


def between(a, t, s):
    """β of the noise that the steps from s to t add, a number."""
    return 1 - (float(a[t]) / float(a[s])) ** 2  # (5)


def posterior(x_t, x0, a, sigma, t, s):
    """(μ̃, β̃) of q(x_s|x_t, x₀), s < t: an array like x_t, and a number. a and sigma are those of all steps, on the host."""
    a_s, a_t, var_s, var_t, beta = float(a[s]), float(a[t]), float(sigma[s]) ** 2, float(sigma[t]) ** 2, between(a, t, s)
    return (a_s * beta / var_t) * x0 + (a_t * var_s / (a_s * var_t)) * x_t, beta * var_s / var_t  # (5)


# ---- What networks say ----
def target(prediction, x0, eps, a, sigma):
    """What a network of this prediction should say: ε, x₀ or v."""
    return {"eps": lambda: eps, "x0": lambda: x0, "v": lambda: a * eps - sigma * x0}[prediction]()


def clean(prediction, out, x_t, a, sigma):
    """x₀ from what the network says of x_t."""
    if prediction == "x0":
        return out
    return (x_t - sigma * out) / a if prediction == "eps" else a * x_t - sigma * out  # (6)


def noise_in(x_t, x0, a, sigma):
    """ε, from x_t and x₀."""
    return (x_t - a * x0) / sigma  # (6)
