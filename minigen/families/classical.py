"""The classical families: k-means, PCA, kernels and mixtures."""

import numpy as np

from minigen.families.common import best_on_validation
from minigen.models import GMM, KDE, PPCA, KMeans


def fit_kmeans(data, rng, quick, deadline):
    """Centroids drawn by their frequency: as a density it would be spikes, so that it has no likelihood."""
    k = min(100, len(data.train) // 4)
    return KMeans.fit(data.train, k, rng=rng), None, "—", f"k = {k}"


def fit_pca(data, rng, quick, deadline):
    """PCA with a likelihood: PPCA."""
    d = data.train.shape[1]
    ranks = sorted({max(1, round(d * f)) for f in (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75)} & set(range(1, d)))
    model, k = best_on_validation(ranks, lambda k: PPCA.fit(data.more, k), data.validation, deadline)
    return model, model.log_prob, "exact", f"rank {k}"


def fit_kde(data, rng, quick, deadline):
    """A Gaussian kernel on each training point."""
    spread = float(np.sqrt(np.mean(np.var(data.train, axis=0))))
    widths = spread * np.geomspace(0.02, 1.0, 8 if quick else 24)
    model, h = best_on_validation(widths.tolist(), lambda h: KDE.fit(data.train, h), data.validation, deadline)
    return model, model.log_prob, "exact", f"bandwidth {h:.3g}"


def fit_gmm(data, rng, quick, deadline):
    """A Gaussian mixture."""
    large = data.train.shape[1] > 100
    full, diag = [(k, "full") for k in (10, 20, 40)], [(k, "diag") for k in ((10, 25) if large else (50, 100))]
    candidates = diag if large else (full[:1] if quick else full) + diag
    rounds = 15 if large or quick else 60
    fit = lambda c: GMM.fit(data.more, c[0], covariance=c[1], rng=rng, reg=1e-5, max_iter=rounds)
    model, (k, covariance) = best_on_validation(candidates, fit, data.validation, deadline)
    return model, model.log_prob, "exact", f"{k} {covariance} components"
