"""`run.json`: how a local run began and ended, with its config and its code, whatever became of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from components.common.files import write_text
from components.common.words import now

if TYPE_CHECKING:
    from pipeline.experiment.experiment import Experiment

FILE = "run.json"


class Record(BaseModel):
    """A local run. Fields of a later version are left out.

    Attributes:
        state: "running" until it ends. A run that was killed stays so.
        started: The time, ISO 8601, UTC.
        ended: The time, ISO 8601, UTC; None until it ends.
        command: The command that starts it again.
        config: The experiment with the values of all keys, the defaults' too.
        code: The digest of each file of its tasks' code, as `pipeline.graph.code_version.code_files` gives it.
        outputs: The folders of its tasks' outputs, relative to the experiment's folder.
        failures: The reason why each failed task failed.
    """

    model_config = ConfigDict(extra="ignore")

    state: Literal["running", "finished", "failed", "stopped"] = "running"
    started: str
    ended: str | None = None
    command: str
    config: dict[str, Any]
    code: dict[str, str]
    outputs: list[str] = []
    failures: dict[str, str] = {}


@contextmanager
def recorded(run: Path, experiment: "Experiment", code: dict[str, dict[str, str]]) -> Iterator[Record]:
    """Write the record of a run, with the digests of each task's code, when it starts, and again when it ends.

    Yields:
        The record. Its outputs and failures are filled while the run is under way.
    """
    files = {name: digest for task in code.values() for name, digest in task.items()}
    config = config_of(experiment)
    record = Record(started=now(), command=experiment.command, config=config, code=dict(sorted(files.items())))
    _save(run, record)
    try:
        yield record
        record.state = "failed" if record.failures else "finished"
    except Exception:
        record.state = "failed"
        raise
    except BaseException:
        record.state = "stopped"
        raise
    finally:
        record.ended = now()
        _save(run, record)


def config_of(experiment: "Experiment") -> dict[str, Any]:
    """An experiment as its file could say it, with the values of all keys."""
    datasets = {
        name: {"source": each.source, **each.options.model_dump(mode="json"), "gate": each.gate}
        for name, each in experiment.datasets.items()
    }
    for name, each in experiment.datasets.items():
        if each.rivals:
            datasets[name]["baselines"] = each.rivals
    models = {name: spec.model_dump(mode="json") for name, spec in experiment.models.items()}
    for name, tune in experiment.tunes.items():
        models[name]["tune"] = tune.model_dump(mode="json")
    return {"seed": experiment.seed, "datasets": datasets, "models": models, "formats": list(experiment.formats)}


def load_record(run: Path) -> Record | None:
    """Read the record of a run; None where there is none, as in a run of an earlier version.

    Raises:
        ValueError: The file isn't a record.
    """
    path = run / FILE
    return Record.model_validate_json(path.read_bytes()) if path.is_file() else None


def _save(run: Path, record: Record) -> None:
    write_text(run / FILE, record.model_dump_json(indent=2) + "\n")
