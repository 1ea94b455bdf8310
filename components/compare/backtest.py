"""Gather the results of a backtest's folds."""

from collections.abc import Collection, Mapping, Sequence

from components.artifacts.backtest import Fold, Folds, fold_key, spreads
from components.artifacts.baselines import load_baselines
from components.artifacts.dataset import SeriesInfo, load_info
from components.artifacts.evaluation import Evaluation


def backtest(
    dataset: str,
    models: Sequence[str],
    folds: int,
    searched: Collection[str],
    datasets: Mapping[str, str | None],
    baselines: Mapping[str, str | None],
    evaluations: Mapping[str, str | None],
) -> Folds:
    """Read the figures of each fold of a data set.

    Args:
        dataset: The data set's name.
        models: The names of its models.
        folds: The number of folds.
        searched: The names of the models that have a search.
        datasets: The folder of each fold's data set by its `fold_key`, or None where its task failed.
        baselines: The folder of each fold's baselines, likewise.
        evaluations: The folder of each model's evaluation on each fold, likewise.
    """
    found = []
    for number in range(1, folds + 1):
        key, splits, times = fold_key(dataset, number), {}, {}
        if path := datasets[key]:
            info = load_info(path)
            assert isinstance(info, SeriesInfo)  # noqa: S101 (a fold is one of a series)
            splits, times = {split: info.examples(split) for split in info.records}, info.times
        measured = {name: evaluations[fold_key(name, number)] for name in models}
        found.append(
            Fold(
                splits=splits,
                times=times,
                models={name: Evaluation.load(folder).metrics for name, folder in measured.items() if folder},
                baselines=load_baselines(path) if (path := baselines[key]) else {},
            )
        )
    return Folds(
        folds=found,
        models=spreads([fold.models for fold in found]),
        baselines=spreads([fold.baselines for fold in found]),
        searched=[name for name in models if name in searched],
    )
