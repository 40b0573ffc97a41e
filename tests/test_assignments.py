"""Assignments: what a handout holds, how partial work and known mistakes are graded, and what the command line writes."""

import ast
import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minigen import cli
from minigen.assignments import grading, source
from minigen.assignments.audit import audit, audit_variants
from minigen.assignments.command import assignment_of
from minigen.assignments.grading import check, grade, judged, with_mistake
from minigen.assignments.handout import cut_tree, leaks, make
from minigen.assignments.manifest import NAMES, Assignment, Mistake, Problem, load
from tests.test_assignments_hostile import PROPERTY, VAE, write

SAMPLE = '''"""Head."""

import math


def area(r):
    """The area (m²) of a circle.

    >>> round(area(1.0), 2)
    3.14
    """
    # π times the square
    return math.pi * r**2  # nobody may read this


class Box:
    """A box."""

    def volume(self):
        """a³."""

        return self.a**3


def plain(x): return x
def bare(x):
    return x
'''


def test_cutting_keeps_signature_and_docstring_and_no_comment_of_the_body():
    text = source.cut(SAMPLE, {"area": "one.1: area", "Box.volume": "one.2: volume"})
    assert "nobody" not in text and "times the square" not in text and "a**3" not in text
    assert 'def area(r):\n    """The area (m²) of a circle.' in text and '    raise NotImplementedError("one.1: area")' in text
    assert text.split("def plain")[1] == SAMPLE.split("def plain")[1]
    names = {}
    exec(text, names)
    with pytest.raises(NotImplementedError, match=r"one\.2: volume"):
        names["Box"]().volume()


@pytest.mark.parametrize("name, message", [("plain", "docstring"), ("bare", "docstring"), ("none", "no function"), ("Box", "no function")])
def test_what_cannot_be_cut_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        source.cut(SAMPLE, {name: "x"})
    with pytest.raises(ValueError, match="line of its def"):
        source.cut('def f(x): "Doc."; return x\n', {"f": "x"})


@pytest.mark.parametrize("name", NAMES)
def test_a_handout_tells_no_solution(name):
    files = cut_tree(load(name))
    assert leaks(load(name), files) == []
    assert not any(re.search(r"assignments/(?!checks|properties|__init__)|\.git|__pycache__", path) for path in files)
    for problem in load(name).problems:  # a copy of a body is seen wherever it stands
        body = sorted(source.solution(problem.function, source.text_of(problem.module)))
        if body:  # "return -softplus(logits)" alone is no copy of anything
            assert leaks(load(name), {"minigen/notes.py": f"def f():\n    {body[0]}\n"}), problem.name


