"""The TFRecord files of a data set folder, looked at before they are read.

TensorFlow takes the end of a file for the end of the data: records that are lost would be missed by nobody.
"""

import json
import struct
from pathlib import Path

from components.common.errors import InputError

# TFDS' own description of the folder, which has the number of records of each shard.
FILE = "dataset_info.json"
# Before a record its length, 8 bytes; around it checksums (tensorflow.org/tutorials/load_data/tfrecord).
_LENGTH, _AROUND = struct.Struct("<Q"), 16


def shards(folder: Path | str, split: str, count: int | None = None) -> list[Path]:
    """The TFRecord files of `split`, in their order.

    Their sizes are compared with what was written, which costs no reading; where they differ, records are counted.

    Args:
        folder: The data set folder.
        split: The split's name.
        count: Records of all shards together, as `dataset.json` has it; None where that isn't written yet.

    Raises:
        InputError: A shard is missing, is one too many, or doesn't hold the records that ingest wrote.
    """
    folder = Path(folder)
    lengths, size = _written(folder, split)
    if count not in (None, sum(lengths)):
        raise InputError(f"{folder / FILE}: {sum(lengths):,} records of {split}, expected {count:,}")
    found = sorted(folder.glob(f"*-{split}.tfrecord-*"))
    if len(found) == len(lengths) and sum(path.stat().st_size for path in found) == size + _AROUND * sum(lengths):
        return found
    there = {path.name.rpartition("-")[2]: path for path in found}
    problems = []
    for number, length in enumerate(lengths):
        path = there.pop(f"{number:05d}", None)
        if path is None:
            problems.append(f"{folder}: shard {number:05d} of {split} is missing, expected {_records(length)} in it")
        elif (whole := _count(path)) != length:
            problems.append(f"{path}: {_records(whole)}, expected {length:,}")
    problems += [f"{path}: expected {len(lengths)} shards of {split} without this one" for path in there.values()]
    if not problems:
        problems = [f"{folder}: the records of {split} have another size than when they were written"]
    raise InputError(*(f"{problem}: ingest the data set again" for problem in problems))


def _written(folder: Path, split: str) -> tuple[list[int], int]:
    """How many records each shard of a split was given, and the bytes of all of them."""
    path = folder / FILE
    try:
        (about,) = (about for about in json.loads(path.read_text(encoding="utf-8"))["splits"] if about["name"] == split)
        return [int(length) for length in about["shardLengths"]], int(about.get("numBytes", 0))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected a folder that ingest wrote") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: doesn't say which records of {split} there are; ingest the data set again") from None


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def _count(path: Path) -> int:
    """Whole records of a file."""
    size, at, count = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while len(start := file.read(_LENGTH.size)) == _LENGTH.size:
            at += _LENGTH.unpack(start)[0] + _AROUND
            count += at <= size
            # What comes after the end of a file can't always be gone to.
            file.seek(min(at, size))
    return count
