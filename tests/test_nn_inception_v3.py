"""Inception-V3: PyTorch's functions and its own networks give the same activations from the same weights."""

import numpy as np
import pytest

from minigen import to_device, to_host
from minigen.nn import BatchNorm, InceptionV3
from minigen.nn.inception_v3 import TO_FEATURES, TO_SPATIAL, interpolation, layers, resize
from tests.peers import peer

UNUSED = ("transforms", "transforms._presets", "utils", "models._api", "models._meta", "models._utils")


def all_layers():
    found, n = layers(TO_SPATIAL, 3)
    later, n = layers(TO_FEATURES, n)
    return {**found, **later}, n


def random_state(classes, seed=0):
    """A state dict of random weights with which activations stay of one size."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.standard_normal(shape, dtype=np.float32)
    state = {}
    for name, (layer, n_in) in all_layers()[0].items():
        n, kernel = layer.n_out, layer.kernel
        state[f"{name}.conv.weight"] = normal(n, n_in, *kernel) * np.float32((2 / (n_in * kernel[0] * kernel[1])) ** 0.5)
        state[f"{name}.bn.weight"], state[f"{name}.bn.bias"] = 1 + 0.1 * normal(n), 0.1 * normal(n)
        state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"] = 0.1 * normal(n), np.exp(0.3 * normal(n))
    return {**state, "fc.weight": normal(classes, 2048) / 40, "fc.bias": normal(classes)}


@pytest.fixture(scope="module", params=[1000, 1008])
def case(request):
    """(state, the network, an image in [−1, 1], the activations)."""
    state = random_state(request.param)
    x = np.random.default_rng(1).uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)
    network = InceptionV3.from_state(state)
    return state, network, x, network(x)


def reference(state, x, fid):
    """(features, mixed_6, logits) by PyTorch's functions."""
    import torch
    import torch.nn.functional as F

    state = {name: torch.from_numpy(a) for name, a in state.items()}

    def c(name, x, padding=0, stride=1):
        x = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=padding)
        moments, affine = ([state[f"{name}.bn.{key}"] for key in keys] for keys in (("running_mean", "running_var"), ("weight", "bias")))
        return F.relu(F.batch_norm(x, *moments, *affine, eps=1e-3))

    def average(x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=not fid)

    def side_by_side(*branches):
        return torch.cat(branches, dim=1)

    def doubled(m, x, stride=1):
        return c(m + "3x3dbl_3", c(m + "3x3dbl_2", c(m + "3x3dbl_1", x), 1), 1 if stride == 1 else 0, stride)

    x = c("Conv2d_2b_3x3", c("Conv2d_2a_3x3", c("Conv2d_1a_3x3", torch.from_numpy(x).permute(0, 3, 1, 2), stride=2)), 1)
    x = F.max_pool2d(c("Conv2d_4a_3x3", c("Conv2d_3b_1x1", F.max_pool2d(x, 3, 2))), 3, 2)
    for m in ("Mixed_5b.branch", "Mixed_5c.branch", "Mixed_5d.branch"):
        x = side_by_side(c(m + "1x1", x), c(m + "5x5_2", c(m + "5x5_1", x), 2), doubled(m, x), c(m + "_pool", average(x)))
    x = side_by_side(c("Mixed_6a.branch3x3", x, stride=2), doubled("Mixed_6a.branch", x, 2), F.max_pool2d(x, 3, 2))
    spatial = None
    for m in ("Mixed_6b.branch", "Mixed_6c.branch", "Mixed_6d.branch", "Mixed_6e.branch"):
        spatial = x if "6e" in m else None
        once = c(m + "7x7_3", c(m + "7x7_2", c(m + "7x7_1", x), (0, 3)), (3, 0))
        twice = c(m + "7x7dbl_3", c(m + "7x7dbl_2", c(m + "7x7dbl_1", x), (3, 0)), (0, 3))
        twice = c(m + "7x7dbl_5", c(m + "7x7dbl_4", twice, (3, 0)), (0, 3))
        x = side_by_side(c(m + "1x1", x), once, twice, c(m + "_pool", average(x)))
    m = "Mixed_7a.branch"
    sevens = c(m + "7x7x3_3", c(m + "7x7x3_2", c(m + "7x7x3_1", x), (0, 3)), (3, 0))
    x = side_by_side(c(m + "3x3_2", c(m + "3x3_1", x), stride=2), c(m + "7x7x3_4", sevens, stride=2), F.max_pool2d(x, 3, 2))
    for m in ("Mixed_7b.branch", "Mixed_7c.branch"):
        last = F.max_pool2d(x, 3, 1, 1) if fid and "7c" in m else average(x)
        threes, doubles = c(m + "3x3_1", x), c(m + "3x3dbl_2", c(m + "3x3dbl_1", x), 1)
        threes = side_by_side(c(m + "3x3_2a", threes, (0, 1)), c(m + "3x3_2b", threes, (1, 0)))
        doubles = side_by_side(c(m + "3x3dbl_3a", doubles, (0, 1)), c(m + "3x3dbl_3b", doubles, (1, 0)))
        x = side_by_side(c(m + "1x1", x), threes, doubles, c(m + "_pool", last))
    features = x.mean(dim=(2, 3))
    return features.numpy(), spatial.permute(0, 2, 3, 1).numpy(), F.linear(features, state["fc.weight"], state["fc.bias"]).numpy()


