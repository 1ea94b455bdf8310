"""Which files are taken for a config, and how their YAML is read."""

import os

import pytest
import yaml
from small_experiment import GOOD, assert_refused, write

from components.common.errors import InputError
from pipeline.experiment.config_file import override, read_config
from pipeline.experiment.experiment import load_experiment

NOT_YAML = {
    "unended list": ("models: [1\nseed: 2\n", ":2: "),
    "tab": ("models:\n\tmlp: 1\n", ":2: a tab, expected spaces"),
    "key given twice": ("seed: 1\nmodels: {}\nseed: 2\n", "the key 'seed' is there twice"),
    "inner key given twice": ("models:\n  mlp: {epochs: 1, epochs: 2}\n", ":2: the key 'epochs' is there twice"),
    "unknown alias": ("models: *mine\n", ":1: "),
    "object": ("models: !!python/object:os.system x\n", ":1: "),
    "key that is a list": ("[1]: 2\n", ":1: "),
    "two documents": ("seed: 1\n---\nseed: 2\n", ":2: "),
    "control character": ("seed: \x01\n", "not YAML"),
    "no such day": ("seed: 2020-13-45\n", "seed: '2020-13-45': expected an integer"),
    "empty": ("", ": empty, expected the keys datasets and models"),
    "list": ("- 1\n", "[1]"),
    "a hundred million values of aliases": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)),
        ":5: more than 20,000 values, with those that aliases stand for",
    ),
    "aliases that are merged": (
        "a0: &a0 {k0: 1, l0: 1}\n"
        + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}\n" for i in range(1, 8)),
        "more than 20,000 values",
    ),
    "alias of itself": ("models: &a [*a]\n", "the alias *a is a part of what it stands for"),
    "5,000 levels": (f"models: {'[' * 5000}{']' * 5000}\n", ":1: more than 50 levels"),
    "260,000 keys": ("".join(f"{i:x}: \n" for i in range(130_000)), "more than 20,000 values"),
    "more than is read": ("x: " + "y" * 1_000_000, "at most 1,000,000 bytes"),
    "NUL": ('models: "\\0"\n', ":1: a character that text can't hold"),
    "half a character": ('models: "\\ud83d"\n', ":1: a character that text can't hold"),
    "integer of 5,000 digits": (f"seed: {'9' * 5000}\n", "not YAML"),
    "text": ("hello\n", "'hello'"),
}


def test_all_keys_given_twice_are_named_at_once(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("seed: 1\nmodels: {mlp: {epochs: 1, epochs: 2}}\nseed: 2\n")
    with pytest.raises(InputError) as refused:
        read_config(path)
    places = [(2, "epochs"), (3, "seed")]
    assert refused.value.problems == tuple(f"{path}:{line}: the key '{key}' is there twice" for line, key in places)
    with pytest.raises(InputError, match="the key 'a' is there twice"):
        override({"seed": 1}, ["seed={a: 1, a: 2}"])


@pytest.mark.parametrize(("content", "part"), NOT_YAML.values(), ids=NOT_YAML.keys())
def test_what_is_not_yaml_of_an_experiment_is_refused(tmp_path, content, part):
    path = write(tmp_path, content)
    assert assert_refused(path, [part]).startswith(str(path))


@pytest.mark.parametrize("name", ["data.csv", "mnist", "photo.png"])
def test_what_is_no_config_is_not_read(tmp_path, name):
    path = write(tmp_path, "time,load\n2020-01-01,1\n", name)
    assert assert_refused(path, ["not a config", ".yaml"]).startswith(f"{path}: ")


def test_a_file_that_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert_refused(tmp_path / "pipe.yaml", ["not a regular file"])
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    assert_refused(tmp_path / "zero.yaml", ["not a regular file"])


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    assert_refused(tmp_path / "none.yaml", [str(tmp_path / "none.yaml"), "No such file", "expected a config such as"])
    assert_refused(tmp_path, [str(tmp_path), "Is a directory"])
    path = write(tmp_path)
    path.write_bytes(b"seed: \xe9\n")
    assert_refused(path, [str(path), "not UTF-8"])
    assert_refused(tmp_path / "a\0.yaml", ["not a path"])


VALUES = {
    "1e-3": 0.001,
    "1E3": 1000.0,
    "-.5": -0.5,
    "12e03": 12000.0,
    "7": 7,
    "010": 10,
    "0o17": 15,
    "0x1F": 31,
    ".inf": float("inf"),
    "True": True,
    "~": None,
    "yes": "yes",
    "NO": "NO",
    "on": "on",
    "1:30": "1:30",
    "1_000": "1_000",
    "2020-01-31": "2020-01-31",
    "'1e-3'": "1e-3",
    "1e": "1e",
}


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=VALUES)
def test_values_are_those_of_yaml_1_2(tmp_path, text, value):
    content = read_config(write(tmp_path, f"a: {text}\n"))
    override(content, [f"b={text}"])
    assert [(type(one), one) for one in content.values()] == [(type(value), value)] * 2


def test_a_number_with_an_exponent_is_a_number(tmp_path):
    text = yaml.safe_dump(GOOD, sort_keys=False) + "  gru: {family: lstm, dataset: demand, learning_rate: 1e-3}\n"
    experiment = load_experiment(write(tmp_path, text), ["models.mlp.learning_rate=3e-4"])
    assert [experiment.models[name].learning_rate for name in ("gru", "mlp")] == [1e-3, 3e-4]


def test_yaml_anchors_and_merges_share_settings(tmp_path):
    shared = "datasets: {f: {source: fashion_mnist}}\nmodels:\n  a: &a {family: mlp, dataset: f, epochs: 2}\n"
    assert load_experiment(write(tmp_path, shared + "  b: *a\n"), []).models["b"].epochs == 2
    merged = load_experiment(write(tmp_path, shared + "  b: {<<: *a, epochs: 3, batch_size: 5}\n"), []).models
    assert (merged["a"].epochs, merged["b"].epochs, merged["b"].batch_size) == (2, 3, 5)
