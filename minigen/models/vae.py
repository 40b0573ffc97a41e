"""Variational autoencoder.  Kingma & Welling 2014, "Auto-Encoding Variational Bayes"; Rezende, Mohamed & Wierstra 2014.

A code z ∈ ℝᴸ has a prior p(z); a decoder network gives p(x|z), an encoder network q(z|x), an approximation of p(z|x).

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))                                                        (1)

The bound (ELBO) misses log p(x) by KL(q(z|x) ‖ p(z|x)). Its second term has a closed form where q is of the prior's family,
for a normal (μ, σ) and N(0, 1), a Laplace (μ, b) and Laplace(0, 1), and a Bernoulli(π = σ(h)) and Bernoulli(½):

    KL = Σ ½ (σ² + μ² − 1) − log σ                                                                        (2)
    KL = Σ |μ| + b e^(−|μ|/b) − 1 − log b                                                                 (3)
    KL = Σ log 2 + π log π + (1 − π) log(1 − π) = Σ log 2 + π h − softplus(h)                             (4)

Its first term is estimated with samples of q, made from noise ε ~ p(z) or u ~ U[0, 1) that does not depend on parameters:

    z = μ + s ε,   s = σ or b,   hence log q(z|x) = log p(ε) − Σ log s                                    (5)
    z = 1[u < π],   hence log q(z|x) = Σ z h − softplus(h)                                                (6)

The decoder's outputs are logits a of binary data, or the mean m and log-deviation of real data, or the location m and log-scale of a
logistic variable that is rounded to levels x ∈ {0, δ, 2δ, …, 1}, the outer two reaching to ∓∞ (Salimans et al. 2017, PixelCNN++, §2.1):

    log p(x|z) = Σ x a − softplus(a),   x ∈ {0, 1}                                                        (7)
    log p(x|z) = −Σ ½ ((x − m)/τ)² + log τ + ½ log 2π                                                     (8)
    log p(x|z) = Σ log (σ(u) − σ(l)) = Σ log σ(u) + log σ(−l) + log (1 − e^(−δ/τ)),   u, l = (x ± δ/2 − m)/τ    (9)

K samples give a tighter bound, monotone in K in expectation (Burda, Grosse & Salakhutdinov 2016, "Importance weighted
autoencoders"):

    log p(x) ≥ E log (1/K) Σₖ wₖ,   wₖ = p(x|zₖ) p(zₖ) / q(zₖ|x),   zₖ ~ q(z|x)                           (10)

What is minimised weighs the two terms (Higgins et al. 2017, β-VAE); β = 1 gives −ELBO:

    loss = −E_q[log p(x|z)] + β KL                                                                       (11)

Through (5) the gradient passes to the encoder; through the step (6) nothing passes. There the score function does, each of
K ≥ 2 samples with the mean of the others as its baseline, which keeps it unbiased (Mnih & Rezende 2016; Kool et al. 2019):

    ∇ E_q[f(z)] = E (1/K) Σₖ (f(zₖ) − 1/(K−1) Σ_{j≠k} f(zⱼ)) ∇ log q(zₖ|x) + ∇f(zₖ)                      (12)
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen.autograd import stop_gradient
from minigen.backend import exponential, like, normal, uniform
from minigen.checks import check_choice, check_count, check_data
from minigen.functions import log_sigmoid, logsumexp, relu, sigmoid, softplus
from minigen.nn import MLP, ConvDecoder, ConvEncoder
from minigen.optim import Adam
from minigen.train import minimise
from minigen.tree import leaves, tree_map

PRIORS, LIKELIHOODS, NETWORKS = ("normal", "laplace", "bernoulli"), ("bernoulli", "gaussian", "logistic"), ("mlp", "conv")
LOG_2, LOG_2PI = 0.6931471805599453, 1.8378770664093453
MIN_LOG_STD = -7.0  # τ ≥ 0.001: a pixel that never changes must not make the likelihood infinite (nor a gradient)


# ---- The closed forms; each sums over the last axis ----
def kl_normal(mean, log_std):
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats."""
    return np.sum(0.5 * (np.exp(2 * log_std) + mean * mean - 1) - log_std, axis=-1)  # (2)


