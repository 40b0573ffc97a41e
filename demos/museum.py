# %% [markdown]
"""
# A museum of real bugs

Lines that popular teaching codes have wrong, each beside the right one, with the property that tells them apart and a number that says what
the bug does. Most let training run and losses fall: that is how they live so long. Every line below is run as it is shown; each wrong one
must be rejected, and each right one accepted, by a check of `minigen.testing` that anyone can point at their own code.
"""

# %%
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp, softmax
from scipy.stats import norm

from minigen.autograd import grad, stop_gradient
from minigen.plot import figure, save_figure
from minigen.testing import (
    FAMILIES,
    PropertyFailure,
    check_adjoint,
    check_bijection,
    check_bound,
    check_causal,
    check_density_normalises,
    check_divergence,
    check_em,
    check_gradients,
    check_kl_closed_form,
    check_sampler_matches,
    check_score,
    check_vjp,
)

STANDARD = FAMILIES["normal"].fixed(0.0, 1.0)
DATA = np.array([-2.0, -1.5, -1.8, 1.0, 1.2, 0.8, 1.1, 0.9])
NAMES = {
    "np": np, "norm": norm, "expit": expit, "logsumexp": logsumexp, "softmax": softmax, "stop_gradient": stop_gradient, "grad": grad,
}  # fmt: skip


@dataclass
class Exhibit:
    """A bug: the arguments of the line, the line as it is wrong and as it is right, the check, and what to print of either."""

    name: str
    arguments: str
    wrong: str
    right: str
    check: object  # of the function: raises PropertyFailure for the wrong one
    show: object  # of the function: a number
    what: str  # the number shows

    def function(self, line):
        """The line as a function of its arguments."""
        return eval(f"lambda {self.arguments}: {line}", NAMES)  # our own text, shown on the wall as it runs

    def rejected(self, line):
        """The failure of a line, or None where the check accepts it."""
        try:
            self.check(self.function(line))
        except PropertyFailure as failure:
            return failure
        return None


# %% [markdown]
# ## Divergences


# %%
def kl_prior(kl):
    """kl(mean, std) is KL(N(mean, std²) ‖ N(0, 1))."""
    check_kl_closed_form(kl, q="normal", p=STANDARD, cases=20)


def kl_laplace(kl):
    """kl(mean, scale) is KL(Laplace ‖ Laplace(0, 1))."""
    check_kl_closed_form(kl, q="laplace", p=FAMILIES["laplace"].fixed(0.0, 1.0), cases=20)


def kl_pair(kl):
    """kl(m1, s1, m2, s2) is KL(N(m1, s1²) ‖ N(m2, s2²))."""
    check_kl_closed_form(kl, q="normal", p="normal", cases=20)


def distance(d):
    """d(p, q) of probability vectors is a distance, triangle inequality included."""
    check_divergence(d, draw=lambda rng: np.array([t := rng.choice([0.01, 0.5, 0.99]), 1 - t]), symmetric=True, triangle=True)


def on_a_line(d):
    """d(x, y) of two sets of three numbers is a distance."""
    check_divergence(d, draw=lambda rng: np.sort(rng.normal(size=3)), symmetric=True, triangle=True)


