"""How tests are written."""

import ast
import os
import subprocess
import sys
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


def test_after_the_deadline_of_ci_tests_are_left_out_and_counted():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_no_test_file_is_imported.__name__}",
    ]
    for until, said in (("0", "no time is left"), ("inf", "1 passed")):
        found = subprocess.run(command, env={**os.environ, "TESTS_UNTIL": until}, capture_output=True, text=True)
        assert (found.returncode, said in found.stdout) == (0, True), found.stdout
