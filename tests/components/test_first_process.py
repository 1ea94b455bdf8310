"""A task's compiled command as the first process of a container, which gets SIGTERM when the task is cancelled.

The kernel is the judge: `unshare` makes a namespace of processes in which the command is number 1."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compiled import command, lasting_training, wait

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("unshare"), reason="a namespace of processes needs Linux and root"
)


def cancelled(arguments, folder, running):
    """Start a command as process 1, send it SIGTERM once `running` is true of its output; its exit code and output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1"},
        )
        try:
            until = time.monotonic() + 120
            while not running(Path(output.name).read_text(encoding="utf-8")):
                assert process.poll() is None and time.monotonic() < until, Path(output.name).read_text(
                    encoding="utf-8"
                )
                time.sleep(0.1)
            first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()[0])
            os.kill(first, signal.SIGTERM)
            code = process.wait(30)
        finally:
            process.kill()
    return code, Path(output.name).read_text(encoding="utf-8")


def test_a_step_ends(tmp_path):
    started = tmp_path / "started"
    given = {"parameterValues": {"path": str(started)}}
    code, output = cancelled(command(wait, given, tmp_path), tmp_path, lambda _: started.exists())
    assert code == 143, output


def test_a_training_saves_a_checkpoint_and_ends(datasets, tmp_path):
    arguments = lasting_training(datasets / "fashion", tmp_path)
    code, output = cancelled(arguments, tmp_path, lambda said: "epoch 2/" in said)
    assert code == 143, output
    assert "stopped by SIGTERM after" in output
    assert list(tmp_path.rglob("*.sha256")), "no checkpoint was saved"
    assert not (tmp_path / "run" / "train-mlp" / "model").exists()
