"""Scores as classifiers: how well one number a datum separates classes, what explains it, and what it rejects.

Notation: scores sᵢ, i = 1 … n, with labels yᵢ ∈ {0 … C − 1}; class a has nₐ scores, their mean mₐ and deviation σₐ (over nₐ); m is
the mean of all. Scores of a critic have no zero and no unit: only the order and the distances of classes mean something, so

    relative score of a to r = mₐ − mᵣ                                                                    (1)

and two classes are apart where a random score of a lies above a random one of b, a tie counting ½: the area under the ROC of a
against b, and the Mann–Whitney U over nₐ n_b (Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve"),

    AUC(a, b) = 1/(nₐ n_b) Σ_{i∈a} ½ (#{j∈b: sⱼ < sᵢ} + #{j∈b: sⱼ ≤ sᵢ}) = 1 − AUC(b, a)                  (2)

which no increasing function of the scores changes. Nor does it change ρ (Spearman 1904): two rankings of the same things by u, v
agree as the ranks do, of which ties take the mean,

    rank(uᵢ) = ½ (#{j: uⱼ < uᵢ} + #{j: uⱼ ≤ uᵢ} + 1)                                                      (3)
    ρ(u, v) = cov(rank u, rank v) / √(var(rank u) var(rank v))                                            (4)

What explains values v? Classes, the share of the variance between them; numbers f₁ … f_K, by least squares; and of their R² each
factor's own part: what it adds, on average over the orders in which factors may come (Lindeman, Merenda & Gold 1980; the Shapley
value of R²), so that the parts add up to R² however the factors correlate:

    η² = Σₐ nₐ (mₐ − m)² / Σᵢ (sᵢ − m)²                                                                   (5)
    R²(F) = 1 − min_w Σᵢ (vᵢ − w₀ − Σ_{f∈F} w_f fᵢ)² / Σᵢ (vᵢ − v̄)²                                       (6)
    share(f) = Σ_{S ∌ f} |S|! (K − 1 − |S|)! / K! · (R²(S ∪ {f}) − R²(S))                                 (7)

A test that accepts a datum as one of the inside where s ≥ t has an error of each kind; the ROC shows both for every t, and t can be
set with n scores of the inside alone. Their k-th smallest rejects a further one with probability k/(n + 1) or, with ties, less
(a conformal test: Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World"):

    ROC: t ↦ (P(s ≥ t | outside), P(s ≥ t | inside))                                                      (8)
    t = the k-th smallest of s₁ … sₙ, k = ⌊level (n + 1)⌋;  t = −∞ where k = 0                            (9)
"""

import math
from itertools import chain, combinations

import numpy as np

from minigen.checks import as_floats, check_labels, check_rows


# ---- Classes ----
def check_scores(scores, name="scores", least=1):
    """scores as float64, or a clear error unless it is (n,), n ≥ least, of finite numbers."""
    scores = as_floats(scores, name)
    if scores.ndim != 1:
        raise ValueError(f"{name} has shape {scores.shape}; expected (n,): one number for each datum")
    check_rows(scores, least, name)
    return scores.astype(np.float64)


def members(scores, labels):
    """(scores as float64, one-hot labels (n, C) as float64, class sizes (C,)); ValueError where a class below the largest is empty."""
    scores = check_scores(scores)
    classes = check_labels(labels, scores.shape[0], name="labels")
    one_hot = (labels[:, None] == np.arange(classes, like=labels)).astype(np.float64)
    sizes = np.sum(one_hot, axis=0)
    if not bool(np.all(sizes > 0)):
        raise ValueError(f"labels has no datum of some class below {classes}; expected every class 0 … {classes - 1}")
    return scores, one_hot, sizes


def class_statistics(scores, labels):
    """The mean and the standard deviation (over nₐ) of the scores of each class, (C,) each."""
    scores, one_hot, sizes = members(scores, labels)
    means = scores @ one_hot / sizes
    return means, np.sqrt((scores - one_hot @ means) ** 2 @ one_hot / sizes)


def relative_scores(scores, labels, reference):
    """The class means (C,) as signed distances from the mean of the class `reference`.

    >>> relative_scores(np.array([1.0, 3.0, 7.0]), np.array([0, 0, 1]), 1)
    array([-5.,  0.])
    """
    means, _ = class_statistics(scores, labels)
    if not hasattr(reference, "__index__") or not 0 <= reference < means.shape[0]:
        raise ValueError(f"reference is {reference!r}; expected one of the classes 0 … {means.shape[0] - 1}")
    return means - means[reference]  # (1)


def pairwise_auc(scores, labels):
    """The matrix of AUC(a, b), (C, C) in [0, 1], ½ on its diagonal: how often a score of class a is above one of class b.

    Classes are as far apart where it is near 0 as where it is near 1: np.maximum(auc, 1 - auc) is how well a threshold tells them.

    >>> pairwise_auc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 0, 1, 1]))
    array([[0.5  , 0.125],
           [0.875, 0.5  ]])
    """
    scores, one_hot, sizes = members(scores, labels)
    order = np.argsort(scores)
    among = np.concatenate([0 * one_hot[:1], np.cumsum(one_hot[order], axis=0)])  # row k: the classes of the k lowest scores
    below, up_to = (among[np.searchsorted(scores[order], scores, side=side)] for side in ("left", "right"))
    return one_hot.T @ (0.5 * (below + up_to)) / (sizes[:, None] * sizes)  # (2)


