"""The page about a run, of a small run on real data."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from PIL import Image
from reported import COMMAND, TASKS, page, searched, trial
from small_run import MODELS, artifact, compared, gathered

from components.artifacts.dataset import load_info
from components.data import storage
from components.report.run_section import TaskRun, with_run


class Page(HTMLParser):
    """What a reader finds: the text, the ids, the links, the drawings; and whether all tags are closed in order."""

    EMPTY = ("meta", "link", "img", "br", "wbr")

    def __init__(self, html):
        super().__init__()
        self.text, self.ids, self.links, self.alone, self.pictures = "", [], [], [], []
        self._open = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("href", "src", "xlink:href") if key in found]
        if tag in ("svg", "img"):
            self.pictures.append(found.get("aria-label") or found.get("alt"))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if tag not in self.EMPTY:
            self.handle_starttag(tag, attributes)
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open and "script" not in self._open:
            self.text += data


@pytest.fixture(scope="module")
def board(results, tmp_path_factory):
    """The leaderboard of the small run, with a gate for the images."""
    return compared(results, tmp_path_factory.mktemp("board"), gates={"fashion": {"majority_class": 0.1}})[0]


@pytest.fixture(scope="module")
def html(results, board, tmp_path_factory):
    """The page about the small run."""
    return page(results, tmp_path_factory.mktemp("page") / "report.html", board)


def evaluation_of(results, name):
    return json.loads((Path(results[f"evaluation_{name}"].path) / "evaluation.json").read_text())


def changed(results, kind, folder, file, change):
    """The results with a copy of one of them, and in it a JSON file changed."""
    shutil.copytree(results[kind].path, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return {**results, kind: artifact(type(results[kind]), folder)}


def test_the_page_shows_every_part(html, results):
    found = Page(html)
    for part in ("leaderboard", "run", "data", "models", "reproduce", "model-mlp", "model-lstm", "data-fashion"):
        assert found.ids.count(part) == 1
    mlp, lstm = evaluation_of(results, "mlp"), evaluation_of(results, "lstm")
    assert f"{mlp['metrics']['accuracy']:.4f}" in found.text
    assert f"(ECE) {mlp['metrics']['ece']:.3f}; temperature " in found.text
    assert "below majority_class" in found.text
    assert f"{lstm['metrics']['mae']:.4f}" in found.text
    assert all(f"is {name}" in found.text or name in found.text for name in ("Ankle boot", "T-shirt/top"))
    assert COMMAND in found.text
    assert "5ha256" in found.text
    for name in ("numpy", "keras", "Python"):
        assert re.search(rf"{name} \d+\.\d+", found.text)
    assert "duplicates" in found.text
    info = json.loads((Path(results["dataset_fashion"].path) / "dataset.json").read_text())
    assert info["sha256"] in found.text


def test_every_figure_says_what_it_shows(html):
    found = Page(html)
    assert all(found.pictures)
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    # Two contests and a series; curves, calibration and confusion; curves, errors, three windows, hours, residuals.
    assert len(figures) == 3 + 4 + 8
    assert all("<svg" in figure and "<figcaption>" in figure for figure in figures)
    assert html.count('class="graph"') == 1 + len(MODELS)
    assert len([alt for alt in found.pictures if alt.startswith("Training images of class")]) == 10


def test_the_interval_of_a_forecast_is_drawn_and_beside_the_baselines_ones(html, results):
    found = Page(html)
    with np.load(Path(results["evaluation_lstm"].path) / "predictions.npz") as saved:
        low, _, high = np.moveaxis(saved["quantiles"], -1, 0)
    evaluation = evaluation_of(results, "lstm")
    for window in evaluation["windows"]:
        width = (high - low)[window["example"]].mean()
        (picture,) = [alt for alt in found.pictures if f"test window ({window['name']})" in alt]
        assert picture.endswith(f", 80% interval {width:.3g} wide on average")
    assert html.count(">80 %</text>") == len(evaluation["windows"])
    text = " ".join(found.text.split())
    assert f"meant to hold 80% of the values, and held {evaluation['metrics']['coverage']:.0%}" in text
    assert "no interval" not in text.split("Limits")[-1]
    baselines = json.loads((Path(results["baseline_electricity"].path) / "baselines.json").read_text())
    (table,) = re.findall(r'aria-label="Leaderboard of electricity".*?</table>', html, re.DOTALL)
    assert "coverage</th>" in table
    for values in (evaluation["metrics"], *baselines.values()):
        assert f"{values['coverage']:.4f}" in table
        assert f"{values['width']:.4f}" in table
    (table,) = re.findall(r'aria-label="Leaderboard of fashion".*?</table>', html, re.DOTALL)
    assert "coverage" not in table


def test_no_legend_lies_over_what_is_drawn(results, board, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    legends, save = [], Figure.savefig

    def look(figure, *args, **options):
        save(figure, *args, **options)
        for ax in figure.axes:
            if ax.get_legend():
                legends.append((ax.get_legend().get_window_extent(), ax.get_window_extent(), figure.bbox))

    monkeypatch.setattr(Figure, "savefig", look)
    search = searched(tmp_path / "search", [trial(1, 0.5), trial(2, 0.75)])
    page(results, tmp_path / "report.html", board, tunings={"mlp": search})
    assert len(legends) == 1 + 3 + 1 + 7
    for legend, axes, figure in legends:
        assert legend.y0 >= axes.y1, "over the axes"
        assert figure.x0 <= legend.x0 < legend.x1 <= figure.x1 + 1, "beyond the figure"


def test_the_page_is_whole_by_itself(html):
    found = Page(html)
    assert all(link.startswith(("#", "data:")) for link in found.links)
    targets = {link[1:] for link in found.links if link.startswith("#")}
    assert targets <= set(found.ids), "a link leads nowhere"
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"""(url\(|=)["']?(https?:)?//""", html)
    assert "#00000" not in html, "a stand-in for a colour of the page is left"
    assert len(html) < 1_000_000


def test_the_same_run_gives_the_same_page_in_another_process(html, results, board, tmp_path):
    code = (
        "import json, sys; from types import SimpleNamespace as N; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from reported import page\n"
        "given = {k: N(path=v) for k, v in json.loads(sys.argv[1]).items()}\n"
        "page(given, Path(sys.argv[2]), N(path=sys.argv[3]))\n"
    )
    given = json.dumps({name: made.path for name, made in results.items()})
    command = [sys.executable, "-W", "ignore", "-c", code, given, str(tmp_path / "again.html"), board.path]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "again.html").read_text() == html


