"""`python -m minigen assignments …`: list, make, grade and audit."""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

from minigen.assignments import manifest
from minigen.assignments.audit import audit, audit_variants
from minigen.assignments.grading import as_json, grade, roots
from minigen.assignments.handout import make


def add_options(parser):
    """The options of the four commands."""
    actions = parser.add_subparsers(dest="action", metavar="list | make | grade | audit", required=True)
    actions.add_parser("list", help="the assignments and their problems")
    one = actions.add_parser("make", help="write a handout: a folder that runs on its own")
    one.add_argument("name", choices=manifest.NAMES)
    one.add_argument("out", help="a new or empty folder")
    one.add_argument("--variant", type=int, metavar="SEED", help="change what is asked, so that solutions cannot be copied")
    one = actions.add_parser("grade", help="grade submissions: folders, or single files")
    one.add_argument("submissions", nargs="+", metavar="SUBMISSION")
    one.add_argument("--name", choices=manifest.NAMES, help="the assignment, where the submission's handout.json does not say it")
    one.add_argument("--variant", type=int, metavar="SEED", help="the variant, where it is not what most submissions' handout.json says")
    one.add_argument("--json", metavar="FILE", help="everything")
    one.add_argument("--gradescope", metavar="FILE", help="results.json of the first submission")
    one.add_argument("--csv", metavar="FILE", help="a row a submission, and how often each misconception was seen")
    one.add_argument("--together", action="store_true", help="try all of a student's functions at once, too")
    one.add_argument("--seconds", type=float, default=20.0, help="CPU time a problem (default: %(default)s)")
    one = actions.add_parser("audit", help="the reference earns all, the handout nothing, each mistake is named, nothing leaks")
    one.add_argument("name", choices=(*manifest.NAMES, "all"))


def card(submission):
    """(assignment, variant) as a submission's handout.json has them; None where it has none that can be read."""
    file = next((f for root in roots(Path(submission)) if (f := root / "handout.json").is_file()), Path(submission, "handout.json"))
    try:
        told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() and file.stat().st_size < 1_000_000 else {}
        name, variant = told["assignment"], told.get("variant")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (name, variant) if name in manifest.NAMES and type(variant) in (int, type(None)) else None


def assignment_of(submissions, name=None, variant=None):
    """The assignment and variant that are named, or that most cards name; says whose card has another."""
    if absent := [str(s) for s in submissions if not Path(s).exists()]:
        raise ValueError(f"there is no folder or file {', '.join(absent)}")
    cards = {s: c for s in submissions if (c := card(s))}
    if name is None and not cards:
        inside = any(card(f) for s in submissions if Path(s).is_dir() for f in Path(s).iterdir() if f.is_dir())
        more = f"; the folders in it do: grade {submissions[0]}/*" if inside else ""
        raise ValueError("no submission has a handout.json: say which assignment it is with --name" + more)
    most = Counter(c for c in cards.values() if name in (None, c[0])).most_common(1)
    usual = most[0][0] if most else (name, None)
    graded = usual[0], usual[1] if variant is None else variant
    for submission, (its_name, its_variant) in cards.items():
        if (its_name, its_variant) != graded:
            graded_as = f"graded as {graded[0]}, variant {graded[1]}"
            print(f"{submission} says that it is {its_name}, variant {its_variant}; {graded_as}", file=sys.stderr)
    return manifest.load(*graded)


def table(g):
    """A grade for people."""
    lines = [f"{g.submission}: {g.score:g} of {g.max_score:g}"]
    for r in g.results:
        lines.append(f"  {r.label:<10}{r.name:<22}{r.score:6g} of {r.max_score:g}{'   ' + ', '.join(r.passed) if r.passed else ''}")
        lines += [f"      looks like: {r.misconception}"] if r.misconception else []
        lines += ["      " + r.message.replace("\n", "\n      ")] if r.message else []
    if g.together is not None:
        lines.append(f"  all functions together: {', '.join(g.together) or 'none'} pass")
    return "\n".join(lines)


def gradescope(g):
    """What Gradescope reads."""
    tests = [
        {"name": f"{r.label} {r.name}", "score": r.score, "max_score": r.max_score, "visibility": "visible",
         "status": "passed" if r.score == r.max_score else "failed", "output": "\n".join(t for t in (r.misconception, r.message) if t)}
        for r in g.results
    ]  # fmt: skip
    return {"score": g.score, "output": f"{g.assignment}: {g.score:g} of {g.max_score:g}", "visibility": "visible", "tests": tests}


def write_csv(path, grades):
    """A row a submission, then a count of each misconception."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["submission", *(r.label for r in grades[0].results), "score", "max_score"])
        rows.writerows([g.submission, *(r.score for r in g.results), g.score, g.max_score] for g in grades)
        counts = Counter((r.label, r.misconception) for g in grades for r in g.results if r.misconception)
        rows.writerow([])
        rows.writerow(["problem", "misconception", "count"])
        rows.writerows([label, text, n] for (label, text), n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def dump(path, value):
    """JSON into a file."""
    Path(path).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(options):
    """Run one of the four commands; the exit code."""
    try:
        return {"list": show, "make": hand_out, "grade": mark, "audit": look}[options.action](options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def show(options):
    """List."""
    for a in map(manifest.load, manifest.NAMES):
        print(f"{a.name:<24}{a.title}, {sum(p.points for p in a.problems)} points")
        for p in a.problems:
            print(f"  {a.label(p):<22}{p.target}, {p.points} points, {len(p.mistakes)} known mistakes")
    return 0


def hand_out(options):
    """Make."""
    print(make(manifest.load(options.name, options.variant), options.out, options.variant))
    return 0


def mark(options):
    """Grade."""
    assignment = assignment_of(options.submissions, options.name, options.variant)
    grades = grade(assignment, options.submissions, together=options.together, seconds=options.seconds)
    print("\n\n".join(map(table, grades)))
    if options.json:
        dump(options.json, as_json(grades))
    if options.gradescope:
        dump(options.gradescope, gradescope(grades[0]))
    if options.csv:
        write_csv(options.csv, grades)
    return 0


def look(options):
    """Audit."""
    code = 0
    for name in manifest.NAMES if options.name == "all" else [options.name]:
        a = manifest.load(name)
        wrong = audit(a) + audit_variants(a)
        mistakes = sum(len(p.mistakes) for p in a.problems)
        fine = f"the reference earns all, the handout nothing, {mistakes} known mistakes are caught and named, nothing leaks"
        fine += f"; so in {variants} variants" if (variants := max(len(p.variants) for p in a.problems)) else ""
        print(f"{name}: {fine}" if not wrong else "\n".join(f"{name}: {w}" for w in wrong))
        code = code or int(bool(wrong))
    return code
