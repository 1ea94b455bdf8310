"""The messages of google.cloud.aiplatform.v1 without proto-plus, and the small things that are done with them."""

import time
from typing import Any

from google.cloud.aiplatform_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp


class _Messages:
    """Gives the protobuf class of a name: `pb.PipelineJob()`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(types, name).meta.pb


pb = _Messages()


def stamp(field: Timestamp, seconds: float | None = None) -> None:
    """Set a time, by default to now."""
    field.FromMicroseconds(int((time.time() if seconds is None else seconds) * 1e6))


def made(message: Any, name: str = "", **fields: Any) -> Any:
    """A copy of a message as the resource that is made of it: with times, a name and other fields."""
    new = type(message)()
    new.CopyFrom(message)
    stamp(new.create_time)
    new.update_time.CopyFrom(new.create_time)
    for field, value in {"name": name, **fields}.items():
        setattr(new, field, value)
    return new
