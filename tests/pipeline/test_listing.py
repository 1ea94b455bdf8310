"""The list of runs: what changed, and the room on the disk."""

import os
import subprocess

import pytest
from made_runs import make_run
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.runs.diff import changes
from pipeline.runs.history import Run, find, runs_of
from pipeline.runs.listing import lines
from pipeline.runs.record import Record


def run_with(tmp_path, config, **code):
    record = Record(started="", command="", config=config, code=code)
    return Run(tmp_path / "small" / "20260101-000000", "finished", record, None)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"seed": 1}, {"seed": 2}, ["seed: 1 → 2"]),
        ({"seed": 1}, {"seed": True}, ["seed: 1 → true"]),
        ({"rate": 1}, {"rate": 1.0}, ["rate: 1 → 1.0"]),
        ({"name": "a"}, {"name": "b"}, ["name: a → b"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"new": None}, {}, []),
        ({}, {"new": 1}, ["new: null → 1"]),
        ({}, {"static": [], "flip": False, "gate": {}}, ["gate: null → {}"]),
        ({"models": {"a": {"x": {"y": 1, "z": [1, 2]}}}}, {"models": {"a": {"x": {"y": 1, "z": [2]}}}},
         ["models.a.x.z: [1, 2] → [2]"]),
        ({"models": {"a": {"x": None}}}, {"models": {"a": {"x": {"y": 1}}}}, ["models.a.x.y: null → 1"]),
        ({"models": {"a": {"x": {}}}}, {"models": {"a": {"x": {"y": 1}}}}, ["models.a.x.y: null → 1"]),
        ({"models": {"a": {"x": 1}}, "datasets": {"d": {"s": 1}}}, {"models": {"b": {"x": 1}}, "datasets": {}},
         ["models.a: removed", "models.b: added", "datasets.d: removed"]),
        ({"models": ["a"]}, {"models": {"a": {"x": 1}}}, ['models: ["a"] → null', "models.a.x: null → 1"]),
    ],
)  # fmt: skip
def test_what_changed_in_a_config(tmp_path, before, now, said):
    assert changes(run_with(tmp_path, before), run_with(tmp_path, now)).lines() == said


def test_code_that_only_one_of_them_ran_is_no_change(tmp_path):
    found = changes(run_with(tmp_path, {}, a="1", b="1"), run_with(tmp_path, {}, a="2", c="1"))
    assert found.code == ["a"]
    assert found.words() == "code of 1 file"


def test_the_room_on_the_disk_is_that_of_du(tmp_path):
    """du counts a file that has several names once, too."""
    for i in range(1, 4):
        make_run(tmp_path, f"2026010{i}-080000", right=100 + i)
    home = tmp_path / "small"
    for model in ("a", "b"):
        os.link(home / "20260101-080000/report.html", home / "20260102-080000" / model)
    (home / "20260103-080000" / "link").symlink_to("/usr")
    folders = sorted(home.glob("2*"))
    du = subprocess.run(["du", "--block-size=1", "-s", *folders], capture_output=True, text=True, check=True).stdout
    # du counts the run's own folder, too.
    whole = [int(line.split()[0]) for line in du.splitlines()]
    expected = [size - folder.stat().st_blocks * 512 for size, folder in zip(whole, folders, strict=True)]
    assert [line.bytes for line in lines(runs_of(tmp_path, "small"))] == expected


def test_the_name_of_an_experiment_is_its_latest_run_or_its_last_one_where_none_was_published(tmp_path):
    make_run(tmp_path, "20260101-000000")
    make_run(tmp_path, "20260102-000000", state="stopped")
    assert find(tmp_path, "small").name == "20260101-000000"
    (tmp_path / "small" / "latest").unlink()
    assert find(tmp_path, "small").name == "20260102-000000"


def test_show_says_that_runs_began_after_the_last_finished_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for day, state in enumerate(("finished", "failed", "stopped"), 1):
        make_run(tmp_path / "runs", f"2026010{day}-000000", state=state)
    said = {
        name: CliRunner().invoke(app, ["runs", "show", name], catch_exceptions=False).output
        for name in ("small", "small/latest", "small/20260101-000000")
    }
    line = "2 newer runs, the last small/20260103-000000: stopped\n"
    assert [line in text for text in said.values()] == [True, True, False]
    assert all("20260101-000000: finished" in text for text in said.values())
