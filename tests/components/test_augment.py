"""Random changes of training images. The judge is Keras: its layers, its losses and metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from trainings import MODELS, assert_same, model_folder, terminated, train

from components.artifacts.dataset import load_info
from components.artifacts.model import ModelInfo
from components.common.spec import Augment, ModelSpec
from components.data import input_pipeline
from components.data.augmentation import augmented, layers, step_seeds
from components.data.replicas import WHOLE, BatchShare
from components.train.devices import find_devices
from components.train.optimization import compile_model
from components.train.shared_batches import SharedBatches
from components.train.train import build

CLASSES = 5
EACH = [
    {"flip": "horizontal"},
    {"flip": "vertical"},
    {"rotation": 0.1},
    {"zoom": 0.3},
    {"translation": 0.2},
    {"brightness": 0.3},
    {"rand_augment": 0.5},
    {"mixup": 0.4},
    {"rotation": 0.1, "zoom": 0.2, "brightness": 0.2, "mixup": 0.2},
]
ALL = {"flip": "vertical", "rotation": 0.1, "zoom": 0.2, "translation": 0.1, "brightness": 0.2, "mixup": 0.2}


@pytest.fixture(scope="module")
def given():
    """Batches of coloured images and their labels."""
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (4, 6, 12, 16, 3), dtype=np.uint8)
    return images, generator.integers(0, CLASSES, (4, 6))


def changed(given, augment, seed=7, first_step=0, share=WHOLE):
    batches = tf.data.Dataset.from_tensor_slices(given).skip(first_step)
    return list(augmented(batches, Augment(**augment), CLASSES, seed, first_step, share).as_numpy_iterator())


def by_keras(image, label, augment, seed, step):
    """What Keras' layers make of a batch, called one after the other."""
    augment = Augment(**augment)
    count = sum(bool(value) for _, value in augment)
    data = {"images": image.astype(np.float32), "labels": np.eye(CLASSES, dtype=np.float32)[label]}
    for layer in layers(augment, step_seeds(count, seed, tf.constant(step, tf.int64)).numpy().tolist()):
        data = layer(data, training=True)
    return np.asarray(data["images"]), np.asarray(data["labels"])


@pytest.mark.parametrize("augment", EACH, ids=str)
def test_images_are_those_of_keras_own_layers(given, augment):
    found = changed(given, augment)
    for step, (image, label, (new, new_label)) in enumerate(zip(*given, found, strict=True)):
        expected, shares = by_keras(image, label, augment, 7, step)
        assert new.dtype == np.uint8
        np.testing.assert_array_equal(new, np.clip(np.round(expected), 0, 255))
        np.testing.assert_array_equal(new_label, shares if "mixup" in augment else label)
    # By chance, all images of a small batch may stay.
    assert sum((new != image).any() for image, (new, _) in zip(given[0], found, strict=True)) >= 3
    assert (found[0][0] != changed(given, augment, seed=8)[0][0]).any()


def test_grey_images_are_changed_too(given):
    grey = given[0][..., :1], given[1]
    (new, _), *_ = changed(grey, {"rand_augment": 0.5, "rotation": 0.1})
    assert new.shape == (6, 12, 16, 1)
    assert (new != grey[0][0]).any()


def test_going_on_from_a_step_gives_the_tail_whatever_tensorflows_own_seed_is(given):
    whole = changed(given, ALL)
    tf.random.set_seed(5)
    for (image, label), (expected, shares) in zip(changed(given, ALL, first_step=2), whole[2:], strict=True):
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(label, shares)


def test_each_worker_draws_its_own(given):
    first, second = (changed(given, ALL, share=BatchShare(2, 2, worker)) for worker in (0, 1))
    assert (first[0][0] != second[0][0]).any()


def shared(folder, **changes):
    spec = ModelSpec(**{**MODELS["mlp"], "flip": False, **changes})
    info = load_info(folder / "fashion")
    return spec, info, SharedBatches("mlp", spec, str(folder / "fashion"), info, 3, find_devices())


@pytest.mark.parametrize("limit", [0, 256 << 20], ids=["streamed", "in memory"])
def test_training_alone_is_changed_and_the_same_from_any_step(datasets, limit, monkeypatch):
    monkeypatch.setattr(input_pipeline, "CACHE_BYTES", limit)
    _, info, batches = shared(datasets, augment=ALL, flip=True)
    _, _, plain = shared(datasets, flip=True)
    whole = list(batches.training(0).take(14).as_numpy_iterator())
    for (image, _), (original, _) in zip(whole, plain.training(0).as_numpy_iterator(), strict=False):
        assert image.shape == original.shape
        assert (image != original).any()
    for batch, expected in zip(batches.training(12).as_numpy_iterator(), whole[12:], strict=False):
        for one, other in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    stored = input_pipeline.sequential_batches(datasets / "fashion", info, "validation", 512)
    for one, other in zip(batches.validation(), stored, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_mixed_labels_train_as_with_keras_own_loss_and_metric(datasets, label_smoothing):
    weights = {"Bag": 3.0, "Coat": 0.5}
    changes = {"augment": {"mixup": 0.5}, "class_weights": weights, "label_smoothing": label_smoothing}
    hyperparameters = {"units": [16]}
    spec, info, batches = shared(datasets, **changes, optimizer="sgd", hyperparameters=hyperparameters)
    ours, theirs = (build(spec, info, 1) for _ in range(2))
    compile_model(ours, spec, info, batches.per_epoch)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    optimizer = keras.optimizers.SGD(spec.learning_rate, momentum=0.9, nesterov=True)
    theirs.compile(optimizer, loss, metrics=[keras.metrics.CategoricalAccuracy()])
    image, shares, weight = next(iter(batches.training(0)))
    assert shares.shape == (50, 10)
    assert ((shares.numpy() > 0).sum(axis=1) == 2).any()
    expected = [sum(s * weights.get(name, 1) for s, name in zip(row, info.classes, strict=True)) for row in shares]
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    np.testing.assert_allclose(
        ours.train_on_batch(image, shares, weight), theirs.train_on_batch(image, shares, weight), rtol=1e-6
    )
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    image, label = next(iter(batches.validation()))
    hot = tf.one_hot(label, 10)
    np.testing.assert_allclose(ours.test_on_batch(image, label), theirs.test_on_batch(image, hot), rtol=1e-6)


@pytest.mark.parametrize("limit", [1, 256 << 20], ids=["streamed", "in memory"])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(datasets, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(input_pipeline, "CACHE_BYTES", limit)
    changes = {"augment": ALL, "class_weights": "balanced", "epochs": 2}
    calm = train("mlp", tmp_path / "calm", datasets, **changes)
    assert terminated(monkeypatch, 15, "mlp", tmp_path / "stopped", datasets, **changes) == 143
    assert_same(train("mlp", tmp_path / "stopped", datasets, **changes), calm)
    plain = train("mlp", tmp_path / "plain", datasets, epochs=2)
    assert any((one != other).any() for one, other in zip(calm[2], plain[2], strict=True))


def test_the_saved_model_has_no_layer_of_it(datasets, tmp_path):
    train("mlp", tmp_path, datasets, augment=ALL, epochs=1)
    kinds = [layer.kind for layer in ModelInfo.load(model_folder(tmp_path)).layers]
    norm = "BatchNormalization"
    assert kinds == ["InputLayer", "Normalization", "Flatten", norm, "Dense", norm, "Dropout", "Dense"]
