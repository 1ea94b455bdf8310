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
        about: JSON of an `About`.
        failures: JSON of the tasks that failed, with the reasons.
        pipeline_sha256: Digest of the compiled pipeline.
        code_version: Of the code: another one is another task to the cache.
        page: The page.
        datasets: For each data set its folder; None if its task failed. So are the others.
        searches: For each model that has a search.
        models: For each model.
        evaluations: For each model.
        exports: For each model.
        leaderboard: What compare wrote; None if it failed.
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
