"""minigen: generative modelling from scratch, in NumPy and, unchanged, on CUDA through CuPy."""

__version__ = "0.1.0"
