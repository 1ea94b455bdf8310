"""Render templates as HTML. Every value is escaped, and an unknown name is an error."""

import functools
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.artifacts.leaderboard import FEW, figure, interval
from components.common.words import counted, size
from components.metrics.metrics import METRICS, found_in, named
from components.report.architecture import shape

# The most series of many that a model's section lists.
WORST_SERIES = 10
FOLDER = Path(__file__).with_name("templates")


@functools.cache
def environment(*folders: Path) -> Environment:
    """The environment that renders the templates of some folders, with their filters."""
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": _duration, "size": size, "number": _number, "breakable": _breakable}
    environment.filters |= {"shape": shape, "counted": counted, "figure": figure, "interval": interval}
    environment.globals |= {"FEW": FEW, "METRICS": METRICS, "named": named, "found_in": found_in}
    environment.globals |= {"worst_series": WORST_SERIES}
    return environment


def render(template: str, **values: object) -> Markup:
    """Render a file of `templates/` with some values."""
    return Markup(environment(FOLDER).get_template(template).render(values))  # noqa: S704 (escaped by the environment)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _breakable(name: str) -> Markup:
    """A name that a narrow column may break after a punctuation mark, or after 16 letters."""
    return Markup("<wbr>").join(re.findall(r"[^\W_]{1,16}[\W_]*|[\W_]+", name))


def _number(value: object) -> str:
    """A value of the leaderboard as the text of a table's cell."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else ", ".join(value) if isinstance(value, list) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
