"""What is asked of the VAE's functions."""

import itertools

import numpy as np

from minigen.assignments.checks.common import accepts, numbers, rejects
from minigen.autograd import vjp
from minigen.testing import FAMILIES, check_gradients, check_kl_closed_form
from minigen.testing.failure import require

NORMAL, LAPLACE = FAMILIES["normal"], FAMILIES["laplace"]


def sums_over_last_axis(f, *arguments):
    """f of matrices (2, 3) is the sum of f of its columns, (2,)."""
    got = numbers(f, arguments, (2,))
    columns = [numbers(f, [a[:, j : j + 1] for a in arguments], (2,)) for j in range(3)]
    require(np.ptp(columns) > 1e-6, "it depends on its arguments", got=got)
    require(np.allclose(got, sum(columns)), "it sums over the last axis, and over no other", got=got, want=sum(columns))


MATRICES = np.array([[0.5, -1.0, 0.0], [2.0, 0.25, -0.5]]), np.array([[0.0, 0.5, -0.5], [-1.0, 0.25, 1.0]])


SMOOTH = MATRICES[0] + 0.3, MATRICES[1]  # where |·| has a slope


PRIOR_SCALE = 1.0  # of the normal prior
POWER = 1.0  # of the weights, whose mean is taken


def kl_cases(kl, scale=1.0):
    """KL is 0 for q = p, and a sum over coordinates."""
    zero = numbers(kl, (np.zeros((1, 4)), np.full((1, 4), np.log(scale))), (1,))
    replay = f"kl(zeros((1, 4)), full((1, 4), log({scale})))"
    require(abs(zero[0]) < 1e-12, "the KL of a distribution from itself is 0", got=zero[0], want=0.0, replay=replay)
    sums_over_last_axis(kl, *MATRICES)


def kl_normal_cases(kl):
    """The same, where p is the normal prior."""
    kl_cases(kl, PRIOR_SCALE)


def closed_form(kl, family, scale=1.0):
    """kl of one coordinate equals the defining integral."""
    scalar = lambda location, scale: numbers(kl, (np.array([[location]]), np.log(np.array([[scale]]))), (1,))[0]
    check_kl_closed_form(scalar, q=family, p=family.fixed(0.0, scale), cases=15)


def kl_normal_integral(kl):
    """The closed form is the integral for normals, and its gradient reaches the encoder."""
    closed_form(kl, NORMAL, PRIOR_SCALE)
    check_gradients(kl, SMOOTH[:2], order=1)


def kl_laplace_integral(kl):
    """The closed form is the integral for Laplaces, and its gradient reaches the encoder."""
    closed_form(kl, LAPLACE)
    check_gradients(kl, SMOOTH[:2], order=1)


def log_bernoulli_cases(log_prob):
    """Logit 0 is a fair coin; far logits stay finite."""
    fair = numbers(log_prob, (np.array([[0.0, 1.0]]), np.zeros((1, 2))), (1,))
    require(np.allclose(fair, -2 * np.log(2)), "under logits 0 each bit has log p = −log 2", got=fair[0], want=-2 * np.log(2))
    far = numbers(log_prob, (np.array([[0.0]]), np.array([[800.0]])), (1,))
    require(np.allclose(far, -800), "a logit of 800 gives log p(0) = −800, not an overflow", got=far[0], want=-800.0)


def log_bernoulli_enumeration(log_prob):
    """The probabilities of all vectors of three bits: of sum 1, and of mean σ(a)."""
    logits = np.array([0.5, -2.0, 1.0])
    bits = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    p = np.exp(numbers(log_prob, (bits, np.tile(logits, (8, 1))), (8,)))
    require(abs(p.sum() - 1) < 1e-9, "the probabilities of all x sum to 1", equation="Σₓ p(x) = 1", got=p.sum(), want=1.0)
    want = 1 / (1 + np.exp(-logits))
    require(np.allclose(p @ bits, want), "the mean of x is σ(logits)", equation="E[x] = σ(a)", got=p @ bits, want=want)
    check_gradients(lambda a: log_prob(bits[2:4], a), (SMOOTH[0],), order=1)


def log_gaussian_cases(log_prob):
    """A sum over coordinates."""
    sums_over_last_axis(log_prob, MATRICES[0], MATRICES[1], 0.5 * MATRICES[0])


