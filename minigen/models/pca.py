"""Principal component analysis.  Pearson 1901; Hotelling 1933; Bishop 2006, "Pattern Recognition and Machine Learning", §12.1.

Notation: xᵢ ∈ ℝᴰ for i = 1 … n; X (n, D) holds the centred xᵢ − x̄ as rows; W (k, D) the components w_j as orthonormal rows,
ordered by λ₁ ≥ λ₂ ≥ … ≥ 0; z ∈ ℝᵏ a code.

    x̄ = (1/n) Σᵢ xᵢ                                                                                     (1)
    S = 1/(n−1) Σᵢ (xᵢ − x̄)(xᵢ − x̄)ᵀ = XᵀX / (n−1)                                                     (2)
    S w_j = λ_j w_j,   wᵢ·w_j = δᵢⱼ                                                                      (3)
    X Xᵀ u_j = (n−1) λ_j u_j,   w_j ∝ Xᵀu_j                                                              (4)
    z = W (x − x̄)                                                                                       (5)
    x̂ = x̄ + Wᵀz                                                                                        (6)
    1/(n−1) Σᵢ ‖xᵢ − x̂ᵢ‖² = Σ_{j>k} λ_j,  the least error of all k-dimensional planes                   (7)

(2) divides by n − 1, the unbiased estimate. (4) is (3) multiplied by X: where D > n it finds the components from the n × n
Gram matrix, and S is never formed. An eigenvector is defined up to its sign: here the entry of largest magnitude is positive.

The same plane keeps the most information (Linsker 1988, "Self-organization in a perceptual network"; Plumbley 1991). Let a
signal s ~ N(m, Σ) be seen through y = W (s + ε) with isotropic noise ε ~ N(0, σ²I) and any W (k, D) of full rank:

    I(y; s) = H(y) − H(y | s) = ½ log |W (Σ + σ²I) Wᵀ| − ½ log |σ² W Wᵀ|                                 (8)
    max over W of I(y; s) = ½ Σ_{j≤k} log(1 + λ_j(Σ) / σ²), at the k leading eigenvectors of Σ           (9)

The covariance of s + ε has these same eigenvectors, so that PCA of noisy data finds them without knowing σ.
"""

from dataclasses import dataclass

import numpy as np

from minigen.checks import check_columns, check_data, check_rank


def scatter(x, mean, rows=2048):
    """Σᵢ (xᵢ − mean)(xᵢ − mean)ᵀ, (D, D): one symmetric product per block of rows, so that no centred copy of x is made."""
    total = 0
    for start in range(0, x.shape[0], rows):
        centred = x[start : start + rows] - mean
        total = total + centred.T @ centred
    return total


def covariance_axes(x, mean, k):
    """(λ (k,), W (k, D)) from the D × D covariance."""
    values, vectors = np.linalg.eigh(scatter(x, mean) / (x.shape[0] - 1))  # (2)
    return values[::-1][:k], vectors[:, ::-1][:, :k].T  # (3)


def gram_axes(x, mean, k):
    """(λ (k,), W (k, D)) from the n × n Gram matrix."""
    centred = x - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    # The QR factor normalises Xᵀu, and keeps W orthonormal where λ is 0 and Xᵀu is only rounding.
    axes, _ = np.linalg.qr(centred.T @ vectors[:, ::-1][:, :k])  # (4)
    return values[::-1][:k] / (x.shape[0] - 1), axes.T


def fix_signs(w):
    """The rows of w, each with the sign that makes its entry of largest magnitude positive.

    >>> fix_signs(np.array([[0.6, -0.8], [0.8, 0.6]]))
    array([[-0.6,  0.8],
           [ 0.8,  0.6]])
    """
    largest = np.take_along_axis(w, np.argmax(np.abs(w), axis=1)[:, None], axis=1)
    return w * np.sign(largest)


def mutual_information(w, signal_cov, noise_variance):
    """I(y; s) in nats, where y = w (s + ε) with s ~ N(m, signal_cov) (D, D) and ε ~ N(0, noise_variance I); w is (k, D) of rank k.

    It does not change when w is multiplied from the left by an invertible matrix: only the plane matters, not its basis.

    >>> float(np.exp(2 * mutual_information(np.array([[1.0, 0.0]]), np.diag([3.0, 1.0]), 1.0)).round(9))  # 1 + 3 / 1
    4.0
    """
    noise = noise_variance * w @ w.T
    return 0.5 * (np.linalg.slogdet(w @ signal_cov @ w.T + noise)[1] - np.linalg.slogdet(noise)[1])  # (8)


def channel_capacity(signal_cov, noise_variance, k):
    """The largest I(y; s) in nats that k linear measurements y = W (s + ε) can reach."""
    return 0.5 * np.sum(np.log1p(np.linalg.eigvalsh(signal_cov)[-k:] / noise_variance))  # (9)


@dataclass
class PCA:
    """The k-dimensional plane nearest to the data: mean (D,), components (k, D), explained_variance (k,) = λ.

    >>> line = PCA.fit(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]), k=1)
    >>> line.components, line.encode(np.array([[6.0, 8.0]]))
    (array([[0.6, 0.8]]), array([[5.]]))
    """

    mean: np.ndarray
    components: np.ndarray
    explained_variance: np.ndarray

    def encode(self, x):
        """Codes z (n, k) of x (n, D)."""
        check_columns(x, self.mean.shape[0])
        return (x - self.mean) @ self.components.T  # (5)

    def decode(self, z):
        """The points x̂ (n, D) of the plane with codes z (n, k)."""
        check_columns(z, self.components.shape[0], "z")
        return self.mean + z @ self.components  # (6)

    def reconstruction_error(self, x):
        """‖x − x̂‖² (n,), the squared distance of each x (n, D) from the plane."""
        return np.sum((x - self.decode(self.encode(x))) ** 2, axis=1)  # (7)

    @classmethod
    def fit(cls, x, k):
        """The k leading components of x (n, D), n ≥ 2 and 1 ≤ k ≤ min(n, D), by the eigenvectors of the smaller of S and XXᵀ.

        Raises TypeError or ValueError for data that are not finite floats (n, D), or for another k.
        """
        check_data(x, least=2)
        n, d = x.shape
        check_rank(k, min(n, d), "min(n, D)")
        mean = np.mean(x, axis=0, dtype=np.float64).astype(x.dtype)  # (1)
        variances, axes = (gram_axes if d > n else covariance_axes)(x, mean, k)
        return cls(mean, fix_signs(axes), np.maximum(variances, 0))
