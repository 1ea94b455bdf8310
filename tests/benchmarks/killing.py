"""Trainings in processes forked from one that has imported TensorFlow, and their ends by SIGKILL.

The process that forks runs nothing with TensorFlow: what is forked from it couldn't, then.
"""

import json
import mmap
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from components.data import input_pipeline
from components.train import checkpoint, trainer
from components.train import train as train_step

PHASES = ("starting", "restoring", "training", "saving", "epoch end", "finishing")
# Half of the kills wait for a phase that is short, for the first or a later time.
_WANTED = ((None, 1), (None, 1), (None, 1), (None, 1), (1, 2), (3, 8), (3, 8), (4, 4))


def phased(owner: Any, name: str, phase: mmap.mmap, number: int) -> None:
    """Let a function tell the parent, while it runs, that the training is in a phase."""
    method = getattr(owner, name)

    def told(*arguments, **named):
        before, phase[0] = phase[0], number
        try:
            return method(*arguments, **named)
        finally:
            phase[0] = before

    setattr(owner, name, told)


def train(job: dict, phase: mmap.mmap) -> None:
    """A training, in its process."""
    if job["devices"] == "gpu":
        del os.environ["CUDA_VISIBLE_DEVICES"]
        os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    tf.config.threading.set_intra_op_parallelism_threads(1)
    if job["devices"] == "two":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    input_pipeline.CACHE_BYTES = job.get("cache_bytes", input_pipeline.CACHE_BYTES)
    for owner, name, number in (
        (checkpoint.Checkpoints, "newest", 1),
        (checkpoint.Checkpoints, "restore", 1),
        (trainer.Trainer, "_stretch", 2),
        (checkpoint.Checkpoints, "save", 3),
        (trainer.Trainer, "end_epoch", 4),
        (train_step, "_compare_saved", 5),
    ):
        phased(owner, name, phase, number)
    train_step.train(job["name"], json.dumps(job["spec"]), 1, "x", job["dataset"], job["folder"], job["checkpoints"])


def fork(function: Callable[..., None], log: Path, environment: dict[str, str], *arguments: object) -> int:
    """Run a function in a process of its own, whose output goes to the end of a file."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        with log.open("a", encoding="utf-8") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        os.environ.update(environment)
        function(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status)


def start(job: dict, log: Path) -> tuple[list[int], mmap.mmap]:
    """Start a training: its processes, and where the first one tells its phase."""
    phase = mmap.mmap(-1, 1)
    if job["devices"] != "workers":
        return [fork(train, log, {}, job, phase)], phase
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    hosts = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    processes = []
    for i in range(2):
        task = {"type": "worker", "index": i}
        config = {"TF_CONFIG": json.dumps({"cluster": {"worker": hosts}, "task": task})}
        own = (log, phase) if i == 0 else (log.with_suffix(".worker"), mmap.mmap(-1, 1))
        processes.append(fork(train, own[0], config, job, own[1]))
    return processes, phase


def ended(processes: list[int]) -> list[int]:
    """Wait for processes; their exit codes."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in processes]


def kill(processes: list[int], phase: mmap.mmap, rng: random.Random, seconds: float) -> str:
    """Kill a training at a random moment; the phase it was in, "" where it had ended before."""
    until = time.monotonic() + rng.uniform(0, seconds)
    wanted, times = rng.choice(_WANTED)
    nth, later = rng.randint(1, times), rng.uniform(0, 0.02)
    seen, last = 0, -1
    while not os.waitid(os.P_PID, processes[0], os.WEXITED | os.WNOHANG | os.WNOWAIT):
        now = phase[0]
        seen += now == wanted and now != last
        last = now
        if (wanted is None and time.monotonic() > until) or (wanted is not None and seen == nth):
            time.sleep(later)
            last = phase[0]
            victims = rng.sample(processes, len(processes))
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
                time.sleep(rng.uniform(0, 0.05) if len(processes) > 1 else 0)
            chief = os.waitid(os.P_PID, processes[0], os.WEXITED | os.WNOWAIT)
            # The chief may give up by itself in the moment after the other worker was killed.
            gave_up = chief.si_status != 0 and victims[0] != processes[0]
            if chief.si_code != os.CLD_KILLED and not gave_up:
                return ""
            ended(processes)
            return PHASES[last]
        time.sleep(0.0005)
    return ""
