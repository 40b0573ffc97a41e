"""The museum of bugs: each wrong line is rejected by a public check, each right one accepted."""

import pytest

import minigen.testing
from minigen.cli import load_demo

museum = load_demo("museum")


@pytest.mark.parametrize("exhibit", museum.EXHIBITS, ids=lambda e: e.name)
def test_the_wrong_line_is_rejected_and_the_right_one_accepted(exhibit):
    failure = exhibit.rejected(exhibit.wrong)
    assert failure is not None and "FAILED" in str(failure).splitlines()[0]
    assert exhibit.rejected(exhibit.right) is None
    wrong, right = (exhibit.show(exhibit.function(line)) for line in (exhibit.wrong, exhibit.right))
    assert wrong != right, "the number shows no difference"


def test_there_are_many_and_all_of_its_checks_are_public():
    assert len(museum.EXHIBITS) >= 25 and len({e.name for e in museum.EXHIBITS}) == len(museum.EXHIBITS)
    used = {name for e in museum.EXHIBITS for name in e.check.__code__.co_names if name.startswith("check_")}
    assert used <= set(minigen.testing.__all__) and len(used) >= 10
