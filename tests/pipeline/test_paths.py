"""Paths of data in a config."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from series_files import series_lines, write_series

from components.common.errors import InputError
from components.ingest.ingest import ingest
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CONFIG = """\
datasets:
  sales:
    {source: csv, path: PATH, time: time, target: load, covariates: [temp], known: [holiday],
     frequency: h, lookback: 4, horizon: 2}
models:
  mlp: {family: mlp, dataset: sales}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with data and configs beside each other, in which the command is started."""
    folder = tmp_path / "project"
    (folder / "configs").mkdir(parents=True)
    write_series(folder / "data.csv", series_lines(100))
    write_series(folder / "configs" / "beside.csv", series_lines(100))
    monkeypatch.chdir(folder)
    return folder


def config(folder, path):
    file = folder / "configs" / "mine.yaml"
    file.write_text(CONFIG.replace("PATH", json.dumps(path)), encoding="utf-8")
    return file


def told(file):
    """What the ingest task of the compiled pipeline is told."""
    path, _ = compile_experiment(load_experiment(file, []))
    tasks = yaml.safe_load(path.read_text(encoding="utf-8").split("\n---")[0])["root"]["dag"]["tasks"]
    return tasks["ingest-sales"]["inputs"]["parameters"]["spec"]["runtimeValue"]["constant"]


def test_a_path_is_relative_to_the_config(project, monkeypatch):
    file = config(project, "beside.csv")
    for folder, name in ((project, file), (project / "configs", Path("mine.yaml")), (Path("/"), file)):
        monkeypatch.chdir(folder)
        options = load_experiment(name, []).datasets["sales"].options
        assert options.path == str(project / "configs" / "beside.csv")


def test_dots_and_home_folders_are_resolved(project, monkeypatch):
    assert load_experiment(config(project, "../data.csv"), []).datasets["sales"].options.path == str(
        project / "data.csv"
    )
    monkeypatch.setenv("HOME", str(project))
    assert load_experiment(config(project, "~/data.csv"), []).datasets["sales"].options.path == str(
        project / "data.csv"
    )
    whole = str(project / "data.csv")
    assert load_experiment(config(project, whole), []).datasets["sales"].options.path == whole


BAD = {
    "in the working folder alone": (
        "data.csv",
        "there is no {0}/configs/data.csv, but {0}/data.csv; write ../data.csv",
    ),
    "nowhere": ("none.csv", "{0}/configs/none.csv: No such file or directory"),
    "nobody's home": ("~nobody-there/x.csv", "'~nobody-there/x.csv': expected a path: there is no home folder for ~"),
    "too long": ("x" * 300, "expected a path: File name too long"),
    "folder": (".", "{0}/configs: Is a directory"),
}


@pytest.mark.parametrize(("path", "message"), BAD.values(), ids=BAD.keys())
def test_a_path_that_is_not_there_is_shown_whole(project, path, message):
    with pytest.raises(InputError) as refused:
        load_experiment(config(project, path), [])
    assert message.format(project) in str(refused.value)


def test_a_copy_of_the_project_has_the_same_keys_in_the_cache(project, monkeypatch):
    first = told(config(project, "../data.csv"))
    other = project.parent / "copy"
    shutil.copytree(project, other)
    monkeypatch.chdir(other)
    assert told(other / "configs" / "mine.yaml") == first


@pytest.mark.parametrize("folder", [".", "..", "configs"])
def test_a_task_finds_the_data_from_the_folder_that_the_command_was_started_in(project, monkeypatch, folder):
    file = config(project, "../data.csv")
    monkeypatch.chdir(project / folder)
    spec = told(file)
    info = ingest("sales", spec, str(project / "ingested"))
    assert info.columns[:3] == ["load", "temp", "holiday"]