JS = "0.5 * np.sum(p * np.log(2 * p / (p + q))) + 0.5 * np.sum(q * np.log(2 * q / (p + q)))"
DIVERGENCES = [
    Exhibit("KL without its half", "m, s", "s**2 + m**2 - 1 - np.log(s)", "0.5 * (s**2 + m**2 - 1) - np.log(s)", kl_prior,
            lambda f: f(1.0, 0.5), "KL(N(1, ½²) ‖ N(0, 1)), nats"),
    Exhibit("a deviation taken for a variance", "m, s", "0.5 * (s + m**2 - 1) - 0.5 * np.log(s)", "0.5 * (s**2 + m**2 - 1) - np.log(s)",
            kl_prior, lambda f: f(0.0, 0.1), "KL(N(0, 0.1²) ‖ N(0, 1)), nats"),
    Exhibit("KL with p and q exchanged", "m1, s1, m2, s2", "np.log(s1 / s2) + (s2**2 + (m2 - m1)**2) / (2 * s1**2) - 0.5",
            "np.log(s2 / s1) + (s1**2 + (m1 - m2)**2) / (2 * s2**2) - 0.5", kl_pair, lambda f: f(0, 1, 0, 3), "KL(N(0, 1) ‖ N(0, 9))"),
    Exhibit("the −1 forgotten", "m, s", "0.5 * (s**2 + m**2) - np.log(s)", "0.5 * (s**2 + m**2 - 1) - np.log(s)", kl_prior,
            lambda f: f(0.0, 1.0), "KL of the prior from itself"),
    Exhibit("Laplace KL with b in the wrong place", "m, b", "np.abs(m) + np.exp(-np.abs(m) / b) - 1 - np.log(b)",
            "np.abs(m) + b * np.exp(-np.abs(m) / b) - 1 - np.log(b)", kl_laplace, lambda f: f(0.0, 0.1), "KL of Laplace(0, 0.1)"),
    Exhibit("JSD called a distance", "p, q", JS, f"np.sqrt(np.maximum({JS}, 0))", distance,
            lambda f: f(np.array([0.98, 0.02]), np.array([0.02, 0.98])), "the long way round is shorter than this"),
    Exhibit("W₁ with squared distances", "x, y", "np.mean((np.sort(x) - np.sort(y))**2)", "np.mean(np.abs(np.sort(x) - np.sort(y)))",
            on_a_line, lambda f: f(np.zeros(3), np.full(3, 10.0)), "the cost of moving everything by 10"),
]  # fmt: skip

# %% [markdown]
# ## Densities and their units

# %%
BITS = np.array([[a, b, c] for a in (0.0, 1.0) for b in (0.0, 1.0) for c in (0.0, 1.0)])
LEVELS = np.arange(5) / 4
SQUARE = [(-np.inf, np.inf)] * 2
LINE = (-np.inf, np.inf)


def over(support):
    """A check that a log-density sums or integrates to one."""
    return lambda log_p: check_density_normalises(log_p, support)


DENSITIES = [
    Exhibit("one Gaussian constant for D numbers", "x", "-0.5 * np.sum(x**2, axis=-1) - 0.5 * np.log(2 * np.pi)",
            "-0.5 * np.sum(x**2 + np.log(2 * np.pi), axis=-1)", over(SQUARE),
            lambda f: f(np.zeros((1, 784)))[0], "log p of 784 zeros: it cancels in training, not in a table"),
    Exhibit("a squared error called a likelihood", "x", "-(x - 1)**2", "-0.5 * ((x - 1) / 0.3)**2 - np.log(0.3) - 0.5 * np.log(2 * np.pi)",
            over(LINE), lambda f: f(np.array([1.0]))[0], "log p at the mean"),
    Exhibit("mixture weights that do not sum to 1", "x", "logsumexp(np.array([0.0, 1.0]) + norm.logpdf(x[:, None], [0, 3]), axis=1)",
            "logsumexp(np.log([0.2689, 0.7311]) + norm.logpdf(x[:, None], [0, 3]), axis=1)",
            lambda log_p: check_density_normalises(log_p, LINE, tolerance=1e-4), lambda f: f(np.array([3.0]))[0], "log p at a mode"),
    Exhibit("a rounded logistic without its ends", "x", "np.log(expit((x + 0.125 - 0.9) / 0.1) - expit((x - 0.125 - 0.9) / 0.1))",
            "np.log(np.where(x > 0.9, 1, expit((x + 0.125 - 0.9) / 0.1)) - np.where(x < 0.1, 0, expit((x - 0.125 - 0.9) / 0.1)))",
            over(LEVELS), lambda f: float(np.sum(np.exp(f(LEVELS)))), "the sum of all probabilities"),
    Exhibit("a cross-entropy without its softplus", "x", "x @ np.array([0.5, -1.0, 2.0])",
            "x @ np.array([0.5, -1.0, 2.0]) - np.sum(np.log1p(np.exp([0.5, -1.0, 2.0])))", over(BITS),
            lambda f: float(np.sum(np.exp(f(BITS)))), "the sum of all probabilities"),
    Exhibit("log det added where it is to be subtracted", "x", "norm.logpdf(x / 3) + np.log(3)", "norm.logpdf(x / 3) - np.log(3)",
            over(LINE), lambda f: f(np.zeros(1))[0], "log p(0) of x = 3 z"),
]  # fmt: skip

