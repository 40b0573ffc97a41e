"""What every pair of a linear map and its adjoint has to fulfil."""

import numpy as np


def adjoint_property(forward, adjoint, x_shape, y_shape):
    """Raise AssertionError unless `adjoint` is Aᵀ for the linear map A, `forward`, of arrays of x_shape to arrays of y_shape.

    ⟨A x, y⟩ = ⟨x, Aᵀ y⟩   for all x and y

    It has to accept every right pair, however that is written, and to reject wrong ones.
    """
    noise = np.random.default_rng(0)
    x, y = noise.standard_normal(x_shape), noise.standard_normal(y_shape)
    back = adjoint(y)
    assert np.shape(back) == x_shape, f"Aᵀ y has shape {np.shape(back)}; expected {x_shape}"
    left, right = np.sum(forward(x) * y), np.sum(x * back)
    assert np.isclose(left, right), f"⟨A x, y⟩ = {left}, and ⟨x, Aᵀ y⟩ = {right}"
