"""Fit one model and write its folder."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, ImagesInfo, SeriesInfo, load_info
from components.artifacts.model import (
    CHECKPOINTS,
    KERAS_FILE,
    MONITORED,
    Machine,
    ModelInfo,
    Temperature,
    compiled,
    layers_of,
    load_keras,
)
from components.common.errors import InputError
from components.common.events import progress
from components.common.files import atomic_directory
from components.common.spec import NOT_DETERMINING, ModelSpec
from components.common.words import counted
from components.data import input_pipeline
from components.families import build_model
from components.metrics import conformal
from components.models import answers
from components.train.calibration import calibrate
from components.train.checkpoint import Checkpoints, State
from components.train.devices import Devices, dtype_policy, find_devices
from components.train.kept import Kept
from components.train.optimization import compile_model
from components.train.shared_batches import EVALUATION_BATCH, SharedBatches
from components.train.termination import Termination
from components.train.threads import cores, cpu, threads, use_threads
from components.train.trainer import Trainer

# Where Vertex AI wants the logs of a job that it shows in a Vertex TensorBoard.
VERTEX_LOGS = "AIP_TENSORBOARD_LOG_DIR"

Check = Callable[[], None]


def _nobody_else(place: str) -> AbstractContextManager[Check]:
    return nullcontext(lambda: None)


@contextmanager
def _memory() -> Iterator[None]:
    """Say in a line that memory runs out. A full disk, which TensorFlow gives the same name, says so itself."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        reason = str(getattr(error, "message", error)).strip().splitlines()[:1]
        if os.strerror(errno.ENOSPC) in str(error):
            raise
        said = "memory runs out: a smaller model or batch_size needs less"
        raise RuntimeError(": ".join([said, *reason])) from None


@_memory()
def train(
    name: str,
    spec_json: str,
    seed: int,
    code_version: str,
    dataset: str,
    folder: str,
    checkpoints: str,
    precision: str = "float32",
    hold: Callable[[str], AbstractContextManager[Check]] = _nobody_else,
) -> ModelInfo:
    """Train a model, going on from its last checkpoint where there is one.

    Args:
        name: The model's name in the experiment.
        spec_json: A `ModelSpec` as JSON.
        seed: The seed, on which alone initial weights, order of examples and dropout depend.
        code_version: The digest of the code that trains.
        dataset: The data set's folder.
        folder: The model's folder to write.
        checkpoints: The folder of the trainings that aren't finished, a path or an address that TensorFlow knows. This
            one has a folder of its own in it, named after all that determines the weights.
        precision: Keras' dtype policy where there is an accelerator: float32, mixed_bfloat16 or mixed_float16.
        hold: Gives a context in which no other process writes into that folder of its own, and what raises an error
            where this isn't sure any more.

    Returns:
        The description that was written to `model.json`. Of several workers that train together, the chief alone
        writes.

    Raises:
        InputError: The family doesn't fit the data set, or the batch can't be shared by the replicas.
        RuntimeError: Memory runs out, the loss isn't finite, a checkpoint can't be saved, or the saved model doesn't
            give what the trained one gives.
        SystemExit: SIGTERM or SIGHUP came and a checkpoint was saved: 143 or 129.
    """
    spec, info = ModelSpec.model_validate_json(spec_json), load_info(dataset)
    use_threads(spec.threads)
    devices = find_devices()
    if spec.keep_checkpoints and devices.found != "the CPU":
        raise InputError(f"model {name}: keep_checkpoints: is for a training on the CPU, this one has {devices.found}")
    batches = SharedBatches(name, spec, dataset, info, seed, devices)
    policy = dtype_policy(precision, devices.accelerator)
    model, factor = build_compiled(spec, info, seed, policy, batches, devices)
    print(
        f"{name}: {spec.family} with {counted(model.count_params(), 'parameter')} on {devices.found}, "
        f"{counted(info.examples('train'), 'example')}, "
        f"{counted(batches.per_epoch, 'step')} of {batches.size} per epoch, {policy}",
        flush=True,
    )

    determining = spec.model_dump(exclude=NOT_DETERMINING)
    key = [name, determining, seed, info.sha256, code_version, tf.__version__, keras.__version__]
    kernels = [threads(), os.environ.get("TF_ENABLE_ONEDNN_OPTS")]  # last bits depend on them
    key += [devices.replicas, policy, 0 if devices.accelerator else kernels, *vars(State())]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    aside = f"{checkpoints}/{name}-{digest}"
    boards = [f"{aside}/tensorboard", *filter(None, [os.environ.get(VERTEX_LOGS)])]
    with (hold if devices.chief else _nobody_else)(aside) as check, Termination() as termination:
        saved = Checkpoints(aside, model, check)
        kept = Kept(f"{aside}/kept", model, spec.keep_checkpoints, seed, spec.epochs, batches.per_epoch)
        trainer = Trainer(model, spec, info, batches, devices, saved, kept, boards, termination, factor)
        weights, state = trainer.train(), trainer.state

        final, temperature = finished(weights, spec, info, seed, dataset)
        seconds = sum(epoch["seconds"] for epoch in state.history)
        model_info = ModelInfo(
            name=name,
            spec=spec,
            dataset=info.name,
            dataset_sha256=info.sha256,
            parameters=final.count_params(),
            layers=layers_of(final),
            machine=Machine(cpu=cpu(), cores=cores(), devices=devices.found),
            best_epoch=state.best_epoch + 1,
            history=state.history,
            train_seconds=seconds,
            examples_per_second=info.examples("train") * len(state.history) / seconds,
            temperature=temperature,
        )
        if devices.chief:
            with atomic_directory(Path(folder)) as new:
                final.save(new / KERAS_FILE)
                _compare_saved(new / KERAS_FILE, final, dataset, info)
                model_info.save(new)
                _copy(f"{aside}/tensorboard", new / "tensorboard")
                if spec.keep_checkpoints:
                    _copy(f"{aside}/kept", new / CHECKPOINTS)
            check()
            tf.io.gfile.rmtree(aside)
    if temperature:
        print(temperature.words(), flush=True)
    monitor, _ = MONITORED[info.task]
    best = state.history[state.best_epoch][monitor]
    progress(f"best epoch {model_info.best_epoch}: {monitor} {best:.4f}; {seconds:.1f} s of training")
    return model_info


