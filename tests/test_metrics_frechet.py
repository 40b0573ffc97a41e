"""The Fréchet distance against closed forms, its definition and the expectation for equal distributions."""

import math

import numpy as np
import pytest

from minigen import Tensor, to_device, to_host
from minigen.metrics import (
    Moments,
    expected_frechet_distance,
    frechet_distance,
    frechet_distance_gaussians,
    frechet_distance_infinity,
    spatial_frechet_distance,
)
from minigen.metrics.frechet import nuclear_norm, square_root, trace_of_root

SHAPES = [(60, 50, 4), (5, 7, 12), (9, 40, 9), (10, 6, 9), (40, 8, 9), (2, 2, 3), (300, 200, 1)]


def orthogonal(d, rng):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def samples(shape=(60, 50, 4), seed=0):
    """Two sets with unequal sizes, means and covariances."""
    n, m, d = shape
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 1
    return x, rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) - 1


def covariance(d, rng):
    a = rng.standard_normal((d, d))
    return a @ a.T


def by_definition(mu1, cov1, mu2, cov2):
    """With the square root of an unsymmetric matrix: the sum of the roots of the eigenvalues of Σ₁Σ₂."""
    roots = np.sqrt(np.linalg.eigvals(cov1 @ cov2).astype(complex))
    return np.sum((mu1 - mu2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * np.sum(roots).real


@pytest.mark.verifies("frechet.1")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moments_are_mean_and_covariance(device, dtype):
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(dtype)
    x[:, 0] += 100
    for rows in (7, 50, 4096):
        moments = Moments.of(to_device(x, device), rows=rows)
        assert moments.n == 50 and moments.mean.dtype == moments.cov.dtype == np.float64
        np.testing.assert_allclose(to_host(moments.mean), x.astype(float).mean(0), rtol=1e-13)
        np.testing.assert_allclose(to_host(moments.cov), np.cov(x.astype(float), rowvar=False), rtol=1e-11)


@pytest.mark.verifies("frechet.2", "frechet.3")
@pytest.mark.parametrize("cuts", [[1], [20, 21], [3, 30, 41], list(range(1, 50))])
def test_moments_of_parts_add_up(device, cuts):
    x = np.random.default_rng(0).standard_normal((50, 3)) * [1, 10, 100] + np.arange(50)[:, None] ** 2
    whole = Moments.of(to_device(x, device))
    parts = [Moments.of(to_device(part, device)) for part in np.split(x, cuts)]
    merged = sum(parts[1:], parts[0])
    assert merged.n == 50
    np.testing.assert_allclose(to_host(merged.mean), to_host(whole.mean), rtol=1e-13)
    np.testing.assert_allclose(to_host(merged.cov), to_host(whole.cov), rtol=1e-12)


def test_a_large_offset_costs_no_digits():
    """In float32 about 10⁴, squares of the values themselves keep no digit of the covariance."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, 3)).astype(np.float32) for n in (400, 300))
    far_x, far_y = x + np.float32(1e4), y + np.float32(1e4)
    near = frechet_distance(far_x.astype(np.float64) - 1e4, far_y.astype(np.float64) - 1e4)
    assert frechet_distance(far_x, far_y) == pytest.approx(near, rel=1e-9)
    moments = Moments.of(far_x.astype(np.float64) + 1e7)
    np.testing.assert_allclose(moments.cov, np.cov(far_x.astype(np.float64) - 1e4, rowvar=False), rtol=1e-6)


@pytest.mark.verifies("frechet.4")
@pytest.mark.parametrize("d", [1, 2, 5])
def test_gaussians_of_commuting_covariances(device, d):
    """With common eigenvectors, d² = ‖μ₁ − μ₂‖² + Σ (√a − √b)²; also where eigenvalues are 0."""
    rng = np.random.default_rng(d)
    q, a, b, mu1, mu2 = orthogonal(d, rng), rng.exponential(size=d), rng.exponential(size=d), *rng.standard_normal((2, d))
    for zero in (False, True):
        a[0] = 0 if zero else a[0]
        want = np.sum((mu1 - mu2) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
        arguments = [to_device(v, device) for v in (mu1, q * a @ q.T, mu2, q * b @ q.T)]
        got = frechet_distance_gaussians(*arguments)
        assert type(got) is float
        assert got == pytest.approx(want, rel=1e-7)


@pytest.mark.verifies("frechet.4", "frechet.5")
def test_a_covariance_may_be_as_unsymmetric_and_as_negative_as_rounding_makes_it():
    cov = np.array([[4.0, 1e-7, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1e-7]])
    assert frechet_distance_gaussians(np.zeros(3), cov, np.zeros(3), np.zeros((3, 3))) == pytest.approx(5, rel=1e-6)


def test_gaussians_in_the_plane():
    """For 2 × 2 matrices tr M^½ = √(tr M + 2 √det M)."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b, mu = covariance(2, rng), covariance(2, rng), rng.standard_normal(2)
        root = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a) * np.linalg.det(b)))
        want = mu @ mu + np.trace(a) + np.trace(b) - 2 * root
        assert frechet_distance_gaussians(mu, a, np.zeros(2), b) == pytest.approx(want, rel=1e-9)


