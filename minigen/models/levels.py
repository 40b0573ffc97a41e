"""What models of levels share. Levels are integers k in 0 … L − 1; an autoregressive model gives each one logits a (…, L).

    p(k = j) = softmax(a)ⱼ                                                                                (1)
    k = the number of j < L − 1 with F(j) ≤ u,   u ~ U[0, 1), F the distribution function                 (2)

Networks read a level as a thermometer. It tells that levels have an order; yet every function of k is linear in it, too:

    x_j = 1 where k ≥ j, else −1,   j = 0 … L − 1                                                         (3)
"""

import numpy as np

from minigen.backend import array_module, uniform
from minigen.checks import check_count
from minigen.functions import logsumexp, softmax
from minigen.tree import is_array


def check_levels(k, levels, event=None, name="k"):
    """Raise unless k holds integers 0 … levels − 1, in shape (n, *event), where event may be None for any of rank ≥ 1."""
    check_count("levels", levels)
    if not is_array(k) or k.dtype.kind not in "iu":
        raise TypeError(f"{name} is {getattr(k, 'dtype', type(k).__name__)}; expected integers 0 … {levels - 1}")
    if k.ndim < 2 or 0 in k.shape or (event is not None and tuple(k.shape[1:]) != tuple(event)):
        raise ValueError(f"{name} has shape {k.shape}; expected (n, {'…' if event is None else ', '.join(map(str, event))}) with n ≥ 1")
    low, high = int(np.min(k)), int(np.max(k))
    if low < 0 or high >= levels:
        raise ValueError(f"{name} has entries from {low} to {high}; expected 0 … levels − 1 = {levels - 1}")


def start(k, known, event):
    """(k with 0 where it is not known, known in the shape of k); known is booleans in the shape of k or of one event."""
    if not is_array(k):
        raise TypeError(f"k is {type(k).__name__}; expected an array")
    if not is_array(known) or known.dtype != bool or known.shape not in (k.shape, tuple(event)):
        what = f"{known.dtype} of shape {known.shape}" if is_array(known) else type(known).__name__
        raise ValueError(f"known is {what}; expected booleans of shape {k.shape} or {tuple(event)}")
    return np.where(known, k, 0), np.broadcast_to(known, k.shape)


def one_hot(k, levels, x):
    """[k = j] for j = 0 … levels − 1, (…, levels), in the library and dtype of x.

    >>> one_hot(np.array([2, 0]), 3, np.zeros(0))
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    return (k[..., None] == array_module(x).arange(levels)).astype(x.dtype)


def thermometer(k, levels, x):
    """1 where k ≥ j, else −1, for j = 0 … levels − 1: (…, levels), in the library and dtype of x.

    >>> thermometer(np.array([2, 0]), 3, np.zeros(0))
    array([[ 1.,  1.,  1.],
           [ 1., -1., -1.]])
    """
    return 2 * (k[..., None] >= array_module(x).arange(levels)).astype(x.dtype) - 1  # (3)


def log_softmax_at(logits, x):
    """log softmax(a)ₖ for logits (…, L) and the one-hot x (…, L) of k: (…) nats."""
    return np.sum(logits * x, axis=-1) - logsumexp(logits, axis=-1)  # (1)


def draw(logits, rng):
    """k ~ softmax(a) for logits (…, L): integers (…)."""
    below = np.cumsum(softmax(logits), axis=-1)[..., :-1]
    return np.sum(below <= uniform(rng, (*logits.shape[:-1], 1), logits), axis=-1)  # (2)
