"""The training loop: what it does, that it can be stopped anywhere and goes on bit for bit, and what it says when it cannot."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from minigen import tree
from minigen.autograd import grad
from minigen.backend import normal, to_device, to_host
from minigen.nn import MLP
from minigen.optim import EMA, SGD, Adam
from minigen.saving import load, save
from minigen.train import Learner, NonFiniteError, batch_order, minimise, run


def noisy_regression(model, batch, rng):
    """A loss that draws noise, so that a resumed run must have the generator's state."""
    x, y = batch
    return (model(x + 0.1 * normal(rng, x.shape, x)) - y) ** 2


def regression():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 3)).astype(np.float32)
    return MLP.init(rng, [3, 8, 1]), (x, np.sum(x, axis=1, keepdims=True))


def fit(steps, **kwargs):
    model, data = regression()
    return minimise(noisy_regression, model, data, rng=np.random.default_rng(1), steps=steps, batch_size=16, progress=False, **kwargs)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


def test_minimise_is_gradient_descent_on_the_mean_loss():
    x, w = np.array([1.0, 2.0, 6.0]), {"w": np.array([0.5])}
    model, history = minimise(lambda m, x, rng: (m["w"] - x) ** 2, w, x, rng=np.random.default_rng(0), steps=3, batch_size=None,
                              optimizer=SGD(0.1), progress=False)  # fmt: skip
    expected, losses = 0.5, []
    for _ in range(3):
        losses.append(np.mean((expected - x) ** 2))
        expected -= 0.1 * np.mean(2 * (expected - x))
    np.testing.assert_allclose(model["w"], [expected])
    np.testing.assert_allclose(history, losses)
    np.testing.assert_array_equal(w["w"], [0.5])


def test_the_first_step_of_adam_is_its_rate_and_steps_are_counted():
    seen = []
    adam = Adam(lambda t: seen.append(t) or 0.5)
    settings = {"rng": np.random.default_rng(0), "optimizer": adam, "progress": False}
    w, _ = minimise(lambda m, x, rng: (m - x) ** 2, np.array([7.0]), np.zeros(3), steps=1, **settings)
    np.testing.assert_allclose(w, [6.5], rtol=1e-6)  # whatever the gradient
    fit(4, optimizer=adam)
    assert seen == [1, 1, 2, 3, 4]


def test_training_learns_and_leaves_the_callers_model_alone():
    model, _ = regression()
    before = [a.copy() for a in tree.leaves(model)]
    trained, history = fit(600, optimizer=Adam(1e-2))
    assert np.mean(history[-50:]) < 0.1 * np.mean(history[:10])
    assert all(a.dtype == np.float32 for a in tree.leaves(trained))
    assert all(np.array_equal(a, b) for a, b in zip(tree.leaves(model), before, strict=True))


def test_batches_are_the_generators_and_a_checkpoint_is_read_only_on_request(tmp_path):
    model, data = regression()
    quiet = lambda model, batch, rng: (model(batch[0]) - batch[1]) ** 2  # no noise: runs differ by the order of examples alone
    settings = {"steps": 5, "batch_size": 16, "progress": False}
    run = lambda seed, **more: minimise(quiet, model, data, rng=np.random.default_rng(seed), **settings, **more)[1].tolist()
    assert run(1) == run(1, checkpoint=tmp_path / "run.npz") != run(2)
    assert run(2, checkpoint=tmp_path / "run.npz") == run(2) == run(2, checkpoint=tmp_path / "new.npz", resume=True)


# ---- Batches ----
def test_a_batch_may_be_one_example():
    loss = lambda m, x, rng: (m["w"] - x) ** 2
    settings = {"rng": np.random.default_rng(0), "steps": 3, "optimizer": SGD(0.1), "progress": False}
    runs = [minimise(loss, {"w": np.array([0.5])}, np.array([2.0]), batch_size=b, **settings) for b in (1, None)]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (4, 10), (5, None), (1, 1)])
