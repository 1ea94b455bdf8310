"""How near the schedule of a run comes to what is possible, on machines that aren't here: no task runs.

Durations are those of the last run, which each experiment's seconds.json holds. A task takes as long on every machine.
"""

import json
import sys
from pathlib import Path
from typing import Any

from common import FOLDER, ROOT

CORES = (1, 2, 4, 8)
# A training that takes all cores was measured with these.
MEASURED_CORES = 2


def schedule(configs: tuple[str, ...] = ("quick", "families")) -> dict[str, Any]:
    """For each experiment and number of cores: the time of the schedule, and the bounds that none can beat."""
    from pipeline.experiment.experiment import load_experiment
    from pipeline.graph.tasks import tasks

    found = {}
    for config in configs:
        memory = FOLDER / "around" / config / "runs" / config / ".work" / "seconds.json"
        if not memory.is_file():
            sys.exit(f"{memory}: no such file; expected a run of the benchmark's part `around`")
        specs = tasks(load_experiment(ROOT / "configs" / f"{config}.yaml", []))
        known = json.loads(memory.read_text())
        seconds = {spec.name: known.get(spec.name, 0.0) for spec in specs}
        needs = {spec.name: spec.needs for spec in specs}
        threads = {spec.name: spec.threads or MEASURED_CORES for spec in specs}
        for cores in CORES:
            found[f"{config}, {cores} cores"] = judged(needs, seconds, threads, cores)
    return found


def judged(
    needs: dict[str, list[str]], seconds: dict[str, float], threads: dict[str, int], cores: int
) -> dict[str, float]:
    """The time of a schedule, its critical path, and how much longer it is than the larger of both bounds."""
    from pipeline.local.schedule import ranks

    path = max(ranks(needs, seconds).values())
    work = sum(seconds[task] * min(cores, threads[task]) for task in needs) / cores
    took = simulated(needs, seconds, threads, cores)
    return {"schedule_s": took, "critical_path_s": path, "work_s": work, "ratio": took / max(path, work)}


def simulated(needs: dict[str, list[str]], seconds: dict[str, float], threads: dict[str, int], cores: int) -> float:
    """The time that the tasks take, started as a run starts them."""
    from pipeline.local.schedule import next_task, ranks

    rank, now = ranks(needs, seconds), 0.0
    waiting, running = dict(needs), dict[str, float]()
    while waiting or running:
        ready = [task for task in waiting if not any(need in waiting or need in running for need in waiting[task])]
        if task := next_task(ready, running, threads, rank, cores, cores):
            del waiting[task]
            running[task] = now + seconds[task]
            continue
        ended = min(running, key=lambda task: running[task])
        now = running.pop(ended)
    return now


if __name__ == "__main__":
    print(json.dumps(schedule(tuple(Path(name).stem for name in sys.argv[1:]) or ("quick",)), indent=2))
