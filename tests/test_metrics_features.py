"""The spaces in which images are compared: a classifier's hidden layer, Inception's, a random projection's."""

import json

import numpy as np
import pytest

from minigen import to_device, to_host
from minigen.data import digits
from minigen.metrics import digit_features, features, frechet_distance, identity_features, inception_v3, random_features, score_name
from minigen.metrics.features import Inception, train_features
from minigen.nn import Linear
from minigen.nn.inception_v3 import Activations, resize
from minigen.tree import leaves
from tests.test_nn_inception_v3 import random_state


def images(n=120, seed=0):
    """Noisy images (n, 4, 4, 1) with a bright row, and which row it is."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    x = 0.2 * rng.standard_normal((n, 4, 4, 1))
    x[np.arange(n), y] += 1
    return x.astype(np.float32), y


def trained(device="cpu", seed=0):
    x, y = images()
    return train_features(to_device(x, device), to_device(y, device), np.random.default_rng(seed), hidden=(32, 8), steps=150)


def test_features_are_the_last_hidden_layer_of_a_classifier_that_works(device):
    model = trained(device)
    x, y = images(seed=1)
    x = to_device(x, device)
    features = model(x)
    assert features.shape == (120, 8) and features.dtype == np.float32 and type(features) is type(x)
    assert np.all(to_host(features) >= 0)  # after relu
    assert np.mean(to_host(model.predict(x)) == y) > 0.95
    last = model.network.layers[-1]
    np.testing.assert_allclose(to_host(model.logits(x)), to_host(features @ last.weight + last.bias), rtol=1e-4, atol=1e-5)
    p = to_host(model.probabilities(x))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert np.array_equal(p.argmax(axis=1), to_host(model.predict(x)))


def test_features_are_the_same_for_the_same_generator():
    x, _ = images()
    assert np.array_equal(trained()(x), trained()(x))
    assert not np.array_equal(trained()(x), trained(seed=1)(x))


def test_noise_on_the_training_images_drowns_what_is_weaker():
    y = np.arange(200) % 8
    x = np.eye(8)[y]
    shares = [np.mean(train_features(x, y, np.random.default_rng(0), steps=60, noise=noise).predict(x) == y) for noise in (0.1, 1e6)]
    assert shares[0] == 1 and shares[1] < 1


def test_features_tell_images_of_other_classes_apart():
    model, (x, y) = trained(), images(400, seed=2)
    same = frechet_distance(model(x[:200]), model(x[200:]))
    assert frechet_distance(model(x[y < 2]), model(x[y >= 2])) > 20 * same


@pytest.mark.parametrize(
    "y, message",
    [(np.zeros(5, int), r"expected an integer array \(120,\)"), (np.zeros(120), "y is float64"), (-np.ones(120, int), "from -1 to -1")],
)
def test_wrong_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        train_features(images()[0], y, np.random.default_rng(0))


@pytest.mark.parametrize(
    "x, y, message",
    [
        (np.full((4, 2), np.nan), np.array([0, 1, 0, 1]), "x has NaN"),
        (np.zeros(4), np.array([0, 1, 0, 1]), r"x has shape \(4,\)"),
        (np.zeros((4, 2)), np.zeros(4, int), "y has one class only"),
    ],
)
def test_what_no_classifier_can_learn_is_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        train_features(x, y, np.random.default_rng(0))


# ---- Without a network ----
def test_identity_features_are_the_pixels(device):
    x = to_device(images(5)[0], device)
    found = identity_features()(x)
    assert type(found) is type(x) and np.array_equal(to_host(found), to_host(x).reshape(5, 16))
    assert score_name("sliced Wasserstein", identity_features()) == "sliced Wasserstein on pixels"


@pytest.mark.verifies("features.1")
def test_random_features_keep_distances(device):
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32)
    d, draws = 40, 50
    extractors = [random_features(20, d, seed) for seed in range(draws)]
    found = [to_host(e(to_device(x, device))) for e in extractors]
    assert found[0].shape == (2, d) and found[0].dtype == np.float32
    ratio = np.array([np.sum((a[0] - a[1]) ** 2) for a in found]) / np.sum((x[0] - x[1]) ** 2)
    assert abs(ratio.mean() - 1) < 4.9 * (2 / d / draws) ** 0.5  # two-sided false-alarm rate 1e-6
    assert 0.5 < ratio.std() / (2 / d) ** 0.5 < 1.6
    assert np.array_equal(found[0], to_host(random_features(20, d, 0)(to_device(x, device))))
    assert extractors[0].name != extractors[1].name and "seed 1" in extractors[1].name and "40" in extractors[0].name


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: random_features(4)(np.zeros((3, 5))), "x has D = 5 numbers a datum; expected 4"),
        (lambda: random_features(0), "n_in is 0"),
        (lambda: random_features(3, 1.5), "n_out is 1.5"),
        (lambda: identity_features()(np.full((2, 2), np.inf)), "x has NaN or infinite"),
        (lambda: identity_features()(np.zeros((0, 2))), "x has n = 0 rows"),
    ],
)
def test_wrong_arguments_of_extractors_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- Digits ----
@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "minigen"


def test_digit_features_are_trained_once_and_kept(cache, monkeypatch):
    first = digit_features(steps=30)
    kept = list(cache.iterdir())
    assert len(kept) == 1 and not kept[0].name.endswith(".part")
    x = digits()[0][:50]
    kept[0].write_bytes(kept[0].read_bytes()[:1000])  # damaged: trained again, to the same
    assert np.array_equal(digit_features(steps=30)(x), first(x))
    monkeypatch.setattr(features, "train_features", None)
    again = digit_features(steps=30)
    assert np.array_equal(again(x), first(x)) and again.name == first.name == "features of a classifier of digits"
    assert first(x).shape == (50, 64)


def test_digit_features_need_no_folder_to_write_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert digit_features(steps=2)(digits()[0][:3]).shape == (3, 64)


def test_digit_features_know_digits_that_they_never_saw(cache):
    x, y = digits()
    model = digit_features(steps=300)
    held_out = np.mean(model.predict(x[1000:]) == y[1000:])
    assert held_out > 0.93
    assert features.DIGITS == 1000 and held_out < np.mean(model.predict(x[:1000]) == y[:1000])


# ---- Inception ----
class Fake:
    """Stands for a network: its activations are sums over what it was given, which it keeps."""

    def __init__(self):
        self.seen, self.classifier, self.fid = [], Linear(None, np.array([0.0, 1.0], np.float32)), True

    def __call__(self, x):
        self.seen.append(x)
        return Activations(x.sum((1, 2)), np.tile(x.sum((1, 2, 3))[:, None, None, None], (1, 2, 2, 9)), np.tile([[0.0, 1.0]], (len(x), 1)))


def test_images_become_what_the_network_takes(device):
    levels = np.random.default_rng(0).integers(0, 256, (5, 299, 299, 1)).astype(np.float32)
    x = to_device(levels / 255, device)
    for convention, want in (("torch-fidelity", (levels - 128) / 128), ("pytorch-fid", levels / 127.5 - 1)):
        network = Fake()
        found = Inception(network, "", convention, batch_size=2).activations(x)
        assert [len(a) for a in network.seen] == [2, 2, 1] and found.spatial.shape == (5, 2, 2, 7)
        seen = np.concatenate([to_host(a) for a in network.seen])
        assert seen.dtype == np.float32
        np.testing.assert_allclose(seen, np.broadcast_to(want, (5, 299, 299, 3)), atol=1e-5)


def test_images_are_resized_as_the_convention_says():
    x = np.random.default_rng(0).random((1, 20, 30, 3), dtype=np.float32)
    for convention, want in (("torch-fidelity", (255 * resize(x) - 128) / 128), ("pytorch-fid", 2 * resize(x, centred=True) - 1)):
        network = Fake()
        Inception(network, "", convention)(x)
        np.testing.assert_allclose(network.seen[0], want, atol=1e-6)


def test_probabilities_with_and_without_the_bias():
    x = np.zeros((3, 8, 8, 3))
    extractor = Inception(Fake(), "")
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(extractor.probabilities(x), np.tile([1 - p, p], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(extractor.probabilities(x, bias=False), 0.5)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((2, 8, 8, 2)), "expected images"),
        (np.zeros((2, 64)), "expected images"),
        (np.full((2, 8, 8, 3), 255), "outside of"),
        (np.full((2, 8, 8, 3), np.nan), "NaN"),
    ],
)
def test_wrong_images_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        Inception(Fake(), "")(x)


def test_weights_are_read_from_either_kind_of_file(tmp_path):
    state = random_state(1008)
    np.savez(tmp_path / "w.npz", **state)
    header, place = {}, 0
    for name, a in state.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [place, place + a.nbytes]}
        place += a.nbytes
    text = json.dumps(header).encode()
    with open(tmp_path / "w.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in state.values()))
    by_npz, by_tensors = inception_v3(tmp_path / "w.npz"), inception_v3(tmp_path / "w.safetensors", "pytorch-fid")
    weights = [to_host(w) for w in leaves(by_npz.network)]
    assert len(weights) == 94 * 2 + 2
    assert all(np.array_equal(a, b) for a, b in zip(weights, leaves(by_tensors.network), strict=True))
    np.savez(tmp_path / "other.npz", **{**state, "fc.bias": state["fc.bias"] + 1})
    assert inception_v3(tmp_path / "other.npz").name != by_npz.name
    short = lambda extractor: extractor.name.split(",")[0]
    assert short(by_npz) == short(by_tensors) and by_npz.name.startswith("FID's Inception-V3 (weights ")
    assert by_npz.name.endswith("torch-fidelity)") and by_tensors.name.endswith("pytorch-fid)")


def test_files_without_such_weights_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match=r"w\.npz: fc.bias has shape"):
        inception_v3(tmp_path / "w.npz")
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"w\.safetensors: no safetensors file"):
        inception_v3(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"expected a file \.npz or \.safetensors"):
        inception_v3(tmp_path / "w.pth")
    with pytest.raises(ValueError, match="convention is 'mine'"):
        inception_v3(tmp_path / "w.npz", "mine")
