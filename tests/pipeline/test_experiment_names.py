"""The names of an experiment's file, its data sets and models."""

import copy

import pytest
from small_experiment import GOOD, assert_refused, write

from pipeline.experiment.experiment import load_experiment


@pytest.mark.parametrize("name", ["Small.yaml", "1.yaml", "my file.yaml", "a--b.yaml", "a_.yaml", "a.b.yaml", "ä.yaml"])
def test_a_bad_file_name_is_refused(tmp_path, name):
    assert assert_refused(write(tmp_path, name=name), ["a file's name"]).startswith(str(tmp_path / name))


@pytest.mark.parametrize("name", ["registry", "latest", "a" * 64, "a" * 240])
def test_a_name_that_has_another_use_or_is_too_long_is_refused(tmp_path, name):
    assert len(assert_refused(write(tmp_path, name=f"{name}.yaml"), ["a file's name is its experiment's"])) < 500


@pytest.mark.parametrize("kind", ["datasets", "models"])
@pytest.mark.parametrize("length", [51, 5000])
def test_a_long_name_of_a_data_set_or_model_is_refused(tmp_path, kind, length):
    content = copy.deepcopy(GOOD)
    content[kind]["a" * length] = dict(next(iter(content[kind].values())))
    assert len(assert_refused(write(tmp_path, content), ["letters, expected at most 50"])) < 300


@pytest.mark.parametrize("name", ["a.yaml", "a-b_c3.yaml", "quick.yml"])
def test_a_good_file_name_is_the_experiments(tmp_path, name):
    assert load_experiment(write(tmp_path, name=name), []).name == name.partition(".")[0]


@pytest.mark.parametrize("name", ["Mlp", "my-mlp", "my mlp", "my__mlp", "_mlp", "mlp_", "1mlp", "", "../mlp"])
@pytest.mark.parametrize("kind", ["datasets", "models"])
def test_a_bad_name_of_a_data_set_or_model_is_refused(tmp_path, kind, name):
    content = copy.deepcopy(GOOD)
    content[kind][name] = dict(next(iter(content[kind].values())))
    folder = tmp_path / ("a folder " * 20)
    folder.mkdir()
    path = write(folder, content)
    assert assert_refused(path, [f"{kind}.{name}: expected small letters"]).startswith(f"{path}: ")
