"""Read a config, which is a YAML file, and change it by --set."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from components.common.errors import InputError, collecting
from pipeline.experiment.validation import shorten

MAX_BYTES = 1_000_000
# The most values, lists and mappings. An alias counts as much as the node that it stands for.
MAX_NODES = 20_000
MAX_LEVELS = 50
SUFFIXES = (".yaml", ".yml")
Config: TypeAlias = dict[object, object]


class _Loader(yaml.SafeLoader):
    """A safe loader with the values of YAML 1.2's core schema. PyYAML's own loaders have those of YAML 1.1.

    So 1e-3 is a number, and yes, no, on, off and 2020-01-31 are strings. `<<` still merges mappings. Keys that are
    given twice are collected, for PyYAML would keep the last one. A document that is too large or too deep is refused.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    nodes = 0
    levels = 0

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # The keys that are given twice, each with its line.
        self.repeated: list[tuple[int, Hashable]] = []
        self.sizes: dict[yaml.Node | None, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event, before = self.peek_event(), self.nodes
        self.levels += 1
        if self.levels > MAX_LEVELS:
            raise _error(f"more than {MAX_LEVELS} levels of lists and mappings", event)
        node = super().compose_node(parent, index)
        self.levels -= 1
        if not isinstance(event, yaml.AliasEvent):
            self.nodes += 1
            self.sizes[node] = self.nodes - before
        elif node in self.sizes:
            self.nodes += self.sizes[node]
        else:
            raise _error(f"the alias *{event.anchor} is a part of what it stands for", event)
        if self.nodes > MAX_NODES:
            raise _error(f"more than {MAX_NODES:,} values, with those that aliases stand for", event)
        if isinstance(event, yaml.ScalarEvent) and not _is_text(event.value):
            raise _error("a character that text can't hold", event)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        names = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=deep)
            if isinstance(name, Hashable) and name in names:
                self.repeated.append((key.start_mark.line + 1, name))
            names.add(name if isinstance(name, Hashable) else None)
        return super().construct_mapping(node, deep)


def _error(problem: str, event: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 (the stubs of Event and of the error differ)
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _is_text(value: str) -> bool:
    """Whether a file or a path can contain the text: it has no NUL, and no half of a UTF-16 pair."""
    return not re.search("[\0\ud800-\udfff]", value)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value, {"0o": 8, "0x": 16}.get(node.value[:2], 10))


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def _load(text: str) -> tuple[object, list[tuple[int, Hashable]]]:
    """Load a YAML text. The result also has the keys that are given twice, each with its line."""
    loader = _Loader(text)
    return loader.get_single_data(), sorted(loader.repeated, key=lambda line_and_name: line_and_name[0])


def read_config(path: Path) -> Config:
    """Read a config, a YAML file of at most `MAX_BYTES`. Its keys aren't checked.

    Raises:
        InputError: The file can't be read, or contains no mapping.
    """
    if "\0" in str(path):
        raise InputError(f"{shorten(str(path))}: not a path")
    try:
        if path.exists() and not path.is_dir():
            if path.suffix not in SUFFIXES:
                raise InputError(f"{path}: not a config; expected a YAML file, whose name ends with .yaml or .yml")
            if not path.is_file():
                raise InputError(f"{path}: not a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path}: expected a config of at most {MAX_BYTES:,} bytes")
        content, repeated = _load(raw.decode("utf-8"))
        if repeated:
            raise InputError(*(f"{path}:{line}: the key '{name}' is there twice" for line, name in repeated))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, expected a config such as configs/quick.yaml") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        tab = error.problem and error.problem.startswith("found character '\\t'")
        raise InputError(f"{path}{line}: {'a tab, expected spaces' if tab else error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not YAML: {error}".replace("\n", " ")) from None
    if not isinstance(content, dict):
        found = "empty" if content is None else shorten(content)
        raise InputError(f"{path}: {found}, expected the keys datasets and models")
    return {key: _copy(value) for key, value in content.items()}


def _copy(value: object) -> object:
    """Copy a value, and an alias each time that it occurs, so that --set changes only one occurrence."""
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def override(config: Config, overrides: list[str]) -> None:
    """Change a config in place. Its keys aren't checked.

    A change is "key.key=value", where the value is YAML. The value null removes a data set or a model.

    Raises:
        InputError: Some changes are impossible. Each has a line.
    """
    problems: list[str] = []
    for text in overrides:
        with collecting(problems):
            _override(config, text)
    if problems:
        raise InputError(*problems)


def _override(config: Config, text: str) -> None:
    path, equals, yaml_text = text.partition("=")
    keys = path.split(".")
    where = f"--set {shorten(text, quoted=False)}"
    if not equals or not all(keys) or len(keys) > MAX_LEVELS:
        raise InputError(f"{where}: expected key.key=value, such as models.cnn.epochs=3")
    try:
        value, repeated = _load(yaml_text)
        if repeated:
            raise InputError(
                *(f"{where}: {shorten(yaml_text)}: the key '{name}' is there twice" for _, name in repeated)
            )
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{where}: {shorten(yaml_text)} is not a YAML value: {error.problem}") from None
    except (yaml.YAMLError, ValueError):
        raise InputError(f"{where}: {shorten(yaml_text)} is not a YAML value") from None
    parent = config
    for i, key in enumerate(keys[:-1]):
        # Inside a data set or a model, the schema checks the keys.
        if parent.get(key) is None and (i >= 2 or key in ("vertex", "kubeflow")):
            parent[key] = {}
        child = parent.get(key)
        if not isinstance(child, dict):
            raise _missing(where, ".".join(keys[: i + 1]), parent)
        parent = child
    if value is None and len(keys) == 2 and keys[0] in ("datasets", "models"):
        if keys[1] not in parent:
            raise _missing(where, path, parent)
        del parent[keys[1]]
    else:
        parent[keys[-1]] = value


def _missing(where: str, key: str, parent: Config) -> InputError:
    return InputError(f"{where}: no '{key}'; there are: {shorten(', '.join(map(str, parent)), quoted=False)}")
