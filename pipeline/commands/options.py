"""The options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Project = Annotated[str | None, typer.Option(help="Google Cloud project; else GOOGLE_CLOUD_PROJECT, or gcloud's.")]
Region = Annotated[str | None, typer.Option(help="Such as us-central1; else GOOGLE_CLOUD_REGION, or gcloud's.")]
Bucket = Annotated[str | None, typer.Option(help="gs://bucket/folder that runs are written to; else PIPELINE_BUCKET.")]
Config = Annotated[Path, typer.Argument(help="The experiment: a YAML file such as configs/families.yaml.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value for this run: models.cnn.epochs=3. Repeatable."),
]
Job = Annotated[str, typer.Argument(help="The job's id, as submit printed it.")]
Promote = Annotated[
    bool, typer.Option("--promote", help="Register a winner that can't be told apart from the current version, too.")
]
Tags = Annotated[bool, typer.Option("--allow-tags", help="Accept an image named by a tag, which can move.")]
Parameter = Annotated[
    list[str] | None,
    typer.Option("--parameter", metavar="NAME=VALUE", help="A value for a parameter of the compiled file. Repeatable."),
]