def test_each_epoch_visits_examples_once_in_an_order_of_its_own(n, size, device):
    data = to_device((np.arange(n), np.arange(n) * 10.0), device)
    batch, per_epoch = batch_order(data, size, seed=7), n // min(size or n, n)
    epochs = []
    for e in range(20):
        pairs = [to_host(batch(e * per_epoch + i)) for i in range(per_epoch)]
        assert all(np.array_equal(10 * a, b) and len(a) == min(size or n, n) for a, b in pairs)
        seen = np.concatenate([a for a, _ in pairs])
        assert len(set(seen.tolist())) == len(seen)
        epochs.append(seen.tolist())
    if n > 4:
        assert len({tuple(e) for e in epochs}) > 15
    again = batch_order(data, size, seed=7)
    np.testing.assert_array_equal(to_host(again(13)[0]), to_host(batch(13)[0]))
    assert n < 5 or any(to_host(batch_order(data, size, seed=8)(t)[0]).tolist() != to_host(batch(t)[0]).tolist() for t in range(3))


def test_data_of_different_lengths_is_refused():
    with pytest.raises(ValueError, match=r"data: its arrays have lengths \[2, 3\]"):
        batch_order((np.zeros(2), np.zeros(3)), 1, 0)
    with pytest.raises(ValueError, match="lengths"):
        batch_order(np.zeros((0, 2)), 1, 0)


# ---- Checkpoints ----
class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [5, 16, 29])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, at):
    path, calls = tmp_path / "run.npz", []

    def dies(model, batch, rng):
        calls.append(1)
        if len(calls) == at:
            raise Killed
        return noisy_regression(model, batch, rng)

    model, data = regression()
    settings = {"steps": 40, "batch_size": 16, "progress": False, "checkpoint": path, "checkpoint_every": 4, "ema": EMA(0.9)}
    with pytest.raises(Killed):
        minimise(dies, model, data, rng=np.random.default_rng(1), **settings)
    assert load(path)[1]["step"] == (at - 1) // 4 * 4
    resumed, history = minimise(noisy_regression, model, data, rng=np.random.default_rng(99), resume=True, **settings)
    whole, all_losses = fit(40, ema=EMA(0.9))
    assert same(resumed, whole)
    np.testing.assert_array_equal(history, all_losses)


def test_resuming_a_finished_run_changes_nothing_and_goes_on_when_asked(tmp_path):
    path = tmp_path / "run.npz"
    first, _ = fit(10, checkpoint=path)
    again, history = fit(10, checkpoint=path, resume=True)
    assert same(first, again) and len(history) == 10
    longer, _ = fit(25, checkpoint=path, resume=True)
    assert same(longer, fit(25)[0])


def test_resuming_with_other_data_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    fit(3, checkpoint=path)
    model, (x, y) = regression()
    with pytest.raises(ValueError, match="this run has"):
        minimise(noisy_regression, model, (x[:20], y[:20]), rng=np.random.default_rng(0), steps=5, checkpoint=path, resume=True)


def test_a_process_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    script = """
import numpy as np, sys
from minigen.train import minimise
data = np.arange(8.0)
print("ready", flush=True)
minimise(lambda m, x, rng: (m["w"] - x) ** 2, {"w": np.zeros(200_000)[:1], "big": np.zeros(200_000)}, data, rng=np.random.default_rng(0),
         steps=10**9, batch_size=None, checkpoint=sys.argv[1], checkpoint_every=1, progress=False)
"""
    path = tmp_path / "run.npz"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        while not path.exists():
            pass
        process.kill()
        process.communicate()
        arrays, meta = load(path)
        assert meta["step"] >= 1 and len(meta["history"]) == meta["step"] and all(np.all(np.isfinite(a)) for a in arrays.values())
        path.unlink()


@dataclass
class Everything:
    weights: np.ndarray
    mask: np.ndarray
    layers: list
    rate: float = 0.5


def test_save_and_load_keep_every_array_exactly(tmp_path, device):
    rng, path = np.random.default_rng(0), tmp_path / "model.npz"
    model = Everything(rng.standard_normal((2, 3)).astype(np.float32), np.array([True, False]), [np.arange(3), {"deep": rng.random(0)}])
    save(path, to_device(model, device), note="hello", step=3)
    arrays, meta = load(path)
    assert meta == {"note": "hello", "step": 3} and set(arrays) == {"weights", "mask", "layers.0", "layers.1.deep"}
    blank = to_device(Everything(np.zeros((2, 3), np.float32), np.array([False, False]), [np.zeros(3, int), {"deep": np.zeros(0)}]), device)
    found, _ = load(path, like=blank)
    assert type(found.weights) is type(blank.weights)
    for name, a in tree.named_arrays(to_host(found)).items():
        np.testing.assert_array_equal(a, tree.named_arrays(model)[name])


