"""Weights of classes in the training loss."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from tiny import fake_images, numbered, run

from components.common.errors import InputError
from components.common.spec import ModelSpec
from components.train.devices import find_devices
from components.train.optimization import compile_model
from components.train.shared_batches import SharedBatches
from components.train.train import build


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """30 training images of one class, 10 of the other."""
    counted = {"train": ([0, 1, 1, 1] * 10, 1), "validation": ([0, 1] * 5, 41), "test": ([0, 1] * 5, 51)}
    folder = tmp_path_factory.mktemp("uneven") / "dataset"
    with pytest.MonkeyPatch.context() as monkeypatch:
        splits = {
            split: numbered(range(first, first + len(labels)), labels) for split, (labels, first) in counted.items()
        }
        info = run(folder, fake_images(monkeypatch, **splits))
    return folder, info


def spec(**changes):
    return ModelSpec(family="mlp", dataset="tiny", batch_size=16, **changes)


def shared(uneven, **changes):
    folder, info = uneven
    return SharedBatches("mlp", spec(**changes), str(folder), info, 3, find_devices())


def test_balanced_weights_are_scikit_learns(uneven):
    batches = list(shared(uneven, class_weights="balanced").training(0).as_numpy_iterator())
    labels = np.concatenate([label for _, label, _ in batches])
    weights = np.concatenate([weight for _, _, weight in batches])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert expected[0] != expected[1]
    np.testing.assert_allclose(weights, expected[labels], rtol=1e-6)


def test_a_class_that_is_not_named_has_weight_one(uneven):
    for _, labels, weights in shared(uneven, class_weights={"odd": 2.5}).training(0).as_numpy_iterator():
        assert weights.tolist() == np.where(labels == uneven[1].classes.index("odd"), 2.5, 1).tolist()


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_step_is_that_of_keras_with_class_weight(uneven, label_smoothing):
    chosen = spec(class_weights={"odd": 3.0}, label_smoothing=label_smoothing, optimizer="sgd")
    batch = next(iter(shared(uneven, class_weights={"odd": 3.0}).training(0)))
    ours, keras_own, without = (build(chosen, uneven[1], 1) for _ in range(3))
    for model in (ours, keras_own, without):
        compile_model(model, chosen, uneven[1], 1)
    loss, accuracy = ours.train_on_batch(*batch)
    image, label, _ = batch
    place = uneven[1].classes.index("odd")
    expected = keras_own.train_on_batch(image, label, class_weight={place: 3.0, 1 - place: 1.0})
    unweighted = without.train_on_batch(image, label)
    np.testing.assert_allclose([loss, accuracy], expected, rtol=1e-6)
    assert loss != pytest.approx(unweighted[0], rel=1e-3)
    assert accuracy == unweighted[1]
    for one, other in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_validation_has_no_weights(uneven):
    assert all(len(batch) == 2 for batch in shared(uneven, class_weights="balanced").validation())


def test_a_class_that_is_not_there_is_named(uneven):
    with pytest.raises(InputError) as refused:
        shared(uneven, class_weights={"odd": 2.0, "prime": 2.0})
    assert refused.value.problems == ("model mlp: class_weights: no class 'prime'; there are: even, odd",)
