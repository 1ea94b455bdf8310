"""A user's data files, which are on this machine, or in Cloud Storage as gs://bucket/…."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from components.common.errors import InputError
from components.common.files import MOUNT

if TYPE_CHECKING:
    from google.cloud.storage import Blob

GS = "gs://"
# The copies of files in Cloud Storage, relative to the folder that the command is started in.
COPIES = Path("data") / "gs"
SECONDS = 60


def _absolute_path(path: str, info: ValidationInfo) -> str:
    """The absolute path of a config's path. The validation's context has the config's folder; a task's has none."""
    if not path or path.startswith(GS) or not info.context:
        return path
    if "://" in path:
        raise PydanticCustomError("path", "Input should be a file or folder of this machine, or gs://bucket/…")
    try:
        expanded = Path(path).expanduser()
        absolute = Path(os.path.normpath(Path(info.context["folder"]) / expanded))
        relative_to_cwd = not absolute.exists() and expanded.absolute().exists()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "there is no home folder for ~"
        raise PydanticCustomError("path", "Input should be a path: {reason}", {"reason": reason}) from None
    if relative_to_cwd:
        correction = os.path.relpath(expanded, info.context["folder"])
        raise PydanticCustomError(
            "path",
            "Input should be relative to the config: there is no {path}, but {existing}; write {correction}",
            {"path": str(absolute), "existing": str(expanded.absolute()), "correction": correction},
        )
    return str(absolute)


def _relative_path(path: str) -> str:
    """A path as a task gets it: relative to the working folder where it lies in that.

    The path is a part of the task's key in the cache. So a project that is copied elsewhere keeps its cache.
    """
    inside = path.startswith("/") and Path(path).is_relative_to(Path.cwd())
    return str(Path(path).relative_to(Path.cwd())) if inside else path


DataPath = Annotated[str, AfterValidator(_absolute_path), PlainSerializer(_relative_path)]
"""A file or folder of a source's options: relative to the config, from ~, absolute, or gs://bucket/…."""


@functools.cache
def local_path(path: str) -> Path:
    """The path at which a file or a folder can be read on this machine.

    On Vertex AI, buckets are mounted. Elsewhere, files that are new or changed in Cloud Storage are copied first.

    Args:
        path: A path, gs://bucket/object, or gs://bucket/folder. A registry's gs://…/current is the folder of the
            version that this object holds.

    Raises:
        InputError: There is no such object, or it can't be read.
    """
    if not path.startswith(GS):
        return Path(path)
    bucket, _, name = path.removeprefix(GS).partition("/")
    # On Kubeflow, too, there is a folder of this name, but it has only the task's own inputs and outputs.
    if (mounted := MOUNT / bucket / name).exists():
        return mounted
    return _copy_folder(path, bucket, name.rstrip("/"))


def _copy_folder(path: str, bucket: str, name: str) -> Path:
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    from components.vertex.client import storage_client
    from components.vertex.errors import error_line

    try:
        client = storage_client()
    except InputError as error:
        raise InputError(f"{path}: can't be read: {error}") from None
    try:
        listed = list(client.list_blobs(bucket, prefix=name, timeout=SECONDS))
        blobs = [b for b in listed if b.name == name or (b.name.startswith(f"{name}/") and not b.name.endswith("/"))]
        if name.endswith(_CURRENT) and [blob.name for blob in blobs] == [name]:
            version = blobs[0].download_as_text(timeout=SECONDS).strip()
            if not version.isdecimal():
                raise InputError(f"{path}: expected the number of a version in it")
            shelf = path.rstrip("/").removesuffix(_CURRENT)
            return _copy_folder(f"{shelf}/{version}", bucket, f"{name.removesuffix(_CURRENT)}/{version}")
        if escaping := [b.name for b in blobs if ".." in b.name.split("/")]:
            raise InputError(f"{path}: object '{escaping[0]}', expected names without ..")
        if not blobs:
            raise InputError(f"{path}: no such file or folder in Cloud Storage")
        copies = COPIES / bucket
        paths = {copies / blob.name for blob in blobs}
        for blob in blobs:
            _copy_file(blob, copies / blob.name)
        for file in (copies / name).rglob("*") if (copies / name).is_dir() else ():
            if file.is_file() and file not in paths:
                file.unlink()
    except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
        raise InputError(error_line(error, path)) from None
    return copies / name


# The object of a registry that holds the number of the current version.
_CURRENT = "/current"
# The generations of the copies. They aren't beside the copies, for a model's folder holds no other files.
_GENERATIONS = COPIES / ".generations"


def _copy_file(blob: "Blob", target: Path) -> None:
    """Copy an object, unless its generation has been copied already. The copy appears when it is complete."""
    generation = _GENERATIONS / target.relative_to(COPIES)
    if target.is_file() and generation.is_file() and generation.read_text(encoding="utf-8") == str(blob.generation):
        return
    for folder in (target.parent, generation.parent):
        folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    blob.download_to_filename(str(partial), timeout=SECONDS)
    partial.replace(target)
    generation.write_text(str(blob.generation), encoding="utf-8")
