"""Find the TFRecord files of a data set's folder, and check that they are complete.

The check is needed because TensorFlow takes the end of a file for the end of the data, and would ignore lost records.
"""

import json
import struct
from pathlib import Path

from components.common.errors import InputError
from components.common.words import counted

# TFDS' description of the folder, which has the number of records of each shard.
DESCRIPTION = "dataset_info.json"
# A record begins with its length in 8 bytes, and has 16 bytes of length and checksums beside its data
# (tensorflow.org/tutorials/load_data/tfrecord).
_LENGTH, _OVERHEAD = struct.Struct("<Q"), 16


def tfrecord_paths(folder: Path | str, split: str, count: int | None = None) -> list[str]:
    """The paths of the TFRecord files of a split, in their order.

    The sum of their sizes is compared with the size that ingest wrote. Only where it differs, records are counted.

    Args:
        folder: The data set's folder.
        split: The split's name.
        count: The number of records of all shards, from `dataset.json`; None where that isn't written yet.

    Raises:
        InputError: A shard is missing, is one too many, or doesn't have the records that ingest wrote.
    """
    folder = Path(folder)
    lengths, size = _shard_lengths(folder, split)
    if count not in (None, sum(lengths)):
        raise InputError(f"{folder / DESCRIPTION}: {sum(lengths):,} records of {split}, expected {count:,}")
    paths = sorted(folder.glob(f"*-{split}.tfrecord-*"))
    if len(paths) == len(lengths) and sum(path.stat().st_size for path in paths) == size + _OVERHEAD * sum(lengths):
        return [str(path) for path in paths]
    by_number = {path.name.rpartition("-")[2]: path for path in paths}
    problems = []
    for number, length in enumerate(lengths):
        path = by_number.pop(f"{number:05d}", None)
        if path is None:
            problems.append(
                f"{folder}: shard {number:05d} of {split} is missing, expected {counted(length, 'record')} in it"
            )
        elif (actual := _count_records(path)) != length:
            problems.append(f"{path}: {counted(actual, 'record')}, expected {length:,}")
    problems += [f"{path}: expected {len(lengths)} shards of {split} without this one" for path in by_number.values()]
    if not problems:
        problems = [f"{folder}: the records of {split} have another size than when they were written"]
    raise InputError(*(f"{problem}: ingest the data set again" for problem in problems))


def _shard_lengths(folder: Path, split: str) -> tuple[list[int], int]:
    """Read the number of records that ingest wrote to each shard of a split, and the bytes of all of them."""
    path = folder / DESCRIPTION
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
        (entry,) = (entry for entry in splits if entry["name"] == split)
        return [int(length) for length in entry["shardLengths"]], int(entry.get("numBytes", 0))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected a folder that ingest wrote") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: doesn't say which records of {split} there are; ingest the data set again") from None


def _count_records(path: Path) -> int:
    """Count the complete records of a file."""
    size, end, count = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while len(start := file.read(_LENGTH.size)) == _LENGTH.size:
            end += _LENGTH.unpack(start)[0] + _OVERHEAD
            count += end <= size
            # A damaged length may point beyond the positions that a file system has.
            file.seek(min(end, size))
    return count
