"""A study with people: one HTML page that shows real and generated images, one at a time, and asks which is which.

The page is one file: images, style and script are inside, and a content policy forbids it the network. The order is that of a seed and
the rater's name. Answers are given by keys (← generated, → real, Backspace takes one back), by click or touch; they are saved to a
file, and a file can be read in again, to go on or to look. `load_judgements` reads such files for `minigen.metrics.hype`.
"""

import base64
import io
import json
import sys
from pathlib import Path

import numpy as np

from minigen.data.readers import npz

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Real or generated?</title>
<style>
body { font: 18px system-ui, sans-serif; text-align: center; margin: 1.5em auto; max-width: 40em; color: #222; background: #fff; }
img { width: min(70vw, 50vh); image-rendering: pixelated; border: 1px solid #999; background: #fff; }
button { font: inherit; padding: 0.7em 1.4em; margin: 0.6em; touch-action: manipulation; }
progress { width: 80%; }
[hidden] { display: none; }
</style>
</head>
<body>
<h1>Real or generated?</h1>
<form id="start">
  <p>You will see __COUNT__ images, one after another. Some are real, some were made by a program. Say which, at your own pace.</p>
  <label>Your name: <input id="name" required autofocus></label>
  <button>Begin</button>
  <p><label>or go on with a saved file: <input id="file" type="file" accept=".json"></label></p>
</form>
<main id="task" hidden>
  <p><progress id="progress" max="__COUNT__" value="0"></progress> <span id="place"></span></p>
  <p><img id="image" alt="the image to be judged"></p>
  <p><button id="fake">← generated</button><button id="real">real →</button></p>
  <p><button id="undo">take back</button><button id="save">save answers</button></p>
</main>
<section id="end" hidden><p>Thank you. That was the last image.</p><button id="last">save answers</button></section>
<p id="message" role="status"></p>
<script>
"use strict";
const STUDY = __STUDY__;
const $ = id => document.getElementById(id);
let state = { study: STUDY.id, rater: "", answers: [] }, saved = 0;

// A generator that depends on the seed and the name alone (mulberry32), so that the order is the same when one comes back.
function generator(text) {
  let a = 1779033703;
  for (const c of text) a = Math.imul(a ^ c.codePointAt(0), 3432918353), a = a << 13 | a >>> 19;
  return () => {
    a = a + 0x6D2B79F5 | 0;
    let t = Math.imul(a ^ a >>> 15, 1 | a);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}
function order(rater) {
  const random = generator(STUDY.seed + "/" + rater), items = STUDY.items.map((_, i) => i);
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}
function show() {
  const done = state.answers.length, all = STUDY.items.length, finished = done === all;
  $("start").hidden = true; $("task").hidden = finished; $("end").hidden = !finished;
  $("progress").value = done; $("place").textContent = (done + 1) + " of " + all;
  if (!finished) $("image").src = STUDY.items[order(state.rater)[done]].image;
}
function answer(saidReal) {
  if ($("task").hidden) return;
  const item = order(state.rater)[state.answers.length];
  state.answers.push({ item: item, real: STUDY.items[item].real, said_real: saidReal });
  show();
}
function undo() { if (state.answers.length) { state.answers.pop(); show(); } }
function save() {
  const link = document.createElement("a");
  link.href = "data:application/json," + encodeURIComponent(JSON.stringify(state));
  link.download = "answers-" + state.rater.replace(/[^\\p{L}\\p{N}]+/gu, "_") + ".json";
  link.click();
  saved = state.answers.length;
  return link;
}
function restore(text) {
  let old;
  try { old = JSON.parse(text); } catch { old = {}; }
  const items = typeof old.rater === "string" ? order(old.rater) : [];
  if (old.study !== STUDY.id || !Array.isArray(old.answers) || old.answers.length > items.length ||
      old.answers.some((a, i) => a.item !== items[i] || typeof a.said_real !== "boolean")) {
    $("message").textContent = "This file does not hold answers of this study.";
    return;
  }
  $("message").textContent = "";
  state = { study: STUDY.id, rater: old.rater, answers: old.answers.map((a, i) =>
    ({ item: items[i], real: STUDY.items[items[i]].real, said_real: a.said_real })) };
  saved = state.answers.length;
  show();
}
$("start").addEventListener("submit", event => { event.preventDefault(); state.rater = $("name").value.trim() || "nobody"; show(); });
$("file").addEventListener("change", async () => restore(await $("file").files[0].text()));
$("real").addEventListener("click", () => answer(true));
$("fake").addEventListener("click", () => answer(false));
$("undo").addEventListener("click", undo);
$("save").addEventListener("click", save);
$("last").addEventListener("click", save);
window.addEventListener("beforeunload", event => { if (state.answers.length !== saved) event.preventDefault(); });
document.addEventListener("keydown", event => {
  if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || !$("start").hidden) return;  // Alt and an arrow turn pages
  if (event.key === "ArrowRight") answer(true);
  else if (event.key === "ArrowLeft") answer(false);
  else if (event.key === "Backspace") undo();
});
</script>
</body>
</html>
"""


def read_images(path):
    """Images (n, H, W, 1 or 3) with values in [0, 1] from the array "x" of an .npz file, or its only one; ValueError otherwise."""
    arrays = npz(path)
    if "x" not in arrays and len(arrays) != 1:
        raise ValueError(f"{path} holds {', '.join(sorted(arrays)) or 'no array'}; expected an array named x, or one array")
    x = arrays.get("x", next(iter(arrays.values())))
    x = x[..., None] if x.ndim == 3 else x
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or len(x) < 1 or x.dtype.kind not in "fiu":
        raise ValueError(f"{path}: its array is {x.dtype} of shape {x.shape}; expected images (n, H, W), (n, H, W, 1) or (n, H, W, 3)")
    x = x / 255 if x.dtype == np.uint8 else x.astype(float)
    if not np.all(np.isfinite(x)) or np.min(x) < -1e-6 or np.max(x) > 1 + 1e-6:
        raise ValueError(f"{path}: its values are not all in [0, 1], or bytes; expected x / x.max() or the like")
    return np.clip(x, 0, 1)


def as_url(image):
    """An image (H, W, C) in [0, 1] as a data URL of a PNG."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.broadcast_to(image, (*image.shape[:2], 3)), format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def make_page(real, fake, count=50, seed=0):
    """The page, a string: `count` real and as many generated images, drawn from (n, H, W, C) and (m, H, W, C) in [0, 1]."""
    if real.shape[1:3] != fake.shape[1:3]:
        raise ValueError(f"real has images of {real.shape[1:3]} pixels and fake of {fake.shape[1:3]}; expected the same, or size tells")
    if count < 1 or min(len(real), len(fake)) < count:
        raise ValueError(f"count is {count}, and there are {len(real)} real and {len(fake)} generated images; expected 1 … the fewer")
    rng = np.random.default_rng(seed)
    items = []
    for images, is_real in ((real, True), (fake, False)):
        items += [{"image": as_url(images[i]), "real": is_real} for i in rng.choice(len(images), count, replace=False)]
    order = rng.permutation(len(items))
    study = {"id": f"{seed}-{int(rng.integers(2**53))}", "seed": seed, "items": [items[i] for i in order]}
    return PAGE.replace("__COUNT__", str(2 * count)).replace("__STUDY__", json.dumps(study).replace("<", "\\u003c"))


def load_judgements(*paths):
    """The answers saved by the page in files, one a rater, as the dict that `minigen.metrics.hype` takes.

    Items of several studies are kept apart. Raises ValueError where a file holds something else, or the same rater's answers come twice.
    """
    judgements, seen = {"rater": [], "item": [], "real": [], "said_real": []}, set()
    for path in paths:
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
            who, answers = (state["study"], state["rater"]), state["answers"]
            rows = [(who[1], f"{who[0]}/{a['item']}", a["real"], a["said_real"]) for a in answers]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a file of answers ({error})") from error
        if not all(isinstance(value, kind) for row in rows for value, kind in zip(row, (str, str, bool, bool), strict=True)):
            raise ValueError(f"{path}: not a file of answers; expected names of raters, and true or false for each item")
        if who in seen:
            raise ValueError(f"{path}: the answers of {who[1]} to study {who[0]} come twice; expected each file once")
        seen.add(who)
        for row in rows:
            for name, value in zip(judgements, row, strict=True):
                judgements[name].append(value)
    return judgements


def main(real, fake, out, count, seed):
    """Write the page to `out`; the exit code."""
    try:
        page = make_page(read_images(real), read_images(fake), count, seed)
    except (ValueError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    Path(out).write_text(page, encoding="utf-8")
    print(out)
    return 0