@pytest.mark.verifies("frechet.4", "frechet.5", "frechet.6")
@pytest.mark.parametrize("shape", SHAPES)
def test_samples_against_the_definition(device, shape):
    x, y = samples(shape)
    moments = [f(a) for a in (x, y) for f in (lambda a: a.mean(0), lambda a: np.cov(a, rowvar=False).reshape(shape[2], shape[2]))]
    got = frechet_distance(to_device(x, device), to_device(y, device))
    assert type(got) is float
    assert got == pytest.approx(by_definition(*moments), rel=1e-6)
    assert got == pytest.approx(frechet_distance_gaussians(*moments), rel=1e-6)


@pytest.mark.verifies("frechet.6")
def test_few_samples_in_many_dimensions_are_as_near_as_in_their_own_few():
    """A rotation into 40 dimensions moves nothing, but the samples are then fewer than the dimensions."""
    x, y = samples((12, 9, 3))
    frame = orthogonal(40, np.random.default_rng(1))[:3]
    assert frechet_distance(x @ frame, y @ frame) == pytest.approx(frechet_distance(x, y), rel=1e-11)


@pytest.mark.verifies("frechet.5", "frechet.6")
@pytest.mark.parametrize("singular", [False, True])
def test_a_factor_of_any_covariance(device, singular):
    rng = np.random.default_rng(0)
    cov = covariance(6, rng)
    if singular:
        cov[:, 2] = cov[2] = 0
        cov[:, 4], cov[4] = cov[:, 5], cov[5]
        cov[4, 4] = cov[5, 5]
    f = to_host(square_root(to_device(cov, device)))
    np.testing.assert_allclose(f.T @ f, cov, atol=1e-13 * np.trace(cov))
    mean, cov = to_device(np.ones(6), device), to_device(cov, device)
    assert 0 <= frechet_distance_gaussians(mean, cov, mean, cov) <= 1e-12 * float(np.trace(cov))


@pytest.mark.verifies("frechet.7")
@pytest.mark.parametrize("smallest", [0.3, 1e-4, 1e-9, 0.0])
@pytest.mark.parametrize("shape", [(8, 8), (5, 9)])
def test_nuclear_norm_is_the_sum_of_singular_values(device, smallest, shape):
    rng = np.random.default_rng(0)
    s = np.geomspace(1, smallest, shape[0]) if smallest else np.array([1.0, 0.5] + [0.0] * (shape[0] - 2))
    m = orthogonal(shape[0], rng) * s @ orthogonal(shape[1], rng)[: shape[0]]
    assert float(nuclear_norm(to_device(m, device))) == pytest.approx(s.sum(), rel=1e-12)


@pytest.mark.verifies("frechet.8")
@pytest.mark.parametrize("smallest", [1.0, 1e-2, 1e-4, 1e-7, 0.0])
@pytest.mark.parametrize("turned", [False, True])
def test_trace_of_the_root_of_a_product(device, turned, smallest):
    """tr (Q A Qᵀ Q B Qᵀ)^½ = Σ √(a b): also where large eigenvalues of one meet small ones of the other, and no digit of λ is left."""
    rng = np.random.default_rng(0)
    q, a = orthogonal(12, rng), np.geomspace(1, smallest, 12) if smallest else np.array([1.0] * 6 + [0.0] * 6)
    b = a[::-1] if turned else 2 * a
    got = trace_of_root(*to_device((q * a @ q.T, q * b @ q.T), device))
    assert float(got) == pytest.approx(np.sum(np.sqrt(a * b)), abs=(1e-12 if smallest else 1e-7) * np.sum(a))


