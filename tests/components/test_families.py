import re
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from described import batch_for, images, series
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

from components.artifacts.model import load_keras
from components.common.errors import InputError
from components.common.spec import ModelSpec
from components.families import build_model, families_for, family_names, load_family
from components.models import layers
from components.train.optimization import compile_model

TINY = {
    "mlp": {"units": [8], "norm_inputs": True},
    "cnn": {"layers": [{"conv": 4}, "norm", "pool", {"dropout": 0.1}, "average"]},
    "residual_cnn": {"filters": [4, 8], "blocks": [1, 2], "stem": 1, "dropout": 0.1},
    "backbone": {"preset": "tests/components/preset", "weights": False, "dropout": 0.1},
    "lstm": {"units": 8},
    "stacked_lstm": {"units": [8, 4]},
    "cnn_lstm": {"filters": [4], "units": 8},
    "bidirectional_lstm": {"units": [4, 4], "dropout": 0.1},
    "encoder_decoder_lstm": {"units": 8, "hidden": 4, "dropout": 0.1},
}


def with_quantiles(info):
    return info.model_copy(update={"quantiles": [0.05, 0.25, 0.5, 0.75, 0.95]})


def spec_of(family, info, hyperparameters=None, **keys):
    quantiles = getattr(info, "quantiles", [])
    return ModelSpec(family=family, dataset="d", hyperparameters=hyperparameters or {}, quantiles=quantiles, **keys)


def model_of(family, info, hyperparameters=None):
    return build_model(spec_of(family, info, hyperparameters), info)


@pytest.mark.parametrize(
    ("model", "info", "parameters", "trainable"),
    [
        ("mlp", images(), 218_058, 218_058),
        ("cnn", images((32, 32, 3)), 848_746, 848_490),
        ("lstm", series(20, 1, ("load",), ()), 66_689, 66_689),
        ("stacked_lstm", series(10, 1, ("load",), ()), 205_073, 205_073),
        ("stacked_lstm", series(20, 1, ("load",), ()), 205_073, 205_073),
    ],
)
def test_the_seminars_models_have_the_parameters_it_reports(model, info, parameters, trainable):
    config = yaml.safe_load(Path("configs/seminar.yaml").read_text(encoding="utf-8"))["models"][model]
    built = model_of(config["family"], info, config["hyperparameters"])
    assert built.count_params() == parameters
    assert sum(int(np.prod(w.shape)) for w in built.trainable_weights) == trainable


@pytest.mark.parametrize(
    ("blocks", "published"), [([2, 2, 2, 2], 11_689_512), ([3, 4, 6, 3], 21_797_672)], ids=["ResNet-18", "ResNet-34"]
)
def test_a_residual_cnn_has_the_parameters_that_are_published_for_resnets(blocks, published):
    model = model_of("residual_cnn", images((224, 224, 3), 1000), {"filters": [64, 128, 256, 512], "blocks": blocks})
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == published


@pytest.mark.parametrize(("stem", "side"), [(1, 33), (2, 63), (4, 64)])
def test_a_residual_cnn_is_told_with_all_its_values_and_convolutions(stem, side):
    info, given = images((side, side - 10, 3)), {"filters": [4, 4, 8], "blocks": [1, 2, 1], "stem": stem}
    family = load_family("residual_cnn")
    told = family.sizes(info.shape, 10, family.Hyperparameters.model_validate(given))
    layers = [layer for layer in model_of("residual_cnn", info, given).layers if "kernel" in dir(layer)]
    counted = [(int(np.prod(layer.kernel.shape)), int(np.prod(layer.output.shape[1:]))) for layer in layers]
    assert sorted(told) == sorted(counted)


def test_as_many_blocks_as_filters_are_expected():
    with pytest.raises(ValueError, match="filters and blocks of as many stages, got 2 and 1"):
        load_family("residual_cnn").Hyperparameters.model_validate({"filters": [4, 8], "blocks": [1]})


def judged(target, forecasts, quantiles):
    """The loss and the mae, by scikit-learn."""
    losses = [mean_pinball_loss(target, forecasts[..., i], alpha=q) for i, q in enumerate(quantiles)]
    return np.mean(losses), mean_absolute_error(target, forecasts[..., quantiles.index(0.5)])


