"""The KFP signature of export."""

from kfp import dsl

from components.base import component


@component
def export(
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    exported: dsl.Output[dsl.Model],
) -> None:
    """Write a model's serving formats.

    Args:
        code_version: Of the code: another one is another task to the cache.
        dataset: The data set, for examples to compare on.
        model: The model folder.
        exported: The folder of formats.
    """
    from components.export.work import export

    export(model.path, dataset.path, exported.path)
