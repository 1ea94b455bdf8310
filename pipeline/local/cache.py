"""The outputs of finished tasks, which later runs use again after a check.

Each task has a folder of its own, named after what its outputs depend on. Its manifest lists every file with size,
time and digest, and is written last: a folder without one belongs to a task that didn't finish. Its paths are
relative, so that a project may be moved or copied.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from components.common.files import sha256, sync, write_text
from components.common.spec import Strict

MANIFEST = "manifest.json"


class DamagedError(Exception):
    """The files of a folder aren't those that a finished task wrote."""


class File(Strict):
    """A file of an output.

    Attributes:
        bytes: The file's size.
        modified: The time of its last change, in nanoseconds since 1970.
        sha256: The digest of its content.
    """

    bytes: int
    modified: int
    sha256: str


class Artifact(Strict):
    """An output artifact.

    Attributes:
        type: KFP's schema of the artifact.
        metadata: The artifact's metadata, written by the task.
        path: The path of its file or folder, relative to the task's folder.
        files: Its files, by their path relative to the task's folder.
    """

    type: dict[str, str]
    metadata: dict[str, Any]
    path: str
    files: dict[str, File]

    def digest(self) -> str:
        """The digest of the metadata and files, which are all that another task can read."""
        return digest([self.metadata, {name: [file.bytes, file.sha256] for name, file in self.files.items()}])


class Outputs(Strict):
    """All outputs of a task, as the manifest stores them.

    Attributes:
        parameters: The output parameters, by name.
        artifacts: The output artifacts, by name.
        folder: The task's folder, which isn't stored.
    """

    parameters: dict[str, Any]
    artifacts: dict[str, Artifact]
    folder: Path = Field(default=Path(), exclude=True)

    def path(self, artifact: str) -> Path:
        """The path of an output artifact."""
        return self.folder / self.artifacts[artifact].path


def digest(value: object) -> str:
    """The SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def save_outputs(folder: Path, executor: dict[str, Any], component: dict[str, Any]) -> Outputs:
    """Read the outputs of a task that finished, from its folder and its ExecutorInput, and write its manifest.

    Raises:
        ValueError: An output isn't of its type.
    """
    output: dict[str, Any] = {}
    if (path := Path(executor["outputs"]["outputFile"])).exists():
        output = json.loads(path.read_text(encoding="utf-8"))
    parameters = dict(output.get("parameterValues", {}))
    for name, about in component.get("outputDefinitions", {}).get("parameters", {}).items():
        if (path := folder / name).is_file():
            text = path.read_text(encoding="utf-8")
            parameters[name] = text if about["parameterType"] == "STRING" else json.loads(text)
        if about["parameterType"] == "NUMBER_INTEGER" and name in parameters:
            parameters[name] = int(parameters[name])
    artifacts = {}
    for name, requested in executor["outputs"]["artifacts"].items():
        about = requested["artifacts"][0] | output.get("artifacts", {}).get(name, requested)["artifacts"][0]
        place = os.path.relpath(about["uri"], folder)
        files = {file: _describe(folder / file) for file in _files(folder, place)}
        sync(*(folder / file for file in files))
        artifacts[name] = Artifact(type=about["type"], metadata=about.get("metadata", {}), path=place, files=files)
    outputs = Outputs(parameters=parameters, artifacts=artifacts, folder=folder)
    _write(outputs)
    return outputs


def load_outputs(folder: Path, digests: bool = False) -> Outputs:
    """Load the outputs of a finished task, and check that its files are unchanged.

    A file whose size and time are those of the manifest is taken as unchanged. Of other files the digest is compared;
    with `digests`, that of all.

    Raises:
        FileNotFoundError: There is no such folder.
        DamagedError: The task didn't finish, or a file was changed, added or removed. The message says which.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        outputs = Outputs.model_validate_json((folder / MANIFEST).read_bytes()).model_copy(update={"folder": folder})
    except FileNotFoundError:
        raise DamagedError("it didn't finish the last time") from None
    except (ValidationError, OSError):
        raise DamagedError("the manifest of its outputs was changed") from None
    touched = False
    for artifact in outputs.artifacts.values():
        present = set(_files(folder, artifact.path))
        for name in sorted(present ^ artifact.files.keys()):
            raise DamagedError(f"its output {name} {'was added' if name in present else 'is gone'}")
        for name, file in artifact.files.items():
            try:
                status = (folder / name).stat()
                same = (status.st_size, status.st_mtime_ns) == (file.bytes, file.modified)
                now = file if same and not digests else _describe(folder / name)
            except OSError as error:
                raise DamagedError(f"its output {name} can't be read: {error.strerror}") from None
            if (now.bytes, now.sha256) != (file.bytes, file.sha256):
                raise DamagedError(f"its output {name} was changed")
            artifact.files[name], touched = now, touched or now != file
    if touched:
        _write(outputs)
    return outputs


def _files(folder: Path, place: str) -> Iterator[str]:
    """The files of an artifact."""
    path = folder / place
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_symlink() or not file.is_dir():
            yield file.relative_to(folder).as_posix()


def _describe(path: Path) -> File:
    status = path.stat()
    return File(bytes=status.st_size, modified=status.st_mtime_ns, sha256=sha256([path]))


def _write(outputs: Outputs) -> None:
    write_text(outputs.folder / MANIFEST, outputs.model_dump_json())
    sync(outputs.folder.parent)
