"""The leaderboard as a table in the terminal."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.leaderboard import FEW, METRICS, Leaderboard, ModelEntry, figure
from components.registration import Registered
from pipeline.claims import Verification
from pipeline.local.damage import shown


def show(board: Leaderboard, console: Console) -> None:
    """Print a table for each data set: its models, best first, then its baselines; and whether the first is alone.

    Baselines that beat every model come before all of that, in red.
    """
    datasets = list(dict.fromkeys(model.dataset for model in board.models))
    beaten = [sentence for dataset in datasets if (sentence := board.beaten(dataset))]
    for sentence in beaten:
        console.print(sentence, style="bold red", soft_wrap=True)
    if beaten:
        console.print()
    for dataset in datasets:
        about = board.datasets.get(dataset)
        columns = METRICS[about.task] if about else ()
        few = about is not None and about.few
        size = f", {counted(about.splits['test'])}" if about else ""
        warning = f" [yellow](fewer than {FEW}: a figure with ? says little)[/]" if few else ""
        title = f"{dataset}{size}{warning}"
        table = Table(title=title, title_justify="left", box=None, header_style="dim", padding=(0, 1))
        for heading in ("#", "model"):
            table.add_column(heading, no_wrap=True)
        for heading in (*columns, "95 % interval", "parameters", "epoch", "time"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("gate")
        for model in board.models:
            if model.dataset == dataset:
                table.add_row(*_row(model, columns, few))
        for name, metrics in about.baselines.items() if about else ():
            values = [_figure(metrics[c], few) if c in metrics else "" for c in columns]
            table.add_row("", name, *values, "", "", "", "", "baseline", style="dim")
        console.print(table)
        best = board.best(dataset)
        if best and best.ties:
            console.print(f" {best.model} {best.tied()} (paired bootstrap, 95 %)", style="dim", soft_wrap=True)
        console.print()


def show_refused_formats(board: Leaderboard, console: Console) -> bool:
    """Print a line for each format that was asked for and couldn't be made. False if there is none."""
    refused = [(m.model, n, f.refused) for m in board.models for n, f in m.formats.items() if f.refused]
    for model, name, why in refused:
        console.print(f"[red]{model} was not exported to {name}: {escape(why)}[/]", soft_wrap=True)
    return bool(refused)


def show_registered(found: list[Registered], console: Console) -> None:
    """Print what register did with each data set's winner, and where what it registered is."""
    for done in found:
        console.print(done.sentence, style="yellow" if done.action == "refused" else "", soft_wrap=True)
        if done.action == "registered" and done.path:
            console.print(f"registry: {shown(Path(done.path))}/", soft_wrap=True)


def show_claims(found: Verification, console: Console) -> None:
    """Print a line for each claim; after several seeds one for each metric, with its spread."""
    table = Table(box=None, header_style="dim", padding=(0, 1))
    several = len(found.seeds) > 1
    spread = ("std", "min", "max") if several else ()
    for heading in ("model", "metric"):
        table.add_column(heading, no_wrap=True)
    for heading in ("claimed", "mean" if several else "measured", *spread):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    claims = {(claim.model, claim.metric): claim for claim in found.claims}
    for model, metrics in found.models.items():
        for metric, values in metrics.items():
            claim = claims.get((model, metric))
            if claim or several:
                claimed = f"{claim.value:g} ± {claim.within:g}" if claim else ""
                said = f"[{'green' if claim.holds else 'red'}]{claim.said()}[/]" if claim else ""
                numbers = [values.mean, values.std or 0.0, values.min, values.max] if several else [values.mean]
                table.add_row(model, metric, claimed, *(f"{number:.4f}" for number in numbers), said)
    console.print(table)


def counted(examples: int) -> str:
    """A number of test examples, for people."""
    return f"{examples:,} test example{'' if examples == 1 else 's'}"


def _row(model: ModelEntry, columns: tuple[str, ...], few: bool) -> list[str]:
    if model.rank is None:
        return ["-", model.model, *[""] * (len(columns) + 4), f"[red]{'; '.join(model.reasons)[:60]}[/]"]
    low, high = model.intervals[columns[0]]
    return [
        str(model.rank),
        model.model,
        *(_figure(model.metrics[column], few) for column in columns),
        f"{figure(low)} to {_figure(high, few)}",
        f"{model.parameters:,}",
        f"{model.best_epoch} of {model.epochs}",
        f"{model.train_seconds:.0f} s",
        _gate(model),
    ]


def _figure(value: float, few: bool) -> str:
    """A figure of a test split; with a mark where that is small."""
    return figure(value) + ("[yellow]?[/]" if few else "")


def _gate(model: ModelEntry) -> str:
    if model.gate == "none":
        return "[yellow]no gate[/]"
    return "[green]passed[/]" if model.passed else f"[red]{_refusals(model)}[/]"


def _refusals(model: ModelEntry) -> str:
    failing = [r for r in model.reasons if r.startswith("fails")]
    return failing[0] if failing else "refused"
