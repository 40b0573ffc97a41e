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

The decoder's outputs are logits a of binary data, or the mean m and log-deviation of real data:

    log p(x|z) = Σ x a − softplus(a),   x ∈ {0, 1}                                                        (7)
    log p(x|z) = −Σ ½ ((x − m)/τ)² + log τ + ½ log 2π                                                     (8)

K samples give a tighter bound, monotone in K in expectation (Burda, Grosse & Salakhutdinov 2016, "Importance weighted
autoencoders"):

    log p(x) ≥ E log (1/K) Σₖ wₖ,   wₖ = p(x|zₖ) p(zₖ) / q(zₖ|x),   zₖ ~ q(z|x)                           (9)

What is minimised weighs the two terms (Higgins et al. 2017, β-VAE); β = 1 gives −ELBO:

    loss = −E_q[log p(x|z)] + β KL                                                                       (10)

Through (5) the gradient passes to the encoder; through the step (6) nothing passes. There the score function does, each of
K ≥ 2 samples with the mean of the others as its baseline, which keeps it unbiased (Mnih & Rezende 2016; Kool et al. 2019):

    ∇ E_q[f(z)] = E (1/K) Σₖ (f(zₖ) − 1/(K−1) Σ_{j≠k} f(zⱼ)) ∇ log q(zₖ|x) + ∇f(zₖ)                      (11)
"""

from dataclasses import dataclass

import numpy as np

from minigen.autograd import stop_gradient
from minigen.backend import exponential, normal, uniform
from minigen.functions import logsumexp, relu, sigmoid, softplus
from minigen.nn import MLP
from minigen.optim import Adam
from minigen.train import minimise

PRIORS, LIKELIHOODS = ("normal", "laplace", "bernoulli"), ("bernoulli", "gaussian")
LOG_2, LOG_2PI = 0.6931471805599453, 1.8378770664093453
MIN_LOG_STD = -7.0  # τ ≥ 0.001: a pixel that never changes must not make the likelihood infinite


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

    encoder: MLP
    decoder: MLP
    event: tuple
    prior: str = "normal"
    likelihood: str = "gaussian"
    beta: float = 1.0

    @classmethod
    def init(
        cls, rng, event, latent=16, hidden=(256, 256), prior="normal", likelihood="gaussian", beta=1.0, activation=relu, dtype=np.float32
    ):  # fmt: skip
        """Networks with the given hidden widths, the decoder's in reverse.

        Their outputs begin near 0, that is near q = p and τ = 1: some are exponents, and large ones at the start diverge.
        """
        if prior not in PRIORS:
            raise ValueError(f"prior is {prior!r}; expected one of {PRIORS}")
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood is {likelihood!r}; expected one of {LIKELIHOODS}")
        if latent < 1 or beta < 0:
            raise ValueError(f"latent is {latent} and beta {beta}; expected latent ≥ 1 and beta ≥ 0")
        d, event = int(np.prod(event)), tuple(event)
        code = latent if prior == "bernoulli" else 2 * latent
        output = d if likelihood == "bernoulli" else 2 * d
        encoder = MLP.init(rng, [d, *hidden, code], activation, output_gain=0.1, dtype=dtype)
        decoder = MLP.init(rng, [latent, *hidden[::-1], output], activation, output_gain=0.1, dtype=dtype)
        return cls(encoder, decoder, event, prior, likelihood, beta)

    # ---- q(z|x) and p(x|z) ----
    def halves(self, h):
        """The two halves of a network's output: a location and a log-scale."""
        return h[..., : h.shape[-1] // 2], h[..., h.shape[-1] // 2 :]

    def noise(self, rng, n, samples=None):
        """ε or u for n data: (n, L), or (samples, n, L)."""
        like = self.decoder.layers[0].weight
        shape = (n, like.shape[0]) if samples is None else (samples, n, like.shape[0])
        if self.prior == "laplace":
            return exponential(rng, shape, like) - exponential(rng, shape, like)
        return normal(rng, shape, like) if self.prior == "normal" else uniform(rng, shape, like)

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

    def log_likelihood(self, x, z):
        """log p(x|z) for flat x (n, D) and z (…, n, L): (…, n) nats."""
        out = self.decoder(z)
        if self.likelihood == "bernoulli":
            return log_bernoulli(x, out)
        mean, log_std = self.halves(out)
        return log_gaussian(x, mean, np.maximum(log_std, MIN_LOG_STD))

    def flat(self, x):
        """x (n, *event) as (n, D), checked."""
        if tuple(x.shape[1:]) != self.event:
            raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, self.event))})")
        if self.likelihood == "bernoulli" and not bool(np.all((x == 0) | (x == 1))):
            raise ValueError("x holds values other than 0 and 1, which a Bernoulli decoder cannot give: use likelihood='gaussian'")
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
        return logsumexp(self.log_weights(x, eps), axis=0) - float(np.log(eps.shape[0]))  # (9)

    def loss(self, x, eps):
        """What is minimised, (n,), for flat x: its value is (10), its gradient unbiased for every prior. eps as in `elbo`."""
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
            fit = fit + score - stop_gradient(score)  # (11)
        return (np.mean(fit, axis=0) if eps.ndim == 3 else fit) * -1 + self.beta * self.kl(h)  # (10)

    # ---- Use ----
    def encode(self, x):
        """The mean of q(z|x), (n, L)."""
        h = self.encoder(self.flat(x))
        return sigmoid(h) if self.prior == "bernoulli" else self.halves(h)[0]

    def decode(self, z):
        """The mean of p(x|z), (n, *event)."""
        out = self.decoder(z)
        mean = sigmoid(out) if self.likelihood == "bernoulli" else self.halves(out)[0]
        return np.reshape(mean, (z.shape[0], *self.event))

    def reconstruct(self, x):
        """decode(encode(x)), (n, *event)."""
        return self.decode(self.encode(x))

    def sample(self, n, rng):
        """x ~ p(x): a code from the prior, then x from p(x|z), its noise included; (n, *event)."""
        z = self.noise(rng, n)
        z = (z < 0.5).astype(z.dtype) if self.prior == "bernoulli" else z
        out = self.decoder(z)
        if self.likelihood == "bernoulli":
            x = (uniform(rng, out.shape, out) < sigmoid(out)).astype(out.dtype)
        else:
            mean, log_std = self.halves(out)
            x = mean + np.exp(np.maximum(log_std, MIN_LOG_STD)) * normal(rng, mean.shape, mean)
        return np.reshape(x, (n, *self.event))

    @classmethod
    def fit(
        cls, x, *, rng, latent=16, hidden=(256, 256), prior="normal", likelihood="gaussian", beta=1.0, activation=relu, steps=2000,
        samples=None, optimizer=None, **training,
    ):  # fmt: skip
        """Train by Adam on the loss; `samples` noise vectors a datum (default 1, or 4 for a Bernoulli code). Returns the model.

        x (n, *event) is float; the rest goes to `minigen.train.minimise`. Raises ValueError for data that does not fit.
        """
        if x.dtype.kind != "f" or x.ndim < 2 or not bool(np.all(np.isfinite(x))):
            raise ValueError(f"x is a {x.dtype} array of shape {x.shape}; expected finite floating-point data of shape (n, …)")
        model = cls.init(rng, x.shape[1:], latent, hidden, prior, likelihood, beta, activation, x.dtype)
        samples = samples or (4 if prior == "bernoulli" else None)
        loss = lambda model, x, rng: model.loss(x, model.noise(rng, x.shape[0], samples))
        return minimise(loss, model, model.flat(x), rng=rng, steps=steps, optimizer=optimizer or Adam(1e-3), **training)[0]
