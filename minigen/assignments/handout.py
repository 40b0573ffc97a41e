"""Making a handout: a folder that runs on its own, with the functions' bodies cut."""

import ast
import json
from pathlib import Path

import minigen
from minigen.assignments.source import closure, cut, path_of, phrases, solution

CHECK = '''"""Checks what is written so far: python check.py [vae.2 …]"""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from minigen.assignments.checks.tiers import find, run_tier

rows = json.loads((HERE / "handout.json").read_text(encoding="utf-8"))["problems"]
for name in sys.argv[1:]:
    if not any(name in (row["label"], row["name"], row["function"]) for row in rows):
        sys.exit(f"there is no problem {name}; there are {', '.join(row['label'] for row in rows)}")
for row in rows:
    if sys.argv[1:] and not {row["label"], row["name"], row["function"]} & set(sys.argv[1:]):
        continue
    print(f"{row['label']}  {row['name']}  ({row['points']} points)")
    module = "minigen.derivatives" if row["function"].startswith("np.") else row["module"]
    try:
        function = find(f"{module}:{row['function']}")
    except (Exception, SystemExit) as error:  # a file that cannot be read, or a function that is not there any more
        where = f" in line {error.lineno} of {error.filename}" if isinstance(error, SyntaxError) else ""
        print(f"  FAILED  {type(error).__name__}: {getattr(error, 'msg', error)}{where}")
        continue
    for tier, check in row["checks"].items():
        message = run_tier(check, function)
        print(f"  {'ok    ' if message is None else 'FAILED'}  {tier}")
        if message is not None:
            print("      " + "\\n".join([message, *(f"  hint       {hint}" for hint in row["hints"])]).replace("\\n", "\\n      "))
            break
'''


COPY = "left out, as it would tell a solution"


def messages(assignment):
    """{module: {function: what the cut body says}}."""
    table = {}
    for problem in assignment.problems:
        named = table.setdefault(problem.module, {})
        named |= {copy: COPY for copy in problem.copies if copy not in named}
        named[problem.function] = f"{assignment.label(problem)}: {problem.name}"
    return table


def cut_tree(assignment):
    """{relative path: text} of the package as the student gets it: what the problems and their checks import, with the bodies cut."""
    table = messages(assignment)
    modules = closure([*table, *assignment.checks, "minigen.assignments.checks.tiers"])
    return {str(path_of(m)): cut(assignment.text(m), table[m]) if m in table else assignment.text(m) for m in modules}


def leaks(assignment, files):
    """[what is told of a solution, and where]: long expressions of a cut body that stand elsewhere in the files, and known mistakes."""
    found = []
    spoken = {path: phrases(ast.parse(text)) for path, text in files.items() if path.endswith(".py")}
    for problem in assignment.problems:
        told = solution(problem.function, assignment.text(problem.module))
        for path, text in files.items():
            found += [f"{path} holds {phrase!r} of {problem.name}" for phrase in sorted(told & spoken.get(path, set()))]
            found += [f"{path} tells the mistake {m.name!r} of {problem.name}" for m in problem.mistakes if m.misconception in text]
    return found


def readme(assignment, variant):
    """The handout's README."""
    lines = [
        f"# {assignment.title}" + (f", variant {variant}" if variant is not None else ""),
        "",
        "Write the functions below; their docstrings, and the head of their files, say what they are.",
        "",
    ]
    lines += [f"`python check.py` checks what is written so far; `python check.py {assignment.label(assignment.problems[0])}` one problem."]
    lines += ["It needs NumPy and SciPy. Training differentiates what you write: use NumPy's functions and no others.", ""]
    for p in assignment.problems:
        lines += [f"**{assignment.label(p)}** `{p.function}` in `{path_of(p.module)}`, {p.points} points"]
        lines += [f"- after {', '.join(p.prerequisites)}"] if p.prerequisites else []
        lines += ["- a property: it has to accept what is right, and earns its points by what it rejects"] if p.subject else []
        lines += [""]
    return "\n".join(lines)


def make(assignment, out, variant=None):
    """Write the handout into the folder `out`, which must be empty or new; its path. ValueError where it would tell a solution.

    `variant` is the seed with which the assignment was loaded: the handout records it, for the grader.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is not an empty folder")
    files = cut_tree(assignment)
    rows = [p.row(assignment.label(p)) for p in assignment.problems]
    card = {"assignment": assignment.name, "version": minigen.__version__, "variant": variant, "problems": rows}
    files |= {"check.py": CHECK, "handout.json": json.dumps(card, indent=1, ensure_ascii=False), "README.md": readme(assignment, variant)}
    if told := leaks(assignment, files):
        raise ValueError("the handout would tell a solution: " + "; ".join(told))
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    return out
