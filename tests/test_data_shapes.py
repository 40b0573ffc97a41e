"""The coloured shapes: geometry by counting points, colours and noise by their statistics."""

import numpy as np
import pytest

from minigen.backend import array_module, to_device
from minigen.data import SHAPES, TEST_CLASSES, TRAIN_CLASSES, ShapeClass, shapes
from minigen.data.shapes import coverage

Z = 5.5  # false-alarm rate below 1e-6 for a few dozen z-scores


def rng_of(seed=0):
    return np.random.default_rng(seed)


def clean(**options):
    """One image of each shape, without noise."""
    return shapes(1, rng_of(), classes=[(s, 1.0, 1, 0.0) for s in SHAPES], **options)


def inside(shape, x, y):
    """Whether points, in units of the bounding box [−1, 1]², belong to the shape; y points down."""
    return {"square": x**2 <= 1, "circle": x**2 + y**2 <= 1, "triangle": np.abs(x) <= (y + 1) / 2}[shape]


# ---- Geometry ----
@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("size", [16, 33, 64])
@pytest.mark.parametrize("shape", SHAPES)
def test_coverage_is_the_part_of_each_pixel_that_lies_inside(shape, size, vary):
    x, _, f = shapes(6 if vary else 1, rng_of(1), size=size, classes=[(shape, 1.0, 1, 0.0)], vary=vary)
    fine = (np.arange(size * 20) + 0.5) / (size * 20)
    for image, centre, extent in zip(x, f["centre"], f["size"], strict=True):
        u, v = (fine - centre[0]) / (extent / 2), (fine[:, None] - centre[1]) / (extent / 2)
        exact = (inside(shape, u, v) & (np.abs(v) <= 1) & (np.abs(u) <= 1)).reshape(size, 20, size, 20).mean(axis=(1, 3))
        error = image[..., 0] - exact
        assert np.abs(error).max() < 0.36  # at a corner; elsewhere an edge is right to a few hundredths
        assert np.abs(error).mean() < 0.15 / size
        assert np.abs(error[~near(exact)]).max() < 0.05  # 20 × 20 points a pixel do not see a sliver of 1/40


def near(exact):
    """Pixels with a neighbour that the edge crosses."""
    crossed = np.pad((exact > 0) & (exact < 1), 1)
    n = len(exact)
    return np.any([crossed[1 + i : 1 + i + n, 1 + j : 1 + j + n] for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)


@pytest.mark.parametrize("size", [16, 64])
def test_areas_are_those_of_geometry(size):
    classes = [(s, 1.0, 1, 0.0) for s in SHAPES]
    x, _, f = shapes(100, rng_of(), size=size, classes=classes, vary=True)
    exact = np.array([1, np.pi / 4, 1 / 2])[f["shape"]] * f["size"] ** 2
    np.testing.assert_allclose(f["area"], exact, rtol=1e-12)
    found = x[..., 0].sum(axis=(1, 2), dtype=np.float64)
    assert np.abs(found - exact * size**2).max() < 2.5  # pixels
    u = (np.arange(size) + 0.5) / size
    drop = np.where(f["shape"] == 2, f["size"] / 6, 0)  # a triangle's centre of mass lies a third of its height above the base
    for axis, lower in ((1, 0), (2, drop)):
        moment = (x[..., 0].sum(axis=axis) * u).sum(axis=1) / found
        assert np.abs(moment - (f["centre"][:, axis - 1] + lower)).max() < 0.3 / size


def test_fixed_shapes_are_in_the_middle_and_half_as_wide_as_the_frame():
    x, _, f = clean(size=64)
    assert np.all(f["centre"] == 0.5) and np.all(f["size"] == 0.5)
    for image in x[..., 0]:
        rows, columns = (np.nonzero(image.sum(axis=a) > 0.3)[0] for a in (1, 0))
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 47, 16, 47)
        assert np.array_equal(image, image[:, ::-1])
    assert np.array_equal(x[:2], x[:2].swapaxes(1, 2))
    assert (x[2, :32, :, 0].sum() * 2.5) < x[2, 32:, :, 0].sum()  # the apex of the triangle is up


def test_varied_shapes_lie_in_the_frame_and_fill_their_ranges():
    _, _, f = shapes(2000, rng_of(), size=2, vary=True)
    s, c = f["size"], f["centre"]
    assert 0.3 <= s.min() < 0.301 and 0.699 < s.max() <= 0.7
    assert np.all(c - s[:, None] / 2 >= 0) and np.all(c + s[:, None] / 2 <= 1)
    place = (c - s[:, None] / 2) / (1 - s[:, None])
    uniform = np.sort(np.concatenate([place, ((s - 0.3) / 0.4)[:, None]], axis=1), axis=0)
    grid = (np.arange(len(s)) + 0.5) / len(s)
    assert np.abs(uniform - grid[:, None]).max() < 2.75 / np.sqrt(len(s))  # Kolmogorov: 2 exp(−2 · 2.75²) < 1e-6
    assert np.abs(np.corrcoef(np.concatenate([place, s[:, None]], axis=1).T) - np.eye(3)).max() < Z / np.sqrt(len(s))


