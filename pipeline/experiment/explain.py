"""Explain the keys of a config: type, default and meaning of each, from the classes that check them."""

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
from components.common.words import did_you_mean
from components.families import family_names, load_family
from components.models.layer_sizes import MAX_NUMBERS, MAX_WEIGHTS
from components.sources import load_source, source_names
from components.vertex.client import VertexOptions
from pipeline.experiment.config_file import MAX_BYTES, MAX_NODES, SUFFIXES, read_config
from pipeline.experiment.dataset_checks import DatasetKeys
from pipeline.experiment.experiment import ExperimentFile
from pipeline.experiment.kubeflow_options import KubeflowOptions
from pipeline.experiment.machines import Machine
from pipeline.experiment.model_checks import ModelKeys

# A JSON Schema, or a part of one.
Schema = dict[str, Any]
INTRODUCTION = (
    f"A config is a YAML file of at most {MAX_BYTES:,} bytes and {MAX_NODES:,} values, where an alias counts as much "
    "as the value that it stands for. Values are YAML 1.2's: 1e-3 is a number; yes, no, on, off and 2020-01-31 are "
    "strings. The file's name, without .yaml or .yml, is the experiment's: small letters, digits, single - or _, 63 "
    f"at most. A model has at most {MAX_WEIGHTS:,} weights, and {MAX_NUMBERS:,} numbers in all layers' outputs for a "
    "batch."
)


@dataclass(frozen=True)
class Key:
    """A key of a config.

    Attributes:
        name: The key's name, with dots where it is inside another key. <name> stands for any name.
        type: The type in words, with its bounds.
        default: The default in YAML; empty where the key is required.
        meaning: The meaning, one or two sentences.
    """

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """Keys that belong together.

    Attributes:
        name: The section's name, such as models or families.cnn.
        meaning: The meaning, one sentence.
        keys: The keys in their order.
    """

    name: str
    meaning: str
    keys: list[Key]


def section_names() -> list[str]:
    """The names of all sections."""
    sources = [f"sources.{name}" for name in source_names()]
    families = [f"families.{name}" for name in family_names()]
    return ["experiment", "datasets", *sources, "models", *families, "vertex", "kubeflow", "machines"]


def section(name: str) -> Section:
    """The section of a name, which is one of `section_names`."""
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
    classes: dict[str, type[BaseModel]] = {"datasets": DatasetKeys, "vertex": VertexOptions}
    classes |= {"kubeflow": KubeflowOptions, "machines": Machine}
    return Section(name, _first_line(classes[name]), list(_keys(classes[name])))


def explain(*names: str) -> list[Section]:
    """Find the sections and keys of a name.

    Args:
        *names: The path of a config, which may be left out, and the name of a section or of a key in one, such as
            models, models.epochs, models.cnn or sources.csv.path. In models.x and datasets.x, x is a name in the
            config. Without a config, x is the name of a family or source.

    Raises:
        InputError: There is no such key.
    """
    config = read_config(Path(names[0])) if names[0].endswith(SUFFIXES) else {}
    if len(names) != 1 + bool(config):
        raise InputError(f"explain {' '.join(names)}: expected [CONFIG] NAME, such as models.epochs")
    name = names[-1]
    first, _, rest = name.partition(".")
    second, _, key = rest.partition(".")
    similar_names = []
    if first in ("models", "datasets"):
        families = "families", "family", family_names()
        group, choice, known = families if first == "models" else ("sources", "source", source_names())
        content = config.get(first)
        entries = content if isinstance(content, dict) else {}
        entry = entries.get(second, {choice: second})
        if isinstance(entry, dict) and entry.get(choice) in known:
            return _select([section(first), section(f"{group}.{entry[choice]}")], key, name)
        similar_names = [f"{first}.{known_name}" for known_name in (*entries, *known)]
    for start in (f"{first}.{second}", first):
        if start in section_names():
            return _select([section(start)], name.removeprefix(start).removeprefix("."), name, similar_names)
    if inner := [section(full) for full in section_names() if full.partition(".")[2] == name]:
        return inner
    similar_names = [end for full in section_names() for end in (full, full.partition(".")[2])]
    return _select(list(map(section, section_names())), name, name, similar_names)


def _select(sections: list[Section], key: str, name: str, similar_names: Sequence[str] = ()) -> list[Section]:
    """The sections that have a key, with that key and the keys inside it alone; all sections where it is empty."""
    selected = [
        Section(part.name, part.meaning, [k for k in part.keys if not key or f"{k.name}.".startswith(f"{key}.")])
        for part in sections
    ]
    if matching := [part for part in selected if part.keys or not key]:
        return matching
    known = [*similar_names, *(name.removesuffix(key) + k.name for part in sections for k in part.keys)]
    hint = did_you_mean(name, known) or f"there are: {', '.join(section_names())}"
    raise InputError(f"explain: no '{name}'; {hint}")


