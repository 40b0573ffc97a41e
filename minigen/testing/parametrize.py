"""Checks as tests of pytest."""

from functools import partial


def name_of(check):
    """A check's name for people: that of the function, and of the first function it is given."""
    if isinstance(check, partial):
        target = next((a for a in check.args if callable(a)), None)
        return name_of(check.func) + (f"[{name_of(target)}]" if target is not None else "")
    return getattr(check, "__name__", type(check).__name__)


def parametrize_with_checks(checks):
    """A decorator that makes one test of each check: a list of functions of no arguments, or a dict of them by name.

    >>> import numpy as np
    >>> from minigen.testing import check_kl_closed_form
    >>> def kl(m1, s1, m2, s2):
    ...     return np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
    >>> @parametrize_with_checks([partial(check_kl_closed_form, kl)])
    ... def test_my_derivations(check):
    ...     check()
    >>> test_my_derivations.pytestmark[0].kwargs["ids"]
    ['check_kl_closed_form[kl]']
    """
    import pytest

    named = checks if isinstance(checks, dict) else {name_of(check): check for check in checks}
    if len(named) != len(checks):
        raise ValueError("checks: two have the same name; expected a dict that names each")
    return pytest.mark.parametrize("check", list(named.values()), ids=list(named))
