"""Run a custom job's containers as processes of this machine, in the environment that Vertex AI gives them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

_TYPES = ("chief", "worker")
# How long the others may go on after the first replica, and a replica after SIGTERM.
_GRACE_SECONDS = 5.0
_LAST_LINES = 20


class Replicas:
    """The processes of a job.

    Args:
        job: The CustomJob.
        plan: What the test said: `env` and `cwd`.
        folder: The server's.
    """

    def __init__(self, job: Any, plan: dict[str, Any], folder: Path) -> None:
        self.logs = folder / "custom_jobs" / job.name.rsplit("/", 1)[-1]
        self.logs.mkdir(parents=True)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.first_done: float | None = None
        self.terminated: float | None = None
        pools = job.job_spec.worker_pool_specs
        cluster = dict(zip(_TYPES, _addresses([pool.replica_count for pool in pools]), strict=False))
        for number, pool in enumerate(pools):
            for index in range(pool.replica_count):
                env = {**os.environ, **_environment(job, cluster, _TYPES[number], index), **plan.get("env", {})}
                env |= {variable.name: variable.value for variable in pool.container_spec.env}
                command = [*pool.container_spec.command, *pool.container_spec.args]
                if command[0] == "python3":
                    command[0] = sys.executable
                name = f"workerpool{number}-{index}"
                with (self.logs / f"{name}.log").open("wb") as log:
                    self.processes[name] = subprocess.Popen(
                        command, env=env, cwd=plan.get("cwd"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True,
                    )  # fmt: skip

    def result(self, now: float) -> str | None:
        """None while the job runs, then why it failed, or an empty string."""
        codes = {name: process.poll() for name, process in self.processes.items()}
        for name, code in codes.items():
            if code and self.first_done is None:
                self.kill()
                return self._failure(name, code)
        if codes["workerpool0-0"] is None:
            return None
        # The first replica decides.
        self.first_done = self.first_done or now
        for name, code in codes.items():
            if code and code > 0:
                return self._failure(name, code)
        if None in codes.values() and now < self.first_done + _GRACE_SECONDS:
            return None
        self.kill()
        return ""

    def _failure(self, name: str, code: int) -> str:
        lines = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-_LAST_LINES:]
        status = code if code > 0 else 128 - code
        return f"The replica {name} exited with a non-zero status of {status}. " + "\n".join(lines)

    def terminate(self) -> None:
        """Ask all processes to end."""
        self.terminated = time.time()
        self._signal(signal.SIGTERM)

    def gone(self, now: float) -> bool:
        """Whether all have ended after they were asked to; those that don't are killed."""
        if self.terminated and now > self.terminated + _GRACE_SECONDS:
            self.kill()
        return all(process.poll() is not None for process in self.processes.values())

    def kill(self) -> None:
        """End all processes, and the ones that they started, at once."""
        self._signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()

    def _signal(self, number: int) -> None:
        for process in self.processes.values():
            # The group outlives its leader as long as it has another process.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)


def _environment(job: Any, cluster: dict[str, list[str]], kind: str, index: int) -> dict[str, str]:
    base = job.job_spec.base_output_directory.output_uri_prefix.rstrip("/")
    env = {"CLOUD_ML_JOB_ID": job.name.rsplit("/", 1)[-1], "AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/"}
    if sum(map(len, cluster.values())) > 1:
        task = {"type": kind, "index": index, "trial": ""}
        env["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})
    return env


def _addresses(counts: list[int]) -> list[list[str]]:
    """Free ports of this machine: all are held until each has been found, so that no two are the same."""
    with ExitStack() as stack:
        found = []
        for count in counts:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            found.append([f"localhost:{one.getsockname()[1]}" for one in sockets])
    return found
