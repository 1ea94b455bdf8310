"""A model that answers with the mean over an image and its mirror image."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from small_run import train_one
from trainings import assert_same, terminated, train

from components.artifacts.dataset import load_info
from components.artifacts.model import ModelInfo, load_keras
from components.data import storage
from components.export.export import export
from components.models.answers import flips_averaged
from components.models.fresh import run_exported
from components.train.calibration import calibrate, fit

CNN = {
    "family": "cnn",
    "hyperparameters": {"layers": [{"conv": 4}, {"norm": 0.9}, "pool"], "units": [8], "dropout": 0.2},
}


@pytest.fixture(scope="module")
def both(ingested, tmp_path_factory):
    """The model folders of one training, averaged and not."""
    folder = tmp_path_factory.mktemp("both")
    changes = {**CNN, "calibrate": False}
    return [
        Path(train_one("mlp", folder / str(on), ingested, average_flips=on, **changes).path) for on in (True, False)
    ]


def test_every_format_gives_the_mean_of_the_logits_of_both_mirrorings(both, ingested, tmp_path):
    dataset = ingested["fashion"].path
    images, _ = storage.load_images(dataset, load_info(dataset), "test")
    plain = load_keras(both[1] / "model.keras")
    logits = [np.log(plain.predict(each, verbose=0).astype(np.float64)) for each in (images, images[:, :, ::-1])]
    expected = softmax(np.mean(logits, axis=0), axis=1)
    assert np.abs(expected - softmax(logits[0], axis=1)).max() > 0.01
    exported = export(str(both[0]), dataset, str(tmp_path / "exported"), ["onnx", "litert", "litert_int8"])
    assert not [one.refused for one in exported.formats.values() if one.refused]
    for load, file in (("saved_model", "saved_model"), ("onnx", "model.onnx"), ("litert", "model.tflite")):
        call = getattr(run_exported, load)(str(tmp_path / "exported" / file))
        (found,) = call({"image": images}).values()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        (mirrored,) = call({"image": np.ascontiguousarray(images[:, :, ::-1])}).values()
        np.testing.assert_allclose(mirrored, found, atol=1e-6)


def test_it_has_the_same_weights_and_all_layers_are_told(both):
    averaged, plain = (load_keras(folder / "model.keras").get_weights() for folder in both)
    for found, expected in zip(averaged, plain, strict=True):
        np.testing.assert_array_equal(found, expected)
    averaged, plain = map(ModelInfo.load, both)
    assert averaged.parameters == plain.parameters == sum(layer.parameters for layer in averaged.layers)
    assert {layer.kind for layer in plain.layers} < {layer.kind for layer in averaged.layers}


def test_it_is_calibrated_and_goes_on_from_the_checkpoints_of_one_that_is_not_averaged(
    datasets, tmp_path, capsys, monkeypatch
):
    smooth = {"label_smoothing": 0.4}
    calm = train("mlp", tmp_path / "calm", datasets, average_flips=True, **smooth)
    assert terminated(monkeypatch, 15, "mlp", tmp_path / "off", datasets, **smooth) == 143
    assert_same(train("mlp", tmp_path / "off", datasets, average_flips=True, **smooth), calm)
    assert "going on from the checkpoint" in capsys.readouterr().out
    info = ModelInfo.load(tmp_path / "off" / "run" / "train" / "model")
    assert info.temperature.value < 1


def test_the_temperature_is_that_of_the_mean_logits(both, ingested):
    dataset = ingested["fashion"].path
    info = load_info(dataset)
    images, labels = storage.load_images(dataset, info, "validation")
    plain = load_keras(both[1] / "model.keras")
    logits = [np.log(plain.predict(each, verbose=0).astype(np.float64)) for each in (images, images[:, :, ::-1])]
    expected, of_one = fit(np.mean(logits, axis=0), labels), fit(logits[0], labels)
    found = calibrate(flips_averaged(plain), dataset, info)
    assert found.value == pytest.approx(expected.value, rel=1e-3)
    assert found.value != pytest.approx(of_one.value, rel=1e-3)


def test_outputs_are_averaged_where_a_model_does_not_end_in_a_softmax_layer():
    import keras

    image = keras.Input((4, 4, 1), dtype="uint8", name="image")
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Softmax()(logits))
    images = np.random.default_rng(0).integers(0, 3, (5, 4, 4, 1)).astype(np.uint8)
    expected = (model(images).numpy() + model(images[:, :, ::-1]).numpy()) / 2
    np.testing.assert_allclose(flips_averaged(model)(images).numpy(), expected, atol=1e-6)
