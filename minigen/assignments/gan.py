"""Adversarial networks: the value of the game, its best critic, the generator's losses and the penalty on the critic's slope."""

from minigen.assignments.checks import gan as checks
from minigen.assignments.manifest import Assignment, Mistake, Problem

HERE = "minigen.models.gan:"


def unequal(batch, factor, shift, ratio):
    """Edits for a critic of batches in which data and samples are not equally many."""
    return (
        (
            '"""f*, the logits of the best critic, from the log-densities of data and of samples at the same points."""',
            f'"""The logits of the best critic of batches with {batch}, from the log-densities of both at the same points.\n\n'
            f"    Its value is {factor}E_p[log D(x)] + E_q[log(1 − D(x))], where (2) is for equally many.\n"
            '    """',
        ),
        ("    return log_p - log_q  # (2)", f"    log_q = log_q {shift}\n    return log_p - log_q"),
        ("DATA_PER_SAMPLE = 1.0", f"DATA_PER_SAMPLE = {ratio}"),
    )


PROBLEMS = (
    Problem(
        "value",
        HERE + "value",
        15,
        {"special cases": checks.value_cases, "property": checks.value_definition},
        (
            Mistake(
                "sign of real",
                "-np.mean(softplus(-real))",
                "-np.mean(softplus(real))",
                "log D(x) = −softplus(−f): this is log(1 − D) of the data",
            ),
            Mistake(
                "loss",
                "-np.mean(softplus(-real)) - np.mean(softplus(fake))",
                "np.mean(softplus(-real)) + np.mean(softplus(fake))",
                "this is the critic's loss −V; asked is V, at most 0",
            ),
            Mistake(
                "sum", "np.mean(softplus(fake))", "np.sum(softplus(fake))", "expectations are means: the number of samples must not matter"
            ),
        ),
        ("Write log σ(f) and log(1 − σ(f)) by softplus.",),
    ),
    Problem(
        "optimal_logits",
        HERE + "optimal_logits",
        10,
        {"special cases": checks.optimal_logits_cases, "property": checks.optimal_logits_definition},
        (
            Mistake("turned", "log_p - log_q", "log_q - log_p", "this takes samples for real: D* is near 1 where p is larger than q"),
            Mistake("probability", "log_p - log_q", "sigmoid(log_p - log_q)", "this is D*; asked is the logit f*, of which D* = σ(f*)"),
            Mistake("ratio", "return log_p - log_q", "return np.exp(log_p - log_q)", "this is p/q; asked is its logarithm"),
            Mistake("log D", "log_p - log_q", "-softplus(log_q - log_p)", "this is log D*; asked is the logit f*, log D* − log(1 − D*)"),
            Mistake("densities", "log_p - log_q", "np.exp(log_p) - np.exp(log_q)", "the logit is a log-ratio, no difference of densities"),
        ),
        ("For each x maximise the value's two terms there by D.", "f = log D − log(1 − D)."),
        ("gan.1",),
        variants=(
            unequal("three data for each sample", "3 ", "- math.log(3)", "3.0"),
            unequal("four samples for each datum", "¼ ", "+ LOG_4", "0.25"),
        ),
    ),
    Problem(
        "optimal_value",
        HERE + "optimal_value",
        20,
        {"special cases": checks.optimal_value_cases, "property": checks.optimal_value_definition},
        (
            Mistake("no half in m", " - math.log(2)", "", "m = ½ (p + q) is a density: the ½ is missing"),
            Mistake("no constant", " - LOG_4", "", "V(f*, q) = 2 JSD − log 4: the constant is missing"),
            Mistake("one side", "kl(log_p) + kl(log_q)", "2 * kl(log_p)", "the Jensen–Shannon divergence has KL(p‖m) and KL(q‖m)"),
            Mistake("no cell", ") * cell", ")", "a sum over a grid is an integral only with the volume of its cells"),
        ),
        ("Insert D* = p / (p + q) into V.", "p + q = 2m."),
        ("gan.1", "gan.2"),
    ),
    Problem(
        "generator_loss",
        HERE + "generator_loss",
        15,
        {"special cases": checks.generator_cases, "property": checks.generator_definition},
        (
            Mistake("exchanged", 'loss == "minimax"', 'loss != "minimax"', "the two losses are exchanged"),
            Mistake("sign", "return -softplus(logits)", "return softplus(logits)", "minimax minimises +log(1 − D) = −softplus(f)"),
            Mistake(
                "fake label",
                "return softplus(-logits)",
                "return softplus(logits)",
                "this is the critic's loss of a fake: the generator wants D = 1",
            ),
        ),
        ("−log σ(f) = softplus(−f).",),
    ),
    Problem(
        "logit_gradient",
        HERE + "logit_gradient",
        15,
        {"special cases": checks.gradient_cases, "property": checks.gradient_definition},
        (
            Mistake(
                "sign",
                "return -sigmoid(-logits)",
                "return sigmoid(-logits)",
                "both losses fall where the logit rises: the slope is negative",
            ),
            Mistake("exchanged", 'loss == "minimax"', 'loss != "minimax"', "the slopes of the two losses are exchanged"),
            Mistake(
                "other logit",
                "return -sigmoid(-logits)",
                "return -sigmoid(logits)",
                "the slope of softplus(−f) is −σ(−f): the sign inside is lost",
            ),
        ),
        ("The derivative of softplus is σ.",),
        ("gan.4",),
    ),
    Problem(
        "critic_loss",
        HERE + "critic_loss",
        25,
        {"special cases": checks.critic_cases, "property": checks.critic_penalty},
        (
            Mistake("no half", "(0.5 * penalty)", "penalty", "the penalty is ½ γ ‖∇f‖²: the factor ½ is missing"),
            Mistake(
                "norm", "np.sum(slope * slope, axis=1)", "np.sum(slope * slope, axis=1) ** 0.5", "this is the norm; asked is its square"
            ),
            Mistake(
                "fakes for data", "labels), real)", "labels), fake)", "fakes stand where the data should, in their loss and in the slope"
            ),
            Mistake(
                "one slope",
                "pull(np.ones_like(logits))",
                "pull(np.ones_like(logits))[0] * np.ones_like(real)",
                "this is the slope at the first datum: what pulls back gives an array like x, no tuple",
            ),
            Mistake(
                "fakes' slope",
                "real)\n    slope",
                "fake)\n    logits = critic(real, *labels)\n    slope",
                "the slope is taken at the fakes; data are to be penalised",
            ),
            Mistake(
                "mean slope",
                "np.sum(slope * slope, axis=1)",
                "np.mean(slope * slope, axis=1)",
                "‖∇f‖² is a sum over the coordinates of a datum; with a mean γ depends on their number",
            ),
        ),
        ("`vjp` gives the logits and a function that pulls back a vector of ones.",),
        ("gan.1",),
    ),
)

ASSIGNMENT = Assignment("gan", "Adversarial networks", PROBLEMS)
