"""What long work shows of how far it is, on stderr."""

import sys
import time
from contextlib import contextmanager


@contextmanager
def reporter(progress, start, steps):
    """Yields report(t, loss): a bar with steps/s and the loss on a terminal, elsewhere ten plain lines."""
    label = progress if isinstance(progress, str) else "train"
    if not progress:
        yield lambda t, loss: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=steps, initial=start, desc=label, unit="step", dynamic_ncols=True) as bar:

            def report(t, loss):
                bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
                bar.update(t - bar.n)

            yield report
    else:
        began, marks = time.perf_counter(), {steps * k // 10 for k in range(1, 11)}

        def report(t, loss):
            if t in marks:
                speed = (t - start) / (time.perf_counter() - began)
                print(f"{label}: step {t}/{steps}, {speed:.0f} steps/s, loss {loss:.4g}", file=sys.stderr, flush=True)

        yield report


def shown(items, progress=True):
    """The items of a sequence, with a bar on a terminal where going through them takes more than a second.

    progress may be False, for no bar, or the bar's label.

    >>> [i**2 for i in shown(range(4))]
    [0, 1, 4, 9]
    """
    if not progress or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    label = progress if isinstance(progress, str) else "sample"
    return tqdm(items, desc=label, unit="step", delay=1, dynamic_ncols=True)
