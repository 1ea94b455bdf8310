"""Register winners: in runs/registry/<experiment>/<data set>/<version> with a link `current`, or on Vertex AI."""

from pathlib import Path
from typing import Literal

from components.artifacts.export import why_not_blessed
from components.artifacts.leaderboard import load_leaderboard
from components.artifacts.registration import Registered, write_registered
from components.common.files import alone, gs, write_text
from components.register.challenge import Winner
from components.register.kserve import FILE as MANIFEST
from components.register.kserve import manifest
from components.register.local import register_here
from components.vertex.client import Vertex

Folders = dict[str, str | None]


def register(
    leaderboard_folder: str,
    datasets: Folders,
    evaluations: Folders,
    exports: Folders,
    registry: str,
    vertex: str,
    run: str,
    promote: bool,
    folder: str,
) -> list[Registered]:
    """Register the winner of each data set, if it may be, and let it be `current` if it is better than what is.

    Its gate has to let it through, and a process without this project has to have served it. Then it is compared with
    the current version, see `components.register.challenge`. Only one that is better takes its place; with `promote`
    one that can't be told apart from it, or can't be compared with it, too.

    Args:
        leaderboard_folder: What compare wrote.
        datasets: For each data set its folder, or None if its task failed.
        evaluations: For each model its evaluation folder, or None if it failed.
        exports: The same for its export.
        registry: The registry's folder; "" for none.
        vertex: JSON of a `Vertex`: the winner goes to Vertex AI's Model Registry; "" for none.
        run: Name of the run that registers. The leaderboard may be an older one's, from the cache.
        promote: See above.
        folder: The folder to write `registered.json` into, and of Vertex AI's winners KServe's manifests.

    Returns:
        What was done, for each data set.
    """
    board = load_leaderboard(leaderboard_folder)
    board = board.model_copy(update={"run": run})
    cloud = Vertex.model_validate_json(vertex) if vertex else None
    found = []
    for dataset in dict.fromkeys(model.dataset for model in board.models):
        best = board.best(dataset)
        data = datasets.get(dataset)
        evaluation, export = (folders.get(best.model if best else "") for folders in (evaluations, exports))
        if not registry and not cloud:
            found.append(_nothing(dataset, "none", "nothing registered, no registry was given"))
        elif not (best and data and evaluation and export):
            found.append(_nothing(dataset, "none", "nothing registered, no model finished"))
        elif not best.passed:
            reason = next((r.removeprefix("fails: ") for r in best.reasons if r.startswith("fails")), "it fails")
            found.append(_nothing(dataset, "refused", f"{best.model} is not registered, its gate refuses it: {reason}"))
        elif fault := why_not_blessed(Path(export)):
            found.append(_nothing(dataset, "refused", f"{best.model} is not registered, {fault}"))
        else:
            winner = Winner(board, best, data, evaluation, Path(export), promote)
            if cloud:
                from components.register.vertex import register_on_vertex

                found.append(register_on_vertex(cloud, winner))
                service = manifest(f"{board.experiment}-{dataset}", gs(export), cloud.serving_image)
                write_text(Path(folder) / f"{dataset}_{MANIFEST}", service)
            else:
                # On Kubeflow two runs of an experiment can come at once.
                lock = Path(registry) / board.experiment / ".lock"
                with alone(lock, f"{dataset}: waits for another run that registers"):
                    found.append(register_here(Path(registry), winner))
    write_registered(Path(folder), found)
    for done in found:
        print(done.sentence, flush=True)
    return found


def _nothing(dataset: str, action: Literal["refused", "none"], why: str) -> Registered:
    return Registered(dataset=dataset, action=action, sentence=f"{dataset}: {why}")
