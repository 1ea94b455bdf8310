"""The command for serving: serve."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.predictions import Model

app = typer.Typer()


@app.command("serve")
def serve_command(
    model: Model,
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen at.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
) -> None:
    """Serve a model over HTTP, with the server of the image `serving`; Ctrl-C ends it."""
    from components.models.model_folder import find_model
    from components.serve.server import serve
    from components.serve.settings import Settings

    def find(name: str) -> Path:
        return find_model(name).path

    serve(Settings(model, host, port), find)
