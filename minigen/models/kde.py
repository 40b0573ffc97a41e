"""Kernel density estimation.  Rosenblatt 1956; Parzen 1962; Silverman 1986, "Density Estimation for Statistics and Data Analysis", §4.

Notation: xᵢ ∈ ℝᴰ, i = 1 … n, the data; H the bandwidth, a number h (H = h I) or a D × D lower triangular matrix; K a kernel, which
is itself a density on ℝᴰ; a = H⁻¹x, cᵢ = H⁻¹xᵢ and uᵢ = a − cᵢ; [·] is 1 where the condition holds, else 0.

    p(x) = (1/n) Σᵢ |H|⁻¹ K(uᵢ)                                                                          (1)
    K(u) = (2π)^(−D/2) exp(−½‖u‖²)                            "gaussian"                                 (2)
    K(u) = [‖u‖ ≤ 1] / V,   V = π^(D/2) / Γ(D/2 + 1)           "uniform" in the unit ball                (3)
    K(u) = (D+2)/(2V) max(1 − ‖u‖², 0)                        "epanechnikov"                             (4)

The score is a mean shift (Comaniciu & Meer 2002): towards the weighted mean of the data near x,

    ∇ log p(x) = H⁻ᵀ Σᵢ wᵢ (cᵢ − a),   wᵢ = K(uᵢ) / Σⱼ K(uⱼ)                       "gaussian"            (5)
    ∇ log p(x) = H⁻ᵀ Σᵢ wᵢ (cᵢ − a),   wᵢ = 2 [‖uᵢ‖ ≤ 1] / Σⱼ max(1 − ‖uⱼ‖², 0)     "epanechnikov"       (6)

A draw picks a datum and adds the kernel's noise. The first D of the m coordinates of a uniform point on a sphere have a density
∝ (1 − ‖v‖²)^((m−D−2)/2) (Archimedes for m = 3, D = 1), which for m = D + 2 and D + 4 are the kernels (3) and (4):

    x = x_I + H v,   I uniform on 1 … n,   v ~ K                                                         (7)
    v = (g₁ … g_D) / ‖g‖,   g ~ N(0, I_m),   so that Cov v = I / m                                       (8)

Rules of thumb make the kernel's covariance a fraction of the data's covariance Σ̂, which divides by n − 1:

    Cov(H v) = f² Σ̂                                                                                     (9)
    f = n^(−1/(D+4))                                          "scott" (Scott 1992, §6.3)                 (10)
    f = (n (D+2) / 4)^(−1/(D+4))                              "silverman" (1986, §4.3.2)                 (11)

"cv" is the h that maximises the likelihood of each datum under all the others (Habbema et al. 1974; Duin 1976):

    p₋ᵢ(xᵢ) = 1/(n−1) Σ_{j≠i} h⁻ᴰ K((xᵢ − xⱼ)/h) = (n p(xᵢ) − h⁻ᴰ K(0)) / (n−1)                          (12)
    gaussian: at a maximum D h² = (1/n) Σᵢ Σ_{j≠i} wᵢⱼ ‖xᵢ − xⱼ‖², wᵢⱼ ∝ K falling with distance, so that
    mean of the squared distance to the nearest ≤ D h² ≤ mean of all squared distances                   (13)
    others: h ≥ the longest distance to a nearest, or a datum has p₋ᵢ = 0;  h² ≤ (1 + 2/D) diameter²     (14)
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.backend import array_module, like, normal, to_host
from minigen.checks import check_choice, check_columns, check_data
from minigen.models.pca import scatter
from minigen.tensor import Tensor

SPHERE = {"uniform": 2, "epanechnikov": 4}  # how much larger than D is the m of the sphere
KERNELS = ("gaussian", *SPHERE)
FACTORS = {
    "scott": lambda n, d: n ** (-1 / (d + 4)),  # (10)
    "silverman": lambda n, d: (n * (d + 2) / 4) ** (-1 / (d + 4)),  # (11)
}


def log_peak(kernel, d):
    """log K(0) in d dimensions.

    >>> [round(math.exp(log_peak(kernel, 1)), 4) for kernel in KERNELS]
    [0.3989, 0.5, 0.75]
    """
    if kernel == "gaussian":
        return -d / 2 * math.log(2 * math.pi)
    log_volume = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    return (math.log((d + 2) / 2) if kernel == "epanechnikov" else 0.0) - log_volume


def exponents(a, c):
    """(start, s) for block after block of rows of a, where s[i, j] = −½‖a[start + i] − c[j]‖², by one matrix product a block.

    A block fits in a core's cache, where the passes over it cost least; it is larger where the product itself is the cost.
    """
    n, d = c.shape
    size = max(2**17 // n, min(d, 2**22 // n), 1) if array_module(a) is np else max(2**26 // n, 1)
    left = np.concatenate([a, -0.5 * np.sum(a**2, axis=1, keepdims=True), np.ones_like(a[:, :1])], axis=1)
    rows = np.concatenate([np.ravel(c.T), np.ones_like(c[:, 0]), -0.5 * np.sum(c**2, axis=1)])  # row after row: a faster product
    right = np.reshape(rows, (d + 2, n))
    for start in range(0, max(a.shape[0], 1), size):
        yield start, left[start : start + size] @ right


def place(s):
    """Where the result of a function of s goes: into the memory of s (new memory costs more than the arithmetic), but not a Tensor's."""
    return None if isinstance(s, Tensor) else s


