"""Trees of arrays on the disk: one .npz file, without pickle, whole or not there."""

import json
import os
import tempfile
import zipfile

import numpy as np

from minigen.backend import array_module, to_host
from minigen.tree import map_nodes, named_arrays

META = "__meta__"


def save(path, tree, **meta):
    """Write every array of a tree and some JSON-able facts to one .npz file: no pickle, and atomically.

    The file is complete under its name or not there: it is written beside it, flushed to the disk and then renamed.
    """
    path = os.fspath(path)
    arrays = {name: to_host(a) for name, a in named_arrays(tree).items()}
    arrays[META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=os.path.basename(path), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path, like=None):
    """(tree, meta) as they were saved. The tree has the structure, library and constants of `like`; without it, {path: array}.

    Raises ValueError where the file is no such archive, or its arrays do not fit those of `like`.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop(META).tobytes())
    except (KeyError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a complete file written by minigen.train.save: {error}") from error
    if like is None:
        return arrays, meta
    expected = {name: (a.shape, a.dtype) for name, a in named_arrays(like).items()}
    found = {name: (a.shape, a.dtype) for name, a in arrays.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        name = wrong[0]
        raise ValueError(f"{path} does not fit: {name} is {found.get(name)} there, expected {expected.get(name)} ({len(wrong)} differ)")
    values = iter([arrays[name] for name in expected])
    return map_nodes(lambda a: array_module(a).asarray(next(values)), like, static=True), meta
