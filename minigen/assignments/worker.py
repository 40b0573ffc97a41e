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
import threading
import time
import types

FORBIDDEN = {
    "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "os.kill", "os.killpg", "subprocess.Popen", "os.remove", "os.rename",
    "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "pty.spawn", "signal.pthread_kill",
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames", "sys._current_exceptions",
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


def print_of(value, ours, seen=()):
    """What there is to a value of a trusted module, as text that is the same in every process; other modules' functions by their names."""
    name, kind = getattr(value, "__qualname__", ""), type(value).__name__
    more = lambda values: [print_of(v, ours, (*seen, id(value))) for v in values]
    if id(value) in seen or len(seen) > 6:
        return kind
    if isinstance(value, types.CodeType):
        return f"{value.co_code.hex()} {value.co_names} {value.co_varnames} {more(value.co_consts)}"
    if isinstance(value, types.FunctionType):
        at_home = value.__globals__ is vars(sys.modules.get(value.__module__, types))
        if not (value.__module__ or "").startswith(ours):
            return f"{kind} {value.__module__}.{name} {at_home}"
        cells = [c.cell_contents for c in value.__closure__ or ()]
        return f"{kind} {name} {at_home} {more([value.__code__, value.__defaults__, value.__kwdefaults__, vars(value), *cells])}"
    if isinstance(value, type):
        return f"{kind} {value.__module__}.{name} {more(vars(value).values()) if value.__module__.startswith(ours) else ''}"
    if isinstance(value, (tuple, list)):
        return f"{kind} {more(value)}"
    if isinstance(value, dict):
        return f"{kind} {list(map(str, value))} {more(value.values())}"
    if isinstance(value, (str, bytes, int, float, complex, type(None), types.ModuleType)) or kind == "ndarray":
        return f"{kind} {getattr(value, '__name__', value)!r}" if kind == "module" else f"{kind} {value!r}"
    return f"{kind} {more(vars(value).values()) if hasattr(value, '__dict__') else name}"


def prints(sources, ours=("minigen.testing", "minigen.assignments")):
    """{module: {name: its print, hashed}} of the trusted modules that are loaded, those that a student writes aside."""
    modules = {m: sys.modules[m] for m in sorted(sys.modules) if m.startswith(ours) and m not in sources}
    digest = lambda value: hashlib.sha256(print_of(value, ours).encode()).hexdigest()[:16]
    names = {m: [(k, v) for k, v in vars(module).items() if k[:2] != "__" and type(v) not in MODULES] for m, module in modules.items()}
    return {m: {k: digest(v) for k, v in pairs} for m, pairs in names.items()}


def apart(f, *arguments):
    """(f(*arguments), None), or (None, what it raised), from a stack of its own: what runs in it does not see its callers."""
    found = [None, None]

    def call():
        try:
            found[0] = f(*arguments)
        except BaseException as error:
            found[1] = error

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return found


class Sealed(types.ModuleType):
    """A module whose names stay: who binds one is noted, even if it is bound back before anyone looks."""

    def __setattr__(self, name, value):
        if not isinstance(value, types.ModuleType):
            self.__dict__["__rebound__"].append(f"{self.__name__}.{name}")
        self.__dict__[name] = value


MODULES = (types.ModuleType, Sealed)


def seal(modules, rebound):
    """Seal modules; `rebound` gets the names."""
    for module in modules:
        if type(sys.modules[module]) is types.ModuleType:
            vars(sys.modules[module])["__rebound__"] = rebound
            sys.modules[module].__class__ = Sealed


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
    looks, compare, own, together, sealing = snapshot, changed, prints, apart, seal  # by names that nobody else binds
    sealed, rebound = looks(), []
    sealing(sealed, rebound)
    spec = importlib.util.spec_from_file_location("tiers", os.path.join(tree, "minigen/assignments/checks/tiers.py"))
    tiers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiers)
    run_tier, probe, find = tiers.run_tier, tiers.probe, tiers.find
    sys.modules["__main__"] = types.ModuleType("__main__")
    modules = ["minigen.assignments.checks.tiers", *(check.partition(":")[0] for check in job["row"]["checks"].values())]
    # where the engine itself is the student's, this runs the student's code
    _, error = together(lambda: [importlib.import_module(module) for module in modules])
    if error:
        return send({"error": f"importing it raises {type(error).__name__}: {str(error)[:500]}"})
    found, error = together(own, job["sources"])
    if "prints" not in job:
        return send({"prints": found, "done": True})
    if wrong := next((m for m in found or ["minigen"] if error or found[m] != job["prints"].get(m)), None):
        return send({"error": f"it changes {wrong}: what other code relies on is to be left alone"})
    sealed = looks() | sealed
    sealing(sealed, rebound)
    place = "minigen.derivatives:" if job["row"]["function"].startswith("np.") else target_module + ":"
    target, error = together(find, place + job["row"]["function"])
    if error:  # of the student's code at import
        return send({"error": f"importing it raises {type(error).__name__}: {str(error)[:500]}"})
    for tier, check in job["row"]["checks"].items():
        if tier not in job["tiers"]:
            continue
        message, _ = together(run_tier, check, target)
        if name := compare(sealed) or next(iter(rebound), None):
            message = f"it changes {name}: what other code relies on is to be left alone"
        elif events:
            message = f"it tries {events[0]}, which no solution needs"
        send({"tier": tier, "message": message})
    return send({"probe": together(probe, job["row"], target)[0], "done": True})


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
        result["prints"] = answer.get("prints", result.get("prints"))
    if not any("done" in a or "error" in a for a in told):
        slow = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL))
        limit = (
            f"it takes longer than {job['seconds']:g} seconds" if slow else "the process ended before the check did (os._exit, or a crash)"
        )
        result["error"] = limit
    return result


def main():
    """Read {"tree", "jobs"}, answer a line of JSON for each job when it is done."""
    task = json.loads(sys.stdin.buffer.read())
    for name in ("numpy.testing", "scipy.special", "scipy.stats"):  # loaded here, not in every child
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.modules["hypothesis"] = None  # the same cases, hence the same grade, whether it is installed or not
    compileall.compile_dir(task["tree"], quiet=2)  # once, and not in every child
    tree, jobs = os.path.realpath(task["tree"]), task["jobs"]
    checks = {check: check for job in jobs for check in job["row"]["checks"].values()}
    whole = {"sources": task["reference"], "row": jobs[0]["row"] | {"checks": checks}} if jobs else {}
    known = run(jobs[0] | whole, tree)["prints"] if jobs else {}  # of the trusted modules, without a student's code
    for job in jobs:
        print(json.dumps(run(job | {"prints": known}, tree)), flush=True)


if __name__ == "__main__":
    main()
