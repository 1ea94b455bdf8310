"""Formats, each used in a process that has its runtime alone."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from described import series
from kfp import dsl

from components.artifacts.dataset import load_info
from components.artifacts.export import Exported, Format
from components.export import export as export_step
from components.export import quantize
from components.export.component import export
from components.models.fresh import process as fresh
from components.train.component import train

FAMILIES = {
    "mlp": {"dataset": "fashion", "hyperparameters": {"units": [16], "norm": True}},
    "cnn": {"dataset": "fashion", "hyperparameters": {"layers": [{"conv": 8}, "norm", "pool", "average"]}},
    "residual_cnn": {"dataset": "fashion", "hyperparameters": {"filters": [8, 16], "blocks": [1, 1], "stem": 2}},
    "backbone": {"dataset": "fashion", "hyperparameters": {"preset": "tests/components/preset", "weights": False}},
    "bidirectional_lstm": {"dataset": "fashion", "hyperparameters": {"units": [8]}},
    "lstm": {"dataset": "electricity", "hyperparameters": {"units": 8, "patch": 12, "seasonal": True}},
    "stacked_lstm": {"dataset": "electricity", "hyperparameters": {"units": [8, 4], "patch": 12, "seasonal": True}},
    "cnn_lstm": {"dataset": "electricity", "hyperparameters": {"filters": [8], "units": 8, "patch": 12}},
    "encoder_decoder_lstm": {"dataset": "electricity", "hyperparameters": {"units": 8, "patch": 12, "seasonal": True}},
}
# The others are slow: each is trained and exported in about ten seconds.
FAST = ("lstm",)


def artifact(kind, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return kind(uri=str(path))


@pytest.fixture(scope="session")
def models(datasets, tmp_path_factory):
    """Trained models, made when they are asked for."""
    folder, made = tmp_path_factory.mktemp("families"), {}

    def model(family):
        if family not in made:
            spec = {"family": family, "epochs": 1, **FAMILIES[family]}
            made[family] = artifact(dsl.Model, folder / family / "run" / "train" / "model")
            train.python_func(family, json.dumps(spec), 1, "x", dataset(datasets, family), made[family])
        return made[family]

    return model


def dataset(datasets, family):
    return dsl.Dataset(uri=str(datasets / FAMILIES[family]["dataset"]))


def description(datasets, family):
    return load_info(datasets / FAMILIES[family]["dataset"])


def exported(datasets, model, family, folder, *formats):
    made = artifact(dsl.Model, folder / "export")
    export.python_func("x", dataset(datasets, family), model, made, json.dumps(formats))
    folder = Path(made.path)
    found = Exported.model_validate_json((folder / "export.json").read_text())
    files = {path.name for path in folder.iterdir()}
    there = {name: made.path for name, made in found.formats.items() if made.path}
    assert files == {*there.values(), "golden.json", "export.json", "dataset.json", "reference.json"}
    return folder, found


# Users' own families: the exact GELU, and constants that a model holds.
OWN = """\
from components.common.spec import Strict

TASKS = ("classification",)


class Hyperparameters(Strict):
    pass


def build(info, hyperparameters):
    import keras
    import numpy as np
    import tensorflow as tf

    from components.models import layers

    inputs = layers.scaled_inputs(info)
    x = BODY
    return layers.finish(inputs, keras.layers.Flatten()(x), info)
