"""Classification accuracy score: are samples good enough to learn from?

Ravuri & Vinyals 2019, "Classification accuracy score for conditional generative models"; Esteban, Hyland & Rätsch 2017, "Real-valued
(medical) time series generation with recurrent conditional GANs", who call it "train on synthetic, test on real".

Notation: classes c = 1 … C; real labelled data from p(x, c), of which n are held out for the test; samples x̃ ~ q(x|c), whose label is
the class that they were made for; f a classifier trained on some labelled data, from which it learns a distribution over classes.

    loss(f) = −1/m Σᵢ log f(cᵢ|xᵢ)                                                                       (1)
    accuracy(f) = 1/n Σᵢ [argmax_c f(c|xᵢ) = cᵢ]   over the n held-out real data                         (2)
    score = accuracy(f trained on the samples)                                                           (3)
    baseline = accuracy(f trained on real data)                                                          (4)
    augmented = accuracy(f trained on the real data and the samples together)                            (5)
    standard error = √(accuracy (1 − accuracy) / n)                                                      (6)

No classifier is better than Bayes' rule, argmax_c p(x, c). A score as high as the baseline's needs samples that are recognisable, of
their class and as various as the data: classes that were dropped, labels that were mixed up and modes that were left out all cost. What
the score does not see is whatever does not help to tell classes apart, and whether samples are copies of the training data. Compare with
as many samples as real data; an `augmented` above the baseline is what samples add. The errors (6) are those of a finite test set, given
the classifiers; the scores share it, so that their differences are surer than they say.
"""

from typing import NamedTuple

import numpy as np

from minigen.backend import array_module
from minigen.checks import check_labels, check_rng
from minigen.metrics.features import batch_of, train_features
from minigen.metrics.likelihood import Estimate


class AccuracyScores(NamedTuple):
    """Top-1 accuracies on real test data, each with its standard error: an Estimate, or None where no real training data were given."""

    score: Estimate
    baseline: Estimate | None
    augmented: Estimate | None


def accuracy(predicted, y):
    """The share of predictions (n,) that are y (n,), with the standard error of a share: an Estimate.

    >>> accuracy(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 1]))
    Estimate(mean=0.5, standard_error=0.25)
    """
    n = y.shape[0]
    share = float(np.sum(predicted == y)) / n  # (2)
    return Estimate(share, (share * (1 - share) / n) ** 0.5)  # (6)


def train_network(x, y, rng, steps=1000):
    """The default classifier, a small network trained by (1) on x (m, …) of labels y (m,): a function of x (n, …) to labels (n,)."""
    only = int(np.max(y))
    if bool(np.all(y == only)):  # there is nothing to learn
        return lambda x: np.full_like(y, only, shape=x.shape[0])
    mean = np.mean(x, axis=0)
    scale = float(np.mean((x - mean) ** 2)) ** 0.5 or 1.0
    model = train_features((x - mean) / scale, y, rng, steps=steps)  # (1)
    return lambda x: model.predict(((x - mean) / scale).astype(np.float32))


def classification_accuracy_score(x_train, y_train, x_test, y_test, rng, real=None, train=train_network):
    """Top-1 accuracy on real x_test (n, …), y_test (n,) of a classifier trained on samples x_train (m, …), y_train (m,): AccuracyScores.

    With real = (x, y), real training data, also the baseline of a classifier trained on these, and that of one trained on both
    together; each with its standard error (6). train(x, y, rng) trains a classifier and gives a function of x (n, …) to labels (n,); the
    default takes seconds. Labels are integers ≥ 0; samples may lack classes, which then cost. Raises TypeError or ValueError naming
    the argument that is wrong.
    """
    check_rng(rng)
    x_test, y_test = labelled(x_test, y_test, ("x_test", "y_test"))
    x_train, y_train = labelled(x_train, y_train, ("x_train", "y_train"), x_test)
    tested = lambda x, y: accuracy(train(x, y, rng)(x_test), y_test)
    if real is None:
        return AccuracyScores(tested(x_train, y_train), None, None)  # (3)
    if not isinstance(real, tuple | list) or len(real) != 2:
        raise TypeError(f"real is {type(real).__name__}; expected (x, y), real training data and their labels")
    x_real, y_real = labelled(*real, ("real[0]", "real[1]"), x_test)
    both = np.concatenate([x_real, x_train]), np.concatenate([y_real, y_train])
    return AccuracyScores(tested(x_train, y_train), tested(x_real, y_real), tested(*both))  # (3) (4) (5)


def labelled(x, y, names, like=None):
    """x as floats and its labels, of one library; of the shape, type and library of the data `like`."""
    x = batch_of(x, names[0])
    check_labels(y, x.shape[0], name=names[1])
    other = x if like is None else like
    if x.shape[1:] != other.shape[1:]:
        raise ValueError(f"{names[0]} has shape {x.shape} and x_test {other.shape}; expected data of one shape")
    if array_module(x) is not array_module(y) or array_module(x) is not array_module(other):
        raise TypeError(f"{names[0]}, {names[1]} and x_test are on different devices; expected all on one, see minigen.to_device")
    return x.astype(other.dtype, copy=False), y.astype(np.int64, copy=False)
