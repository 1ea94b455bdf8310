"""The compiled command of a task, and a training that lasts."""

import json

import yaml
from kfp import compiler

from components.common.component import component
from components.train.component import train


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


def lasting_training(dataset, folder):
    """The command of a training that saves no checkpoint by itself before its first epoch ends, and never ends."""
    spec = {
        "family": "mlp",
        "dataset": "fashion",
        "epochs": 10000,
        "checkpoint_seconds": 1000.0,
        "hyperparameters": {"units": [16]},
    }
    model = {"name": "model", "uri": f"{folder}/run/train-mlp/model", "type": {"schemaTitle": "system.Model"}}
    given = {
        "parameterValues": {"name": "mlp", "spec": json.dumps(spec), "seed": 1, "code_version": "x"}
        | {"checkpoints": f"{folder}/checkpoints"},
        "artifacts": {"dataset": {"artifacts": [{"name": "dataset", "uri": str(dataset)}]}},
        "outputs": {"artifacts": {"model": {"artifacts": [model]}}},
    }
    return command(train, given, folder)
