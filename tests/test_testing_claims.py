"""Every public check accepts right answers, however they are written, and rejects named mistakes; and says so as a reader needs it."""

import inspect
import re

import numpy as np
import pytest

from minigen import testing
from minigen.testing import check_adjoint, check_bijection, check_diffusion_marginals, check_gradients, check_kl_closed_form
from tests.claims_of_laws import LAWS
from tests.claims_of_maps import MAPS
from tests.claims_of_models import MODELS
from tests.rejections import rejects

CLAIMS = MAPS | LAWS | MODELS
draws_cases = lambda check: "cases" in inspect.signature(check).parameters


def each(accepted):
    """(check, case, how cases are drawn) of all that must be accepted or rejected, as parameters."""
    return [
        pytest.param(check, case, drawn, id=f"{check.__name__.removeprefix('check_')}, {name}{f', {drawn}' if draws_cases(check) else ''}")
        for check, cases in CLAIMS.items()
        for name, case in cases.items()
        for drawn in (("hypothesis", "seeded") if draws_cases(check) else ("hypothesis",))
        if accepted == (not case.message)
    ]  # fmt: skip


@pytest.mark.parametrize(("check", "case", "cases"), each(accepted=True), indirect=["cases"])
def test_a_right_answer_is_accepted(check, case, cases):
    seeds = range(2) if "seed" in inspect.signature(check).parameters and not draws_cases(check) else [None]
    for seed in seeds:
        check(*case.args, **case.kwargs, **({} if seed is None else {"seed": seed}))


@pytest.mark.parametrize(("check", "case", "cases"), each(accepted=False), indirect=["cases"])
def test_a_mistake_is_rejected_by_name(check, case, cases):
    failure = rejects(case.message, check, *case.args, **case.kwargs, ref="chapter.7")
    assert str(failure).splitlines()[0] == f"[chapter.7] FAILED: {failure.message}"
    if cases == "hypothesis":
        assert re.search(case.hint, failure.hint) and (case.hint or "sign is turned" not in failure.hint)


def test_no_check_is_forgotten():
    public = {getattr(testing, name) for name in testing.__all__ if name.startswith("check_")}
    assert public == set(CLAIMS)
    for check, cases in CLAIMS.items():
        mistakes = [case for case in cases.values() if case.message]
        assert len(mistakes) >= 3 and len(cases) - len(mistakes) >= 2, check.__name__


# ---- The message: what it means, the equation, a counterexample, both values, what it looks like, and how to see it again ----
# What a failure of each check must tell, and what its replay line calls by name.
TOLD = {
    check_kl_closed_form: ("swapped", lambda case: {"kl": case.args[0]}),
    check_gradients: ("sign", lambda case: {"f": case.args[0], "args": case.args[1], "check_gradients": check_gradients}),
    check_adjoint: ("the map itself", lambda case: dict(zip(("A", "At"), case.args, strict=False))),
    check_bijection: ("sign", lambda case: dict(zip(("forward", "inverse"), case.args, strict=False))),
    check_diffusion_marginals: ("a √ is missing", lambda case: {"marginal": case.args[-1]} | case.kwargs),
}


@pytest.mark.parametrize("check", TOLD)
def test_the_message_is_told_as_designed(check):
    name, _ = TOLD[check]
    case = CLAIMS[check][name]
    lines = str(rejects(case.message, check, *case.args, **case.kwargs, ref="vae.2")).splitlines()
    prefix, meaning = lines[0].split(": ", 1)
    assert prefix == "[vae.2] FAILED" and re.search(case.message, meaning)
    at = r"at\s+" if check is check_gradients else "smallest counterexample  "
    expected = [r"equation   .*[=∝]", rf"{at}.*=", r"yours      \S+   expected \S+ \(.*\)", r"hint       ", r"replay     "]
    rest = [line for line in lines[1:] if not line.startswith("  tolerance")]
    assert len(rest) == len(expected)
    for line, pattern in zip(rest, expected, strict=True):
        assert re.match("  " + pattern, line), line


@pytest.mark.parametrize("check", TOLD)
def test_the_replay_line_replays(check):
    """It is Python that gives what the message calls yours, or raises the same message again."""
    replayed = 0
    for name, case in CLAIMS[check].items():
        if not case.message or name == "changes its input":
            continue
        failure = rejects("", check, *case.args, **case.kwargs)
        if not failure.replay:
            continue
        names = {"np": np} | TOLD[check][1](case)
        if check is check_gradients:
            assert str(rejects("", eval, failure.replay, names)) == str(failure)
        else:
            found = np.asarray(eval(failure.replay, names))
            np.testing.assert_array_equal(np.reshape(found, -1), np.reshape(failure.got, -1))
        replayed += 1
    assert replayed >= 3


def test_the_smallest_counterexample_is_simple():
    failure = rejects("closed-form KL", check_kl_closed_form, CLAIMS[check_kl_closed_form]["variance for std"].args[0])
    assert failure.replay in {"kl(0.0, 1.0, 0.0, 2.0)", "kl(0.0, 2.0, 0.0, 1.0)"}
    assert failure.inputs.startswith("q = N(0.0, ")
    steps = CLAIMS[check_diffusion_marginals]
    assert rejects("", check_diffusion_marginals, *steps["a √ is missing"].args).inputs == "x₀ = 1.0   t = 1"
    assert rejects("", check_diffusion_marginals, *steps["variances are added"].args).inputs == "x₀ = 1.0   t = 2"
    flows = CLAIMS[check_bijection]
    assert rejects("", check_bijection, *flows["sign"].args).inputs == "x = [0. 0. 0.]"
    kernel = rejects("", check_adjoint, *CLAIMS[check_adjoint]["the kernel is not flipped"].args)
    assert kernel.inputs == "i = [0]   j = [0]" and (kernel.got, kernel.want) == (1, 3)
    assert rejects("", check_adjoint, *CLAIMS[check_adjoint]["one entry"].args).inputs == "i = [5]   j = [5]"


def test_a_simpler_point_outside_of_the_domain_is_passed_over():
    """log is no bijection at 0, and the failure stays about a row where it is."""
    forward, inverse = lambda x: (np.log(x), -np.sum(x, axis=-1)), lambda y: (np.exp(y), np.sum(np.exp(y), axis=-1))
    failure = rejects("that of the Jacobian", check_bijection, forward, inverse, np.array([[1.5, 2.0]]))
    assert failure.inputs == "x = [1. 1.]"
    second = lambda sign: lambda x: (x, sign * (np.arange(len(x)) == 1))  # a row alone is right
    failure = rejects("that of the Jacobian", check_bijection, second(1), second(-1), np.eye(2))
    assert not failure.smallest and failure.inputs == "x = [0. 1.]"
