"""Check a model's `tune`, so that no trial can be refused once the search runs."""

import difflib
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

from components.artifacts.search import Range, Tune, with_values
from components.common.errors import InputError, collecting
from components.common.spec import ModelSpec
from components.families import family_names, load_family
from pipeline.experiment.validated import validated

# What a trial can't change, or what can't change its result.
FIXED = ("family", "dataset", "machine", "tune", "expect", "checkpoint_seconds", "histograms", "threads")
# So many take some seconds to check.
MAX_COMBINATIONS = 10_000


def check_tune(
    where: str,
    config: dict[str, Any],
    check_model: Callable[[str, dict[str, Any]], ModelSpec],
) -> Tune | None:
    """Check what a model's search asks for.

    Args:
        where: File and model, for messages.
        config: The model's configuration. What is wrong with it but for its `tune` isn't said again.
        check_model: Given `where` and a model's configuration, refuses one that can't be trained.

    Returns:
        The search; None where the model has none.

    Raises:
        InputError: It can't be run.
    """
    content = config.get("tune")
    if content is None:
        return None
    at = f"{where}: tune"
    problems: list[str] = []
    own: list[str] = []
    rest = {key: value for key, value in config.items() if key != "tune"}
    with collecting(own):
        check_model(where, rest)
    if isinstance(content, dict) and isinstance(content.get("ranges"), dict):
        for key, value in content["ranges"].items():
            with collecting(problems):
                validated(Range, value, f"{at}: ranges.{key}")
    if problems:
        # The whole would say so again.
        content = {**content, "ranges": {"epochs": {"values": [1]}}}
    with collecting(problems):
        tune = validated(Tune, content, at)
    if problems:
        raise InputError(*problems)
    known = [name for name in ModelSpec.model_fields if name not in (*FIXED, "hyperparameters")]
    family = str(config.get("family"))
    if family in family_names():
        known += [f"hyperparameters.{name}" for name in load_family(family).Hyperparameters.model_fields]
    for key, tried in tune.ranges.items():
        if key not in known and (family in family_names() or not key.startswith("hyperparameters.")):
            problems.append(f"{at}: ranges.{key}: {_unknown(key, known)}")
        with collecting(problems):
            _check_range(f"{at}: ranges.{key}", tried)
    if tune.epochs and "epochs" in tune.ranges:
        problems.append(f"{at}: epochs: {tune.epochs}, but ranges.epochs varies them; expected one of the two")
    if not problems and isinstance(config.get("hyperparameters", {}), dict):
        rest |= {"epochs": tune.epochs} if tune.epochs else {}
        problems = _combinations(at, tune, rest, functools.partial(check_model, where), own)
    if problems:
        raise InputError(*problems)
    return tune


def _unknown(key: str, known: list[str]) -> str:
    if key in FIXED:
        return "can't be tuned"
    if key == "hyperparameters":
        return f"expected one of them, such as {next(n for n in known if n.startswith('hyperparameters.'))}"
    near = difflib.get_close_matches(key, known, n=1) or [name for name in known if name.endswith(f".{key}")]
    return f"unknown key; did you mean '{near[0]}'?" if near else f"unknown key; known are: {', '.join(known)}"


def _check_range(at: str, tried: Range) -> None:
    if tried.values is not None:
        if tried.low is not None or tried.high is not None or tried.log:
            raise InputError(f"{at}: expected low and high, or values, got both")
        if not tried.values:
            raise InputError(f"{at}: values: empty, expected at least one")
        return
    if tried.low is None or tried.high is None:
        raise InputError(f"{at}: expected low and high, or values")
    if tried.low >= tried.high:
        raise InputError(f"{at}: low {tried.low}, high {tried.high}: expected low below high")
    if tried.log and tried.low <= 0:
        raise InputError(f"{at}: low {tried.low}: expected more than 0 where log is true")


def _combinations(
    at: str, tune: Tune, rest: dict[str, Any], check_model: Callable[[dict[str, Any]], ModelSpec], own: list[str]
) -> list[str]:
    """What is wrong with the combinations of ends and values: what holds at both ends holds between them.

    Each problem is told once, with the first trial that has it; the model's own are left out.
    """
    tried = [_ends(one) for one in tune.ranges.values()]
    if (count := math.prod(map(len, tried))) > MAX_COMBINATIONS:
        return [
            f"{at}: ranges: {count:,} combinations of values and ends, expected at most {MAX_COMBINATIONS:,}; "
            f"give low and high in place of long lists of values"
        ]
    found: dict[str, str] = {}
    for combination in itertools.product(*tried):
        values = dict(zip(tune.ranges, combination, strict=True))
        problems: list[str] = []
        with collecting(problems):
            check_model(with_values(rest, values))
        for problem in problems:
            found.setdefault(problem, ", ".join(f"{key} {value!r}" for key, value in values.items()))
    return [f"{problem} (a trial of tune: {said})" for problem, said in found.items() if problem not in own]


def _ends(tried: Range) -> list[Any]:
    if tried.values is not None:
        return tried.values
    if tried.whole:
        # Beside an end, since a batch may have to be a multiple of something.
        return sorted({tried.low, tried.low + 1, tried.high})
    return [float(tried.low), float(tried.high)]