# ---- Rankings ----
def ranks(u):
    """The ranks 1 … n of numbers (n,), of which ties take the mean.

    >>> ranks(np.array([3.0, 1.0, 3.0]))
    array([2.5, 1. , 2.5])
    """
    u = check_scores(u, "u")
    low, high = (np.searchsorted(np.sort(u), u, side=side) for side in ("left", "right"))
    return 0.5 * (low + high + 1)  # (3)


def rank_correlation(u, v):
    """Spearman's ρ of u and v, (n,) each, a number in [−1, 1]. ValueError where one of them is constant: it ranks nothing."""
    u, v = check_scores(u, "u", 2), check_scores(v, "v", 2)
    if u.shape != v.shape:
        raise ValueError(f"u has n = {u.shape[0]} and v has {v.shape[0]}; expected the same number")
    for name, a in (("u", u), ("v", v)):
        if bool(np.all(a == a[0])):
            raise ValueError(f"{name} is constant; expected numbers that rank")
    u, v = (ranks(a) - 0.5 * (a.shape[0] + 1) for a in (u, v))
    return float((u @ v) / np.sqrt((u @ u) * (v @ v)))  # (4)


# ---- What explains scores ----
def variation(values, name):
    """(values minus their mean, the sum of its squares); ValueError where nothing varies."""
    centred = values - np.mean(values)
    if bool(np.all(values == values[0])):
        raise ValueError(f"{name} is constant; expected numbers that vary")
    return centred, centred @ centred


def eta_squared(scores, labels):
    """The share of the scores' variance that lies between the classes, in [0, 1]."""
    scores, one_hot, sizes = members(scores, labels)
    centred, total = variation(scores, "scores")
    return float(sizes @ (centred @ one_hot / sizes) ** 2 / total)  # (5)


def r_squared(values, columns):
    """The share of the variance of values (n,) that a linear function of the columns, (n,) or (n, k), explains, in [0, 1]."""
    values, columns = check_scores(values, "values"), as_floats(columns, "columns").astype(np.float64)
    if columns.ndim not in (1, 2) or columns.shape[0] != values.shape[0]:
        raise ValueError(f"columns has shape {columns.shape}; expected ({values.shape[0]},) or ({values.shape[0]}, k)")
    check_rows(columns, 1, "columns")
    centred, total = variation(values, "values")
    f = columns.reshape(columns.shape[0], -1)
    f = f - np.mean(f, axis=0)
    f = f / np.maximum(np.max(np.abs(f), axis=0), 1e-300)  # so that a small unit is not mistaken for a column that depends on others
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    fitted = (centred @ u) * (s > 1e-10 * np.sqrt(f.size))
    return float(fitted @ fitted / total)  # (6)


def variance_shares(values, factors):
    """Each factor's share in the R² of values (n,): a dict of numbers ≥ 0 that add up to `r_squared` of all the columns together.

    factors: a dict of arrays, (n,) or (n, k): several columns may be one factor, as the indicators of a category.

    >>> a, b = np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 0, 1])
    >>> shares = variance_shares(2 * a + b, {"a": a, "b": b})
    >>> round(shares["a"], 6), round(shares["b"], 6)
    (0.8, 0.2)
    """
    if not factors:
        raise ValueError("factors is empty; expected at least one")
    names, k = list(factors), len(factors)
    tables = {name: f.reshape(f.shape[0], -1) for name, f in factors.items()}
    subsets = chain.from_iterable(combinations(names, size) for size in range(1, k + 1))
    r2 = {frozenset(s): r_squared(values, np.concatenate([tables[name] for name in s], axis=1)) for s in subsets}
    r2[frozenset()] = 0.0
    weight = lambda s: math.factorial(len(s)) * math.factorial(k - 1 - len(s)) / math.factorial(k)
    return {f: sum(weight(s) * (r2[s | {f}] - r2[s]) for s in r2 if f not in s) for f in names}  # (7)


# ---- Rejection ----
def roc(inside, outside):
    """(false acceptance, true acceptance), (T,) each, from (0, 0) to (1, 1), over every threshold that matters.

    A datum is accepted where its score is at least the threshold. The area under the curve by trapezoids is AUC(inside, outside).
    """
    inside, outside = check_scores(inside, "inside"), check_scores(outside, "outside")
    thresholds = np.sort(np.concatenate([inside, outside]))[::-1]
    accepted = [a.shape[0] - np.searchsorted(np.sort(a), thresholds, side="left") for a in (outside, inside)]
    curve = [np.concatenate([0.0 * c[:1], c / a.shape[0]]) for c, a in zip(accepted, (outside, inside), strict=True)]
    return curve[0], curve[1]  # (8)


def rejection_threshold(scores, level=0.05):
    """The threshold t that rejects (s < t) a further datum like those of the scores (n,) with probability at most `level`."""
    scores = check_scores(scores)
    if not 0 <= level < 1:
        raise ValueError(f"level is {level!r}; expected a number in [0, 1)")
    k = math.floor(level * (scores.shape[0] + 1))
    return float(np.sort(scores)[k - 1]) if k else -math.inf  # (9)
