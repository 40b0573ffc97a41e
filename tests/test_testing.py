"""The failure as a reader sees it, running checks, drawing cases, and questions that checks refuse; for mistakes see the claims."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from minigen.testing import (
    FAMILIES,
    PropertyFailure,
    check_bound,
    check_causal,
    check_density_normalises,
    check_diffusion_marginals,
    check_metric,
    for_all,
    run_checks,
)
from tests.rejections import rejects

INF, LOG_2PI = np.inf, math.log(2 * math.pi)
RNG = np.random.default_rng(0)


def test_a_failure_reads_as_designed():
    failure = PropertyFailure(
        "closed-form KL equals its defining integral", ref="vae.2", equation="KL(q‖p) = E_q[log q(x) − log p(x)]",
        inputs="q = N(0, 0.25²)   p = N(0, 0.5²)", got=0.8068528, want=0.3181472, oracle="quadrature of the definition", error=8e-13,
        tolerance=1e-6, hint="the arguments look swapped: this is KL(p‖q)", replay="kl(0.0, 0.25, 0.0, 0.5)",
    )  # fmt: skip
    assert str(failure).splitlines() == [
        "[vae.2] FAILED: closed-form KL equals its defining integral",
        "  equation   KL(q‖p) = E_q[log q(x) − log p(x)]",
        "  at         q = N(0, 0.25²)   p = N(0, 0.5²)",
        "  yours      0.8068528   expected 0.3181472 (quadrature of the definition, error 8e-13)   ratio 2.536099",
        "  tolerance  1.0e-06",
        "  hint       the arguments look swapped: this is KL(p‖q)",
        "  replay     kl(0.0, 0.25, 0.0, 0.5)",
    ]
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)
    assert isinstance(failure, AssertionError)
    assert str(replace(failure, smallest=True)).splitlines()[2] == "  smallest counterexample  q = N(0, 0.25²)   p = N(0, 0.5²)"


def test_run_checks():
    def good(target):
        assert target == 3

    def bad(target):
        raise PropertyFailure("no")

    def broken(target):
        raise KeyError("x")

    results = run_checks(3, [good, bad, broken], on_fail="collect")
    assert list(results) == ["good", "bad", "broken"]
    assert results["good"] is None and str(results["bad"]) == "FAILED: no" and isinstance(results["broken"], KeyError)
    assert run_checks(3, {"a name": good}) == {"a name": None}
    with pytest.raises(PropertyFailure, match="no"):
        run_checks(3, [good, bad])
    with pytest.raises(ValueError, match="on_fail is 'ignore'"):
        run_checks(3, [], on_fail="ignore")


def test_for_all_finds_a_counterexample(cases):
    seen = []

    def body(x, y):
        seen.append((x, y))
        if x + y >= 11:
            raise PropertyFailure("too large", inputs=f"{x} {y}")

    failure = rejects("too large", for_all, body, [[0, 1, 2, 3, 4], lambda rng: int(rng.integers(3, 9))])
    assert failure.__cause__ is None and failure.__context__ is None and not hasattr(failure, "__notes__")
    assert len(set(seen)) > 1
    first = seen.copy()
    seen.clear()
    assert str(rejects("too large", for_all, body, [[0, 1, 2, 3, 4], lambda rng: int(rng.integers(3, 9))])) == str(failure)
    assert seen == first  # the same cases at every run
    for_all(lambda x: None, [[1]])
    with pytest.raises(ZeroDivisionError):
        for_all(lambda x: 1 / 0, [[1]])


def test_hypothesis_shrinks():
    def body(x, y):
        if x + y >= 4:
            raise PropertyFailure("too large", inputs=f"{x} {y}")

    assert rejects("too large", for_all, body, [range(9), range(9)]).inputs in {"0 4", "4 0"}


def test_check_bound_wants_something_to_compare():
    for wrong in ({"truth": 0.0}, {"lower": 0.0}):
        with pytest.raises(ValueError, match="give truth, and lower or upper"):
            check_bound(**wrong)


def test_check_metric_names_an_unknown_invariant():
    with pytest.raises(ValueError, match="no invariant 'reflexive'"):
        check_metric(lambda x, y: 0.0, ["reflexive"])


@pytest.mark.parametrize("order", [np.array([1, 2]), np.array([0, 0]), np.array([0.0, 1.0])])
def test_an_order_is_a_permutation(order):
    with pytest.raises(ValueError, match="expected a permutation"):
        check_causal(lambda x: x, order)


def test_a_failure_of_causality_names_the_pair():
    failure = rejects("after it", check_causal, lambda x: np.roll(x, -1, axis=2), np.arange(6).reshape(2, 3))
    assert failure.inputs == "output (0, 0), time 0; input (0, 1), time 1; such pairs: 4"


def test_check_diffusion_marginals_wants_a_schedule_and_something_to_check():
    for betas in ([], [0.0, 0.1], [0.1, 1.0], [[0.1]]):
        with pytest.raises(ValueError, match=r"betas have shape .* expected \(T,\), each between 0 and 1"):
            check_diffusion_marginals(betas, lambda x0, t: (x0, 1.0))
    with pytest.raises(ValueError, match="give marginal, q_sample or posterior"):
        check_diffusion_marginals([0.1])


def test_the_public_families_are_normalised():
    for family in FAMILIES.values():
        parameters = [values[0] for values in family.values]
        log_prob, support = (lambda x, f=family, p=parameters: f.log_prob(x, *p)), family.support(*parameters)
        if isinstance(support, np.ndarray):
            assert np.sum(np.exp(log_prob(support))) == pytest.approx(1)
        else:
            check_density_normalises(log_prob, support)
