"""Metrics on as many features as published scores use, beside the usual implementations."""

import contextlib
import io

import numpy as np

from minigen.backend import keep_memory
from minigen.metrics import frechet_distance, manifold_scores


def features(n=10_000, d=2048):
    """Two float32 sets (n, d) that overlap."""
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((n, d), dtype=np.float32) for _ in range(2))
    return real, np.float32(0.98) * fake


def frechet_ours():
    real, fake = features()
    keep_memory()
    return lambda: frechet_distance(real, fake)


def moments(x):
    return x.mean(axis=0, dtype=np.float64), np.cov(x, rowvar=False)


def frechet_torch():
    """The formula with eigenvalues of the unsymmetric product, as torch-fidelity and torchmetrics write it."""
    import torch

    real, fake = features()

    def work():
        (mu1, cov1), (mu2, cov2) = ([torch.from_numpy(a) for a in moments(x)] for x in (real, fake))
        roots = torch.linalg.eigvals(cov1 @ cov2).sqrt().real.sum()
        return float(((mu1 - mu2) ** 2).sum() + cov1.trace() + cov2.trace() - 2 * roots)

    return work


def frechet_scipy():
    """The formula with a matrix square root, as the first implementations write it."""
    from scipy.linalg import sqrtm

    real, fake = features()

    def work():
        (mu1, cov1), (mu2, cov2) = map(moments, (real, fake))
        return np.sum((mu1 - mu2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(sqrtm(cov1 @ cov2).real)

    return work


def manifold_ours():
    real, fake = features()
    keep_memory()
    return lambda: list(manifold_scores(real, fake, k=5))


def manifold_prdc():
    from prdc import compute_prdc

    real, fake = features()

    def work():
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            return [*compute_prdc(real, fake, 5).values()]

    return work


WORKLOADS = {
    "Frechet distance 10k x 2048": {"ours": frechet_ours, "torch eigvals": frechet_torch, "scipy sqrtm": frechet_scipy},
    "P, R, D, C 10k x 2048": {"ours": manifold_ours, "prdc": manifold_prdc},
}
GATES = {
    ("Frechet distance 10k x 2048", "torch eigvals"): 0.55,
    ("Frechet distance 10k x 2048", "scipy sqrtm"): 0.13,
    ("P, R, D, C 10k x 2048", "prdc"): 0.27,
}
TOLERANCE = 1e-4  # prdc rounds distances to float32
