"""Write a data set's folder: read the source, write the shards, then check the written records."""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from pydantic import ValidationError

from components.artifacts.dataset import SPLITS, ImagesInfo, SeriesInfo
from components.common.errors import InputError
from components.common.files import atomic_directory
from components.common.spec import SeriesOptions
from components.data.source_data import Images, Series
from components.data.splits import split_ends
from components.ingest import check_images, check_series, many_series
from components.ingest.tfrecords import image_record, row_record, row_types, write_metadata, write_split
from components.readers.time_axis import calendar_columns, calendar_values, seconds_of
from components.sources import load_source


def ingest(name: str, spec: str, folder: str) -> ImagesInfo | SeriesInfo:
    """Read a source, and write the data set's folder.

    Args:
        name: The data set's name in the experiment.
        spec: The source and its options as JSON.
        folder: The folder to write. It appears as a whole or not at all.

    Returns:
        The content of `dataset.json`.

    Raises:
        InputError: The data aren't as the options say, or the disk has no room.
    """
    options = json.loads(spec)
    source_name = options.pop("source")
    source = load_source(source_name)
    try:
        checked = source.Options.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{name}: {first['loc']}: {first['input']!r}: {first['msg']}") from None
    facts = source.check(checked)
    path = Path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(path.parent).free) < facts.bytes:
        raise InputError(f"{path.parent}: no room for {name}: {facts.bytes >> 20} MB needed, {free >> 20} MB free")
    for what, found in facts.found.items():
        print(f"{name}: {what}: {found}", flush=True)
    data = source.read(checked)
    with atomic_directory(path) as partial:
        info: ImagesInfo | SeriesInfo
        if isinstance(data, Images):
            _write_images(data, name, partial)
            info = check_images.describe(data, name, source_name, partial)
        else:
            assert isinstance(checked, SeriesOptions)  # noqa: S101 (a series source has series options)
            if data.many:
                names = many_series.write(data, checked, facts, name, partial)
                info = many_series.describe(data, checked, facts, names, name, source_name, partial)
            else:
                _write_series(data, checked, facts.rows or 0, name, partial)
                info = check_series.describe(data, checked, facts, name, source_name, partial)
        info.save(partial)
    return info


def _write_images(data: Images, name: str, folder: Path) -> None:
    def records(split: str) -> Iterator[bytes]:
        files = iter(data.files.get(split, ()))
        for i, (image, label) in enumerate(data.splits[split]()):
            if not 0 <= label < len(data.classes):
                raise InputError(f"{name}: {split} image {i}: label {label}, expected 0 to {len(data.classes) - 1}")
            yield image_record(image, label, next(files) if data.files else None)

    size = int(np.prod(data.shape))
    types = {
        "image": tfds.features.Image(shape=data.shape, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=data.classes),
    }
    if data.files:
        types["file"] = tfds.features.Text()
    features = tfds.features.FeaturesDict(types)
    stored = [write_split(folder, name, split, records(split), size) for split in SPLITS]
    write_metadata(folder, features, stored, f"Labelled images of {name}.")


def _write_series(data: Series, options: SeriesOptions, rows: int, name: str, folder: Path) -> None:
    columns = [*data.columns, *calendar_columns(options.calendar)]

    def records() -> Iterator[bytes]:
        for time, values in data.rows():
            yield row_record(seconds_of(time), [*values, *calendar_values(time, options.calendar)])

    size = 4 * len(columns) + 64
    remaining = records()
    ends = split_ends(rows, options)
    lengths = np.diff([0, *ends]).tolist()
    stored = [
        write_split(folder, name, split, islice(remaining, length), size)
        for split, length in zip(SPLITS, lengths, strict=True)
    ]
    read = sum(split.num_examples for split in stored)
    if ends[-1] == rows:  # else `use` leaves out the last ones
        read += sum(1 for _ in remaining)
    if read != ends[-1]:
        raise InputError(f"{name}: {read:,} rows were read, expected {rows:,}, as the source's check says")
    write_metadata(folder, row_types(columns), stored, f"Rows of {name}: {', '.join(columns)}.")
