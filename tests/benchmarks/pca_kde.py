"""PCA beside scikit-learn's fastest solver, KDE beside SciPy's, which computes in float64 whatever it is given."""

import numpy as np

from minigen.backend import keep_memory
from minigen.models.kde import KDE
from minigen.models.pca import PCA


def pca_data(n, d):
    """float32 (n, d) of a hundred strong directions in noise, away from the origin."""
    rng = np.random.default_rng(0)
    strong = rng.standard_normal((n, 100), dtype=np.float32) * np.geomspace(10, 1, 100, dtype=np.float32)
    return strong @ rng.standard_normal((100, d), dtype=np.float32) / 3 + rng.standard_normal((n, d), dtype=np.float32) + 1


def pca_ours(n, d, k):
    x = pca_data(n, d)
    keep_memory()

    def work():
        model = PCA.fit(x, k)
        return np.concatenate([model.components.ravel(), np.log(model.explained_variance)])

    return work


def pca_sklearn(n, d, k, solver):
    from sklearn.decomposition import PCA as Peer

    x = pca_data(n, d)

    def work():
        peer = Peer(k, svd_solver=solver, random_state=0).fit(x)
        return np.concatenate([peer.components_.ravel(), np.log(peer.explained_variance_)])

    return work


def kde_data(d):
    rng = np.random.default_rng(1)
    return rng.standard_normal((10_000, d)), rng.standard_normal((10_000, d))


def kde_ours(d, dtype):
    x, queries = (a.astype(dtype) for a in kde_data(d))
    model = KDE.fit(x, "scott")
    keep_memory()

    def work():
        density = np.exp(model.log_prob(queries))
        return density / density.max()

    return work


def kde_scipy(d):
    from scipy.stats import gaussian_kde

    x, queries = kde_data(d)
    model = gaussian_kde(x.T)

    def work():
        density = model.pdf(queries.T)
        return density / density.max()

    return work


WORKLOADS = {
    "PCA 20k x 784 -> 50": {
        "ours": lambda: pca_ours(20_000, 784, 50),
        "sklearn covariance_eigh": lambda: pca_sklearn(20_000, 784, 50, "covariance_eigh"),
    },
    "PCA 500 x 4096 -> 50": {"ours": lambda: pca_ours(500, 4096, 50), "sklearn full": lambda: pca_sklearn(500, 4096, 50, "full")},
    **{
        f"KDE 10k on 10k, d = {d}, {dtype}": {
            "ours": lambda d=d, dtype=dtype: kde_ours(d, dtype),
            "scipy pdf (float64)": lambda d=d: kde_scipy(d),
        }
        for d in (2, 8)
        for dtype in ("float32", "float64")
    },
}
GATES = {(name, side): 1.2 if name.startswith("PCA") else 0.2 for name, sides in WORKLOADS.items() for side in sides if side != "ours"}
TOLERANCE = 1e-5
