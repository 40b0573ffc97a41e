"""A student's own file against the properties: `python -m minigen check student/vae.py`, `pytest --minigen-target=student/vae.py`.

Every function in the file that has the name of a problem's function is checked by that problem's properties, in the order of tiers.
Nothing is graded and nothing hidden: a check is a definition, and its failure shows the smallest case that it found.
"""

import importlib.util
import sys
from functools import partial
from pathlib import Path

from minigen.assignments.manifest import NAMES, load
from minigen.testing.failure import PropertyFailure


def read_module(path):
    """The module of a Python file, or of a dotted name; ValueError that says why it cannot be had."""
    file = Path(path if str(path).endswith(".py") else str(path).replace(".", "/") + ".py")
    if not file.is_file():
        raise ValueError(f"{path}: there is no file {file}; expected a Python file, or a dotted name of one")
    spec = importlib.util.spec_from_file_location(f"minigen_target_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # whatever a student's file does on import, exit included
        raise ValueError(f"{file}: {type(error).__name__}: {error}") from error
    return module


def member(module, name):
    """The function of a dotted name in a module, or None."""
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def attempted(path):
    """{"vae.1 kl_normal: property": check of no arguments} for each problem whose function the file has."""
    module, found = read_module(path), {}
    for assignment in map(load, NAMES):
        for problem in assignment.problems:
            function = member(module, problem.function)
            if callable(function) and not problem.function.startswith("np."):  # NumPy's own: such a problem is a row of a table
                for tier, check in problem.checks.items():
                    found[f"{assignment.label(problem)} {problem.function}: {tier}"] = partial(check, function)
    return found


def absent(cases):
    """The problems without a case whose function belongs in one file with one that has: a name may be misspelt."""
    found, missing = {case.partition(": ")[0] for case in cases}, []
    for assignment in map(load, NAMES):
        names = {f"{assignment.label(p)} {p.function}": p.module for p in assignment.problems if not p.function.startswith("np.")}
        here = {module for name, module in names.items() if name in found}
        missing += [name for name, module in names.items() if module in here and name not in found]
    return missing


def main(path):
    """Check a file and print what came of it; 0 if all holds, 1 if something does not, 2 if there is nothing to check."""
    try:
        cases = attempted(path)
    except ValueError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    if not cases:
        print(f"check: {path} has no function of any problem; `python -m minigen assignments list` names them", file=sys.stderr)
        return 2
    failed = 0
    for name, check in cases.items():
        try:
            check()
        except NotImplementedError as error:
            failed += 1
            print(f"todo    {name} ({error})")
        except PropertyFailure as failure:
            failed += 1
            print(f"FAILED  {name}\n{failure}")
        except Exception as error:  # a student's function may raise anything
            failed += 1
            print(f"FAILED  {name}\n  {type(error).__name__}: {error}")
        else:
            print(f"passed  {name}")
    for name in absent(cases):
        print(f"absent  {name}: {path} has no function of that name")
    print(f"{len(cases) - failed} of {len(cases)} hold")
    return 1 if failed else 0
