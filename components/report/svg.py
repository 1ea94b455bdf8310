"""Matplotlib figures as small SVGs that are part of a page, in its colours and its font."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Placeholders for the page's colours, which follow the reader's light or dark scheme.
INK, MUTED, LINE, FIRST, SECOND, THIRD, BAD = _COLORS = [f"#00000{i}" for i in range(1, 8)]
_VARIABLES = ("--ink", "--muted", "--line", "--first", "--second", "--third", "--bad")
# The height of a title with a legend below it, and of the labels of the horizontal axis, in inches.
ABOVE, BELOW = 0.42, 0.45
_STYLE = {
    "svg.fonttype": "none",
    # A "$" in a name isn't the start of a formula.
    "text.parse_math": False,
    "font.size": 9,
    "axes.labelpad": 3,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 18,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "legend.columnspacing": 1.2,
    "legend.fontsize": 8.5,
    "legend.labelcolor": MUTED,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
}


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        title: The figure's caption.
        svg: The figure as an SVG element.
        wide: Whether it takes the page's whole width.
    """

    title: str
    svg: Markup
    wide: bool = False


@contextmanager
def figure(name: str, height: float = 2.57, width: float = 3.7, left: float = 0.55) -> Iterator[tuple[Figure, Axes]]:
    """Make a figure in the page's style, which `picture` draws.

    Args:
        name: The figure's name. It is unique in the page, for ids in the SVG are computed from it.
        height: The height in inches.
        width: The width in inches. 3.7 is a third of the page, or a phone's width.
        left: The width of the vertical axis' labels in inches. Matplotlib's own layout would draw everything twice.

    Yields:
        The figure and its axes.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        fig = Figure(figsize=(width, height))
        fig.subplots_adjust(left / width, BELOW / height, 1 - 0.08 / width, 1 - ABOVE / height)
        yield fig, fig.add_subplot()


def legend(ax: Axes) -> None:
    """Add a legend in a line between title and axes, where it covers nothing."""
    ax.legend(ncols=len(ax.get_legend_handles_labels()[0]), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def picture(fig: Figure, title: str, description: str, wide: bool = False) -> Picture:
    """Draw a figure as SVG. It has to be called inside `with figure(…)`, where the style holds.

    Args:
        fig: The figure.
        title: The figure's caption.
        description: The text for screen readers.
        wide: Whether it takes the page's whole width.
    """
    text = io.StringIO()
    fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style type.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    # The ids of a figure's parts are the same in every figure, and nothing refers to them.
    svg = re.sub(r' id="[\w.]+_\d+"| transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r'font-family: [^;"]*;?\s*', "", svg)
    svg = re.sub(r'\bfont: ([\d.]+)px [^;"]*', r"font-size: \1px", svg)
    svg = re.sub(r' (?:d|x|y|width|height)="[^"]*"', lambda match: re.sub(r"(\.\d)\d+", r"\1", match[0]), svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    for color, variable in zip(_COLORS, _VARIABLES, strict=True):
        svg = svg.replace(color, f"var({variable})")
    box = re.search(r'viewBox="[^"]*"', svg)
    inside = svg[svg.index(">") + 1 :]
    head = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(description)}">'
    return Picture(title, Markup(head + inside), wide)  # noqa: S704 (matplotlib escapes its text)
