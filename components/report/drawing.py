"""Draw a directed acyclic graph in layers: the tasks of a run, or the layers of a model.

The steps are Sugiyama's (1981, doi:10.1109/TSMC.1981.4308636): give each node a layer, put the nodes of a layer
in an order that crosses few edges, then place them near their neighbours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

ORDER_SWEEPS, PLACE_SWEEPS = 8, 4
# The size of a node, in pixels, and the characters that a line of it has room for.
WIDTH, HEIGHT, LETTERS = 190, 34, 28
# The distance between layers and between neighbours, in pixels. An edge that passes a layer needs no more than GAP.
BETWEEN, GAP = 26, 12


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        title: The first line of its text.
        detail: The second line.
        note: The text that a pointer over it shows.
        style: The name of its CSS class.
        needs: The titles of the nodes that edges come from.
    """

    title: str
    detail: str
    note: str
    style: str
    needs: list[str]


def draw(nodes: list[Node], description: str, across: bool = False) -> Markup:
    """Draw a graph as SVG.

    Args:
        nodes: The nodes, each after those that it needs.
        description: The text for screen readers.
        across: Whether edges go from left to right, instead of downwards.
    """
    by_title = {node.title: node for node in nodes}
    edges = [(need, node.title) for node in nodes for need in node.needs if need in by_title]
    layers, chains = _layers([node.title for node in nodes], edges)
    links = [pair for chain in chains for pair in pairwise(chain)]
    _order(layers, links)
    size = HEIGHT if across else WIDTH
    sizes = {name: float(size if name in by_title else 0) for layer in layers for name in layer}
    at = _place(layers, links, sizes, PLACE_SWEEPS + across)
    depth = {name: i for i, layer in enumerate(layers) for name in layer}
    step = (WIDTH if across else HEIGHT) + BETWEEN

    def point(name: str, end: int) -> tuple[float, float]:
        """The point where edges enter (`end` 0) or leave (`end` 1) a node."""
        along = depth[name] * step + end * (step - BETWEEN)
        return (along, at[name]) if across else (at[name], along)

    parts = [f'<path class="edge" d="{_curve(chain, point, across)}"/>' for chain in chains]
    for node in nodes:
        x, y = point(node.title, 0)
        x, y = (x, y - HEIGHT / 2) if across else (x - WIDTH / 2, y)
        parts.append(
            f'<g class="node {escape(node.style)}" transform="translate({x:.1f} {y:.1f})">'
            f"<title>{escape(node.note)}</title>"
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
            f'<text x="10" y="{14 if node.detail else 21}">{escape(short(node.title))}</text>'
            f'<text x="10" y="27" class="detail">{escape(short(node.detail))}</text></g>'
        )
    breadth = max(at[name] + sizes[name] / 2 for layer in layers for name in layer)
    length = len(layers) * step - BETWEEN
    width, height = (length, breadth) if across else (breadth, length)
    head = f'<svg class="graph" viewBox="-2 -2 {width + 4:.0f} {height + 4:.0f}" '
    head += f'style="width:{width + 4:.0f}px" role="img" aria-label="{escape(description)}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 (all text is escaped above)


def _layers(names: list[str], edges: list[tuple[str, str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Give each node the last possible layer, and each long edge a place in every layer that it passes.

    Returns:
        The names in each layer, and for each edge the names that it goes through, from its source to its target.
    """
    after = dict.fromkeys(names, 0)
    for name in reversed(names):
        after[name] = max((after[target] + 1 for source, target in edges if source == name), default=0)
    last = max(after.values(), default=0)
    layers: list[list[str]] = [[] for _ in range(last + 1)]
    for name in names:
        layers[last - after[name]].append(name)
    chains = []
    for i, (source, target) in enumerate(edges):
        passed = [f"{i} passes {depth}" for depth in range(last - after[source] + 1, last - after[target])]
        for depth, name in enumerate(passed, last - after[source] + 1):
            layers[depth].append(name)
        chains.append([source, *passed, target])
    return layers, chains


def _order(layers: list[list[str]], links: list[tuple[str, str]]) -> None:
    """Sort each layer by the mean position of the neighbours, in turns in the layer before and in the layer after."""
    for sweep in range(ORDER_SWEEPS):
        pairs = pairwise(layers if sweep % 2 == 0 else layers[::-1])
        for fixed, moved in pairs:
            positions = {name: i for i, name in enumerate(fixed)}
            moved.sort(key=_mean_of(positions, links, {name: float(i) for i, name in enumerate(moved)}))


def _place(
    layers: list[list[str]], links: list[tuple[str, str]], sizes: dict[str, float], sweeps: int
) -> dict[str, float]:
    """Center each node near the mean of its neighbours in the layer before or after, without overlaps.

    Returns:
        The position of each node's center in its layer, in pixels.
    """
    at: dict[str, float] = {}
    for layer in layers:
        _pack(layer, dict.fromkeys(layer, 0.0), sizes, at)
    for sweep in range(sweeps):
        # Where the last sweep follows the edges, long edges are straight. Where it goes against them, a node stands in
        # the middle of those after it, which suits a tree.
        for fixed, moved in pairwise(layers[::-1] if sweep % 2 == 0 else layers):
            mean = _mean_of({name: at[name] for name in fixed}, links, at)
            _pack(moved, {name: mean(name) for name in moved}, sizes, at)
    first = min(at[name] - sizes[name] / 2 for name in at)
    return {name: value - first for name, value in at.items()}


def _pack(layer: list[str], ideal: dict[str, float], sizes: dict[str, float], at: dict[str, float]) -> None:
    """Place a layer's nodes near their ideal positions, as far apart as their sizes need. Passing edges give way."""
    edge = float("-inf")
    placed = {}
    for name in layer:
        placed[name] = max(ideal[name], edge + sizes[name] / 2)
        edge = placed[name] + sizes[name] / 2 + GAP
    firm = [name for name in layer if sizes[name]] or layer
    shift = sum(ideal[name] - placed[name] for name in firm) / len(firm)
    at.update({name: value + shift for name, value in placed.items()})


def _mean_of(
    positions: Mapping[str, float], links: list[tuple[str, str]], otherwise: Mapping[str, float]
) -> Callable[[str], float]:
    """The function that gives the mean position of a node's neighbours. Without any, it gives `otherwise`."""
    neighbours: dict[str, list[float]] = {}
    for source, target in links:
        if source in positions:
            neighbours.setdefault(target, []).append(positions[source])
        if target in positions:
            neighbours.setdefault(source, []).append(positions[target])

    def mean(name: str) -> float:
        own = neighbours.get(name)
        return sum(own) / len(own) if own else otherwise[name]

    return mean


def _curve(chain: list[str], point: Callable[[str, int], tuple[float, float]], across: bool) -> str:
    """The path of an edge, straight through the layers that it passes."""
    x, y = point(chain[0], 1)
    path = f"M{x:.1f} {y:.1f}"
    for name in chain[1:]:
        to_x, to_y = point(name, 0)
        if across:
            path += f"C{(x + to_x) / 2:.1f} {y:.1f} {(x + to_x) / 2:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        else:
            path += f"C{x:.1f} {(y + to_y) / 2:.1f} {to_x:.1f} {(y + to_y) / 2:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = point(name, 1)
        path += f"L{x:.1f} {y:.1f}" if name != chain[-1] else ""
    return path


def short(text: str) -> str:
    """A text cut to the characters that a node has room for."""
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
