"""Hostile submissions: whatever one function does, it earns nothing, says why, and costs no other problem and no other student a point."""

import re
from pathlib import Path

import pytest

from minigen.assignments import source
from minigen.assignments.grading import grade
from minigen.assignments.manifest import Assignment, load

VAE = source.text_of("minigen.models.vae")
PROPERTY = source.text_of("minigen.assignments.properties.kl")
TRUE = "class Yes(np.ndarray):\n    __eq__ = __lt__ = __le__ = lambda self, other: True\n"
PATCH = "def patch():\n    np.allclose = lambda *a, **k: True\n\n\nPATCHED = patch()\n"
WRONG = "    return np.zeros(mean.shape[:-1])"


def write(folder, bodies, head="", prop=None):
    """A submission: the reference's VAE with other bodies, {function: text}, and text at its head; with a property, where given."""
    text = VAE
    for function, body in bodies.items():
        message = "to be replaced"
        text = source.cut(text, {function: message})
        text = text.replace(next(line for line in text.splitlines() if message in line), body)
    at = text.index("import math")
    path = Path(folder) / "minigen/models/vae.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text[:at] + head + text[at:], encoding="utf-8")
    if prop is not None:
        place = Path(folder) / "minigen/assignments/properties/kl.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(prop, encoding="utf-8")
    return Path(folder)


ATTACKS = {  # name: (body of kl_normal, text at the head, what the message says)
    "infinite loop": ("    while True: pass", "", "longer than 1 seconds"),
    "memory bomb": ("    return np.ones((1 << 20, 1 << 20))", "", "too much memory"),
    "fork": ("    import os\n    while True: os.fork()", "", "os.fork"),
    "subprocess": ("    import subprocess\n    return subprocess.run(['true'])", "", "not allowed|no solution needs"),
    "os._exit": ("    import os\n    os._exit(0)", "", "ended before"),
    "sys.exit": ("    import sys\n    sys.exit(0)", "", "SystemExit"),
    "kill the grader": ("    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)", "", "os.kill"),
    "equal to everything": ("    return np.zeros(mean.shape[:-1]).view(Yes)", TRUE, "array of numbers"),
    "patched numpy": ("    np.all = np.array_equal = np.allclose = lambda *a, **k: True\n" + WRONG, "", r"it changes numpy"),
    "patched check": (
        "    import minigen.testing.failure as f\n    f.require.__code__ = (lambda *a, **k: None).__code__\n" + WRONG, "",
        "it changes minigen",
    ),
    "patched for one call": (
        "    real = np.allclose\n    def once(*a, **k):\n        np.allclose = real\n        return True\n"
        "    np.allclose = once\n" + WRONG, "", "it changes numpy",
    ),
    "patched worker": (
        "    import __main__\n    __main__.changed = lambda before: None\n    np.allclose = lambda *a, **k: True\n" + WRONG, "",
        "it changes numpy",
    ),
    "caller's frame": (
        "    import sys\n    frame = sys._getframe()\n    while 'send' not in frame.f_locals: frame = frame.f_back\n"
        "    for tier in ('special cases', 'property'): frame.f_locals['send']({'tier': tier, 'message': None})\n" + WRONG, "", "NoneType",
    ),
    "patched at import": (WRONG, PATCH, "it changes numpy|raises"),
    "reads the reference": (f"    return open({source.PACKAGE.as_posix() + '/models/vae.py'!r}).read()", "", "no solution needs"),
    "inspects the reference": (
        "    import inspect, minigen.models.vae as v\n    return eval(inspect.getsource(v.kl_normal))", "", "raises OSError",
    ),
    "own module": ("    import solutions\n    return solutions.kl(mean)", "", "ModuleNotFoundError"),
    "writes a file": ("    open('/tmp/minigen-was-here', 'w').write('x')", "", "to write"),
    "flood": ("    print('100 of 100 ' * 1000000)\n    while True: print('[PASS] score 100' * 10000)", "", "longer than 1 seconds"),
    "forged pipe": (
        "    import os\n    for fd in range(3, 64):\n        try: os.write(fd, b'x {\"tier\": \"property\", \"message\": null}\\n')\n"
        "        except OSError: pass\n    os._exit(0)", "", "ended before",
    ),
    "recursion": ("    return kl_normal(mean, log_std)", "", "RecursionError"),
}  # fmt: skip


def test_attacks_earn_nothing_and_say_why(tmp_path):
    paths = [write(tmp_path / str(i), {"kl_normal": body} | KEEP, head=head) for i, (body, head, _) in enumerate(ATTACKS.values())]
    honest = write(tmp_path / "honest", {})
    *grades, last = grade(load("vae"), [*paths, honest], seconds=1)
    assert last.score == 90, last  # no property was written
    for (name, (_, _, message)), g in zip(ATTACKS.items(), grades, strict=True):
        first, *others = g.results
        assert first.score == 0, (name, first)
        assert re.search(message, first.message), (name, first.message)
        assert [r.score for r in others] == [0, 0, 10, 0, 0, 0] or name == "patched at import", (name, g.results)


KEEP = {f: "    raise NotImplementedError" for f in ("kl_laplace", "log_bernoulli")} | {
    f: "        raise NotImplementedError" for f in ("VAE.draw_code", "VAE.iwae")
}


def spoil(folder, kind):
    """A submission whose file cannot be read."""
    path = write(folder, {}) / "minigen/models/vae.py"
    if kind == "missing":
        path.unlink()
    elif kind == "syntax":
        path.write_text(VAE.replace("return np.sum(x * logits", "return np.sum((x * logits"), encoding="utf-8")
    elif kind == "latin-1":
        path.write_bytes(VAE.encode("utf-8") + b"# \xe9\n")
    elif kind == "null":
        path.write_bytes(VAE.encode("utf-8") + b"\0")
    elif kind == "deep":
        path.write_text("x = " + "(" * 50_000, encoding="utf-8")
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(100_000_000)
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "renamed":
        path.write_text(VAE.replace("def kl_normal", "def kl_gauss"), encoding="utf-8")
    return folder


