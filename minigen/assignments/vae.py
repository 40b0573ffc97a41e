"""The variational autoencoder: closed forms, the reparameterised sample and the importance-weighted bound."""

from minigen.assignments.checks import vae as checks
from minigen.assignments.manifest import Assignment, Mistake, Problem

HERE = "minigen.models.vae:"


def prior(variance, scale, squares, factor, sign):
    """Edits that give the normal prior the scale 2 or ½. The class keeps its own: KL(q(z/s) ‖ N(0, s²)) is KL(q(z) ‖ N(0, 1))."""
    return (
        ("and N(0, 1), a Laplace (μ, b)", f"and N(0, {variance}), a Laplace (μ, b)"),
        ("KL = Σ ½ (σ² + μ² − 1) − log σ            ", f"KL = Σ ½ ({squares} − 1) − log σ {sign.replace('-', '−')} log 2"),
        ('"""KL(N(μ, σ²) ‖ N(0, 1)) in nats."""', f'"""KL(N(μ, σ²) ‖ N(0, {variance})) in nats."""'),
        ("(np.exp(2 * log_std) + mean * mean - 1)", f"((np.exp(2 * log_std) + mean * mean) {factor} - 1)"),
        (" - 1) - log_std, axis=-1)  # (2)", f" - 1) - log_std {sign} LOG_2, axis=-1)  # (2)"),
        (
            'return (kl_normal if self.prior == "normal" else kl_laplace)(*self.halves(h))',
            "mean, width = self.halves(h)\n        if self.prior == 'normal':  # N(0, 1), and z/s has another scale\n"
            f"            return kl_normal(mean * {scale}, width {sign} LOG_2)\n        return kl_laplace(mean, width)",
        ),
        ("(n,): Σ KL(N(μ, σ²) ‖ N(0, 1))", f"(n,): Σ KL(N(μ, σ²) ‖ N(0, {variance}))"),
        ("    prior = 0.0\n", f"    prior = np.log({scale})\n"),
        ("PRIOR_SCALE = 1.0", f"PRIOR_SCALE = {scale}"),
    )


def renyi(weight, root):
    """Edits that make it a variational Rényi bound (Li & Turner 2016, "Rényi divergence variational inference")."""
    weights = "logsumexp(self.log_weights(x, eps){}, axis=0) - float(np.log(eps.shape[0]))"
    return (
        ("log p(x) ≥ E log (1/K) Σₖ wₖ,   wₖ", f"log p(x) ≥ E {root} log (1/K) Σₖ {weight},   wₖ"),
        ("The importance-weighted bound on log p(x) from eps", "The bound (10) on log p(x) from eps"),
        (f"return {weights.format('')}", f"bound = {weights.format(f' / {root}')}\n        return {root} * bound"),
        ("POWER = 1.0", f"POWER = 1 / {root}"),
    )


