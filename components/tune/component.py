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
        spec: A `ModelSpec` as JSON.
        tune: A `Tune` as JSON.
        seed: The seed of the search and of each training.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        dataset: The data set's folder.
        trials: The folder of the trials to write.
        tuned: The file to write, a `ModelSpec` with the best values as JSON.
        placement: A `Placement` as JSON.
        vertex: A `Vertex` as JSON; empty where the pipeline doesn't run on Vertex AI.
        checkpoints: The folder of unfinished trainings; empty for a temporary one.
    """
    from components.tune.tune import tune as search

    search(name, spec, tune, seed, code_version, dataset.path, trials.path, tuned, placement, vertex, checkpoints)
