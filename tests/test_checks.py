"""What functions ask of their arguments."""

import numpy as np
import pytest

from minigen import checks, to_device

X = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: checks.check_rng(np.random), TypeError, "rng is .*; expected a random generator"),
        (lambda: checks.check_count("size", True), ValueError, "size is True; expected a whole number ≥ 1"),
        (lambda: checks.check_count("size", 0), ValueError, "size is 0"),
        (lambda: checks.check_count("size", 2.0), ValueError, "size is 2.0"),
        (lambda: checks.check_rank(4, 3, "n"), ValueError, "k is 4; expected an integer with 1 ≤ k ≤ n = 3"),
        (lambda: checks.check_rank(0, 3, "n"), ValueError, "k is 0"),
        (lambda: checks.check_choice("loss", "bad", ("a", "b")), ValueError, "loss is 'bad'; expected one of 'a', 'b'"),
        (lambda: checks.check_data(X.astype(int)), TypeError, "x is int64; expected a floating-point array"),
        (lambda: checks.check_data([[1.0]], name="z"), TypeError, "z is list"),
        (lambda: checks.check_data(X[0]), ValueError, r"x has shape \(2,\); expected \(n, D\)"),
        (lambda: checks.check_data(X[0], rank=None), ValueError, r"expected \(n, …\)"),
        (lambda: checks.check_data(X[:, :0]), ValueError, r"x has shape \(3, 0\)"),
        (lambda: checks.check_data(X, rank=4), ValueError, r"expected images \(n, H, W, C\)"),
        (lambda: checks.check_data(X[None, :, :0, None], rank=None), ValueError, r"expected \(n, …\)"),
        (lambda: checks.check_data(X, least=4), ValueError, "x has n = 3 rows; expected at least 4"),
        (lambda: checks.check_data(X * np.nan), ValueError, "x has NaN or infinite entries"),
        (lambda: checks.check_data(X + np.inf), ValueError, "x has NaN or infinite entries"),
        (lambda: checks.check_columns(X, 3, "z"), ValueError, r"z has shape \(3, 2\); expected \(n, 3\)"),
        (lambda: checks.check_labels(np.zeros(3), 3), ValueError, "y is float64 of shape .*; expected an integer array"),
        (lambda: checks.check_labels([0, 1], 2), ValueError, "y is list; expected an integer array"),
        (lambda: checks.check_labels(np.arange(3), 4), ValueError, r"integer array \(4,\): one label for each"),
        (lambda: checks.check_labels(np.zeros((3, 1), int), 3), ValueError, r"int64 of shape \(3, 1\)"),
        (lambda: checks.check_labels(np.arange(3), 3, 2), ValueError, "labels from 0 to 2; expected 0 … 2 − 1"),
        (lambda: checks.check_labels(np.array([0, -1]), 2, name="labels"), ValueError, "labels has labels from -1 to 0; expected 0 … C"),
    ],
)
def test_errors_name_the_argument_and_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_is_right_passes(device):
    x, y = to_device((X, np.array([2, 0, 1])), device)
    checks.check_rng(np.random.default_rng(0))
    checks.check_count("n", np.int64(1))
    checks.check_rank(3, 3, "n")
    checks.check_choice("loss", "a", ("a", "b"))
    checks.check_data(x, least=3)
    checks.check_data(x[:, :, None, None], rank=4)
    checks.check_data(x[:, :, None], rank=None)
    checks.check_columns(x, 2)
    assert checks.check_labels(y, 3) == checks.check_labels(y, 3, 3) == 3
    assert checks.check_labels(y[1:2], 1) == 1
