"""Run a custom job's containers as processes of this machine, in the environment that Vertex AI gives them."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

_TYPES = ("chief", "worker")
# The others may go on for so long after the first replica.
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
        self._logs = folder / "custom_jobs" / job.name.rsplit("/", 1)[-1]
        self._logs.mkdir(parents=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._until: float | None = None
        pools = job.job_spec.worker_pool_specs
        ports = iter(_free_ports(sum(pool.replica_count for pool in pools)))
        addresses = [[f"localhost:{next(ports)}" for _ in range(pool.replica_count)] for pool in pools]
        cluster = dict(zip(_TYPES, addresses, strict=False))
        base = job.job_spec.base_output_directory.output_uri_prefix.rstrip("/")
        for number, pool in enumerate(pools):
            for index in range(pool.replica_count):
                env = {**os.environ, "CLOUD_ML_JOB_ID": self._logs.name, "AIP_TENSORBOARD_LOG_DIR": f"{base}/logs/"}
                if len(pools) > 1:
                    task = {"type": _TYPES[number], "index": index, "trial": ""}
                    env["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task, "environment": "cloud"})
                env |= plan.get("env", {}) | {variable.name: variable.value for variable in pool.container_spec.env}
                command = [*pool.container_spec.command, *pool.container_spec.args]
                if command[0] == "python3":
                    command[0] = sys.executable
                name = f"workerpool{number}-{index}"
                with (self._logs / f"{name}.log").open("wb") as log:
                    self._processes[name] = subprocess.Popen(
                        command, env=env, cwd=plan.get("cwd"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True,
                    )  # fmt: skip

    def result(self, now: float) -> str | None:
        """None while the job runs, then why it failed, or an empty string."""
        codes = {name: process.poll() for name, process in self._processes.items()}
        for name, code in codes.items():
            if code:
                self.kill()
                lines = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()[-_LAST_LINES:]
                return f"The replica {name} exited with a non-zero status of {code}. " + "\n".join(lines)
        if codes["workerpool0-0"] is None:
            return None
        # The first replica decides.
        self._until = self._until or now + _GRACE_SECONDS
        if None in codes.values() and now < self._until:
            return None
        self.kill()
        return ""

    def kill(self) -> None:
        """End all processes, and the ones that they started, at once."""
        for process in self._processes.values():
            # The group outlives its leader as long as it has another process.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes.values():
            process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports of this machine: all are held until each has been found, so that no two are the same."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
