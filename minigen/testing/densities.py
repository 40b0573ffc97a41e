"""Is this a density, and does this sampler draw from it?

A support says which integral is meant: (low, high) for one number; a list of such pairs, one a coordinate, for vectors; an
array of all values, the first axis running over them, where they can be listed. A density over more than three
coordinates is integrated by importance sampling.
"""

import math

import numpy as np

from minigen.testing.failure import FALSE_ALARM, evaluate, require, show
from minigen.testing.quadrature import integrate

DRAWS = 200_000  # of importance sampling


def threshold(comparisons=1):
    """The z-score that right code exceeds, in any of so many comparisons, with probability 10⁻⁶ at most."""
    from scipy.special import ndtri

    return float(-ndtri(0.5 * FALSE_ALARM / comparisons))


def as_box(support):
    """The support as a list of (low, high) pairs, or None where it lists its points."""
    if isinstance(support, np.ndarray):
        return None
    return [support] if np.ndim(support[0]) == 0 else list(support)


def t_proposal(x, dim, rng, nu=5, spread=1.5):
    """(draws, log density) of a multivariate Student t fitted to points x (or standard, without any) and widened."""
    from scipy.special import gammaln

    mean, cov = (np.zeros(dim), np.eye(dim)) if x is None else (x.mean(0), np.atleast_2d(np.cov(x.T)))
    root = spread * np.linalg.cholesky(cov + 1e-9 * np.trace(cov) / dim * np.eye(dim))
    z = rng.standard_normal((DRAWS, dim)) / np.sqrt(rng.chisquare(nu, (DRAWS, 1)) / nu)
    constant = gammaln((nu + dim) / 2) - gammaln(nu / 2) - 0.5 * dim * math.log(nu * math.pi) - np.log(np.diagonal(root)).sum()
    return mean + z @ root.T, constant - 0.5 * (nu + dim) * np.log1p(np.sum(z * z, -1) / nu)


def weigh(log_prob, support, sample, rng, ref):
    """(points, weights): importance weights p(x)/r(x) of draws from r, Student's t or, for a finite box, the uniform density."""
    low, high = np.array(support, dtype=float).T
    if sample is None and np.all(np.isfinite(high - low)):
        x, log_r = rng.uniform(low, high, (DRAWS, len(low))), -np.sum(np.log(high - low))
    else:
        pilot = None if sample is None else np.asarray(sample(10_000, rng))
        x, log_r = t_proposal(pilot, len(low), rng)
    log_p = evaluate(log_prob, x, "log_prob", x.shape[:1], ref=ref)
    inside = np.all((x >= low) & (x <= high), axis=-1)
    return x, np.where(inside, np.exp(log_p - log_r), 0)


def check_density_normalises(log_prob, support, *, sample=None, tolerance=1e-6, seed=0, ref=""):
    """Raise PropertyFailure unless ∫ exp log_prob(x) dx = 1 over the support, or Σ = 1 where it lists the values.

    log_prob takes (n,) numbers or (n, D) vectors, as the support says, to (n,). By quadrature to three dimensions; above
    them by importance sampling, best with `sample(n, rng)` to fit the proposal. ValueError where the oracle fails.

    >>> check_density_normalises(lambda x: -np.abs(x) - np.log(2), (-np.inf, np.inf))
    """
    box, rng = as_box(support), np.random.default_rng(seed)
    fields = {"equation": "∫ p(x) dx = 1", "want": 1.0, "ref": ref}

    def density(x):
        x = x[:, 0] if np.ndim(support[0]) == 0 else x
        p = np.exp(evaluate(log_prob, x, "log_prob", x.shape[:1], ref=ref))
        at = np.argmax(p)
        require(np.isfinite(p[at]), "log_prob is below +∞ within the support", inputs=f"x = {show(x[at])}", ref=ref)
        return p

    if box is None:
        fields["equation"] = "Σ P(x) = 1"
        total = float(np.sum(np.exp(evaluate(log_prob, support, "log_prob", support.shape[:1], ref=ref))))
        error, oracle = 1e-12 * len(support), "sum over all values"
    elif len(box) <= 3:
        total, error = integrate(density, box, 0.1 * tolerance)
        oracle = "quadrature"
    else:
        _, weights = weigh(log_prob, box, sample, rng, ref)
        total, deviation = float(np.mean(weights)), float(np.std(weights)) / math.sqrt(DRAWS)
        error, oracle = threshold() * deviation, "importance sampling, false alarm 1e-6"
        if deviation > 0.02 * total:
            raise ValueError(f"importance sampling gives {total:.3g} ± {deviation:.1g}: give `sample`, or a support close to the density")
    hint = ""
    if abs(total - 1) > tolerance + error and box is not None:
        dims = len(box)
        known = {(2 * math.pi) ** (k / 2): f"(2π)^({k}/2)" for k in range(-2 * dims, 2 * dims + 1) if k} | {2.0: "2", 0.5: "½"}
        hint = next((f"the constant is off by the factor {name}" for value, name in known.items() if abs(total / value - 1) < 1e-3), "")
    ok = abs(total - 1) <= tolerance + error
    require(ok, "the density integrates to 1", got=total, oracle=oracle, error=error, tolerance=tolerance + error, hint=hint, **fields)


def features(x, frequencies, phases):
    """Bounded functions cos(wᵀx + b) of points (n, D), whose means tell distributions apart."""
    return np.cos(x @ frequencies + phases)


