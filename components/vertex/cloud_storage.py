"""A user's data files, wherever they are: on this machine, or in Cloud Storage as gs://bucket/…."""

import functools
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, ValidationInfo
from pydantic_core import PydanticCustomError

from components.common.errors import InputError
from components.common.files import MOUNT

GS = "gs://"
# Copies of what lies in Cloud Storage, relative to the folder that the command is started in.
COPIES = Path("data") / "gs"
SECONDS = 60


def _placed(path: str, info: ValidationInfo) -> str:
    """The whole path of one that a config names, whose folder is the validation's context; a task's has none."""
    if not path or path.startswith(GS) or not info.context:
        return path
    try:
        given = Path(path).expanduser()
        whole = Path(os.path.normpath(Path(info.context["folder"]) / given))
        elsewhere = not whole.exists() and given.absolute().exists()
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "there is no home folder for ~"
        raise PydanticCustomError("path", "Input should be a path: {why}", {"why": why}) from None
    if elsewhere:
        beside = os.path.relpath(given, info.context["folder"])
        raise PydanticCustomError(
            "path",
            "Input should be relative to the config: there is no {whole}, but {other}; write {beside}",
            {"whole": str(whole), "other": str(given.absolute()), "beside": beside},
        )
    return str(whole)


def _named(path: str) -> str:
    """A path as a task is told it: from the working folder, which it shares, where it lies in it.

    It is a part of the task's key in the cache, so that a project that was copied elsewhere has the same.
    """
    whole = Path(path)
    return str(whole.relative_to(Path.cwd())) if path.startswith("/") and whole.is_relative_to(Path.cwd()) else path


DataPath = Annotated[str, AfterValidator(_placed), PlainSerializer(_named)]
"""A file or folder of a source's options: relative to the config, from ~, whole, or gs://bucket/…."""


@functools.cache
def local(path: str) -> Path:
    """Where a file or a folder can be read.

    On Vertex AI buckets are mounted. Elsewhere what is new or changed in Cloud Storage is copied first.

    Args:
        path: A path, or gs://bucket/object, or gs://bucket/folder. A registry's gs://…/current is the folder of the
            version that this object holds.

    Raises:
        InputError: There is no such object, or it can't be read.
    """
    if not path.startswith(GS):
        return Path(path)
    bucket, _, name = path.removeprefix(GS).partition("/")
    # On Kubeflow there is a folder of this name, too, which holds what the task itself reads and writes.
    if (mounted := MOUNT / bucket / name).exists():
        return mounted
    return _copied(path, bucket, name.rstrip("/"))


def _copied(path: str, bucket: str, name: str) -> Path:
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    from components.vertex.client import credentials, explain

    try:
        client = storage.Client(project="none", credentials=credentials())
        listed = list(client.list_blobs(bucket, prefix=name, timeout=SECONDS))
        blobs = [b for b in listed if b.name == name or (b.name.startswith(f"{name}/") and not b.name.endswith("/"))]
        if name.endswith(_CURRENT) and [blob.name for blob in blobs] == [name]:
            version = blobs[0].download_as_text(timeout=SECONDS).strip()
            if not version.isdecimal():
                raise InputError(f"{path}: expected the number of a version in it")
            shelf = path.rstrip("/").removesuffix(_CURRENT)
            return _copied(f"{shelf}/{version}", bucket, f"{name.removesuffix(_CURRENT)}/{version}")
        if escaping := [b.name for b in blobs if ".." in b.name.split("/")]:
            raise InputError(f"{path}: object '{escaping[0]}', expected names without ..")
        if not blobs:
            raise InputError(f"{path}: no such file or folder in Cloud Storage")
        place = COPIES / bucket
        wanted = {place / blob.name for blob in blobs}
        for blob in blobs:
            _copy(blob, place / blob.name)
        for old in (place / name).rglob("*") if (place / name).is_dir() else ():
            if old.is_file() and old not in wanted:
                old.unlink()
    except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
        raise InputError(explain(error, path)) from None
    return place / name


# The object of a registry that holds the number of a version.
_CURRENT = "/current"
# The generations of the copies, beside them: a model's folder holds no file that register didn't write.
_MARKS = COPIES / ".generations"


def _copy(blob: Any, target: Path) -> None:  # noqa: ANN401 (a Blob)
    """Copy an object whose generation isn't the one that is here; whole or not at all."""
    mark = _MARKS / target.relative_to(COPIES)
    if target.is_file() and mark.is_file() and mark.read_text(encoding="utf-8") == str(blob.generation):
        return
    for folder in (target.parent, mark.parent):
        folder.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.partial")
    blob.download_to_filename(str(aside), timeout=SECONDS)
    aside.replace(target)
    mark.write_text(str(blob.generation), encoding="utf-8")
