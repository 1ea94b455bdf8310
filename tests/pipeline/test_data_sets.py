"""What an experiment's data sets are asked before anything runs: their rows, their pictures, their classes."""

import pytest
from PIL import Image
from small_experiment import assert_refused, changed, write

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment


def test_what_a_source_finds_is_told_with_the_data_set(tmp_path):
    (tmp_path / "series.csv").write_text("time,load\n2020-01-01,1\n2020-01-02,x\n")
    options = {"source": "csv", "path": str(tmp_path / "series.csv"), "time": "time", "target": "load"}
    options |= {"frequency": "D", "lookback": 1, "horizon": 1}
    path = write(tmp_path, changed("datasets.mine", options))
    assert_refused(path, [f"{path}: datasets.mine: ", f"{tmp_path / 'series.csv'}:3: column 'load': 'x'"])
    options["frequency"] = "daily"
    path = write(tmp_path, changed("datasets.mine", options))
    assert_refused(path, [f"{path}: datasets.mine: ", "frequency 'daily'"])


def test_a_column_named_like_one_of_the_calendar_is_refused(tmp_path):
    """Looked up by name, the target would be handed to the models as known in the future."""
    lines = [f"2020-01-{day:02}T00:00,{day}" for day in range(1, 31)]
    (tmp_path / "series.csv").write_text("\n".join(["time,hour_sin", *lines]))
    options = {"source": "csv", "path": str(tmp_path / "series.csv"), "time": "time", "target": "hour_sin"}
    options |= {"frequency": "D", "lookback": 1, "horizon": 1}
    load_experiment(write(tmp_path, changed("datasets.mine", options)), [])
    path = write(tmp_path, changed("datasets.mine", options | {"calendar": ["hour"]}))
    assert_refused(path, ["datasets.mine:", "hour_sin"])


WRONG_OPTIONS = {
    "missing": ({"lookback": None}, "lookback: missing"),
    "misspelt": ({"lookback": None, "lokback": 3}, "lokback: unknown key; did you mean 'lookback'?"),
    "of another type": ({"horizon": "12"}, "horizon: '12': expected an integer"),
    "out of range": ({"validation": 2}, "validation: 2: expected a number below 1"),
    "no frequency": ({"frequency": None}, "frequency: missing"),
    "no such frequency": ({"frequency": "fortnight"}, "frequency 'fortnight' is not a count and a unit"),
    "no such method": ({"fill": {"method": "cubic", "at_most": 3}}, "fill.method: 'cubic': expected 'linear', "),
    "both signs alike": ({"thousands": "."}, "decimal and thousands are both '.'"),
    "no such format": ({"time_format": "yyyy"}, "time_format 'yyyy' is not one of strptime"),
    "named twice": ({"covariates": ["load"]}, "column 'load' is named twice in the options"),
    "no such baseline": ({"gate": {"best": 0.1}}, "gate: no baseline 'best'"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_data_are_looked_at_though_an_option_is_wrong(tmp_path, changes, message):
    rows = [f"2020-01-{day:02},{'x' if day == 9 else day}" for day in range(1, 29)]
    (tmp_path / "series.csv").write_text("\n".join(["time,load", *rows]))
    options = {"source": "csv", "path": "series.csv", "time": "time", "target": "load"}
    options |= {"frequency": "D", "lookback": 2, "horizon": 1} | changes
    content = changed("datasets.mine", {key: value for key, value in options.items() if value is not None})
    path = write(tmp_path, content)
    with pytest.raises(InputError) as refused:
        load_experiment(path, ["models.mpl.epochs=1"])
    problems = [problem.removeprefix(f"{path}: datasets.mine: ") for problem in refused.value.problems]
    assert problems[0].startswith("--set models.mpl.epochs=1: no 'models.mpl'")
    assert any(message in problem for problem in problems)
    assert f"{tmp_path / 'series.csv'}:10: column 'load': 'x' is not a number" in problems
    assert len(problems) == (4 if "lokback" in changes else 3), "and nothing that isn't so"


def test_pictures_are_looked_at_though_an_option_is_wrong(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("x")
    path = write(tmp_path, changed("datasets.mine", {"source": "image_folder", "path": ".", "height": 0, "width": 8}))
    assert_refused(
        path, ["height: 0: expected at least 1", "cat/1.png: unreadable image", "dog/1.png: unreadable image"]
    )


def test_a_weight_of_a_class_that_the_pictures_do_not_have_is_refused(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (8, 8), (i, ord(name[0]), 0)).save(tmp_path / name / f"{i}.png")
    content = changed("datasets.mine", {"source": "image_folder", "path": ".", "height": 8, "width": 8})
    content["models"]["mine"] = {"family": "mlp", "dataset": "mine", "class_weights": {"dog": 2, "cow": 3}}
    path = write(tmp_path, content)
    assert_refused(path, [f"{path}: models.mine: class_weights: no class 'cow'; there are: cat, dog"])


def test_the_classes_of_fashion_mnist_are_known_before_it_is_read(tmp_path):
    from tensorflow_datasets.image_classification import FashionMNIST

    names = FashionMNIST(data_dir=tmp_path).info.features["label"].names
    load_experiment(write(tmp_path, changed("models.mlp.class_weights", dict.fromkeys(names, 2.0))), [])
    content = changed("models.mlp.class_weights", {"Bag": 2.0, "T-Shirt": 3.0})
    assert_refused(write(tmp_path, content), ["class_weights: no class 'T-Shirt'; there are: T-shirt/top, Trouser"])
