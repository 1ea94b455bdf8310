"""The leaderboard as a table in the terminal."""

import functools
import os
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.artifacts.backtest import Spread
from components.artifacts.leaderboard import FEW, Leaderboard, ModelEntry, figure, interval
from components.artifacts.registration import Registered
from components.common.words import counted
from components.metrics.metrics import found_in
from pipeline.experiment.claims import Verification
from pipeline.terminal.tables import fitting

# Columns that a narrow terminal leaves out, beginning with the first. The metrics follow, from the last to the second.
_OPTIONAL = ("parameters", "epoch", "time")
# A terminal that is narrower has no room for this column beside the names.
_INTERVAL, _INTERVAL_WIDTH = "95 % interval", 60
_COLORS = {"refused": "red", "passed": "green"}


def show(board: Leaderboard, console: Console) -> None:
    """Print a table for each data set: its models, best first, then its baselines.

    Sentences on baselines that beat every model come first, in red. A line below each table says which models can't be
    told apart from the best, and one before it which models' folds aren't fair, for a search knew later rows.
    """
    datasets = list(dict.fromkeys(model.dataset for model in board.models))
    beaten = [sentence for dataset in datasets if (sentence := board.beaten(dataset))]
    for sentence in beaten:
        console.print(sentence, style="bold red", soft_wrap=True)
    if beaten:
        console.print()
    for dataset in datasets:
        # The report has the columns that a narrow terminal leaves out.
        optional = [*_OPTIONAL, *reversed(_metrics(board, dataset)[1:])]
        always = [_INTERVAL]
        if console.width < _INTERVAL_WIDTH:
            optional, always = optional + always, []
        console.print(fitting(functools.partial(_table, board, dataset, always), optional, console))
        for model in board.models:
            if model.dataset == dataset and (model.gate == "refused" or model.rank is None):
                console.print(f" [red]{model.model}: {escape('; '.join(_problems(model)))}[/]", soft_wrap=True)
            elif model.dataset == dataset and "," in (verdict := board.verdict(model)):
                reasons = escape("; ".join(model.reasons))
                console.print(f" [yellow]{model.model}: {verdict}; {reasons}[/]", soft_wrap=True)
        entry = board.datasets.get(dataset)
        if entry and entry.backtest and (warning := entry.backtest.warning):
            console.print(f" {warning}", style="yellow", soft_wrap=True)
        if undecided := board.undecided(dataset):
            console.print(f" {undecided}", style="dim", soft_wrap=True)
        console.print()


def _metrics(board: Leaderboard, dataset: str) -> list[str]:
    """The metrics of a data set's models, the one that ranks them first."""
    entry = board.datasets.get(dataset)
    own = [model.metrics for model in board.models if model.dataset == dataset]
    return [metric.name for metric in found_in(entry.task, own)] if entry else []


def _table(board: Leaderboard, dataset: str, always: list[str], further: Sequence[str]) -> Table:
    """The table of a data set. Of the columns that can be left out it has those of `always` and the further ones."""
    shown = [*always, *further]
    entry = board.datasets.get(dataset)
    every = _metrics(board, dataset)
    metrics = every[:1] + [metric for metric in every[1:] if metric in shown]
    optional = [column for column in (_INTERVAL, *_OPTIONAL) if column in shown]
    few = entry is not None and entry.few
    size = f", {counted(entry.splits['test'], 'test example')}" if entry else ""
    warning = f" [yellow](fewer than {FEW}: a figure with ? says little)[/]" if few else ""
    table = Table(title=f"{dataset}{size}{warning}", title_justify="left", box=None, header_style="dim", padding=(0, 1))
    folds = entry.backtest if entry else None
    over = [f"{metrics[0]}, {len(folds.folds)} folds"] if folds and metrics else []
    table.add_column("#")
    table.add_column("model", overflow="fold")
    for heading in (*metrics, *over, *optional):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    for model in board.models:
        if model.dataset == dataset:
            spread = [_spread(folds.models.get(model.model), metrics[0])] if folds and over else []
            table.add_row(*_row(model, board.verdict(model), metrics, few, spread, optional))
    for name, values in entry.baselines.items() if entry else ():
        spread = [_spread(folds.baselines.get(name), metrics[0])] if folds and over else []
        row = [*_figures(values, metrics, few), *spread, *[""] * len(optional)]
        table.add_row("", name, *row, "baseline", style="dim")
    return table


