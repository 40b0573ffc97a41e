"""Features: the spaces in which images are compared.

A distance between images is meaningful in the features of a network that had to understand them, and says little without the
name of that network: every extractor here has a `name`, for the score's. Extractors:

    train_features(x, y, rng)     a small classifier trained on labelled data; features are its last hidden layer
    digit_features()              such a classifier of the first 1,000 of the embedded digits, the same every time
    inception_v3(path)            Inception-V3 with weights from a file: what "FID" and "KID" stand on
    random_features(n_in)         a random projection, which understands nothing but keeps distances
    identity_features()           the pixels themselves

A classifier must have seen neither the reference nor the samples that it helps to judge. The projection of x ∈ ℝᴰ is Wᵀx ∈ ℝᵈ with
independent Wᵢⱼ ~ N(0, 1/d), so that (Johnson & Lindenstrauss 1984, "Extensions of Lipschitz mappings into a Hilbert space")

    E ‖Wᵀx − Wᵀy‖² = ‖x − y‖²,   with a relative standard deviation of √(2/d)                             (1)
"""

import contextlib
import functools
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minigen.backend import like, normal
from minigen.checks import as_floats, check_choice, check_count, check_labels, check_rng, check_rows
from minigen.data.readers import digits, npz, safetensors
from minigen.functions import log_softmax, relu, softmax
from minigen.nn import MLP
from minigen.nn.inception_v3 import InceptionV3, resize
from minigen.optim import Adam, cosine
from minigen.saving import load, save
from minigen.train import minimise
from minigen.tree import leaves, tree_map

DIGITS, HIDDEN, RESIZING = 1000, (128, 64), ("torch-fidelity", "pytorch-fid")


def score_name(score, features):
    """What to call a score on features: it says which.

    >>> score_name("Fréchet distance", identity_features())
    'Fréchet distance on pixels'
    """
    return f"{score} on {features.name}"


def batch_of(x, name="x"):
    """x (n, …) as floats, finite, or a clear error."""
    x = as_floats(x, name)
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise ValueError(f"{name} has shape {x.shape}; expected (n, …)")
    check_rows(x, 1, name)
    return x


# ---- Without a network ----
@dataclass
class Identity:
    """The pixels of x (n, …) as features (n, D)."""

    name: str = "pixels"

    def __call__(self, x):
        """Features, (n, D)."""
        x = batch_of(x)
        return np.reshape(x, (x.shape[0], -1))


@dataclass
class Projection:
    """Random features Wᵀx (n, d) of x (n, …)."""

    weight: np.ndarray = field(metadata={"static": True})  # (D, d)
    name: str

    def __call__(self, x):
        """Features, (n, d)."""
        x = Identity()(x)
        if x.shape[1] != self.weight.shape[0]:
            raise ValueError(f"x has D = {x.shape[1]} numbers a datum; expected {self.weight.shape[0]}, as the projection has rows")
        return x @ like(x, self.weight.astype(x.dtype))  # (1)


def identity_features():
    """The extractor that leaves images as they are."""
    return Identity()


def random_features(n_in, n_out=64, seed=0):
    """A random projection from D = n_in numbers a datum to n_out, which the seed determines and the name tells."""
    check_count("n_in", n_in)
    check_count("n_out", n_out)
    weight = np.random.default_rng(seed).standard_normal((n_in, n_out)) / n_out**0.5  # (1)
    return Projection(weight, f"a random projection to {n_out} (seed {seed})")


# ---- Classifiers ----
@dataclass
class Classifier:
    """A network of labels. Called on x (n, …) it gives the features (n, d) of its last hidden layer."""

    network: MLP
    name: str = "a classifier's features"

    def hidden(self, x):
        """The last hidden layer, (n, d)."""
        x = np.reshape(x, (x.shape[0], -1))
        for layer in self.network.layers[:-1]:
            x = self.network.activation(layer(x))
        return x

    def logits(self, x):
        """Scores of the classes, (n, C)."""
        return self.network.layers[-1](self.hidden(x))

    def probabilities(self, x):
        """p(y|x), (n, C)."""
        return softmax(self.logits(batch_of(x)))

    def predict(self, x):
        """The most probable class, (n,)."""
        return np.argmax(self.logits(batch_of(x)), axis=-1)

    def __call__(self, x):
        """Features, (n, d)."""
        return self.hidden(batch_of(x))


