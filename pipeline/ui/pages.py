"""The pages: the experiments, the runs of one, a run, and the difference of two runs."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError
from markupsafe import Markup

from components.common.errors import InputError
from components.metrics.metrics import METRICS
from components.report.page import FOLDER, environment
from pipeline.runs import LATEST, REPORT
from pipeline.runs.diff import changes, compare, figures, metric_names, pairs
from pipeline.runs.history import NAME, Run, experiments, folders, load, near, runs_of
from pipeline.runs.listing import lines, results, worn

TEMPLATES = Path(__file__).with_name("templates")
# What a run's page links to, where it is there.
_FILES = (REPORT, "leaderboard.json", "run.json", "registered.json", "pipeline.yaml")


def experiments_page(runs: Path) -> Markup:
    """The experiments, each with its last run."""
    found = []
    for name in _names(runs):
        names = _run_names(runs, name)
        try:
            last = find(runs, name, names[-1])
        except (IndexError, InputError):
            last = None
        found.append({"name": name, "runs": len(names), "last": last, "results": results(last) if last else []})
    return _render("experiments.html", experiments=found, folder=runs.absolute())


def runs_page(runs: Path, experiment: str) -> Markup:
    """The runs of an experiment, the newest first, two of which can be chosen.

    Raises:
        InputError: There is no such experiment.
    """
    if experiment not in (names := _names(runs)):
        raise InputError(f"no runs of '{experiment}'; {near(experiment, names)}")
    every = [run for run in runs_of(runs, experiment) if inside(runs, run.folder)]
    listed = list(lines(every))[::-1]
    metrics: dict[str, str] = {}
    for line in listed:
        for name, entry in line.run.board.datasets.items() if line.run.board else ():
            metrics.setdefault(name, METRICS[entry.task][0].heading(entry.unit))
    measured = next((line.run for line in listed if line.run.board), None)
    return _render(
        "runs.html",
        experiment=experiment,
        lines=listed,
        metrics=metrics,
        worn=worn(runs, measured) if measured else [],
        notes=[note for run in every for note in run.notes],
    )


def run_page(runs: Path, experiment: str, name: str) -> Markup:
    """A run: how it ended, its leaderboard, and links to its files.

    Raises:
        InputError: There is no such run.
    """
    run = find(runs, experiment, name)
    earlier = [one for one in _run_names(runs, experiment) if one < run.name]
    before, changed = None, ""
    if earlier:
        try:
            before = find(runs, experiment, earlier[-1])
            changed = changes(before, run).words()
        except InputError as error:
            changed = str(error)
    curves, logs = run.folder / "tensorboard", run.folder / "logs"
    values: dict[str, Any] = {
        "run": run,
        "before": before,
        "changed": changed,
        "took": _took(run),
        "files": [file for file in _FILES if (run.folder / file).is_file()],
        "logs": sorted(path.name for path in logs.iterdir() if _shown(path.name)) if logs.is_dir() else [],
        "curves": f"python -m tensorboard.main --logdir {shlex.quote(str(curves))}" if curves.is_dir() else "",
        "worn": worn(runs, run),
        "contests": {},
        "backtests": {},
        "models": [],
    }
    try:
        return _render("one_run.html", **values, board=run.board, notes=run.notes)
    except (LookupError, TypeError, ValueError, UndefinedError):
        note = f"{run.folder}/leaderboard.json: lacks what this version shows of it"
        return _render("one_run.html", **values, board=None, notes=[*run.notes, note])


def diff_page(runs: Path, a: str, b: str) -> Markup:
    """The differences of run B from run A, each <experiment>/<run>.

    Raises:
        InputError: There is no such run.
    """
    for key, name in (("a", a), ("b", b)):
        if name.count("/") != 1:
            raise InputError(f"{key}={name}: expected <experiment>/<run>; choose two runs in the list of an experiment")
    before, now = (find(runs, *name.split("/")) for name in (a, b))
    tables = []
    for task in METRICS:
        metrics = metric_names(before, now, task)
        rows = []
        for model, old, new in pairs(before, now, task):
            verdict = compare(before, old, now, new).verdict
            rows.append((model, list(zip(figures(old, metrics), figures(new, metrics), strict=True)), verdict))
        if rows:
            tables.append({"task": task, "metrics": metrics, "rows": rows})
    return _render("diff.html", before=before, now=now, changes=changes(before, now), tables=tables)


def problem_page(title: str, lines: list[str]) -> Markup:
    """A page that says why there is no other one."""
    return _render("problem.html", title=title, lines=lines)


def find(runs: Path, experiment: str, name: str) -> Run:
    """Read a run of the folder.

    Raises:
        InputError: There is none, or it isn't a run, or it lies elsewhere.
    """
    folder = runs / experiment / name
    if name == LATEST:
        folder = folder.parent / folder.resolve().name
    known = experiment in _names(runs) and NAME.fullmatch(folder.name) and inside(runs, folder)
    if not known or not folder.is_dir():
        raise InputError(f"no run {experiment}/{name}; it may have been removed")
    return load(folder)


def inside(runs: Path, path: Path) -> bool:
    """Whether a path, links followed, lies in the folder of all runs."""
    return path.resolve().is_relative_to(runs.resolve())


def _names(runs: Path) -> list[str]:
    """The experiments that are shown."""
    return [name for name in experiments(runs) if _shown(name) and inside(runs, runs / name)]


def _run_names(runs: Path, experiment: str) -> list[str]:
    """The names of an experiment's runs, the oldest first."""
    found = folders(runs / experiment)
    return [path.name for path in found if not path.is_symlink() or inside(runs, path)]


def _shown(name: str) -> bool:
    return name.isprintable() and not name.startswith(".")


def _took(run: Run) -> float | None:
    """The seconds that a run took; None where they aren't known."""
    try:
        started, ended = (datetime.fromisoformat(t or "") for t in (run.record.started, run.record.ended))  # type: ignore[union-attr]
        return (ended - started).total_seconds()
    except (AttributeError, TypeError, ValueError):
        return None


def _render(template: str, **values: object) -> Markup:
    return Markup(environment(TEMPLATES, FOLDER).get_template(template).render(values))  # noqa: S704 (escaped)
