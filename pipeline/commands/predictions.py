"""The commands for new data: predict, drift."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from components.common.errors import InputError
from pipeline.runs import REGISTRY
from pipeline.terminal import tables

app = typer.Typer()

# The exit code where data have drifted.
DRIFTED = 3

Model = Annotated[str, typer.Option(help="A model's folder: runs/registry/<experiment>/<data set>/current.")]
Source = Annotated[
    str, typer.Option("--input", help="A file or a folder: pictures, idx files, CSV series or TFRecords; gs:// too.")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Load a model that the registry in runs/ didn't write. A SavedModel is a program: it can do all you can.",
    ),
]


@app.command("predict")
def predict_command(
    model: Model,
    source: Source,
    output: Annotated[str, typer.Option(help="The file of JSON lines to write.")] = "predictions.jsonl",
    every_window: Annotated[
        bool, typer.Option("--every-window", help="Forecast from every window of a series, not from its end alone.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Predict new data; what can't be predicted goes to <output>.errors.jsonl, and the rest goes on."""
    from components.predict.predict import predict

    with _progress() as progress:
        predict(model, source, output, every_window, progress, None if trust else REGISTRY)


@app.command("drift")
def drift_command(
    model: Model,
    source: Source,
    threshold: Annotated[float, typer.Option(min=0, help="Of a feature's PSI and KS.")] = 0.2,
    output: Annotated[Path | None, typer.Option(help="Write what was found as JSON, too.")] = None,
    trust: Trust = False,
) -> None:
    """Compare new data with a model's training data; exit code 3 where a feature has moved beyond the threshold."""
    from components.common.files import write_text
    from components.drift.drift import drift

    with _progress() as progress:
        result = drift(model, source, threshold, progress, None if trust else REGISTRY)
    table = tables.table("feature", "PSI", "KS", "training", "new", "")
    for name, feature in result.features.items():
        label = f"{name}: {feature.note}" if feature.note else name
        ks = "" if feature.ks is None else f"{feature.ks:.3f}"
        means = (f"{feature.training:.4g}", f"{feature.new:.4g}")
        table.add_row(label, f"{feature.psi:.3f}", ks, *means, "has drifted" if feature.drifted else "")
    tables.console().print(table)
    drifted = result.drifted()
    failed = f", {result.failed:,} can't be read" if result.failed else ""
    print(f"{result.examples:,} examples{failed}; drifted: {', '.join(drifted) or 'nothing'} (threshold {threshold:g})")
    if result.missing:
        values = ", ".join(f"{count:,} of {column}" for column, count in result.missing.items())
        print(f"missing values, filled or left out: {values}")
    if output:
        try:
            write_text(output, result.model_dump_json(indent=2) + "\n")
        except (OSError, ValueError) as error:
            raise InputError(f"{output}: {getattr(error, 'strerror', None) or error}") from None
    if drifted:
        raise typer.Exit(DRIFTED)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Yield a function of the number of examples read, which shows that number on a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} examples"), TimeElapsedColumn())
    console = Console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda examples: progress.update(task, completed=examples)
