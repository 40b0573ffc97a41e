"""Training steps: the same network, data, noise and optimiser in minigen, PyTorch (eager, fused Adam) and JAX (jit)."""

import numpy as np

from minigen.autograd import grad, value_and_grad
from minigen.backend import keep_memory
from minigen.functions import relu, silu, softplus
from minigen.nn import MLP
from minigen.optim import Adam
from minigen.train import Learner

STEPS, BATCHES = 40, 8


def networks(*sizes):
    """Weights and biases of MLPs of given sizes, the same for every side."""
    rng = np.random.default_rng(0)
    return [[(l.weight, l.bias) for l in MLP.init(rng, s).layers] for s in sizes]


# ---- The three ways to train: each gets `loss(nets, *batch)` in its own words ----
def train_ours(loss, activation, nets, batches):
    from minigen.nn import Linear

    keep_memory()
    model = [MLP([Linear(w.copy(), b.copy()) for w, b in net], activation) for net in nets]
    learner, t = Learner.of(model, Adam(1e-3)), 0

    def work():
        nonlocal t
        for _ in range(STEPS):
            value, t = learner.update(loss, *batches[t % BATCHES]), t + 1
        return float(value)

    return work


def train_torch(loss, activation, nets, batches):
    import torch

    torch.set_num_threads(2)

    def mlp(net):
        layers = []
        for w, b in net:
            layer = torch.nn.Linear(*w.shape)
            layer.weight.data, layer.bias.data = torch.tensor(w.T.copy()), torch.tensor(b)
            layers += [layer, activation()]
        return torch.nn.Sequential(*layers[:-1])

    model = torch.nn.ModuleList(map(mlp, nets))
    batches = [tuple(map(torch.tensor, batch)) for batch in batches]
    optimizer, t = torch.optim.Adam(model.parameters(), 1e-3, fused=True), 0

    def work():
        nonlocal t
        for _ in range(STEPS):
            optimizer.zero_grad()
            value = loss(model, *batches[t % BATCHES])
            value.backward()
            optimizer.step()
            t += 1
        return value.item()

    return work


def train_jax(loss, activation, nets, batches):
    import jax
    import jax.numpy as jnp

    def apply(net):
        def forward(x):
            for w, b in net[:-1]:
                x = activation(x @ w + b)
            return x @ net[-1][0] + net[-1][1]

        return forward

    parameters = jax.tree.map(jnp.asarray, nets)
    moments = (jax.tree.map(jnp.zeros_like, parameters),) * 2
    batches = [tuple(map(jnp.asarray, batch)) for batch in batches]

    @jax.jit
    def step(parameters, m, v, t, batch):
        value, g = jax.value_and_grad(lambda p: loss([apply(net) for net in p], *batch))(parameters)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        new = lambda w, m, v: w - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return value, jax.tree.map(new, parameters, m, v), m, v

    state, t = (parameters, *moments), 0

    def work():
        nonlocal state, t
        for _ in range(STEPS):
            t += 1
            value, *state = step(*state, float(t), batches[(t - 1) % BATCHES])
        return float(value)

    return work


def sides(losses, activations, nets, batches):
    """The three sides of one workload, built only in the process that runs it."""
    trainers = {"ours": train_ours, "torch": train_torch, "jax": train_jax}
    return {side: (lambda side=side: trainers[side](losses[side](), activations[side](), nets(), batches())) for side in trainers}


def torch():
    import torch

    return torch


def jax():
    import jax

    return jax


def draws(*shapes, binary=False):
    """BATCHES tuples of float32 normal arrays; with `binary` the first of each is made 0 or 1."""
    rng = np.random.default_rng(1)
    batches = [tuple(rng.standard_normal(s).astype(np.float32) for s in shapes) for _ in range(BATCHES)]
    return [((b[0] > 0.5).astype(np.float32), *b[1:]) for b in batches] if binary else batches


# ---- MLP VAE, 784-400-20-400-784, Bernoulli decoder ----
def vae(np, softplus, split):
    def loss(nets, x, eps):
        mean, log_var = split(nets[0](x))
        logits = nets[1](mean + np.exp(0.5 * log_var) * eps)
        nll = (softplus(logits) - x * logits).sum(-1)
        kl = 0.5 * (np.exp(log_var) + mean * mean - 1 - log_var).sum(-1)
        return (nll + kl).mean()

    return loss


# ---- Diffusion step: a denoiser of 2-D points with 64 time features, 3 × 256 SiLU ----
def diffusion(np, concatenate):
    def loss(nets, x, eps, features, a):
        alpha = 1 / (1 + np.exp(-a))
        noisy = np.sqrt(alpha) * x + np.sqrt(1 - alpha) * eps
        error = nets[0](concatenate([noisy, features], -1)) - eps
        return (error * error).sum(-1).mean()

    return loss


