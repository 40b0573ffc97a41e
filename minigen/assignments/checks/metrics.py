"""What is asked of the metrics' functions."""

import numpy as np

from minigen.assignments.checks.common import numbers
from minigen.testing.failure import require

X = np.array([[0.0, 0.5], [1.0, -1.0], [2.0, 0.25], [-0.5, 1.5], [0.25, 0.75]])
Y = np.array([[0.5, 0.5], [1.5, -2.0], [-0.25, 1.0], [3.0, 0.5], [0.75, 0.25]])


def same(got, want, message, **fields):
    """Fail with the message unless the numbers agree to 1e-8."""
    require(np.allclose(got, want, rtol=1e-8, atol=1e-10), message, got=got, want=want, **fields)


def bits_cases(bits_per_dim):
    """A fair byte has 8 bits."""
    got = numbers(bits_per_dim, (0.0, 64, 1 / 256), ())
    same(float(got), 8.0, "density 1 on [0, 1], with cells of 1/256, is 8 bits per dimension")


def bits_definition(bits_per_dim):
    """Bits per dimension of P = p · cellᴰ."""
    for log_p, dims, cell in ((-3.0, 2, 0.5), (5.0, 3, 0.25), (-1.0, 4, 1.0)):
        want = -np.log2(np.exp(log_p) * cell**dims) / dims
        got = float(numbers(bits_per_dim, (-log_p, dims, cell), ()))
        fields = {"inputs": f"log p = {log_p}   D = {dims}   cell = {cell}", "equation": "−log₂(p · cellᴰ) / D"}
        same(got, float(want), "bits per dimension are those of the probability of a cell", **fields)


POWER = 1.0  # of the weights


def iwae_cases(iwae_bound):
    """One weight is itself; far ones stay finite."""
    for value in (-1.5, -2000.0):
        got = numbers(iwae_bound, (np.full((3, 2), value),), (2,))
        same(got, np.full(2, value), f"where every log w is {value}, so is the bound")


def iwae_definition(iwae_bound):
    """The logarithm of the mean weight, along either axis."""
    w = np.array([[1.0, 0.5], [3.0, 0.5], [2.0, 5.0]])
    for axis, f in enumerate((iwae_bound, lambda a: iwae_bound(a, axis=1))):
        want = np.mean(w**POWER, axis=axis) ** (1 / POWER)
        same(np.exp(numbers(f, (np.log(w),), want.shape)), want, f"exp of the bound is the mean weight along axis {axis}")


def inception_cases(score):
    """Each sample sure and all classes equally often: C. No sample says anything: 1."""
    same(float(numbers(score, (np.eye(4)[[0, 1, 2, 3, 3, 2, 1, 0]],), ())), 4.0, "sure of each of 4 classes, equally often, scores 4")
    same(
        float(numbers(score, (np.tile([0.5, 0.25, 0.25], (5, 1)),), ())),
        1.0,
        "where every sample has the same probabilities the score is 1",
    )


def inception_definition(score):
    """exp of the mean KL of rows from their mean, by a loop."""
    p = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.25, 0.25, 0.5], [0.8, 0.1, 0.1]])
    mean = [sum(row[c] for row in p) / 4 for c in range(3)]
    kl = sum(p[i, c] * np.log(p[i, c] / mean[c]) for i in range(4) for c in range(3)) / 4
    same(float(numbers(score, (p,), ())), float(np.exp(kl)), "the score is exp of the mean KL", equation="exp E KL(p(y|x) ‖ p(y))")


def kid_cases(subset_mmd2):
    """Sets far apart are far apart; the estimate is symmetric, and of its own permutation not positive."""
    far = float(numbers(subset_mmd2, (X, Y + 10), ()))
    require(far > 100, "sets that are far apart have a large distance", got=far)
    same(float(numbers(subset_mmd2, (Y, X), ())), float(numbers(subset_mmd2, (X, Y), ())), "the distance is symmetric")
    require(
        float(numbers(subset_mmd2, (X, X[::-1]), ())) < 0, "of a set with itself the unbiased estimate is negative, as i = j is left out"
    )


UNIT = 1.0  # of KID, of 5 samples


def kid_definition(subset_mmd2):
    """The unbiased estimate, by loops over pairs."""
    k = lambda a, b: (sum(a * b) / 2 + 1) ** 3
    pairs = [(i, j) for i in range(5) for j in range(5)]
    within = sum(k(X[i], X[j]) + k(Y[i], Y[j]) for i, j in pairs if i != j) / 20
    want = UNIT * (within - 2 * sum(k(X[i], Y[j]) for i, j in pairs) / 25)
    got = float(numbers(subset_mmd2, (X, Y), ()))
    same(got, float(want), "the estimate is that over pairs", equation="mean k(x, x′) + mean k(y, y′) − 2 mean k(x, y),  x ≠ x′, y ≠ y′")


