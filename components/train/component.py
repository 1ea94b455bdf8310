"""The KFP signature of train."""

from kfp import dsl

from components.base import component


@component
def train(
    name: str,
    spec: str,
    seed: int,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
) -> None:
    """Train a model.

    Args:
        name: The model's name.
        spec: JSON of a `ModelSpec`.
        seed: Of initial weights, order and dropout.
        code_version: Of the code: another one is another task to the cache.
        dataset: What to train on.
        model: The model folder.
    """
    from components.train.work import train

    info = train(name, spec, seed, code_version, dataset.path, model.path)
    model.metadata["parameters"] = str(info.parameters)
    model.metadata["framework"] = "keras"
