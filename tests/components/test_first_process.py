"""A task's compiled command as the first process of a container, which gets SIGTERM when the task is cancelled.

The kernel is the judge: `unshare` makes a namespace of processes in which the command is number 1."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from kfp import compiler

from components.base import component
from components.train.component import train

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("unshare"), reason="a namespace of processes needs Linux and root"
)


@component
def wait(path: str) -> None:
    import time
    from pathlib import Path

    import components

    Path(path).write_text(components.__doc__ or "", encoding="utf-8")
    time.sleep(300)


def command(made, executor_input, folder):
    """The command of a compiled component, as the file that every runner runs has it."""
    compiler.Compiler().compile(made, str(folder / "component.yaml"))
    spec = yaml.safe_load((folder / "component.yaml").read_text(encoding="utf-8"))
    (executor,) = spec["deploymentSpec"]["executors"].values()
    container = executor["container"]
    outputs = {"outputFile": str(folder / "outputs.json"), **executor_input.pop("outputs", {})}
    given = json.dumps({"inputs": executor_input, "outputs": outputs})
    return [*container["command"], *(part.replace("{{$}}", given) for part in container["args"])]


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
    spec = {
        "family": "mlp",
        "dataset": "fashion",
        "epochs": 10000,
        "checkpoint_seconds": 1000.0,
        "hyperparameters": {"units": [16]},
    }
    model = tmp_path / "run" / "train-mlp" / "model"
    given = {
        "parameterValues": {"name": "mlp", "spec": json.dumps(spec), "seed": 1, "code_version": "x"},
        "artifacts": {"dataset": {"artifacts": [{"name": "dataset", "uri": str(datasets / "fashion")}]}},
        "outputs": {
            "artifacts": {
                "model": {"artifacts": [{"name": "model", "uri": str(model), "type": {"schemaTitle": "system.Model"}}]}
            }
        },
    }
    code, output = cancelled(command(train, given, tmp_path), tmp_path, lambda said: "epoch 2/" in said)
    assert code == 143, output
    assert "stopped by SIGTERM after" in output
    assert list(tmp_path.rglob("*.sha256")), "no checkpoint was saved"
    assert not model.exists()
