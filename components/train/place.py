"""Train in the task's own process, or in a CustomJob."""

import functools

from components.artifacts.model import ModelInfo
from components.vertex.checkpoints import address, checkpoints_folder, hold_checkpoints
from components.vertex.client import Vertex
from components.vertex.placement import Placement


def train_there(
    name: str,
    spec: str,
    seed: int,
    code_version: str,
    dataset: str,
    folder: str,
    placement_json: str,
    vertex: str,
    checkpoints: str,
) -> ModelInfo:
    """Train a model on the machine that its placement asks for.

    The arguments are those of the component, by whose docstring KFP describes them.

    Returns:
        The description of the model that was written.
    """
    placement = Placement.model_validate_json(placement_json)
    arguments = {
        "name": name,
        "spec_json": spec,
        "seed": seed,
        "code_version": code_version,
        "dataset": dataset,
        "folder": folder,
        "checkpoints": address(checkpoints_folder(checkpoints, folder)),
        "precision": placement.precision,
    }
    if placement.pools and vertex:
        from components.vertex.custom_job import launch

        launch(placement, Vertex.model_validate_json(vertex), arguments, folder)
        return ModelInfo.load(folder)
    if placement.pools:
        machine = placement.pools[0].machine["machine_type"]
        print(f"{name}: its machine is {machine}, in a job of Vertex AI; training on this machine", flush=True)
    from components.train.train import train

    return train(**arguments, hold=functools.partial(hold_checkpoints, output=folder))  # type: ignore[arg-type]
