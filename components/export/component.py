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
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder, with the examples on which formats are compared.
        model: The model's folder.
        exported: The folder of formats to write.
        formats: A JSON list of further formats, see `components.artifacts.export.OptionalFormat`.
    """
    import json

    from components.export.export import export

    export(model.path, dataset.path, exported.path, json.loads(formats))
