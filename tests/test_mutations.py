"""A sample of the mutation audit, and that every one of its bugs can be planted. The whole of it: `python -m tests.mutations`."""

import pytest

from tests.mutations import ROOT, every, survives

ALL = list(every())
SAMPLE = [m for m in ALL if m[0] in (
    "functions:1", "nn/norm:1", "models/latent:1", "metrics/mmd:4", "metrics/inception:2", "metrics/prd:1", "metrics/copying:7",
    "metrics/vendi:1", "metrics/transport:2", "metrics/likelihood:3",
)]  # fmt: skip


def test_there_are_many_and_each_can_be_planted():
    assert len(ALL) >= 150 and len({m[2:4] + m[1:2] for m in ALL}) == len(ALL)
    for name, file, right, wrong, tests in ALL:
        assert (ROOT / "minigen" / file).read_text(encoding="utf-8").count(right) == 1, f"{name}: {right!r}"
        assert right != wrong and all((ROOT / t).exists() for t in tests), name


@pytest.mark.parametrize("mutation", SAMPLE, ids=lambda m: m[0])
def test_a_sample_is_caught(mutation):
    assert len(SAMPLE) == 10
    assert not survives(mutation), "the tests of this chapter did not see the bug"


def test_a_survivor_is_seen_and_what_cannot_be_planted_is_an_error():
    file = "metrics/vendi.py"
    harmless = ("harmless", file, "GIBIBYTE = 2**30", "GIBIBYTE = 1073741824", ["tests/test_metrics_vendi.py"])
    assert survives(harmless)
    with pytest.raises(ValueError, match="occurs 0 times"):
        survives(("none", file, "no such text", "", []))