def show_refused_formats(board: Leaderboard, console: Console) -> bool:
    """Print a line for each requested format that couldn't be exported. Returns False where there is none."""
    refused = [(m.model, n, f.refused) for m in board.models for n, f in m.formats.items() if f.refused]
    for model, name, why in refused:
        console.print(f"[red]{model} was not exported to {name}: {escape(why)}[/]", soft_wrap=True)
    return bool(refused)


def show_registered(registered: list[Registered], console: Console) -> None:
    """Print a sentence on each data set's winner, and the folder where it was registered."""
    for winner in registered:
        console.print(winner.sentence, style="yellow" if winner.action == "refused" else "", soft_wrap=True)
        if winner.action == "registered" and winner.path:
            console.print(f"registry: {os.path.relpath(winner.path)}/", soft_wrap=True)


def show_claims(verification: Verification, console: Console) -> None:
    """Print a line for each claim. After several seeds, print a line for each metric, with its spread."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    several = len(verification.seeds) > 1
    spread = ("std", "min", "max") if several else ()
    for heading in ("model", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("claimed", "mean" if several else "measured", *spread):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    claims = {(claim.model, claim.metric): claim for claim in verification.claims}
    for model, metrics in verification.models.items():
        for metric, values in metrics.items():
            claim = claims.get((model, metric))
            if claim or several:
                claimed = f"{claim.value:g} ± {claim.within:g}" if claim else ""
                verdict = f"[{'green' if claim.holds else 'red'}]{claim.words()}[/]" if claim else ""
                numbers = [values.mean, values.std or 0.0, values.min, values.max] if several else [values.mean]
                table.add_row(model, metric, claimed, *(f"{number:.4f}" for number in numbers), verdict)
    console.print(table)


def _row(
    model: ModelEntry, verdict: str, metrics: list[str], few: bool, spread: list[str], optional: Sequence[str]
) -> list[str]:
    if model.rank is None:
        return ["-", model.model, *[""] * len(metrics), *spread, *[""] * len(optional), f"[red]{verdict}[/]"]
    more = {
        _INTERVAL: interval(model.intervals[metrics[0]]) + ("[yellow]?[/]" if few else ""),
        "parameters": f"{model.parameters:,}",
        "epoch": f"{model.best_epoch} of {model.epochs}",
        "time": f"{model.train_seconds:.0f} s",
    }
    return [
        str(model.rank),
        model.model,
        *_figures(model.metrics, metrics, few),
        *spread,
        *(more[name] for name in optional),
        f"[{_COLORS.get(verdict, 'yellow')}]{verdict.partition(',')[0]}[/]",
    ]


def _figures(values: dict[str, float], metrics: list[str], few: bool) -> list[str]:
    """The metrics of a test split, with a question mark where it is small. An older run may lack one."""
    mark = "[yellow]?[/]" if few else ""
    return [figure(values[metric]) + mark if metric in values else "" for metric in metrics]


def _spread(over_folds: dict[str, Spread] | None, metric: str) -> str:
    """The mean and the standard deviation of a metric over the folds; empty where a fold failed."""
    if not over_folds or metric not in over_folds:
        return ""
    return f"{figure(over_folds[metric].mean)} ± {figure(over_folds[metric].std or 0.0)}"


def _problems(model: ModelEntry) -> list[str]:
    """The reasons why a model was refused, or failed."""
    return [reason for reason in model.reasons if reason.startswith("fails")] or model.reasons
