"""The process that kfp.local runs in, seen from the one that starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.local.stopping import end_group
from pipeline.local.warm_task import SOCKET

ROOT = Path(__file__).parent.parent.parent


class Engine:
    """A process of `engine`, with a group of its own, that imports kfp and waits for its pipeline.

    Args:
        scratch: A folder for its socket.
        warm: Tasks will run, in processes, so that TensorFlow is imported for them meanwhile.
    """

    def __init__(self, scratch: Path, warm: bool = False) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONUNBUFFERED": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            SOCKET: str(scratch / "warm.sock"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "pipeline.local.engine", *["warm"] * warm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        self._ended = False

    def run(self, request: dict[str, Any]) -> Iterable[str]:
        """Run a pipeline, see `engine.main`; the lines that kfp.local prints. Once."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 (asked for above)
        with suppress(BrokenPipeError):  # it has ended, and said why
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        return process.stdout

    def succeeded(self) -> bool:
        """Wait for the end; False if a task failed."""
        return self._process.wait() == 0

    def close(self) -> None:
        """End it and all that it started."""
        if not self._ended:
            end_group(self._process)
        self._ended = True
