"""Check the models of an experiment, before anything runs."""

from collections.abc import Mapping
from pathlib import Path

from components.artifacts.search import Tune
from components.common.checked_types import unknown_classes
from components.common.errors import InputError, collecting
from components.common.spec import ImageOptions, ModelSpec, SeriesOptions, Strict, Task
from components.families import Family, families_for, load_family
from components.models import layer_sizes
from pipeline.experiment.claims import Claim
from pipeline.experiment.dataset_checks import DatasetConfig, DatasetKeys
from pipeline.experiment.machines import machines
from pipeline.experiment.validation import at, shorten, validate

SERIES_ONLY = ("seasonal",)
IMAGES_ONLY = ("flip", "average_flips", "augment", "label_smoothing", "class_weights", "calibrate")


class ModelKeys(Strict):
    """The keys of a model beside those of a `ModelSpec`.

    Attributes:
        expect: The claimed metrics of the model on the test split, see `make verify`.
        tune: A search for the best values of other keys.
    """

    expect: dict[str, Claim] = {}
    tune: Tune | None = None


def check_model(
    where: str,
    config: Mapping[str, object],
    tasks: Mapping[str, Task | None],
    datasets: Mapping[str, DatasetConfig],
    folder: Path | None = None,
) -> ModelSpec:
    """Check the keys of a model, but for `expect` and `tune`.

    Args:
        where: The file and the model, for messages.
        config: The keys in the YAML file.
        tasks: The task of each data set; None where it is unknown.
        datasets: The data sets whose data could be checked.
        folder: The config's folder; None doesn't look at files that hyperparameters name.

    Returns:
        The keys, and with a folder what identifies those files.

    Raises:
        InputError: The model can't be trained.
    """
    problems: list[str] = []
    spec_keys = {key: value for key, value in config.items() if key not in ModelKeys.model_fields}
    with collecting(problems):
        elsewhere = _elsewhere(config.get("family"))
        spec = validate(ModelSpec, spec_keys, where, extra=tuple(ModelKeys.model_fields), elsewhere=elsewhere)
    name, values, dataset = config.get("family"), config.get("hyperparameters", {}), config.get("dataset")
    task = None
    if isinstance(dataset, str) and tasks:
        task = tasks.get(dataset)
        if dataset not in tasks:
            problems.append(f"{where}: dataset: no '{shorten(dataset, quoted=False)}'; there are: {', '.join(tasks)}")
    if isinstance(name, str) and isinstance(values, dict):
        with collecting(problems):
            with at(f"{where}: family"):
                family = load_family(name)
            if task and task not in family.TASKS:
                others = ", ".join(families_for(task))
                raise InputError(f"{where}: family {name} doesn't solve {task}; these do: {others}")
            hyperparameters = validate(family.Hyperparameters, values, f"{where}: hyperparameters", folder=folder)
            if family.check and folder:
                data = datasets.get(str(dataset))
                shape = data.facts.shape if data else None
                with at(f"{where}: hyperparameters"):
                    hyperparameters = family.check(hyperparameters, shape)
    if not problems:
        lines = _task_problems(spec, hyperparameters, task) if task else []
        if data := datasets.get(spec.dataset):
            lines += _size_problems(spec, family, hyperparameters, data)
            if data.facts.classes and isinstance(spec.class_weights, dict):
                lines += unknown_classes(spec.class_weights, data.facts.classes)
        tuning = family.fine_tuning(hyperparameters) if family.fine_tuning else None
        if tuning and tuning.epochs > spec.epochs:
            lines.append(f"epochs: {spec.epochs}, expected at least the {tuning.epochs} in which weights are frozen")
        if (family.check or tuning) and spec.keep_checkpoints:
            lines.append(
                f"keep_checkpoints: is for families that read no files and freeze nothing, unlike {spec.family}"
            )
        problems = [f"{where}: {line}" for line in (*lines, *_key_problems(spec))]
    if problems:
        raise InputError(*problems)
    if not family.check:
        return spec
    return spec.model_copy(update={"hyperparameters": hyperparameters.model_dump(mode="json", exclude_defaults=True)})


def _elsewhere(family: object) -> dict[str, str]:
    """The keys that aren't a model's, but those of data sets, or its family's hyperparameters."""
    keys = (*DatasetKeys.model_fields, *SeriesOptions.model_fields, *ImageOptions.model_fields)
    elsewhere = dict.fromkeys(keys, "a key of a data set, not of a model")
    with collecting([]):
        names = load_family(str(family)).Hyperparameters.model_fields
        elsewhere |= {name: f"a hyperparameter; write hyperparameters: {{{name}: …}}" for name in names}
    return elsewhere


def _size_problems(spec: ModelSpec, family: Family, hyperparameters: Strict, data: DatasetConfig) -> list[str]:
    """The problems of a model that is too large, or has a season that isn't for its data."""
    problems = []
    if data.task == "forecasting" and getattr(hyperparameters, "seasonal", False) and not data.seasons:
        problems.append(f"hyperparameters.seasonal: no season of {spec.dataset} fits into its lookback")
    if family.sizes:
        outputs = data.options.horizon if isinstance(data.options, SeriesOptions) else 1
        machine = machines().get(spec.machine) if spec.machine else None
        batch = spec.batch_size if spec.per_replica or not machine else -(-spec.batch_size // machine.replicas)
        problems += layer_sizes.problems(family.sizes(data.shape, outputs, hyperparameters), data.shape, batch)
    return problems


def _task_problems(spec: ModelSpec, hyperparameters: Strict, task: Task) -> list[str]:
    """The problems of keys that aren't for the task of the data set."""
    problems = []
    fields = type(hyperparameters).model_fields
    for name in SERIES_ONLY if task == "classification" else ():
        if name in fields and getattr(hyperparameters, name) != fields[name].default:
            problems.append(f"hyperparameters.{name} is for a series, {spec.dataset} is one of images")
    for name in IMAGES_ONLY if task == "forecasting" else ():
        if getattr(spec, name) != ModelSpec.model_fields[name].default:
            problems.append(f"{name} is for images, {spec.dataset} is a series")
    if spec.quantiles and task == "classification":
        problems.append(f"quantiles is for a series, {spec.dataset} is one of images")
    elif spec.quantiles and spec.loss:
        problems.append(f"loss: {spec.loss}, but a model with quantiles has the pinball loss; expected one of the two")
    losses = ("crossentropy",) if task == "classification" else ("mse", "mae")
    if spec.loss not in (None, *losses):
        problems.append(f"loss: {spec.loss} is not for {task}; there are: {', '.join(losses)}")
    return problems


def _key_problems(spec: ModelSpec) -> list[str]:
    """The problems of keys that contradict each other, or the machine."""
    problems = []
    if spec.weight_decay and spec.optimizer != "adamw":
        problems.append(f"weight_decay is for the optimizer adamw, got {spec.optimizer}")
    if spec.warmup and spec.schedule != "cosine":
        problems.append(f"warmup is for the schedule cosine, got {spec.schedule}")
    if spec.flip and spec.augment.flip == "horizontal":
        problems.append("augment.flip: horizontal, but flip: true does the same; expected one of the two")
    if spec.keep_checkpoints and spec.on_nan == "rollback":
        problems.append("keep_checkpoints: with on_nan: rollback, steps depend on the time and can't be redone")
    if spec.keep_checkpoints and spec.quantiles:
        problems.append("keep_checkpoints: is for models without quantiles, whose calibration an audit doesn't repeat")
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
