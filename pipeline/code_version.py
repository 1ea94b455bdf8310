"""Digests of the code that a step runs, so that a change of it, and of nothing else, runs the step again."""

import ast
import functools
import hashlib
from pathlib import Path

import components
from components.files import code_digest, sha256

ROOT = Path(components.__file__).parent
LOCK = ROOT.parent / "requirements-cpu.lock"


def code_version(*modules: str) -> str:
    """Digest of some modules, of all in components/ that they import with their templates, and of the dependencies.

    Args:
        modules: Names such as "components.train.work".

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    reached: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in reached or path is None:
            continue
        reached[name] = path
        waiting += _imported(path)
    files = [reached[name] for name in sorted(reached)]
    files += [path for folder in sorted({path.parent for path in files}) for path in sorted(folder.glob("templates/*"))]
    digest = hashlib.sha256(sha256(files, ROOT).encode())
    digest.update(LOCK.read_bytes())
    return digest.hexdigest()[:16]


def whole_code_version() -> str:
    """Digest of all of components/."""
    return code_digest(ROOT)


def _path(module: str) -> Path | None:
    base = ROOT.parent.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def _imported(path: Path) -> list[str]:
    """Modules of components/ that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] == "components"]
