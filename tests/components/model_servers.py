"""Servers of models in this process, and how to wait for them."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn

from components.serve.app import State, create_app
from components.serve.server import Server
from components.serve.settings import Settings

IMAGE = [[[0]] * 28] * 28


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(load, **limits):
    """A client of a server in a thread of this process."""
    state, port = State(), free_port()
    app = create_app(load, state, Settings("", **limits))
    server = Server(uvicorn.Config(app, port=port, log_level="warning"), state, 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


@contextmanager
def healthy_one(load, **limits):
    with running(load, **limits) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        yield client


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
