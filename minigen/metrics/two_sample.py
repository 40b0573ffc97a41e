"""Two-sample tests: could these two sets of samples come from one distribution?

Gretton et al. 2012, "A kernel two-sample test"; Liu, Xu, Lu, Zhang, Gretton & Sutherland 2020, "Learning deep kernels for non-parametric
two-sample tests"; Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests"; Schilling 1986, "Multivariate two-sample tests based
on nearest neighbors"; Phipson & Smyth 2010, "Permutation p-values should never be zero".

Notation: x and y, m and n samples in ℝᴰ; z the N = m + n of them together, sᵢ = 1 where zᵢ is of x, else 0; T a statistic that is large
where the sets differ; T_b, b = 1 … B, the same with s permuted; K the kernel matrix of z with zeros on its diagonal.

    p = (1 + Σ_b [T_b ≥ T]) / (1 + B)                                                                    (1)

Under the hypothesis s is as good as each of its permutations, so that P(p ≤ α) ≤ α for every α and sample size, whatever T is, as
long as all else (bandwidth, network, neighbours) does not depend on s. Hence choices are made on one half of each set and the other
half is tested.

    unbiased MMD² = sᵀKs/(m(m−1)) + (1−s)ᵀK(1−s)/(n(n−1)) − 2 sᵀK(1−s)/(mn)                              (2)
    deep kernel   k(x, y) = exp(−‖φ(x) − φ(y)‖²/2ℓ²), φ a network and ℓ a number, which maximise θ/σ     (3)
    σ² = 4/n³ Σᵢ (Σⱼ hᵢⱼ)² − 4/n⁴ (Σᵢⱼ hᵢⱼ)²,   hᵢⱼ = k(xᵢ, xⱼ) + k(yᵢ, yⱼ) − k(xᵢ, yⱼ) − k(xⱼ, yᵢ),
    for m = n; θ = (2) has variance σ²/n to first order                                                  (4)
    of the classifier: T = the share of held-out samples whose set it tells; it has variance 1/(4N) around ½ under the hypothesis,
    where m = n and errors are independent                                                               (5)
    of neighbours:   T = 1/(Nk) Σᵢ Σ_{j ∈ the k nearest of zᵢ} [sⱼ = sᵢ]                                  (6)
"""

from typing import NamedTuple

import numpy as np

from minigen.backend import array_module, like, to_host
from minigen.checks import as_sample_pair, check_count, check_rng
from minigen.functions import log_sigmoid, relu
from minigen.metrics.mmd import gaussian_kernel, median_distance
from minigen.metrics.neighbours import nearest_neighbours
from minigen.nn import MLP
from minigen.optim import Adam
from minigen.train import minimise
from minigen.tree import tree_map

ROWS = 2048  # at a time, so that memory is bounded


class TestResult(NamedTuple):
    """A statistic, its p-value (Python floats), and the statistics of the permutations, an array (B,) on the host."""

    __test__ = False  # it is no test of pytest's

    statistic: float
    p_value: float
    null: np.ndarray


def permutation_p_value(statistic, null):
    """The p-value (1) of a statistic among those of permutations (B,)."""
    null = to_host(null).astype(np.float64)
    # A tie that rounding broke is still a tie: equal permutations may be summed in another order.
    ties = 1e-12 * max(abs(float(statistic)), float(np.max(np.abs(null))))
    p = (1 + np.count_nonzero(null >= float(statistic) - ties)) / (1 + len(null))  # (1)
    return TestResult(float(statistic), float(p), null)


def memberships(m, n, permutations, rng):
    """s and its permutations, (N, 1 + B) of 0 and 1: the first column is s itself."""
    s = np.empty((m + n, 1 + permutations))
    s[:, 0] = np.arange(m + n) < m
    for b in range(1, 1 + permutations):
        s[:, b] = rng.permutation(s[:, 0])
    return s