def log_gaussian_moments(log_prob):
    """A density, whose mean and variance are m and τ²."""
    mean, std = 0.5, 0.25
    f = lambda x: numbers(log_prob, (x, np.full_like(x, mean), np.full_like(x, np.log(std))), x.shape[:1])
    x = np.linspace(mean - 12 * std, mean + 12 * std, 4001)
    p = np.exp(f(x[:, None])) * (x[1] - x[0])
    for name, got, want in (("∫ p", p.sum(), 1.0), ("E[x]", p @ x, mean), ("Var[x]", p @ (x - mean) ** 2, std**2)):
        require(
            abs(got - want) < 1e-8,
            f"{name} is right for N(0.5, 0.25²)",
            equation=f"{name} = {want}",
            got=got,
            want=want,
            oracle="quadrature",
        )
    check_gradients(lambda mean, log_std: log_prob(MATRICES[0], mean, log_std), SMOOTH[:2], order=1)


def model(method, prior="normal", dtype=np.float64):
    """A small VAE with the class of a method: its own, where a student wrote some for it."""
    from minigen.models.vae import VAE

    kind = getattr(method, "__globals__", {}).get("VAE", VAE)
    return kind.init(np.random.default_rng(0), (1,), 2, (3,), prior, dtype=dtype)


CODES = np.array([[0.5, -1.0, np.log(0.5), np.log(2.0)]])  # means 0.5 and −1, scales ½ and 2


def draw_code_cases(draw_code):
    """No noise gives the mean; a bit is 1 where u < π."""
    for prior in ("normal", "laplace"):
        zero = numbers(lambda h, eps, p=prior: draw_code(model(draw_code, p), h, eps), (CODES, np.zeros((1, 2))), (1, 2))
        require(np.allclose(zero, CODES[:, :2]), "noise 0 gives the mean", equation="z = μ + s ε", got=zero, want=CODES[:, :2])
    bits = numbers(lambda h, u: draw_code(model(draw_code, "bernoulli"), h, u), (np.array([[2.0, 2.0]]), np.array([[0.1, 0.95]])), (1, 2))
    require(np.array_equal(bits, [[1, 0]]), "for π = σ(2) = 0.88, u = 0.1 gives 1 and u = 0.95 gives 0", got=bits, want=np.array([[1, 0]]))


def draw_code_gradient(draw_code):
    """∂z/∂μ = 1, ∂z/∂ε = s and ∂z/∂(log s) = s ε: the gradient passes to the encoder."""
    eps = np.array([[0.5, -1.5]])
    for prior in ("normal", "laplace"):
        code = lambda h, eps, p=prior: draw_code(model(draw_code, p), h, eps)
        check_gradients(lambda h, code=code: code(h, eps), (CODES,), order=1)
        got = numbers(code, (CODES, eps), (1, 2))
        later = numbers(code, (CODES + np.array([[1.0, 1.0, 0, 0]]), eps), (1, 2))
        require(np.allclose(later - got, 1), "a mean larger by 1 makes the code larger by 1", got=later - got, want=np.ones((1, 2)))
        more, want = numbers(code, (CODES, eps + 1), (1, 2)) - got, np.array([[0.5, 2.0]])
        require(np.allclose(more, want), f"noise larger by 1 makes a {prior} code larger by s", equation="z = μ + s ε", got=more, want=want)


def draw_code_moments(draw_code):
    """10⁵ codes have the mean μ and the deviation s of q, at z-scores below 5.2 (a false alarm in 10⁶)."""
    n, rng = 100_000, np.random.default_rng(0)
    eps = rng.standard_normal((n, 2))
    z = numbers(lambda h, eps: draw_code(model(draw_code), h, eps), (np.tile(CODES, (n, 1)), eps), (n, 2))
    mean, std = CODES[0, :2], np.exp(CODES[0, 2:])
    for name, got, want, error in (("mean", z.mean(0), mean, std / n**0.5), ("deviation", z.std(0), std, std / (2 * n) ** 0.5)):
        require(bool(np.all(np.abs(got - want) < 5.2 * error)), f"codes have the {name} of q(z|x)", got=got, want=want)