def test_a_file_is_written_beside_its_place_so_that_one_move_puts_it_there(tmp_path, monkeypatch):
    moved, move = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: moved.append((a, b)) or move(a, b))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in (tmp_path / "model.npz", "bare.npz"):
        save(path, {"w": np.ones(3)})
    assert [os.path.dirname(os.path.abspath(a)) for a, _ in moved] == [str(tmp_path), str(tmp_path / "elsewhere")]
    assert sorted(f.name for f in tmp_path.rglob("*.npz*")) == ["bare.npz", "model.npz"]


def test_a_failed_save_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    save(path, {"w": np.ones(3)})

    def breaks(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", breaks)
    with pytest.raises(OSError, match="disk full"):
        save(path, {"w": np.zeros(3)})
    monkeypatch.undo()
    np.testing.assert_array_equal(load(path)[0]["w"], np.ones(3))
    assert os.listdir(tmp_path) == ["model.npz"]


def test_files_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "model.npz"
    save(path, {"w": np.ones(3), "b": np.ones(1)})
    with pytest.raises(ValueError, match=r"w is \(\(3,\), .*\) there, expected \(\(4,\)"):
        load(path, like={"w": np.ones(4), "b": np.ones(1)})
    with pytest.raises(ValueError, match="does not fit"):
        load(path, like={"w": np.ones(3)})
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not a zip file at all", whole[:100]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="not a complete file"):
            load(path)
    np.savez(path, w=np.array([{}], dtype=object), __meta__=np.frombuffer(b"{}", np.uint8))
    with pytest.raises(ValueError, match="not a complete file"):
        load(path)


# ---- What goes wrong ----
def test_the_first_non_finite_loss_stops_and_keeps_the_last_good_parameters():
    def turns_bad(model, batch, rng):
        turns_bad.calls += 1
        return noisy_regression(model, batch, rng) * (np.nan if turns_bad.calls == 7 else 1)

    turns_bad.calls = 0
    model, data = regression()
    with pytest.raises(NonFiniteError, match="step 7: the loss is not finite") as caught:
        minimise(turns_bad, model, data, rng=np.random.default_rng(1), steps=20, batch_size=16, progress=False)
    assert caught.value.step == 7
    assert same(caught.value.model, fit(6)[0])


def test_a_non_finite_gradient_of_a_finite_loss_stops_too():
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="step 1: the gradient is not finite") as caught:
        minimise(lambda m, x, rng: np.sqrt(m * x), np.zeros(1), np.ones(4), rng=np.random.default_rng(0), steps=5, progress=False)
    np.testing.assert_array_equal(caught.value.model, [0.0])


def test_on_a_device_the_step_is_named_and_good_parameters_come_back(install_standin):
    def loss(model, x, rng):
        loss.calls += 1
        return (model["w"] - x) ** 2 * (float("nan") if loss.calls == 73 else 1.0)

    loss.calls = 0
    model = to_device({"w": np.zeros(1)}, "cuda")
    with pytest.raises(NonFiniteError) as caught:
        minimise(loss, model, to_device(np.arange(4.0), "cuda"), rng=np.random.default_rng(0), steps=100, batch_size=2, progress=False)
    assert caught.value.step == 73
    assert np.all(np.isfinite(to_host(caught.value.model["w"])))


def test_ctrl_c_stops_behind_the_running_step_and_keeps_the_state(tmp_path, capsys):
    def interrupted(model, batch, rng):
        interrupted.calls += 1
        if interrupted.calls == 5:
            signal.raise_signal(signal.SIGINT)
        return noisy_regression(model, batch, rng)

    interrupted.calls = 0
    model, data = regression()
    before = signal.getsignal(signal.SIGINT)
    settings = {"rng": np.random.default_rng(1), "steps": 20, "batch_size": 16, "progress": False, "checkpoint": tmp_path / "run.npz"}
    stopped, history = minimise(interrupted, model, data, **settings)
    assert len(history) == 5 and same(stopped, fit(5)[0])
    assert "Ctrl-C after step 5 of 20" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert same(minimise(noisy_regression, model, data, resume=True, **settings)[0], fit(20)[0])


def test_a_second_ctrl_c_acts_as_usual():
    def insistent(model, batch, rng):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        minimise(insistent, np.zeros(1), np.ones(3), rng=np.random.default_rng(0), steps=3, progress=False)


