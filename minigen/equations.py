"""Which line of code is which equation, and which test verifies it.

A chapter is a module of `minigen.models`, `minigen.metrics` or `minigen.distributions`. A line of its docstring that ends in
"(3)" states equation 3; a line of code whose comment holds "(3)" is that equation; a test marked verifies("vae.3") checks it.
"""

import ast
import re
import tokenize
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).parent
TESTS = PACKAGE.parent / "tests"
NUMBER = re.compile(r"\((\d+)\)")


@dataclass
class Equation:
    """One numbered equation: its name, its text, the code lines that cite it and the tests that verify it."""

    name: str
    text: str
    lines: list = field(default_factory=list)
    tests: list = field(default_factory=list)


def chapters():
    """The chapters' files, in order."""
    folders = [PACKAGE / "models", PACKAGE / "metrics", PACKAGE / "distributions"]
    files = [f for folder in folders if folder.is_dir() for f in sorted(folder.glob("*.py")) if f.stem != "__init__"]
    return files + [f for f in [PACKAGE / "distributions.py"] if f.exists()]


def stated(path):
    """{number: text} of the equations in a chapter's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = {}
    for line in docstring.splitlines():
        match = re.fullmatch(r"(\s*\S.*?)\s*\((\d+)\)", line)
        if match:
            if int(match[2]) in found:
                raise ValueError(f"{path.name} states equation ({match[2]}) twice")
            found[int(match[2])] = match[1].strip()
    return found


def cited(path):
    """{number: [line numbers]} of the equations that a chapter's comments cite."""
    found = defaultdict(list)
    with open(path, "rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                for number in NUMBER.findall(token.string):
                    found[int(number)].append(token.start[0])
    return found


def verified(folder=TESTS):
    """{equation name: [tests]} from the marks in a folder of tests."""
    found = defaultdict(list)
    for path in sorted(Path(folder).glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.verifies":
                    for argument in mark.args:
                        found[ast.literal_eval(argument)].append(f"{path.name}::{node.name}")
    return found


def equations():
    """Every Equation of every chapter, with what cites and verifies it; then those that are cited or verified but not stated."""
    tests, every = verified(), {}
    for path in chapters():
        texts, lines = stated(path), cited(path)
        for number in sorted(texts.keys() | (lines.keys() if texts else set())):
            name = f"{path.stem}.{number}"
            where = [f"{path.name}:{line}" for line in lines.get(number, [])]
            every[name] = Equation(name, texts.get(number, ""), where, tests.pop(name, []))
    return list(every.values()) + [Equation(name, "", [], where) for name, where in tests.items()]


def orphans(found, with_tests=True):
    """What is missing, a line each: an equation without text, code or test."""
    missing = []
    for e in found:
        parts = [("is not stated in a docstring", e.text), ("is not cited on a line of code", e.lines)]
        parts += [("is verified by no test", e.tests)] if with_tests else []
        missing += [f"{e.name} {what}" for what, there in parts if not there]
    return missing


def main():
    """Print the table; the exit code is 1 where an equation is an orphan."""
    found, with_tests = equations(), TESTS.is_dir()
    for e in found:
        print(f"{e.name:20s} {e.text}")
        print(f"{'':20s}   code   {', '.join(e.lines) or 'none'}")
        print(f"{'':20s}   tests  {', '.join(e.tests) or 'none' if with_tests else 'the tests are not installed'}")
    missing = orphans(found, with_tests)
    print(f"\n{len(found)} equations, {len(missing)} gaps" + "".join(f"\n  {m}" for m in missing))
    if not with_tests:
        print("The tests are not part of an installed package: run this in a clone of the repository to see them.")
    return 1 if missing else 0
