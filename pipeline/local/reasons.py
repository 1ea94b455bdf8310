"""The reason why a task runs: a change in what its outputs depend on."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError, field_validator

from components.common.files import write_text
from components.common.spec import Strict
from components.common.words import some
from pipeline.local.cache import digest
from pipeline.local.damage import set_aside

# The most differences that a reason names.
SHOWN = 3
# The longest value that a reason shows, in characters.
LONGEST = 40


class Basis(Strict):
    """All that a task's outputs depend on, and what it took.

    Attributes:
        image: The name of its container's image.
        command: The digest of its command.
        parameters: The values of its parameters, by name.
        inputs: The digests of its input artifacts, by name.
        code: The digests of the files of its code. The parameter `code_version` is computed from them.
        seconds: What it took when it last ran; None where it never did.
    """

    image: str
    command: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    code: dict[str, str] = {}
    seconds: float | None = None

    @field_validator("parameters")
    @classmethod
    def _without_places(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters without the folder of checkpoints, which an output doesn't depend on."""
        return {name: value for name, value in parameters.items() if name != "checkpoints"}

    def key(self) -> str:
        """The end of the name of its outputs' folder."""
        return digest(self.model_dump(exclude={"code", "seconds"}))[:16]


_MEMORY = TypeAdapter(dict[str, Basis])


def remembered(path: Path) -> dict[str, Basis]:
    """Read the basis of each task in the last run that it was part of."""
    try:
        return _MEMORY.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValidationError, OSError):
        set_aside(path, "isn't what a run wrote")
        return {}


def remember(path: Path, tasks: dict[str, Basis]) -> None:
    """Write the basis of each task for the next run."""
    write_text(path, _MEMORY.dump_json(tasks).decode())


def why(before: Basis | None, now: Basis, after: dict[str, str]) -> str:
    """The reason why a task runs that has no outputs of an earlier run; `after` has each input artifact's producer."""
    if before is None:
        return "first time"
    names = [name for name, value in now.parameters.items() if value != before.parameters.get(name)]
    if differences := [text for name in names for text in _differences(name, before, now)]:
        return ", ".join(differences[:SHOWN]) + (" …" if len(differences) > SHOWN else "")
    if names:
        return "the pipeline changed"
    if (before.image, before.command) != (now.image, now.command):
        return "its component or image changed"
    changed = {after[name]: None for name, value in now.inputs.items() if value != before.inputs.get(name)}
    if changed:
        return f"after {some(list(changed), 1)}"
    if before.inputs.keys() - now.inputs.keys():
        return "its inputs are fewer"
    return "first time" if before.seconds is None else "its outputs are gone"


def _differences(name: str, before: Basis, now: Basis) -> list[str]:
    if name == "code_version":
        changed = sorted({file for file, _ in before.code.items() ^ now.code.items()}) if before.code else []
        return [f"its code changed: {some(changed, 1)}" if changed else "its code changed"]
    if name == "fingerprint":
        return ["its data changed"]
    if name == "pipeline_sha256":
        return []
    old: Any = before.parameters.get(name)
    new: Any = now.parameters[name]
    try:
        left, right = json.loads(old), json.loads(new)
        changed = [key for key in {**left, **right} if left.get(key) != right.get(key) and key != "code_version"]
    except (TypeError, ValueError, AttributeError):
        return [_difference(name, old, new)]
    return [_difference(key, left.get(key), right.get(key)) for key in changed]


def _difference(key: str, *values: object) -> str:
    texts = ["default" if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
    return f"{key} changed" if max(map(len, texts)) > LONGEST else f"{key}: {' → '.join(texts)}"