@pytest.mark.verifies("frechet.8")
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_eigenvalues_are_used_while_their_error_is_small(monkeypatch, scale):
    """Beyond, singular values decide; the unit of measurement does not."""
    rng, real, calls = np.random.default_rng(0), np.linalg.svd, []
    monkeypatch.setattr(np.linalg, "svd", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs))
    for smallest, slow in ((0.5, 0), (0.05, 0), (1e-6, 1), (1e-9, 1)):
        a, q, calls[:] = np.geomspace(scale, scale * smallest, 30), orthogonal(30, rng), []
        assert float(trace_of_root(q * a @ q.T, q * a @ q.T)) == pytest.approx(a.sum(), rel=1e-13)
        assert len(calls) == slow


def test_well_conditioned_matrices_take_the_fast_road(monkeypatch):
    monkeypatch.setattr(np.linalg, "svd", None)
    assert frechet_distance(*samples((400, 300, 20))) > 0
    assert nuclear_norm(np.array([[3.0, 0.0, 0.0], [0.0, 0.0, -2.0]])) == pytest.approx(5, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [2, 6, 24, 25, 26, 200])
@pytest.mark.parametrize("kind", ["round", "steep", "dead", "repeated"])
def test_a_set_is_at_no_distance_from_itself(device, kind, n, dtype):
    x = np.random.default_rng(n).standard_normal((n, 25))
    if kind == "steep":
        x = x * np.geomspace(1, 1e-7, 25) @ orthogonal(25, np.random.default_rng(0))
    if kind == "dead":
        x[:, ::3] = 0.1
    if kind == "repeated":
        x[n // 2 :] = x[0]
    x = to_device((10 + x).astype(dtype), device)
    assert 0 <= frechet_distance(x, x) <= 1e-12 * float(np.sum(np.var(x, axis=0)))
    assert 0 <= frechet_distance(x, x[::-1]) <= 1e-12 * float(np.sum(np.var(x, axis=0)))


@pytest.mark.parametrize("n", [8, 200])
def test_shifts_and_scales_in_closed_form(n):
    x = np.random.default_rng(0).standard_normal((n, 20))
    assert frechet_distance(x, x + 2) == pytest.approx(80, rel=1e-12)
    spread = np.sum(np.var(x, axis=0, ddof=1))
    assert frechet_distance(x - x.mean(0), 3 * (x - x.mean(0))) == pytest.approx(4 * spread, rel=1e-12)
    copies = np.concatenate([x, x])  # the same mean, and (n−1)/(n−½) of the covariance
    assert frechet_distance(x, copies) == pytest.approx(spread * (1 - math.sqrt((n - 1) / (n - 0.5))) ** 2, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_invariance(shape):
    (x, y), rng = samples(shape), np.random.default_rng(1)
    want, q = frechet_distance(x, y), orthogonal(shape[2], rng)
    shift = 10 * rng.standard_normal(shape[2])
    assert frechet_distance(y, x) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(x @ q + shift, y @ q + shift) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(rng.permutation(x), rng.permutation(y)) == pytest.approx(want, rel=1e-9)
    for scale in (100, 2.0**40, 2.0**-40):  # squares of the last two would not all be numbers in single precision
        assert frechet_distance(scale * x, scale * y) == pytest.approx(scale**2 * want, rel=1e-9)


@pytest.mark.verifies("frechet.9")
@pytest.mark.parametrize("n, d", [(100, 1), (30, 7)])
def test_expectation_for_the_standard_normal_in_closed_form(device, n, d):
    assert expected_frechet_distance(to_device(np.eye(d), device), n) == pytest.approx((2 * d + d * (d + 1) / 2) / n, rel=1e-12)
    degenerate = to_device(np.diag([1.0] * d + [0.0, 0.0]), device)
    assert expected_frechet_distance(degenerate, n) == pytest.approx((2 * d + d * (d + 1) / 2) / n, rel=1e-12)


@pytest.mark.verifies("frechet.9")
def test_expectation_between_draws_of_one_gaussian():
    """The mean of 400 distances; a false alarm has probability 1e-6. Terms of the second order are 1/n = 0.05 % of it."""
    n, spread = 2000, np.array([2.0, 1.0, 0.3])
    rng, q = np.random.default_rng(0), orthogonal(3, np.random.default_rng(1))
    found = [frechet_distance(*(rng.standard_normal((2, n, 3)) * spread @ q)) for _ in range(400)]
    want = expected_frechet_distance(q.T * spread**2 @ q, n)
    assert abs(np.mean(found) - want) < 4.9 * np.std(found, ddof=1) / 20 + want / n


def test_single_precision_moments_are_taken_in_double():
    rng = np.random.default_rng(0)
    single = [a.astype(np.float32) for a in (rng.standard_normal(4), covariance(4, rng), rng.standard_normal(4), covariance(4, rng))]
    double = [a.astype(np.float64) for a in single]
    assert frechet_distance_gaussians(*single) == pytest.approx(frechet_distance_gaussians(*double), rel=1e-12)
    assert expected_frechet_distance(single[1], 9) == pytest.approx(expected_frechet_distance(double[1], 9), rel=1e-12)


def test_whole_numbers_and_half_precision():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (80, 5)), rng.integers(0, 200, (70, 5))
    want = frechet_distance(x.astype(float), y.astype(float))
    for dtype in (np.uint8, np.int64, np.float16, np.float32):
        assert frechet_distance(x.astype(dtype), y.astype(dtype)) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(x.astype(np.float32), y.astype(float)) == pytest.approx(want, rel=1e-9)
    assert frechet_distance(x + 2**25, y + 2**25) == pytest.approx(want, rel=1e-9)  # float32 knows no odd number there
    a, b = x.astype(np.float32), y / 3
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a.astype(float), b), rel=1e-12)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a.astype(float), b), rel=1e-12)
    assert frechet_distance((x > 99), (y > 99)) == pytest.approx(frechet_distance((x > 99) * 1.0, (y > 99) * 1.0), rel=1e-9)
    assert frechet_distance_gaussians(np.array([0]), np.array([[4]]), np.array([1]), np.array([[9]])) == pytest.approx(2)


