"""The command submit, for Vertex AI and Kubeflow."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from components.common.errors import InputError
from pipeline.commands.options import Bucket, Config, Parameter, Project, Promote, Region, Set, Tags
from pipeline.terminal import tables
from pipeline.vertex.settings import Settings, find_settings

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PipelineJob

    from pipeline.experiment.experiment import Experiment


app = typer.Typer()


@app.command()
def submit(
    config: Config,
    overrides: Set = None,
    project: Project = None,
    region: Region = None,
    bucket: Bucket = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the tasks until the job has ended.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent and its cost; send nothing.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Look for project, bucket and images, print who needs which role; send nothing."),
    ] = False,
    job_id: Annotated[
        str | None, typer.Option(help="The job's id; made of the experiment and the time without.")
    ] = None,
    parameters: Parameter = None,
    promote: Promote = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failed task; on Kubeflow with --wait.")
    ] = False,
    allow_tags: Tags = False,
    kubeflow: Annotated[
        str | None, typer.Option(metavar="HOST", help="Submit to Kubeflow Pipelines at this address instead.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Of a Kubeflow with several users.")] = None,
) -> None:
    """Compile an experiment and submit it to Vertex AI, or to Kubeflow."""
    from pipeline.experiment.experiment import load_experiment
    from pipeline.graph.compile import compile_experiment
    from pipeline.vertex.request import job_images, new_job_id, pipeline_job

    experiment = load_experiment(config, overrides or [])
    job_id = job_id or new_job_id(experiment.name)
    values = _parameters(parameters) | ({"promote": True} if promote else {})
    if kubeflow:
        if check:
            raise InputError("--check: looks at Vertex AI; with --kubeflow, --dry-run shows what would be sent")
        from pipeline.commands.kubeflow import submit_to_kubeflow

        flags = {"wait": wait, "fail_fast": fail_fast, "dry_run": dry_run, "moving_tags": allow_tags}
        submit_to_kubeflow(experiment, kubeflow, namespace, job_id, values, **flags)
        return
    settings = find_settings(project, region, bucket)
    path, digest = compile_experiment(experiment)
    request = pipeline_job(experiment, path, digest, settings, values, fail_fast=fail_fast, moving_tags=allow_tags)
    if dry_run:
        _print_dry_run(experiment, {**request, "pipeline_spec": f"{path}, SHA-256 {digest}"}, job_id, settings)
        return
    from pipeline.vertex.preflight import preflight
    from pipeline.vertex.submit import job_url, submit_job

    for note in preflight(settings, job_images(request)):
        print(f"note: {note}")
    if check:
        _print_roles(experiment, settings)
        return
    job = submit_job(request, job_id, settings)
    print(f"submitted {job_id} to {settings.project} in {settings.region}")
    print(job_url(job.name, settings), flush=True)
    if experiment.vertex.experiment:
        from pipeline.vertex.experiments import add_to_experiment

        add_to_experiment(job, experiment.vertex.experiment, settings)
        print(f"added to the Vertex experiment {experiment.vertex.experiment}")
    if wait:
        _wait(job, settings)


def _wait(job: "PipelineJob", settings: Settings) -> None:
    from pipeline.vertex.follow import JobFailedError, follow

    job_id = job.name.rsplit("/", 1)[-1]
    try:
        follow(job, settings, tables.console())
    except KeyboardInterrupt:
        print(f"\nno longer following; the job goes on. To end it: python -m pipeline cancel {job_id}", flush=True)
        raise
    except JobFailedError as error:
        print(f"error: {error}")
        print(f"python -m pipeline logs {job_id} [TASK] shows what the tasks printed")
        raise SystemExit(1) from None
    print(f"results: {settings.root}/{job.name.split('/')[1]}/{job_id}/")


def _print_roles(experiment: "Experiment", settings: Settings) -> None:
    from pipeline.vertex.roles import roles

    needed = roles(experiment.vertex, settings)
    table = tables.table("role", "who", "why")
    for role in needed:
        table.add_row(role.role, role.who, role.why)
    tables.console().print(table)
    print("these commands grant them, infrastructure/ does too:")
    for role in needed:
        print(role.command)
    print(f"{experiment.name}: parameters, labels, images, project and bucket are as they should be; nothing was sent")


def _print_dry_run(experiment: "Experiment", job: dict[str, object], job_id: str, settings: Settings) -> None:
    from pipeline.vertex.prices import costs, load_prices

    request = {"parent": settings.parent, "pipeline_job_id": job_id, "pipeline_job": job}
    print(yaml.safe_dump(request, sort_keys=False, width=110), end="")
    table = tables.table("task", "machine", "US$ an hour, while it runs")
    for task, machine, price in costs(experiment):
        table.add_row(task, machine, f"{price:.2f}" if price is not None else "not in configs/prices.yaml")
    tables.console().print(table)
    prices = load_prices()
    print(
        f"and {prices.run:g} for the run; nothing was sent; prices are those of configs/prices.yaml, read {prices.read}"
    )


def _parameters(pairs: list[str] | None) -> dict[str, object]:
    """The values of --parameter by name. A value is JSON or else a text."""
    values: dict[str, object] = {}
    for pair in pairs or []:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--parameter {pair}: expected NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values
