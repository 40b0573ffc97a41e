"""Checks of what models promise: bounds, EM's ascent, bijections with their log-determinants, and invariances of metrics."""

import math

import numpy as np

from minigen.testing.densities import threshold
from minigen.testing.differences import jacobians
from minigen.testing.failure import PropertyFailure, evaluate, require, show, simplest


def estimate(side, repeats, rng, ref):
    """(mean, standard error) of a side of a bound: an array is exact; a function rng -> array is drawn `repeats` times."""
    if not callable(side):
        return np.asarray(side, dtype=float), 0.0
    draws = np.stack([np.asarray(side(rng), dtype=float) for _ in range(repeats)])
    require(np.all(np.isfinite(draws)), "every draw of the bound is finite", ref=ref)
    return draws.mean(0), draws.std(0, ddof=1) / math.sqrt(repeats)


def check_bound(lower=None, truth=None, upper=None, *, tight=False, atol=1e-9, repeats=2000, seed=0, ref=""):
    """Raise PropertyFailure unless E[lower] ≤ truth ≤ E[upper], elementwise; with `tight`, equal.

    Each is a number or array that is exact, or a function rng -> array of unbiased draws, whose mean over `repeats` is
    compared by z-scores with a false alarm of 10⁻⁶. Leave out the side that there is not.

    >>> check_bound(lower=lambda rng: np.log(np.mean(rng.exponential(size=4))), truth=0.0)
    """
    if truth is None or (lower is None and upper is None):
        raise ValueError("check_bound: give truth, and lower or upper or both")
    rng = np.random.default_rng(seed)
    exact, deviation = estimate(truth, repeats, rng, ref)
    for name, side, sign in (("lower", lower, 1), ("upper", upper, -1)):
        if side is None:
            continue
        value, own = estimate(side, repeats, rng, ref)
        gap = np.atleast_1d(sign * (exact - value))
        slack = np.broadcast_to(atol * (1 + np.abs(exact)) + threshold(gap.size) * np.hypot(deviation, own), gap.shape)
        excess = np.abs(gap) - slack if tight else -gap - slack
        i = np.unravel_index(np.argmax(excess), gap.shape)
        got, want = (float(np.broadcast_to(v, gap.shape)[i]) for v in (value, exact))
        fields = {"equation": f"E[{name}] {'=' if tight else '≤' if sign > 0 else '≥'} truth", "inputs": f"example {show(np.array(i))}"}
        message = f"the {name} bound is attained" if tight and gap[i] > 0 else f"the {name} bound does not cross the truth"
        require(excess[i] <= 0, message, got=got, want=want, oracle="the truth", tolerance=float(slack[i]), ref=ref, **fields)


def check_em(step, loglik, stationarity=None, *, start, steps=500, rtol=1e-9, tolerance=1e-3, ref=""):
    """Raise PropertyFailure unless EM never lowers the likelihood and ends where it should.

    step(state) -> state; loglik(state) -> number, nats; stationarity(state) -> array that is 0 at a stationary point of the
    likelihood (its gradient by free parameters), which after `steps` steps must be below `tolerance` times its size at the start.

    >>> check_em(lambda m: 0.5 * m + 1, lambda m: -(m - 2) ** 2, lambda m: m - 2, start=0.0)
    """
    state, before = start, float(loglik(start))
    first = before
    for i in range(steps):
        state = step(state)
        now = float(loglik(state))
        fields = {"got": now, "want": before, "inputs": f"step {i + 1}", "oracle": "the step before", "ref": ref}
        require(math.isfinite(now), "the likelihood stays finite", **fields)
        ascent = now >= before - rtol * (1 + abs(before))
        require(ascent, "a step of EM never lowers the likelihood", equation="log p(x; θₜ₊₁) ≥ log p(x; θₜ)", **fields)
        before = now
    if stationarity is None:
        require(before > first, "EM raises the likelihood", got=before, want=first, oracle="at the start", ref=ref)
        return
    at_start, at_end = (float(np.max(np.abs(np.asarray(stationarity(s), dtype=float)))) for s in (start, state))
    fields = {"equation": "∇ log p(x; θ) = 0", "inputs": f"after {steps} steps", "got": at_end, "want": 0.0, "ref": ref}
    require(at_end <= tolerance * at_start, "the fixed point of EM is stationary", tolerance=tolerance * at_start, **fields)


