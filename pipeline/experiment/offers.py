"""What Google offers for custom training: offered.yaml, whose rows say where and when they were read."""

import functools
import math
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("offered.yaml")


@dataclass(frozen=True)
class Offer:
    """A machine type that Google offers, a row of offered.yaml.

    Attributes:
        cpus: vCPUs.
        memory_gb: Memory, GB.
        accelerators: For each GPU the counts that the machine can have.
        topologies: Of a TPU machine, how its chips are laid out; beyond one host, of several such machines.
        page: Google's page that says so.
        read: The day of that reading.
    """

    cpus: int
    memory_gb: float
    accelerators: dict[str, list[int]] = field(default_factory=dict)
    topologies: list[str] = field(default_factory=list)
    page: str = ""
    read: date = date.min

    @property
    def chips(self) -> int:
        """TPU chips of one machine: those of its smallest topology."""
        return min((math.prod(map(int, topology.split("x"))) for topology in self.topologies), default=0)


@functools.cache
def _groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(FILE.read_text(encoding="utf-8")))


@functools.cache
def offered() -> dict[str, Offer]:
    """The machine types that Google offers, by name."""
    found = {}
    for group in _groups():
        for name, (cpus, memory, *rest) in group.get("machines", {}).items():
            kind = "topologies" if rest and isinstance(rest[0], list) else "accelerators"
            extra = {kind: rest[0]} if rest else {}
            found[name] = Offer(cpus, memory, **extra, page=group["page"], read=group["read"])
    return found


@functools.cache
def retired() -> dict[str, tuple[date, str]]:
    """The accelerators that Google has taken away: since when, and the page that says so."""
    return {name: (day, group["page"]) for group in _groups() for name, day in group.get("retired", {}).items()}
