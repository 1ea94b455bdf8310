"""The registry in a bucket, beside its rules, which test_register_local.py has: two at once, faults, and who reads it.

The judge is Google's client of Cloud Storage, against a server that does what a generation in a request asks for."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from registering import Run

from components.artifacts.registration import KEY, check_registration, read_registration
from components.common.errors import InputError
from components.register import bucket
from components.serve.server import find_folder
from components.vertex import cloud_storage, lease

ROOT = Path(__file__).parent.parent.parent
UPLOAD = "POST /upload/storage/v1/b/bucket/o"
REGISTER = """
import json, sys
from components.register.register import register
print("ready", flush=True)
sys.stdin.readline()
register(**json.loads(sys.argv[1]))
"""


@pytest.fixture
def run(cloud, results, tmp_path):
    """Registers models of chosen mistakes in a bucket."""
    made = Run(results, tmp_path)
    made.into(cloud)
    return made


def started(run, *winner):
    """A process that registers when it is told so."""
    command = [sys.executable, "-c", REGISTER, json.dumps(run.prepare(*winner))]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process):
    """Tell it so."""
    process.stdin.write("\n")
    process.stdin.flush()


def wrong(version):
    """The number of test examples that a version has wrong."""
    return int(np.load(version / "test_errors.npy").sum())


@pytest.mark.slow
def test_two_registers_at_once_leave_both_and_the_better_one_is_current(run, cloud):
    good, bad = (started(run, name, range(mistakes)) for name, mistakes in (("good", 10), ("bad", 60)))
    before = len(cloud.requests(UPLOAD))
    begin(good)
    while len(cloud.requests(UPLOAD)) == before:
        assert good.poll() is None
    # It stands still with its lease, so that the other one meets it on a machine of any speed.
    good.send_signal(signal.SIGSTOP)
    begin(bad)
    assert "waiting for gs://bucket/models/test/fashion" in bad.stdout.readline()
    good.send_signal(signal.SIGCONT)
    said = [process.communicate(timeout=300)[0] for process in (good, bad)]
    assert (good.returncode, bad.returncode) == (0, 0), said
    assert not any("waiting for" in text for text in said)
    assert wrong(run.shelf / run.current()) == 10
    for version in run.versions():
        check_registration(run.shelf / version, run.registry)
    assert not list(run.registry.rglob("*.owner"))


def test_two_data_sets_that_make_the_key_at_once_sign_with_one(run, monkeypatch):
    own_key = bucket.own_key

    def late(root):
        monkeypatch.setattr(bucket, "own_key", own_key)
        run("other", range(20))
        return own_key(root)

    monkeypatch.setattr(bucket, "own_key", late)
    monkeypatch.setattr(bucket, "hold_lease", lambda folder, output: contextlib.nullcontext(lambda: None))
    run("first", range(20))
    for version in run.versions():
        check_registration(run.shelf / version, run.registry)


@pytest.mark.slow
@pytest.mark.parametrize("from_the_end", [1, 2, 3])
@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_changes_nothing(run, cloud, from_the_end, committed):
    """Of `current`, the registration and the last other file."""
    run("bad", range(60))
    uploads = len(cloud.requests(UPLOAD)) - 1  # the second one makes no key
    cloud.control(fault={"method": UPLOAD, "http": 503, "skip": uploads - from_the_end, "committed": committed})
    found = run("good", range(10))
    assert found.sentence.startswith("fashion: good is registered as version 2: ")
    assert len(cloud.requests(UPLOAD)) > 2 * uploads + 1, "nothing was sent again"
    assert (run.current(), run.versions()) == ("2", ["1", "2"])
    check_registration(run.shelf / "2", run.registry)


@pytest.mark.slow
@pytest.mark.parametrize(("from_the_end", "version"), [(1, "2"), (2, "3"), (6, "3")])
def test_a_writer_that_is_killed_leaves_a_whole_registry(run, cloud, monkeypatch, capsys, from_the_end, version):
    """Before `current`, before the registration, and between two files."""
    run("bad", range(60))
    uploads = len(cloud.requests(UPLOAD)) - 1
    process = started(run, "good", range(10))
    cloud.control(fault={"method": UPLOAD, "seconds": 30, "skip": uploads - from_the_end})
    before = len(cloud.requests(UPLOAD))
    begin(process)
    while len(cloud.requests(UPLOAD)) < before + uploads - from_the_end + 1:
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert run.current() == "1"
    check_registration(run.shelf / "1", run.registry)
    monkeypatch.setattr(lease, "SECONDS", 2.0)
    found = run("good", range(10))
    assert "taken over: " in capsys.readouterr().out
    assert (found.action, found.version, run.current()) == ("registered", version, version)
    check_registration(run.shelf / version, run.registry)


def test_what_somebody_promoted_meanwhile_stays(run, monkeypatch):
    run("bad", range(60))
    register_locally = bucket.register_locally

    def meanwhile(*arguments):
        result = register_locally(*arguments)
        run.promote("1")
        return result

    monkeypatch.setattr(bucket, "register_locally", meanwhile)
    with pytest.raises(InputError, match=r"gs://bucket/models/test/fashion/current: somebody else changed it"):
        run("good", range(10))
    assert run.current() == "1\n"


def test_the_server_and_kserve_find_what_is_registered(run, cloud, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("bad", range(60))
    run("good", range(10))

    def served(address):
        cloud_storage.local_path.cache_clear()
        return read_registration(find_folder(address)).model

    assert served(f"{run.place}/test/fashion/current") == "good"
    manifest = yaml.safe_load((run.shelf / "2" / "inference_service.yaml").read_text())
    storage = manifest["spec"]["predictor"]["containers"][0]["env"][0]
    assert storage == {"name": "STORAGE_URI", "value": f"{run.place}/test/fashion/2"}
    assert served(storage["value"]) == "good"
    run.promote("1")
    assert served(f"{run.place}/test/fashion/current/") == "bad"
    (run.shelf / "1" / "golden.json").write_text("{}")
    with pytest.raises(InputError, match=r"golden\.json: changed after the model was registered"):
        served(f"{run.place}/test/fashion/current")
    run.promote("current")
    with pytest.raises(InputError, match=r"current: expected the number of a version in it"):
        served(f"{run.place}/test/fashion/current")


@pytest.mark.parametrize("permission", ["create", "get", "list"])
def test_a_missing_permission_is_one_line(run, cloud, permission):
    run("bad", range(60))
    cloud.control(permissions={"deny": [f"storage.objects.{permission}"]})
    with pytest.raises(InputError, match=rf"gs://bucket/models/test/fashion: .*storage.objects.{permission}.*\Z"):
        run("good", range(10))
    assert (run.current(), run.versions()) == ("1", ["1"])


def test_a_copied_folder_in_the_place_of_current_is_one_line(run, cloud):
    run("first", range(20))
    (run.shelf / "current").unlink()
    cloud.put(f"{run.place}/test/fashion/current/golden.json", "{}")
    with pytest.raises(InputError, match=r"\Ags://bucket/models/test/fashion/current/golden.json: no name of the"):
        run("second", range(2))


def test_a_key_that_is_none_is_one_line(run):
    run("first", range(20))
    (run.registry / KEY).write_bytes(b"x")
    with pytest.raises(InputError, match=r"\Ags://bucket/models/\.key: 1 bytes, expected the 32 of a key"):
        run("second", range(2))
