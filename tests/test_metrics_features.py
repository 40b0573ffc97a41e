"""The classifier whose hidden layer is the space in which images are compared."""

import numpy as np
import pytest

from minigen import to_device, to_host
from minigen.metrics import frechet_distance, train_features


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
