"""Write a data set folder: read the source, write the shards, then check what was written."""

import json
import os
import shutil
from datetime import UTC
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from pydantic import ValidationError

from components.dataset import FILE, SPLITS, ImagesInfo, SeriesInfo
from components.errors import InputError
from components.files import whole_folder, write_text
from components.ingest import check_images, check_series
from components.ingest.splits import split_ends
from components.records import Images, Series
from components.spec import SeriesOptions, load_source
from components.time_axis import calendar_columns, calendar_values

# Uncompressed bytes of a shard: many enough for shuffling and for sharing among workers, few enough to open.
SHARD_BYTES = 8 << 20


def ingest(name: str, spec: str, folder: str) -> ImagesInfo | SeriesInfo:
    """Read a source and write the data set folder.

    Args:
        name: The data set's name in the experiment.
        spec: JSON of its source and options.
        folder: The folder to write; it appears whole or not at all.

    Returns:
        The description that was written to `dataset.json`.

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
    facts = source.check(checked)  # type: ignore[attr-defined]
    path = Path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(path.parent).free) < facts.bytes:
        raise InputError(f"{path.parent}: no room for {name}: {facts.bytes >> 20} MB needed, {free >> 20} MB free")
    data = source.read(checked)  # type: ignore[attr-defined]
    with whole_folder(path) as aside:
        info: ImagesInfo | SeriesInfo
        if isinstance(data, Images):
            _write_images(data, name, aside)
            info = check_images.describe(data, name, source_name, aside)
        else:
            assert isinstance(checked, SeriesOptions)  # noqa: S101 (a series source has series options)
            _write_series(data, checked, facts.rows or 0, name, aside)
            info = check_series.describe(data, checked, name, source_name, aside)
        write_text(aside / FILE, info.model_dump_json(indent=2) + "\n")
    return info


def _writer(
    folder: Path, name: str, features: tfds.features.FeaturesDict, description: str, size: int
) -> tfds.core.SequentialWriter:
    identity = tfds.core.DatasetIdentity(
        name=name.replace("-", "_"), version=tfds.core.Version("1.0.0"), data_dir=os.fspath(folder), module_name=""
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=features,
        description=description,
        supervised_keys=("image", "label") if "image" in features else None,
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=max(1, SHARD_BYTES // size))
    writer.initialize_splits(list(SPLITS))
    return writer


def _write_images(data: Images, name: str, folder: Path) -> None:
    height, width, channels = data.shape
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=data.shape, encoding_format="png"),
            "label": tfds.features.ClassLabel(names=data.classes),
        }
    )
    writer = _writer(folder, name, features, f"Labelled images of {name}.", height * width * channels)
    for split in SPLITS:
        batch: list[dict[str, object]] = []
        for i, (image, label) in enumerate(data.splits[split]()):
            if not 0 <= label < len(data.classes):
                raise InputError(f"{name}: {split} image {i}: label {label}, expected 0 to {len(data.classes) - 1}")
            batch.append({"image": image, "label": label})
            if len(batch) == 1000:
                writer.add_examples({split: batch})
                batch = []
        writer.add_examples({split: batch})
    writer.close_all()


def _write_series(data: Series, options: SeriesOptions, rows: int, name: str, folder: Path) -> None:
    columns = [*data.columns, *calendar_columns(options.calendar)]
    features = tfds.features.FeaturesDict(
        {
            "time": tfds.features.Scalar(dtype=np.int64, doc="Seconds since 1970-01-01 00:00."),
            "values": tfds.features.Tensor(shape=(len(columns),), dtype=np.float32, doc=", ".join(columns)),
        }
    )
    writer = _writer(folder, name, features, f"Rows of {name}: {', '.join(columns)}.", 4 * len(columns) + 64)
    ends = split_ends(rows, options)
    split = 0
    batch: list[dict[str, object]] = []
    for i, (time, values) in enumerate(data.rows()):
        if i == ends[split]:
            writer.add_examples({SPLITS[split]: batch})
            split, batch = split + 1, []
            if split == len(SPLITS):
                break
        seconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
        batch.append({"time": seconds, "values": [*values, *calendar_values(time, options.calendar)]})
        if len(batch) == 1000:
            writer.add_examples({SPLITS[split]: batch})
            batch = []
    else:
        writer.add_examples({SPLITS[split]: batch})
    writer.close_all()