CASES = [(f, images()) for f in families_for("classification")] + [
    (f, info)
    for f in families_for("forecasting")
    for info in (series(), with_quantiles(series(20, 3, ("load",), ())), with_quantiles(series(48, 60, known=())))
]


@pytest.mark.parametrize(("family", "info"), CASES, ids=lambda v: v if isinstance(v, str) else v.task)
def test_family_gives_the_tasks_output_learns_and_loads_in_safe_mode(family, info, tmp_path):
    keras.utils.set_random_seed(1)
    model = model_of(family, info, TINY[family])
    compile_model(model, spec_of(family, info, learning_rate=0.01), info, 1)
    inputs, target = batch_for(info)
    first = model.evaluate(inputs, target, verbose=0)[0]
    untrained = model.predict(inputs, verbose=0)
    model.fit(inputs, target, epochs=20, batch_size=16, verbose=0)
    assert model.evaluate(inputs, target, verbose=0)[0] < first

    output = model.predict(inputs, verbose=0)
    if info.task == "classification":
        assert output.shape == (16, 10)
        np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-5)
    elif info.quantiles:
        assert output.shape == (16, info.horizon, 5)
        for forecasts in (output, untrained):
            assert np.diff(forecasts).min() > 0
        np.testing.assert_allclose(
            model.evaluate(inputs, target, verbose=0), judged(target, output, info.quantiles), rtol=1e-5
        )
    else:
        assert output.shape == (16, info.horizon)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), output)


@pytest.mark.parametrize("family", families_for("forecasting"))
@pytest.mark.parametrize("horizon", [12, 48, 60])
def test_an_untrained_seasonal_model_forecasts_about_the_mean_of_the_seasons(family, horizon):
    keras.utils.set_random_seed(1)
    info = series(lookback=100, horizon=horizon)
    hyperparameters = {**TINY[family], "seasonal": True}
    model = model_of(family, info, hyperparameters)
    inputs, _ = batch_for(info)
    target = inputs["window"][:, :, 0]
    season = target[:, 4:].reshape(16, 2, 48).mean(axis=1)
    expected = np.tile(season, 2)[:, :horizon]
    error = np.abs(model.predict(inputs, verbose=0) - expected).mean()
    assert error < 0.5 * np.abs(expected - target.mean(axis=1, keepdims=True)).mean() + 0.5


WIDE = {
    "mlp": {"units": [300, 200]},
    "cnn": {"layers": [{"conv": 200}, "norm", "pool", {"conv": 100, "kernel": 5}, "average"], "units": [300, 200]},
    "residual_cnn": {"filters": [32, 32, 64], "blocks": [1, 2, 1]},
    "lstm": {"units": 300, "hidden": 200},
    "stacked_lstm": {"units": [300, 200, 100]},
    "cnn_lstm": {"filters": [300, 200], "units": 200, "kernel": 5, "patch": 4},
    "bidirectional_lstm": {"units": [200, 100], "hidden": 200, "patch": 3},
    "encoder_decoder_lstm": {"units": 300, "hidden": 200, "patch": 4},
}


SIZED = [case for case in CASES if load_family(case[0]).sizes]


@pytest.mark.parametrize(("family", "info"), SIZED, ids=lambda v: v if isinstance(v, str) else v.task)
def test_a_size_told_from_the_config_is_nearly_what_keras_counts(family, info):
    found = load_family(family)
    hyperparameters = found.Hyperparameters.model_validate(WIDE[family])
    shape = info.shape if info.task == "classification" else [info.lookback, len(info.columns)]
    outputs = len(info.classes) if info.task == "classification" else info.horizon
    told = sum(weights for weights, _ in found.sizes(shape, outputs, hyperparameters))
    counted = found.build(info.model_copy(update={"quantiles": []}), hyperparameters).count_params()
    # What a decoder sees of the future isn't told, nor quantiles.
    assert (0.65 if family.startswith("encoder") else 0.85) * counted < told <= counted


def test_scaling_is_inside_the_model():
    keras.utils.set_random_seed(1)
    small = model_of("lstm", series(), TINY["lstm"])
    info = series()
    info = info.model_copy(update={"mean": [50.0] * 5, "std": [20.0] * 5})
    keras.utils.set_random_seed(1)
    large = model_of("lstm", info, TINY["lstm"])
    inputs, _ = batch_for(info)
    tenfold = {name: 10 * value for name, value in inputs.items()}
    np.testing.assert_allclose(large.predict(tenfold, verbose=0), 10 * small.predict(inputs, verbose=0), rtol=1e-4)


