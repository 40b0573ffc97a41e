"""The pytest option --minigen-target (or the environment variable MINIGEN_TARGET): a student's file as tests, one a check."""

import os

import pytest


def pytest_addoption(parser):
    """Register the option."""
    parser.addoption("--minigen-target", metavar="FILE", help="check the functions of this file by the properties of the assignments")


def target(config):
    """The file to be checked, or None."""
    return config.getoption("--minigen-target") or os.environ.get("MINIGEN_TARGET")


class Check(pytest.Item):
    """One check of one function."""

    def __init__(self, *, check, **options):
        super().__init__(**options)
        self.check = check

    def runtest(self):
        """Run it."""
        self.check()

    def repr_failure(self, info, style=None):
        """What the property says, and no traceback through the checks."""
        return f"{type(info.value).__name__}: {info.value}" if not isinstance(info.value, AssertionError) else str(info.value)

    def reportinfo(self):
        """Where it stands."""
        return self.path, None, self.name


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """With a target and nothing else asked for, collect the target's checks alone."""
    path = target(session.config)
    if path and session.config.args_source is not pytest.Config.ArgsSource.ARGS:
        session.config.args = []
    return (yield)


def pytest_collection_modifyitems(session, config, items):
    """Add the target's checks to what was collected."""
    path = target(config)
    if path:
        from minigen.assignments.student import attempted

        try:
            cases = attempted(path)
        except ValueError as error:
            raise pytest.UsageError(f"--minigen-target: {error}") from None
        items += [Check.from_parent(session, name=name, check=check) for name, check in cases.items()]
        session.testscollected = len(items)
