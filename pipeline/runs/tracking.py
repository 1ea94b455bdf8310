"""Send finished runs to an MLflow server. What is sent is read from a run's folder, so that it can be sent later, too.

A run of an experiment becomes a run in MLflow, and each of its models one below it. All that is sent of one is there
before it gets a status other than RUNNING. So what was cut off is known, and sent again.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.artifacts.model import ModelInfo, load_model_info
from components.common.errors import InputError
from components.common.files import sha256
from pipeline.runs.diff import flat
from pipeline.runs.history import Run, load

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from rich.console import Console

URI = "MLFLOW_TRACKING_URI"
# MLflow would wait for minutes, print addresses, and tell its makers how it is used. What the user set stands.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_FILES = ("report.html", "leaderboard.json", "pipeline.yaml", "run.json", "registered.json")
_MODEL = "model"
# The tag that a run in MLflow is found by: the digest of the run's leaderboard.
_DIGEST = "leaderboard_sha256"
_PARENT = "mlflow.parentRunId"
# The largest requests.
_METRICS, _PARAMETERS = 1000, 100
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
def tracked(folder: Path, console: "Console") -> Iterator[None]:
    """Send a run after the `with` block, if it has results, even if a model failed. A server can't make the run fail.

    Args:
        folder: The run's folder.
        console: The terminal.
    """
    try:
        yield
    except Exception:
        _send_or_say(folder, console)
        raise
    _send_or_say(folder, console)


def _send_or_say(folder: Path, console: "Console") -> None:
    if (run := load(folder)).board is None:
        return
    try:
        line = f"mlflow: {send(run)}"
    except NotSentError as error:
        later = f"python -m pipeline runs track {run.experiment}/{run.name}"
        line = f"mlflow: not sent: {error}; later: {later}"
    console.print(line, markup=False, soft_wrap=True, highlight=False)


def send(run: Run) -> str:
    """Send a run to the server that the environment names. What is there already isn't sent again.

    Returns:
        The address of the run's page.

    Raises:
        InputError: The run has no results, or there is no server to send them to.
        NotSentError: The server can't be reached, or refused something.
    """
    check()
    if run.board is None:
        raise InputError(f"{run.folder}: {run.state}, without a leaderboard; expected a run that has results")
    with _settings() as address:
        try:
            from mlflow import MlflowClient

            experiment, sent = _send(MlflowClient(address), run, run.board)
        except Exception as error:  # MLflow raises almost any exception where a server isn't one of MLflow's
            raise NotSentError(f"{address}: {_reason(error)}") from None
    return f"{address}/#/experiments/{experiment}/runs/{sent}"


def _send(client: "MlflowClient", run: Run, board: Leaderboard) -> tuple[str, str]:
    """Send a run; the identifiers of its experiment and of the run in MLflow."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.experiment
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    digest = sha256([run.folder / "leaderboard.json"])
    began = _milliseconds(run.record.started if run.record else board.created)
    same = client.search_runs([experiment], f"tags.`{_DIGEST}` = '{digest}'")
    parent = same[0] if same else client.create_run(experiment, began, {_DIGEST: digest}, run.name)
    identifier = parent.info.run_id
    if parent.info.status != "RUNNING":
        return experiment, identifier
    config = run.record.config if run.record else {}
    _log(client, identifier, {"seed": board.seed, "datasets": config.get("datasets")}, [])
    for file in _FILES:
        if (run.folder / file).is_file():
            client.log_artifact(identifier, str(run.folder / file))
    below = {one.info.run_name: one for one in client.search_runs([experiment], f"tags.`{_PARENT}` = '{identifier}'")}
    for entry in board.models:
        if old := below.get(entry.model):
            if old.info.status != "RUNNING":
                continue
            client.delete_run(old.info.run_id)
        tags = {_PARENT: identifier, "gate": board.verdict(entry), "rank": str(entry.rank or "none")}
        tags["mlflow.note.content"] = "\n\n".join(entry.reasons)
        child = client.create_run(experiment, began, tags, entry.model).info.run_id
        _send_model(client, child, run, board, entry, began)
    failed = any(entry.rank is None for entry in board.models)
    ended = _milliseconds(run.record.ended if run.record and run.record.ended else board.created)
    client.set_terminated(identifier, "FAILED" if failed else "FINISHED", ended)
    return experiment, identifier


