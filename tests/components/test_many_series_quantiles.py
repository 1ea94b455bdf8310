"""Quantiles of many series: their loss, calibration, metrics, forecasts and formats, against NumPy on the CSV file."""

import csv
import json
import math
import re
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from kfp import dsl
from many import HORIZON, LOOKBACK, many_lines, many_spec
from model_servers import healthy_one
from predicted import lines
from sklearn.metrics import mean_pinball_loss
from small_run import artifact
from tiny import run
from trainings import assert_same, terminated, train

from components.artifacts.evaluation import Evaluation
from components.artifacts.export import Exported
from components.artifacts.series_table import load_table
from components.baseline.component import baseline
from components.common.spec import ModelSpec
from components.data import input_pipeline
from components.evaluate.component import evaluate_forecasting
from components.export.component import export
from components.families import load_model
from components.metrics import conformal
from components.models import answers
from components.predict.predict import predict
from components.report.report import report
from components.serve.model import load_checked
from components.train.devices import find_devices
from components.train.shared_batches import SharedBatches

QUANTILES = [0.05, 0.2, 0.5, 0.8, 0.95]
SPEC = {"family": "lstm", "dataset": "tiny", "epochs": 3, "learning_rate": 0.01, "quantiles": QUANTILES}
SPEC |= {"hyperparameters": {"units": 8, "seasonal": True}}

ORDERED = ["forecast_p5", "forecast_p20", "forecast", "forecast_p80", "forecast_p95"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    dataset, model = artifact(dsl.Dataset, root / "tiny"), artifact(dsl.Model, root / "run" / "train" / "model")
    info = run(root / "tiny", many_spec(root, many_lines()))
    trained = train("lstm", root, root, **SPEC)
    evaluation = artifact(dsl.Artifact, root / "evaluation")
    evaluate_forecasting.python_func(1, "x", dataset, model, evaluation, artifact(dsl.Metrics, root / "metrics"))
    formats = json.dumps(["litert", "onnx"])
    export.python_func("x", dataset, model, artifact(dsl.Model, root / "export"), formats)
    found = Evaluation.load(root / "evaluation")
    return SimpleNamespace(root=root, info=info, dataset=dataset, model=model, trained=trained, evaluation=found)


def test_coverage_is_what_the_csv_file_says_of_the_predicted_intervals(many, tmp_path):
    predict(str(many.root / "export"), str(many.root / "sales.csv"), str(tmp_path / "p.jsonl"), every_window=True)
    with (many.root / "sales.csv").open(encoding="utf-8") as file:
        sold = {(row["store"], row["day"]): float(row["units"]) for row in csv.DictReader(file)}
    begins, inside, widths, pinball = many.info.times["test"][0][:10], {}, [], []
    days = sorted({day for _, day in sold if day >= begins})
    for line in lines(tmp_path / "p.jsonl"):
        # A test window sees rows of the test split alone.
        if line["series"] == "Rees" or line["times"][0][:10] < days[many.info.lookback]:
            continue
        truth = np.array([sold.get((line["series"], time[:10]), math.nan) for time in line["times"]])
        if np.isfinite(truth).all():
            ends = np.array([line["forecast_p5"], line["forecast_p95"]])
            inside.setdefault(line["series"], []).append((ends[0] <= truth) & (truth <= ends[1]))
            widths.append(ends[1] - ends[0])
            named = ("forecast_p5", "forecast_p20", "values", "forecast_p80", "forecast_p95")
            pinball.append(
                [mean_pinball_loss(truth, line[name], alpha=q) for name, q in zip(named, QUANTILES, strict=True)]
            )
    found = many.evaluation.metrics
    assert len(widths) == many.info.examples("test")
    assert found["coverage"] == pytest.approx(np.mean([one for covered in inside.values() for one in covered]))
    assert found["width"] == pytest.approx(np.mean(widths), rel=1e-4)
    assert found["pinball"] == pytest.approx(np.mean(pinball), rel=1e-4)
    assert {one.name: one.metrics["coverage"] for one in many.evaluation.series} == pytest.approx(
        {name: np.mean(covered) for name, covered in inside.items()}
    )


def test_the_server_and_the_saved_model_answer_as_predict_writes(many, tmp_path):
    """The requests are made from the CSV file: one for each window of each series that is long enough."""
    import tensorflow as tf

    predict(str(many.root / "export"), str(many.root / "sales.csv"), str(tmp_path / "p.jsonl"), every_window=True)
    with (many.root / "sales.csv").open(encoding="utf-8") as file:
        rows = {(row["store"], row["day"]): row for row in csv.DictReader(file)}
    written, instances = lines(tmp_path / "p.jsonl"), []
    for line in written:
        first = datetime.fromisoformat(line["times"][0])
        before = [f"{first - timedelta(days=day):%Y-%m-%d}" for day in range(LOOKBACK, 0, -1)]
        window = [[float(rows[line["series"], day][name]) for name in many.info.columns] for day in before]
        future = [[float(rows[line["series"], time[:10]]["promotion"])] for time in line["times"]]
        instances.append({"window": window, "future": future})
    assert {line["series"] for line in written} == {"Ulm", "Bonn", "Aue"}
    with healthy_one(partial(load_checked, many.root / "export")) as client:
        answer = client.post("/predict", json={"instances": instances})
    assert answer.status_code == 200, answer.text
    signature = tf.saved_model.load(many.root / "export" / "saved_model").signatures["serving_default"]
    saved = signature(**{name: tf.constant([one[name] for one in instances]) for name in ("window", "future")})
    served = {name: np.array([one[name] for one in answer.json()["predictions"]]) for name in saved}
    assert all(one.keys() == saved.keys() for one in answer.json()["predictions"])
    for name in ORDERED:
        told = np.array([line["values" if name == "forecast" else name] for line in written])
        np.testing.assert_allclose(served[name], told, rtol=1e-4)
        np.testing.assert_allclose(saved[name], told, rtol=1e-4)
    assert np.diff([served[name] for name in ORDERED], axis=0).min() >= 0
    truth = np.array([[float(rows[line["series"], day[:10]]["units"]) for day in line["times"]] for line in written])
    inside = (served["forecast_p5"] <= truth) & (truth <= served["forecast_p95"])
    tested = np.array([line["times"][0][:10] >= many.info.times["test"][0][:10] for line in written])
    # 0.9 is asked for, of 87 validation windows.
    assert 0.8 < inside[tested].mean() <= 1


def before_and_after(root):
    """The quantiles of the validation split before and after the calibration, and the targets."""
    model, _, info = load_model(root / "run" / "train" / "model", root / "tiny")
    (batch,) = input_pipeline.sequential_batches(root / "tiny", info, "validation", 10_000).as_numpy_iterator()
    added = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Add))
    given = [
        keras.Model(model.inputs, output).predict(batch[0], verbose=0) for output in (added.input[0], model.output)
    ]
    return *given, batch[1]


