"""A stand-in for CuPy that computes on the CPU, for tests on machines without a GPU.

Its arrays hide a NumPy array and behave as CuPy's do where the two libraries differ:

* nothing becomes a NumPy array by itself, and nothing mixes with NumPy arrays or lists (TypeError);
* only the names, ufunc methods and keyword arguments of the recorded CuPy exist (cupy_api.json, written by `record`);
* reductions and integer indexing give 0-d arrays, mutable, never NumPy scalars;
* float(), bool(), item(), printing and boolean masks wait for the device: they are counted, and can be forbidden;
* no floating-point warnings, and a failed factorisation gives NaN instead of an exception;
* seeds give another stream than NumPy's;
* where CuPy's outcome is undefined (a[i] = v with duplicates in i, an index out of range) it raises.

    with standin.forbid("sync"): train_step()          raises at the first wait
    with standin.counting() as counts: train_step()    then counts["launch"], ["sync"], ["h2d"], ["via_numpy"]

That it is faithful is checked by `python -m tests.standin.conformance`, on a machine with a GPU.
"""

import functools

from tests.standin.ledger import counting, forbid
from tests.standin.namespaces import cupy, modules

__all__ = ["counting", "cupy", "forbid", "modules", "real_cupy"]


@functools.cache
def real_cupy():
    """Whether CuPy itself is installed and finds a GPU."""
    try:
        import cupy as installed
    except ImportError:
        return False
    return installed is not cupy and installed.is_available()
