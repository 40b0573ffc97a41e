"""What is asked of the functions of diffusion."""

import numpy as np

from minigen.assignments.checks.common import numbers
from minigen.assignments.checks.flows import NOISE, X0, flat, pair, same
from minigen.testing import check_diffusion_marginals
from minigen.testing.densities import threshold
from minigen.testing.failure import require

# ---- Noise ----
BETAS = np.array([0.36, 0.19, 0.5, 0.1, 0.75])


def by_steps(betas):
    """(a_t, variance of x_t given x₀) for t = 0 … T, one step after another."""
    a, variance = [1.0], [0.0]
    for beta in betas:
        a.append(a[-1] * (1 - beta) ** 0.5)
        variance.append((1 - beta) * variance[-1] + beta)
    return np.array(a), np.array(variance)


A, VARIANCE = by_steps(BETAS)
SIGMA = VARIANCE**0.5


given = lambda betas: betas  # by which numbers the schedule is told


def scale_cases(signal_and_noise):
    """Before any noise, and after one step."""
    a, sigma = pair(signal_and_noise, (given(np.array([0.36])),), (2,), (2,))
    same(np.array([a[0], sigma[0]]), [1.0, 0.0], "at t = 0 all of the data is left and no noise is there: a₀ = 1, σ₀ = 0")
    same(np.array([a[1], sigma[1]]), [0.8, 0.6], "one step with β = 0.36 leaves a₁ = √0.64, and adds noise σ₁ = √0.36")


def scale_steps(signal_and_noise):
    """The steps composed one by one."""
    a, sigma = pair(signal_and_noise, (given(BETAS),), (6,), (6,))
    check_diffusion_marginals(BETAS, lambda x0, t: (a[t] * x0, sigma[t]))


SAID = {"eps": lambda a, s: NOISE, "x0": lambda a, s: X0, "v": lambda a, s: a * NOISE - s * X0}  # by a network that knows


def clean_cases(clean):
    """Without noise x_t is x₀, whatever is said of noise."""
    for prediction in ("eps", "v"):
        got = numbers(lambda out, x_t, p=prediction: clean(p, out, x_t, 1.0, 0.0), (NOISE, X0), (3, 2))
        same(got, X0, f"where a = 1 and σ = 0, x_t is x₀, of a network that says {prediction}")
    got = numbers(lambda out, x_t: clean("x0", out, x_t, 0.8, 0.6), (NOISE, X0), (3, 2))
    same(got, NOISE, "a network that says x₀ has said it")


def clean_definition(clean):
    """x₀ of a network that says what is true, for a number t and for a t a row."""
    column = lambda v: v[1:4, None]
    for a, sigma in ((0.8, 0.6), (A[3], SIGMA[3]), (column(A), column(SIGMA))):
        for name, said in SAID.items():
            got = numbers(lambda out, x_t, n=name, a=a, s=sigma: clean(n, out, x_t, a, s), (said(a, sigma), a * X0 + sigma * NOISE), (3, 2))
            same(got, X0, f"a network that says the true {name} tells the x₀ of which x_t was made", equation="x_t = a_t x₀ + σ_t ε")


def bayes(x_t, x0, t, s):
    """(mean, variance) of q(x_s|x_t, x₀) of numbers, by Bayes' rule on a grid of x_s, 0 < s < t."""
    grid = np.linspace(A[s] * x0 - 12 * SIGMA[s], A[s] * x0 + 12 * SIGMA[s], 20001)
    ratio, between = by_steps(BETAS[s:t])
    log_p = -0.5 * (x_t - ratio[-1] * grid) ** 2 / between[-1] - 0.5 * (grid - A[s] * x0) ** 2 / VARIANCE[s]
    p = np.exp(log_p - log_p.max())
    mean = p @ grid / p.sum()
    return mean, p @ (grid - mean) ** 2 / p.sum()


def posterior_cases(posterior):
    """Going back to s = 0 gives x₀, which was given."""
    mean, variance = pair(lambda x_t, x0: posterior(x_t, x0, A, SIGMA, 2, 0), (X0 + 1, X0), (3, 2), ())
    same(mean, X0, "at s = 0 the mean is x₀")
    same(variance, 0.0, "at s = 0 nothing is left to chance")


def posterior_bayes(posterior):
    """Bayes' rule: for one step by the joint normal, for several by quadrature."""
    check_diffusion_marginals(BETAS, posterior=lambda x_t, x0, t: posterior(x_t, x0, A, SIGMA, t, t - 1))
    for t, s in ((2, 1), (3, 1), (5, 1), (5, 3)):
        mean, variance = pair(lambda x_t, x0, t=t, s=s: posterior(x_t, x0, A, SIGMA, t, s), (NOISE, X0), (3, 2), ())
        want = [bayes(x_t, x0, t, s) for x_t, x0 in zip(NOISE.ravel(), X0.ravel(), strict=True)]
        fields = {"inputs": f"t = {t}   s = {s}", "equation": "q(x_s|x_t, x₀) ∝ q(x_t|x_s) q(x_s|x₀)", "oracle": "Bayes' rule on a grid"}
        same(mean, np.reshape([m for m, _ in want], (3, 2)), "the mean is that of Bayes' rule, over several steps, too", **fields)
        same(variance, want[0][1], "the variance is that of Bayes' rule, over several steps, too", **fields)


