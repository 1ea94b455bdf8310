"""The tables, times and durations that commands print."""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_MAX_WIDTH = 1000


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on where nobody reads the output any more (`run … | head -1`): the results of a run are in its folder."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def console(width: int = 140) -> Console:
    """The console that commands print to. Where it is no terminal, it has a width that is enough for a task's error."""
    live = _Console(highlight=False)
    return live if live.is_terminal else _Console(highlight=False, width=width)


def table(*columns: str) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, header_style="bold", pad_edge=False)


def fitting(make: Callable[[Sequence[str]], Table], optional: Sequence[str], console: Console) -> Table:
    """A table with as many of its optional columns as there is room for; the first is left out first.

    `make` returns the table that has these of the optional columns.
    """
    for left_out in range(len(optional) + 1):
        table = make(optional[left_out:])
        if Measurement.get(console, console.options.update(max_width=_MAX_WIDTH), table).maximum <= console.width:
            break
    return table


def time(at: datetime | None) -> str:
    """A time, UTC; an empty text for None."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def duration(span: timedelta | None) -> str:
    """A duration in seconds; an empty text for None."""
    return "" if span is None else f"{span.total_seconds():.0f} s"
