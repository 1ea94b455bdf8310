"""Rank the models and write the leaderboard. This module needs no TensorFlow, for it reads JSON and predictions."""

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np

from components.artifacts.backtest import Figures, Folds
from components.artifacts.baselines import load_baselines
from components.artifacts.dataset import DatasetInfo, load_info
from components.artifacts.evaluation import Evaluation, load_places, load_predictions
from components.artifacts.export import Exported
from components.artifacts.leaderboard import FEW, Contest, DatasetEntry, Leaderboard, ModelEntry, is_clear
from components.artifacts.model import ModelInfo
from components.common.errors import InputError
from components.common.spec import Task
from components.common.words import now
from components.compare.backtest import backtest
from components.metrics.bootstrap import differences, errors
from components.metrics.confidence_set import SIZE, p_values
from components.metrics.metrics import METRICS, least

Folders = dict[str, str | None]


def compare(
    contest_json: str,
    failures_json: str,
    pipeline_sha256: str,
    code_version: str,
    run: str,
    datasets: Folders,
    baselines: Folders,
    models: Folders,
    evaluations: Folders,
    exports: Folders,
    searches: Folders,
    fold_datasets: Folders,
    fold_baselines: Folders,
    fold_evaluations: Folders,
    folder: str,
) -> Leaderboard:
    """Rank the models and write `leaderboard.json` into a folder.

    The arguments are those of the component, by whose docstring KFP describes them.

    Returns:
        The leaderboard.
    """
    contest = Contest.model_validate_json(contest_json)
    failures: dict[str, str] = json.loads(failures_json)
    infos = {name: load_info(path) for name, path in datasets.items() if path}
    measured = {name: load_baselines(path) for name, path in baselines.items() if path}
    entries = []
    for name, contestant in contest.models.items():
        dataset = contestant.dataset
        trained, evaluated, exported = models[name], evaluations[name], exports[name]
        if not (trained and evaluated and exported and dataset in infos and dataset in measured):
            reasons = [f"{task} failed: {failures[task]}" for task in contestant.tasks if task in failures]
            reasons = reasons or ["did not run"]
            entries.append(ModelEntry(model=name, family=contestant.family, dataset=dataset, reasons=reasons))
            continue
        info = infos[dataset]
        evaluation = Evaluation.load(evaluated)
        model = ModelInfo.load(trained)
        verdict, reasons = gate(contest.gates[dataset], measured[dataset], evaluation.metrics, info)
        entries.append(
            ModelEntry(
                model=name,
                family=contestant.family,
                dataset=dataset,
                task=info.task,
                passed=verdict != "refused",
                gate=verdict,
                reasons=reasons,
                metrics=evaluation.metrics,
                intervals=evaluation.intervals,
                parameters=model.parameters,
                epochs=len(model.history),
                best_epoch=model.best_epoch,
                train_seconds=model.train_seconds,
                examples_per_second=model.examples_per_second,
                machine=model.machine,
                formats=Exported.load(exported).formats,
            )
        )
    ranked = _with_ties(_ranked(entries), evaluations, infos, contest.seed)
    own = {name: [entry for entry in ranked if entry.dataset == name] for name in infos}
    of_folds = (searches, fold_datasets, fold_baselines, fold_evaluations)
    folds = {
        name: backtest(name, [entry.model for entry in own[name]], count, *of_folds)
        for name, count in contest.folds.items()
        if name in infos
    }
    leaderboard = Leaderboard(
        experiment=contest.experiment,
        run=run,
        pipeline_sha256=pipeline_sha256,
        code_version=code_version,
        created=now(),
        datasets={
            name: dataset_entry(info, measured.get(name, {}), own[name], folds.get(name))
            for name, info in infos.items()
        },
        models=ranked,
        seed=contest.seed,
    )
    leaderboard.save(Path(folder))
    return leaderboard


