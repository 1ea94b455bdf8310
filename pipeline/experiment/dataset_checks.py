"""Check the data sets of an experiment: first their keys and options, then their data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import Field

from components.artifacts.baselines import FITTED, Rival, baseline_names, rival_seasons, season_names
from components.common.errors import InputError, collecting
from components.common.spec import Facts, ImageOptions, ModelSpec, SeriesOptions, Strict, Task
from components.data.source_data import Series
from components.data.splits import folds, split_ends, split_problems
from components.metrics.metrics import least
from components.readers.time_axis import Frequency, calendar_columns
from components.sources import Source, load_source
from pipeline.experiment.validation import at, shorten, validate, validate_rest

# These values take the place of wrong options, so that the data can be checked in the same call.
REPLACEMENTS = {"lookback": 1, "horizon": 1, "frequency": "D", "height": 256, "width": 256}


class DatasetKeys(Strict):
    """The keys of a data set beside the options of its source.

    Attributes:
        source: The source of the data, a file in components/sources.
        gate: The share by which a model has to reduce the error of a baseline, for each baseline to beat, or null where
            it just has to be better. A metric that is a share, such as accuracy or coverage, stands for its least value
            instead. "none" for no gate. Without it a model has to be better than every naive baseline.
        baselines: Statistical baselines of a series, from the package statsforecast, beside the baselines that are
            always there: auto_ets, mstl and auto_theta. They take minutes on a long series.
    """

    source: str
    gate: dict[str, Annotated[float, Field(ge=0, lt=1)] | None] | None = None
    baselines: list[Rival] = []


@dataclass(frozen=True)
class DatasetOptions:
    """The checked keys of a data set, before its data are read.

    Attributes:
        name: The source's name.
        source: The source.
        options: The source's options.
        gate: The gate, as in `DatasetKeys`; empty for "none", None where the config has none.
        rivals: The rivals that `baselines` names.
        valid: Whether all options are the config's. Otherwise wrong ones are left out or replaced, see `REPLACEMENTS`.
    """

    name: str
    source: Source
    options: ImageOptions | SeriesOptions
    gate: dict[str, float | None] | None
    rivals: list[Rival]
    valid: bool


@dataclass(frozen=True)
class DatasetConfig:
    """A data set of an experiment.

    Attributes:
        source: The source's name.
        options: The source's options.
        task: The task that models are trained for.
        facts: The facts of the data, which the source has found.
        gate: The share by which a model has to reduce the error of each baseline to beat; None where it just has to be
            better. Empty for no gate.
        rivals: The rivals from statsforecast that are measured as baselines.
        seasons: The seasons that fit into a window of a series, see `components.readers.time_axis.Frequency`.
        shape: The shape of an example, as far as it is known, see `components.models.layer_sizes`.
    """

    source: str
    options: ImageOptions | SeriesOptions
    task: Task
    facts: Facts
    gate: dict[str, float | None]
    rivals: list[Rival]
    seasons: list[str]
    shape: list[int]

    @property
    def folds(self) -> int:
        """The number of folds of its backtest; 0 where it has none."""
        return self.options.backtest.folds if isinstance(self.options, SeriesOptions) and self.options.backtest else 0


def check_options(where: str, config: Mapping[str, object], folder: Path, problems: list[str]) -> DatasetOptions | None:
    """Check the keys of a data set.

    Args:
        where: The file and the data set, for messages.
        config: The keys in the YAML file.
        folder: The config's folder.
        problems: A list to which the problems are added.

    Returns:
        The options. Where some are wrong, the others are enough to check the data. None where they aren't enough.
    """
    options = dict(config)
    keys = {key: options.pop(key) for key in DatasetKeys.model_fields if key in options}
    if keys.get("gate") == "none":
        keys["gate"] = {}
    name, gate, rivals = keys.get("source"), None, list[Rival]()
    with collecting(problems):
        valid = validate(DatasetKeys, keys, where)
        gate, rivals = valid.gate, list(dict.fromkeys(valid.baselines))
    if not isinstance(name, str):
        return None
    with collecting(problems):
        with at(where):
            source = load_source(name)
        option_problems: list[str] = []
        with collecting(option_problems):
            validate(source.Options, options, where, tuple(DatasetKeys.model_fields), folder, _elsewhere(name, source))
        problems += option_problems
        usable = validate_rest(source.Options, options, folder, REPLACEMENTS)
        return DatasetOptions(name, source, usable, gate, rivals, not option_problems) if usable else None
    return None


def _elsewhere(name: str, source: Source) -> dict[str, str]:
    """The keys that aren't for data sets of a source, but for models, or for sources of the other task."""
    images = source.TASK == "classification"
    others, words = (SeriesOptions, "a series") if images else (ImageOptions, "images")
    of_others = f"for {words}, the source {name} has {'images' if images else 'a series'}"
    return {
        **dict.fromkeys(ModelSpec.model_fields, "a key of a model, not of a data set"),
        **dict.fromkeys(others.model_fields, of_others),
    }


