"""What a device would have been asked to do: counts of launches, waits and copies, and the right to refuse them."""

import contextlib
import sys

totals = {
    "launch": 0,  # kernels started
    "sync": 0,  # the host waited for the device
    "h2d": 0,  # host memory was copied to the device
    "via_numpy": 0,  # a call came through NumPy's dispatch, which costs a few microseconds more
}
forbidden = []


def count(kind):
    """Note one event, or refuse it."""
    if kind in forbidden:
        raise RuntimeError(f"{kind} while forbidden: this code makes the host wait for the device or copies to it")
    totals[kind] += 1


@contextlib.contextmanager
def forbid(*kinds):
    """Within it, events of these kinds raise RuntimeError. With CuPy itself, waits ("sync") raise CuPy's own error."""
    real = getattr(sys.modules.get("cupyx"), "allow_synchronize", None) if "sync" in kinds else None
    forbidden.extend(kinds)
    try:
        with real(False) if real else contextlib.nullcontext():
            yield
    finally:
        del forbidden[len(forbidden) - len(kinds) :]


@contextlib.contextmanager
def counting():
    """A dict that holds, after the block, how many events of each kind there were in it."""
    before, counts = dict(totals), {}
    try:
        yield counts
    finally:
        counts.update({kind: n - before[kind] for kind, n in totals.items()})
