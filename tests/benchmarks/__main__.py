"""Run workloads side by side: `python -m tests.benchmarks [MODULE or WORKLOAD …] [--rounds 7]`.

Each side works in a process of its own, because thread pools in one process disturb each other; the sides take turns, round
by round, and what counts is the ratio ours/peer within a round: its median, and its range. Times alone mean little on a
shared machine. The sides start from the same numbers, and their results must agree.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import time

import numpy as np

MODULES = ("imports", "training", "conv", "kmeans_gmm", "pca_kde", "metrics")


def workloads(module):
    """The workloads of a benchmark module."""
    return importlib.import_module(f"tests.benchmarks.{module}").WORKLOADS


def serve(module, name, side):
    """The process of one side: build, then for each line on standard input work once and print seconds and results."""
    with contextlib.redirect_stdout(io.StringIO()):
        work = workloads(module)[name][side]()
        work()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        print(json.dumps([seconds, np.asarray(result, float).reshape(-1).tolist()]), flush=True)


def measure(module, name, sides, rounds):
    """{side: seconds of each round} and {side: results}, the sides taking turns."""
    workers = {}
    for side in sides:
        command = [sys.executable, "-m", "tests.benchmarks", "--serve", module, name, side]
        workers[side] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if workers[side].stdout.readline() != "ready\n":
            raise RuntimeError(f"{name}, {side}: {workers[side].stderr.read()}")
    seconds, results = {side: [] for side in sides}, {}
    for _ in range(rounds):
        for side, worker in workers.items():
            print(file=worker.stdin, flush=True)
            took, results[side] = json.loads(worker.stdout.readline())
            seconds[side].append(took)
    for worker in workers.values():
        worker.communicate()
    return seconds, results


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=f"modules ({', '.join(MODULES)}) or workloads; all by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(*arguments.serve)
    report, disagree = {}, []
    print(f"{'workload':28s} {'peer':26s} {'ours/peer':>9s} {'range':>15s} {'ours ms':>9s} {'peer ms':>9s}   gate")
    for module in MODULES:
        found = importlib.import_module(f"tests.benchmarks.{module}")
        for name, sides in found.WORKLOADS.items():
            if arguments.names and not {module, name} & set(arguments.names):
                continue
            present = [s for s in sides if s == "ours" or importlib.util.find_spec(s.split()[0]) is not None]
            seconds, results = measure(module, name, present, arguments.rounds)
            ours = np.array(seconds["ours"])
            for side in present:
                if side == "ours":
                    continue
                ratio = ours / np.array(seconds[side])
                gate = found.GATES.get((name, side))
                verdict = "" if gate is None else f"≤ {gate}: {'met' if np.median(ratio) <= gate else 'MISSED'}"
                print(
                    f"{name:28s} {side:26s} {np.median(ratio):9.3f} {ratio.min():7.3f}–{ratio.max():<7.3f}"
                    f" {np.median(ours) * 1e3:9.2f} {np.median(seconds[side]) * 1e3:9.2f}   {verdict}",
                    flush=True,
                )
                report[f"{name} / {side}"] = {"median": np.median(ratio), "min": ratio.min(), "max": ratio.max(), "gate": gate}
                if not np.allclose(results["ours"], results[side], rtol=found.TOLERANCE, atol=found.TOLERANCE):
                    disagree.append(f"{name}: ours {results['ours'][:4]}, {side} {results[side][:4]}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)
    if disagree:
        sys.exit("results differ:\n" + "\n".join(disagree))


if __name__ == "__main__":
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    main()