def test_a_handout_runs_on_its_own_and_only_into_an_empty_folder(tmp_path):
    out = make(load("vae"), tmp_path / "out")
    done = subprocess.run([sys.executable, "-I", str(out / "check.py"), "vae.1"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "not written yet" in done.stdout and "vae.2" not in done.stdout
    (out / "minigen/models/vae.py").write_text(VAE, encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", str(out / "check.py"), "vae.4"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.count("ok  ") == 2 and "FAILED" not in done.stdout
    with pytest.raises(ValueError, match="not an empty folder"):
        make(load("vae"), out)
    run = lambda *names: subprocess.run([sys.executable, "-I", str(out / "check.py"), *names], capture_output=True, text=True, cwd=tmp_path)
    assert run("log_gaussian").stdout == done.stdout and "there is no problem vae.9" in run("vae.9").stderr
    (out / "minigen/models/vae.py").write_text(VAE.replace("def log_gaussian", "def log_gauss"), encoding="utf-8")
    told = run("vae.3", "vae.4").stdout
    assert told.count("ok  ") == 2 and "has no attribute 'log_gaussian'" in told
    (out / "minigen/models/vae.py").write_text(VAE.replace("def log_gaussian(", "def log_gaussian(("), encoding="utf-8")
    done = run("vae.4", "vae.7")
    assert "SyntaxError" in done.stdout and "in line" in done.stdout and not done.stderr


def test_a_manifest_is_checked():
    with pytest.raises(ValueError, match="tiers"):
        Problem("f", "m:f", 1, {"luck": len}, ())
    with pytest.raises(ValueError, match="there is no assignment 'cats'"):
        load("cats")
    with pytest.raises(ValueError, match="does not hold 'cats'"):
        with_mistake(load("vae"), load("vae").problems[0], Mistake("x", "cats", "dogs", ""))


def test_other_right_answers_with_helpers_and_imports_earn_everything_and_mistakes_stay_with_their_problem(tmp_path):
    helper = "from math import log as ln\nHALF = ln(2) / ln(4)\ndef square(a):\n    return a**2\n"
    other = {
        "kl_normal": "    return (HALF * (square(np.exp(log_std)) + square(mean) - 1 - 2 * log_std)).sum(-1)",
        "kl_laplace": "    return kl_laplace_wrong(mean)",
        "VAE.iwae": "        return np.log(np.mean(np.exp(self.log_weights(x, eps)), axis=0))",
    }
    (result,) = grade(load("vae"), [write(tmp_path, other, head=helper)], together=True, seconds=5)
    scores = {r.name: (r.score, r.passed) for r in result.results}
    assert scores["kl_normal"] == (15, ["special cases", "property"])
    assert scores["kl_laplace"][0] == 0 and "NameError" in result.results[1].message
    assert scores["iwae"] == (12.5, ["property"])  # right, but it leaves the logarithm
    assert [scores[n][0] for n in ("log_bernoulli", "log_gaussian", "draw_code")] == [10, 10, 20]
    assert result.together == ["vae.1", "vae.3", "vae.4", "vae.5"]


def test_helpers_stay_where_they_stand_and_an_unpacked_archive_is_a_submission(tmp_path):
    square = "def half_square(a):\n    return HALF_LOG / LOG_2PI * a * a\n\n\n"
    text = VAE.replace("MIN_LOG_STD =", "HALF_LOG = LOG_2PI / 2\nMIN_LOG_STD =").replace("# ---- The closed", square + "# ---- The closed")
    place = tmp_path / "ann" / "handout" / "minigen" / "models" / "vae.py"
    place.parent.mkdir(parents=True)
    (tmp_path / "ann/__MACOSX").mkdir()
    text = text.replace("0.5 * ((x - mean) * np.exp(-log_std)) ** 2", "half_square((x - mean) * np.exp(-log_std))")
    place.write_text(text, encoding="utf-8")
    only = Assignment("vae", "x", (load("vae").problem("log_gaussian"),))
    (result,) = grade(only, [tmp_path / "ann"], seconds=5)
    assert "HALF_LOG / LOG_2PI * a" in place.read_text(encoding="utf-8").split("# ---- The closed")[0]
    assert result.score == 10, result.results[0].message


def test_checks_of_methods_bear_what_a_model_has_and_see_what_is_wrong_in_one_prior_or_far_away(tmp_path):
    bits = "        if self.prior == 'bernoulli':\n            return (eps < sigmoid(h)).astype(eps.dtype)\n"
    weights = (
        "        h = self.encoder(self.flat(x))\n        z = self.draw_code(h, eps)\n"
        "        log_q = log_prior(eps, self.prior) - np.sum(self.halves(h)[1], axis=-1)\n"
        "        w = self.log_likelihood(self.flat(x), z) + log_prior(z, self.prior) - log_q\n"
    )
    code = bits + "        return h[..., : self.latent] + np.exp(h[..., self.latent :]) * eps"
    laplace = bits + (
        "        mean, log_scale = self.halves(h)\n"
        "        eps = -np.sign(eps) * np.log1p(-2 * np.abs(eps)) if self.prior == 'laplace' else eps\n"
        "        return mean + np.exp(log_scale) * eps"
    )
    shift = "        w = self.log_weights(x, eps)\n        return np.max(w) + np.log(np.mean(np.exp(w - np.max(w)), axis=0))"
    kl = "        w = self.log_likelihood(x, self.draw_code(self.encoder(x), eps)) - self.kl(self.encoder(x))\n"
    lse = "        return logsumexp(w, axis=0) - np.log(w.shape[0])"
    bodies = [(code, weights + lse), (laplace, shift), (laplace, kl + lse)]
    folders = [write(tmp_path / str(i), {"VAE.draw_code": a, "VAE.iwae": b}) for i, (a, b) in enumerate(bodies)]
    vae = load("vae")
    right, *wrong = grade(Assignment("vae", "x", (vae.problem("draw_code"), vae.problem("iwae"))), folders, seconds=5)
    assert right.score == 40, right.results
    assert all(r.score < r.max_score for g in wrong for r in g.results), wrong


def test_the_audit_of_an_assignment_finds_nothing_and_sees_what_is_wrong(monkeypatch):
    vae = load("vae")
    assert audit(vae, seconds=10) == []
    harmless = Mistake("harmless", "axis=-1", "axis=-1, keepdims=False", "nothing")
    twin = Mistake("twin", "0.5 * (", "(0.5 + 0.5) * (", "the factor ½ is missing, again")
    first = vae.problems[0]
    problem = Problem("kl_normal", first.target, 1, first.checks, (*first.mistakes[:1], harmless, twin))
    text = "\n".join(audit(Assignment("vae", "x", (problem,)), seconds=10))
    assert "'harmless' is not caught" in text and "'twin' is not named" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_assignment_has_variants_that_last_terms_solution_does_not_solve(name):
    plain = load(name)
    asked = [p.name for p in plain.problems if len(p.variants) == 2]
    assert asked
    for i in range(2):
        whole = plain.chosen(lambda p, i=i: i)
        places, pairs = [*whole.modules, *whole.checks], []
        for p in map(whole.problem, asked):
            assert [sum(source.text_of(m).count(old) for m in places) for old, _ in p.edits] == [1] * len(p.edits), p.name
            text, old = whole.text(p.module), ast.parse(source.text_of(p.module))
            pairs += [(p, {p.module: text}), (p, {p.module: source.splice(text, old, [p.function])})]
        passed = [len(judged(p, a)[0]) == len(p.checks) for (p, _), a in zip(pairs, check(whole, pairs, 20, 4 << 30), strict=True)]
        assert passed == [True, False] * len(asked)


def test_every_variant_is_fair_and_a_stale_edit_is_seen():
    gan = load("gan")
    assert audit_variants(gan, seconds=10) == []
    first = gan.problem("optimal_logits")
    useless, stale = (("The derivative", "A derivative"),), (("cats", "dogs"),)
    text = "\n".join(audit_variants(Assignment("gan", "x", (replace(first, variants=(useless, stale)),)), seconds=10))
    assert "'cats' of a variant is 0 times" in text and "variant 1: gan.1: the solution without a variant earns all" in text


def test_a_variant_is_drawn_by_its_seed_recorded_in_the_handout_and_graded(tmp_path, capsys):
    texts = [load("gan", seed).text("minigen.models.gan") for seed in range(8)]
    assert len(set(texts)) == 2 and source.text_of("minigen.models.gan") not in texts
    assert texts == [load("gan", seed).text("minigen.models.gan") for seed in range(8)]
    theirs, ours = (next(s for s in range(8) if texts[s] == t) for t in dict.fromkeys(texts))
    good, copied = tmp_path / "good", tmp_path / "copied"
    for folder in (good, copied):
        assert cli.main(["assignments", "make", "gan", str(folder), "--variant", str(ours)]) == 0
        assert f"variant {ours}" in (folder / "README.md").read_text(encoding="utf-8")
    (good / "minigen/models/gan.py").write_text(texts[ours], encoding="utf-8")
    (copied / "minigen/models/gan.py").write_text(texts[theirs], encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", str(good / "check.py"), "gan.2"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.count("ok  ") == 2 and "FAILED" not in done.stdout
    assert cli.main(["assignments", "grade", str(good), str(copied)]) == 0
    printed = capsys.readouterr()
    assert f"{good}: 100 of 100" in printed.out and f"{copied}: 90 of 100" in printed.out and not printed.err


@pytest.mark.parametrize(("options", "graded"), [({}, ("vae", 5)), ({"variant": 7}, ("vae", 7)), ({"name": "gan"}, ("gan", None))])
def test_most_cards_decide_and_the_others_are_told(options, graded, tmp_path, capsys):
    cards = ['{"assignment": "vae", "variant": 5}'] * 2 + ['{"assignment": "vae"}', "[1]", '{"assignment": "vae", "variant": "x"}', "{"]
    for i, card in enumerate(cards):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "handout.json").write_text(card)
    found = assignment_of([tmp_path / str(i) for i in reversed(range(len(cards)))], **options)
    assert (found.name, [p.edits for p in found.problems]) == (graded[0], [p.edits for p in load(*graded).problems])
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (1 if graded == ("vae", 5) else 3) and f"graded as {graded[0]}, variant {graded[1]}" in told[0]


def test_a_class_folder_is_graded_from_the_command_line(tmp_path, capsys):
    good = write(tmp_path / "good", {}, prop=PROPERTY)
    half = {"kl_normal": "    return np.sum(1.0 * (np.exp(2 * log_std) + mean * mean - 1) - log_std, axis=-1)"}
    bad, twin = write(tmp_path / "bad", half, prop=PROPERTY), write(tmp_path / "twin", half, prop=PROPERTY)
    files = {name: str(tmp_path / name) for name in ("all.json", "scope.json", "class.csv")}
    options = ["--name", "vae", "--json", files["all.json"], "--gradescope", files["scope.json"], "--csv", files["class.csv"]]
    assert cli.main(["assignments", "grade", str(bad), str(good), str(twin), *options, "--seconds", "5"]) == 0
    printed = capsys.readouterr().out
    assert "the factor ½ is missing" in printed and f"{good}: 100 of 100" in printed
    grades = json.loads(Path(files["all.json"]).read_text(encoding="utf-8"))
    assert grades[0]["results"] == grades[2]["results"] and grades[0]["score"] < grades[1]["score"] == 100
    scope = json.loads(Path(files["scope.json"]).read_text(encoding="utf-8"))
    assert scope["score"] == grades[0]["score"] == sum(t["score"] for t in scope["tests"])
    assert set(scope["tests"][0]) == {"name", "score", "max_score", "status", "output", "visibility"}
    assert [t["status"] for t in scope["tests"]] == ["failed"] + ["passed"] * 6
    rows = list(csv.reader(Path(files["class.csv"]).read_text(encoding="utf-8").splitlines()))
    assert len(rows[1]) == 10 and rows[-1][0] == "vae.1" and rows[-1][2] == "2"


@pytest.mark.parametrize("first", ["", "sys.stdin.read()", "sys.stdin.read(); print({}, flush=True)"])
def test_a_worker_that_dies_is_an_error_with_what_it_said(first, tmp_path, monkeypatch):
    dying = tmp_path / "worker.py"
    dying.write_text(f"import sys\n{first}\nsys.exit('no memory is left')\n", encoding="utf-8")
    monkeypatch.setattr(grading, "WORKER", dying)
    jobs = [(load("vae").problems[0], {"large": " " * 1_000_000}, [])] * 2  # more than a pipe holds
    with pytest.raises(RuntimeError, match="no memory is left"):
        grading.run_jobs(load("vae"), jobs, seconds=1.0, memory=1 << 30)


def test_what_the_command_line_cannot_do_is_said_in_one_line(tmp_path, capsys):
    assert cli.main(["assignments", "grade", str(tmp_path)]) == 2
    assert "--name" in capsys.readouterr().err
    assert cli.main(["assignments", "grade", str(tmp_path / "ann"), "--name", "vae"]) == 2
    assert "there is no folder or file " + str(tmp_path / "ann") in capsys.readouterr().err
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "handout.json").write_text('{"assignment": "vae"}', encoding="utf-8")
    (tmp_path / "cat").mkdir()
    assert cli.main(["assignments", "grade", str(tmp_path)]) == 2
    assert f"grade {tmp_path}/*" in capsys.readouterr().err
    assert cli.main(["assignments", "list"]) == 0
    assert "vae.7" in capsys.readouterr().out