def check_data(where: str, config: DatasetOptions) -> DatasetConfig:
    """Check the data of a data set.

    Raises:
        InputError: The data don't fit the options, or have no such baseline as the gate names. Where the options aren't
            valid, the error may have no problems, for those of the options are known already.
    """
    source, options, task = config.source, config.options, config.source.TASK
    problems: list[str] = []
    facts = series = None
    names: list[str] = []
    with _collecting_read_errors(problems):
        facts = source.check(options)
    with _collecting_read_errors(problems):
        series = _check_series(source, options, facts) if isinstance(options, SeriesOptions) else None
    seasons: list[str] = []
    if isinstance(options, SeriesOptions) and series and config.valid:
        known = bool(series.known or options.calendar)
        names = baseline_names(task, series.frequency, options.lookback, known, config.rivals)
        seasons = season_names(series.frequency, options.lookback)
        problems += _rival_problems(config.rivals, series, options, facts)
    elif task == "classification":
        names = baseline_names(task)
        problems += ["baselines: rivals are for a series, expected none for images"] if config.rivals else []
    if names:
        unknown = [name for name in config.gate or {} if name not in (*names, *least(task))]
        existing = f"there are: {', '.join(names)}, and the metric {', '.join(least(task))}"
        problems += [f"gate: no baseline '{shorten(name, quoted=False)}'; {existing}" for name in unknown]
        without = [name for name in least(task) if (config.gate or {}).get(name, 0) is None]
        problems += [f"gate.{name}: null, expected the least value of this metric" for name in without]
    if problems or not (facts and config.valid):
        raise InputError(*(f"{where}: {problem}" for problem in dict.fromkeys(problems)))
    shape = facts.shape or [1, 1, 1]
    if isinstance(options, SeriesOptions) and series:
        shape = [options.lookback, len(series.columns)]
    gate = dict.fromkeys(name for name in names if name not in FITTED) if config.gate is None else config.gate
    return DatasetConfig(config.name, options, task, facts, gate, config.rivals, seasons, shape)


@contextmanager
def _collecting_read_errors(problems: list[str]) -> Iterator[None]:
    with collecting(problems):
        try:
            yield
        except OSError as error:
            subject = error.filename or type(error).__name__
            raise InputError(f"{subject}: {error.strerror if error.filename else error}") from None


def _rival_problems(rivals: list[Rival], series: Series, options: SeriesOptions, facts: Facts | None) -> list[str]:
    """A line for each reason why rivals can't be measured."""
    if not rivals:
        return []
    if series.many:
        return ["baselines: rivals are for one series, expected none with series"]
    problems: list[str] = []
    if find_spec("statsforecast") is None:
        problems.append("baselines: the package statsforecast is missing, which requirements-cpu.lock has")
    if facts and facts.rows:
        # The first fold of a backtest has the fewest rows to train on.
        first = [*folds(facts.rows, options), options][0]
        for rival in rivals:
            with collecting(problems):
                rival_seasons(rival, series.frequency, split_ends(facts.rows, first)[0])
    return problems


def _check_series(source: Source, options: SeriesOptions, facts: Facts | None) -> Series:
    """Check the splits and the columns of a series, and read its description."""
    problems = split_problems(facts.rows or 0, options) if facts and facts.cuts is None else []
    series = source.read(options)
    assert isinstance(series, Series)  # noqa: S101 (a series source reads a series)
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
    return series
