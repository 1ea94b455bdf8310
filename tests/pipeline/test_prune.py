"""Which checkpoints go with the runs that left them. A real training's are in tests/end_to_end/test_runs.py."""

import os
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.graph.code_version import code_files
from pipeline.runs.record import Record

CONFIG = {
    "seed": 1,
    "datasets": {"fashion": {"source": "fashion_mnist", "use": 0.1, "gate": None}},
    "models": {
        name: {"family": "mlp", "dataset": "fashion", "epochs": 3, "checkpoint_seconds": 60.0, "machine": None}
        for name in ("mlp", "tune-up")
    },
}
TRAINER, PAGE = "components/train/trainer.py", "components/report/page.py"
CODE = code_files("components.train.component", "components.tune.component", "components.families.mlp") | {PAGE: "x"}
DAY = datetime.now(UTC) - timedelta(days=9)
STOPPED, LAST = "20260101-000000", "20260102-000000"


def changed(path, value):
    """The config with a value at a key, or without the key for None."""
    config = deepcopy(CONFIG)
    *parts, key = path.split("/")
    place = config
    for part in parts:
        place = place[part]
    place[key] = value
    if value is None:
        del place[key]
    return config


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An experiment's folder with a stopped run of nine days ago, and one that failed a day later."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs/small" / STOPPED, DAY, "stopped")
    write(tmp_path / "runs/small" / LAST, DAY + timedelta(days=1), "failed")
    return tmp_path / "runs/small"


def write(run, began, state="failed", config=CONFIG, code=CODE):
    run.mkdir(parents=True, exist_ok=True)
    record = Record(state=state, started=began.isoformat(timespec="seconds"), command="x", config=config, code=code)
    (run / "run.json").write_text(record.model_dump_json())


def left(home, name="mlp-0123456789abcdef", written=DAY + timedelta(hours=1), work=".work"):
    """The checkpoints of a training that was stopped."""
    folder = home / work / "outputs/checkpoints" / name
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "checkpoint-3.index").write_bytes(b"x" * 100_000)
    for path in (folder / "checkpoint-3.index", folder / "tensorboard", folder):
        os.utime(path, (written.timestamp(), written.timestamp()))
    return folder


def prune(*arguments):
    done = CliRunner().invoke(app, ["runs", "prune", *arguments, "--yes"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("last", "stays"),
    [
        ({}, True),
        ({"config": changed("models/mlp/epochs", 4)}, False),
        ({"config": changed("models/mlp/epochs", None)}, False),
        ({"config": changed("models/mlp", None)}, False),
        ({"config": changed("seed", 2)}, False),
        ({"config": changed("datasets/fashion/use", 0.2)}, False),
        ({"config": changed("datasets/fashion/gate", "none")}, True),
        ({"config": changed("models/mlp/checkpoint_seconds", 5.0)}, True),
        ({"config": changed("models/tune-up/epochs", 4)}, True),
    ],
)
def test_checkpoints_stay_where_the_last_run_would_go_on_from_them(home, last, stays):
    folder = left(home)
    write(home / LAST, DAY + timedelta(days=1), **last)
    said = prune("--keep", "1")
    assert folder.exists() == stays
    assert not (home / STOPPED).exists()
    line = rf"small: unfinished training of mlp, last written {DAY:%Y-%m-%d} \d\d:\d\d UTC"
    if stays:
        assert re.search(rf"{line} stays: small/{LAST} would go on from it", said)
        assert "checkpoints of" not in said
    else:
        assert re.search(rf"{line}, 1\d\d\.\d kB\n", said)
        assert re.search(
            r"removed 1 run and 0 folders of tasks' outputs, checkpoints of 1 training, 1\d\d\.\d kB", said
        )


def test_the_next_run_began_in_the_same_minute(home):
    """The checkpoints are those of the run before, which had another config."""
    folder = left(home, written=DAY + timedelta(days=1, seconds=30))
    write(home / LAST, DAY + timedelta(days=1), config=changed("models/mlp/epochs", 9))
    write(home / "20260103-000000", DAY + timedelta(days=1, seconds=40))
    prune("--keep", "1")
    assert not folder.exists()


@pytest.mark.parametrize(("file", "stays"), [(TRAINER, False), (PAGE, True)])
def test_code_that_trains_has_to_be_the_same_now(home, file, stays):
    folder = left(home)
    write(home / STOPPED, DAY, code=CODE | {file: "as it was then"})
    prune("--keep", "1")
    assert folder.exists() == stays


def test_a_run_that_stays_keeps_its_checkpoints_and_those_that_it_would_use(home):
    own = left(home, "mlp-1111111111111111", DAY + timedelta(days=1, hours=1))
    earlier = left(home)
    write(home / "20260103-000000", DAY + timedelta(days=2), config=changed("models/mlp", None))
    prune("--keep", "2")
    assert own.exists()
    assert earlier.exists()
    prune("--keep", "1")
    assert not own.exists()
    assert not earlier.exists()


def test_all_runs_go_and_the_next_one_can_go_on(home):
    folder = left(home)
    assert "stays" in prune("--keep", "0")
    assert folder.exists()
    assert not list(home.glob("2*"))


def test_those_of_a_run_without_a_record_go(home):
    """An earlier version wrote it, so its code isn't that of now."""
    (home / STOPPED / "run.json").unlink()
    (home / STOPPED / "logs").mkdir()
    folder = left(home, "tune-mlp-0123456789abcdef")
    assert "unfinished search of mlp" in prune("--older", "9d", "small")
    assert not folder.exists()


def test_those_that_are_older_than_every_run_go_alone(home):
    """Their run was removed by hand, or by an earlier version."""
    folder = left(home, written=DAY - timedelta(days=1))
    assert prune("--older", "4w") == "nothing to remove\n"
    assert folder.exists()
    assert "removed 0 runs and 0 folders of tasks' outputs, checkpoints of 1 training, " in prune("--keep", "2")
    assert not folder.exists()


def test_a_search_goes_on_where_another_number_of_trials_is_asked_for(home):
    tuned = changed("models/mlp/tune", {"trials": 3})
    write(home / STOPPED, DAY, config=tuned)
    write(home / LAST, DAY + timedelta(days=1), config=changed("models/mlp/tune", {"trials": 9}))
    search, training = left(home, "tune-mlp-0123456789abcdef"), left(home)
    prune("--keep", "0")
    assert search.exists()
    assert not training.exists()


def test_a_model_may_be_called_like_a_search(home):
    folder = left(home, "tune-up-0123456789abcdef")
    assert "unfinished training of tune-up" in prune("--keep", "1")
    assert folder.exists()


def test_a_folder_in_both_places_goes_from_both(home):
    (home / ".removed-0-mlp-0123456789abcdef").mkdir()
    folders = [left(home, work=work) for work in (".work", ".work-containers")]
    write(home / LAST, DAY + timedelta(days=1), config=changed("seed", 2))
    prune("--keep", "1")
    assert [folder.exists() for folder in folders] == [False, False]
    assert not list(home.glob(".removed*"))
