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


def made(message: Any, seconds: float | None = None) -> None:
    """Set the times of a resource that was created."""
    stamp(message.create_time, seconds)
    message.update_time.CopyFrom(message.create_time)


def copy(message: Any) -> Any:
    """A copy that can be changed."""
    new = type(message)()
    new.CopyFrom(message)
    return new
