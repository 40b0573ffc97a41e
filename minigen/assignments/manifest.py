"""What an assignment is: problems on functions of the project, their points, checks, hints and known mistakes."""

import importlib
import random
from dataclasses import dataclass, replace

from minigen.assignments.source import text_of

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

    `variants` change what is asked, each a tuple of edits (old text, new text) of the assignment's modules and of its checks: an
    equation in a docstring, the body, the constant in the check's definition. `edits` are those of the variant that was chosen.
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
    variants: tuple = ()
    edits: tuple = ()

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

    @property
    def checks(self):
        """The modules that hold the checks."""
        return list(dict.fromkeys(check.__module__ for p in self.problems for check in p.checks.values()))

    def text(self, module):
        """A module's source, in this variant of the assignment."""
        text = text_of(module)
        for old, new in (edit for p in self.problems for edit in p.edits if module in {*self.modules, *self.checks}):
            text = text.replace(old, new)
        return text

    def chosen(self, index):
        """This assignment with a variant of each problem that has some; `index(problem)` says which."""
        return replace(self, problems=tuple(replace(p, edits=p.variants[index(p)]) if p.variants else p for p in self.problems))


def load(name, variant=None):
    """The assignment of a name, as it stands or in the variant of a seed; ValueError where there is none."""
    if name not in NAMES:
        raise ValueError(f"there is no assignment {name!r}; there are {', '.join(NAMES)}")
    assignment = importlib.import_module(f"minigen.assignments.{name}").ASSIGNMENT
    if variant is None:
        return assignment
    return assignment.chosen(lambda p: random.Random(f"{variant} {p.name}").randrange(len(p.variants)))
