"""Divergences between distributions, in nats: KL in closed form, cross-entropy, Jensen–Shannon, Wasserstein.

    KL(p‖q) = E_p[log p(x) − log q(x)]        H(p, q) = −E_p[log q(x)] = H(p) + KL(p‖q)

Within a family KL is written out, so that it keeps its digits where p ≈ q. Across families H(p, q) is, from the moments
of p that log q asks for. A finite support is enumerated. KL is ∞ where p has mass outside the support of q.
Sources: Gil, Alajaji & Linder 2013, "Rényi divergence measures for commonly used univariate continuous distributions",
tables 2 and 3; Givens & Shortt 1984, "A class of Wasserstein metrics for probability distributions" (Gaussians).
"""

import math

import numpy as np

from minigen.distributions.common import of
from minigen.distributions.continuous import LOG_2PI, Beta, Exponential, Gamma, Laplace, Normal, Uniform
from minigen.distributions.discrete import Bernoulli, Categorical, DiscretizedLogistic, Poisson
from minigen.distributions.multivariate import (
    Dirichlet,
    Independent,
    MultivariateNormal,
    cholesky,
    diagonal,
    half_log_det,
    log_beta,
    solve_vectors,
    sum_last,
)

KL, CROSS = {}, {}  # (type of p, type of q) -> function of p and q


def log(x):
    """log of a parameter; a Python number stays one, so that it does not promote float32."""
    return of(np.log, x)


def pairs(table, ps, qs):
    """Enter the decorated function for every pair of types of ps and qs."""

    def enter(f):
        table.update({(p, q): f for p in ps for q in qs})
        return f

    return enter


def same(table, family):
    """Enter the decorated function for a family with itself."""
    return pairs(table, [family], [family])


@same(KL, Normal)
def kl_normal(p, q):
    """log σ_q/σ_p + (σ_p² + (μ_p − μ_q)²)/(2 σ_q²) − ½."""
    d, s = (p.mean - q.mean) / q.std, p.std / q.std
    return 0.5 * (s * s + d * d - 1) - log(s)


@same(KL, MultivariateNormal)
def kl_multivariate_normal(p, q):
    """½ (‖L_q⁻¹ L_p‖² + ‖L_q⁻¹ (μ_p − μ_q)‖² − D) + log det L_q − log det L_p, where ‖·‖² sums squares: no inverse is formed."""
    lp, lq = cholesky(p.cov), cholesky(q.cov)
    a, d = np.linalg.solve(lq, lp), solve_vectors(lq, p.mean - q.mean)
    squares = np.sum(a * a, axis=(-2, -1)) + np.sum(d * d, -1)
    return 0.5 * (squares - p.mean.shape[-1]) + half_log_det(lq) - half_log_det(lp)


@same(KL, Laplace)
def kl_laplace(p, q):
    """log b_q/b_p + (|μ_p − μ_q| + b_p e^(−|μ_p − μ_q|/b_p))/b_q − 1."""
    d = np.abs(p.mean - q.mean)
    return (d + p.scale * np.exp(-d / p.scale)) / q.scale - 1 - log(p.scale / q.scale)


@same(KL, Uniform)
def kl_uniform(p, q):
    """log of the ratio of widths where q's interval holds p's, else ∞."""
    return np.where((p.low < q.low) | (p.high > q.high), np.inf, np.log((q.high - q.low) / (p.high - p.low)))


@same(KL, Exponential)
def kl_exponential(p, q):
    """λ_q/λ_p − 1 − log λ_q/λ_p."""
    r = q.rate / p.rate
    return r - 1 - log(r)


@pairs(KL, [Gamma, Exponential], [Gamma])
@pairs(KL, [Gamma], [Exponential])
def kl_gamma(p, q):
    """(α_p − α_q) ψ(α_p) − log Γ(α_p)/Γ(α_q) + α_q log β_p/β_q + α_p (β_q/β_p − 1); Exponential(β) is Gamma(1, β)."""
    from scipy.special import digamma, gammaln

    a, b, r = getattr(p, "shape", 1.0), getattr(q, "shape", 1.0), q.rate / p.rate
    return (a - b) * of(digamma, a) - of(gammaln, a) + of(gammaln, b) - b * log(r) + a * (r - 1)


