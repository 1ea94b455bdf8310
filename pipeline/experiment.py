"""The typed experiment: one YAML file that names data sets and models."""

import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from components.baseline.names import baseline_names
from components.cloud import VertexOptions
from components.errors import InputError
from components.exported import OptionalFormat
from components.ingest.splits import split_ends, too_short
from components.spec import Facts, ModelSpec, SeriesOptions, Strict, Task, families_for, load_family, load_source
from components.time_axis import Frequency, calendar_columns
from components.tuning import Tune
from pipeline.claims import Claim, check_expect
from pipeline.machines import machines
from pipeline.tuning import check_tune
from pipeline.validated import validated

# A name becomes part of task names, of Python identifiers and of paths.
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
EXPERIMENT = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
SERIES_ONLY = ("seasonal", "patch")
IMAGES_ONLY = ("flip", "label_smoothing")


@dataclass(frozen=True)
class DatasetConfig:
    """A data set of an experiment.

    Attributes:
        source: Name of the source.
        options: The source's options.
        task: What the data set is for.
        facts: What the source told of the data.
        gate: For each baseline to beat, the share of its error that a model has to take away; empty for `gate: none`,
            None where the config has none: then a model has to be better than every naive baseline.
        seasons: Seasons that fit into a window of a series, see `components.time_axis.Frequency`.
    """

    source: str
    options: Strict
    task: Task
    facts: Facts
    gate: dict[str, float] | None
    seasons: list[str]


@dataclass(frozen=True)
class Experiment:
    """A checked experiment.

    Attributes:
        name: The file's name without its ending.
        seed: All randomness comes from it.
        datasets: By name.
        models: By name.
        expect: For each model, what it claims to reach, by metric. No task is told.
        tunes: The searches, by name of their model.
        formats: What models are exported to beside `.keras` and SavedModel.
        vertex: Of runs on Vertex AI.
        command: What starts this run again, from the project's folder.
    """

    name: str
    seed: int
    datasets: dict[str, DatasetConfig]
    models: dict[str, ModelSpec]
    expect: dict[str, dict[str, Claim]]
    tunes: dict[str, Tune]
    formats: list[OptionalFormat]
    vertex: VertexOptions
    command: str


class _File(Strict):
    seed: int = Field(default=0, ge=0, lt=2**32)
    datasets: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    formats: list[OptionalFormat] = []
    vertex: VertexOptions = VertexOptions()


class _Gate(Strict):
    gate: dict[str, float] | None = None


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[Any] = []
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=deep)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{name}' is there twice", problem_mark=key.start_mark)
            seen.append(name)
        return super().construct_mapping(node, deep)


def load_experiment(path: Path, overrides: list[str]) -> Experiment:
    """Read and check an experiment, and look at its data.

    Args:
        path: The YAML file.
        overrides: "key.key=value" for this run, checked like the file.

    Returns:
        The experiment.

    Raises:
        InputError: The file, or the data that it names, isn't as it should be.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a subclass of SafeLoader)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not YAML: {error}".replace("\n", " ")) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: {content!r}, expected the keys datasets and models")
    for override in overrides:
        _override(content, override)
    if not EXPERIMENT.fullmatch(path.stem):
        raise InputError(f"{path}: a file's name is its experiment's: small letters, digits and single - or _")
    file = validated(_File, content, str(path))
    for kind, names in (("datasets", file.datasets), ("models", file.models)):
        if not names:
            raise InputError(f"{path}: {kind}: empty, expected at least one")
        for name in names:
            if not NAME.fullmatch(name):
                raise InputError(f"{path}: {kind}.{name}: expected small letters, digits and single _")
    if file.vertex.tensorboard and not file.vertex.service_account:
        raise InputError(f"{path}: vertex.tensorboard: needs a service_account, which its jobs run as")
    datasets = {name: _dataset(f"{path}: datasets.{name}", options) for name, options in file.datasets.items()}
    models = {name: _model(f"{path}: models.{name}", spec, datasets) for name, spec in file.models.items()}
    expect = {
        name: check_expect(f"{path}: models.{name}", config.get("expect", {}), datasets[models[name].dataset].task)
        for name, config in file.models.items()
    }
    tunes = {
        name: check_tune(f"{path}: models.{name}", config, functools.partial(_model, datasets=datasets))
        for name, config in file.models.items()
    }
    asked = {name: tune for name, tune in tunes.items() if tune}
    command = _command(path, overrides)
    return Experiment(path.stem, file.seed, datasets, models, expect, asked, file.formats, file.vertex, command)


def _command(path: Path, overrides: list[str]) -> str:
    """The run as a command, without this machine's folders: a file elsewhere is named alone."""
    whole = path.absolute()
    file = whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else Path(path.name)
    changes = [part for override in overrides for part in ("--set", override)]
    return shlex.join(["python", "-m", "pipeline", "run", file.as_posix(), *changes])