def exp_and_max(s):
    """(e, m) with e = exp(s − m) and m the largest entry of each row of s; the memory of s is used again.

    In float64, where no row is far from all data, m = 0 loses nothing and saves two passes: each row has to come near one of the
    first 64 data, which is no full pass either. A GPU is not asked, as that would wait.
    In float32 the exponent is clamped at −80, because exp is slow where it is subnormal: beside the row's 1, e⁻⁸⁰ is nothing.
    """
    if s.dtype == np.float64 and array_module(s) is np and np.all(np.max(s[:, :64], axis=1) > -600):
        m = np.zeros_like(s[:, :1])
    else:
        m = np.max(s, axis=1, keepdims=True)
        s -= m
    if s.dtype == np.float32:
        s = np.maximum(s, -80, out=place(s))
    return np.exp(s, out=place(s)), m


def one_minus_square(s):
    """max(1 − ‖u‖², 0) from s = −½‖u‖², whose memory is used again."""
    s *= 2
    s += 1
    return np.maximum(s, 0, out=place(s))


def log_kernel_sums(kernel, s):
    """log Σⱼ K(uᵢⱼ) / K(0) for each row i of s = −½‖u‖², whose memory is used again; −∞ where no datum is near."""
    if kernel == "gaussian":
        e, m = exp_and_max(s)
        sums = e @ np.ones_like(e, shape=e.shape[1])  # a product sums faster than np.sum
        return m[:, 0] + np.log(sums)  # (2)
    if kernel == "uniform":
        sums = np.sum(s >= -0.5, axis=1, dtype=s.dtype)  # (3)
    else:
        sums = np.sum(one_minus_square(s), axis=1)  # (4)
    with np.errstate(divide="ignore"):
        return np.log(sums)


def mean_shift(kernel, a, c, s):
    """Σᵢ wᵢ (cᵢ − a) for each row of a, with s = −½‖a − c‖², whose memory is used again."""
    if kernel == "gaussian":
        w, _ = exp_and_max(s)
        total = mass = np.sum(w, axis=1, keepdims=True)  # (5)
    else:
        w = 2 * (s >= -0.5).astype(s.dtype)
        mass, total = np.sum(w, axis=1, keepdims=True), np.sum(one_minus_square(s), axis=1, keepdims=True)  # (6)
    with np.errstate(invalid="ignore"):
        return (w @ c - mass * a) / total


def kernel_noise(kernel, shape, rng, x):
    """v ~ K of shape (n, D), in the library and dtype of x."""
    n, d = shape
    if kernel == "gaussian":
        return normal(rng, shape, x)
    g = normal(rng, (n, d + SPHERE[kernel]), x)
    return g[:, :d] / np.linalg.norm(g, axis=1, keepdims=True)  # (8)


def rule_of_thumb(x, rule, kernel):
    """The lower triangular H (D, D) of "scott" or "silverman"; ValueError where the covariance of x is singular."""
    n, d = x.shape
    cov = scatter(x, np.mean(x, axis=0)) / (n - 1)
    spectrum = np.linalg.eigvalsh(cov)
    if not bool(spectrum[0] > d * np.finfo(x.dtype).eps * spectrum[-1]):
        raise ValueError(f'bandwidth is {rule!r}, but the covariance of x is singular; give a number, or "cv" for an isotropic one')
    kernel_variance = 1 / (d + SPHERE[kernel]) if kernel in SPHERE else 1
    return np.linalg.cholesky(cov) * (FACTORS[rule](n, d) / math.sqrt(kernel_variance))  # (9)


def exponents_of_others(x):
    """As `exponents` of x with itself, centred, but −∞ for each datum with itself, so that its kernel is 0 (and not subtracted)."""
    n = x.shape[0]
    centred = x - np.mean(x, axis=0)
    for start, s in exponents(centred, centred):
        s.reshape(-1)[start :: n + 1] = -np.inf  # the entries [i, start + i]
        yield s


def leave_one_out(x, bandwidths, kernel="gaussian"):
    """(1/n) Σᵢ log p₋ᵢ(xᵢ), in nats per example, for each number h in bandwidths; x is (n, D)."""
    n, d = x.shape
    total = 0
    for s in exponents_of_others(x):
        scaled = np.empty_like(s)
        total = total + np.stack([np.sum(log_kernel_sums(kernel, np.divide(s, h**2, out=scaled))) for h in bandwidths])
    log_h = like(x, np.log(bandwidths))
    return total / n + (log_peak(kernel, d) - math.log(n - 1)) - d * log_h  # (12)


