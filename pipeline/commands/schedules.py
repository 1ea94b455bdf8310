"""The commands for schedules on Vertex AI: create, list, pause, resume, delete."""

from collections.abc import Callable
from typing import Annotated

import typer

from pipeline.commands.options import Bucket, Config, Project, Region, Set, Tags
from pipeline.terminal import tables
from pipeline.vertex.settings import find_settings

app = typer.Typer(
    help="Submit an experiment again and again: create, list, pause, resume, delete.", no_args_is_help=True
)


@app.command("create")
def schedule_create(
    config: Config,
    cron: Annotated[str, typer.Option(help="Five fields, such as '0 3 * * 1'; TZ=Europe/Berlin may come before.")],
    overrides: Set = None,
    project: Project = None,
    region: Region = None,
    bucket: Bucket = None,
    name: Annotated[str | None, typer.Option(help="The schedule's; the experiment's without.")] = None,
    allow_tags: Tags = False,
) -> None:
    """Submit an experiment at the times of a cron expression."""
    from pipeline.experiment.experiment import load_experiment
    from pipeline.graph.compile import compile_experiment
    from pipeline.vertex.request import job_images, pipeline_job

    experiment = load_experiment(config, overrides or [])
    settings = find_settings(project, region, bucket)
    path, digest = compile_experiment(experiment)
    job = pipeline_job(experiment, path, digest, settings, {}, moving_tags=allow_tags)
    from pipeline.vertex.preflight import preflight
    from pipeline.vertex.schedules import create_schedule

    for note in preflight(settings, job_images(job)):
        print(f"note: {note}")
    if experiment.vertex.experiment:
        print(f"note: runs of a schedule aren't added to the Vertex experiment {experiment.vertex.experiment}")
    schedule = create_schedule(job, name or experiment.name, cron, settings)
    number, next_time = schedule.name.rsplit("/", 1)[-1], tables.time(schedule.next_run_time)
    print(f"schedule {schedule.display_name} ({number}): {cron}, next {next_time}")


@app.command("list")
def schedule_list(project: Project = None, region: Region = None) -> None:
    """List the schedules."""
    settings = find_settings(project, region, None, needs_bucket=False)
    from pipeline.vertex.schedules import list_schedules

    table = tables.table("schedule", "name", "state", "cron", "next")
    for schedule in list_schedules(settings):
        number, state = schedule.name.rsplit("/", 1)[-1], schedule.state.name.lower()
        table.add_row(number, schedule.display_name, state, schedule.cron, tables.time(schedule.next_run_time))
    tables.console().print(table)


def _change_command(action: str, result: str) -> Callable[..., None]:
    def change(
        name: Annotated[str, typer.Argument(help="The schedule's name or number.")],
        project: Project = None,
        region: Region = None,
    ) -> None:
        settings = find_settings(project, region, None, needs_bucket=False)
        from pipeline.vertex.schedules import change_schedule

        change_schedule(action, name, settings)
        print(f"schedule {name}: {result}")

    return change


for _action, _result in (("pause", "paused"), ("resume", "goes on"), ("delete", "deleted")):
    app.command(_action, help=f"{_action.capitalize()} a schedule.")(_change_command(_action, _result))
