"""Plant bugs and see whether the suite finds them: `python -m tests.mutations [NAME …] [--sample N] [--jobs 2]`.

Each mutation is a small wrong change of the kind that people make and training does not show: a sign, a constant, an axis, a divisor, two
arguments swapped, an index off by one, a term left out. It is made in a copy of the project, and the tests of that chapter are run until
the first failure. A mutation that all tests survive is a hole in the suite, and the exit code is 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations_of_energies import ENERGIES
from tests.mutations_of_flows import FLOWS
from tests.mutations_of_models import MODELS

ROOT = Path(__file__).parent.parent
LIMIT = 180  # seconds; a mutation that hangs is caught

# {file: (tests, [(right, wrong), …])}; the right text must occur once
MUTATIONS = {
    "autograd.py": ("tests/test_autograd.py", [
        ("else earlier + 0", "else earlier"),
        ("cotangents[key][index] += g", "cotangents[key][index] = g"),
        ("PLAIN = (int,", "PLAIN = (list, int,"),
        ("and not nested and plain", "and plain"),
        ("cotangents[key] = cotangents[key] + contribution if", "cotangents[key] = contribution if"),
        ("cotangents[id(t)] = cotangents[id(t)] + g if", "cotangents[id(t)] = g if"),
        ("pairs = zip(leaves(grad(f)(x)), leaves(v), strict=True)", "pairs = zip(leaves(grad(f)(x)), leaves(x), strict=True)"),
    ]),
    "derivatives.py": ("tests/test_derivatives.py tests/test_singular_points.py", [
        ("fit(g, a), lambda g, y, a, b: fit(-g, b))", "fit(g, a), lambda g, y, a, b: fit(g, b))"),
        ("lambda g, y, a, b: fit(-g * y / b, b)", "lambda g, y, a, b: fit(-g * y, b)"),
        ("vjp_of(np.sqrt, lambda g, y, x: 0.5 * g / y)", "vjp_of(np.sqrt, lambda g, y, x: g / y)"),
        ("vjp_of(np.expm1, lambda g, y, x: g * (y + 1))", "vjp_of(np.expm1, lambda g, y, x: g * y)"),
        ("vjp_of(np.log1p, lambda g, y, x: g / (1 + x))", "vjp_of(np.log1p, lambda g, y, x: g / x)"),
        ("vjp_of(np.cos, lambda g, y, x: -g * np.sin(x))", "vjp_of(np.cos, lambda g, y, x: g * np.sin(x))"),
        ("vjp_of(np.tanh, lambda g, y, x: g * (1 - y * y))", "vjp_of(np.tanh, lambda g, y, x: g * (1 - x * x))"),
        ("vjp_of(np.arctan, lambda g, y, x: g / (1 + x * x))", "vjp_of(np.arctan, lambda g, y, x: g / (1 - x * x))"),
        ("vjp_of(np.log2, lambda g, y, x: g / (x * LN2))", "vjp_of(np.log2, lambda g, y, x: g / x)"),
        ("return ((a > b) + 0.5 * (a == b)).astype(g.dtype)", "return ((a > b) + 1.0 * (a == b)).astype(g.dtype)"),
    ]),
    "functions.py": ("tests/test_functions.py tests/test_derivatives.py tests/test_singular_points.py", [
        ("vjp_of(relu, lambda g, y, x: g * (x > 0))", "vjp_of(relu, lambda g, y, x: g * (x >= 0))"),
        ("g * (y * (1 - y))", "g * (y * (1 + y))"),
        ("vjp_of(softplus, lambda g, y, x: -g * np.expm1(-y))", "vjp_of(softplus, lambda g, y, x: g * np.expm1(-y))"),
        ("(1 + (x - y))", "(1 + x)"),
        ("y * (g - np.sum(g * y, axis=axis, keepdims=True))", "y * (g - np.sum(g, axis=axis, keepdims=True))"),
        ("g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)", "g - y * np.sum(g, axis=axis, keepdims=True)"),
        ("t += np.maximum(x, 0)", "t += np.maximum(-x, 0)"),
    ]),
    "nn/norm.py": ("tests/test_nn_norm.py", [
        ("y = x - mean(x, axes)", "y = x - 0.99 * mean(x, axes)"),
        ("g - mean(g, axes) - y * mean(g * y, axes)", "g - mean(g, axes)"),
        ("axis=3, keepdims=True) / x.shape[1]", "axis=3, keepdims=True)"),
        ("np.var(rows, axis=0, ddof=1)", "np.var(rows, axis=0)"),
        ("mean=keep * self.mean + m * mean", "mean=m * self.mean + keep * mean"),
    ]),
    "metrics/mmd.py": ("tests/test_metrics_mmd.py", [
        ("(-2 * bandwidth**2)", "(-(bandwidth**2))"),
        ("k += 1\n", "k += 0.9\n"),
        ("return cube", "return k * k"),
        ("np.sum(a) / (m * (m - 1))", "np.sum(a) / (m * m)"),
        ("between = 2 * np.sum(c)", "between = np.sum(c)"),
        ("np.sum(diagonal(kernel, y))) / n**2", "np.sum(diagonal(kernel, y))) / m**2"),
        ("(np.sum(a) - 2 * a)", "(np.sum(a) - a)"),
        ("return (m - 1) / m * np.sum", "return np.sum"),
        ("jackknife(b, d, m)", "jackknife(b, d, n)"),
        ("(np.sum(c) - c)", "(np.sum(c) + c)"),
        ("sets = sets[::-1]", "sets = sets"),
        ("float(np.std(values))", "float(np.std(values, ddof=1))"),
        ("3 / d**2", "3 / d"),
        ("np.maximum(squared, 0)", "squared"),
        ("RandomState(2020)", "RandomState(2021)"),
    ]),
    "metrics/inception.py": ("tests/test_metrics_inception.py", [
        ("marginal = np.mean(probs, axis=0)", "marginal = np.mean(probs, axis=0) + 1e-9"),
        ("probs * np.log(ratio)", "np.log(ratio)"),
        ("i * n // splits for i", "i * (n // splits) for i"),
        ("RandomState(2020)", "RandomState(0)"),
        ("np.std(scores)", "np.std(scores, ddof=1)"),
        (", 1) / np.where(probs > 0, marginal, 1)", ", 1) / marginal"),
    ]),
    "metrics/prd.py": ("tests/test_metrics_prd.py", [
        ("slopes * (p / np.sum(p)), q / np.sum(q)", "slopes * (q / np.sum(q)), p / np.sum(p)"),
        ("precision / slopes[:, 0], 1)", "precision * slopes[:, 0], 1)"),
        ("np.linspace(1e-10, np.pi", "np.linspace(1e-3, np.pi"),
        ("(1 + weight) * precision", "weight * precision"),
        ("weight * precision + recall", "weight * recall + precision"),
        ("largest(beta**2), largest(beta**-2)", "largest(beta**-2), largest(beta**2)"),
        ("(labels[:n], labels[n:])", "(labels[n:], labels[:n])"),
        ("np.mean(np.stack(curves), axis=0)", "curves[0]"),
    ]),
    "metrics/two_sample.py": ("tests/test_metrics_two_sample.py", [
        ("p = (1 + np.count", "p = (0 + np.count"),
        (" - ties)) / (1", ")) / (1"),
        ("k.reshape(-1)[:: k.shape[0] + 1] = 0", "pass"),
        ("- 2 * between / (m * n)", "- between / (m * n)"),
        ("(x_choose, x), (y_choose, y) = ", "(x_choose, _), (y_choose, _) = "),
        ("4 / n**3", "2 / n**3"),
        ("- 4 / n**4", "+ 4 / n**4"),
        ("(np.sum(h) - np.trace(h))", "np.sum(h)"),
        ("-signal_to_noise(", "signal_to_noise("),
        ("log_sigmoid(sign *", "log_sigmoid(-sign *"),
        ("for a in (x_test, y_test)", "for a in (y_test, x_test)"),
        ("permutations, rng)[order]", "permutations, rng)"),
    ]),
    "metrics/copying.py": ("tests/test_metrics_copying.py", [
        ("return inside - outside", "return outside - inside"),
        (" - np.log(np.sum(where, axis=0, dtype=np.float64))", ""),
        ("flatnonzero(~rows)", "flatnonzero(rows)"),
        ("own[nearest[:, 0]] < dist", "own[nearest[:, 0]] <= dist"),
        ("(total + 1) / 12", "total / 12"),
        ("len(d_test)\n", "len(d_fake)\n"),
        ("math.erfc(-statistic", "math.erfc(statistic"),
        ("(near - x.shape[0])", "near"),
        ("s * (s - 1) / 2", "s * s / 2"),
        ("2 * pairs + 2", "2 * pairs"),
        ('limit, "inside"', 'limit, "outside"'),
    ]),
    "metrics/uncertainty.py": ("tests/test_metrics_uncertainty.py", [
        ("(groups - 1) / groups * np", "np"),
        ("[range(len(sets))] if together else ", ""),
        ("values[:1] if", "values[1:] if"),
        ("np.mean(without, axis=0)) ** 2, axis=0)", "np.mean(without)) ** 2, axis=0)"),
        ("group != g", "group == g"),
    ]),
    "metrics/vendi.py": ("tests/test_metrics_vendi.py", [
        ("np.exp(-np.sum", "np.exp(np.sum"),
        ("(1 / (1 - q))", "(1 / q)"),
        ("1 / np.max(values)", "np.max(values)"),
        ("norms[:, None]", "norms[:, None] ** 2"),
    ]),
    "metrics/frechet.py": ("tests/test_metrics_frechet.py", [
        ("return self.scatter / (self.n - 1)", "return self.scatter / self.n"),
        ("mean = self.mean + step * (other.n / n)", "mean = self.mean + step * (self.n / n)"),
        ("step * (self.n * other.n / n), step", "step * (self.n * other.n / n) / 2, step"),
        ("- 2 * root", "- root"),
        ("(n - 1) ** 0.5", "n**0.5"),
        ("- 2 * trace_of_root", "- trace_of_root"),
        (" + np.trace(cov2)", ""),
        ("/ 2 * np.linalg.norm(cov1)", "/ 2"),
        ("error < 1e-13 * total", "error < 1e-6 * total"),
        ("np.array(found), rcond", "1.01 * np.array(found), rcond"),
        ("(points - 2)", "(points - 1)"),
        ("1 / sizes], axis=1)", "1 / sizes**0.5], axis=1)"),
        ("s, replace=False", "s, replace=True"),
    ]),
    "metrics/manifold.py": ("tests/test_metrics_manifold.py", [
        ("radii <= np.median(radii)", "radii < np.inf"),
        ("np.max(ratio, axis=0)", "np.min(ratio, axis=0)"),
        ("return np.sqrt(best)", "return best"),
        ("float(np.mean(around_fake > 0)), float(np.mean(recalled))", "float(np.mean(recalled)), float(np.mean(around_fake > 0))"),
        ("def precision_recall(real, fake, k=3", "def precision_recall(real, fake, k=4"),
        ("(n_real - 1 - i) / (n_real + n_fake - 1 - i)", "(n_real - i) / (n_real + n_fake - 1 - i)"),
    ]),
    "metrics/transport.py": ("tests/test_metrics_transport.py tests/test_metrics_transport_approximate.py", [
        ("directions = directions / np.sqrt", "directions = directions * np.sqrt"),
        ("error * root / (p * mean)", "error * root / mean"),
        ("** (p / 2)", "**p"),
        ("(total - math.log(y.shape[0]))", "total"),
        ("np.mean(sent * costs)", "np.mean(costs) + 0.001"),
        ("epsilon / unit", "epsilon"),
        ("unit * float(", "float("),
        ("np.minimum((f - new) / epsilon, 700.0)", "(f - new) / epsilon"),
        ("range(0, projections, block)", "range(0, projections - block, block)"),
        ("library.asarray((ends - 1) // k) for k in (m, n)", "library.asarray((ends - 1) // k) for k in (n, m)"),
        ("scale * float(cost) ** (1 / p)", "scale * float(cost)"),
    ]),
    "metrics/likelihood.py": ("tests/test_metrics_likelihood.py", [
        ("return Estimate(-mean, error)", "return Estimate(mean, error)"),
        ("np.std(values, ddof=1)", "np.std(values)"),
        ("/ dims - math.log(cell)) / math.log(2)", "/ dims + math.log(cell)) / math.log(2)"),
        ("mean_and_error(log_p - log_q,", "mean_and_error(log_q - log_p,"),
        ("Estimate(test.mean - train.mean", "Estimate(train.mean - test.mean"),
        ("hermite_e.hermegauss", "hermite.hermgauss"),
        ("weights / np.sum(weights)", "weights"),
    ]),
    "metrics/judgements.py": ("tests/test_metrics_judgements.py", [
        ('0.95, "exact"', '0.9, "exact"'),
        ("wrong = real != said_real", "wrong = real == said_real"),
        ("rate(wrong[~real]), rate(wrong[real])", "rate(wrong[real]), rate(wrong[~real])"),
        ("several, share = n >= 2", "several, share = n >= 1"),
        ("- chance) / (1 - chance)", "- chance)"),
    ]),
    "distributions/continuous.py": ("tests/test_distributions.py", [
        ("return -0.5 * z * z - (of(np.log, self.std) + 0.5 * LOG_2PI)", "return -0.5 * z * z - (of(np.log, self.std) + LOG_2PI)"),
        ("np.log(self.std) + 0.5 * (1 + LOG_2PI)", "np.log(self.std) + 0.5 * LOG_2PI"),
        ("self.mean + self.scale * (e[0] - e[1])", "self.mean + self.scale * (e[0] + e[1])"),
        ("2 * self.scale * self.scale", "self.scale * self.scale"),
        ("(self.high - self.low) ** 2 / 12", "(self.high - self.low) ** 2 / 6"),
        ("return 1 - np.log(self.rate)", "return 1 + np.log(self.rate)"),
        ("(1 - self.shape) * digamma(self.shape)", "(self.shape - 1) * digamma(self.shape)"),
        ("(total * total * (total + 1))", "(total * total * total)"),
    ]),
    "distributions/divergences.py": ("tests/test_divergences.py tests/test_distributions_edges.py", [
        ("0.5 * (s * s + d * d - 1) - log(s)", "0.5 * (s * s + d * d) - log(s)"),
        ("half_log_det(lq) - half_log_det(lp)", "half_log_det(lp) - half_log_det(lq)"),
        ("p.scale * np.exp(-d / p.scale)", "p.scale * np.exp(-d / q.scale)"),
        ("return r - 1 - log(r)", "return r - 1 + log(r)"),
        ("- b * log(r) + a * (r - 1)", "- a * log(r) + a * (r - 1)"),
        ("np.sum((p.alpha - q.alpha) * excess, -1)", "np.sum((q.alpha - p.alpha) * excess, -1)"),
        ("p.rate * log(p.rate / q.rate) - p.rate + q.rate", "p.rate * log(p.rate / q.rate) + p.rate - q.rate"),
        ("return 0.5 * (half(p, q) + half(q, p))", "return half(p, q)"),
        ("np.sqrt(d * d + s * s)", "d * d + s * s"),
    ]),
    "testing/diffusion.py": ("tests/test_testing_claims.py", [
        ("v.append((1 - beta) * v[-1] + beta)", "v.append(v[-1] + beta)"),
        ("a.append(np.sqrt(1 - beta) * a[-1])", "a.append((1 - beta) * a[-1])"),
        ("by_x0, variance = a[:-1] - k * a[1:],", "by_x0, variance = a[:-1] - k * a[:-1],"),
        ("v[:-1] - k * k * v[1:]", "v[:-1] - k * v[1:]"),
        ("<= rtol * np.abs(want) + 1e-12)", "<= 0.01 * np.abs(want) + 1e-12)"),
    ]),
    "testing/maps.py": ("tests/test_testing_claims.py", [
        ("if not abs(got - want) <= tolerance:", "if not abs(got - want) <= 1e3:"),
        ("require(not np.any(zero)", "require(True"),
        ("for i in range(min(x.size, 1000)):", "for i in range(min(x.size, 5)):"),
        ("rtol * np.abs(want) + 10 * error + 1e-12", "rtol * np.abs(want) + 1e-3"),
    ]),
    "testing/models.py": ("tests/test_testing_claims.py", [
        ("inverse_logdet, -logdet,", "-logdet, -logdet,"),
        ("excess = np.abs(gap) - slack if tight else -gap - slack", "excess = -gap - slack"),
        ("ascent = now >= before -", "ascent = now >= first -"),
        ("wrong = np.any(np.abs(got - want) > slack)", "wrong = np.abs(got[0] - want[0]).max() > slack.max()"),
    ]),
    "testing/divergences.py": ("tests/test_testing_claims.py", [
        ("tolerance = rtol * abs(want) + 10 * error", "tolerance = 1 + abs(want)"),
        ("outside.append(np.any((weight > 1e-100) & (log_p == -np.inf)))", "outside.append(False)"),
        ("require(xy >= -atol,", "require(True,"),
    ]),
    "testing/densities.py": ("tests/test_testing_densities.py tests/test_testing_claims.py", [
        ("inside, np.exp(log_p - log_r), 0)", "inside, np.exp(log_p), 0)"),
        ("z = (got - want) / deviation", "z = (got - want) / (10 * deviation)"),
        ("tails = 2 * np.minimum", "tails = 1e4 * np.minimum"),
    ]),
    "testing/causal.py": ("tests/test_testing_claims.py", [
        ("none(depends & itself,", "none(depends & itself & False,"),
        ("none(depends & ~before & ~itself,", "none(depends & before & itself,"),
        ("none(before & ~depends,", "none(before & ~before,"),
    ]),
} | MODELS | FLOWS | ENERGIES  # fmt: skip


def every():
    """(name, file, right, wrong, tests) of each mutation; the name is the file and its number there."""
    for file, (tests, changes) in MUTATIONS.items():
        for i, (right, wrong) in enumerate(changes, 1):
            yield f"{file.removesuffix('.py')}:{i}", file, right, wrong, tests.split()


def survives(mutation):
    """Whether the tests pass on a copy of the project with the mutation made; ValueError where it cannot be made."""
    name, file, right, wrong, tests = mutation
    with tempfile.TemporaryDirectory() as folder:
        for part in ("minigen", "tests", "demos", "pyproject.toml"):
            source, target = ROOT / part, Path(folder, part)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        path = Path(folder, "minigen", file)
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            raise ValueError(f"{name}: {right!r} occurs {text.count(right)} times in {file}; expected once")
        path.write_text(text.replace(right, wrong), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": folder, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=LIMIT).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def main(arguments=None):
    """Run mutations, print what became of each; 1 where one survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names, as metrics/mmd or vae:3; all by default")
    parser.add_argument("--sample", type=int, help="only so many, evenly spread")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    chosen = [m for m in every() if not options.names or any(n in m[0] for n in options.names)]
    if options.sample:
        chosen = [chosen[i * len(chosen) // options.sample] for i in range(options.sample)]
    survivors = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutation, alive in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVED' if alive else 'caught  '}  {mutation[0]:28s} {mutation[2].strip()}  →  {mutation[3].strip()}", flush=True)
            survivors += [mutation[0]] * alive
    print(f"{len(chosen)} mutations, {len(chosen) - len(survivors)} caught{', survivors: ' + ', '.join(survivors) if survivors else ''}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