def test_it_trains_in_a_thread_as_in_the_main_one():
    with ThreadPoolExecutor(1) as pool:
        found, history = pool.submit(fit, 5).result()
    assert len(history) == 5 and same(found, fit(5)[0])


def test_a_time_limit_stops_behind_the_running_step(capsys):
    _, history = fit(10**9, seconds=0.2)
    assert 1 <= len(history) < 10**6
    assert "limit of 0 seconds" in capsys.readouterr().err


# ---- Progress ----
def test_without_a_terminal_ten_plain_lines(capsys):
    model, data = regression()
    minimise(noisy_regression, model, data, rng=np.random.default_rng(0), steps=50, progress="net")
    out = capsys.readouterr()
    lines = out.err.splitlines()
    assert out.out == "" and len(lines) == 10 and "\r" not in out.err
    assert all("steps/s, loss " in line and line.startswith("net: step ") for line in lines)


def test_on_a_terminal_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model, data = regression()
    minimise(noisy_regression, model, data, rng=np.random.default_rng(0), steps=50)
    assert "50/50" in capsys.readouterr().err


# ---- Devices ----
def test_the_same_training_on_every_device(device):
    model, data = regression()
    settings = {"rng": np.random.default_rng(1), "steps": 120, "batch_size": 16, "progress": False, "clip_norm": 1.0, "ema": EMA(0.9)}
    there, history = minimise(noisy_regression, to_device(model, device), to_device(data, device), **settings)
    here, losses = fit(120, clip_norm=1.0, ema=EMA(0.9))
    for a, b in zip(tree.leaves(there), tree.leaves(here), strict=True):
        assert (device == "cpu") == isinstance(a, np.ndarray)
        np.testing.assert_allclose(to_host(a), b, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history, losses, rtol=1e-4)


def test_a_training_step_does_not_wait_for_the_device(install_standin):
    model, data = regression()
    learner, (x, y) = Learner.of(to_device(model, "cuda"), Adam()), to_device(data, "cuda")
    loss = lambda model: (model(x) - y) ** 2
    learner.update(loss)
    with install_standin.forbid("sync", "h2d"), install_standin.counting() as counts:
        learner.update(loss)
    assert 0 < counts["launch"] <= 60


def test_several_players_in_one_run():
    """min over a, max over b of (a − 1)² − (b − 2)²: two learners in one state find (1, 2)."""
    state = {"a": Learner.of(np.zeros(1), SGD(0.1)), "b": Learner.of(np.zeros(1), SGD(0.1))}

    def step(state, batch, rng):
        state["b"].update(lambda b: (b - 2) ** 2)
        return state["a"].update(lambda a: (a - 1) ** 2)

    state, _ = run(step, state, None, rng=np.random.default_rng(0), steps=100, progress=False)
    np.testing.assert_allclose([state["a"].model[0], state["b"].model[0]], [1, 2], atol=1e-6)


def test_clip_norm_bounds_the_step():
    model, _ = minimise(lambda m, x, rng: 1e6 * m * x, np.zeros(2), np.ones((3, 1)), rng=np.random.default_rng(0), steps=1,
                        optimizer=SGD(1.0), clip_norm=0.5, progress=False)  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(model), 0.5)


def test_ema_returns_the_average_not_the_last():
    path = []

    def loss(model, batch, rng):
        path.append(float(np.asarray(model.data if hasattr(model, "func") else model)[0]))
        return model - batch

    settings = {"rng": np.random.default_rng(0), "steps": 3, "optimizer": SGD(1.0), "progress": False}
    averaged, _ = minimise(loss, np.zeros(1), np.zeros(1), ema=EMA(0.5), **settings)
    assert path == [0.0, -1.0, -2.0]
    np.testing.assert_allclose(averaged, [0.125 * 0 + 0.125 * -1 + 0.25 * -2 + 0.5 * -3])


@pytest.mark.parametrize(("settings", "message"), [({"steps": -1}, "steps is -1"), ({"steps": 1, "batch_size": 0}, "batch_size is 0")])
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        minimise(lambda m, x, rng: m, np.zeros(1), np.zeros(3), rng=np.random.default_rng(0), progress=False, **settings)


def test_a_model_with_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="no floating-point array"):
        minimise(lambda m, x, rng: x, {"n": 3}, np.zeros(3), rng=np.random.default_rng(0), steps=1, progress=False)
    assert grad(lambda w: np.sum(w))(np.zeros(1)) == 1
