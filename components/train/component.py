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
    """Train a model: here, or on Vertex in a CustomJob where its machine needs one.

    Args:
        name: The model's name.
        spec: JSON of a `ModelSpec`.
        seed: Of initial weights, order and dropout.
        code_version: Of the code: another one is another task to the cache.
        dataset: What to train on.
        model: The model folder.
        placement: JSON of a `Placement`.
        vertex: JSON of a `Vertex`; empty where the pipeline doesn't run on Vertex AI.
        checkpoints: The folder of checkpoints; empty for a temporary one.
    """
    from components.train.place import train_there

    info = train_there(name, spec, seed, code_version, dataset.path, model.path, placement, vertex, checkpoints)
    model.metadata["parameters"] = str(info.parameters)
    model.metadata["framework"] = "keras"
