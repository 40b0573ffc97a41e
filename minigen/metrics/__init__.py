"""The metrics, one family a file: pure functions of arrays."""

from minigen.metrics.features import Classifier, train_features
from minigen.metrics.frechet import frechet_distance, frechet_distance_gaussians
from minigen.metrics.likelihood import Estimate, bits_per_dim, dequantize, iwae_bound, nll, perplexity
from minigen.metrics.manifold import DensityCoverage, PrecisionRecall, density_coverage, expected_coverage, precision_recall

__all__ = [
    "Classifier", "DensityCoverage", "Estimate", "PrecisionRecall", "bits_per_dim", "density_coverage", "dequantize",
    "expected_coverage", "frechet_distance", "frechet_distance_gaussians", "iwae_bound", "nll", "perplexity", "precision_recall",
    "train_features",
]  # fmt: skip