# %% [markdown]
# ## Samplers


# %%
def uniform(sample):
    """Draws of U[0, 1]."""
    check_sampler_matches(sample, cdf=lambda x: np.clip(x, 0, 1), n=20_000)


def narrow_normal(sample):
    """Draws of N(1, 0.25²)."""
    check_sampler_matches(sample, cdf=norm(1.0, 0.25).cdf, n=20_000)


def three_kinds(sample):
    """Draws of 0, 1, 2 with probabilities 0.7, 0.2, 0.1."""
    check_sampler_matches(sample, log_prob=lambda k: np.log(np.array([0.7, 0.2, 0.1]))[k.astype(int)], support=np.arange(3.0), n=20_000)


def spread(f):
    """The standard deviation of draws."""
    return float(np.std(f(20_000, np.random.default_rng(0))))


SAMPLERS = [
    Exhibit("dequantisation over half of the cell", "n, rng", "(rng.integers(0, 4, n) + rng.random(n) / 2) / 4",
            "(rng.integers(0, 4, n) + rng.random(n)) / 4", uniform, lambda f: float(np.max(f(20_000, np.random.default_rng(0)))),
            "the largest value: gaps remain, in which a density may win bits"),
    Exhibit("interpolates at ε = 1", "n, rng", "1.0 * np.ones(n) + 0.0 * rng.random(n)",
            "(u := rng.random(n)) * np.ones(n) + (1 - u) * np.zeros(n)", uniform, spread, "spread between a fake at 0 and a real one at 1"),
    Exhibit("noise multiplied by the variance", "n, rng", "1.0 + 0.25**2 * rng.standard_normal(n)", "1.0 + 0.25 * rng.standard_normal(n)",
            narrow_normal, spread, "standard deviation; 0.25 was meant"),
    Exhibit("noise at the last step of diffusion", "n, rng", "(x := 1 + 0.25 * rng.standard_normal(n)) + 0.1 * rng.standard_normal(n)",
            "1 + 0.25 * rng.standard_normal(n)", narrow_normal, spread, "standard deviation of samples of N(1, 0.25²)"),
    Exhibit("uniform noise for Gumbel noise", "n, rng", "np.argmax(np.log([0.7, 0.2, 0.1]) + rng.random((n, 3)), axis=1)",
            "np.argmax(np.log([0.7, 0.2, 0.1]) + rng.gumbel(size=(n, 3)), axis=1)", three_kinds,
            lambda f: float(np.mean(f(20_000, np.random.default_rng(0)) == 0)), "share of the kind that has probability 0.7"),
    Exhibit("one noise for all samples", "n, rng", "np.full(n, 1.0 + 0.25 * rng.standard_normal())", "1.0 + 0.25 * rng.standard_normal(n)",
            narrow_normal, spread, "standard deviation"),
]  # fmt: skip

# %% [markdown]
# ## Derivatives and linear maps


# %%
def of_softmax(backward):
    """The pullback of softmax."""
    check_vjp(lambda x: softmax(x, axis=-1), backward, [lambda rng: rng.normal(size=(2, 3))])


def of_a_bias(backward):
    """The pullback of x + b by b, over a batch."""
    check_vjp(lambda b: np.ones((4, 3)) + b, backward, [lambda rng: rng.normal(size=3)])


def of_tanh(backward):
    """The pullback of tanh."""
    check_vjp(np.tanh, backward, [lambda rng: rng.normal(size=4)])


