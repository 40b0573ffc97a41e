"""What is asked of the functions of k-means, principal components and Gaussian mixtures."""

import numpy as np

from minigen.assignments.checks.common import numbers
from minigen.testing.failure import require

X = np.array([[0.0, 0.5, 1.0], [1.0, -1.0, 0.5], [2.0, 0.25, -2.0], [-0.5, 1.5, 0.0], [0.25, 3.0, 1.0]])
CENTERS, ORIGIN = np.array([[1.0, 0.0, 0.5], [-1.0, 2.0, 0.0]]), np.array([0.5, -0.25, 2.0])
R = np.array([[1.0, 0.25, 0.0, 0.5, 0.75], [0.0, 0.75, 1.0, 0.5, 0.25]])


def same(got, want, message, **fields):
    """Fail with the message unless the numbers agree to 1e-8."""
    require(np.allclose(got, want, rtol=1e-8, atol=1e-10), message, got=got, want=want, **fields)


def part(f, i):
    """The function of the same arguments that gives the i-th part of a pair."""
    return lambda *arguments: f(*arguments)[i]


def expand_cases(expand):
    """The shapes, and a centre at the origin."""
    numbers(part(expand, 0), (CENTERS, ORIGIN), (3, 2))
    b = numbers(part(expand, 1), (ORIGIN[None], ORIGIN), (1,))
    w = numbers(part(expand, 0), (ORIGIN[None], ORIGIN), (3, 1))
    require(np.allclose(b, 0) and np.allclose(w, 0), "for a centre at the origin both are 0", got=b, want=np.zeros(1))
    require(bool(np.any(numbers(part(expand, 0), (CENTERS, ORIGIN), (3, 2)))), "for others W is not 0")


def expand_definition(expand):
    """x @ W + b is the difference of two squared distances, by their definition."""
    w, b = numbers(part(expand, 0), (CENTERS, ORIGIN), (3, 2)), numbers(part(expand, 1), (CENTERS, ORIGIN), (2,))
    want = [[np.sum((x - c) ** 2) - np.sum((x - ORIGIN) ** 2) for c in CENTERS] for x in X]
    same(X @ w + b, np.array(want), "x @ W + b is the difference of squared distances", equation="‖x − c‖² − ‖x − m‖²")


def statistics_cases(statistics):
    """Hard memberships count."""
    counts = numbers(part(statistics, 0), (X, np.eye(2)[[0, 1, 1, 1, 0]].T.copy()), (2,))
    same(counts, np.array([2.0, 3.0]), "hard memberships are counted")


def statistics_definition(statistics):
    """Sums over data, and they add up over blocks."""
    counts, sums = numbers(part(statistics, 0), (X, R), (2,)), numbers(part(statistics, 1), (X, R), (2, 3))
    same(counts, np.array([sum(R[j]) for j in range(2)]), "Σᵢ r_jᵢ")
    same(sums, np.array([sum(R[j, i] * X[i] for i in range(5)) for j in range(2)]), "Σᵢ r_jᵢ xᵢ")


def axes_cases(axes):
    """A cloud along the coordinate axes."""
    x = np.array([[3.0, 0, 0], [-3.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    same(
        numbers(part(axes, 0), (x, np.zeros(3), 2), (2,)),
        np.array([6.0, 2 / 3]),
        "the variances (which divide by n − 1), the largest first",
    )
    w = numbers(part(axes, 1), (x, np.zeros(3), 2), (2, 3))
    same(np.abs(w), np.eye(3)[:2], "the axes as rows, in the order of variances")


def axes_definition(axes):
    """Projections are uncorrelated, of variance λ; no other plane has more."""
    mean = X.mean(0)
    values, w = numbers(part(axes, 0), (X, mean, 2), (2,)), numbers(part(axes, 1), (X, mean, 2), (2, 3))
    same(w @ w.T, np.eye(2), "the axes are orthonormal")
    same(np.cov((X - mean) @ w.T, rowvar=False), np.diag(values), "projections are uncorrelated, and λ are their variances")
    for angle in np.linspace(0, 3, 13):
        other = np.array([np.cos(angle) * np.array([1.0, 0, 0]) + np.sin(angle) * np.array([0, 0.6, 0.8]), [0, -0.8, 0.6]])
        rival = np.trace(np.cov(X @ other.T, rowvar=False))
        require(values.sum() >= rival - 1e-9, "no other plane has more variance", got=values.sum(), want=rival)


W, SIGNAL = np.array([[1.0, 0.5, -1.0], [0.0, 2.0, 0.5]]), np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 0.5]])


BASE = np.e  # of the logarithm that measures information


