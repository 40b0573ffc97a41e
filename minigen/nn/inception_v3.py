"""Inception-V3, in whose features images are compared by "FID" and "KID", and the order of its weights in PyTorch's files.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna 2016, "Rethinking the Inception architecture for computer vision". Two networks share the
names and shapes of their weights but for the classes, and differ in three poolings:

    1,008 classes    TensorFlow's of 2015, on which FID was defined: averages leave the border's padding out, and the last
                     block has a maximum where the paper has an average
    1,000 classes    torchvision's: averages count the padding as zeros

Every convolution is followed by a batch norm in inference mode and a ReLU. With w the convolution's weight, γ and β the norm's
scale and shift, and μ and σ² its running moments, both are one convolution with a bias:

    γ (w ∗ x − μ)/√(σ² + ε) + β = (s w) ∗ x + (β − s μ),   s = γ/√(σ² + ε),   ε = 0.001                  (1)

An image of H rows is made one of H′ by linear interpolation along either axis: row i of the new one lies at tᵢ among the old ones,

    tᵢ = i H/H′                 as TensorFlow did, so that FID does, and torch-fidelity                  (2)
    tᵢ = (i + ½) H/H′ − ½       with centres of pixels on each other, as PyTorch and pytorch-fid         (3)
    x′ᵢ = (1 − a) x_k + a x_{k+1},   k = ⌊tᵢ⌋, a = tᵢ − k,   rows beyond the border being its own        (4)
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minigen.backend import like
from minigen.functions import relu
from minigen.nn.conv import Conv2d
from minigen.nn.dense import Linear
from minigen.pooling import avg_pool, max_pool

EPSILON, SIZE, FEATURES, FID_CLASSES = 0.001, 299, 2048, 1008


# ---- The architecture: a chain of steps, each a layer, the name of a pooling, or a list of chains side by side ----
class Layer(NamedTuple):
    """A convolution with its norm and ReLU."""

    name: str
    n_out: int
    kernel: tuple = (1, 1)
    stride: int = 1
    padding: str = "same"


def block_a(n, pool):
    """35 × 35 pixels."""
    triple = [Layer(n + "branch3x3dbl_1", 64), Layer(n + "branch3x3dbl_2", 96, (3, 3)), Layer(n + "branch3x3dbl_3", 96, (3, 3))]
    fives = [Layer(n + "branch5x5_1", 48), Layer(n + "branch5x5_2", 64, (5, 5))]
    return [[Layer(n + "branch1x1", 64)], fives, triple, ["average", Layer(n + "branch_pool", pool)]]


def block_b(n):
    """From 35 × 35 to 17 × 17 pixels."""
    triple = [Layer(n + "branch3x3dbl_1", 64), Layer(n + "branch3x3dbl_2", 96, (3, 3)), Layer(n + "branch3x3dbl_3", 96, (3, 3), 2, "valid")]
    return [[Layer(n + "branch3x3", 384, (3, 3), 2, "valid")], triple, ["halve"]]


def block_c(n, c):
    """17 × 17 pixels."""
    row, column, names = (1, 7), (7, 1), [f"{n}branch7x7dbl_{i}" for i in range(2, 6)]
    once = [Layer(n + "branch7x7_1", c), Layer(n + "branch7x7_2", c, row), Layer(n + "branch7x7_3", 192, column)]
    twice = [Layer(*layer) for layer in zip(names, (c, c, c, 192), (column, row, column, row), strict=True)]
    twice = [Layer(n + "branch7x7dbl_1", c), *twice]
    return [[Layer(n + "branch1x1", 192)], once, twice, ["average", Layer(n + "branch_pool", 192)]]


def block_d(n):
    """From 17 × 17 to 8 × 8 pixels."""
    threes = [Layer(n + "branch3x3_1", 192), Layer(n + "branch3x3_2", 320, (3, 3), 2, "valid")]
    sevens = [Layer(n + "branch7x7x3_1", 192), Layer(n + "branch7x7x3_2", 192, (1, 7)), Layer(n + "branch7x7x3_3", 192, (7, 1))]
    return [threes, [*sevens, Layer(n + "branch7x7x3_4", 192, (3, 3), 2, "valid")], ["halve"]]


def block_e(n, pooling):
    """8 × 8 pixels, with branches that fork."""
    fork = lambda a, b: [[Layer(n + a, 384, (1, 3))], [Layer(n + b, 384, (3, 1))]]
    threes = [Layer(n + "branch3x3_1", 384), fork("branch3x3_2a", "branch3x3_2b")]
    doubles = [Layer(n + "branch3x3dbl_1", 448), Layer(n + "branch3x3dbl_2", 384, (3, 3)), fork("branch3x3dbl_3a", "branch3x3dbl_3b")]
    return [[Layer(n + "branch1x1", 320)], threes, doubles, [pooling, Layer(n + "branch_pool", 192)]]


TO_SPATIAL = [
    Layer("Conv2d_1a_3x3", 32, (3, 3), 2, "valid"), Layer("Conv2d_2a_3x3", 32, (3, 3), 1, "valid"), Layer("Conv2d_2b_3x3", 64, (3, 3)),
    "halve", Layer("Conv2d_3b_1x1", 80), Layer("Conv2d_4a_3x3", 192, (3, 3), 1, "valid"), "halve",
    block_a("Mixed_5b.", 32), block_a("Mixed_5c.", 64), block_a("Mixed_5d.", 64), block_b("Mixed_6a."),
    block_c("Mixed_6b.", 128), block_c("Mixed_6c.", 160), block_c("Mixed_6d.", 160),
]  # fmt: skip
TO_FEATURES = [block_c("Mixed_6e.", 192), block_d("Mixed_7a."), block_e("Mixed_7b.", "average"), block_e("Mixed_7c.", "last")]


def layers(chain, n_in):
    """({name: (layer, number of channels in)}, number of channels out) of a chain."""
    found = {}
    for step in chain:
        if isinstance(step, Layer):
            found[step.name], n_in = (step, n_in), step.n_out
        elif isinstance(step, list):
            parts = [layers(part, n_in) for part in step]
            found.update({name: entry for part, _ in parts for name, entry in part.items()})
            n_in = sum(n_out for _, n_out in parts)
    return found, n_in


# ---- The network ----
class Activations(NamedTuple):
    """What the network says of n images."""

    features: np.ndarray  # (n, 2048), the last pooling's: those of FID and KID
    spatial: np.ndarray  # (n, 17, 17, 768), the seventh mixed block's ("mixed_6"): the first 7 channels are those of sFID
    logits: np.ndarray  # (n, classes)


@dataclass
class InceptionV3:
    """The network for images (n, 299, 299, 3) in [−1, 1]."""

    convs: dict
    classifier: Linear
    fid: bool  # whether it pools as FID's

    @classmethod
    def from_state(cls, state):
        """The network of a state dict {name: array} of PyTorch's: weights (out, in, kh, kw) and batch norms.

        That of torchvision's `inception_v3` or of pytorch-fid's and torch-fidelity's; the number of classes tells which. What else the
        dict holds is ignored. Raises ValueError that names what is missing, has another shape or is not finite.
        """
        found, n_spatial = layers(TO_SPATIAL, 3)
        found.update(layers(TO_FEATURES, n_spatial)[0])
        classes = np.shape(state.get("fc.bias", 0))
        if len(classes) != 1:
            raise ValueError(f"fc.bias has shape {classes}; expected (classes,): the weights of a whole network")
        entries = [checked(state, "fc.weight", (*classes, FEATURES)), checked(state, "fc.bias", classes)]
        classifier = Linear(*(np.ascontiguousarray(a.T).astype(np.float32) for a in entries))
        entries = {name: layer_entries(state, name, layer, n_in) for name, (layer, n_in) in found.items()}
        convs = {name: folded(found[name][0], *arrays) for name, arrays in entries.items()}
        return cls(convs, classifier, classes[0] == FID_CLASSES)

    def pool(self, name, x):
        """The pooling of a name."""
        if name == "halve":
            return max_pool(x, 3, 2)
        if name == "last" and self.fid:
            return max_pool(x, 3, 1, padding=1)
        if self.fid:
            return avg_pool(x, 3, 1, padding=1)
        return avg_pool(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 1)

    def run(self, chain, x):
        """The images after all steps of a chain."""
        for step in chain:
            if isinstance(step, Layer):
                x = relu(self.convs[step.name](x))
            elif isinstance(step, list):
                x = np.concatenate([self.run(part, x) for part in step], axis=-1)
            else:
                x = self.pool(step, x)
        return x

    def __call__(self, x):
        """Activations of images (n, 299, 299, 3) in [−1, 1]."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (SIZE, SIZE, 3):
            raise ValueError(f"x has shape {x.shape}; expected (n, {SIZE}, {SIZE}, 3)")
        spatial = self.run(TO_SPATIAL, x)
        features = np.mean(self.run(TO_FEATURES, spatial), axis=(1, 2))
        return Activations(features, spatial, self.classifier(features))


