"""Runs the checks of students' functions, each in a process of its own: `python -I worker.py`, told by JSON on its input.

This process runs no student's code. For each job it forks a child, which may not start processes, write files or read outside
of its tree; has a time and a memory limit; and answers by a pipe, signing every line with a key that the student's code is not
given, so that whatever that prints or however it ends, nothing is passed that was not checked. It is no sandbox: an
autograder on the internet wants a container.
"""

import compileall
import contextlib
import hashlib
import hmac
import importlib.abc
import importlib.util
import json
import math
import os
import resource
import select
import signal
import sys
import time

FORBIDDEN = {
    "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "os.kill", "os.killpg", "subprocess.Popen", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "pty.spawn", "signal.pthread_kill",
}  # fmt: skip
TRUSTED = ("numpy", "scipy", "minigen.testing", "minigen.assignments", "math", "builtins", "operator", "functools", "json", "hmac")
ANSWER = 1_000_000  # bytes at most


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports given modules from their text."""

    def __init__(self, sources):
        self.sources = sources

    def find_spec(self, name, path=None, target=None):
        """A spec for the modules that are given, and None for others."""
        return importlib.util.spec_from_loader(name, self) if name in self.sources else None

    def exec_module(self, module):
        """Run the module's text."""
        exec(compile(self.sources[module.__name__], f"<{module.__name__}>", "exec"), vars(module))


def snapshot():
    """What the names of trusted modules are bound to, and the code of their functions."""
    modules = [m for m in sys.modules if m in TRUSTED or m.startswith(tuple(f"{t}." for t in TRUSTED[:4]))]
    return {m: {k: (v, getattr(v, "__code__", None)) for k, v in vars(sys.modules[m]).items()} for m in modules}


def changed(before):
    """The first name that is bound to something else than in the snapshot, or None."""
    for module, names in before.items():
        now = vars(sys.modules[module])
        for name, (value, code) in names.items():
            if name not in now or now[name] is not value or getattr(value, "__code__", None) is not code:
                return f"{module}.{name}"
    return None


def guard(readable, reference, events):
    """Refuse what no solution needs, from now on; `events` gets what was tried."""

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            path = os.path.realpath(path) if isinstance(path, (str, bytes)) else path
            path = os.fsdecode(path) if isinstance(path, bytes) else path
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writes and (not isinstance(path, str) or (path.startswith(readable) and not path.startswith(reference))):
                return
            event = f"open({path!r}{', to write' if writes else ''})"
        elif event not in FORBIDDEN and not event.startswith(("socket.", "shutil.", "ctypes.")):
            return
        events.append(event)
        raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(hook)


def child(job, tree, send):
    """Import the job's modules, run its checks and send what comes of it, a line each."""
    sys.path.insert(0, tree)
    sys.meta_path.insert(0, Sources(job["sources"]))
    sys.dont_write_bytecode = True
    target_module, events = job["row"]["module"], []
    readable = (os.path.dirname(tree), *map(os.path.realpath, sys.path[1:]), sys.base_prefix, sys.prefix)
    guard(tuple(folder + os.sep for folder in readable), job["reference"] + os.sep, events)
    sealed = snapshot()
    try:  # where the engine itself is the student's, this runs the student's code
        from minigen.assignments.checks import tiers

        for check in job["row"]["checks"].values():
            importlib.import_module(check.partition(":")[0])
    except BaseException as error:
        return send({"error": f"importing it raises {type(error).__name__}: {str(error)[:500]}"})
    sealed = snapshot() | sealed
    run_tier, probe, find = tiers.run_tier, tiers.probe, tiers.find
    place = "minigen.derivatives:" if job["row"]["function"].startswith("np.") else target_module + ":"
    try:
        target = find(place + job["row"]["function"])
    except BaseException as error:  # of the student's code at import
        return send({"error": f"importing it raises {type(error).__name__}: {str(error)[:500]}"})
    for tier, check in job["row"]["checks"].items():
        if tier not in job["tiers"]:
            continue
        message = run_tier(check, target)
        if name := changed(sealed):
            message = f"it changes {name}: what other code relies on is to be left alone"
        elif events:
            message = f"it tries {events[0]}, which no solution needs"
        send({"tier": tier, "message": message})
    return send({"probe": probe(job["row"], target), "done": True})


def limited(job, tree, pipe, key):
    """Be the child: give up the group, the outputs and unlimited resources, then run. Never returns."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.dup2(pipe, 3)
    pipe = 3
    os.closerange(4, 4096)
    seconds, memory = math.ceil(job["seconds"]), job["memory"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sign, dumps, write = hmac.new, json.dumps, os.write

    def send(answer):
        text = dumps(answer).encode()
        write(pipe, sign(key, text, hashlib.sha256).hexdigest().encode() + b" " + text + b"\n")

    try:
        child(job, tree, send)
    except BaseException as error:  # the grader's own failure is to be seen too
        send({"error": f"the check itself failed: {type(error).__name__}: {error}"})
    os._exit(0)


def answers(data, key):
    """The signed lines of what came through the pipe."""
    found = []
    for line in data.split(b"\n"):
        signature, _, text = line.partition(b" ")
        if hmac.compare_digest(signature, hmac.new(key, text, hashlib.sha256).hexdigest().encode()):
            found.append(json.loads(text))
    return found


def run(job, tree):
    """Run one job in a child; a dict of what it passed, said and why it ended."""
    key, (mine, its) = os.urandom(32), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(mine)
        limited(job, tree, its, key)
    os.close(its)
    deadline, data, late = time.monotonic() + 4 * job["seconds"] + 5, b"", True
    while time.monotonic() < deadline and len(data) < ANSWER:
        if select.select([mine], [], [], 0.2)[0]:
            part = os.read(mine, 65536)
            if not part:
                late = False
                break
            data += part
    for kill in (lambda: os.killpg(pid, signal.SIGKILL), lambda: os.kill(pid, signal.SIGKILL)):
        with contextlib.suppress(ProcessLookupError):
            kill()
    _, status = os.waitpid(pid, 0)
    os.close(mine)
    result = {"messages": {}, "probe": None, "error": None}
    told = answers(data, key)
    for answer in told:
        if "tier" in answer:
            result["messages"][answer["tier"]] = answer["message"]
        result["probe"] = answer.get("probe", result["probe"])
        result["error"] = answer.get("error", result["error"])
    if not any("done" in a or "error" in a for a in told):
        slow = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL))
        limit = (
            f"it takes longer than {job['seconds']:g} seconds" if slow else "the process ended before the check did (os._exit, or a crash)"
        )
        result["error"] = limit
    return result


def main():
    """Read {"tree", "jobs"}, answer a list of results, one a job."""
    task = json.loads(sys.stdin.buffer.read())
    for name in ("numpy.testing", "scipy.special", "scipy.stats"):  # loaded here, not in every child
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.modules["hypothesis"] = None  # the same cases, hence the same grade, whether it is installed or not
    compileall.compile_dir(task["tree"], quiet=2)  # once, and not in every child
    results = [run(job, os.path.realpath(task["tree"])) for job in task["jobs"]]
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