def information_cases(information):
    """One direct measurement, and the basis of the plane."""
    got = float(numbers(information, (np.array([[1.0, 0.0]]), np.diag([3.0, 1.0]), 1.0), ()))
    same(got, np.log(2) / np.log(BASE), "one channel of signal 3 and noise 1 carries ½ log 4")
    turned = np.array([[2.0, 1.0], [0.5, -3.0]]) @ W
    one, two = (float(numbers(information, (w, SIGNAL, 0.5), ())) for w in (W, turned))
    same(two, one, "another basis of the same plane carries as much")


def information_definition(information):
    """h(y) + h(s) − h(y, s) of the joint Gaussian."""
    noise = 0.5
    y, cross = W @ (SIGNAL + noise * np.eye(3)) @ W.T, W @ SIGNAL
    joint = np.block([[y, cross], [cross.T, SIGNAL]])
    want = 0.5 * (np.log(np.linalg.det(y)) + np.log(np.linalg.det(SIGNAL)) - np.log(np.linalg.det(joint)))
    got = float(numbers(information, (W, SIGNAL, noise), ()))
    same(got, float(want / np.log(BASE)), "it is the information of the joint Gaussian", equation="I = h(y) + h(s) − h(y, s)")


ROOTS = np.array([[[1.0, 0, 0], [0.5, 3.0, 0], [-1.0, 0.25, 0.5]], [[0.5, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0.75]]])
INVERSE, WEIGHTS = np.linalg.inv(ROOTS), np.array([0.25, 0.75])


def whiten_cases(whiten):
    """At the mean the white coordinates are 0; a diagonal L may be given by its diagonal."""
    diagonal = np.array([[1.0, 2.0, 0.5], [0.25, 1.0, 4.0]])
    full = numbers(whiten, (CENTERS, np.stack([np.diag(d) for d in diagonal]), X), (2, 3, 5))
    same(numbers(whiten, (CENTERS, diagonal, X), (2, 3, 5)), full, "a diagonal L⁻¹ may be given as (k, D)")
    same(numbers(whiten, (CENTERS, INVERSE, CENTERS), (2, 3, 2))[[0, 1], :, [0, 1]], np.zeros((2, 3)), "a mean has white coordinates 0")
    require(bool(np.any(full)), "other data have not", got=full)


def whiten_definition(whiten):
    """L y = x − μ."""
    y = numbers(whiten, (CENTERS, INVERSE, X), (2, 3, 5))
    for j in range(2):
        same((ROOTS[j] @ y[j]).T, X - CENTERS[j], "L y = x − μ", equation="y = L⁻¹ (x − μ)")


def joint_cases(log_joint):
    """One standard normal at its mean."""
    got = numbers(log_joint, (np.ones(1), np.eye(2)[None], np.zeros((1, 2, 1))), (1, 1))
    same(got, -np.log(2 * np.pi), "N(0, I) in two dimensions has log density −log 2π at 0")
    got = numbers(log_joint, (WEIGHTS, np.ones((2, 2)), np.zeros((2, 2, 1))), (2, 1))
    same(got[1] - got[0], np.log(3), "weights ¼ and ¾ differ by log 3")


def joint_definition(log_joint):
    """log π + log N(x; μ, Σ), by determinants and inverses of Σ = L Lᵀ."""
    y = INVERSE @ np.swapaxes(X - CENTERS[:, None], 1, 2)
    got = numbers(log_joint, (WEIGHTS, INVERSE, y), (2, 5))
    for j in range(2):
        cov = ROOTS[j] @ ROOTS[j].T
        quadratic = np.array([(x - CENTERS[j]) @ np.linalg.inv(cov) @ (x - CENTERS[j]) for x in X])
        want = np.log(WEIGHTS[j]) - 0.5 * (quadratic + np.log(np.linalg.det(2 * np.pi * cov)))
        same(got[j], want, f"log π N(x; μ, Σ) of component {j}", equation="−½ (x − μ)ᵀ Σ⁻¹ (x − μ) − ½ log |2πΣ|")


flat = lambda *parts: np.concatenate([np.ravel(p) for p in parts])
PROBES = {
    "expand": lambda f: flat(*f(CENTERS, ORIGIN)),
    "statistics": lambda f: flat(*f(X, R)),
    "covariance_axes": lambda f: flat(*(np.abs(a) for a in f(X, X.mean(0), 2))),
    "mutual_information": lambda f: [f(W, SIGNAL, 0.5)],
    "whiten": lambda f: f(CENTERS, INVERSE, X),
    "log_joint": lambda f: f(WEIGHTS, INVERSE, np.ones((2, 3, 1))),
}
