"""What every divergence from a standard normal has to fulfil."""

import numpy as np


def kl_property(kl):
    """Raise AssertionError unless kl(mean, log_std), (n, D) each, is (n,): Σ KL(N(μ, σ²) ‖ N(0, 1)) over D coordinates.

    KL(q ‖ p) = ∫ q(z) (log q(z) − log p(z)) dz

    It has to accept every right kl, however that is written, and to reject wrong ones. So compare with this definition.
    """
    mean, log_std = np.array([[0.25, -2.0], [1.0, 0.0], [0.0, 0.0]]), np.array([[-0.5, 0.75], [0.25, -1.0], [0.0, 0.0]])
    prior = 0.0
    z = np.linspace(-30, 30, 20_001)
    log_normal = lambda m, log_s: -0.5 * ((z - m) * np.exp(-log_s)) ** 2 - log_s - 0.5 * np.log(2 * np.pi)
    log_q, log_p = log_normal(mean[..., None], log_std[..., None]), log_normal(0.0, prior)
    want = np.sum(np.exp(log_q) * (log_q - log_p), axis=-1).sum(axis=1) * (z[1] - z[0])
    got = kl(mean, log_std)
    assert np.shape(got) == (len(mean),), f"shape {np.shape(got)}"
    assert np.allclose(got, want, atol=1e-6), f"{got}, and the integral is {want}"
