"""One training loop.

    run(step, state, data, …)            batches, progress, checkpoints, the guard against non-finite losses, Ctrl-C
    minimise(loss, model, data, …)       its one-loss step: stochastic gradient descent on the mean of loss(model, batch, rng)

`step(state, batch, rng)` changes `state` in place and returns its loss; a state is a tree that holds `Learner`s (a GAN has
two) and whatever else evolves. The batch of step t depends on t and a seed alone, and a checkpoint holds every array of the
state and the state of rng: so a resumed run repeats the uninterrupted one bit for bit.
"""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import linearise
from minigen.backend import array_module, keep_memory, to_host
from minigen.checks import check_rng
from minigen.optim import Adam, clip_by_global_norm
from minigen.progress import reporter
from minigen.saving import load, save
from minigen.tree import map_nodes, named_arrays, ravel

__all__ = ["Learner", "NonFiniteError", "load", "minimise", "run", "save"]

READ_EVERY = 50  # steps between two looks at losses on a GPU, because each look waits for it


class NonFiniteError(FloatingPointError):
    """A loss or gradient became infinite or NaN. `.step` counts from 1; `.state` (and `.model`) hold the last good parameters."""

    step = state = model = None


# ---- One player ----
@dataclass
class Learner:
    """A model in training: its parameters are views of one flat vector, which the optimiser changes in place."""

    model: Any
    vector: Any
    moments: dict
    optimizer: Any
    clip_norm: float | None = None
    steps: Any = None

    @classmethod
    def of(cls, model, optimizer, clip_norm=None):
        """Start from a copy of the model's parameters."""
        vector, unravel = ravel(model)
        return cls(unravel(vector), vector, optimizer.init(vector), optimizer, clip_norm, np.zeros((), np.int64))

    def update(self, loss, *args):
        """One step down the gradient of the mean of loss(model, *args); returns that mean.

        On a CPU a non-finite loss or gradient raises NonFiniteError before anything is changed.
        """
        value, pull = linearise(lambda model: np.mean(loss(model, *args)), self.model)
        g = np.concatenate([leaf.reshape(-1) for leaf in pull(np.ones_like(value), last=True)])
        if array_module(g) is np and not (np.isfinite(value) and np.isfinite(g @ g)):
            raise NonFiniteError(f"the {'gradient' if np.isfinite(value) else 'loss'} is not finite")
        if self.clip_norm is not None:
            g = clip_by_global_norm(g, self.clip_norm)
        self.steps += 1
        self.optimizer.step(self.vector, g, self.moments, int(self.steps))
        return value


# ---- The loop ----
def length(data):
    """How many examples a tree of arrays holds."""
    lengths = {a.shape[0] if a.ndim else 0 for a in named_arrays(data).values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"data: its arrays have lengths {sorted(lengths)}; expected one and the same positive number of examples")
    return lengths.pop()


def batch_order(data, batch_size, seed):
    """The function t ↦ batch of step t = 0, 1, …: each epoch is a permutation of its own, its incomplete last batch left out."""
    if data is None:
        return lambda t: None
    n = length(data)
    size = n if batch_size is None else min(batch_size, n)
    per_epoch, xp = n // size, array_module(*named_arrays(data).values())
    epoch, order = -1, None

    def batch(t):
        nonlocal epoch, order
        if t // per_epoch != epoch:
            epoch = t // per_epoch
            order = xp.asarray(np.random.default_rng([seed, epoch]).permutation(n))
        i = t % per_epoch * size
        return map_nodes(lambda a: a[order[i : i + size]], data, static=True)

    return batch


@contextmanager
def deferred_interrupt():
    """Within it the first Ctrl-C only sets a flag, which the yielded function reads; the second acts as usual."""
    pressed = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    old = signal.getsignal(signal.SIGINT)

    def handler(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, old)


