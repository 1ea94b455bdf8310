"""What the page about a run says of its models, of a small run on real data."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reported import Page, changed, evaluation_of, page, searched, trial
from small_run import compared

from components.artifacts.dataset import load_info
from components.data import storage


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
