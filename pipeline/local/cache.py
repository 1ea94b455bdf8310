"""What finished tasks left: found again by what it depends on, and looked at before it is believed.

Each task has a folder of its own. Its manifest, which names every file with size, time and digest, is written last:
without it the folder is nothing. No path in it is absolute, so that a project may be moved or copied.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.common.spec import Strict
from pipeline.local.damage import remove

MANIFEST = "manifest.json"


class DamagedError(Exception):
    """Why a folder isn't what a finished task left."""


class File(Strict):
    """A file of an output.

    Attributes:
        bytes: Its size.
        modified: When it was last changed, nanoseconds since 1970.
        sha256: Its digest.
    """

    bytes: int
    modified: int
    sha256: str


class Artifact(Strict):
    """An output artifact.

    Attributes:
        type: KFP's schema of it.
        metadata: What the task said of it.
        path: Of its file or folder, relative to the task's folder; or an address such as gs://….
        files: By path, relative to the task's folder.
    """

    type: dict[str, str]
    metadata: dict[str, Any]
    path: str
    files: dict[str, File]

    def digest(self) -> str:
        """Of all that another task can see of it."""
        return digest([self.metadata, {name: [file.bytes, file.sha256] for name, file in self.files.items()}])


class Outputs(Strict):
    """All that a task gave: the manifest.

    Attributes:
        parameters: By name.
        artifacts: By name.
    """

    parameters: dict[str, Any]
    artifacts: dict[str, Artifact]


def digest(value: Any) -> str:  # noqa: ANN401 (anything JSON can hold)
    """The SHA-256 of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def keep(folder: Path, given: dict[str, Any], component: dict[str, Any]) -> Outputs:
    """Read what a task gave, and write its manifest.

    Args:
        folder: The task's.
        given: Its ExecutorInput.
        component: The component's inputs and outputs.

    Raises:
        ValueError: An output isn't of its type.
    """
    said: dict[str, Any] = {}
    if (path := Path(given["outputs"]["outputFile"])).exists():
        said = json.loads(path.read_text(encoding="utf-8"))
    parameters = dict(said.get("parameterValues", {}))
    for name, about in component.get("outputDefinitions", {}).get("parameters", {}).items():
        if (path := folder / name).is_file():
            text = path.read_text(encoding="utf-8")
            parameters[name] = text if about["parameterType"] == "STRING" else json.loads(text)
        if about["parameterType"] == "NUMBER_INTEGER" and name in parameters:
            parameters[name] = int(parameters[name])
    artifacts = {}
    for name, asked in given["outputs"]["artifacts"].items():
        gave = {**asked["artifacts"][0], **said.get("artifacts", {}).get(name, asked)["artifacts"][0]}
        place = os.path.relpath(gave["uri"], folder) if gave["uri"].startswith("/") else gave["uri"]
        files = {file: _about(folder / file, flush=True) for file in _files(folder, place)}
        artifacts[name] = Artifact(type=gave["type"], metadata=gave.get("metadata", {}), path=place, files=files)
    outputs = Outputs(parameters=parameters, artifacts=artifacts)
    _write(folder, outputs)
    return outputs


def look(folder: Path, digests: bool = False) -> Outputs:
    """What a finished task left, if it is all there as it was left.

    Files whose size and time are those of the manifest are believed; of others the digest is looked at.

    Args:
        folder: The task's.
        digests: Look at the digests of all.

    Raises:
        FileNotFoundError: There is no such folder.
        DamagedError: What is wrong with it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        outputs = Outputs.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise DamagedError("it didn't finish the last time") from None
    except (ValidationError, OSError):
        raise DamagedError("the manifest of its outputs was changed") from None
    touched = False
    for artifact in outputs.artifacts.values():
        there = set(_files(folder, artifact.path))
        for name in sorted(there ^ artifact.files.keys()):
            raise DamagedError(f"its output {name} {'was added' if name in there else 'is gone'}")
        for name, file in artifact.files.items():
            try:
                status = (folder / name).stat()
                same = (status.st_size, status.st_mtime_ns) == (file.bytes, file.modified)
                now = file if same and not digests else _about(folder / name)
            except OSError as error:
                raise DamagedError(f"its output {name} can't be read: {error.strerror}") from None
            if (now.bytes, now.sha256) != (file.bytes, file.sha256):
                raise DamagedError(f"its output {name} was changed")
            artifact.files[name], touched = now, touched or now != file
    if touched:
        _write(folder, outputs)
    return outputs


def tidy(folders: Path) -> None:
    """Remove what tasks left that didn't finish."""
    for folder in folders.iterdir():
        if not (folder / MANIFEST).exists():
            remove(folder)


def _files(folder: Path, place: str) -> Iterator[str]:
    """The files of an artifact; none where it lies elsewhere."""
    path = folder / place
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_symlink() or not file.is_dir():
            yield file.relative_to(folder).as_posix()


def _about(path: Path, flush: bool = False) -> File:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if flush:
            os.fsync(file.fileno())
    return File(bytes=status.st_size, modified=status.st_mtime_ns, sha256=found)


def _write(folder: Path, outputs: Outputs) -> None:
    new = folder / f".{MANIFEST}.partial"
    with new.open("w", encoding="utf-8") as file:
        file.write(outputs.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / MANIFEST)
    for changed in (folder, folder.parent):
        descriptor = os.open(changed, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
