"""The check of a diffusion's closed forms. The oracle is the definition: normal steps composed one by one, and Bayes' rule.

A step is q(x_t|x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t I), t = 1 … T. Of x_t = a_t x₀ + noise of variance v_t, one step more gives

    a_t = √(1 − β_t) a_{t−1},   v_t = (1 − β_t) v_{t−1} + β_t,   a₀ = 1,   v₀ = 0

and x_{t−1} and x_t are jointly normal given x₀, with covariance √(1 − β_t) v_{t−1}: so that, of x_{t−1} given both x_t and x₀,

    mean = a_{t−1} x₀ + k (x_t − a_t x₀),   variance = v_{t−1} − k² v_t,   k = √(1 − β_t) v_{t−1} / v_t
"""

import numpy as np

from minigen.testing.failure import PropertyFailure, require

# Rows of one coordinate, the simplest first.
ROWS = {"x₀": [1.0, 0.0, -2.0, 0.5], "x_t": [0.0, 1.0, 1.0, -2.0], "ε": [1.0, -1.0, 0.5, 2.0], "0": [0.0, 0.0, 0.0, 0.0]}
ROWS = {symbol: np.array(row)[:, None] for symbol, row in ROWS.items()}


def check_diffusion_marginals(betas, marginal=None, *, q_sample=None, posterior=None, rtol=1e-6, ref=""):
    """Raise PropertyFailure unless closed forms of a diffusion are right at every step t = 1 … T, where betas[t − 1] = β_t.

    Give one or more of marginal(x0, t) -> (mean, std) of q(x_t|x₀), q_sample(x0, t, eps) -> x_t, and posterior(x_t, x0, t) ->
    (mean, variance) of q(x_{t−1}|x_t, x₀), which are x₀ and 0 for t = 1. The x are rows (n, D) in float64, t is a whole number, and
    a std or variance a number or of a shape like x. Nothing is drawn. Raises ValueError for none of these, or betas not in (0, 1).

    >>> betas = np.linspace(0.1, 0.3, 5)
    >>> left = np.cumprod(1 - betas)
    >>> check_diffusion_marginals(betas, lambda x0, t: (np.sqrt(left[t - 1]) * x0, np.sqrt(1 - left[t - 1])))
    """
    betas = np.array(betas, dtype=float)
    if betas.ndim != 1 or not betas.size or not np.all((betas > 0) & (betas < 1)):
        raise ValueError(f"betas have shape {betas.shape}; expected (T,), each between 0 and 1")
    if marginal is None and q_sample is None and posterior is None:
        raise ValueError("check_diffusion_marginals: give marginal, q_sample or posterior")
    x0, x_t, eps, _ = ROWS.values()
    steps, bayes = "q(x_t|x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t I), t times", "q(x_{t−1}|x_t, x₀) ∝ q(x_t|x_{t−1}) q(x_{t−1}|x₀)"
    scale, std = scales(betas), deviations(betas)
    mean = {name: s * x0 for name, s in scale.items()}
    if marginal is not None:
        call = "marginal", marginal, ("x₀", "t")
        compare(*call, 0, "the mean of q(x_t|x₀) is that of the steps composed", steps, mean, rtol, ref)
        compare(*call, 1, "the standard deviation of q(x_t|x₀) is that of the steps composed", steps, std, rtol, ref)
    if q_sample is not None:
        call = "q_sample", q_sample
        compare(*call, ("x₀", "t", "0"), None, "x_t without noise is the mean of the steps composed", steps, mean, rtol, ref)
        noisy = {name: scale[""] * x0 + s * eps for name, s in std.items()}
        message = "the noise in x_t has the standard deviation of the steps composed"
        compare(*call, ("x₀", "t", "ε"), None, message, steps, noisy, rtol, ref)
    if posterior is not None:
        call = "posterior", posterior, ("x_t", "x₀", "t")
        weights, variance = reversal(betas)
        mean = {name: by_x0 * x0 + by_xt * x_t for name, (by_x0, by_xt) in weights.items()}
        compare(*call, 0, "the mean of q(x_{t−1}|x_t, x₀) is that of Bayes' rule", bayes, mean, rtol, ref)
        compare(*call, 1, "the variance of q(x_{t−1}|x_t, x₀) is that of Bayes' rule", bayes, variance, rtol, ref)


# ---- What is right, under the name "", and what the usual mistakes give instead: for t = 1 … T, (T, 1, 1); NaN where anything goes ----
def compose(betas):
    """(a, v): what is left of x₀, and the variance, after t = 0 … T steps, step by step."""
    a, v = [1.0], [0.0]
    for beta in betas:
        a.append(np.sqrt(1 - beta) * a[-1])
        v.append((1 - beta) * v[-1] + beta)
    return np.array(a)[:, None, None], np.array(v)[:, None, None]


def later(values):
    """The values of t + 1 in place of those of t."""
    return np.concatenate([values[1:], np.full_like(values[:1], np.nan)])


def earlier(values):
    """The values of t − 1 in place of those of t: not at t = 1, where an index of −1 gives those of T."""
    return np.concatenate([np.full_like(values[:1], np.nan), values[:-1]])


