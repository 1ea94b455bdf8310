"""Images of a data set, as small PNGs that are part of the page."""

import base64
import io

import numpy as np

from components.artifacts.dataset import ImagesInfo
from components.common.spec import Augment
from components.data import storage
from components.readers import pictures

# The number of images that are shown of each class, and the number of classes.
EXAMPLES = 8
CLASSES = 40
# The largest width and height of an image, in pixels.
LARGEST = 64


def examples(folder: str, info: ImagesInfo) -> list[str]:
    """The first training images of each class, side by side, as data URIs."""
    rows: list[list[np.ndarray]] = [[] for _ in info.classes[:CLASSES]]
    counts = [min(EXAMPLES, count) for count in info.label_counts["train"][:CLASSES]]
    for images, labels in storage.read_images(folder, "train", info.shape).as_numpy_iterator():
        for image, label in zip(images, labels, strict=True):
            if label < CLASSES and len(rows[label]) < counts[label]:
                rows[label].append(image)
        if all(len(row) == count for row, count in zip(rows, counts, strict=True)):
            break
    return [_uri(np.concatenate(row, axis=1), LARGEST * len(row)) if row else "" for row in rows]


def test_images(folder: str, info: ImagesInfo, positions: set[int]) -> dict[int, str]:
    """The images at some positions of the test split, as data URIs."""
    uris, first = {}, 0
    for images, _ in storage.read_images(folder, "test", info.shape).as_numpy_iterator():
        for position in positions:
            if first <= position < first + len(images):
                uris[position] = _uri(images[position - first], LARGEST)
        first += len(images)
        if len(uris) == len(positions):
            break
    return uris


def augmented(folder: str, info: ImagesInfo, augment: Augment) -> str:
    """The first training images, and below each what `augment` can make of it, as a data URI; "" without changes."""
    if not augment.any():
        return ""
    from components.data import augmentation

    stored = storage.read_images(folder, "train", info.shape).unbatch().batch(EXAMPLES).take(1)
    changed = augmentation.augmented(stored, augment, len(info.classes), seed=0)
    ((images, _),), ((results, _),) = (list(batches.as_numpy_iterator()) for batches in (stored, changed))
    rows = [np.concatenate(list(row), axis=1) for row in (images, results)]
    return _uri(np.concatenate(rows), LARGEST * len(images), 2 * LARGEST)


def _uri(array: np.ndarray, width: int, height: int = LARGEST) -> str:
    """An image uint8 [height, width, channels] as a data URI, at most `width` and `height` pixels large."""
    image = pictures.from_array(array[:, :, :3])
    image.thumbnail((width, height))
    png = io.BytesIO()
    image.save(png, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
