"""The KFP signature of train."""

from kfp import dsl

from components.common.component import component


@component
def train(
    name: str,
    spec: str,
    seed: int,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    placement: str = "{}",
    vertex: str = "",
    checkpoints: str = "",
) -> None:
    """Train a model: in this task, or in a CustomJob of Vertex AI where its machine needs one.

    Args:
        name: The model's name.
        spec: A `ModelSpec` as JSON.
        seed: The seed of initial weights, order and dropout.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder.
        model: The model's folder to write.
        placement: A `Placement` as JSON.
        vertex: A `Vertex` as JSON; empty where the pipeline doesn't run on Vertex AI.
        checkpoints: The folder of unfinished trainings; empty for a temporary one.
    """
    from components.train.place import train_there

    info = train_there(name, spec, seed, code_version, dataset.path, model.path, placement, vertex, checkpoints)
    model.metadata["parameters"] = str(info.parameters)
    model.metadata["framework"] = "keras"