X, I2, Z2 = np.ones((3, 2)), np.eye(2), np.zeros(2)
HOLED = np.where(np.arange(6).reshape(3, 2) == 3, math.nan, X)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: frechet_distance(np.ones(3), X), ValueError, r"x has shape \(3,\)"),
        (lambda: frechet_distance(X, np.ones((3, 2, 2))), ValueError, r"y has shape \(3, 2, 2\)"),
        (lambda: frechet_distance(X, np.ones((3, 0))), ValueError, r"y has shape \(3, 0\)"),
        (lambda: frechet_distance(X, np.ones((3, 1))), ValueError, "x has D = 2 columns and y has 1"),
        (lambda: frechet_distance(X[:1], X), ValueError, "x has n = 1 rows; expected at least 2"),
        (lambda: frechet_distance(X, X[:1]), ValueError, "y has n = 1 rows; expected at least 2"),
        (lambda: frechet_distance(HOLED, X), ValueError, "x has NaN"),
        (lambda: frechet_distance(X, X * math.inf), ValueError, "y has NaN or inf"),
        (lambda: frechet_distance([[1.0]], X), TypeError, "x is list"),
        (lambda: frechet_distance(X, X.astype(complex)), TypeError, "y is complex"),
        (lambda: frechet_distance(Tensor(X), X), TypeError, "x is a Tensor"),
        (lambda: frechet_distance_gaussians(Z2, I2, np.zeros(3), np.eye(3)), ValueError, r"mu2 has shape \(3,\)"),
        (lambda: frechet_distance_gaussians(Z2, np.eye(3), Z2, I2), ValueError, r"cov1 \(3, 3\)"),
        (lambda: frechet_distance_gaussians(np.eye(2), I2, Z2, I2), ValueError, r"mu1 has shape \(2, 2\)"),
        (lambda: frechet_distance_gaussians(Z2 * math.nan, I2, Z2, I2), ValueError, "mu1 or cov1 has NaN"),
        (lambda: frechet_distance_gaussians(Z2, I2, Z2, np.full((2, 2), math.inf)), ValueError, "mu2 or cov2 has NaN"),
        (lambda: frechet_distance_gaussians(Z2, I2, Z2, np.array([[1.0, 0.5], [0.0, 1.0]])), ValueError, "cov2 is not symmetric"),
        (lambda: frechet_distance_gaussians(Z2, -I2, Z2, I2), ValueError, "cov1 has a negative eigenvalue"),
        (lambda: expected_frechet_distance(np.ones((2, 3)), 5), ValueError, r"cov has shape \(2, 3\)"),
        (lambda: expected_frechet_distance(I2, 1), ValueError, "n is 1"),
        (lambda: expected_frechet_distance(I2 * math.nan, 5), ValueError, "cov has NaN"),
        (lambda: Moments.of(np.ones(3)), ValueError, "x has shape"),
        (lambda: Moments.of(np.ones((1, 3))).cov, ValueError, "n is 1; expected at least 2"),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_sets_on_different_devices(install_standin):
    with pytest.raises(TypeError, match="x and y are on different devices"):
        frechet_distance(X, to_device(X))


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.verifies("frechet.10")
def test_extrapolation_to_infinitely_many_samples(shift):
    # the truth is shift² D; with finite samples the distance is above it, for equal distributions by what is expected
    rng, d = np.random.default_rng(0), 4
    draw = lambda: (rng.standard_normal((200, d)), shift + rng.standard_normal((250, d)))
    pairs = [draw() for _ in range(60)]
    bias = np.mean([frechet_distance(x, y[:200]) for x, y in pairs]) - shift**2 * d
    found = np.array([frechet_distance_infinity(x, y, rng) for x, y in pairs])
    truth, error = shift**2 * d, 4.9 / 60**0.5  # two-sided false-alarm rate 1e-6
    left = 0.1 * expected_frechet_distance(np.eye(d), 200)  # the second order, which a straight line does not see
    assert abs(found[:, 0].mean() - truth) < error * found[:, 0].std() + left
    assert shift or bias > 8 * left > 2 * abs(found[:, 0].mean())
    assert np.all(found[:, 1] > 0)


