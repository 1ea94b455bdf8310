"""Check the data sets and models of an experiment, all of it before anything runs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from components.artifacts.search import Tune
from components.common.errors import InputError, collecting
from components.common.spec import Facts, ImageOptions, ModelSpec, SeriesOptions, Strict, Task
from components.data.records import Series
from components.data.splits import split_problems
from components.families import Family, families_for, load_family
from components.metrics.baselines import FITTED, baseline_names
from components.models import sizes
from components.readers.time_axis import Frequency, calendar_columns
from components.sources import Source, load_source
from pipeline.experiment.claims import Claim
from pipeline.experiment.machines import machines
from pipeline.experiment.validated import cut, usable, validated

# A name becomes part of task names, of Python identifiers and of paths.
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# A task's name, such as evaluate-<model>, is a label of Kubernetes, which has at most 63 letters.
MAX_NAME = 50
SERIES_ONLY = ("seasonal", "patch")
# Take the place of wrong options, so that the data can be looked at all the same.
TO_LOOK = {"lookback": 1, "horizon": 1, "frequency": "D", "height": 256, "width": 256}
IMAGES_ONLY = ("flip", "label_smoothing")


class DatasetKeys(Strict):
    """A data set, under a name of its own. Beside these keys it has the options of its source.

    Attributes:
        source: Where the data come from, a file in components/sources.
        gate: For each baseline to beat, the share of its error that a model has to take away, or null where it just
            has to be better; "none" for no gate. Without it a model has to be better than every naive baseline.
    """

    source: str
    gate: dict[str, Annotated[float, Field(ge=0, lt=1)] | None] | None = None


class ModelKeys(Strict):
    """What a model has beside a `ModelSpec`.

    Attributes:
        expect: What the model claims to reach on the test split, by metric, see `make verify`.
        tune: A search for the best values of other keys.
    """

    expect: dict[str, Claim] = {}
    tune: Tune | None = None


@dataclass(frozen=True)
class DatasetOptions:
    """What an experiment says of a data set, checked without a look at the data.

    Attributes:
        name: Name of the source.
        source: The source.
        options: The source's options.
        gate: That of `DatasetKeys`; empty for `gate: none`, None where the config has none.
        whole: Whether the options are those of the config; else wrong ones are left out, see `TO_LOOK`.
    """

    name: str
    source: Source
    options: ImageOptions | SeriesOptions
    gate: dict[str, float | None] | None
    whole: bool


@dataclass(frozen=True)
class DatasetConfig:
    """A data set of an experiment.

    Attributes:
        source: Name of the source.
        options: The source's options.
        task: What the data set is for.
        facts: What the source told of the data.
        gate: For each baseline to beat, the share of its error that a model has to take away, or None where it just has
            to be better; empty for `gate: none`.
        seasons: Seasons that fit into a window of a series, see `components.readers.time_axis.Frequency`.
        shape: Of an example, as far as it is known, see `components.models.sizes`.
    """

    source: str
    options: Strict
    task: Task
    facts: Facts
    gate: dict[str, float | None]
    seasons: list[str]
    shape: list[int]


def check_name(where: str, name: str) -> None:
    """Check the name of a data set or model.

    Args:
        where: File and kind, for messages.
        name: The name.

    Raises:
        InputError: It can't be a part of task names and paths.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"{where}.{cut(name, quoted=False)}: expected small letters, digits and single _")
    if len(name) > MAX_NAME:
        raise InputError(f"{where}.{cut(name, quoted=False)}: {len(name)} letters, expected at most {MAX_NAME}")


def check_options(where: str, config: dict[str, Any], folder: Path, problems: list[str]) -> DatasetOptions | None:
    """Check what an experiment says of a data set.

    Args:
        where: File and data set, for messages.
        config: Its keys.
        folder: The config's.
        problems: What is wrong is added to it.

    Returns:
        Where options are wrong, those that are left, to look at the data with; None where these don't tell which data.
    """
    options = dict(config)
    keys = {key: options.pop(key) for key in DatasetKeys.model_fields if key in options}
    if keys.get("gate") == "none":
        keys["gate"] = {}
    name, gate = keys.get("source"), None
    with collecting(problems):
        gate = validated(DatasetKeys, keys, where).gate
    if not isinstance(name, str):
        return None
    with collecting(problems):
        source = _known(load_source, name, where)
        wrong: list[str] = []
        with collecting(wrong):
            validated(source.Options, options, where, tuple(DatasetKeys.model_fields), folder)
        problems += wrong
        left = usable(source.Options, options, folder, TO_LOOK)
        return DatasetOptions(name, source, left, gate, not wrong) if left else None
    return None


def check_data(where: str, asked: DatasetOptions) -> DatasetConfig:
    """Look at the data of a data set.

    Raises:
        InputError: They aren't as the options say, or have no such baseline as the gate names; without a problem where
            the options themselves aren't whole.
    """
    source, options, task = asked.source, asked.options, asked.source.TASK
    problems: list[str] = []
    facts = frequency = None
    with _of_data(problems):
        facts = source.check(options)
    with _of_data(problems):
        frequency = _check_series(source, options, facts) if isinstance(options, SeriesOptions) else None
    if task == "classification" or (frequency and asked.whole):
        names = baseline_names(task, frequency, options.lookback if isinstance(options, SeriesOptions) else 0)
        unknown = [name for name in asked.gate or {} if name not in names]
        problems += [f"gate: no baseline '{name}'; there are: {', '.join(names)}" for name in unknown]
    if problems or not (facts and asked.whole):
        raise InputError(*(f"{where}: {problem}" for problem in dict.fromkeys(problems)))
    shape = facts.shape or [1, 1, 1]
    if isinstance(options, SeriesOptions):
        shape = [options.lookback, len(_series(source, options).columns)]
    gate = dict.fromkeys(name for name in names if name not in FITTED) if asked.gate is None else asked.gate
    return DatasetConfig(asked.name, options, task, facts, gate, names[1:-1], shape)