def train_features(x, y, rng, hidden=HIDDEN, steps=1500, noise=0.1, progress=False, name="a classifier's features"):
    """A Classifier of labels y (n,) in 0 … C − 1, trained on x (n, …) by cross-entropy. Noise on x keeps it from learning pixels by heart.

    Deterministic given rng. Raises TypeError or ValueError where x holds no finite numbers or y does not fit it.
    """
    check_rng(rng)
    x = batch_of(x)
    classes = check_labels(y, x.shape[0])
    if classes < 2:
        raise ValueError("y has one class only; expected labels of two or more")
    x = np.reshape(x, (x.shape[0], -1)).astype(np.float32)
    one_hot = like(x, np.eye(classes))[y]
    network = tree_map(lambda w: like(x, w), MLP.init(rng, [x.shape[1], *hidden, classes], relu))

    def cross_entropy(model, batch, rng):
        x, target = batch
        x = x + noise * normal(rng, x.shape, x)
        return -np.sum(target * log_softmax(model.logits(x)), axis=-1)

    optimizer = Adam(cosine(2e-3, steps), weight_decay=0.05)
    return minimise(cross_entropy, Classifier(network, name), (x, one_hot), rng=rng, steps=steps, optimizer=optimizer, progress=progress)[0]


def cache_path(steps):
    """The file of `digit_features`, in $XDG_CACHE_HOME/minigen or ~/.cache/minigen."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minigen"
    return folder / f"digit-features-1-{steps}.npz"


def digit_features(steps=1500):
    """The classifier of the first 1,000 of `data.digits()`: judge samples by the other 797, of which it saw none.

    Trained when it is first asked for, in seconds, and kept in the user's cache folder where that can be written.
    """
    x, y = (a[:DIGITS] for a in digits())
    name = "features of a classifier of digits"
    untrained = Classifier(MLP.init(np.random.default_rng(0), [x[0].size, *HIDDEN, 10], relu), name)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # not there yet, damaged, or no home
        return load(cache_path(steps), like=untrained)[0]
    trained = train_features(x, y, np.random.default_rng(0), steps=steps, name=name)
    with contextlib.suppress(OSError, RuntimeError):  # no home, no permission, no space
        cache_path(steps).parent.mkdir(parents=True, exist_ok=True)
        save(cache_path(steps), trained)
    return trained


# ---- Inception ----
@dataclass
class Inception:
    """Inception-V3 for images (n, H, W, 3) or (n, H, W, 1) in [0, 1] of any size, in small batches."""

    network: InceptionV3
    name: str
    convention: str = "torch-fidelity"
    batch_size: int = 16

    def activations(self, x, channels=7):
        """All three of `nn.inception_v3.Activations`, the maps cut to their first channels, those of sFID."""
        x = batch_of(x)
        if x.ndim != 4 or x.shape[3] not in (1, 3):
            raise ValueError(f"x has shape {x.shape}; expected images (n, H, W, 3), or (n, H, W, 1) for grey ones")
        if bool(np.any((x < 0) | (x > 1))):
            raise ValueError("x has entries outside of [0, 1]; expected levels divided by 255")
        parts = [self.batch(x[i : i + self.batch_size], channels) for i in range(0, x.shape[0], self.batch_size)]
        return type(parts[0])(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def batch(self, x, channels):
        """The activations of one batch."""
        x = np.broadcast_to(x.astype(np.float32), (*x.shape[:3], 3))
        if self.convention == "torch-fidelity":
            x = (resize(x) * 255 - 128) / 128  # the levels 0 … 255 as the first implementation took them
        else:
            x = 2 * resize(x, centred=True) - 1
        found = self.network(x)
        return found._replace(spatial=found.spatial[..., :channels].copy())

    def __call__(self, x):
        """Features, (n, 2048)."""
        return self.activations(x).features

    def probabilities(self, x, bias=True):
        """p(y|x), (n, C). The first Inception scores, and torch-fidelity's, left the bias of the last layer out."""
        return softmax(self.activations(x).logits - (0 if bias else self.network.classifier.bias))


def inception_v3(path, convention="torch-fidelity"):
    """Inception-V3 with the weights of a file: .npz or .safetensors, a state dict of torchvision, pytorch-fid or torch-fidelity.

    Nothing is unpickled: write such a file from a .pth by numpy.savez(path, **{k: v.numpy() for k, v in state.items()}). The
    convention says how images are resized, which changes scores: torch-fidelity's as TensorFlow did, or pytorch-fid's. The name
    has a checksum of the weights. Raises FileNotFoundError, or ValueError that says what is wrong with the file.
    """
    check_choice("convention", convention, RESIZING)
    kinds = {".npz": npz, ".safetensors": safetensors}
    suffix = Path(path).suffix
    if suffix not in kinds:
        raise ValueError(f"{path}: expected a file .npz or .safetensors (a pickle could run any code)")
    state = kinds[suffix](path)
    try:
        network = InceptionV3.from_state(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    checksum = functools.reduce(lambda sum, w: zlib.crc32(w.tobytes(), sum), leaves(network), 0)
    source = "FID's" if network.fid else "torchvision's"
    return Inception(network, f"{source} Inception-V3 (weights {checksum:08x}, resized as {convention})", convention)
