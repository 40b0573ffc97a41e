"""Inpainting against Gaussian data, where every step of the chain is linear and p(unknown | known) is known.

Statistical tests have fixed seeds and allow 4.9 standard errors, a false-alarm rate of 1e-6.
"""

import itertools

import numpy as np
import pytest

from minigen.backend import to_device, to_host
from minigen.models.inpainting import inpaint
from minigen.models.noising import linear_betas, signal_and_noise
from tests.test_ddpm import CENTRE, SCALE, M, S, Z, gaussian, small

VALUE = 1.5  # of the first coordinate, which is known; the second is not


def moments(model, times, resample):
    """The exact mean and covariance of the x₀ that is drawn: what is known is replaced after each step."""
    a, sigma = signal_and_noise(model.betas)
    mean, cov = np.zeros(2), np.eye(2)
    for t, s in itertools.pairwise(times):
        left = (a[t] / a[s]) ** 2
        for again in range(resample if s else 1):
            if again:
                mean, cov = np.sqrt(left) * mean, left * cov + (1 - left) * np.eye(2)
            gain, b = model.network.linear(t)
            first, second = a[s] * (1 - left) / sigma[t] ** 2, a[t] / a[s] * sigma[s] ** 2 / sigma[t] ** 2
            step = first * gain + second * np.eye(2)
            mean, cov = step @ mean + first * b, step @ cov @ step.T + (1 - left) * (s > 0) * np.eye(2)
            mean, cov = np.array([a[s] * VALUE, mean[1]]), np.diag([sigma[s] ** 2, cov[1, 1]])
    return mean, cov


@pytest.mark.verifies("inpainting.1", "inpainting.2")
@pytest.mark.parametrize(("resample", "steps"), [(1, None), (4, 15)])
def test_what_is_drawn_has_the_moments_of_the_linear_chain_and_what_is_known_stays(resample, steps):
    model, n = gaussian(betas=linear_betas(30), variance="forward"), 10_000
    x = np.full((n, 2), [CENTRE[0] + SCALE[0] * VALUE, np.nan])  # what is not known is not looked at
    out = inpaint(model, x, np.array([True, False]), np.random.default_rng(0), resample, steps, progress=False)
    np.testing.assert_array_equal(out[:, 0], x[:, 0])
    mean, cov = moments(model, model.times(steps), resample)
    z = ((out[:, 1] - CENTRE[1]) / SCALE[1] - mean[1]) / np.sqrt(cov[1, 1])
    assert abs(z.mean()) < Z / n**0.5 and abs(z.var() - 1) < Z * (2 / n) ** 0.5


def test_repeated_steps_draw_the_unknown_given_the_known():
    model = gaussian(betas=linear_betas(200), variance="forward")
    want = M[1] + S[0, 1] / S[0, 0] * (VALUE - M[0]), S[1, 1] - S[0, 1] ** 2 / S[0, 0]
    found = {r: moments(model, model.times(None), r) for r in (1, 50)}
    missed = {r: max(abs(mean[1] - want[0]), abs(cov[1, 1] - want[1])) for r, (mean, cov) in found.items()}
    assert missed[50] < 0.01 and missed[1] > 0.1


def test_masks_may_differ_by_row_and_levels_stay():
    model, rng = small(levels=5), np.random.default_rng(0)
    x, known = rng.integers(0, 5, (40, 2)) / 4, rng.random((40, 2)) < 0.5
    out = inpaint(model, x, known, rng, y=rng.integers(0, 3, 40), guidance=1.0, progress=False)
    np.testing.assert_array_equal(out[known], x[known])
    assert np.all(np.abs(4 * out - np.rint(4 * out)) < 1e-12) and np.any(out[~known] != x[~known])


def test_bad_input_is_named():
    model, rng, x = small(), np.random.default_rng(0), np.zeros((4, 2))
    known = np.array([True, False])
    for error, words, arguments in (
        (ValueError, "known", (x, np.array([1, 0]), rng)),
        (ValueError, "known", (x, np.ones((3, 2), bool), rng)),
        (ValueError, "x has shape", (np.zeros((4, 3)), np.ones((4, 3), bool), rng)),
        (ValueError, "NaN", (np.full((4, 2), np.nan), known, rng)),
        (ValueError, "resample", (x, known, rng, 0)),
        (ValueError, "steps", (x, known, rng, 1, 31)),
        (ValueError, "y is", (x, known, rng, 1, None, np.zeros(3, int))),
        (ValueError, "guidance", (x, known, rng, 1, None, None, 1.0)),
        (TypeError, "rng", (x, known, 0)),
    ):
        with pytest.raises(error, match=words):
            inpaint(model, *arguments)


def test_same_on_every_device_in_float32(device):
    model = small(dtype=np.float32)
    x, known = np.ones((3, 2), np.float32), np.array([False, True])
    there, y, mask = to_device((model, x, known), device)
    out = inpaint(there, y, mask, np.random.default_rng(0), 2, progress=False)
    assert type(out) is type(y) and out.dtype == np.float32
    here = inpaint(model, x, known, np.random.default_rng(0), 2, progress=False)
    np.testing.assert_allclose(to_host(out), here, rtol=2e-4, atol=1e-5)
