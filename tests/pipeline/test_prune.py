"""Which checkpoints go with the runs that left them. A real training's are in tests/end_to_end/test_runs.py."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.common.errors import InputError
from pipeline.__main__ import app
from pipeline.graph.code_version import code_files
from pipeline.runs.prune import freed, plan
from pipeline.runs.prune import prune as remove
from pipeline.runs.record import Record
from pipeline.runs.unfinished import unfinished

ROOT = Path(__file__).parent.parent.parent

CONFIG = {
    "seed": 1,
    "datasets": {"fashion": {"source": "fashion_mnist", "use": 0.1, "gate": None}},
    "models": {
        name: {
            **{"family": "mlp", "dataset": "fashion", "epochs": 3, "machine": None},
            **{"checkpoint_seconds": 60.0, "calibrate": True, "keep_checkpoints": 0},
        }
        for name in ("mlp", "tune-up")
    },
}
TRAINER, PAGE = "components/train/trainer.py", "components/report/page.py"
CODE = code_files("components.train.component", "components.tune.component", "components.families.mlp") | {PAGE: "x"}
# Noon, so that what is written an hour later is of the same day at any time.
DAY = datetime.now(UTC).replace(hour=12) - timedelta(days=9)
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
        ({"config": changed("datasets/fashion/baselines", ["mstl"])}, True),
        ({"config": changed("datasets/fashion/backtest", {"folds": 4})}, True),
        ({"config": changed("models/mlp/checkpoint_seconds", 5.0)}, True),
        ({"config": changed("models/mlp/calibrate", False)}, True),
        ({"config": changed("models/mlp/keep_checkpoints", 2)}, False),
        ({"config": changed("models/tune-up/epochs", 4)}, True),
    ],
)
def test_checkpoints_stay_where_the_last_run_would_go_on_from_them(home, last, stays):
    folder = left(home)
    write(home / LAST, DAY + timedelta(days=1), **last)
    said = prune("--keep", "1")
    assert folder.exists() == stays
    assert (home / STOPPED).exists() == stays, "else nothing tells whose they are"
    line = rf"small: unfinished training of mlp, last written {DAY:%Y-%m-%d} \d\d:\d\d UTC"
    if stays:
        assert re.search(rf"{line} stays: small/{LAST} would go on from it", said)
        assert f"small/{STOPPED} stays: it left checkpoints that stay\nnothing to remove" in said
        assert prune("--keep", "1") == said
        assert folder.exists()
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


def test_all_others_go_and_the_next_run_can_go_on(home):
    folder = left(home)
    for _ in range(2):
        assert "would go on from it" in prune("--keep", "0")
        assert folder.exists()
        assert [path.name for path in home.glob("2*")] == [STOPPED]


def test_a_run_that_stays_for_its_checkpoints_has_others_stay(home):
    """Of three models, the last run has one, the one before it two."""
    names = ("mlp", "cnn", "rnn")
    configs = [{**CONFIG, "models": {name: CONFIG["models"]["mlp"] for name in names[:count]}} for count in (3, 2, 1)]
    runs = [home / f"2026010{i}-000000" for i in range(1, 4)]
    for i, (run, config) in enumerate(zip(runs, configs, strict=True)):
        write(run, DAY + timedelta(days=i), config=config)
    of_the_first = [left(home, f"{name}-0123456789abcdef") for name in ("cnn", "rnn")]
    of_the_second = left(home, written=DAY + timedelta(days=1, hours=1))
    prune("--keep", "1")
    assert of_the_second.exists()
    assert all(folder.exists() for folder in of_the_first)
    assert all(run.exists() for run in runs)


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


@pytest.mark.parametrize(
    ("name", "key", "values", "stays"),
    [
        ("tune-mlp", "tune", [{"trials": 3}, {"trials": 9}], True),
        ("mlp", "tune", [{"trials": 3}, {"trials": 9}], False),
        ("tune-mlp", "keep_checkpoints", [0, 3], True),
    ],
)
def test_a_search_goes_on_where_another_number_of_trials_is_asked_for(home, name, key, values, stays):
    """Its trials keep no checkpoints, whatever the model's training keeps."""
    for run, value in zip((STOPPED, LAST), values, strict=True):
        write(home / run, DAY + timedelta(days=int(run == LAST)), config=changed(f"models/mlp/{key}", value))
    folder = left(home, f"{name}-0123456789abcdef")
    prune("--keep", "0")
    assert folder.exists() == stays


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


