"""A student's own file: `python -m minigen check`, the pytest option, and checks as tests."""

import importlib.metadata
import os
import subprocess
import sys
from functools import partial

import pytest

from minigen.assignments import manifest, student
from minigen.cli import main
from minigen.testing import check_kl_closed_form, parametrize_with_checks

GOOD = """import numpy as np
def kl_normal(mean, log_std):
    return 0.5 * np.sum(mean**2 + np.expm1(2 * log_std), axis=-1) - np.sum(log_std, axis=-1)
"""
BAD = GOOD.replace("0.5 *", "1.0 *")
TODO = "def kl_laplace(mean, log_scale):\n    raise NotImplementedError('vae.2')\n"


@pytest.fixture(autouse=True)
def one_assignment(monkeypatch):
    monkeypatch.setattr(student, "NAMES", ("vae",))


def write(folder, text, name="vae.py"):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_right_wrong_and_undone_functions_are_told_apart(tmp_path, capsys):
    assert main(["check", write(tmp_path, GOOD)]) == 0
    out = capsys.readouterr().out
    assert out.count("passed  vae.1 kl_normal") == 2 and "2 of 2 hold" in out
    assert "absent  vae.2 kl_laplace" in out and "gan" not in out and "absent  vae.1" not in out  # a misspelt name is not passed over
    assert main(["check", write(tmp_path, BAD + TODO)]) == 1
    out = capsys.readouterr().out
    assert "FAILED  vae.1 kl_normal: property" in out and "replay" in out and "todo    vae.2 kl_laplace: property (vae.2)" in out
    assert main(["check", write(tmp_path, "def kl_normal(mean, log_std):\n    return {}[0]\n")]) == 1
    assert "KeyError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def kl_normal(:", "SyntaxError"), ("import no_such_module", "ModuleNotFoundError"), ("raise SystemExit(0)", "SystemExit"),
        ("x = 1", "has no function of any problem"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_checked_is_one_line(text, message, tmp_path, capsys):
    assert main(["check", write(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert main(["check", str(tmp_path / "none.py")]) == 2 and "there is no file" in capsys.readouterr().err


def test_a_dotted_name_and_a_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine", GOOD + "class VAE:\n    def iwae(self, x, eps):\n        return 0\n")
    assert set(student.attempted("mine.vae")) == {
        f"{label}: {tier}" for label, problem in (("vae.1 kl_normal", 0), ("vae.6 VAE.iwae", 5))
        for tier in manifest.load("vae").problems[problem].checks
    }  # fmt: skip


def run_pytest(arguments, folder, **environment):
    """pytest with the plugin, as an installed package has it."""
    plugin = "minigen.assignments.plugin"
    installed = plugin in {point.value for point in importlib.metadata.entry_points(group="pytest11")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *([] if installed else ["-p", plugin]), *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_pytest_option_makes_one_test_of_each_check(tmp_path):
    path = write(tmp_path, BAD)
    done = run_pytest([f"--minigen-target={path}", "-v"], tmp_path)
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout
    assert "vae.1 kl_normal: property" in done.stdout and "closed-form KL equals its defining integral" in done.stdout
    assert "Traceback" not in done.stdout and "hypothesis" not in done.stdout.split("short test summary")[-1]
    assert run_pytest([], tmp_path, MINIGEN_TARGET=write(tmp_path, GOOD)).returncode == 0
    missing = run_pytest(["--minigen-target=none.py"], tmp_path)
    assert missing.returncode == 4 and "there is no file none.py" in missing.stderr + missing.stdout
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    both = run_pytest([f"--minigen-target={write(tmp_path, GOOD)}", "test_own.py"], tmp_path)
    assert both.returncode == 0 and "3 passed" in both.stdout


def kl(m1, s1, m2, s2):
    import math

    return math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


@parametrize_with_checks([partial(check_kl_closed_form, kl)])
def test_checks_are_tests(check):
    check()


def test_checks_of_one_name_are_refused():
    one = partial(check_kl_closed_form, kl)
    with pytest.raises(ValueError, match="two have the same name"):
        parametrize_with_checks([one, one])
    assert parametrize_with_checks({"a": one, "b": one}).kwargs["ids"] == ["a", "b"]