# ---- The sampler ----
CLEAN = 0.5  # what the network below reads in everything
CHAINS = [("ddpm", 0.0, "posterior"), ("ddpm", 0.0, "forward"), *(("ddim", eta, "posterior") for eta in (0.0, 0.5, 1.0))]
TIMES = (3, 2), (5, 2), (4, 1)


def diffusion(variance):
    """A DDPM of one number, whose network says x̂₀ = CLEAN, or the label where there is one."""
    from minigen.models.ddpm import DDPM

    return DDPM(lambda x, time, y: 0 * x + (CLEAN if y is None else y[:, None]), BETAS, np.zeros(1), np.ones(1), (1,), "x0", variance)


def draws(step, x_t, t, s, sampler, eta, variance, *labels):
    """x_s of x_t (n,), by a generator of one seed."""
    f = lambda x_t: step(diffusion(variance), x_t, t, s, np.random.default_rng(0), sampler, eta, *labels)
    return numbers(f, (x_t[:, None],), (len(x_t), 1))[:, 0]


def parts(t, s, sampler, eta, variance):
    """(weight of the noise that is in x_t, deviation of the noise that is new) in x_s, for x̂₀ that is right.

    Of DDPM by the normal that x_s and x_t have jointly; DDIM leaves x_s with the variance that it has under q.
    """
    ratio, between = by_steps(BETAS[s:t])
    weight = ratio[-1] * VARIANCE[s] / VARIANCE[t]
    left = VARIANCE[s] - weight**2 * VARIANCE[t]
    if sampler == "ddpm":
        return weight * SIGMA[t], np.sqrt(left if variance == "posterior" else between[-1])
    return np.sqrt(VARIANCE[s] - eta**2 * left), eta * np.sqrt(left)


def told(t, s, sampler, eta, variance):
    """The settings, for a message."""
    setting = f"eta = {eta}" if sampler == "ddim" else f"variance = {variance!r}"
    return {"inputs": f"t = {t}   s = {s}   sampler = {sampler!r}   {setting}"}


def step_cases(step):
    """The last step says x̂₀; DDIM with η = 0 goes on with the noise that is there."""
    x_t = np.array([-1.0, 0.0, 2.0])
    for sampler, eta, variance in CHAINS:
        got = draws(step, x_t, 2, 0, sampler, eta, variance)
        same(got, CLEAN, "the step to s = 0 gives x̂₀, without noise", **told(2, 0, sampler, eta, variance))
        got = draws(step, x_t, 2, 0, sampler, eta, variance, np.array([0.0, 1.0, 2.0]), 0.5)
        same(got, [-0.25, 1.25, 2.75], "labels 0, 1, 2 and the guidance w = ½ reach the network: 1½ y − ½ · ½")
    noise = np.array([-1.0, 0.0, 2.0])
    got = draws(step, A[3] * CLEAN + SIGMA[3] * noise, 3, 1, "ddim", 0.0, "posterior")
    same(got, A[1] * CLEAN + SIGMA[1] * noise, "with η = 0 the noise in x_t is that in x_s", **told(3, 1, "ddim", 0.0, "posterior"))


def step_weights(step):
    """With the same draws, x_s changes with x_t as it should; without noise in x_t and x_s, it is a_s x̂₀."""
    for (t, s), chain in ((times, chain) for times in TIMES for chain in CHAINS):
        low, high = (draws(step, A[t] * CLEAN + SIGMA[t] * np.full(4, e), t, s, *chain) for e in (0.0, 1.0))
        kept, scatter = parts(t, s, *chain)
        same(high - low, kept, "of the noise in x_t the right part is left in x_s", **told(t, s, *chain))
        message = "each chain gets new noise of its own, but for η = 0, where there is none"
        require(bool(np.ptp(low) > 1e-6) == (scatter > 0), message, got=low, **told(t, s, *chain))


def step_moments(step):
    """10⁵ draws of x_s have the right mean and deviation: a false alarm in 10⁶ for them all."""
    n, limit = 100_000, threshold(2 * len(CHAINS) * len(TIMES))
    for (t, s), chain in ((times, chain) for times in TIMES for chain in CHAINS):
        kept, std = parts(t, s, *chain)
        x_s = draws(step, np.full(n, A[t] * CLEAN + SIGMA[t] * 1.5), t, s, *chain)
        for name, got, want, error in (
            ("mean", x_s.mean(), A[s] * CLEAN + 1.5 * kept, std / n**0.5), ("deviation", x_s.std(), std, std / (2 * n) ** 0.5),
        ):  # fmt: skip
            ok = abs(got - want) <= limit * error + 1e-9
            require(bool(ok), f"the {name} of x_s given x_t is right", got=float(got), want=float(want), **told(t, s, *chain))


def step_probe(step):
    """What each chain draws, with labels and at the last step, too."""
    x_t = np.array([-1.0, 0.5, 2.0])
    run = lambda t, s, chain, y=None: step(diffusion(chain[2]), x_t[:, None], t, s, np.random.default_rng(1), *chain[:2], y)
    return flat([*(run(t, s, c) for t, s in ((5, 2), (2, 0)) for c in CHAINS), run(3, 2, CHAINS[0], x_t)])


PROBES = {
    "signal_and_noise": lambda f: flat(f(BETAS)),
    "clean": lambda f: flat(f(name, NOISE, X0, 0.8, 0.6) for name in SAID),
    "posterior": lambda f: flat(v for t, s in ((3, 2), (5, 1)) for v in f(NOISE, X0, A, SIGMA, t, s)),
    "step": step_probe,
}
