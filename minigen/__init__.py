"""minigen: generative modelling from scratch, in NumPy and, unchanged, on CUDA through CuPy."""

from minigen import compositions, derivatives, linear_algebra  # noqa: F401  they fill the table of derivatives
from minigen.autograd import Tensor, grad, hvp, jacobian, stop_gradient, value_and_grad, vjp
from minigen.backend import array_module, default_device, to_device, to_host
from minigen.tree import count_parameters, leaves, ravel, tree_map

__version__ = "0.1.0"
__all__ = [
    "Tensor", "array_module", "count_parameters", "default_device", "grad", "hvp", "jacobian", "leaves", "ravel",
    "stop_gradient", "to_device", "to_host", "tree_map", "value_and_grad", "vjp",
]  # fmt: skip
