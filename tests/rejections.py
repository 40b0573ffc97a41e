"""What a check must say about a mistake, and what it must accept."""

import re
from dataclasses import dataclass

import pytest

from minigen.testing import PropertyFailure


def rejects(message, check, *args, **kwargs):
    """The failure that a check raises, which must have a message."""
    with pytest.raises(PropertyFailure) as caught:
        check(*args, **kwargs)
    assert re.search(message, caught.value.message)
    return caught.value


@dataclass
class Case:
    """What a check is given. A mistake has the message that it must be rejected with, and the hint that it must get, if any."""

    args: tuple
    kwargs: dict
    message: str = ""
    hint: str = ""


def right(*args, **kwargs):
    """A right answer."""
    return Case(args, kwargs)


def wrong(message, *args, hint="", **kwargs):
    """A mistake."""
    return Case(args, kwargs, message, hint)
