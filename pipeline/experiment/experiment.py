"""The typed experiment: one YAML file that names data sets and models."""

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from components.artifacts.export import OptionalFormat
from components.artifacts.search import Tune
from components.common.errors import InputError, collecting
from components.common.spec import ModelSpec, Strict, Task
from components.sources import load_source
from components.vertex.client import VertexOptions
from pipeline.experiment.claims import Claim, check_expect
from pipeline.experiment.config_file import override, read_config
from pipeline.experiment.dataset_checks import DatasetConfig, check_data, check_options
from pipeline.experiment.kubeflow_options import KubeflowOptions
from pipeline.experiment.model_checks import check_model
from pipeline.experiment.names import check_file_name, check_name, check_selected, fold_name_problems
from pipeline.experiment.search_checks import check_tune
from pipeline.experiment.validation import validate

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Experiment:
    """A checked experiment.

    Attributes:
        name: The file's name without its suffix.
        seed: The seed of all randomness.
        datasets: The data sets by name.
        models: The models by name.
        expect: The claims of each model, by metric. They are no part of any task.
        tunes: The searches, by the name of their model.
        formats: The formats that models are exported to, beside `.keras` and SavedModel.
        vertex: The options of runs on Vertex AI.
        kubeflow: The options of runs on Kubeflow.
        track: The tracker that runs on this machine are sent to; None where MLFLOW_TRACKING_URI decides.
        command: The command that starts this run again from the same folder.
    """

    name: str
    seed: int
    datasets: dict[str, DatasetConfig]
    models: dict[str, ModelSpec]
    expect: dict[str, dict[str, Claim]]
    tunes: dict[str, Tune]
    formats: list[OptionalFormat]
    vertex: VertexOptions
    kubeflow: KubeflowOptions
    track: Literal["mlflow"] | None
    command: str


class ExperimentFile(Strict):
    """The content of a config.

    Attributes:
        seed: The seed of all randomness.
        datasets: The data sets by name. Each has a `source`, its options, and a `gate`.
        models: The models by name.
        formats: The formats that models are exported to, beside `.keras` and SavedModel.
        vertex: The options of runs on Vertex AI.
        kubeflow: The options of runs on Kubeflow.
        track: "mlflow" sends each run on this machine to the MLflow server that MLFLOW_TRACKING_URI names. None does so
            where that variable is a server's address.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    datasets: dict[str, dict[str, object]]
    models: dict[str, dict[str, object]]
    formats: list[OptionalFormat] = ["onnx"]
    vertex: VertexOptions = VertexOptions()
    kubeflow: KubeflowOptions = KubeflowOptions()
    track: Literal["mlflow"] | None = None


def load_experiment(path: Path, overrides: list[str], selected: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment and its data.

    Args:
        path: The YAML file.
        overrides: The changes of this run, "key.key=value", which are checked like the file.
        selected: The models that `select_models` is to select, whose names are checked with all else.

    Raises:
        InputError: The file or its data have problems. The problems of the file come first.
    """
    content = read_config(path)
    problems: list[str] = []
    with collecting(problems):
        override(content, overrides)
    data_problems: list[str] = []
    with collecting(problems):
        check_file_name(path)
    with collecting(problems):
        of_models = {key: f"a key of a model: models.<name>.{key}" for key in ModelSpec.model_fields}
        file = validate(ExperimentFile, content, str(path), elsewhere=of_models)
        if file.vertex.tensorboard and not file.vertex.service_account:
            raise InputError(f"{path}: vertex.tensorboard: needs a service_account, which its jobs run as")
    configs = {key: _configs(path, key, content.get(key), problems) for key in ("datasets", "models")}
    with collecting(problems):
        if isinstance(given := content.get("models"), dict):
            check_selected(path.stem, given, selected)
    datasets: dict[str, DatasetConfig] = {}
    for name, config in configs["datasets"].items():
        where = f"{path}: datasets.{name}"
        if options := check_options(where, config, path.absolute().parent, problems):
            with collecting(data_problems):
                datasets[name] = check_data(where, options)
    tasks = {name: _task(config) for name, config in configs["datasets"].items()}
    check = functools.partial(check_model, tasks=tasks, datasets=datasets, folder=path.absolute().parent)
    models: dict[str, ModelSpec] = {}
    expect: dict[str, dict[str, Claim]] = {}
    tunes: dict[str, Tune] = {}
    for name, config in configs["models"].items():
        where = f"{path}: models.{name}"
        with collecting(problems):
            models[name] = check(where, config)
        with collecting(problems):
            if tune := check_tune(where, config, check):
                tunes[name] = tune
        if task := tasks.get(str(config.get("dataset"))):
            with collecting(problems):
                expect[name] = check_expect(where, config.get("expect", {}), task, bool(config.get("quantiles")))
    problems += _quantile_problems(path, models)
    folds = {name: config.folds for name, config in datasets.items()}
    problems += fold_name_problems(f"{path}: datasets", folds)
    problems += fold_name_problems(f"{path}: models", {name: folds.get(m.dataset, 0) for name, m in models.items()})
    if problems or data_problems:
        raise InputError(*problems, *data_problems)
    command = _command(path, overrides)
    places = (file.vertex, file.kubeflow, file.track)
    return Experiment(path.stem, file.seed, datasets, models, expect, tunes, file.formats, *places, command)


