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
    """Register the best model of each data set that passed: in a folder, a bucket, or Vertex AI's Model Registry.

    Args:
        registry: The registry's folder or gs:// address; empty where there is none.
        vertex: A `Vertex` as JSON; empty where the pipeline doesn't run on Vertex AI.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        run: The run's name.
        promote: Whether a winner replaces the current version even where the two can't be told apart.
        leaderboard: The folder that compare wrote.
        registration: The folder of registered.json.
        datasets: The folder of each data set, or None where its task failed.
        evaluations: The folder of each model's evaluation, or None.
        exports: The folder of each model's export, or None.
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
