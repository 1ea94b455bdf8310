"""The KFP signature of baseline."""

from kfp import dsl

from components.common.component import component


@component
def baseline(
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    baselines: dsl.Output[dsl.Artifact],
    quantiles: str = "[]",
    rivals: str = "[]",
) -> None:
    """Measure the baselines of a data set on its test split.

    Args:
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder.
        baselines: The folder of the baselines' metrics to write.
        quantiles: A JSON list of the quantiles that the models of a series forecast.
        rivals: A JSON list of the rivals from statsforecast that a series asks for.
    """
    import json

    from components.baseline.baseline import measure

    measure(dataset.path, baselines.path, json.loads(quantiles), json.loads(rivals))
