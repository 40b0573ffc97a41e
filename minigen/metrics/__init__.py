"""The metrics, one family a file: pure functions of arrays."""

from minigen.metrics.annealing import Annealed, Path, Sandwich, ais, bidirectional_ais, raise_ais, rbm_path, reverse_ais
from minigen.metrics.copying import (
    CopyingTest,
    Support,
    authenticity,
    birthday_paradox,
    data_copying_test,
    memorization_by_folds,
    memorization_score,
)
from minigen.metrics.features import (
    Classifier,
    digit_features,
    identity_features,
    inception_v3,
    random_features,
    score_name,
    train_features,
)
from minigen.metrics.frechet import (
    Moments,
    expected_frechet_distance,
    frechet_distance,
    frechet_distance_gaussians,
    frechet_distance_infinity,
    spatial_frechet_distance,
)
from minigen.metrics.inception import inception_score
from minigen.metrics.judgements import Hype, Rate, hype
from minigen.metrics.likelihood import (
    Estimate,
    bits_per_dim,
    dequantize,
    generalisation_gap,
    iwae_bound,
    kl_on_data,
    log_prob_by_quadrature,
    mean_and_error,
    nll,
    perplexity,
)
from minigen.metrics.manifold import (
    DensityCoverage,
    ManifoldScores,
    PrecisionRecall,
    density_coverage,
    expected_coverage,
    manifold_scores,
    precision_recall,
    realism,
)
from minigen.metrics.mmd import SubsetEstimate, cubic_kernel, gaussian_kernel, kernel_distance, median_distance, mmd2
from minigen.metrics.modes import ModeScores, expected_mode_quality, mode_scores
from minigen.metrics.neighbours import nearest_neighbours
from minigen.metrics.prd import PRD, FScores, f_scores, prd_curve, prd_from_histograms
from minigen.metrics.separation import (
    class_statistics,
    eta_squared,
    pairwise_auc,
    r_squared,
    rank_correlation,
    rejection_threshold,
    relative_scores,
    roc,
    variance_shares,
)
from minigen.metrics.transport import sinkhorn, sliced_wasserstein, wasserstein
from minigen.metrics.two_sample import TestResult, classifier_two_sample_test, knn_two_sample_test, mmd_test
from minigen.metrics.uncertainty import with_error
from minigen.metrics.usefulness import AccuracyScores, classification_accuracy_score
from minigen.metrics.vendi import vendi_score

__all__ = [
    "PRD", "AccuracyScores", "Annealed", "Classifier", "CopyingTest", "DensityCoverage", "Estimate", "FScores", "Hype",
    "ManifoldScores", "ModeScores", "Moments", "Path", "PrecisionRecall", "Rate", "Sandwich", "SubsetEstimate", "Support", "TestResult",
    "ais", "authenticity", "bidirectional_ais", "birthday_paradox", "bits_per_dim", "class_statistics", "classification_accuracy_score",
    "classifier_two_sample_test", "cubic_kernel", "data_copying_test", "density_coverage", "dequantize", "digit_features",
    "eta_squared", "expected_coverage", "expected_frechet_distance", "expected_mode_quality", "f_scores", "frechet_distance",
    "frechet_distance_gaussians", "frechet_distance_infinity", "gaussian_kernel", "generalisation_gap", "hype", "identity_features",
    "inception_score", "inception_v3", "iwae_bound", "kernel_distance", "kl_on_data", "knn_two_sample_test", "log_prob_by_quadrature",
    "manifold_scores", "mean_and_error", "median_distance", "memorization_by_folds", "memorization_score", "mmd2", "mmd_test",
    "mode_scores", "nearest_neighbours", "nll", "pairwise_auc", "perplexity", "prd_curve", "prd_from_histograms", "precision_recall",
    "r_squared", "raise_ais", "random_features", "rank_correlation", "rbm_path", "realism", "rejection_threshold", "relative_scores",
    "reverse_ais", "roc", "score_name", "sinkhorn", "sliced_wasserstein", "spatial_frechet_distance", "train_features",
    "variance_shares", "vendi_score", "wasserstein", "with_error",
]  # fmt: skip
