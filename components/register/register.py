"""Register the winners of a run, in a registry's folder or bucket, or in Vertex AI's Model Registry."""

from pathlib import Path
from typing import Literal

from components.artifacts.export import why_not_blessed
from components.artifacts.leaderboard import Leaderboard
from components.artifacts.registration import Registered, write_registered
from components.common.files import gs, locked, write_text
from components.register.challenge import Winner
from components.register.kserve import FILE as MANIFEST
from components.register.kserve import address, manifest
from components.register.local import register_locally
from components.vertex.client import Vertex
from components.vertex.cloud_storage import GS

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
    """Register the winner of each data set, and make it current where it is better than the current version.

    A winner is registered where its gate passes it and a process without this project has served it. Then
    `components.register.challenge` compares it with the current version. A better winner replaces that. With `promote`,
    so does one that can't be told apart from it, or can't be compared with it.

    The arguments are those of the component, by whose docstring KFP describes them.
    """
    # The leaderboard may be an older run's, from the cache.
    board = Leaderboard.load(leaderboard_folder).model_copy(update={"run": run})
    cloud = Vertex.model_validate_json(vertex) if vertex else None
    results = []
    for dataset in dict.fromkeys(model.dataset for model in board.models):
        best = board.best(dataset)
        data = datasets.get(dataset)
        evaluation, export = (folders.get(best.model if best else "") for folders in (evaluations, exports))
        if not registry and not cloud:
            results.append(_nothing(dataset, "none", "nothing registered, no registry was given"))
        elif not (best and data and evaluation and export):
            results.append(_nothing(dataset, "none", "nothing registered, no model finished"))
        elif not best.passed:
            reason = next((r.removeprefix("fails: ") for r in best.reasons if r.startswith("fails")), "it fails")
            sentence = f"{best.model} is not registered, its gate refuses it: {reason}"
            results.append(_nothing(dataset, "refused", sentence))
        elif fault := why_not_blessed(Path(export)):
            results.append(_nothing(dataset, "refused", f"{best.model} is not registered, {fault}"))
        else:
            winner = Winner(board, best, data, evaluation, Path(export), promote)
            if cloud:
                from components.register.vertex import register_on_vertex

                results.append(register_on_vertex(cloud, winner))
                service = manifest(f"{board.experiment}-{dataset}", gs(export), cloud.serving_image)
                write_text(Path(folder) / f"{dataset}_{MANIFEST}", service)
            elif registry.startswith(GS):
                from components.register.bucket import register_in_bucket

                results.append(register_in_bucket(registry, winner, Path(folder)))
            else:
                # On Kubeflow, two runs of an experiment may register at the same time.
                lock = Path(registry) / board.experiment / ".lock"
                with locked(lock, f"{dataset}: waits for another run that registers"):
                    results.append(register_locally(Path(registry), winner, address(Path(registry))))
    write_registered(Path(folder), results)
    for result in results:
        print(result.sentence, flush=True)
    return results


def _nothing(dataset: str, action: Literal["refused", "none"], why: str) -> Registered:
    return Registered(dataset=dataset, action=action, sentence=f"{dataset}: {why}")