@same(KL, Beta)
def kl_beta(p, q):
    """KL of the Dirichlet distributions with α = (a, b)."""
    from scipy.special import betaln, digamma

    da, db = p.a - q.a, p.b - q.b
    return of(betaln, q.a, q.b) - of(betaln, p.a, p.b) + da * digamma(p.a) + db * digamma(p.b) - (da + db) * digamma(p.a + p.b)


@same(KL, Dirichlet)
def kl_dirichlet(p, q):
    """log B(α_q)/B(α_p) + Σ (α_p − α_q)ₖ (ψ(α_pₖ) − ψ(Σ α_p))."""
    from scipy.special import digamma

    excess = digamma(p.alpha) - digamma(np.sum(p.alpha, -1, keepdims=True))
    return log_beta(q.alpha) - log_beta(p.alpha) + np.sum((p.alpha - q.alpha) * excess, -1)


@same(KL, Poisson)
def kl_poisson(p, q):
    """λ_p log λ_p/λ_q − λ_p + λ_q."""
    return p.rate * log(p.rate / q.rate) - p.rate + q.rate


@pairs(KL, [Bernoulli, Categorical, DiscretizedLogistic], [Bernoulli, Categorical, DiscretizedLogistic, Poisson])
def kl_finite(p, q):
    """Σ p(x) (log p(x) − log q(x)) over the support of p."""
    x, batch_ndim = p.support(), max(getattr(d.mean, "ndim", 0) for d in (p, q))
    x = x.reshape(-1, *[1] * batch_ndim)
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    probability = np.exp(log_p)
    possible = probability > 0
    return np.sum(probability * (np.where(possible, log_p, 0) - np.where(possible, log_q, 0)), axis=0)


@same(KL, Independent)
def kl_independent(p, q):
    """Σ KL(pᵢ‖qᵢ)."""
    if p.axes != q.axes:
        raise ValueError(f"kl_divergence: Independent over {p.axes} and over {q.axes} axes; expected the same events")
    return sum_last(kl_divergence(p.dist, q.dist), p.axes)


@pairs(CROSS, [Laplace, Uniform, Exponential, Gamma, Beta], [Normal])
def cross_normal(p, q):
    """½ log 2πσ² + (Var_p + (E_p x − μ)²)/(2σ²)."""
    d = p.mean - q.mean
    return log(q.std) + 0.5 * LOG_2PI + 0.5 * (p.var + d * d) / (q.std * q.std)


@pairs(CROSS, [Normal, Uniform, Exponential], [Laplace])
def cross_laplace(p, q):
    """log 2b + E_p|x − μ|/b."""
    return log(q.scale) + math.log(2) + mean_distance(p, q.mean) / q.scale


def mean_distance(p, m):
    """E_p|x − m| for Normal, Uniform and Exponential."""
    if isinstance(p, Normal):
        from scipy.special import erf

        z = (p.mean - m) / (p.std * math.sqrt(2))
        return p.std * math.sqrt(2) * (np.exp(-z * z) / math.sqrt(math.pi) + z * of(erf, z))
    if isinstance(p, Uniform):
        above, below = p.high - m, p.low - m
        return (above * np.abs(above) - below * np.abs(below)) / (2 * (p.high - p.low))
    inside = np.maximum(m, 0.0)  # P(x < m) matters only there: E|x − m| = 1/λ − m + 2 ∫₀ᵐ (m − x) p(x) dx
    return 1 / p.rate - m + 2 * (inside + of(np.expm1, -p.rate * inside) / p.rate)


@pairs(CROSS, [Uniform, Beta], [Exponential, Gamma])
@pairs(CROSS, [Uniform], [Beta])
def cross_half_line(p, q):
    """−E_p log q from E_p x, E_p log x and E_p log (1 − x); ∞ where p reaches outside the support of q."""
    from scipy.special import betaln, gammaln

    if isinstance(q, Exponential):
        h = q.rate * p.mean - log(q.rate)
    elif isinstance(q, Gamma):
        h = q.rate * p.mean - (q.shape - 1) * mean_log(p) - of(lambda a, b: a * np.log(b) - gammaln(a), q.shape, q.rate)
    else:
        h = of(betaln, q.a, q.b) - (q.a - 1) * mean_log(p) - (q.b - 1) * mean_log(Uniform(1 - p.high, 1 - p.low))
    if isinstance(p, Beta):
        return h
    return np.where((p.low < 0) | ((p.high > 1) & isinstance(q, Beta)), np.inf, h)


