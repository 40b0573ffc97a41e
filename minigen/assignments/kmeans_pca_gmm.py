"""k-means, principal components and Gaussian mixtures: the algebra that their algorithms stand on."""

from minigen.assignments.checks import kmeans_pca_gmm as checks
from minigen.assignments.manifest import Assignment, Mistake, Problem

HERE = "minigen.models."


def unit(name, base):
    """Edits that measure information in units of log `base` nats."""
    return (
        ("I(y; s) in nats, where y = w", f"I(y; s) in {name}, where y = w"),
        ("float(np.exp(2 * mutual_information(", f"float(np.power({base}.0, 2 * mutual_information("),
        ("    return 0.5 * (np.linalg.slogdet(w @", f"    return 1 / np.log({base}) * 0.5 * (np.linalg.slogdet(w @"),
        ("BASE = np.e", f"BASE = {base}.0"),
    )


PROBLEMS = (
    Problem(
        "expand",
        HERE + "kmeans:expand",
        15,
        {"special cases": checks.expand_cases, "property": checks.expand_definition},
        (
            Mistake("once", "-2 * shifted.T", "-shifted.T", "the mixed term of ‖x − c‖² counts twice"),
            Mistake("sign", "-2 * shifted.T", "2 * shifted.T", "the mixed term is −2 x · c: nearer centres have larger products"),
            Mistake("no origin", "shifted + 2 * origin", "shifted", "‖c‖² − ‖m‖² = (c − m) · (c + m): the origin is lost"),
        ),
        ("Expand both squares: ‖x‖² cancels.",),
    ),
    Problem(
        "statistics",
        HERE + "kmeans:statistics",
        10,
        {"special cases": checks.statistics_cases, "property": checks.statistics_definition},
        (
            Mistake(
                "means",
                "(r @ x)",
                "(r @ x / np.sum(r, axis=1)[:, None])",
                "these are means, which do not add up over blocks; asked are sums",
            ),
            Mistake("squares", "(r @ x)", "(r**2 @ x)", "a membership weighs a datum once"),
            Mistake("share", "np.sum(r, axis=1", "np.mean(r, axis=1", "these are shares, which do not add up over blocks; asked are sums"),
        ),
        ("The sums over i are one product of matrices.",),
    ),
    Problem(
        "covariance_axes",
        HERE + "pca:covariance_axes",
        20,
        {"special cases": checks.axes_cases, "property": checks.axes_definition},
        (
            Mistake("n", "(x.shape[0] - 1)", "x.shape[0]", "the covariance divides by n − 1"),
            Mistake(
                "smallest",
                "values[::-1][:k], vectors[:, ::-1][:, :k].T",
                "values[:k], vectors[:, :k].T",
                "eigh sorts upwards: these are the least axes",
            ),
            Mistake("no mean", "scatter(x, mean)", "scatter(x, 0 * mean)", "variance is about the mean, which is not subtracted"),
            Mistake("scatter", " / (x.shape[0] - 1)", "", "these are eigenvalues of the scatter matrix, not of the covariance"),
        ),
        ("`scatter` is there. Of what does numpy.linalg.eigh give columns, and in what order?",),
        copies=("gram_axes",),
    ),
    Problem(
        "mutual_information",
        HERE + "pca:mutual_information",
        15,
        {"special cases": checks.information_cases, "property": checks.information_definition},
        (
            Mistake("no half", "0.5 * (", "1.0 * (", "the entropy of a Gaussian has ½ log |Σ|: the factor ½ is missing"),
            Mistake("signal only", " + noise)[1]", ")[1]", "y has the covariance of the signal and of the noise"),
            Mistake(
                "white noise",
                "noise_variance * w @ w.T",
                "noise_variance * np.eye(w.shape[0])",
                "the noise is measured, too: its covariance in y is τ² W Wᵀ",
            ),
        ),
        ("I(y; s) = h(y) − h(y | s).",),
        variants=(unit("bits", 2), unit("decimal digits", 10)),
    ),
    Problem(
        "whiten",
        HERE + "gmm:whiten",
        20,
        {"special cases": checks.whiten_cases, "property": checks.whiten_definition},
        (
            Mistake("sign", "-inverse @ means", "inverse @ means", "the mean is to be subtracted"),
            Mistake(
                "mean", "-inverse @ means[:, :, None]", "-means[:, :, None]", "x − μ is multiplied by L⁻¹ as a whole: the mean is, too"
            ),
            Mistake(
                "transposed", "np.concatenate([inverse,", "np.concatenate([np.swapaxes(inverse, 1, 2),", "this is the transpose of L⁻¹"
            ),
        ),
        ("One product for all components: the shift can be one more column.",),
    ),
    Problem(
        "log_joint",
        HERE + "gmm:log_joint",
        20,
        {"special cases": checks.joint_cases, "property": checks.joint_definition},
        (
            Mistake(
                "log det",
                "+ np.sum(np.log(diagonal), axis=1)",
                "- np.sum(np.log(diagonal), axis=1)",
                "the sign of the log-determinant: given is L⁻¹, not L",
            ),
            Mistake(
                "no log det",
                "+ np.sum(np.log(diagonal), axis=1) ",
                "",
                "the log-determinant is missing: wide components would be as dense as narrow ones",
            ),
            Mistake("no weight", "np.log(weights) +", "0 * weights +", "this is log p(x | j): the weight is missing"),
            Mistake("constant", "0.5 * y.shape[1] * math", "0.5 * math", "each of D dimensions has its ½ log 2π"),
            Mistake("no half", "- 0.5 * np.einsum", "- 1.0 * np.einsum", "the factor ½ of the squared distance is missing"),
        ),
        ("|Σ| = Π Lᵢᵢ².",),
        ("kmeans_pca_gmm.5",),
    ),
)

ASSIGNMENT = Assignment("kmeans_pca_gmm", "k-means, principal components and Gaussian mixtures", PROBLEMS)