def test_activations_are_those_of_pytorch_functions(case):
    pytest.importorskip("torch")
    state, network, x, found = case
    assert network.fid == (len(state["fc.bias"]) == 1008)
    assert [a.shape for a in found] == [(1, 2048), (1, 17, 17, 768), (1, len(state["fc.bias"]))]
    for ours, theirs in zip(found, reference(state, x, network.fid), strict=True):
        assert ours.dtype == np.float32 and np.std(theirs) > 0.1
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_number_of_weights_is_the_published_one():
    found, n_out = all_layers()
    count = sum(layer.n_out * (n_in * layer.kernel[0] * layer.kernel[1] + 2) for layer, n_in in found.values())
    assert len(found) == 94 and n_out == 2048
    assert count + 2048 * 1000 + 1000 == 27_161_264 - 3_326_696  # torchvision's, less those of its auxiliary classifier


def test_torchvision_has_the_same_network(case):
    state, network, x, found = case
    if network.fid:
        pytest.skip("torchvision has no network of 1,008 classes")
    module = peer("torchvision.models.inception", stubs=[f"torchvision.{name}" for name in UNUSED])
    import torch

    theirs = module.Inception3(num_classes=1000, aux_logits=False, init_weights=False).eval()
    theirs.load_state_dict({name: torch.from_numpy(a) for name, a in state.items()}, strict=False)
    with torch.no_grad():
        want = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found.logits, want, rtol=1e-4, atol=1e-4)


def test_torch_fidelity_has_the_same_network_and_images(case, tmp_path):
    state, network, _, _ = case
    if not network.fid:
        pytest.skip("torch-fidelity has no network of 1,000 classes")
    module = peer("torch_fidelity.feature_extractor_inceptionv3")
    import torch

    state = {name: torch.from_numpy(a) for name, a in state.items()}
    counts = {key.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for key in state if "running_mean" in key}
    torch.save({**state, **counts}, tmp_path / "state.pth")
    theirs = module.FeatureExtractorInceptionV3("", ["2048", "logits"], feature_extractor_weights_path=str(tmp_path / "state.pth"))
    levels = np.random.default_rng(0).integers(0, 256, (1, 40, 310, 3)).astype(np.uint8)
    want = theirs(torch.from_numpy(levels).permute(0, 3, 1, 2))
    found = network((resize(levels.astype(np.float32)) - 128) / 128)
    np.testing.assert_allclose(found.features, want[0].numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.logits, want[1].numpy(), rtol=1e-4, atol=1e-4)


