"""The critic's two demos: what they compute from scores by its definition, and that they run from the data to the figures."""

import math

import numpy as np
import pytest

from minigen.backend import array_module, to_device
from minigen.cli import load_demo
from minigen.data import SHAPES, TEST_CLASSES, TRAIN_CLASSES, shapes

critic, study = load_demo("critic"), load_demo("critic_scores")
Y = np.repeat(np.arange(10), 4)


def test_the_constants_name_what_they_say():
    assert [TEST_CLASSES[c] for c in critic.TRAINED_ON] == list(TRAIN_CLASSES)
    assert sorted(critic.TRAINED_ON + study.NOVEL) == list(range(10))
    assert str(TEST_CLASSES[critic.REFERENCE]) == "square (0.85, +) 0.03"
    for a, b in critic.PAIRS:
        assert TEST_CLASSES[a][:3] == TEST_CLASSES[b][:3] and (TEST_CLASSES[a].noise, TEST_CLASSES[b].noise) == (0.03, 0.01)
    assert len(critic.PAIRS) == sum(c.noise == 0.01 for c in TEST_CLASSES)
    full = critic.size_of(False, True)
    assert (full.side, full.copies, full.epochs, critic.BATCH, critic.COPIES) == (64, 300, (10, 20, 100, 200), 8, 40)
    assert critic.size_of(False, False).epochs == full.epochs and critic.size_of(False, False).copies == full.copies


# ---- Separation ----
def test_separation_counts_pairs_of_classes():
    s = 10.0 * Y + np.tile([0.0, 1, 2, 3], 10)
    between = pytest.approx(825 / (825 + 1.25), rel=1e-12)
    assert critic.separation(s, Y) == {"pairs_apart": 1.0, "worst_auc": 1.0, "eta_squared": between}
    s[Y == 3] = s[Y == 7]  # one of the 45 pairs is lost
    assert critic.separation(-s, Y)["pairs_apart"] == pytest.approx(44 / 45)
    assert critic.separation(s, Y)["worst_auc"] == 0.5


@pytest.mark.parametrize(
    ("triangles", "outside"),
    [([-3, -2, -1], True), ([7, 8, 9], True), ([3.5, 3.6, 3.7], False), ([-1, 3.5, 3.6], False), ([3, 8, 9], False)],
)
def test_triangles_are_outside_on_either_side(triangles, outside):
    assert [c.shape == "triangle" for c in TEST_CLASSES] == [False] * 7 + [True] * 3
    assert critic.triangles_outside(np.array([0.0, 1, 2, 3, 4, 5, 6, *triangles])[Y], Y) == outside


def test_image_error_is_the_noise_of_real_images_and_the_distance_of_others():
    x, _, _ = shapes(50, np.random.default_rng(0), 16)
    assert critic.image_error(x) == pytest.approx(0.03, abs=4.9 * 0.03 / math.sqrt(2 * 768))
    clean, _, _ = shapes(1, np.random.default_rng(0), 16, [c._replace(noise=0.0) for c in TRAIN_CLASSES])
    assert critic.image_error(clean) == 0
    assert critic.image_error(np.concatenate([clean, clean]) + np.float32(0.2)) == pytest.approx(0.2, rel=1e-5)


# ---- What explains scores ----
def test_each_factor_explains_what_is_made_of_it():
    _, _, f = shapes(1, np.random.default_rng(0), 2, TEST_CLASSES)
    for means, factor in ((f["area"], "area"), (2 * f["base"] - f["sign"], "colour"), (f["noise"], "noise")):
        shares = study.explain(3 * means + 1)
        assert list(shares) == ["area", "colour", "noise"]
        assert max(shares, key=shares.get) == factor
        assert sum(shares.values()) == pytest.approx(1)


def test_sized_objects_have_the_area_they_are_said_to_have():
    x, shape, area = study.sized(32, 9)
    assert x.shape == (27, 32, 32, 3) and x.dtype == np.float32 and shape.tolist() == sorted(list(range(3)) * 9)
    for i, of_square in enumerate((1.0, np.pi / 4, 0.5)):
        np.testing.assert_allclose(area[shape == i], of_square * np.linspace(0.3, 0.7, 9) ** 2, atol=0.003)
    np.testing.assert_allclose(x.mean(axis=(1, 2)), area[:, None] * np.array([0.7, 0.8, 0.9]), rtol=1e-5)
    assert study.of_area_alone(area**2 - 3 * area, area) == pytest.approx(1)
    by_shape = (shape == SHAPES.index("circle")) * 1.0
    assert study.of_area_alone(by_shape, area) < 0.5


# ---- Scores for a second model ----
def test_nearest_neighbours_by_their_definition():
    rng = np.random.default_rng(0)
    columns, labels, queries, truth = rng.normal(size=(30, 2)), rng.integers(0, 3, 30), rng.normal(size=(40, 2)), rng.integers(0, 3, 40)
    columns[:, 1] *= 1000  # units do not matter
    queries[:, 1] *= 1000
    scale, right = columns.std(axis=0), 0
    for q, t in zip(queries, truth, strict=True):
        near = sorted(range(30), key=lambda i: (((q - columns[i]) / scale) ** 2).sum())[:5]
        right += max(range(3), key=lambda c: sum(labels[i] == c for i in near)) == t
    assert study.knn_accuracy(columns, labels, queries, truth) == right / 40
    assert study.knn_accuracy(columns, labels, columns, labels, k=1) == 1


