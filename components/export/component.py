"""The KFP signature of export."""

from kfp import dsl

from components.common.component import component


@component
def export(
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    exported: dsl.Output[dsl.Model],
    formats: str = "[]",
) -> None:
    """Write a model's serving formats.

    Args:
        code_version: Of the code: another one is another task to the cache.
        dataset: The data set, for examples to compare on.
        model: The model folder.
        exported: The folder of formats.
        formats: JSON list of formats beside `.keras` and SavedModel, see `components.artifacts.export.OptionalFormat`.
    """
    import json

    from components.export.export import export

    export(model.path, dataset.path, exported.path, json.loads(formats))
