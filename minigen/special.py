"""The table of derivatives, continued: functions of scipy.special.

This file is imported when a Tensor first meets a ufunc without a row, so that `import minigen` does not import SciPy.
Source: Abramowitz & Stegun 1964, "Handbook of Mathematical Functions", chapters 6, 7 and 23.
"""

import numpy as np
from scipy import special as sp

from minigen import backend
from minigen.derivatives import fit
from minigen.tensor import primitive, vjp_of

TWO_OVER_ROOT_PI, ROOT_TWO_PI = 1.1283791670955126, 2.5066282746310002

vjp_of(sp.erf, lambda g, y, x: g * TWO_OVER_ROOT_PI * np.exp(-x * x))
vjp_of(sp.erfc, lambda g, y, x: -g * TWO_OVER_ROOT_PI * np.exp(-x * x))
vjp_of(sp.erfinv, lambda g, y, x: g * np.exp(y * y) / TWO_OVER_ROOT_PI)
vjp_of(sp.ndtr, lambda g, y, x: g * np.exp(-0.5 * x * x) / ROOT_TWO_PI)
vjp_of(sp.log_ndtr, lambda g, y, x: g * np.exp(-0.5 * x * x - y) / ROOT_TWO_PI)
vjp_of(sp.ndtri, lambda g, y, x: g * np.exp(0.5 * y * y) * ROOT_TWO_PI)
vjp_of(sp.expit, lambda g, y, x: g * y * (1 - y))
vjp_of(sp.log_expit, lambda g, y, x: g * sp.expit(-x))
vjp_of(sp.logit, lambda g, y, x: g / (x * (1 - x)))
vjp_of(sp.gammaln, lambda g, y, x: g * sp.digamma(x))
hurwitz_zeta = primitive(backend.hurwitz_zeta)
vjp_of(sp.digamma, lambda g, y, x: g * hurwitz_zeta(2, x))  # the trigamma function is ζ(2, x)
vjp_of(hurwitz_zeta, None, lambda g, y, s, x: -s * g * hurwitz_zeta(s + 1, x))
vjp_of(
    sp.betaln,
    lambda g, y, a, b: fit(g * (sp.digamma(a) - sp.digamma(a + b)), a),
    lambda g, y, a, b: fit(g * (sp.digamma(b) - sp.digamma(a + b)), b),
)
vjp_of(sp.xlogy, lambda g, y, x, z: fit(g * np.log(z), x), lambda g, y, x, z: fit(g * x / z, z))
vjp_of(sp.xlog1py, lambda g, y, x, z: fit(g * np.log1p(z), x), lambda g, y, x, z: fit(g * x / (1 + z), z))
