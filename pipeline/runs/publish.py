"""Lay out a finished run for its user: the leaderboard and the models, from the outputs of its tasks."""

import fcntl
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from components.artifacts.leaderboard import Leaderboard, ModelEntry
from components.artifacts.registration import REGISTERED
from components.common.files import point_link, write_text
from components.common.words import now
from components.report.run_section import TaskRun, with_run
from pipeline.runs import LATEST, REPORT
from pipeline.runs.section import with_history

# Linux' ioctl for a clone of a file; Python names it since 3.12.
_FICLONE = 0x40049409
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
    """Put the results into the run's folder, and point `latest` to it.

    `leaderboard.json` is written last: a run's folder without it is incomplete.

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
    leaderboard = Leaderboard.load(board)
    new = run / PARTIAL
    try:
        for model in (entry.model for entry in leaderboard.models if entry.rank is not None):
            target, trained = new / "models" / model, inputs[f"model_{model}"]
            _share(inputs[f"export_{model}"], target)
            _share(inputs[f"evaluation_{model}"], target / "evaluation")
            if search := inputs.get(f"search_{model}"):
                _share(search, target / "tuning")
            _share(trained / "tensorboard", new / "tensorboard" / model)
            _share(trained / "model.json", target / "model.json")
        for folder in new.glob("*"):
            folder.rename(run / folder.name)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.copyfile(pipeline, run / "pipeline.yaml")
    if registration:
        shutil.copyfile(registration / REGISTERED, run / REGISTERED)
    publish_report(page, run, tasks, leaderboard)
    models = [_with_paths(entry) for entry in leaderboard.models]
    leaderboard = leaderboard.model_copy(update={"run": run.name, "created": now(), "models": models})
    leaderboard.save(run)
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


def publish_report(page: Path, run: Path, tasks: list[TaskRun], board: Leaderboard | None = None) -> None:
    """Copy the report to the run's folder, and add what its own task couldn't know: durations, and the runs before."""
    text = with_run(page.read_text(encoding="utf-8"), run.name, now(), tasks)
    write_text(run / REPORT, with_history(text, run, board) if board else text)


def _share(source: Path, target: Path) -> None:
    """Give the files of a folder, or a file, a second name, so that a run takes no more of the disk than what is new.

    Where the file system can, the second one is a clone, whose blocks are its own once it is changed. Elsewhere both
    are one file. That is made read-only, so that nobody changes another run's result with this one's.
    """
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            _share(path, target / path.name)
        return
    with source.open("rb") as old, target.open("xb") as new, suppress(OSError):  # not on every file system
        fcntl.ioctl(new, _FICLONE, old.fileno())
        return
    target.unlink()
    try:
        target.hardlink_to(source)
        target.chmod(0o444)
    except OSError:  # the file of a container's user
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
