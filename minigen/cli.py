"""The command line: `python -m minigen`."""

import argparse
import importlib.util
import inspect
import json
import os
import sys
from pathlib import Path

import minigen
from minigen.assignments import command
from minigen.backend import cuda_problem, default_device, keep_memory

HERE = Path(__file__).parent
STUDY = "Answers are saved by the page to files; minigen.metrics.hype(minigen.study.load_judgements(*files)) sums them up."


def demo_folder():
    """Where the demos are: inside the installed package, or beside it in a clone."""
    inside = HERE / "demos"
    return inside if inside.is_dir() else HERE.parent / "demos"


def demos():
    """{name: path} of the demos."""
    return {path.stem: path for path in sorted(demo_folder().glob("*.py"))}


def load_demo(name):
    """The demo as a module."""
    spec = importlib.util.spec_from_file_location(f"minigen_demo_{name}", demos()[name])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def add_run_options(parser, sizes):
    """The options that every command which computes has."""
    size = parser.add_mutually_exclusive_group()
    for name, text in sizes.items():
        size.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--device", choices=("cpu", "cuda", "auto"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="out", help="folder for figures and metrics.json (default: %(default)s)")


def build_parser():
    """The argument parser."""
    chapters = ", ".join(demos())
    parser = argparse.ArgumentParser(
        prog="python -m minigen",
        description=minigen.__doc__,
        epilog=f"Chapters with a demo: {chapters}. Device by default: {default_device()}.",
    )
    parser.add_argument("--version", action="version", version=f"minigen {minigen.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    compare = commands.add_parser("compare", help="every family on the same real data: one table, one picture")
    compare.add_argument("--data", default="digits", help="digits (8 × 8, default), mnist10k (28 × 28) or the name of a toy")
    add_run_options(compare, {"quick": "under a minute, with worse models"})
    demo = commands.add_parser("demo", help="draw chapters' own figures", description=f"Demos: {chapters}, or all.")
    demo.add_argument("names", nargs="+", metavar="NAME")
    add_run_options(demo, {"quick": "at most ten seconds each", "full": "larger, meant for a GPU, where the demo has such a size"})
    doctor = commands.add_parser("doctor", help="versions, BLAS, threads, device, a self-test, what is missing")
    doctor.add_argument("--device", choices=("cpu", "cuda", "auto"), default="auto")
    study = commands.add_parser("study", help="a page that asks people which images are real", description=STUDY)
    study.add_argument("real", metavar="real.npz", help="real images: (n, H, W[, 1 or 3]), bytes or numbers in [0, 1]")
    study.add_argument("fake", metavar="fake.npz", help="generated images of the same size")
    study.add_argument("page", metavar="OUT.html", help="the page to be written")
    study.add_argument("--count", type=int, default=50, help="images of each kind (default: %(default)s)")
    study.add_argument("--seed", type=int, default=0)
    check = commands.add_parser("check", help="check the functions of a file of yours by the properties of the assignments")
    check.add_argument("target", metavar="FILE", help="a Python file, or the dotted name of one")
    teach = commands.add_parser("assignments", help="for teachers: make handouts, grade submissions, audit both")
    command.add_options(teach)
    commands.add_parser("equations", help="every numbered equation, its lines of code and its tests")
    return parser


def run_demos(names, out, **options):
    """Run demos by name and gather what they measured in out/metrics.json; the exit code."""
    known = demos()
    unknown = [n for n in names if n != "all" and n not in known]
    if unknown:
        print(f"no demo {', '.join(unknown)}; there are: {', '.join(known)}, or all", file=sys.stderr)
        return 2
    metrics = {}
    for name in known if "all" in names else names:
        print(f"— {name}")
        main = load_demo(name).main
        metrics[name] = main(out=out, **{k: v for k, v in options.items() if k in inspect.signature(main).parameters})
    path = os.path.join(out, "metrics.json")
    os.makedirs(out, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(metrics, file, indent=1, default=float)
    print(path)
    return 0


def main(arguments=None):
    """Parse the arguments, run the command and return the exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "equations":
        from minigen import equations

        return equations.main()
    if options.command == "check":
        from minigen.assignments import student

        return student.main(options.target)
    if options.command == "assignments":
        return command.main(options)
    if options.command == "study":
        from minigen import study

        return study.main(options.real, options.fake, options.page, options.count, options.seed)
    if options.device == "cuda" and (problem := cuda_problem()):
        print(f"--device cuda: {problem}", file=sys.stderr)
        return 2
    if options.command == "doctor":
        from minigen import doctor

        return doctor.main(options.device)
    device = default_device() if options.device == "auto" else options.device
    keep_memory()
    if options.command == "compare":
        from minigen import compare

        return compare.main(options.data, options.quick, device, options.seed, options.out)
    return run_demos(options.names, options.out, quick=options.quick, full=options.full, device=device, seed=options.seed)