def test_columns_are_those_that_their_names_say():
    rng = np.random.default_rng(0)
    (x, labels, _), (queries, truth, _) = (shapes(10, rng, 8, TEST_CLASSES) for _ in range(2))
    index = {a.tobytes(): float(c) for images, c in ((x, labels), (queries, truth)) for a, c in zip(images, c, strict=True)}
    knows = lambda images: np.array([[index[a.tobytes()], -index[a.tobytes()]] for a in images]) + 1e-6 * rng.normal(size=(len(images), 2))
    blind = lambda images: rng.normal(size=(len(images), 2))
    found = study.embed((x, queries), labels, truth, knows, blind)
    assert found["score"] == found["scores of all trainings"] == 1
    assert found["untrained score"] < 0.35 and found["scores of as many untrained"] < 0.35
    assert found["brightness"] < found["brightness + score"]
    assert found["brightness + untrained score"] < found["brightness + score"]
    assert found["brightness"] < found["brightness + contrast"] <= 1


# ---- Rejection ----
def test_high_and_typical_reject_what_they_should():
    """Outside, six classes lie below the inside and two above it: the high test accepts a quarter of the outside."""
    rng = np.random.default_rng(0)
    place = dict.fromkeys(study.NOVEL, -50.0) | dict.fromkeys(study.NOVEL[:2], 50.0) | dict.fromkeys(critic.TRAINED_ON, 0.0)
    y = np.repeat(np.arange(10), 40)
    x, calibration = np.array([place[c] for c in y]) + rng.normal(size=400), rng.normal(size=400)
    found = study.rejection({"critic": lambda v: v}, calibration, x, y)
    assert list(found) == ["critic, high", "critic, typical"]
    (_, high, accepted), (_, typical, typically) = found.values()
    assert high == 0.75 and typical == 1
    assert accepted[study.NOVEL].tolist() == [1, 1, 0, 0, 0, 0, 0, 0] and not typically[study.NOVEL].any()
    for share in (accepted, typically):  # 5 % and four standard errors, of 200 that set the threshold and 80 that meet it
        assert abs(np.mean(share[critic.TRAINED_ON]) - 0.95) < 4.9 * math.sqrt(0.95 * 0.05 * (1 / 200 + 1 / 80))
    false, true = found["critic, high"][0]
    assert np.sum(np.diff(false) * true[1:]) == pytest.approx(high)
    strict = study.rejection({"critic": lambda v: v}, calibration, x, y, level=0.5)["critic, high"][2]
    assert np.mean(strict[critic.TRAINED_ON]) < 0.8


def test_likelihoods_know_the_training_classes():
    rng = np.random.default_rng(0)
    x, _, _ = shapes(40, rng, 8)
    inside, outside = shapes(20, rng, 8)[0], shapes(20, rng, 8, [TEST_CLASSES[c] for c in (2, 5, 6, 7)])[0]
    models = study.densities(x, rng)
    assert list(models) == ["mixture", "kernel", "PPCA"]
    for log_prob in models.values():
        assert log_prob(inside).shape == (40,) and log_prob(inside).min() > log_prob(outside).max()


# ---- From the data to the figures ----
SMALL = critic.Size(8, 12, (1, 2), 2, 2, (4, 8))


def test_training_takes_the_epochs_it_is_told_and_depends_on_its_seed_alone():
    x, _, _ = shapes(12, np.random.default_rng(0), 8)
    first, again, other = (critic.train(x, SMALL, 2, [0, i]) for i in (1, 1, 2))
    assert len(first.history["gap"]) == 2 * 24 / 8
    a, b, c = (critic.score(model, x, "cpu") for model in (first, again, other))
    assert a.shape == (24,) and a.dtype == np.float64 and np.array_equal(a, b) and not np.allclose(a, c)


def test_scores_are_the_critics_on_every_device(device):
    model = critic.without_training(np.random.default_rng(0), SMALL)
    x, _, _ = shapes(60, np.random.default_rng(0), 8)
    s = critic.score(to_device(model, device), x, device)
    assert array_module(s) is np
    np.testing.assert_allclose(s, model.critic(x), rtol=1e-3, atol=1e-3)


def test_the_demos_run_and_measure(tmp_path, monkeypatch, capsys):
    for sizes in (critic.SIZES, study.critic.SIZES):
        monkeypatch.setitem(sizes, "quick", SMALL)
    found = critic.main(quick=True, out=tmp_path)
    assert list(found["stages"]) == ["0 epochs", "1 epoch", "2 epochs"]
    assert found["relative_scores"]["square (0.85, +) 0.03"] == 0
    assert found["image_error_real"] == pytest.approx(0.03, rel=0.1)
    found = study.main(quick=True, out=tmp_path)
    assert list(found["shares"]) == ["random 1", "random 2", "trained 1", "trained 2"]
    assert all(0 <= r["auc"] <= 1 for r in found["rejection"].values()) and len(found["rejection"]) == 8
    assert {p.name for p in tmp_path.iterdir()} == {f"critic{part}.png" for part in ("", "_stages", "_scores", "_rejection")}
