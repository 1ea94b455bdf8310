"""The commands for the registry on this machine: what is in it, and which version is current."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from components.common.errors import InputError
from pipeline.commands import options

_DIGEST_DIGITS = 12

registry_app = typer.Typer(
    help="List the registered models; registry promote makes another version current.", invoke_without_command=True
)


@registry_app.callback()
def list_command(context: typer.Context) -> None:
    """List the registered models, the current version of each marked."""
    if context.invoked_subcommand is None:
        _list()


@registry_app.command("promote")
def promote_command(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT/DATASET", help="As `registry` lists it.")],
    version: Annotated[str, typer.Argument(help="The version's number.")],
) -> None:
    """Make a version the current one, whatever its figures are. The next run that is better takes the place again."""
    from components.artifacts.registration import check_registration
    from components.artifacts.shelf import current, make_current, versions

    shelves = _shelves()
    if name not in shelves:
        raise InputError(f"{name}: not in {_registry()}; {_near(name, list(shelves))}")
    shelf = shelves[name]
    if version not in versions(shelf):
        raise InputError(f"{name}: no version '{version}'; there are: {', '.join(versions(shelf)) or 'none'}")
    check_registration(shelf / version, _registry())
    before = current(shelf)
    make_current(shelf, version)
    was = "already" if before == version else f"now, it was version {before}" if before else "now, there was none"
    print(f"{name}: version {version} is current {was}")


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    app.add_typer(registry_app, name="registry")


def _list() -> None:
    from components.artifacts.leaderboard import RANKED_BY, figure
    from components.artifacts.registration import read_registration
    from components.artifacts.shelf import current, versions

    columns = ("model of", "version", "", "model", "metric", "95 % interval", "run", "time (UTC)", "seed", "SHA-256")
    table = options.table(*columns)
    unreadable: list[str] = []
    for name, shelf in _shelves().items():
        standing = current(shelf)
        for version in versions(shelf):
            mark = "current" if version == standing else ""
            try:
                found = read_registration(shelf / version)
            except InputError as error:
                unreadable += error.problems
                table.add_row(name, version, mark, "unreadable")
                continue
            metric = next((m for m, _ in RANKED_BY.values() if m in found.metrics), None)
            table.add_row(
                name,
                version,
                mark,
                found.model,
                f"{metric} {figure(found.metrics[metric])}" if metric else "",
                " to ".join(figure(end) for end in found.intervals.get(metric or "", [])),
                found.run or "",
                (found.time or "")[:16].replace("T", " "),
                "" if found.seed is None else str(found.seed),
                found.sha256[:_DIGEST_DIGITS],
            )
        if standing is None:
            unreadable.append(f"{name}: no current version; python -m pipeline registry promote {name} VERSION")
    if not table.rows:
        print(f"{_registry()}: nothing is registered")
        return
    options.console().print(table)
    for problem in unreadable:
        print(problem)


def _registry() -> Path:
    from pipeline.local.run import RUNS

    return RUNS / "registry"


def _shelves() -> dict[str, Path]:
    """For each data set of an experiment the folder of its versions."""
    folders = [path for path in sorted(_registry().glob("[!.]*/[!.]*")) if path.is_dir()]
    return {f"{path.parent.name}/{path.name}": path for path in folders}


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