def check_bijection(forward, inverse, x, *, rtol=1e-6, ref=""):
    """Raise PropertyFailure unless inverse undoes forward on rows x (n, D), both ways, and the log-determinants are right.

    forward(x) and inverse(y) return (value, logdet); logdet (n,) is compared with log |det| of the Jacobian by differences.
    The failure is about a simpler row than those of x, where one fails too.

    >>> check_bijection(lambda x: (2 * x, np.full(len(x), np.log(4))), lambda y: (y / 2, np.full(len(y), -np.log(4))), np.ones((3, 2)))
    """
    x = np.array(x, dtype=float)
    body = lambda rows: bijection(forward, inverse, rows, rtol, ref)
    try:
        body(x)
    except PropertyFailure as failure:
        found = failure
    else:
        return
    rows = [np.zeros(x.shape[1:]), np.ones(x.shape[1:]), *(np.round(row, digits) for digits in range(3) for row in x[:3]), *x]
    raise simplest(body, [row[None] for row in rows], found)


def bijection(forward, inverse, x, rtol, ref):
    """`check_bijection` of these rows."""
    y, logdet = evaluate_pair(forward, x, "forward", ref)
    back, inverse_logdet = evaluate_pair(inverse, y, "inverse", ref)
    forth, _ = evaluate_pair(forward, back, "forward", ref)
    opposite = "log|det ∂x/∂y| = −log|det ∂y/∂x|"
    for message, equation, got, want, replay in (
        ("inverse undoes forward", "f⁻¹(f(x)) = x", back, x, "inverse(forward({})[0])[0]"),
        ("forward undoes inverse", "f(f⁻¹(y)) = y", forth, y, "forward(inverse(forward({})[0])[0])[0]"),
        ("the log-determinants of inverse and forward cancel", opposite, inverse_logdet, -logdet, "inverse(forward({})[0])[1]"),
    ):
        close(message, equation, x, got, want, rtol * (1 + np.abs(want)), "round trip", replay, ref)
    jacobian, error = jacobians(lambda z: evaluate_pair(forward, z, "forward", ref)[0], x)
    sign, want = np.linalg.slogdet(jacobian)
    require(np.all(sign != 0), "the Jacobian is not singular", ref=ref)
    slack = rtol * (1 + np.abs(want)) + 10 * np.sum(error * np.abs(np.swapaxes(np.linalg.inv(jacobian), -1, -2)), axis=(-2, -1))
    message, equation = "the log-determinant is that of the Jacobian", "logdet = log |det ∂f/∂x|"
    close(message, equation, x, logdet, want, slack, "finite differences", "forward({})[1]", ref)


def evaluate_pair(f, x, name, ref):
    """f(x) = (value, logdet) with shapes (n, D) and (n,)."""
    value = evaluate(lambda x: f(x)[0], x, name, x.shape, ref=ref)
    return value, evaluate(lambda x: f(x)[1], x, f"logdet of {name}", x.shape[:1], ref=ref)


def close(message, equation, x, got, want, slack, oracle, replay, ref):
    """Require got = want to within slack; report the worst entry, and how to get it from the rows x."""
    i = np.unravel_index(np.argmax(np.abs(got - want) / slack), got.shape)
    looks = {"the sign is turned": -want, "a logarithm is missing": np.exp(np.clip(want, None, 700))} if got.ndim == 1 else {}
    wrong = np.any(np.abs(got - want) > slack)
    hint = next((hint for hint, value in looks.items() if wrong and np.allclose(got, value, rtol=1e-6, atol=1e-6)), "")
    place = f"{replay.format(f'np.array({x.tolist()})')}[{', '.join(map(str, i))}]" if x.size <= 24 else ""
    fields = {"got": float(got[i]), "want": float(want[i]), "tolerance": float(slack[i]), "oracle": oracle, "hint": hint, "ref": ref}
    at = f"x = {show(x[i[0]])}" + (f", coordinate {i[1]}" if len(i) > 1 else "")
    require(not wrong, message, equation=equation, inputs=at, replay=place, **fields)


