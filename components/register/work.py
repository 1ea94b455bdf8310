"""Register winners: in runs/registry/<experiment>/<data set>/<version> with a link `current`, or on Vertex AI."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from components.cloud import Vertex
from components.exported import why_not_blessed
from components.files import point_link, sha256, whole_folder, write_json
from components.leaderboard import FILE, Leaderboard
from components.registration import FILE as REGISTRATION
from components.registration import write_registration

CURRENT = "current"


def register(
    leaderboard_folder: str, exports: dict[str, str | None], registry: str, vertex: str, folder: str
) -> list[str]:
    """Register the winner of each data set, if it passed its gate and a process without this project could serve it.

    A version is a copy of the model's export. It appears whole, and `current` is switched in one step.

    Args:
        leaderboard_folder: What compare wrote.
        exports: For each model its export folder, or None if it failed.
        registry: The registry's folder; "" for none.
        vertex: JSON of a `Vertex`: the winner goes to Vertex AI's Model Registry; "" for none.
        folder: The folder to write `registration.json` into.

    Returns:
        A sentence for each data set.
    """
    board = Leaderboard.model_validate_json((Path(leaderboard_folder) / FILE).read_text(encoding="utf-8"))
    cloud = Vertex.model_validate_json(vertex) if vertex else None
    said = []
    for dataset in dict.fromkeys(model.dataset for model in board.models):
        winner = board.winner(dataset)
        export = exports.get(winner.model) if winner else None
        if not registry and not cloud:
            said.append(f"{dataset}: nothing registered, no registry was given")
        elif winner is None or export is None:
            said.append(f"{dataset}: nothing registered, no best model that passed its gate")
        elif reason := why_not_blessed(Path(export)):
            said.append(f"{dataset}: {winner.model} is not registered, {reason}")
        elif cloud:
            from components.register.vertex import register_on_vertex

            said.append(register_on_vertex(cloud, board, dataset, Path(export)))
        else:
            said.append(_add(Path(registry) / board.experiment / dataset, dataset, Path(export), board))
    write_json(Path(folder) / REGISTRATION, said)
    for line in said:
        print(line, flush=True)
    return said


def _add(shelf: Path, dataset: str, export: Path, board: Leaderboard) -> str:
    winner = board.winner(dataset)
    assert winner is not None  # noqa: S101 (the caller looked)
    digest = sha256(sorted(p for p in export.rglob("*") if p.is_file()), export)
    current = shelf / CURRENT / REGISTRATION
    if current.is_file() and f'"{digest}"' in current.read_text(encoding="utf-8"):
        return f"{dataset}: {winner.model} is version {(shelf / CURRENT).readlink()} already"
    versions = [int(p.name) for p in shelf.glob("*") if p.name.isdigit()]
    version = shelf / str(max(versions, default=0) + 1)
    with whole_folder(version) as new:
        shutil.copytree(export, new, dirs_exist_ok=True)
        about = winner.model_dump(exclude={"rank", "passed"})
        data = {"pipeline_sha256": board.pipeline_sha256, "dataset_sha256": board.datasets[dataset].sha256}
        when = {"run": board.run, "seed": board.seed, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        write_registration(new, {**about, **data, **when, "sha256": digest}, shelf.parent.parent)
    point_link(shelf / CURRENT, version.name)
    return f"{dataset}: {winner.model} is registered as version {version.name}"
