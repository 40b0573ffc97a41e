"""What a recorded history costs: depth, memory, threads, and imports."""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np

import minigen as mg
from minigen.autograd import primitive, vjp_of
from tests.differences import assert_close

X = np.random.default_rng(3).normal(size=4)


def test_a_chain_of_20000_operations():
    def f(x):
        y = x
        for _ in range(10_000):
            y = y * 0.9999 + x
        return np.sum(y)

    q = 0.9999**np.arange(10_001)
    np.testing.assert_allclose(mg.grad(f)(X), np.full(4, np.sum(q)), rtol=1e-10)
    _, pullback = mg.vjp(f, X)
    del pullback  # a deep history is freed without recursion too


def test_a_deep_graph_differentiates_twice():
    def f(x):
        y = x
        for _ in range(2_000):
            y = np.sin(y) + x * x
        return np.sum(y)

    assert_close(mg.hvp(f)(0.01 * X, X), (mg.grad(f)(0.01 * X + 1e-6 * X) - mg.grad(f)(0.01 * X - 1e-6 * X)) / 2e-6, 1e-4)


def test_no_cyclic_garbage_and_memory_is_freed():
    model = {"w": np.ones((3, 3)), "b": np.ones(3)}
    kept = []

    def loss(m):
        y = np.tanh(X[:3] @ m["w"] + m["b"])
        kept.append(weakref.ref(y.data))
        return np.sum(y**2) + np.sum(mg.grad(lambda u: np.sum(np.tanh(u @ m["w"])))(X[:3]) ** 2)

    steps = [lambda: mg.value_and_grad(loss)(model), lambda: mg.vjp(loss, model)[1](np.array(1.0)), lambda: mg.hvp(loss)(model, model)]
    for step in steps:
        step()
    gc.collect()
    gc.disable()
    try:
        for step in steps:
            step()
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert all(ref() is None for ref in kept)


def test_the_backward_pass_frees_as_it_goes():
    """The peak of memory is that of the forward pass: what is done with is forgotten."""
    values, cotangents, alive = [], [], []

    @primitive
    def watched(x):
        return x * 2

    def back(g, y, x):
        alive.append([sum(ref() is not None for ref in refs) for refs in (values, cotangents)])
        cotangents.append(weakref.ref(g))
        return g * 2

    vjp_of(watched, back)

    def f(x):
        for _ in range(5):
            x = watched(x)
            values.append(weakref.ref(x.data))
        return np.sum(x)

    mg.grad(f)(np.ones(10))
    assert alive[0][0] >= alive[-1][0] + 3
    assert all(held <= 1 for _, held in alive)


def test_only_paths_to_the_wanted_leaves_are_walked():
    """No pass computes a derivative by data, neither the inner one by what it closes over nor the outer one by the inner's own leaves."""
    asked = []

    @primitive
    def product(a, b):
        return a * b

    def note(name, value):
        asked.append((name, type(value) is mg.Tensor))
        return value

    vjp_of(product, lambda g, y, a, b: note("a", g * b), lambda g, y, a, b: note("b", g * a))
    data = np.ones(4)

    def f(w):
        mg.grad(lambda u: np.sum(product(u, 2 * w)))(w)  # by u alone
        assert asked == [("a", True)]
        asked.clear()
        kept = []
        mg.grad(lambda u: kept.append(product(u, data)) or np.sum(kept[0]))(data)
        asked.clear()
        return np.sum(product(kept[0], w))

    mg.grad(f)(X)
    assert asked == [("b", False)]  # by w, and not by what the inner vjp left


def test_threads_differentiate_at_once():
    barrier, results = threading.Barrier(4), {}

    def work(k):
        def f(x):
            for _ in range(50):
                x = x * 1.01
                if _ == 20:
                    barrier.wait(timeout=10)
            return k * np.sum(mg.grad(lambda u: np.sum(u**3))(x))

        results[k] = mg.grad(f)(X)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(4):
        np.testing.assert_allclose(results[k], k * 6 * X * 1.01**100, rtol=1e-12)


def test_a_tensor_of_another_thread_is_refused():
    caught = []

    def f(x):
        def use():
            try:
                x + 1
            except RuntimeError as error:
                caught.append(error)

        t = threading.Thread(target=use)
        t.start()
        t.join()
        return np.sum(x)

    mg.grad(f)(X)
    assert len(caught) == 1


def test_importing_the_package_does_not_import_scipy():
    code = "import sys, minigen; assert not [m for m in sys.modules if m.startswith(('scipy', 'cupy', 'torch', 'matplotlib'))]"
    subprocess.run([sys.executable, "-c", code], check=True)
