"""The room that runs take on the disk, and old runs that may go."""

import json
import os
import re
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from components.artifacts.registration import FILE as REGISTRATION
from components.artifacts.registration import REGISTERED
from components.common.errors import InputError
from pipeline.runs import LATEST
from pipeline.runs.history import Run, runs_of
from pipeline.runs.lock import held, under_way
from pipeline.runs.unfinished import Unfinished, statuses, unfinished

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
        kept: The runs and checkpoints that are as old and stay, each with the reason.
    """

    runs: list[Run]
    outputs: list[Path]
    checkpoints: list[Unfinished]
    kept: dict[str, str]

    @property
    def folders(self) -> list[Path]:
        """All that would be removed."""
        return [*(run.folder for run in self.runs), *self.outputs, *(one.folder for one in self.checkpoints)]


def plan(runs: Path, experiments: list[str], keep: int | None, limit: datetime) -> Plan:
    """Find what may go. `latest`, a run that is registered, and an experiment whose run is under way never do.

    A run and its checkpoints stay where a run that stays, or the last one, would go on from them if it were started
    again. Without their run, nothing would tell the next time whose they are.

    Args:
        runs: The folder of all runs.
        experiments: The experiments to look at.
        keep: The number of runs of each experiment that stay, the newest; None for as many as there are.
        limit: The time, UTC. Runs that began later stay.
    """
    gone: list[Run] = []
    outputs: list[Path] = []
    checkpoints: list[Unfinished] = []
    kept: dict[str, str] = {}
    latest_start = limit.strftime("%Y-%m-%d %H:%M")
    for experiment in experiments:
        home = runs / experiment
        if under_way(home):
            kept[experiment] = "a run is under way"
            continue
        every = runs_of(runs, experiment)
        old = every[: len(every) - keep] if keep is not None else every
        going = []
        for run in [run for run in old if run.began <= latest_start]:
            if reason := _protected(run, home):
                kept[f"{experiment}/{run.name}"] = reason
            else:
                going.append(run)
        left = unfinished(home, every)
        while found := _gone_on_from(left, every, going):
            one, run, user = found
            going.remove(run)
            kept[str(one)] = f"{experiment}/{user.name} would go on from it"
            kept[f"{experiment}/{run.name}"] = "it left checkpoints that stay"
        checkpoints += [one for one in left if (one.run in going if one.run else one.written <= latest_start)]
        staying = {name for run in every if run not in going and run.record for name in run.record.outputs}
        names = sorted({name for run in going if run.record for name in run.record.outputs} - staying)
        outputs += [path for name in names if _is_output(path := home / name, home)]
        gone += going
    return Plan(gone, outputs, checkpoints, kept)


def _gone_on_from(left: list[Unfinished], every: list[Run], going: list[Run]) -> tuple[Unfinished, Run, Run] | None:
    """Checkpoints of a run that may go, that run, and one that would go on from them; None where there are no such."""
    users = [run for run in every if run not in going or run is every[-1]]
    for one in left:
        if one.run in going and (user := next((run for run in users if one.goes_on_in(run)), None)):
            return one, one.run, user
    return None


def prune(planned: Plan, again: Callable[[list[str]], Plan]) -> None:
    """Remove what was planned, unless something has changed since.

    Args:
        planned: The plan.
        again: Plans in the same way for some experiments. The runs can't change then.

    Raises:
        InputError: A run of one of the experiments is under way, or there are other runs or outputs now.
    """
    homes = sorted({run.folder.parent for run in planned.runs} | {one.home for one in planned.checkpoints})
    with ExitStack() as locks:
        for home in homes:
            problem = f"{home}: a run of this experiment is under way; try again when it has ended"
            locks.enter_context(held(home, problem, by_run=False))
        if set(again([home.name for home in homes]).folders) != set(planned.folders):
            raise InputError("runs prune: the runs have changed since; start it again")
        removed = {home: Path(tempfile.mkdtemp(prefix=_REMOVED, dir=home)) for home in homes}
        for i, folder in enumerate(planned.folders):
            home = next(home for home in homes if folder.is_relative_to(home))
            # In containers and without them, a task's folder has the same name.
            folder.rename(removed[home] / f"{i}-{folder.name}")
    # That takes longer, and includes what a process left that was killed.
    for home in homes:
        for folder in home.glob(f"{_REMOVED}*"):
            with suppress(FileNotFoundError):  # another process removes it
                shutil.rmtree(folder)


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
    if run.state == "no run":
        return "no run wrote it"
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
    status = [status for folder in folders for status in statuses(folder)]
    names = Counter((s.st_dev, s.st_ino) for s in status)
    # A folder has a link for each folder in it.
    freed = [s for s in status if stat.S_ISDIR(s.st_mode) or names[s.st_dev, s.st_ino] == s.st_nlink]
    return sum({(s.st_dev, s.st_ino): s.st_blocks * 512 for s in freed}.values())
