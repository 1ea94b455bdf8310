"""Draws the rooms of the program, each above all those that it imports: `make pictures`."""

import ast
import graphlib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WIDTH, HEIGHT, GAP = 112, 34, 10
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
    """The rooms by floor, the lowest first. A circle of imports raises a graphlib.CycleError."""
    sorter, found = graphlib.TopologicalSorter(imports), []
    sorter.prepare()
    while sorter.is_active():
        found.append(sorted(sorter.get_ready()))
        sorter.done(*found[-1])
    return found
if __name__=="__main__":
    r=rooms()
    try:
        for f in floors(r): print(f)
    except graphlib.CycleError as e: print(e)
    print(len(r), sum(map(len,r.values())))
