"""The page that asks people, in headless Chromium where there is one: keys, clicks, order, saving and reading back."""

import html
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from minigen import study
from minigen.cli import main
from minigen.metrics import hype

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.random((5, 8, 8, 1)), RNG.random((6, 8, 8, 1))


def run(page, script, tmp_path):
    """What a script leaves in `found`, run in the page by Chromium."""
    path = tmp_path / "page.html"
    probe = (
        "<script>(async () => { const found = {}; const press = key => document.dispatchEvent(new KeyboardEvent('keydown', { key }));"
        "const begin = name => { $('name').value = name; $('start').requestSubmit(); };"
        f"try {{ {script} }} catch (error) {{ found.error = String(error); }}"
        "const pre = document.createElement('pre'); pre.id = 'found'; pre.textContent = JSON.stringify(found); document.body.append(pre);"
        "})();</script></body>"
    )
    path.write_text(page.replace("</body>", probe), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000",
        "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(tmp_path)}
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment).stdout
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)[1]))
    assert "error" not in found, found
    return found


def items(page):
    """The study inside a page."""
    return json.loads(re.search(r"const STUDY = (.*);\n", page)[1])


def test_the_page_is_one_file_without_a_network():
    page = study.make_page(REAL, FAKE, 4, seed=3)
    assert "__" not in re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    assert "default-src 'none'" in page and not re.search(r"https?://|src=\"(?!data:)|@import|fetch\(", page)
    inside = items(page)
    assert sum(i["real"] for i in inside["items"]) == 4 and len(inside["items"]) == 8
    assert page == study.make_page(REAL, FAKE, 4, seed=3) != study.make_page(REAL, FAKE, 4, seed=4)
    assert len({i["image"] for i in inside["items"]}) == 8
    for count in (1, 3):  # down to one, up to all there are
        assert len(items(study.make_page(REAL[:3], FAKE, count))["items"]) == 2 * count
    # neither which images nor their places say anything: both are drawn
    drawn = [items(study.make_page(REAL, FAKE, 4, seed))["items"] for seed in range(8)]
    assert len({frozenset(i["image"] for i in page) for page in drawn}) > 4
    assert len({tuple(i["real"] for i in page) for page in drawn}) > 4


def test_images_are_what_was_given():
    import base64
    import io

    from matplotlib.image import imread

    for image in (REAL[0], RNG.random((6, 7, 3))):
        url = study.as_url(image)
        back = imread(io.BytesIO(base64.b64decode(url.split(",")[1])), format="png")[..., :3]
        np.testing.assert_allclose(back, np.broadcast_to(image, (*image.shape[:2], 3)), atol=1 / 255)


@browser
def test_answers_by_keys_and_clicks_are_saved_and_read_back(tmp_path):
    page = study.make_page(REAL, FAKE, 2, seed=1)
    found = run(
        page,
        """begin('Ann B');
        found.first = $('image').src; found.hidden = $('start').hidden;
        press('ArrowRight'); press('ArrowLeft'); press('Backspace'); found.undone = state.answers.length;
        $('fake').click(); $('real').click(); found.place = $('place').textContent; press('ArrowLeft');
        found.end = !$('end').hidden; press('ArrowRight'); found.state = state;
        const link = save(); found.name = link.download; found.file = decodeURIComponent(link.href.split(',').slice(1).join(','));
        state = { study: STUDY.id, rater: '', answers: [] }; restore(found.file); found.again = state;
        found.order = order('Ann B'); found.other = order('Bob');""",
        tmp_path,
    )
    assert found["hidden"] and found["undone"] == 1 and found["end"] and found["place"] == "4 of 4"
    inside = items(page)["items"]
    assert sorted(found["order"]) == sorted(found["other"]) == [0, 1, 2, 3]
    assert found["first"] == inside[found["order"][0]]["image"]
    answers = found["state"]["answers"]
    assert [a["item"] for a in answers] == found["order"]  # and nothing after the last
    assert [a["said_real"] for a in answers] == [True, False, True, False]
    assert [a["real"] for a in answers] == [inside[i]["real"] for i in found["order"]]
    assert json.loads(found["file"]) == found["state"] == found["again"] and found["name"] == "answers-Ann_B.json"
    (tmp_path / "a.json").write_text(found["file"])
    (tmp_path / "b.json").write_text(found["file"].replace("Ann B", "Bob"))
    judgements = study.load_judgements(tmp_path / "a.json", tmp_path / "b.json")
    assert judgements["rater"] == ["Ann B"] * 4 + ["Bob"] * 4
    assert judgements["item"] == [f"{found['state']['study']}/{i}" for i in found["order"]] * 2
    result = hype(judgements)
    assert result.score.count == 8 and result.agreement == 1 and set(result.raters) == {"Ann B", "Bob"}


