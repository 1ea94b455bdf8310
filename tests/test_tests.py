"""How tests are written."""

import ast
from pathlib import Path

TREES = {path: ast.parse(path.read_bytes()) for path in Path(__file__).parent.rglob("*.py")}


def test_no_test_file_is_imported():
    """What tests share is in modules of other names, or in fixtures."""
    files = {path.stem for path in TREES if path.name.startswith("test_")}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported = {node.module}
            else:
                continue
            assert not imported & files, f"{path}:{node.lineno}"
