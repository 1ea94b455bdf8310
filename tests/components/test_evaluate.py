"""Evaluation and export, called as KFP calls them, on a slice of the real data."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kfp import dsl
from small_run import MODELS, artifact

from components.artifacts.model import compiled
from components.common.errors import InputError
from components.export.component import export


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
    from components.artifacts.dataset import load_info
    from components.data.storage import load_rows

    info = load_info(ingested["electricity"].path)
    demand = load_rows(ingested["electricity"].path, info, "test")[:, 0].astype(float)
    first = info.lookback + np.arange(info.examples("test"))[:, None] + np.arange(info.horizon)
    expected = np.abs(demand[first] - demand[first - 48]).mean()
    found = json.loads((Path(results["baseline_electricity"].path) / "baselines.json").read_text())
    assert found["same_time_yesterday"]["mae"] == pytest.approx(expected, rel=1e-5)
    assert "same_time_last_week" not in found, "a week doesn't fit into the window"


def test_saved_model_serves_raw_inputs_by_name(results):
    import tensorflow as tf

    serve = tf.saved_model.load(Path(results["export_mlp"].path) / "saved_model").signatures["serving_default"]
    out = serve(image=tf.zeros([3, 28, 28, 1], tf.uint8))
    assert out["probabilities"].shape == (3, 10)
    serve = tf.saved_model.load(Path(results["export_lstm"].path) / "saved_model").signatures["serving_default"]
    out = serve(window=tf.ones([2, 96, 3]), future=tf.ones([2, 12, 3]))
    assert out["forecast"].shape == (2, 12)


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
