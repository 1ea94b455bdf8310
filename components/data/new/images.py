"""Read new images: pictures, idx files (LeCun's format of MNIST, gzipped or not), and the TFRecords of ingest."""

import functools
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.artifacts.dataset import ImagesInfo
from components.common.errors import InputError
from components.common.files import not_a_file
from components.common.quiet import import_tensorflow
from components.data.new.example import Example, Failure
from components.data.new.files import is_idx, is_tfrecord, named_files, records
from components.readers import pictures

# An idx file begins with two zero bytes, the type of its values (8 for unsigned bytes), its number of axes, and the
# length of each axis as a big-endian number (http://yann.lecun.com/exdb/mnist/).
_IDX_START = b"\x00\x00\x08"


def read_images(path: Path, info: ImagesInfo) -> Iterator[Example | Failure]:
    """Read the images of a file or a folder, sorted by folder and name.

    Args:
        path: The file or folder, as `find_files` returns it.
        info: The description of the model's data set. A picture of another size is a failure, unless the data set's
            images were resized.

    Yields:
        Examples with `image`, uint8 [height, width, channels]. Pictures are decoded when they are loaded.
    """
    for name, file in named_files(path, "classification"):
        if is_idx(name):
            yield from _idx(name, file, info)
        elif is_tfrecord(name):
            for i, record in enumerate(records(name, file)):
                yield record if isinstance(record, Failure) else _record(f"{name}:{i}", record, info)
        else:
            yield Example(name, functools.partial(_picture, file, info))


def _picture(file: Path | io.BytesIO, info: ImagesInfo) -> dict[str, np.ndarray]:
    height, width, channels = info.shape
    picture = pictures.read(file, channels, (height, width) if info.resized else None)
    if picture.size != (width, height):
        raise InputError(f"{picture.height} x {picture.width} pixels, expected {height} x {width}")
    return {"image": np.asarray(picture, np.uint8).reshape(info.shape)}


def _record(where: str, record: bytes, info: ImagesInfo) -> Example | Failure:
    """The image of a record. Its id is the name of its original file, where the record has it."""
    tf = import_tensorflow()
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's DecodeError, which has no public home in all its implementations
        return Failure(where, f"not a tf.train.Example: {error}")
    images, names = features["image"].bytes_list.value, features["file"].bytes_list.value
    if len(images) != 1:
        return Failure(where, f"{len(images)} values of the feature 'image', expected the bytes of one PNG or JPEG")
    name = names[0].decode(errors="backslashreplace") if len(names) == 1 else where
    return Example(name, functools.partial(_picture, io.BytesIO(images[0]), info))


def _idx(name: str, file: Path, info: ImagesInfo) -> Iterator[Example | Failure]:
    shape = info.shape if info.shape[2] > 1 else info.shape[:2]
    size = int(np.prod(info.shape))
    i = 0  # the number of the image, for a failure
    if reason := not_a_file(file):
        yield Failure(name, reason)
        return
    try:
        with gzip.open(file) if name.endswith(".gz") else file.open("rb") as stream:
            start = stream.read(4)
            axes = start[3] if len(start) == 4 and start.startswith(_IDX_START) else 0
            lengths = np.frombuffer(stream.read(4 * axes), ">u4").tolist()
            if not axes or len(lengths) != axes:
                yield Failure(name, "not an idx file of unsigned bytes")
                return
            if lengths[1:] != list(shape):
                axes_text = " x ".join(map(str, lengths[1:])) or "single"
                yield Failure(name, f"{axes_text} values an example, expected {' x '.join(map(str, shape))}")
                return
            for i in range(lengths[0]):
                data = stream.read(size)
                if len(data) < size:
                    yield Failure(f"{name}:{i}", f"the file ends in it, expected {lengths[0]} images")
                    return
                yield Example(f"{name}:{i}", functools.partial(_pixels, data, info))
            # This read also makes gzip compare the checksum at the file's end.
            if stream.read(1):
                yield Failure(name, f"the file goes on after its {lengths[0]} images")
    except (OSError, EOFError, zlib.error) as error:
        yield Failure(f"{name}:{i}", f"the file can't be read from here on: {error}")


def _pixels(data: bytes, info: ImagesInfo) -> dict[str, np.ndarray]:
    return {"image": np.frombuffer(data, np.uint8).reshape(info.shape)}
