"""Write the page of a run from the outputs of its tasks."""

import json
from pathlib import Path

from components.artifacts.evaluation import Evaluation
from components.artifacts.export import Exported
from components.artifacts.leaderboard import Leaderboard
from components.artifacts.model import ModelInfo
from components.artifacts.search import Search
from components.common.files import write_text
from components.report import data_section, folds, model_section, training
from components.report.about import About
from components.report.page import render
from components.report.run_section import TaskRun, run_section
from components.report.versions import versions

Folders = dict[str, str | None]


def report(
    about_json: str,
    failures_json: str,
    pipeline_sha256: str,
    datasets: Folders,
    models: Folders,
    evaluations: Folders,
    exports: Folders,
    leaderboard: str | None,
    searches: Folders,
    path: str,
) -> None:
    """Write the page to a path. The same outputs of the same tasks give the same page, to the byte.

    The arguments are those of the component, by whose docstring KFP describes them.
    """
    about = About.model_validate_json(about_json)
    failures: dict[str, str] = json.loads(failures_json)
    board = Leaderboard.load(leaderboard) if leaderboard else None
    data = {name: data_section.read(folder) for name, folder in datasets.items() if folder}
    sections = []
    for name, folder in models.items():
        if folder is None:
            continue
        model = ModelInfo.load(folder)
        evaluated, exported = evaluations[name], exports[name]
        sections.append(
            model_section.section(
                model,
                data[model.dataset],
                Evaluation.load(evaluated) if evaluated else None,
                Path(evaluated) if evaluated else None,
                Exported.load(exported) if exported else None,
                next((entry for entry in board.models if entry.model == name), None) if board else None,
                Search.load(searched) if (searched := searches.get(name)) else None,
            )
        )
    order, contests, backtests = {}, {}, {}
    if board:
        order = {entry.model: i for i, entry in enumerate(board.models)}
        contests = {name: training.contest(board, name) for name in board.datasets if board.best(name)}
        backtests = {name: folds.drawn(board, name) for name, entry in board.datasets.items() if entry.backtest}
    html = render(
        "page.html",
        about=about,
        failures=failures,
        board=board,
        contests=contests,
        backtests=backtests,
        run=run_section(board.run if board else "", board.created if board else "", _tasks(about, failures)),
        data=[data_section.section(dataset) for dataset in data.values()],
        models=sorted(sections, key=lambda section: order.get(section.info.name, 0)),
        pipeline_sha256=pipeline_sha256,
        trained_on=sorted({(machine.cpu, machine.cores) for part in sections if (machine := part.info.machine)}),
        versions=versions(),
    )
    write_text(Path(path), html + "\n")


def _tasks(about: About, failures: dict[str, str]) -> list[TaskRun]:
    """The tasks with the states that this task can know: those that failed, and those that couldn't run then."""
    known: dict[str, TaskRun] = {}
    for name, needs in about.tasks.items():
        before = [known[need].state for need in needs]
        if name in failures:
            state, why = "failed", failures[name]
        elif "failed" in before or "skipped" in before:
            state, why = "skipped", "a task before it failed"
        else:
            state, why = "", ""
        known[name] = TaskRun(name=name, needs=needs, state=state, why=why)
    return list(known.values())
