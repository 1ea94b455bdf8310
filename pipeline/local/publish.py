"""Lay out a finished run for its user: the leaderboard and the models, from the outputs of its tasks."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from components.files import point_link, write_text
from components.leaderboard import FILE, Leaderboard
from components.registration import REGISTERED
from components.report.tasks import TaskRun, with_run

FOLDERS = "folders.json"
LATEST = "latest"
REPORT = "report.html"


def publish(
    outputs: Path,
    registration: Path | None,
    page: Path,
    run: Path,
    pipeline: Path,
    tasks: list[TaskRun],
    aside: bool,
) -> Leaderboard:
    """Fill the run's folder and let `latest` point to it.

    Files are hard links to the tasks' outputs where the file system has them, so they take no room of their
    own and outlive the outputs. `leaderboard.json` comes last: a run without it isn't whole.

    Args:
        outputs: The folder that compare wrote.
        registration: The folder that register wrote; None where it didn't run.
        page: The page that report wrote.
        run: The run's folder.
        pipeline: The compiled pipeline that ran.
        tasks: How each task went.
        aside: `latest` stays where it is.

    Returns:
        The leaderboard, under this run's name.
    """
    folders = json.loads((outputs / FOLDERS).read_text(encoding="utf-8"))
    for model, export in folders["export"].items():
        target = run / "models" / model
        shutil.copytree(export, target, copy_function=_link)
        shutil.copytree(folders["evaluation"][model], target / "evaluation", copy_function=_link)
        if search := folders.get("tuning", {}).get(model):
            shutil.copytree(search, target / "tuning", copy_function=_link)
        shutil.copytree(Path(folders["model"][model]) / "tensorboard", run / "tensorboard" / model, copy_function=_link)
        _link(str(Path(folders["model"][model]) / "model.json"), str(target / "model.json"))
    shutil.copyfile(pipeline, run / "pipeline.yaml")
    if registration:
        shutil.copyfile(registration / REGISTERED, run / REGISTERED)
    publish_report(page, run, tasks)
    board = Leaderboard.model_validate_json((outputs / FILE).read_text(encoding="utf-8"))
    board = board.model_copy(update={"run": run.name, "created": _now()})
    write_text(run / FILE, board.model_dump_json(indent=2) + "\n")
    if not aside:
        point_link(run.parent / LATEST, run.name)
    return board


def publish_report(page: Path, run: Path, tasks: list[TaskRun]) -> None:
    """Put the page into the run's folder, with how long each task took, which its own task couldn't know.

    Args:
        page: The page that report wrote.
        run: The run's folder.
        tasks: How each task went.
    """
    write_text(run / REPORT, with_run(page.read_text(encoding="utf-8"), run.name, _now(), tasks))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
