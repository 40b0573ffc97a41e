"""How sure is a score? The standard error of any metric of samples, by leaving groups of them out.

Quenouille 1956; Tukey 1958; Efron & Stein 1981, "The jackknife estimate of variance".

Notation: θ the metric of all samples; the rows of each set are dealt into G groups at random; θ₋g the metric without the g-th group of
one set, or without the g-th group of every set at once, which keeps equal sizes equal and pairs of rows together.

    error² = Σ over the sets of (G−1)/G Σ_g (θ₋g − θ̄₋)²                                                   (1)
    error² = (G−1)/G Σ_g (θ₋g − θ̄₋)²   where groups are left out of all sets together                     (2)

For a mean it is s²/n in expectation, exactly s²/n where G = n. Unlike the bootstrap it draws no sample twice, which would put it at
distance 0 from itself: so it also serves metrics that look at neighbours. On average it is not too small.
"""

import numpy as np

from minigen.backend import array_module
from minigen.checks import as_samples, check_count, check_rng
from minigen.metrics.likelihood import Estimate


def numbers(result):
    """What a metric gave as a vector: a number, the mean of an estimate, or all of a tuple. TypeError where it is something else."""
    values = result if isinstance(result, tuple) else (result,)
    values = values[:1] if "mean" in getattr(result, "_fields", ()) else values
    try:
        return np.array([float(v) for v in values])
    except (TypeError, ValueError):
        raise TypeError(f"metric gave {type(result).__name__}; expected a number, an Estimate or a tuple of numbers") from None


def with_error(metric, *sets, rng, groups=20, together=False):
    """metric(*sets), a number, with its standard error: an Estimate; of a metric that gives several, such as precision and recall, of each.

    Each set is samples (n, D), or whatever rows the metric takes. The metric is computed 1 + groups · len(sets) times; with together=True
    1 + groups times, by (2), on sets of one size, which PRD curves, exact transport and paired data need. What the metric draws for itself
    is noise to this: give it a new generator of one seed each time. Raises TypeError or ValueError naming the argument that is wrong.

    >>> x = np.random.default_rng(0).standard_normal((500, 1))
    >>> estimate = with_error(lambda x: float(np.mean(x)), x, rng=np.random.default_rng(0))
    >>> bool(abs(estimate.mean) < 4 * estimate.standard_error), bool(0.02 < estimate.standard_error < 0.08)  # 1/√500 = 0.045
    (True, True)
    """
    check_rng(rng)
    check_count("groups", groups)
    if groups < 2:
        raise ValueError(f"groups is {groups}; expected at least 2")
    if not callable(metric):
        raise TypeError(f"metric is {metric!r}; expected a function of the sets")
    sets = [as_samples(x, f"set {i + 1}", least=groups) for i, x in enumerate(sets)]
    sizes = [x.shape[0] for x in sets]
    if not sets:
        raise ValueError("sets: there is none; expected the arguments of the metric")
    if together and len(set(sizes)) > 1:
        raise ValueError(f"sets have {', '.join(map(str, sizes))} rows; expected the same number where groups are left out together")
    result, variance = metric(*sets), 0.0
    for some in [range(len(sets))] if together else [[i] for i in range(len(sets))]:
        group = rng.permutation(np.arange(sizes[some[0]]) % groups)
        without = []
        for g in range(groups):
            rows = array_module(sets[0]).asarray(np.flatnonzero(group != g))
            without.append(numbers(metric(*(x[rows] if i in some else x for i, x in enumerate(sets)))))
        without = np.stack(without)
        variance = variance + (groups - 1) / groups * np.sum((without - np.mean(without, axis=0)) ** 2, axis=0)  # (1) (2)
    estimates = [Estimate(float(v), float(e)) for v, e in zip(numbers(result), variance**0.5, strict=True)]
    if not isinstance(result, tuple) or len(estimates) == 1:
        return estimates[0]
    return type(result)(*estimates) if hasattr(result, "_fields") else tuple(estimates)
