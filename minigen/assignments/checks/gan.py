"""What is asked of the adversarial networks' functions."""

import numpy as np

from minigen.assignments.checks.common import numbers
from minigen.testing import check_gradients
from minigen.testing.failure import require

LOGITS = np.array([-3.0, -0.5, 0.25, 2.0])
REAL, FAKE = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([[0.5, -0.5], [0.25, 3.0]])


def same(got, want, message, **fields):
    """Fail with the message unless the numbers agree to 1e-8."""
    require(np.allclose(got, want, rtol=1e-8, atol=1e-10), message, got=got, want=want, **fields)


def value_cases(value):
    """A critic that knows nothing, one that is sure and right, and one that is sure and wrong."""
    same(float(numbers(value, (np.zeros(3), np.zeros(5)), ())), -np.log(4), "logits 0 give V = −log 4")
    same(float(numbers(value, (np.full(3, 900.0), np.full(2, -900.0)), ())), 0.0, "a critic that is sure and right has V = 0")
    same(float(numbers(value, (np.full(3, -900.0), np.full(2, -900.0)), ())), -900.0, "logit −900 of data costs 900, not an overflow")


def value_definition(value):
    """The means of log D and of log(1 − D), whose numbers of samples differ."""
    d = lambda f: 1 / (1 + np.exp(-f))
    want = np.mean(np.log(d(LOGITS))) + np.mean(np.log(1 - d(LOGITS[:3] - 1)))
    got = float(numbers(value, (LOGITS, LOGITS[:3] - 1), ()))
    same(got, float(want), "V is its definition", equation="V = E_p[log D] + E_q[log(1 − D)]")
    check_gradients(lambda f: value(f, LOGITS[:3] - 1), (LOGITS,), order=1)


SEVEN_P, SEVEN_Q = np.array([4.0, 2, 1, 1, 8, 2, 2]) / 20, np.array([1.0, 2, 4, 8, 1, 2, 2]) / 20  # seven places and their probabilities


DATA_PER_SAMPLE = 1.0  # in a batch


def optimal_logits_cases(optimal_logits):
    """Equal densities, and densities that are no floating-point numbers."""
    known = np.log(DATA_PER_SAMPLE)
    message = f"where p = q the best critic knows only how many data there are: its logit is {known:.4g}"
    same(numbers(optimal_logits, (LOGITS, LOGITS), (4,)), np.full(4, known), message)
    got = numbers(optimal_logits, (np.array([-2000.0, -1990.0]), np.array([-1990.0, -2000.0])), (2,))
    same(got, known + np.array([-10.0, 10.0]), "densities of e^−2000 and e^−1990 still have a ratio")


def optimal_logits_definition(optimal_logits):
    """On seven places: no other logit, a little up or down in one of them, gives a larger V."""
    p, q = DATA_PER_SAMPLE * SEVEN_P, SEVEN_Q
    game = lambda f: float(np.sum(-p * np.log1p(np.exp(-f)) - q * np.log1p(np.exp(f))))
    best = numbers(optimal_logits, (np.log(SEVEN_P), np.log(SEVEN_Q)), (7,))
    for i, step in ((i, s) for i in range(7) for s in (-0.01, 0.01)):
        other = game(best + step * np.eye(7)[i])
        fields = {"inputs": f"p = {SEVEN_P[i]:g}   q = {q[i]:g}   the logit there, {best[i]:.4g}, changed by {step}"}
        require(other <= game(best), "no critic has a larger V", equation="V(f*, q) ≥ V(f, q)", got=game(best), want=other, **fields)
    d = 1 / (1 + np.exp(-best))
    same(d, p / (p + q), "σ(f*) is the share of data among all that is there", inputs=f"{DATA_PER_SAMPLE:g} data for each sample")