def test_an_experiment_under_way_is_left_alone(home):
    """Its training renames and removes checkpoints all the time."""
    other = home.parent / "other"
    write(other / STOPPED, DAY)
    write(other / LAST, DAY)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = prune("--keep", "1")
    assert said.startswith("small stays: a run is under way\n")
    assert (home / STOPPED).exists()
    assert [path.name for path in other.glob("2*")] == [LAST]


def test_a_lock_that_cannot_be_written_is_one_line(home):
    (home / ".lock").mkdir()
    with pytest.raises(InputError, match=r"^runs/small/\.lock: can't be written to: Is a directory$"):
        prune("--keep", "1")
    assert (home / STOPPED).exists()


def test_checkpoints_that_are_rotated_meanwhile(home):
    """As by a run that has begun since it was looked whether one is under way."""
    folder, ended = left(home), threading.Event()

    def rotate():
        while not ended.is_set():
            for i in range(50):
                (folder / "kept" / str(i)).mkdir(parents=True)
                (folder / f"checkpoint-{i}.index").touch()
            shutil.rmtree(folder / "kept")
            for path in folder.glob("*.index"):
                path.unlink()

    with ThreadPoolExecutor() as pool:
        rotating = pool.submit(rotate)
        try:
            for _ in range(100):
                (found,) = unfinished(home, [])
                assert freed([found.folder]) >= 0
        finally:
            ended.set()
    rotating.result()


@pytest.fixture
def asked(home):
    """Have something happen while the question waits at a real terminal, and say yes; the exit code, what is said."""

    def ask(meanwhile):
        mine, its = os.openpty()
        command = [sys.executable, "-m", "pipeline", "runs", "prune", "--keep", "1"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        options = {"cwd": home.parent.parent, "env": environment, "text": True}
        with subprocess.Popen(command, stdin=its, stdout=-1, stderr=subprocess.STDOUT, **options) as process:
            said = ""
            while not said.endswith("[y/N]: ") and (more := process.stdout.read(1)):
                said += more
            meanwhile()
            os.write(mine, b"y\n")
            said += process.stdout.read()
        os.close(mine)
        os.close(its)
        return process.returncode, said

    return ask


def test_a_run_starts_while_the_question_waits(home, asked):
    folder = left(home)
    write(home / LAST, DAY + timedelta(days=1), config=changed("seed", 2))
    with (home / ".lock").open("w") as lock:
        code, said = asked(lambda: fcntl.flock(lock, fcntl.LOCK_EX))
    assert code == 2
    assert "a run of this experiment is under way; try again" in said
    assert folder.exists()
    # It was stopped, and had gone on from what was to be removed.
    code, said = asked(lambda: write(home / "20260103-000000", DAY + timedelta(days=2)))
    assert code == 2
    assert said.endswith("error: runs prune: the runs have changed since; start it again\n")
    assert folder.exists()
    assert (home / STOPPED).exists()
    code, said = asked(lambda: None)
    assert (code, folder.exists(), (home / LAST).exists()) == (0, True, False)


def test_no_run_can_start_until_all_is_renamed(home):
    left(home)
    write(home / LAST, DAY + timedelta(days=1), config=changed("seed", 2))
    # One that was killed is no run that is under way, whoever has the lock.
    write(home / STOPPED, DAY, "running")
    tried = []

    def again(experiments):
        with (home / ".lock").open("a") as lock, pytest.raises(BlockingIOError) as refused:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tried.append(refused.value)
        return plan(home.parent, experiments, 1, datetime.now(UTC))

    planned = plan(home.parent, ["small"], 1, datetime.now(UTC))
    remove(planned, again)
    assert tried
    assert [path.name for path in home.glob("2*")] == [LAST]
    with (home / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
