"""Read a config: a YAML file, and what --set changes in it."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from components.common.errors import InputError, collecting
from pipeline.experiment.validation import shorten

MAX_BYTES = 1_000_000
# Values, lists and mappings; an alias counts as much as what it stands for.
MAX_NODES = 20_000
MAX_LEVELS = 50
SUFFIXES = (".yaml", ".yml")


class _Loader(yaml.SafeLoader):
    """A safe loader of YAML 1.2's values (its core schema), where PyYAML's own are YAML 1.1's.

    So 1e-3 is a number, and yes, no, on, off and 2020-01-31 are strings. `<<` still merges. A key given twice is
    refused, since YAML would keep the last one silently, and so is a document that is too large or too deep.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}
    nodes = 0
    levels = 0

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # The keys that are there twice, each with its line.
        self.repeated: list[tuple[int, Hashable]] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:  # noqa: ANN401 (a Node)
        event, before = self.peek_event(), self.nodes
        self.levels += 1
        if self.levels > MAX_LEVELS:
            raise _problem(f"more than {MAX_LEVELS} levels of lists and mappings", event)
        node: Any = super().compose_node(parent, index)
        self.levels -= 1
        if not isinstance(event, yaml.AliasEvent):
            self.nodes += 1
            node.size = self.nodes - before
        elif hasattr(node, "size"):
            self.nodes += node.size
        else:
            raise _problem(f"the alias *{event.anchor} is a part of what it stands for", event)
        if self.nodes > MAX_NODES:
            raise _problem(f"more than {MAX_NODES:,} values, with those that aliases stand for", event)
        if isinstance(event, yaml.ScalarEvent) and not _is_text(event.value):
            raise _problem("a character that text can't hold", event)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=deep)
            if isinstance(name, Hashable) and name in seen:
                self.repeated.append((key.start_mark.line + 1, name))
            seen.add(name if isinstance(name, Hashable) else None)
        return super().construct_mapping(node, deep)


def _problem(problem: str, event: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 (an Event)
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _is_text(value: str) -> bool:
    """Whether files and paths can hold it: no NUL, and no half of a UTF-16 pair."""
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


def _load(text: str) -> tuple[Any, list[tuple[int, Hashable]]]:
    """The value of a YAML text, and the keys that are there twice, each with its line."""
    loader = _Loader(text)
    return loader.get_single_data(), sorted(loader.repeated, key=lambda found: found[0])


def read_config(path: Path) -> dict[Any, Any]:
    """Read a config, without looking at its keys.

    Args:
        path: The YAML file, of at most `MAX_BYTES`.

    Raises:
        InputError: It can't be read, or holds no mapping.
    """
    if "\0" in str(path):
        raise InputError(f"{shorten(str(path))}: not a path")
    try:
        if path.exists() and not path.is_dir():
            if path.suffix not in SUFFIXES:
                raise InputError(f"{path}: not a config; expected a YAML file, whose name ends with .yaml")
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
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not YAML: {error}".replace("\n", " ")) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: {shorten(content)}, expected the keys datasets and models")
    return _unshared(content)


def _unshared(value: Any) -> Any:  # noqa: ANN401 (what YAML holds)
    """A copy in which nothing is there twice, so that --set changes one of the places that share an alias."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def override(content: dict[Any, Any], overrides: list[str]) -> None:
    """Change a config.

    Args:
        content: Changed in place.
        overrides: "key.key=value", where the value is YAML. One of null leaves a data set or model out.

    Raises:
        InputError: Some can't be made, each with a line; the schema is not looked at.
    """
    problems: list[str] = []
    for text in overrides:
        with collecting(problems):
            _override(content, text)
    if problems:
        raise InputError(*problems)


def _override(content: dict[Any, Any], text: str) -> None:
    path, equals, given = text.partition("=")
    keys = path.split(".")
    where = f"--set {shorten(text, quoted=False)}"
    if not equals or not all(keys) or len(keys) > MAX_LEVELS:
        raise InputError(f"{where}: expected key.key=value, such as models.cnn.epochs=3")
    try:
        value, repeated = _load(given)
        if repeated:
            raise InputError(*(f"{where}: {shorten(given)}: the key '{name}' is there twice" for _, name in repeated))
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{where}: {shorten(given)} is not a YAML value: {error.problem}") from None
    except (yaml.YAMLError, ValueError):
        raise InputError(f"{where}: {shorten(given)} is not a YAML value") from None
    place = content
    for i, key in enumerate(keys[:-1]):
        # Within a data set or a model, the schema knows which keys there may be.
        if place.get(key) is None and (i >= 2 or key in ("vertex", "kubeflow")):
            place[key] = {}
        if not isinstance(place.get(key), dict):
            raise _missing(where, ".".join(keys[: i + 1]), place)
        place = place[key]
    if value is None and len(keys) == 2 and keys[0] in ("datasets", "models"):
        if keys[1] not in place:
            raise _missing(where, path, place)
        del place[keys[1]]
    else:
        place[keys[-1]] = value


def _missing(where: str, key: str, place: dict[Any, Any]) -> InputError:
    return InputError(f"{where}: no '{key}'; there are: {shorten(', '.join(map(str, place)), quoted=False)}")
