"""The MLflow server that the environment names."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from components.common.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI = "MLFLOW_TRACKING_URI"
# MLflow would wait for minutes, print addresses, and tell its makers how it is used. What the user set stands.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_LONGEST = 300


class NotSentError(Exception):
    """The server can't be reached, or refused what was sent. The message has no credentials."""


def is_wanted(track: str | None) -> bool:
    """Whether a run is to be sent: its config says so with the key `track`, or the environment names a server.

    A variable that was set for other programs, such as `databricks` or `sqlite:///x.db`, asks for nothing.
    """
    return bool(track or (os.environ.get(URI) and not problems()))


def check() -> None:
    """Check what can be known of the server without asking it.

    Raises:
        InputError: No server is named, what is named isn't an address, or mlflow isn't installed.
    """
    if found := problems():
        raise InputError(*found)


def problems() -> list[str]:
    """Lines on why nothing can be sent: see `check`."""
    found = []
    expected = "expected the address of an MLflow server, http:// or https://, such as http://localhost:5000"
    if not (uri := os.environ.get(URI)):
        found.append(f"{URI}: isn't set, {expected}")
    elif not _address(uri):
        found.append(f"{URI}: isn't a server's address, {expected}")
    if find_spec("mlflow") is None:
        found.append(f"{URI}: mlflow isn't installed; pip install mlflow-skinny installs what is needed")
    return found


@contextmanager
def connected() -> Iterator[tuple["MlflowClient", str]]:
    """A client of the server, and the server's address without credentials.

    MLflow prints the server's address, and its errors name it. So it gets the credentials of an address by variables of
    their own. Its loggers are silent.

    Raises:
        NotSentError: The `with` block raised an exception.
    """
    uri = os.environ[URI]
    address, parts = _address(uri), urlsplit(uri)
    before = dict(os.environ)
    os.environ.update({**_SETTINGS, **before, URI: address})
    for name, value in (("USERNAME", parts.username), ("PASSWORD", parts.password)):
        if value:
            os.environ[f"MLFLOW_TRACKING_{name}"] = unquote(value)
    logging.disable()
    try:
        from mlflow import MlflowClient

        yield MlflowClient(address), address
    except Exception as error:  # MLflow raises almost any exception where a server isn't one of MLflow's
        raise NotSentError(f"{address}: {_reason(error)}") from None
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)


def _address(uri: str) -> str:
    """The address of a server without credentials; "" where it isn't one."""
    try:
        parts = urlsplit(uri)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}" if known else ""


def _reason(error: Exception) -> str:
    """The reason of an error, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if cause := re.search(r"\(Caused by \w+\([\"']?(.*?)[\"']?\)\)$", text):
        text = cause[1]
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
