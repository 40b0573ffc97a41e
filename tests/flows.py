"""What the tests of the flows share."""

import numpy as np

import minigen as mg


def lively(cls, event=(2,), alpha=None, seed=0, spread=0.4, **settings):
    """An untrained float64 flow that moves everything, data standardised oddly."""
    rng = np.random.default_rng(seed)
    flow = cls.init(rng, event, dtype=np.float64, **settings)
    flow = mg.tree_map(lambda w: w + spread * rng.normal(size=w.shape), flow)
    d = int(np.prod(event))
    flow.mean, flow.std, flow.alpha = rng.normal(size=d), 0.5 + rng.random(d), alpha
    return flow


def flat(flow):
    """forward and inverse of flat data."""
    return lambda x: flow.forward(x.reshape(-1, *flow.event)), lambda z: (lambda x, l: (x.reshape(len(x), -1), l))(*flow.inverse(z))
