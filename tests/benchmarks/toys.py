"""How near a flow and a diffusion's ODE come to densities that are known: `python -m tests.benchmarks.toys [NAME …] [--steps 6000]`.

The gap is E [log p(x) − log q(x)] over fresh points x ~ p: KL(p ‖ q) in nats, 0 for a perfect model q, and how far its mean
log-likelihood is from the bound that the entropy sets. The same points go through both densities, so that its error is small.
"""

import argparse
import time

import numpy as np

from minigen.data import TOYS, toy, toy_density
from minigen.models import FlowMatching, NeuralSplineFlow, ScoreSDE
from minigen.optim import EMA, Adam, cosine

BAR, JUMPS = 0.05, {"checkerboard": 0.15}  # where the density jumps, smooth models do worse
TRAINING, FRESH = 100_000, 1000


def fit(model, x, rng, steps):
    """The model, fitted."""
    settings = {"width": 96} if model is not NeuralSplineFlow else {"layers": 6, "bins": 16, "ema": EMA(0.99)}
    settings |= {"steps": steps, "batch_size": 512, "optimizer": Adam(cosine(4e-3, steps)), "progress": False}
    return model.fit(x, rng=rng, **settings)


def main():
    """Print a line for each toy and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(TOYS))
    parser.add_argument("--steps", type=int, default=6000)
    arguments = parser.parse_args()
    print(f"{'toy':16s} {'model':16s} {'gap, nats':>16s}   bar        CPU s")
    for name in arguments.names:
        for model in (NeuralSplineFlow, FlowMatching, ScoreSDE):
            rng, start = np.random.default_rng(0), time.process_time()
            q = fit(model, toy(name, TRAINING, rng), rng, arguments.steps)
            x = toy(name, FRESH, rng, np.float64)
            gaps = toy_density(name)(x) - q.log_prob(x.astype(np.float32))
            gap, error, bar = np.mean(gaps), np.std(gaps) / FRESH**0.5, JUMPS.get(name, BAR)
            verdict, took = "met" if gap <= bar else "MISSED", time.process_time() - start
            print(f"{name:16s} {model.__name__:16s} {gap:7.3f} ± {error:.3f}   {bar:.2f} {verdict:6s} {took:5.0f}", flush=True)


if __name__ == "__main__":
    main()
