"""The main job: every family fitted to the same data, sampled, measured on held-out data and drawn; one table, one picture.

The protocol, which the table's head repeats:

* The data is split by the seed into training (60 %), validation (20 %) and test (20 %) parts. Models and the feature
  classifier are fitted to training data, hyper-parameters are chosen on validation data, the test part is the reference.
* Images have integer levels k = 0 … L − 1. Models of densities see (k + u)/L, u ~ U[0, 1); their bits per dimension are those
  of the levels, so that a uniform model scores log₂ L. Samples are put back on the levels before they are judged.
* Every row scores as many samples as there are test items, on the same features. The row "held-out real" takes them from
  the validation part: it is what the best generator would score. The row "noise" knows nothing of the data.
"""

import json
import os
import time
import zlib
from dataclasses import dataclass

import numpy as np

from minigen import data as datasets
from minigen.backend import array_module, to_device, to_host
from minigen.families import FAMILIES
from minigen.metrics import bits_per_dim, density_coverage, dequantize, frechet_distance, precision_recall, train_features
from minigen.plot import figure, save_figure, scatter, show_images
from minigen.tree import count_parameters

SECONDS = 20.0  # what a family may spend on fitting and on the choice of its hyper-parameters
SAMPLES_SHOWN = 16
TOY_SIZE = 10_000


# ---- Data ----
@dataclass
class Data:
    """Training, validation and test parts (n, D), in the units that models see, and how to judge samples of them."""

    name: str
    event: tuple
    levels: int | None
    train: np.ndarray
    labels: np.ndarray | None  # of the training part, integers (n,)
    more: np.ndarray  # training data dequantised several times, copy after copy, for models that profit from it
    validation: np.ndarray
    test: np.ndarray
    judged: dict  # the parts as they are judged: on their levels, scaled to [0, 1]
    features: object
    entropy: float | None  # of a toy's true density, in nats

    def judge(self, x):
        """Samples (n, *event) in the units of models, as they are judged, flat."""
        x = np.reshape(x, (x.shape[0], -1))
        return x if self.levels is None else np.clip(np.floor(x * self.levels), 0, self.levels - 1) / (self.levels - 1)


def split(n, rng):
    """Rows of the training, validation and test parts: 60, 20 and 20 %."""
    order, fifth = rng.permutation(n), n // 5
    return order[2 * fifth :], order[:fifth], order[fifth : 2 * fifth]


