"""Every machine that is offered, compiled for both targets and held against the documented limits."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import yaml
from kfp import compiler, dsl

from components.common.component import component
from pipeline.experiment import machines as table
from pipeline.experiment import offers
from pipeline.graph import task_machines

# cloud.google.com/vertex-ai/docs/pipelines/machine-types: "at most 96 CPUs", "up to 624 GB".
MOST_CPUS, MOST_MEMORY_GB = 96, 624


def every_machine():
    found = {}
    for kind, offer in offers.offered().items():
        for topology in offer.topologies:
            if math.prod(map(int, topology.split("x"))) <= offer.chips:
                found[f"{kind}-{topology}"] = {"machine_type": kind, "tpu_topology": topology}
        gpu_always = kind.split("-")[0] in ("a2", "a3", "a4", "g2", "g4")
        if not offer.topologies and not gpu_always:
            found[kind] = {"machine_type": kind}
        for name, counts in offer.accelerators.items():
            for count in counts:
                if name not in offers.retired():
                    found[f"{kind}-{count}-{name}"] = {"machine_type": kind, "accelerator": name, "count": count}
    return found


@component
def work(number: str) -> None:
    print(number)


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """A table with every machine that is offered."""
    path = tmp_path / "machines.yaml"
    path.write_text(yaml.safe_dump(every_machine()), encoding="utf-8")
    monkeypatch.setattr(table, "FILE", path)
    table.machines.cache_clear()
    yield table.machines()
    table.machines.cache_clear()


def resources(machines, target, folder):
    """What each machine's task asks for in the compiled file, by the machine's name; and what is launched."""
    names, path = list(machines), folder / "pipeline.yaml"
    placements = {name: task_machines.placement(name, target) for name in names}

    def compile_all():
        @dsl.pipeline(name="every-machine")
        def pipeline() -> None:
            for number, name in enumerate(names):
                task = work(number=str(number))
                task_machines.request_machine(task, name, target, launches=bool(placements[name].pools))

        compiler.Compiler().compile(pipeline, str(path))

    # KFP reads the source of every caller on the stack for each limit. A thread's stack is short.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(compile_all).result()
    document = next(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
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
    large = ("a2-highgpu-8g", "a2-megagpu-16g", "a2-ultragpu-4g", "a3-highgpu-4g", "a3-megagpu-8g", "n2-highmem-80")
    for kind in large:
        assert any(name.startswith(kind) for name in jobs), kind
    assert "n1-highmem-96-4-NVIDIA_TESLA_T4" not in jobs, "624 GB are just not too much"


def test_every_machine_compiles_for_kubeflow(machines, tmp_path):
    asked, placements = resources(machines, "kubeflow", tmp_path)
    assert not any(placement.pools for placement in placements.values())
    for name, limits in asked.items():
        machine = machines[name]
        offer = offers.offered()[machine.machine_type]
        if machine.accelerator or machine.tpu_topology:
            assert int(limits["accelerator"]["count"]) == machine.replicas, name
            continue
        assert 0 < limits["cpuRequest"] < offer.cpus, name
        assert 0 < limits["memoryRequest"] < offer.memory_gb, name


def test_every_row_says_where_and_when_it_was_read():
    for name, offer in offers.offered().items():
        assert offer.page.startswith("cloud.google.com/"), name
        assert offer.read.year >= 2026, name
    assert all(isinstance(day, date) and page for day, page in offers.retired().values())


def test_the_accelerators_are_those_of_googles_api():
    """The enumeration AcceleratorType of Google's published protos knows each of them."""
    from google.cloud.aiplatform_v1.types import AcceleratorType

    named = {name for offer in offers.offered().values() for name in offer.accelerators} | set(offers.retired())
    assert named <= set(AcceleratorType.__members__)
    # What the API knows and training isn't offered with: GB200 is for clusters with ARM processors.
    gpus = {name for name in AcceleratorType.__members__ if name.startswith("NVIDIA")}
    assert gpus - named == {"NVIDIA_GB200"}


def test_the_command_prints_machines_limits_and_prices():
    ask = [sys.executable, "-m", "pipeline", "machines"]
    done = subprocess.run(ask, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert "8 NVIDIA_H100_80GB" in rows["gpu-h100"] and " job " in rows["gpu-h100"]
    assert " task " in rows["gpu-l4"] and "0.98" in rows["gpu-l4"]
    assert "96 vCPUs and 624 GB" in done.stdout
    assert "read 2026-" in done.stdout
    done = subprocess.run([*ask, "--offered"], capture_output=True, text=True)
    names = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert set(offers.offered()) <= names
    assert "NVIDIA_TESLA_P100: not offered since 2026-09-15" in done.stdout
