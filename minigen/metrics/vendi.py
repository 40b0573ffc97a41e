"""The Vendi score: how many different things are among the samples, by their similarities alone.

Friedman & Dieng 2023, "The Vendi score: a diversity evaluation metric for machine learning"; Pasarkar & Dieng 2024, "Cousins of the Vendi
score", for other orders q.

Notation: samples xᵢ, i = 1 … n; k a similarity, positive semi-definite with k(x, x) = 1; K its matrix, λᵢ the eigenvalues of K/n,
which are ≥ 0 and sum to 1; 0 log 0 = 0.

    VS = exp(−Σᵢ λᵢ log λᵢ)                                                                              (1)
    VS_q = (Σᵢ λᵢ^q)^(1/(1−q)) for q ≠ 1,   VS_∞ = 1/maxᵢ λᵢ                                             (2)
    cosine similarity k(x, y) = xᵀy / (‖x‖ ‖y‖) = uᵀv: then Σᵢ uᵢuᵢᵀ/n (D × D) has the same eigenvalues, but for zeros   (3)

The score is the exponential of an entropy, an effective number: n for samples that have nothing in common, 1 for samples that are all
alike; doubling each sample changes nothing. It never looks at real data, and says nothing of quality.
"""

import math

import numpy as np

from minigen.checks import as_samples

GIBIBYTE = 2**30


def normalised(x):
    """The rows of x divided by their norms, in float64; ValueError where one is 0."""
    x = x.astype(np.float64)
    norms = np.sqrt(np.sum(x * x, axis=1))
    if not bool(np.all(norms > 0)):
        raise ValueError("x has rows of zeros, which have no cosine similarity; expected none, or another kernel")
    return x / norms[:, None]


def vendi_score(x, kernel="cosine", q=1.0, memory=4.0):
    """The Vendi score of order q > 0 (perhaps infinite) of samples x (n, D): a Python float in [1, n].

    kernel: "cosine", which needs the smaller of n² and D² numbers, or a function of (m, D) and (n, D) to (m, n) with k(x, x) = 1, which
    needs n²; where that is more than `memory` GiB a MemoryError says so before anything is done. Its error:
    `uncertainty.with_error`; of few samples it is biased downwards. Raises TypeError or ValueError naming the argument that is wrong.

    >>> vendi_score(np.eye(3)[[0, 0, 1, 1, 2, 2]]).__round__(9)
    3.0
    """
    x = as_samples(x, "x")
    n, d = x.shape
    size = min(n, d) if isinstance(kernel, str) else n
    if isinstance(kernel, str) and kernel != "cosine":
        raise ValueError(f"kernel is {kernel!r}; expected 'cosine' or a function of (m, D) and (n, D) to (m, n)")
    if not isinstance(kernel, str) and not callable(kernel):
        raise TypeError(f"kernel is {kernel!r}; expected 'cosine' or a function of (m, D) and (n, D) to (m, n)")
    if not q > 0:
        raise ValueError(f"q is {q}; expected a number > 0")
    if 3 * 8 * size**2 > memory * GIBIBYTE:
        need = f"{3 * 8 * size**2 / GIBIBYTE:.1f} GiB for {size} × {size} numbers"
        raise MemoryError(f"vendi_score needs about {need}; memory is {memory} GiB")
    if isinstance(kernel, str):
        u = normalised(x)
        gram = u.T @ u if d < n else u @ u.T  # (3)
    else:
        x = x.astype(np.float64)
        gram = kernel(x, x)
        if gram.shape != (n, n):
            raise ValueError(f"kernel gave shape {gram.shape}; expected ({n}, {n})")
        if not bool(np.all(np.abs(np.diagonal(gram) - 1) < 1e-6)):
            raise ValueError("kernel(x, x) is not 1 for equal rows; expected ones on the diagonal")
        if not bool(np.max(np.abs(gram - gram.T)) < 1e-6):
            raise ValueError("kernel(x, x) is not symmetric; expected kernel(x, y) == kernel(y, x).T")
    values = np.linalg.eigvalsh(gram)
    if bool(values[0] < -1e-6 * n):
        raise ValueError(f"kernel(x, x) has the eigenvalue {float(values[0]):.3g}; expected a positive semi-definite kernel")
    values = np.maximum(values, 0)
    values = values / np.sum(values)  # the sum is n
    if q == math.inf:
        return float(1 / np.max(values))  # (2)
    if q == 1:
        return float(np.exp(-np.sum(values * np.log(np.where(values > 0, values, 1)))))  # (1)
    return float(np.sum(np.where(values > 0, values, 0) ** q) ** (1 / (1 - q)))  # (2)
