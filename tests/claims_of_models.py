"""Right answers, differently written, and named mistakes, for the checks of bounds, EM and diffusions. {check: {name: case}}"""

import numpy as np
from scipy import special, stats

from minigen.models import noising
from minigen.testing import check_bound, check_diffusion_marginals, check_em
from tests.rejections import right, wrong


# ---- Bounds ----
def log_mean(k):
    """log of the mean of k weights of expectation 1: a bound on log 1, of examples of growing difficulty."""
    return lambda rng: np.log(np.mean(np.exp(np.array([0.3, 1.0]) * rng.standard_normal((k, 2)) - np.array([0.045, 0.5])), axis=0))


ZERO = np.zeros(2)
BOUNDS = {
    "ELBO": right(log_mean(1), ZERO),
    "ELBO, of its terms": right(lambda rng: np.array([0.3, 1.0]) * rng.standard_normal(2) - np.array([0.045, 0.5]), ZERO),
    "IWAE": right(log_mean(5), ZERO, lambda rng: -log_mean(5)(rng)),
    "exact": right(np.zeros(2), ZERO, 0.0, tight=True),
    "above": wrong("lower bound does not cross", lambda rng: log_mean(1)(rng) + np.array([0.2, 0]), ZERO),
    "the sign of the KL": wrong("lower bound does not cross", lambda rng: -log_mean(1)(rng), ZERO),
    "the log is forgotten": wrong("lower bound does not cross", lambda rng: np.exp(log_mean(1)(rng)), ZERO),
    "below": wrong("upper bound does not cross", None, ZERO, log_mean(1)),
    "a little above": wrong("lower bound does not cross", 1e-6, ZERO),
    "not attained": wrong("lower bound is attained", np.array([0.0, -0.01]), ZERO, tight=True),
    "NaN": wrong("finite", lambda rng: np.array([np.nan]), ZERO),
}

# ---- EM, for the mixing weight of two known densities, whose likelihood has one maximum ----
RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(-1, 1, 30), RNG.normal(2, 1, 70)])
TWO = np.stack([stats.norm.pdf(X, -1, 1), stats.norm.pdf(X, 2, 1)])
LOGLIK = lambda w: np.sum(np.log(w * TWO[0] + (1 - w) * TWO[1]))
SLOPE = lambda w: np.sum((TWO[0] - TWO[1]) / (w * TWO[0] + (1 - w) * TWO[1]))
MINE = lambda w: w * TWO[0] / (w * TWO[0] + (1 - w) * TWO[1])
AT = {"start": 0.9}
STEPS = {
    "right": right(lambda w: np.mean(MINE(w)), LOGLIK, SLOPE, **AT),
    "right, by its slope": right(lambda w: w + w * (1 - w) * SLOPE(w) / len(X), LOGLIK, SLOPE, **AT),
    "right, by log odds": right(lambda w: np.mean(special.expit(special.logit(w) - 3 * (X - 0.5))), LOGLIK, **AT),
    "without a slope": right(lambda w: np.mean(MINE(w)), LOGLIK, **AT),
    "no step": wrong("is stationary", lambda w: w, LOGLIK, SLOPE, **AT),
    "no step, without a slope": wrong("raises the likelihood", lambda w: w, LOGLIK, **AT),
    "the other component's responsibility": wrong("never lowers", lambda w: 1 - np.mean(MINE(w)), LOGLIK, SLOPE, **AT),
    "hard assignments": wrong("never lowers|stationary", lambda w: np.mean(MINE(w) > 0.5), LOGLIK, SLOPE, **AT),
    "n − 1": wrong("never lowers|stationary", lambda w: np.sum(MINE(w)) / (len(X) - 1), LOGLIK, SLOPE, **AT),
    "the weight is not used": wrong("stationary", lambda w: np.mean(MINE(0.5)), LOGLIK, SLOPE, **AT),
    "NaN": wrong("finite", lambda w: np.nan, LOGLIK, SLOPE, **AT),
}

# ---- Diffusions ----
BETAS = np.linspace(0.02, 0.4, 20)
B, LEFT = np.append(0, BETAS), np.append(1, np.cumprod(1 - BETAS))  # at t = 0 … T
A, S = np.sqrt(LEFT), np.sqrt(1 - LEFT)
FORWARD = lambda x0, t: (A[t] * x0, S[t])
MEAN = lambda x_t, x0, t: (A[t - 1] * B[t] * x0 + np.sqrt(1 - B[t]) * (1 - LEFT[t - 1]) * x_t) / (1 - LEFT[t])
BETA_TILDE = lambda t: B[t] * (1 - LEFT[t - 1]) / (1 - LEFT[t])


def in_logarithms(x0, t):
    """ᾱ as the exponential of a sum."""
    log_left = np.sum(np.log1p(-BETAS[:t]))
    return np.exp(0.5 * log_left) * x0, np.full_like(x0, np.sqrt(-np.expm1(log_left)))


def step_by_step(x0, t, eps):
    """One noise for all steps, by the recursion of its variance."""
    mean, variance = x0, 0.0
    for beta in BETAS[:t]:
        mean, variance = np.sqrt(1 - beta) * mean, variance * (1 - beta) + beta
    return mean + variance**0.5 * eps


def on_a_grid(x_t, x0, t):
    """Bayes' rule by sums over values of x_{t−1}."""
    if t == 1:
        return x0, 0.0
    z = np.linspace(-12, 12, 20_001)
    log_joint = stats.norm.logpdf(x_t, np.sqrt(1 - B[t]) * z, np.sqrt(B[t])) + stats.norm.logpdf(z, A[t - 1] * x0, S[t - 1])
    weights = np.exp(log_joint - np.max(log_joint, axis=1, keepdims=True))
    weights /= np.sum(weights, axis=1, keepdims=True)
    mean = np.sum(weights * z, axis=1, keepdims=True)
    return mean, np.sum(weights * (z - mean) ** 2, axis=1, keepdims=True)


