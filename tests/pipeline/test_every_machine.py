"""Every machine that is offered, compiled for both targets and held against the documented limits."""

import pytest
import yaml
from kfp import compiler, dsl

from components.base import component
from pipeline import machines as table

# cloud.google.com/vertex-ai/docs/pipelines/machine-types: "at most 96 CPUs", "up to 624 GB".
MOST_CPUS, MOST_MEMORY_GB = 96, 624


def every_machine():
    found = {}
    for kind, (_, _, *rest) in table.offered().items():
        accelerators = rest[0] if rest else {}
        if isinstance(accelerators, str):
            found[kind] = {"machine_type": kind, "tpu_topology": accelerators}
            continue
        if not (accelerators and kind.split("-")[0] in ("a2", "a3", "g2")):
            found[kind] = {"machine_type": kind}
        for name, counts in accelerators.items():
            for count in counts:
                machine = {"machine_type": kind, "accelerator": name, "count": count}
                found[f"{kind}-{count}-{name}"] = machine
    return found


@component
def work(number: str) -> None:
    print(number)


@pytest.fixture
def machines(tmp_path, monkeypatch):
    path = tmp_path / "machines.yaml"
    path.write_text(yaml.safe_dump(every_machine()), encoding="utf-8")
    monkeypatch.setattr(table, "FILE", path)
    table.machines.cache_clear()
    yield table.machines()
    table.machines.cache_clear()


def resources(machines, target, folder):
    """What each machine's task asks for in the compiled file, by the machine's name; and what is launched."""
    names = list(machines)
    placements = {name: table.placement(name, target) for name in names}

    @dsl.pipeline(name="every-machine")
    def pipeline() -> None:
        for number, name in enumerate(names):
            task = work(number=str(number))
            table.place(task, name, target, launches=bool(placements[name].pools))

    compiler.Compiler().compile(pipeline, str(folder / "pipeline.yaml"))
    document = next(yaml.safe_load_all((folder / "pipeline.yaml").read_text(encoding="utf-8")))
    asked = {}
    for task in document["root"]["dag"]["tasks"].values():
        name = names[int(task["inputs"]["parameters"]["number"]["runtimeValue"]["constant"])]
        label = document["components"][task["componentRef"]["name"]]["executorLabel"]
        asked[name] = document["deploymentSpec"]["executors"][label]["container"].get("resources", {})
    return asked, placements


def test_a_task_of_vertex_asks_for_no_more_than_it_can_have(machines, tmp_path):
    asked, placements = resources(machines, "vertex", tmp_path)
    assert len(asked) == len(machines)
    jobs = {name for name, placement in placements.items() if placement.pools}
    for name, limits in asked.items():
        if name in jobs:
            assert not limits, "the task only launches a job"
            assert placements[name].pools[0].machine["machine_type"] == machines[name].machine_type
        else:
            assert limits["cpuLimit"] <= MOST_CPUS, name
            assert limits["memoryLimit"] <= MOST_MEMORY_GB, name
    for kind in ("a2-highgpu-8g", "a2-megagpu-16g", "a2-ultragpu-4g", "a3-highgpu-4g", "a3-megagpu-8g"):
        assert any(name.startswith(kind) for name in jobs), kind
    assert "n1-highmem-96-4-NVIDIA_TESLA_T4" not in jobs, "624 GB are just not too much"


def test_every_machine_compiles_for_kubeflow(machines, tmp_path):
    asked, placements = resources(machines, "kubeflow", tmp_path)
    assert not any(placement.pools for placement in placements.values())
    for name, limits in asked.items():
        machine = machines[name]
        cpus, memory, *_ = table.offered()[machine.machine_type]
        if machine.accelerator or machine.tpu_topology:
            assert int(limits["accelerator"]["count"]) == machine.replicas, name
            continue
        assert 0 < limits["cpuRequest"] < cpus, name
        assert 0 < limits["memoryRequest"] < memory, name
