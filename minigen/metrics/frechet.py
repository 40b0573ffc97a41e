"""The Fréchet distance between two sets of points, each taken for a Gaussian.

Dowson & Landau 1982, "The Fréchet distance between multivariate normal distributions"; Heusel et al. 2017, "GANs trained by a two
time-scale update rule converge to a local Nash equilibrium", with Inception features ("FID").

    d² = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁ Σ₂)^½                                                     (1)
    tr (Σ₁ Σ₂)^½ = Σᵢ √λᵢ,  λ the eigenvalues of Σ₁^½ Σ₂ Σ₁^½                                            (2)
    tr (Σ₁ Σ₂)^½ = ‖A Bᵀ‖_*,  A (n, D) and B (m, D) centred points over √(n−1) and √(m−1)                (3)

Σ are covariances with ddof = 1. (2): Σ₁Σ₂ is similar to the symmetric matrix, whose eigenvalues are real and ≥ 0, so that no
square root of an unsymmetric matrix is taken. (3): Σ₁ = AᵀA and Σ₂ = BᵀB, and the singular values of A Bᵀ are the roots of the
eigenvalues of B AᵀA Bᵀ, which but for zeros are those of Σ₁Σ₂. With D smaller than n it is computed as ‖S₁ S₂‖_* with
triangular SᵀS = Σ, and no covariance is ever squared: the distance of a set from itself is 0 to rounding.
The name of the score must say on which features it stands. It is biased upwards by about 1/n: compare equal n.
"""

import numpy as np

from minigen.metrics.distances import check_points


def factor(x):
    """S with SᵀS the covariance (ddof 1) of x (n, D): the centred points over √(n−1), or their triangular factor where n > D."""
    a = (x - np.mean(x, axis=0)) / (x.shape[0] - 1) ** 0.5
    return np.linalg.qr(a, mode="r") if x.shape[0] > x.shape[1] else a


def frechet_distance(x, y):
    """The squared distance (1) between x (n, D) and y (m, D), in float64.

    Raises ValueError for arrays of other shapes, values that are not finite, or fewer than two points.
    """
    x, y = (a.astype(np.float64) for a in check_points(x=x, y=y))
    for name, a in (("x", x), ("y", y)):
        if a.shape[0] < 2:
            raise ValueError(f"{name} has {a.shape[0]} point; expected at least 2, or there is no covariance")
    s1, s2 = factor(x), factor(y)
    root = np.sum(np.linalg.svd(s1 @ s2.T, compute_uv=False))  # (3)
    difference = np.mean(x, axis=0) - np.mean(y, axis=0)
    return max(0.0, float(np.sum(difference**2) + np.sum(s1 * s1) + np.sum(s2 * s2) - 2 * root))  # (1)


def frechet_distance_gaussians(mu1, cov1, mu2, cov2):
    """The squared distance (1) between N(mu1, cov1) and N(mu2, cov2), means (D,) and covariances (D, D), also singular ones.

    Raises ValueError where shapes do not fit, values are not finite, or a covariance is not symmetric.
    """
    mu1, cov1, mu2, cov2 = (a.astype(np.float64) for a in (mu1, cov1, mu2, cov2))
    for name, mu, cov in (("1", mu1, cov1), ("2", mu2, cov2)):
        if mu.ndim != 1 or cov.shape != (mu.shape[0],) * 2 or mu.shape != mu1.shape:
            raise ValueError(f"mu{name} has shape {mu.shape} and cov{name} {cov.shape}; expected (D,) and (D, D) with one D")
        if not bool(np.all(np.isfinite(mu)) & np.all(np.isfinite(cov))):
            raise ValueError(f"mu{name} or cov{name} holds values that are not finite")
        if float(np.max(np.abs(cov - cov.T))) > 1e-6 * float(np.max(np.abs(cov))):
            raise ValueError(f"cov{name} is not symmetric")
    values, vectors = np.linalg.eigh(cov1)
    half = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    root = np.sum(np.sqrt(np.maximum(np.linalg.eigvalsh(half @ cov2 @ half), 0)))  # (2)
    return max(0.0, float(np.sum((mu1 - mu2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * root))  # (1)
