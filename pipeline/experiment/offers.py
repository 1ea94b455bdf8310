"""The machine types that Google offers for custom training, from offered.yaml, with the page and day of each row."""

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
        cpus: The number of vCPUs.
        memory_gb: The memory in GB.
        accelerators: The numbers of each GPU that the machine can have.
        topologies: The layouts of a TPU machine's chips. Some span several machines.
        page: The page of Google's documentation.
        read: The day on which the page was read.
    """

    cpus: int
    memory_gb: float
    accelerators: dict[str, list[int]] = field(default_factory=dict)
    topologies: list[str] = field(default_factory=list)
    page: str = ""
    read: date = date.min

    @property
    def chips(self) -> int:
        """The number of TPU chips of one machine, which is that of its smallest topology."""
        return min((math.prod(map(int, topology.split("x"))) for topology in self.topologies), default=0)


@functools.cache
def _groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(FILE.read_text(encoding="utf-8")))


@functools.cache
def offered() -> dict[str, Offer]:
    """The machine types that Google offers, by name."""
    offers = {}
    for group in _groups():
        for name, (cpus, memory, *rest) in group.get("machines", {}).items():
            key = "topologies" if rest and isinstance(rest[0], list) else "accelerators"
            offers[name] = Offer(
                cpus, memory, **({key: rest[0]} if rest else {}), page=group["page"], read=group["read"]
            )
    return offers


@functools.cache
def retired() -> dict[str, tuple[date, str]]:
    """The accelerators that Google no longer offers, each with its last day and the page of Google's documentation."""
    return {name: (day, group["page"]) for group in _groups() for name, day in group.get("retired", {}).items()}
