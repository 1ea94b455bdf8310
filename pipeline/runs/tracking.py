"""Send finished runs to an MLflow server. What is sent is read from a run's folder, so that it can be sent later, too.

A run of an experiment becomes a run in MLflow, and each of its models one below it. All that is sent of one is there
before it gets a status other than RUNNING. So what was cut off is known, and sent again.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.artifacts.model import ModelInfo
from components.common.errors import InputError
from components.common.files import sha256
from pipeline.runs.diff import flat
from pipeline.runs.history import Run, load
from pipeline.runs.mlflow_server import NotSentError, check, connected

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from rich.console import Console

_FILES = ("report.html", "leaderboard.json", "pipeline.yaml", "run.json", "registered.json")
_MODEL = "model"
# The tag that a run in MLflow is found by: the digest of the run's leaderboard.
_DIGEST = "leaderboard_sha256"
_PARENT = "mlflow.parentRunId"
# The largest requests.
_METRICS, _PARAMETERS = 1000, 100


@contextmanager
def tracked(folder: Path, console: "Console") -> Iterator[None]:
    """Send a run after the `with` block, if it has results, even if a model failed. A server can't make it fail."""
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
    console.out(line, highlight=False)


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
    with connected() as (client, address):
        experiment, sent = _send(client, run, run.board)
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
    """Send a model of a run, as the run `identifier` in MLflow.

    The time of an epoch's metrics is `began`, in milliseconds, and the seconds of training until the epoch's end.
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
        return ModelInfo.load(folder)
    except (OSError, ValidationError):
        return None


def _milliseconds(time: str) -> int:
    return round(1000 * datetime.fromisoformat(time).timestamp())
