"""Convolutions, forward and backward: 3 × 3, 1 → 32, 32 → 64 with stride 2, 64 → 64, on 128 images of 16 × 16, without an optimiser."""

import numpy as np

from minigen.autograd import value_and_grad
from minigen.backend import keep_memory
from minigen.functions import relu
from minigen.nn import Conv2d

STEPS = 10
LAYERS = ((1, 32, 1), (32, 64, 2), (64, 64, 1))  # in, out, stride


def network():
    """Images and layers, the same for both sides; padding 1 on every side."""
    rng = np.random.default_rng(0)
    layers = [Conv2d.init(rng, n_in, n_out, 3, stride, padding=1) for n_in, n_out, stride in LAYERS]
    return rng.standard_normal((128, 16, 16, 1), dtype=np.float32), layers


def summary(value, gradients):
    """The loss and the norm of each weight's gradient."""
    return [float(value), *[float((g**2).sum()) ** 0.5 for g in gradients]]


def ours():
    keep_memory()
    x, layers = network()

    def loss(layers):
        h = relu(layers[1](relu(layers[0](x))))
        return np.mean(layers[2](h) ** 2)

    evaluate = value_and_grad(loss)

    def work():
        for _ in range(STEPS):
            value, gradient = evaluate(layers)
        return summary(value, [g.weight for g in gradient])

    return work


def theirs(channels_last):
    import torch

    torch.set_num_threads(2)
    x, layers = network()
    modules = []
    for layer, (n_in, n_out, stride) in zip(layers, LAYERS, strict=True):
        modules.append(torch.nn.Conv2d(n_in, n_out, 3, stride, padding=1))
        modules[-1].weight.data = torch.tensor(layer.weight.transpose(3, 2, 0, 1).copy())
        modules[-1].bias.data = torch.tensor(layer.bias)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    net = torch.nn.Sequential(modules[0], torch.nn.ReLU(), modules[1], torch.nn.ReLU(), modules[2]).to(memory_format=memory)
    images = torch.tensor(x.transpose(0, 3, 1, 2).copy()).to(memory_format=memory)

    def work():
        for _ in range(STEPS):
            net.zero_grad()
            value = (net(images) ** 2).mean()
            value.backward()
        return summary(value, [m.weight.grad for m in modules])

    return work


WORKLOADS = {
    "convolutions": {"ours": ours, "torch": lambda: theirs(False), "torch channels last": lambda: theirs(True)},
}
GATES = {("convolutions", "torch"): 1.5}
TOLERANCE = 1e-3
