"""Draws the rooms of the program, each on a floor above all that it imports: `python docs/pictures/house.py`."""

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Of a floor, and of a room on it.
WIDTH, HEIGHT, GAP, ROOM = 940, 44, 14, 92
COLOURS = {"components": "#dbeafe", "pipeline": "#fde68a"}


def rooms() -> dict[str, set[str]]:
    """Each package of components/ and pipeline/, and the packages that its modules import."""
    names = {f"{top}.{path.parent.name}" for top in COLOURS for path in (ROOT / top).glob("*/__init__.py")}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for path in (ROOT / name.replace(".", "/")).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    imported = [f"{node.module}.{alias.name}" for alias in node.names]
                else:
                    continue
                found[name] |= {room for i in imported if (room := ".".join(i.split(".")[:2])) in names - {name}}
    return found


def floors(imports: dict[str, set[str]]) -> list[list[str]]:
    """The rooms by floor, the lowest first. Rooms that import each other stand on one floor."""
    below = {room: set(imported) for room, imported in imports.items()}
    for middle in below:
        for room in below:
            if middle in below[room]:
                below[room] |= below[middle]
    together = {room: frozenset({room} | {r for r in below[room] if room in below[r]}) for room in below}
    sorter = graphlib.TopologicalSorter(
        {group: {together[i] for room in group for i in imports[room]} - {group} for group in together.values()}
    )
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = sorter.get_ready()
        found.append(sorted(room for group in ready for room in group))
        sorter.done(*ready)
    return found


def drawing(house: list[list[str]]) -> str:
    """The house as SVG."""
    height = len(house) * (HEIGHT + GAP) + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        ' font-size="12" text-anchor="middle">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for i, floor in enumerate(reversed(house)):
        y = GAP + i * (HEIGHT + GAP)
        room = min(ROOM, (WIDTH - 2 * GAP) / len(floor))
        start = (WIDTH - room * len(floor)) / 2
        lines.append(f'<path d="M{GAP} {y + HEIGHT + GAP / 2}H{WIDTH - GAP}" stroke="#cbd5e1"/>')
        for j, name in enumerate(floor):
            top, _, label = name.partition(".")
            x = start + j * room
            lines += [
                f'<rect id="{name}" x="{x + 3:g}" y="{y}" width="{room - 6:g}" height="{HEIGHT}" rx="5"',
                f' fill="{COLOURS[top]}"/>',
                f'<text x="{x + room / 2:g}" y="{y + HEIGHT / 2 + 4}">{label}</text>',
            ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Draw it again."""
    (Path(__file__).parent / "house.svg").write_text(drawing(floors(rooms())), encoding="utf-8")


if __name__ == "__main__":
    main()
