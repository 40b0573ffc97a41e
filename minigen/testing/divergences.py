"""Checks of divergences: a closed-form KL against its defining integral, and the axioms of a divergence or a distance.

The densities of the families are SciPy's, so that a mistake in the project's own cannot hide here.
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.testing.densities import as_box
from minigen.testing.failure import PropertyFailure, for_all, require, show
from minigen.testing.quadrature import integrate

REAL = [0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, 3.0]
POSITIVE = [1.0, 2.0, 0.5, 0.25, 4.0, 3.0, 1.5]
FROM_ONE = [1.0, 2.0, 1.5, 4.0, 3.0]  # below, a beta density is infinite at its ends, and quadrature of KL too coarse
PROBABILITY = [0.5, 0.25, 0.75, 0.125, 0.9]


@dataclass(frozen=True)
class Family:
    """What `check_kl_closed_form` must know of a family: how to write a member, values for its parameters, its log density and support.

    `values` has one list for each parameter, the simplest value first; log_prob(x, *parameters) and support(*parameters)
    are as in `check_density_normalises`.
    """

    text: str
    values: tuple
    log_prob: object
    support: object

    def fixed(self, *parameters):
        """The family with one member and no parameters: a prior."""
        text = self.text.format(*parameters)
        return Family(text, (), lambda x: self.log_prob(x, *parameters), lambda: self.support(*parameters))


def scipy_family(text, name, arguments, values, support):
    """A family by the name of SciPy's distribution; `arguments` maps our parameters to its."""

    def log_prob(x, *parameters):
        from scipy import stats

        dist = getattr(stats, name)
        return (dist.logpmf if hasattr(dist, "logpmf") else dist.logpdf)(x, **arguments(*parameters))

    return Family(text, values, log_prob, support)


LINE, HALF_LINE = lambda *_: (-np.inf, np.inf), lambda *_: (0, np.inf)
LOC_SCALE = lambda m, s: {"loc": m, "scale": s}
FAMILIES = {
    "normal": scipy_family("N({}, {}²)", "norm", LOC_SCALE, (REAL, POSITIVE), LINE),
    "laplace": Family("Laplace({}, {})", (REAL, POSITIVE), lambda x, m, b: -np.abs(x - m) / b - math.log(2 * b), LINE),
    "exponential": scipy_family("Exponential({})", "expon", lambda r: {"scale": 1 / r}, (POSITIVE,), HALF_LINE),
    "gamma": scipy_family("Gamma({}, {})", "gamma", lambda a, b: {"a": a, "scale": 1 / b}, (POSITIVE, POSITIVE), HALF_LINE),
    "beta": scipy_family("Beta({}, {})", "beta", lambda a, b: {"a": a, "b": b}, (FROM_ONE, FROM_ONE), lambda *_: (0, 1)),
    "uniform": scipy_family(
        "U[{}, {}]", "uniform", lambda a, b: {"loc": a, "scale": b - a}, ([0.0, -1.0, 0.5, -2.0], [1.0, 2.0, 3.0]), lambda a, b: (a, b)
    ),
    "bernoulli": scipy_family("Bernoulli({})", "bernoulli", lambda p: {"p": p}, (PROBABILITY,), lambda *_: np.arange(2)),
    "poisson": scipy_family("Poisson({})", "poisson", lambda r: {"mu": r}, (POSITIVE,), lambda r: np.arange(int(r + 12 * r**0.5 + 40))),
}


def definition(q, a, p, b):
    """(KL, error) by quadrature or enumeration of E_q[log q − log p] for parameters a of q and b of p; ∞ where q has mass outside p."""
    support = q.support(*a)

    def integrand(x):
        x = x[:, 0] if x.ndim == 2 else x
        log_q, log_p = q.log_prob(x, *a), p.log_prob(x, *b)
        weight = np.exp(log_q)
        outside.append(np.any((weight > 1e-100) & (log_p == -np.inf)))
        positive = weight > 1e-100
        return np.where(positive, weight * (np.where(positive, log_q, 0) - np.where(positive & (log_p > -np.inf), log_p, 0)), 0)

    outside = []
    with np.errstate(all="ignore"):
        listed = as_box(support) is None
        value, error = (float(np.sum(integrand(support))), 1e-12) if listed else integrate(integrand, as_box(support), 1e-8)
    return (math.inf, 0.0) if any(outside) else (value, error)