def kl_laplace(mean, log_scale):
    """KL(Laplace(μ, b) ‖ Laplace(0, 1)) in nats."""
    distance = np.abs(mean)
    return np.sum(distance + np.exp(log_scale - distance * np.exp(-log_scale)) - 1 - log_scale, axis=-1)  # (3)


def kl_bernoulli(logits):
    """KL(Bernoulli(σ(h)) ‖ Bernoulli(½)) in nats."""
    return np.sum(LOG_2 + sigmoid(logits) * logits - softplus(logits), axis=-1)  # (4)


def log_bernoulli(x, logits):
    """log p(x) of binary x under logits, in nats."""
    return np.sum(x * logits - softplus(logits), axis=-1)  # (6) (7)


def log_gaussian(x, mean, log_std):
    """log p(x) of real x under N(m, τ²), in nats."""
    return -np.sum(0.5 * ((x - mean) * np.exp(-log_std)) ** 2 + log_std + 0.5 * LOG_2PI, axis=-1)  # (8)


def log_logistic(x, location, log_scale, levels):
    """log P(x) in nats of x on `levels` levels from 0 to 1 under a rounded logistic; exact in its tails."""
    cell, precision = 1 / (levels - 1), np.exp(-log_scale)
    below = log_sigmoid((x + cell / 2 - location) * precision)
    above = log_sigmoid((location - x + cell / 2) * precision)
    inner = below + above + np.log(-np.expm1(-cell * precision))
    return np.sum(np.where(x < cell / 2, below, np.where(x > 1 - cell / 2, above, inner)), axis=-1)  # (9)


def log_prior(z, prior):
    """log p(z) in nats."""
    if prior == "normal":
        return -0.5 * np.sum(z * z + LOG_2PI, axis=-1)
    return -np.sum((np.abs(z) if prior == "laplace" else 0 * z) + LOG_2, axis=-1)