def rotation(dim):
    """An orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(7).standard_normal((dim, dim)))[0]


# Name -> (equation, (metric, x, y) -> (got, want)).
INVARIANTS = {
    "zero_on_identical": ("d(x, x) = 0", lambda d, x, y: (d(x, x), 0.0)),
    "symmetric": ("d(x, y) = d(y, x)", lambda d, x, y: (d(y, x), d(x, y))),
    "permutation": ("the order of the samples does not matter", lambda d, x, y: (d(x[::-1], np.roll(y, 3, axis=0)), d(x, y))),
    "translation": ("d(x + c, y + c) = d(x, y)", lambda d, x, y: (d(x + 3, y + 3), d(x, y))),
    "rotation": ("d(xQ, yQ) = d(x, y)", lambda d, x, y: (d(x @ rotation(x.shape[1]), y @ rotation(x.shape[1])), d(x, y))),
    "scale": ("d(2x, 2y) = d(x, y)", lambda d, x, y: (d(2 * x, 2 * y), d(x, y))),
    "homogeneous": ("d(2x, 2y) = 2 d(x, y)", lambda d, x, y: (d(2 * x, 2 * y), 2 * d(x, y))),
    "quadratic": ("d(2x, 2y) = 4 d(x, y)", lambda d, x, y: (d(2 * x, 2 * y), 4 * d(x, y))),
    "duplication": ("repeating every sample changes nothing", lambda d, x, y: (d(np.repeat(x, 2, 0), np.repeat(y, 2, 0)), d(x, y))),
}


def check_metric(metric, invariants, *, x=None, y=None, rtol=1e-7, atol=1e-7, ref=""):
    """Raise PropertyFailure unless metric(x, y), a number or a tuple or array of numbers, has the invariants.

    `invariants`: names in INVARIANTS ("zero_on_identical", "symmetric", "permutation", "translation", "rotation", "scale",
    "homogeneous", "quadratic", "duplication", also "nonnegative"), or functions (metric, x, y) -> (got, want). x and y are
    the samples, by default of two Gaussians in three dimensions. The inputs must be left as they were, and the value finite.

    >>> check_metric(lambda x, y: np.linalg.norm(x.mean(0) - y.mean(0)), ["symmetric", "translation", "rotation", "homogeneous"])
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)) if x is None else x
    y = 1.5 * rng.standard_normal((50, 3)) + 0.5 if y is None else y
    number = lambda value: np.asarray(value, dtype=float)
    before = x.copy(), y.copy()
    value = number(metric(x, y))
    require(np.all(np.isfinite(value)), "the metric is finite", got=value, ref=ref)
    require(np.array_equal(x, before[0]) and np.array_equal(y, before[1]), "the metric leaves its inputs as they were", ref=ref)
    require(np.array_equal(value, number(metric(x, y))), "the metric gives the same value twice", ref=ref)
    for invariant in invariants:
        if invariant == "nonnegative":
            require(np.all(value >= -atol), "the metric is not negative", got=value, ref=ref)
            continue
        if not callable(invariant) and invariant not in INVARIANTS:
            names = ", ".join([*INVARIANTS, "nonnegative"])
            raise ValueError(f"check_metric: no invariant {invariant!r}; expected a function or one of {names}")
        name = invariant.__name__ if callable(invariant) else invariant
        equation, f = ("", invariant) if callable(invariant) else INVARIANTS[invariant]
        got, want = map(number, f(metric, x, y))
        same = got.shape == want.shape and np.all(np.abs(got - want) <= atol + rtol * np.abs(want))
        require(same, f"the metric has the invariant {name!r}", equation=equation, got=got, want=want, tolerance=rtol, ref=ref)
