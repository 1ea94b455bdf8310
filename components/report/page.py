"""Turn templates into HTML: every value is escaped, and an unknown one is an error."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> Markup:  # noqa: ANN401 (whatever the template shows)
    """Render a file of `templates/`."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": _duration, "size": _size, "number": _number}
    return Markup(environment.get_template(template).render(values))  # noqa: S704 (escaped by the environment)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _number(value: Any) -> str:  # noqa: ANN401 (of a leaderboard)
    """A value for a table's cell."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else ", ".join(value) if isinstance(value, list) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