def scales(betas):
    """By what x₀ is multiplied in the mean of q(x_t|x₀)."""
    (a, v), b = compose(betas), betas[:, None, None]
    return {
        "": a[1:],
        "ᾱ is off by one: this is the mean of t − 1": earlier(a[1:]),
        "ᾱ is off by one: this is the mean of t + 1": later(a[1:]),
        "a √ is missing: this is ᾱ_t x₀": a[1:] ** 2,
        "this is one step from x₀: ᾱ_t is the product over all steps up to t": np.sqrt(1 - b),
        "this is √(1 − ᾱ_t) x₀: the scales of x₀ and of the noise look swapped": np.sqrt(v[1:]),
        "x₀ is not scaled": np.ones_like(b),
    }


def deviations(betas):
    """The standard deviation of q(x_t|x₀)."""
    (a, v), b = compose(betas), betas[:, None, None]
    return {
        "": np.sqrt(v[1:]),
        "this is the variance; the standard deviation is expected": v[1:],
        "ᾱ is off by one: this is the standard deviation of t − 1": np.sqrt(earlier(v[1:])),
        "ᾱ is off by one: this is the standard deviation of t + 1": np.sqrt(later(v[1:])),
        "this is 1 − √ᾱ_t for √(1 − ᾱ_t)": 1 - a[1:],
        "this is √β_t, the noise of one step": np.sqrt(b),
        "variances of steps are added, but each step also shrinks the noise before it": np.sqrt(np.cumsum(b, axis=0)),
        "this is √ᾱ_t: the scales of x₀ and of the noise look swapped": a[1:],
    }


def reversal(betas):
    """The weights of x₀ and x_t in the mean of q(x_{t−1}|x_t, x₀), and its variance."""
    (a, v), b = compose(betas), betas[:, None, None]
    root = np.sqrt(1 - b)
    k = root * v[:-1] / v[1:]
    by_x0, variance = a[:-1] - k * a[1:], v[:-1] - k * k * v[1:]
    weights = {
        "": (by_x0, k),
        "the weights of x₀ and x_t look swapped": (k, by_x0),
        "ᾱ_t stands where ᾱ_{t−1} belongs": (a[1:] * b / v[1:], root),
        "ᾱ is off by one: this is the mean of t + 1": (later(by_x0), later(k)),
        "a √ is missing: of ᾱ_{t−1} and of 1 − β_t": (a[:-1] ** 2 * b / v[1:], root * k),
    }
    with np.errstate(divide="ignore"):
        inverse = np.where(v[:-1] > 0, b * v[1:] / v[:-1], np.nan)
    variances = {
        "": variance,
        "this is β_t, of the step forward; given x₀ it is β̃_t = β_t (1 − ᾱ_{t−1}) / (1 − ᾱ_t)": b,
        "this is the standard deviation; the variance is expected": np.sqrt(variance),
        "1 − ᾱ_{t−1} and 1 − ᾱ_t look swapped": inverse,
        "ᾱ is off by one: this is the variance of t + 1": later(variance),
    }
    return weights, variances


def compare(name, function, symbols, pick, message, equation, values, rtol, ref):
    """Require function(…) (its item `pick`) to be values[""] for every t and row, and recognise another of the values in what it is."""
    want = np.broadcast_to(values[""], (len(values[""]), len(ROWS["x₀"]), 1))
    got = np.stack([call(name, function, symbols, pick, t, ref) for t in range(1, len(want) + 1)])
    wrong = ~(np.abs(got - want) <= rtol * np.abs(want) + 1e-12)
    if not np.any(wrong):
        return
    t, i, _ = place = tuple(np.argwhere(wrong)[0])
    alike = lambda value: np.all(np.isnan(value) | np.isclose(got, value, rtol=1e-5, atol=1e-9)) and not np.all(np.isnan(value))
    arguments = [str(t + 1) if s == "t" else f"np.array({ROWS[s][i : i + 1].tolist()})" for s in symbols]
    raise PropertyFailure(
        message, ref=ref, equation=equation, oracle="composition of the steps" if name != "posterior" else "joint normal",
        inputs="   ".join(f"{s} = {t + 1 if s == 't' else ROWS[s][i, 0]}" for s in symbols if s != "0"), got=got[place], want=want[place],
        tolerance=rtol * abs(want[place]), hint=next((h for h, value in values.items() if h and alike(value)), ""), smallest=True,
        replay=f"{name}({', '.join(arguments)})" + (f"[{pick}]" if pick is not None else ""),
    )  # fmt: skip


def call(name, function, symbols, pick, t, ref):
    """One value of the function, for all rows, after the first tier of every check: right shape, no NaN, inputs untouched."""
    arguments = [t if s == "t" else ROWS[s].copy() for s in symbols]
    fields = {"inputs": f"t = {t}", "ref": ref}
    try:
        value = function(*arguments)
    except IndexError:
        value = None
    require(value is not None, f"{name} takes every t of 1 … T", hint="in arrays of T values, that of t is at the index t − 1", **fields)
    if pick is not None:
        require(isinstance(value, (tuple, list)) and len(value) == 2, f"{name} returns a pair", got=type(value).__name__, **fields)
        value = value[pick]
    value, shape = np.asarray(value, dtype=float), ROWS["x₀"].shape
    scalar = pick == 1 and value.shape in ((), (1,), (1, 1))
    what = name if pick is None else f"{name}(…)[{pick}]"
    require(scalar or value.shape == shape, f"{what} has the shape of x", got=value.shape, want=shape, **fields)
    require(not np.any(np.isnan(value)), f"{what} is never NaN", **fields)
    same = all(np.array_equal(x, ROWS[s]) for s, x in zip(symbols, arguments, strict=True) if s != "t")
    require(same, f"{name} leaves its inputs as they were", **fields)
    return np.broadcast_to(value, shape)
