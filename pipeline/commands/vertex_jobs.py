"""The commands for jobs on Vertex AI: status, logs, cancel, list, batch-predict.

Google's client takes a second to import, so it comes after all that can be refused without it.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from pipeline.commands.options import Job, Project, Region
from pipeline.terminal import tables
from pipeline.vertex.settings import find_settings

app = typer.Typer()


@app.command()
def status(job: Job, project: Project = None, region: Region = None) -> None:
    """Show a job on Vertex AI and its tasks."""
    settings = find_settings(project, region, None, needs_bucket=False)
    from pipeline.vertex.follow import state, task_names
    from pipeline.vertex.jobs import get_job
    from pipeline.vertex.submit import job_url

    pipeline_job = get_job(job, settings)
    details = {detail.task_name: detail for detail in pipeline_job.job_detail.task_details}
    table = tables.table("task", "state", "started", "took", "")
    for name in task_names(pipeline_job):
        detail = details.get(name)
        if detail is None:
            table.add_row(name, "waiting")
            continue
        duration = (detail.end_time or datetime.now(UTC)) - detail.start_time if detail.start_time else None
        error = " ".join(detail.error.message.split())
        table.add_row(name, detail.state.name.lower(), tables.time(detail.start_time), tables.duration(duration), error)
    console = tables.console()
    console.print(table)
    print(f"{job}: {state(pipeline_job).lower()}  {job_url(pipeline_job.name, settings)}")


@app.command()
def logs(
    job: Job,
    task: Annotated[str | None, typer.Argument(help="A task, such as train-cnn; all of them without.")] = None,
    project: Project = None,
    region: Region = None,
) -> None:
    """Print what the tasks of a job on Vertex AI printed."""
    settings = find_settings(project, region, None, needs_bucket=False)
    from pipeline.vertex.jobs import get_job, log_lines

    for line in log_lines(get_job(job, settings), settings, task):
        print(line)


@app.command()
def cancel(job: Job, project: Project = None, region: Region = None) -> None:
    """Cancel a job on Vertex AI, and the training jobs that it launched."""
    settings = find_settings(project, region, None, needs_bucket=False)
    from pipeline.vertex.jobs import cancel_job

    for launched in cancel_job(job, settings):
        print(f"{launched}: cancelling")
    print(f"{job}: cancelling; `python -m pipeline status {job}` shows how far it is")


@app.command("list")
def list_command(
    experiment: Annotated[str | None, typer.Argument(help="Only jobs of this experiment.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 20,
    project: Project = None,
    region: Region = None,
) -> None:
    """List the newest jobs on Vertex AI that submit made."""
    settings = find_settings(project, region, None, needs_bucket=False)
    from pipeline.vertex.follow import state
    from pipeline.vertex.jobs import list_jobs

    table = tables.table("job", "experiment", "state", "created", "took")
    for job in list_jobs(settings, experiment, limit):
        duration = (job.end_time or datetime.now(UTC)) - job.create_time if job.create_time else None
        row = (job.name.rsplit("/", 1)[-1], job.labels.get("experiment", ""), state(job).lower())
        table.add_row(*row, tables.time(job.create_time), tables.duration(duration))
    tables.console().print(table)


@app.command("batch-predict")
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
    settings = find_settings(project, region, None, needs_bucket=False)
    from pipeline.vertex.batch import batch_predict, wait_for_batch

    job = batch_predict(model, source, target, machine, settings)
    print(f"started {job.name}", flush=True)
    if wait:
        print(f"predictions: {wait_for_batch(job, settings).output_info.gcs_output_directory}")
