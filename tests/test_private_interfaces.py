"""What the program uses of libraries beyond their documentation is listed in docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# These are in Python's documentation.
DOCUMENTED = {"_exit", "_replace", "_asdict", "_fields", "_make"}


def private(name):
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def inner(module):
    """Whether a library says of a module that it is its own: keras.src, tensorflow.python."""
    library, *parts = module.split(".")
    return any(private(part) or part == "src" for part in parts) or (library == "tensorflow" and bool(parts))


def private_names(code):
    """The private names that a file uses and doesn't define."""
    tree = ast.parse(code)
    own = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.AnnAssign(ast.Name(name)):
                own.add(name)
            case ast.Attribute(ast.Name("self" | "cls"), name, ast.Store()):
                own.add(name)
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Call(ast.Name("super")), name) if private(name):
                found.add(name)
            case ast.Attribute(_, name) if private(name) and name not in own:
                found.add(name)
            case ast.Call(ast.Name("getattr" | "setattr" | "hasattr"), [_, ast.Constant(str(name)), *_]):
                found |= {name} if private(name) else set()
            case ast.Import(names):
                found |= {alias.name for alias in names if inner(alias.name)}
            case ast.ImportFrom(module, names):
                found |= {module} if module and inner(module) else set()
                found |= {alias.name for alias in names if private(alias.name)}
    return found


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from keras.src.backend import x", {"keras.src.backend"}),
        ("import tensorflow.python as t", {"tensorflow.python"}),
        ("from kfp import _x", {"_x"}),
        ("model._x()", {"_x"}),
        ("getattr(model, '_x')", {"_x"}),
        ("class A(B):\n    def f(self):\n        return self._x", {"_x"}),
        ("class A(B):\n    def _x(self):\n        return super()._x()", {"_x"}),
        ("class A:\n    def f(self):\n        self._x = 1\n        return self._x", set()),
        ("import tensorflow as tf\ntf.a.b.__name__", set()),
    ],
)
def test_private_names_are_found(code, names):
    assert private_names(code) == names


def test_each_is_listed_with_the_files_that_use_it_a_reason_and_a_test():
    found = {
        (name, path.relative_to(ROOT).as_posix())
        for package in ("components", "pipeline")
        for path in (ROOT / package).rglob("*.py")
        for name in private_names(path.read_bytes())
    }
    section = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Private interfaces\n")[1]
    listed = set()
    for row in re.findall(r"^\| .*", section.split("\n## ")[0], re.MULTILINE)[1:]:
        names, where, reason, test = (cell.strip() for cell in row.strip("|").split("|"))
        assert reason
        assert (ROOT / test.strip("`")).is_file(), row
        listed |= {(name, path) for name in re.findall("`(.+?)`", names) for path in re.findall("`(.+?)`", where)}
    assert found == listed