@pytest.mark.parametrize(("name", "dataset"), [("mlp", "fashion"), ("lstm", "electricity")])
def test_one_model_on_one_data_set(results, tmp_path, name, dataset):
    kept = (f"dataset_{dataset}", f"model_{name}", f"evaluation_{name}", f"export_{name}", f"baseline_{dataset}")
    some = {kind: results[kind] for kind in kept}
    leaderboard, _ = compared(some, tmp_path)
    found = Page(page(some, tmp_path / "report.html", leaderboard))
    assert [i for i in found.ids if i.startswith("model-")] == [f"model-{name}"]
    assert [i for i in found.ids if i.startswith("data-")] == [f"data-{dataset}"]


def test_training_images_are_shown_above_what_augment_makes_of_them(results, board, html, tmp_path):
    assert "Augmented training images" not in html

    def change(model):
        model["spec"]["augment"] = {"flip": "vertical"}

    given = changed(results, "model_mlp", tmp_path / "model", "model.json", change)
    found = page(given, tmp_path / "report.html", board)
    assert found.count("Augmented training images") == 1
    encoded = re.search(
        r'class="augmented"><img src="data:image/png;base64,([^"]+)" alt="Training images, and below', found
    )
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[1]))))
    assert shown.shape == (2 * 28, 8 * 28)
    stored, _ = storage.load_images(
        results["dataset_fashion"].path, load_info(results["dataset_fashion"].path), "train"
    )
    ways = set()
    for i in range(8):
        above, below = (shown[first : first + 28, 28 * i : 28 * (i + 1)] for first in (0, 28))
        np.testing.assert_array_equal(above, stored[i, :, :, 0])
        upside_down = (below == above[::-1]).all()
        assert upside_down or (below == above).all()
        ways.add(upside_down)
    assert ways == {True, False}