def run(
    step, state, data, *, rng, steps, batch_size=None, progress=True, checkpoint=None, checkpoint_every=1000, resume=False, seconds=None
):  # fmt: skip
    """Call step(state, batch, rng) `steps` times; (state, history), where history holds the loss of each step.

    data: a tree of arrays with one first axis, or None; batch_size None: all of it. checkpoint: a file that is written every
    `checkpoint_every` steps and at the end; with resume=True a run goes on from it where it exists. After Ctrl-C, or past the
    time limit `seconds`, it stops behind the step that is running, keeps the state and writes the checkpoint. Raises
    NonFiniteError at the first loss that is not finite.
    """
    check_rng(rng)
    if steps < 0:
        raise ValueError(f"steps is {steps}; expected ≥ 0")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected ≥ 1 or None for all of the data")
    keep_memory()
    arrays = named_arrays(state)
    on_host = array_module(*arrays.values()) is np
    seed, done, history = int(rng.integers(2**62)), 0, []
    facts = {"n": 0 if data is None else length(data), "batch_size": batch_size}
    if resume and checkpoint is not None and os.path.exists(checkpoint):
        saved, meta = load(checkpoint, like=state)
        if meta["facts"] != facts:
            raise ValueError(f"{checkpoint} was written with {meta['facts']}; this run has {facts}")
        for here, there in zip(arrays.values(), named_arrays(saved).values(), strict=True):
            here[...] = there
        seed, done, history, rng.bit_generator.state = meta["seed"], meta["step"], meta["history"], meta["rng"]

    def write(t):
        if checkpoint is not None:
            save(checkpoint, state, facts=facts, seed=seed, step=t, history=history, rng=rng.bit_generator.state)

    began = time.perf_counter()
    batch, unread, good = batch_order(data, batch_size, seed), [], None
    with reporter(progress, done, steps) as report, deferred_interrupt() as interrupted:
        for t in range(done + 1, steps + 1):
            if good is None and not on_host:
                good = [a.copy() for a in arrays.values()]
            try:
                unread.append(step(state, batch(t - 1), rng))
            except NonFiniteError as error:
                raise stopped(error, t, state) from None
            late = seconds is not None and time.perf_counter() - began > seconds
            last = t == steps or late or interrupted()
            if on_host or t % READ_EVERY == 0 or last:
                losses = [float(x) for x in unread] if on_host else to_host(array_module(unread[0]).stack(unread)).tolist()
                if not np.all(np.isfinite(losses)):
                    for a, kept in zip(arrays.values(), good or [], strict=False):
                        a[...] = kept
                    first = t - len(losses) + 1 + int(np.argmin(np.isfinite(losses)))
                    raise stopped(NonFiniteError("the loss is not finite"), first, state)
                history += losses
                unread, good = [], None
                report(t, losses[-1])
            if last or (checkpoint is not None and t % checkpoint_every == 0):
                write(t)
            if last and t < steps:
                cause = "Ctrl-C" if interrupted() else f"the limit of {seconds:.0f} seconds"
                print(f"stopped by {cause} after step {t} of {steps}: the state so far is kept", file=sys.stderr)
                break
    return state, np.array(history)


def stopped(error, t, state):
    """The error that ends a run, with what the caller needs to go on."""
    new = NonFiniteError(f"step {t}: {error}; .state holds the last good parameters. A smaller learning rate or clip_norm= may help")
    new.step, new.state = t, state
    return new


def minimise(
    loss, model, data, *, rng, steps, batch_size=128, optimizer=None, progress=True, checkpoint=None, checkpoint_every=1000, resume=False,
    seconds=None, clip_norm=None, ema=None,
):  # fmt: skip
    """(model, history): a trained copy of the model, and the mean loss of each step.

    loss(model, batch, rng) gives an array (n,) or a scalar, of which the mean is minimised. optimizer: Adam(1e-3) by default.
    clip_norm bounds the norm of each gradient. With ema=EMA(decay) the model returned is the average of the parameters over
    the steps. The other arguments are those of `run`.

    >>> rng, x = np.random.default_rng(0), np.arange(8.0)
    >>> model, _ = minimise(lambda m, x, rng: (x - m["mean"]) ** 2, {"mean": np.zeros(1)}, x, rng=rng, steps=300, optimizer=Adam(0.1),
    ...                     batch_size=None, progress=False)
    >>> model["mean"].round(3)
    array([3.5])
    """
    learner = Learner.of(model, optimizer or Adam(), clip_norm)
    average = ema.init(learner.vector) if ema else {}

    def step(state, batch, rng):
        value = state["learner"].update(loss, batch, rng)
        if ema:
            ema.step(learner.vector, average)
        return value

    try:
        _, history = run(
            step, {"learner": learner, "average": average}, data, rng=rng, steps=steps, batch_size=batch_size, progress=progress,
            checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume, seconds=seconds,
        )  # fmt: skip
    except NonFiniteError as error:
        error.model = learner.model
        raise
    return ravel(model)[1](average["a"] if ema else learner.vector), history