PROBLEMS = (
    Problem(
        "kl_normal",
        HERE + "kl_normal",
        15,
        {"special cases": checks.kl_normal_cases, "property": checks.kl_normal_integral},
        (
            Mistake("no half", "0.5 * (", "1.0 * (", "the factor ½ is missing before σ² + μ² − 1"),
            Mistake(
                "variance", "np.exp(2 * log_std)", "np.exp(log_std)", "the network gives log σ, so that σ² = exp(2 log σ), not exp(log σ)"
            ),
            Mistake("sign", "np.sum(0.5", "-np.sum(0.5", "the sign is turned: a KL is never negative"),
            Mistake(
                "mean", "axis=-1)", "axis=-1) / mean.shape[-1]", "this averages over coordinates; the KL of independent ones is their sum"
            ),
            Mistake("axis", "axis=-1", "axis=0", "the sum runs over the data; it should over the coordinates of one datum"),
            Mistake(
                "log variance",
                "return np.sum(",
                "log_std = log_std / 2\n    return np.sum(",
                "log_std is log σ, and is taken for log σ² throughout, as many published codes have it",
            ),
            Mistake("plus", " - log_std", " + log_std", "log σ is subtracted: a narrower q costs more, not less"),
        ),
        ("Write log q(z) − log p(z) and take its mean under q: only E z and E z² are needed.",),
        ("vae (1)",),
        variants=(prior("2²", "2.0", "(σ² + μ²)/4", "/ 4", "+"), prior("(½)²", "0.5", "4 (σ² + μ²)", "* 4", "-")),
    ),
    Problem(
        "kl_laplace",
        HERE + "kl_laplace",
        15,
        {"special cases": checks.kl_cases, "property": checks.kl_laplace_integral},
        (
            Mistake("swapped", "np.exp(-log_scale)", "np.exp(log_scale)", "the exponent is |μ|/b, this multiplies by b"),
            Mistake(
                "scale", "np.exp(log_scale - distance", "np.exp(-distance", "the exponential has the factor b: E|z| is |μ| + b exp(−|μ|/b)"
            ),
            Mistake("no constant", "- 1 - log_scale", "- log_scale", "the −1 is missing: the KL of the prior from itself must be 0"),
            Mistake("plus", " - log_scale, axis", " + log_scale, axis", "log b is subtracted: a narrower q costs more, not less"),
            Mistake("signed", "np.abs(mean)", "mean", "a Laplace density falls with the distance |z|: μ enters by its absolute value"),
        ),
        ("E_q|z| is an integral in two parts, to the left and to the right of 0.",),
        ("vae.1",),
    ),
    Problem(
        "log_bernoulli",
        HERE + "log_bernoulli",
        10,
        {"special cases": checks.log_bernoulli_cases, "property": checks.log_bernoulli_enumeration},
        (
            Mistake("no normaliser", "- softplus(logits)", "", "without the softplus these are not probabilities: they do not sum to 1"),
            Mistake("bits turned", "x * logits", "(1 - x) * logits", "0 and 1 are exchanged: the logit is that of x = 1"),
            Mistake(
                "probabilities",
                "softplus(logits)",
                "np.log1p(logits * logits)",
                "softplus(a) is log(1 + exp(a)): the exponential is missing",
            ),
            Mistake("sign", "np.sum(", "-np.sum(", "this is the loss −log p; asked is log p"),
            Mistake(
                "overflow", "softplus(logits)", "np.log(1 + np.exp(logits))", "exp of a large logit overflows: softplus is made for that"
            ),
            Mistake(
                "rounded",
                "x * logits - softplus(logits)",
                "x * np.log(sigmoid(logits)) + (1 - x) * np.log(1 - sigmoid(logits))",
                "σ of a far logit is rounded to 0 or 1, and its logarithm is lost: stay with logits",
            ),
        ),
        ("log σ(a) = a − softplus(a), log (1 − σ(a)) = −softplus(a): one expression for both bits.",),
    ),
    Problem(
        "log_gaussian",
        HERE + "log_gaussian",
        10,
        {"special cases": checks.log_gaussian_cases, "property": checks.log_gaussian_moments},
        (
            Mistake(
                "squared error",
                "+ log_std + 0.5 * LOG_2PI",
                "",
                "this is a squared error, not a log-density: log τ and ½ log 2π are missing",
            ),
            Mistake("no 2 pi", "+ 0.5 * LOG_2PI", "", "the constant ½ log 2π is missing: the density does not integrate to 1"),
            Mistake("half scale", "np.exp(-log_std)", "np.exp(-0.5 * log_std)", "the square is divided by τ, not by τ²"),
            Mistake(
                "log variance",
                "return -np.sum(",
                "log_std = log_std / 2\n    return -np.sum(",
                "log_std is log τ, and is taken for log τ² throughout, as many published codes have it",
            ),
            Mistake("twice 2 pi", "0.5 * LOG_2PI", "LOG_2PI", "the constant is ½ log 2π a coordinate: its ½ is missing"),
            Mistake("no half", "0.5 * ((x", "1.0 * ((x", "the factor ½ of the square is missing"),
        ),
        ("The density of one coordinate, its logarithm, then the sum over coordinates.",),
    ),
    Problem(
        "draw_code",
        HERE + "VAE.draw_code",
        20,
        {"special cases": checks.draw_code_cases, "property": checks.draw_code_gradient, "statistics": checks.draw_code_moments},
        (
            Mistake("log scale", "np.exp(log_scale)", "log_scale", "the network gives log s: the noise is multiplied by s = exp(log s)"),
            Mistake("variance", "np.exp(log_scale)", "np.exp(0.5 * log_scale)", "log s is taken for log s²"),
            Mistake("squared", "np.exp(log_scale)", "np.exp(2 * log_scale)", "the noise is multiplied by s, not by s²"),
            Mistake("no noise", " + np.exp(log_scale) * eps", "", "this is the mean of q(z|x), not a draw from it"),
            Mistake(
                "certain bits", "eps < sigmoid", "0.5 < sigmoid", "this is the likelier bit; a draw is 1 with probability π, where u < π"
            ),
            Mistake(
                "detached", "return mean + ", "return stop_gradient(mean) + ", "no gradient reaches the mean: it is behind stop_gradient"
            ),
            Mistake("bits turned", "eps < sigmoid", "eps > sigmoid", "u < π has probability π; u > π has 1 − π"),
        ),
        ("The noise does not depend on parameters: move it and stretch it.",),
        ("vae (5), (6)",),
    ),
    Problem(
        "iwae",
        HERE + "VAE.iwae",
        20,
        {"special cases": checks.iwae_cases, "property": checks.iwae_definition},
        (
            Mistake("sum", " - float(np.log(eps.shape[0]))", "", "log K is missing: this is the sum of the weights, not their mean"),
            Mistake(
                "elbo",
                "logsumexp(",
                "(lambda a, axis: np.mean(a, axis=axis) + float(np.log(a.shape[0])))(",
                "this is the mean of log-weights, the ELBO; asked is the log of the mean weight",
            ),
            Mistake(
                "overflow",
                "logsumexp(",
                "(lambda a, axis: np.log(np.sum(np.exp(a), axis=axis)))(",
                "this leaves the logarithm: far weights are 0 in floating point, and log 0 is −∞",
            ),
            Mistake("data", "np.log(eps.shape[0])", "np.log(eps.shape[1])", "this divides by the number of data, not by that of samples"),
        ),
        ("Do not leave the logarithm: weights of exp(−2000) are 0 in floating point.",),
        ("vae (10)", "vae.5"),
        variants=(renyi("wₖ^½", 2), renyi("wₖ^⅓", 3)),
    ),
    Problem(
        "kl_property",
        "minigen.assignments.properties.kl:kl_property",
        10,
        {"accepts": checks.kl_property_accepts, "rejects": checks.kl_property_rejects},
        (
            Mistake("bound", "np.allclose(got, want, atol=1e-6)", "np.all(got >= 0)", "wrong functions are often not negative, too"),
            Mistake(
                "prior only",
                "got = kl(mean, log_std)",
                "mean, log_std, want = 0 * mean, 0 * log_std + prior, 0.0\n    got = kl(mean, log_std)",
                "that the KL of the prior from itself is 0 says nothing of others",
            ),
            Mistake(
                "one coordinate",
                "got = kl(mean, log_std)",
                "got = kl(mean[:, :1], log_std[:, :1]) + kl(mean[:, 1:], log_std[:, 1:])",
                "with one coordinate at a time nobody sees whether they are summed",
            ),
        ),
        ("An integral over a line is a sum over a fine grid.", "Sum, sign, factor, axis: let a case show each."),
        ("vae.1",),
        subject="kl_normal",
    ),
)

ASSIGNMENT = Assignment("vae", "The variational autoencoder", PROBLEMS)