def test_files_of_answers_are_told_apart(tmp_path):
    answer = {"item": 3, "real": True, "said_real": False}

    def write(name, **state):
        (tmp_path / name).write_text(json.dumps({"study": "1", "rater": "Ann", "answers": [answer], **state}))
        return tmp_path / name

    ann, bob, other = write("ann"), write("bob", rater="Bob"), write("other", study="2")
    found = study.load_judgements(ann, bob, other)
    assert found == {"rater": ["Ann", "Bob", "Ann"], "item": ["1/3", "1/3", "2/3"], "real": [True] * 3, "said_real": [False] * 3}
    with pytest.raises(ValueError, match="the answers of Ann to study 1 come twice"):
        study.load_judgements(ann, bob, write("again"))
    for answers in ([{**answer, "real": "false"}], [{**answer, "said_real": 1}], [3], None):
        with pytest.raises(ValueError, match="not a file of answers"):
            study.load_judgements(write("bad", answers=answers))


@browser
def test_shortcuts_of_the_browser_are_no_answers_and_what_is_unsaved_is_kept(tmp_path):
    found = run(
        study.make_page(REAL, FAKE, 2, seed=1),
        """begin('Ann'); found.counts = [];
        for (const key of ['altKey', 'ctrlKey', 'metaKey', 'repeat', 'shiftKey']) {
          document.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', [key]: true })); found.counts.push(state.answers.length);
        }
        const leave = () => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }));
        found.leaving = [leave()]; save(); found.leaving.push(leave()); press('ArrowRight'); found.leaving.push(leave());
        const lie = JSON.parse(JSON.stringify(state)); lie.answers.forEach(a => { a.real = !a.real; a.more = 1; });
        found.before = state; restore(JSON.stringify(lie)); found.after = state; found.leaving.push(leave());""",
        tmp_path,
    )
    assert found["counts"] == [0, 0, 0, 0, 1]
    assert found["leaving"] == [True, False, True, False]
    assert found["after"] == found["before"]  # which are real is known to the page, not to the file


@browser
def test_a_wrong_file_is_refused_and_half_a_file_goes_on(tmp_path):
    page = study.make_page(REAL, FAKE, 2, seed=1)
    found = run(
        page,
        """found.messages = [];
        for (const text of ['no json', '{}', JSON.stringify({ study: 'other', rater: 'Ann', answers: [] }),
             JSON.stringify({ study: STUDY.id, rater: 'Ann', answers: [{ item: 99, said_real: true }] })]) {
          $('message').textContent = ''; restore(text); found.messages.push($('message').textContent);
        }
        found.started = $('start').hidden;
        const item = order('Ann')[0];
        restore(JSON.stringify({ study: STUDY.id, rater: 'Ann', answers: [{ item, real: true, said_real: true }] }));
        found.place = $('place').textContent; found.shown = $('image').src; found.want = STUDY.items[order('Ann')[1]].image;""",
        tmp_path,
    )
    assert all("does not hold answers" in m for m in found["messages"]) and not found["started"]
    assert found["place"] == "2 of 4" and found["shown"] == found["want"]


def test_the_command_writes_the_page(tmp_path, capsys):
    np.savez(tmp_path / "real.npz", x=(255 * REAL).astype(np.uint8), y=np.arange(5))
    np.savez(tmp_path / "fake.npz", FAKE[..., 0])
    out = tmp_path / "study.html"
    command = ["study", str(tmp_path / "real.npz"), str(tmp_path / "fake.npz"), str(out), "--count", "5", "--seed", "2"]
    assert main(command) == 0 and capsys.readouterr().out.strip() == str(out)
    assert len(items(out.read_text(encoding="utf-8"))["items"]) == 10


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": REAL, "b": REAL}, "holds a, b; expected an array named x, or one array"),
        ({"x": REAL[0, 0]}, r"of shape \(8, 1\); expected images"),
        ({"x": 2 * REAL}, "not all in"),
        ({"x": REAL * np.nan}, "not all in"),
        ({"x": REAL[:, :4]}, "expected the same, or size tells"),
        ({"x": REAL[:3]}, "count is 5, and there are 3 real and 6 generated images"),
    ],
)
def test_what_is_wrong_is_one_line(arrays, message, tmp_path, capsys):
    np.savez(tmp_path / "real.npz", **arrays)
    np.savez(tmp_path / "fake.npz", x=FAKE)
    assert main(["study", str(tmp_path / "real.npz"), str(tmp_path / "fake.npz"), str(tmp_path / "o.html"), "--count", "5"]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="not a file of answers"):
        study.load_judgements(tmp_path / "bad.json")
