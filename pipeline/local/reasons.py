"""What a task depends on, and why it runs."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from components.common.files import write_text
from components.common.spec import Strict
from pipeline.local.cache import digest
from pipeline.local.damage import set_aside

# Differences that a reason names.
SHOWN = 3
# Letters of a value that a reason shows.
LONGEST = 40


class Basis(Strict):
    """All that a task's outputs depend on.

    Attributes:
        image: Of its container.
        command: Digest of what it runs.
        parameters: Values by name.
        inputs: Digest of each input artifact, by name.
        code: Digest of each file of its code, of which a parameter is made.
    """

    image: str
    command: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    code: dict[str, str] = {}

    def key(self) -> str:
        """What its outputs are found by."""
        return digest(self.model_dump(exclude={"code"}))[:16]


_MEMORY = TypeAdapter(dict[str, Basis])


def remembered(path: Path) -> dict[str, Basis]:
    """For each task its basis in the last run that it was part of."""
    try:
        return _MEMORY.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValidationError, OSError):
        set_aside(path, "isn't what a run wrote")
        return {}


def remember(path: Path, tasks: dict[str, Basis]) -> None:
    """Write them for the next run."""
    write_text(path, _MEMORY.dump_json(tasks).decode())


def why(before: Basis | None, now: Basis, after: dict[str, str]) -> str:
    """Why a task runs whose outputs aren't there.

    Args:
        before: Its basis in the last run that it was part of.
        now: Its basis.
        after: For each input artifact the task that gave it.
    """
    if before is None:
        return "first time"
    names = [name for name, value in now.parameters.items() if value != before.parameters.get(name)]
    if differences := [one for name in names for one in _differences(name, before, now)]:
        return ", ".join(differences[:SHOWN]) + (" …" if len(differences) > SHOWN else "")
    if names:
        return "the pipeline changed"
    if (before.image, before.command) != (now.image, now.command):
        return "its component or image changed"
    changed = [after[name] for name, value in now.inputs.items() if value != before.inputs.get(name)]
    if changed := list(dict.fromkeys(changed)):
        return f"after {changed[0]}" + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
    return "its inputs are fewer" if before.inputs.keys() - now.inputs.keys() else "its outputs are gone"


def _differences(name: str, before: Basis, now: Basis) -> list[str]:
    if name == "code_version":
        return [_code(before.code, now.code)]
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


def _difference(key: str, old: Any, new: Any) -> str:  # noqa: ANN401 (JSON values)
    before, now = _text(old), _text(new)
    return f"{key}: {before} → {now}" if max(len(before), len(now)) <= LONGEST else f"{key} changed"


def _text(value: Any) -> str:  # noqa: ANN401 (JSON values)
    return "default" if value is None else value if isinstance(value, str) else json.dumps(value)


def _code(before: dict[str, str], now: dict[str, str]) -> str:
    changed = sorted({name for name, _ in before.items() ^ now.items()}) if before else []
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"its code changed: {changed[0]}{more}" if changed else "its code changed"
