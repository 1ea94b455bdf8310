"""What a config can hold: every key with its type, its default and its meaning, from the classes that check it."""

import difflib
import inspect
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from components.common.errors import InputError
from components.common.spec import ModelSpec
from components.families import family_names, load_family
from components.models.layer_sizes import MAX_NUMBERS, MAX_WEIGHTS
from components.sources import load_source, source_names
from components.vertex.client import VertexOptions
from pipeline.experiment.config_file import MAX_BYTES, MAX_NODES, SUFFIXES, read_config
from pipeline.experiment.dataset_checks import DatasetKeys
from pipeline.experiment.experiment import ExperimentFile
from pipeline.experiment.machines import Machine
from pipeline.experiment.model_checks import ModelKeys
from pipeline.experiment.pods import KubeflowOptions

INTRODUCTION = (
    f"A config is a YAML file of at most {MAX_BYTES:,} bytes and {MAX_NODES:,} values, where an alias counts as much "
    "as what it stands for. Values are YAML 1.2's: 1e-3 is a number; yes, no, on, off and 2020-01-31 are strings. The "
    "file's name, without .yaml, is the experiment's: small letters, digits, single - or _, 63 at most. A model "
    f"has at most {MAX_WEIGHTS:,} weights, and its layers together {MAX_NUMBERS:,} numbers for a batch on a replica."
)


@dataclass(frozen=True)
class Key:
    """A key of a config.

    Attributes:
        name: With dots, where it is in another one; <name> stands for any name.
        type: In words, with its bounds.
        default: As YAML writes it; empty where it has to be given.
        meaning: A sentence or two.
    """

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """Keys that belong together.

    Attributes:
        name: Such as models or families.cnn.
        meaning: A sentence.
        keys: In their order.
    """

    name: str
    meaning: str
    keys: list[Key]


def section_names() -> list[str]:
    """Names of all sections."""
    sources = [f"sources.{name}" for name in source_names()]
    families = [f"families.{name}" for name in family_names()]
    return ["experiment", "datasets", *sources, "models", *families, "vertex", "kubeflow", "machines"]


def section(name: str) -> Section:
    """One of `section_names`."""
    if name == "experiment":
        keys = [key for key in _keys(ExperimentFile) if not key.name.startswith(("vertex.", "kubeflow."))]
        return Section(name, INTRODUCTION, keys)
    if name == "models":
        return Section(name, _first_line(ModelSpec), [*_keys(ModelSpec), *_keys(ModelKeys)])
    if name.startswith("sources."):
        source = load_source(name.partition(".")[2])
        return Section(name, source.doc.split("\n")[0], list(_keys(source.Options)))
    if name.startswith("families."):
        family = load_family(name.partition(".")[2])
        return Section(name, family.doc.split("\n")[0], list(_keys(family.Hyperparameters)))
    classes = {"datasets": DatasetKeys, "vertex": VertexOptions, "kubeflow": KubeflowOptions, "machines": Machine}
    cls: Any = classes[name]
    return Section(name, _first_line(cls), list(_keys(cls)))


def explain(*names: str) -> list[Section]:
    """Look keys up.

    Args:
        *names: A config, or none, and what to explain: a section, or a key in one, such as models, models.epochs,
            models.cnn, sources.csv.path. In models.x and datasets.x, x is a name in the config; without one it is that
            of a family or source.

    Raises:
        InputError: There is no such key.
    """
    config = read_config(Path(names[0])) if names[0].endswith(SUFFIXES) else {}
    if len(names) != 1 + bool(config):
        raise InputError(f"explain {' '.join(names)}: expected [CONFIG] NAME, such as models.epochs")
    name = names[-1]
    kind, _, rest = name.partition(".")
    named, _, key = rest.partition(".")
    also = []
    if kind in ("models", "datasets"):
        group, by, known = (
            ("families", "family", family_names()) if kind == "models" else ("sources", "source", source_names())
        )
        content = config.get(kind)
        there = content if isinstance(content, dict) else {}
        asked = there.get(named, {by: named})
        if isinstance(asked, dict) and asked.get(by) in known:
            return _only([section(kind), section(f"{group}.{asked[by]}")], key, name)
        also = [f"{kind}.{one}" for one in (*there, *known)]
    for start in (f"{kind}.{named}", kind):
        if start in section_names():
            return _only([section(start)], name.removeprefix(start).removeprefix("."), name, also)
    if inner := [one for one in section_names() if one.partition(".")[2] == name]:
        return [section(one) for one in inner]
    return _only([section(one) for one in section_names()], name, name, section_names())


def _only(sections: list[Section], key: str, name: str, also: Sequence[str] = ()) -> list[Section]:
    """Sections with one key alone, and those in it; whole where it is empty."""
    kept = [
        Section(one.name, one.meaning, [k for k in one.keys if not key or f"{k.name}.".startswith(f"{key}.")])
        for one in sections
    ]
    if found := [one for one in kept if one.keys or not key]:
        return found
    known = [*also, *(name.removesuffix(key) + k.name for one in sections for k in one.keys)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(section_names())}"
    raise InputError(f"explain: no '{name}'; {hint}")


