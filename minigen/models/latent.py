"""Ways through a space of codes: between two codes, along a coordinate, towards an attribute.

White 2016, "Sampling generative networks"; Shoemake 1985, "Animating rotation with quaternion curves", for (2); Larsen et al. 2016,
"Autoencoding beyond pixels using a learned similarity metric", for (5); Mikolov et al. 2013, "Linguistic regularities in continuous
space word representations", for (6). Notation: codes a, b, z ∈ ℝᴸ; t ∈ [0, 1]; â = a/‖a‖, b̂ = b/‖b‖.

    straight     z(t) = (1 − t) a + t b                                                                  (1)
    spherical    u(t) = cos(t Ω) â + sin(t Ω) v,   Ω the angle of a and b, v the unit vector along b̂ − (âᵀb̂) â      (2)
                 z(t) = ((1 − t) ‖a‖ + t ‖b‖) u(t)                                                       (3)
    traversal    z with zⱼ replaced by c                                                                 (4)
    attribute    w = mean of z with it − mean of z without it;   z + s w has more of it                  (5)
    analogy      d = a − b + c:   what is to c as a is to b                                              (6)
    map          z = (Φ⁻¹(pⱼ), Φ⁻¹(1 − pᵢ)),   pᵢ = (i + ½)/n,   Φ the distribution function of N(0, 1)  (7)

Why not always straight: codes of N(0, I) have norms near √L, and the middle of two independent ones only √(L/2), where there are hardly
any: by (1) one walks through what a model has not seen. By (3) norms lie between those of the ends. Of (7) each code stands for an
equally probable cell of a plane of codes N(0, I), row i and column j of a picture whose second coordinate grows upwards.
"""

from statistics import NormalDist

import numpy as np

from minigen.backend import like
from minigen.checks import check_columns, check_count


def check_pair(a, b):
    """Raise unless a and b have the same shape (…, L)."""
    if a.shape != b.shape or a.ndim < 1:
        raise ValueError(f"codes have shapes {a.shape} and {b.shape}; expected the same, (…, L)")


def on_path(t, a):
    """The numbers t (T,) as an array (T, 1, …, 1) that multiplies codes a."""
    t = like(a, t)
    if t.ndim != 1:
        raise ValueError(f"t has shape {t.shape}; expected (T,), the places on the way, 0 at a and 1 at b")
    return np.reshape(t, t.shape + (1,) * a.ndim)


def lerp(a, b, t):
    """The straight way from a to b (…, L) at the places t (T,): (T, …, L).

    >>> lerp(np.array([0.0, 0.0]), np.array([2.0, 4.0]), [0.0, 0.5, 1.0])
    array([[0., 0.],
           [1., 2.],
           [2., 4.]])
    """
    check_pair(a, b)
    t = on_path(t, a)
    return (1 - t) * a + t * b  # (1)


def unit(z):
    """(z/‖z‖, or 0 where z is 0; ‖z‖ with its axis kept) along the last axis."""
    norm = np.sqrt(np.sum(z * z, axis=-1, keepdims=True))
    return z / np.where(norm > 0, norm, 1), norm


def slerp(a, b, t):
    """The spherical way from a to b (…, L), L ≥ 2, at the places t (T,): (T, …, L). Opposite codes have many; one of them is taken.

    >>> slerp(np.array([1.0, 0.0]), np.array([0.0, 3.0]), [0.5]).round(3)  # half of a quarter turn, at distance 2
    array([[1.414, 1.414]])
    """
    check_pair(a, b)
    if a.shape[-1] < 2:
        raise ValueError(f"a has shape {a.shape}; expected (…, L) with L ≥ 2, for there is no angle on a line")
    t = on_path(t, a)
    (from_, norm_a), (to, norm_b) = unit(a), unit(b)
    from_, to = np.where(norm_a > 0, from_, to), np.where(norm_b > 0, to, from_)  # 0 has no direction: it takes the other's
    cosine = np.sum(from_ * to, axis=-1, keepdims=True)
    v, sine = unit(to - cosine * from_)
    # Where a and b lie on a line through 0, any direction across will do: that of the axis which is most across.
    axis = like(a, np.eye(a.shape[-1]))[np.argmin(np.abs(from_), axis=-1)]
    across, _ = unit(axis - np.sum(axis * from_, axis=-1, keepdims=True) * from_)
    v = np.where(sine > 1e-6, v, across)
    angle = t * np.arctan2(sine, cosine)
    return ((1 - t) * norm_a + t * norm_b) * (np.cos(angle) * from_ + np.sin(angle) * v)  # (2) (3)


def traverse(z, coordinate, values):
    """Codes z (n, L) with one coordinate set to each of the values (T,): (T, n, L).

    >>> traverse(np.zeros((1, 3)), 1, [5.0, 7.0])[:, 0]
    array([[0., 5., 0.],
           [0., 7., 0.]])
    """
    if z.ndim != 2 or not -z.shape[1] <= coordinate < z.shape[1]:
        raise ValueError(f"coordinate is {coordinate} and z has shape {z.shape}; expected (n, L) and a coordinate below L")
    here = np.arange(z.shape[1]) == coordinate % z.shape[1]
    return np.where(like(z, here) > 0, on_path(values, z), z)  # (4)


def attribute_vector(z, has):
    """w (L,) from codes z (n, L) and whether each has the attribute, has (n,) bool; ValueError unless some do and some do not."""
    check_columns(z, z.shape[-1], "z")
    if has.shape != z.shape[:1] or has.dtype != bool:
        raise ValueError(f"has is {has.dtype} of shape {has.shape}; expected booleans ({z.shape[0]},), one for each code")
    with_it = has.astype(z.dtype)
    count = np.sum(with_it)
    if not 0 < float(count) < z.shape[0]:
        raise ValueError(f"has is true of {float(count):.0f} codes of {z.shape[0]}; expected some with the attribute and some without")
    return with_it @ z / count - (1 - with_it) @ z / (z.shape[0] - count)  # (5)


def analogy(a, b, c):
    """What is to codes c as a is to b, all (…, L).

    >>> analogy(np.array([1.0, 5.0]), np.array([1.0, 2.0]), np.array([7.0, 2.0]))
    array([7., 5.])
    """
    check_pair(a, b)
    check_pair(b, c)
    return a - b + c  # (6)


def latent_map(n):
    """Codes (n², 2), on the host, that tile the plane of N(0, I): row after row of a picture, from its top left.

    >>> latent_map(2).round(2)
    array([[-0.67,  0.67],
           [ 0.67,  0.67],
           [-0.67, -0.67],
           [ 0.67, -0.67]])
    """
    check_count("n", n)
    line = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    return np.stack(np.meshgrid(line, -line), axis=-1).reshape(-1, 2)  # (7): Φ⁻¹(1 − p) = −Φ⁻¹(p)
