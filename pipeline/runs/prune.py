"""The room that runs take on the disk, and old runs that may go."""

import json
import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.artifacts.registration import FILE as REGISTRATION
from components.artifacts.registration import REGISTERED
from components.common.errors import InputError
from pipeline.runs import LATEST
from pipeline.runs.history import Run, runs_of, under_way
from pipeline.runs.unfinished import Unfinished, unfinished

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
# A folder that is being removed has such a name, so that no half of a run is taken for one.
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Plan:
    """What pruning would remove.

    Attributes:
        runs: The runs.
        outputs: The folders of tasks' outputs that only these runs used.
        checkpoints: The checkpoints of trainings that these runs, or runs that are gone, didn't finish.
        bytes: The room on the disk that this frees.
        kept: The runs and checkpoints that are as old and stay, each with the reason.
    """

    runs: list[Run]
    outputs: list[Path]
    checkpoints: list[Unfinished]
    bytes: int
    kept: dict[str, str]


def plan(runs: Path, experiments: list[str], keep: int | None = None, older: timedelta | None = None) -> Plan:
    """Find what may go. `latest`, a run that is registered, and one that is under way never do.

    The checkpoints of a run stay where one that stays, or the last one, would go on from them if it were started again.

    Args:
        runs: The folder of all runs.
        experiments: The experiments to look at.
        keep: The number of runs of each experiment that stay, the newest.
        older: The age from which runs go.
    """
    gone: list[Run] = []
    outputs: list[Path] = []
    checkpoints: list[Unfinished] = []
    kept: dict[str, str] = {}
    for experiment in experiments:
        home = runs / experiment
        every = runs_of(runs, experiment)
        old = every[: len(every) - keep] if keep is not None else every
        limit = (datetime.now(UTC) - (older or timedelta())).strftime("%Y-%m-%d %H:%M")
        going = []
        for run in [run for run in old if run.began <= limit]:
            if reason := _protected(run, home):
                kept[f"{experiment}/{run.name}"] = reason
            else:
                going.append(run)
        staying = {name for run in every if run not in going and run.record for name in run.record.outputs}
        names = sorted({name for run in going if run.record for name in run.record.outputs} - staying)
        outputs += [path for name in names if _is_output(path := home / name, home)]
        gone += going
        users = [run for run in every if run not in going or run is every[-1]]
        for one in unfinished(home, every):
            goes = one.run in going if one.run else one.written <= limit
            if not goes:
                continue
            if user := next((run for run in users if one.goes_on_in(run)), None):
                kept[str(one)] = f"{experiment}/{user.name} would go on from it"
            else:
                checkpoints.append(one)
    folders = [*(run.folder for run in gone), *outputs, *(one.folder for one in checkpoints)]
    return Plan(gone, outputs, checkpoints, freed(folders), kept)


def prune(planned: Plan) -> None:
    """Remove what was planned.

    Raises:
        InputError: A run of one of the experiments is under way, and may be about to use it.
    """
    checkpoints = planned.checkpoints
    homes = list(dict.fromkeys([*(run.folder.parent for run in planned.runs), *(one.home for one in checkpoints)]))
    for home in homes:
        if under_way(home):
            raise InputError(f"{home}: a run of this experiment is under way; try again when it has ended")
    _clear(homes)
    folders = [*(run.folder for run in planned.runs), *planned.outputs, *(one.folder for one in checkpoints)]
    for i, folder in enumerate(folders):
        home = next(home for home in homes if folder.is_relative_to(home))
        # In containers and without them, a task's folder has the same name.
        folder.rename(home / f"{_REMOVED}{i}-{folder.name}")
    _clear(homes)


def _clear(homes: list[Path]) -> None:
    """Remove what was renamed, by a process that was killed, too."""
    for home in homes:
        for removed in home.glob(f"{_REMOVED}*"):
            shutil.rmtree(removed)


def sizes(runs: Iterable[Run]) -> list[int]:
    """The room that each run takes on the disk, in bytes. A file that several share counts at the first of them."""
    seen: set[tuple[int, int]] = set()
    found = []
    for run in runs:
        size, folders = 0, [str(run.folder)]
        device = run.folder.stat().st_dev if run.folder.exists() else 0
        while folders:
            with suppress(OSError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    # A folder tells the inodes without a look at the files, most of which are those of an earlier run.
                    inode = device, entry.inode()
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif inode in seen:
                        continue
                    seen.add(inode)
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
        found.append(size)
    return found


def age(text: str) -> timedelta:
    """Read an age such as 30d, 12h or 2w.

    Raises:
        InputError: It isn't one.
    """
    if match := re.fullmatch(r"(\d{1,4})([hdw])", text):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    raise InputError(f"--older {text}: expected hours, days or weeks, such as 12h, 30d or 4w")


def _protected(run: Run, home: Path) -> str:
    """The reason why a run never goes; "" where it may."""
    if (home / LATEST).resolve() == run.folder.resolve():
        return "it is the latest"
    if run.state in ("running", "no run"):
        return "it is under way" if run.state == "running" else "no run wrote it"
    return "it is registered" if _registered(run, home) else ""


def _registered(run: Run, home: Path) -> bool:
    """Whether register says that it registered a model of the run, or a version of the registry names the run."""
    places = [run.folder / REGISTERED, *(home.parent / "registry" / home.name).glob(f"*/*/{REGISTRATION}")]
    for path in places:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        entries = content if isinstance(content, list) else [content]
        if any(entry.get("action") == "registered" or entry.get("run") == run.name for entry in entries):
            return True
    return False


def _is_output(path: Path, home: Path) -> bool:
    """Whether a path, which a file named, is the folder of a task's outputs in an experiment's folder."""
    return path.resolve().is_relative_to(home.resolve()) and path.parent.name == "tasks" and path.is_dir()


def freed(folders: list[Path]) -> int:
    """The bytes of the files whose every name lies in some folders."""
    status = [path.lstat() for folder in folders for path in (folder, *folder.rglob("*"))]
    names = Counter((s.st_dev, s.st_ino) for s in status)
    # A folder has a link for each folder in it.
    freed = [s for s in status if stat.S_ISDIR(s.st_mode) or names[s.st_dev, s.st_ino] == s.st_nlink]
    return sum({(s.st_dev, s.st_ino): s.st_blocks * 512 for s in freed}.values())
