"""The KFP signature of report."""

from kfp import dsl

from components.common.component import component


@component
def report(
    about: str,
    failures: str,
    pipeline_sha256: str,
    code_version: str,
    page: dsl.Output[dsl.HTML],
    datasets: dict,
    searches: dict,
    models: dict,
    evaluations: dict,
    exports: dict,
    leaderboard: dsl.Input[dsl.Artifact] = None,
) -> None:
    """Write the page that shows a run.

    Args:
        about: An `About` as JSON.
        failures: The reason why each failed task failed, as JSON; "{}" where all finished.
        pipeline_sha256: The digest of the compiled pipeline.
        code_version: The digest of the step's code, so that KFP's cache runs changed code.
        page: The page.
        datasets: The folder of each data set, or None where its task failed.
        searches: The folder of each model's search, or None, for the models that have one.
        models: The folder of each model, or None.
        evaluations: The folder of each model's evaluation, or None.
        exports: The folder of each model's export, or None.
        leaderboard: The folder that compare wrote, or None where it failed.
    """
    from components.report.report import report

    report(
        about,
        failures,
        pipeline_sha256,
        datasets=datasets,
        searches=searches,
        models=models,
        evaluations=evaluations,
        exports=exports,
        leaderboard=leaderboard and leaderboard.path,
        path=page.path,
    )
