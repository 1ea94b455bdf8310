"""Two processes that meet at a folder of checkpoints in Cloud Storage.

The judges are Google's client of Cloud Storage and, in the trainings, TensorFlow's own, with the address and the
certificate's name that it knows. Both talk to tests/cloud, which does what a generation in a request asks for."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from trainings import assert_same, result

from components.common.errors import InputError
from components.vertex import lease
from components.vertex.checkpoints import hold_checkpoints
from components.vertex.client import credentials

FOLDER = "gs://bucket/runs/1/checkpoints/mlp-1"
WRITES = "/gcs/bucket/runs/1/families-1/train-mlp_-2/model"
UPLOAD = "POST /upload/storage/v1/b/bucket/o"


@pytest.fixture
def short(monkeypatch):
    """A lease of two seconds."""
    monkeypatch.setattr(lease, "SECONDS", 2.0)


def owner():
    """The lease's object, as another process gets it."""
    from google.cloud import storage

    bucket = storage.Client(project="none", credentials=credentials()).bucket("bucket")
    return bucket.blob(f"{FOLDER.removeprefix('gs://bucket/')}.owner")


def holder():
    """The task that the lease's object names."""
    blob = owner()
    if not blob.exists():
        return None
    blob.reload()
    return blob.metadata["task"]


def written(cloud, times):
    """Wait until the lease was written so often."""
    until = time.monotonic() + 60
    while len(cloud.requests(UPLOAD)) < times:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_it_is_held_and_given_back(cloud, short):
    with lease.hold_lease(FOLDER, WRITES) as check:
        assert holder() == "families-1/train-mlp_-2"
        written(cloud, 3)
        check()
    assert holder() is None
    writes = cloud.requests(UPLOAD) + [r for r in cloud.requests() if r["method"].startswith("DELETE")]
    assert all("ifGenerationMatch" in request["query"] for request in writes)
    assert writes[0]["query"]["ifGenerationMatch"] == "0"


def test_a_second_one_waits_and_says_for_whom(cloud, short, capsys):
    order = []

    def second():
        with lease.hold_lease(FOLDER, "/gcs/bucket/runs/1/families-2/train-mlp_-3/model"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with lease.hold_lease(FOLDER, WRITES) as check:
        waiting.start()
        time.sleep(2 * lease.SECONDS)
        check()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"waiting for {FOLDER}: it is held by families-1/train-mlp_-2 on ")


def test_one_that_is_never_renewed_is_taken_over(cloud, short, capsys):
    cloud.put(f"{FOLDER}.owner")
    with lease.hold_lease(FOLDER, WRITES):
        assert holder() == "families-1/train-mlp_-2"
    assert capsys.readouterr().out.endswith("hasn't renewed its lease for 2 s\n")


def test_it_is_taken_over_once_it_wasnt_renewed_for_so_long_and_not_before(cloud, monkeypatch):
    """By a clock of the test's own, on which each pause of the one that waits passes at once."""
    passed = [1000.0]

    def sleep(seconds):
        passed[0] += seconds

    clock = SimpleNamespace(sleep=sleep, clock_gettime=lambda _: passed[0], CLOCK_BOOTTIME=0)
    cloud.put(f"{FOLDER}.owner")
    monkeypatch.setattr(lease, "time", clock)
    with lease.hold_lease(FOLDER, WRITES):
        assert lease.SECONDS < passed[0] - 1000 < 1.1 * lease.SECONDS


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_loses_no_lease(before, committed, cloud, short, capsys):
    """At the first write, and at a renewal."""
    cloud.control(fault={"method": UPLOAD, "http": 503, "skip": before, "committed": committed})
    with lease.hold_lease(FOLDER, WRITES) as check:
        written(cloud, before + 4)
        check()
        assert holder()
    assert holder() is None
    assert capsys.readouterr().out == ""


def test_one_that_was_taken_over_may_not_write(cloud, short):
    with lease.hold_lease(FOLDER, WRITES) as check:
        other = owner()
        other.metadata = {"token": "another's"}
        other.upload_from_string(b"")
        time.sleep(lease.SECONDS)
        with pytest.raises(RuntimeError, match=r"taken over by another process after this one had stood still .*\Z"):
            check()
    generation = other.generation
    other.reload()
    assert other.generation == generation


def test_a_missing_permission_is_one_line(cloud, short):
    cloud.control(permissions={"deny": ["storage.objects.create"]})
    with (
        pytest.raises(InputError, match=rf"the lease of {FOLDER}: .*storage.objects.create.*\Z"),
        lease.hold_lease(FOLDER, WRITES),
    ):
        pass