def codebook(loss):
    """The codebook's loss has a gradient by the codebook."""
    check_gradients(lambda e: loss(np.array([1.0, 2.0]), e), (np.array([0.3, -0.4]),), order=1)


def transposed(back):
    """back is the adjoint of the correlation with (1, 2, 4)."""
    check_adjoint(lambda x: np.correlate(x, [1.0, 2.0, 4.0], "valid"), back, (6,))


def normal_score(score):
    """The score of N(0, 2²)."""
    check_score(score, lambda x: norm.logpdf(x, scale=2), np.array([-3.0, -0.5, 1.0, 2.5]))


DERIVATIVES = [
    Exhibit("softmax, its diagonal alone", "g, x", "g * (y := softmax(x, axis=-1)) * (1 - y)",
            "(y := softmax(x, axis=-1)) * (g - np.sum(g * y, axis=-1, keepdims=True))", of_softmax,
            lambda f: float(np.sum(f(np.ones((1, 3)), np.zeros((1, 3))))), "derivative of the sum of probabilities, which is always 1"),
    Exhibit("a bias not summed over the batch", "g, b", "g[0]", "np.sum(g, axis=0)", of_a_bias,
            lambda f: float(f(np.ones((4, 3)), np.zeros(3))[0]), "gradient from 4 examples"),
    Exhibit("tanh by its input", "g, x", "g * (1 - x**2)", "g * (1 - np.tanh(x)**2)", of_tanh, lambda f: float(f(1.0, 3.0)), "slope at 3"),
    Exhibit("a codebook without a gradient", "z, e", "np.sum((z - stop_gradient(e))**2)", "np.sum((stop_gradient(z) - e)**2)", codebook,
            lambda f: float(np.abs(grad(lambda e: f(np.array([1.0, 2.0]), e))(np.zeros(2))).sum()), "size of the codebook's gradient"),
    Exhibit("a transposed convolution without the flip", "y", "np.convolve(y, [4.0, 2.0, 1.0])", "np.convolve(y, [1.0, 2.0, 4.0])",
            transposed, lambda f: float(f(np.array([1.0, 0, 0, 0]))[0]), "what the first output gives back to the first input, weight 1"),
    Exhibit("an energy's sign turned", "x", "x / 4", "-x / 4", normal_score, lambda f: float(f(np.array([2.0]))[0]),
            "the drift of a chain at 2, whose target is at 0"),
]  # fmt: skip

# %% [markdown]
# ## Bounds, EM, flows, orders


# %%


def below_truth(bound):
    """From weights of mean 1, bound(log w (K, n)) must be a lower bound of log 1 = 0."""
    draw = lambda rng: bound(0.8 * rng.standard_normal((5, 4)) - 0.32)
    check_bound(lower=draw, truth=np.zeros(4))


def mixing_step(m_step):
    """EM for the weight and the means of two unit Gaussians."""
    responsibility = lambda s: expit(np.log(s[0] / (1 - s[0])) + norm.logpdf(DATA, s[1]) - norm.logpdf(DATA, s[2]))
    loglik = lambda s: float(np.sum(np.log(s[0] * norm.pdf(DATA, s[1]) + (1 - s[0]) * norm.pdf(DATA, s[2]))))
    stationary = lambda s: np.array([np.mean(responsibility(s)) - s[0]])
    check_em(lambda s: m_step(s, responsibility(s), DATA), loglik, stationary, start=(0.5, -1.0, 1.0), steps=200)


def coupling(logdet):
    """y = x e^s(x₀) in the second coordinate, s = tanh."""
    s = lambda x: np.stack([0 * x[:, 0], np.tanh(x[:, 0])], axis=1)
    forward = lambda x: (x * np.exp(s(x)), logdet(s(x)))
    inverse = lambda y: (y * np.exp(-s(y)), -logdet(s(y)))
    check_bijection(forward, inverse, np.random.default_rng(0).normal(size=(5, 2)))


