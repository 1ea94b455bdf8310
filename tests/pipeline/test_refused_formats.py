"""What `run` says where a format that was asked for couldn't be made, and the code that it ends with."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.artifacts.export import Format
from components.artifacts.leaderboard import Leaderboard, ModelEntry
from pipeline.__main__ import app


@pytest.mark.parametrize(
    ("refused", "options", "code"),
    [
        ("ONNX has no operation for Erfinv [x]", [], 1),
        ("ONNX has no operation for Erfinv [x]", ["--keep-going"], 0),
        (None, [], 0),
    ],
)
def test_a_format_that_could_not_be_made_is_a_line_and_a_code(tmp_path, monkeypatch, refused, options, code):
    formats = {"saved_model": Format(path="saved_model"), "onnx": Format(refused=refused)}
    model = ModelEntry(model="mlp", family="mlp", dataset="fashion", reasons=["did not run"], formats=formats)
    board = Leaderboard(
        experiment="quick", run="1", pipeline_sha256="", code_version="", created="", datasets={}, models=[model]
    )
    monkeypatch.setattr("pipeline.local.run.prepare", lambda *_: None)
    monkeypatch.setattr("pipeline.local.run.run_local", lambda *_, **__: board)
    config = Path("configs/quick.yaml").absolute()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/quick/1").mkdir(parents=True)
    board.save(tmp_path / "runs/quick/1")
    done = CliRunner().invoke(app, ["run", str(config), *options])
    assert done.exit_code == code, done.output
    line = "mlp was not exported to onnx: ONNX has no operation for Erfinv [x]"
    assert done.output.splitlines().count(line) == (refused is not None)
    assert "saved_model" not in done.output
    assert "report: runs/quick/latest/report.html" in done.output, "results are published all the same"
