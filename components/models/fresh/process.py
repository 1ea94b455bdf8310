"""Start a fresh process with an exported model's runtime, and let it answer inputs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from components.artifacts.export import SAVED_MODEL
from components.common.forked import python

PROGRAM = Path(__file__).with_name("fresh_process.py")


def start(runtime: str) -> subprocess.Popen[str]:
    """Start a process that can't import this project, and waits for what to do.

    Args:
        runtime: "saved_model", "litert" or "onnx".
    """
    command, passed = python() if runtime == SAVED_MODEL else ([sys.executable], [])
    return subprocess.Popen(
        [*command, "-m", PROGRAM.stem, runtime],
        pass_fds=passed,
        cwd=PROGRAM.parent,
        # PYTHONSAFEPATH, which keras-pipeline sets, would hide the program's folder.
        # ONNX Runtime would tell Microsoft of its use.
        env={k: value for k, value in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
        | {"ORT_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def ask(process: subprocess.Popen[str], **task: object) -> dict[str, Any]:
    """Let the process do its task, and end.

    Args:
        process: What `start` started.
        task: As fresh_process.py takes it.

    Returns:
        What it prints.

    Raises:
        RuntimeError: It failed; the message is its last line.
    """
    said, errors = process.communicate(json.dumps(task))
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.strip()] or [f"exit code {process.returncode}"]
        raise RuntimeError(lines[-1])
    return json.loads(said.splitlines()[-1])
