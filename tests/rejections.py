"""What a check must say about a mistake."""

import re

import pytest

from minigen.testing import PropertyFailure


def rejects(message, check, *args, **kwargs):
    """The failure that a check raises, which must have a message."""
    with pytest.raises(PropertyFailure) as caught:
        check(*args, **kwargs)
    assert re.search(message, caught.value.message)
    return caught.value
