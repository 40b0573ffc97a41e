"""cupy.ElementwiseKernel for the stand-in: the same C++ body, compiled by the host's g++ and run in a loop."""

import ctypes
import functools
import hashlib
import pathlib
import subprocess
import tempfile

import numpy as np

from tests.standin.arrays import unwrap, wrap
from tests.standin.ledger import count

C_TYPES = {"e": "_Float16", "f": "float", "d": "double", "i": "int", "l": "long long", "q": "long long", "?": "bool", "B": "unsigned char"}
HEAD = """
#include <cmath>
#include <algorithm>
using namespace std;
static inline float rsqrt(float x) { return 1 / sqrtf(x); }
"""


@functools.cache
def compile_loop(source):
    """The function `run` of a C++ source. Compiled once a machine: the library is named by the hash of its source."""
    library = pathlib.Path(tempfile.gettempdir(), f"minigen-kernel-{hashlib.sha256(source.encode()).hexdigest()}.so")
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            built = pathlib.Path(folder, "kernel.so")
            command = ["g++", "-O1", "-w", "-shared", "-fPIC", "-x", "c++", "-", "-o", built]
            subprocess.run(command, input=source.encode(), check=True)
            built.replace(library)
    return ctypes.CDLL(str(library)).run


def parameters(text):
    """ "T x, float32 y" as [("T", "x"), ("float32", "y")]."""
    return [tuple(p.split()[-2:]) for p in text.split(",") if p.strip()]


class ElementwiseKernel:
    """A C++ body applied to every element of broadcast arrays."""

    def __init__(self, in_params, out_params, operation, name="kernel", preamble="", **_):
        self.ins, self.outs = parameters(in_params), parameters(out_params)
        self.body, self.preamble, self.__name__ = operation, preamble, name

    def types(self, args):
        """The dtype that each type letter stands for: arrays decide, and have to agree."""
        found = {}
        for (letter, name), a in zip(self.ins + self.outs, args, strict=False):
            if isinstance(a, np.ndarray):
                wanted = found.setdefault(letter, a.dtype) if len(letter) == 1 else np.dtype(letter)
                if wanted != a.dtype:
                    raise TypeError(f"Type is mismatched. {name} is {a.dtype}, but {letter} is {wanted}")
        return lambda letter: found.get(letter) or np.dtype(letter if len(letter) > 1 else float)

    def __call__(self, *args):
        if len(args) not in (len(self.ins), len(self.ins) + len(self.outs)):
            raise TypeError(
                f"{self.__name__} takes {len(self.ins)} inputs and optionally {len(self.outs)} outputs, not {len(args)} arguments"
            )
        args = [unwrap(a) for a in args]
        count("launch")
        dtype = self.types(args)
        ins = [np.asarray(a, dtype(letter)) for (letter, _), a in zip(self.ins, args, strict=False)]
        shape = np.broadcast_shapes(*(a.shape for a in args[len(ins) :]), *(a.shape for a in ins))
        outs = args[len(ins) :] or [np.empty(shape, dtype(letter)) for letter, _ in self.outs]
        buffers = [np.ascontiguousarray(np.broadcast_to(a, shape)) for a in ins + outs]
        self.loop(dtype, buffers)(ctypes.c_longlong(buffers[0].size), *(a.ctypes.data_as(ctypes.c_void_p) for a in buffers))
        for out, buffer in zip(outs, buffers[len(ins) :], strict=True):
            out[...] = buffer.reshape(out.shape)
        results = tuple(map(wrap, outs))
        return results if len(results) > 1 else results[0]

    def loop(self, dtype, buffers):
        """The compiled loop over the elements of arrays of these types."""
        names = [name for _, name in self.ins + self.outs]
        kinds = [C_TYPES[a.dtype.char] for a in buffers]
        pointers = ", ".join(f"{kind}* p_{name}" for kind, name in zip(kinds, names, strict=True))
        locals_ = " ".join(
            f"{kind}{'&' if i >= len(self.ins) else ''} {name} = p_{name}[i];"
            for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
        )
        letters = {letter for letter, _ in self.ins + self.outs if len(letter) == 1}
        typedefs = "".join(f"typedef {C_TYPES[dtype(letter).char]} {letter};\n" for letter in sorted(letters))
        return compile_loop(
            f'{HEAD}{typedefs}{self.preamble}\nextern "C" void run(long long n, {pointers})'
            f" {{ for (long long i = 0; i < n; i++) {{ {locals_} {self.body}; }} }}"
        )
