"""Train the trials of a round on this machine, at most one for each core at a time."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from types import FrameType

from components.common.errors import last_error
from components.common.events import EVENTS
from components.common.forked import Forked, start_module
from components.tune.training import Training

POLL_SECONDS = 0.1
# A training that was told to end has eight seconds for its checkpoint.
GRACE_SECONDS = 10.0
STOPPING = (signal.SIGTERM, signal.SIGHUP)
ENVIRONMENT = {
    # The last bits of a sum depend on the number of threads that share it. With one thread, a score doesn't depend on
    # the machine's cores, and trials that are trained side by side have a core each.
    "TF_NUM_INTRAOP_THREADS": "1",
    # TensorFlow would take all of a GPU's memory at once.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # The search itself tells how far it is.
    EVENTS: "",
}

_Process = subprocess.Popen[bytes] | Forked


def train_here(trainings: list[Training]) -> Generator[tuple[Training, str], None, None]:
    """Run trainings, each in a process of its own.

    Args:
        trainings: The trainings.

    Yields:
        Each training when it has ended, and the reason why it failed; "" where it didn't.

    Raises:
        SystemExit: SIGTERM or SIGHUP came, to this process or to a training. All trainings have ended. The exit code is
            143 or 129.
    """
    waiting = []
    for training in trainings:
        # A whole model is there where the search was ended before it could note the outcome.
        if training.model.exists():
            yield training, ""
        else:
            waiting.append(training)
    running: dict[_Process, Training] = {}
    heard = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heard}
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                training = waiting.pop(0)
                running[start(training)] = training
            time.sleep(POLL_SECONDS)
            for process in [process for process in running if process.poll() is not None]:
                training = running.pop(process)
                for number in STOPPING:
                    if process.returncode in (-number, 128 + number):
                        _stop(number, None)
                yield training, ": ".join(filter(None, last_error(training.log))) if process.returncode else ""
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        _end(list(running))
        for number, handler in before.items():
            signal.signal(number, handler)


def start(training: Training) -> _Process:
    """Start a training in a process of its own, which writes its log."""
    training.folder.mkdir(parents=True, exist_ok=True)
    module = ["components.tune.trial", json.dumps(training.arguments)]
    with training.log.open("ab") as log:
        # It ends with its standard input, see trial.py.
        return start_module(module, log.fileno(), {**os.environ, **ENVIRONMENT})


def _end(processes: list[_Process]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
