"""The shipped quick experiment, as a user runs it, without containers and in them."""

import json

import pytest

pytestmark = pytest.mark.slow


def comparable(value):
    """A leaderboard without what no two runs share: its name and time, how long things took.

    A SavedModel's size differs by some bytes too: it holds names of source files.
    """
    if isinstance(value, list):
        return [comparable(item) for item in value]
    if not isinstance(value, dict):
        return value
    runs_own = ("run", "created", "pipeline_sha256", "train_seconds", "examples_per_second", "bytes")
    return {k: comparable(v) for k, v in value.items() if k not in runs_own and not k.endswith("_ms")}


def test_quick_trains_all_seven_families(project):
    code, output = project.run_anew("run", "configs/quick.yaml")
    assert code == 0, output
    result = json.loads((project.folder / "runs/quick/latest/leaderboard.json").read_text())
    assert {m["family"] for m in result["models"]} == {
        "mlp", "cnn", "bidirectional_lstm", "lstm", "stacked_lstm", "cnn_lstm", "encoder_decoder_lstm",
    }  # fmt: skip
    assert all(m["rank"] for m in result["models"])
    assert len(output.splitlines()) <= 64
    page = (project.folder / "runs/quick/latest/report.html").read_text()
    assert len(page) < 5_000_000
    assert page.count('<article id="model-') == 7


def test_the_claims_of_quick_hold(project):
    code, output = project.run("verify", "configs/quick.yaml")
    assert code == 0, output
    assert "done" not in project.states(output).values()
    assert output.count(" holds") == 7


def test_the_claim_of_the_seminars_mlp_holds(project):
    """Its other models train for an hour."""
    code, output = project.run("verify", "configs/seminar.yaml", "--model", "mlp")
    assert code == 0, output
    assert "1 of 1 claims hold, seed 7" in output


def test_in_containers_every_number_is_the_same_to_the_bit(project, image):
    """The image has the packages of this machine's lock file, so nothing may differ.

    Three models have layers of all kinds: convolutions, LSTMs in both directions, an encoder and a decoder.
    """
    latest = project.folder / "runs/quick/latest"
    models = ("cnn", "bidirectional_lstm", "encoder_decoder_lstm")
    three = ["run", "configs/quick.yaml", *(f"--model={model}" for model in models)]
    code, output = project.run(*three)
    assert code == 0, output
    before = latest.resolve()
    project.environment["IMAGE"] = image
    code, output = project.run_anew(*three, "--containers")
    assert code == 0, output
    assert latest.resolve() != before
    here, there = (json.loads((run / "leaderboard.json").read_text()) for run in (before, latest))
    assert comparable(here) == comparable(there)
    assert {entry["model"] for entry in here["models"]} == set(models)
    for model in models:
        golden = f"models/{model}/golden.json"
        assert (before / golden).read_bytes() == (latest / golden).read_bytes()
    assert len(output.splitlines()) <= 64
