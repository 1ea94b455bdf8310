"""The KFP signature of baseline."""

from kfp import dsl

from components.common.component import component


@component
def baseline(code_version: str, dataset: dsl.Input[dsl.Dataset], baselines: dsl.Output[dsl.Artifact]) -> None:
    """Measure the baselines of a data set on its test split.

    Args:
        code_version: Of the code: another one is another task to the cache.
        dataset: The data set.
        baselines: The folder of their metrics.
    """
    from components.baseline.baseline import measure

    measure(dataset.path, baselines.path)