def test_a_refused_model_says_why(results, tmp_path):
    leaderboard, _ = compared(results, tmp_path, gates={"fashion": {"linear": 0.99}})
    text = " ".join(Page(page(results, tmp_path / "report.html", leaderboard)).text.split())
    assert "mlp, the best model: refused" in text
    assert "no. 1 on fashion, refused" in text
    assert re.search(r"fails: error \S+ is \S+ (above|below) linear", text)
    assert "It did not pass its gate and was not registered." in text


def test_models_that_cannot_be_told_apart_are_named(results, board, html, tmp_path):
    def add(content):
        first = next(model for model in content["models"] if model["model"] == "mlp")
        second = {**first, "model": "second", "rank": 2, "behind": [-0.01, 0.02], "ties": ["mlp"], "mcs_p_value": 0.31}
        third = {**first, "model": "third", "rank": 3, "behind": [0.03, 0.05], "mcs_p_value": 0.004}
        lost = {"model": "lost", "family": "mlp", "dataset": "fashion", "reasons": ["train-lost failed: no"]}
        first["ties"] = ["second"]
        content["datasets"]["fashion"]["confidence_set"] = ["mlp", "second"]
        content["models"] += [second, third, lost]

    folder = tmp_path / "board"
    made = changed({"board": board}, "board", folder, "leaderboard.json", add)["board"]
    text = " ".join(Page(page(results, tmp_path / "report.html", made)).text.split())
    assert "mlp, the best model: passed" in text
    assert "mlp can't be told apart from second (95 % model confidence set)." in text
    assert "mlp: the best here; in the 95 % model confidence set, p = 1.000" in text
    assert "second: no clear difference from mlp; in the 95 % model confidence set, p = 0.310" in text
    assert "third: 0.0300 to 0.0500 behind mlp; not in the 95 % model confidence set, p = 0.004" in text
    assert "-0.0100" not in text
    assert text.count("told apart") == 1
    assert "lost:" not in text
    assert "told apart" not in html, "a model alone is compared with none"
    content = json.loads((folder / "leaderboard.json").read_text())
    content["datasets"]["fashion"]["confidence_set"] = ["mlp"]
    (folder / "leaderboard.json").write_text(json.dumps(content))
    text = " ".join(Page(page(results, tmp_path / "again.html", made)).text.split())
    assert "told apart" not in text
    assert "second: no clear difference from mlp; not in" in text


def test_a_failed_export_and_a_failed_evaluation_leave_the_rest(results, tmp_path):
    some = {kind: made for kind, made in results.items() if kind not in ("export_mlp", "evaluation_lstm")}
    failures = {"export-mlp": "RuntimeError: it differs", "evaluate-lstm": "MemoryError: no <room>"}
    leaderboard, _ = compared(some, tmp_path, failures=failures)
    html = page(some, tmp_path / "report.html", leaderboard, failures)
    found = Page(html)
    assert "2 tasks failed" in found.text
    assert "MemoryError: no <room>" in found.text
    assert "It was not evaluated" in found.text
    assert "Confusion matrix" in html
    assert "Residuals" not in html


def test_a_run_that_failed_at_once_still_has_a_page(tmp_path):
    html = page({}, tmp_path / "report.html", None, {"ingest-fashion": "InputError: no such file"})
    found = Page(html)
    assert "InputError: no such file" in found.text
    assert 'class="node failed"' in html
    assert html.count('class="node skipped"') == len(TASKS) - 1


