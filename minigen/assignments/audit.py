"""Is an assignment fair? The reference earns everything, the handout nothing, each known mistake is caught and named, nothing leaks."""

import tempfile
from dataclasses import replace
from pathlib import Path

from minigen.assignments.grading import check, grade, judged, looks_like, with_mistake
from minigen.assignments.handout import cut_tree, leaks, make
from minigen.assignments.source import PACKAGE, path_of, text_of


def audit_variants(assignment, **options):
    """[what is wrong with a variant of the problems that have some]."""
    places, wrong = [*assignment.modules, *assignment.checks], []
    for p in assignment.problems:
        for old, _ in (edit for variant in p.variants for edit in variant):
            if (n := sum(text_of(m).count(old) for m in places)) != 1:
                wrong.append(f"{p.name}: the text {old!r} of a variant is {n} times in the assignment's modules, not once")
    kept = tuple(p for p in assignment.problems if p.variants or (p.subject and assignment.problem(p.subject).variants))
    for i in range(max((len(p.variants) for p in kept), default=0)):
        whole, part = (a.chosen(lambda p, i=i: i % len(p.variants)) for a in (assignment, replace(assignment, problems=kept)))
        wrong += [f"variant {i + 1}: {w}" for w in leaks(whole, cut_tree(whole)) + audit(part, **options)]
    return wrong


def audit(assignment, *, seconds=20.0, memory=4 << 30):
    """[what is wrong with the assignment], empty where nothing is."""
    wrong = leaks(assignment, cut_tree(assignment))
    with tempfile.TemporaryDirectory(prefix="minigen-audit-") as folder:
        handout = make(assignment, f"{folder}/handout") if not wrong else folder
        reference = Path(folder, "reference")
        for module in assignment.modules:
            (reference / path_of(module)).parent.mkdir(parents=True, exist_ok=True)
            (reference / path_of(module)).write_text(assignment.text(module), encoding="utf-8")
        others = [PACKAGE.parent] if any(p.edits for p in assignment.problems) else []
        full, none, *plain = grade(assignment, [reference, handout, *others], seconds=seconds, memory=memory)
    wrong += [f"the reference of {r.label} earns {r.score} of {r.max_score}: {r.message}" for r in full.results if r.score < r.max_score]
    wrong += [f"the handout earns {r.score} for {r.label}" for r in none.results if r.score > 0]
    copied = [r for g in plain for r in g.results if r.score == r.max_score and assignment.problem(r.name).edits]
    wrong += [f"{r.label}: the solution without a variant earns all" for r in copied]
    pairs = [(p, m) for p in assignment.problems for m in p.mistakes]
    answers = check(assignment, [(p, {p.module: with_mistake(assignment, p, m)}) for p, m in pairs], seconds, memory)
    known = {}
    for (p, m), answer in zip(pairs, answers, strict=True):
        known.setdefault(p.name, []).append((m, answer["probe"]))
    for (p, m), answer in zip(pairs, answers, strict=True):
        if len(judged(p, answer)[0]) == len(p.checks):
            wrong.append(f"{p.name}: the mistake {m.name!r} is not caught")
        elif looks_like(answer["probe"], known[p.name]) is not m:
            wrong.append(f"{p.name}: the mistake {m.name!r} is not named: its numbers are those of another, or there are none")
    wrong += [f"{p.name} has fewer than three known mistakes" for p in assignment.problems if len(p.mistakes) < 3]
    return wrong
