"""The command line: python -m pipeline --help."""

import gc
import io
import os
import shutil
import signal
import sys
import webbrowser
from typing import Annotated, Literal

import typer

from components.common.errors import InputError
from pipeline.api import set_environment
from pipeline.commands import (
    evidence,
    machines,
    predictions,
    registry,
    runs,
    schedules,
    serving,
    submit,
    ui,
    vertex_jobs,
)
from pipeline.commands.options import Config, Promote, Set
from pipeline.runs import LATEST, REPORT, RUNS
from pipeline.terminal import tables

app = typer.Typer(
    help="Train, evaluate, export and compare Keras models as one KFP pipeline.\n\n"
    "runs/ and build/ are in the folder that a command is started in; paths in a config are relative to it. "
    "TensorFlow Datasets' data are in TFDS_DATA_DIR, or else in data/tfds of the project.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


# The exit code where a claim fails.
CLAIM_FAILED = 3
Models = Annotated[
    list[str] | None, typer.Option("--model", help="Run this model alone, with its data set. Repeatable.")
]

Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="The most tasks at a time; by default what cores and memory allow."),
]


@app.command("compile")
def compile_command(
    config: Config,
    overrides: Set = None,
    target: Annotated[
        Literal["vertex", "kubeflow"], typer.Option(help="What names accelerators and nodes; local runs run either.")
    ] = "vertex",
) -> None:
    """Compile an experiment into build/<experiment>.yaml, the file that every runner runs."""
    from pipeline.experiment.experiment import load_experiment
    from pipeline.graph.compile import compile_experiment

    path, digest = compile_experiment(load_experiment(config, overrides or []), target=target)
    print(f"{path} (SHA-256 {digest})")


@app.command()
def run(
    config: Config,
    overrides: Set = None,
    models: Models = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Finish the models that don't depend on a failed task; exit code 0 without a format too.",
        ),
    ] = False,
    containers: Annotated[
        bool, typer.Option("--containers", help="Run each task in a container of its image, with docker or podman.")
    ] = False,
    verify_cache: Annotated[
        bool, typer.Option("--verify-cache", help="Look at the digests of all that earlier runs left.")
    ] = False,
    promote: Promote = False,
    jobs: Jobs = None,
) -> None:
    """Compile an experiment and run it on this machine; results are in runs/<experiment>/latest."""
    from components.artifacts.leaderboard import Leaderboard
    from components.artifacts.registration import load_registered
    from pipeline import api
    from pipeline.commands.leaderboard import show, show_refused_formats, show_registered
    from pipeline.local.failure import Stopped

    console = tables.console(110)
    try:
        finished = api.run(
            config,
            set=overrides or [],
            models=models or [],
            keep_going=keep_going,
            containers=containers,
            verify_cache=verify_cache,
            promote=promote,
            console=console,
            jobs=jobs,
        )
    except KeyboardInterrupt:  # Click would end the command without a word
        raise Stopped(signal.SIGINT) from None
    console.print()
    board = Leaderboard.load(finished.folder)
    show(board, console)
    latest = finished.folder.with_name("latest")
    console.print(f"results: {latest}/leaderboard.json, models/<model>/")
    console.print(f"report: {latest}/report.html")
    show_registered(load_registered(finished.folder), console)
    if show_refused_formats(board, console) and not keep_going:
        raise typer.Exit(1)


@app.command()
def verify(
    config: Config,
    overrides: Set = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Run it with so many seeds, and judge by the means.")] = 1,
    models: Models = None,
    jobs: Jobs = None,
) -> None:
    """Run an experiment and hold the claims of its models (`expect`) against it; exit code 3 where one fails."""
    from pipeline.commands.leaderboard import show_claims
    from pipeline.commands.verify import FILE, load_seeds
    from pipeline.commands.verify import verify as run_and_judge

    experiments = load_seeds(config, overrides or [], seeds, models or [])
    console = tables.console(110)
    found = run_and_judge(experiments, console, jobs)
    console.print()
    show_claims(found, console)
    failing = sum(not claim.holds for claim in found.claims)
    seen = f"seeds {found.seeds[0]} to {found.seeds[-1]}" if seeds > 1 else f"seed {found.seeds[0]}"
    held = f"{len(found.claims) - failing} of {len(found.claims)} claims hold" if found.claims else "nothing is claimed"
    console.print(f"{held}, {seen}")
    console.print(f"results: {RUNS}/{found.experiment}/{FILE}")
    if failing:
        raise typer.Exit(CLAIM_FAILED)


@app.command("check")
def check_command(
    source: Annotated[
        str, typer.Argument(metavar="FILE_OR_FOLDER", help="A CSV file, a folder of pictures, or gs://.")
    ],
) -> None:
    """Look at data before there is a config; prints what is wrong with them, and a config to save."""
    from pipeline.check.data import check

    print(check(source), end="")


@app.command("explain")
def explain_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG] [NAME]", help="Such as models.epochs, models.cnn, sources.csv, vertex."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print all of it as docs/reference.md holds it.")
    ] = False,
) -> None:
    """Show the keys that a config can have: type, default and meaning of each."""
    from pipeline.experiment import explain

    width = min(shutil.get_terminal_size().columns, 110)
    if markdown:
        print(explain.markdown(), end="")
    elif names:
        print("\n\n".join(explain.text(one, width) for one in explain.explain(*names)))
    else:
        print(explain.text(explain.section("experiment"), width), end="\n\n")
        print(explain.overview(width))
        print("\npython -m pipeline explain models.cnn shows a section, models.cnn.epochs a key;")
        print("python -m pipeline explain configs/quick.yaml datasets.electricity that of a config")


@app.command()
def report(config: Config) -> None:
    """Open the report of an experiment's last run."""
    path = RUNS / config.stem / LATEST / REPORT
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a finished run: python -m pipeline run {config}")
    print(path)
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(path.absolute().as_uri())


@app.command()
def data() -> None:
    """Get the data of the shipped experiments: Fashion-MNIST, verified and prepared in data/tfds."""
    from components.sources import fashion_mnist

    print(fashion_mnist.fetch())


for part in (evidence, predictions, serving, ui, submit, vertex_jobs, machines):
    app.add_typer(part.app)
for group, name in ((registry, "registry"), (runs, "runs"), (schedules, "schedule")):
    app.add_typer(group.app, name=name)


def main() -> None:
    """Run the command line. Bad input ends with 2 and a line for each problem, Ctrl-C with 130, SIGTERM with 143."""
    set_environment()
    # A terminal may not have every character. The output of a run's processes is read as UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from pipeline.local.failure import Stopped, TaskFailedError

    try:
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # see __init__.py
        # Click returns the exit code of a command that was interrupted: 130 after Ctrl-C.
        if isinstance(code := app(standalone_mode=False), int) and code:
            raise SystemExit(code)
    except InputError as error:
        for line in error.lines():
            print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except TaskFailedError:
        raise SystemExit(1) from None
    except Stopped as stopped:
        print("stopped: all tasks have ended; a new start goes on from the last checkpoint", file=sys.stderr)
        raise SystemExit(128 + stopped.signal) from None
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(130) from None
    except Exception as error:
        # Click's own errors, such as a missing argument or an unknown option, format themselves.
        if hasattr(error, "format_message"):
            if message := error.format_message():
                print(f"error: {message}", file=sys.stderr)
            raise SystemExit(2) from None
        raise


if __name__ == "__main__":
    # Imports create half a million objects that stay. Their garbage collection took a fifth of a short command's time.
    gc.set_threshold(100_000)
    main()