def test_each_pair_is_widened_by_the_share_of_itself_that_enough_windows_of_all_series_need(many):
    before, after, target = before_and_after(many.root)
    count = len(target)
    for step in range(HORIZON):
        inner_low = inner_high = before[:, step, 2]
        for pair, share in ((1, 0.6), (0, 0.9)):
            low, high = before[:, step, pair].astype(float), before[:, step, -1 - pair].astype(float)
            outside = np.maximum(low - target[:, step], target[:, step] - high) / (high - low)
            enough = min(each for each in outside if (outside <= each).sum() >= share * (count + 1))
            # A pair that would lie inside the next one is as that is.
            inner_low = np.minimum(low - enough * (high - low), inner_low)
            inner_high = np.maximum(high + enough * (high - low), inner_high)
            np.testing.assert_allclose(after[:, step, pair], inner_low, rtol=1e-4)
            np.testing.assert_allclose(after[:, step, -1 - pair], inner_high, rtol=1e-4)
    assert np.diff(after).min() >= 0
    np.testing.assert_array_equal(after[..., 2], before[..., 2])
    assert not np.allclose(before[..., 0], after[..., 0], rtol=0.01)


def test_a_series_in_another_unit_has_the_same_intervals_in_that_unit(many):
    import tensorflow as tf

    serve = tf.saved_model.load(many.root / "export" / "saved_model").signatures["serving_default"]
    batches = input_pipeline.sequential_batches(many.dataset.path, many.info, "test", 8)
    batch, _ = next(batches.as_numpy_iterator())
    plain = serve(window=tf.constant(batch["window"]), future=tf.constant(batch["future"]))
    units = np.where(np.array(many.info.columns) == "units", np.float32(1000), np.float32(1))
    thousand = serve(window=tf.constant(batch["window"] * units), future=tf.constant(batch["future"]))
    assert set(plain) == {"forecast", "forecast_p5", "forecast_p20", "forecast_p80", "forecast_p95"}
    for name, values in plain.items():
        np.testing.assert_allclose(thousand[name], 1000 * values.numpy(), rtol=1e-4)


def test_windows_that_do_not_change_leave_the_calibration_as_it_is(tmp_path):
    """Such a window has next to no interval: measured by it, a jump of the target is a million times too far."""

    def value(series, day):
        return 400.0 + day if day % 7 == 0 else 3.0

    run(tmp_path / "tiny", many_spec(tmp_path, many_lines(value), lookback=5))
    train("lstm", tmp_path, tmp_path, **{**SPEC, "family": "mlp", "epochs": 1, "hyperparameters": {"units": [4]}})
    before, after, _ = before_and_after(tmp_path)
    width = {name: given[..., -1] - given[..., 0] for name, given in (("before", before), ("after", after))}
    assert (width["before"] < 0.1).any()
    assert width["after"].max() < 5000


