"""The sources of data, one in each file. A new file here is a new source, without any other change."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from components.common.contract import load_file
from components.common.errors import InputError
from components.common.spec import Facts, ImageOptions, SeriesOptions, Task
from components.common.words import did_you_mean
from components.data.source_data import Images, Series

SourceOptions = ImageOptions | SeriesOptions


@dataclass(frozen=True)
class Source:
    """A source of data: a file in components/sources, which defines these names.

    Attributes:
        doc: The file's docstring.
        TASK: The task of its data.
        Options: The class of its keys in a config.
        check: A function that checks the options and returns the `Facts` of the data.
        read: A function that returns the data. It imports large libraries itself, so that the file loads fast.
        fetch: An optional function that downloads or prepares the data before a local run.
    """

    doc: str
    TASK: Task
    Options: type[ImageOptions] | type[SeriesOptions]
    check: Callable[[SourceOptions], Facts]
    read: Callable[[SourceOptions], Images | Series]
    fetch: Callable[[SourceOptions], object] | None = None


def source_names() -> list[str]:
    """The names of the sources, which are the files in components/sources."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_source(name: str) -> Source:
    """Import a source by name.

    Raises:
        InputError: There is no such file in components/sources, or it lacks a name that a source defines.
    """
    if name not in source_names():
        hint = did_you_mean(name, source_names()) or f"there are: {', '.join(source_names())}"
        raise InputError(f"unknown source '{name}'; {hint}")
    return load_file(Source, f"{__name__}.{name}")