def test_names_cannot_break_the_page(results, board, tmp_path):
    evil = "$\\frac$ <script>alert('x')</script> & \"q\" <!--/run-->"

    def rename(content):
        classes = content.get("classes")
        if classes:
            classes[0] = evil
        if content.get("per_class"):
            content["per_class"][evil] = content["per_class"].pop("T-shirt/top")

    given = changed(results, "dataset_fashion", tmp_path / "data", "dataset.json", rename)
    given = changed(given, "evaluation_mlp", tmp_path / "evaluation", "evaluation.json", rename)
    html = page(given, tmp_path / "report.html", board)
    assert html.count("<script") == 1
    assert evil in Page(html).text
    assert html.count("<!--/run-->") == 1


def test_a_local_run_adds_how_its_tasks_went(html):
    tasks = [
        TaskRun(name="ingest-fashion", needs=[], state="cached", why="nothing it depends on changed"),
        TaskRun(name="train-mlp", needs=["ingest-fashion"], state="done", seconds=12.34, why="epochs: 2 → 3 <i>"),
    ]
    new = with_run(html, "20260101-000000", "2026-01-01T00:00:00+00:00", tasks)
    before, after = html.index("<!--run-->"), html.index("<!--/run-->")
    assert new.startswith(html[:before])
    assert new.endswith(html[after:])
    text = Page(new).text
    assert "20260101-000000, 2026-01-01 00:00:00 UTC" in text
    assert "12.3 s in all, 1 done, 1 cached" in text
    assert "epochs: 2 → 3 <i>" in text
    assert "A task can't know" in Page(html).text
    assert "A task can't know" not in text


def test_every_format_is_shown_with_what_to_know(results, board, tmp_path):
    def add(content):
        times = {"batch_1_median_ms": 0.42, "batch_1_p95_ms": 0.5}
        content["formats"]["onnx"] = {"path": "m.onnx", "bytes": 1234567, "max_abs_difference": 2e-7, **times}
        content["formats"]["litert"] = {"refused": "differs from the model"}
        quality = {"metric": "accuracy", "quantized": 0.25, "model": 0.26, "test_examples": 1}
        more = {"left_in_float": ["CAST", "SPLIT"], "quality": quality, "batch": 1, "agreement": 0.995}
        content["formats"]["litert_int8"] = {"path": "m.tflite", "bytes": 999, **more}

    given = changed(results, "export_mlp", tmp_path / "export", "export.json", add)
    html = page(given, tmp_path / "report.html", board)
    text = " ".join(Page(html).text.split())
    assert "onnx 1.2 MB 2e-07 0.42, 0.5 litert missing: differs from the model litert_int8 999 bytes 99.5 %" in text
    assert "takes one example at a time; in float: CAST, SPLIT; accuracy 0.2500, the model's 0.2600, 1 test ex" in text
    assert "in float" not in page(results, tmp_path / "plain.html", board)


def beaten(content):
    """A board on which a baseline beats every model, of one test example of a data set without a gate."""
    about = content["datasets"]["electricity"]
    about |= {"unit": "GW", "few": True, "best_baseline": "ridge", "beaten_by": ["ridge"]}
    about["splits"]["test"] = 1
    about["baselines"] = {"ridge": {"mae": 0.0123, "rmse": 0.02, "mase": 0.03}}
    model = next(model for model in content["models"] if model["model"] == "lstm")
    model |= {"gate": "none", "reasons": [], "intervals": {name: [2.0, 2.0] for name in model["metrics"]}}
    model["metrics"]["mae"] = 2.0


def test_a_baseline_that_beats_every_model_comes_first_and_few_test_examples_are_marked(results, board, tmp_path):
    made = changed({"board": board}, "board", tmp_path / "board", "leaderboard.json", beaten)["board"]
    html = page(results, tmp_path / "report.html", made, {"export-x": "RuntimeError: it differs"})
    main = html[html.index('<main id="main">') :]
    first = main[: main.index("<section")]
    assert '<p class="beaten">ridge beats every model of electricity: mae 0.0123 against 2.0000 GW</p>' in first
    text = " ".join(Page(html).text.split())
    assert "electricity: mae in GW, 1 test example 2.0000? lstm, the best model: no gate no interval" in text
    assert "0.0123? ridge, the best baseline Fewer than 30 test examples: these figures say little." in text
    assert "1 test example, which nothing before the evaluation has read." in text
    assert "Best first" not in text, "one model has no order"
    assert "lstm has no gate" in text
    assert '<th scope="col" class="n">mae in GW</th><th scope="col" class="n">rmse in GW</th>' in html
    assert re.search(r"ridge ?0\.0123\? ?0\.0200\? ?0\.0300\? ?baseline", text)
    assert "passed its gate" not in text
    assert re.search(r"no\. 1 on electricity, no gate\s*mae in GW\s*\d\.\d{4}\?", text)
    fashion = text[text.index("fashion: accuracy, 100 test examples") :]
    assert re.match(r"fashion: accuracy, 100 test examples 0\.\d{4} mlp, the best model: passed", fashion)


