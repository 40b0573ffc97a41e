"""Integrals over boxes in up to three dimensions, to a stated error: the oracle of the checks of densities.

A box is mapped to the unit cube such that ends at infinity, and singularities like 1/√x at finite ends, do no harm. The
cube is cut into cells; those whose 6-point Gauss–Lobatto and 7-point Gauss–Legendre rules differ most are halved along each
axis, until the sum of the differences is below the tolerance. (Wherever a jump lies in a cell, these two rules weigh its
sides differently: Lobatto's sees the edges, and an even number of points against an odd one tells the middle.)

Source: Abramowitz & Stegun 1964, "Handbook of Mathematical Functions", tables 25.4 and 25.6.
"""

import itertools

import numpy as np

LOBATTO = np.array([-1 + 1e-6, -0.765055323929465, -0.285231516480645]), np.array([1 / 15, 0.378474956297847, 0.554858377035486])
CELLS = {1: 1000, 2: 10, 3: 4}  # along each axis, at first
POINTS = 4_000_000  # evaluations of the integrand before giving up


def to_unit_interval(low, high):
    """(x(t), dx/dt) for t in (0, 1): smooth, and flat enough at finite ends to cancel a singularity like 1/√x there."""
    if np.isfinite(low) and np.isfinite(high):
        inside = np.nextafter(low, high), np.nextafter(high, low)
        width = high - low
        return lambda t: np.clip(low + width * t**3 * (10 - 15 * t + 6 * t * t), *inside), lambda t: 30 * width * (t * (1 - t)) ** 2
    if np.isfinite(low):
        return lambda t: low + (t / (1 - t)) ** 3, lambda t: 3 * t * t / (1 - t) ** 4
    if np.isfinite(high):
        return lambda t: high - (t / (1 - t)) ** 3, lambda t: 3 * t * t / (1 - t) ** 4
    return lambda t: (2 * t - 1) / (4 * t * (1 - t)), lambda t: (1 - 2 * t * (1 - t)) / (4 * (t * (1 - t)) ** 2)


def tensor_rule(t, w, dim):
    """Nodes (n**dim, dim) and weights of a rule on [−1, 1] carried over to the unit cube."""
    grid = np.meshgrid(*[(t + 1) / 2] * dim, indexing="ij")
    weights = np.meshgrid(*[w / 2] * dim, indexing="ij")
    return np.stack([g.reshape(-1) for g in grid], axis=-1), np.prod([g.reshape(-1) for g in weights], axis=0)


def integrate(f, support, tolerance=1e-7):
    """(∫ f, error) over a support [(low, high), …], one pair a dimension; f takes (n, dim) points to (n,) or (n, k) values.

    The error is of the worst of the k integrals. Raises ValueError where it stays above a hundred times the tolerance.
    """
    dim = len(support)
    if not 1 <= dim <= len(CELLS):
        raise ValueError(f"support has {dim} dimensions; expected one to three")
    maps = [to_unit_interval(float(low), float(high)) for low, high in support]
    t, w = LOBATTO
    lobatto = np.concatenate([t, -t[::-1]]), np.concatenate([w, w[::-1]])
    rules = [tensor_rule(*rule, dim) for rule in (lobatto, np.polynomial.legendre.leggauss(7))]

    def cells(corners, width):
        """Both rules' integrals over cells, (cells, k) each."""
        results = []
        for nodes, weights in rules:
            t = (corners[:, None, :] + width[:, None, None] * nodes).reshape(-1, dim)
            jacobian = np.prod(np.stack([m[1](t[:, d]) for d, m in enumerate(maps)]), axis=0)
            values = np.asarray(f(np.stack([m[0](t[:, d]) for d, m in enumerate(maps)], axis=-1)))
            values = (values.T * jacobian).T.reshape(len(corners), len(weights), -1)
            results.append(np.einsum("cpk,p->ck", values, weights) * (width**dim)[:, None])
        return results

    n, halves = CELLS[dim], np.array(list(itertools.product((0, 0.5), repeat=dim)))
    corners = np.array(list(itertools.product(np.arange(n) / n, repeat=dim)))
    width = np.full(len(corners), 1 / n)
    total, spent, error = 0.0, 0, 0.0
    while len(corners) and spent < POINTS:
        coarse, fine = cells(corners, width)
        spent += len(corners) * sum(len(w) for _, w in rules)
        errors = np.max(np.abs(coarse - fine), axis=1)
        # Smallest first: cells are accepted as long as their errors together use at most half of what is left.
        order = np.argsort(errors)
        accepted = np.zeros(len(errors), dtype=bool)
        accepted[order[np.cumsum(errors[order]) <= 0.5 * max(tolerance - error, 0)]] = True
        accepted |= width < 1e-15
        total, error = total + fine[accepted].sum(0), error + errors[accepted].sum()
        rest, pending, open_width = fine[~accepted], errors[~accepted], width[~accepted]
        corners = (corners[~accepted][:, None, :] + open_width[:, None, None] * halves).reshape(-1, dim)
        width = np.repeat(open_width / 2, len(halves))
    if len(corners):
        total, error = total + rest.sum(0), error + pending.sum()
    if not error <= 100 * tolerance:
        raise ValueError(f"the quadrature only reached an error of {error:.0e}: give a support that fits the density more closely")
    return (total.item() if np.size(total) == 1 else total), float(error) + 1e-14
