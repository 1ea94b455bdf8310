"""The KFP signature of compare."""

from kfp import dsl

from components.common.component import component


@component
def compare(
    contest: str,
    failures: str,
    pipeline_sha256: str,
    code_version: str,
    run: str,
    leaderboard: dsl.Output[dsl.Artifact],
    datasets: dict,
    baselines: dict,
    searches: dict,
    models: dict,
    evaluations: dict,
    exports: dict,
) -> None:
    """Rank the models of each data set.

    Args:
        contest: JSON of a `Contest`.
        failures: JSON of the tasks that failed, with the reasons.
        pipeline_sha256: Digest of the compiled pipeline.
        code_version: Of the code of all tasks.
        run: The run's name.
        leaderboard: The folder of leaderboard.json.
        datasets: For each data set its folder; None if its task failed. So are the others.
        baselines: For each data set.
        searches: For each model that has a search.
        models: For each model.
        evaluations: For each model.
        exports: For each model.
    """
    from components.compare.compare import compare

    compare(
        contest,
        failures,
        pipeline_sha256,
        code_version,
        run,
        datasets=datasets,
        baselines=baselines,
        searches=searches,
        models=models,
        evaluations=evaluations,
        exports=exports,
        folder=leaderboard.path,
    )
