"""Data sets as trees of arrays that share their first axis: a random split, and an epoch of minibatches.

Both draw one random order from `rng` and move nothing: the parts of a CuPy array are CuPy arrays.
"""

import numpy as np

from minigen.backend import array_module, to_host
from minigen.checks import check_count, check_rng
from minigen.train import length
from minigen.tree import map_nodes, named_arrays


def split(x, *more, rng, test=0.2):
    """x_train, x_test, y_train, y_test, …: arrays (or trees of arrays) of n examples, in two disjoint random parts.

    The test part has round(test · n) examples, and every argument is divided alike.

    >>> x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> x_train, x_test, y_train, y_test = split(x, y, rng=np.random.default_rng(0), test=0.4)
    >>> x_train.shape, x_test.shape, bool((x_test[:, 0] == 2 * y_test).all())
    ((3, 2), (2, 2), True)
    """
    order = shuffled((x, *more), rng)
    n_test = round(test * len(order)) if 0 < test < 1 else 0
    if not 0 < n_test < len(order):
        raise ValueError(f"test is {test}; expected a fraction that leaves some of the {len(order)} examples on either side")
    return tuple(take(part, rows) for part in (x, *more) for rows in (order[n_test:], order[:n_test]))


def batches(x, size, rng):
    """An iterator over one epoch: minibatches of `size` examples in random order, each example exactly once.

    x: an array or a tree of arrays, as (x, y); each batch is a tree like it. The last batch is smaller where size does not
    divide n. The order is drawn when the function is called, one draw an epoch: so an rng made from [seed, epoch] gives the
    batches of that epoch again, whatever came before.

    >>> [batch.tolist() for batch in batches(np.arange(5), 2, np.random.default_rng([0, 7]))]
    [[0, 3], [1, 2], [4]]
    """
    check_count("size", size)
    order = shuffled(x, rng)
    return (take(x, order[i : i + size]) for i in range(0, len(order), size))


def shuffled(tree, rng):
    """A random order of the examples of a tree, where its arrays live: every order is as likely as any other."""
    check_rng(rng)
    n, xp = length(tree), array_module(*named_arrays(tree).values())
    order = np.argsort(rng.random(n))  # CuPy's generators have no permutation
    return xp.asarray(to_host(order) if xp is np else order)


def take(tree, rows):
    """The tree of the examples at some rows."""
    return map_nodes(lambda a: a[rows], tree, static=True)
