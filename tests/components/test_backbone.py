"""The family backbone: presets of keras-hub, frozen and then fine-tuned, against keras-hub and Keras themselves."""

import json
import os
import shutil

import keras
import numpy as np
import pytest
from described import batch_for, images
from trainings import assert_same, terminated, train

from components.artifacts.dataset import load_info
from components.common.errors import InputError, collecting
from components.common.spec import ModelSpec
from components.families import backbone, build_model
from components.train.devices import find_devices
from components.train.shared_batches import SharedBatches

STEPS = 11


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A preset of a tiny ResNet with weights, moving averages and a scaling of its own, as keras-hub writes it."""
    import keras_hub

    folder, rng = tmp_path_factory.mktemp("preset"), np.random.default_rng(1)
    made = keras_hub.models.Backbone.from_preset("tests/components/preset", load_weights=False)
    # Of batch normalization alone.
    made.set_weights([w + rng.uniform(0.0, 0.2, w.shape) * (w.ndim == 1) for w in made.get_weights()])
    made.save_to_preset(str(folder))
    scale, offset = [0.017, 0.018, 0.019], [-2.1, -2.0, -1.8]
    keras_hub.layers.ResNetImageConverter(image_size=(28, 28), scale=scale, offset=offset).save_to_preset(str(folder))
    return folder


def spec_of(preset, hyperparameters=None, **keys):
    given = {"preset": str(preset), "frozen_epochs": 1, "fine_tune_learning_rate": 0.01, **(hyperparameters or {})}
    return {"family": "backbone", "dataset": "fashion", "hyperparameters": given, **keys}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_gives_what_kerashubs_own_classifier_gives(preset, channels, tmp_path):
    import keras_hub

    info = images((28, 28, channels))
    model = build_model(ModelSpec(**spec_of(preset)), info)
    pictures, _ = batch_for(info)
    model.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True).predict(pictures)

    converter = keras_hub.layers.ImageConverter.from_preset(str(preset))
    judge = keras_hub.models.ResNetImageClassifier(
        backbone=keras_hub.models.Backbone.from_preset(str(preset)),
        num_classes=10,
        activation="softmax",
        preprocessor=keras_hub.models.ResNetImageClassifierPreprocessor(image_converter=converter),
    )
    judge.get_layer("predictions").set_weights(model.layers[-1].get_weights())
    expected = judge.predict(pictures if channels == 3 else np.repeat(pictures, 3, axis=3))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert model.count_params() == judge.count_params() == 76_224 + 65 * 10


def test_fine_tuning_is_what_keras_does_when_a_model_is_compiled_again(preset, datasets, tmp_path):
    # A ReLU that is a tie makes a last digit a larger one, the more the higher the learning rate.
    small = {"fine_tune_learning_rate": 0.002}
    keys = spec_of(preset, small, epochs=2, batch_size=50, optimizer="sgd", learning_rate=0.02, calibrate=False)
    history, best, found = train("mlp", tmp_path, datasets, **keys, flip=False)

    spec, folder = ModelSpec(**keys), str(datasets / "fashion")
    info = load_info(folder)
    keras.utils.set_random_seed(1)
    judge, weights = build_model(spec, info), []
    start = judge.get_weights()
    batches = iter(SharedBatches("mlp", spec, folder, info, 1, find_devices()).training(0))
    for frozen, rate in ((True, 0.02), (False, 0.002)):
        judge.get_layer("backbone").trainable = not frozen
        sgd = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        judge.compile(sgd, loss="sparse_categorical_crossentropy", jit_compile=False)
        for _ in range(STEPS):
            judge.train_on_batch(*next(batches))
        weights.append(judge.get_weights())
    assert (len(history), best) == (2, 2)
    tuned = 0.0
    for one, other, frozen, first in zip(found, weights[1], weights[0], start, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-4)
        tuned = max(tuned, np.abs(other - frozen).max())
        if first.ndim == 4:
            np.testing.assert_array_equal(frozen, first)
    assert tuned > 0.002


CHANGES = {"epochs": 3, "schedule": "cosine", "warmup": 0.2, "ema": 0.8, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def calm(preset, datasets, tmp_path_factory):
    keys = spec_of(preset, {"dropout": 0.3}, **CHANGES)
    return keys, train("mlp", tmp_path_factory.mktemp("calm"), datasets, **keys)


@pytest.mark.parametrize(
    ("step", "method"), [(5, "on_step"), (STEPS, "end_epoch"), (STEPS, "on_step"), (STEPS + 3, "on_step")]
)
def test_a_training_goes_on_on_either_side_of_the_change(step, method, calm, datasets, tmp_path, monkeypatch):
    keys, undisturbed = calm
    assert terminated(monkeypatch, step, "mlp", tmp_path, datasets, method=method, **keys) == 143
    assert_same(train("mlp", tmp_path, datasets, **keys), undisturbed)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(preset, datasets, tmp_path):
    from trained_processes import result, run

    keys = {"batch_size": 50, "flip": True, "checkpoint_seconds": 0.0, **spec_of(preset, {"dropout": 0.3}, **CHANGES)}
    job = {"seed": 1, "models": {"mlp": keys}, "datasets": {"fashion": str(datasets / "fashion")}}
    for folder, steps in (("calm", []), ("killed", [5, STEPS, STEPS + 4])):
        for step in [*steps, None]:
            (output,), (code,) = run({**job, "folder": str(tmp_path / folder), "kill_at": step})
            assert code == (-9 if step else 0), output
    assert f"going on from the checkpoint in epoch 2, step 4 of {STEPS}" in output
    (history, weights), (calm_history, calm) = (result(tmp_path / name, "mlp") for name in ("killed", "calm"))
    assert_same((history, 0, weights), (calm_history, 0, calm))


def test_patience_counts_from_the_change_on(preset, datasets, tmp_path):
    keys = spec_of(preset, {"frozen_epochs": 3}, epochs=5, patience=1, learning_rate=1e-9)
    assert len(train("mlp", tmp_path, datasets, **keys)[0]) >= 4


def test_the_files_that_are_used_have_a_digest(preset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(preset, copy)
    (copy / "README.md").write_text("not used")
    given = backbone.Hyperparameters(preset=str(copy))
    checked = backbone.check(given)
    assert checked.sha256 == backbone.check(backbone.Hyperparameters(preset=str(preset))).sha256
    assert backbone.check(checked) == checked
    random = backbone.check(backbone.Hyperparameters(preset=str(copy), weights=False))
    (copy / "model.weights.h5").write_bytes((copy / "model.weights.h5").read_bytes() + b"0")
    assert backbone.check(backbone.Hyperparameters(preset=str(copy), weights=False)) == random
    with pytest.raises(InputError, match=f"has the SHA-256 .*, expected {checked.sha256}"):
        build_model(ModelSpec(**spec_of(copy, {"sha256": checked.sha256})), images())


def broken(preset, copy, name):
    shutil.copytree(preset, copy)
    content = json.loads((copy / "config.json").read_text())
    if name.endswith((".json", ".h5")):
        (copy / name).unlink()
    elif name == "another model":
        (copy / "config.json").write_text(json.dumps({**content, "registered_name": "own>Model"}))
    elif name == "no JSON":
        (copy / "config.json").write_text("{")
    elif name == "damaged weights":
        os.truncate(copy / "model.weights.h5", 1000)
    elif name == "another size":
        content["config"]["image_shape"] = [32, 32, 3]
        (copy / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("config.json", "no config.json in it, expected a folder that keras-hub's save_to_preset wrote"),
        ("model.weights.h5", "no model.weights.h5 in it"),
        ("image_converter.json", "no image_converter.json in it"),
        ("another model", "config.json isn't that of a backbone of keras-hub"),
        ("no JSON", "config.json isn't that of a backbone of keras-hub"),
        ("damaged weights", "keras-hub can't load it: "),
        ("another size", r"takes \(None, 32, 32, 3\), the images of images are \(28, 28, 3\)"),
    ],
)
def test_what_is_no_preset_is_one_line(name, line, preset, tmp_path):
    broken(preset, tmp_path / "copy", name)
    with pytest.raises(InputError, match=line) as refused:
        build_model(ModelSpec(**spec_of(tmp_path / "copy")), images((28, 28, 3)))
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "copy") in str(refused.value)


CONFIG = """\
datasets: {fashion: {source: fashion_mnist, use: 0.01, gate: none}}
models: {pretrained: {family: backbone, dataset: fashion, hyperparameters: {preset: PRESET}}}
"""


def test_an_experiment_has_the_digest_and_refuses_what_isnt_there(preset, tmp_path):
    import keras_hub

    from pipeline.experiment.experiment import load_experiment

    config, given = tmp_path / "pretrained.yaml", "models.pretrained.hyperparameters.preset"
    shutil.copytree(preset, tmp_path / "presets" / "tiny")
    config.write_text(CONFIG.replace("PRESET", "presets/tiny"))
    hyperparameters = load_experiment(config, []).models["pretrained"].hyperparameters
    assert hyperparameters == {
        "preset": str(tmp_path / "presets" / "tiny"),
        "sha256": backbone.check(backbone.Hyperparameters(preset=str(preset))).sha256,
    }
    for wrong, line in {
        "hf://keras/resnet_18_imagenet": "preset: 'hf://keras/resnet_18_imagenet': expected a folder or gs://bucket",
        "resnet_18_imagenet": f"preset: {tmp_path}/resnet_18_imagenet: no such folder, expected a folder that",
    }.items():
        with pytest.raises(InputError) as refused:
            load_experiment(config, [f"{given}={wrong}"])
        (problem,) = refused.value.problems
        assert problem.startswith(f"{config}: models.pretrained: hyperparameters: {line}")
    # A ResNet with fixed sides, as keras-hub builds one, doesn't load for other images.
    shutil.copytree(preset, tmp_path / "presets" / "fixed")
    fixed = json.loads((preset / "config.json").read_text())
    for sides, line in {(32, 28, 3): "[32, 28, 3]", (None, 28, 4): "[None, 28, 4]", (28, None, 3): ""}.items():
        fixed["config"]["image_shape"] = list(sides)
        (tmp_path / "presets" / "fixed" / "config.json").write_text(json.dumps(fixed))
        assert keras_hub.models.Backbone.from_preset(str(tmp_path / "presets/fixed"), False).input_shape[1:] == sides
        problems = []
        with collecting(problems):
            load_experiment(config, [f"{given}=presets/fixed"])
        said = f"fixed: takes images of {line}, those of the data set are [28, 28, 1]"
        assert [problem.endswith(said) for problem in problems] == [True] * bool(line)
    shutil.copytree(preset, tmp_path / "presets" / "other")
    (tmp_path / "presets" / "other" / "config.json").write_text((preset / "config.json").read_text() + " ")
    for wrong, line in {
        "keep_checkpoints=1": "keep_checkpoints: is for families that read no files and freeze nothing, unlike",
        "epochs=4": "epochs: 4, expected at least the 5 in which weights are frozen",
        "tune={trials: 2, ranges: {hyperparameters.weights: {values: [true, false]}}}": "trials would read other",
        "tune={trials: 2, ranges: {hyperparameters.preset: {values: [presets/tiny, presets/other]}}}": "other files",
        "tune={trials: 2, epochs: 2, ranges: {learning_rate: {low: 0.1, high: 0.2}}}": "epochs: 2, expected at least",
    }.items():
        with pytest.raises(InputError, match=line):
            load_experiment(config, [f"models.pretrained.{wrong}"])
    load_experiment(
        config, ["models.pretrained.tune={trials: 2, ranges: {hyperparameters.dropout: {low: 0.1, high: 0.2}}}"]
    )