def _keys(cls: type[BaseModel]) -> Iterator[Key]:
    schema = cls.model_json_schema()
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meanings |= attributes(inspect.getdoc(base) or "" if "__doc__" in vars(base) else "")
    return _properties(schema, meanings, schema.get("$defs", {}), "")


def _properties(
    schema: dict[str, Any], meanings: dict[str, str], defined: dict[str, Any], prefix: str
) -> Iterator[Key]:
    for name, of in schema["properties"].items():
        default = "" if name in schema.get("required", []) else _yaml(of.get("default"))
        yield Key(prefix + name, _type(of, defined), default, meanings.get(name, "").replace("None", "null"))
        inner = next((one for one in of.get("anyOf", []) if "$ref" in one), of)
        each = inner.get("additionalProperties") if isinstance(inner.get("additionalProperties"), dict) else inner
        if each and "$ref" in each:
            below = _defined(each, defined)
            start = f"{prefix}{name}." + ("<name>." if each is not inner else "")
            yield from _properties(below, attributes(below.get("description", "")), defined, start)


def _defined(of: dict[str, Any], defined: dict[str, Any]) -> dict[str, Any]:
    return dict(defined[of["$ref"].rpartition("/")[2]])


def _type(of: dict[str, Any], defined: dict[str, Any]) -> str:
    """A type of JSON Schema in words."""
    if "$ref" in of:
        names = list(_defined(of, defined)["properties"])
        return "{" + ", ".join(names[:4]) + ", …" * (len(names) > 4) + "}"
    if choices := of.get("anyOf") or of.get("oneOf"):
        return " or ".join(_type(one, defined) for one in choices)
    if "enum" in of or "const" in of:
        return " or ".join(_yaml(one) for one in of.get("enum", [of.get("const")]))
    kind = of.get("type", "anything")
    if kind == "array":
        return f"list of {_type(of['items'], defined)}" if of.get("items") else "list"
    if kind == "object":
        inner = of.get("additionalProperties")
        return f"{{name: {_type(inner, defined)}}}" if isinstance(inner, dict) and inner else "{name: …}"
    words = {"boolean": "true or false"}
    if "minimum" in of and "maximum" in of:
        return f"{kind} from {of['minimum']:,} to {of['maximum']:,}"
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    given = ", ".join(f"{word} {of[bound]:,}" for bound, word in bounds.items() if bound in of)
    return f"{words.get(kind, kind)} {given}".strip()


def _yaml(value: Any) -> str:  # noqa: ANN401 (what JSON holds)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{}"  # its keys have defaults of their own
    return value if isinstance(value, str) and value[:1].isalpha() else json.dumps(value, ensure_ascii=False)


def attributes(docstring: str) -> dict[str, str]:
    """The meanings under `Attributes:` of a docstring in Google's style, by name."""
    found: dict[str, str] = {}
    name = ""
    for line in docstring.partition("\nAttributes:\n")[2].splitlines():
        if line and not line.startswith("    "):
            break
        if line.startswith("     "):
            found[name] += f" {line.strip()}"
        elif line:
            name, _, meaning = line.strip().partition(": ")
            found[name] = meaning
    return found


def _first_line(of: Any) -> str:  # noqa: ANN401 (a class or a module)
    return (inspect.getdoc(of) or "").partition("\n\n")[0].replace("\n", " ")


def overview(width: int) -> str:
    """What there is to explain, for a terminal of so many columns."""
    names = section_names()[1:]
    column = max(map(len, names)) + 2
    lines = (f"{name:{column}}{section(name).meaning}" for name in names)
    return "\n".join(textwrap.fill(line, width, subsequent_indent=" " * column) for line in lines)


def text(one: Section, width: int) -> str:
    """A section for a terminal of so many columns."""
    lines = [f"{one.name}: {one.meaning}"]
    for key in one.keys:
        default = f"default {key.default}" if key.default else "required"
        lines += ["", f"  {key.name}: {key.type}; {default}", f"      {key.meaning}"]
    wrapped = (textwrap.wrap(line, width, subsequent_indent="      ") or [""] for line in lines)
    return "\n".join(line for whole in wrapped for line in whole)


def markdown() -> str:
    """All sections, as docs/reference.md holds them."""
    lines = ["# Every key of a config", "", "Made by `python -m pipeline explain --markdown > docs/reference.md`."]
    for one in map(section, section_names()):
        lines += ["", f"## {one.name}", "", one.meaning, "", "| key | type | default | meaning |", "|---|---|---|---|"]
        for key in one.keys:
            cells = (f"`{key.name}`", key.type, f"`{key.default}`" if key.default else "required", key.meaning)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
