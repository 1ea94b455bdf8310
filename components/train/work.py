"""Fit one model and write its folder."""

import hashlib
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components import inputs
from components.dataset import DatasetInfo, load_info
from components.errors import InputError
from components.files import whole_folder, write_text
from components.model import FILE, KERAS_FILE, ModelInfo, build
from components.spec import ModelSpec
from components.train.checkpoint import Checkpoints
from components.train.progress import Progress

# More steps per call of the compiled function cost Python nothing; more than this gain little.
MAX_STEPS_PER_EXECUTION = 50
EVALUATION_BATCH = 512


def train(name: str, spec_json: str, seed: int, code_version: str, dataset: str, folder: str) -> ModelInfo:
    """Train a model, going on from its last checkpoint where there is one.

    Args:
        name: The model's name in the experiment.
        spec_json: A `ModelSpec` as JSON.
        seed: Initial weights, order of examples and dropout depend on it alone.
        code_version: Digest of the code that trains.
        dataset: The data set folder.
        folder: The model folder to write. Checkpoints lie in `checkpoints` beside the run, three levels up.

    Returns:
        The description that was written to `model.json`.

    Raises:
        InputError: The family doesn't fit the data set.
        RuntimeError: The saved model doesn't give what the trained one gives.
    """
    spec, info = ModelSpec.model_validate_json(spec_json), load_info(dataset)
    if info.task == "forecasting" and (spec.flip or spec.label_smoothing):
        raise InputError(f"model {name}: flip and label_smoothing are for images, {info.name} is a series")
    keras.utils.set_random_seed(seed)
    model = build(spec, info)
    per_epoch = inputs.steps_per_epoch(info, "train", spec.batch_size)
    compile_model(model, spec, info, per_epoch)
    print(
        f"{name}: {spec.family} with {model.count_params():,} parameters, {info.examples('train'):,} examples, "
        f"{per_epoch} steps of {spec.batch_size} per epoch",
        flush=True,
    )

    monitor, mode = ("val_accuracy", "max") if info.task == "classification" else ("val_mae", "min")
    stopping = keras.callbacks.EarlyStopping(
        monitor=monitor, mode=mode, patience=spec.patience or spec.epochs, restore_best_weights=True
    )
    key = [name, spec.model_dump(), seed, info.sha256, code_version, tf.__version__, keras.__version__]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    aside = Path(folder).absolute().parents[2] / "checkpoints" / f"{name}-{digest}"
    progress = Progress(spec.epochs)
    checkpoints = Checkpoints(aside, stopping, progress)
    first_epoch = checkpoints.restore(model)
    if not (stopping.patience and stopping.wait >= stopping.patience):
        model.fit(
            inputs.shuffled(
                dataset,
                info,
                "train",
                spec.batch_size,
                seed=seed,
                epochs=spec.epochs,
                first_step=first_epoch * per_epoch,
                flip=spec.flip,
            ),
            validation_data=inputs.in_order(dataset, info, "validation", EVALUATION_BATCH),
            epochs=spec.epochs,
            initial_epoch=first_epoch,
            steps_per_epoch=per_epoch,
            callbacks=[
                progress,
                stopping,
                checkpoints,
                keras.callbacks.TensorBoard(aside / "tensorboard", write_graph=False),
            ],
            shuffle=False,
            verbose=0,
        )
    model.set_weights(stopping.best_weights)

    seconds = sum(epoch["seconds"] for epoch in progress.history)
    model_info = ModelInfo(
        name=name,
        spec=spec,
        dataset=info.name,
        dataset_sha256=info.sha256,
        parameters=model.count_params(),
        best_epoch=stopping.best_epoch + 1,
        history=progress.history,
        train_seconds=seconds,
        examples_per_second=info.examples("train") * len(progress.history) / seconds,
    )
    with whole_folder(Path(folder)) as new:
        model.save(new / KERAS_FILE)
        _compare_saved(new / KERAS_FILE, model, dataset, info)
        write_text(new / FILE, model_info.model_dump_json(indent=2) + "\n")
        shutil.copytree(aside / "tensorboard", new / "tensorboard")
    shutil.rmtree(aside)
    best = progress.history[stopping.best_epoch][monitor]
    print(f"best epoch {model_info.best_epoch}: {monitor} {best:.4f}; {seconds:.1f} s of training", flush=True)
    return model_info


def compile_model(model: keras.Model, spec: ModelSpec, info: DatasetInfo, per_epoch: int) -> None:
    """Compile a model with the optimizer, schedule, loss and metrics that `spec` asks for."""
    rate: float | keras.optimizers.schedules.LearningRateSchedule = spec.learning_rate
    if spec.schedule == "cosine":
        steps = spec.epochs * per_epoch
        warmup = round(spec.warmup * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else spec.learning_rate,
            steps - warmup,
            warmup_target=spec.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    average: dict[str, object] = {}
    optimizers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "nadam": keras.optimizers.Nadam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    options = {"sgd": {"momentum": 0.9, "nesterov": True}, "adamw": {"weight_decay": spec.weight_decay}}
    if spec.ema is not None:
        average = {"use_ema": True, "ema_momentum": spec.ema, "ema_overwrite_frequency": per_epoch}
    optimizer = optimizers[spec.optimizer](rate, **options.get(spec.optimizer, {}), **average)
    classification = info.task == "classification"
    loss = spec.loss or ("crossentropy" if classification else "mse")
    model.compile(
        optimizer,
        loss=_crossentropy(spec.label_smoothing, len(info.classes)) if info.task == "classification" else loss,
        metrics=["accuracy" if classification else "mae"],
        jit_compile=False,  # XLA is slower than TensorFlow's own kernels on CPUs, and compiles for long
        steps_per_execution=_divisor(per_epoch),
    )


def _crossentropy(label_smoothing: float, classes: int) -> object:
    if not label_smoothing:
        return "sparse_categorical_crossentropy"

    def crossentropy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        hot = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), classes)
        return keras.losses.categorical_crossentropy(hot, probabilities, label_smoothing=label_smoothing)

    return crossentropy


def _divisor(steps: int) -> int:
    """The largest divisor of `steps` that is not too large: Keras runs past the epoch's end with another."""
    return max(d for d in range(1, MAX_STEPS_PER_EXECUTION + 1) if steps % d == 0)


def _compare_saved(path: Path, model: keras.Model, dataset: str, info: DatasetInfo) -> None:
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    batch, _ = next(iter(inputs.in_order(dataset, info, "validation", 32)))
    expected, got = model.predict_on_batch(batch), loaded.predict_on_batch(batch)
    if not np.array_equal(expected, got):
        difference = float(np.abs(np.asarray(expected) - np.asarray(got)).max())
        raise RuntimeError(f"{path.name} loaded again differs from the trained model by {difference}")
