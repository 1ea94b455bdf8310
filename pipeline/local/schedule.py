"""Which task runs next. Nothing here knows the tasks' content, so that a schedule can be tried without running it."""

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

# The memory that a task of a shipped experiment needs at most, in bytes.
TASK_BYTES = 1_500_000_000


def ranks(needs: Mapping[str, Iterable[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """The seconds from each task's start to the end of the run, if all that waits for it started at once.

    Each task comes after those that it needs.
    """
    left = dict.fromkeys(needs, 0.0)
    for task in reversed(list(needs)):
        left[task] += seconds[task]
        for need in needs[task]:
            if need in left:
                left[need] = max(left[need], left[task])
    return left


def next_task(
    ready: Iterable[str], running: Collection[str], threads: Mapping[str, int], rank: Mapping[str, float],
    cores: int, jobs: int,
) -> str | None:  # fmt: skip
    """The task to start: the one with the highest rank, that is the longest way to the end, as soon as it fits.

    At most `jobs` tasks run, and together they have at most as many threads as there are cores; a task with more runs
    alone. No other task goes before the first one, which would otherwise wait for ever.
    """
    first = max(ready, key=lambda task: rank[task], default=None)
    if first and running:
        taken = sum(threads[task] for task in running)
        return first if len(running) < jobs and taken + threads[first] <= cores else None
    return first


def default_jobs(cores: int, root: Path = Path("/")) -> int:
    """As many tasks as there are cores, and as the available memory has room for.

    Args:
        cores: The number of cores.
        root: The folder of Linux' files on memory. Other systems have none, and memory isn't looked at.
    """
    free = []
    with suppress(OSError, ValueError):
        lines = dict(line.split(":") for line in (root / "proc/meminfo").read_text(encoding="utf-8").splitlines())
        free.append(int(lines["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError):
        group = root / "sys/fs/cgroup"
        used = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        free.append(int((group / "memory.max").read_text(encoding="utf-8")) - int(used["anon"]))
    return max(1, min([cores, *(room // TASK_BYTES for room in free)]))


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