def folded(layer, weight, scale, shift, mean, var):
    """The convolution, with a bias, that is a layer's convolution and its batch norm."""
    scale = scale / np.sqrt(var.astype(np.float64) + EPSILON)  # (1)
    weight = np.ascontiguousarray(np.transpose(weight * scale[:, None, None, None], (2, 3, 1, 0)))  # (1)
    return Conv2d(weight.astype(np.float32), (shift - scale * mean).astype(np.float32), layer.stride, layer.padding)  # (1)


def layer_entries(state, name, layer, n_in):
    """The arrays of a layer: weight, scale, shift, mean and variance."""
    weight = checked(state, f"{name}.conv.weight", (layer.n_out, n_in, *layer.kernel))
    norm = [checked(state, f"{name}.bn.{key}", (layer.n_out,)) for key in ("weight", "bias", "running_mean", "running_var")]
    if np.any(norm[3] < 0):
        raise ValueError(f"{name}.bn.running_var has negative entries; expected variances")
    return [weight, *norm]


def checked(state, name, shape):
    """The array of a name and shape, or a ValueError."""
    if name not in state:
        raise ValueError(f"{name} is missing; expected the weights of Inception-V3 as torchvision or pytorch-fid name them")
    a = state[name]
    if a.shape != shape or a.dtype.kind != "f":
        raise ValueError(f"{name} is {a.dtype} of shape {a.shape}; expected floating-point numbers of shape {shape}")
    if not np.all(np.isfinite(a)):
        raise ValueError(f"{name} has NaN or infinite entries; expected finite numbers")
    return a


# ---- Images of any size ----
def interpolation(n, size, centred):
    """The matrix (size, n) of linear interpolation from n pixels to `size`."""
    places = np.arange(size) * (n / size)  # (2)
    if centred:
        places = (np.arange(size) + 0.5) * (n / size) - 0.5  # (3)
    places = np.clip(places, 0, n - 1)
    below = np.floor(places).astype(int)
    above, share = np.minimum(below + 1, n - 1), places - below
    matrix = np.zeros((size, n))
    matrix[np.arange(size), below] = 1 - share  # (4)
    matrix[np.arange(size), above] += share  # (4)
    return matrix


def resize(x, size=SIZE, centred=False):
    """Images (n, H, W, C) as (n, size, size, C): by (2), or where centred by (3). Larger images are not smoothed before."""
    rows, columns = (like(x, interpolation(n, size, centred).astype(x.dtype)) for n in x.shape[1:3])
    n, h, w, c = x.shape
    x = np.reshape(rows @ np.reshape(x, (n, h, w * c)), (n, size, w, c))
    return columns @ x
