"""The commands of clusters: submit, status, logs, cancel, list, batch-predict; schedules have a file of their own."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from components.common.errors import InputError
from pipeline.commands.machines import machines_command
from pipeline.commands.options import Bucket, Config, Job, Parameter, Project, Promote, Region, Set, Tags
from pipeline.commands.schedules import schedule_app
from pipeline.terminal import tables
from pipeline.vertex.settings import Settings, settings


def submit(
    config: Config,
    overrides: Set = None,
    project: Project = None,
    region: Region = None,
    bucket: Bucket = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the tasks until the job has ended.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be sent and its cost; send nothing.")] = (
        False
    ),
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
    from pipeline.vertex.request import job_images, new_job_id

    experiment = load_experiment(config, overrides or [])
    job_id = job_id or new_job_id(experiment.name)
    values = _parameters(parameters) | ({"promote": True} if promote else {})
    if kubeflow:
        if check:
            raise InputError("--check: looks at Vertex AI; with --kubeflow, --dry-run shows what would be sent")
        from pipeline.commands.kubeflow import submit_to_kubeflow

        how = {"wait": wait, "fail_fast": fail_fast, "dry_run": dry_run, "moving_tags": allow_tags}
        submit_to_kubeflow(experiment, kubeflow, namespace, job_id, values, **how)
        return
    there = settings(project, region, bucket)
    path, digest = compile_experiment(experiment)
    from pipeline.vertex.request import pipeline_job

    job = pipeline_job(experiment, path, digest, there, values, fail_fast=fail_fast, moving_tags=allow_tags)
    if dry_run:
        _print_dry_run(experiment, path, digest, job, job_id, there)
        return
    from pipeline.vertex.preflight import preflight
    from pipeline.vertex.submit import job_url
    from pipeline.vertex.submit import submit as send

    for note in preflight(there, job_images(job)):
        print(f"note: {note}")
    if check:
        _print_roles(experiment, there)
        return
    made = send(job, job_id, there)
    print(f"submitted {job_id} to {there.project} in {there.region}")
    print(job_url(made.name, there), flush=True)
    if experiment.vertex.experiment:
        from pipeline.vertex.experiments import add_to_experiment

        add_to_experiment(made, experiment.vertex.experiment, there)
        print(f"added to the Vertex experiment {experiment.vertex.experiment}")
    if wait:
        _wait(made, there)


def status(job: Job, project: Project = None, region: Region = None) -> None:
    """Show a job on Vertex AI and its tasks."""
    from pipeline.vertex.follow import state, task_names
    from pipeline.vertex.jobs import get_job
    from pipeline.vertex.submit import job_url

    there = settings(project, region, None, needs_bucket=False)
    found = get_job(job, there)
    details = {detail.task_name: detail for detail in found.job_detail.task_details}
    table = tables.table("task", "state", "started", "took", "")
    for name in task_names(found):
        detail = details.get(name)
        if detail is None:
            table.add_row(name, "waiting")
            continue
        took = (detail.end_time or datetime.now(UTC)) - detail.start_time if detail.start_time else None
        error = " ".join(detail.error.message.split())
        table.add_row(name, detail.state.name.lower(), tables.time(detail.start_time), tables.took(took), error)
    console = tables.console()
    console.print(table)
    print(f"{job}: {state(found).lower()}  {job_url(found.name, there)}")


def logs(
    job: Job,
    task: Annotated[str | None, typer.Argument(help="A task, such as train-cnn; all of them without.")] = None,
    project: Project = None,
    region: Region = None,
) -> None:
    """Print what the tasks of a job on Vertex AI printed."""
    from pipeline.vertex.jobs import get_job, log_lines

    there = settings(project, region, None, needs_bucket=False)
    for line in log_lines(get_job(job, there), there, task):
        print(line)


def cancel(job: Job, project: Project = None, region: Region = None) -> None:
    """Cancel a job on Vertex AI, and the training jobs that it launched."""
    from pipeline.vertex.jobs import cancel_job

    there = settings(project, region, None, needs_bucket=False)
    for launched in cancel_job(job, there):
        print(f"{launched}: cancelling")
    print(f"{job}: cancelling; `python -m pipeline status {job}` shows how far it is")


def list_command(
    experiment: Annotated[str | None, typer.Argument(help="Only jobs of this experiment.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 20,
    project: Project = None,
    region: Region = None,
) -> None:
    """List the newest jobs on Vertex AI that submit made."""
    from pipeline.vertex.follow import state
    from pipeline.vertex.jobs import list_jobs

    there = settings(project, region, None, needs_bucket=False)
    table = tables.table("job", "experiment", "state", "created", "took")
    for job in list_jobs(there, experiment, limit):
        took = (job.end_time or datetime.now(UTC)) - job.create_time if job.create_time else None
        name, of = job.name.rsplit("/", 1)[-1], job.labels.get("experiment", "")
        table.add_row(name, of, state(job).lower(), tables.time(job.create_time), tables.took(took))
    tables.console().print(table)


def batch_predict_command(
    model: Annotated[str, typer.Argument(help="A registered model, <experiment>-<data set>; @version may follow.")],
    source: Annotated[str, typer.Option("--input", help="gs://bucket/folder/*.jsonl: an instance a line.")],
    target: Annotated[str, typer.Option("--output", help="gs:// prefix that predictions are written under.")],
    machine: Annotated[str, typer.Option(help="Machine type.")] = "n1-standard-2",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    project: Project = None,
    region: Region = None,
) -> None:
    """Predict for files in Cloud Storage with a model of Vertex AI's registry."""
    from pipeline.vertex.batch import batch_predict, wait_for_batch

    there = settings(project, region, None, needs_bucket=False)
    job = batch_predict(model, source, target, machine, there, {})
    print(f"started {job.name}", flush=True)
    if wait:
        print(f"predictions: {wait_for_batch(job, there).output_info.gcs_output_directory}")


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    app.command()(submit)
    app.command()(status)
    app.command()(logs)
    app.command()(cancel)
    app.command("list")(list_command)
    app.command("batch-predict")(batch_predict_command)
    app.command("machines")(machines_command)
    app.add_typer(schedule_app, name="schedule", no_args_is_help=True)


