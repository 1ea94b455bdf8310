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
    fold_datasets: dict,
    fold_baselines: dict,
    fold_evaluations: dict,
) -> None:
    """Rank the models of each data set.

    Args:
        contest: A `Contest` as JSON.
        failures: The reason why each failed task failed, as JSON; "{}" where all finished.
        pipeline_sha256: The digest of the compiled pipeline.
        code_version: The digest of the code of all tasks.
        run: The run's name.
        leaderboard: The folder of leaderboard.json.
        datasets: The folder of each data set, or None where its task failed.
        baselines: The folder of each data set's baselines, or None.
        searches: The folder of each model's search, or None, for the models that have one.
        models: The folder of each model, or None.
        evaluations: The folder of each model's evaluation, or None.
        exports: The folder of each model's export, or None.
        fold_datasets: The folder of each fold of each data set that has a backtest, or None.
        fold_baselines: The folder of the baselines of each fold, or None.
        fold_evaluations: The folder of each model's evaluation on each fold, or None.
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
        fold_datasets=fold_datasets,
        fold_baselines=fold_baselines,
        fold_evaluations=fold_evaluations,
        folder=leaderboard.path,
    )
