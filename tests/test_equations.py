"""Every numbered equation is stated, cited on a line of code and verified by a test; and the tool that says so can fail."""

from minigen.equations import Equation, cited, equations, orphans, stated, verified


def test_no_equation_is_an_orphan():
    found = equations()
    assert len(found) > 20
    assert orphans(found) == []


def test_a_gap_of_each_kind_is_named():
    gaps = orphans([Equation("a.1", "x = y"), Equation("a.2", "", ["a.py:3"], ["t"]), Equation("a.3", "x", ["a.py:4"], ["t"])])
    assert gaps == ["a.1 is not cited on a line of code", "a.1 is verified by no test", "a.2 is not stated in a docstring"]


def test_reading_a_chapter_and_its_tests(tmp_path):
    chapter = tmp_path / "toy.py"
    chapter.write_text('"""Toy.\n\n    x = y     (1)\n    see (1) above\n    y = z  (2)\n"""\nx = y = 0  # (1) (2)\n# as in (2)\n')
    assert stated(chapter) == {1: "x = y", 2: "y = z"}
    assert cited(chapter) == {1: [7], 2: [7, 8]}
    (tmp_path / "test_toy.py").write_text('@pytest.mark.verifies("toy.1", "toy.2")\ndef test_a():\n    pass\n')
    assert verified(tmp_path) == {"toy.1": ["test_toy.py::test_a"], "toy.2": ["test_toy.py::test_a"]}
