"""The typed experiment: one YAML file that names data sets and models."""

import difflib
import functools
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from components.artifacts.export import OptionalFormat
from components.artifacts.search import Tune
from components.common.errors import InputError, collecting
from components.common.spec import ModelSpec, Strict, Task
from components.sources import load_source
from components.vertex.client import VertexOptions
from pipeline.experiment.checks import DatasetConfig, check_data, check_model, check_name, check_options
from pipeline.experiment.claims import Claim, check_expect
from pipeline.experiment.config_file import override, read_config
from pipeline.experiment.pods import KubeflowOptions
from pipeline.experiment.search_checks import check_tune
from pipeline.experiment.validated import cut, validated

ROOT = Path(__file__).parent.parent.parent
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
# A label of Vertex AI and of Kubernetes has at most so many letters.
MAX_NAME = 63
# Folders in runs/ and in runs/<experiment>/.
RESERVED = ("registry", "latest")


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
        kubeflow: Of runs on Kubeflow.
        command: What starts this run again, from this folder.
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
    command: str


class ExperimentFile(Strict):
    """What a config holds.

    Attributes:
        seed: All randomness comes from it.
        datasets: By name. Each has a `source`, its options, and a `gate`.
        models: By name.
        formats: What models are exported to beside `.keras` and SavedModel.
        vertex: Of runs on Vertex AI.
        kubeflow: Of runs on Kubeflow.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    datasets: dict[str, dict[str, Any]]
    models: dict[str, dict[str, Any]]
    formats: list[OptionalFormat] = ["onnx"]
    vertex: VertexOptions = VertexOptions()
    kubeflow: KubeflowOptions = KubeflowOptions()


def load_experiment(path: Path, overrides: list[str]) -> Experiment:
    """Read and check an experiment, and look at its data.

    Args:
        path: The YAML file.
        overrides: "key.key=value" for this run, checked like the file.

    Returns:
        The experiment.

    Raises:
        InputError: The file, or the data that it names, isn't as it should be; all that is wrong, first in the file.
    """
    content = read_config(path)
    problems: list[str] = []
    with collecting(problems):
        override(content, overrides)
    of_data: list[str] = []
    with collecting(problems):
        _check_file_name(path)
    with collecting(problems):
        file = validated(ExperimentFile, content, str(path))
        if file.vertex.tensorboard and not file.vertex.service_account:
            raise InputError(f"{path}: vertex.tensorboard: needs a service_account, which its jobs run as")
    named = {kind: _named(path, kind, content.get(kind), problems) for kind in ("datasets", "models")}
    datasets: dict[str, DatasetConfig] = {}
    for name, config in named["datasets"].items():
        where = f"{path}: datasets.{name}"
        if asked := check_options(where, config, path.absolute().parent, problems):
            with collecting(of_data):
                datasets[name] = check_data(where, asked)
    tasks = {name: _task(config) for name, config in named["datasets"].items()}
    check = functools.partial(check_model, tasks=tasks, datasets=datasets)
    models: dict[str, ModelSpec] = {}
    expect: dict[str, dict[str, Claim]] = {}
    tunes: dict[str, Tune] = {}
    for name, config in named["models"].items():
        where = f"{path}: models.{name}"
        with collecting(problems):
            models[name] = check(where, config)
        with collecting(problems):
            if tune := check_tune(where, config, check):
                tunes[name] = tune
        if task := tasks.get(str(config.get("dataset"))):
            with collecting(problems):
                expect[name] = check_expect(where, config.get("expect", {}), task)
    if problems or of_data:
        raise InputError(*problems, *of_data)
    command = _command(path, overrides)
    clusters = (file.vertex, file.kubeflow)
    return Experiment(path.stem, file.seed, datasets, models, expect, tunes, file.formats, *clusters, command)


def only(experiment: Experiment, models: list[str]) -> Experiment:
    """An experiment with some of its models, and the data sets that they use.

    Args:
        experiment: The whole one.
        models: Their names; all where it is empty.

    Raises:
        InputError: It has no such model.
    """
    if not models:
        return experiment
    problems = []
    for name in dict.fromkeys(models):
        if name not in experiment.models:
            near = difflib.get_close_matches(name, experiment.models, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(experiment.models)}"
            problems.append(f"--model {cut(name, quoted=False)}: {experiment.name} has no such model; {hint}")
    if problems:
        raise InputError(*problems)
    kept = {name: spec for name, spec in experiment.models.items() if name in models}
    used = {spec.dataset for spec in kept.values()}
    named = shlex.join(part for name in kept for part in ("--model", name))
    return replace(
        experiment,
        models=kept,
        datasets={name: config for name, config in experiment.datasets.items() if name in used},
        expect={name: experiment.expect[name] for name in kept},
        tunes={name: tune for name, tune in experiment.tunes.items() if name in kept},
        command=f"{experiment.command} {named}",
    )


def _check_file_name(path: Path) -> None:
    if not NAME.fullmatch(path.stem):
        raise InputError(f"{path}: a file's name is its experiment's: small letters, digits and single - or _")
    if len(path.stem) > MAX_NAME:
        raise InputError(f"{path}: a file's name is its experiment's: {len(path.stem)} letters, at most {MAX_NAME}")
    if path.stem in RESERVED:
        raise InputError(f"{path}: a file's name is its experiment's, and runs/ has another use for '{path.stem}'")


def _named(path: Path, kind: str, content: Any, problems: list[str]) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    """Data sets or models by name; what isn't a dictionary, the whole file's schema has found already."""
    if content == {}:
        problems.append(f"{path}: {kind}: empty, expected at least one")
    given = content.items() if isinstance(content, dict) else ()
    named = {name: config for name, config in given if isinstance(name, str) and isinstance(config, dict)}
    for name in named:
        with collecting(problems):
            check_name(f"{path}: {kind}", name)
    return named


def _task(config: dict[str, Any]) -> Task | None:
    """What a data set is for, by its source; None where there is no such source."""
    with collecting([]):
        return load_source(str(config.get("source"))).TASK
    return None


def _command(path: Path, overrides: list[str]) -> str:
    """The run as a command for this folder: a file in it without the folder's path, another one as it was named."""
    whole = path.absolute()
    file = whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else path
    changes = [part for override in overrides for part in ("--set", override)]
    start = ["python", "-m", "pipeline"] if Path.cwd() == ROOT else ["keras-pipeline"]
    return shlex.join([*start, "run", file.as_posix(), *changes])
