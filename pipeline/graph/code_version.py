"""Digests of the code that a step runs, so that a step runs again only after a change of its own code."""

import ast
import functools
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import components

ROOT = Path(components.__file__).parent
LOCK = ROOT.parent / "requirements-cpu.lock"
# Since Python 3.13, `ast.dump` leaves out empty fields by default.
_DUMP_OPTIONS = {"show_empty": True} if sys.version_info >= (3, 13) else {}
_NAMED = re.compile(r"\bcomponents(?:\.\w+)+")


class _Module(NamedTuple):
    digest: str
    imports: list[str]
    siblings: list[str]


def code_version(*modules: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the files that `code_files` returns."""
    return hashlib.sha256(json.dumps(code_files(*modules)).encode()).hexdigest()[:16]


def code_files(*modules: str) -> dict[str, str]:
    """The files that determine the results of some modules of components/.

    They are the files of the modules, of all modules that these import, also inside functions, the templates beside
    them, and the lock file. A module that is named in a string counts as imported, and so does a Python file of the
    same folder, for the module may start a process with it.

    Args:
        modules: The names of the modules, such as "components.train.component".

    Returns:
        The digest of each file by its path, relative to the project and sorted. The digest of a Python file doesn't
        depend on its comments, docstrings and line breaks.
    """
    digests: dict[Path, str] = {}
    visited: set[str] = set()
    imported = {*modules}
    while new := imported - visited:
        visited |= new
        for path in {path for name in new for path in _paths(name)} - digests.keys():
            module = _module(path, path.read_bytes())
            digests[path] = module.digest
            imported |= {*module.imports, *(f"{_name(path.parent)}.{name}" for name in module.siblings)}
    for folder in {path.parent for path in digests}:
        digests |= {path: code_digest(path.name, path.read_bytes()) for path in folder.glob("templates/*")}
    files = {path.relative_to(ROOT.parent).as_posix(): digest for path, digest in digests.items()}
    return dict(sorted({**files, "requirements-cpu.lock": code_digest(LOCK.name, LOCK.read_bytes())}.items()))


def all_files() -> dict[str, str]:
    """The `code_digest` of each file in components/, by its path relative to that folder."""
    files = [path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix(): code_digest(path.name, path.read_bytes()) for path in files}


def code_digest(name: str, content: bytes) -> str:
    """Digest a file: a Python file by its syntax tree without docstrings, any other by its bytes."""
    try:
        return _digest(_parse(content)) if name.endswith(".py") else _digest(content)
    except (SyntaxError, ValueError):
        return _digest(content)


def _digest(content: ast.Module | bytes) -> str:
    if isinstance(content, ast.Module):
        # The text is the same in every version of Python. Since 3.12 it has an empty `type_params`.
        text = ast.dump(content, **_DUMP_OPTIONS).replace(", type_params=[]", "")
        content = text.encode("ascii", "backslashreplace")
    return hashlib.sha256(content).hexdigest()[:16]


def _parse(content: bytes) -> ast.Module:
    """Parse a Python file into its syntax tree without docstrings."""
    tree = ast.parse(content)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(ast.Constant(str())), *rest]:
                    node.body = rest
    return tree


def _paths(module: str) -> Iterator[Path]:
    """The files that the import of a module runs, which are its own and those of its packages."""
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
    """The digest of a Python file, the modules of components/ that it imports or names, and the siblings it names."""
    tree = _parse(content)
    imports, siblings = [], []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                imports += [alias.name for alias in names]
            case ast.ImportFrom(module, names, level):
                package = _name(path.parents[level - 1]) if level else ""
                base = ".".join(filter(None, [package, module]))
                imports += [f"{base}.{alias.name}" for alias in names]
            case ast.Constant(str(text)):
                # The module may run a package with -m, which runs its __main__.py.
                imports += [name for module in _NAMED.findall(text) for name in (module, f"{module}.__main__")]
                siblings += [text.removesuffix(".py")] if text.endswith(".py") else []
    return _Module(_digest(tree), [name for name in imports if _NAMED.match(name)], siblings)