def check_kl_closed_form(kl, *, q="normal", p="normal", cases=40, rtol=1e-6, seed=0, ref=""):
    """Raise PropertyFailure unless kl(*parameters of q, *parameters of p) = KL(q‖p) = E_q[log q(x) − log p(x)], in nats.

    q and p are names in FAMILIES ("normal": mean, std; "gamma": shape, rate; "bernoulli": probability; …) or a `Family`;
    FAMILIES["normal"].fixed(0.0, 1.0) is a fixed prior. kl takes and returns plain numbers. The failure is about the simplest
    counterexample that was found, and says what it looks like where it is a usual mistake.

    >>> check_kl_closed_form(lambda rate_q, rate_p: rate_p / rate_q - 1 - np.log(rate_p / rate_q), q="exponential", p="exponential")
    """
    q, p = (FAMILIES[f] if isinstance(f, str) else f for f in (q, p))

    def body(*parameters):
        a, b = parameters[: len(q.values)], parameters[len(q.values) :]
        got, (want, error) = float(kl(*parameters)), definition(q, a, p, b)
        tolerance = rtol * abs(want) + 10 * error
        if got == want or (math.isfinite(want) and abs(got - want) <= tolerance):
            return
        raise PropertyFailure(
            "closed-form KL equals its defining integral", ref=ref, equation="KL(q‖p) = E_q[log q(x) − log p(x)]",
            inputs=f"q = {q.text.format(*a)}   p = {p.text.format(*b)}", got=got, want=want, oracle="quadrature of the definition",
            error=error, tolerance=tolerance, hint=kl_hint(got, want, q, a, p, b), replay=f"kl({', '.join(map(str, parameters))})",
        )  # fmt: skip

    for_all(body, [*q.values, *p.values], cases, seed)


def kl_hint(got, want, q, a, p, b):
    """The usual mistake that a wrong KL looks like."""
    close = lambda value: math.isfinite(value) and abs(got - value) <= 1e-6 * max(1e-3, abs(value))
    try:
        swapped = definition(p, b, q, a)[0]
    except ValueError:
        swapped = math.nan
    looks = {
        "the arguments look swapped: this is KL(p‖q)": swapped,
        "the sign is turned": -want,
        "a factor ½ is missing": 2 * want,
        "there is a factor ½ too many": 0.5 * want,
        "this is in bits; nats are expected": want / math.log(2),
    }
    return next((hint for hint, value in looks.items() if close(value)), "a KL is never negative" if got < 0 else "")


def probability_vector(rng):
    """Five probabilities, each a multiple of 1/16."""
    return (1 + rng.multinomial(11, np.ones(5) / 5)) / 16


def check_divergence(
    d, *, draw=probability_vector, symmetric=False, triangle=False, zero_iff_equal=True, atol=1e-9, cases=40, seed=0, ref=""
):
    """Raise PropertyFailure unless d(x, y) ≥ 0, with d(x, x) = 0 and d(x, y) > 0 for x ≠ y, and as asked symmetric and triangular.

    draw(rng) gives elements, by default vectors of five probabilities. d is a number; atol is what counts as zero.

    >>> check_divergence(lambda p, q: np.sum(p * np.log(p / q)))
    """

    def body(x, y, z):
        show_xy = f"x = {show(x)}   y = {show(y)}"
        xy = float(d(x, y))
        require(xy >= -atol, "a divergence is not negative", equation="d(x, y) ≥ 0", inputs=show_xy, got=xy, want=0.0, ref=ref)
        if zero_iff_equal:
            xx, distinct = float(d(x, x)), not np.array_equal(x, y)
            fields = {"equation": "d(x, y) = 0 ⇔ x = y", "ref": ref}
            require(abs(xx) <= atol, "a divergence of equal arguments is 0", inputs=f"x = y = {show(x)}", got=xx, want=0.0, **fields)
            require(xy > atol or not distinct, "a divergence of different arguments is positive", inputs=show_xy, got=xy, **fields)
        if symmetric:
            yx = float(d(y, x))
            same = abs(xy - yx) <= atol + 1e-9 * abs(xy)
            require(same, "the divergence is symmetric", equation="d(x, y) = d(y, x)", inputs=show_xy, got=yx, want=xy, ref=ref)
        if triangle:
            through = float(d(x, z)) + float(d(z, y))
            fields = {"equation": "d(x, y) ≤ d(x, z) + d(z, y)", "inputs": f"{show_xy}   z = {show(z)}", "ref": ref}
            require(xy <= through + atol + 1e-9 * abs(through), "the triangle inequality holds", got=xy, want=through, **fields)

    for_all(body, [draw] * 3, cases, seed)
