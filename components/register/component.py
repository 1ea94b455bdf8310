"""The KFP signature of register."""

from kfp import dsl

from components.common.component import component


@component
def register(
    registry: str,
    vertex: str,
    code_version: str,
    run: str,
    promote: bool,
    leaderboard: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    datasets: dict,
    evaluations: dict,
    exports: dict,
) -> None:
    """Register the best model of each data set that passed: in a folder, or in Vertex AI's Model Registry.

    Args:
        registry: The folder of versions; empty for none.
        vertex: JSON of a `Vertex`; empty where the pipeline doesn't run on Vertex AI.
        code_version: Of the code: another one is another task to the cache.
        run: The run's name.
        promote: Whether a winner takes the place of a version that it can't be told apart from.
        leaderboard: What compare wrote.
        registration: The folder of registered.json.
        datasets: For each data set its folder; None if its task failed. So are the others.
        evaluations: For each model.
        exports: For each model.
    """
    from components.register.register import register

    register(
        leaderboard.path,
        datasets=datasets,
        evaluations=evaluations,
        exports=exports,
        registry=registry,
        vertex=vertex,
        run=run,
        promote=promote,
        folder=registration.path,
    )