def _wait(job: Any, there: Settings) -> None:  # noqa: ANN401 (a PipelineJob)
    from pipeline.vertex.follow import JobFailedError, follow

    job_id = job.name.rsplit("/", 1)[-1]
    try:
        follow(job, there, tables.console())
    except KeyboardInterrupt:
        print(f"\nno longer following; the job goes on. To end it: python -m pipeline cancel {job_id}", flush=True)
        raise
    except JobFailedError as error:
        print(f"error: {error}")
        print(f"python -m pipeline logs {job_id} [TASK] shows what the tasks printed")
        raise SystemExit(1) from None
    print(f"results: {there.root}/{job.name.split('/')[1]}/{job_id}/")


def _print_roles(experiment: Any, there: Settings) -> None:  # noqa: ANN401 (an Experiment)
    from pipeline.vertex.roles import roles

    needed = roles(experiment.vertex, there)
    table = tables.table("role", "who", "why")
    for role in needed:
        table.add_row(role.role, role.who, role.why)
    tables.console().print(table)
    print("these commands grant them, infrastructure/ does too:")
    for role in needed:
        print(role.command)
    print(f"{experiment.name}: parameters, labels, images, project and bucket are as they should be; nothing was sent")


def _print_dry_run(
    experiment: Any,  # noqa: ANN401 (an Experiment)
    path: Path,
    digest: str,
    job: dict[str, Any],
    job_id: str,
    there: Settings,
) -> None:
    from pipeline.vertex.prices import costs, load_prices

    shown = {**job, "pipeline_spec": f"{path}, SHA-256 {digest}"}
    request = {"parent": there.parent, "pipeline_job_id": job_id, "pipeline_job": shown}
    print(yaml.safe_dump(request, sort_keys=False, width=110), end="")
    table = tables.table("task", "machine", "US$ an hour, while it runs")
    for task, machine, price in costs(experiment):
        table.add_row(task, machine, f"{price:.2f}" if price is not None else "not in configs/prices.yaml")
    tables.console().print(table)
    prices = load_prices()
    print(
        f"and {prices.run:g} for the run; nothing was sent; prices are those of configs/prices.yaml, read {prices.read}"
    )


def _parameters(given: list[str] | None) -> dict[str, Any]:
    values = {}
    for pair in given or []:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--parameter {pair}: expected NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values
