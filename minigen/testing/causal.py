"""The check of autoregressive networks: what each output may depend on. The oracle is the definition of dependence: change one input."""

import numpy as np

from minigen.testing.failure import require, show


def dependence(net, shape, features, seed, draws, ref):
    """depends[j, i]: whether output j of net changed, by whatever little, when input i was changed in any of the draws."""
    size, rng = int(np.prod(shape)), np.random.default_rng(seed)
    own, found = np.arange(size), np.zeros((size, size), bool)
    for _ in range(draws):
        x = np.repeat(rng.standard_normal((1, size, *features)), size, axis=0)
        changed = x.copy()
        changed[own, own] = rng.standard_normal((size, *features))
        # Two batches of one shape: rows at the same place go through the same arithmetic, so that equal means equal.
        before, after = (np.asarray(net(z.reshape(size, *shape, *features))) for z in (x, changed))
        right = before.shape[: 1 + len(shape)] == (size, *shape)
        require(right, "net gives outputs for each coordinate", got=before.shape, want=(size, *shape, "…"), ref=ref)
        require(np.all(np.isfinite(before)) and np.all(np.isfinite(after)), "net gives finite outputs", ref=ref)
        found |= np.any((before != after).reshape(size, size, -1), axis=2).T
    return found


def check_causal(net, order, *, features=(), complete=False, draws=3, seed=0, ref=""):
    """Raise PropertyFailure unless net is autoregressive: output j depends on the inputs that come before j, exactly on no other.

    order: an integer array of the shape of one event, that says when each coordinate comes: a permutation of 0 … D − 1. net maps
    (n, *order.shape, *features) to (n, *order.shape, …). The Jacobian of such a net, with coordinates sorted by time, is strictly
    triangular with exact zeros; here each input is changed by much, which also shows what a derivative at one point does not.
    With `complete`, output j must depend on every input that comes before it: no blind spot.

    >>> check_causal(lambda x: np.concatenate([0 * x[:, :1], np.cumsum(x, axis=1)[:, :-1]], axis=1), np.arange(4), complete=True)
    """
    order = np.asarray(order)
    when = order.reshape(-1)
    if order.dtype.kind not in "iu" or not np.array_equal(np.sort(when), np.arange(when.size)):
        raise ValueError(f"order is {show(order)}; expected a permutation of the integers 0 … D − 1")
    depends = dependence(net, order.shape, features, seed, draws, ref)
    place = lambda i: tuple(int(v) for v in np.unravel_index(i, order.shape))

    def none(pairs, message, hint):
        j, i = np.argwhere(pairs)[0] if np.any(pairs) else (0, 0)
        at = f"output {place(j)}, time {when[j]}; input {place(i)}, time {when[i]}; such pairs: {int(np.sum(pairs))}"
        require(not np.any(pairs), message, inputs=at, equation="∂aⱼ/∂xᵢ ≠ 0 only if i comes before j", hint=hint, ref=ref)

    before, itself = when[None] < when[:, None], np.eye(when.size, dtype=bool)
    none(depends & itself, "no output depends on its own input", "the first layer must leave out the coordinate itself (mask A)")
    none(depends & ~before & ~itself, "no output depends on an input that comes after it", "a leak: another order, shift or padding")
    if complete:
        none(before & ~depends, "every output depends on all inputs that come before it", "a blind spot, or a reach too short")
