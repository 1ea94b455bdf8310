"""The KFP signature of tune."""

from kfp import dsl

from components.common.component import component


@component
def tune(
    name: str,
    spec: str,
    tune: str,
    seed: int,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    trials: dsl.Output[dsl.Artifact],
    tuned: dsl.OutputPath(str),  # type: ignore[valid-type]
    placement: str = "{}",
    vertex: str = "",
    checkpoints: str = "",
) -> None:
    """Search for the best values of a model's keys: here, or on Vertex with a CustomJob for each trial.

    Args:
        name: The model's name.
        spec: JSON of a `ModelSpec`.
        tune: JSON of a `Tune`.
        seed: Of the search and of each training.
        code_version: Of the code: another one is another task to the cache.
        dataset: What to train on.
        trials: The folder of the trials.
        tuned: Gets JSON of the `ModelSpec` with the best values.
        placement: JSON of a `Placement`.
        vertex: JSON of a `Vertex`; empty where the pipeline doesn't run on Vertex AI.
        checkpoints: The folder of checkpoints; empty for a temporary one.
    """
    from components.tune.tune import tune as search

    search(name, spec, tune, seed, code_version, dataset.path, trials.path, tuned, placement, vertex, checkpoints)
