"""The families of models as the comparison fits them: one function each.

A function takes the `Data` of the comparison, a generator, whether to be quick and a deadline (of `time.perf_counter`), by
which fitting and choosing should end. It returns (model, log-likelihood, kind, chosen): the log-likelihood maps (n, D) to (n,)
nats, or is None; the kind says whether it is "exact", "by quadrature", a "bound", or "—"; the last is what was chosen, in
words. It returns None where the family is not for such data.
"""

from minigen.families.adversarial import fit_conditional_gan, fit_gan, fit_wgan
from minigen.families.autoencoders import fit_autoencoder, fit_conditional_vae, fit_vae, fit_vqvae, fit_vqvae2
from minigen.families.autoregressive import fit_made, fit_pixelcnn
from minigen.families.classical import fit_gmm, fit_kde, fit_kmeans, fit_pca
from minigen.families.diffusion import fit_ddpm, fit_flow_matching, fit_score_sde
from minigen.families.energy import fit_ebm, fit_rbm
from minigen.families.flows import fit_glow, fit_maf, fit_realnvp, fit_spline_flow

__all__ = ["FAMILIES"]

FAMILIES = {
    "k-means": fit_kmeans, "PCA (PPCA)": fit_pca, "KDE": fit_kde, "Gaussian mixture": fit_gmm,
    "autoencoder": fit_autoencoder, "VAE": fit_vae, "conditional VAE": fit_conditional_vae,
    "VQ-VAE": fit_vqvae, "VQ-VAE-2": fit_vqvae2, "GAN": fit_gan, "conditional GAN": fit_conditional_gan,
    "WGAN-GP": fit_wgan, "RealNVP": fit_realnvp, "MAF": fit_maf, "neural spline flow": fit_spline_flow, "Glow": fit_glow,
    "MADE": fit_made, "PixelCNN": fit_pixelcnn,
    "RBM": fit_rbm, "EBM": fit_ebm, "DDPM": fit_ddpm, "score SDE": fit_score_sde, "flow matching": fit_flow_matching,
}  # fmt: skip
