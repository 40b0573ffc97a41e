"""How sure is a score? The standard error of any metric of samples, by leaving groups of them out.

Quenouille 1956; Tukey 1958; Efron & Stein 1981, "The jackknife estimate of variance".

Notation: θ the metric of all samples; the rows of each set are dealt into G groups at random; θ₋g the metric without the g-th group of
one set.

    error² = Σ over the sets of (G−1)/G Σ_g (θ₋g − θ̄₋)²                                                   (1)

For a mean it is s²/n in expectation, exactly s²/n where G = n. Unlike the bootstrap it draws no sample twice, which would put it at
distance 0 from itself: so it also serves metrics that look at neighbours. On average it is not too small.
"""

import numpy as np

from minigen.backend import array_module
from minigen.checks import as_samples, check_count, check_rng
from minigen.metrics.likelihood import Estimate


def with_error(metric, *sets, rng, groups=20):
    """metric(*sets), a number, with its standard error: an Estimate. Each set is samples (n, D), or whatever rows the metric takes.

    The metric is computed 1 + groups · len(sets) times. Raises TypeError or ValueError naming the argument that is wrong.

    >>> x = np.random.default_rng(0).standard_normal((500, 1))
    >>> estimate = with_error(lambda x: float(np.mean(x)), x, rng=np.random.default_rng(0))
    >>> bool(abs(estimate.mean) < 4 * estimate.standard_error), bool(0.02 < estimate.standard_error < 0.08)  # 1/√500 = 0.045
    (True, True)
    """
    check_rng(rng)
    check_count("groups", groups)
    if groups < 2:
        raise ValueError(f"groups is {groups}; expected at least 2")
    sets = [as_samples(x, f"set {i + 1}", least=groups) for i, x in enumerate(sets)]
    if not sets:
        raise ValueError("sets: there is none; expected the arguments of the metric")
    variance = 0.0
    for i, x in enumerate(sets):
        group = rng.permutation(np.arange(x.shape[0]) % groups)
        rest = (array_module(x).asarray(np.flatnonzero(group != g)) for g in range(groups))
        without = np.array([float(metric(*sets[:i], x[rows], *sets[i + 1 :])) for rows in rest])
        variance += (groups - 1) / groups * float(np.sum((without - np.mean(without)) ** 2))  # (1)
    return Estimate(float(metric(*sets)), variance**0.5)
