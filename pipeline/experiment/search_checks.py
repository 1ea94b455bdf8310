"""Check a model's `tune` before the search, so that no trial can be refused while it runs."""

import difflib
import itertools
import math
from collections.abc import Callable, Sequence

from components.artifacts.search import Range, Tune, with_values
from components.common.errors import InputError, collecting
from components.common.spec import ModelSpec
from components.families import family_names, load_family
from pipeline.experiment.validation import validate

# The keys that a trial can't change, or that can't change its result.
NOT_TUNABLE = (
    *("family", "dataset", "machine", "tune", "expect", "quantiles"),
    *("average_flips", "calibrate", "checkpoint_seconds", "histograms", "keep_checkpoints", "threads"),
)
# The most combinations of values, whose check takes a few seconds.
MAX_COMBINATIONS = 10_000


def check_tune(
    where: str,
    config: dict[str, object],
    check_model: Callable[[str, dict[str, object]], ModelSpec],
) -> Tune | None:
    """Check the search of a model.

    Args:
        where: The file and the model, for messages.
        config: The keys of the model in the YAML file. The problems of its other keys aren't reported again.
        check_model: A function of `where` and of a model's keys, which raises InputError where it can't be trained.

    Returns:
        The search; None where the model has none.

    Raises:
        InputError: The search can't be run.
    """
    content = config.get("tune")
    if content is None:
        return None
    at = f"{where}: tune"
    problems: list[str] = []
    model_problems: list[str] = []
    model = {key: value for key, value in config.items() if key != "tune"}
    spec: ModelSpec | None = None
    with collecting(model_problems):
        spec = check_model(where, model)
    ranges: dict[str, Range] = {}
    if isinstance(content, dict) and isinstance(content.get("ranges"), dict):
        for key, value in content["ranges"].items():
            with collecting(problems):
                ranges[str(key)] = validate(Range, value, f"{at}: ranges.{key}")
        if problems:
            # These ranges take the place of the wrong ones, whose problems would be reported twice.
            content = {**content, "ranges": {"epochs": {"values": [1]}}}
    tune: Tune | None = None
    tune_problems: list[str] = []
    with collecting(tune_problems):
        tune = validate(Tune, content, at)
    known = [name for name in ModelSpec.model_fields if name not in (*NOT_TUNABLE, "hyperparameters")]
    family = str(config.get("family"))
    if family in family_names():
        known += [f"hyperparameters.{name}" for name in load_family(family).Hyperparameters.model_fields]
    for key, search_range in ranges.items():
        if key not in known and (family in family_names() or not key.startswith("hyperparameters.")):
            problems.append(f"{at}: ranges.{key}: {_unknown_key(key, known)}")
        with collecting(problems):
            _check_range(f"{at}: ranges.{key}", search_range)
    if tune and tune.epochs and "epochs" in ranges:
        problems.append(f"{at}: epochs: {tune.epochs}, but ranges.epochs varies them; expected one of the two")
    # Where a range is wrong, it isn't known which trials there would be.
    if ranges and not problems and isinstance(config.get("hyperparameters", {}), dict):
        model |= {"epochs": tune.epochs} if tune and tune.epochs else {}

        def check_trial(values: dict[str, object]) -> None:
            trial = check_model(where, with_values(model, values))
            # What a family's `check` found of the model's files is given to all trials.
            others = [
                {key: value for key, value in each.hyperparameters.items() if f"hyperparameters.{key}" not in values}
                for each in (trial, spec or trial)
            ]
            if others[0] != others[1]:
                raise InputError(f"{at}: ranges: trials would read other files than the model, expected the same")

        problems = _trial_problems(at, ranges, check_trial, model_problems)
    if problems or not tune:
        raise InputError(*tune_problems, *problems)
    return tune


def _unknown_key(key: str, known: list[str]) -> str:
    if key in NOT_TUNABLE:
        return "can't be tuned"
    if key == "hyperparameters":
        return f"expected one of them, such as {next(n for n in known if n.startswith('hyperparameters.'))}"
    similar = difflib.get_close_matches(key, known, n=1) or [name for name in known if name.endswith(f".{key}")]
    return f"unknown key; did you mean '{similar[0]}'?" if similar else f"unknown key; known are: {', '.join(known)}"


def _check_range(at: str, search_range: Range) -> None:
    if search_range.values is not None:
        if search_range.low is not None or search_range.high is not None or search_range.log:
            raise InputError(f"{at}: expected low and high, or values, got both")
        if not search_range.values:
            raise InputError(f"{at}: values: empty, expected at least one")
        return
    if search_range.low is None or search_range.high is None:
        raise InputError(f"{at}: expected low and high, or values")
    if search_range.low >= search_range.high:
        raise InputError(f"{at}: low {search_range.low}, high {search_range.high}: expected low below high")
    if search_range.log and search_range.low <= 0:
        raise InputError(f"{at}: low {search_range.low}: expected more than 0 where log is true")


def _trial_problems(
    at: str,
    ranges: dict[str, Range],
    check_trial: Callable[[dict[str, object]], object],
    model_problems: list[str],
) -> list[str]:
    """The problems of the combinations of ends and values. A value between two ends has no problem that both lack.

    Each problem is reported once, with the first trial that has it. Those of the model itself are left out.
    """
    ends = [_ends(search_range) for search_range in ranges.values()]
    if (count := math.prod(map(len, ends))) > MAX_COMBINATIONS:
        return [
            f"{at}: ranges: {count:,} combinations of values and ends, expected at most {MAX_COMBINATIONS:,}; "
            f"give low and high in place of long lists of values"
        ]
    first_trials: dict[str, str] = {}
    for combination in itertools.product(*ends):
        values = dict(zip(ranges, combination, strict=True))
        problems: list[str] = []
        with collecting(problems):
            check_trial(values)
        for problem in problems:
            if problem not in model_problems:
                first_trials.setdefault(problem, ", ".join(f"{key} {value!r}" for key, value in values.items()))
    return [f"{problem} (a trial of tune: {trial})" for problem, trial in first_trials.items()]


def _ends(search_range: Range) -> Sequence[object]:
    if search_range.values is not None:
        return search_range.values
    if search_range.whole:
        # The number beside an end shows whether the key has to be a multiple, as a batch size may.
        return sorted({search_range.low, search_range.low + 1, search_range.high})
    return [float(search_range.low), float(search_range.high)]