def frechet_cases(distance):
    """Two Gaussians on a line: (μ₁ − μ₂)² + (σ₁ − σ₂)²."""
    for m1, s1, m2, s2 in ((0.0, 1.0, 0.0, 1.0), (0.0, 1.0, 3.0, 1.0), (0.5, 2.0, 0.5, 5.0), (1.0, 0.5, -1.0, 3.0)):
        got = float(numbers(distance, (np.array([m1]), np.array([[s1]]), np.array([m2]), np.array([[s2]])), ()))
        same(got, (m1 - m2) ** 2 + (s1 - s2) ** 2, "on a line d² is (μ₁ − μ₂)² + (σ₁ − σ₂)²", inputs=f"N({m1}, {s1}²)   N({m2}, {s2}²)")


def frechet_definition(distance):
    """Against eigenvalues of Σ₁Σ₂."""
    f1, f2 = np.array([[1.0, 0.5], [0.0, 2.0]]), np.array([[0.5, 0.0], [-1.0, 1.5], [0.25, 0.5]])
    m1, m2 = np.array([0.0, 1.0]), np.array([0.5, -1.0])
    s1, s2 = f1.T @ f1, f2.T @ f2
    want = np.sum((m1 - m2) ** 2) + np.trace(s1 + s2) - 2 * np.sum(np.sqrt(np.linalg.eigvals(s1 @ s2).real))
    same(float(numbers(distance, (m1, f1, m2, f2), ())), float(want), "d² is Dowson and Landau's", equation="tr (Σ₁Σ₂)^½ = Σ √λᵢ(Σ₁Σ₂)")


def four_scores(real, fake, k):
    """Precision, recall, density and coverage by their definitions; no ties."""
    distance = lambda a, b: np.sqrt(np.sum((a[:, None] - b[None]) ** 2, axis=2))
    radius = lambda a: np.sort(distance(a, a), axis=1)[:, k]
    around = distance(real, fake) < radius(real)[:, None]
    recall = (distance(real, fake) < radius(fake)[None]).any(1).mean()
    return np.array([around.any(0).mean(), recall, around.sum() / (k * len(fake)), around.any(1).mean()])


def sets(seed):
    """Reals, and fewer fakes near to some of them."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((12, 2)), 0.5 * rng.standard_normal((7, 2)) + 0.5


def manifold_cases(manifold_scores):
    """Fakes far away, or in one place."""
    numbered = lambda real, fake: numbers(lambda a, b: np.array(manifold_scores(a, b, 2), dtype=float), (real, fake), (4,))
    same(numbered(X, X[::-1] + 100), np.zeros(4), "fakes far from every real score 0 four times")
    got = numbered(*sets(1))
    require(got[0] != got[1] or got[2] != got[3], "the four scores are four numbers", got=got)


def manifold_definition(manifold_scores):
    """The four scores, by the matrix of distances."""
    for seed, k in ((0, 1), (1, 2), (2, 3)):
        got = numbers(lambda a, b, k=k: np.array(manifold_scores(a, b, k), dtype=float), sets(seed), (4,))
        same(got, four_scores(*sets(seed), k), "precision, recall, density, coverage", inputs=f"12 reals, 7 fakes, k = {k}")


def density_coverage_cases(density_coverage):
    """Fakes far away score nothing; density may pass 1."""
    numbered = lambda real, fake: numbers(lambda a, b: np.array(density_coverage(a, b, 2), dtype=float), (real, fake), (2,))
    same(numbered(X, X[::-1] + 100), np.zeros(2), "fakes far from every real score 0")
    require(numbered(sets(0)[0], np.zeros((3, 2)))[0] > 1, "fakes in the densest place have a density above 1")


def density_coverage_definition(density_coverage):
    """Density and coverage, by the matrix of distances."""
    for seed, k in ((0, 1), (1, 2), (2, 3)):
        got = numbers(lambda a, b, k=k: np.array(density_coverage(a, b, k), dtype=float), sets(seed), (2,))
        same(got, four_scores(*sets(seed), k)[2:], "density and coverage", inputs=f"12 reals, 7 fakes, k = {k}")


PROBES = {
    "bits_per_dim": lambda f: [f(3.0, 2, 0.5), f(-5.0, 3, 0.25)],
    "iwae_bound": lambda f: f(X),
    "inception_score": lambda f: f(np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])),
    "kid": lambda f: f(X, Y),
    "frechet_distance": lambda f: f(X[0], X[1:3], Y[0], Y[1:4]),
    "manifold_scores": lambda f: [*f(*sets(1), 2), *f(*sets(2), 3)],
    "density_coverage": lambda f: [*f(*sets(1), 2), *f(*sets(2), 3)],
}