"""
BODIES = {
    "gelu": "keras.ops.gelu(inputs.x, approximate=False)",
    "gelu_layer": 'keras.layers.Activation("gelu")(inputs.x)',
    "numpy_constant": "inputs.x * np.linspace(0, 1, 28, dtype=np.float32).reshape(28, 1)",
    "tf_constant": "inputs.x * tf.reshape(tf.linspace(0.0, 1.0, 28), (28, 1))",
    "inner": "keras.Sequential([keras.layers.Normalization(mean=[0.5], variance=[2.0])])(inputs.x)",
}


@pytest.mark.parametrize("name", [n if n == "gelu" else pytest.param(n, marks=pytest.mark.slow) for n in BODIES])
def test_a_family_of_ones_own_is_the_same_in_every_format(name, datasets, tmp_path, monkeypatch):
    import components.families

    (tmp_path / "families").mkdir()
    (tmp_path / "families" / f"own_{name}.py").write_text(OWN.replace("BODY", BODIES[name]))
    monkeypatch.setattr(components.families, "__path__", [*components.families.__path__, str(tmp_path / "families")])
    model = artifact(dsl.Model, tmp_path / "run" / "train" / "model")
    spec = {"family": f"own_{name}", "dataset": "fashion", "epochs": 1}
    train.python_func("own", json.dumps(spec), 1, "x", dataset(datasets, "mlp"), model)
    _, found = exported(datasets, model, "mlp", tmp_path, "litert", "onnx")
    assert {name: made.refused for name, made in found.formats.items() if made.refused} == {}
    assert all(made.max_abs_difference < 1e-5 for made in found.formats.values())


def test_a_constant_of_the_model_is_one_in_onnx(tmp_path):
    """Each kind alone, without a training: what tf2onnx would take for inputs."""
    import keras
    import onnxruntime
    import tensorflow as tf

    from components.export.formats import write_onnx

    window = keras.Input((4, 2), name="window")
    future = keras.Input((4, 2), name="future")
    held = tf.constant(np.arange(8, dtype=np.float32).reshape(4, 2))
    order = tf.constant([3, 1, 0, 2])
    x = keras.ops.take(keras.activations.gelu(window * held, approximate=False), order, axis=1)
    x = keras.layers.Normalization(mean=[1.0, 2.0], variance=[3.0, 4.0])(x + future)
    x = keras.layers.Bidirectional(keras.layers.LSTM(3))(x)
    model = keras.Model([window, future], keras.layers.Dense(3)(x))
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [given.name for given in session.get_inputs()] == ["window", "future"]
    assert [given.name for given in session.get_outputs()] == ["Identity:0"]
    values = np.random.default_rng(0).normal(size=(2, 5, 4, 2)).astype(np.float32)
    answers = session.run(None, {"window": values[0], "future": values[1]})[0]
    np.testing.assert_allclose(answers, model.predict(list(values), verbose=0), atol=1e-6)


@pytest.mark.parametrize("family", [f if f in FAST else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES])
def test_a_family_is_the_same_in_every_format(family, datasets, models, tmp_path, monkeypatch):
    # One of a hundred test images is the whole of what is allowed of real ones.
    monkeypatch.setattr(quantize, "ACCURACY_LOSS", 0.05)
    _, found = exported(datasets, models(family), family, tmp_path, "litert", "onnx", "litert_int8")
    assert list(found.formats) == ["keras", "saved_model", "litert", "onnx", "litert_int8"]
    quantized = found.formats.pop("litert_int8")
    for name, made in found.formats.items():
        assert made.refused is None
        assert made.quality is None
        assert made.bytes > 1000
        assert made.max_abs_difference < 1e-4, "GW, or a probability"
        if name != "keras":
            assert made.agreement == (1.0 if FAMILIES[family]["dataset"] == "fashion" else None)
            assert 0 < made.batch_1_median_ms <= made.batch_1_p95_ms
            assert 0 < made.batch_32_median_ms <= made.batch_32_p95_ms
        assert made.batch == (1 if name == "litert" else None)
    assert found.blessing.faults == []

    info = description(datasets, family)
    images = info.task == "classification"
    assert quantized.refused is None
    assert quantized.batch == 1
    assert set(quantized.left_in_float) <= {"CAST", "SPLIT"}, "of the bytes of an image, of gates that are constant"
    assert 0 < quantized.batch_1_median_ms <= quantized.batch_1_p95_ms
    assert quantized.max_abs_difference > 1e-6, "it is quantized"
    quality = quantized.quality
    assert quality.metric == ("accuracy" if images else "mae")
    assert quality.test_examples == info.examples("test")
    worse = quality.model - quality.quantized if images else quality.quantized / quality.model - 1
    assert worse <= 0.05


def test_the_cost_is_that_of_the_whole_test_split(datasets, models, tmp_path):
    from components.data.input_pipeline import sequential_batches
    from components.metrics import metrics

    folder, found = exported(datasets, models("lstm"), "lstm", tmp_path, "litert_int8")
    info = description(datasets, "lstm")
    (batch,) = sequential_batches(dataset(datasets, "lstm").path, info, "test", 10_000).as_numpy_iterator()
    windows, target = batch
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "model_int8.tflite"))
    run = interpreter.get_signature_runner()
    one = [{name: values[i : i + 1] for name, values in windows.items()} for i in range(len(target))]
    answers = np.concatenate([run(**inputs)["output_0"] for inputs in one])
    assert found.formats["litert_int8"].quality.quantized == pytest.approx(
        metrics.measure("forecasting", target, answers)["mae"], rel=1e-6
    )
    types = {np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    assert "int8" in types
    given = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    assert {np.dtype(tensor["dtype"]).name for tensor in given} == {"float32"}


@pytest.mark.parametrize("family", ["mlp", "lstm"])
def test_ranges_come_from_training_examples(family, datasets, monkeypatch):
    from components.data import input_pipeline, storage

    read = []
    sequential_batches, folder, info = (
        input_pipeline.sequential_batches,
        str(dataset(datasets, family).path),
        description(datasets, family),
    )
    monkeypatch.setattr(
        input_pipeline, "sequential_batches", lambda *args: read.append(args[2]) or sequential_batches(*args)
    )
    examples = quantize.representative(folder, info)
    assert read == ["train"]
    assert {len(values) for values in examples.values()} == {quantize.REPRESENTATIVE}
    again = quantize.representative(folder, info)
    for name, values in examples.items():
        np.testing.assert_array_equal(values, again[name])
    if family == "lstm":
        train = storage.load_rows(folder, info, "train")
        first, last = (examples["window"][i, 0] for i in (0, -1))
        np.testing.assert_array_equal(first, train[0, : len(info.columns)])
        place = info.examples("train") // 200 * 199
        np.testing.assert_array_equal(last, train[place, : len(info.columns)])


def test_a_model_that_quantization_ruins_is_refused(datasets, models, tmp_path):
    import keras

    model = dsl.Model(uri=str(tmp_path / "model"))
    shutil.copytree(models("mlp").path, model.path)
    good = keras.saving.load_model(Path(model.path) / "model.keras")
    # One feature is moved by 10,000 and back: in 256 steps of that range nothing is left of the others.
    features = good.layers[-1].input
    units = features.shape[-1]
    for name, moved in (("there", 1e4), ("back", -1e4)):
        layer = keras.layers.Dense(units, name=name)
        features = layer(features)
        layer.set_weights([np.eye(units), np.eye(units)[0] * moved])
    keras.Model(good.inputs, good.layers[-1](features)).save(Path(model.path) / "model.keras")
    folder, found = exported(datasets, model, "mlp", tmp_path, "litert_int8")
    made = found.formats["litert_int8"]
    quality = made.quality
    assert quality.quantized < quality.model - 0.01
    assert made == Format(refused=made.refused, quality=quality)
    assert made.refused == f"{quality}; allowed is {quality.model - 0.01:.4f}"
    assert not (folder / "model_int8.tflite").exists()


def test_a_loop_is_refused_before_the_converter_dies_of_it(tmp_path):
    import keras

    @keras.saving.register_keras_serializable("tests")
    class Loop(keras.layers.Layer):
        def call(self, x):
            return keras.ops.fori_loop(0, 3, lambda _, total: total + x, x)

    window = keras.Input((4, 2), name="window")
    model = keras.Model(window, keras.layers.Dense(1)(Loop()(window)))
    with pytest.raises(ValueError, match="While can't be quantized"):
        quantize.write_litert_int8(model, {"window": np.ones((3, 4, 2), np.float32)}, tmp_path / "model.tflite")


@pytest.mark.parametrize(
    ("metric", "model", "quantized", "refused"),
    [
        ("accuracy", 0.9, 0.891, False),
        ("accuracy", 0.9, 0.889, True),
        ("accuracy", 0.13, 0.12, False),
        ("accuracy", 0.9, 0.95, False),
        ("mae", 2.0, 2.09, False),
        ("mae", 2.0, 2.11, True),
        ("mae", 2.0, float("nan"), True),
        ("mae", 2.0, 1.0, False),
    ],
)
def test_what_quantization_may_cost(metric, model, quantized, refused):
    quality = quantize.Quality(metric=metric, model=model, quantized=quantized, test_examples=1000)
    assert bool(quantize.why_refused(quality)) == refused


def changed_weight(path):
    """Make one of the weights in a file wrong: the largest float32 tensor that a format stores as it is."""
    if path.suffix == ".onnx":
        import onnx

        model = onnx.load(path)
        weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = np.frombuffer(weight.raw_data, np.float32).copy()
        values[len(values) // 2] += 1
        weight.raw_data = values.tobytes()
        onnx.save(model, path)
    else:
        content = bytearray(path.read_bytes())
        place = len(content) // 8 * 4  # in the middle lies the largest tensor
        content[place : place + 4] = np.float32(1).tobytes()
        path.write_bytes(content)


@pytest.mark.parametrize(("wrong", "right"), [("onnx", "litert"), ("litert", "onnx")])
def test_a_wrong_weight_is_refused_and_the_others_are_written(wrong, right, datasets, models, tmp_path, monkeypatch):
    write = getattr(export_step, f"write_{wrong}")

    def wrongly(model, path, *rest):
        write(model, path, *rest)
        changed_weight(path)

    monkeypatch.setattr(export_step, f"write_{wrong}", wrongly)
    _, found = exported(datasets, models("mlp"), "mlp", tmp_path, wrong, right)
    assert found.formats[wrong].refused.startswith("differs from the model by ")
    assert found.formats[wrong] == Format(refused=found.formats[wrong].refused)
    assert found.formats[right].refused is None


def test_what_a_format_has_no_operation_for_is_refused(datasets, models, tmp_path):
    import keras

    model = dsl.Model(uri=str(tmp_path / "model"))
    shutil.copytree(models("mlp").path, model.path)
    image = keras.Input((28, 28, 1), dtype="uint8", name="image")
    scaled = keras.layers.Rescaling(1 / 256, dtype="float32")(image)
    probabilities = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(keras.ops.erfinv(scaled)))
    keras.Model(image, probabilities).save(Path(model.path) / "model.keras")
    _, found = exported(datasets, model, "mlp", tmp_path, "litert", "onnx")
    assert found.formats["litert"].refused == "LiteRT has no operation for Erfinv"
    assert found.formats["onnx"].refused == "ONNX has no operation for Erfinv"
    assert found.formats["saved_model"].max_abs_difference < 1e-5


def test_a_runtime_beside_tensorflow_proves_nothing(datasets, models, tmp_path):
    folder, _ = exported(datasets, models("mlp"), "mlp", tmp_path, "onnx")
    np.savez(tmp_path / "inputs.npz", image=np.zeros((3, 28, 28, 1), np.uint8))

    def run(before, **environment):
        code = f"import runpy, sys; {before}; runpy.run_path(sys.argv[2], run_name='__main__')"
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, "onnx", str(fresh.PROGRAM)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        process = fresh.Fresh(process, io.TextIOWrapper(process.stdout, encoding="utf-8"))
        return fresh.run_task(process, folder / "model.onnx", tmp_path / "inputs.npz", [1, 2], timed=[1])[1]

    assert run("pass")["milliseconds"]["1"][0] > 0
    with pytest.raises(RuntimeError, match="onnx was run in a process that imports tensorflow"):
        run("import tensorflow")
    with pytest.raises(RuntimeError, match="the project can be imported here"):
        run("pass", PYTHONPATH=str(Path.cwd()))


def test_a_server_that_takes_malformed_requests_is_found_out(datasets, models, tmp_path):
    import keras

    folder, found = exported(datasets, models("cnn"), "cnn", tmp_path)
    assert found.blessing.faults == []
    plain = tmp_path / "plain"
    keras.saving.load_model(folder / "model.keras").export(plain, verbose=False)
    np.savez(tmp_path / "inputs.npz", image=np.zeros((2, 28, 28, 1), np.uint8))
    for model, accepted in ((plain, ["image of another shape", "image without a batch"]), (folder / "saved_model", [])):
        with fresh.start("saved_model") as process:
            golden = str(folder / "golden.json")
            _, said = fresh.run_task(process, model, tmp_path / "inputs.npz", [2], golden=golden)
        assert said["accepted"] == accepted


def test_an_input_that_a_model_does_not_use_takes_nothing_malformed(tmp_path):
    """TensorFlow drops what nothing is computed from, the check of its shape too."""
    import keras

    from components.export.formats import write_saved_model

    info = series(4, 2, ("load",), ("holiday",))
    window, future = keras.Input((4, 1), name="window"), keras.Input((2, 1), name="future")
    model = keras.Model([window, future], keras.layers.Dense(2)(keras.layers.Flatten()(window)))
    write_saved_model(model, info, tmp_path / "saved_model")
    inputs = {"window": np.ones((2, 4, 1), np.float32), "future": np.zeros((2, 2, 1), np.float32)}
    np.savez(tmp_path / "inputs.npz", **inputs)
    instances = [{name: values[i].tolist() for name, values in inputs.items()} for i in range(2)]
    (tmp_path / "golden.json").write_text(json.dumps({"instances": instances}))
    with fresh.start("saved_model") as process:
        task = tmp_path / "saved_model", tmp_path / "inputs.npz", [2]
        _, said = fresh.run_task(process, *task, golden=str(tmp_path / "golden.json"))
    assert said["accepted"] == []


@pytest.mark.parametrize("family", ["mlp", "lstm"])
def test_the_snippets_of_the_documentation_answer_the_golden_request(family, datasets, models, tmp_path):
    folder, _ = exported(datasets, models(family), family, tmp_path, "litert", "onnx")
    snippets = re.findall(r"```python\n(.*?)```", Path("docs/serving.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        assert "tensorflow" not in snippet
        done = subprocess.run([sys.executable, "-c", snippet], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert max(float(line) for line in done.stdout.split()) < 1e-5