def weighted(iwae, log_weights):
    """A VAE and noise whose weights are given. The decoder's log-scale is −log w, but for a constant.

    The second of five code coordinates has the mean 0.7, hence p(z)/q(z) = exp(½ 0.5² − ½ 1.2²) at its noise 0.5; of the others q is p.
    """
    vae, eps = model(iwae), np.stack([log_weights, 0.5 + 0 * log_weights, *[0 * log_weights] * 3], axis=-1)
    vae.latent, vae.encoder = 5, lambda x: np.tile([0.0, 0.7, *[0.0] * 8], (x.shape[0], 1))
    constant = -0.5 * np.log(2 * np.pi) + 0.5 * (0.5**2 - 1.2**2)
    vae.decoder = lambda z: np.stack([0 * z[..., 0], constant - z[..., 0]], axis=-1)
    vae.log_weights = lambda x, eps: log_weights
    return vae, eps


def bound(iwae, log_weights):
    """iwae of a model whose weights are given."""
    vae, eps = weighted(iwae, log_weights)
    return numbers(lambda x, eps: iwae(vae, x, eps), (np.zeros((3, 1)), eps), (3,))


def iwae_cases(iwae):
    """Equal weights are the bound; far ones, be it from each other, stay finite."""
    for value in (-1.5, -9000.0):
        got = bound(iwae, np.full((4, 3), value))
        require(np.allclose(got, value), f"where every log w is {value}, so is the bound", got=got[0], want=value)
    got, want = bound(iwae, FAR), np.array([0.0, -6000.0, -3000.0]) - np.log(2) / POWER
    require(
        np.allclose(got, want),
        "of two weights of which one is far smaller only the larger counts, for each datum",
        got=got,
        want=want,
    )


FAR = np.array([[0.0, -9000.0, -3000.0], [-5000.0, -6000.0, -9000.0]])  # log-weights of three data, two samples each


def iwae_definition(iwae):
    """exp of the bound is the mean weight; the bound lies between the mean and the largest log-weight."""
    log_w = np.log(np.array([[1.0, 0.5, 2.0], [3.0, 0.5, 4.0]]))
    got, want = np.exp(POWER * bound(iwae, log_w)), np.mean(np.exp(log_w) ** POWER, axis=0)
    message = f"exp of {POWER:.3g} times the bound is the mean of the {POWER:.3g}-th powers of K weights"
    message = "exp of the bound is the mean of K weights" if POWER == 1 else message
    require(np.allclose(got, want), message, equation="log (1/K) Σₖ wₖ" if POWER == 1 else "(1/t) log (1/K) Σₖ wₖᵗ", got=got, want=want)


def kl_property_accepts(prop):
    """It accepts `kl_normal`, and another that differs by rounding."""
    from minigen.models.vae import kl_normal

    accepts(prop, kl_normal)
    accepts(prop, lambda mean, log_std: kl_normal(mean, log_std) * (1 + 1e-12))


def kl_property_rejects(prop):
    """It rejects what is clearly wrong; a grader has more."""
    from minigen.models.vae import kl_normal

    spoiled = {"twice the KL": lambda a: 2 * a, "the KL and 1": lambda a: a + 1, "0": lambda a: 0 * a}
    rejects(prop, {name: (lambda mean, log_std, f=f: f(kl_normal(mean, log_std)),) for name, f in spoiled.items()})


def draw_probe(draw_code):
    """Codes, their gradient and bits, near and far from those that are usual."""
    eps, codes = np.array([[0.5, -1.5]]), model(draw_code)
    z, pull = vjp(lambda h: draw_code(codes, h, eps), CODES)
    logits, u = np.array([[-2.0, 2.0]] * 3), np.array([[0.05, 0.95], [0.3, 0.7], [0.6, 0.4]])
    return np.concatenate([z, pull(np.ones((1, 2))), draw_code(model(draw_code, "bernoulli"), logits, u)], axis=None)


def iwae_probe(iwae):
    """Bounds of near and of far weights."""
    return np.concatenate([bound(iwae, MATRICES[0]), iwae(weighted(iwae, FAR)[0], np.zeros((3, 1)), weighted(iwae, FAR)[1])])


A, B = MATRICES
PROBES = {
    "kl_normal": lambda f: f(A, B),
    "kl_laplace": lambda f: f(A, B),
    "log_bernoulli": lambda f: np.concatenate([f((A > 0) * 1.0, B), f((A > 0) * 1.0, 900 * B)]),
    "log_gaussian": lambda f: f(A, B, 0.5 * A),
    "draw_code": draw_probe,
    "iwae": iwae_probe,
}
