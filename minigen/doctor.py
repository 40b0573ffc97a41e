"""What an unlucky user would ask: which versions, which BLAS, how many threads, is there a GPU, does it compute rightly?"""

import importlib.metadata
import importlib.util
import os
import platform
import sys
import time

import numpy as np

from minigen.backend import cuda_problem, cuda_version, default_device, to_device, to_host

EXTRAS = {"test": ("pytest", "hypothesis", "ruff"), "mpi": ("mpi4py",), "peers": ("torch", "jax", "sklearn", "prdc")}


def version(package):
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def blas():
    """The name and version of the BLAS that NumPy was built with."""
    facts = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{facts.get('name', 'unknown')} {facts.get('version', '')}".strip()


def self_test(device, seconds=2.0):
    """Fit a line by our own gradients until it is right or the time is up: (whether it is right, steps a second)."""
    from minigen.autograd import grad
    from minigen.optim import SGD

    x, y, w = to_device((np.linspace(-1, 1, 64), 3 * np.linspace(-1, 1, 64) + 1, np.zeros(2)), device)
    slope = grad(lambda w: np.mean((w[0] * x + w[1] - y) ** 2))
    optimizer, steps, start = SGD(0.5), 0, time.perf_counter()
    moments = optimizer.init(w)
    while time.perf_counter() - start < seconds and steps < 200:
        steps += 1
        optimizer.step(w, slope(w), moments, steps)
    return bool(np.allclose(to_host(w), [3, 1], atol=1e-6)), steps / (time.perf_counter() - start)


def matmul_speed():
    """Billions of float32 operations a second of a 1000 × 1000 matrix product."""
    a = np.ones((1000, 1000), np.float32)
    a @ a
    start = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2e9 / (time.perf_counter() - start) / 1e9


def main(device="auto"):
    """Print the report; the exit code is 1 where the self-test fails."""
    print(f"minigen      {version('minigen') or 'not installed: running from a source tree'}")
    print(f"python       {platform.python_version()} at {sys.executable}")
    print(f"system       {platform.platform()}, {os.cpu_count()} cores")
    for package in ("numpy", "scipy", "matplotlib", "tqdm"):
        print(f"{package:12s} {version(package) or f'MISSING: pip install {package}'}")
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
    print(f"BLAS         {blas()}, {matmul_speed():.0f} GFLOP/s in float32")
    print(f"threads      {threads or 'as many as cores; OMP_NUM_THREADS sets them'}")
    print(f"CUDA         {cuda_problem() or cuda_version()}")
    for extra, modules in EXTRAS.items():
        missing = [m for m in modules if importlib.util.find_spec(m) is None]
        advice = f'without {", ".join(missing)}: pip install "minigen[{extra}]"'
        print(f"{extra + ' extra':12s} {advice if missing else 'complete'}")
    device = default_device() if device == "auto" else device
    right, speed = self_test(device)
    print(f"self-test    {'passed' if right else 'FAILED'} on {device}: {speed:.0f} gradient steps/s")
    return 0 if right else 1
