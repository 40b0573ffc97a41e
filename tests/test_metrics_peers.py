"""The same numbers as the usual implementations, on the same arrays, to 1e-6; each test skips where its peer is not installed.

Differences by intent, all seen here: torch-fidelity's precision and recall count a sample at exactly the radius as inside, prdc's as
outside; a KID over random subsets has another random order in clean-fid; POT takes a root of no sliced cost but the p-th.
"""

import contextlib
import io
import warnings

import numpy as np
import pytest

from minigen.metrics import (
    cubic_kernel,
    frechet_distance,
    frechet_distance_gaussians,
    gaussian_kernel,
    inception_score,
    kernel_distance,
    manifold_scores,
    mmd,
    mmd2,
    nearest_neighbours,
    pairwise_auc,
    precision_recall,
    sinkhorn,
    sliced_wasserstein,
    wasserstein,
)
from tests.peers import peer

AGREE = {"rtol": 1e-6, "atol": 0}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
UTILS = ["torch_fidelity.utils"]


def features(n=1200, m=1100, d=24, dtype=np.float64):
    """Real and fake features (n, d) and (m, d) with correlated columns, the fakes narrower and shifted."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((d, d)) / d**0.5
    draw = lambda rows: np.maximum(rng.standard_normal((rows, d)) @ mix + 0.3, 0).astype(dtype)
    return draw(n), (0.9 * draw(m) + 0.05).astype(dtype)


def quietly(f, *args, **kwargs):
    """f(…) without what it prints and what SciPy says of its old arguments."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **kwargs)


def tensors(*arrays):
    import torch

    return [torch.from_numpy(a) for a in arrays]


# ---- Fréchet distance ----
@pytest.mark.parametrize("n", [1200, 20])  # more samples than columns, and fewer
def test_frechet_distance_torch_fidelity(n):
    theirs = peer("torch_fidelity.metric_fid", stubs=UTILS)
    x, y = features(n=n, m=n)
    want = theirs.fid_statistics_to_metric(*map(theirs.fid_features_to_statistics, tensors(x, y)), verbose=False)
    np.testing.assert_allclose(frechet_distance(x, y), want[theirs.KEY_METRIC_FID], **AGREE)


def test_frechet_distance_pytorch_fid():
    theirs = peer("pytorch_fid.fid_score", stubs=["torchvision", "torchvision.transforms", "pytorch_fid.inception"])
    x, y = features()
    moments = [a for x in (x, y) for a in (np.mean(x, axis=0), np.cov(x, rowvar=False))]
    want = quietly(theirs.calculate_frechet_distance, *moments)
    np.testing.assert_allclose(frechet_distance(x, y), want, **AGREE)
    np.testing.assert_allclose(frechet_distance_gaussians(*moments), want, **AGREE)


CLEAN = ["cleanfid.utils", "cleanfid.features", "cleanfid.resize"]


def test_frechet_distance_clean_fid():
    theirs = peer("cleanfid.fid", stubs=CLEAN)
    x, y = features()
    np.testing.assert_allclose(frechet_distance(x, y), quietly(theirs.fid_from_feats, x, y), **AGREE)


# ---- KID ----
@pytest.fixture
def few_subsets(monkeypatch):
    """Ten subsets instead of a hundred, which take ten seconds there."""
    monkeypatch.setattr(mmd, "SUBSETS", 10)


@DTYPES
def test_kernel_distance_torch_fidelity(dtype, few_subsets):
    theirs = peer("torch_fidelity.metric_kid", stubs=UTILS)
    x, y = features(dtype=dtype)
    want = theirs.kid_features_to_metric(*tensors(x, y), kid_subsets=10, verbose=False)
    found = kernel_distance(x, y, convention="torch-fidelity")
    tolerance = AGREE if dtype == np.float64 else {"rtol": 0, "atol": 1e-6}  # it sums a million kernels of about 3 in float32
    np.testing.assert_allclose(found.mean, want[theirs.KEY_METRIC_KID_MEAN], **tolerance)
    np.testing.assert_allclose(found.std, want[theirs.KEY_METRIC_KID_STD], **tolerance)


@pytest.mark.parametrize("n", [1200, 300])
def test_kernel_distance_clean_fid(n, few_subsets, monkeypatch):
    theirs = peer("cleanfid.fid", stubs=CLEAN)
    x, y = features(n=n, m=n - 20)
    monkeypatch.setattr(np.random, "choice", np.random.RandomState(2020).choice)  # it draws from the global generator
    want = quietly(theirs.kernel_distance, x, y, num_subsets=10)
    np.testing.assert_allclose(kernel_distance(x, y, convention="clean-fid").mean, want, **AGREE)