def test_a_search_is_shown_with_its_model(results, board, html, tmp_path):
    trials = [trial(1, 0.5), trial(2, reason="RuntimeError: NaN <script>"), trial(3, 0.75, 0.002, (16, 8))]
    trials.append(trial(4, 0.75, 0.002, (16, 8), same_as=3))
    new = page(results, tmp_path / "report.html", board, tunings={"mlp": searched(tmp_path / "search", trials)})
    found = Page(new)
    assert "4 trials in rounds of 2, 3 epochs each, 1 failed." in found.text
    assert "The best val_accuracy, 0.7500 of trial 3, chose the settings" in found.text
    table = new[new.index("<caption>Trials") :]
    rows = re.findall(r'<tr><th scope="row" class="n">(\d)</th>(.*?)</tr>', table[: table.index("</table>")])
    assert [number for number, _ in rows] == ["1", "2", "3", "4"]
    cells = [re.sub(r"<[^>]*>", "|", row).replace("||", "|") for _, row in rows]
    assert cells[0] == "|0.01|10|[8]|&lt;b&gt;|0.5000|2|12.3||"
    assert "failed|: RuntimeError: NaN &lt;script&gt;" in cells[1]
    assert cells[2] == "|0.002|30|[16, 8]|&lt;b&gt;|0.7500|2|12.3||best|"
    assert "as trial 3" in cells[3]
    assert new.count("<figure") == html.count("<figure") + 5, "by trial, and by each of four keys"
    says = [text for text in found.pictures if text and text.startswith("mlp: val_accuracy")]
    assert says[0] == ("mlp: val_accuracy of 3 trials; the best so far goes from 0.5 in trial 1 to 0.75 in trial 3")
    assert says[1] == "mlp: val_accuracy by learning_rate; the best trial has 0.002"
    assert "mlp: val_accuracy by units; the best trial has [16, 8]" in says
    assert len(says) == 5
    assert new.count("<script") == 1
    assert "mathdefault" not in new, "a label of the axis isn't text"
    assert new.count("#model-mlp") == html.count("#model-mlp")
    assert Page(html).text.count("Search for hyperparameters") == 0


def test_a_search_of_one_trial_and_one_for_the_smallest_error(results, board, tmp_path):
    one = searched(tmp_path / "one", [trial(1, 0.5)])
    errors = searched(tmp_path / "errors", [trial(1, 3.0), trial(2, 2.0), trial(3, 2.5)], "min")
    found = Page(page(results, tmp_path / "report.html", board, tunings={"mlp": one, "lstm": errors}))
    assert "1 trial in rounds" in found.text
    assert "The best val_mae, 2.0000 of trial 2" in found.text
    assert "lstm: val_mae of 3 trials; the best so far goes from 3 in trial 1 to 2 in trial 2" in found.pictures


def test_the_component_writes_an_html_artifact(results, tmp_path):
    from components.report.component import report

    about = {"experiment": "small", "command": COMMAND, "seed": 1, "code_version": "c0de", "tasks": TASKS}
    made = artifact(dsl.HTML, tmp_path / "page")
    leaderboard, _ = compared(results, tmp_path)
    given = gathered(results, "datasets", "models", "evaluations", "exports")
    report.python_func(json.dumps(about), "{}", "5ha256", "x", made, **given, searches={}, leaderboard=leaderboard)
    assert Path(made.path).read_text(encoding="utf-8").startswith("<!doctype html>")