def test_a_folder_of_a_disk_is_locked_there(cloud, tmp_path):
    with hold_checkpoints(str(tmp_path / "mlp-1"), WRITES) as check:
        check()
        assert [path.name for path in tmp_path.iterdir()] == ["mlp-1.lock"]
    assert not list(tmp_path.iterdir())
    assert not cloud.requests()


# Trains as a job does, with the bucket where it is here, and stands still at a step until a line comes.
TRAINING = """
import sys
from pathlib import Path
from components.common import files
from components.vertex import lease
from components.vertex.checkpoints import hold_checkpoints
from components.train import trainer
mount, tests, folder, datasets, run, step = sys.argv[1:]
sys.path.insert(0, tests)
from trainings import train
files.MOUNT, lease.SECONDS, trainer.STRETCH_SECONDS = Path(mount), 6.0, 0.0
on_step = trainer.Trainer.on_step
def looking(self):
    if self.state.done == int(step):
        print("at the step", flush=True)
        sys.stdin.readline()
    on_step(self)
trainer.Trainer.on_step = looking
train("mlp", Path(folder), Path(datasets), run=run)
"""


class Training:
    def __init__(self, cloud, datasets, run, step=0):
        arguments = [cloud.folder / "buckets", Path(__file__).parent, root(cloud), datasets, run, step]
        self.run, self.said = run, ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, *map(str, arguments)],
            env={**os.environ, **cloud.environment(), "GOOGLE_AUTH_TOKEN_FOR_TESTING": "any"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text):
        while text not in self.said:
            line = self.process.stdout.readline()
            assert line, self.said[-3000:]
            self.said += line

    def end(self, line=""):
        self.said += self.process.communicate(line, timeout=300)[0]
        return self.process.returncode


def root(cloud):
    return cloud.folder / "buckets" / "bucket" / "runs" / "1"


@pytest.fixture
def start(cloud, datasets):
    """Start a training of a run; all end with the test."""
    cloud.control(anonymous=True)  # TensorFlow's token for tests is none of the server's
    started = []

    def starting(*arguments):
        started.append(Training(cloud, datasets, *arguments))
        return started[-1]

    yield starting
    for training in started:
        training.process.kill()


def assert_all_right(cloud, undisturbed, *trainings):
    for training in trainings:
        assert training.end("\n") == 0, training.said[-3000:]
        assert_same(result(root(cloud), training.run), undisturbed["mlp"])
    assert not list((root(cloud) / "checkpoints").rglob("*"))


@pytest.mark.slow
def test_two_that_meet_end_both_right(cloud, start, undisturbed):
    first = start("a", 15)
    first.until("at the step")
    second = start("b")
    second.until("waiting for gs://bucket/runs/1/checkpoints/mlp-")
    assert "it is held by a/train on " in second.said
    assert_all_right(cloud, undisturbed, first, second)
    assert "going on" not in second.said


@pytest.mark.slow
def test_the_checkpoint_of_one_that_was_killed_is_taken_over(cloud, start, undisturbed):
    first = start("a", 15)
    first.until("at the step")
    first.process.kill()
    second = start("b")
    assert_all_right(cloud, undisturbed, second)
    assert "taken over: a/train on " in second.said
    assert "going on from the checkpoint after epoch 1\n" in second.said


@pytest.mark.slow
def test_one_that_stood_still_writes_nothing_any_more(cloud, start, undisturbed):
    first = start("a", 15)
    first.until("at the step")
    first.process.send_signal(signal.SIGSTOP)
    second = start("b", 25)
    second.until("at the step")
    before = sorted(root(cloud).rglob("checkpoint-*"))
    assert before
    first.process.send_signal(signal.SIGCONT)
    assert first.end("\n") == 1
    assert "was taken over by another process" in first.said.splitlines()[-1]
    assert sorted(root(cloud).rglob("checkpoint-*")) == before
    assert not Path(root(cloud), "a").exists()
    assert_all_right(cloud, undisturbed, second)


@pytest.mark.slow
def test_after_sigterm_nobody_waits(cloud, start, undisturbed):
    first = start("a", 15)
    first.until("at the step")
    first.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert first.end("\n") == 143
    second = start("b")
    assert_all_right(cloud, undisturbed, second)
    assert "going on from the checkpoint in epoch 2, step 4 of 11\n" in second.said
    assert "waiting" not in second.said
