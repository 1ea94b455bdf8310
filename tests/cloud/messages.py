"""The messages of google.cloud.aiplatform.v1 without proto-plus, and the small things that are done with them."""

import time
from collections.abc import Iterable
from typing import Any

from google.cloud.aiplatform_v1 import types
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


class _Messages:
    """Gives the protobuf class of a name: `pb.PipelineJob()`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(types, name).meta.pb


pb = _Messages()


def stamp(field: Timestamp, seconds: float | None = None) -> None:
    """Set a time, by default to now."""
    field.FromMicroseconds(int((time.time() if seconds is None else seconds) * 1e6))


def made(message: Any, seconds: float | None = None) -> None:
    """Set the times of a resource that was created."""
    stamp(message.create_time, seconds)
    message.update_time.CopyFrom(message.create_time)


def copy(message: Any) -> Any:
    """A copy that can be changed."""
    new = type(message)()
    new.CopyFrom(message)
    return new


def keep(message: Any, paths: Iterable[str]) -> Any:
    """A copy with some fields alone, as a read mask asks for."""
    new = type(message)()
    for path in {path.split(".")[0] for path in paths}:
        _set(new, message, path)
    return new


def update(target: Any, source: Any, paths: Iterable[str]) -> None:
    """Take fields from `source`, whole, as an update mask asks for."""
    for path in {path.split(".")[0] for path in paths}:
        target.ClearField(path)
        _set(target, source, path)


def _set(target: Any, source: Any, path: str) -> None:
    field = target.DESCRIPTOR.fields_by_name[path]
    value = getattr(source, path)
    if field.is_repeated:
        getattr(target, path).MergeFrom(value)
    elif isinstance(value, Message):
        if source.HasField(path):
            getattr(target, path).CopyFrom(value)
    else:
        setattr(target, path, value)
