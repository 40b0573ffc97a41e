"""Flows and diffusion: the change of variables, coupling layers, noise by steps and back, the sampler, straight lines."""

from minigen.assignments.checks import diffusion, flows
from minigen.assignments.manifest import Assignment, Mistake, Problem

COUPLING, NOISING = "minigen.models.realnvp:Coupling.", "minigen.models.noising:"


def told_by(symbol, name, first, betas, of_betas, of_those):
    """Edits that give `signal_and_noise` other numbers than β, of which `betas` makes β, and which `of_betas` makes of β."""
    return (
        ("def signal_and_noise(betas):", f"def signal_and_noise({name}):"),
        ("each (T + 1,), from β (T,).", f"each (T + 1,), from {symbol} (T,)."),
        ("in signal_and_noise(np.array([0.36]))]", f"in signal_and_noise(np.array([{first}]))]"),
        ("    left = np.concatenate([np.ones_like(betas[:1])", f"    betas = {betas}\n    left = np.concatenate([np.ones_like(betas[:1])"),
        ("return signal_and_noise(to_host(self.betas))", f"return signal_and_noise({of_betas.format('to_host(self.betas)')})"),
        ("for s in signal_and_noise(self.betas))", f"for s in signal_and_noise({of_betas.format('self.betas')}))"),
        ("given = lambda betas: betas ", f"given = lambda betas: {of_those} "),
    )


def ends(equation, velocity, body, back, what, constants, said):
    """Edits that change the ends of lines. The model keeps its own: for it the change is undone."""
    lines = "    x_t = {},   so that dx_t/dt = {}"
    return (
        tuple(lines.format(*e).ljust(106) for e in (("(1 − t) z + t x", "x − z"), (equation, velocity))),
        ("and the velocity that carries the", f"(the model below has {what}),\nand the velocity that carries the"),
        ("    return (1 - t[:, None]) * z + t[:, None] * x", f"    {body}\n    return (1 - t[:, None]) * z + t[:, None] * x"),
        ("x_t, velocity = line(x, z, t)", f"x_t, velocity = line({back}, t)  # the model's own lines"),
        ("START, END = 1.0, 0.0", f"START, END = {constants}"),
        said,
    )


