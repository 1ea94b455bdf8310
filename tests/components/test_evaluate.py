"""Evaluation and export, called as KFP calls them, on a slice of the real data."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from kfp import dsl
from sklearn.metrics import mean_pinball_loss
from small_run import MODELS, artifact

from components.artifacts.dataset import load_info
from components.artifacts.evaluation import Evaluation
from components.artifacts.export import Exported, Golden
from components.artifacts.model import compiled
from components.common.errors import InputError
from components.data.input_pipeline import sequential_batches
from components.data.storage import load_rows
from components.export.component import export
from components.export.formats import with_named_outputs
from components.families import load_model

QUANTILES = {"forecast_p10": 0.1, "forecast": 0.5, "forecast_p90": 0.9}


def test_a_model_of_other_data_is_refused(ingested, trained, tmp_path):
    with pytest.raises(InputError, match="trained on data"):
        export.python_func("x", ingested["electricity"], trained["mlp"], artifact(dsl.Model, tmp_path / "e"))
    assert not (tmp_path / "e").exists()


def test_evaluation_has_metrics_inside_their_intervals(results):
    for name in MODELS:
        found = json.loads((Path(results[f"evaluation_{name}"].path) / "evaluation.json").read_text())
        for metric, value in found["metrics"].items():
            low, high = found["intervals"][metric]
            assert low <= value <= high
            assert low < high


def test_evaluation_equals_what_its_predictions_give(results, ingested):
    folder = Path(results["evaluation_mlp"].path)
    found = json.loads((folder / "evaluation.json").read_text())
    with np.load(folder / "predictions.npz") as saved:
        predicted = saved["prediction"].argmax(axis=1)
        assert found["metrics"]["accuracy"] == pytest.approx((predicted == saved["target"]).mean())
        assert np.trace(found["confusion"]) == (predicted == saved["target"]).sum()
    folder = Path(results["evaluation_lstm"].path)
    found = json.loads((folder / "evaluation.json").read_text())
    with np.load(folder / "predictions.npz") as saved:
        error = np.abs(saved["prediction"] - saved["target"])
    assert found["metrics"]["mae"] == pytest.approx(error.mean(), rel=1e-5)
    np.testing.assert_allclose(found["per_step"]["mae"], error.mean(axis=0), rtol=1e-5)
    worst = next(window for window in found["windows"] if window["name"] == "worst")
    assert worst["example"] == error.mean(axis=1).argmax()
    assert len(found["per_hour"]) == 24
    assert {row["batch"] for row in found["latency"]} >= {1, 32}


def test_seasonal_baselines_equal_the_series_shifted(results, ingested):
    info = load_info(ingested["electricity"].path)
    demand = load_rows(ingested["electricity"].path, info, "test")[:, 0].astype(float)
    first = info.lookback + np.arange(info.examples("test"))[:, None] + np.arange(info.horizon)
    expected = np.abs(demand[first] - demand[first - 48]).mean()
    found = json.loads((Path(results["baseline_electricity"].path) / "baselines.json").read_text())
    assert found["same_time_yesterday"]["mae"] == pytest.approx(expected, rel=1e-5)
    assert "same_time_last_week" not in found, "a week doesn't fit into the window"


def test_a_baselines_interval_is_as_wide_as_its_errors_on_the_validation_split(results, ingested):
    info = load_info(ingested["electricity"].path)
    errors = {}
    for split in ("validation", "test"):
        demand = load_rows(ingested["electricity"].path, info, split)[:, 0].astype(float)
        first = info.lookback + np.arange(info.examples(split))[:, None] + np.arange(info.horizon)
        errors[split] = np.abs(demand[first] - demand[first - 48])
    count = len(errors["validation"])
    needed = np.sort(errors["validation"], axis=0)[int(np.ceil(0.8 * (count + 1))) - 1]
    baselines = json.loads((Path(results["baseline_electricity"].path) / "baselines.json").read_text())
    found = baselines["same_time_yesterday"]
    assert found["width"] == pytest.approx(2 * needed.mean(), rel=1e-5)
    assert found["coverage"] == pytest.approx((errors["test"] <= needed).mean(), abs=1e-3)
    assert all(values.keys() == found.keys() for values in baselines.values())
    fashion = json.loads((Path(results["baseline_fashion"].path) / "baselines.json").read_text())
    assert "coverage" not in fashion["linear"]


def test_saved_model_serves_raw_inputs_by_name(results):
    import tensorflow as tf

    serve = tf.saved_model.load(Path(results["export_mlp"].path) / "saved_model").signatures["serving_default"]
    out = serve(image=tf.zeros([3, 28, 28, 1], tf.uint8))
    assert out["probabilities"].shape == (3, 10)
    serve = tf.saved_model.load(Path(results["export_lstm"].path) / "saved_model").signatures["serving_default"]
    out = serve(window=tf.ones([2, 96, 3]), future=tf.ones([2, 12, 3]))
    assert {name: value.shape for name, value in out.items()} == dict.fromkeys(QUANTILES, (2, 12))


def test_quantiles_are_the_same_by_name_in_every_format(results):
    folder = Path(results["export_lstm"].path)
    found = Exported.load(folder)
    assert list(found.formats) == ["keras", "saved_model", "litert", "onnx"]
    for made in found.formats.values():
        assert made.refused is None
        assert made.max_abs_difference < 1e-5
    assert found.blessing.faults == []
    golden = Golden.load(folder)
    assert golden.predictions[0].keys() == QUANTILES.keys()
    assert golden.agrees(golden.predictions, 0)
    less = [{name: values for name, values in row.items() if name != "forecast_p90"} for row in golden.predictions]
    swapped = [{**row, "forecast": row["forecast_p10"]} for row in golden.predictions]
    for wrong in (less, swapped, [row["forecast"] for row in golden.predictions], golden.predictions[:1]):
        assert not golden.agrees(wrong, 1e-5)
    outputs = [output.name for output in onnxruntime.InferenceSession(folder / "model.onnx").get_outputs()]
    (signature,) = Interpreter(str(folder / "model.tflite")).get_signature_list().values()
    assert sorted(outputs) == sorted(signature["outputs"]) == sorted(QUANTILES)


def test_quantiles_get_names_in_a_process_that_has_made_no_other_layers(ingested, trained):
    import keras

    keras.utils.clear_session()
    model, _, info = load_model(trained["lstm"].path, ingested["electricity"].path)
    windows, _ = next(sequential_batches(ingested["electricity"].path, info, "test", 4).as_numpy_iterator())
    named = with_named_outputs(model, info)(windows)
    for i, name in enumerate(QUANTILES):
        np.testing.assert_array_equal(named[name], model(windows)[:, :, i])


def test_quantiles_are_calibrated_at_each_step_on_the_validation_split(ingested, trained, results):
    import keras

    model, _, info = load_model(trained["lstm"].path, ingested["electricity"].path)
    assert info.outputs == list(QUANTILES)
    (batch,) = sequential_batches(ingested["electricity"].path, info, "validation", 10_000).as_numpy_iterator()
    windows, target = batch
    rescaling = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Rescaling))
    before = keras.Model(model.inputs, rescaling.input).predict(windows, verbose=0)
    after = model.predict(windows, verbose=0)
    np.testing.assert_array_equal(after[..., 1], before[..., 1])
    assert np.diff(after).min() >= 0
    covered = ((after[..., 0] <= target) & (target <= after[..., 2])).mean(axis=0)
    assert covered.min() >= 0.8
    assert not np.allclose(before, after, atol=0.01)
    # The smallest distance that enough windows stay within.
    count, needed = len(target), rescaling.offset
    scores = np.maximum(before[..., 0] - target, target - before[..., 2])
    for step in range(info.horizon):
        enough = [s for s in scores[:, step] if (scores[:, step] <= s).sum() >= 0.8 * (count + 1)]
        assert needed[step] == pytest.approx([-min(enough), 0, min(enough)], abs=1e-5)


def test_an_evaluation_of_quantiles_equals_what_its_predictions_give(results):
    folder = Path(results["evaluation_lstm"].path)
    found = Evaluation.load(folder).metrics
    with np.load(folder / "predictions.npz") as saved:
        low, middle, high = np.moveaxis(saved["quantiles"], -1, 0)
        target = saved["target"]
        np.testing.assert_array_equal(middle, saved["prediction"])
    assert found["coverage"] == pytest.approx(((target >= low) & (target <= high)).mean())
    assert found["width"] == pytest.approx((high - low).mean(), rel=1e-5)
    by_hand = [
        mean_pinball_loss(target, q, alpha=a) for q, a in zip((low, middle, high), QUANTILES.values(), strict=True)
    ]
    assert found["pinball"] == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_export_refuses_a_saved_model_that_differs(ingested, trained, tmp_path, monkeypatch):
    from components.export import export as export_step

    def changed(model, info):
        call = compiled(model, info)
        return lambda batch: call(batch) + 0.01

    compiled = export_step.compiled
    monkeypatch.setattr(export_step, "compiled", changed)
    with pytest.raises(RuntimeError, match="differs"):
        export.python_func("x", ingested["fashion"], trained["mlp"], artifact(dsl.Model, tmp_path / "e"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("task", "given"), [("forecasting", lambda x: {"window": x}), ("classification", lambda x: x)])
def test_a_model_of_one_input_takes_windows_by_name_and_images_as_they_are(task, given):
    import keras

    window = keras.Input((4, 1), name="window")
    call = compiled(keras.Model(window, keras.layers.Flatten()(window)), SimpleNamespace(task=task))
    values = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    for size in (3, 1):
        np.testing.assert_array_equal(call(given(values[:size])), values[:size, :, 0])
