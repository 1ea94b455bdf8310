"""Fit one model and write its folder."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.dataset import DatasetInfo, load_info
from components.artifacts.model import KERAS_FILE, MONITORED, Machine, ModelInfo, layers_of, load_keras, save_model_info
from components.common.errors import InputError
from components.common.files import atomic_directory, gs, on_mount
from components.common.spec import ModelSpec
from components.common.words import counted
from components.data import batching
from components.data.sharding import evaluation_batch, steps_per_epoch
from components.families import build_model
from components.train.average import UseAverage
from components.train.devices import Devices, dtype_policy, find_devices
from components.train.optimization import compile_model
from components.train.progress import Progress
from components.train.resume import NotFiniteError, Resumable
from components.train.steps import steps_per_call
from components.train.termination import Termination
from components.train.threads import choose_threads, cores, cpu, threads
from components.vertex.lease import held

EVALUATION_BATCH = 512
# Where Vertex AI wants the logs of a job that it shows in a Vertex TensorBoard.
VERTEX_LOGS = "AIP_TENSORBOARD_LOG_DIR"


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
    precision: str = "float32",
    checkpoints: str = "",
) -> ModelInfo:
    """Train a model, going on from its last checkpoint where there is one.

    Args:
        name: The model's name in the experiment.
        spec_json: A `ModelSpec` as JSON.
        seed: Initial weights, order of examples and dropout depend on it alone.
        code_version: Digest of the code that trains.
        dataset: The data set folder.
        folder: The model folder to write.
        precision: Keras' dtype policy where there is an accelerator: float32, mixed_bfloat16 or mixed_float16.
        checkpoints: The folder of checkpoints; "" for `checkpoints` beside the run, three levels above `folder`.

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
    choose_threads(spec, info)
    devices = find_devices()
    batch_size = _global_batch(name, spec, info, devices)
    policy = dtype_policy(precision, devices.accelerator)
    per_epoch = steps_per_epoch(info, "train", batch_size, devices.share)
    with devices.strategy.scope():
        model = _build(spec, info, seed, policy)
        factor = tf.Variable(1.0, trainable=False) if spec.on_nan == "rollback" else None
        per_call = steps_per_call(per_epoch, devices)
        compile_model(model, spec, info, per_epoch, devices.replicas, per_call, factor)
        model.optimizer.build(model.trainable_variables)
    print(
        f"{name}: {spec.family} with {counted(model.count_params(), 'parameter')} on {devices.found}, "
        f"{counted(info.examples('train'), 'example')}, {counted(per_epoch, 'step')} of {batch_size} per epoch, "
        f"{policy}",
        flush=True,
    )

    monitor, mode = MONITORED[info.task]
    stopping = keras.callbacks.EarlyStopping(
        monitor=monitor, mode=mode, patience=spec.patience or spec.epochs, restore_best_weights=True
    )
    determining = spec.model_dump(exclude={"checkpoint_seconds"})
    key = [name, determining, seed, info.sha256, code_version, tf.__version__, keras.__version__]
    key += [devices.replicas, policy, 0 if devices.accelerator else threads()]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    home = Path(checkpoints or Path(folder).absolute().parents[2] / "checkpoints") / f"{name}-{digest}"
    aside = gs(home) if on_mount(home) else str(home)
    progress = Progress(spec.epochs)
    with Termination() as termination, held(aside if devices.chief else "", folder) as check:
        training = Resumable(model, spec, per_epoch, devices, aside, stopping, progress, termination, factor, check)
        training.restore()
        average = [UseAverage(devices.strategy)] if spec.ema is not None else []
        validation_batch = evaluation_batch(info, "validation", EVALUATION_BATCH, devices.share)
        while not training.over:
            try:
                model.fit(
                    _training(dataset, info, spec, batch_size, seed, training.done, devices),
                    validation_data=_validation(dataset, info, validation_batch, devices),
                    validation_steps=steps_per_epoch(info, "validation", validation_batch, devices.share),
                    epochs=spec.epochs,
                    initial_epoch=training.epoch,
                    steps_per_epoch=per_epoch,
                    callbacks=[progress, stopping, training, *average, *_boards(aside, spec, devices)],
                    shuffle=False,
                    verbose=0,
                )
            except NotFiniteError as error:
                training.roll_back(error)

        # A model of its own, of plain float32 variables, whatever it was trained on. Its layers' names start anew.
        keras.utils.clear_session(free_memory=False)
        final = _build(spec, info, seed, "float32")
        final.set_weights(stopping.best_weights)
        seconds = sum(epoch["seconds"] for epoch in progress.history)
        model_info = ModelInfo(
            name=name,
            spec=spec,
            dataset=info.name,
            dataset_sha256=info.sha256,
            parameters=final.count_params(),
            layers=layers_of(final),
            machine=Machine(cpu=cpu(), cores=cores(), devices=devices.found),
            best_epoch=stopping.best_epoch + 1,
            history=progress.history,
            train_seconds=seconds,
            examples_per_second=info.examples("train") * len(progress.history) / seconds,
        )
        if devices.chief:
            with atomic_directory(Path(folder)) as new:
                final.save(new / KERAS_FILE)
                _compare_saved(new / KERAS_FILE, final, dataset, info)
                save_model_info(new, model_info)
                _copy(f"{aside}/tensorboard", new / "tensorboard")
            check()
            tf.io.gfile.rmtree(aside)
    best = progress.history[stopping.best_epoch][monitor]
    print(f"best epoch {model_info.best_epoch}: {monitor} {best:.4f}; {seconds:.1f} s of training", flush=True)
    return model_info


