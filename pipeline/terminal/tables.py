"""How commands show tables and times."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDEST = 1000


def console() -> Console:
    """Where commands print: on no terminal, wide enough for a task's error."""
    live = Console(highlight=False)
    return live if live.is_terminal else Console(highlight=False, width=140)


def table(*columns: str) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, header_style="bold", pad_edge=False)


def fitting(make: Callable[[Sequence[str]], Table], optional: Sequence[str], console: Console) -> Table:
    """A table with as many of its optional columns as there is room for.

    Args:
        make: Makes the table, given some of these columns.
        optional: The first is left out first.
        console: Where it is to be printed.
    """
    for left_out in range(len(optional) + 1):
        made = make(optional[left_out:])
        if Measurement.get(console, console.options.update(max_width=_WIDEST), made).maximum <= console.width:
            break
    return made


def time(at: Any) -> str:  # noqa: ANN401 (a datetime of proto-plus, or None)
    """A time of a message, UTC; nothing where there is none."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def took(span: Any) -> str:  # noqa: ANN401 (a timedelta or None)
    """A duration in seconds; nothing where there is none."""
    return "" if span is None else f"{span.total_seconds():.0f} s"


def size(count: int) -> str:
    """A number of bytes, such as 3.2 MB."""
    unit, factor = next(((u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= f), ("bytes", 1))
    return f"{count / factor:.1f} {unit}" if factor > 1 else f"{count} bytes"
