"""Digests of the code that a step runs, so that a change of it, and of nothing else, runs the step again."""

import ast
import functools
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import components

ROOT = Path(components.__file__).parent
LOCK = ROOT.parent / "requirements-cpu.lock"
_EMPTY_TOO: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
_NAMED = re.compile(r"\bcomponents(?:\.\w+)+")


class _Module(NamedTuple):
    digest: str
    imports: list[str]
    beside: list[str]


def code_version(*modules: str) -> str:
    """The first 16 hexadecimal digits of a SHA-256 of what `code_files` gives."""
    return hashlib.sha256(json.dumps(code_files(*modules)).encode()).hexdigest()[:16]


def code_files(*modules: str) -> dict[str, str]:
    """The files that determine what some modules of components/ do.

    They are the files of the modules, of all modules that these import, in functions too, the templates beside them,
    and the lock of the dependencies. A module that is named in a string counts as imported, and so does a Python file
    of the same folder: a process may be started with it.

    Args:
        modules: Names such as "components.train.component".

    Returns:
        For each file, named relative to the project and in order of names, the digest of what it does: other comments,
        docstrings and line breaks don't change that of a Python file.
    """
    found: dict[Path, str] = {}
    seen: set[str] = set()
    waiting = {*modules}
    while new := waiting - seen:
        seen |= new
        for path in {path for name in new for path in _paths(name)} - found.keys():
            module = _module(path, path.read_bytes())
            found[path] = module.digest
            waiting |= {*module.imports, *(f"{_name(path.parent)}.{name}" for name in module.beside)}
    for folder in {path.parent for path in found}:
        found |= {path: code_digest(path.name, path.read_bytes()) for path in folder.glob("templates/*")}
    files = {path.relative_to(ROOT.parent).as_posix(): digest for path, digest in found.items()}
    return dict(sorted({**files, "requirements-cpu.lock": code_digest(LOCK.name, LOCK.read_bytes())}.items()))


def all_files() -> dict[str, str]:
    """The digest of each file in components/, named relative to it, as `code_digest` gives it."""
    files = [path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix(): code_digest(path.name, path.read_bytes()) for path in files}


def code_digest(name: str, content: bytes) -> str:
    """Digest a file: a Python file by its syntax tree without docstrings, any other by its bytes."""
    try:
        return _digest(_parsed(content)) if name.endswith(".py") else _digest(content)
    except (SyntaxError, ValueError):
        return _digest(content)


def _digest(content: ast.Module | bytes) -> str:
    if isinstance(content, ast.Module):
        # The same in every version of Python: an empty `type_params` is there since 3.12.
        text = ast.dump(content, **_EMPTY_TOO).replace(", type_params=[]", "")
        content = text.encode("ascii", "backslashreplace")
    return hashlib.sha256(content).hexdigest()[:16]


def _parsed(content: bytes) -> ast.Module:
    """The syntax tree without docstrings."""
    tree = ast.parse(content)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(ast.Constant(str())), *rest]:
                    node.body = rest
    return tree


def _paths(module: str) -> Iterator[Path]:
    """The files that the import of a module runs: those of its packages too."""
    folder = ROOT.parent
    for part in module.split("."):
        folder = folder / part
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                yield path


def _name(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT.parent).parts)


@functools.cache
def _module(path: Path, content: bytes) -> _Module:
    """The digest of a Python file, the modules of components/ that it imports or names, and the files beside it."""
    tree = _parsed(content)
    imports, beside = [], []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                imports += [alias.name for alias in names]
            case ast.ImportFrom(module, names, level):
                package = _name(path.parents[level - 1]) if level else ""
                base = ".".join(filter(None, [package, module]))
                imports += [f"{base}.{alias.name}" for alias in names]
            case ast.Constant(str(text)):
                # Python runs a package by its __main__.py.
                imports += [name for found in _NAMED.findall(text) for name in (found, f"{found}.__main__")]
                beside += [text.removesuffix(".py")] if text.endswith(".py") else []
    return _Module(_digest(tree), [name for name in imports if _NAMED.match(name)], beside)