def _global_batch(name: str, spec: ModelSpec, info: DatasetInfo, devices: Devices) -> int:
    """Examples of a step, over all replicas."""
    if info.task == "forecasting" and (spec.flip or spec.label_smoothing):
        raise InputError(f"model {name}: flip and label_smoothing are for images, {info.name} is a series")
    batch_size = spec.batch_size * (devices.replicas if spec.per_replica else 1)
    if batch_size % devices.replicas:
        raise InputError(
            f"model {name}: batch_size {batch_size}, expected a multiple of the {devices.replicas} replicas, "
            f"or per_replica: true"
        )
    for split, size in (("train", batch_size), ("validation", devices.replicas)):
        if not steps_per_epoch(info, split, size, devices.share):
            raise InputError(f"model {name}: {info.examples(split)} examples of {split} fill no batch of {size}")
    return batch_size


def _build(spec: ModelSpec, info: DatasetInfo, seed: int, policy: str) -> keras.Model:
    """An untrained model, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    try:
        return build_model(spec, info)
    finally:
        keras.config.set_dtype_policy("float32")


def _training(
    dataset: str, info: DatasetInfo, spec: ModelSpec, batch_size: int, seed: int, first_step: int, devices: Devices
) -> tf.data.Dataset:
    batches = batching.shuffled_batches(
        dataset,
        info,
        "train",
        batch_size,
        seed=seed,
        epochs=spec.epochs,
        first_step=first_step,
        flip=spec.flip,
        share=devices.share,
    )
    # `fit` counts the steps of an epoch that were done before a restart too, and would think these batches too few.
    return _distributed(batches.repeat(), devices)


def _validation(dataset: str, info: DatasetInfo, batch_size: int, devices: Devices) -> tf.data.Dataset:
    batches = batching.sequential_batches(dataset, info, "validation", batch_size, devices.share, again=True)
    return _distributed(batches, devices)


def _distributed(batches: tf.data.Dataset, devices: Devices) -> tf.data.Dataset:
    """As `fit` takes it: in a single process whole batches, which Keras shares out; else the strategy's own."""
    if devices.workers == 1:
        return batches
    own = batching.per_replica(batches, devices.replicas // devices.workers)
    return devices.strategy.distribute_datasets_from_function(lambda _: own)


def _boards(aside: str, spec: ModelSpec, devices: Devices) -> list[keras.callbacks.TensorBoard]:
    if not devices.chief:
        return []
    folders = [f"{aside}/tensorboard", *filter(None, [os.environ.get(VERTEX_LOGS)])]
    return [keras.callbacks.TensorBoard(folder, histogram_freq=int(spec.histograms)) for folder in folders]


def _copy(source: str, target: Path) -> None:
    """Copy a folder that may lie in Cloud Storage."""
    for folder, _, files in tf.io.gfile.walk(source):
        place = target / folder.removeprefix(source).strip("/")
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            tf.io.gfile.copy(f"{folder.rstrip('/')}/{file}", str(place / file))


def _compare_saved(path: Path, model: keras.Model, dataset: str, info: DatasetInfo) -> None:
    loaded = load_keras(path)
    batch, _ = next(iter(batching.sequential_batches(dataset, info, "validation", 32)))
    # Called once, neither is worth compiling.
    expected, got = (one(batch, training=False).numpy() for one in (model, loaded))
    if not np.array_equal(expected, got):
        difference = float(np.abs(expected - got).max())
        raise RuntimeError(f"{path.name} loaded again differs from the trained model by {difference}")
