"""What a run's folder gets from the outputs of its tasks."""

import pytest

from components.artifacts.export import Format
from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.report.run_section import END, START, TaskRun
from pipeline.runs.publish import publish


@pytest.fixture
def outputs(tmp_path):
    """The folders of tasks that trained, measured and exported two models, and compared them with one that failed."""
    inputs, entries = {}, [ModelEntry(model="lost", family="mlp", dataset="fashion", reasons=["train-lost failed"])]
    for rank, model in enumerate(("a", "b"), 1):
        folders = {kind: tmp_path / "outputs" / f"{kind}-{model}" for kind in ("model", "evaluation", "export")}
        (folders["model"] / "tensorboard").mkdir(parents=True)
        (folders["model"] / "model.json").write_text(model)
        folders["evaluation"].mkdir()
        (folders["export"] / "saved_model").mkdir(parents=True)
        (folders["export"] / "model.keras").write_text(model)
        inputs |= {f"{kind}_{model}": folder for kind, folder in folders.items()}
        formats = {"keras": Format(path="model.keras"), "saved_model": Format(path="saved_model"), "onnx": Format()}
        entries.append(ModelEntry(model=model, family="mlp", dataset="fashion", rank=rank, formats=formats))
    board = Leaderboard(
        experiment="x", run="task", pipeline_sha256="", code_version="", created="", datasets={}, models=entries
    )
    (tmp_path / "board").mkdir()
    board.save(tmp_path / "board")
    (tmp_path / "page.html").write_text(f"<p>{START}{END}</p>")
    (tmp_path / "pipeline.yaml").write_text("pipeline")
    return inputs


def test_each_format_lies_where_the_leaderboard_says(outputs, tmp_path):
    run = tmp_path / "runs" / "x" / "20261126-120000"
    run.mkdir(parents=True)
    board, page, pipeline = tmp_path / "board", tmp_path / "page.html", tmp_path / "pipeline.yaml"
    publish(outputs, board, page, None, run, pipeline, [TaskRun(name="compare", needs=[])], False)
    published = Leaderboard.load(tmp_path / "runs" / "x" / "latest")
    assert published.run == run.name
    assert [entry.formats for entry in published.models if entry.rank is None] == [{}]
    for entry in published.models[1:]:
        assert (run / entry.formats["keras"].path).read_text() == entry.model
        assert (run / entry.formats["saved_model"].path).is_dir()
        assert entry.formats["onnx"].path is None