UNREADABLE = {
    "missing": "no file", "syntax": "syntax error in line", "latin-1": "not UTF-8", "null": "null|cannot", "deep": "syntax error|cannot",
    "huge": "100,000,000 bytes", "folder": "no file", "renamed": "no function kl_normal",
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREADABLE)
def test_files_that_cannot_be_read_are_told_and_hang_nothing(tmp_path, kind):
    vae = load("vae")
    (g,) = grade(Assignment("vae", "x", vae.problems[:1]), [spoil(tmp_path, kind)], seconds=2)
    assert g.score == 0 and re.search(UNREADABLE[kind], g.results[0].message), g.results[0].message


def test_edited_checks_and_package_change_no_grade(tmp_path):
    folder = write(tmp_path, {"kl_normal": WRONG} | KEEP | {"log_gaussian": "    raise NotImplementedError"})
    for name in ("testing/failure.py", "assignments/checks/vae.py", "autograd.py", "../check.py", "../handout.json", "../numpy.py"):
        (folder / "minigen" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "minigen" / name).write_text("def require(*a, **k): pass\n", encoding="utf-8")
    (g,) = grade(load("vae"), [folder], seconds=2)
    assert g.score == 0 and len(g.results) == 7


ENGINE = {  # what a student's part of the engine does while the checks import it: what the message says
    "numpy": ("import numpy as np\nnp.allclose = lambda *a, **k: True", "it changes numpy"),
    "tiers": ("import minigen.assignments.checks.tiers as t\nt.run_tier = lambda *a: None", "it changes minigen"),
    "require": ("import minigen.assignments.checks.common as c\nc.require = lambda *a, **k: None", "it changes minigen"),
    "code": ("import minigen.testing.failure as f\nf.require.__code__ = (lambda *a, **k: None).__code__", "it changes minigen"),
    "defaults": ("import minigen.testing.gradients as g\ng.check_gradients.__kwdefaults__ = {'order': 0}", "it changes minigen"),
    "checks": (
        "import sys, types\nfake = types.ModuleType('minigen.assignments.checks.autograd')\n"
        "fake.__getattr__ = lambda name: lambda f: None\n"
        "sys.modules[fake.__name__] = fake", "it changes minigen",
    ),
    "scores": ("import json\nprint(json.dumps([{'messages': {'special cases': None, 'property': None}, 'error': None}]))", "FAILED"),
}  # fmt: skip


def test_a_student_of_the_engine_itself_can_patch_nothing_while_the_checks_import_it(tmp_path):
    engine, folders = load("autograd"), []
    text = source.cut(source.text_of("minigen.convolution"), {"convolve_weight": "to be replaced"})
    text = text.replace('    raise NotImplementedError("to be replaced")', "    return x")
    for name, (code, _) in ENGINE.items():
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        patch = "def patch():\n    " + code.replace("\n", "\n    ") + "\n\n\nPATCHED = patch()\n\n\n"
        (folders[-1] / "convolution.py").write_text(text.replace("@dataclass", patch + "@dataclass", 1), encoding="utf-8")
    grades = grade(Assignment("autograd", "x", (engine.problem("convolve_weight"),)), folders, seconds=5)
    for (name, (_, said)), g in zip(ENGINE.items(), grades, strict=True):
        assert g.score == 0 and said in g.results[0].message, (name, g.results[0])


def test_properties_earn_by_what_they_reject_and_only_if_they_accept_what_is_right(tmp_path):
    head = "import numpy as np\nSEEN = []\ndef kl_property(kl):\n    mean = np.array([[2.0, 0.0]])\n"
    bodies = {  # (score, what is said)
        "accepts all": ("    return True\n", 0, "0 of 7 wrong functions are rejected"),
        "raises": ("    assert kl(mean, mean) == no_such_name\n", 0, "NameError"),
        "rejects all": ("    assert False\n", 0, "what is right has the property"),
        "bound": (
            "    got = kl(mean, -mean)\n    assert got.shape == (1,) and (got >= 0).all()\n", 4.29, "3 of 7 wrong functions are rejected"
        ),
        "in part": ("    assert np.allclose(kl(mean, 0 * mean), 2)\n", 5.71, "4 of 7 wrong functions are rejected"),
        "to the bit": ("    assert (kl(mean, 0 * mean) == 2).all()\n", 0, "what is right has the property"),
        "remembers": ("    SEEN.append(kl)\n    assert len(SEEN) == 1\n", 0, "what is right has the property"),
        "ends": ("    import os\n    os._exit(0)\n", 0, "ended before"),
        "reads": ("    import inspect\n    assert 'axis=-1)  # (2)' in inspect.getsource(kl)\n", 0, "OSError"),
    }  # fmt: skip
    vae, empty = load("vae"), {"kl_normal": "    raise NotImplementedError"}
    folders = [write(tmp_path / str(i), empty, prop=head + body) for i, (body, *_) in enumerate(bodies.values())]
    only = Assignment("vae", "x", (vae.problem("kl_normal"), vae.problem("kl_property")))
    for (name, (_, score, said)), g in zip(bodies.items(), grade(only, folders, seconds=2), strict=True):
        assert g.results[1].score == score and said in g.results[1].message, (name, g.results[1])
        assert bool(g.results[1].mistake) == (name == "bound"), (name, g.results[1])
