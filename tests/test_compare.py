"""The comparison's protocol: who sees which data, what is judged, and that every row is judged alike."""

import json

import numpy as np
import pytest

from minigen import compare
from minigen.cli import main
from minigen.data import digits
from minigen.families.common import best_on_validation
from minigen.metrics import frechet_distance


@pytest.fixture(scope="module")
def data():
    return compare.load("digits", 0, "cpu", quick=True)


def test_the_parts_are_disjoint_and_whole():
    parts = compare.split(1797, np.random.default_rng(0))
    assert [len(p) for p in parts] == [1079, 359, 359]
    assert sorted(np.concatenate(parts).tolist()) == list(range(1797))
    assert not np.array_equal(parts[1], compare.split(1797, np.random.default_rng(1))[1])


def test_models_see_dequantised_levels_and_samples_are_put_back_on_them(data):
    levels = np.rint(digits()[0] * 16).reshape(1797, 64)
    train, validation, test = compare.split(1797, np.random.default_rng(0))
    for part, rows in (("train", train), ("validation", validation), ("test", test)):
        x = getattr(data, part)
        np.testing.assert_array_equal(np.floor(x * 17), levels[rows])
        assert x.dtype == np.float32 and np.all((x - levels[rows] / 17 >= -1e-6) & (x < 1))
        np.testing.assert_array_equal(data.judge(x), data.judged[part])
        np.testing.assert_allclose(data.judged[part], levels[rows] / 16, rtol=1e-6)
    assert len(data.more) == 10 * len(data.train) and not np.array_equal(data.more[:1079], data.more[1079:2158])
    np.testing.assert_array_equal(np.floor(data.more[1079:2158] * 17), levels[train])
    np.testing.assert_array_equal(np.unique(data.judge(np.array([[-3.0, 0.0, 0.5, 1.0, 7.0]]))), [0, 0.5, 1])


def test_held_out_real_data_scores_best_and_noise_worst(data):
    real = compare.judge(data, data.judged["validation"])
    noise, bits = compare.noise(data, len(data.test), np.random.default_rng(0))
    bad = compare.judge(data, noise)
    assert noise.shape == data.test.shape and set(np.unique(noise)) <= set(np.arange(17, dtype=np.float32) / np.float32(16))
    np.testing.assert_allclose(bits, np.log2(17))
    assert real["frechet"] < 0.2 * bad["frechet"]
    assert real["precision"] > bad["precision"] + 0.4 and real["coverage"] > bad["coverage"] + 0.5
    f = data.features
    np.testing.assert_allclose(real["frechet"], frechet_distance(f(data.judged["test"]), f(data.judged["validation"])))


def test_bits_of_a_uniform_density_are_those_of_the_levels(data):
    np.testing.assert_allclose(compare.likelihood(data, lambda x: np.zeros(len(x))), [np.log2(17), 0])
    mean, error = compare.likelihood(data, lambda x: np.arange(len(x)) * 1.0)
    values = np.log2(17) - np.arange(359) / (64 * np.log(2))
    np.testing.assert_allclose([mean, error], [values.mean(), values.std(ddof=1) / np.sqrt(359)])


def test_the_choice_is_made_on_validation_data_and_before_the_deadline():
    class Model:
        def __init__(self, h):
            self.h = h

        def log_prob(self, x):
            return -((self.h - x) ** 2)

    validation = np.full(3, 2.2)
    model, chosen = best_on_validation([1, 2, 3], Model, validation, np.inf)
    assert chosen == 2 and model.h == 2
    assert best_on_validation([1, 2, 3], Model, validation, -np.inf)[1] == 1


def test_nearest_is_the_nearest():
    rng = np.random.default_rng(0)
    x, train = rng.standard_normal((5, 3)), rng.standard_normal((20, 3))
    expected = [min(train, key=lambda t, q=q: np.linalg.norm(t - q)) for q in x]
    np.testing.assert_array_equal(compare.nearest(x, train), expected)


@pytest.mark.parametrize("name", ["digits", "moons"])
def test_the_command_writes_a_table_a_picture_and_numbers(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare, "FAMILIES", {k: compare.FAMILIES[k] for k in ("k-means", "PCA (PPCA)")})
    assert main(["compare", "--quick", "--data", name, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    rows = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    assert list(rows) == ["held-out real", "k-means", "PCA (PPCA)", "noise"]
    assert "bits_per_dim" not in rows["k-means"] and rows["PCA (PPCA)"]["kind"] == "exact"
    assert all(0 <= r["precision"] <= 1 and 0 <= r["coverage"] <= 1 and r["frechet"] >= 0 for r in rows.values())
    assert all(line in text for line in rows) and "validation" in text
    assert (tmp_path / f"compare_{name}.png").stat().st_size > 10_000


def test_an_unknown_data_set_lists_the_known_ones(capsys):
    assert main(["compare", "--data", "cats"]) == 2
    assert "digits, mnist10k" in capsys.readouterr().out


def test_the_kind_of_a_likelihood(data):
    deadline = -np.inf
    kinds = {}
    for name in compare.FAMILIES:
        if name not in ("k-means", "PCA (PPCA)", "KDE", "Gaussian mixture"):
            continue
        model, log_prob, kind, _ = compare.FAMILIES[name](data, np.random.default_rng(0), True, deadline)
        kinds[name] = kind
        assert (log_prob is None) == (kind == "—")
        assert model.sample(3, np.random.default_rng(0)).shape == (3, 64)
    assert kinds == {"k-means": "—", "PCA (PPCA)": "exact", "KDE": "exact", "Gaussian mixture": "exact"}