def _keys(cls: type[BaseModel]) -> Iterator[Key]:
    schema = cls.model_json_schema()
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        meanings |= attributes(inspect.getdoc(base) or "" if "__doc__" in vars(base) else "")
    return _properties(schema, meanings, schema.get("$defs", {}), "")


def _properties(schema: Schema, meanings: dict[str, str], definitions: Schema, prefix: str) -> Iterator[Key]:
    for name, value in schema["properties"].items():
        default = "" if name in schema.get("required", []) else _yaml(value.get("default"))
        yield Key(prefix + name, _type(value, definitions), default, meanings.get(name, "").replace("None", "null"))
        inner = next((choice for choice in value.get("anyOf", []) if "$ref" in choice), value)
        item = inner.get("additionalProperties") if isinstance(inner.get("additionalProperties"), dict) else inner
        if item and "$ref" in item:
            definition = _definition(item, definitions)
            start = f"{prefix}{name}." + ("<name>." if item is not inner else "")
            yield from _properties(definition, attributes(definition.get("description", "")), definitions, start)


def _definition(value: Schema, definitions: Schema) -> Schema:
    return dict(definitions[value["$ref"].rpartition("/")[2]])


def _type(value: Schema, definitions: Schema) -> str:
    """A type of JSON Schema in words."""
    if "$ref" in value:
        names = list(_definition(value, definitions)["properties"])
        return "{" + ", ".join(names[:4]) + ", …" * (len(names) > 4) + "}"
    if choices := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_type(choice, definitions) for choice in choices)
    if "enum" in value or "const" in value:
        return " or ".join(_yaml(choice) for choice in value.get("enum", [value.get("const")]))
    name = value.get("type", "anything")
    if name == "array":
        return f"list of {_type(value['items'], definitions)}" if value.get("items") else "list"
    if name == "object":
        inner = value.get("additionalProperties")
        return f"{{name: {_type(inner, definitions)}}}" if isinstance(inner, dict) and inner else "{name: …}"
    if "minimum" in value and "maximum" in value:
        return f"{name} from {value['minimum']:,} to {value['maximum']:,}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    bounds = ", ".join(f"{word} {value[bound]:,}" for bound, word in words.items() if bound in value)
    return f"{'true or false' if name == 'boolean' else name} {bounds}".strip()


def _yaml(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "{}"  # its keys have defaults of their own
    return value if isinstance(value, str) and value[:1].isalpha() else json.dumps(value, ensure_ascii=False)


def attributes(docstring: str) -> dict[str, str]:
    """The meanings under `Attributes:` of a docstring in Google's style, by name."""
    meanings: dict[str, str] = {}
    name = ""
    for line in docstring.partition("\nAttributes:\n")[2].splitlines():
        if line and not line.startswith("    "):
            break
        if line.startswith("     "):
            meanings[name] += f" {line.strip()}"
        elif line:
            name, _, meaning = line.strip().partition(": ")
            meanings[name] = meaning
    return meanings


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def overview(width: int) -> str:
    """The list of all sections, for a terminal of `width` columns."""
    names = section_names()[1:]
    column = max(map(len, names)) + 2
    lines = (f"{name:{column}}{section(name).meaning}" for name in names)
    return "\n".join(textwrap.fill(line, width, subsequent_indent=" " * column) for line in lines)


def text(part: Section, width: int) -> str:
    """A section for a terminal of `width` columns."""
    lines = [f"{part.name}: {part.meaning}"]
    for key in part.keys:
        default = f"default {key.default}" if key.default else "required"
        lines += ["", f"  {key.name}: {key.type}; {default}", f"      {key.meaning}"]
    wrapped = (textwrap.wrap(line, width, subsequent_indent="      ") or [""] for line in lines)
    return "\n".join(line for lines in wrapped for line in lines)


def markdown() -> str:
    """All sections in Markdown, the content of docs/reference.md."""
    lines = ["# Every key of a config", "", "Made by `python -m pipeline explain --markdown > docs/reference.md`."]
    for part in map(section, section_names()):
        lines += [
            "",
            f"## {part.name}",
            "",
            part.meaning,
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
        ]
        for key in part.keys:
            cells = (f"`{key.name}`", key.type, f"`{key.default}`" if key.default else "required", key.meaning)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
