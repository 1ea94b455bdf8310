"""Components that take the outputs of any number of tasks, as KFP's compiler and executor take them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from compiled import command
from kfp import compiler, dsl

from components.common.component import component
from components.common.gather import gathering, inputs_of

FOLDERS = {"datasets": ["one", "two"], "models": ["a", "b", "lost"]}


@component
def joined(word: str, result: dsl.OutputPath(str), datasets: dict, models: dict) -> None:
    import json
    from pathlib import Path

    Path(result).write_text(json.dumps([word, datasets, models]), encoding="utf-8")


def test_each_folder_gets_to_its_own_name_and_a_failed_tasks_is_none(tmp_path):
    artifacts = {
        name: {"artifacts": [{"name": name, "uri": f"/{name}", "type": {"schemaTitle": f"system.{kind}"}}]}
        for name, kind in (
            ("dataset_one", "Dataset"),
            ("dataset_two", "Dataset"),
            ("model_a", "Model"),
            ("model_b", "Model"),
        )
    }
    given = {
        "parameterValues": {"word": "said"},
        "artifacts": artifacts,
        "outputs": {"parameters": {"result": {"outputFile": str(tmp_path / "result")}}},
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    made = command(gathering(joined, inputs_of(FOLDERS)), given, tmp_path)
    subprocess.run(made, env={**os.environ, "PATH": path}, check=True, capture_output=True)
    assert json.loads((tmp_path / "result").read_text()) == [
        "said",
        {"one": "/dataset_one", "two": "/dataset_two"},
        {"a": "/model_a", "b": "/model_b", "lost": None},
    ]


def test_a_pipeline_connects_some_of_its_inputs(tmp_path):
    @component
    def give(model: dsl.Output[dsl.Model]) -> None:
        pass

    @dsl.pipeline(name="some")
    def some():
        gathering(joined, inputs_of(FOLDERS))(word="said", model_b=give().outputs["model"])

    compiler.Compiler().compile(some, str(tmp_path / "some.yaml"))
    tasks = yaml.safe_load((tmp_path / "some.yaml").read_text())["root"]["dag"]["tasks"]
    assert list(tasks["joined"]["inputs"]["artifacts"]) == ["model_b"]
    assert tasks["joined"]["dependentTasks"] == ["give"]