def load(name, seed, device, quick):
    """The Data of a name: "digits", "mnist10k" or a toy."""
    rng = np.random.default_rng(seed)
    if name not in ("digits", "mnist10k"):
        x = datasets.toy(name, TOY_SIZE // (4 if quick else 1), rng)
        train, validation, test = (to_device(x[rows], device) for rows in split(len(x), rng))
        judged = {"train": train, "validation": validation, "test": test}
        return Data(name, (2,), None, train, None, train, validation, test, judged, lambda x: x, datasets.toy_entropy(name))
    images, labels = getattr(datasets, name)()
    levels = {"digits": 17, "mnist10k": 256}[name]
    k = np.rint(images * (levels - 1)).reshape(len(images), -1)
    parts = dict(zip(("train", "validation", "test"), split(len(k), rng), strict=True))
    units = lambda rows: to_device(dequantize(k[rows], levels, rng.random(k[rows].shape, dtype=np.float32)).astype(np.float32), device)
    train, validation, test = (units(rows) for rows in parts.values())
    more = np.concatenate([train] + [units(parts["train"]) for _ in range(10_000 // len(train))])
    train_labels = to_device(labels[parts["train"]], device)
    judged = {part: to_device((k[rows] / (levels - 1)).astype(np.float32), device) for part, rows in parts.items()}
    features = train_features(judged["train"], train_labels, rng, steps=500 if quick else 1500)
    return Data(name, images.shape[1:], levels, train, train_labels, more, validation, test, judged, features, None)


# ---- Rows ----
def likelihood(data, log_prob):
    """(bits per dimension, its standard error) on the test part; per dimension of the levels, or of the coordinates of a toy."""
    nll, d = -to_host(log_prob(data.test)).astype(float), data.test.shape[1]
    bits = np.array([bits_per_dim(v, d, cell=1 / data.levels if data.levels else 1.0) for v in nll])
    return float(np.mean(bits)), float(np.std(bits, ddof=1) / np.sqrt(len(bits)))


def judge(data, samples):
    """Distances of judged samples (n, D) from the test part, in features."""
    real, fake = data.features(data.judged["test"]), data.features(samples)
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    scores = {"frechet": frechet_distance(real, fake), "precision": precision, "recall": recall, "density": density, "coverage": coverage}
    return {name: float(value) for name, value in scores.items()}


def noise(data, n, rng):
    """(samples that know nothing of the data, their exact bits per dimension): uniform over the levels, or a normal cloud."""
    if data.levels:
        x = rng.integers(data.levels, size=(n, data.train.shape[1])) / (data.levels - 1)
        return to_device(x.astype(np.float32), device_of(data)), float(np.log2(data.levels))
    mean, std = np.mean(data.train, axis=0), np.std(data.train, axis=0)
    x = mean + std * to_device(rng.standard_normal((n, data.train.shape[1])).astype(np.float32), device_of(data))
    normal = lambda x: -np.sum(0.5 * ((x - mean) / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi), axis=-1)
    return x, likelihood(data, normal)[0]


def device_of(data):
    """'cpu' or 'cuda'."""
    return "cpu" if array_module(data.train) is np else "cuda"


def fit_row(data, name, rng, quick):
    """(row, judged samples) of one family, or None where it is not for such data."""
    n, start = len(data.test), time.perf_counter()
    found = FAMILIES[name](data, rng, quick, start + SECONDS / (4 if quick else 1))
    if found is None:
        return None
    model, log_prob, kind, chosen = found
    fitted = time.perf_counter()
    samples = data.judge(model.sample(n, rng))
    speed = n / (time.perf_counter() - fitted)
    row = {"parameters": count_parameters(model), "fit_seconds": fitted - start, "samples_per_second": speed, "kind": kind}
    if log_prob is not None:
        row["bits_per_dim"], row["standard_error"] = likelihood(data, log_prob)
    return {**row, **judge(data, samples), "chosen": chosen}, samples


def compare(name="digits", quick=False, device="cpu", seed=0):
    """(data, rows, samples): a row of numbers and the judged samples for held-out real data, each family and noise."""
    print(f"Loading {name} and training the feature classifier …", flush=True)
    data = load(name, seed, device, quick)
    n = len(data.test)
    rows, samples = {}, {"held-out real": data.judged["validation"][:n]}
    rows["held-out real"] = {"kind": "—", "chosen": "what the best generator would score", **judge(data, samples["held-out real"])}
    if data.entropy is not None:
        rows["held-out real"].update(bits_per_dim=data.entropy / (data.test.shape[1] * np.log(2)), kind="true entropy")
    for family in FAMILIES:
        print(f"Fitting {family} …", flush=True)
        row = fit_row(data, family, np.random.default_rng([seed, zlib.crc32(family.encode())]), quick)
        if row is not None:
            rows[family], samples[family] = row
    samples["noise"], bits = noise(data, n, np.random.default_rng([seed, 1]))
    rows["noise"] = {"kind": "exact", "chosen": "", "bits_per_dim": bits, **judge(data, samples["noise"])}
    return data, rows, samples


# ---- Table and picture ----
def table(data, rows):
    """The rows as text."""
    d = data.features(data.test[:1]).shape[1]
    space = "the coordinates themselves" if data.levels is None else f"{d} features of our own classifier"
    lines = [
        f"{data.name}: {len(data.train)} training, {len(data.validation)} validation, {len(data.test)} test items.",
        "Fitting and the feature classifier see training data, choices see validation data; the reference is the test part,",
        f"against which each row scores {len(data.test)} samples. Fréchet distance, precision, recall, density and coverage on {space}.",
        "",
        f"{'family':18s}{'parameters':>11s}{'fit s':>7s}{'samples/s':>11s}{'bits/dim':>16s}  {'likelihood':16s}"
        f"{'Fréchet':>8s}{'prec':>6s}{'recall':>7s}{'dens':>6s}{'cover':>6s}  chosen",
    ]
    for name, row in rows.items():
        bits = "—" if "bits_per_dim" not in row else f"{row['bits_per_dim']:.3f}"
        bits += f" ± {row['standard_error']:.3f}" if "standard_error" in row else ""
        fitted = f"{row['parameters']:11d}{row['fit_seconds']:7.1f}{row['samples_per_second']:11.0f}" if "fit_seconds" in row else " " * 29
        scores = f"{row['frechet']:8.2f}{row['precision']:6.2f}{row['recall']:7.2f}{row['density']:6.2f}{row['coverage']:6.2f}"
        lines.append(f"{name:18s}{fitted}{bits:>16s}  {row['kind']:16s}{scores}  {row['chosen']}")
    return "\n".join(lines)


def nearest(x, train):
    """The row of train nearest to each row of x, by Euclidean distance."""
    squared = np.sum(x * x, axis=1)[:, None] - 2 * x @ train.T + np.sum(train * train, axis=1)
    return train[np.argmin(squared, axis=1)]


def picture(data, samples):
    """Samples of each row, the nearest training item under each; or clouds of points for a toy."""
    if data.levels is None:
        fig = figure(2.2 * len(samples), 2.5)
        limit = 1.1 * float(np.max(np.abs(data.train)))
        for axes, (name, x) in zip(fig.subplots(1, len(samples)), samples.items(), strict=True):
            scatter(axes, x, name, limit)
        return fig
    fig = figure(9, 1.35 * len(samples))
    for axes, (name, x) in zip(fig.subplots(len(samples), 1), samples.items(), strict=True):
        x = x[:SAMPLES_SHOWN]
        both = np.concatenate([to_host(x), to_host(nearest(x, data.judged["train"]))]).reshape(-1, *data.event)
        show_images(axes, both, SAMPLES_SHOWN, f"{name}: samples, and under each the nearest training digit")
    return fig


def main(name, quick, device, seed, out):
    """Run, print the table, write the picture and metrics.json; the exit code."""
    known = ("digits", "mnist10k", *datasets.TOYS)
    if name not in known:
        print(f"--data {name}: expected one of {', '.join(known)}")
        return 2
    start = time.perf_counter()
    data, rows, samples = compare(name, quick, device, seed)
    print(f"\n{table(data, rows)}\n")
    save_figure(picture(data, samples), out, f"compare_{name}")
    path = os.path.join(out, "metrics.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"data": name, "seed": seed, "quick": quick, "device": device, "rows": rows}, file, indent=1)
    print(path)
    print(f"{time.perf_counter() - start:.0f} seconds in all")
    return 0
