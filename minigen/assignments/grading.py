"""Grading: each function of a student is put into a fresh copy of the reference, and checked in a process of its own."""

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from minigen.assignments.checks.tiers import EMPTY
from minigen.assignments.handout import COPY, cut_tree
from minigen.assignments.source import PACKAGE, cut, locate, path_of, splice
from minigen.progress import shown

WORKER = Path(__file__).with_name("worker.py")
LARGEST = 1_000_000  # bytes of a student's file


@dataclass
class Result:
    """One problem's grade: the tiers that passed, what to tell the student, and the known mistake that it looks like."""

    label: str
    name: str
    score: float
    max_score: float
    passed: list
    message: str = ""
    misconception: str = ""
    mistake: str = ""


@dataclass
class Grade:
    """A submission's grade; `together` names the problems that pass with all of the student's functions at once, where asked."""

    submission: str
    assignment: str
    results: list = field(default_factory=list)
    together: list | None = None

    @property
    def score(self):
        """The sum of points."""
        return round(sum(r.score for r in self.results), 2)

    @property
    def max_score(self):
        """The points that there are."""
        return sum(r.max_score for r in self.results)


def run_jobs(assignment, jobs, seconds, memory):
    """The worker's answers to jobs (problem, {module: source}, tiers), in a tree from which all bodies are gone."""
    with tempfile.TemporaryDirectory(prefix="minigen-grade-") as folder, tempfile.TemporaryFile() as said:
        tree = Path(folder, "tree")
        for path, text in cut_tree(assignment).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text, encoding="utf-8")
        whole = {m: assignment.text(m) for m in assignment.modules}  # the tree has them cut
        rows = [
            {"row": p.row(assignment.label(p)), "sources": whole | sources, "tiers": list(tiers), "seconds": seconds,
             "memory": memory, "reference": os.path.realpath(PACKAGE)}
            for p, sources, tiers in jobs
        ]  # fmt: skip
        task = json.dumps({"tree": str(tree), "jobs": rows, "reference": whole}).encode()
        environment = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH")}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": folder}
        command = [sys.executable, "-I", "-B", shutil.copy(WORKER, folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
        with subprocess.Popen(command, env=environment, cwd=folder, **pipes) as worker:
            timer = threading.Timer(60 + len(jobs) * (4 * seconds + 10), worker.kill)
            timer.start()
            try:
                with contextlib.suppress(BrokenPipeError), worker.stdin:  # of a worker that died before it read: what it said follows
                    worker.stdin.write(task)
                lines = [line for _, line in zip(shown(range(len(jobs)), "grade"), worker.stdout, strict=False)]
            finally:
                timer.cancel()
                worker.kill()
        if len(lines) < len(jobs):
            said.seek(0)
            raise RuntimeError(f"the worker failed: {said.read().decode(errors='replace')[-2000:]}")
        return list(map(json.loads, lines))


def roots(submission):
    """A submission's folder, and the one in it where there is only that, as unpacked archives have it."""
    folders = [p for p in submission.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))] if submission.is_dir() else []
    return [submission, *folders] if len(folders) == 1 else [submission]


def read(submission, module):
    """(tree of a student's module or None, what is wrong with it) from a folder or a file."""
    submission, path = Path(submission), path_of(module)
    places = [submission] if submission.is_file() else [root / place for root in roots(submission) for place in (path, path.name)]
    file = next((p for p in places if p.is_file()), None)
    if file is None:
        return None, f"there is no file {path}"
    if file.stat().st_size > LARGEST:
        return None, f"{path} has {file.stat().st_size:,} bytes; at most {LARGEST:,} are read"
    try:
        return ast.parse(file.read_bytes().decode("utf-8")), ""
    except UnicodeDecodeError as error:
        return None, f"{path} is not UTF-8 text: byte {error.start} cannot be read"
    except SyntaxError as error:
        return None, f"{path} has a syntax error in line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OSError) as error:
        return None, f"{path} cannot be read: {type(error).__name__}: {error}"


