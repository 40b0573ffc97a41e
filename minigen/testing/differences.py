"""Numerical derivatives that state their own error: the oracle of every check of a gradient, a score or a Jacobian.

Sources: Ridders 1982, "Accurate computation of F′(x) and F′(x)F″(x)"; Squire & Trapp 1998, "Using complex variables to
estimate derivatives of real functions".
"""

import warnings

import numpy as np

LEVELS = 5
STARTS = (0.03, 1e-3, 3e-5, 1e-6, 3e-8)  # first steps, relative to the scale of x, tried until the extrapolation settles
SETTLED = 1e-7
COMPLEX_STEP = 1e-30
EPS = np.finfo(float).eps
NEIGHBOURS = np.sqrt([0, 0.02, 0.17, 0.33, 0.58, 0.79, 1])  # at irrational distances, so that rounding does not repeat
CUBICS = np.vander(NEIGHBOURS, 4)
NOT_CUBIC = np.eye(7) - CUBICS @ np.linalg.pinv(CUBICS)
NUDGES = (1 + 2 * EPS, 1 - 2 * EPS)


def ridders(f, x, v, h, noise):
    """(df, error, noise): the derivative of f along v at x, by central differences with steps h, h/2, … extrapolated to 0.

    Each output keeps the entry of the extrapolation table with the smallest error estimate, which counts rounding by the
    noise of f: its last digit, or `noise_near`, or what was seen of it before, where that is more.
    """
    table, best = [], None
    for _ in range(LEVELS):
        up, down = f(x + h * v), f(x - h * v)
        if not table:
            seen = 4 * EPS * (np.abs(up) + np.abs(down)) + 4 * noise_near(f, x + h * v, 5e-4 * h * v)
            noise = np.maximum(noise, np.where(np.isfinite(seen), seen, 0))
        row = [(up - down) / (2 * h)]
        for k, coarse in enumerate(table):
            row.append(row[k] + (row[k] - coarse) / (4 ** (k + 1) - 1))
            error = np.maximum(np.abs(row[k + 1] - row[k]), np.abs(row[k + 1] - coarse)) + noise / h
            best = keep_better(best, (row[k + 1], np.where(np.isfinite(error), error, np.inf)))
        table, h = row, h / 2
    return *best, noise


def noise_near(f, x, step):
    """How rough f is near x: what a cubic does not fit of seven neighbours, which shows cancellation inside of a smooth f."""
    return np.max(np.abs(NOT_CUBIC @ [f(x + t * step) for t in NEIGHBOURS]), axis=0)


def spread(values):
    """The range of several evaluations of the same thing."""
    return np.max(values, axis=0) - np.min(values, axis=0)


def keep_better(a, b):
    """Of two (value, error) pairs, for each output the one with the smaller error."""
    return b if a is None else (np.where(b[1] < a[1], b[0], a[0]), np.minimum(a[1], b[1]))


def along(f, x, v):
    """(df, error): `ridders` with the first of several starting steps that settles, each output keeping its best.

    f maps flat float64 vectors to flat vectors; v should be as long as the change in x over which f is smooth.
    """
    best, noise = None, 0.0
    with np.errstate(all="ignore"):
        for h in STARTS:
            df, error, noise = ridders(f, x, v, h, noise)
            best = keep_better(best, (df, error))
            # Where rounding is what limits, smaller steps only add to it.
            if np.all(best[1] <= np.maximum(SETTLED * np.max(np.abs(best[0]), initial=0), 2**LEVELS * noise / h)):
                break
    return best


def complex_along(f, x, v):
    """(df, error) along v as Im f(x + ihv)/h, exact to rounding where f is analytic and takes complex numbers; else None."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error")
            y = [f(x * nudge + 1j * COMPLEX_STEP * v) for nudge in (1.0, *NUDGES)]
    except Exception:
        return None  # whatever f raises means that it does not take complex numbers
    if y[0].dtype.kind != "c" or not np.all(np.isfinite(y)):
        return None
    df = np.imag(y) / COMPLEX_STEP
    return df[0], 1e-13 * np.abs(df[0]) + 4 * spread(df)


def derivative_along(f, x, scale, rng):
    """The function v ↦ (df, error) to use for f at x: the complex step where it agrees with differences, else differences."""
    v = scale * rng.standard_normal(x.shape)
    exact, (df, error) = complex_along(f, x, v), along(f, x, v)
    if exact is None or exact[0].shape != df.shape or not np.all(np.abs(exact[0] - df) <= 10 * error + 1e-9 * np.abs(df)):
        return lambda v: along(f, x, v)
    return lambda v: complex_along(f, x, v) or along(f, x, v)


def typical_scale(x):
    """How far each entry of an array may be moved: its own size; for zeros a hundredth of the largest, or 1 where all are 0."""
    largest = np.max(np.abs(x), initial=0)
    return np.where(x == 0, 0.01 * largest if largest > 0 else 1.0, np.abs(x))


def jacobians(f, x):
    """(J, error) of a function of rows, (n, D) → (n, …): J[..., d] is the derivative of each row's output by its d-th input."""
    columns = []
    scale = np.max(typical_scale(x), axis=0)
    shape = f(x).shape
    for d in range(x.shape[1]):
        v = np.zeros_like(x)
        v[:, d] = scale[d]
        df, error = along(lambda z: f(z.reshape(x.shape)).reshape(-1), x.reshape(-1), v.reshape(-1))
        columns.append((df.reshape(shape) / scale[d], error.reshape(shape) / scale[d]))
    return tuple(np.stack(part, axis=-1) for part in zip(*columns, strict=True))