def mmd_statistics(kernel, z, s, m, n, rows=ROWS):
    """The unbiased MMD² (1 + B,) of the rows of z (N, D) for each column of memberships s (N, 1 + B), block by block, in float64."""
    parts, of_all, with_all, of_x = [slice(i, i + rows) for i in range(0, z.shape[0], rows)], 0, 0, 0  # 1ᵀK1, sᵀK1 and sᵀKs
    for number, i in enumerate(parts):
        for j in parts[number:]:  # K is symmetric: other blocks are below its diagonal
            a, b = z[i].astype(np.float64), z[j].astype(np.float64)
            k, times = kernel(a, b), 1 if i == j else 2
            if k.shape != (a.shape[0], b.shape[0]):
                raise ValueError(f"kernel gave shape {k.shape}; expected a function of (m, D) and (n, D) to (m, n)")
            if i == j:
                k.reshape(-1)[:: k.shape[0] + 1] = 0
            of_all = of_all + times * np.sum(k)
            with_all = with_all + (np.sum(k, axis=1) @ s[i] if i == j else np.sum(k, axis=1) @ s[i] + np.sum(k, axis=0) @ s[j])
            of_x = of_x + times * np.sum(s[i] * (k @ s[j]), axis=0)
    between = with_all - of_x
    return of_x / (m * (m - 1)) + (of_all - with_all - between) / (n * (n - 1)) - 2 * between / (m * n)  # (2)


