"""Experiments that come with the project, and the pipeline that one compiles to."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_experiment import SHIPPED, write

from components.common.errors import InputError
from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_load(path):
    experiment = load_experiment(path, [])
    assert experiment.name == path.stem
    assert experiment.models.keys() == {spec.family for spec in experiment.models.values()}


def test_there_are_shipped_experiments():
    assert {"quick", "families"} <= {path.stem for path in SHIPPED}


def test_compiling_is_reproducible_and_leaves_one_file(tmp_path):
    experiment = load_experiment(write(tmp_path), [])
    path, digest = compile_experiment(experiment, tmp_path / "build")
    assert (path, digest) == compile_experiment(experiment, tmp_path / "build")
    assert list((tmp_path / "build").iterdir()) == [path]
    assert path.name == "small.yaml"
    other = load_experiment(write(tmp_path), ["seed=4"])
    assert compile_experiment(other, tmp_path / "build")[1] != digest


def test_a_link_to_nothing_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "build").symlink_to("nowhere")
    with pytest.raises(InputError, match="build: is a link to what isn't there; expected a folder"):
        compile_experiment(load_experiment(write(tmp_path), []), tmp_path / "build")


def test_a_file_that_the_disk_has_no_room_for_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment(write(tmp_path), [])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(InputError, match=r"^build/small.yaml: can't be written: File too large$"):
            compile_experiment(experiment, tmp_path / "build")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "build").iterdir()) == []


def test_a_compiled_pipeline_has_a_task_for_each_step(tmp_path):
    path, _ = compile_experiment(load_experiment(write(tmp_path), []), tmp_path)
    tasks = yaml.safe_load(path.read_text().split("\n---")[0])["root"]["dag"]["tasks"]
    expected = {f"{step}-{of}" for step in ("ingest", "baseline") for of in ("fashion", "demand")}
    expected |= {f"{step}-{of}" for step in ("train", "evaluate", "export") for of in ("mlp", "lstm")}
    assert expected < tasks.keys()
    assert tasks.keys() - expected == {"compare", "register", "report"}


def test_the_report_is_told_the_graph_that_was_compiled(tmp_path):
    path, _ = compile_experiment(load_experiment(write(tmp_path), ["seed=4"]), tmp_path)
    tasks = yaml.safe_load(path.read_text().split("\n---")[0])["root"]["dag"]["tasks"]
    about = json.loads(tasks["report"]["inputs"]["parameters"]["about"]["runtimeValue"]["constant"])
    assert {name: sorted(needs) for name, needs in about["tasks"].items()} == {
        name: sorted(task.get("dependentTasks", [])) for name, task in tasks.items()
    }
    seen = set()
    for name, needs in about["tasks"].items():
        assert seen.issuperset(needs)
        seen.add(name)
    assert about["command"] == f"python -m pipeline run {tmp_path / 'small.yaml'} --set seed=4"


def test_the_report_has_the_command_for_the_folder_that_it_was_started_in(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    assert load_experiment(path, []).command == "keras-pipeline run small.yaml", "without this machine's folders"
    monkeypatch.chdir(tmp_path / "inner")
    assert load_experiment(Path("../small.yaml"), []).command == "keras-pipeline run ../small.yaml"
    shipped = ROOT / "configs" / "quick.yaml"
    assert load_experiment(shipped, []).command == f"keras-pipeline run {shipped}"
    monkeypatch.chdir(ROOT)
    assert load_experiment(shipped, []).command == "python -m pipeline run configs/quick.yaml"


def test_loading_and_compiling_does_not_import_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.experiment.experiment import load_experiment\n"
        "from pipeline.graph.compile import compile_experiment\n"
        "compile_experiment(load_experiment(Path(sys.argv[1]), []), Path(sys.argv[2]))\n"
        "print([name for name in ('tensorflow', 'keras', 'torch', 'jax') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, str(write(tmp_path)), str(tmp_path / "build")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert (tmp_path / "build" / "small.yaml").is_file()