@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_torch_fidelity(unbiased):
    theirs = peer("torch_fidelity.metric_kid", stubs=UTILS)
    x, y = features(n=300, m=300)
    kind = "unbiased" if unbiased else "biased"
    for ours, name, options in ((cubic_kernel, "kernel_poly", {}), (gaussian_kernel(2.0), "kernel_rbf", {"kid_kernel_rbf_sigma": 2.0})):
        k = lambda a, b, name=name, options=options: getattr(theirs, name)(a, b, **options)
        want = theirs.mmd2(k(x, x), k(x, y), k(y, y), mmd_est=kind)
        np.testing.assert_allclose(mmd2(x, y, ours, unbiased=unbiased).mean, want, **AGREE)


# ---- Inception score ----
@pytest.mark.parametrize("scale", [1.0, 30.0])  # vague classes, and nearly one-hot ones
def test_inception_score_torch_fidelity(scale):
    theirs = peer("torch_fidelity.metric_isc", stubs=UTILS)
    logits = scale * np.random.default_rng(0).standard_normal((1003, 12))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    want = theirs.isc_features_to_metric(*tensors(logits))
    found = inception_score(p / p.sum(axis=1, keepdims=True), convention="torch-fidelity")
    np.testing.assert_allclose(found.mean, want[theirs.KEY_METRIC_ISC_MEAN], **AGREE)
    np.testing.assert_allclose(found.std, want[theirs.KEY_METRIC_ISC_STD], **AGREE)


# ---- Precision, recall, density, coverage ----
@DTYPES
def test_precision_and_recall_torch_fidelity(dtype):
    theirs = peer("torch_fidelity.metric_prc", stubs=UTILS)
    real, fake = features(dtype=dtype)
    want = theirs.prc_features_to_metric(*tensors(fake, real), verbose=False)
    found = precision_recall(real, fake, k=3)
    assert 0.1 < found.precision < 1 and 0.1 < found.recall < 1
    np.testing.assert_allclose(found, [want["precision"], want["recall"]], **AGREE)


@pytest.mark.parametrize("k", [1, 5])
@DTYPES
def test_manifold_scores_prdc(k, dtype):
    pytest.importorskip("prdc")
    from prdc import compute_prdc

    real, fake = features(dtype=dtype)
    want = quietly(compute_prdc, real, fake, k)
    for name, score in manifold_scores(real, fake, k=k)._asdict().items():
        np.testing.assert_allclose(score, want[name], **AGREE)


# ---- scikit-learn ----
def test_neighbours_kernels_and_areas_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.metrics import roc_auc_score
    from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
    from sklearn.neighbors import NearestNeighbors

    x, y = features(n=300, m=200)
    distances, index = NearestNeighbors(n_neighbors=4).fit(x).kneighbors(y)
    found = nearest_neighbours(y, x, k=4)
    assert np.array_equal(found[0], index)
    np.testing.assert_allclose(found[1], distances, **AGREE)
    np.testing.assert_allclose(cubic_kernel(x, y), polynomial_kernel(x, y, degree=3, coef0=1), **AGREE)
    np.testing.assert_allclose(gaussian_kernel(1.5)(x, y), rbf_kernel(x, y, gamma=1 / (2 * 1.5**2)), **AGREE)
    labels = (np.arange(300) % 3 == 0).astype(int)
    scores = np.round(x[:, 0] + 0.3 * labels, 1)  # with ties
    np.testing.assert_allclose(pairwise_auc(scores, labels)[1, 0], roc_auc_score(labels, scores), **AGREE)


# ---- POT ----
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("m", [60, 45])
def test_exact_transport_pot(p, m):
    ot = pytest.importorskip("ot")
    x, y = features(n=60, m=m, d=3)
    want = ot.emd2(ot.unif(60), ot.unif(m), ot.dist(x, y, metric="euclidean") ** p) ** (1 / p)
    np.testing.assert_allclose(wasserstein(x, y, p=p), want, **AGREE)
    np.testing.assert_allclose(wasserstein(x[:, :1], y[:, :1], p=p), ot.wasserstein_1d(x[:, 0], y[:, 0], p=p) ** (1 / p), **AGREE)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("m", [200, 150])
def test_sliced_transport_pot(p, m):
    ot = pytest.importorskip("ot")
    x, y = features(n=200, m=m, d=6)
    directions = np.random.default_rng(3).standard_normal((100, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    want = ot.sliced_wasserstein_distance(x, y, p=p, projections=directions.T)
    found = sliced_wasserstein(x, y, np.random.default_rng(3), projections=100, p=p)
    np.testing.assert_allclose(found.mean, want, **AGREE)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_entropic_transport_pot(epsilon):
    ot = pytest.importorskip("ot")
    x, y = features(n=50, m=40, d=3)
    plan = ot.sinkhorn(ot.unif(50), ot.unif(40), ot.dist(x, y), epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=20_000)
    np.testing.assert_allclose(sinkhorn(x, y, epsilon, tolerance=1e-10), np.sum(plan * ot.dist(x, y)), **AGREE)
