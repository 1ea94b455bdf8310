"""Start a fresh process that has only the runtime of an exported model, and let it run the model."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict

import numpy as np

from components.artifacts.export import SAVED_MODEL
from components.common.events import measured_alone
from components.common.forked import Forked, start_module

# The process prints this line before it measures its speed, and then waits for a line.
READY = "ready to measure"
PROGRAM = Path(__file__).with_name("run_exported.py")


@dataclass
class Fresh:
    """A process that can't import this project, and that waits for its task.

    Attributes:
        process: The process.
        output: The stream of its standard output and standard error.
    """

    process: "subprocess.Popen[bytes] | Forked"
    output: IO[str]


class Result(TypedDict, total=False):
    """The object that run_exported.py prints, which describes it."""

    milliseconds: dict[str, tuple[float, float]]
    predictions: list[list[float]] | list[dict[str, list[float]]]
    accepted: list[str]


@contextmanager
def start(runtime: str) -> Iterator[Fresh]:
    """Start a fresh process, and end it.

    Args:
        runtime: The runtime that it loads: "saved_model", "litert" or "onnx".
    """
    # PYTHONSAFEPATH, which keras-pipeline sets, would hide the program's folder. ORT_DISABLE_TELEMETRY keeps ONNX
    # Runtime from sending usage data to Microsoft.
    environment = {k: value for k, value in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    environment["ORT_DISABLE_TELEMETRY"] = "1"
    read, write = os.pipe()
    with open(read, encoding="utf-8", errors="replace") as output:  # noqa: PTH123 (a descriptor)
        try:
            if runtime == SAVED_MODEL:
                process = start_module([PROGRAM.stem, runtime], write, environment, str(PROGRAM.parent))
            else:
                command = [sys.executable, str(PROGRAM), runtime]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write, stderr=write, env=environment)
        finally:
            os.close(write)
        try:
            yield Fresh(process, output)
        finally:
            process.kill()
            process.wait()


def run_task(
    fresh: Fresh, model: Path, inputs: Path, batches: Sequence[int], **task: object
) -> tuple[np.ndarray, Result]:
    """Let a process compute the outputs of a model, and wait for its end.

    Args:
        fresh: The process that `start` started.
        model: The exported model.
        inputs: The `.npz` file of its inputs by name. The outputs are written beside it.
        batches: The sizes of the batches that the inputs are cut into.
        task: Further keys of the task, which run_exported.py describes.

    Returns:
        The outputs, and the object that the process prints.

    Raises:
        RuntimeError: The process failed. The message is the last line that it printed.
    """
    lines, outputs = [], inputs.with_name(f"{model.name}.npy")
    paths = {"model": str(model.absolute()), "inputs": str(inputs), "outputs": str(outputs)}
    _write_line(fresh, json.dumps({**paths, "batches": batches, "timed": [], **task}))
    for line in fresh.output:
        lines.append(line)
        if line.startswith(READY):
            with measured_alone():
                _write_line(fresh, "")
                lines += list(fresh.output)
    lines = [line.strip() for line in lines if line.strip()]
    if code := fresh.process.wait():
        raise RuntimeError([f"exit code {code}", *lines][-1])
    result: Result = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    return np.load(outputs, allow_pickle=False), result


def _write_line(fresh: Fresh, line: str) -> None:
    assert fresh.process.stdin  # noqa: S101 (for the type checker)
    with suppress(BrokenPipeError):  # the process has ended, and its last line gives the reason
        fresh.process.stdin.write(line.encode() + b"\n")
        fresh.process.stdin.flush()