def bandwidth_range(x, kernel):
    """(low, high) between which the bandwidth of greatest leave-one-out likelihood lies."""
    d = x.shape[1]
    nearest = np.concatenate([-2 * np.max(s, axis=1) for s in exponents_of_others(x)])
    spread = np.sum((x - np.mean(x, axis=0)) ** 2, axis=1)
    if float(np.mean(nearest)) <= 16 * np.finfo(x.dtype).eps * float(np.mean(spread)):
        raise ValueError('bandwidth is "cv", but each row of x has an equal one, so that h → 0 is always likelier; give a number')
    if kernel == "gaussian":
        low, high = np.mean(nearest) / d, 2 * np.sum(np.var(x, axis=0, ddof=1)) / d  # (13)
    else:
        low, high = np.max(nearest) * (1 + 1e-5), (1 + 2 / d) * 4 * np.max(spread)  # (14)
    return math.sqrt(low), math.sqrt(high)


def cross_validate(x, kernel):
    """The h of greatest leave-one-out likelihood: a grid over all that is possible, then two finer ones around the best, to 0.5 %.

    The likelihood of a uniform kernel jumps at every distance between two data: there h is about as good as the best, not near it.
    """
    low, high = bandwidth_range(x, kernel)
    for _ in range(3):
        grid = np.geomspace(low, high, 16)
        best = int(np.argmax(to_host(leave_one_out(x, grid.tolist(), kernel))))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 15)]
    return float(grid[best])


@dataclass
class KDE:
    """The density that spreads a kernel around each row of data (n, D): bandwidth is h (0-d) or H (D, D), kernel one of KERNELS.

    >>> two = KDE.fit(np.array([[0.0], [1.0]]), bandwidth=0.5, kernel="uniform")
    >>> np.exp(two.log_prob(np.array([[0.25], [0.5], [2.0]])))
    array([0.5, 1. , 0. ])
    """

    data: np.ndarray
    bandwidth: np.ndarray
    kernel: str = "gaussian"

    def whiten(self, x):
        """H⁻¹ (x − x̄), the coordinates in which the kernel is a ball around the origin."""
        centred = x - np.mean(self.data, axis=0)
        return centred / self.bandwidth if self.bandwidth.ndim == 0 else np.linalg.solve(self.bandwidth, centred.T).T

    def log_prob(self, x):
        """Exact log-density (n,) in nats of x (n, D); −∞ outside the support of a uniform or Epanechnikov kernel."""
        n, d = self.data.shape
        check_columns(x, d)
        sums = [log_kernel_sums(self.kernel, s) for _, s in exponents(self.whiten(x), self.whiten(self.data))]
        h = self.bandwidth
        log_det = d * np.log(h) if h.ndim == 0 else np.linalg.slogdet(h)[1]
        return np.concatenate(sums) + (log_peak(self.kernel, d) - math.log(n)) - log_det  # (1)

    def score(self, x):
        """∇ₓ log p(x) (n, D), NaN where p(x) = 0. A uniform kernel has none (0 almost everywhere): ValueError."""
        check_columns(x, self.data.shape[1])
        if self.kernel == "uniform":
            raise ValueError('kernel is "uniform", whose density is flat between its jumps; expected "gaussian" or "epanechnikov"')
        a, c = self.whiten(x), self.whiten(self.data)
        shifts = np.concatenate([mean_shift(self.kernel, a[i : i + s.shape[0]], c, s) for i, s in exponents(a, c)])
        return shifts / self.bandwidth if self.bandwidth.ndim == 0 else np.linalg.solve(self.bandwidth.T, shifts.T).T

    def sample(self, n, rng):
        """n exact draws (n, D)."""
        rows = array_module(self.data).asarray(rng.integers(0, self.data.shape[0], n))
        v = kernel_noise(self.kernel, (n, self.data.shape[1]), rng, self.data)
        return self.data[rows] + (self.bandwidth * v if self.bandwidth.ndim == 0 else v @ self.bandwidth.T)  # (7)

    @classmethod
    def fit(cls, x, bandwidth="scott", kernel="gaussian"):
        """The estimate from x (n, D): bandwidth is a number h > 0 (isotropic), "scott", "silverman" or "cv" (isotropic).

        Raises TypeError or ValueError for data that are not finite floats (n, D), another bandwidth or kernel, a singular
        covariance with "scott" or "silverman", and with "cv" where every row has an equal one.
        """
        check_choice("kernel", kernel, KERNELS)
        if isinstance(bandwidth, str):
            check_data(x, least=2)
            if bandwidth in FACTORS:
                return cls(x, rule_of_thumb(x, bandwidth, kernel), kernel)
            if bandwidth != "cv":
                raise ValueError(f'bandwidth is {bandwidth!r}; expected a number, "scott", "silverman" or "cv"')
            bandwidth = cross_validate(x, kernel)
        check_data(x)
        if not 0 < float(bandwidth) < math.inf:
            raise ValueError(f"bandwidth is {bandwidth}; expected a finite number greater than 0")
        return cls(x, like(x, bandwidth), kernel)
