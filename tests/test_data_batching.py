"""Splits and minibatches: nothing lost, nothing twice, rows kept together, in any library."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigen.backend import array_module, to_device, to_host
from minigen.data import batches, split

Z = 4.9  # two-sided false-alarm rate 1e-6 of one z-score


@dataclass
class Pair:
    image: np.ndarray
    label: np.ndarray


def rng_of(seed=0):
    return np.random.default_rng(seed)


def examples(n):
    """x (n, 2) and y (n,) from which each example is known."""
    y = np.arange(n)
    return np.stack([10.0 * y, 10.0 * y + 1], axis=1), y


# ---- Split ----
@given(st.integers(2, 60), st.floats(0.02, 0.98), st.integers(0, 99))
def test_split_is_a_partition_that_keeps_rows_together(n, test, seed):
    x, y = examples(n)
    if not 0 < round(test * n) < n:
        with pytest.raises(ValueError, match="leaves some"):
            split(x, y, rng=rng_of(seed), test=test)
        return
    x_train, x_test, y_train, y_test = split(x, y, rng=rng_of(seed), test=test)
    assert len(y_test) == round(test * n)
    assert sorted([*y_train, *y_test]) == list(range(n))
    for a, b in ((x_train, y_train), (x_test, y_test)):
        assert np.array_equal(a, x[b])


def test_split_default_single_array_and_trees():
    train, test = split(np.arange(50), rng=rng_of())
    assert len(train) == 40 and len(test) == 10
    train, test = split(Pair(*examples(10)), rng=rng_of())
    assert isinstance(test, Pair) and len(test.label) == 2 and np.array_equal(test.image[:, 0], 10 * test.label)


@pytest.mark.parametrize("test", [0, 1, -0.2, 1.2, float("nan"), 0.01, 0.99])
def test_split_refuses_a_part_of_nothing(test):
    with pytest.raises(ValueError, match="test is"):
        split(np.arange(10), rng=rng_of(), test=test)


# ---- Batches ----
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 99))
def test_an_epoch_has_each_example_once_and_only_its_last_batch_is_smaller(n, size, seed):
    x, y = examples(n)
    epoch = list(batches((x, y), size, rng_of(seed)))
    assert [len(b[1]) for b in epoch] == [size] * (n // size) + [n % size] * (n % size > 0)
    assert sorted(np.concatenate([b[1] for b in epoch])) == list(range(n))
    assert all(np.array_equal(a, x[b]) for a, b in epoch)


def test_batches_keep_the_structure_and_types_of_the_data():
    data = {"pair": Pair(*examples(7)), "mask": np.arange(7) > 3}
    for batch in batches(data, 3, rng_of()):
        assert isinstance(batch["pair"], Pair) and batch["pair"].label.dtype == np.int64 and batch["mask"].dtype == bool
        assert np.array_equal(batch["mask"], batch["pair"].label > 3)


def test_an_epoch_is_a_function_of_its_generator_drawn_at_the_call():
    x = np.arange(100)
    assert all(np.array_equal(a, b) for a, b in zip(batches(x, 7, rng_of(3)), batches(x, 7, rng_of(3)), strict=True))
    rng = rng_of(3)
    late, later = batches(x, 7, rng), batches(x, 7, rng)
    second, first = np.concatenate(list(later)), np.concatenate(list(late))
    assert np.array_equal(first, np.concatenate(list(batches(x, 7, rng_of(3)))))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, x)


def test_every_order_is_equally_likely():
    rng, runs = rng_of(1), 6000
    counts = {}
    for _ in range(runs):
        order = tuple(np.concatenate(list(batches(np.arange(3), 2, rng))).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    z = (np.array(list(counts.values())) - runs / 6) / np.sqrt(runs * (1 / 6) * (5 / 6))
    assert np.abs(z).max() < Z + 0.4  # of six counts


# ---- Both ----
def test_parts_stay_in_their_library(device):
    x, y = (to_device(a, device) for a in examples(10))
    parts = [*split(x, y, rng=rng_of()), *(a for b in batches((x, y), 4, rng_of()) for a in b)]
    assert all(array_module(a) is array_module(x) for a in parts)
    host = [*split(*examples(10), rng=rng_of()), *(a for b in batches(examples(10), 4, rng_of()) for a in b)]
    assert all(np.array_equal(to_host(a), b) for a, b in zip(parts, host, strict=True))


def test_a_generator_of_the_device_serves_data_anywhere(device):
    rng = array_module(to_device(np.zeros(1), device)).random.default_rng(0)
    for x in (to_device(np.arange(10), device), np.arange(10)):
        epoch = list(batches(x, 4, rng))
        assert all(array_module(b) is array_module(x) for b in epoch)
        assert sorted(v for b in epoch for v in to_host(b).tolist()) == list(range(10))


@pytest.mark.parametrize("call", [lambda x, rng: split(x, rng=rng), lambda x, rng: batches(x, 2, rng)])
@pytest.mark.parametrize(
    ("x", "rng", "error", "what"),
    [
        ((np.zeros(3), np.zeros(4)), rng_of(), ValueError, r"lengths \[3, 4\]"),
        (np.zeros((0, 2)), rng_of(), ValueError, r"lengths \[0\]"),
        (np.array(1.0), rng_of(), ValueError, "lengths"),
        (None, rng_of(), ValueError, "lengths"),
        (np.zeros(3), 0, TypeError, "rng is 0; expected a random generator"),
        (np.zeros(3), np.random, TypeError, "rng is"),
    ],
)
def test_bad_arguments(call, x, rng, error, what):
    with pytest.raises(error, match=what):
        call(x, rng)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3"])
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="size is"):
        batches(np.zeros(3), size, rng_of())
