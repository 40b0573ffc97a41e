"""VQ-VAE-2.  Razavi, van den Oord & Vinyals 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2".

Two maps of codes: a small top map t for what an image is as a whole, and a larger bottom map b, which knows the top, for its details.
The nearest codeword (the chapter `codebook`) is written e(·), a level's codebook as its index, and [·, ·] joins channels.

    h = trunk(x),   z_t = top encoder(h),   u = top decoder(e(z_t)),   of the size of h                   (1)
    z_b = W [h, u]  (a 1 × 1 convolution),   x̂ = decoder([e(z_b), u])                                     (2)
    loss = −log p(x|t, b) + Σ_{i = t, b} [‖sg(z_i) − e(z_i)‖² + β ‖z_i − sg(e(z_i))‖²]                     (3)

with p(x|t, b) = N(x̂, τ²I) as in the chapter `vqvae`. The priors are fitted afterwards, the one of the bottom with the top's map u as
its context; a draw goes from top to bottom:

    p(t, b) = p(t) p(b | u(t))                                                                            (4)
    log p(x) ≥ log p(x|t(x), b(x)) + log p(t(x)) + log p(b(x) | u(t(x)))                                  (5)
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from minigen.models.codebook import CONSTANT, AveragedCodebook, Codebook, nearest, quantisation_loss, straight_through
from minigen.models.levels import check_levels
from minigen.models.pixelcnn import PixelCNN
from minigen.models.vqvae import check_event, check_fit, check_settings, log_likelihood, train
from minigen.nn import Conv2d
from minigen.nn.maps import MapDecoder, MapEncoder


@dataclass
class VQVAE2:
    """The model of images (n, H, W, C); codes are pairs of integers, top (n, h/2ᵐ, w/2ᵐ) and bottom (n, h, w), m = len(top_widths).

    >>> rng = np.random.default_rng(0)
    >>> x = rng.random((64, 8, 8, 1), np.float32)
    >>> model = VQVAE2.fit(x, rng=rng, sizes=(4, 8), widths=(8,), top_widths=(8,), steps=20, prior_steps=20, progress=False)
    >>> top, bottom = model.encode(x)
    >>> top.shape, bottom.shape, model.decode((top, bottom)).shape, model.sample(3, rng).shape
    ((64, 2, 2), (64, 4, 4), (64, 8, 8, 1), (3, 8, 8, 1))
    """

    trunk: MapEncoder
    top_encoder: MapEncoder
    top_codebook: Codebook
    top_decoder: MapDecoder
    join: Conv2d
    bottom_codebook: Codebook
    decoder: MapDecoder
    variance: np.ndarray = field(metadata=CONSTANT)  # τ², an array of no axes
    event: tuple
    beta: float = 0.25
    top_prior: PixelCNN | None = None
    bottom_prior: PixelCNN | None = None

    @classmethod
    def init(
        cls, rng, event, sizes=(64, 64), width=4, widths=(32,), top_widths=(64,), averages=True, beta=0.25, dtype=np.float32
    ):  # fmt: skip
        """Codebooks of `sizes` (top, bottom) in ℝᴸ, L = width. Each of widths halves the bottom map, each of top_widths the top's."""
        if not isinstance(sizes, (tuple, list)) or len(sizes) != 2 or not widths or not top_widths:
            raise ValueError(f"sizes is {sizes}, widths {widths}, top_widths {top_widths}; expected two sizes, and widths for each map")
        check_settings(event, (*widths, *top_widths), {"sizes[0]": sizes[0], "sizes[1]": sizes[1], "width": width}, beta)
        book, f = AveragedCodebook if averages else Codebook, widths[-1]
        return cls(
            trunk=MapEncoder.init(rng, event[2], f, widths, dtype=dtype),
            top_encoder=MapEncoder.init(rng, f, width, top_widths, dtype=dtype),
            top_codebook=book.init(rng, sizes[0], width, dtype),
            top_decoder=MapDecoder.init(rng, width, f, top_widths, dtype=dtype),
            join=Conv2d.init(rng, 2 * f, width, 1, dtype=dtype),
            bottom_codebook=book.init(rng, sizes[1], width, dtype),
            decoder=MapDecoder.init(rng, width + f, event[2], widths, dtype=dtype),
            variance=np.ones((), dtype),
            event=tuple(event),
            beta=beta,
        )

    def forward(self, x):
        """(x̂, [(z, e, k) of the top, of the bottom]): what becomes of images x on their way through both maps."""
        h = self.trunk(x)
        z_top = self.top_encoder(h)  # (1)
        top = nearest(z_top, self.top_codebook.codewords)
        e_top = self.top_codebook.codewords[top]
        u = self.top_decoder(straight_through(z_top, e_top))  # (1)
        z_bottom = self.join(np.concatenate([h, u], axis=-1))  # (2)
        bottom = nearest(z_bottom, self.bottom_codebook.codewords)
        e_bottom = self.bottom_codebook.codewords[bottom]
        x_hat = self.decoder(np.concatenate([straight_through(z_bottom, e_bottom), u], axis=-1))  # (2)
        return x_hat, [(z_top, e_top, top), (z_bottom, e_bottom, bottom)]

    def loss(self, x, x_hat, maps):
        """The loss (n,) of images x, given forward(x)."""
        return sum(quantisation_loss(z, e, self.beta) for z, e, _ in maps) - log_likelihood(x, x_hat, self.variance)  # (3)

    # ---- Use ----
    def encode(self, x):
        """The codes (top, bottom) of images."""
        check_event(x, self.event)
        return tuple(k for _, _, k in self.forward(x)[1])

    def context(self, top):
        """What the bottom knows of the codes of the top: the map u (n, h, w, F)."""
        check_levels(top, self.top_codebook.codewords.shape[0], name="top")
        return self.top_decoder(self.top_codebook.codewords[top])  # (1)

    def decode(self, codes):
        """The images x̂ of codes (top, bottom)."""
        top, bottom = codes
        u = self.context(top)
        check_levels(bottom, self.bottom_codebook.codewords.shape[0], u.shape[1:3], "bottom")
        return self.decoder(np.concatenate([self.bottom_codebook.codewords[bottom], u], axis=-1))  # (2)

    def reconstruct(self, x):
        """decode(encode(x))."""
        return self.decode(self.encode(x))

    def log_prior(self, codes):
        """log p(top, bottom), (n,) nats; without priors all codes are equally likely."""
        top, bottom = codes
        if self.top_prior is None:
            sizes = self.top_codebook.codewords.shape[0], self.bottom_codebook.codewords.shape[0]
            return -sum(k[0].size * math.log(size) for k, size in zip(codes, sizes, strict=True))
        return self.top_prior.log_prob(top) + self.bottom_prior.log_prob(bottom, self.context(top))  # (4)

    def elbo(self, x):
        """The bound on log p(x), (n,) nats."""
        codes = self.encode(x)
        return log_likelihood(x, self.decode(codes), self.variance) + self.log_prior(codes)  # (5)

    def draw_bottom(self, top, rng, progress=True):
        """Codes of the bottom (n, h, w) from their prior, given codes of the top."""
        return self.bottom_prior.sample(top.shape[0], rng, self.context(top), progress)

    def sample(self, n, rng, progress=True):
        """n images x̂ (n, H, W, C) of codes drawn from the priors, top to bottom, without the noise τ. ValueError where there are none."""
        if self.top_prior is None:
            raise ValueError("the model has no priors to draw codes from: see with_prior")
        top = self.top_prior.sample(n, rng, progress=progress)
        return self.decode((top, self.draw_bottom(top, rng, progress)))  # (4)

    def with_prior(self, x, *, rng, **settings):
        """The model with a PixelCNN for each level, fitted to the codes of images x; the settings are those of `PixelCNN.fit`."""
        parts = [self.encode(x[i : i + 1000]) for i in range(0, x.shape[0], 1000)]
        top, bottom = (np.concatenate(part) for part in zip(*parts, strict=True))
        top_prior = PixelCNN.fit(top, self.top_codebook.codewords.shape[0], rng=rng, **settings)
        size = self.bottom_codebook.codewords.shape[0]
        bottom_prior = PixelCNN.fit(bottom, size, rng=rng, context=self.context(top), **settings)
        return replace(self, top_prior=top_prior, bottom_prior=bottom_prior)

    @classmethod
    def fit(
        cls, x, *, rng, sizes=(64, 64), width=4, widths=(32,), top_widths=(64,), averages=True, beta=0.25, decay=0.97, restart=0.05,
        steps=1000, prior_steps=500, optimizer=None, progress=True, **training,
    ):  # fmt: skip
        """Train on finite images x (n, H, W, C), then the priors for prior_steps each (none for 0). Returns the model.

        decay is γ, restart is r (0: dead codewords stay dead); the rest goes to `minigen.train.run`. Raises TypeError or
        ValueError for data that does not fit.
        """
        check_fit(x, rng, decay, restart)
        model = cls.init(rng, x.shape[1:], sizes, width, widths, top_widths, averages, beta, x.dtype)
        model = train(
            model, x, lambda model: [model.top_codebook, model.bottom_codebook], rng=rng, steps=steps, decay=decay, restart=restart,
            optimizer=optimizer, progress=progress, **training,
        )  # fmt: skip
        return model.with_prior(x, rng=rng, steps=prior_steps, progress=progress) if prior_steps else model