@contextmanager
def _of_data(problems: list[str]) -> Iterator[None]:
    with collecting(problems):
        try:
            yield
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else f"{type(error).__name__}: {error}"
            raise InputError(what) from None


def _series(source: Source, options: SeriesOptions) -> Series:
    series = source.read(options)
    assert isinstance(series, Series)  # noqa: S101 (a series source reads a series)
    return series


def _check_series(source: Source, options: SeriesOptions, facts: Facts | None) -> str:
    problems = split_problems(facts.rows or 0, options) if facts else []
    series = _series(source, options)
    names = [*series.columns, *calendar_columns(options.calendar)]
    problems += [
        f"column '{name}' is there twice, as a column or as a part of calendar"
        for name in dict.fromkeys(names)
        if names.count(name) > 1 and (facts or name not in series.columns)
    ]
    with collecting(problems):
        Frequency(series.frequency)
    if problems:
        raise InputError(*problems)
    return str(series.frequency)


def check_model(
    where: str, config: dict[str, Any], tasks: dict[str, Task | None], datasets: dict[str, DatasetConfig]
) -> ModelSpec:
    """Check what an experiment says of a model, but for its `expect` and `tune`.

    Args:
        where: File and model, for messages.
        config: Its keys.
        tasks: For each data set what it is for, as far as that is known.
        datasets: Those whose data could be looked at.

    Raises:
        InputError: It can't be trained.
    """
    problems: list[str] = []
    beside = tuple(ModelKeys.model_fields)
    trained = {key: value for key, value in config.items() if key not in beside}
    with collecting(problems):
        spec = validated(ModelSpec, trained, where, extra=beside)
    family, values, dataset = config.get("family"), config.get("hyperparameters", {}), config.get("dataset")
    task = None
    if isinstance(dataset, str) and tasks:
        task = tasks.get(dataset)
        if dataset not in tasks:
            problems.append(f"{where}: dataset: no '{cut(dataset, quoted=False)}'; there are: {', '.join(tasks)}")
    if isinstance(family, str) and isinstance(values, dict):
        with collecting(problems):
            found = _known(load_family, family, f"{where}: family")
            if task and task not in found.TASKS:
                able = ", ".join(families_for(task))
                raise InputError(f"{where}: family {family} doesn't solve {task}; these do: {able}")
            hyperparameters = validated(found.Hyperparameters, values, f"{where}: hyperparameters")
    if not problems:
        fits = _against_the_data(spec, hyperparameters, task) if task else []
        if data := datasets.get(spec.dataset):
            fits += _with_the_data(spec, found, hyperparameters, data)
        problems = [f"{where}: {problem}" for problem in (*fits, *_together(spec))]
    if problems:
        raise InputError(*problems)
    return spec


def _known(load: Any, name: str, where: str) -> Any:  # noqa: ANN401 (load_source or load_family)
    try:
        return load(name)
    except InputError as error:
        raise InputError(*(f"{where}: {problem}" for problem in error.problems)) from None


def _with_the_data(spec: ModelSpec, family: Family, hyperparameters: Any, data: DatasetConfig) -> list[str]:  # noqa: ANN401
    """What of a model is too large, or too long, for its data."""
    found = []
    if data.task == "forecasting" and getattr(hyperparameters, "seasonal", False) and not data.seasons:
        found.append(f"hyperparameters.seasonal: no season of {spec.dataset} fits into its lookback")
    if family.sizes:
        outputs = data.options.horizon if isinstance(data.options, SeriesOptions) else 1
        machine = machines().get(spec.machine) if spec.machine else None
        batch = spec.batch_size if spec.per_replica or not machine else -(-spec.batch_size // machine.replicas)
        found += sizes.problems(family.sizes(data.shape, outputs, hyperparameters), data.shape, batch)
    return found


def _against_the_data(spec: ModelSpec, hyperparameters: Strict, task: Task) -> list[str]:
    """What of a model isn't for the task of its data set."""
    problems = []
    fields = type(hyperparameters).model_fields
    for name in SERIES_ONLY if task == "classification" else ():
        if name in fields and getattr(hyperparameters, name) != fields[name].default:
            problems.append(f"hyperparameters.{name} is for a series, {spec.dataset} is one of images")
    for name in IMAGES_ONLY if task == "forecasting" else ():
        if getattr(spec, name):
            problems.append(f"{name} is for images, {spec.dataset} is a series")
    losses = ("crossentropy",) if task == "classification" else ("mse", "mae")
    if spec.loss not in (None, *losses):
        problems.append(f"loss: {spec.loss} is not for {task}; there are: {', '.join(losses)}")
    return problems


def _together(spec: ModelSpec) -> list[str]:
    """Which keys of a model don't go together."""
    problems = []
    if spec.weight_decay and spec.optimizer != "adamw":
        problems.append(f"weight_decay is for the optimizer adamw, got {spec.optimizer}")
    if spec.warmup and spec.schedule != "cosine":
        problems.append(f"warmup is for the schedule cosine, got {spec.schedule}")
    if spec.machine is None:
        return problems
    if spec.machine not in machines():
        return [*problems, f"machine: no '{spec.machine}'; there are: {', '.join(machines())}"]
    replicas = machines()[spec.machine].replicas
    if spec.batch_size % replicas and not spec.per_replica:
        problems.append(
            f"batch_size: {spec.batch_size}, expected a multiple of the {replicas} replicas of machine "
            f"{spec.machine}, or per_replica: true"
        )
    return problems
