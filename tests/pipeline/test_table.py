"""The leaderboard in the terminal."""

import io

import pytest
from rich.console import Console

from components.artifacts.leaderboard import DatasetEntry, Leaderboard, ModelEntry
from components.artifacts.registration import Registered, load_registered, write_registered
from pipeline.commands.leaderboard import show, show_registered


def shown(examples=100, color=False, width=130, more=None, **models):
    """What is printed for models with these entries' fields, with `more` metrics."""
    about = DatasetEntry(
        task="forecasting", source="csv", splits={"test": examples}, sha256="", unit="USD",
        baselines={"ridge": {"mae": 3.1, "rmse": 4.0, "mase": 0.5}}, beaten_by=["ridge"], best_baseline="ridge",
        few=examples < 30,
    )  # fmt: skip
    entries = [
        ModelEntry(
            model=name, family="lstm", dataset="sales", task="forecasting", rank=1, parameters=5, epochs=1,
            best_epoch=1, train_seconds=1, metrics={"mae": 3.4, "rmse": 4.1, "mase": 0.6, **(more or {})},
            intervals={"mae": [3.0, 3.8]}, **fields,
        )
        for name, fields in models.items()
    ]  # fmt: skip
    board = Leaderboard(
        experiment="x", run="x", pipeline_sha256="", code_version="", created="", datasets={"sales": about},
        models=entries,
    )  # fmt: skip
    out = io.StringIO()
    show(
        board,
        Console(
            file=out, width=width, highlight=False, force_terminal=color, color_system="standard" if color else None
        ),
    )
    return out.getvalue()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"passed": True, "gate": "none"}, "no gate"),
        ({"passed": True, "gate": "passed"}, "passed"),
        ({"gate": "refused", "reasons": ["passes: x", "fails: mae 3.4 is above ridge"]}, "refused"),
    ],
)
def test_no_gate_is_not_passed(fields, said):
    row = next(line for line in shown(lstm=fields).splitlines() if " lstm " in line)
    assert said in row
    assert ("passed" in row) == (said == "passed")


def test_in_80_columns_nothing_that_matters_is_cut():
    reasons = ["passes: x", "fails: mae 3.4000 USD is 10% above same_time_last_week (3.1)"]
    name = "a_model_whose_name_alone_is_wider_than_half_of_the_terminal"
    text = shown(width=80, encoder_decoder_lstm={"gate": "refused", "reasons": reasons})
    row = next(line for line in text.splitlines() if " encoder_decoder_lstm " in line)
    assert " ".join(row.split()) == "1 encoder_decoder_lstm 3.4000 4.1000 0.6000 3.0000 to 3.8000 refused"
    assert f"encoder_decoder_lstm: {reasons[1]}\n" in text
    long = shown(29, width=80, **{name: {"gate": "none"}})
    rows = [line for line in long.splitlines() if not line.startswith(f" {name}: ")]
    assert name in "".join(line[3:].split(" ")[1] for line in rows if line.startswith("  ") or line.startswith(" 1"))
    assert "…" not in text + long
    assert "parameters" in shown(encoder_decoder_lstm={"gate": "none"})


def test_in_40_columns_there_is_room_for_the_name():
    text = shown(width=40, stacked_lstm={"gate": "none"})
    row = next(line for line in text.splitlines() if " stacked_lstm " in line)
    assert row.split() == ["1", "stacked_lstm", "3.4000", "no", "gate"]


@pytest.mark.parametrize("width", [80, 110, 200])
def test_many_metrics_leave_room_for_names_and_the_first_metric(width):
    more = {"coverage": 0.8, "width": 1234567.25, "pinball": 1234567.125}
    text = shown(width=width, more=more, encoder_decoder_lstm={"gate": "none"})
    row = next(line for line in text.splitlines() if " encoder_decoder_lstm " in line).split()
    assert row[:3] == ["1", "encoder_decoder_lstm", "3.4000"]
    assert row[-2:] == ["no", "gate"]
    assert ("1234567.1250" in row) == (width == 200)


def test_a_baseline_that_beats_every_model_comes_first_and_in_red():
    text = shown(lstm={"passed": True, "gate": "passed"}, color=True)
    assert text.startswith("\x1b[1;31mridge beats every model of sales: mae 3.1000 against 3.4000 USD")


def test_a_model_that_passed_behind_a_baseline_says_both():
    """Ridge isn't of the gate that a config without `gate:` has; "passed" below "beats every model" contradicts it."""
    text = shown(lstm={"passed": True, "gate": "passed", "reasons": ["passes: mae 3.4000 USD is below last_value (4)"]})
    assert " lstm: passed, behind ridge; passes: mae 3.4000 USD is below last_value (4)\n" in text


def test_a_warning_stands_beside_every_figure_of_few_examples():
    passed = {"passed": True, "gate": "passed"}
    lines = shown(29, lstm=passed).splitlines()
    assert "29 test examples (fewer than 30: a figure with ? says little)" in lines[2]
    for line in (line for line in lines[3:] if ": " not in line):
        if "lstm" in line:
            assert all(part in line for part in ("3.4000?", "4.1000?", "0.6000?", "3.0000 to 3.8000?"))
        elif "ridge" in line:
            assert all(part in line for part in ("3.1000?", "4.0000?", "0.5000?"))
    assert "?" not in shown(30, lstm=passed)
    assert "1 test example (" in shown(1, lstm=passed)


def test_only_what_was_registered_is_said_to_be_with_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [
        Registered(
            dataset="a", action="registered", version="2", path=f"{tmp_path}/runs/registry/x/a/2", sentence="A."
        ),
        Registered(dataset="b", action="kept", version="1", path=f"{tmp_path}/runs/registry/x/b/1", sentence="B."),
        Registered(dataset="c", action="refused", sentence="C."),
        Registered(dataset="d", action="none", sentence="D."),
    ]
    write_registered(tmp_path, found)
    out = io.StringIO()
    show_registered(load_registered(tmp_path), Console(file=out, width=200))
    assert out.getvalue().splitlines() == ["A.", "registry: runs/registry/x/a/2/", "B.", "C.", "D."]


def test_nothing_is_said_where_register_did_not_run(tmp_path):
    assert load_registered(tmp_path) == []
