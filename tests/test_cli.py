"""The command line: what it says where nothing is asked, something is missing, or something is wrong."""

import json
import subprocess
import sys

import pytest

from minigen import cli, doctor
from minigen.backend import cuda_problem

NO_CUDA = pytest.mark.skipif(cuda_problem() is None, reason="this machine has CUDA")


def test_help_names_commands_chapters_and_device(capsys):
    assert cli.main([]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(word in text for word in ("compare", "demo", "study", "doctor", "equations", "kmeans", "vae", "Device by default"))


def test_the_module_runs_in_a_process_of_its_own():
    done = subprocess.run([sys.executable, "-m", "minigen", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("minigen ")


@NO_CUDA
@pytest.mark.parametrize("command", [["compare"], ["demo", "kmeans"], ["doctor"]])
def test_cuda_without_cuda_is_one_clear_line(command, capsys):
    assert cli.main([*command, "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("--device cuda: ") and error.count("\n") == 1


def test_an_unknown_demo_lists_the_known_ones(capsys):
    assert cli.main(["demo", "cats"]) == 2
    names = list(cli.demos())
    assert {"gmm", "kde", "kmeans", "pca", "vae"} <= set(names) and names == sorted(names)
    assert f"no demo cats; there are: {', '.join(names)}, or all" in capsys.readouterr().err


def test_every_demo_is_a_plain_script_that_opens_as_a_notebook():
    for name, path in cli.demos().items():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# %%") and '__name__ == "__main__"' in text, name
        assert callable(cli.load_demo(name).main)


def test_demos_get_the_options_that_they_take_and_their_numbers_are_written(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text("def main(quick=False, seed=0, out='out'):\n    return {'quick': quick, 'seed': seed, 'out': out}\n")
    (tmp_path / "two.py").write_text("def main(out='out', full=False):\n    return {'full': full}\n")
    monkeypatch.setattr(cli, "demo_folder", lambda: tmp_path)
    out = str(tmp_path / "figures")
    assert cli.main(["demo", "all", "--quick", "--seed", "3", "--out", out]) == 0
    expected = {"one": {"quick": True, "seed": 3, "out": out}, "two": {"full": False}}
    assert json.loads((tmp_path / "figures" / "metrics.json").read_text()) == expected


def test_the_doctor_passes_its_own_test_and_would_see_a_wrong_derivative(capsys, monkeypatch):
    assert doctor.main("cpu") == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("numpy", "BLAS", "CUDA", "self-test    passed on cpu"))
    import minigen.autograd

    right = minigen.autograd.grad
    monkeypatch.setattr(minigen.autograd, "grad", lambda f: lambda w: -right(f)(w))
    assert not doctor.self_test("cpu", seconds=0.2)[0]