# ---- Colour and noise ----
@pytest.mark.parametrize("base", [0.7, 0.85])
@pytest.mark.parametrize("sign", [1, -1])
def test_colours(base, sign):
    x, _, _ = shapes(1, rng_of(), size=16, classes=[("square", base, sign, 0.0)])
    np.testing.assert_allclose(x[0, 8, 8], [base, base + sign * 0.1, base + sign * 0.2], rtol=1e-6)
    assert np.all(x[0, 0] == 0)


def test_values_are_not_clipped():
    x, _, _ = shapes(20, rng_of(), size=16, classes=[("square", 0.85, 1, 0.03)])
    assert x[..., 2].max() > 1.1 and x.min() < -0.05


def test_noise_is_gaussian_of_its_deviation_independent_on_every_pixel_and_channel():
    classes = [("square", 0.7, 1, 0.03), ("square", 0.7, 1, 0.01), ("square", 0.7, 1, 0.0)]
    x, _, _ = shapes(40, rng_of(), size=16, classes=classes)
    quiet = x[-1]
    for e, sigma in ((x[:40] - quiet, 0.03), (x[40:80] - quiet, 0.01)):
        z = (e / sigma).reshape(40, -1).astype(np.float64)
        n = z.size
        for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs((z**power).mean() - moment) < Z * np.sqrt(variance / n)
        pairs = [(z[1:], z[:-1]), (z[:, 1:], z[:, :-1]), (z[:, 3:], z[:, :-3])]
        for a, b in pairs:
            assert abs((a * b).mean()) < Z / np.sqrt(a.size)
    assert np.array_equal(x[80], x[-1])


# ---- The data set ----
def test_shapes_types_and_order():
    x, y, f = shapes(3, rng_of(), size=8, classes=TEST_CLASSES)
    assert x.shape == (30, 8, 8, 3) and x.dtype == np.float32 and y.dtype == np.int64
    assert y.tolist() == [c for c in range(10) for _ in range(3)]
    for i in range(30):
        made = (SHAPES[f["shape"][i]], f["base"][i], f["sign"][i], f["noise"][i])
        assert made == TEST_CLASSES[y[i]]
    assert f.keys() == {*ShapeClass._fields, "centre", "size", "area"}
    assert all(v.shape == ((30, 2) if name == "centre" else (30,)) for name, v in f.items())


def test_the_classes_of_the_text():
    assert TRAIN_CLASSES == (("square", 0.7, 1, 0.03), ("circle", 0.85, -1, 0.03))
    assert len(set(TEST_CLASSES)) == 10 and set(TRAIN_CLASSES) < set(TEST_CLASSES)
    names = " ".join(map(str, TEST_CLASSES))
    assert names == (
        "square (0.7, +) 0.03 square (0.7, +) 0.01 square (0.85, +) 0.03 circle (0.85, −) 0.03 circle (0.85, −) 0.01 "
        "circle (0.85, +) 0.03 circle (0.7, −) 0.03 triangle (0.7, −) 0.03 triangle (0.7, −) 0.01 triangle (0.85, +) 0.03"
    )
    assert np.array_equal(shapes(2, rng_of())[0], shapes(2, rng_of(), 64, TRAIN_CLASSES, False)[0])


@pytest.mark.parametrize("vary", [False, True])
def test_the_generator_decides(vary):
    a, b, c = (shapes(2, rng_of(seed), size=8, vary=vary) for seed in (0, 0, 1))
    assert np.array_equal(a[0], b[0]) and all(np.array_equal(a[2][k], b[2][k]) for k in a[2])
    assert not np.array_equal(a[0], c[0]) and np.array_equal(a[2]["size"], c[2]["size"]) != vary


def test_a_generator_of_a_device_will_do(device):
    rng = array_module(to_device(np.zeros(1), device)).random.default_rng(0)
    x, _, f = shapes(2, rng, size=8, vary=True)
    assert isinstance(x, np.ndarray) and isinstance(f["centre"], np.ndarray)


def test_pixels_on_the_edge_are_half_covered():
    assert np.all(coverage("square", (0.5, 0.5), 14 / 15, 15)[0, 1:-1] == 0.5)


@pytest.mark.parametrize(
    "c",
    [("star", 0.7, 1, 0.03), ("square", float("nan"), 1, 0.03), ("square", 0.7, 0, 0.03), ("square", 0.7, 1, -0.1),
     ("square", 0.7, 1, float("nan")), ("square", "red", 1, 0.1), ("square", 0.7, 1), "square", 3],
)  # fmt: skip
def test_bad_classes(c):
    with pytest.raises(ValueError, match="classes holds"):
        shapes(1, rng_of(), classes=[TRAIN_CLASSES[0], c])


def test_bad_arguments():
    for n in (0, -1, 1.5):
        with pytest.raises(ValueError, match="n_per_class is"):
            shapes(n, rng_of())
        with pytest.raises(ValueError, match="size is"):
            shapes(1, rng_of(), size=n)
    with pytest.raises(ValueError, match="classes is empty"):
        shapes(1, rng_of(), classes=[])
    with pytest.raises(TypeError, match="rng is 7"):
        shapes(1, 7)
