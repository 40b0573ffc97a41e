"""VQ-VAE.  van den Oord, Vinyals & Kavukcuoglu 2017, "Neural Discrete Representation Learning".

An encoder network turns an image x of D numbers into a map of h × w vectors z. The nearest codewords e_k of a codebook take their
places (the chapter `codebook`), which leaves of the image the map k of integers. A decoder network turns the codewords, with the
gradient of z in place of their own, into an image x̂. ‖·‖² sums over all of an image or map; sg(·) has the derivative 0.

    log p(x|k) = −½ ‖x − x̂‖²/τ² − ½ D log 2πτ²,   one τ for all pixels                                    (1)
    loss = −log p(x|k) + ‖sg(z) − e_k‖² + β ‖z − sg(e_k)‖²                                                (2)

τ² follows its maximum-likelihood value over the batches, as the codebook's averages do:

    τ² ← γ τ² + (1 − γ) mean (x − x̂)²                                                                     (3)

When all this is trained, an autoregressive prior p(k) is fitted to the codes of the data; without one all codes are equally
likely. A new image is decoded from a draw of the prior. Of p(x) = Σ_k p(k) p(x|k) the encoder knows one term, that of k(x), and the
others are not negative:

    log p(x) ≥ log p(x|k(x)) + log p(k(x))                                                                (4)

Each image costs h w log₂ K bits, or −log₂ p(k) where the prior is known on both sides.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from minigen.autograd import stop_gradient
from minigen.backend import array_module, to_device
from minigen.checks import check_count, check_data, check_rng
from minigen.models.codebook import CONSTANT, AveragedCodebook, Codebook, nearest, quantisation_loss, squared_distance, straight_through
from minigen.models.levels import check_levels
from minigen.models.pixelcnn import PixelCNN
from minigen.nn.maps import MapDecoder, MapEncoder
from minigen.optim import Adam
from minigen.train import Learner, run

LOG_2PI = 1.8378770664093453
MIN_VARIANCE = 1e-6  # images that are reconstructed exactly must not make the likelihood infinite


def log_likelihood(x, x_hat, variance):
    """log N(x; x̂, τ²I) of images, in nats (n,), for one number τ²."""
    d = math.prod(x.shape[1:])
    return -0.5 * (squared_distance(x, x_hat) / variance + d * (np.log(variance) + LOG_2PI))  # (1)


# ---- Training, for one map of codes or several ----
def train(model, x, books, *, rng, steps, decay, restart, optimizer, batch_size=64, **training):
    """The trained model, where model.forward(x) is (x̂, [(z, e, k) of each map]) and books(model) are the codebooks of the maps."""
    learner = Learner.of(to_device(model, "cpu" if array_module(x) is np else "cuda"), optimizer or Adam(1e-3))
    learner.model.variance[...] = np.maximum(np.var(x), MIN_VARIANCE)

    def step(learner, batch, rng):
        seen = []

        def loss(model, x):
            seen.extend(model.forward(x))
            return model.loss(x, *seen)

        value = learner.update(loss, batch)
        model, (x_hat, maps) = learner.model, stop_gradient(seen)
        variance = decay * model.variance + (1 - decay) * np.mean((batch - x_hat) ** 2)  # (3)
        model.variance[...] = np.maximum(variance, MIN_VARIANCE)
        for book, (z, _, k) in zip(books(model), maps, strict=True):
            z, k = np.reshape(z, (-1, z.shape[-1])), np.reshape(k, -1)
            book.follow(z, k, decay)
            book.restart(z, restart, rng)
        return value

    run(step, learner, x, rng=rng, steps=steps, batch_size=batch_size, **training)
    return learner.model


def check_settings(event, widths, sizes, beta):
    """Raise ValueError unless images of a shape (H, W, C) can be halved for each of the widths, and the numbers are in their ranges."""
    factor = 2 ** len(widths)
    if len(event) != 3 or not widths or event[0] % factor or event[1] % factor:
        raise ValueError(f"x: each is {tuple(event)}; expected (H, W, C) with H and W multiples of {factor}, for widths {tuple(widths)}")
    for name, n in sizes.items():
        check_count(name, n)
    if not beta >= 0:
        raise ValueError(f"beta is {beta}; expected a number ≥ 0")


def check_fit(x, rng, decay, restart):
    """Raise unless x holds finite images and the numbers are in their ranges."""
    check_data(x, rank=4)
    check_rng(rng)
    if not (0 <= decay < 1 and 0 <= restart < 1):
        raise ValueError(f"decay is {decay} and restart {restart}; expected both in [0, 1)")


def check_event(x, event):
    """ValueError unless x holds images of the shape that the model was fitted to."""
    if tuple(x.shape[1:]) != event:
        raise ValueError(f"x has shape {x.shape}; expected (n, {', '.join(map(str, event))})")


@dataclass
class VQVAE:
    """The model of images (n, H, W, C); codes are integers 0 … K − 1 (n, h, w).

    >>> rng = np.random.default_rng(0)
    >>> x = np.zeros((256, 4, 4, 1), np.float32)
    >>> x[:128] = 1  # one code of two tells them apart
    >>> model = VQVAE.fit(x, rng=rng, size=2, width=2, widths=(8, 8), steps=100, prior_steps=100, progress=False)
    >>> codes = model.encode(x[126:130])
    >>> bool(np.all(codes[0] == codes[1])), bool(np.any(codes[1] == codes[2])), model.sample(5, rng).shape
    (True, False, (5, 4, 4, 1))
    """

    encoder: MapEncoder
    codebook: Codebook
    decoder: MapDecoder
    variance: np.ndarray = field(metadata=CONSTANT)  # τ², an array of no axes
    event: tuple
    beta: float = 0.25
    prior: PixelCNN | None = None

    @classmethod
    def init(cls, rng, event, size=64, width=4, widths=(32, 64), averages=True, beta=0.25, dtype=np.float32):
        """K = size codewords in ℝᴸ, L = width, that are averages or parameters; each of widths halves the map."""
        check_settings(event, widths, {"size": size, "width": width}, beta)
        encoder = MapEncoder.init(rng, event[2], width, widths, dtype=dtype)
        book = (AveragedCodebook if averages else Codebook).init(rng, size, width, dtype)
        return cls(encoder, book, MapDecoder.init(rng, width, event[2], widths, dtype=dtype), np.ones((), dtype), tuple(event), beta)

    def forward(self, x):
        """(x̂, [(z, e, k)]): what becomes of images x on their way through the map."""
        z = self.encoder(x)
        k = nearest(z, self.codebook.codewords)
        e = self.codebook.codewords[k]
        return self.decoder(straight_through(z, e)), [(z, e, k)]

    def loss(self, x, x_hat, maps):
        """The loss (n,) of images x, given forward(x)."""
        return sum(quantisation_loss(z, e, self.beta) for z, e, _ in maps) - log_likelihood(x, x_hat, self.variance)  # (2)

    # ---- Use ----
    def encode(self, x):
        """The codes k (n, h, w) of images."""
        check_event(x, self.event)
        return nearest(self.encoder(x), self.codebook.codewords)

    def decode(self, k):
        """The images x̂ of codes k (n, h, w)."""
        check_levels(k, self.codebook.codewords.shape[0])
        return self.decoder(self.codebook.codewords[k])

    def reconstruct(self, x):
        """decode(encode(x))."""
        return self.decode(self.encode(x))

    def elbo(self, x):
        """The bound on log p(x), (n,) nats."""
        k = self.encode(x)
        log_p = -k[0].size * math.log(self.codebook.codewords.shape[0]) if self.prior is None else self.prior.log_prob(k)
        return log_likelihood(x, self.decode(k), self.variance) + log_p  # (4)

    def sample(self, n, rng, progress=True):
        """n images x̂ (n, H, W, C) of codes drawn from the prior, without the noise τ. Raises ValueError where there is no prior."""
        if self.prior is None:
            raise ValueError("the model has no prior to draw codes from: see with_prior")
        return self.decode(self.prior.sample(n, rng, progress=progress))

    def with_prior(self, x, *, rng, **settings):
        """The model with a PixelCNN fitted to the codes of images x; the settings are those of `PixelCNN.fit`."""
        k = np.concatenate([self.encode(x[i : i + 1000]) for i in range(0, x.shape[0], 1000)])
        return replace(self, prior=PixelCNN.fit(k, self.codebook.codewords.shape[0], rng=rng, **settings))

    @classmethod
    def fit(
        cls, x, *, rng, size=64, width=4, widths=(32, 64), averages=True, beta=0.25, decay=0.97, restart=0.05, steps=1000, prior_steps=500,
        optimizer=None, progress=True, **training,
    ):  # fmt: skip
        """Train on finite images x (n, H, W, C), then its prior for prior_steps (none for 0). Returns the model.

        decay is γ, restart is r (0: dead codewords stay dead); the rest goes to `minigen.train.run`. Raises TypeError or
        ValueError for data that does not fit.
        """
        check_fit(x, rng, decay, restart)
        model = cls.init(rng, x.shape[1:], size, width, widths, averages, beta, x.dtype)
        model = train(
            model, x, lambda model: [model.codebook], rng=rng, steps=steps, decay=decay, restart=restart, optimizer=optimizer,
            progress=progress, **training,
        )  # fmt: skip
        return model.with_prior(x, rng=rng, steps=prior_steps, progress=progress) if prior_steps else model
