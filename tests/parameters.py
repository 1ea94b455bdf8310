"""Whether a run's values are those that a compiled pipeline's parameters want: both test servers ask."""

from collections.abc import Iterator
from typing import Any

_TYPES = {"STRING": str, "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool}
_TYPES |= {"LIST": list, "STRUCT": dict}


def problems(spec: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the values; a protobuf's have no whole numbers."""
    wanted = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, value in values.items():
        if name not in wanted:
            yield f"parameter {name} is not defined"
            continue
        kind = wanted[name]["parameterType"]
        right = isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "BOOLEAN")
        if not right or (kind == "NUMBER_INTEGER" and not float(value).is_integer()):
            yield f"parameter {name} is {value!r}, expected {kind}"
    for name, definition in wanted.items():
        if name not in values and "defaultValue" not in definition and not definition.get("isOptional"):
            yield f"parameter {name} is missing"
