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


def shown(items, progress=True, every=10.0):
    """The items of a sequence, with a bar on a terminal where going through them takes more than a second; elsewhere a line in ten.

    progress may be False, for none, or the label. `every`: so many seconds lie between two lines.

    >>> [i**2 for i in shown(range(4))]
    [0, 1, 4, 9]
    """
    if not progress:
        return items
    label = progress if isinstance(progress, str) else "sample"
    if not sys.stderr.isatty():
        return lines(items, label, every)
    from tqdm import tqdm

    return tqdm(items, desc=label, unit="step", delay=1, dynamic_ncols=True)


def lines(items, label, every):
    """The items, with a line on stderr every so many seconds."""
    last = time.perf_counter()
    for done, item in enumerate(items):
        if time.perf_counter() - last > every:
            last = time.perf_counter()
            print(f"{label}: step {done}/{len(items)}", file=sys.stderr, flush=True)
        yield item
