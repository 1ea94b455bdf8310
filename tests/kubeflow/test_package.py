"""The test server is no rubber stamp: it refuses packages and parameters that a cluster couldn't run."""

import sys
from pathlib import Path

import pytest
import yaml

from pipeline.experiment.experiment import load_experiment
from pipeline.graph.compile import compile_experiment

CONFIG = """\
datasets:
  demand: {source: electricity, use: 0.1, lookback: 96, horizon: 12}
models:
  lstm: {family: lstm, dataset: demand, machine: gpu-t4, hyperparameters: {units: 8}}
"""


@pytest.fixture(scope="module")
def package():
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import package
    finally:
        sys.path.pop(0)
    return package


@pytest.fixture
def compiled(tmp_path):
    path = tmp_path / "kf_small.yaml"
    path.write_text(CONFIG)

    def compile_for(target):
        return compile_experiment(load_experiment(path, []), tmp_path, target)[0].read_text()

    return compile_for


def test_what_is_compiled_for_kubeflow_is_taken_and_for_vertex_refused(package, compiled):
    spec = package.read(compiled("kubeflow").encode())
    package.check_parameters(spec, {"registry": "x"})
    with pytest.raises(package.PackageError, match="registry is 5, expected STRING"):
        package.check_parameters(spec, {"registry": 5})
    with pytest.raises(package.PackageError, match="other is not defined"):
        package.check_parameters(spec, {"other": "x"})
    del spec["root"]["inputDefinitions"]["parameters"]["registry"]["defaultValue"]
    del spec["root"]["inputDefinitions"]["parameters"]["registry"]["isOptional"]
    with pytest.raises(package.PackageError, match="registry is missing"):
        package.check_parameters(spec, {})
    with pytest.raises(package.PackageError, match="no resource of Kubernetes"):
        package.read(compiled("vertex").encode())


def test_what_does_not_fit_together_is_refused(package, compiled):
    text = compiled("kubeflow")
    for old, new, said in (
        ("resourceType: nvidia.com/gpu", "resourceType: NVIDIA_TESLA_T4", "no resource of Kubernetes"),
        ("schemaVersion: 2.1.0\nsdk", "schemaVersion: 2.0.0\nsdk", "expected 2.1.0"),
        ("executorLabel: exec-train-lstm", "executorLabel: exec-other", "no executor exec-other"),
        ("name: comp-train-lstm", "name: comp-other", "no component comp-other"),
        ("  name: kf-small", "  name: KF_small", "is no name"),
        ("        taskInfo:\n          name: train-lstm", "        taskInfo:\n          name: train", "taskInfo"),
        ("producerTask: ingest-demand", "producerTask: compare", "doesn't depend on"),
        ("constant: lstm", "constant: 5.0", "expected STRING"),
        ("  comp-compare:", "  comp-train-lstm:", "comes twice"),
        ("nodeSelector:", "nodeSelectors:", "platform of exec-train-lstm"),
        ("---\n", "---\n---\n", "documents"),
    ):
        assert old in text
        with pytest.raises(package.PackageError, match=said):
            package.read(text.replace(old, new).encode())


def test_a_parameter_that_another_task_gives_is_looked_for(package, tmp_path):
    path = tmp_path / "tuned.yaml"
    content = yaml.safe_load(CONFIG)
    content["models"]["lstm"]["tune"] = {"trials": 2, "ranges": {"batch_size": {"values": [16, 32]}}}
    path.write_text(yaml.safe_dump(content))
    text = compile_experiment(load_experiment(path, []), tmp_path, "kubeflow")[0].read_text()
    package.read(text.encode())
    for wrong, reason in (("outputParameterKey: tune_", "doesn't give it"), ("producerTask: train-lstm", "depend on")):
        key = wrong.split(":")[0]
        start = text.index("taskOutputParameter:")
        place = text.index(f"{key}:", start)
        broken = text[:place] + wrong + text[text.index("\n", place) :]
        with pytest.raises(package.PackageError, match=reason):
            package.read(broken.encode())
