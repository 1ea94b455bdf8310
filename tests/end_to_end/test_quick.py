"""The shipped quick experiment, as a user runs it."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_quick_trains_all_seven_families(project):
    code, output = project.run("run", "configs/quick.yaml")
    assert code == 0, output
    result = json.loads((project.folder / "runs/quick/latest/leaderboard.json").read_text())
    assert {m["family"] for m in result["models"]} == {
        "mlp", "cnn", "bidirectional_lstm", "lstm", "stacked_lstm", "cnn_lstm", "encoder_decoder_lstm",
    }  # fmt: skip
    assert all(m["rank"] for m in result["models"])
    assert len(output.splitlines()) <= 60
    page = (project.folder / "runs/quick/latest/report.html").read_text()
    assert len(page) < 5_000_000
    assert page.count('<article id="model-') == 7
