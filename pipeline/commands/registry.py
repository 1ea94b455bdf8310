"""The commands for the registry on this machine: what is in it, and which version is current."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from components.common.errors import InputError
from components.common.words import did_you_mean
from pipeline.runs import REGISTRY
from pipeline.terminal import tables

if TYPE_CHECKING:
    from components.artifacts.registration import Registration

_DIGEST_DIGITS = 8
_COLUMNS = ("model of", "version", "", "model", "metric", "95 % interval", "run", "time (UTC)", "seed", "SHA-256")
# Columns that a narrow terminal leaves out, beginning with the first.
_OPTIONAL = ("run", "95 % interval", "seed", "SHA-256", "time (UTC)")

app = typer.Typer(
    help="List the registered models; registry promote makes another version current, registry manifest is for KServe.",
    invoke_without_command=True,
)


@app.callback()
def list_command(context: typer.Context) -> None:
    """List the registered models, the current version of each marked."""
    if context.invoked_subcommand is None:
        _list()


@app.command("promote")
def promote_command(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT/DATASET", help="As `registry` lists it.")],
    version: Annotated[str, typer.Argument(help="The version's number.")],
) -> None:
    """Make a version the current one, whatever its figures are. The next run that is better takes the place again."""
    from components.artifacts.registration import check_registration
    from components.artifacts.shelf import current, make_current, versions
    from components.common.folders import usable

    shelves = _shelves()
    if name not in shelves:
        hint = did_you_mean(name, shelves) or f"there are: {', '.join(shelves) or 'none'}"
        raise InputError(f"{name}: not in {REGISTRY}; {hint}")
    shelf = shelves[name]
    if version not in versions(shelf):
        raise InputError(f"{name}: no version '{version}'; there are: {', '.join(versions(shelf)) or 'none'}")
    check_registration(shelf / version, REGISTRY)
    usable(shelf)
    before = current(shelf)
    make_current(shelf, version)
    change = "already" if before == version else f"now, it was version {before}" if before else "now, there was none"
    print(f"{name}: version {version} is current {change}")


@app.command("manifest")
def manifest_command(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    address: Annotated[str, typer.Argument(help="Where a copy of its folder is: gs://…, s3://… or pvc://….")],
) -> None:
    """Print an InferenceService for KServe, for a model that was copied to where a cluster can read it."""
    from components.register.kserve import manifest

    print(manifest(name, address), end="")


def _list() -> None:
    from components.artifacts.registration import read_registration
    from components.artifacts.shelf import current, versions

    rows: list[dict[str, str]] = []
    problems: list[str] = []
    for name, shelf in _shelves().items():
        current_version = current(shelf)
        for version in versions(shelf):
            row = {"model of": name, "version": version, "": "current" if version == current_version else ""}
            rows.append(row)
            try:
                row |= _columns(read_registration(shelf / version))
            except InputError as error:
                problems += error.problems
                row["model"] = "unreadable"
        if current_version is None:
            problems.append(f"{name}: no current version; python -m pipeline registry promote {name} VERSION")
    if not rows:
        print(f"{REGISTRY}: nothing is registered")
        return

    def table_of(optional: Sequence[str]) -> Table:
        columns = [column for column in _COLUMNS if column in optional or column not in _OPTIONAL]
        table = tables.table(*columns)
        for row in rows:
            table.add_row(*(row.get(column, "") for column in columns))
        return table

    console = tables.console()
    console.print(tables.fitting(table_of, _OPTIONAL, console))
    for problem in problems:
        print(problem)


def _columns(registration: "Registration") -> dict[str, str]:
    from components.artifacts.leaderboard import figure, interval
    from components.metrics.metrics import METRICS

    metric = next((ranks.name for ranks, *_ in METRICS.values() if ranks.name in registration.metrics), "")
    return {
        "model": registration.model,
        "metric": f"{metric} {figure(registration.metrics[metric])}" if metric else "",
        "95 % interval": interval(registration.intervals[metric]) if metric in registration.intervals else "",
        "run": registration.run or "",
        "time (UTC)": (registration.time or "")[:16].replace("T", " "),
        "seed": "" if registration.seed is None else str(registration.seed),
        "SHA-256": registration.sha256[:_DIGEST_DIGITS],
    }


def _shelves() -> dict[str, Path]:
    """The folder of the versions of each data set, by <experiment>/<data set>."""
    folders = [path for path in sorted(REGISTRY.glob("[!.]*/[!.]*")) if path.is_dir()]
    return {f"{path.parent.name}/{path.name}": path for path in folders}
