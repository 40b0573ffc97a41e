"""Counts as a language model: n-grams with interpolated Kneser–Ney smoothing.

Kneser & Ney 1995, "Improved backing-off for m-gram language modeling"; Chen & Goodman 1999, "An empirical study of smoothing
techniques for language modeling", §4.1.6 (interpolated). Symbols are integers 0 … L − 1; c is a context of m − 1 symbols, c′ the
same without its first, N(c w) how often the symbol w followed c in the training text, D a discount.

    p_m(w | c) = max(N(c w) − D, 0) / N(c ·) + D U(c ·) / N(c ·) p_{m−1}(w | c′)                          (1)

where N(c ·) = Σ_w N(c w) and U(c ·) is the number of different w that followed c; p₀ = 1/L; a context that never was leaves it to
p_{m−1}. In all orders but the highest N counts in how many different contexts c w was seen, not how often: "Francisco" is frequent,
but only behind "San".

    N(c w) = the number of different v with v c w in the text                                            (2)

The probability of a text is the product of these, the first symbols having shorter contexts:

    log p(k) = Σₜ log p_m(kₜ | kₜ₋ₘ₊₁ … kₜ₋₁),   m = min(order, t + 1)                                    (3)
"""

from dataclasses import dataclass

import numpy as np

from minigen.checks import check_count
from minigen.models.levels import check_levels
from minigen.tree import is_array


def codes(k, m, levels):
    """Each m symbols in a row of the text k (N,) as one number in base `levels`, (N − m + 1,)."""
    return sum(k[i : len(k) - m + 1 + i] * levels ** (m - 1 - i) for i in range(m))


def check_text(k, levels):
    """Raise unless k holds integers 0 … levels − 1 in shape (N,)."""
    if not is_array(k) or k.ndim != 1:
        raise ValueError(f"k is {f'of shape {k.shape}' if is_array(k) else type(k).__name__}; expected a text, integers (N,)")
    check_levels(k[None], levels)


def look_up(table, keys):
    """The values of keys in a table (sorted keys, values); 0 for those that it has not."""
    at = np.minimum(np.searchsorted(table[0], keys), len(table[0]) - 1)
    return np.where(table[0][at] == keys, table[1][at], 0)


@dataclass
class NGram:
    """The model of a text k, integers (N,).

    >>> model = NGram.fit(np.array([0, 1] * 50), 2, order=2)
    >>> np.exp(model.conditionals(np.array([0, 1, 1]))).round(2)
    array([0.5 , 0.99, 0.01])
    """

    counts: list  # for m = 1 … order: (codes of m symbols, N)
    contexts: list  # (codes of m − 1 symbols, N(c ·))
    followers: list  # (codes of m − 1 symbols, U(c ·))
    levels: int
    discount: float

    @classmethod
    def fit(cls, k, levels, order=5, discount=0.75):
        """Count the text. Raises ValueError where a number of `order` symbols would not fit in 64 bits, or the discount is no fraction."""
        check_text(k, levels)
        check_count("order", order)
        if levels ** (order + 1) >= 2**63 or len(k) < order:
            raise ValueError(f"order is {order} for {levels} levels and {len(k)} symbols; expected fewer")
        if not 0 < discount < 1:
            raise ValueError(f"discount is {discount}; expected a number in (0, 1)")
        k, counts, contexts, followers = k.astype(np.int64), [], [], []
        for m in range(1, order + 1):
            seen = codes(k, m, levels)
            if m < order:
                seen = np.unique(codes(k, m + 1, levels)) % levels**m  # (2)
            found, n = np.unique(seen, return_counts=True)
            before, first, u = np.unique(found // levels, return_index=True, return_counts=True)
            counts.append((found, n))
            contexts.append((before, np.add.reduceat(n, first)))
            followers.append((before, u))
        return cls(counts, contexts, followers, levels, discount)

    def conditionals(self, k):
        """log p of each symbol of a text k (N,) given those before it, (N,) nats."""
        check_text(k, self.levels)
        k, p = k.astype(np.int64), np.full(len(k), 1 / self.levels)
        for m, (counts, contexts, followers) in enumerate(zip(self.counts, self.contexts, self.followers, strict=True), 1):
            here = codes(k, m, self.levels)
            n, total, u = look_up(counts, here), look_up(contexts, here // self.levels), look_up(followers, here // self.levels)
            mixed = np.maximum(n - self.discount, 0) + self.discount * u * p[m - 1 :]
            p[m - 1 :] = np.where(total > 0, mixed / np.maximum(total, 1), p[m - 1 :])  # (1)
        return np.log(p)

    def log_prob(self, k):
        """log p of a text k (N,), in nats."""
        return np.sum(self.conditionals(k))  # (3)
