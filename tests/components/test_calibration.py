"""Temperature scaling: the temperature that is found, and the model that has it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from small_run import train_one
from trainings import STEPS, assert_same, model_folder, terminated, train

from components.artifacts.dataset import load_info
from components.artifacts.model import ModelInfo
from components.data import storage
from components.evaluate.evaluate import evaluate
from components.export.export import export
from components.models.fresh import run_exported
from components.train.calibration import calibrate, fit

# Labels so smooth that the trained probabilities are far from the accuracy.
SMOOTH = {"label_smoothing": 0.4}


def answers(temperature, examples=20_000, classes=6, spread=2.0, seed=3):
    """Logits, and labels that are drawn by the probabilities at a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, spread, (examples, classes))
    drawn = generator.random((examples, 1)) < softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits.astype(np.float32), drawn.argmax(axis=1)


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose logits are its inputs."""

    def fit(self, logits, labels):
        self.classes_ = np.unique(labels)
        return self

    def decision_function(self, logits):
        return logits

    def predict(self, logits):
        return logits.argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.5, 4.0])
def test_the_temperature_that_labels_were_drawn_by_is_found_and_is_that_of_scikit_learn(temperature):
    logits, labels = answers(temperature)
    found = fit(logits, labels)
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert found.after < found.before
    assert not found.note
    judge = CalibratedClassifierCV(FrozenEstimator(Given().fit(logits, labels)), method="temperature")
    theirs = judge.fit(logits.astype(np.float64), labels).predict_proba(logits.astype(np.float64))
    np.testing.assert_allclose(softmax(logits / found.value, axis=1), theirs, atol=2e-3)


def test_calibrated_logits_are_left_alone():
    found = [fit(*answers(1.0, examples=500, seed=seed)) for seed in range(100)]
    fitted = [one for one in found if one.value != 1]
    # The test's level is 5 %.
    assert len(fitted) <= 12
    assert all(0.8 < one.value < 1.25 for one in fitted)
    alone = next(one for one in found if one.value == 1)
    assert alone.before == alone.after
    assert alone.words().startswith("temperature 1; 500 validation examples don't show that ")


@pytest.mark.parametrize("examples", [50, 2000])
def test_a_model_that_is_always_right_is_as_sure_as_so_many_examples_allow(examples):
    logits = np.eye(4, dtype=np.float32)[np.arange(examples) % 4]
    found = fit(logits, np.arange(examples) % 4)
    sure = softmax(logits / found.value, axis=1).max(axis=1).mean()
    assert sure == pytest.approx((examples + 1 / 4) / (examples + 1), abs=1e-4)
    # Its temperature without the further example would be 0.
    assert 0.1 < found.value < 0.5


@pytest.mark.parametrize("examples", [1, 2, 3])
def test_a_few_examples_show_nothing(examples):
    logits, labels = answers(0.5, examples=examples)
    found = fit(logits, labels)
    assert found.value == 1
    assert "don't show that" in found.note


@pytest.mark.parametrize(("scale", "limit", "value"), [(1000, "highest", 10), (0.01, "lowest", 0.1)])
def test_a_temperature_beyond_the_limits_is_the_limit_and_says_so(scale, limit, value):
    logits, labels = answers(1.0, examples=1000)
    found = fit(scale * logits, labels)
    assert found.value == pytest.approx(value, rel=1e-4)
    assert found.words().endswith(f"; it is the {limit} that is allowed")
    assert np.isfinite([found.before, found.after]).all()


def test_a_class_without_a_validation_example_changes_nothing():
    logits, labels = answers(0.5)
    seen = labels != 2
    assert fit(logits[seen], labels[seen]).value == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_leave_the_model_as_it_is(bad):
    logits, labels = answers(0.5)
    logits[7, 3] = bad
    assert fit(logits, labels).words() == "temperature 1; a logit is NaN or infinite"


@pytest.fixture(scope="module")
def both(ingested, tmp_path_factory):
    """The model folders of one training, calibrated and not."""
    folder = tmp_path_factory.mktemp("both")
    return [Path(train_one("mlp", folder / str(on), ingested, calibrate=on, **SMOOTH).path) for on in (True, False)]


def weights(folder):
    import keras

    return keras.saving.load_model(folder / "model.keras", compile=False).get_weights()


def test_the_last_layer_is_divided_by_the_temperature_and_nothing_else_changes(both):
    calibrated, plain = map(ModelInfo.load, both)
    assert plain.temperature is None
    value = np.float32(calibrated.temperature.value)
    assert value < 0.8
    assert calibrated.temperature.after < calibrated.temperature.before
    *body, kernel, bias = weights(both[1])
    for found, expected in zip(weights(both[0]), [*body, kernel / value, bias / value], strict=True):
        np.testing.assert_array_equal(found, expected)
    seconds = {"seconds": 0}
    assert [h | seconds for h in calibrated.history] == [h | seconds for h in plain.history]
    assert (calibrated.best_epoch, calibrated.layers) == (plain.best_epoch, plain.layers)


def test_every_format_gives_the_calibrated_probabilities_and_the_same_classes(both, ingested, tmp_path):
    dataset, value = ingested["fashion"].path, ModelInfo.load(both[0]).temperature.value
    formats = ["onnx", "litert", "litert_int8"]
    exported = export(str(both[0]), dataset, str(tmp_path / "exported"), formats)
    assert not [one.refused for one in exported.formats.values() if one.refused]
    plain = evaluate(str(both[1]), dataset, 1, str(tmp_path / "plain"))
    calibrated = evaluate(str(both[0]), dataset, 1, str(tmp_path / "calibrated"))
    for same in ("accuracy", "macro_f1"):
        assert calibrated.metrics[same] == plain.metrics[same]
    for better in ("loss", "ece"):
        assert calibrated.metrics[better] < plain.metrics[better]
    with np.load(tmp_path / "plain" / "predictions.npz") as saved:
        probabilities = softmax(np.log(saved["prediction"].astype(np.float64)) / value, axis=1)
    images, _ = storage.load_images(dataset, load_info(dataset), "test")
    folder = tmp_path / "exported"
    for load, file in (("saved_model", "saved_model"), ("onnx", "model.onnx"), ("litert", "model.tflite")):
        (found,) = getattr(run_exported, load)(str(folder / file))({"image": images}).values()
        np.testing.assert_allclose(found, probabilities, atol=1e-5)
        np.testing.assert_array_equal(found.argmax(axis=1), probabilities.argmax(axis=1))


def test_a_killed_training_ends_with_the_same_temperature(datasets, tmp_path, monkeypatch, capsys):
    calm = train("mlp", tmp_path / "calm", datasets, **SMOOTH)
    for step in (15, 3 * STEPS["mlp"]):
        folder = tmp_path / str(step)
        assert terminated(monkeypatch, step, "mlp", folder, datasets, **SMOOTH) == 143
        assert_same(train("mlp", folder, datasets, **SMOOTH), calm)
        found = [ModelInfo.load(model_folder(place)).temperature for place in (folder, tmp_path / "calm")]
        assert found[0] == found[1]
        assert found[0].value < 1
    # What doesn't change the training takes its checkpoints.
    terminated(monkeypatch, 15, "mlp", tmp_path / "off", datasets, **SMOOTH)
    capsys.readouterr()
    train("mlp", tmp_path / "off", datasets, calibrate=False, **SMOOTH)
    assert "going on from the checkpoint" in capsys.readouterr().out


def test_a_model_that_ends_otherwise_is_left_as_it_is(ingested):
    import keras

    dataset = ingested["fashion"].path
    image = keras.Input((28, 28, 1), dtype="uint8", name="image")
    dense = keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, keras.layers.Softmax()(dense))
    before = model.get_weights()
    found = calibrate(model, dataset, load_info(dataset))
    assert found.words() == "temperature 1; the model doesn't end in a Dense layer with softmax"
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_forecaster_has_no_temperature(trained):
    assert json.loads((Path(trained["lstm"].path) / "model.json").read_text())["temperature"] is None