def gate(
    margins: dict[str, float | None],
    baselines: dict[str, dict[str, float]],
    metrics: dict[str, float],
    info: DatasetInfo,
) -> tuple[Literal["passed", "refused", "none"], list[str]]:
    """Compare a model with the baselines that a data set's gate names.

    Args:
        margins: For each baseline, the share of its error that the model has to take away, or None where it just has
            to be better; for each metric that is a share, such as coverage, the least value. Empty where there is no
            gate.
        baselines: The metrics of each baseline.
        metrics: The metrics of the model.
        info: The description of the data set.

    Returns:
        The verdict, and a sentence for each baseline and metric.
    """
    if not margins:
        return "none", []
    unit = info.unit if info.task == "forecasting" else ""
    passed, reasons, ranks = True, [], METRICS[info.task][0]
    for name, margin in margins.items():
        if name in least(info.task):
            passes = metrics.get(name, -1) >= (margin or 0)
            passed = passed and passes
            value = f"{metrics[name]:.2%}" if name in metrics else "not known, for it has no quantiles"
            reasons.append(f"{'passes' if passes else 'fails'}: {name} is {value}, at least {margin or 0:.2%} is asked")
            continue
        theirs, ours = _error(baselines[name], info.task), _error(metrics, info.task)
        # A baseline may have no error at all, and the share would be a division by zero.
        better = 1 - ours / theirs if theirs else (0.0 if ours == 0 else -math.inf)
        passes = ours < theirs if margin is None else better >= margin
        passed = passed and passes
        error = f"error {ours:.2%}" if ranks.unit == "share" else f"{ranks.name} {ours:.4g} {unit}".strip()
        share = f"{abs(better):.0%} " if math.isfinite(better) else ""
        side = "below" if better > 0 else "above" if better < 0 else "that of"
        reasons.append(
            f"{'passes' if passes else 'fails'}: {error} is {share if better else ''}{side} {name} "
            f"({theirs:.4g}{'' if margin is None else f', margin {margin:.0%}'})"
        )
    return "passed" if passed else "refused", reasons


def dataset_entry(
    info: DatasetInfo, baselines: Figures, models: list[ModelEntry], folds: Folds | None = None
) -> DatasetEntry:
    """The entry of a data set, from its baselines, its ranked models, and the folds of its backtest."""
    theirs = {name: _error(values, info.task) for name, values in baselines.items()}
    best = sorted(theirs, key=theirs.__getitem__)
    ours = [_error(model.metrics, info.task) for model in models if model.rank]
    return DatasetEntry(
        task=info.task,
        source=info.source,
        splits={split: info.examples(split) for split in info.records},
        sha256=info.sha256,
        baselines=baselines,
        unit=info.unit if info.task == "forecasting" else "",
        best_baseline=best[0] if best else None,
        beaten_by=[name for name in best if ours and theirs[name] < min(ours)],
        few=info.examples("test") < FEW,
        confidence_set=[model.model for model in models if (model.mcs_p_value or 0) > SIZE],
        backtest=folds,
    )


def _error(metrics: dict[str, float], task: Task) -> float:
    """The error that ranks and that a gate compares: the mae, or the share of wrong predictions."""
    ranks = METRICS[task][0]
    return ranks.error(metrics[ranks.name])


def _ranked(entries: list[ModelEntry]) -> list[ModelEntry]:
    """The entries with their ranks, sorted by data set and rank."""
    ranked = []
    for dataset in dict.fromkeys(entry.dataset for entry in entries):
        own = [entry for entry in entries if entry.dataset == dataset]
        finished = [(_error(entry.metrics, entry.task), entry) for entry in own if entry.task is not None]
        finished.sort(key=lambda pair: pair[0])
        ranked += [entry.model_copy(update={"rank": i}) for i, (_, entry) in enumerate(finished, 1)]
        ranked += [entry for entry in own if entry.task is None]
    return ranked


def _with_ties(
    ranked: list[ModelEntry], evaluations: Folders, infos: dict[str, DatasetInfo], seed: int
) -> list[ModelEntry]:
    """The entries, with `behind` and `ties` by a paired bootstrap, and the p-values of the model confidence set."""
    entries: dict[str, ModelEntry] = {entry.model: entry for entry in ranked}
    for dataset, info in infos.items():
        names = [entry.model for entry in ranked if entry.dataset == dataset and entry.rank]
        if not names:
            continue
        wrong = _example_errors({name: evaluations[name] or "" for name in names})
        places = load_places(evaluations[names[0]] or "")
        intervals = differences(wrong, seed, info.block, places)
        ties = [pair for pair, ends in intervals.items() if not is_clear(ends)]
        found = p_values(wrong, seed, info.block, places)
        for name in names:
            theirs = [a if b == name else b for a, b in ties if name in (a, b)]
            behind = intervals.get((names[0], name), [])
            update = {"behind": behind, "ties": theirs, "mcs_p_value": found[name]}
            entries[name] = entries[name].model_copy(update=update)
    return list(entries.values())


def _example_errors(evaluations: dict[str, str]) -> dict[str, np.ndarray]:
    """The errors of models on the same test examples, float64 [examples], by the models' names.

    Raises:
        InputError: Some were evaluated on other test examples than the first.
    """
    wrong: dict[str, np.ndarray] = {}
    first, problems = None, []
    for name, folder in evaluations.items():
        target, prediction = load_predictions(folder)
        first = target if first is None else first
        if not np.array_equal(target, first):
            problems.append(f"{folder}: other test examples than those of {next(iter(evaluations))}; expected the same")
        wrong[name] = errors(target, prediction)
    if problems:
        raise InputError(*problems)
    return wrong
