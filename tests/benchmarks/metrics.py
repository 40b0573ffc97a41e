"""Metrics on as many features as published scores use, beside the usual implementations.

`python -m tests.benchmarks.metrics` compares the memory that precision, recall, density and coverage take.
"""

import contextlib
import io
import tracemalloc

import numpy as np

from minigen.backend import keep_memory
from minigen.metrics import frechet_distance, kernel_distance, manifold_scores, sliced_wasserstein, wasserstein
from tests.peers import peer


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


def kernel_ours():
    real, fake = features()
    keep_memory()
    return lambda: [*kernel_distance(real, fake, convention="torch-fidelity")]


def kernel_torch_fidelity():
    import torch

    theirs = peer("torch_fidelity.metric_kid", stubs=["torch_fidelity.utils"])
    real, fake = map(torch.from_numpy, features())
    return lambda: [*theirs.kid_features_to_metric(real, fake, verbose=False).values()]


def sliced_ours():
    real, fake = features(10_000, 64)
    keep_memory()
    return lambda: sliced_wasserstein(real, fake, np.random.default_rng(0)).mean


def sliced_pot():
    import ot

    real, fake = features(10_000, 64)
    directions = np.random.default_rng(0).standard_normal((200, 64), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return lambda: ot.sliced_wasserstein_distance(real, fake, projections=directions.T)


def exact_ours():
    real, fake = features(1000, 16)
    return lambda: wasserstein(real, fake)


def exact_scipy():
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    real, fake = features(1000, 16)

    def work():
        costs = cdist(real, fake)
        return np.mean(costs[linear_sum_assignment(costs)])

    return work


def memory():
    """Print the most memory that each side of the scores of balls holds, and its share."""
    peaks = {}
    for side, build in WORKLOADS["P, R, D, C 10k x 2048"].items():
        work = build()
        tracemalloc.start()
        work()
        peaks[side] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{side:6s} {peaks[side] / 2**20:8.1f} MiB")
    share = peaks["ours"] / peaks["prdc"]
    print(f"ours/prdc {share:.3f}   ≤ {MEMORY_GATE}: {'met' if share <= MEMORY_GATE else 'MISSED'}")


WORKLOADS = {
    "Frechet distance 10k x 2048": {"ours": frechet_ours, "torch eigvals": frechet_torch, "scipy sqrtm": frechet_scipy},
    "P, R, D, C 10k x 2048": {"ours": manifold_ours, "prdc": manifold_prdc},
    "KID 10k x 2048": {"ours": kernel_ours, "torch_fidelity": kernel_torch_fidelity},
    "sliced Wasserstein 10k x 64": {"ours": sliced_ours, "ot": sliced_pot},
    "exact Wasserstein 1k x 16": {"ours": exact_ours, "scipy": exact_scipy},
}
GATES = {
    ("Frechet distance 10k x 2048", "torch eigvals"): 0.55,
    ("Frechet distance 10k x 2048", "scipy sqrtm"): 0.15,
    ("P, R, D, C 10k x 2048", "prdc"): 0.27,
    ("KID 10k x 2048", "torch_fidelity"): 1.0,
    ("sliced Wasserstein 10k x 64", "ot"): 0.06,
    ("exact Wasserstein 1k x 16", "scipy"): 1.05,
}
MEMORY_GATE = 0.1
TOLERANCE = 1e-4  # prdc rounds distances to float32

if __name__ == "__main__":
    memory()