def check_sampler_matches(sample, log_prob=None, *, cdf=None, support=None, n=100_000, seed=0, ref=""):
    """Raise PropertyFailure unless sample(n, rng) draws independently from a distribution, with false alarm 10⁻⁶.

    Give its cdf (of one number): cdf(x) must be uniform. Or its log_prob and support: draws are counted where the support
    lists the values; else means of 64 random waves cos(wᵀx + b) are compared with their integrals.

    >>> check_sampler_matches(lambda n, rng: rng.exponential(size=n), cdf=lambda x: 1 - np.exp(-x))
    """
    if (cdf is None) == (log_prob is None) or (log_prob is not None and support is None):
        raise ValueError("check_sampler_matches: give cdf, or log_prob together with support")
    rng = np.random.default_rng(seed)
    x = np.asarray(sample(n, np.random.default_rng(seed)))
    again = np.asarray(sample(n, np.random.default_rng(seed)))
    require(x.shape[:1] == (n,), "sample(n, rng) gives n draws", got=x.shape, want=(n,), ref=ref)
    require(np.all(np.isfinite(x)), "every draw is finite", ref=ref)
    require(np.array_equal(x, again), "the same seed gives the same draws", hint="does something draw without rng?", ref=ref)
    if cdf is not None:
        waves(cdf_values(cdf, x, ref)[:, None], np.pi * np.arange(1.0, 33)[None], np.zeros(32), np.zeros(32), np.full(32, 0.5), 0, ref)
    elif as_box(support) is None:
        count(x, support, np.exp(evaluate(log_prob, support, "log_prob", support.shape[:1], ref=ref)), ref)
    else:
        flat, box = x.reshape(n, -1).astype(float), as_box(support)
        require(np.any(flat != flat[0]), "the draws differ", hint="is one noise used for all of them?", ref=ref)
        pilot = np.asarray(sample(1000, rng)).reshape(1000, -1)
        frequencies = rng.standard_normal((flat.shape[1], 64)) * np.geomspace(0.25, 3, 64) / (np.std(pilot, axis=0)[:, None] + 1e-300)
        phases = rng.uniform(0, 2 * np.pi, 64) - pilot.mean(0) @ frequencies
        waves(flat, frequencies, phases, *expected_waves(log_prob, support, box, sample, frequencies, phases, rng, ref), ref)


def cdf_values(cdf, x, ref):
    """u = cdf(x), which must be in [0, 1]."""
    u = evaluate(cdf, x.astype(float), "cdf", x.shape, ref=ref)
    require(x.ndim == 1 and np.all((u >= 0) & (u <= 1)), "cdf(x) of a number is between 0 and 1", ref=ref)
    return u


def expected_waves(log_prob, support, box, sample, frequencies, phases, rng, ref):
    """(means, variances, standard error of the means) of the waves under p."""
    if len(box) <= 3:

        def integrand(x):
            p = np.exp(evaluate(log_prob, x[:, 0] if np.ndim(support[0]) == 0 else x, "log_prob", x.shape[:1], ref=ref))
            wave = features(x, frequencies, phases)
            return np.concatenate([p[:, None], p[:, None] * wave, p[:, None] * wave**2], axis=-1)

        integrals, error = integrate(integrand, box, 1e-5)
        means, squares = np.split(integrals[1:] / integrals[0], 2)
    else:
        x, weights = weigh(log_prob, box, sample, rng, ref)
        wave, total = features(x, frequencies, phases), np.sum(weights)
        means, squares = weights @ wave / total, weights @ wave**2 / total
        error = np.sqrt(np.sum((weights[:, None] * (wave - means)) ** 2, axis=0)) / total
        if np.max(error) > 0.02:
            raise ValueError(f"importance sampling is only good to {np.max(error):.1g} here: the density is too far from one hump")
    return means, squares - means**2, error


def waves(x, frequencies, phases, want, variance, error, ref):
    """Compare the means of waves over draws with what is expected, as z-scores."""
    got = features(x, frequencies, phases).mean(0)
    deviation = np.sqrt(np.maximum(variance, 0) / len(x) + np.square(error)) + 1e-9
    z = (got - want) / deviation
    i, limit = int(np.argmax(np.abs(z))), threshold(len(z))
    fields = {"got": float(got[i]), "want": float(want[i]), "oracle": "expectation under p", "tolerance": float(limit * deviation[i])}
    fields |= {"equation": "mean of cos(w·x + b) over draws = ∫ cos(w·x + b) p(x) dx", "ref": ref}
    require(abs(z[i]) <= limit, f"the draws follow the density ({abs(z[i]):.1f} standard errors off, {limit:.1f} allowed)", **fields)


def count(x, values, probabilities, ref):
    """Compare how often each value was drawn with its probability, by exact binomial tails."""
    from scipy.stats import binom

    same = np.all((x[:, None] == values[None]).reshape(len(x), len(values), -1), axis=-1)
    stray = ~np.any(same, axis=1)
    require(not np.any(stray), "every draw is in the support", inputs=f"x = {show(x[np.argmax(stray)])}", ref=ref)
    got, p = same.sum(0), np.clip(probabilities, 0, 1)
    tails = 2 * np.minimum(binom.cdf(got, len(x), p), binom.sf(got - 1, len(x), p))
    i = int(np.argmin(tails))
    fields = {"inputs": f"x = {show(values[i])}", "got": got[i] / len(x), "want": float(p[i]), "oracle": "exp log_prob", "ref": ref}
    require(tails[i] >= FALSE_ALARM / len(values), f"the draws follow the probabilities (p-value {tails[i]:.0e})", **fields)
