"""The command that shows runs in a browser: ui."""

from typing import Annotated

import typer

from pipeline.runs import RUNS

app = typer.Typer()


@app.command("ui")
def ui_command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen at; 0 for a free one.")] = 0,
) -> None:
    """Show the runs in a browser: serves pages on this machine alone, which only read; Ctrl-C ends it."""
    from pipeline.ui.server import serve

    serve(RUNS, port)