def test_offsets_are_in_units_of_the_scale():
    rng = np.random.default_rng(3)
    target, forecasts = rng.normal(size=(40, 2)), np.sort(rng.normal(size=(40, 2, 3)), axis=-1)
    sizes = rng.uniform(0.1, 100, (40, 1))
    plain = conformal.offsets(target, forecasts, [0.1, 0.5, 0.9], conformal.widths(forecasts))
    of_sizes = target * sizes, forecasts * sizes[..., None]
    scaled = conformal.offsets(*of_sizes, [0.1, 0.5, 0.9], conformal.widths(of_sizes[1]))
    np.testing.assert_allclose(scaled, plain)
    nothing = np.zeros((40, 2, 3))
    assert np.isfinite(conformal.offsets(target, nothing, [0.1, 0.5, 0.9], conformal.widths(nothing))).all()
    inputs = keras.Input((2, 3))
    model = answers.quantiles_moved(keras.Model(inputs, keras.layers.Identity()(inputs)), plain.tolist(), by_width=True)
    low, middle, high = np.moveaxis(forecasts, -1, 0)
    ends = low + plain[:, 0] * (high - low), high + plain[:, 2] * (high - low)
    expected = np.stack([np.minimum(ends[0], middle), middle, np.maximum(ends[1], middle)], axis=-1)
    np.testing.assert_allclose(model(forecasts.astype(np.float32)), expected, rtol=1e-4, atol=1e-5)


def test_an_error_counts_in_units_of_its_series_scale_and_not_of_its_square(many):
    spec = ModelSpec(**SPEC)
    table = load_table(many.dataset.path, many.info)
    batches = SharedBatches("m", spec, many.dataset.path, many.info, 1, find_devices()).training(0).take(3)
    weights = {round(float(w), 6) for *_, given in batches.as_numpy_iterator() for w in given}
    assert weights == {round(float(w), 6) for w in (1 / table.loss_scale).astype(np.float32)}


def test_a_killed_training_ends_with_the_same_intervals(many, tmp_path, monkeypatch):
    (tmp_path / "tiny").symlink_to(many.root / "tiny")
    assert terminated(monkeypatch, 4, "lstm", tmp_path, tmp_path, **SPEC) == 143
    assert_same(train("lstm", tmp_path, tmp_path, **SPEC), many.trained)
    for one, other in zip(before_and_after(tmp_path), before_and_after(many.root), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_formats_have_them_by_name(many):
    found = Exported.load(many.root / "export")
    assert list(found.formats) == ["keras", "saved_model", "litert", "onnx"]
    for made in found.formats.values():
        assert made.refused is None
        assert made.max_abs_difference < 1e-3


def test_baselines_have_intervals_as_wide_as_the_errors_of_each_series(many, tmp_path):
    baseline.python_func("x", many.dataset, artifact(dsl.Artifact, tmp_path / "b"), json.dumps(QUANTILES))
    found = json.loads((tmp_path / "b" / "baselines.json").read_text())["last_value"]
    table, parts = load_table(many.dataset.path, many.info), {}
    for split in ("validation", "test"):
        (batch,) = input_pipeline.sequential_batches(many.dataset.path, many.info, split, 10_000).as_numpy_iterator()
        scale = table.loss_scale[table.numbers(many.info, split)][:, None]
        parts[split] = batch[0]["window"][:, -1:, 0].astype(float), batch[1].astype(float), scale
    last, target, scale = parts["validation"]
    errors = np.sort(np.abs(target - last) / scale, axis=0)
    needed = errors[min(len(errors), math.ceil(0.9 * (len(errors) + 1))) - 1]
    last, target, scale = parts["test"]
    assert found["coverage"] == pytest.approx((np.abs(target - last) <= needed * scale).mean(), abs=2e-3)
    assert found["width"] == pytest.approx((2 * needed * scale).mean(), rel=1e-5)


def test_the_report_has_the_fan_and_the_coverage_of_each_series(many, tmp_path):
    about = {"experiment": "x", "command": "", "seed": 1, "code_version": "", "tasks": {"ingest-tiny": []}}
    folders = {"datasets": {"tiny": many.dataset.path}, "models": {"lstm": many.model.path}, "searches": {}}
    folders |= {"evaluations": {"lstm": str(many.root / "evaluation")}, "exports": {"lstm": str(many.root / "export")}}
    report(json.dumps(about), "{}", "", leaderboard=None, path=str(tmp_path / "report.html"), **folders)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    table = re.search(r'aria-label="Worst series of lstm">\s*(<table.*?</table>)', page, re.DOTALL)[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)]
    assert rows[0] == ["series", "windows", "mae", "rmse", "mase", "coverage", "width", "pinball"]
    worst = many.evaluation.series[0]
    assert rows[1][5] == f"{worst.metrics['coverage']:.4g}"
    assert len(re.findall("90% interval [0-9.e+]+ wide on average", page)) == len(many.evaluation.windows)
    assert Path(many.dataset.path, "series.npz").exists()
