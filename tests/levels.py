"""What the tests of models of levels share."""

import numpy as np

from minigen import tree
from minigen.autograd import grad
from minigen.backend import to_device, to_host


def assert_same_there(model, k, device, loss=lambda model, k: model.loss(k)):
    """A float32 model gives for integers k on a device the densities and samples of the host, and gradients, in that library."""
    there, kt = to_device(model, device), to_device(k, device)
    found = there.log_prob(kt)
    assert type(found) is type(kt) and found.dtype == np.float32
    np.testing.assert_allclose(to_host(found), model.log_prob(k), rtol=1e-5)
    sample = there.sample(6, np.random.default_rng(3))
    assert type(sample) is type(kt) and sample.dtype == np.int64
    np.testing.assert_array_equal(to_host(sample), model.sample(6, np.random.default_rng(3)))
    g = grad(lambda m: np.mean(loss(m, kt)))(there)
    assert all(type(a) is type(kt) and a.dtype == np.float32 for a in tree.leaves(g))
