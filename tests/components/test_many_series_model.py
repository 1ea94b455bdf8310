"""A model of many series: its training, metrics, baselines, forecasts of known and of new series."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from many import HORIZON, LOOKBACK, SERIES, START, many_lines, many_spec, wave
from predicted import lines, reasons
from small_run import artifact
from tiny import run

from components.artifacts.dataset import SeriesInfo
from components.artifacts.evaluation import Evaluation, load_places, load_predictions
from components.artifacts.series_table import load_table
from components.baseline.component import baseline
from components.common.errors import InputError
from components.common.spec import ModelSpec
from components.data import input_pipeline, storage
from components.data.new.example import Failure
from components.data.new.series import read_windows
from components.drift.drift import drift
from components.evaluate.component import evaluate_forecasting
from components.export.component import export
from components.families import build_model
from components.metrics import bootstrap, metrics
from components.predict.predict import predict
from components.report.report import report
from components.train.component import train

DAY = np.timedelta64(1, "D")


@dataclass
class Many:
    root: Path
    info: SeriesInfo
    dataset: dsl.Dataset
    model: dsl.Model
    evaluation: Evaluation


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    dataset = artifact(dsl.Dataset, root / "dataset")
    info = run(root / "dataset", many_spec(root, many_lines()))
    spec = {"family": "lstm", "dataset": "tiny", "epochs": 3, "loss": "mae", "learning_rate": 0.01}
    spec["hyperparameters"] = {"units": 8, "seasonal": True}
    model = artifact(dsl.Model, root / "model")
    train.python_func("lstm", json.dumps(spec), 1, "x", dataset, model, checkpoints=str(root / "checkpoints"))
    evaluation = artifact(dsl.Artifact, root / "evaluation")
    evaluate_forecasting.python_func(1, "x", dataset, model, evaluation, artifact(dsl.Metrics, root / "metrics"))
    export.python_func("x", dataset, model, artifact(dsl.Model, root / "export"))
    return Many(root, info, dataset, model, Evaluation.load(root / "evaluation"))


def test_mase_has_the_scale_of_each_series(many):
    target, forecast = load_predictions(many.root / "evaluation")
    table, found = load_table(many.dataset.path, many.info), many.evaluation
    error = np.abs(forecast.astype(float) - target).mean(axis=1)
    numbers = np.repeat(np.arange(3), table.rows[:, 2] - LOOKBACK - HORIZON + 1)
    assert found.metrics["mae"] == pytest.approx(error.mean())
    assert found.metrics["mase"] == pytest.approx((error / table.scale[numbers]).mean())
    one_scale = error.mean() / table.scale.mean()
    assert found.metrics["mase"] != pytest.approx(one_scale, rel=0.01)
    assert np.mean(found.per_step["mase"]) == pytest.approx(found.metrics["mase"])
    assert found.metrics["mase"] < 1, "it learns the week"
    low, high = found.intervals["mase"]
    assert low < found.metrics["mase"] < high


def test_each_series_has_its_metrics_the_worst_first(many):
    target, forecast = load_predictions(many.root / "evaluation")
    table, results = load_table(many.dataset.path, many.info), many.evaluation.series
    assert sorted(one.name for one in results) == ["Aue", "Bonn", "Ulm"]
    assert [one.metrics["mase"] for one in results] == sorted((o.metrics["mase"] for o in results), reverse=True)
    bonn = next(one for one in results if one.name == "Bonn")
    own = target.mean(axis=1) > 500
    assert bonn.windows == own.sum()
    assert bonn.metrics == pytest.approx(metrics.measure("forecasting", target[own], forecast[own], table.scale[1]))
    assert {window.series for window in many.evaluation.windows} <= set(SERIES)
    assert many.evaluation.windows[-1].series == "Bonn", "the largest is off by most"


def test_series_and_days_are_drawn_and_all_their_windows(many):
    places = load_places(many.root / "evaluation")
    assert places.shape == (many.info.examples("test"), 2)
    series, days = places.max(axis=0) + 1
    assert sorted(map(tuple, places.tolist())) == [(s, d) for s in range(series) for d in range(days)]
    drawn = []
    bootstrap.intervals(lambda sample: drawn.append(sample) or {"n": len(sample)}, len(places), 1, 4, places)
    for sample in drawn[:50]:
        counts = np.bincount(sample, minlength=len(places)).reshape(series, days)
        assert np.linalg.matrix_rank(counts) == 1, "how often its series was drawn times how often its day"
        of_days = counts[counts.sum(axis=1) > 0][0]
        first = np.flatnonzero(of_days)[0]
        assert of_days[first : first + 4].all(), "days that follow each other"
    assert len({np.bincount(places[sample, 0], minlength=3).tobytes() for sample in drawn}) > 5


def test_what_happens_to_all_series_at_once_makes_intervals_wider():
    rng = np.random.default_rng(2)
    places = np.array([(s, d) for s in range(30) for d in range(40)])
    shock, alone = rng.normal(size=40)[places[:, 1]], rng.normal(size=len(places))
    width = {
        name: np.diff(bootstrap.differences({"a": 0 * errors, "b": errors}, 1, 2, places)["a", "b"]).item()
        for name, errors in {"shock": shock, "alone": alone}.items()
    }
    # Of 40 days, not of 1,200 windows.
    assert width["shock"] > 2 * width["alone"]
    of_days = bootstrap.differences({"a": np.zeros(40), "b": shock[:40]}, 1, 2)["a", "b"]
    assert width["shock"] == pytest.approx(np.diff(of_days).item(), rel=1e-6)


def test_a_series_without_windows_at_some_times_can_be_drawn():
    places = np.array([(0, d) for d in range(9)] + [(1, 0)] + [(2, 8)])
    found = bootstrap.intervals(lambda sample: {"n": len(sample)}, len(places), 1, 2, places)
    assert found["n"][0] >= 1


def test_baselines_are_of_each_series(many, tmp_path):
    baseline.python_func("x", many.dataset, artifact(dsl.Artifact, tmp_path / "baseline"))
    found = json.loads((tmp_path / "baseline" / "baselines.json").read_text())
    target, _ = load_predictions(many.root / "evaluation")
    table = load_table(many.dataset.path, many.info)
    rows = storage.load_rows(many.dataset.path, many.info, "test")[:, 0].astype(float)
    first = table.first_rows(many.info, "test") + LOOKBACK
    ahead = first[:, None] + np.arange(HORIZON)
    np.testing.assert_array_equal(rows[ahead], target)
    scale = table.scale[table.numbers(many.info, "test")]
    error = np.abs(rows[ahead - 7] - rows[ahead])
    assert found["same_day_last_week"]["mae"] == pytest.approx(error.mean())
    assert found["same_day_last_week"]["mase"] == pytest.approx((error.mean(axis=1) / scale).mean())
    assert found["last_value"]["mae"] == pytest.approx(np.abs(rows[first - 1][:, None] - rows[ahead]).mean())
    assert found["ridge"]["mase"] < found["last_value"]["mase"]


def test_the_loss_of_a_small_series_weighs_as_much_as_that_of_a_large_one(many):
    table = load_table(many.dataset.path, many.info)
    for power in (1, 2):
        batches = input_pipeline.shuffled_batches(
            many.dataset.path, many.info, "train", 50, seed=1, epochs=1, loss_power=power
        )
        for inputs, _, weights in batches.as_numpy_iterator():
            means = inputs["window"][:, :, 0].mean(axis=1)
            levels = np.array([SERIES[name][0] for name in table.names])
            numbers = [int(np.argmin(np.abs(np.log(levels / mean)))) for mean in means]
            np.testing.assert_allclose(weights, table.loss_scale[numbers] ** -power, rtol=1e-5)


def test_a_forecast_follows_the_level_and_the_size_of_its_window(many):
    import tensorflow as tf

    serve = tf.saved_model.load(many.root / "export" / "saved_model").signatures["serving_default"]
    batch, _ = next(input_pipeline.sequential_batches(many.dataset.path, many.info, "test", 8).as_numpy_iterator())

    def forecast(change):
        window = batch["window"].copy()
        window[:, :, 0] = change(window[:, :, 0])
        return serve(window=tf.constant(window), future=tf.constant(batch["future"]))["forecast"].numpy()

    plain = forecast(lambda target: target)
    np.testing.assert_allclose(forecast(lambda target: 300 * target + 7), 300 * plain + 7, rtol=1e-4)
    # The static column is an input.
    batch["window"] = batch["window"] + 500 * np.array([name == "area" for name in many.info.columns], np.float32)
    assert not np.allclose(forecast(lambda target: target), plain, rtol=1e-3)
    # A window that doesn't change has a finite forecast near its level.
    for level in (0, 5, 1e6):
        np.testing.assert_allclose(forecast(lambda target, at=level: 0 * target + at), level, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("scaling", ["window", "shared"])
def test_scaling_says_what_the_target_is_scaled_by(many, scaling):
    info = many.info.model_copy(update={"scaling": scaling})
    spec = ModelSpec(family="lstm", dataset="x", hyperparameters={"units": 2})
    model = build_model(spec, info)
    window = np.random.default_rng(1).normal(50, 9, (4, LOOKBACK, len(info.columns))).astype(np.float32)
    larger = window.copy()
    larger[:, :, 0] *= 10
    future = np.zeros((4, HORIZON, len(info.known)), np.float32)
    one, ten = (model([values, future]).numpy() for values in (window, larger))
    assert np.allclose(10 * one, ten, rtol=1e-4) == (scaling == "window")


def test_series_are_forecast_each_by_its_own_rows_new_ones_too(many, tmp_path):
    SERIES["Goch"] = (3, 150, 200)
    try:
        shown = {name: SERIES[name] for name in ("Ulm", "Goch")}
        source = Path(many_spec(tmp_path, [line.replace(",Goch,", ",Goch,") for line in _with_future(shown)])["path"])
    finally:
        del SERIES["Goch"]
    predict(str(many.root / "export"), str(source), str(tmp_path / "p.jsonl"))
    found = {row["series"]: row for row in lines(tmp_path / "p.jsonl")}
    assert list(found) == ["Goch", "Ulm"]
    times = [str(np.datetime64(START) + DAY * (200 + k))[:19] for k in range(HORIZON)]
    assert found["Ulm"]["times"] == found["Goch"]["times"] == times
    assert 5 < np.mean(found["Ulm"]["values"]) < 15
    assert 1.5 < np.mean(found["Goch"]["values"]) < 4.5
    # A file of one of them alone gives the same.
    kept = [
        line for line in source.read_text(encoding="utf-8").splitlines() if ",Ulm," in line or line.startswith("day")
    ]
    (tmp_path / "ulm.csv").write_text("\n".join(kept) + "\n")
    predict(str(many.root / "export"), str(tmp_path / "ulm.csv"), str(tmp_path / "one.jsonl"))
    (alone,) = lines(tmp_path / "one.jsonl")
    assert alone["values"] == pytest.approx(found["Ulm"]["values"], rel=1e-5)
    assert alone["series"] == "Ulm"


def _with_future(series):
    from many import AREAS

    AREAS["Goch"] = 40
    yield from many_lines(wave, series)
    for day in range(200, 200 + HORIZON):
        for name in series:
            yield f"{np.datetime64(START, 'D') + day},{name},,{AREAS[name]},0"


def test_every_window_of_new_data_is_one_of_the_data_set(many, tmp_path):
    source = Path(many_spec(tmp_path, many_lines())["path"])
    found = [w for w in read_windows(source, many.info, every=True) if not isinstance(w, Failure)]
    table = load_table(many.dataset.path, many.info)
    seen = {(w.series, w.load()["window"].tobytes()) for w in found}
    first = table.first_rows(many.info, "test")
    rows = storage.load_rows(many.dataset.path, many.info, "test")[:, : len(many.info.columns)]
    for number, row in zip(table.numbers(many.info, "test"), first, strict=True):
        assert (table.names[number], rows[row : row + LOOKBACK].tobytes()) in seen
    expected = sum(last - start - LOOKBACK - HORIZON + 1 for _, start, last in SERIES.values() if last - start > 16)
    assert len(found) == expected


def test_what_cannot_be_predicted_is_named_by_series(many, tmp_path):
    good = list(_with_future({"Ulm": SERIES["Ulm"]}))
    bad = ["2023-01-02,Neu,5,10,0", "2023-01-04,Neu,5,10,0", "2023-01-02,Alt,x,10,0", "2023-01-02,,5,10,0"]
    source = Path(many_spec(tmp_path, [*bad, *good])["path"])
    predict(str(many.root / "export"), str(source), str(tmp_path / "p.jsonl"))
    assert [row["series"] for row in lines(tmp_path / "p.jsonl")] == ["Ulm"]
    found = list(reasons(tmp_path / "p.jsonl").values())
    assert any(r.startswith("series 'Neu': gap: 2023-01-04") for r in found)
    assert any(r.startswith("series 'Alt': column 'units': 'x' is not a number") for r in found)
    assert "column 'store': no name" in found
    without = source.read_text(encoding="utf-8").replace("day,store", "day,shop")
    (tmp_path / "w.csv").write_text(without, encoding="utf-8")
    with pytest.raises(InputError, match="no column 'store'"):
        predict(str(many.root / "export"), str(tmp_path / "w.csv"), str(tmp_path / "q.jsonl"))


def test_records_without_names_are_refused(many):
    (shard,) = Path(many.dataset.path).glob("*-test.tfrecord-*")
    (found,) = [w for w in read_windows(shard, many.info, every=False) if isinstance(w, Failure)][:1]
    assert "give CSV with the column 'store'" in found.reason


def test_the_report_lists_the_worst_series(many, tmp_path):
    about = {"experiment": "x", "command": "", "seed": 1, "code_version": "", "tasks": {"ingest-tiny": []}}

    def text(evaluation):
        folders = {"datasets": {"tiny": many.dataset.path}, "models": {"lstm": many.model.path}, "searches": {}}
        folders |= {"evaluations": {"lstm": str(evaluation)}, "exports": {"lstm": str(many.root / "export")}}
        report(json.dumps(about), "{}", "", leaderboard=None, path=str(tmp_path / "report.html"), **folders)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        table = re.search(r'aria-label="Worst series of lstm">\s*(<table.*?</table>)', page, re.DOTALL)[1]
        cells = [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        return page, re.search("<caption>(.*)</caption>", table)[1], cells

    page, caption, cells = text(many.root / "evaluation")
    assert caption == "Series, by mase"
    assert cells[0] == ["series", "windows", "mae", "rmse", "mase"]
    worst = many.evaluation.series[0]
    assert cells[1] == [worst.name, str(worst.windows), *(f"{value:.4g}" for value in worst.metrics.values())]
    assert "<figcaption>The mean of all series, and the splits" in page
    assert re.search("<figcaption>store Bonn, from 2023-[^<]*none is worse", page)
    assert "1 left out: Rees" in page
    # Of more than ten, the ten worst.
    shutil.copytree(many.root / "evaluation", tmp_path / "evaluation")
    found = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    found["series"] = [{**found["series"][0], "name": f"s{i}"} for i in range(12)]
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(found), encoding="utf-8")
    _, caption, cells = text(tmp_path / "evaluation")
    assert caption == "The 10 worst of 12 series, by mase"
    assert len(cells) == 11


def test_drift_compares_the_rows_of_all_series(many, tmp_path):
    same = Path(many_spec(tmp_path, [line for line in many_lines() if ",Rees," not in line])["path"])
    found = drift(str(many.root / "export"), str(same), 0.2)
    assert found.examples == sum(last - first for name, (_, first, last) in SERIES.items() if name != "Rees")
    assert found.drifted() == []
    (tmp_path / "other").mkdir()
    other = Path(many_spec(tmp_path / "other", many_lines(lambda name, day: 400 + day))["path"])
    assert drift(str(many.root / "export"), str(other), 0.2).drifted() == ["units"]