def untouched(node):
    """Whether a function's body is still that of the handout."""
    if "unwritten(" in ast.unparse(node) and not isinstance(node, ast.FunctionDef):
        return True
    body = [n for n in getattr(node, "body", []) if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.unparse(body[0])


def spliced(assignment, submission, together=False):
    """({problem: sources}, {problem: why there are none}) of a submission."""
    sources, problems, trees = {}, {}, {m: read(submission, m) for m in assignment.modules}
    found = {}
    for p in assignment.problems:
        tree, message = trees[p.module]
        place = locate(tree, p.function) if tree else None
        if tree is not None and place is None:
            message = f"there is no function {p.function} in {path_of(p.module)}"
        elif place and untouched(place[0][place[1]]):
            message = EMPTY
        if message:
            problems[p] = message
        else:
            found.setdefault(p.module, []).append(p)
    for module, ps in found.items():
        for p in ps:
            functions = [q.function for q in ps] if together else [p.function]
            try:
                tree = read(submission, module)[0]  # fresh: what is spliced becomes part of another tree
                text = splice(cut(assignment.text(module), dict.fromkeys(set(p.copies) - set(functions), COPY)), tree, functions)
                compile(text, "<student>", "exec")
                sources[p] = {module: text}
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                problems[p] = f"it cannot be compiled: {error}"
    if together:
        every = {module: text for texts in sources.values() for module, text in texts.items()}
        sources = dict.fromkeys(sources, every)
    return sources, problems


def with_mistake(assignment, problem, mistake):
    """The module's source with a known mistake in the problem's function; ValueError where its text is not there."""
    source = assignment.text(problem.module)
    body, i = locate(ast.parse(source), problem.function)
    text = ast.get_source_segment(source, body[i])
    if text.count(mistake.old) < 1:
        raise ValueError(f"{problem.name}: the function does not hold {mistake.old!r}")
    return source.replace(text, text.replace(mistake.old, mistake.new))


def check(assignment, pairs, seconds, memory, tiers=True):
    """An answer for each (problem, {module: source}); without `tiers` only the numbers of its probe.

    A student's property is called in a process for each: for the reference of its subject, and for each known mistake.
    """
    jobs, counts = [], []
    for p, sources in pairs:
        about = assignment.problem(p.subject) if p.subject else None
        texts = [{}, *({about.module: with_mistake(assignment, about, m)} for m in about.mistakes)] if about else [{}]
        jobs += [(p, sources | text, ["accepts"] if about else p.checks if tiers else ()) for text in texts]
        counts.append(len(texts))
    found = iter(run_jobs(assignment, jobs, seconds, memory))
    groups = [[next(found) for _ in range(n)] for n in counts]
    return [verdict(assignment.problem(p.subject), *g) if p.subject else g[0] for (p, _), g in zip(pairs, groups, strict=True)]


def verdict(subject, right, *wrong):
    """The answer on a student's property from those of its calls: the functions that it rejects are its numbers."""
    accepted = right["messages"].get("accepts", EMPTY) is None
    rejected = [a["messages"].get("accepts") is not None for a in wrong]
    missed = [m.misconception for m, no in zip(subject.mistakes, rejected, strict=True) if not no]
    told = "\n  ".join([f"{sum(rejected)} of {len(wrong)} wrong functions are rejected. Still accepted:", *missed])
    messages = right["messages"] | ({"rejects": told if missed else None} if accepted else {})
    share, numbers = (sum(rejected) / len(wrong), list(map(float, rejected))) if accepted else (0, None)
    return {"messages": messages, "probe": numbers, "error": right["error"], "share": share}


def fingerprints(assignment, problems, seconds, memory):
    """{problem name: [(mistake, numbers)]}: what the known mistakes compute."""
    pairs = [(p, m) for p in problems for m in p.mistakes]
    answers = check(assignment, [(p, {p.module: with_mistake(assignment, p, m)}) for p, m in pairs], seconds, memory, tiers=False)
    table = {}
    for (p, m), answer in zip(pairs, answers, strict=True):
        table.setdefault(p.name, []).append((m, answer["probe"]))
    return table


def looks_like(numbers, known):
    """The known mistake that computes these numbers, or None."""
    for mistake, other in known:
        if numbers and other and len(numbers) == len(other) and np.allclose(numbers, other, rtol=1e-7, atol=1e-9, equal_nan=True):
            return mistake
    return None


def grade(assignment, submissions, *, together=False, seconds=20.0, memory=4 << 30):
    """[Grade] of submissions, folders or files. Each problem may take `seconds` of CPU time and `memory` bytes."""
    grades = [Grade(str(s), assignment.name) for s in submissions]
    tables = [spliced(assignment, s) for s in submissions]
    jobs = [(g, p, sources) for g, (found, _) in enumerate(tables) for p, sources in found.items()]
    answers = check(assignment, [(p, sources) for _, p, sources in jobs], seconds, memory) if jobs else []
    by_problem = {(g, p): answer for (g, p, _), answer in zip(jobs, answers, strict=True)}
    failing = [p for p in assignment.problems if any(q is p and set(judged(p, a)[0]) != set(p.checks) for (_, q), a in by_problem.items())]
    known = fingerprints(assignment, failing, seconds, memory) if failing else {}
    for g, (out, (_, missing)) in enumerate(zip(grades, tables, strict=True)):
        for p in assignment.problems:
            answer = {} if p in missing else by_problem[g, p]
            passed, message = ([], missing[p]) if p in missing else judged(p, answer)
            shares = dict.fromkeys(passed, 1) | ({"rejects": answer["share"]} if "share" in answer else {})
            mistake = None if p in missing or len(passed) == len(p.checks) else looks_like(answer["probe"], known[p.name])
            told = (mistake.misconception, mistake.name) if mistake else ("", "")
            out.results.append(Result(assignment.label(p), p.name, p.score(shares), p.points, passed, message, *told))
        if together:
            found = list(spliced(assignment, submissions[g], together=True)[0].items())
            answers = check(assignment, found, seconds, memory) if found else []
            out.together = [assignment.label(p) for (p, _), a in zip(found, answers, strict=True) if len(judged(p, a)[0]) == len(p.checks)]
    return grades


def judged(problem, answer):
    """(tiers that passed, message) of a worker's answer."""
    passed = [tier for tier in problem.checks if tier in answer["messages"] and answer["messages"][tier] is None]
    said = [f"{tier}: {answer['messages'][tier]}" for tier in problem.checks if answer["messages"].get(tier)]
    return passed, "\n".join([*said, *([answer["error"]] if answer["error"] else [])])


def as_json(grades):
    """What `--json` writes."""
    return [{**asdict(g), "score": g.score, "max_score": g.max_score} for g in grades]
