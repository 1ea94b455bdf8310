"""The differences between two runs: config, data, code, and metrics on the same test examples."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.artifacts.evaluation import PREDICTIONS, load_places, load_predictions
from components.artifacts.leaderboard import Leaderboard, ModelEntry, figure, interval, is_clear
from components.common.errors import InputError
from components.common.spec import Task
from components.common.words import counted
from components.metrics.metrics import found_in
from pipeline.runs import ledger
from pipeline.runs.history import Run

# The longest value that a difference shows, in characters.
_LONGEST = 60
_SHOWN = 2
# The values of a key, or of all keys of a model or data set, that one of the configs hasn't.
_NONE, _THERE = "null", "all of it"
# They say the same. An earlier version of the pipeline may not have had the key.
_UNSET = {_NONE, "[]", "false"}


@dataclass(frozen=True)
class Changes:
    """The differences of a run from an earlier one.

    Attributes:
        config: The keys of the config that differ, each with its value before and now, as JSON.
        data: The data sets of both runs whose records differ.
        code: The files of the code that differ.
        unknown: Whether one of the runs has no record of its config and code.
        data_alike: What is said of the data where `data` is empty.
    """

    config: dict[str, tuple[str, str]]
    data: list[str]
    code: list[str]
    unknown: bool = False
    data_alike: str = "the same"

    def lines(self) -> list[str]:
        """The differences in words."""
        words = {(_NONE, _THERE): "added", (_THERE, _NONE): "removed"}
        return [f"{key}: {words.get(values) or ' → '.join(map(_short, values))}" for key, values in self.config.items()]

    def words(self) -> str:
        """The differences in one line."""
        lines = self.lines()
        parts = [*lines[:_SHOWN], *[counted(len(lines) - _SHOWN, "more key")] * (len(lines) > _SHOWN)]
        parts += [f"other data of {name}" for name in self.data]
        parts += [f"code of {counted(len(self.code), 'file')}"] if self.code else []
        return "; ".join(parts) or ("not known" if self.unknown else "nothing")


@dataclass(frozen=True)
class Comparison:
    """A model of a run against one of an earlier run.

    Attributes:
        verdict: "better by 0.004 to 0.011", "worse by …", "can't be told apart", "the same predictions",
            "other test data", "only in A", "failed in B", or the reason why they can't be compared.
        difference: The ends of the 95 % interval of the difference of their errors, by a paired bootstrap: negative
            where the later one is better. Empty where it wasn't computed.
    """

    verdict: str
    difference: list[float]


def changes(before: Run, now: Run) -> Changes:
    """The differences of a run from an earlier one."""
    old, new = before.record, now.record
    data: list[str] = []
    data_alike = "not known: one of the runs has no leaderboard"
    if before.board and now.board:
        earlier, later = before.board.datasets, now.board.datasets
        common = [name for name in later if name in earlier]
        data = [name for name in common if earlier[name].sha256 != later[name].sha256]
        data_alike = "the same" if common else "no data set in both"
    if old is None or new is None:
        return Changes({}, data, [], unknown=True, data_alike=data_alike)
    config = dict(_differences(old.config, new.config))
    # What only one of them ran isn't a change of the code, such as the family of a model that is new.
    code = [name for name in old.code if name in new.code and old.code[name] != new.code[name]]
    return Changes(config, data, code, data_alike=data_alike)


def compare(before: Run, old: ModelEntry | None, now: Run, new: ModelEntry | None) -> Comparison:
    """Compare a model with one of an earlier run, by the metric that ranks them, on the same test examples.

    The earlier run is A, the later one B. A model is None where its run has none of this name.
    """
    for run in (before, now):
        if run.board is None:
            return Comparison(f"can't be compared: {run.name} has no leaderboard.json that can be read", [])
    if old is None or new is None:
        return Comparison("only in A" if old else "only in B", [])
    if failed := [letter for letter, model in (("A", old), ("B", new)) if model.rank is None]:
        return Comparison(f"failed in {' and '.join(failed)}", [])
    splits, predictions = [], []
    folders = before.evaluation(old.model), now.evaluation(new.model)
    for run, model, folder in ((before, old, folders[0]), (now, new, folders[1])):
        try:
            info = run.info(model)
            splits.append(ledger.split_digest(folder, info))
            predictions.append(ledger.prediction_digest(folder))
        except InputError:
            return Comparison(f"can't be compared: dataset.json of {run.name} is gone or of another version", [])
        except (OSError, ValueError):
            return Comparison(f"can't be compared: {PREDICTIONS} of {run.name} is gone or damaged", [])
    if splits[0] != splits[1]:
        return Comparison("other test data", [])
    if predictions[0] == predictions[1]:
        return Comparison("the same predictions", [])
    import numpy as np

    from components.metrics.bootstrap import differences, errors

    wrong = {letter: errors(*load_predictions(folder)) for letter, folder in zip("AB", folders, strict=True)}
    for run, values in zip((before, now), wrong.values(), strict=True):
        if not np.isfinite(values).all():
            return Comparison(f"can't be compared: predictions of {run.name} aren't finite", [])
    seed = now.board.seed if now.board else None
    ends = differences(wrong, seed or 0, info.block, load_places(folders[1]))["A", "B"]
    if not is_clear(ends):
        return Comparison("can't be told apart", ends)
    low, high = sorted(abs(end) for end in ends)
    return Comparison(f"{'better' if ends[1] < 0 else 'worse'} by {interval([low, high])}", ends)


def pairs(before: Run, now: Run, task: str) -> Iterator[tuple[ModelEntry, ModelEntry | None, ModelEntry | None]]:
    """The models of both runs that solve a task, by name: the later run's or else the earlier one's, and both."""
    old, new = (
        {model.model: model for model in run.board.models if _task(run.board, model) == task} if run.board else {}
        for run in (before, now)
    )
    for name, model in {**new, **old, **new}.items():
        yield model, old.get(name), new.get(name)


def metric_names(before: Run, now: Run, task: Task) -> list[str]:
    """The metrics of a task, without those that no model of both runs has."""
    found = [model.metrics for pair in pairs(before, now, task) for model in pair[1:] if model]
    return [metric.name for metric in found_in(task, found)]


def _task(board: Leaderboard, model: ModelEntry) -> str | None:
    """The task of a model, which a model that failed doesn't say itself; None where its data set failed as well."""
    dataset = board.datasets.get(model.dataset)
    return dataset.task if dataset else model.task


def figures(model: ModelEntry | None, metrics: list[str]) -> list[str]:
    """The metrics of a model as text; "none" for each that it hasn't."""
    return [figure(model.metrics[metric]) if model and metric in model.metrics else "none" for metric in metrics]


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, tuple[str, str]]]:  # noqa: ANN401
    """The keys of two configs whose values differ, with both values. A missing key is one without a value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            inner = f"{path}.{key}" if path else key
            if path in ("datasets", "models") and (key in old) != (key in new):
                yield inner, (_THERE, _NONE) if key in old else (_NONE, _THERE)
            # Not ==, for 1 and true are equal in Python. Most of a config is as before, and this is quick to tell.
            elif repr(one := old.get(key)) != repr(other := new.get(key)):
                yield from _differences(one, other, inner)
        return
    left, right = dict(flat(old, path)), dict(flat(new, path))
    for key in {**left, **right}:
        values = left.get(key, _NONE), right.get(key, _NONE)
        if values[0] != values[1] and not _UNSET.issuperset(values):
            yield key, values


def flat(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """The values of a config by key, such as models.cnn.epochs."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}")
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
