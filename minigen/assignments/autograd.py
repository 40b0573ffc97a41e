"""The engine: the adjoints of broadcasting and convolution, six rows of the table of derivatives, and the walk of the chain rule."""

from minigen.assignments.checks import autograd as checks
from minigen.assignments.manifest import Assignment, Mistake, Problem

UNARY = {"special cases": checks.unary_slope, "property": checks.unary_gradient}
BINARY = {"special cases": checks.binary_slopes, "property": checks.binary_gradient}
LOCAL = ("A rule gets the cotangent g, the result y and the arguments, and gives the cotangent of one argument.",)
FIT = "`fit` must give back the shape of the argument"
SEEDS = "from (Tensor, cotangent) seeds and the calls in "
FORWARD = (  # edits that give `walk` the list as it was recorded
    (SEEDS + "reverse.", SEEDS + "the order of the record."),
    ("    for t in calls:\n        g = cotangents.pop", "    for t in reversed(calls):\n        g = cotangents.pop"),
    (
        "found = walk(consume(own) if last and not nested else reversed(own), seeds, reach, nested)\n",
        "found = walk(own, seeds, reach, nested)\n        if last and not nested:\n            list(consume(own))\n",
    ),
)
LISTED = (  # edits that have it give a list of cotangents
    ("def walk(calls, seeds, reach, nested):", "def walk(calls, seeds, reach, nested, starts):"),
    (
        "The chain rule: cotangents by identity of the leaves,",
        "The chain rule: a list of the starts' cotangents, or None,",
    ),
    ("    return cotangents\n", "    return [cotangents.get(id(t)) for t in starts]\n"),
    ("found = walk(consume(own)", "bars = walk(consume(own)"),
    (
        " else reversed(own), seeds, reach, nested)\n        bars = [found.get(id(t)) for t in fresh]\n",
        " else reversed(own), seeds, reach, nested, fresh)\n",
    ),
)

