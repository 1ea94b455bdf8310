"""The section of a report about the runs before, which the report's own task can't know."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path

from components.artifacts.leaderboard import Leaderboard, figure
from components.metrics.metrics import METRICS
from components.report.page import render
from pipeline.runs.diff import compare
from pipeline.runs.history import Run, runs_of
from pipeline.runs.ledger import reads, wear

# The most runs that it draws, the last ones.
_SHOWN = 50
_WIDTH, _HEIGHT, _LEFT, _EDGE = 760, 190, 70, 14


def with_history(page: str, folder: Path, board: Leaderboard) -> str:
    """Add the section about the runs before to the report of the run in `folder`."""
    now = Run(folder, "finished", None, board)
    runs = [run for run in runs_of(folder.parent.parent, folder.parent.name, _SHOWN) if run.name < folder.name]
    parts = [_part(dataset, [run for run in runs if run.board] + [now]) for dataset in board.datasets]
    shown = [part for part in parts if part]
    section = render("history.html", parts=shown, width=_WIDTH, height=_HEIGHT, left=_LEFT)
    link, run = '<a href="#run">', "<!--run-->"
    return page.replace(link, f'<a href="#history">History</a>\n{link}', 1).replace(run, f"{section}\n{run}", 1)


def _part(dataset: str, runs: list[Run]) -> dict[str, object] | None:
    """What is said and drawn of a data set; None where the last of the runs has no model of it."""
    now = runs[-1]
    ranked = [(run, best) for run in runs if run.board and (best := run.board.best(dataset))]
    if not ranked or ranked[-1][0] is not now or now.board is None:
        return None
    metric = METRICS[now.board.datasets[dataset].task][0].name
    ranked = [(run, best) for run, best in ranked if metric in best.metrics]
    best = ranked[-1][1]
    sentences = wear(reads(now.folder.parent.parent), now.splits.get(dataset, ""), best.intervals[metric])
    if len(ranked) > 1:
        last, before = ranked[-2]
        verdict = compare(last, before, now, best).verdict
        sentences.insert(
            0, f"the best model, {best.model}, {_said(verdict)} {before.model} of the last run, {last.name}"
        )
    spans = [best.intervals.get(metric) or [best.metrics[metric]] * 2 for _, best in ranked]
    low, high = min(low for low, _ in spans), max(high for _, high in spans)

    def y(value: float) -> float:
        return round(_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (value - low) / ((high - low) or 1), 1)

    step = (_WIDTH - _LEFT - 2 * _EDGE) / max(1, len(ranked) - 1)
    points = [
        {
            "run": run.name,
            "began": run.began,
            "model": best.model,
            "value": best.metrics[metric],
            "ends": ends,
            "same": run.splits.get(dataset) == now.splits.get(dataset),  # test data
            "x": round(_LEFT + _EDGE + i * step, 1),
            "y": y(best.metrics[metric]),
            "top": y(ends[1]),
            "bottom": y(ends[0]),
        }
        for i, ((run, best), ends) in enumerate(zip(ranked, spans, strict=True))
    ]
    lines = [
        " ".join(f"{point['x']},{point['y']}" for point in group)
        for same, group in groupby(points, itemgetter("same"))
        if same
    ]
    ticks = [{"y": y(value), "text": figure(value)} for value in (low, (low + high) / 2, high)]
    return {
        "dataset": dataset,
        "metric": METRICS[now.board.datasets[dataset].task][0].heading(now.board.datasets[dataset].unit),
        "sentences": sentences,
        "points": points,
        "lines": lines,
        "ticks": ticks,
    }


def _said(verdict: str) -> str:
    """A verdict as the middle of a sentence."""
    words = {"can't be told apart": f"{verdict} from", "the same predictions": f"has {verdict} as"}
    words |= {"other test data": f"has {verdict} than"}
    return words.get(verdict) or (f"is {verdict} than" if " by " in verdict else f"{verdict}, so not with")