def halves(x, rng):
    """Two random halves of the rows of x, the second not the smaller."""
    order = array_module(x).asarray(rng.permutation(x.shape[0]))
    return x[order[: x.shape[0] // 2]], x[order[x.shape[0] // 2 :]]


def checked(x, y, rng, permutations, least):
    """x and y as one type of floats, or a clear error."""
    check_rng(rng)
    check_count("permutations", permutations)
    return as_sample_pair(x, y, ("x", "y"), least=(least, least))


def mmd_test(x, y, rng, kernel=None, permutations=999):
    """Test by the unbiased MMD² (2), with its p-value: a TestResult.

    kernel is a function of (m, D) and (n, D) to (m, n), chosen without x and y. With kernel=None half of each set chooses a Gaussian
    kernel's bandwidth, by the median distance, and the other half is tested; with kernel="deep" it trains a deep kernel. Raises TypeError
    or ValueError naming the argument that is wrong.
    """
    chooses = kernel is None or isinstance(kernel, str)
    if not (callable(kernel) or kernel in (None, "deep")):
        raise ValueError(f"kernel is {kernel!r}; expected a function of (m, D) and (n, D) to (m, n), 'deep' or None")
    x, y = checked(x, y, rng, permutations, 4 if chooses else 2)
    if chooses:
        (x_choose, x), (y_choose, y) = halves(x, rng), halves(y, rng)
        choose = deep_kernel if kernel == "deep" else lambda a, b, rng: gaussian_kernel(median_distance(a, b) or 1.0)
        kernel = choose(x_choose, y_choose, rng)
    m, n = x.shape[0], y.shape[0]
    s = like(x, memberships(m, n, permutations, rng))
    values = mmd_statistics(kernel, np.concatenate([x, y]), s, m, n)
    return permutation_p_value(values[0], values[1:])


def signal_to_noise(kernel, x, y, floor=1e-8):
    """θ/σ of the unbiased MMD² θ of as many x as y (n, D); differentiable."""
    n = x.shape[0]
    between = kernel(x, y)
    h = kernel(x, x) + kernel(y, y) - between - np.swapaxes(between, 0, 1)
    mean = (np.sum(h) - np.trace(h)) / (n * (n - 1))
    variance = 4 / n**3 * np.sum(np.sum(h, axis=1) ** 2) - 4 / n**4 * np.sum(h) ** 2  # (4)
    return mean / np.sqrt(np.maximum(variance, 0) + floor)


def deep_kernel(x, y, rng, hidden=(32, 32), steps=200):
    """The kernel (3), trained on x and y (of which as many are used of each): a function of (m, D) and (n, D) to (m, n)."""
    n = min(x.shape[0], y.shape[0])
    mean, std = scale(np.concatenate([x, y]))
    network = like_tree(x, MLP.init(rng, [x.shape[1], *hidden], relu, dtype=np.float64))
    phi = lambda model, a: model["network"]((a - mean) / std)

    def kernel(model):
        def k(a, b):
            p, q = phi(model, a), phi(model, b)
            squared = np.sum(p * p, axis=1)[:, None] + np.sum(q * q, axis=1) - 2 * (p @ np.swapaxes(q, 0, 1))
            return np.exp(-0.5 * np.maximum(squared, 0) * np.exp(-2 * model["log_bandwidth"]))  # (3)

        return k

    bandwidth = median_distance(*(network((a[:1000] - mean) / std) for a in (x, y))) or 1.0
    initial = {"network": network, "log_bandwidth": like(x, np.log(bandwidth))}
    loss = lambda model, batch, rng: -signal_to_noise(kernel(model), *batch)
    model, _ = minimise(loss, initial, (x[:n], y[:n]), rng=rng, steps=steps, batch_size=256, optimizer=Adam(2e-3), progress=False)
    return kernel(model)


def scale(x):
    """Mean and standard deviation (D,) of the rows of x, in float64; 1 where a column is constant."""
    std = np.std(x, axis=0, dtype=np.float64)
    return np.mean(x, axis=0, dtype=np.float64), np.where(std > 0, std, 1)


def like_tree(x, model):
    """The model's arrays in the library of x."""
    return tree_map(lambda w: like(x, w), model)


def classifier_two_sample_test(x, y, rng, hidden=(64, 64), steps=300, permutations=999):
    """Train a network on half of x and y to tell them apart, test it on the other half: a TestResult, with the statistic (5) and
    its p-value.

    The sets need not have one size; the loss weighs them alike. Raises TypeError or ValueError naming the argument that is wrong.
    """
    x, y = checked(x, y, rng, permutations, 4)
    (x_train, x_test), (y_train, y_test) = halves(x, rng), halves(y, rng)
    train = np.concatenate([x_train, y_train])
    mean, std = scale(train)
    m, n = x_train.shape[0], y_train.shape[0]
    sign, weight = (like(x, np.repeat(pair, [m, n])) for pair in ([1.0, -1.0], [(m + n) / (2 * m), (m + n) / (2 * n)]))

    def loss(model, batch, rng):
        a, sign, weight = batch
        return -weight * log_sigmoid(sign * model(a)[:, 0])

    network = like_tree(x, MLP.init(rng, [x.shape[1], *hidden, 1], relu, dtype=np.float64))
    train = train - mean
    train /= std
    data = (train, sign, weight)
    optimizer = Adam(2e-3, weight_decay=0.05)
    model, _ = minimise(loss, network, data, rng=rng, steps=steps, batch_size=128, optimizer=optimizer, progress=False)
    blocks = (a[i : i + ROWS] for a in (x_test, y_test) for i in range(0, a.shape[0], ROWS))
    says_x = to_host(np.concatenate([model((a - mean) / std)[:, 0] > 0 for a in blocks]))
    s = memberships(x_test.shape[0], y_test.shape[0], permutations, rng)
    values = np.mean(says_x[:, None] == (s > 0.5), axis=0)  # (5)
    return permutation_p_value(values[0], values[1:])


def knn_two_sample_test(x, y, rng, k=5, permutations=999):
    """Test by how often the k nearest neighbours of a sample are of its own set: a TestResult, with the statistic (6) and its p-value.

    Raises TypeError or ValueError naming the argument that is wrong; N must be at least k + 1.
    """
    x, y = checked(x, y, rng, permutations, 1)
    m, n = x.shape[0], y.shape[0]
    order = rng.permutation(m + n)  # neighbours at equal distances are taken in the order of rows, which must not say the set
    z = np.concatenate([x, y])[array_module(x).asarray(order)]
    index = to_host(nearest_neighbours(z, k=k)[0])
    s = memberships(m, n, permutations, rng)[order]
    values = np.stack([np.mean(column[index] == column[:, None]) for column in s.T])  # (6)
    return permutation_p_value(values[0], values[1:])
