"""What a check says when a property does not hold, running several checks on one target, and drawing the cases."""

import importlib.util
import math
from dataclasses import dataclass, replace

import numpy as np

FALSE_ALARM = 1e-6  # of a whole statistical check that is given right code


@dataclass(eq=False)
class PropertyFailure(AssertionError):
    """A property that does not hold, told so that its first line alone says what is wrong.

    `error` is the error of the expected value itself, `tolerance` the difference that the check would have accepted; `smallest`
    says that simpler inputs were tried, and did not fail. `replay` is Python that gives what is told as yours, or raises it again.

    >>> print(PropertyFailure("the KL is not negative", ref="vae.2", got=-0.5, want=0.0, oracle="its definition", replay="kl(0.0, 1.0)"))
    [vae.2] FAILED: the KL is not negative
      yours      -0.5   expected 0.0 (its definition)
      replay     kl(0.0, 1.0)
    """

    message: str
    ref: str = ""
    equation: str = ""
    inputs: str = ""
    got: object = None
    want: object = None
    oracle: str = ""
    error: float | None = None
    tolerance: float | None = None
    hint: str = ""
    replay: str = ""
    smallest: bool = False

    def __str__(self):
        lines = [f"[{self.ref}] FAILED: {self.message}" if self.ref else f"FAILED: {self.message}"]
        values = ""
        if self.got is not None:
            values = f"{show(self.got)}"
        if self.want is not None:
            accuracy = f", error {self.error:.0e}" if self.error is not None else ""
            note = f" ({self.oracle}{accuracy})" if self.oracle else ""
            values += f"   expected {show(self.want)}{note}{ratio(self.got, self.want)}"
        tolerance = f"{self.tolerance:.1e}" if self.tolerance is not None else ""
        where = "smallest counterexample" if self.smallest else "at"
        table = {"equation": self.equation, where: self.inputs, "yours": values, "tolerance": tolerance}
        table |= {"hint": self.hint, "replay": self.replay}
        return "\n".join(lines + [f"  {name + '  ':<11}{text}" for name, text in table.items() if text])


def show(value):
    """A value for a reader: numbers with eight digits, arrays on one line."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.8g}" if not float(value).is_integer() else f"{float(value):.1f}"
    if isinstance(value, np.ndarray):
        return show(value.item()) if value.ndim == 0 else np.array2string(value, precision=4, threshold=20).replace("\n", "")
    return str(value)


def ratio(got, want):
    """'   ratio 2' where both are numbers that have one."""
    numbers = all(isinstance(v, (int, float, np.floating)) for v in (got, want))
    return f"   ratio {got / want:.7g}" if numbers and want and math.isfinite(got) else ""


def run_checks(target, checks, on_fail="raise"):
    """Run check(target) for each check, a list of functions or a dict by name. Returns {name: None or what it raised}.

    `on_fail="raise"` stops at the first failure, "collect" goes on. A check that breaks (any Exception) is reported as a failure is.
    """
    if on_fail not in ("raise", "collect"):
        raise ValueError(f"on_fail is {on_fail!r}; expected 'raise' or 'collect'")
    named = checks if isinstance(checks, dict) else {check.__name__: check for check in checks}
    results = {}
    for name, check in named.items():
        try:
            results[name] = check(target)
        except Exception as failure:
            if on_fail == "raise":
                raise
            results[name] = failure
    return results


def for_all(body, strategies, cases=40, seed=0):
    """Call body(*values) on many drawn values, so that it raises PropertyFailure on a bad one.

    A strategy is a list of values, the simplest first; or a function rng -> value; or a hypothesis strategy. Where hypothesis
    is installed it chooses, and the failure that comes out is about the smallest case that it found; else the draws are seeded.
    """
    if importlib.util.find_spec("hypothesis"):
        return shrunk(body, strategies, cases)
    rng = np.random.default_rng(seed)
    for _ in range(cases):
        body(*(s(rng) if callable(s) else s[rng.integers(len(s))] for s in strategies))
    return None


def shrunk(body, strategies, cases):
    """`for_all` by hypothesis: the same cases at every run, no database, and nothing of its own in what the reader sees."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    def strategy(s):
        if isinstance(s, st.SearchStrategy):
            return s
        return st.integers(0, 999).map(lambda i: s(np.random.default_rng(i))) if callable(s) else st.sampled_from(s)

    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    same = {"derandomize": True, "database": None, "deadline": None}
    quiet = settings(max_examples=cases, phases=phases, suppress_health_check=list(HealthCheck), **same)
    try:
        quiet(given(st.tuples(*map(strategy, strategies)))(lambda values: body(*values)))()
    except PropertyFailure as failure:
        plain = replace(failure, smallest=True)
    else:
        return
    raise plain


def simplest(body, candidates, failure):
    """The failure of the first candidate of which body(candidate) fails for the same reason; else the failure itself."""
    for candidate in candidates:
        try:
            with np.errstate(all="ignore"):
                body(candidate)
        except PropertyFailure as simpler:
            if simpler.message == failure.message:
                return replace(simpler, smallest=True)
        except Exception:  # of an input that was not asked for: it may be outside the domain
            continue
    return failure


def require(holds, message, **fields):
    """Raise PropertyFailure(message, …) unless the property holds."""
    if not holds:
        raise PropertyFailure(message, **fields)


def evaluate(f, x, name, shape, **fields):
    """f(x) as float64, after the first tier of every check: right shape, no NaN, input untouched."""
    before = x.copy()
    y = np.asarray(f(x))
    require(y.shape == shape, f"{name} returns shape {shape} for inputs {x.shape}", got=y.shape, want=shape, **fields)
    require(np.array_equal(before, x), f"{name} leaves its input as it was", **fields)
    bad = np.argwhere(np.isnan(y))
    require(not len(bad), f"{name} is never NaN", inputs=f"x = {show(x[tuple(bad[0])[: x.ndim]])}" if len(bad) else "", **fields)
    return y.astype(float)