def raster(mask):
    """A linear layer whose weights are masked is autoregressive."""
    weights = np.random.default_rng(0).normal(size=(4, 4))
    check_causal(lambda x: x @ (weights * mask(4)), np.arange(4))


OTHERS = [
    Exhibit("the 1/K of an importance-weighted bound", "w", "logsumexp(w, axis=0)", "logsumexp(w, axis=0) - np.log(len(w))", below_truth,
            lambda f: float(np.mean([f(0.8 * r.standard_normal((5, 1)) - 0.32) for r in [np.random.default_rng(0)] for _ in range(999)])),
            "a lower bound of 0"),
    Exhibit("the divergence added to the evidence", "w", "np.mean(w, axis=0) + 2 * 0.32", "np.mean(w, axis=0)", below_truth,
            lambda f: float(np.mean([f(0.8 * r.standard_normal((5, 1)) - 0.32) for r in [np.random.default_rng(0)] for _ in range(999)])),
            "a lower bound of 0"),
    Exhibit("an M-step that never stores π", "s, r, x", "(s[0], np.sum(r * x) / np.sum(r), np.sum((1 - r) * x) / np.sum(1 - r))",
            "(np.mean(r), np.sum(r * x) / np.sum(r), np.sum((1 - r) * x) / np.sum(1 - r))", mixing_step,
            lambda f: float(f((0.5, -1, 1), expit(-5 * DATA), DATA)[0]), "weight of the component that holds 3 of 8 data"),
    Exhibit("a coupling's log-determinant turned", "s", "-np.sum(s, axis=-1)", "np.sum(s, axis=-1)", coupling,
            lambda f: float(f(np.array([[0.0, 1.0]]))[0]), "log-determinant where volumes grow by e"),
    Exhibit("a scale's logarithm taken twice", "s", "np.sum(np.log(np.abs(s) + 1e-12), axis=-1)", "np.sum(s, axis=-1)", coupling,
            lambda f: float(f(np.array([[0.0, 1.0]]))[0]), "log-determinant where volumes grow by e"),
    Exhibit("mask B in the first layer", "d", "np.triu(np.ones((d, d)))", "np.triu(np.ones((d, d)), 1)", raster,
            lambda f: float(np.trace(f(4))), "pixels that see themselves, of 4"),
    Exhibit("a mask transposed", "d", "np.tril(np.ones((d, d)), -1)", "np.triu(np.ones((d, d)), 1)", raster,
            lambda f: float(np.sum(np.tril(f(4)))), "connections to the future"),
]  # fmt: skip

EXHIBITS = [*DIVERGENCES, *DENSITIES, *SAMPLERS, *DERIVATIVES, *OTHERS]


# %%
def main(out="out"):
    """Show every exhibit, draw out/museum.png and return {name: (wrong number, right number)}."""
    found = {}
    for exhibit in EXHIBITS:
        failure = exhibit.rejected(exhibit.wrong)
        numbers = [float(exhibit.show(exhibit.function(line))) for line in (exhibit.wrong, exhibit.right)]
        found[exhibit.name] = numbers
        print(f"\n{exhibit.name}\n  wrong  {exhibit.wrong}\n  right  {exhibit.right}")
        print(f"  fails  {str(failure).splitlines()[0]}\n  shows  {exhibit.what}: {numbers[0]:.4g} instead of {numbers[1]:.4g}")
    fig = figure(15, 0.36 * len(EXHIBITS) + 0.6)
    ax = fig.subplots()
    ax.set_axis_off()
    cells = [[e.name, f"{found[e.name][0]:.3g}", f"{found[e.name][1]:.3g}", e.what] for e in EXHIBITS]
    columns = ["bug", "wrong", "right", "the number is"]
    drawn = ax.table(cells, colLabels=columns, colWidths=[0.33, 0.08, 0.08, 0.51], loc="center", cellLoc="left")
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1, 1.5)
    save_figure(fig, out, "museum")
    return found


if __name__ == "__main__":
    main()
