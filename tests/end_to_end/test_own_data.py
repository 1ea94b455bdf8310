"""Runs of data of one's own, and data that no run begins with."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_bad_data_is_a_line_for_each_problem_and_exit_code_2(project):
    (project.folder / "series.csv").write_text("time,load\n2024-01-01T00:00,1\n2024-01-01T01:00,oops\n")
    config = project.folder / "configs/mine.yaml"
    config.write_text(
        "datasets:\n  mine: {source: csv, path: ../series.csv, time: time, target: load, frequency: h, "
        "lookback: 24, horizon: 2}\nmodels:\n  mlp: {family: mlp, dataset: mine}\n"
    )
    code, output = project.run("run", config)
    assert code == 2
    number, length = output.splitlines()
    assert "are longer than the validation split of 0 rows" in length
    assert "series.csv:3: column 'load': 'oops' is not a number" in number
    assert not (project.folder / "runs/mine").exists()


def test_a_full_disk_is_one_line_and_exit_code_2(project, monkeypatch):
    from pipeline.local import run

    class Usage:
        free = 1000

    from components.common.errors import InputError
    from pipeline.experiment.experiment import load_experiment

    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match="no room for the data"):
        run.prepare(load_experiment(project.config, []), project.folder / "runs")


def test_your_own_csv_runs_from_end_to_end(project):
    rows = ["time,load,holiday"]
    import datetime
    import math

    start = datetime.datetime(2024, 1, 1)
    for i in range(800):
        time_ = start + datetime.timedelta(hours=i)
        rows.append(f"{time_.isoformat()},{5 + math.sin(i * math.pi / 12):.4f},{int(time_.weekday() > 4)}")
    (project.folder / "good.csv").write_text("\n".join(rows) + "\n")
    config = project.folder / "configs/own_series.yaml"
    config.write_text(
        "datasets:\n  mine: {source: csv, path: ../good.csv, time: time, target: load, known: [holiday],\n"
        "    frequency: h, lookback: 48, horizon: 6}\nmodels:\n"
        "  both: {family: encoder_decoder_lstm, dataset: mine, epochs: 1, hyperparameters: {units: 4}}\n"
    )
    code, output = project.run("run", config)
    assert code == 0, output
    result = json.loads((project.folder / "runs/own_series/latest/leaderboard.json").read_text())
    assert set(result["datasets"]["mine"]["baselines"]) == {
        "last_value",
        "same_time_yesterday",
        "ridge",
        "ridge_known_future",
    }
