"""Metrics: likelihoods in bits, the Inception score, KID, the Fréchet distance, precision, recall, density and coverage."""

from minigen.assignments.checks import metrics as checks
from minigen.assignments.manifest import Assignment, Mistake, Problem

HERE = "minigen.metrics."


def renyi(power, order, doctest):
    """Edits that make the bound a variational Rényi bound, `order` log E w^(1/order)."""
    return (
        ("log (1/K) Σₖ wₖ ≤ log p(x) in expectation,", f"{order} log (1/K) Σₖ {power} ≤ log p(x) in expectation,"),
        ("with fewer weights                (6)", "with fewer weights            (6)"),
        (
            '(6) is Burda, Grosse & Salakhutdinov 2016, "Importance weighted autoencoders", §3.',
            '(6) is Li & Turner 2016, "Rényi divergence variational inference".',
        ),
        ("log (1/K) Σₖ wₖ from K log-weights", f"{order} log (1/K) Σₖ {power} from K log-weights"),
        (".round(4)  # log 2\n    array([0.6931])", f".round(4)\n    array([{doctest}])"),
        (
            "return logsumexp(log_weights, axis=axis) - math.log(log_weights.shape[axis])",
            f"log_weights = log_weights / {order}\n"
            f"    return {order} * (logsumexp(log_weights, axis=axis) - math.log(log_weights.shape[axis]))",
        ),
        ("POWER = 1.0", f"POWER = 1 / {order}"),
        ("the bound is the mean weight along", f"the bound is (mean {power})^{order} along"),
    )


def times(factor, inverse, unit):
    """Edits that multiply KID by a factor, which is `unit` for 5 samples."""
    return (
        ("The unbiased MMD² of the cubic kernel between x and y", f"{factor} · the unbiased MMD² of the cubic kernel between x and y"),
        ("return float(within / (n * (n - 1))", f"return {factor} * float(within / (n * (n - 1))"),
        ("values = [subset_mmd2(", f"values = [{inverse} * subset_mmd2("),
        ("UNIT = 1.0", f"UNIT = {unit}"),
        ('equation="mean k(x, x′)', f'equation="{factor} · θ, θ = mean k(x, x′)'),
    )


