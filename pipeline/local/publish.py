"""Lay out a finished run for its user: the leaderboard and the models, from the outputs of its tasks."""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from components.artifacts.leaderboard import Leaderboard, ModelEntry, load_leaderboard, save_leaderboard
from components.artifacts.registration import REGISTERED
from components.common.files import point_link, write_text
from components.report.tasks import TaskRun, with_run
from pipeline.local.damage import remove

LATEST = "latest"
REPORT = "report.html"
# The subfolder that a run's files are copied to first, so that they appear in its folder all at once.
PARTIAL = ".partial"


def publish(
    inputs: Mapping[str, Path],
    board: Path,
    page: Path,
    registration: Path | None,
    run: Path,
    pipeline: Path,
    tasks: list[TaskRun],
    keep_latest: bool,
) -> Leaderboard:
    """Copy the results to the run's folder, and point `latest` to it.

    Files are copies, so that a user can change them and the tasks' outputs stay the same. `leaderboard.json` is
    written last: a run's folder without it is incomplete.

    Args:
        inputs: The paths of compare's inputs, by name: `<kind>_<name>` for each model and data set.
        board: The folder that compare wrote.
        page: The page that report wrote.
        registration: The folder that register wrote, or None where it didn't run.
        run: The run's folder.
        pipeline: The compiled pipeline that ran.
        tasks: The state and duration of each task.
        keep_latest: Leave `latest` as it is.

    Returns:
        The leaderboard, under this run's name.
    """
    leaderboard = load_leaderboard(board)
    new = run / PARTIAL
    try:
        for model in (entry.model for entry in leaderboard.models if entry.rank is not None):
            target, trained = new / "models" / model, inputs[f"model_{model}"]
            _copy(inputs[f"export_{model}"], target)
            _copy(inputs[f"evaluation_{model}"], target / "evaluation")
            if search := inputs.get(f"search_{model}"):
                _copy(search, target / "tuning")
            _copy(trained / "tensorboard", new / "tensorboard" / model)
            _copy(trained / "model.json", target / "model.json")
        for folder in new.glob("*"):
            folder.rename(run / folder.name)
    finally:
        remove(new)
    shutil.copyfile(pipeline, run / "pipeline.yaml")
    if registration:
        shutil.copyfile(registration / REGISTERED, run / REGISTERED)
    publish_report(page, run, tasks)
    models = [_with_paths(entry) for entry in leaderboard.models]
    leaderboard = leaderboard.model_copy(update={"run": run.name, "created": _now(), "models": models})
    save_leaderboard(run, leaderboard)
    if not keep_latest:
        point_link(run.parent / LATEST, run.name)
    return leaderboard


def _with_paths(entry: ModelEntry) -> ModelEntry:
    """A model's entry with its formats' paths relative to the run's folder."""
    formats = {
        name: item.model_copy(update={"path": f"models/{entry.model}/{item.path}"}) if item.path else item
        for name, item in entry.formats.items()
    }
    return entry.model_copy(update={"formats": formats})


def publish_report(page: Path, run: Path, tasks: list[TaskRun]) -> None:
    """Copy the report to the run's folder, and add each task's duration, which the report's own task couldn't know.

    Args:
        page: The page that report wrote.
        run: The run's folder.
        tasks: The state and duration of each task.
    """
    write_text(run / REPORT, with_run(page.read_text(encoding="utf-8"), run.name, _now(), tasks))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder. On some file systems both share the disk's blocks until one of them changes."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            _copy(path, target / path.name)
        return
    with source.open("rb") as old, target.open("xb") as new:
        try:
            while os.copy_file_range(old.fileno(), new.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # not on macOS, and not on every file system
            old.seek(0)
            new.seek(0)
            shutil.copyfileobj(old, new)
