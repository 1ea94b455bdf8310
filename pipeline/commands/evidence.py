"""The commands for evidence: prove, audit."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from components.common.words import size
from pipeline.commands.runs import Name
from pipeline.runs import RUNS
from pipeline.terminal import tables

app = typer.Typer()


@app.command("prove")
def prove_command(
    run: Name,
    model: Annotated[str, typer.Option(help="The model.")],
    key: Annotated[Path | None, typer.Option(help="A key of ssh-keygen's to sign with.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; else <experiment>-<model>.proof.")] = None,
) -> None:
    """Write the proof of a model into one file: what went into it, its training's checkpoints, what came out of it."""
    from pipeline.evidence.proof import prove
    from pipeline.runs.history import find

    found = find(RUNS, run)
    path = output or Path(f"{found.experiment}-{model}.proof")
    prove(found, model, key, path)
    signed = f"signed with {key}" if key else "unsigned; --key signs it"
    print(f"{path}: {model} of {found.experiment}/{found.name}, {size(path.stat().st_size)}, {signed}")


@app.command("audit")
def audit_command(
    file: Annotated[Path, typer.Argument(help="A file that prove wrote.")],
    allowed_signers: Annotated[
        Path | None, typer.Option(help="Who may have signed it: allowed signers, see the manual of ssh-keygen.")
    ] = None,
    step: Annotated[int | None, typer.Option(help="Train on from this kept step; else from one at random.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the data are here, if the source reads a file.")] = None,
) -> None:
    """Check a proof: train some of its steps again, predict and measure again; exit code 1 where something fails."""
    from pipeline.evidence.audit import audit

    lines = audit(file, allowed_signers, step, data, lambda text: print(_plain(text), flush=True))
    table = tables.table("", "", "")
    for line in lines:
        state = {True: "[green]holds[/]", False: "[red]fails[/]", None: "[yellow]not checked[/]"}[line.holds]
        table.add_row(line.what, state, escape(_plain(line.found)))
    tables.console().print(table)
    failing = [line.what for line in lines if line.holds is False]
    print(f"fails: {', '.join(failing)}" if failing else "all that was checked holds")
    if failing:
        raise typer.Exit(1)


def _plain(text: str) -> str:
    """A text of a stranger's file, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
