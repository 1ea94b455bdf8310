"""The commands for finished runs: what each was, how they differ, which is best, and which may go."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from components.common.errors import InputError
from components.common.words import counted, size
from pipeline.runs import RUNS
from pipeline.terminal import tables

if TYPE_CHECKING:
    from pipeline.runs.history import Run

_COLUMNS = ("run", "began (UTC)", "state", "data set", "best model", "metric", "95 % interval", "disk", "changed")
# Columns that a narrow terminal leaves out, beginning with the first.
_OPTIONAL = ("began (UTC)", "disk", "95 % interval")
# The width of the last column, in letters.
_CHANGED = 44
_COLORS = {"failed": "red", "stopped": "yellow", "running": "cyan"}


class _Group(TyperGroup):
    """`runs EXPERIMENT` is `runs list EXPERIMENT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (Click's context)
        if not args or (args[0] not in self.commands and not args[0].startswith("-")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group, help="List runs, or those of one EXPERIMENT; runs show, diff, best, track and prune do more."
)
Name = Annotated[str, typer.Argument(metavar="RUN", help="Such as quick, quick/latest or quick/20261126-184433.")]
Experiment = Annotated[str | None, typer.Argument(help="An experiment's name; all where it is left out.")]


@app.command("list")
def list_command(experiment: Experiment = None) -> None:
    """List runs, the oldest first: state, best model of each data set, and what changed against the run before."""
    from pipeline.runs.history import runs_of
    from pipeline.runs.listing import worn

    console = tables.console()
    for name in _experiments(experiment):
        runs = runs_of(RUNS, name)
        console.print(f"{name}:", highlight=False)
        console.print(_table(_rows(runs), console))
        if finished := [run for run in runs if run.board]:
            _say(*worn(RUNS, finished[-1]))
        _say(*(note for run in runs for note in run.notes))


@app.command("show")
def show_command(run: Name) -> None:
    """Show a run: how it ended, what changed against the run before, its leaderboard, the wear of its test data."""
    from pipeline.commands.leaderboard import show
    from pipeline.runs.diff import changes
    from pipeline.runs.history import find, runs_of
    from pipeline.runs.listing import worn

    found = find(RUNS, run)
    _say(f"{found.experiment}/{found.name}: {found.state}, began {found.began} UTC, in {found.folder}")
    if found.record:
        _say(f"command: {found.record.command}")
    every = runs_of(RUNS, found.experiment)
    if earlier := [one for one in every if one.name < found.name]:
        _say(f"against {earlier[-1].name}: {changes(earlier[-1], found).words()}")
    newer = [one for one in every if one.name > found.name]
    if newer and found.name not in run:
        _say(f"{counted(len(newer), 'newer run')}, the last {found.experiment}/{newer[-1].name}: {newer[-1].state}")
    _say(*found.reasons)
    if found.board:
        print()
        show(found.board, tables.console())
        _say(*worn(RUNS, found))
    _say(*found.notes)


@app.command("diff")
def diff_command(a: Name, b: Name) -> None:
    """Show what differs between run A and run B, and whether B's models are better on the same test examples."""
    from components.metrics.metrics import METRICS
    from pipeline.runs.diff import changes, compare, figures, metric_names, pairs
    from pipeline.runs.history import find

    before, now = find(RUNS, a), find(RUNS, b)
    found = changes(before, now)
    unknown = " not known: an earlier version wrote one of the runs" if found.unknown else " the same"
    for title, lines in (("config", found.lines()), ("data", found.data), ("code", found.code)):
        same = f" {found.data_alike}" if title == "data" else unknown
        _say(f"{title}:{'' if lines else same}", *(f"  {line}" for line in lines))
    for task in METRICS:
        metrics = metric_names(before, now, task)
        table = tables.table("model", "data set", *(f"{metric}, A → B" for metric in metrics), f"B, by {metrics[0]}")
        for model, old, new in pairs(before, now, task):
            both = [figures(model, metrics) for model in (old, new)]
            verdict = compare(before, old, now, new).verdict
            table.add_row(model.model, model.dataset, *map(" → ".join, zip(*both, strict=True)), verdict)
        if table.row_count:
            print()
            tables.console().print(table)
    _say(*before.notes, *now.notes)


@app.command("best")
def best_command(
    experiment: Experiment = None,
    metric: Annotated[str | None, typer.Option(help="Such as accuracy; else the one that ranks models.")] = None,
) -> None:
    """Show the best model of all runs for each test split. Models on different test splits can't be compared."""
    from components.artifacts.leaderboard import figure, interval
    from pipeline.runs.best import best
    from pipeline.runs.listing import worn

    table = tables.table("data set", "test split", "run", "model", "metric", "95 % interval")
    found = best(RUNS, _experiments(experiment), metric)
    for one in found:
        ends = one.model.intervals.get(one.metric, [0.0, 0.0])
        value = f"{one.metric} {figure(one.model.metrics[one.metric])}"
        run = f"{one.run.experiment}/{one.run.name}"
        table.add_row(one.model.dataset, one.split[:8], run, one.model.model, value, interval(ends))
    tables.console().print(table)
    for one in found:
        _say(*worn(RUNS, one.run, one.model.dataset))


@app.command("track")
def track_command(run: Name) -> None:
    """Send a run to the MLflow server that MLFLOW_TRACKING_URI names; what it has already isn't sent again."""
    from pipeline.runs.history import find
    from pipeline.runs.mlflow_server import NotSentError
    from pipeline.runs.tracking import send

    found = find(RUNS, run)
    try:
        print(f"mlflow: {send(found)}")
    except NotSentError as error:
        print(f"error: not sent: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    _say(*found.notes)


@app.command("prune")
def prune_command(
    experiment: Experiment = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Keep so many runs of each experiment, the newest.")] = None,
    older: Annotated[str | None, typer.Option(help="Remove runs that are older: 12h, 30d or 4w.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them without a question.")] = False,
) -> None:
    """Remove old runs, and what only these used: outputs of tasks, checkpoints. `latest` and registered runs stay."""
    from datetime import UTC, datetime, timedelta
    from functools import partial

    from pipeline.runs.prune import age, freed, plan, prune

    if keep is None and older is None:
        raise InputError("runs prune: expected --keep 10, --older 30d, or both: then a run goes where both say so")
    limit = datetime.now(UTC) - (age(older) if older else timedelta())
    plan_of = partial(plan, RUNS, keep=keep, limit=limit)
    planned = plan_of(_experiments(experiment))
    _say(*(f"{name} stays: {reason}" for name, reason in planned.kept.items()))
    if not planned.runs and not planned.checkpoints:
        print("nothing to remove")
        return
    _say(*(f"{run.experiment}/{run.name}, {run.state}, began {run.began} UTC" for run in planned.runs))
    _say(*(f"{one}, {size(freed([one.folder]))}" for one in planned.checkpoints))
    trainings = f", checkpoints of {counted(len(planned.checkpoints), 'training')}" if planned.checkpoints else ""
    outputs = f"{counted(len(planned.outputs), 'folder')} of tasks' outputs"
    what = f"{counted(len(planned.runs), 'run')} and {outputs}{trainings}, {size(freed(planned.folders))}"
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"runs prune: would remove {what}; without a terminal, --yes removes them")
        typer.confirm(f"Remove {what}?", abort=True)
    prune(planned, plan_of)
    print(f"removed {what}")


def _table(rows: list[dict[str, str]], console: Console) -> Table:
    """The table of an experiment's runs, with as many of its columns as there is room for."""
    widths = {name: max(map(cell_len, [name, *(row[name] for row in rows)])) for name in _COLUMNS}
    widths["changed"] = min(widths["changed"], _CHANGED)
    columns = list(_COLUMNS)

    def width(names: list[str]) -> int:
        return sum(widths[name] + 2 for name in names) - 2

    for name in _OPTIONAL:
        if width(columns) > console.width:
            columns.remove(name)
    # rich takes as long for a thousand rows of nine cells as all else takes. Where they fit, it gets two cells.
    parts = [columns[:-1], columns[-1:]] if width(columns) <= console.width else [[name] for name in columns]
    table = tables.table()
    for part in parts:
        table.add_column(_cell({name: name for name in columns}, part, widths), max_width=width(part))
    for row in rows:
        table.add_row(*(_cell(row, part, widths) for part in parts))
    return table


def _cell(row: dict[str, str], part: list[str], widths: dict[str, int]) -> Text:
    """Some columns of a row."""
    cell = Text()
    for name in part:
        text = row[name] if name == part[-1] else f"{set_cell_size(row[name], widths[name])}  "
        cell.append(text, _COLORS.get(row[name]) if name == "state" else None)
    return cell


def _rows(runs: "list[Run]") -> list[dict[str, str]]:
    """The rows of the table of an experiment's runs, one for each run and data set."""
    from pipeline.runs.listing import Result, lines

    rows = []
    for line in lines(runs):
        first = [line.run.name, line.run.began, line.run.state]
        last = [size(line.bytes), line.changed]
        for best in line.results or [Result("", "")]:
            found = [best.dataset, best.model, f"{best.metric} {best.value}".strip(), best.interval]
            rows.append(dict(zip(_COLUMNS, [*first, *found, *last], strict=True)))
            first, last = [""] * len(first), [""] * len(last)
    return rows


def _say(*lines: str) -> None:
    for line in lines:
        print(line)


def _experiments(name: str | None) -> list[str]:
    """The experiments that a command is about.

    Raises:
        InputError: There is no such experiment, or none at all.
    """
    from pipeline.runs.history import experiments, near

    if not (names := experiments(RUNS)):
        raise InputError(f"{RUNS}: no runs; expected those of python -m pipeline run CONFIG")
    if name is not None and name not in names:
        raise InputError(f"{RUNS}: no runs of '{name}'; {near(name, names)}")
    return names if name is None else [name]
