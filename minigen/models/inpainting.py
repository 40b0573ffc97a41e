"""Filling in what is missing by diffusion.  Lugmayr et al. 2022, "RePaint: Inpainting using denoising diffusion probabilistic models".

A trained DDPM goes from noise to data, x_t → x_s, s < t (see `noising` and `ddpm`). Where m = 1 the data x₀ are known, and there
each x_s is replaced by a draw from q(x_s|x₀), so that the rest is drawn beside it:

    x_s ← m (a_s x₀ + σ_s ε) + (1 − m) x_s,   ε ~ N(0, I)                                                 (1)

What was drawn did not see the new ε. So the step is made r times, with the noise of s → t added in between, which lets the two agree:

    x_t = (a_t/a_s) x_s + √β ε,   β = 1 − ᾱ_t/ᾱ_s                                                        (2)

Only with r → ∞ is this a draw from p(unknown | known); with r = 1 seams show.
"""

import itertools
import math

import numpy as np

from minigen.backend import normal
from minigen.checks import check_count, check_data, check_rng
from minigen.models.levels import start
from minigen.models.noising import between, noised
from minigen.progress import shown


def inpaint(model, x, known, rng, resample=1, steps=None, y=None, guidance=0.0, progress=True):
    """x (n, *event) with what is not `known` (booleans, of the shape of x or of one event) drawn by a `DDPM`.

    Each of the steps (None: all T) is made `resample` times. What is known is kept to the last bit; what x holds elsewhere is not
    looked at, and may be NaN. Labels y (n,) and the guidance are those of `DDPM.sample`. Raises TypeError or ValueError for bad input.
    """
    check_rng(rng)
    check_count("resample", resample)
    kept, known = start(x, known, model.event)
    check_data(kept, rank=None)
    model.check_labels(y, x.shape[0], guidance)
    x0, mask = model.flat(kept), np.reshape(known, (x.shape[0], -1))
    a, sigma = model.scales()
    h = normal(rng, x0.shape, x0)
    for t, s in shown(list(itertools.pairwise(model.times(steps))), progress):
        for again in range(resample if s else 1, 0, -1):
            h = model.step(h, t, s, rng, y=y, guidance=guidance)
            h = np.where(mask, noised(x0, normal(rng, x0.shape, x0), float(a[s]), float(sigma[s])), h)  # (1)
            if again > 1:
                h = float(a[t] / a[s]) * h + math.sqrt(between(a, t, s)) * normal(rng, h.shape, h)  # (2)
    return np.where(known, kept, model.finished(h))
