"""The process of the server, and how it ends."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from components.artifacts.registration import check_files, file_digests
from components.serve.app import State, create_app
from components.serve.model import load_checked
from components.serve.settings import Settings
from components.vertex.cloud_storage import local_path

# Google's load balancers keep a connection for 600 s, and the server has to keep it longer:
# cloud.google.com/load-balancing/docs/https#timeouts_and_retries
KEEP_ALIVE_SECONDS = 620
FINISH_SECONDS = 20


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
    app = create_app(lambda: load_checked(find(settings.model)), state, settings)
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
