"""Record what the installed CuPy offers as cupy_api.json, from which the stand-in is made. Needs CuPy's wheel, no GPU.

    pip install "cupy-cuda13x[ctk]" && python -m tests.standin.record > tests/standin/cupy_api.json

Without [ctk] everything but cupyx.scipy.linalg is still recorded. An entry is null (a constant, dtype, class or
attribute), "host" (a function that answers with host values), ["ufunc", [methods]], or ["def", [parameters] or null if
they are open, whether its documentation says that it may synchronise].
"""

import importlib
import inspect
import json
import re
import sys
import warnings

HOST = set(
    """broadcast_shapes can_cast result_type promote_types finfo iinfo issubdtype isdtype isscalar iscomplexobj isrealobj
    ndim shape size common_type min_scalar_type ndindex""".split()
)


def parameters(function):
    """The names of a function's parameters, or None where it takes any keyword or does not say."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # compiled by Cython: the signature is the first line of the documentation
        match = re.match(r"[\w.]+\((.*?)\)(?: ->|$)", (function.__doc__ or "").strip().split("\n")[0])
        if not match or "*" in match[1]:
            return None
        names = [re.split(r"[=:]", part)[0].split()[-1] for part in match[1].split(",") if part.strip(" /")]
        return [name for name in names if name != "self"]
    if any(p.kind == p.VAR_KEYWORD for p in found):
        return None
    return [p.name for p in found if p.kind != p.VAR_POSITIONAL and p.name != "self"]


def entry(cupy, name, value):
    """What the record says of one attribute."""
    if name in HOST:
        return "host"
    if isinstance(value, cupy.ufunc):
        methods = {
            "reduce": name in ("add", "multiply"), "accumulate": name in ("add", "multiply"),
            "at": value._scatter_op is not None, "outer": value.nin == 2,
        }  # fmt: skip
        return ["ufunc", [method for method, there in methods.items() if there]]
    if inspect.isclass(value) or not callable(value):
        return None
    return ["def", parameters(value), "synchron" in (value.__doc__ or "")]


def record():
    """The record, as a dict."""
    warnings.simplefilter("ignore")
    cupy = importlib.import_module("cupy")
    spaces = {
        "": cupy, "linalg": cupy.linalg, "fft": cupy.fft, "random": cupy.random, "ndarray": cupy.ndarray,
        "random.Generator": cupy.random.Generator, "lib.stride_tricks": cupy.lib.stride_tricks,
    }  # fmt: skip
    for name in ("cupyx", "cupyx.scipy.special", "cupyx.scipy.linalg", "cupyx.scipy.ndimage"):
        try:
            spaces[name] = importlib.import_module(name)
        except ImportError as error:
            print("skipped", name, error, file=sys.stderr)
    public = {
        space: {name: getattr(module, name) for name in sorted(dir(module)) if not name.startswith("_")} for space, module in spaces.items()
    }
    entries = {
        space: {name: entry(cupy, name, value) for name, value in names.items() if not inspect.ismodule(value)}
        for space, names in public.items()
    }
    return {"version": cupy.__version__, "spaces": entries}


if __name__ == "__main__":
    json.dump(record(), sys.stdout, separators=(",", ":"))
