"""Start a fresh process with an exported model's runtime, and let it answer inputs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from components.artifacts.export import SAVED_MODEL
from components.common.events import alone
from components.common.forked import Forked, start_module

# The process prints it before it measures its speed, and waits for a line.
READY = "ready to measure"
PROGRAM = Path(__file__).with_name("fresh_process.py")


@dataclass
class Fresh:
    """A process that can't import this project, and waits for what to do.

    Attributes:
        process: The process.
        output: What it prints.
    """

    process: "subprocess.Popen[bytes] | Forked"
    output: IO[str]


@contextmanager
def start(runtime: str) -> Iterator[Fresh]:
    """Start a fresh process, and end it.

    Args:
        runtime: "saved_model", "litert" or "onnx".
    """
    # PYTHONSAFEPATH, which keras-pipeline sets, would hide the program's folder.
    # ONNX Runtime would tell Microsoft of its use.
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


def ask(fresh: Fresh, **task: object) -> dict[str, Any]:
    """Let the process do its task, and end.

    Args:
        fresh: What `start` started.
        task: As fresh_process.py takes it.

    Returns:
        What it prints.

    Raises:
        RuntimeError: It failed; the message is its last line.
    """
    lines = []
    _say(fresh, json.dumps(task))
    for line in fresh.output:
        lines.append(line)
        if line.startswith(READY):
            with alone():
                _say(fresh, "")
                lines += list(fresh.output)
    lines = [line.strip() for line in lines if line.strip()]
    if code := fresh.process.wait():
        raise RuntimeError([f"exit code {code}", *lines][-1])
    return json.loads(next(line for line in reversed(lines) if line.startswith("{")))


def _say(fresh: Fresh, line: str) -> None:
    assert fresh.process.stdin  # noqa: S101 (for the type checker)
    with suppress(BrokenPipeError):  # it ended; its last line says why
        fresh.process.stdin.write(line.encode() + b"\n")
        fresh.process.stdin.flush()
