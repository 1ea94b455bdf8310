"""Machines of Vertex AI, their accelerators and their quotas.

After Google's page "Configure compute resources for custom training", written apart from the table that the
project itself has: each can show a mistake in the other.
"""

import re
from typing import Any

from errors import Found
from google.cloud.aiplatform_v1 import types

_POWERS = (1, 2, 4, 8)
# Counts that a task of a pipeline may ask for.
GPUS: dict[str, tuple[int, ...]] = {
    "NVIDIA_TESLA_K80": _POWERS,
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_V100": _POWERS,
    "NVIDIA_L4": _POWERS,
    "NVIDIA_TESLA_A100": (*_POWERS, 16),
    "NVIDIA_A100_80GB": _POWERS,
    "NVIDIA_H100_80GB": _POWERS,
    "NVIDIA_H100_MEGA_80GB": (8,),
    "NVIDIA_H200_141GB": (8,),
    "NVIDIA_B200": (8,),
    "NVIDIA_RTX_PRO_6000": _POWERS,
}
_CPU_ONLY = re.compile(
    r"(e2-(standard|highmem)-(2|4|8|16)|e2-standard-32|e2-highcpu-(2|4|8|16|32)|"
    r"n2-(standard|highmem)-(2|4|8|16|32|48|64|80)|n2-highcpu-(2|4|8|16|32|48|64|80)|"
    r"n4-(standard|highmem|highcpu)-(2|4|8|16|32|48|64|80)|m1-megamem-96|m1-ultramem-(40|80|160)|"
    r"n2d-standard-(2|4|8|16|32|48|64|80|96|128|224)|c2-standard-(4|8|16|30|60)|c2d-standard-(2|4|8|16|32|56|112))"
)
_N1 = re.compile(r"n1-(standard|highmem|highcpu)-(4|8|16|32|64|96)")
# Smallest counts that an n1 machine of so many vCPUs can have.
_LEAST = {4: {}, 8: {}, 16: {"V100": 2}, 32: {"V100": 4, "": 2}, 64: {"V100": 8, "": 4}, 96: {"V100": 8, "": 4}}
_G2 = {4: 1, 8: 1, 12: 1, 16: 1, 24: 2, 32: 1, 48: 4, 96: 8}
_FIXED = {
    **{f"a2-highgpu-{n}g": ("NVIDIA_TESLA_A100", n) for n in _POWERS},
    "a2-megagpu-16g": ("NVIDIA_TESLA_A100", 16),
    **{f"a2-ultragpu-{n}g": ("NVIDIA_A100_80GB", n) for n in _POWERS},
    **{f"a3-highgpu-{n}g": ("NVIDIA_H100_80GB", n) for n in _POWERS},
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
    "a4-highgpu-8g": ("NVIDIA_B200", 8),
    **{f"g2-standard-{cpus}": ("NVIDIA_L4", n) for cpus, n in _G2.items()},
    **{f"g4-standard-{48 * n}": ("NVIDIA_RTX_PRO_6000", n) for n in _POWERS},
}
_TPUS = {
    "ct5lp-hightpu-1t": ("1x1",),
    "ct5lp-hightpu-4t": ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    "ct5lp-hightpu-8t": ("2x4",),
}


def accelerator_name(value: int) -> str:
    """Name of a number of the enumeration AcceleratorType; empty where none is set."""
    return types.AcceleratorType(value).name if value else ""


def is_tpu(machine_type: str) -> bool:
    """Whether it's a machine with a TPU."""
    return machine_type in _TPUS


# Smaller ones serve models, and don't train them: MachineSpec's default for a deployed model is the first.
_SERVING = ("n1-standard-2", "n1-highmem-2", "n1-highcpu-2", "e2-standard-2")


def check_serving(found: Found, spec: Any, field: str) -> None:
    """Hold a machine that serves a model against what Vertex AI offers."""
    if spec.machine_type in _SERVING and not spec.accelerator_type:
        return
    check(found, spec, field)


def check(found: Found, spec: Any, field: str) -> None:
    """Hold a MachineSpec against what is offered."""
    kind, count = spec.machine_type, spec.accelerator_count
    name = accelerator_name(spec.accelerator_type)
    if not found.need(kind, f"{field}.machine_type", "is missing"):
        return
    if bool(name) != bool(count):
        found.add(f"{field}.accelerator_count", f"{count} of '{name}': type and count go together")
        return
    if kind in _TPUS:
        topologies = _TPUS[kind]
        found.need(not name, f"{field}.accelerator_type", f"{name} can't be attached to {kind}, which has a TPU")
        found.need(
            spec.tpu_topology in topologies,
            f"{field}.tpu_topology",
            f"'{spec.tpu_topology}' is not supported by {kind}, expected one of {', '.join(topologies)}",
        )
        return
    found.need(not spec.tpu_topology, f"{field}.tpu_topology", f"'{spec.tpu_topology}': {kind} has no TPU")
    if match := _N1.fullmatch(kind):
        if name:
            found.need(
                count in _offered(name, int(match[2])),
                f"{field}.accelerator_count",
                f"Accelerator type {name} with count {count} is not supported for machine type {kind}",
            )
    elif kind in _FIXED:
        found.need(
            (name, count) == _FIXED[kind],
            f"{field}.accelerator_type",
            f"{count} of '{name}' is not supported for machine type {kind}, expected {_FIXED[kind][1]} of "
            f"{_FIXED[kind][0]}",
        )
    elif found.need(_CPU_ONLY.fullmatch(kind), f"{field}.machine_type", f'Machine type "{kind}" is not supported'):
        found.need(not name, f"{field}.accelerator_type", f"{name} is not supported for machine type {kind}")


def _offered(name: str, cpus: int) -> list[int]:
    """Counts of a GPU that an n1 machine can have."""
    if name not in ("NVIDIA_TESLA_T4", "NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100"):
        return []
    least = _LEAST[cpus]
    smallest = least.get(name.removeprefix("NVIDIA_TESLA_"), least.get("", 1))
    return [count for count in GPUS[name] if count >= smallest]


def metric(accelerator: str, spot: bool = False) -> str:
    """The quota that a GPU counts against, without its service."""
    short = accelerator.lower().removeprefix("nvidia_").removeprefix("tesla_")
    short = {"h100_80gb": "h100", "h100_mega_80gb": "h100_mega", "h200_141gb": "h200"}.get(short, short)
    return f"custom_model_training_{'preemptible_' if spot else ''}nvidia_{short}_gpus"


def tpu_metric(spot: bool = False) -> str:
    """The quota that chips of a TPU v5e count against."""
    return f"custom_model_training_{'preemptible_' if spot else ''}tpu_v5e"


def uses(spec: Any, replicas: int, spot: bool) -> dict[str, int]:
    """What a worker pool needs of each quota."""
    if spec.tpu_topology:
        rows, columns = (int(part) for part in spec.tpu_topology.split("x"))
        return {tpu_metric(spot): rows * columns * replicas}
    if not spec.accelerator_type:
        return {}
    return {metric(accelerator_name(spec.accelerator_type), spot): spec.accelerator_count * replicas}