def _send_model(
    client: "MlflowClient", identifier: str, run: Run, board: Leaderboard, entry: ModelEntry, began: int
) -> None:
    """Send a model of a run.

    Args:
        client: The server.
        identifier: The model's run in MLflow.
        run: The run.
        board: Its leaderboard.
        entry: The model.
        began: The time when the run began, in milliseconds. The time of an epoch's metrics is this, and the seconds of
            training until the epoch's end.
    """
    from mlflow.entities import Metric

    folder = run.folder / "models" / entry.model
    info = _model_info(folder)
    config = run.record.config if run.record else {}
    spec = info.spec.model_dump(mode="json") if info else config.get("models", {}).get(entry.model, {})
    ended = began + round(1000 * (entry.train_seconds or 0))
    values = {f"test_{name}": value for name, value in entry.metrics.items()}
    for name, (low, high) in entry.intervals.items():
        values |= {f"test_{name}_low": low, f"test_{name}_high": high}
    for name, spread in board.over_folds(entry).items():
        values |= {f"folds_{name}_mean": spread.mean, f"folds_{name}_std": spread.std or 0.0}
    for name in ("parameters", "best_epoch", "train_seconds", "examples_per_second"):
        if (value := getattr(entry, name)) is not None:
            values[name] = value
    metrics = [Metric(name, value, ended, 0) for name, value in values.items()]
    now = float(began)
    for epoch, history in enumerate(info.history if info else [], 1):
        now += 1000 * history.get("seconds", 0)
        metrics += [Metric(name, value, round(now), epoch) for name, value in history.items()]
    _log(client, identifier, {"seed": board.seed, "family": entry.family, **spec}, metrics)
    if folder.is_dir():
        client.log_artifacts(identifier, str(folder), _MODEL)
        with tempfile.TemporaryDirectory() as scratch:
            from pipeline.runs.mlflow_model import write_mlmodel

            try:
                write_mlmodel(folder, identifier, _MODEL, Path(scratch))
            except (InputError, OSError):
                pass  # an earlier version wrote it; its files are there
            else:
                client.log_artifacts(identifier, scratch, _MODEL)
    client.set_terminated(identifier, "FINISHED" if entry.rank else "FAILED", ended)


def _log(client: "MlflowClient", run: str, config: dict[str, Any], metrics: list["Metric"]) -> None:
    """Log the keys of a config as parameters, and metrics, in requests that are small enough."""
    from mlflow.entities import Param

    params = [Param(*pair) for key, value in config.items() if value is not None for pair in flat(value, key)]
    for start in range(0, len(params), _PARAMETERS):
        client.log_batch(run, params=params[start : start + _PARAMETERS])
    for start in range(0, len(metrics), _METRICS):
        client.log_batch(run, metrics=metrics[start : start + _METRICS])


def _model_info(folder: Path) -> ModelInfo | None:
    """What a training left; None where the model failed, or an earlier version trained it."""
    try:
        return load_model_info(folder)
    except (OSError, ValidationError):
        return None


@contextmanager
def _settings() -> Iterator[str]:
    """Have MLflow's settings in the environment, and its loggers silent.

    MLflow prints the server's address, and its errors name it. So it gets the credentials of an address by variables of
    their own.

    Yields:
        The server's address without credentials.
    """
    uri = os.environ[URI]
    address, parts = _address(uri), urlsplit(uri)
    new = {name: value for name, value in _SETTINGS.items() if name not in os.environ} | {URI: address}
    for name, value in (("USERNAME", parts.username), ("PASSWORD", parts.password)):
        if value:
            new[f"MLFLOW_TRACKING_{name}"] = unquote(value)
    old = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    logging.disable()
    try:
        yield address
    finally:
        logging.disable(logging.NOTSET)
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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


def _milliseconds(time: str) -> int:
    return round(1000 * datetime.fromisoformat(time).timestamp())