PROBLEMS = (
    Problem(
        "bits_per_dim",
        HERE + "likelihood:bits_per_dim",
        10,
        {"special cases": checks.bits_cases, "property": checks.bits_definition},
        (
            Mistake("nats", " / math.log(2)", "", "this is in nats; a bit is log 2 nats"),
            Mistake("sum", " / dims", "", "the NLL is of all dimensions together: divide by their number"),
            Mistake(
                "sign of the cell",
                "- math.log(cell)",
                "+ math.log(cell)",
                "a smaller cell has less probability, hence more bits: −log cell",
            ),
            Mistake("no cell", " - math.log(cell)", "", "a density is no probability: it is to be multiplied by the size of the cell"),
        ),
        ("P(cell) = p · cellᴰ: take its logarithm.",),
    ),
    Problem(
        "iwae_bound",
        HERE + "likelihood:iwae_bound",
        10,
        {"special cases": checks.iwae_cases, "property": checks.iwae_definition},
        (
            Mistake(
                "sum", " - math.log(log_weights.shape[axis])", "", "log K is missing: this is the logarithm of the sum, not of the mean"
            ),
            Mistake("axis", "shape[axis]", "shape[0]", "K is the length of the axis that is given, not always of the first"),
            Mistake(
                "elbo",
                "logsumexp(log_weights, axis=axis) - math.log(log_weights.shape[axis])",
                "np.mean(log_weights, axis=axis)",
                "this is the mean of log-weights, the ELBO; asked is the logarithm of the mean weight",
            ),
        ),
        ("Do not leave the logarithm: weights of exp(−2000) are 0 in floating point.",),
        variants=(renyi("wₖ^½", 2, "0.6238"), renyi("wₖ^¼", 4, "0.5869")),
    ),
    Problem(
        "inception_score",
        HERE + "inception:score",
        15,
        {"special cases": checks.inception_cases, "property": checks.inception_definition},
        (
            Mistake("no exp", "float(np.exp(", "float((", "the score is the exponential of the mean KL"),
            Mistake("turned", "probs * np.log(ratio)", "-probs * np.log(ratio)", "the sign of the KL is turned: the score is at least 1"),
            Mistake("wrong mean", "axis=0", "axis=1, keepdims=True", "p(y) is the mean over samples, not over classes"),
            Mistake("per class", "probs.shape[0]", "probs.size", "the KL is a sum over classes, and a mean over samples only"),
        ),
        ("A class of probability 0 adds nothing: 0 log 0 = 0.",),
    ),
    Problem(
        "kid",
        HERE + "mmd:subset_mmd2",
        20,
        {"special cases": checks.kid_cases, "property": checks.kid_definition},
        (
            Mistake("biased", "(n * (n - 1))", "n**2", "without i = j there are n (n − 1) pairs within a set, not n²"),
            Mistake("diagonal", " - sum_all(np.diagonal(k))", "", "the pairs i = j are to be left out of the unbiased estimate"),
            Mistake("once", "- 2 * sum_all", "- sum_all", "the pairs between sets count twice, as in (a − b)² = a² + b² − 2ab"),
            Mistake(
                "one set",
                "(cubic_kernel(x, x), cubic_kernel(y, y))",
                "(cubic_kernel(x, x), cubic_kernel(x, x))",
                "the second set's own pairs are missing",
            ),
        ),
        ("E k(x, x′) is over two independent samples: x′ is not x.",),
        copies=("mmd2", "kernel_distance", "cubic_mmd2_of_moments"),
        variants=(times("1000", "0.001", 1000), times("n", "1 / size", 5)),
    ),
    Problem(
        "frechet_distance",
        HERE + "frechet:distance",
        20,
        {"special cases": checks.frechet_cases, "property": checks.frechet_definition},
        (
            Mistake(
                "not squared",
                "np.sum((mean1 - mean2) ** 2)",
                "np.sum((mean1 - mean2) ** 2) ** 0.5",
                "d² has the squared distance of the means",
            ),
            Mistake("once", "2 * root", "root", "the trace of the root of Σ₁Σ₂ counts twice"),
            Mistake("one trace", " + np.sum(f2 * f2)", "", "tr Σ₂ is missing"),
            Mistake("frobenius", "2 * root", "2 * np.sum((f1 @ f2.T) ** 2) ** 0.5", "singular values are to be added, not their squares"),
        ),
        ("tr Σ = Σ Fᵢⱼ² for FᵀF = Σ.", "`nuclear_norm` adds singular values."),
        copies=("distance_of_covariances",),
    ),
    Problem(
        "manifold_scores",
        HERE + "manifold:manifold_scores",
        15,
        {"special cases": checks.manifold_cases, "property": checks.manifold_definition},
        (
            Mistake(
                "exchanged",
                "float(np.mean(around_fake > 0)), float(np.mean(recalled))",
                "float(np.mean(recalled)), float(np.mean(around_fake > 0))",
                "precision and recall are exchanged: precision is a share of the fakes",
            ),
            Mistake(
                "no k",
                ") / k",
                ")",
                "density counts in units of k: its expectation is 1 for equal sets",
            ),
            Mistake(
                "own balls",
                "real_radii, fake_radii, ties)",
                "fake_radii[0] + 0 * real_radii, fake_radii, ties)",
                "each real has a radius of its own, to its k-th neighbour among the reals",
            ),
        ),
        ("`squared_radii` and `neighbourhoods` do the counting.",),
        copies=("density_coverage", "precision_recall"),
    ),
    Problem(
        "density_coverage",
        HERE + "manifold:density_coverage",
        10,
        {"special cases": checks.density_coverage_cases, "property": checks.density_coverage_definition},
        (
            Mistake("no k", ") / k", ")", "density counts in units of k: its expectation is 1 for equal sets"),
            Mistake(
                "exchanged",
                "return DensityCoverage(",
                "return (lambda density, coverage: DensityCoverage(coverage, density))(",
                "density and coverage are exchanged",
            ),
            Mistake(
                "precision",
                "return DensityCoverage(",
                "around_fake, k = around_fake > 0, 1\n    return DensityCoverage(",
                "this is precision; density counts every ball",
            ),
        ),
        ("Coverage is a share of the reals, density a mean over fakes.",),
        ("metrics.6",),
        copies=("manifold_scores", "precision_recall"),
    ),
)

ASSIGNMENT = Assignment("metrics", "Metrics of samples", PROBLEMS)