def mean_log(p):
    """E_p log x for Beta, ψ(a) − ψ(a + b), and for Uniform, (h log h − l log l)/(h − l) − 1 (of its part above 0)."""
    from scipy.special import digamma, xlogy

    if isinstance(p, Beta):
        return digamma(p.a) - digamma(p.a + p.b)
    high, low = np.maximum(p.high, 0.0), np.maximum(p.low, 0.0)
    return (xlogy(high, high) - xlogy(low, low)) / (p.high - p.low) - 1


@pairs(CROSS, [Beta], [Uniform])
def cross_uniform(p, q):
    """log of q's width where it holds [0, 1], else ∞."""
    return np.where((q.low > 0) | (q.high < 1), np.inf, log(q.high - q.low) + 0 * p.mean)


@pairs(CROSS, [Normal, Laplace], [Uniform, Exponential, Gamma, Beta])
@pairs(CROSS, [Exponential, Gamma], [Uniform, Beta])
@pairs(CROSS, [Poisson], [Bernoulli, Categorical, DiscretizedLogistic])
def cross_infinite(p, q):
    """∞: p has mass outside of the support of q whatever the parameters."""
    return np.inf + 0 * (p.mean + q.mean)


def check_pair(p, q, name):
    """Raise TypeError that names the pair if neither table has it."""
    key = type(p), type(q)
    if key not in KL and key not in CROSS:
        raise TypeError(
            f"{name}: no closed form for {key[0].__name__} and {key[1].__name__};"
            " estimate E_p[log p − log q] as the mean of p.log_prob(x) − q.log_prob(x) over x = p.sample(n, rng)"
        )
    return key


def kl_divergence(p, q):
    """KL(p‖q) in nats, elementwise over broadcast batches; ∞ where p is not contained in q. TypeError for a pair without closed form.

    >>> float(kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0)))
    0.5
    """
    key = check_pair(p, q, "kl_divergence")
    return KL[key](p, q) if key in KL else CROSS[key](p, q) - p.entropy()


def cross_entropy(p, q):
    """H(p, q) = −E_p[log q(x)] in nats, for the pairs of `kl_divergence`."""
    key = check_pair(p, q, "cross_entropy")
    return CROSS[key](p, q) if key in CROSS else KL[key](p, q) + p.entropy()


def js_divergence(p, q, n, rng):
    """½ KL(p‖m) + ½ KL(q‖m) with m = ½ (p + q), nats, by Monte Carlo with n draws from each; never above log 2.

    Any two distributions over the same space. The estimate has no bias; its error falls as 1/√n, and may carry it below 0.
    """

    def half(a, b):
        x = a.sample(n, rng)
        log_a = a.log_prob(x)
        return np.mean(log_a - np.logaddexp(log_a, b.log_prob(x)), axis=0) + math.log(2)

    return 0.5 * (half(p, q) + half(q, p))


def wasserstein2_gaussian(p, q):
    """W₂(p, q), a root: for Normal, elementwise, √((μ_p − μ_q)² + (σ_p − σ_q)²); for MultivariateNormal

    √(‖μ_p − μ_q‖² + tr(C_p + C_q − 2 (L_pᵀ C_q L_p)^½)), L_p L_pᵀ = C_p.

    >>> float(wasserstein2_gaussian(Normal(0.0, 1.0), Normal(3.0, 5.0)))
    5.0
    """
    if type(p) is Normal and type(q) is Normal:
        d, s = p.mean - q.mean, p.std - q.std
        return np.sqrt(d * d + s * s)
    if not (type(p) is MultivariateNormal and type(q) is MultivariateNormal):
        got = f"{type(p).__name__} and {type(q).__name__}"
        raise TypeError(f"wasserstein2_gaussian: got {got}; expected two Normal or two MultivariateNormal")
    d, root = p.mean - q.mean, cholesky(p.cov)
    eigenvalues = np.maximum(np.linalg.eigvalsh(np.swapaxes(root, -1, -2) @ q.cov @ root), 0)
    traces = np.sum(diagonal(p.cov) + diagonal(q.cov), -1) - 2 * np.sum(np.sqrt(eigenvalues), -1)
    return np.sqrt(np.maximum(np.sum(d * d, -1) + traces, 0))