def _override(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise InputError(f"--set {override}: expected key.key=value, such as models.cnn.epochs=3")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise InputError(f"--set {override}: '{text}' is not a YAML value") from None
    place = content
    for i, key in enumerate(keys[:-1]):
        if key in ("hyperparameters", "gate", "vertex", "expect"):
            place.setdefault(key, {})
        if not isinstance(place.get(key), dict):
            there = ", ".join(map(str, place))
            raise InputError(f"--set {override}: no '{'.'.join(keys[: i + 1])}'; there are: {there}")
        place = place[key]
    place[keys[-1]] = value


def _dataset(where: str, config: dict[str, Any]) -> DatasetConfig:
    options = dict(config)
    source_name = options.pop("source", None)
    if not isinstance(source_name, str):
        raise InputError(f"{where}: source: {source_name!r}, expected the name of a source")
    asked = options.pop("gate", None)
    gate = validated(_Gate, {"gate": {} if asked == "none" else asked}, where).gate
    try:
        source = load_source(source_name)
        checked = validated(source.Options, options, where, extra=("source", "gate"))
        facts: Facts = source.check(checked)  # type: ignore[attr-defined]
        frequency = _check_series(where, source, checked, facts) if isinstance(checked, SeriesOptions) else None
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(where) else f"{where}: {message}") from None
    lookback = checked.lookback if isinstance(checked, SeriesOptions) else 0
    for name, margin in (gate or {}).items():
        names = baseline_names(source.TASK, frequency, lookback)
        if name not in names:
            raise InputError(f"{where}: gate: no baseline '{name}'; there are: {', '.join(names)}")
        if not 0 <= margin < 1:
            raise InputError(f"{where}: gate.{name}: {margin}, expected a share of the error from 0 to below 1")
    seasons = baseline_names(source.TASK, frequency, lookback)[1:-1]
    return DatasetConfig(source_name, checked, source.TASK, facts, gate, seasons)


def _check_series(where: str, source: Any, options: SeriesOptions, facts: Facts) -> str:  # noqa: ANN401 (a module)
    if options.validation + options.test >= 1:
        raise InputError(f"{where}: validation {options.validation} + test {options.test} leave nothing to train on")
    ends = split_ends(facts.rows or 0, options)
    for split, rows in zip(
        ("train", "validation", "test"), (ends[0], ends[1] - ends[0], ends[2] - ends[1]), strict=True
    ):
        if rows < options.lookback + options.horizon:
            raise InputError(f"{where}: {too_short(split, rows, options)}")
    series = source.read(options)
    names = [*series.columns, *calendar_columns(options.calendar)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}: column '{name}' is there twice, as a column or as a part of calendar")
    Frequency(series.frequency)
    return str(series.frequency)


def _model(where: str, config: dict[str, Any], datasets: dict[str, DatasetConfig]) -> ModelSpec:
    trained = {key: value for key, value in config.items() if key not in ("expect", "tune")}
    spec = validated(ModelSpec, trained, where, extra=("expect", "tune"))
    if spec.dataset not in datasets:
        raise InputError(f"{where}: dataset: no '{spec.dataset}'; there are: {', '.join(datasets)}")
    task = datasets[spec.dataset].task
    try:
        family = load_family(spec.family)
    except InputError as error:
        raise InputError(f"{where}: family: {error}") from None
    if task not in family.TASKS:
        able = ", ".join(families_for(task))
        raise InputError(f"{where}: family {spec.family} doesn't solve {task}; these do: {able}")
    hyperparameters = validated(family.Hyperparameters, spec.hyperparameters, f"{where}: hyperparameters")
    fields = type(hyperparameters).model_fields
    for name in SERIES_ONLY if task == "classification" else ():
        if name in fields and getattr(hyperparameters, name) != fields[name].default:
            raise InputError(f"{where}: hyperparameters.{name} is for a series, {spec.dataset} is one of images")
    for name in IMAGES_ONLY if task == "forecasting" else ():
        if getattr(spec, name):
            raise InputError(f"{where}: {name} is for images, {spec.dataset} is a series")
    if getattr(hyperparameters, "seasonal", False) and not datasets[spec.dataset].seasons:
        raise InputError(f"{where}: hyperparameters.seasonal: no season of {spec.dataset} fits into its lookback")
    losses = ("crossentropy",) if task == "classification" else ("mse", "mae")
    if spec.loss not in (None, *losses):
        raise InputError(f"{where}: loss: {spec.loss} is not for {task}; there are: {', '.join(losses)}")
    if spec.weight_decay and spec.optimizer != "adamw":
        raise InputError(f"{where}: weight_decay is for the optimizer adamw, got {spec.optimizer}")
    if spec.warmup and spec.schedule != "cosine":
        raise InputError(f"{where}: warmup is for the schedule cosine, got {spec.schedule}")
    if spec.machine is not None and spec.machine not in machines():
        raise InputError(f"{where}: machine: no '{spec.machine}'; there are: {', '.join(machines())}")
    replicas = machines()[spec.machine].replicas if spec.machine else 1
    if spec.batch_size % replicas and not spec.per_replica:
        raise InputError(
            f"{where}: batch_size: {spec.batch_size}, expected a multiple of the {replicas} replicas of machine "
            f"{spec.machine}, or per_replica: true"
        )
    return spec