def test_rows_of_an_image_are_side_by_side_in_a_step_without_the_topmost_that_fill_none():
    info = images((7, 4, 3))
    inputs = layers.sequence(info, patch=2)
    given, _ = batch_for(info)
    found = keras.Model(inputs.raw, inputs.x).predict(given, verbose=0)
    expected = (given[:, 1:].astype(np.float32) - 70) / 90
    np.testing.assert_allclose(found, expected.reshape(16, 3, 2 * 4 * 3), rtol=1e-5)


def test_every_family_is_tested():
    assert set(TINY) == set(family_names())


def test_batch_normalization_of_a_cnn_keeps_the_share_that_is_asked_for():
    from components.families import cnn

    layers = ["norm", {"conv": 2}, {"norm": 0.5}, "average"]
    model = cnn.build(images(), cnn.Hyperparameters.model_validate({"layers": layers}))
    assert [layer.momentum for layer in model.layers if type(layer).__name__ == "BatchNormalization"] == [0.99, 0.5]
    with pytest.raises(ValueError, match="less than 1"):
        cnn.Hyperparameters.model_validate({"layers": [{"norm": 1.0}]})


@pytest.mark.parametrize("asked", [True, False])
def test_each_pixel_of_an_mlp_has_a_mean_of_its_own_where_that_is_asked_for(asked):
    info = images()
    model = model_of("mlp", info, {"units": [8], "dropout": [0.0], "norm_inputs": asked})
    dark = batch_for(info)[0] // 2
    offsets = np.random.default_rng(1).integers(128, size=dark.shape[1:]).astype(np.uint8)
    first, second = (model([given], training=True).numpy() for given in (dark, dark + offsets))
    assert np.allclose(first, second, atol=0.001) == asked


def test_normalized_inputs_train_nothing_and_leave_a_pixel_small_that_is_nearly_always_black():
    norm = layers.input_norm()
    pixels = np.random.default_rng(1).normal(scale=[5.0, 0.01], size=(1000, 2))
    usual, black = norm(pixels, training=True).numpy().std(axis=0)
    assert norm.trainable_weights == []
    assert usual == pytest.approx(1, abs=0.01)
    assert black < 0.1


# A family that ends by itself, and one that ends with `forecast` alone.
OWN = """\
from components.common.spec import Strict as Hyperparameters

TASKS = ("forecasting",)


def build(info, hyperparameters):
    import keras

    from components.models import layers

    inputs = layers.scaled_inputs(info)
    values = keras.layers.Dense(info.horizon)(keras.layers.Flatten()(inputs.x))
    return END
"""


@pytest.fixture
def write_family(tmp_path, monkeypatch):
    """A function that makes a family of a name out of the text of its file."""
    import components.families

    (tmp_path / "families").mkdir()
    monkeypatch.setattr(components.families, "__path__", [*components.families.__path__, str(tmp_path / "families")])
    return lambda name, text: (tmp_path / "families" / f"{name}.py").write_text(text)


@pytest.mark.parametrize("end", ["layers.forecast(inputs, values, info)", "keras.Model(inputs.raw, values)"])
def test_a_family_of_ones_own_gives_quantiles_where_it_ends_with_the_projects_layers(end, write_family):
    name = f"own_{'layers' in end}"
    write_family(name, OWN.replace("END", end))
    info = with_quantiles(series(20, 3, known=()))
    if "layers" not in end:
        with pytest.raises(
            InputError, match=r"gives \[\[None, 3\]\], expected \[\[None, 3, 5\]\], a value for each step and quantile"
        ):
            model_of(name, info)
        return
    forecasts = model_of(name, info).predict(batch_for(info)[0], verbose=0)
    assert forecasts.shape == (16, 3, 5)
    assert np.diff(forecasts).min() > 0


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        (
            "layers.forecast(inputs, keras.layers.Dense(1)(values), info)",
            r"gives \[\[None, 1\]\], expected \[\[None, 3\]\]",
        ),
        ("keras.Model(inputs.raw, keras.ops.expand_dims(values, -1))", r"gives \[\[None, 3, 1\]\], expected"),
        ("keras.Model(inputs.raw, [values, values])", r"gives \[\[None, 3\], \[None, 3\]\], expected"),
    ],
)
def test_a_family_that_does_not_give_a_value_for_each_step_is_refused(end, problem, write_family):
    name = f"other_steps_{len(end)}"
    write_family(name, OWN.replace("END", end))
    with pytest.raises(InputError, match=f"family {name}: its model {problem}"):
        model_of(name, series(20, 3, known=()))


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        ("None", "build gives a NoneType of the inputs {}"),
        (
            "keras.Model(x := keras.Input((20, 2), name='row'), keras.layers.Flatten()(x))",
            "gives a Functional of the inputs {'row': ",
        ),
        (
            "keras.Model(x := keras.Input((20, 3), name='window'), keras.layers.Flatten()(x))",
            "{'window': ['float32', 20, 3]}, expected ",
        ),
        ("keras.Sequential([keras.layers.Dense(3)])", "build gives a Sequential of the inputs {}"),
    ],
)
def test_a_family_that_takes_other_inputs_is_refused(build, problem, write_family):
    name = f"other_inputs_{len(build)}"
    write_family(name, OWN.replace("END", build))
    with pytest.raises(InputError, match=re.escape(problem)):
        model_of(name, series(20, 3, known=()))