def grid(means, stds):
    """Log-densities of normals on a grid, and its cell."""
    x = np.linspace(-30, 30, 6001)
    return [-0.5 * ((x - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi) for m, s in zip(means, stds, strict=True)], x[1] - x[0]


def optimal_value_cases(optimal_value):
    """Equal densities, and densities that do not overlap."""
    for means, want in (((0.0, 0.0), -np.log(4)), ((-14.0, 14.0), 0.0)):
        log_densities, cell = grid(means, (1.0, 1.0))
        got = float(numbers(lambda p, q, c=cell: optimal_value(p, q, c), log_densities, ()))
        require(abs(got - want) < 1e-6, f"for N({means[0]}, 1) and N({means[1]}, 1) V is {want:.4f}", got=got, want=want)


def optimal_value_definition(optimal_value):
    """The value of the game with the best critic D* = p / (p + q), by a sum over the grid; and nobody's critic has a larger one."""
    (log_p, log_q), cell = grid((0.0, 1.0), (1.0, 2.0))
    p, q = np.exp(log_p), np.exp(log_q)
    want = np.sum(p * np.log(p / (p + q) + 1e-300) + q * np.log(q / (p + q) + 1e-300)) * cell
    got = float(numbers(lambda p, q: optimal_value(p, q, cell), (log_p, log_q), ()))
    require(abs(got - want) < 1e-6, "it is V of the best critic", equation="V(f*, q), D* = p / (p + q)", got=got, want=float(want))


def generator_cases(generator_loss):
    """A sure critic: one loss has a slope there, the other has none."""
    losses = {name: numbers(lambda f, n=name: generator_loss(f, n), (LOGITS,), (4,)) for name in ("nonsaturating", "minimax")}
    same(losses["nonsaturating"], numbers(generator_loss, (LOGITS,), (4,)), "the loss is nonsaturating where nothing else is said")
    for name, want in (("nonsaturating", 900.0), ("minimax", 0.0)):
        got = numbers(lambda f, n=name: generator_loss(f, n), (np.array([-900.0]),), (1,))
        same(got, want, f"the {name} loss at logit −900 is {want:g}")


def generator_definition(generator_loss):
    """−log D and log(1 − D)."""
    d = 1 / (1 + np.exp(-LOGITS))
    for name, want in (("nonsaturating", -np.log(d)), ("minimax", np.log(1 - d))):
        got = numbers(lambda f, n=name: generator_loss(f, n), (LOGITS,), (4,))
        same(got, want, f"the {name} loss is its definition", equation="−log D(G(z))" if name == "nonsaturating" else "log(1 − D(G(z)))")
        check_gradients(lambda f, n=name: generator_loss(f, n), (LOGITS,), order=1)


def gradient_cases(logit_gradient):
    """At logit 0 both are −½; for a sure critic one is −1 and the other 0."""
    for name, want in (("nonsaturating", [-1.0, -0.5, 0.0]), ("minimax", [0.0, -0.5, -1.0])):
        got = numbers(lambda f, n=name: logit_gradient(f, n), (np.array([-60.0, 0.0, 60.0]),), (3,))
        same(got, np.array(want), f"the slope of the {name} loss at logits −60, 0 and 60")
        far = numbers(lambda f, n=name: logit_gradient(f, n), (np.array([-900.0, 900.0]),), (2,))
        same(far, np.array(want)[[0, 2]], f"the slope of the {name} loss at logits −900 and 900")


def gradient_definition(logit_gradient):
    """The difference quotients of −log D and log(1 − D), with a step 10⁻²⁰ i, which has no error."""
    log_d = lambda f: -np.log1p(np.exp(-f))
    for name, loss in (("nonsaturating", lambda f: -log_d(f)), ("minimax", lambda f: log_d(-f))):
        want = np.imag(loss(LOGITS + 1e-20j)) / 1e-20
        got = numbers(lambda f, n=name: logit_gradient(f, n), (LOGITS,), (4,))
        exact = np.allclose(got, want, rtol=1e-11, atol=1e-13)
        require(exact, f"the slope of the {name} loss is its difference quotient", got=got, want=want, tolerance=1e-11)


def bowl(a):
    """A critic, f(x) = ½ Σⱼ aⱼ xⱼ², whose slope is a x."""
    return lambda x: 0.5 * np.sum(a * x * x, axis=-1)


A = np.array([0.5, -1.0])


def critic_cases(critic_loss):
    """No penalty: log-losses of real and fake; the arguments are not exchanged, and a critic of labels gets them."""
    f, g = bowl(A)(REAL), bowl(A)(FAKE)
    want = np.log1p(np.exp(-f)) + np.log1p(np.exp(g))
    same(
        numbers(lambda x, y: critic_loss(bowl(A), x, y), (REAL, FAKE), (2,)),
        want,
        "without a penalty it is −log D(real) − log(1 − D(fake))",
    )
    far = numbers(lambda x, y: critic_loss(lambda x: 900 * x[:, 0], x, y), (REAL, FAKE), (2,))
    require(bool(np.all(far >= 0)), "a log-loss is not negative", got=far)
    told, y = lambda x, y: bowl(A)(x) + y, np.array([2.0, -1.0])
    for penalty, slope in ((0.0, 0.0), (3.0, 1.5 * np.sum((A * REAL) ** 2, axis=1))):
        got = numbers(lambda x, z, p=penalty: critic_loss(told, x, z, p, (y,)), (REAL, FAKE), (2,))
        want = np.log1p(np.exp(-f - y)) + np.log1p(np.exp(g + y)) + slope
        same(got, want, f"labels go to the critic of data and of samples, with the penalty {penalty:g}")


def critic_penalty(critic_loss):
    """½ γ times the squared slope at the data, which the critic's own parameters feel."""
    f, g = bowl(A)(REAL), bowl(A)(FAKE)
    want = np.log1p(np.exp(-f)) + np.log1p(np.exp(g)) + 0.5 * 3.0 * np.sum((A * REAL) ** 2, axis=1)
    got = numbers(lambda x, y: critic_loss(bowl(A), x, y, 3.0), (REAL, FAKE), (2,))
    same(got, want, "the penalty is ½ γ ‖∇f(x)‖² at the data", equation="½ γ ‖∇f(x)‖²")
    image = numbers(
        lambda x, y: critic_loss(lambda v: np.sum(A * v[:, 0] ** 2, axis=-1) / 2, x, y, 3.0), (REAL[:, None], FAKE[:, None]), (2,)
    )
    same(image, want, "the slope's square is summed over all axes of one datum, those of images, too")
    check_gradients(lambda a: critic_loss(bowl(a), REAL, FAKE, 3.0), (A,), order=1)


PROBES = {
    "value": lambda f: [f(LOGITS, LOGITS[:3] - 1)],
    "optimal_logits": lambda f: f(LOGITS, LOGITS[::-1]),
    "optimal_value": lambda f: [f(*grid((0.0, 1.0), (1.0, 2.0))[0], 0.01)],
    "generator_loss": lambda f: [*f(LOGITS), *f(LOGITS, "minimax")],
    "logit_gradient": lambda f: [*f(LOGITS), *f(LOGITS, "minimax")],
    "critic_loss": lambda f: [*f(bowl(A), REAL, FAKE, 3.0), *f(bowl(A), REAL, FAKE)],
}
