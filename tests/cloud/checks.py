"""What Vertex AI demands of fields that many requests have."""

import re
from typing import Any

from errors import Found
from state import FORBIDDEN_BUCKET, State

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_GS = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*))?")
_FORMS = {
    "service_account": re.compile(r"[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com"),
    "network": re.compile(r"projects/[^/]+/global/networks/[a-z]([-a-z0-9]{0,61}[a-z0-9])?"),
    "tensorboard": re.compile(r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+"),
}
# The file of an object whose name ends with a slash.
FOLDER = ".folder"


def common(found: Found, message: Any, path: str, named: bool = True) -> None:
    """Hold those fields of a message at `path` that many have against the rules; `named`: it needs a display name."""
    fields = message.DESCRIPTOR.fields_by_name
    if "display_name" in fields:
        name = message.display_name
        right = int(named) <= len(name) <= 128
        found.need(right, f"{path}.display_name", f"'{name}' has {len(name)} characters, expected 1 to 128")
    # cloud.google.com/resource-manager/docs/labels-overview
    labels = message.labels if "labels" in fields else {}
    found.need(len(labels) <= 64, f"{path}.labels", f"{len(labels)} labels, expected at most 64")
    for key, value in labels.items():
        found.need(_LABEL_KEY.fullmatch(key), f"{path}.labels", f"the key '{key}' is not a valid label key")
        right = _LABEL_VALUE.fullmatch(value)
        found.need(right, f"{path}.labels", f"'{value}' is not a valid value of the label '{key}'")
    for field in _FORMS.keys() & fields.keys():
        value = getattr(message, field)
        found.need(not value or _FORMS[field].fullmatch(value), f"{path}.{field}", f"'{value}' is not a {field}")


def gs(found: Found, state: State, value: str, field: str) -> tuple[str, str] | None:
    """The bucket and the object's name of a path of Cloud Storage; None where something is wrong with them."""
    match = _GS.fullmatch(value)
    if not found.need(match, field, f"'{value}' is not a path of Cloud Storage (gs://bucket/object)"):
        return None
    known = match[1] in state.settings.buckets
    why = "can't be read" if match[1] == FORBIDDEN_BUCKET else "does not exist"
    found.need(known, field, f"'{value}': the bucket {match[1]} {why}")
    return (match[1], match[2] or "") if known else None


def objects(state: State, bucket: str, prefix: str) -> list[str]:
    """Names of a bucket's objects that start with a prefix."""
    root = state.bucket(bucket)
    names = (str(path.relative_to(root)).removesuffix(FOLDER) for path in root.rglob("*") if path.is_file())
    return sorted(name for name in names if name.startswith(prefix))
