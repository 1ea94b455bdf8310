"""What Vertex AI demands of fields that many requests have."""

import re
from typing import Any

from errors import Found
from state import FORBIDDEN_BUCKET, State

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_EMAIL = re.compile(r"[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com")
_NETWORK = re.compile(r"projects/[^/]+/global/networks/[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_TENSORBOARD = re.compile(r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+")
_GS = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*))?")
LABELS = 64
# The file of an object whose name ends with a slash.
FOLDER = ".folder"


def display_name(found: Found, value: str, field: str = "display_name") -> None:
    """1 to 128 characters."""
    found.need(1 <= len(value) <= 128, field, f"'{value}' has {len(value)} characters, expected 1 to 128")


def labels(found: Found, values: Any, field: str = "labels") -> None:
    """Google's rules of labels, cloud.google.com/resource-manager/docs/labels-overview."""
    found.need(len(values) <= LABELS, field, f"{len(values)} labels, expected at most {LABELS}")
    for key, value in values.items():
        found.need(_LABEL_KEY.fullmatch(key), field, f"the key '{key}' is not a valid label key")
        found.need(_LABEL_VALUE.fullmatch(value), field, f"'{value}' is not a valid value of the label '{key}'")


def account(found: Found, value: str, field: str = "service_account") -> None:
    """A service account's e-mail address, where one is given."""
    found.need(not value or _EMAIL.fullmatch(value), field, f"'{value}' is not a service account's e-mail address")


def network(found: Found, value: str, field: str = "network") -> None:
    """A network's full name, where one is given."""
    full = "projects/{project}/global/networks/{network}"
    found.need(not value or _NETWORK.fullmatch(value), field, f"'{value}' is not of the form {full}")


def tensorboard(found: Found, value: str, field: str = "tensorboard") -> None:
    """A TensorBoard's full name, where one is given."""
    full = "projects/{project}/locations/{location}/tensorboards/{tensorboard}"
    found.need(not value or _TENSORBOARD.fullmatch(value), field, f"'{value}' is not of the form {full}")


def gs(found: Found, state: State, value: str, field: str) -> tuple[str, str] | None:
    """A path of Cloud Storage whose bucket there is.

    Returns:
        The bucket and the object's name, or None where something is wrong with them.
    """
    match = _GS.fullmatch(value)
    if not found.need(match, field, f"'{value}' is not a path of Cloud Storage (gs://bucket/object)"):
        return None
    bucket = match[1]
    if bucket == FORBIDDEN_BUCKET:
        found.add(field, f"'{value}': the service account can't read the bucket {bucket}")
        return None
    if not found.need(bucket in state.settings.buckets, field, f"'{value}': the bucket {bucket} does not exist"):
        return None
    return bucket, match[2] or ""


def objects(state: State, bucket: str, prefix: str) -> list[str]:
    """Names of a bucket's objects that start with a prefix."""
    root = state.bucket(bucket)
    names = (str(path.relative_to(root)).removesuffix(FOLDER) for path in root.rglob("*") if path.is_file())
    return sorted(name for name in names if name.startswith(prefix))


def folder(prefix: str) -> str:
    """A prefix that only matches what lies below the folder that it names."""
    return f"{prefix.rstrip('/')}/" if prefix else ""
