"""The process of the server: its settings from the environment, and how it ends."""

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
from components.vertex.cloud_storage import local_path

# Google's load balancers keep a connection for 600 s, and the server has to keep it longer:
# cloud.google.com/load-balancing/docs/https#timeouts_and_retries
KEEP_ALIVE_SECONDS = 620
FINISH_SECONDS = 20
# The folder that KServe puts a model into: kserve.github.io/website, "Storage Initializer"
KSERVE_FOLDER = "/mnt/models"


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Attributes:
        model: The model's folder, or gs://bucket/folder.
        host: The address to listen at.
        port: The port to listen at.
        routes: The routes.
        limits: The limits.
        drain_seconds: The time after SIGTERM in which the server still answers, but says that it isn't healthy, so that
            a load balancer sends its requests elsewhere.
    """

    model: str
    host: str = "0.0.0.0"  # noqa: S104 (a container's)
    port: int = 8080
    routes: Routes = field(default_factory=Routes)
    limits: Limits = field(default_factory=Limits)
    drain_seconds: int = 5

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings from the environment: Vertex AI's variables, or else MODEL and PORT, and the limits.

        Raises:
            InputError: A variable has a wrong value. All such variables are named.
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

        settings = cls(
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
        return settings


class Server(uvicorn.Server):
    """uvicorn's server, which goes on for a while after SIGTERM.

    Args:
        config: The configuration of uvicorn.
        state: The state, which the application shares.
        drain_seconds: The time that the server goes on after SIGTERM.
    """

    def __init__(self, config: uvicorn.Config, state: State, drain_seconds: float) -> None:
        super().__init__(config)
        self._state, self._drain_seconds, self._end, self._announced = state, drain_seconds, 0.0, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first SIGTERM; a second one, or SIGINT, ends the server once requests are answered."""
        if sig == signal.SIGTERM and not self._state.draining:
            self._state.draining = True
            self._end = time.monotonic() + (self._drain_seconds if self._state.model else 0)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Say whether the server ends. uvicorn asks ten times a second."""
        if self._state.model and not self._announced:
            self._announced = True
            print(f"serving at {self.config.host}:{self.config.port}", flush=True)
        if self._state.failure or (self._state.draining and time.monotonic() >= self._end):
            self.should_exit = True
        return await super().on_tick(counter)


def find_folder(name: str) -> Path:
    """The folder of a model on this machine. The files of a registered model are compared with their digests.

    Raises:
        InputError: The folder doesn't exist, or its files aren't those that were registered.
    """
    folder = local_path(name)
    check_files(folder, file_digests(folder))
    return folder


def serve(settings: Settings, find: Callable[[str], Path] = find_folder) -> None:
    """Serve a model until SIGTERM or SIGINT. Requests that have arrived are answered before the end.

    Args:
        settings: The settings.
        find: A function that returns the folder of `settings.model` on this machine. It is called in a thread.

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