PROBLEMS = (
    Problem(
        "density",
        "minigen.models.flow:Flow.density",
        10,
        {"special cases": flows.density_cases, "property": flows.density_normalises},
        (
            Mistake("sign", "+ logdet", "- logdet", "where f stretches space there is more of x in a piece of z: log |det ∂f/∂x| is added"),
            Mistake("no volume", "+ logdet", "+ 0 * logdet", "the density of z is not that of x: the log-determinant is missing"),
            Mistake(
                "determinant", "+ logdet", "+ np.exp(logdet)", "the density is multiplied by |det|: to its logarithm log |det| is added"
            ),
            Mistake(
                "of x", "log_normal(z)", "log_normal(np.reshape(x, z.shape))", "the normal density is that of the code z = f(x), not of x"
            ),
        ),
        ("`forward` gives the code and the log-determinant of all layers.",),
        ("flow (1)",),
    ),
    Problem(
        "coupling_forward",
        COUPLING + "forward",
        15,
        {"special cases": flows.forward_cases, "property": flows.forward_jacobian},
        (
            Mistake("sign", "np.sum(s, axis=1)", "-np.sum(s, axis=1)", "this is the log-determinant of the inverse: its sign is turned"),
            Mistake(
                "scales", "np.sum(s, axis=1)", "np.sum(np.exp(s), axis=1)", "log Π eˢ is Σ s: this adds the scales, not their logarithms"
            ),
            Mistake("determinant", "np.sum(s, axis=1)", "np.exp(np.sum(s, axis=1))", "this is the determinant; asked is its logarithm"),
            Mistake("mean", "np.sum(s, axis=1)", "np.mean(s, axis=1)", "the log-determinant is the sum over coordinates, not their mean"),
            Mistake("unmasked", "self.mask * x", "x", "the networks may only see m x: else the Jacobian is not triangular"),
            Mistake("other half", "self.mask * x", "(1 - self.mask) * x", "the networks see what is moved, in place of what is kept"),
            Mistake(
                "shift first", "x * np.exp(s) + t", "(x + t) * np.exp(s)", "first multiply by eˢ, then add t: here t is multiplied, too"
            ),
        ),
        ("A triangular determinant is the product of the diagonal.", "`scale_and_shift` gives 0 where a coordinate is kept."),
        ("realnvp (1)",),
    ),
    Problem(
        "coupling_inverse",
        COUPLING + "inverse",
        10,
        {"special cases": flows.inverse_cases, "property": flows.inverse_undoes},
        (
            Mistake(
                "logdet of forward", "-np.sum(s", "np.sum(s", "this is the log-determinant of forward; that of the inverse is its negative"
            ),
            Mistake(
                "order", "(y - t) * np.exp(-s)", "y * np.exp(-s) - t", "what was done last is undone first: subtract t, then divide by eˢ"
            ),
            Mistake("scale", "np.exp(-s)", "np.exp(s)", "forward has multiplied by eˢ, so that this multiplies twice"),
            Mistake(
                "unmasked",
                "self.mask * y",
                "y",
                "forward has shown m x to the networks, which is m y: they give other s and t for all of y",
            ),
        ),
        ("m x = m y: the networks are never inverted.",),
        ("realnvp (2)", "flows_diffusion.2"),
    ),
    Problem(
        "signal_and_noise",
        NOISING + "signal_and_noise",
        10,
        {"special cases": diffusion.scale_cases, "property": diffusion.scale_steps},
        (
            Mistake("one step", "np.cumprod(1 - betas)", "1 - betas", "ᾱ_t is the product over all steps to t; this is that of one step"),
            Mistake(
                "added",
                "np.cumprod(1 - betas)",
                "1 - np.cumsum(betas)",
                "variances of steps do not add up: each step also shrinks what is there",
            ),
            Mistake("no root", "np.sqrt(left),", "left,", "this is ᾱ_t; the data is multiplied by its root"),
            Mistake("variance", "np.sqrt(1 - left)", "1 - left", "this is the variance of the noise; σ_t is its root"),
            Mistake("root inside", "np.sqrt(1 - left)", "1 - np.sqrt(left)", "σ_t² = 1 − a_t², so that σ_t is not 1 − a_t"),
            Mistake("exchanged", "np.sqrt(left), np.sqrt(1 - left)", "np.sqrt(1 - left), np.sqrt(left)", "a and σ are exchanged"),
        ),
        ("Insert x_{t−1} in (1): the two noises, independent, are one.",),
        ("noising (1), (2)",),
        variants=(
            told_by("√β, the deviations of the steps,", "deviations", 0.6, "deviations**2", "np.sqrt({})", "betas**0.5"),
            told_by("α = 1 − β, what steps leave of the variance,", "alphas", 0.64, "1 - alphas", "1 - {}", "1 - betas"),
        ),
    ),
    Problem(
        "clean",
        NOISING + "clean",
        10,
        {"special cases": diffusion.clean_cases, "property": diffusion.clean_definition},
        (
            Mistake(
                "not scaled",
                "(x_t - sigma * out) / a",
                "x_t - sigma * out",
                "what is left without the noise is a_t x₀, which is to be divided by a_t",
            ),
            Mistake("sign of v", "a * x_t - sigma * out", "a * x_t + sigma * out", "v = a ε − σ x₀: from a x_t, σ v is subtracted"),
            Mistake("exchanged", 'prediction == "eps"', 'prediction == "v"', "ε and v are exchanged"),
            Mistake("variance", "(x_t - sigma * out)", "(x_t - sigma**2 * out)", "the noise in x_t is σ ε; this takes away σ² ε"),
        ),
        ("Of v: write a x_t − σ v by x₀ and ε, with a² + σ² = 1.",),
        ("noising (2)",),
    ),
    Problem(
        "posterior",
        NOISING + "posterior",
        20,
        {"special cases": diffusion.posterior_cases, "property": diffusion.posterior_bayes},
        (
            Mistake("forward variance", ", beta * var_s / var_t", ", beta", "β is the variance without x₀ given: with it, it is smaller"),
            Mistake(
                "deviation",
                ", beta * var_s / var_t",
                ", (beta * var_s / var_t) ** 0.5",
                "this is the standard deviation; asked is the variance",
            ),
            Mistake(
                "last step",
                "between(a, t, s)",
                "between(a, t, t - 1)",
                "this β is that of the last step; between s and t there may be more of them",
            ),
            Mistake(
                "ratio", "(a_s * var_t)", "var_t", "from s to t the signal falls by a_t/a_s, not by a_t: x_s has lost some of it before"
            ),
            Mistake(
                "weights",
                "(a_s * beta / var_t) * x0 + (a_t * var_s / (a_s * var_t)) * x_t",
                "(a_s * beta / var_t) * x_t + (a_t * var_s / (a_s * var_t)) * x0",
                "the weights of x₀ and x_t are exchanged: near s = 0 it is x₀ that counts",
            ),
        ),
        ("Complete the square in x_s of log q(x_t|x_s) + log q(x_s|x₀).", "q(x_t|x_s) = N((a_t/a_s) x_s, β I)."),
        ("noising (5)", "flows_diffusion.4"),
    ),
    Problem(
        "step",
        "minigen.models.ddpm:DDPM.step",
        20,
        {"special cases": diffusion.step_cases, "property": diffusion.step_weights, "statistics": diffusion.step_moments},
        (
            Mistake("noisy end", "s == 0", "s < 0", "the last step adds noise, which nothing takes away any more"),
            Mistake("exchanged", 'sampler == "ddpm"', 'sampler != "ddpm"', "the two samplers are exchanged"),
            Mistake(
                "variance",
                "mean + math.sqrt(variance) *",
                "mean + variance *",
                "noise is multiplied by the standard deviation; this is the variance",
            ),
            Mistake(
                "one noise",
                "normal(rng, x_t.shape",
                "normal(rng, (1, *x_t.shape[1:])",
                "all chains get the same noise: they are not independent",
            ),
            Mistake("eta", "eta**2 *", "eta *", "η multiplies the deviation √β̃; the variance has η²"),
            Mistake("too much noise", " - variance)", ")", "new noise takes the place of old: its variance is missing under the root"),
            Mistake(
                "no direction",
                "- variance) * eps",
                "- variance) * 0 * eps",
                "x_s lacks the noise that is left in it: the part along ε̂ is missing",
            ),
            Mistake("no labels", "x_t, t, y, guidance)", "x_t, t)", "the labels are not told to the network: what is drawn ignores them"),
            Mistake("signal", "float(a[s]) * x0", "float(a[t]) * x0", "x_s holds a_s x̂₀, this has the signal of x_t"),
        ),
        ("`denoise` reads x̂₀ and ε̂; `reverse` has the mean and the variance of (2).", "For DDIM first β̃, from `posterior`."),
        ("ddpm (2), (6)", "flows_diffusion.5", "flows_diffusion.6"),
    ),
    Problem(
        "line",
        "minigen.models.flow_matching:line",
        5,
        {"special cases": flows.line_cases, "property": flows.line_velocity},
        (
            Mistake(
                "turned",
                "(1 - t[:, None]) * z + t[:, None] * x",
                "(1 - t[:, None]) * x + t[:, None] * z",
                "time runs from noise to data: t = 1 is the data",
            ),
            Mistake("backwards", ", x - z", ", z - x", "this velocity leads back to the noise: its sign is turned"),
            Mistake("target", ", x - z", ", x", "this is where the line ends; the velocity is end minus start"),
            Mistake(
                "curved",
                "(1 - t[:, None]) * z",
                "np.sqrt(1 - t[:, None] ** 2) * z",
                "this keeps the variance, as diffusion does, but on a curve, whose velocity changes",
            ),
        ),
        ("t (n,) has to be a column to meet (n, D).",),
        ("flow_matching (1)",),
        variants=(
            ends(
                "2 (1 − t) z + t x",
                "x − 2z",
                "z = 2 * z",
                "x, z / 2",
                "z/2 in place of z",
                "2.0, 0.0",
                ("there is the noise z", "there is twice the noise z"),
            ),
            ends(
                "(1 − t) z + t (x + z/4)",
                "x − ¾ z",
                "x = x + z / 4",
                "x - z / 4, z",
                "x − z/4 in place of x",
                "1.0, 0.25",
                ("there are the data x", "there are the data and noise, x + z/4"),
            ),
        ),
    ),
)

ASSIGNMENT = Assignment("flows_diffusion", "Flows and diffusion", PROBLEMS)
