"""Features: the spaces in which images are compared.

A distance between images is meaningful in the features of a network that had to understand them. `train_features` trains
such a network, a small classifier, on labelled data; its last hidden layer is the feature space. A score must say on which
features it stands, and the classifier must have seen neither the reference nor the samples that it helps to judge.
"""

from dataclasses import dataclass

import numpy as np

from minigen.backend import like, normal
from minigen.checks import check_labels
from minigen.functions import log_softmax, relu, softmax
from minigen.nn import MLP
from minigen.optim import Adam, cosine
from minigen.train import minimise
from minigen.tree import tree_map


@dataclass
class Classifier:
    """A network of labels. Called on x (n, …) it gives the features (n, d) of its last hidden layer."""

    network: MLP

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
        return softmax(self.logits(x))

    def predict(self, x):
        """The most probable class, (n,)."""
        return np.argmax(self.logits(x), axis=-1)

    def __call__(self, x):
        """Features, (n, d)."""
        return self.hidden(x)


def train_features(x, y, rng, hidden=(128, 64), steps=1500, noise=0.1, progress=False):
    """A Classifier of labels y (n,) in 0 … C − 1, trained on x (n, …) by cross-entropy. Noise on x keeps it from learning pixels by heart.

    Deterministic given rng. Raises ValueError where y does not fit x.
    """
    classes = check_labels(y, x.shape[0])
    x = np.reshape(x, (x.shape[0], -1)).astype(np.float32)
    one_hot = like(x, np.eye(classes))[y]
    network = tree_map(lambda w: like(x, w), MLP.init(rng, [x.shape[1], *hidden, classes], relu))

    def cross_entropy(model, batch, rng):
        x, target = batch
        x = x + noise * normal(rng, x.shape, x)
        return -np.sum(target * log_softmax(model.logits(x)), axis=-1)

    optimizer = Adam(cosine(2e-3, steps), weight_decay=0.05)
    return minimise(cross_entropy, Classifier(network), (x, one_hot), rng=rng, steps=steps, optimizer=optimizer, progress=progress)[0]