def test_the_extrapolation_is_a_line_in_1_over_n(monkeypatch):
    from minigen.metrics import frechet

    sizes = []

    def exact(x, y):
        assert len(x) == len(y) and len(np.unique(x)) == len(x) and len(np.unique(y)) == len(y)
        sizes.append(len(x))
        return 3 + 7 / len(x) + (len(sizes) % 2 - 0.5) * 1e-3

    monkeypatch.setattr(frechet, "frechet_distance", exact)
    found = frechet.frechet_distance_infinity(np.arange(200.0)[:, None], np.arange(300.0)[:, None], np.random.default_rng(0))
    assert len(sizes) == 15 and sizes[0] == 20 and sizes[-1] == 200 and sizes == sorted(sizes)
    design = np.stack([np.ones(15), 1 / np.array(sizes)], axis=1)
    values = 3 + 7 / np.array(sizes) + (np.arange(1, 16) % 2 - 0.5) * 1e-3
    coefficients, residuals, _, _ = np.linalg.lstsq(design, values, rcond=None)
    np.testing.assert_allclose(found.mean, coefficients[0], rtol=1e-12)
    np.testing.assert_allclose(found.standard_error**2, residuals[0] / 13 * np.linalg.inv(design.T @ design)[0, 0], rtol=1e-6)


def test_the_spatial_distance_sees_places(device):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3, 2, 4)), rng.standard_normal((30, 3, 2, 4)) + rng.standard_normal((3, 2, 1))
    want = frechet_distance(x[..., :2].reshape(40, -1), y[..., :2].reshape(30, -1))
    np.testing.assert_allclose(spatial_frechet_distance(*to_device((x, y), device), channels=2), want, rtol=1e-9)
    big = rng.standard_normal((5, 2, 2, 9))
    assert spatial_frechet_distance(big, 2 * big) == frechet_distance(big[..., :7].reshape(5, -1), 2 * big[..., :7].reshape(5, -1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet_distance_infinity(x[:19], x, np.random.default_rng(0)), "x has n = 19 rows; expected at least 20"),
        (lambda x: frechet_distance_infinity(x, x, np.random.default_rng(0), 2), "points is 2; expected at least 3"),
        (lambda x: spatial_frechet_distance(x, x), r"x has shape \(40, 2\); expected \(n, H, W, C ≥ 7\)"),
        (lambda x: spatial_frechet_distance(x.reshape(5, 2, 1, 8), x.reshape(5, 1, 2, 8)), r"y has shape \(5, 1, 2, 8\)"),
        (lambda x: spatial_frechet_distance(*[x.reshape(5, 2, 1, 8)] * 2, channels=9), "C ≥ 9"),
    ],
)
def test_what_is_wrong_with_further_arguments_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).standard_normal((40, 2)))