@pytest.mark.parametrize(
    ("units", "activation", "problem"),
    [
        (2, "'softmax'", None),
        (3, "'softmax'", r"gives \[\[None, 3\]\], expected \[\[None, 2\]\], a probability for each class"),
        (2, "None", "what its model gives for an image adds up to .*, expected probabilities"),
        (2, "'sigmoid'", "adds up to .*, expected probabilities"),
    ],
)
def test_a_classifier_that_does_not_give_probabilities_is_refused(units, activation, problem, write_family):
    name = f"other_classes_{units}_{activation.strip(chr(39))}"
    end = f"keras.Model(inputs.raw, keras.layers.Dense({units}, {activation})(keras.layers.Flatten()(inputs.x)))"
    write_family(
        name, OWN.replace("END", end).replace('"forecasting"', '"classification"').replace("info.horizon", "2")
    )
    info = images().model_copy(update={"classes": ["a", "b"]})
    if problem:
        with pytest.raises(InputError, match=problem):
            model_of(name, info)
    else:
        assert model_of(name, info).output_shape == (None, 2)


WITH_LAYERS = """\
import keras

REGISTER
class Own(keras.layers.Layer):
    def call(self, x):
        return x

REGISTER
def half(x):
    return x / 2

"""
LAYERS = [("Own", "Own()"), ("half", "keras.layers.Activation(half)"), ("Lambda", "keras.layers.Lambda(lambda x: x)")]


def with_layer(layer, register=""):
    end = OWN.replace("END", f"layers.forecast(inputs, {layer}(values), info)")
    return WITH_LAYERS.replace("REGISTER", register) + end


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_a_family_whose_model_could_not_be_loaded_is_refused_before_it_is_trained(name, layer, write_family):
    family = f"own_{name.lower()}"
    write_family(family, with_layer(layer))
    with pytest.raises(InputError, match=f"family {family}: its model couldn't be loaded again: {name}; expected"):
        model_of(family, series(20, 3, known=()))


@pytest.mark.parametrize(("name", "layer"), LAYERS[:2])
def test_layers_and_functions_that_a_family_registers_can_be_loaded(name, layer, write_family, tmp_path):
    family = f"registered_{name.lower()}"
    write_family(family, with_layer(layer, f"@keras.saving.register_keras_serializable({family!r})"))
    model = model_of(family, series(20, 3, known=()))
    model.save(tmp_path / "model.keras")
    assert [type(one) for one in load_keras(tmp_path / "model.keras").layers] == [type(one) for one in model.layers]


def test_only_what_multiplies_inputs_decays():
    info = images()
    model = model_of("mlp", info, {"units": [4], "norm": True})
    spec = spec_of("mlp", info, optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    compile_model(model, spec, info, 1)
    model.optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones_like(variable))
    model.optimizer.apply([keras.ops.zeros_like(variable) for variable in model.trainable_variables])
    found = {variable.name: float(keras.ops.mean(variable)) for variable in model.trainable_variables}
    assert found == pytest.approx({"kernel": 1 - 0.1 * 0.5, "bias": 1, "gamma": 1, "beta": 1})
