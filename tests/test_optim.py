"""Optimisers against the papers' algorithms, spelled out number by number."""

import math

import numpy as np
import pytest

from minigen.backend import to_device, to_host
from minigen.optim import CHUNK, EMA, SGD, Adam, RMSProp, clip_by_global_norm, cosine, warmup


def adam_by_the_paper(w, gradients, lr, b1, b2, eps, weight_decay):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - lr * weight_decay * w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return w


def sgd_by_the_paper(w, gradients, lr, momentum):
    u = np.zeros_like(w)
    for g in gradients:
        u = momentum * u + g
        w = w - lr * u
    return w


def rmsprop_by_the_lecture(w, gradients, lr, decay, eps):
    v = np.zeros_like(w)
    for g in gradients:
        v = decay * v + (1 - decay) * g * g
        w = w - lr * g / (np.sqrt(v) + eps)
    return w


CASES = {
    "adam": (Adam(0.01), adam_by_the_paper, (0.01, 0.9, 0.999, 1e-8, 0.0)),
    "adam, all set": (Adam(0.03, 0.7, 0.9, 0.1, 0.2), adam_by_the_paper, (0.03, 0.7, 0.9, 0.1, 0.2)),
    "sgd": (SGD(0.1), sgd_by_the_paper, (0.1, 0.0)),
    "momentum": (SGD(0.1, 0.8), sgd_by_the_paper, (0.1, 0.8)),
    "rmsprop": (RMSProp(0.02, 0.9, 1e-3), rmsprop_by_the_lecture, (0.02, 0.9, 1e-3)),
}


def gradients(n, steps=7, dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.standard_normal(n).astype(dtype), rng.standard_normal((steps, n)).astype(dtype)


def follow(optimizer, w, gs):
    moments = optimizer.init(w)
    for t, g in enumerate(gs, 1):
        optimizer.step(w, g.copy(), moments, t)
    return w


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", [1, 5, 3 * CHUNK + 3])
def test_steps_are_the_papers(name, n):
    optimizer, paper, settings = CASES[name]
    w, gs = gradients(n)
    expected = paper(w, gs, *settings)
    np.testing.assert_allclose(follow(optimizer, w.copy(), gs), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_same_on_every_device_and_in_float32(name, device):
    w, gs = gradients(10, dtype=np.float32)
    there, given = to_device(w.copy(), device), to_device(gs, device)
    after = follow(CASES[name][0], there, given)
    assert after is there and after.dtype == np.float32
    np.testing.assert_allclose(to_host(after), follow(CASES[name][0], w.copy(), gs), rtol=1e-6)


def test_against_torch():
    torch = pytest.importorskip("torch")
    pairs = [
        (Adam(0.01, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1)),
        (SGD(0.1, 0.9), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (RMSProp(0.01, 0.99), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.99)),
    ]
    for ours, theirs in pairs:
        w, gs = gradients(6)
        p = torch.nn.Parameter(torch.tensor(w))
        peer = theirs([p])
        for g in gs:
            p.grad = torch.tensor(g)
            peer.step()
        np.testing.assert_allclose(follow(ours, w, gs), p.detach().numpy(), rtol=1e-7)


def test_ema_is_the_weighted_mean_of_all_it_saw(device):
    ws = np.random.default_rng(0).standard_normal((6, 3))
    ema = EMA(0.7)
    moments = ema.init(to_device(ws[0], device))
    for w in ws[1:]:
        ema.step(to_device(w, device), moments)
    weights = np.array([0.7**5] + [0.3 * 0.7**k for k in (4, 3, 2, 1, 0)])
    np.testing.assert_allclose(to_host(moments["a"]), weights @ ws, rtol=1e-12)


@pytest.mark.parametrize("norm", [0.5, 5.0, 50.0])
def test_clipping_bounds_the_norm_and_keeps_the_direction(norm, device):
    g = np.array([3.0, -4.0, 0.0])
    clipped = to_host(clip_by_global_norm(to_device(g, device), norm))
    np.testing.assert_allclose(np.linalg.norm(clipped), min(norm, 5.0))
    np.testing.assert_allclose(clipped / np.linalg.norm(clipped), g / 5.0)
    np.testing.assert_array_equal(clip_by_global_norm(np.zeros(2), norm), [0, 0])


def test_schedules():
    schedule = cosine(2.0, 100, final=0.5)
    assert schedule(0) == 2.0 and schedule(50) == 1.25 and schedule(100) == schedule(1000) == 0.5
    assert math.isclose(schedule(25), 0.5 + 0.75 * (1 + math.sqrt(0.5)))
    ramp = warmup(schedule, 10)
    assert ramp(5) == 0.5 * schedule(5) and ramp(10) == schedule(10) and ramp(60) == schedule(60)
    assert warmup(3.0, 4)(1) == 0.75 and warmup(3.0, 4)(9) == 3.0


def test_a_schedule_is_asked_at_each_step():
    w, gs = gradients(3, steps=4)
    expected = w - sum(g / t for t, g in enumerate(gs, 1))
    np.testing.assert_allclose(follow(SGD(lambda t: 1 / t), w, gs), expected)


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda: Adam(-1), "lr"), (lambda: Adam(b1=1.0), "b1"), (lambda: Adam(b2=-0.1), "b2"), (lambda: SGD(0.1, 1.5), "momentum"),
     (lambda: Adam(weight_decay=-1), "weight_decay"), (lambda: EMA(1.0), "decay"), (lambda: RMSProp(decay=2), "decay")],
)  # fmt: skip
def test_bad_settings_are_named(make, name):
    with pytest.raises(ValueError, match=rf"^{name} is"):
        make()
