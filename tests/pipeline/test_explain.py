import subprocess
import sys
from pathlib import Path

import pytest

from components.common.errors import InputError
from pipeline.experiment.explain import attributes, explain, markdown, overview, section, section_names, text

ROOT = Path(__file__).parent.parent.parent


def shown(*names):
    """Keys by section."""
    return {one.name: [key.name for key in one.keys] for one in explain(*names)}


def key(section_name, name):
    (found,) = [one for one in section(section_name).keys if one.name == name]
    return (found.type, found.default, found.meaning)


def test_the_reference_is_that_of_the_schema():
    written = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert written == markdown(), "python -m pipeline explain --markdown > docs/reference.md"


@pytest.mark.parametrize("name", section_names())
def test_every_key_has_a_meaning(name):
    one = section(name)
    assert one.meaning
    assert [key.name for key in one.keys if not key.meaning] == []


def test_type_default_and_meaning_are_the_schemas():
    assert key("models", "epochs") == (
        "integer from 1 to 100,000",
        "10",
        "The largest number of passes over the training examples.",
    )
    assert key("models", "learning_rate")[:2] == ("number above 0, at most 1,000", "0.001")
    assert key("models", "flip")[:2] == ("true or false", "false")
    assert key("models", "family")[:2] == ("string", "")
    assert key("models", "patience")[:2] == ("integer from 1 to 100,000 or null", "null")
    assert key("models", "expect.<name>.value")[0] == "number at least 0"
    assert key("models", "tune.ranges.<name>.low")[1] == "null"
    assert key("sources.csv", "fill.method")[:2] == ("linear or forward or seasonal", "")
    assert key("families.mlp", "units")[:2] == ("list of integer from 1 to 16,384", "[256, 64]")
    assert (
        key("families.cnn", "layers")[0] == "list of {conv, kernel} or {dropout} or {norm} or norm or pool or average"
    )


def test_inherited_keys_have_their_meaning():
    patch = "The number of rows of a window or an image that are concatenated to one step."
    assert key("families.lstm", "patch")[2] == patch
    assert (
        key("sources.csv", "lookback")[2]
        == "The number of rows that a model sees before the first one that it forecasts."
    )


def test_keys_are_looked_up_by_section_by_name_and_alone():
    assert shown("vertex.deploy") == {"vertex": ["deploy"]}
    assert shown("models.epochs") == {"models": ["epochs"]}
    assert shown("models.cnn.epochs") == {"models": ["epochs"]}
    assert shown("models.cnn.units") == {"families.cnn": ["units"]}
    assert shown("sources.csv.fill") == {"sources.csv": ["fill", "fill.method", "fill.at_most"]}
    assert list(shown("models.cnn")) == ["models", "families.cnn"]
    assert list(shown("cnn")) == ["families.cnn"]
    assert shown("checkpoint_seconds") == {"models": ["checkpoint_seconds"]}
    assert [one.name for one in explain("horizon")] == ["sources.csv", "sources.electricity"]


def test_names_of_a_config_are_looked_up_in_it(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "datasets: {sales: {source: csv}, odd: 3}\nmodels: {cnn: {family: mlp}, two: {family: lstm}}\n",
        encoding="utf-8",
    )
    assert list(shown(str(path), "datasets.sales")) == ["datasets", "sources.csv"]
    assert list(shown(str(path), "models.cnn")) == ["models", "families.mlp"]
    assert shown(str(path), "models.two.recurrent_dropout") == {"families.lstm": ["recurrent_dropout"]}
    for name in ("datasets.odd", "datasets.sale", "models.tow"):
        with pytest.raises(InputError, match=f"no '{name}'"):
            explain(str(path), name)
    path.write_text("datasets: [1]\nmodels: x\n", encoding="utf-8")
    assert list(shown(str(path), "models.mlp")) == ["models", "families.mlp"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("models.cn",), "no 'models.cn'; did you mean 'models.cnn'?"),
        (("mpl",), "no 'mpl'; did you mean 'mlp'?"),
        (("datasets.electricty",), "did you mean 'datasets.electricity'?"),
        (("models.epoch",), "did you mean 'models.epochs'?"),
        (("vertex.deplo",), "did you mean 'vertex.deploy'?"),
        (("sources.csv.pth",), "did you mean 'sources.csv.path'?"),
        (("zzz",), "no 'zzz'; there are: experiment, datasets, "),
        (("a", "b"), "expected [CONFIG] NAME"),
        (("none.yaml", "models"), "none.yaml: No such file"),
        (("configs/quick.yaml",), "expected [CONFIG] NAME"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(names, message):
    with pytest.raises(InputError) as refused:
        explain(*names)
    assert message in str(refused.value)


def test_attributes_are_read_from_a_docstring():
    doc = "One.\n\nAttributes:\n    a: First: of\n        two lines.\n    b_c: Last.\n\nRaises:\n    d: Not this.\n"
    assert attributes(doc) == {"a": "First: of two lines.", "b_c": "Last."}
    assert attributes("One.") == {}


def test_lines_fit_into_the_terminal():
    for width in (40, 110):
        shown = "\n".join([overview(width), *(text(section(name), width) for name in section_names())])
        assert max(map(len, shown.splitlines())) <= width + 20, "but for a long word"


def test_the_command_explains_and_shows_what_there_is():
    def command(*arguments):
        line = [sys.executable, "-m", "pipeline", "explain", *arguments]
        return subprocess.run(line, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)

    done = command("models.epochs")
    assert "  epochs: integer from 1 to 100,000; default 10\n" in done.stdout
    assert all(name in command().stdout for name in section_names())
    failed = command("models.epoch")
    assert (failed.returncode, failed.stderr) == (
        2,
        "error: explain: no 'models.epoch'; did you mean 'models.epochs'?\n",
    )