def _quantile_problems(path: Path, models: dict[str, ModelSpec]) -> list[str]:
    """A line for each model whose quantiles differ from those of the first model of its data set that has some."""
    problems: list[str] = []
    first: dict[str, str] = {}
    for name, spec in models.items():
        other = first.setdefault(spec.dataset, name) if spec.quantiles else name
        if models[other].quantiles != spec.quantiles:
            problems.append(
                f"{path}: models.{name}: quantiles: {spec.quantiles}, but {other} on the same data set has "
                f"{models[other].quantiles}; expected the same, or none"
            )
    return problems


def select_models(experiment: Experiment, models: list[str]) -> Experiment:
    """An experiment with some of its models, or with all where none is named, and the data sets that they use.

    Raises:
        InputError: The experiment has no such model.
    """
    if not models:
        return experiment
    check_selected(experiment.name, experiment.models, models)
    selected = {name: spec for name, spec in experiment.models.items() if name in models}
    datasets = {spec.dataset for spec in selected.values()}
    arguments = shlex.join(part for name in selected for part in ("--model", name))
    return replace(
        experiment,
        models=selected,
        datasets={name: config for name, config in experiment.datasets.items() if name in datasets},
        expect={name: experiment.expect[name] for name in selected},
        tunes={name: tune for name, tune in experiment.tunes.items() if name in selected},
        command=f"{experiment.command} {arguments}",
    )


def _configs(path: Path, key: str, content: object, problems: list[str]) -> dict[str, dict[str, object]]:
    """The data sets or models by name. Those that aren't mappings are left out, for `ExperimentFile` refuses them."""
    if content == {}:
        problems.append(f"{path}: {key}: empty, expected at least one")
    items = content.items() if isinstance(content, dict) else ()
    configs = {name: config for name, config in items if isinstance(name, str) and isinstance(config, dict)}
    for name in configs:
        with collecting(problems):
            check_name(f"{path}: {key}", name)
    return configs


def _task(config: dict[str, object]) -> Task | None:
    """The task of a data set, which is that of its source; None where there is no such source."""
    with collecting([]):
        return load_source(str(config.get("source"))).TASK
    return None


def _command(path: Path, overrides: list[str]) -> str:
    """The command that starts the run in the working folder. Where the file is in that, its path is relative."""
    absolute = path.absolute()
    file = absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
    arguments = [part for override in overrides for part in ("--set", override)]
    program = ["python", "-m", "pipeline"] if Path.cwd() == ROOT else ["keras-pipeline"]
    return shlex.join([*program, "run", file.as_posix(), *arguments])