def build_compiled(
    spec: ModelSpec, info: DatasetInfo, seed: int, policy: str, batches: SharedBatches, devices: Devices
) -> tuple[keras.Model, tf.Variable | None]:
    """A model as `Trainer` takes it, and the factor of its learning rate, where the training may go back."""
    with devices.strategy.scope():
        model = build(spec, info, seed, policy)
        factor = tf.Variable(1.0, trainable=False) if spec.on_nan == "rollback" else None
        compile_model(model, spec, info, batches.per_epoch, devices.replicas, factor)
        model.optimizer.build(model.trainable_variables)
    return model, factor


def build(spec: ModelSpec, info: DatasetInfo, seed: int, policy: str = "float32") -> keras.Model:
    """An untrained model, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    try:
        return build_model(spec, info)
    finally:
        keras.config.set_dtype_policy("float32")


def build_final(spec: ModelSpec, info: DatasetInfo, seed: int) -> keras.Model:
    """An untrained model that predicts as the trained one will. Its weights are those of `build`, in the same order."""
    model = build(spec, info, seed)
    return answers.flips_averaged(model) if spec.average_flips else model


def finished(
    weights: list[np.ndarray], spec: ModelSpec, info: DatasetInfo, seed: int, dataset: str
) -> tuple[keras.Model, Temperature | None]:
    """The model that a training ends with: of plain float32 variables, whatever it was trained on, and calibrated.

    Args:
        weights: The weights of the best epoch.
        spec: The keys of the model.
        info: The description of its data set.
        seed: The seed of its training.
        dataset: The data set's folder.
    """
    keras.utils.clear_session(free_memory=False)  # its layers' names start anew
    model = build_final(spec, info, seed)
    model.set_weights(weights)
    if spec.quantiles and isinstance(info, SeriesInfo):
        model = _calibrated(model, spec.quantiles, dataset, info)
    return model, calibrate(model, dataset, info) if spec.calibrate and isinstance(info, ImagesInfo) else None


def _calibrated(model: keras.Model, quantiles: list[float], dataset: str, info: SeriesInfo) -> keras.Model:
    """A model whose quantiles are calibrated on the validation split; of many series, in units of their intervals."""
    call = compiled(model, info)
    batches = input_pipeline.sequential_batches(dataset, info, "validation", EVALUATION_BATCH)
    answered = [(call(x).numpy(), y, np.ptp(x["window"][:, :, 0], axis=1)) for x, y in batches.as_numpy_iterator()]
    forecasts, target, ranges = (np.concatenate(parts) for parts in zip(*answered, strict=True))
    if info.series and info.scaling == "window" and ranges.any():
        # Where a window doesn't change, its interval has next to no width, and no share of it is wide enough.
        forecasts, target = forecasts[ranges > 0], target[ranges > 0]
    scale = conformal.widths(forecasts) if info.series else None
    offsets = conformal.offsets(target, forecasts, quantiles, scale)
    result = answers.quantiles_moved(model, offsets.tolist(), by_width=info.series is not None)
    result.jit_compile = False
    return result


def _copy(source: str, target: Path) -> None:
    """Copy a folder that may lie in Cloud Storage."""
    for folder, _, files in tf.io.gfile.walk(source):
        place = target / folder.removeprefix(source).strip("/")
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            tf.io.gfile.copy(f"{folder.rstrip('/')}/{file}", str(place / file))


def _compare_saved(path: Path, model: keras.Model, dataset: str, info: DatasetInfo) -> None:
    loaded = load_keras(path)
    batch, _ = next(iter(input_pipeline.sequential_batches(dataset, info, "validation", 32)))
    # Called once, neither is worth compiling.
    expected, got = (one(batch, training=False).numpy() for one in (model, loaded))
    if not np.array_equal(expected, got):
        difference = float(np.abs(expected - got).max())
        raise RuntimeError(f"{path.name} loaded again differs from the trained model by {difference}")
