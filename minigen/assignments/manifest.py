"""What an assignment is: problems on functions of the project, their points, checks, hints and known mistakes."""

import importlib
from dataclasses import dataclass

NAMES = ("autograd", "kmeans_pca_gmm", "vae", "gan", "flows_diffusion", "metrics")
TIERS = {"special cases": 3, "property": 5, "statistics": 2, "accepts": 0, "rejects": 1}  # their shares of a problem's points


@dataclass(frozen=True)
class Mistake:
    """A mistake that students make: in the source of the function, `old` reads `new`. `misconception` is what to tell them."""

    name: str
    old: str
    new: str
    misconception: str


@dataclass(frozen=True, eq=False)
class Problem:
    """One function to write. `target` is "module:name", "module:Class.name", or "derivatives:np.exp", a row of the derivative table.

    `checks` maps tiers to functions of the target. Their module has PROBES, {name: function of the target}: numbers which tell
    the known mistakes apart. `copies` are functions of the module that do the same work: they are cut, too.

    A problem may ask for a property, a function that raises AssertionError for what is wrong. Then `subject` names the problem whose
    function it is of: the property has to accept the reference, and earns its points by the known mistakes that it rejects.
    """

    name: str
    target: str
    points: int
    checks: dict
    mistakes: tuple
    hints: tuple = ()
    prerequisites: tuple = ()
    copies: tuple = ()
    subject: str = ""

    def __post_init__(self):
        if not self.checks or not set(self.checks) <= set(TIERS):
            raise ValueError(f"{self.name}: checks has the tiers {', '.join(self.checks)}; expected some of {', '.join(TIERS)}")

    @property
    def module(self):
        """The module that holds the function."""
        module = self.target.partition(":")[0]
        return f"minigen.{module}" if module == "derivatives" else module

    @property
    def function(self):
        """The function's name inside of its module."""
        return self.target.partition(":")[2]

    def row(self, label):
        """What a process that knows no manifest needs in order to check the problem, as JSON."""
        checks = {tier: f"{check.__module__}:{check.__name__}" for tier, check in self.checks.items()}
        return {
            "label": label, "name": self.name, "module": self.module, "function": self.function, "points": self.points, "checks": checks,
            "hints": self.hints, "prerequisites": self.prerequisites,
        }  # fmt: skip

    def score(self, shares):
        """The points, given how much of each tier has passed: {tier: number from 0 to 1}."""
        return round(self.points * sum(TIERS[t] * shares.get(t, 0) for t in self.checks) / sum(TIERS[t] for t in self.checks), 2)


@dataclass(frozen=True)
class Assignment:
    """Problems in the order in which they are to be solved."""

    name: str
    title: str
    problems: tuple

    def label(self, problem):
        """A problem's name for people: "vae.2"."""
        return f"{self.name}.{self.problems.index(problem) + 1}"

    def problem(self, name):
        """The problem of a name."""
        return next(p for p in self.problems if p.name == name)

    @property
    def modules(self):
        """The modules that a student edits."""
        return list(dict.fromkeys(p.module for p in self.problems))


def load(name):
    """The assignment of a name; ValueError where there is none."""
    if name not in NAMES:
        raise ValueError(f"there is no assignment {name!r}; there are {', '.join(NAMES)}")
    return importlib.import_module(f"minigen.assignments.{name}").ASSIGNMENT