PROBLEMS = (
    Problem(
        "fit",
        "derivatives:fit",
        10,
        {"special cases": checks.fit_cases, "property": checks.fit_adjoint},
        (
            Mistake("only lead", " or (shape[i - lead] == 1 and n != 1)", "", "axes of length 1 were broadcast, too"),
            Mistake("mean", "np.sum(g, axis=axes)", "np.mean(g, axis=axes)", "the adjoint of copying is adding, not averaging"),
            Mistake("no lead", "i < lead or ", "", "the axes that broadcasting puts in front are to be summed, too"),
        ),
        ("Broadcasting copies x along an axis. Each copy's cotangent comes back to the same x.",),
    ),
    Problem(
        "sqrt",
        "derivatives:np.sqrt",
        5,
        UNARY,
        (
            Mistake("no half", "0.5 * g", "1.0 * g", "the derivative of √x is ½ / √x: the ½ is missing"),
            Mistake("by x", "/ y", "/ x", "the derivative has √x below, not x"),
            Mistake("no cotangent", "0.5 * g / y", "0.5 / y + 0 * g", "the cotangent g is to be multiplied by the slope"),
        ),
        LOCAL,
    ),
    Problem(
        "tanh",
        "derivatives:np.tanh",
        5,
        UNARY,
        (
            Mistake("of x", "y * y", "x * x", "1 − tanh² x has the result y, not the argument x"),
            Mistake("plus", "1 - y", "1 + y", "that is the derivative of tan: of tanh it is 1 − y²"),
            Mistake("sigmoid", "(1 - y * y)", "y * (1 - y)", "that is the derivative of the sigmoid"),
        ),
        LOCAL,
    ),
    Problem(
        "divide",
        "derivatives:np.divide",
        10,
        BINARY,
        (
            Mistake("sign", "-g * y / b", "g * y / b", "a / b falls with b: the sign is turned"),
            Mistake("once", "-g * y / b", "-g * y", "the derivative by b is −a / b², which is −y / b"),
            Mistake("exchanged", "fit(g / b, a)", "fit(g / a, a)", "the derivative by a is 1 / b"),
        ),
        (*LOCAL, FIT),
        ("autograd.1",),
    ),
    Problem(
        "logaddexp",
        "derivatives:np.logaddexp",
        10,
        BINARY,
        (
            Mistake("no y", "np.exp(a - y)", "np.exp(a)", "the derivative is exp(a) / (exp(a) + exp(b)) = exp(a − y)"),
            Mistake("both by a", "np.exp(b - y)", "np.exp(a - y)", "the second rule is the derivative by b"),
            Mistake("turned", "np.exp(a - y)", "np.exp(y - a)", "exp(y − a) is above 1; a share is below"),
        ),
        (*LOCAL, FIT),
        ("autograd.1",),
    ),
    Problem(
        "arctan2",
        "derivatives:np.arctan2",
        10,
        BINARY,
        (
            Mistake("sign", "-g * a /", "g * a /", "the angle of (b, a) falls with b: the sign is turned"),
            Mistake("exchanged", "g * b / (", "g * a / (", "the derivative by a is b / (a² + b²)"),
            Mistake("root", "(a * a + b * b), a)", "np.sqrt(a * a + b * b), a)", "below is the square of the radius, not the radius"),
        ),
        (*LOCAL, FIT),
        ("autograd.1",),
    ),
    Problem(
        "sum",
        "derivatives:np.sum",
        5,
        {"special cases": checks.sum_cases, "property": checks.sum_gradient},
        (
            Mistake("mean", "keep(g, x, axis)", "keep(g, x, axis) / x.size", "that is the derivative of the mean"),
            Mistake(
                "first axis",
                "keep(g, x, axis)",
                "(g if axis is None else keep(g, x, 1))",
                "the axis that was summed is to be put back where it was",
            ),
            Mistake("sign", "keep(g, x, axis)", "-keep(g, x, axis)", "a sum rises with its terms: the sign is turned"),
        ),
        ("The adjoint of adding is copying. `keep` puts the reduced axes back.",),
    ),
    Problem(
        "convolve_weight",
        "minigen.convolution:convolve_weight",
        15,
        {"special cases": checks.convolution_cases, "property": checks.convolution_adjoint},
        (
            Mistake("turned", "mT(cols)", "mT(cols)[:, ::-1]", "the kernel is turned: this belongs to x[o − i]; the sum here has x[o + i]"),
            Mistake("mean", "joined(w, shape)", "joined(w, shape) / len(x)", "every image adds to the same weights: a sum, not a mean"),
            Mistake(
                "groups",
                "joined(w, shape)",
                "np.reshape(w, shape)",
                "the groups' matrices are to stand beside each other, along the axis of output channels",
            ),
            Mistake(
                "overwrites",
                "w += mT(cols) @ by_group(y[block], groups)",
                "w[:] = mT(cols) @ by_group(y[block], groups)",
                "the images come in blocks, whose contributions add up: the last one overwrites the others",
            ),
        ),
        ("`blocks` gives a row of pixels for every output pixel: each row is multiplied by that pixel's cotangent.",),
    ),
    Problem(
        "walk",
        "minigen.autograd:walk",
        20,
        {"special cases": checks.walk_cases, "property": checks.walk_gradient},
        (
            Mistake(
                "overwrites",
                "cotangents[key] + contribution if key in cotangents else contribution",
                "contribution",
                "a value that is used twice has the sum of two cotangents: the second overwrites the first",
            ),
            Mistake(
                "seeds",
                "cotangents[id(t)] + g if id(t) in cotangents else g",
                "g",
                "an output that is given twice has the sum of its cotangents",
            ),
            Mistake("first rule", "rules[i](g", "rules[0](g", "each argument has a rule of its own"),
            Mistake(
                "raw", "(t, args) if nested else ", "", "in a nested pass the rules must see Tensors, or the second derivative is lost"
            ),
        ),
        ("The list is in topological order: in reverse, a value's cotangent is complete when its turn comes.",),
        ("autograd.1",),
        variants=(FORWARD, LISTED),
    ),
    Problem(
        "adjoint_property",
        "minigen.assignments.properties.adjoint:adjoint_property",
        10,
        {"accepts": checks.adjoint_property_accepts, "rejects": checks.adjoint_property_rejects},
        (
            Mistake(
                "ones",
                "noise.standard_normal(x_shape), noise.standard_normal(y_shape)",
                "np.ones(x_shape), np.ones(y_shape)",
                "arrays of ones are all alike: entries may be exchanged, and the sums are the same",
            ),
            Mistake(
                "one entry",
                "noise.standard_normal(x_shape), noise.standard_normal(y_shape)",
                "(1.0 * (np.arange(np.prod(s)).reshape(s) == 0) for s in (x_shape, y_shape))",
                "this sees one entry of the matrix; random x and y see all of them",
            ),
            Mistake("shape only", "np.isclose(left, right)", "np.isfinite(left + right)", "a wrong map may have the right shape"),
        ),
        ("Both sides are single numbers, whatever the shapes.",),
        ("autograd.8",),
        subject="convolve_weight",
    ),
)

ASSIGNMENT = Assignment("autograd", "Reverse-mode differentiation", PROBLEMS)
