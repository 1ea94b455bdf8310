"""Where data come from, one file a source. A new file here is a new source: nothing else has to be edited."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.common.contract import load_file
from components.common.errors import InputError
from components.common.spec import Facts, ImageOptions, SeriesOptions, Task
from components.data.records import Images, Series


@dataclass(frozen=True)
class Source:
    """Where data come from: a file in components/sources, which holds these under the same names.

    Attributes:
        doc: The file's docstring.
        TASK: What its data are for.
        Options: Its keys in a config.
        check: Gives the `Facts` of the data that `Options` name.
        read: Gives these data. It imports what it needs itself.
        fetch: Optional. Downloads or prepares the data before a local run.
    """

    doc: str
    TASK: Task
    Options: type[ImageOptions] | type[SeriesOptions]
    check: Callable[[Any], Facts]
    read: Callable[[Any], Images | Series]
    fetch: Callable[[Any], object] | None = None


def source_names() -> list[str]:
    """Names of the files in components/sources."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_source(name: str) -> Source:
    """Import a source by name.

    Raises:
        InputError: There is no such file in components/sources, or it lacks something.
    """
    if name not in source_names():
        raise InputError(f"unknown source '{name}'; there are: {', '.join(source_names())}")
    return load_file(Source, f"{__name__}.{name}")