def test_a_layer_is_a_convolution_and_a_batch_norm(case):
    state, network, _, _ = case
    name, x = "Conv2d_3b_1x1", np.random.default_rng(2).standard_normal((2, 3, 3, 64))
    norm = BatchNorm(*(state[f"{name}.bn.{key}"] for key in ("weight", "bias", "running_mean", "running_var")), eps=1e-3)
    np.testing.assert_allclose(network.convs[name](x), norm(x @ state[f"{name}.conv.weight"][:, :, 0, 0].T), rtol=1e-4, atol=1e-5)


# ---- Images of any size ----
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("n, size", [(4, 7), (9, 5), (1, 3), (6, 6)])
def test_interpolation_is_linear_between_rows(n, size, centred):
    x = np.random.default_rng(0).standard_normal(n)
    places = [(i + 0.5) * n / size - 0.5 if centred else i * n / size for i in range(size)]
    np.testing.assert_allclose(interpolation(n, size, centred) @ x, np.interp(places, np.arange(n), x), atol=1e-12)


def test_images_are_interpolated_along_both_axes(device):
    x = np.random.default_rng(0).random((2, 5, 4, 3), dtype=np.float32)
    found = resize(to_device(x, device), 6)
    assert found.dtype == np.float32 and type(found) is type(to_device(x, device))
    want = np.einsum("ih,jw,nhwc->nijc", interpolation(5, 6, False), interpolation(4, 6, False), x)
    np.testing.assert_allclose(to_host(found), want, rtol=1e-5)


def test_centred_interpolation_is_pytorchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).random((2, 5, 8, 3))
    want = torch.nn.functional.interpolate(torch.from_numpy(x).permute(0, 3, 1, 2), size=(7, 7), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize(x, 7, centred=True), want.permute(0, 2, 3, 1).numpy(), atol=1e-12)


# ---- What is wrong ----
WEIGHTLESS = {
    **{
        f"{name}.{key}": np.broadcast_to(np.float32(1), shape)
        for name, (layer, n_in) in all_layers()[0].items()
        for key, shape in [
            ("conv.weight", (layer.n_out, n_in, *layer.kernel)),
            *[(f"bn.{key}", (layer.n_out,)) for key in ("weight", "bias", "running_mean", "running_var")],
        ]
    },
    "fc.weight": np.broadcast_to(np.float32(1), (1000, 2048)),
    "fc.bias": np.ones(1000, np.float32),
}  # takes no memory


@pytest.mark.parametrize(
    "change, message",
    [
        ({"Mixed_7c.branch_pool.bn.bias": None}, "Mixed_7c.branch_pool.bn.bias is missing"),
        ({"Conv2d_1a_3x3.conv.weight": np.zeros((32, 3, 3, 4), np.float32)}, r"expected floating-point numbers of shape \(32, 3, 3, 3\)"),
        ({"Conv2d_1a_3x3.bn.weight": np.zeros(32, int)}, "Conv2d_1a_3x3.bn.weight is int64"),
        ({"Conv2d_1a_3x3.bn.bias": np.full(32, np.nan)}, "Conv2d_1a_3x3.bn.bias has NaN"),
        ({"Conv2d_1a_3x3.bn.running_var": np.full(32, -1.0)}, "running_var has negative"),
        ({"fc.bias": None}, r"fc.bias has shape \(\)"),
        ({"fc.weight": np.zeros((10, 2048))}, r"expected floating-point numbers of shape \(1000, 2048\)"),
    ],
)
def test_wrong_weights_are_named(change, message):
    state = {name: a for name, a in {**WEIGHTLESS, **change}.items() if a is not None}
    with pytest.raises(ValueError, match=message):
        InceptionV3.from_state(state)


def test_wrong_images_are_named(case):
    with pytest.raises(ValueError, match=r"x has shape \(1, 32, 32, 3\); expected \(n, 299, 299, 3\)"):
        case[1](np.zeros((1, 32, 32, 3), np.float32))
