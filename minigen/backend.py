"""Where arrays live. The only file that names CuPy.

NumPy's functions dispatch on the arrays that they are given (NEP 13, NEP 18), so almost no code asks which library it
computes with. What remains is here: making and moving arrays, drawing noise, and the few functions that do not dispatch.
"""

import importlib
import os
import sys

import numpy as np

from minigen.tree import map_nodes

INSTALL = 'pip install "minigen[cuda13]"  (or "minigen[cuda12]" for a CUDA 12 driver)'


def array_module(*arrays):
    """The library of the arrays: `cupy` if any of them lives on a GPU, else `numpy`. Tensors and scalars are welcome.

    >>> array_module(np.ones(2), 1.0).__name__
    'numpy'
    """
    on_host = all(getattr(x, "device", "cpu") == "cpu" for x in arrays)
    return np if on_host else sys.modules["cupy"]


def cuda_problem():
    """Why CUDA cannot be used here, in one line, or None where it can."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return f"CuPy is not installed: {INSTALL}"
    return None if cupy.is_available() else "CuPy is installed but finds no NVIDIA GPU or driver: see what nvidia-smi says"


def cuda_version():
    """What CUDA runs on here, in words: CuPy's version and the GPU's name."""
    cupy = importlib.import_module("cupy")
    return f"CuPy {cupy.__version__} on {cupy.cuda.runtime.getDeviceProperties(0)['name'].decode()}"


def default_device():
    """'cuda' where CuPy and a GPU are at hand, else 'cpu'."""
    return "cpu" if cuda_problem() else "cuda"


def to_device(tree, device="cuda"):
    """The tree with all its arrays (trainable or not) on a device, 'cuda' or 'cpu'.

    Raises RuntimeError where CUDA is asked for and cannot be used.
    """
    if device == "cpu":
        return to_host(tree)
    if device != "cuda":
        raise ValueError(f"device is {device!r}; expected 'cuda' or 'cpu'")
    if problem := cuda_problem():
        raise RuntimeError(problem)
    return map_nodes(sys.modules["cupy"].asarray, tree, static=True)


def to_host(tree):
    """The tree with all its arrays as NumPy arrays."""
    return map_nodes(lambda x: x if array_module(x) is np else x.get(), tree, static=True)


def like(x, values):
    """`values` (any array or number) in the library and dtype of x: how constants join a computation on x."""
    return array_module(x).asarray(to_host(values) if array_module(x) is np else values, dtype=x.dtype)


def draw(rng, method, shape, x):
    """rng.method in float32 or float64 (half precision is drawn in float32), then moved and cast as x is."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    return like(x, getattr(rng, method)(shape, dtype=dtype))


def normal(rng, shape, x):
    """ε ~ N(0, 1) of a shape, in the library and dtype of x.

    A NumPy generator draws on the host, so that CPU and GPU see the same numbers; a CuPy generator draws on the device.
    """
    return draw(rng, "standard_normal", shape, x)


def uniform(rng, shape, x):
    """u ~ U[0, 1) of a shape, in the library and dtype of x."""
    return draw(rng, "random", shape, x)


def hurwitz_zeta(s, x):
    """ζ(s, x) = Σₙ (n + x)⁻ˢ for a number s (SciPy's is a Python function around a private ufunc, so that it does not dispatch)."""
    home = "scipy.special" if array_module(x) is np else "cupyx.scipy.special"
    return importlib.import_module(home).zeta(s, x)


def exponential(rng, shape, x):
    """e ~ Exponential(1) of a shape, in the library and dtype of x."""
    return draw(rng, "standard_exponential", shape, x)


def solve_triangular(a, b, lower=True):
    """x with a x = b for a triangular matrix a (SciPy's and CuPy's own; neither dispatches)."""
    home = "scipy.linalg" if array_module(a, b) is np else "cupyx.scipy.linalg"
    return importlib.import_module(home).solve_triangular(a, b, lower=lower)


def eigenvalues_of_product(a, b):
    """The eigenvalues of a b, ascending, for symmetric a and positive definite b (SciPy's own, at half the work; CuPy has none).

    Raises LinAlgError where b is not positive definite.
    """
    if array_module(a, b) is np:
        eigh = importlib.import_module("scipy.linalg").eigh
        # Transposed, they are in Fortran's order; from the upper triangle the reduction takes two thirds of the time.
        return eigh(a.T, b.T, type=2, eigvals_only=True, driver="gv", lower=False, check_finite=False)
    factor = np.linalg.cholesky(b)
    if not bool(np.all(np.isfinite(factor))):  # CuPy does not raise
        raise np.linalg.LinAlgError("b is not positive definite")
    return np.linalg.eigvalsh(factor.T @ a @ factor)


def keep_memory():
    """Ask glibc to keep freed memory instead of returning it to the system, once, for training.

    A step frees and takes the same large arrays again; by default each is mapped and unmapped, page by page, which costs
    more than the arithmetic (a factor of about two). Linux with glibc only; nothing elsewhere, or where the environment
    says MINIGEN_MALLOC=0. Called by the trainer and the command line, never by an import, because it holds for the process.
    """
    if os.environ.get("MINIGEN_MALLOC") == "0" or not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: below 1 GiB take from the heap
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD: never give the top of the heap back
        mallopt(-2, 64 << 20)  # M_TOP_PAD: grow in steps of 64 MiB