# ---- RealNVP: six couplings of 2-D points, each an MLP with two layers of 64 ----
def realnvp(np, concatenate):
    def loss(nets, x):
        a, b, logdet = x[:, :1], x[:, 1:], 0.0
        for net in nets:
            h = net(a)
            s, t = np.tanh(h[:, :1]), h[:, 1:]
            a, b, logdet = b * np.exp(s) + t, a, logdet + s
        z = concatenate([a, b], -1)
        return (0.5 * (z * z).sum(-1) - logdet[:, 0]).mean()

    return loss


# ---- WGAN-GP critic step: MLP 3 × 128 tanh on 2-D points ----
def critic(np, input_gradient):
    def loss(nets, real, fake, u):
        u = 1 / (1 + np.exp(-u))
        g = input_gradient(nets[0], u * real + (1 - u) * fake)
        norm = np.sqrt((g * g).sum(-1) + 1e-12)
        return (nets[0](fake) - nets[0](real)).mean() + 10 * ((norm - 1) ** 2).mean()

    return loss


def torch_input_gradient(net, x):
    x.requires_grad_()
    return torch().autograd.grad(net(x).sum(), x, create_graph=True)[0]


# ---- A hundred tiny operations, forward and backward ----
def tiny(side):
    x = np.linspace(-1, 1, 10).astype(np.float32)

    def chain(x):
        for _ in range(50):
            x = x * 1.01 + 0.1
        return x.sum()

    if side == "ours":
        evaluate = value_and_grad(chain)
    elif side == "jax":
        evaluate, x = jax().jit(jax().value_and_grad(chain)), jax().numpy.asarray(x)
    else:
        torch().set_num_threads(2)
        x = torch().tensor(x)

        def evaluate(x):
            x = x.detach().requires_grad_()
            y = chain(x)
            y.backward()
            return y.item(), x.grad

    def work():
        for _ in range(200):
            value, g = evaluate(x)
        return [float(value), *np.asarray(g)]

    return lambda: work


WORKLOADS = {
    "tiny operations": {side: (lambda side=side: tiny(side)()) for side in ("ours", "torch", "jax")},
    "MLP VAE": sides(
        {
            "ours": lambda: vae(np, softplus, lambda h: (h[:, :20], h[:, 20:])),
            "torch": lambda: vae(torch(), torch().nn.functional.softplus, lambda h: h.chunk(2, -1)),
            "jax": lambda: vae(jax().numpy, jax().nn.softplus, lambda h: (h[:, :20], h[:, 20:])),
        },
        {"ours": lambda: relu, "torch": lambda: torch().nn.ReLU, "jax": lambda: jax().nn.relu},
        lambda: networks([784, 400, 40], [20, 400, 784]),
        lambda: draws((128, 784), (128, 20), binary=True),
    ),
    "MLP diffusion": sides(
        {
            "ours": lambda: diffusion(np, np.concatenate),
            "torch": lambda: diffusion(torch(), torch().cat),
            "jax": lambda: diffusion(jax().numpy, jax().numpy.concatenate),
        },
        {"ours": lambda: silu, "torch": lambda: torch().nn.SiLU, "jax": lambda: jax().nn.silu},
        lambda: networks([66, 256, 256, 256, 2]),
        lambda: draws((512, 2), (512, 2), (512, 64), (512, 1)),
    ),
    "RealNVP": sides(
        {
            "ours": lambda: realnvp(np, np.concatenate),
            "torch": lambda: realnvp(torch(), torch().cat),
            "jax": lambda: realnvp(jax().numpy, jax().numpy.concatenate),
        },
        {"ours": lambda: relu, "torch": lambda: torch().nn.ReLU, "jax": lambda: jax().nn.relu},
        lambda: networks(*[[1, 64, 64, 2]] * 6),
        lambda: draws((512, 2)),
    ),
    "WGAN-GP critic": sides(
        {
            "ours": lambda: critic(np, lambda net, x: grad(lambda x: net(x).sum())(x)),
            "torch": lambda: critic(torch(), torch_input_gradient),
            "jax": lambda: critic(jax().numpy, lambda net, x: jax().grad(lambda x: net(x).sum())(x)),
        },
        {"ours": lambda: np.tanh, "torch": lambda: torch().nn.Tanh, "jax": lambda: jax().numpy.tanh},
        lambda: networks([2, 128, 128, 128, 1]),
        lambda: draws((256, 2), (256, 2), (256, 1)),
    ),
}
GATES = {
    ("tiny operations", "torch"): 0.5,
    ("MLP VAE", "torch"): 0.95,
    ("MLP diffusion", "torch"): 1.1,
    ("RealNVP", "torch"): 0.85,
    ("WGAN-GP critic", "torch"): 0.95,
}
TOLERANCE = 2e-2  # float32 trajectories of hundreds of steps: each side rounds in its own order
