"""Is an assignment fair? The reference earns everything, the handout nothing, each known mistake is caught and named, nothing leaks."""

import tempfile

from minigen.assignments.grading import check, grade, judged, looks_like, with_mistake
from minigen.assignments.handout import cut_tree, leaks, make
from minigen.assignments.source import PACKAGE


def audit(assignment, *, seconds=20.0, memory=4 << 30):
    """[what is wrong with the assignment], empty where nothing is."""
    wrong = leaks(assignment, cut_tree(assignment))
    with tempfile.TemporaryDirectory(prefix="minigen-audit-") as folder:
        handout = make(assignment, f"{folder}/handout") if not wrong else folder
        full, none = grade(assignment, [PACKAGE.parent, handout], seconds=seconds, memory=memory)
    wrong += [f"the reference of {r.label} earns {r.score} of {r.max_score}: {r.message}" for r in full.results if r.score < r.max_score]
    wrong += [f"the handout earns {r.score} for {r.label}" for r in none.results if r.score > 0]
    pairs = [(p, m) for p in assignment.problems for m in p.mistakes]
    answers = check(assignment, [(p, {p.module: with_mistake(p, m)}) for p, m in pairs], seconds, memory)
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
