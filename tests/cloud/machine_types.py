"""Machines of Vertex AI, their accelerators and their quotas, as far as tests ask for them.

After Google's page "Configure compute resources for custom training", written apart from the table that the
project itself has: each can show a mistake in the other.
"""

import re
from typing import Any

from errors import Found
from google.cloud.aiplatform_v1 import types

_POWERS = (1, 2, 4, 8)
# Counts that a task of a pipeline may ask for.
GPUS = {"NVIDIA_TESLA_T4": (1, 2, 4), "NVIDIA_L4": _POWERS, "NVIDIA_TESLA_A100": (*_POWERS, 16)}
_CPU_ONLY = re.compile(r"e2-(standard|highmem)-(2|4|8|16)|e2-standard-32")
_N1 = re.compile(r"n1-(standard|highmem|highcpu)-(4|8|16|32|64|96)")
# Counts of a T4 that an n1 machine of so many vCPUs can have, where it isn't any of them.
_T4 = {"32": (2, 4), "64": (4,), "96": (4,)}
_FIXED = {
    **{f"a2-highgpu-{n}g": ("NVIDIA_TESLA_A100", n) for n in _POWERS},
    **{f"g2-standard-{cpus}": ("NVIDIA_L4", n) for cpus, n in ((4, 1), (8, 1), (12, 1), (24, 2), (48, 4), (96, 8))},
}
_TPUS = {"ct5lp-hightpu-1t": ("1x1",), "ct5lp-hightpu-4t": ("2x2", "2x4", "4x4"), "ct5lp-hightpu-8t": ("2x4",)}
# Smaller ones serve models, and don't train them.
_SERVING = ("n1-standard-2", "n1-highmem-2", "n1-highcpu-2", "e2-standard-2")


def is_tpu(machine_type: str) -> bool:
    """Whether it's a machine with a TPU."""
    return machine_type in _TPUS


def check(found: Found, spec: Any, field: str, serves: bool = False) -> None:
    """Hold a MachineSpec against what is offered, for a training or for a model that is served."""
    kind, count = spec.machine_type, spec.accelerator_count
    name = types.AcceleratorType(spec.accelerator_type).name if spec.accelerator_type else ""
    if serves and kind in _SERVING and not name:
        return
    topologies = _TPUS.get(kind, ("",))
    right = spec.tpu_topology in topologies
    found.need(right, f"{field}.tpu_topology", f"'{spec.tpu_topology}' is not supported by {kind}: {topologies}")
    counts: tuple[int, ...] = (0,)
    if match := _N1.fullmatch(kind):
        counts = (0,) if not name else _T4.get(match[2], GPUS[name]) if name == "NVIDIA_TESLA_T4" else ()
    elif kind in _FIXED:
        counts = (_FIXED[kind][1],) if name == _FIXED[kind][0] else ()
    elif kind not in _TPUS:
        known = _CPU_ONLY.fullmatch(kind)
        found.need(known, f"{field}.machine_type", f'Machine type "{kind}" is not supported')
    fits = count in counts and bool(name) == bool(count)
    said = f"Accelerator type {name} with count {count} is not supported for machine type {kind}"
    found.need(fits, f"{field}.accelerator_count", said)


def metric(accelerator: str, spot: bool = False) -> str:
    """The quota that a GPU counts against, without its service."""
    short = accelerator.lower().removeprefix("nvidia_").removeprefix("tesla_")
    return f"custom_model_training_{'preemptible_' if spot else ''}nvidia_{short}_gpus"


def uses(spec: Any, replicas: int, spot: bool) -> dict[str, int]:
    """What a worker pool needs of each quota of GPUs."""
    if not spec.accelerator_type:
        return {}
    return {metric(types.AcceleratorType(spec.accelerator_type).name, spot): spec.accelerator_count * replicas}
