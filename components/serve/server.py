"""The server's process: its settings, and how it ends."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

import uvicorn

from components.artifacts.registration import check_files, file_digests
from components.common.errors import InputError
from components.serve.app import Limits, Routes, State, create_app
from components.serve.model import load_checked
from components.vertex.cloud_storage import local

# Longer than Google's load balancers keep a connection: cloud.google.com/load-balancing/docs/https#timeouts_and_retries
KEEP_ALIVE_SECONDS = 620
FINISH_SECONDS = 20
# Where KServe puts a model: kserve.github.io/website, "Storage Initializer"
KSERVE_FOLDER = "/mnt/models"


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    Attributes:
        model: Its folder, or gs://bucket/folder.
        host: Address to listen at.
        port: To listen at.
        routes: Where it answers.
        limits: What it takes.
        drain_seconds: So long after SIGTERM it goes on answering, so that a load balancer sees that it isn't healthy.
    """

    model: str
    host: str = "0.0.0.0"  # noqa: S104 (a container's)
    port: int = 8080
    routes: Routes = field(default_factory=Routes)
    limits: Limits = field(default_factory=Limits)
    drain_seconds: int = 5

    @classmethod
    def from_environment(cls) -> Self:
        """Vertex AI's variables, MODEL and PORT elsewhere, and the limits.

        Raises:
            InputError: A variable isn't as it should be; all of them.
        """
        problems: list[str] = []

        def number(names: tuple[str, ...], default: int) -> int:
            name = next((name for name in names if os.environ.get(name)), None)
            if name is None:
                return default
            if not os.environ[name].isascii() or not os.environ[name].isdigit():
                problems.append(f"{name}: '{os.environ[name]}', expected a whole number")
                return default
            return int(os.environ[name])

        def route(name: str, default: str) -> str:
            value = os.environ.get(name) or default
            if not value.startswith("/"):
                problems.append(f"{name}: '{value}', expected a path that starts with /")
            return value

        found = cls(
            model=os.environ.get("AIP_STORAGE_URI") or os.environ.get("MODEL") or KSERVE_FOLDER,
            port=number(("AIP_HTTP_PORT", "PORT"), cls.port),
            routes=Routes(
                os.environ.get("MODEL_NAME") or Routes.name,
                route("AIP_HEALTH_ROUTE", Routes.health),
                route("AIP_PREDICT_ROUTE", Routes.predict),
            ),
            limits=Limits(
                number(("MAX_REQUEST_BYTES",), Limits.request_bytes), number(("MAX_WAITING",), Limits.waiting)
            ),
            drain_seconds=number(("DRAIN_SECONDS",), cls.drain_seconds),
        )
        if problems:
            raise InputError(*problems)
        return found


class Server(uvicorn.Server):
    """uvicorn, which goes on for a while after SIGTERM.

    Args:
        config: uvicorn's.
        state: The application's.
        drain_seconds: So long.
    """

    def __init__(self, config: uvicorn.Config, state: State, drain_seconds: float) -> None:
        super().__init__(config)
        self._state, self._drain_seconds, self._end, self._said = state, drain_seconds, 0.0, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first SIGTERM; a second one, or SIGINT, ends the server once requests are answered."""
        if sig == signal.SIGTERM and not self._state.draining:
            self._state.draining = True
            self._end = time.monotonic() + (self._drain_seconds if self._state.model else 0)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn asks ten times a second: whether to end."""
        if self._state.model and not self._said:
            self._said = True
            print(f"serving at {self.config.host}:{self.config.port}", flush=True)
        if self._state.failure or (self._state.draining and time.monotonic() >= self._end):
            self.should_exit = True
        return await super().on_tick(counter)


def find_folder(name: str) -> Path:
    """The folder of a model on this machine. A registered one, copied here from a bucket or a volume, has to be whole.

    Raises:
        InputError: It isn't there, or its files aren't those that were registered.
    """
    folder = local(name)
    check_files(folder, file_digests(folder))
    return folder


def serve(settings: Settings, find: Callable[[str], Path] = find_folder) -> None:
    """Serve until SIGTERM or SIGINT. Requests under way are answered first.

    Args:
        settings: How.
        find: Gives the folder of `settings.model` on this machine; called in a thread.

    Raises:
        InputError: The model can't be served.
    """
    state = State()
    app = create_app(lambda: load_checked(find(settings.model)), state, settings.routes, settings.limits)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    Server(config, state, settings.drain_seconds).run()
    if state.failure:
        raise state.failure
    print("stopped", flush=True)
