"""The models, one chapter a file."""

from minigen.models.autoencoder import Autoencoder
from minigen.models.conditional_gan import ConditionalGAN
from minigen.models.conditional_vae import ConditionalVAE
from minigen.models.continuous_flow import ContinuousFlow
from minigen.models.crf import CRF
from minigen.models.dag import DAGPosterior
from minigen.models.ddpm import DDPM
from minigen.models.ebm import EBM
from minigen.models.flow_matching import FlowMatching
from minigen.models.gan import GAN
from minigen.models.glow import Glow
from minigen.models.gmm import GMM
from minigen.models.hmm import HMM
from minigen.models.inference import MixtureMeans
from minigen.models.kde import KDE
from minigen.models.kmeans import KMeans
from minigen.models.language import RNNLanguageModel, TransformerLM
from minigen.models.made import MADE
from minigen.models.maf import MAF
from minigen.models.nce import NCE
from minigen.models.ngram import NGram
from minigen.models.pca import PCA
from minigen.models.pixelcnn import PixelCNN
from minigen.models.pixelrnn import PixelRNN
from minigen.models.ppca import PPCA
from minigen.models.rbm import RBM
from minigen.models.realnvp import RealNVP
from minigen.models.score_sde import ScoreSDE
from minigen.models.spline_flow import NeuralSplineFlow
from minigen.models.vae import VAE
from minigen.models.vqvae import VQVAE
from minigen.models.vqvae2 import VQVAE2
from minigen.models.wgan import WGAN

__all__ = [
    "CRF",
    "DDPM",
    "EBM",
    "GAN",
    "GMM",
    "HMM",
    "KDE",
    "MADE",
    "MAF",
    "NCE",
    "PCA",
    "PPCA",
    "RBM",
    "VAE",
    "VQVAE",
    "VQVAE2",
    "WGAN",
    "Autoencoder",
    "ConditionalGAN",
    "ConditionalVAE",
    "ContinuousFlow",
    "DAGPosterior",
    "FlowMatching",
    "Glow",
    "KMeans",
    "MixtureMeans",
    "NGram",
    "NeuralSplineFlow",
    "PixelCNN",
    "PixelRNN",
    "RNNLanguageModel",
    "RealNVP",
    "ScoreSDE",
    "TransformerLM",
]
