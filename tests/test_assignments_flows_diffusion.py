"""The checks of the assignment on flows and diffusion accept right answers that are written otherwise, and say what is wrong."""

import numpy as np
import pytest

from minigen.assignments import flows_diffusion
from minigen.assignments.checks.tiers import find, run_tier
from minigen.models.flow import Flow
from minigen.models.realnvp import BOUND


def density_layer_by_layer(self, x):
    h, total = self.to_line(x)
    for layer in self.layers:
        h, more = layer.forward(h)
        total = total + more
    return total - np.log(2 * np.pi) * h.shape[1] / 2 - (h**2).sum(1) / 2


def density_as_product(self, x):
    z, logdet = Flow.forward(self, x)
    return np.log(np.prod(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), axis=1) * np.exp(logdet))


def forward_masked_late(self, x):
    s, t = self.scale_and_shift(x * self.mask)
    return self.mask * x + (1 - self.mask) * (np.exp(s) * x + t), s.sum(-1)


def forward_from_the_network(self, x):
    h, t = np.split(self.network(self.mask * x), 2, axis=1)
    s = BOUND * np.tanh(h / BOUND)
    return np.where(self.mask == 1, x, x * np.exp(s) + t), np.where(self.mask == 1, 0, s).sum(axis=1)


def inverse_by_division(self, y):
    s, t = self.scale_and_shift(y * self.mask)
    return (y - t) / np.exp(s), (-s).sum(1)


def inverse_by_columns(self, y):
    s, t = self.scale_and_shift(self.mask * y)
    x = np.stack([y[:, j] if self.mask[j] else (y[:, j] - t[:, j]) * np.exp(-s[:, j]) for j in range(y.shape[1])], axis=1)
    return x, -np.log(np.prod(np.exp(s), axis=1))


def scales_step_by_step(betas):
    left = [1.0]
    for beta in betas:
        left.append(left[-1] * (1 - beta))
    return np.array(left) ** 0.5, (1 - np.array(left)) ** 0.5


def scales_by_logarithms(betas):
    total = np.concatenate([[0.0], np.cumsum(np.log1p(-betas))])
    return np.exp(total / 2), np.sqrt(-np.expm1(total))


def clean_by_cases(prediction, out, x_t, a, sigma):
    if prediction == "v":
        prediction, out = "eps", a * out + sigma * x_t
    return out if prediction == "x0" else x_t / a - out * sigma / a


def clean_by_numbers(prediction, out, x_t, a, sigma):
    by_x, by_out = {"eps": (1 / a, -sigma / a), "x0": (0, 1), "v": (a, -sigma)}[prediction]
    return by_x * x_t + by_out * out


def posterior_by_precisions(x_t, x0, a, sigma, t, s):
    if s == 0:
        return x0, 0.0
    r = a[t] / a[s]
    forward, before = 1 / (1 - r * r), 1 / sigma[s] ** 2
    variance = 1 / (r * r * forward + before)
    return variance * (r * forward * x_t + before * a[s] * x0), float(variance)


def posterior_by_regression(x_t, x0, a, sigma, t, s):
    covariance = a[t] / a[s] * sigma[s] ** 2
    gain = covariance / sigma[t] ** 2
    return a[s] * x0 + gain * (x_t - a[t] * x0), sigma[s] ** 2 - gain * covariance


def step_in_one(self, x_t, t, s, rng, sampler="ddpm", eta=0.0, y=None, guidance=0.0):
    x0, eps = self.denoise(x_t, t, y, guidance)
    a, sigma = self.scales()
    gain = a[t] / a[s] * sigma[s] ** 2 / sigma[t] ** 2
    variance = sigma[s] ** 2 - gain**2 * sigma[t] ** 2
    left = gain * sigma[t]
    if sampler == "ddim":
        variance = eta**2 * variance
        left = np.sqrt(sigma[s] ** 2 - variance)
    elif self.variance == "forward":
        variance = 1 - (a[t] / a[s]) ** 2
    return a[s] * x0 + left * eps + (np.sqrt(variance) * rng.standard_normal(x_t.shape) if s else 0)


def step_in_two(self, x_t, t, s, rng, sampler="ddpm", eta=0.0, y=None, guidance=0.0):
    x0, eps = self.denoise(x_t, t, y, guidance)
    noise = rng.normal(size=x_t.shape) if s > 0 else 0.0
    mean, variance = self.reverse(x_t, x0, t, s)
    if sampler == "ddim":
        a, sigma = self.scales()
        ratio = (1 - (a[t] / a[s]) ** 2) * sigma[s] ** 2 / sigma[t] ** 2
        mean, variance = a[s] * x0 + (sigma[s] ** 2 - eta**2 * ratio) ** 0.5 * eps, eta**2 * ratio
    return mean + variance**0.5 * noise


def line_from_noise(x, z, t):
    way = x - z
    return z + t.reshape(-1, 1) * way, way


def line_by_rows(x, z, t):
    return np.stack([x[i] * t[i] + z[i] * (1 - t[i]) for i in range(len(t))]), -(z - x)


ANSWERS = {
    "density": (density_layer_by_layer, density_as_product),
    "coupling_forward": (forward_masked_late, forward_from_the_network),
    "coupling_inverse": (inverse_by_division, inverse_by_columns),
    "signal_and_noise": (scales_step_by_step, scales_by_logarithms),
    "clean": (clean_by_cases, clean_by_numbers),
    "posterior": (posterior_by_precisions, posterior_by_regression),
    "step": (step_in_one, step_in_two),
    "line": (line_from_noise, line_by_rows),
}


@pytest.mark.parametrize("problem", flows_diffusion.PROBLEMS, ids=lambda p: p.name)
def test_right_answers_pass_however_they_are_written(problem):
    for answer in (find(problem.target), *ANSWERS[problem.name]):
        for tier, check in problem.checks.items():
            assert run_tier(f"{check.__module__}:{check.__name__}", answer) is None, (answer, tier)


def test_a_layer_that_sees_what_it_moves_is_told_so():
    def forward(self, x):
        s, t = self.scale_and_shift(x)
        return x * np.exp(s) + t, np.sum(s, axis=1)

    check = flows_diffusion.PROBLEMS[1].checks["property"]
    assert "s and t do not depend on what they move" in run_tier(f"{check.__module__}:{check.__name__}", forward)
