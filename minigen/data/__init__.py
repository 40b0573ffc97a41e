"""Data: toys with known densities, coloured shapes, embedded real digits, readers of files; splits and minibatches."""

from minigen.data.batching import batches, split
from minigen.data.readers import digits, idx, mnist10k, npz, safetensors
from minigen.data.shapes import SHAPES, TEST_CLASSES, TRAIN_CLASSES, ShapeClass, shapes
from minigen.data.toys import TOYS, toy, toy_density, toy_entropy

__all__ = [
    "SHAPES", "TEST_CLASSES", "TOYS", "TRAIN_CLASSES", "ShapeClass", "batches", "digits", "idx", "mnist10k", "npz", "safetensors",
    "shapes", "split", "toy", "toy_density", "toy_entropy",
]  # fmt: skip