@dataclass
class VAE:
    """The model. Data has shape (n, *event); codes (n, L); noise (n, L), or (K, n, L) for K samples a datum.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((256, 2)).astype(np.float32) * [[3.0, 0.1]]
    >>> vae = VAE.fit(x.astype(np.float32), latent=1, hidden=(32,), rng=rng, steps=500, progress=False)
    >>> vae.sample(5, rng).shape, bool(vae.elbo(x, vae.noise(rng, 256)).mean() > -4)
    ((5, 2), True)
    """

    encoder: Any
    decoder: Any
    event: tuple
    latent: int
    prior: str = "normal"
    likelihood: str = "gaussian"
    beta: float = 1.0
    levels: int = 2  # of a logistic likelihood

    @classmethod
    def init(
        cls, rng, event, latent=16, hidden=None, prior="normal", likelihood="gaussian", beta=1.0, activation=relu, dtype=np.float32,
        network="mlp", levels=256, labels=0,
    ):  # fmt: skip
        """Networks "mlp" of hidden widths (256, 256), or "conv" of channels (32, 64) for images (H, W, C); the decoder's in reverse.

        Their outputs begin near 0, that is near q = p and τ = 1: some are exponents, and large ones at the start diverge. Dense
        networks may take further numbers (`labels` of them) behind the datum and behind the code.
        """
        for name, value, choices in (("prior", prior, PRIORS), ("likelihood", likelihood, LIKELIHOODS), ("network", network, NETWORKS)):
            check_choice(name, value, choices)
        check_count("latent", latent)
        if not 0 <= beta < math.inf or levels < 2:
            raise ValueError(f"beta is {beta} and levels {levels}; expected a finite beta ≥ 0 and levels ≥ 2")
        event, d, per_code, per_pixel = tuple(event), math.prod(event), 1 + (prior != "bernoulli"), 1 + (likelihood != "bernoulli")
        start = {"activation": activation, "output_gain": 0.1, "dtype": dtype}
        if network == "conv":
            widths = tuple(hidden or (32, 64))
            encoder = ConvEncoder.init(rng, event, per_code * latent, widths, **start)
            decoder = ConvDecoder.init(rng, latent, (*event[:-1], per_pixel * event[-1]), widths, **start)
        else:
            widths = tuple(hidden or (256, 256))
            encoder = MLP.init(rng, [d + labels, *widths, per_code * latent], **start)
            decoder = MLP.init(rng, [latent + labels, *widths[::-1], per_pixel * d], **start)
        return cls(encoder, decoder, event, latent, prior, likelihood, beta, levels)

    # ---- q(z|x) and p(x|z) ----
    def halves(self, h):
        """The two halves of a network's output: a location and a log-scale."""
        return h[..., : h.shape[-1] // 2], h[..., h.shape[-1] // 2 :]

    def noise(self, rng, n, samples=None):
        """ε or u for n data: (n, L), or (samples, n, L)."""
        weights = leaves(self.decoder)[0]
        shape = (n, self.latent) if samples is None else (samples, n, self.latent)
        if self.prior == "laplace":
            return exponential(rng, shape, weights) - exponential(rng, shape, weights)
        return normal(rng, shape, weights) if self.prior == "normal" else uniform(rng, shape, weights)

    def draw_code(self, h, eps):
        """z ~ q(z|x) from the encoder's output h and noise."""
        if self.prior == "bernoulli":
            return (eps < sigmoid(stop_gradient(h))).astype(eps.dtype)  # (6)
        mean, log_scale = self.halves(h)
        return mean + np.exp(log_scale) * eps  # (5)

    def kl(self, h):
        """KL(q(z|x) ‖ p(z)) from the encoder's output h, (n,) nats."""
        if self.prior == "bernoulli":
            return kl_bernoulli(h)
        return (kl_normal if self.prior == "normal" else kl_laplace)(*self.halves(h))

    def outputs(self, z):
        """What the decoder says of each number of x, from z (…, L): one or two arrays (…, D), logits, or locations and log-scales."""
        out = self.decoder(z)
        flat = lambda a: np.reshape(a, (*z.shape[:-1], math.prod(self.event)))
        if self.likelihood == "bernoulli":
            return (flat(out),)
        location, log_scale = map(flat, self.halves(out))
        return location, np.maximum(log_scale, MIN_LOG_STD)

    def log_likelihood(self, x, z):
        """log p(x|z) for flat x (n, D) and z (…, n, L): (…, n) nats."""
        if self.likelihood == "logistic":
            return log_logistic(x, *self.outputs(z), self.levels)
        return (log_bernoulli if self.likelihood == "bernoulli" else log_gaussian)(x, *self.outputs(z))

    def flat(self, x):
        """x (n, *event) as (n, D), checked."""
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        if self.likelihood == "bernoulli" and not bool(np.all((x == 0) | (x == 1))):
            raise ValueError("x holds values other than 0 and 1, which a Bernoulli decoder cannot give: use likelihood='gaussian'")
        k = x * (self.levels - 1)
        if self.likelihood == "logistic" and not bool(np.all((np.abs(k - np.rint(k)) < 1e-3) & (x > -1e-3) & (x < 1 + 1e-3))):
            raise ValueError(f"x holds values other than k/{self.levels - 1}, k = 0 … {self.levels - 1}: levels is {self.levels}")
        return np.reshape(x, (x.shape[0], -1))

    # ---- Bounds ----
    def terms(self, x, eps):
        """(log p(x|z) of each sample, KL): the two terms of the bound for flat x; (…, n) and (n,) nats."""
        h = self.encoder(x)
        return self.log_likelihood(x, self.draw_code(h, eps)), self.kl(h)

    def elbo(self, x, eps):
        """The bound on log p(x), (n,) nats, averaged over the K samples of eps (K, n, L), or from one with eps (n, L)."""
        fit, kl = self.terms(self.flat(x), eps)
        return (np.mean(fit, axis=0) if eps.ndim == 3 else fit) - kl  # (1)

    def log_weights(self, x, eps):
        """log wₖ for eps (K, n, L): (K, n) nats."""
        x = self.flat(x)
        h = self.encoder(x)
        z = self.draw_code(h, eps)
        if self.prior == "bernoulli":
            log_q = log_bernoulli(z, h)  # (6)
        else:
            log_q = log_prior(eps, self.prior) - np.sum(self.halves(h)[1], axis=-1)  # (5)
        return self.log_likelihood(x, z) + log_prior(z, self.prior) - log_q

    def iwae(self, x, eps):
        """The importance-weighted bound on log p(x) from eps (K, n, L), (n,) nats."""
        return logsumexp(self.log_weights(x, eps), axis=0) - float(np.log(eps.shape[0]))  # (10)

    def loss(self, x, eps):
        """What is minimised, (n,), for flat x: its value is (11), its gradient unbiased for every prior. eps as in `elbo`."""
        h = self.encoder(x)
        z = self.draw_code(h, eps)
        fit = self.log_likelihood(x, z)
        if self.prior == "bernoulli":
            k = eps.shape[0] if eps.ndim == 3 else 1
            if k < 2:
                raise ValueError("eps has one sample a datum; a Bernoulli code needs (K, n, L) with K ≥ 2 for its gradient")
            f = stop_gradient(fit)
            others = (np.sum(f, axis=0) - f) / (k - 1)
            score = (f - others) * log_bernoulli(z, h)
            fit = fit + score - stop_gradient(score)  # (12)
        return (np.mean(fit, axis=0) if eps.ndim == 3 else fit) * -1 + self.beta * self.kl(h)  # (11)

    # ---- Use ----
    def encode(self, x):
        """The mean of q(z|x), (n, L)."""
        h = self.encoder(self.flat(x))
        return sigmoid(h) if self.prior == "bernoulli" else self.halves(h)[0]

    def decode(self, z):
        """The mean of p(x|z), (n, *event); of a logistic likelihood its location."""
        location = self.outputs(z)[0]
        mean = {"bernoulli": sigmoid, "gaussian": lambda m: m, "logistic": lambda m: np.clip(m, 0, 1)}[self.likelihood](location)
        return np.reshape(mean, (z.shape[0], *self.event))

    def reconstruct(self, x):
        """decode(encode(x)), (n, *event)."""
        return self.decode(self.encode(x))

    def draw_prior(self, n, rng):
        """z ~ p(z), (n, L)."""
        z = self.noise(rng, n)
        return (z < 0.5).astype(z.dtype) if self.prior == "bernoulli" else z

    def draw_data(self, z, rng):
        """x ~ p(x|z), its noise included; (n, *event)."""
        location, *log_scale = self.outputs(z)
        if self.likelihood == "gaussian":
            x = location + np.exp(log_scale[0]) * normal(rng, location.shape, location)
        else:
            u = np.maximum(uniform(rng, location.shape, location), 1e-7)
            if self.likelihood == "bernoulli":
                x = (u < sigmoid(location)).astype(location.dtype)
            else:
                x = location + np.exp(log_scale[0]) * (np.log(u) - np.log1p(-u))
                x = np.clip(np.rint(x * (self.levels - 1)), 0, self.levels - 1) / (self.levels - 1)
        return np.reshape(x, (z.shape[0], *self.event))

    def sample(self, n, rng):
        """x ~ p(x): a code from the prior, then x from p(x|z); (n, *event)."""
        return self.draw_data(self.draw_prior(n, rng), rng)

    @classmethod
    def fit(
        cls, x, *, rng, latent=16, hidden=None, prior="normal", likelihood="gaussian", beta=1.0, activation=relu, network="mlp", levels=256,
        steps=2000, samples=None, optimizer=None, **training,
    ):  # fmt: skip
        """Train by Adam on the loss; `samples` noise vectors a datum (default 1, or 4 for a Bernoulli code). Returns the model.

        x (n, *event) is float; the rest goes to `minigen.train.minimise`. Raises TypeError or ValueError for data that does not fit.
        """
        check_data(x, rank=None)
        model = cls.init(rng, x.shape[1:], latent, hidden, prior, likelihood, beta, activation, x.dtype, network, levels)
        model = tree_map(lambda w: like(x, w), model)
        samples = samples or (4 if prior == "bernoulli" else None)
        loss = lambda model, x, rng: model.loss(x, model.noise(rng, x.shape[0], samples))
        return minimise(loss, model, model.flat(x), rng=rng, steps=steps, optimizer=optimizer or Adam(1e-3), **training)[0]