def in_place(x0, t):
    x0 *= A[t]
    return x0, S[t]


POSTERIOR = lambda x_t, x0, t: noising.posterior(x_t, x0, A, S, t, t - 1)
BACK, BACK_NOISE = r"the mean of q\(x_{t−1}\|x_t, x₀\)", r"the variance of q\(x_{t−1}\|x_t, x₀\)"
FROM_X0, NOISE = r"the mean of q\(x_t\|x₀\)", r"the standard deviation of q\(x_t\|x₀\)"
DIFFUSIONS = {
    "right": right(BETAS, FORWARD, posterior=lambda x_t, x0, t: (MEAN(x_t, x0, t), BETA_TILDE(t))),
    "right, by logarithms and a grid": right(BETAS, in_logarithms, posterior=on_a_grid),
    "right, step by step": right(BETAS, q_sample=step_by_step),
    "right, of the chapter": right(BETAS, q_sample=lambda x0, t, eps: noising.noised(x0, eps, A[t], S[t]), posterior=POSTERIOR),
    "one step": right([0.3], lambda x0, t: (0.7**0.5 * x0, [0.3**0.5])),
    "ᾱ of t − 1": wrong(FROM_X0, BETAS, lambda x0, t: FORWARD(x0, t - 1), hint="off by one: this is the mean of t − 1"),
    "ᾱ of t − 1, by an index of −1": wrong(FROM_X0, BETAS, lambda x0, t: (A[1:][t - 2] * x0, S[t]), hint="mean of t − 1"),
    "ᾱ of t + 1": wrong(FROM_X0, BETAS, lambda x0, t: FORWARD(x0, min(t + 1, 20)), hint="off by one: this is the mean of t . 1"),
    "the noise of t − 1": wrong(NOISE, BETAS, lambda x0, t: (A[t] * x0, S[t - 1]), hint="standard deviation of t − 1"),
    "t starts at 0": wrong("takes every t of 1 … T", BETAS, lambda x0, t: (A[1:][t] * x0, S[1:][t]), hint="index t − 1"),
    "a √ is missing": wrong(FROM_X0, BETAS, lambda x0, t: (LEFT[t] * x0, S[t]), hint="√ is missing"),
    "a single step": wrong(FROM_X0, BETAS, lambda x0, t: (np.sqrt(1 - B[t]) * x0, S[t]), hint="one step"),
    "x₀ is not scaled": wrong(FROM_X0, BETAS, lambda x0, t: (x0, S[t]), hint="not scaled"),
    "the scales are swapped": wrong("without noise", BETAS, q_sample=lambda x0, t, eps: S[t] * x0 + A[t] * eps, hint="swapped"),
    "the variance for the standard deviation": wrong(NOISE, BETAS, lambda x0, t: (A[t] * x0, 1 - LEFT[t]), hint="is the variance"),
    "the noise times the variance": wrong("^the noise", BETAS, q_sample=lambda x, t, e: A[t] * x + S[t] ** 2 * e, hint="is the variance"),
    "1 − √ᾱ": wrong(NOISE, BETAS, lambda x0, t: (A[t] * x0, 1 - A[t]), hint="1 − √ᾱ_t for"),
    "√β": wrong(NOISE, BETAS, lambda x0, t: (A[t] * x0, B[t] ** 0.5), hint="noise of one step"),
    "variances are added": wrong(NOISE, BETAS, lambda x0, t: (A[t] * x0, np.sqrt(np.sum(BETAS[:t]))), hint="also shrinks"),
    "a part in a hundred thousand": wrong(NOISE, BETAS, lambda x0, t: (A[t] * x0, S[t] * 1.00001)),
    "β for β̃": wrong(BACK_NOISE, BETAS, posterior=lambda x_t, x0, t: (MEAN(x_t, x0, t), B[t]), hint="β̃_t = "),
    "√β̃": wrong(BACK_NOISE, BETAS, posterior=lambda x_t, x0, t: (MEAN(x_t, x0, t), BETA_TILDE(t) ** 0.5), hint="variance is expected"),
    "β̃ of t + 1": wrong(BACK_NOISE, BETAS, posterior=lambda x_t, x0, t: (MEAN(x_t, x0, t), BETA_TILDE(min(t + 1, 20))), hint="t . 1"),
    "x_t and x₀ swapped": wrong(BACK, BETAS, posterior=lambda x_t, x0, t: POSTERIOR(x0, x_t, t), hint="swapped"),
    "ᾱ_t for ᾱ_{t−1}": wrong(
        BACK, BETAS, posterior=lambda x_t, x0, t: (A[t] * B[t] / S[t] ** 2 * x0 + np.sqrt(1 - B[t]) * x_t, 0), hint="where ᾱ_{t−1}"
    ),
    "one number for both": wrong("returns a pair", BETAS, lambda x0, t: A[t] * x0),
    "not of the shape of x": wrong("shape of x", BETAS, lambda x0, t: (A[t] * x0[:, 0], S[t])),
    "NaN": wrong("never NaN", BETAS, lambda x0, t: (A[t] * x0, np.nan)),
    "changes its input": wrong("leaves its inputs", BETAS, in_place),
}

MODELS = {check_bound: BOUNDS, check_em: STEPS, check_diffusion_marginals: DIFFUSIONS}
