"""Numerical derivatives that state their own error: the oracle of every check of a gradient, a score or a Jacobian.

Sources: Ridders 1982, "Accurate computation of F′(x) and F′(x)F″(x)"; Squire & Trapp 1998, "Using complex variables to
estimate derivatives of real functions".
"""

import warnings

import numpy as np

LEVELS = 5
STARTS = (0.03, 1e-3, 3e-5, 1e-6)  # first steps, relative to the scale of x, tried until the extrapolation settles
SETTLED = 1e-7
COMPLEX_STEP = 1e-30


def ridders(f, x, v, h):
    """(df, error): the derivative of f along v at x, by central differences with steps h, h/2, … extrapolated to step 0.

    Each output keeps the entry of the extrapolation table with the smallest error estimate. The error counts rounding too.
    """
    table, best = [], None
    for _ in range(LEVELS):
        up, down = f(x + h * v), f(x - h * v)
        row = [(up - down) / (2 * h)]
        rounding = 4 * np.finfo(float).eps * np.where(up == down, 0, np.abs(up) + np.abs(down)) / h
        for k, coarse in enumerate(table):
            row.append(row[k] + (row[k] - coarse) / (4 ** (k + 1) - 1))
            error = np.maximum(np.abs(row[k + 1] - row[k]), np.abs(row[k + 1] - coarse)) + rounding
            error = np.where(np.isfinite(error), error, np.inf)
            if best is None:
                best = row[k + 1], error
            else:
                best = np.where(error < best[1], row[k + 1], best[0]), np.minimum(error, best[1])
        table, h = row, h / 2
    return best


def along(f, x, v):
    """(df, error): `ridders` with the first of several starting steps that settles, each output keeping its best.

    f maps flat float64 vectors to flat vectors; v should be as long as the change in x over which f is smooth.
    """
    best = None
    with np.errstate(all="ignore"):
        for h in STARTS:
            df, error = ridders(f, x, v, h)
            best = (df, error) if best is None else (np.where(error < best[1], df, best[0]), np.minimum(error, best[1]))
            if np.all(best[1] <= SETTLED * np.max(np.abs(best[0]), initial=0)):
                break
    return best


def complex_along(f, x, v):
    """df along v as Im f(x + ihv)/h, exact to rounding where f is analytic and takes complex numbers; else None."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error")
            y = f(x + 1j * COMPLEX_STEP * v)
        return y.imag / COMPLEX_STEP if y.dtype.kind == "c" and np.all(np.isfinite(y)) else None
    except Exception:
        return None  # whatever f raises means that it does not take complex numbers


def derivative_along(f, x, scale, rng):
    """The function v ↦ (df, error) to use for f at x: the complex step where it agrees with differences, else differences."""
    v = scale * rng.standard_normal(x.shape)
    exact, (df, error) = complex_along(f, x, v), along(f, x, v)
    if exact is None or exact.shape != df.shape or not np.all(np.abs(exact - df) <= 10 * error + 1e-9 * np.abs(df)):
        return lambda v: along(f, x, v)

    def by_complex_step(v):
        df = complex_along(f, x, v)
        return (df, 1e-13 * np.abs(df)) if df is not None else along(f, x, v)

    return by_complex_step


def typical_scale(x):
    """How far each entry of an array may be moved: its own size, at least a hundredth of the largest one's; 1 where all are 0."""
    largest = np.max(np.abs(x), initial=0)
    return np.maximum(np.abs(x), 0.01 * largest) if largest > 0 else np.ones_like(x)


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
