"""Lay out a finished run for its user: the leaderboard and the models, from the outputs of its tasks."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from components.files import point_link, write_text
from components.leaderboard import FILE, Leaderboard

FOLDERS = "folders.json"
LATEST = "latest"


def publish(outputs: Path, run: Path, pipeline: Path) -> Leaderboard:
    """Fill the run's folder and let `latest` point to it.

    Files are hard links to the tasks' outputs where the file system has them, so they take no room of their
    own and outlive the outputs. `leaderboard.json` comes last: a run without it isn't whole.

    Args:
        outputs: The folder that compare wrote.
        run: The run's folder.
        pipeline: The compiled pipeline that ran.

    Returns:
        The leaderboard, under this run's name.
    """
    folders = json.loads((outputs / FOLDERS).read_text())
    for model, export in folders["export"].items():
        target = run / "models" / model
        shutil.copytree(export, target, copy_function=_link)
        shutil.copytree(folders["evaluation"][model], target / "evaluation", copy_function=_link)
        shutil.copytree(Path(folders["model"][model]) / "tensorboard", run / "tensorboard" / model, copy_function=_link)
        _link(str(Path(folders["model"][model]) / "model.json"), str(target / "model.json"))
    shutil.copyfile(pipeline, run / "pipeline.yaml")
    board = Leaderboard.model_validate_json((outputs / FILE).read_text())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    board = board.model_copy(update={"run": run.name, "created": now})
    write_text(run / FILE, board.model_dump_json(indent=2) + "\n")
    point_link(run.parent / LATEST, run.name)
    return board


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
