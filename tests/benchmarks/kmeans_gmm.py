"""k-means and Gaussian mixtures beside scikit-learn: the same data, the same start, the same number of rounds."""

import functools
import warnings

import numpy as np

from minigen.models.gmm import GMM
from minigen.models.kmeans import KMeans

ROUNDS = 10


@functools.cache
def clouds(n, d, k, dtype):
    """n points in d dimensions from k overlapping Gaussians, and k of them to start from."""
    rng = np.random.default_rng(0)
    centers = 4 * rng.standard_normal((k, d)) / np.sqrt(d)
    x = (centers[rng.integers(k, size=n)] + rng.standard_normal((n, d))).astype(dtype)
    return x, x[:k].copy()


def kmeans_ours(n, d, k):
    x, start = clouds(n, d, k, np.float32)

    def work():
        model = KMeans.fit(x, k, init=start, max_iter=ROUNDS)
        return [model.inertia / n, len(model.history)]

    return work


def kmeans_sklearn(n, d, k):
    from sklearn.cluster import KMeans as Peer

    x, start = clouds(n, d, k, np.float32)

    def work():
        model = Peer(k, init=start, n_init=1, max_iter=ROUNDS, tol=0, algorithm="lloyd").fit(x)
        return [model.inertia_ / n, model.n_iter_ + 1]

    return work


def gmm_start(n, d, k, dtype):
    """Data, and weights, means and covariances to start from."""
    x, start = clouds(n, d, k, dtype)
    return x, np.full(k, 1 / k, dtype), start, np.stack([np.eye(d, dtype=dtype)] * k)


def gmm_ours(n, d, k, dtype):
    x, *start = gmm_start(n, d, k, dtype)
    init = GMM(*start)

    def work():
        model = GMM.fit(x, k, init=init, max_iter=ROUNDS, tol=-np.inf)
        return [model.history[-1], len(model.history), *model.weights, *model.means[0], *model.covariances[0][0]]

    return work


def gmm_sklearn(n, d, k, dtype):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    x, weights, means, covariances = gmm_start(n, d, k, dtype)

    def work():
        peer = GaussianMixture(
            k, reg_covar=1e-6, max_iter=ROUNDS, tol=0, weights_init=weights, means_init=means, precisions_init=covariances
        )  # the identity is its own inverse
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            peer.fit(x)
        return [peer.score(x), peer.n_iter_ + 1, *peer.weights_, *peer.means_[0], *peer.covariances_[0][0]]

    return work


WORKLOADS = {
    f"kmeans {n // 1000}k × {d}, k = {k}": {
        "ours": functools.partial(kmeans_ours, n, d, k),
        "sklearn lloyd": functools.partial(kmeans_sklearn, n, d, k),
    }
    for n, d, k in ((20_000, 784, 100), (100_000, 64, 10))
} | {
    f"gmm 50k × 16, k = 8, {dtype}": {
        "ours": functools.partial(gmm_ours, 50_000, 16, 8, dtype),
        "sklearn": functools.partial(gmm_sklearn, 50_000, 16, 8, dtype),
    }
    for dtype in ("float64", "float32")
}
GATES = {(name, side): 0.35 if "gmm" in name else 1.05 for name, sides in WORKLOADS.items() for side in sides if side != "ours"}
TOLERANCE = 1e-4  # of float32
